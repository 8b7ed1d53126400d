use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const NOW: u64 = 1_000_000;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn rules() -> Rules {
    Rules {
        issuers: vec!["https://issuer.example/".to_owned()],
        audiences: vec!["shop".to_owned(), "stock".to_owned()],
        leeway: seconds(30),
        identity: "sub".to_owned(),
        require: [(
            "scope".to_owned(),
            vec!["read".to_owned(), "all".to_owned()],
        )]
        .into(),
    }
}

/// Claims that hold, with these in their place; null takes one away.
fn claims(other: &Value) -> Claims {
    let mut claims = json!({
        "iss": "https://issuer.example/", "aud": "shop", "sub": "alice", "exp": NOW + 60, "scope": "read write",
    });
    for (name, value) in other.as_object().unwrap() {
        claims[name] = value.clone();
    }
    let mut claims = claims.as_object().unwrap().clone();
    claims.retain(|_, value| !value.is_null());
    claims
}

fn checked(other: &Value) -> Result<Verified, Refused> {
    check(&claims(other), &rules(), seconds(NOW))
}

#[test]
fn a_token_holds_from_nbf_to_exp_with_leeway() {
    let holds = |until| {
        Ok(Verified {
            identity: "alice".to_owned(),
            until: seconds(until),
        })
    };
    assert_eq!(checked(&json!({})), holds(NOW + 90));
    for (other, expected) in [
        (json!({"exp": NOW - 29}), holds(NOW + 1)),
        (json!({"exp": NOW - 30}), Err(Refused::Expired)),
        (json!({"exp": 0}), Err(Refused::Expired)),
        (json!({"exp": -1}), Err(Refused::Expired)),
        (json!({"exp": -1e300}), Err(Refused::Expired)),
        (json!({"exp": (NOW - 30) as f64}), Err(Refused::Expired)),
        (json!({"exp": (NOW - 29) as f64}), holds(NOW + 1)),
        (json!({"nbf": NOW + 30}), holds(NOW + 90)),
        (json!({"nbf": NOW + 31}), Err(Refused::NotYet)),
        (json!({"nbf": u64::MAX}), Err(Refused::NotYet)),
        (json!({"iat": NOW + 30}), holds(NOW + 90)),
        (json!({"iat": NOW + 31}), Err(Refused::NotYet)),
    ] {
        assert_eq!(checked(&other), expected, "{other}");
    }
    for forever in [json!(u64::MAX), json!(1e300)] {
        assert!(checked(&json!({"exp": forever})).is_ok());
    }
}

#[test]
fn times_that_are_no_numbers_are_refused() {
    for name in ["exp", "nbf", "iat"] {
        for value in [
            json!("1000060"),
            json!(true),
            json!([NOW + 60]),
            json!({"a": 1}),
        ] {
            let found = checked(&json!({name: value}));
            assert!(
                matches!(found, Err(Refused::Malformed(_))),
                "{name} {value}"
            );
        }
    }
    let found = checked(&json!({"exp": null}));
    assert!(
        matches!(found, Err(Refused::Malformed(_))),
        "exp is required"
    );
    let mut null = claims(&json!({}));
    null.insert("nbf".to_owned(), Value::Null);
    assert!(check(&null, &rules(), seconds(NOW)).is_err());
}

#[test]
fn a_token_is_of_the_issuer_and_for_this_audience() {
    for (other, expected) in [
        (json!({"iss": null}), Err(Refused::Issuer)),
        (
            json!({"iss": "https://issuer.example"}),
            Err(Refused::Issuer),
        ),
        (
            json!({"iss": ["https://issuer.example/"]}),
            Err(Refused::Issuer),
        ),
        (
            json!({"iss": "HTTPS://issuer.example/"}),
            Err(Refused::Issuer),
        ),
        (json!({"aud": null}), Err(Refused::Audience)),
        (json!({"aud": "shop "}), Err(Refused::Audience)),
        (json!({"aud": ["others", "more"]}), Err(Refused::Audience)),
        (json!({"aud": []}), Err(Refused::Audience)),
        (json!({"aud": {"shop": 1}}), Err(Refused::Audience)),
        (json!({"aud": [["shop"]]}), Err(Refused::Audience)),
        (json!({"aud": ["others", "stock"]}), Ok(())),
    ] {
        assert_eq!(checked(&other).map(drop), expected, "{other}");
    }
    let anybody = Rules {
        issuers: Vec::new(),
        audiences: Vec::new(),
        ..rules()
    };
    let bare = claims(&json!({"iss": null, "aud": null}));
    assert!(check(&bare, &anybody, seconds(NOW)).is_ok());
}

