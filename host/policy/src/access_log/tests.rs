use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;

const FORMATS: [Format; 3] = [Format::Common, Format::Combined, Format::Json];

fn line(entry: &Entry<'_>, format: Format) -> String {
    let mut line = String::new();
    add_line(&mut line, entry, format);
    line
}

fn entry() -> Entry<'static> {
    Entry {
        client: IpAddr::V4(Ipv4Addr::new(127, 0, 0, 1)),
        user: Some("frank"),
        time: Duration::from_millis(971_186_136_250),
        method: "GET",
        target: "/apache_pb.gif?a=b",
        version: "1.0",
        host: Some(b"here:80"),
        status: 200,
        bytes: 2326,
        referer: Some(b"http://www.example.com/start.html"),
        user_agent: Some(b"Mozilla/4.08 [en] (Win98; I ;Nav)"),
        duration: Duration::from_micros(1_500),
        service: Some("shop"),
        fault: None,
        request_id: "7-1",
    }
}

#[test]
fn lines_look_as_other_servers_write_them() {
    let common = "127.0.0.1 - frank [10/Oct/2000:13:55:36 +0000] \"GET /apache_pb.gif?a=b HTTP/1.0\" 200 2326";
    assert_eq!(line(&entry(), Format::Common), format!("{common}\n"));
    assert_eq!(
        line(&entry(), Format::Combined),
        format!(
            "{common} \"http://www.example.com/start.html\" \"Mozilla/4.08 [en] (Win98; I ;Nav)\"\n"
        )
    );
    let little = Entry {
        user: None,
        version: "2",
        bytes: 0,
        referer: None,
        user_agent: None,
        ..entry()
    };
    let tail = "\"GET /apache_pb.gif?a=b HTTP/2.0\" 200 - \"-\" \"-\"\n";
    let combined = line(&little, Format::Combined);
    assert!(combined.ends_with(tail), "{combined}");
    assert!(combined.starts_with("127.0.0.1 - - ["), "{combined}");
}

#[test]
fn an_object_has_a_field_for_all_that_is_known() {
    let failed = Entry {
        fault: Some("guest_trapped"),
        ..entry()
    };
    let object: serde_json::Value = serde_json::from_str(&line(&failed, Format::Json)).unwrap();
    let expected = serde_json::json!({
        "timestamp": "2000-10-10T13:55:36.250Z",
        "client.address": "127.0.0.1",
        "user.name": "frank",
        "http.request.method": "GET",
        "url.path": "/apache_pb.gif",
        "url.query": "a=b",
        "network.protocol.version": "1.0",
        "server.address": "here:80",
        "http.request.header.referer": "http://www.example.com/start.html",
        "user_agent.original": "Mozilla/4.08 [en] (Win98; I ;Nav)",
        "skep.service": "shop",
        "skep.request_id": "7-1",
        "error.type": "guest_trapped",
        "http.response.status_code": 200,
        "http.response.body.size": 2326,
        "http.server.request.duration": 0.0015,
    });
    assert_eq!(object, expected);
    let redirected = Entry {
        service: None,
        request_id: "",
        ..entry()
    };
    let object: serde_json::Value = serde_json::from_str(&line(&redirected, Format::Json)).unwrap();
    for unknown in ["skep.service", "skep.request_id", "error.type"] {
        assert_eq!(object.get(unknown), None, "{unknown}");
    }
}

#[test]
fn what_could_end_a_field_or_a_line_is_escaped_as_apache_does() {
    let hostile = Entry {
        user: Some("a b\" - [x"),
        target: "/a b\"",
        referer: Some(b"\" 200 5\n127.0.0.1 - - \\x\r\t\x08\x0b\x00\x1b[2J\x7f\xff"),
        user_agent: Some("é".as_bytes()),
        ..entry()
    };
    let combined = line(&hostile, Format::Combined);
    let expected = concat!(
        r#"127.0.0.1 - a\x20b\"\x20-\x20[x [10/Oct/2000:13:55:36 +0000] "GET /a\x20b\" HTTP/1.0" 200 2326 "#,
        r#""\" 200 5\n127.0.0.1 - - \\x\r\t\b\v\x00\x1b[2J\x7f\xff" "\xc3\xa9""#,
        "\n"
    );
    assert_eq!(combined, expected);
}

#[test]
fn every_day_has_its_date() {
    for (days, expected) in [
        (0, "01/Jan/1970"),
        (58, "28/Feb/1970"),
        (59, "01/Mar/1970"),
        (364, "31/Dec/1970"),
        (789, "29/Feb/1972"),
        (790, "01/Mar/1972"),
        (11_016, "29/Feb/2000"),
        (20_779, "22/Nov/2026"),
        (47_540, "28/Feb/2100"),
        (47_541, "01/Mar/2100"),
    ] {
        let mut text = String::new();
        ncsa_time(&mut text, Duration::from_secs(days * 86_400 + 86_399));
        assert_eq!(text, format!("{expected}:23:59:59 +0000"));
    }
}

proptest! {
    #[test]
    fn whatever_was_sent_is_one_line_of_bounded_length(
        user in ".{0,100}",
        target in "\\PC{0,5000}",
        bytes in prop::collection::vec(any::<u8>(), 0..5000),
    ) {
        let entry = Entry {
            user: Some(&user),
            target: &target,
            host: Some(&bytes),
            referer: Some(&bytes),
            user_agent: Some(&bytes),
            ..entry()
        };
        for format in FORMATS {
            let line = line(&entry, format);
            prop_assert!(line.len() < 6 * 5 * FIELD_BYTES_MAX);
            let (text, end) = line.split_at(line.len() - 1);
            prop_assert_eq!(end, "\n");
            prop_assert!(!text.chars().any(char::is_control), "{}", text);
            match format {
                Format::Json => {
                    let object: Result<serde_json::Value, _> = serde_json::from_str(text);
                    prop_assert!(object.is_ok(), "{}", text);
                }
                _ => {
                    prop_assert!(text.is_ascii());
                    let plain = text.replace(r"\\", "").replace("\\\"", "");
                    let quotes = if format == Format::Common { 2 } else { 6 };
                    prop_assert_eq!(plain.matches('"').count(), quotes, "{}", text);
                    let (before, _) = plain.split_once('[').unwrap_or_default();
                    prop_assert!(before.matches(' ').count() == 3 || user.contains('['));
                }
            }
        }
    }
}
