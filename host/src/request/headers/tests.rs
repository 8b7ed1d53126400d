use super::*;

#[test]
fn headers_of_the_connection_go_and_all_others_stay() {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("connection", "close, X-Named"),
        ("connection", "x-named-too,,  "),
        ("x-named", "1"),
        ("x-named-too", "1"),
        ("keep-alive", "timeout=1"),
        ("proxy-connection", "close"),
        ("proxy-authorization", "Basic x"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "websocket"),
        ("http2-settings", "AA"),
        ("te", "gzip;q=0.5, Trailers"),
        ("x-kept", "1"),
        ("x-kept", "2"),
        ("trailer", "x-sum"),
    ] {
        headers.append(name, HeaderValue::from_static(value));
    }
    remove_hop_by_hop(&mut headers);
    let mut left: Vec<_> = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
        .collect();
    left.sort_unstable();
    let expected = [
        ("te", "trailers"),
        ("trailer", "x-sum"),
        ("x-kept", "1"),
        ("x-kept", "2"),
    ];
    assert_eq!(left, expected);
}

#[test]
fn te_goes_unless_it_welcomes_trailers() {
    let mut headers = HeaderMap::new();
    headers.insert(header::TE, HeaderValue::from_static("gzip"));
    remove_hop_by_hop(&mut headers);
    assert!(headers.is_empty());
}

#[test]
fn a_request_comes_from_whom_the_connection_says() {
    for (peer, address, node) in [
        ("192.0.2.1:80", "192.0.2.1", "for=192.0.2.1"),
        ("[::ffff:192.0.2.1]:80", "192.0.2.1", "for=192.0.2.1"),
        ("[2001:db8::1]:80", "2001:db8::1", "for=\"[2001:db8::1]\""),
    ] {
        let mut headers = HeaderMap::new();
        let claimed = [
            "forwarded",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-prefix",
            "x-forwarded-client-cert",
            "x-forwarded-port",
            "x-forwarded-server",
            "x-forwarded-ssl",
            "x-real-ip",
            "x-skep-caller",
            "x-skep-revision",
            "x-skep-token",
            "x-skep-identity",
            "x_skep-auth",
            "x_forwarded_for",
            "x-forwarded_host",
            "x_forwarded-proto",
            "x_forwarded_client_cert",
            "x_real_ip",
            "x_forwarded_prefix",
            "x-skep-",
            "host",
        ];
        for name in claimed {
            headers.append(name, HeaderValue::from_static("claimed"));
            headers.append(name, HeaderValue::from_static("twice"));
        }
        let mut over_tls = headers.clone();
        Client::of(peer.parse().unwrap()).introduce(&mut headers, "here:80", "/shop");
        let mut left: Vec<_> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
            .collect();
        left.sort_unstable();
        let shown = HeaderValue::from_static("Hash=00");
        let client = Client::of(peer.parse().unwrap()).over_tls(Some(shown));
        client.introduce(&mut over_tls, "here:80", "");
        let of = |name: &str| over_tls.get_all(name).iter().collect::<Vec<_>>();
        assert_eq!(of("x-forwarded-proto"), ["https"]);
        assert_eq!(of("x-forwarded-client-cert"), ["Hash=00"]);
        let forwarded = format!("{node};host=\"here:80\";proto=https");
        assert_eq!(of("forwarded"), [&forwarded]);
        let forwarded = format!("{node};host=\"here:80\";proto=http");
        let expected = [
            ("forwarded", forwarded.as_str()),
            ("host", "here:80"),
            ("x-forwarded-for", address),
            ("x-forwarded-host", "here:80"),
            ("x-forwarded-prefix", "/shop"),
            ("x-forwarded-proto", "http"),
        ];
        assert_eq!(left, expected, "{peer}");
    }
}

#[test]
fn who_a_trusted_proxy_names_is_who_asks_and_the_proxies_are_told() {
    let trusted = ["10.0.0.0/8", "fd00::/8"];
    let trusted = trusted.map(|text| Network::try_from(text.to_owned()).unwrap());
    let peer = |text: &str| Client::of(text.parse().unwrap()).believed_if_in(&trusted);
    let mut headers = HeaderMap::new();
    let claimed = HeaderValue::from_static("203.0.113.9, 192.0.2.1, fd00::1");
    headers.insert(FORWARDED_FOR, claimed);
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static("https"));
    assert!(peer("192.0.2.7:1").behind(&headers, &trusted).is_none());
    let proxy = peer("[::ffff:10.0.0.1]:1");
    let client = proxy.behind(&headers, &trusted).unwrap();
    assert_eq!(client.ip, IpAddr::from([192, 0, 2, 1]));
    assert_eq!(client.scheme, Scheme::HTTPS);
    client.introduce(&mut headers, "here", "");
    assert_eq!(headers[FORWARDED_FOR], "192.0.2.1, fd00::1, 10.0.0.1");
    assert_eq!(headers[FORWARDED_PROTO], "https");
    let forwarded = "for=192.0.2.1;host=\"here\";proto=https, for=\"[fd00::1]\", for=10.0.0.1";
    assert_eq!(headers[header::FORWARDED], forwarded);
    // A proxy that asks for itself is a client like any other.
    let own = proxy.behind(&HeaderMap::new(), &trusted).unwrap();
    own.introduce(&mut headers, "here", "");
    assert_eq!(
        (own.ip, &headers[FORWARDED_FOR]),
        (proxy.ip, &proxy.address)
    );
    assert_eq!(headers[FORWARDED_PROTO], "http");
    assert_eq!(
        headers[header::FORWARDED],
        "for=10.0.0.1;host=\"here\";proto=http"
    );
}

#[test]
fn a_request_id_is_short_and_plain() {
    let longest = "x".repeat(REQUEST_ID_BYTES_MAX);
    let too_long = "x".repeat(REQUEST_ID_BYTES_MAX + 1);
    for (id, kept) in [
        ("a", true),
        ("0af7-1_2.3:4/5+6=", true),
        (&longest, true),
        (&too_long, false),
        ("", false),
        ("two words", false),
        ("a\"", false),
        ("a\tb", false),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST_ID, HeaderValue::try_from(id).unwrap());
        let found = RequestId::given(&headers);
        let found = found.as_ref().map(RequestId::as_str);
        assert_eq!(found, kept.then_some(id), "{id:?}");
    }
    let mut headers = HeaderMap::new();
    assert!(RequestId::given(&headers).is_none());
    headers.insert(REQUEST_ID, HeaderValue::from_bytes(b"\xff").unwrap());
    assert!(RequestId::given(&headers).is_none());
}
