//! What programs are told of a request, and what they are not.

use std::net::{Ipv4Addr, Ipv6Addr};

use http::Request;
use proptest::prelude::*;

use super::*;

const SERVER: Server<'_> = Server {
    name: "shop.example",
    port: 8080,
};

fn of(request: http::request::Builder, prefix: &str) -> BTreeMap<String, String> {
    let (parts, ()) = request.body(()).unwrap().into_parts();
    variables(&parts, prefix, Ipv4Addr::LOCALHOST.into(), SERVER)
        .unwrap()
        .into_iter()
        .collect()
}

#[test]
fn a_plain_request_is_described_in_full() {
    let said = of(
        Request::post("/a%20b/c?x=%20y")
            .header("content-type", "text/plain")
            .header("content-length", "3"),
        "/shop",
    );
    let expected = [
        ("CONTENT_LENGTH", "3"),
        ("CONTENT_TYPE", "text/plain"),
        ("GATEWAY_INTERFACE", "CGI/1.1"),
        ("PATH_INFO", "/a b/c"),
        ("QUERY_STRING", "x=%20y"),
        ("REMOTE_ADDR", "127.0.0.1"),
        ("REMOTE_HOST", "127.0.0.1"),
        ("REQUEST_METHOD", "POST"),
        ("REQUEST_URI", "/shop/a%20b/c?x=%20y"),
        ("SCRIPT_NAME", "/shop"),
        ("SERVER_NAME", "shop.example"),
        ("SERVER_PORT", "8080"),
        ("SERVER_PROTOCOL", "HTTP/1.1"),
        ("SERVER_SOFTWARE", SOFTWARE),
    ];
    let said: Vec<_> = said
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    assert_eq!(said, expected);
}

#[test]
fn fields_become_variables_and_repeated_ones_are_joined() {
    let request = Request::get("/")
        .header("x-request-id", "1")
        .header("accept", "a")
        .header("accept", "b")
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .header("x-latin", HeaderValue::from_bytes(b"caf\xe9").unwrap());
    let said = of(request, "");
    assert_eq!(said["HTTP_X_REQUEST_ID"], "1");
    assert_eq!(said["HTTP_ACCEPT"], "a, b");
    assert_eq!(said["HTTP_COOKIE"], "a=1; b=2");
    assert_eq!(said["HTTP_X_LATIN"], "café");
    assert_eq!(said["SCRIPT_NAME"], "");
}

#[test]
fn what_programs_must_not_see_is_left_out() {
    let request = Request::get("/")
        .header("proxy", "http://evil.example")
        .header("connection", "x-secret, close")
        .header("x-secret", "1")
        .header("transfer-encoding", "chunked")
        .header("x_forwarded_for", "forged")
        .header("content-type", "text/plain");
    let said = of(request, "");
    let fields: Vec<_> = said
        .keys()
        .filter(|name| name.starts_with("HTTP_"))
        .collect();
    assert!(fields.is_empty(), "{fields:?}");
}

#[test]
fn the_host_of_http_2_is_told_as_that_of_http_1() {
    let said = of(
        Request::get("http://shop.example:81/").version(http::Version::HTTP_2),
        "",
    );
    assert_eq!(said["HTTP_HOST"], "shop.example:81");
    assert_eq!(said["SERVER_PROTOCOL"], "HTTP/2.0");
}

#[test]
fn a_mapped_address_is_told_as_what_it_is() {
    let (parts, ()) = Request::get("/").body(()).unwrap().into_parts();
    let remote = Ipv6Addr::from_bits(0xffff_7f00_0001);
    let said = variables(&parts, "", remote.into(), SERVER).unwrap();
    assert!(said.contains(&("REMOTE_ADDR".to_owned(), "127.0.0.1".to_owned())));
}

#[test]
fn paths_are_decoded_once_and_unfit_ones_refused() {
    for (path, expected) in [
        ("/%2525", Ok("/%25")),
        ("/%", Ok("/%")),
        ("/%4", Ok("/%4")),
        ("/%zz", Ok("/%zz")),
        ("/%C3%A9", Ok("/é")),
        ("/%00", Err(UnfitPath)),
        ("/%ff", Err(UnfitPath)),
    ] {
        assert_eq!(
            decoded(path).as_deref(),
            expected.as_ref().map(|text| *text),
            "{path}"
        );
    }
}

proptest! {
    #[test]
    fn names_and_values_fit_an_environment(
        fields in proptest::collection::vec(("[!-~]{1,12}", proptest::collection::vec(any::<u8>(), 0..12)), 0..12),
        path in "/[ -~]{0,20}",
    ) {
        let mut request = Request::get(path);
        for (name, value) in fields {
            request = request.header(name, value);
        }
        let Ok(request) = request.body(()) else { return Ok(()) };
        let (parts, ()) = request.into_parts();
        for (name, value) in variables(&parts, "/p", Ipv4Addr::LOCALHOST.into(), SERVER).unwrap_or_default() {
            prop_assert!(name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_'), "{name}");
            prop_assert!(!value.contains('\0'));
            prop_assert_ne!(name, "HTTP_PROXY");
        }
    }
}
