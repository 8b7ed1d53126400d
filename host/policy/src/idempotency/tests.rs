//! A key's request is carried out once; who sends another with it, or is too early, is told so.

use proptest::prelude::*;

use super::*;

const LIFE: u64 = 7;
const MINE: [u8; 32] = [1; 32];
const OTHER: [u8; 32] = [2; 32];

fn asked(keys: &[&str]) -> Asked<'static> {
    let policy = Idempotency::default();
    match policy.asked("POST", keys.iter().map(|key| key.as_bytes())) {
        Asked::Once(key) => Asked::Once(key.into_owned().into()),
        Asked::Nothing => Asked::Nothing,
        Asked::Missing => Asked::Missing,
        Asked::Malformed => Asked::Malformed,
    }
}

#[test]
fn a_key_is_a_string_or_a_plain_word() {
    for (value, key) in [
        (
            "\"8e03978e-40d5-43dd-bc93-6894a57f9324\"",
            "8e03978e-40d5-43dd-bc93-6894a57f9324",
        ),
        (
            "8e03978e-40d5-43dd-bc93-6894a57f9324",
            "8e03978e-40d5-43dd-bc93-6894a57f9324",
        ),
        ("\"two words\"", "two words"),
        ("\"a\\\"b\\\\c\"", "a\"b\\c"),
        (" \"a\" ", "a"),
        ("a:b/c=", "a:b/c="),
    ] {
        assert_eq!(asked(&[value]), Asked::Once(key.into()), "{value}");
    }
    for value in [
        "",
        "\"\"",
        "\"",
        "\"a",
        "a\"",
        "\"a\"b\"",
        "\"a\" \"b\"",
        "\"a\\n\"",
        "\"a\\\"",
        "two words",
        "a,b",
        "a;b",
        "\"a\";b",
        "\"a\tb\"",
        "\"\u{fc}\"",
        "\u{fc}",
        "(a)",
        "{a}",
    ] {
        assert_eq!(asked(&[value]), Asked::Malformed, "{value:?}");
    }
    let longest = "k".repeat(KEY_BYTES_MAX);
    assert_eq!(asked(&[&longest]), Asked::Once(longest.clone().into()));
    assert_eq!(
        asked(&[&format!("\"{longest}\"")]),
        Asked::Once(longest.clone().into())
    );
    assert_eq!(asked(&[&format!("{longest}k")]), Asked::Malformed);
    assert_eq!(asked(&["a", "a"]), Asked::Malformed);
}

#[test]
fn other_methods_have_no_keys_and_those_named_may_need_one() {
    let mut policy = Idempotency::default();
    let none = || std::iter::empty::<&[u8]>();
    let bad = || std::iter::once(&b"\""[..]);
    assert_eq!(policy.asked("GET", bad()), Asked::Nothing);
    assert_eq!(policy.asked("PATCH", bad()), Asked::Malformed);
    assert_eq!(policy.asked("POST", none()), Asked::Nothing);
    policy.required = true;
    assert_eq!(policy.asked("POST", none()), Asked::Missing);
    assert_eq!(policy.asked("GET", none()), Asked::Nothing);
}

#[test]
fn what_becomes_of_a_request_depends_on_the_first_with_its_key() {
    let begun = |life| State::Begun { life };
    for (state, fingerprint, now, verdict) in [
        (begun(LIFE), MINE, 50, Verdict::InFlight),
        (begun(LIFE), MINE, 200, Verdict::InFlight),
        (begun(LIFE), OTHER, 50, Verdict::Reused),
        (begun(LIFE), OTHER, 200, Verdict::Reused),
        (begun(LIFE - 1), MINE, 50, Verdict::InDoubt),
        (begun(LIFE - 1), MINE, 100, Verdict::Run),
        (begun(LIFE - 1), OTHER, 50, Verdict::Reused),
        (State::Answered, MINE, 99, Verdict::Replay),
        (State::Answered, MINE, 100, Verdict::Run),
        (State::Answered, OTHER, 99, Verdict::Reused),
        (State::Answered, OTHER, 100, Verdict::Run),
        (State::Lost, MINE, 99, Verdict::InDoubt),
        (State::Lost, OTHER, 99, Verdict::Reused),
        (State::Lost, MINE, 100, Verdict::Run),
    ] {
        let known = Known {
            fingerprint: MINE,
            expires: 100,
            state,
        };
        assert_eq!(
            judge(Some(&known), &fingerprint, LIFE, now),
            verdict,
            "{state:?} {now}"
        );
    }
    assert_eq!(judge(None, &MINE, LIFE, 0), Verdict::Run);
}

#[test]
fn an_answer_that_asks_for_another_try_is_not_kept() {
    for status in [200, 201, 204, 302, 400, 404, 409, 422] {
        assert!(is_kept(status), "{status}");
    }
    for status in [408, 425, 429, 500, 502, 503, 599] {
        assert!(!is_kept(status), "{status}");
    }
}

proptest! {
    #[test]
    fn a_quoted_key_reads_back(key in "[ -~]{1,100}") {
        let quoted = format!("\"{}\"", key.replace('\\', "\\\\").replace('"', "\\\""));
        prop_assert_eq!(asked(&[&quoted]), Asked::Once(key.into()));
    }

    #[test]
    fn any_bytes_are_a_key_or_none(value in proptest::collection::vec(any::<u8>(), 0..300)) {
        match Idempotency::default().asked("POST", std::iter::once(&value[..])) {
            Asked::Once(key) => prop_assert!((1..=KEY_BYTES_MAX).contains(&key.len())),
            asked => prop_assert_eq!(asked, Asked::Malformed),
        }
    }

    #[test]
    fn no_request_runs_while_one_is_under_way_or_its_answer_kept(
        state in prop_oneof![Just(State::Begun { life: LIFE }), Just(State::Answered), Just(State::Lost)],
        mine: bool,
        now in 0_u64..100,
    ) {
        let known = Known { fingerprint: MINE, expires: 100, state };
        let fingerprint = if mine { MINE } else { OTHER };
        prop_assert_ne!(judge(Some(&known), &fingerprint, LIFE, now), Verdict::Run);
    }
}
