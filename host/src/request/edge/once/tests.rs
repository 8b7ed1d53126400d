//! Who sends a request.

use super::*;

#[test]
fn clients_that_say_who_they_are_in_different_ways_are_different() {
    let exchange = Exchange::of_nobody();
    let scope = |says: &[&'static str]| {
        let mut headers = HeaderMap::new();
        for says in says {
            headers.append(header::AUTHORIZATION, HeaderValue::from_static(says));
        }
        sent_by(Sha256::new(), &exchange, &headers).finalize()
    };
    let all = [
        scope(&[]),
        scope(&["Bearer a"]),
        scope(&["Bearer b"]),
        scope(&["Bearer a", "Bearer b"]),
    ];
    for (at, one) in all.iter().enumerate() {
        assert!(all[at + 1..].iter().all(|other| one != other), "{at}");
    }
    assert_eq!(scope(&["Bearer a"]), all[1]);
}

#[test]
fn the_same_name_of_another_issuer_or_scheme_is_another_sender() {
    use crate::request::identity::{Identity, Scheme};
    let scope = |scheme, issuer: Option<&str>| {
        let exchange = Exchange::of_nobody();
        let claims = issuer.map(|issuer| ("iss".to_owned(), issuer.into()));
        let who = Identity::new(scheme, "ann").unwrap();
        let who = who.with_claims(claims.into_iter().collect(), Vec::new());
        exchange.is_of(Arc::new(who));
        sent_by(Sha256::new(), &exchange, &HeaderMap::new()).finalize()
    };
    let one = scope(Scheme::Jwt, Some("https://one.example"));
    assert_eq!(one, scope(Scheme::Jwt, Some("https://one.example")));
    assert_ne!(one, scope(Scheme::Jwt, Some("https://two.example")));
    assert_ne!(one, scope(Scheme::Jwt, None));
    assert_ne!(scope(Scheme::ApiKey, None), scope(Scheme::Basic, None));
}
