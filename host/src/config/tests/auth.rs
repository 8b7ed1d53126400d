//! Who may come in: what it resolves to, and what is refused.

use skep_policy::identity::Algorithm;

use super::*;
use crate::config::edge::{Auth, Basic, Location};
use crate::config::service::tolerance::RateKey;

const HASH: &str = "$2y$04$ABCDEFGHIJKLMNOPQRSTUubY4DL0lJbcKaa2Z83D6.D9E4MzIeKxC";

fn service(manifest: &str) -> Result<ServiceConfig, String> {
    let folder = Folder::new()
        .with("keys.json", "{}")
        .with("users", "")
        .with("a.toml", format!("component = 'hello.wasm'\n{manifest}"));
    folder.service("a.toml")
}

fn auth(edge: &str) -> Result<Auth, String> {
    let service = service(edge)?;
    Ok(service.edges[0].policies.auth.get().unwrap().clone())
}

fn assert_refused(edge: &str, why: &str) {
    let error = auth(edge).unwrap_err();
    assert!(error.contains(why), "{edge}: {error}");
    assert!(!error.contains(HASH), "{error}");
}

#[test]
fn what_is_left_out_is_the_strictest_that_works() {
    let auth =
        auth("[edge.auth.jwt]\njwks = 'keys.json'\n[edge.auth.basic]\nfile = 'users'\n").unwrap();
    assert!(!auth.optional && !auth.forward);
    assert_eq!(auth.realm, "skep");
    assert!(matches!(auth.basic, Some(Basic::File(path)) if path.is_absolute()));
    let jwt = auth.jwt.unwrap();
    assert!(matches!(jwt.keys.location, Location::File(path) if path.ends_with("keys.json")));
    let seconds = [
        jwt.keys.refresh,
        jwt.keys.cooldown,
        jwt.keys.stale,
        jwt.rules.leeway,
    ];
    assert_eq!(seconds.map(|time| time.as_secs()), [300, 10, 86400, 30]);
    assert_eq!(jwt.algorithms, Algorithm::ALL);
    assert_eq!((jwt.header.as_str(), jwt.cookie), ("authorization", None));
    assert_eq!(jwt.rules.identity, "sub");
}

#[test]
fn values_that_are_required_may_be_numbers_and_booleans() {
    let auth = auth(
        "[edge.auth.jwt]\njwks = 'https://issuer.example/keys'\nissuer = 'i'\nalgorithms = 'ES256'\n\
         require = { a = 'x', b = 1, c = [true, 'y', -2] }\nclaims = { email = 'X-Email' }\n",
    );
    let jwt = auth.unwrap().jwt.unwrap();
    let values: Vec<_> = jwt
        .rules
        .require
        .values()
        .map(|values| values.join(" "))
        .collect();
    assert_eq!(values, ["x", "1", "true y -2"]);
    assert_eq!(jwt.claims["x-email"], "email");
    assert_eq!(
        (jwt.rules.issuers, jwt.algorithms),
        (vec!["i".to_owned()], vec![Algorithm::Es256])
    );
}

