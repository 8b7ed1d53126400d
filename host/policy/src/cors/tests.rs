//! Who is allowed is told so, and nobody else: whatever an origin is made to look like.

use proptest::prelude::*;

use super::*;

fn pattern(text: &str) -> OriginPattern {
    OriginPattern::try_from(text).unwrap()
}

fn cors(origins: &[&str]) -> Cors {
    Cors {
        origins: origins.iter().map(|text| pattern(text)).collect(),
        methods: Names::default(),
        headers: Names::default(),
        expose_headers: Names::default(),
        credentials: false,
        max_age: Duration::ZERO,
    }
}

#[test]
fn an_exact_origin_is_itself_alone() {
    let own = pattern("https://example.com");
    assert!(own.takes(b"https://example.com"));
    for other in [
        "http://example.com",
        "https://example.com:8443",
        "https://example.com:443",
        "https://example.com/",
        "https://example.com.evil.org",
        "https://evil.org/https://example.com",
        "https://a.example.com",
        "HTTPS://EXAMPLE.COM",
        "https://example.com https://evil.org",
        "https://example.com, https://evil.org",
        "https://example.com\0",
        " https://example.com",
        "null",
        "*",
        "",
    ] {
        assert!(!own.takes(other.as_bytes()), "{other}");
    }
}

#[test]
fn a_wildcard_takes_what_is_below_the_domain_and_nothing_that_only_ends_so() {
    let below = pattern("https://*.example.com");
    for own in [
        "https://a.example.com",
        "https://a.b.example.com",
        "https://xn--bcher-kva.example.com",
        "https://under_score.example.com",
    ] {
        assert!(below.takes(own.as_bytes()), "{own}");
    }
    for other in [
        "https://example.com",
        "https://.example.com",
        "https://a..example.com",
        "https://aexample.com",
        "http://a.example.com",
        "https://a.example.com:8443",
        "https://evil.org/.example.com",
        "https://evil.org:80.example.com",
        "https://evil.org#.example.com",
        "https://evil.org?.example.com",
        "https://evil.org\\.example.com",
        "https://user@a.example.com",
        "https://*.example.com",
        "https://a.example.com.evil.org",
        "https://A.example.com",
        "https://\u{e9}.example.com",
        "https://evil.org https://a.example.com",
        "null",
    ] {
        assert!(!below.takes(other.as_bytes()), "{other}");
    }
    assert!(pattern("https://*.example.com:8443").takes(b"https://a.example.com:8443"));
    assert!(!pattern("https://*.example.com:8443").takes(b"https://a.example.com"));
}