#[test]
fn a_token_is_somebody_s() {
    for (sub, expected) in [
        (json!(""), Err(Refused::Nobody("sub".to_owned()))),
        (json!(null), Err(Refused::Nobody("sub".to_owned()))),
        (json!(["alice"]), Err(Refused::Nobody("sub".to_owned()))),
        (json!({"a": "b"}), Err(Refused::Nobody("sub".to_owned()))),
        (json!("a\r\nx-a: b"), Err(Refused::Untold("sub".to_owned()))),
        (json!("a\u{85}"), Err(Refused::Untold("sub".to_owned()))),
        (json!("admin "), Err(Refused::Untold("sub".to_owned()))),
        (
            json!("x".repeat(VALUE_BYTES_MAX + 1)),
            Err(Refused::Untold("sub".to_owned())),
        ),
        (json!(17), Ok("17".to_owned())),
        (json!("Ægir"), Ok("Ægir".to_owned())),
    ] {
        let found = checked(&json!({"sub": sub}));
        assert_eq!(found.map(|it| it.identity), expected, "{sub}");
    }
}

#[test]
fn what_is_required_is_looked_at_last() {
    let lacks = Err(Refused::Lacks("scope".to_owned()));
    for (scope, expected) in [
        (json!("all"), Ok(())),
        (json!("write read"), Ok(())),
        (json!(["x", "all"]), Ok(())),
        (json!("write"), lacks.clone()),
        (json!("reader"), lacks.clone()),
        (json!("READ"), lacks.clone()),
        (json!("write,read"), lacks.clone()),
        (json!(["read write"]), lacks.clone()),
        (json!({"read": true}), lacks.clone()),
        (json!(null), lacks.clone()),
    ] {
        assert_eq!(
            checked(&json!({"scope": scope})).map(drop),
            expected,
            "{scope}"
        );
    }
    let expired = checked(&json!({"scope": "write", "exp": 0}));
    assert_eq!(expired, Err(Refused::Expired));
    let mut both = rules();
    both.require = [
        ("email_verified".to_owned(), vec!["true".to_owned()]),
        ("realm.roles".to_owned(), vec!["admin".to_owned()]),
    ]
    .into();
    let with = |other| check(&claims(&other), &both, seconds(NOW)).map(drop);
    let good = json!({"email_verified": true, "realm": {"roles": ["admin"]}});
    assert_eq!(with(good), Ok(()));
    let one = json!({"email_verified": true, "realm": {"roles": ["user admin"]}});
    assert_eq!(with(one), Err(Refused::Lacks("realm.roles".to_owned())));
    let words = json!({"email_verified": "yes true", "realm": {"roles": "admin"}});
    assert_eq!(
        with(words),
        Err(Refused::Lacks("email_verified".to_owned()))
    );
}

#[test]
fn a_claim_is_found_by_its_whole_name_first() {
    let claims = json!({
        "a": {"b": {"c": 1}, "b.c": 2}, "x.y": 3, "x": {"y": 4},
        "https://example.org/roles": ["r"], "https://example": {"org/groups": 5},
    });
    let claims = claims.as_object().unwrap();
    for (name, expected) in [
        ("a.b.c", Some(json!(2))),
        ("a.b", Some(json!({"c": 1}))),
        ("x.y", Some(json!(3))),
        ("https://example.org/roles", Some(json!(["r"]))),
        ("https://example.org/groups", Some(json!(5))),
        ("a.c", None),
        ("a.b.c.d", None),
        ("", None),
        (".", None),
        ("a.", None),
    ] {
        assert_eq!(find(claims, name), expected.as_ref(), "{name}");
    }
}