#[test]
fn keys_come_from_where_nobody_changes_them_on_their_way() {
    let jwks = |jwks: &str| auth(&format!("[edge.auth.jwt]\njwks = '{jwks}'\n"));
    for good in [
        "https://issuer.example/keys?v=1",
        "http://localhost:8080/keys",
        "http://127.0.0.9/keys",
        "http://[::1]:1/keys",
    ] {
        assert!(jwks(good).is_ok(), "{good}");
    }
    for (bad, why) in [
        ("http://issuer.example/keys", "must begin with https://"),
        ("http://localhost.evil.example/", "must begin with https://"),
        ("http://10.0.0.1/", "must begin with https://"),
        ("https://user:word@issuer.example/", "has a user"),
        ("http://127.0.0.1@evil.example/", "has a user"),
        ("ftp://issuer.example/", "is no URL of keys"),
        ("file:///etc/passwd", "is no URL"),
        ("https://", "is no URL"),
        ("../keys.json", "leaves the manifest's folder"),
        ("/etc/passwd", "leaves the manifest's folder"),
        ("other.json", "does not exist"),
        ("", "is no path"),
    ] {
        let error = jwks(bad).unwrap_err();
        assert!(error.contains(why), "{bad}: {error}");
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let jwt = "[edge.auth.jwt]\njwks = 'keys.json'\n";
    for (edge, why) in [
        ("[edge.auth]\n".to_owned(), "lets nobody in"),
        (
            "[edge.auth]\nrealm = 'a\"b'\n[edge.auth.basic]\nfile = 'users'\n".to_owned(),
            "realm",
        ),
        (
            "[edge.auth.jwt]\nissuer = 'i'\n".to_owned(),
            "names no keys",
        ),
        (
            format!("{jwt}algorithms = ['HS256']\n"),
            "is none of RS256, ES256, EdDSA",
        ),
        (format!("{jwt}algorithms = ['none']\n"), "is none of"),
        (format!("{jwt}algorithms = []\n"), "is empty"),
        (format!("{jwt}issuer = []\n"), "1 to 64 texts"),
        (format!("{jwt}audience = ['']\n"), "1 to 64 texts"),
        (format!("{jwt}leeway = '1h'\n"), "between 0s and 10m"),
        (
            format!("{jwt}stale = '1m'\n"),
            "must not be shorter than refresh",
        ),
        (
            format!("{jwt}require = {{ scope = [] }}\n"),
            "1 to 64 values",
        ),
        (
            format!("{jwt}require = {{ scope = 1.5 }}\n"),
            "a string in quotes, a whole number",
        ),
        (format!("{jwt}claims = {{ a = 'x_a' }}\n"), "underscore"),
        (
            format!("{jwt}claims = {{ a = 'x-a', b = 'X-A' }}\n"),
            "another claim's header",
        ),
        (
            format!("{jwt}claims = {{ a = 'x-skep-auth' }}\n"),
            "means something else",
        ),
        (
            format!("{jwt}claims = {{ a = 'host' }}\n"),
            "means something else",
        ),
        (
            format!("{jwt}claims = {{ a = 'Authorization' }}\n"),
            "proves who comes in",
        ),
        (
            format!("{jwt}claims = {{ a = 'x a' }}\n"),
            "is no name of a header",
        ),
        (format!("{jwt}cookie = 'a=b'\n"), "is no name of a cookie"),
        (format!("{jwt}secret = 'x'\n"), "unknown key \"secret\""),
    ] {
        assert_refused(&edge, why);
    }
}

#[test]
fn secrets_are_hashes_and_headers_mean_one_thing() {
    let jwt = "[edge.auth.jwt]\njwks = 'keys.json'\n";
    let digest = "0".repeat(64);
    for (edge, why) in [
        ("[edge.auth.basic]\n".to_owned(), "lets nobody in"),
        (
            "[edge.auth.basic]\nusers = { a = 'word' }\n".to_owned(),
            "bcrypt",
        ),
        (
            format!("[edge.auth.basic]\nusers = {{ 'a:b' = '{HASH}' }}\n"),
            "no colons",
        ),
        (
            format!("[edge.auth.basic]\nfile = 'users'\nusers = {{ a = '{HASH}' }}\n"),
            "leave out one",
        ),
        (
            "[edge.auth.api_key]\nkeys = []\n".to_owned(),
            "1 to 10000 keys",
        ),
        (
            "[edge.auth.api_key]\nkeys = [{ name = 'a', sha256 = 'x' }]\n".to_owned(),
            "64 hexadecimal",
        ),
        (
            format!("[edge.auth.api_key]\nkeys = [{{ sha256 = '{digest}' }}]\n"),
            "visible ASCII",
        ),
        (
            format!(
                "[edge.auth.api_key]\nheader = 'Authorization'\nkeys = [{{ name = 'a', sha256 = '{digest}' }}]\n"
            ),
            "is for tokens and passwords",
        ),
        (
            format!(
                "{jwt}claims = {{ a = 'x-api-key' }}\n[edge.auth.api_key]\nkeys = [{{ name = 'a', sha256 = '{digest}' }}]\n"
            ),
            "is a header of jwt, too",
        ),
    ] {
        assert_refused(&edge, why);
    }
}

#[test]
fn what_is_written_down_is_what_is_read_and_shows_no_secret() {
    let digest = "ab".repeat(32);
    let edge = format!(
        "[edge.auth.jwt]\njwks = 'keys.json'\n[edge.auth.basic]\nusers = {{ a = '{HASH}' }}\n\
         [edge.auth.api_key]\nkeys = [{{ name = 'a', sha256 = '{}' }}]\n",
        digest.to_uppercase()
    );
    let config = service(&edge).unwrap();
    let json = serde_json::to_string(&config).unwrap();
    assert_eq!(
        serde_json::from_str::<ServiceConfig>(&json).unwrap(),
        config
    );
    let shown = format!("{config:?}");
    assert!(
        !shown.contains("$2y$") && !shown.contains(&digest),
        "{shown}"
    );
}

#[test]
fn rates_are_of_identities_and_claims_too() {
    let key = |key: &str| {
        let limit = format!("[rate_limit]\nrequests_per_second = 1\nkey = '{key}'\n");
        Ok::<_, String>(service(&limit)?.tolerance.rate_limit.unwrap().key)
    };
    assert_eq!(key("identity"), Ok(RateKey::Identity));
    assert_eq!(
        key("claim:org.team"),
        Ok(RateKey::Claim("org.team".to_owned()))
    );
    assert!(key("claim:").is_err() && key("claims").is_err());
}
