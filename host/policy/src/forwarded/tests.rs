use proptest::prelude::*;

use super::*;

/// 10.0.0.0/8 and fd00::/8 are proxies.
fn is_trusted(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.octets()[0] == 10,
        IpAddr::V6(address) => address.octets()[0] == 0xfd,
    }
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

const PEER: &str = "10.0.0.1";

fn by_addresses(values: &[&str]) -> Origin {
    let values: Vec<&[u8]> = values.iter().map(|value| value.as_bytes()).collect();
    let claims = Claims {
        addresses: &values,
        ..Claims::default()
    };
    origin(address(PEER), &claims, is_trusted)
}

fn by_forwarded(values: &[&str]) -> Origin {
    let values: Vec<&[u8]> = values.iter().map(|value| value.as_bytes()).collect();
    let claims = Claims {
        forwarded: &values,
        ..Claims::default()
    };
    origin(address(PEER), &claims, is_trusted)
}

#[test]
fn the_client_is_the_nearest_that_is_not_trusted() {
    for (values, client, proxies) in [
        (&[][..], PEER, &[PEER][..]),
        (&["192.0.2.1"], "192.0.2.1", &[PEER]),
        (&["192.0.2.1, 10.0.0.2"], "192.0.2.1", &["10.0.0.2", PEER]),
        (&["192.0.2.1", "10.0.0.2"], "192.0.2.1", &["10.0.0.2", PEER]),
        (
            &["192.0.2.1,10.0.0.3", "10.0.0.2"],
            "192.0.2.1",
            &["10.0.0.3", "10.0.0.2", PEER],
        ),
        // What a client has claimed before that is nobody's word, trusted addresses included.
        (&["198.51.100.9, 192.0.2.1"], "192.0.2.1", &[PEER]),
        (
            &["10.9.9.9, 192.0.2.1, 10.0.0.2"],
            "192.0.2.1",
            &["10.0.0.2", PEER],
        ),
        (&["evil, 192.0.2.1"], "192.0.2.1", &[PEER]),
        // A chain of proxies alone: the farthest of them asks.
        (&["10.0.0.3, 10.0.0.2"], "10.0.0.3", &["10.0.0.2", PEER]),
        // IPv6, ports, brackets, and IPv4 in IPv6's clothes.
        (&["2001:db8::1"], "2001:db8::1", &[PEER]),
        (&["[2001:db8::1]"], "2001:db8::1", &[PEER]),
        (
            &["[2001:db8::1]:443, fd00::1"],
            "2001:db8::1",
            &["fd00::1", PEER],
        ),
        (&["192.0.2.1:80"], "192.0.2.1", &[PEER]),
        (&["::ffff:192.0.2.1"], "192.0.2.1", &[PEER]),
        (
            &["192.0.2.1, ::ffff:10.0.0.2"],
            "192.0.2.1",
            &["10.0.0.2", PEER],
        ),
        // What is no address ends the chain.
        (&["192.0.2.1, unknown"], PEER, &[PEER]),
        (&["192.0.2.1, unknown, 10.0.0.2"], "10.0.0.2", &[PEER]),
        (&["192.0.2.1,,10.0.0.2"], "10.0.0.2", &[PEER]),
        (&["192.0.2.1, "], PEER, &[PEER]),
        (&[""], PEER, &[PEER]),
        (&["192.0.2.1 192.0.2.2"], PEER, &[PEER]),
        (&["192.0.2.1:"], PEER, &[PEER]),
        (&["192.0.2.1:65536"], PEER, &[PEER]),
        (&["[192.0.2.1]"], PEER, &[PEER]),
        (&["2001:db8::1%eth0"], PEER, &[PEER]),
        (&["0300.0.2.1"], PEER, &[PEER]),
        (&["\"192.0.2.1\""], PEER, &[PEER]),
        // Quotes mean nothing here, and hide nothing.
        (&["\"10.0.0.3, 192.0.2.1"], "192.0.2.1", &[PEER]),
    ] {
        let found = by_addresses(values);
        let expected = Origin {
            client: address(client),
            proxies: proxies.iter().map(|text| address(text)).collect(),
            proto: None,
        };
        assert_eq!(found, expected, "{values:?}");
    }
}