#[test]
fn what_headers_can_not_say_is_not_told() {
    for (claim, expected) in [
        (json!("a"), Ok(Some("a"))),
        (json!("a,b %"), Ok(Some("a,b %"))),
        (json!(""), Ok(Some(""))),
        (json!(1.5), Ok(Some("1.5"))),
        (json!(false), Ok(Some("false"))),
        (json!(null), Ok(None)),
        (json!([]), Ok(Some(""))),
        (json!(["a", 1, true]), Ok(Some("a,1,true"))),
        (json!(["a,admin"]), Ok(Some("a%2Cadmin"))),
        (json!(["a%2Cadmin"]), Ok(Some("a%252Cadmin"))),
        (
            json!([" admin", "of all ", " "]),
            Ok(Some("%20admin,of all%20,%20")),
        ),
        (json!(["é"]), Ok(Some("é"))),
        (json!(["a", ["b"]]), Err(Unfit)),
        (json!(["a", null]), Err(Unfit)),
        (json!({"a": "b"}), Err(Unfit)),
        (json!("a\r\nset-cookie: b"), Err(Unfit)),
        (json!(["a\nb"]), Err(Unfit)),
        (json!("a\0"), Err(Unfit)),
        (json!("a\u{7f}"), Err(Unfit)),
        (json!("a\tb"), Err(Unfit)),
        (json!("admin "), Err(Unfit)),
        (json!("x".repeat(VALUE_BYTES_MAX + 1)), Err(Unfit)),
        (json!(vec!["x"; VALUE_BYTES_MAX]), Err(Unfit)),
    ] {
        let found = tell(&claim);
        assert_eq!(
            found.as_ref().map(Option::as_deref),
            expected.as_ref().copied(),
            "{claim}"
        );
    }
}

fn head(json: &Value) -> Result<Head, Refused> {
    Head::read(json.to_string().as_bytes())
}

#[test]
fn a_head_says_each_thing_once_and_nothing_critical() {
    assert!(head(&json!({"alg": "RS256", "typ": "JWT", "jwk": {"kty": "oct"}})).is_ok());
    for crit in [json!(["b64"]), json!([]), json!(null), json!(false)] {
        let found = head(&json!({"alg": "RS256", "crit": crit}));
        assert_eq!(found, Err(Refused::Critical), "{crit}");
    }
    for json in [
        "",
        "null",
        "[]",
        "{}",
        r#"{"alg": 1}"#,
        r#"{"alg": null}"#,
        r#"{"alg": "none", "alg": "RS256"}"#,
        r#"{"alg": "RS256", "kid": 1}"#,
        r#"{"alg": "RS256", "kid": ["a"]}"#,
        r#"{"alg": "RS256"} "#.repeat(2).as_str(),
    ] {
        assert_eq!(
            Head::read(json.as_bytes()),
            Err(Refused::Malformed("its head")),
            "{json}"
        );
    }
}

#[test]
fn the_key_decides_on_the_algorithm() {
    use Algorithm::{EdDsa, Es256, Rs256};
    let keys = [
        (Some("r"), Rs256),
        (Some("e"), Es256),
        (None, EdDsa),
        (Some("r"), Es256),
    ];
    let ask = |alg: &str, kid: Option<&str>, allowed: &[Algorithm]| {
        let head = head(&json!({"alg": alg, "kid": kid})).unwrap();
        head.candidates(keys.into_iter(), allowed)
    };
    let all = &Algorithm::ALL;
    assert_eq!(ask("RS256", Some("r"), all), Ok(vec![0]));
    assert_eq!(ask("ES256", Some("r"), all), Ok(vec![3]));
    assert_eq!(ask("ES256", None, all), Ok(vec![1, 3]));
    assert_eq!(ask("Ed25519", None, all), Ok(vec![2]));
    for (alg, kid) in [
        ("none", None),
        ("none", Some("r")),
        ("None", None),
        ("NONE", Some("r")),
        ("", None),
        ("HS256", Some("r")),
        ("HS256", None),
        ("rs256", Some("r")),
        ("RS256 ", Some("r")),
        ("PS256", Some("r")),
        ("RS256", Some("e")),
        ("EdDSA", Some("r")),
    ] {
        let wrong = Err(Refused::Algorithm(alg.to_owned()));
        assert_eq!(ask(alg, kid, all), wrong, "{alg} {kid:?}");
    }
    assert_eq!(
        ask("RS256", Some("r"), &[Es256]),
        Err(Refused::Algorithm("RS256".to_owned()))
    );
    for kid in ["x", "", "R", "../r", "r\0"] {
        let unknown = Err(Refused::UnknownKey(Some(kid.to_owned())));
        assert_eq!(ask("RS256", Some(kid), all), unknown);
    }
    let none = head(&json!({"alg": "RS256"})).unwrap();
    assert_eq!(
        none.candidates(std::iter::empty(), all),
        Err(Refused::UnknownKey(None))
    );
    let many = none
        .candidates([(None, Rs256); 64].into_iter(), all)
        .unwrap();
    assert_eq!(many.len(), KEYS_TRIED_MAX);
}

