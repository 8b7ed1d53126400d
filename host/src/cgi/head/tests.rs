//! Heads that are taken, and everything else.

use proptest::prelude::*;

use super::*;

fn parse(output: &str) -> Result<Option<(Head, usize)>, CgiError> {
    HeadParser::default().push(output.as_bytes())
}

fn head(output: &str) -> Head {
    parse(output).unwrap().unwrap().0
}

fn refusal(output: &str) -> CgiError {
    parse(output).unwrap_err()
}

#[test]
fn a_document_response_is_taken_with_either_line_end() {
    for output in [
        "Content-Type: text/plain\n\nhi",
        "Content-Type: text/plain\r\n\r\nhi",
        "content-type:text/plain\r\n\nhi",
    ] {
        let (head, body) = parse(output).unwrap().unwrap();
        assert_eq!(head.status, StatusCode::OK);
        assert_eq!(head.headers[header::CONTENT_TYPE], "text/plain");
        assert!(head.body_allowed);
        assert_eq!(&output[body..], "hi");
    }
}

#[test]
fn status_and_location_decide_the_status() {
    for (output, status, body_allowed) in [
        ("Status: 404 Not Found\nContent-Type: a/b\n\n", 404, true),
        ("Status: 418\nContent-Type: a/b\n\n", 418, true),
        ("Status: 204\n\n", 204, false),
        (
            "Status: 304 Not Modified\nContent-Type: a/b\n\n",
            304,
            false,
        ),
        ("Location: https://example.com/\n\n", 302, false),
        ("Location: /local?a=b\n\n", 302, false),
        (
            "Status: 301 Moved\nLocation: /x\nContent-Type: a/b\n\n",
            301,
            true,
        ),
        ("Status: 201 Created\nLocation: /x\n\n", 201, false),
    ] {
        let head = head(output);
        assert_eq!(
            (head.status.as_u16(), head.body_allowed),
            (status, body_allowed),
            "{output:?}"
        );
        assert!(!head.headers.contains_key("status"));
    }
}

#[test]
fn repeated_fields_are_kept_apart() {
    let head = head("Content-Type: a/b\nSet-Cookie: a=1\nSet-Cookie: b=2\n\n");
    assert_eq!(head.headers.get_all("set-cookie").iter().count(), 2);
}

#[test]
fn what_is_not_a_cgi_head_is_refused_for_what_it_is() {
    use CgiError as E;
    for (output, expected) in [
        ("HTTP/1.1 200 OK\r\n", E::StatusLine),
        ("\n", E::NoCgiField),
        ("X-A: 1\n\n", E::NoCgiField),
        ("hello\n", E::NotAField { line: 1 }),
        ("A: b\n folded\n", E::Folded { line: 2 }),
        (": x\n", E::Name { line: 1 }),
        ("A : x\n", E::Name { line: 1 }),
        ("A\u{e9}: x\n", E::Name { line: 1 }),
        ("A: x\ry\n", E::Value { line: 1 }),
        ("A: x\r\r\n", E::Value { line: 1 }),
        ("A: x\0y\n", E::Value { line: 1 }),
        ("Status: OK\n", E::Status),
        ("Status: 2000\n", E::Status),
        ("Status: 20\n", E::Status),
        ("Status: 100 Continue\n", E::Status),
        ("Status: 600\n", E::Status),
        ("Status: 200\tOK\n", E::Status),
        ("Content-Length: -1\n", E::ContentLength),
        ("Content-Length: 1, 1\n", E::ContentLength),
        ("Content-Length:\n", E::ContentLength),
        ("Content-Length: 99999999999999999999\n", E::ContentLength),
        (
            "Content-Length: 1\nContent-Length: 1\n",
            E::Repeated(header::CONTENT_LENGTH),
        ),
        (
            "Content-Type: a/b\nContent-Type: a/b\n",
            E::Repeated(header::CONTENT_TYPE),
        ),
        (
            "Status: 200\nStatus: 200\n",
            E::Repeated(HeaderName::from_static("status")),
        ),
        (
            "Transfer-Encoding: chunked\n",
            E::HopByHop(header::TRANSFER_ENCODING),
        ),
        ("connection: close\n", E::HopByHop(header::CONNECTION)),
    ] {
        assert_eq!(refusal(output), expected, "{output:?}");
    }
}