#[test]
fn forwarded_is_read_as_its_standard_has_it() {
    let https = Some(Proto::Https);
    for (values, client, proto) in [
        (&["for=192.0.2.1"][..], "192.0.2.1", None),
        (
            &["For=192.0.2.1;Proto=HTTPS;by=10.0.0.1"],
            "192.0.2.1",
            https,
        ),
        (&["proto=https; for=\"192.0.2.1:80\""], "192.0.2.1", https),
        (
            &["for=\"[2001:db8::1]:_port\";proto=http"],
            "2001:db8::1",
            Some(Proto::Http),
        ),
        (
            &["for=192.0.2.1;proto=https, for=10.0.0.2;proto=http"],
            "192.0.2.1",
            https,
        ),
        (
            &["for=192.0.2.1;proto=https", "for=10.0.0.2"],
            "192.0.2.1",
            https,
        ),
        (
            &["host=\"a,b;for=198.51.100.1\";for=192.0.2.1"],
            "192.0.2.1",
            None,
        ),
        (
            &["host=\"\\\",for=198.51.100.1\";for=192.0.2.1"],
            "192.0.2.1",
            None,
        ),
        (
            &["for=198.51.100.1, for=192.0.2.1;proto=gopher"],
            "192.0.2.1",
            None,
        ),
        (&["for=\"x, for=192.0.2.1;host=\"a\""], "192.0.2.1", None),
        (&["for=_hidden, for=10.0.0.2"], "10.0.0.2", None),
        (&["for=unknown"], PEER, None),
        (&["for=192.0.2.1;for=192.0.2.2"], PEER, None),
        (&["by=192.0.2.1"], PEER, None),
        (&["192.0.2.1"], PEER, None),
        (&["for=\"192.0.2.1"], PEER, None),
        (&["for=\"192.0.2.\\1\""], PEER, None),
    ] {
        let found = by_forwarded(values);
        assert_eq!(
            (found.client, found.proto),
            (address(client), proto),
            "{values:?}"
        );
    }
}

#[test]
fn one_proto_is_believed_and_several_are_not() {
    for (protos, expected) in [
        (&["https"][..], Some(Proto::Https)),
        (&[" HTTP "], Some(Proto::Http)),
        (&["https", "https"], None),
        (&["https, http"], None),
        (&["wss"], None),
        (&[""], None),
    ] {
        let protos: Vec<&[u8]> = protos.iter().map(|value| value.as_bytes()).collect();
        let claims = Claims {
            addresses: &[b"192.0.2.1"],
            forwarded: &[b"for=198.51.100.1;proto=https"],
            protos: &protos,
        };
        let found = origin(address(PEER), &claims, is_trusted);
        assert_eq!(
            (found.client, found.proto),
            (address("192.0.2.1"), expected)
        );
    }
}

#[test]
fn a_chain_is_read_so_far_and_no_farther() {
    let long = vec!["10.0.0.2"; 10 * HOPS_MAX].join(",");
    let found = by_addresses(&["192.0.2.1", &long]);
    assert_eq!(found.client, address("10.0.0.2"));
    assert_eq!(found.proxies.len(), HOPS_MAX);
}

proptest! {
    #[test]
    fn whatever_a_client_claims_before_its_address_changes_nothing(
        claimed in prop::collection::vec(any::<u8>(), 0..200),
        quads in any::<[u8; 4]>().prop_filter("a client", |quads| quads[0] != 10),
    ) {
        let own = IpAddr::from(quads);
        let own = own.to_string();
        let honest = by_addresses(&[&own]);
        let line = [&claimed[..], b", ", own.as_bytes()].concat();
        for values in [vec![&line[..]], vec![&claimed[..], own.as_bytes()]] {
            let claims = Claims { addresses: &values, ..Claims::default() };
            prop_assert_eq!(&origin(address(PEER), &claims, is_trusted), &honest);
        }
        for own in [format!("for={own}"), format!("by=10.0.0.1;for=\"{own}:80\"")] {
            let line = [&claimed[..], b", ", own.as_bytes()].concat();
            let claims = Claims { forwarded: &[&line], ..Claims::default() };
            prop_assert_eq!(origin(address(PEER), &claims, is_trusted).client, honest.client);
        }
    }

    #[test]
    fn nobody_but_the_client_is_untrusted(
        values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..100), 0..5),
        forwarded in any::<bool>(),
    ) {
        let values: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
        let claims = match forwarded {
            true => Claims { forwarded: &values, ..Claims::default() },
            false => Claims { addresses: &values, ..Claims::default() },
        };
        let found = origin(address(PEER), &claims, is_trusted);
        prop_assert!(found.proxies.iter().all(|proxy| is_trusted(*proxy)));
        prop_assert_eq!(found.proxies.last(), Some(&address(PEER)));
        prop_assert!(found.proxies.len() <= HOPS_MAX);
    }

    #[test]
    fn a_chain_of_any_length_ends_at_its_client(
        proxies in prop::collection::vec(any::<[u8; 3]>(), 0..HOPS_MAX - 1),
        client in any::<[u8; 4]>().prop_filter("a client", |quads| quads[0] != 10),
    ) {
        let proxies: Vec<IpAddr> = proxies.iter().map(|[a, b, c]| [10, *a, *b, *c].into()).collect();
        let client = IpAddr::from(client);
        let nodes = std::iter::once(&client).chain(&proxies);
        let line = nodes.map(ToString::to_string).collect::<Vec<_>>();
        let found = by_addresses(&[&line.join(", ")]);
        prop_assert_eq!(found.client, client);
        prop_assert_eq!(&found.proxies[..proxies.len()], &proxies[..]);
        let line: Vec<String> = line.iter().map(|node| format!("for={node}")).collect();
        prop_assert_eq!(by_forwarded(&[&line.join(", ")]).client, client);
    }
}