#[test]
fn a_token_has_three_parts() {
    let token = parts(b"aa.bb.cc").unwrap();
    assert_eq!(
        (token.head, token.claims, token.signature, token.signed),
        ("aa", "bb", "cc", "aa.bb")
    );
    for token in [
        "",
        ".",
        "..",
        "aa.bb",
        "aa.bb.",
        "aa..cc",
        ".bb.cc",
        "a.b.c.d",
        "a.b.c.d.e",
        "aa.bb.c=",
        "aa.bb.c c",
        "aa.bb.cc ",
        "aa.bb.c+",
        "aa.bb.é",
        "aa.bb.cc\n",
    ] {
        assert!(
            matches!(parts(token.as_bytes()), Err(Refused::Malformed(_))),
            "{token:?}"
        );
    }
    assert_eq!(parts(&[b'a'; TOKEN_BYTES_MAX + 1]), Err(Refused::TooLong));
    assert!(parts(b"aa.bb.\xff").is_err());
}

#[test]
fn credentials_are_read_by_their_scheme() {
    use Presented::{Other, Password, Token};
    for (value, expected) in [
        ("Bearer a", Token(b"a")),
        ("bEARER   a", Token(b"a")),
        ("Basic a=", Password(b"a=")),
        ("Bearer a b", Token(b"a b")),
        ("Bearer", Other),
        ("Bearer ", Other),
        ("Bearer\ta", Other),
        ("Bearera", Other),
        (" Bearer a", Other),
        ("Digest a", Other),
        ("", Other),
    ] {
        assert_eq!(presented(value.as_bytes()), expected, "{value:?}");
    }
    for (decoded, expected) in [
        ("a:b", Some(("a", "b"))),
        ("a:", Some(("a", ""))),
        ("a:b:c", Some(("a", "b:c"))),
        (":b", None),
        ("ab", None),
        ("a:b\0", None),
        ("a\n:b", None),
        ("", None),
    ] {
        assert_eq!(pair(decoded), expected, "{decoded:?}");
    }
}

#[test]
fn a_cookie_is_there_once() {
    let find = |values: &[&'static str]| {
        let found = cookie(values.iter().map(|value| value.as_bytes()), "t");
        found.map(|found| found.map(|value| std::str::from_utf8(value).unwrap()))
    };
    assert_eq!(find(&["a=b; t=x", "c=d"]), Ok(Some("x")));
    assert_eq!(find(&["tt=x;t =y; T=z; t"]), Ok(None));
    for twice in [&["t=x; t=x"][..], &["t=x", "t=y"]] {
        assert!(find(twice).is_err());
    }
    let without = |value: &str| {
        without_cookie(value.as_bytes(), "t").map(|left| String::from_utf8(left).unwrap())
    };
    assert_eq!(without("a=b; tt=x"), None);
    assert_eq!(without("a=b;t=x; c=d").unwrap(), "a=b; c=d");
    assert_eq!(without("t=x; t=y").unwrap(), "");
}

#[test]
fn names_are_the_same_for_who_does_not_tell_them_apart() {
    assert!(may_be_same("x-user-id", "X_User-ID"));
    assert!(!may_be_same("x-user-id", "x-userid"));
    assert!(!may_be_same("x-user-id", "x-user-ids"));
}

proptest! {
    #[test]
    fn nothing_panics_and_nothing_told_breaks_a_header(text in "\\PC{0,40}|.{0,40}", bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let told = tell(&json!([text, text])).ok().flatten();
        if let Some(told) = told {
            prop_assert!(!told.chars().any(char::is_control));
            prop_assert_eq!(told.trim(), &told);
            prop_assert_eq!(told.matches(',').count(), 1);
        }
        drop((parts(&bytes), Head::read(&bytes), cookie([&bytes[..]].into_iter(), "a"), without_cookie(&bytes, "a")));
        prop_assert!(!matches!(presented(&bytes), Presented::Token([]) | Presented::Password([])));
    }
}