#[test]
fn an_end_within_the_head_is_told_from_no_output() {
    let mut parser = HeadParser::default();
    assert_eq!(parser.ended(), CgiError::Empty);
    assert_eq!(parser.push(b"Content-Type: a/b\n"), Ok(None));
    assert_eq!(parser.ended(), CgiError::Cut);
}

#[test]
fn length_and_number_are_bounded_while_the_head_arrives() {
    let limits = HeadLimits {
        bytes: 100,
        headers: 3,
    };
    let mut parser = HeadParser::new(limits);
    assert_eq!(parser.push(&[b'a'; 100]), Ok(None));
    assert_eq!(parser.push(b"a"), Err(CgiError::TooLong(100)));
    let mut parser = HeadParser::new(limits);
    assert_eq!(parser.push(b"a: 1\nb: 2\nc: 3\n"), Ok(None));
    assert_eq!(parser.push(b"d: 4\n"), Err(CgiError::TooManyHeaders(3)));
    let exact = format!("Content-Type: {}\n\n", "a".repeat(100 - 16));
    assert!(
        HeadParser::new(limits)
            .push(exact.as_bytes())
            .unwrap()
            .is_some()
    );
}

/// The outcome and where the body starts in the whole output, however it is cut into pieces.
fn in_pieces(output: &[u8], pieces: &[usize]) -> (Result<Option<Head>, CgiError>, usize) {
    let mut parser = HeadParser::new(HeadLimits {
        bytes: 300,
        headers: 8,
    });
    let mut rest = output;
    let mut sizes = pieces.iter().copied().chain(std::iter::repeat(usize::MAX));
    while !rest.is_empty() {
        let (piece, later) = rest.split_at(sizes.next().unwrap().clamp(1, rest.len()));
        match parser.push(piece) {
            Ok(None) => rest = later,
            Ok(Some((head, body))) => return (Ok(Some(head)), output.len() - rest.len() + body),
            Err(error) => return (Err(error), 0),
        }
    }
    (Ok(None), 0)
}

fn line() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(b"Content-Type: text/html".to_vec()),
        Just(b"Status: 200 OK".to_vec()),
        Just(b"Location: /x".to_vec()),
        Just(b"Content-Length: 3".to_vec()),
        "[A-Za-z-]{1,8}: ?[ -~]{0,20}".prop_map(String::into_bytes),
        "[ -~]{0,20}".prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 0..12),
        Just(Vec::new()),
    ]
}

fn output() -> impl Strategy<Value = Vec<u8>> {
    let end = prop_oneof![Just(&b"\n"[..]), Just(&b"\r\n"[..]), Just(&b"\r"[..])];
    proptest::collection::vec((line(), end), 0..14).prop_map(|lines| {
        lines
            .into_iter()
            .flat_map(|(line, end)| [line, end.to_vec()].concat())
            .collect()
    })
}

proptest! {
    #[test]
    fn pieces_make_no_difference(output in output(), pieces in proptest::collection::vec(1_usize..9, 0..60)) {
        let (whole, body) = in_pieces(&output, &[]);
        let (pieced, pieced_body) = in_pieces(&output, &pieces);
        // A limit may be noticed before or after another fault; the verdict is the same.
        prop_assert_eq!(whole.is_err(), pieced.is_err());
        if let (Ok(whole), Ok(pieced)) = (whole, pieced) {
            prop_assert_eq!(whole, pieced);
            prop_assert_eq!(body, pieced_body);
        }
    }

    #[test]
    fn what_is_taken_is_safe_to_send(output in output()) {
        let Ok(Some((head, body))) = HeadParser::default().push(&output) else { return Ok(()) };
        prop_assert!(output[..body].ends_with(b"\n\n") || output[..body].ends_with(b"\n\r\n") || body <= 2);
        prop_assert!((200..600).contains(&head.status.as_u16()));
        for (name, value) in &head.headers {
            prop_assert!(!HOP_BY_HOP.contains(&name.as_str()));
            prop_assert!(value.as_bytes().iter().all(|byte| *byte == b'\t' || (*byte >= 0x20 && *byte != 0x7f)));
        }
        prop_assert!(head.headers.get_all(header::CONTENT_LENGTH).iter().count() <= 1);
    }

    #[test]
    fn no_bytes_panic(output in proptest::collection::vec(any::<u8>(), 0..400)) {
        HeadParser::default().push(&output).ok();
    }
}