#[test]
fn origins_are_read_as_browsers_write_them() {
    for (text, read) in [
        ("*", "*"),
        ("https://Example.COM", "https://example.com"),
        ("https://example.com:443", "https://example.com"),
        ("http://example.com:80", "http://example.com"),
        ("http://example.com:443", "http://example.com:443"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("https://*.Example.com:8443", "https://*.example.com:8443"),
        ("chrome-extension://abc", "chrome-extension://abc"),
    ] {
        let pattern = pattern(text);
        assert_eq!(String::from(pattern.clone()), read, "{text}");
        assert_eq!(OriginPattern::try_from(read), Ok(pattern), "{text}");
    }
}

#[test]
fn errors_say_how_to_write_an_origin() {
    for text in [
        "",
        "example.com",
        "https://",
        "https:///",
        "https://*",
        "https://*.",
        "https://a.*.com",
        "https://a*.example.com",
        "*://example.com",
        "https://example.com:",
        "https://example.com:99999",
        "https://example.com:0443",
        "https://user@example.com",
        "https://exa mple.com",
        "https://[::1",
        "https://[nonsense]",
        "https://example.com?",
        "https://b\u{fc}cher.example",
    ] {
        let error = OriginPattern::try_from(text).unwrap_err();
        assert_eq!(error, CorsError::Malformed(text.to_owned()), "{text}");
    }
    assert_eq!(OriginPattern::try_from("null"), Err(CorsError::Null));
    let error = OriginPattern::try_from("https://Example.com/shop").unwrap_err();
    assert_eq!(
        error.to_string(),
        "an origin has no path: write \"https://example.com\", not \"https://Example.com/shop\""
    );
}

#[test]
fn what_is_granted_depends_on_the_origin_unless_all_are_welcome() {
    let origin = Some(&b"https://a.org"[..]);
    for (origins, asked, granted) in [
        (&["*"][..], origin, Grant::Any),
        (&["*"], None, Grant::Any),
        (&["*"], Some(b"null"), Grant::Any),
        (&["https://a.org", "*"], origin, Grant::Any),
        (&["https://b.org", "https://a.org"], origin, Grant::Origin),
        (&["https://a.org"], None, Grant::Nothing),
        (&["https://a.org"], Some(b"null"), Grant::Nothing),
        (&["https://b.org"], origin, Grant::Nothing),
        (&[], origin, Grant::Nothing),
    ] {
        assert_eq!(cors(origins).grant(asked), granted, "{origins:?} {asked:?}");
    }
    assert!(!Grant::Any.varies());
    assert!(Grant::Origin.varies() && Grant::Nothing.varies());
}

#[test]
fn credentials_go_with_names_alone() {
    let any = || Names::headers(["*"]).unwrap();
    let with = |change: &dyn Fn(&mut Cors)| {
        let mut cors = cors(&["https://a.org"]);
        cors.credentials = true;
        change(&mut cors);
        cors.check()
    };
    assert_eq!(with(&|_| {}), Ok(()));
    let refused = Err(CorsError::AnyWithCredentials);
    assert_eq!(with(&|cors| cors.origins.push(OriginPattern::Any)), refused);
    assert_eq!(with(&|cors| cors.methods = any()), refused);
    assert_eq!(with(&|cors| cors.headers = any()), refused);
    assert_eq!(with(&|cors| cors.expose_headers = any()), refused);
    assert_eq!(cors(&["*"]).check(), Ok(()));
}

#[test]
fn names_are_checked_and_joined() {
    let headers = Names::headers(["X-One", "content-type", "*"]).unwrap();
    assert_eq!(headers.value().unwrap(), "x-one, content-type, *");
    assert_eq!(Names::default().value(), None);
    for name in ["", "a b", "a,b", "a\r\nset-cookie: x", "a:", "\u{fc}"] {
        assert!(Names::headers([name]).is_err(), "{name:?}");
        assert!(Names::methods([name]).is_err(), "{name:?}");
    }
    assert_eq!(
        Names::methods(["PUT", "*"]).unwrap().value().unwrap(),
        "PUT, *"
    );
    assert!(Names::methods(["put"]).is_err());
}

proptest! {
    #[test]
    fn what_a_wildcard_takes_has_a_host_below_its_domain(
        origin in "(https|http)://[a-z.@:/*# -]{0,12}\\.?example\\.com(:[0-9]{1,4})?"
    ) {
        if pattern("https://*.example.com").takes(origin.as_bytes()) {
            let host = origin.strip_prefix("https://").unwrap();
            prop_assert!(host.ends_with(".example.com"));
            prop_assert!(is_host(host), "{}", host);
        }
    }

    #[test]
    fn any_text_is_an_origin_that_takes_itself_or_an_error(text in "[a-z]{1,5}://[a-z0-9.:-]{0,12}|.{0,20}") {
        match OriginPattern::try_from(text.as_str()) {
            Ok(OriginPattern::Exact(own)) => {
                prop_assert!(pattern(&own).takes(own.as_bytes()));
            }
            Ok(_) => {}
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }

    #[test]
    fn no_bytes_from_outside_are_taken_but_those_named(origin in proptest::collection::vec(any::<u8>(), 0..40)) {
        let granted = cors(&["https://example.com"]).grant(Some(&origin));
        prop_assert_eq!(granted == Grant::Origin, origin == b"https://example.com");
    }
}
