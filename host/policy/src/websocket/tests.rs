use proptest::prelude::*;

use super::pulse::CONTROLS_PER_SECOND_MAX;
use super::*;

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

fn sound() -> Handshake<'static> {
    Handshake {
        method: "GET",
        is_http_11: true,
        has_body: false,
        connection: vec!["keep-alive, Upgrade"],
        upgrade: vec!["WebSocket"],
        key: vec![KEY],
        version: vec!["13"],
        protocol: vec!["chat, superchat", "v2.chat"],
        origin: vec!["http://here"],
    }
}

fn with(change: impl FnOnce(&mut Handshake<'static>)) -> Result<Option<Offer<'static>>, Refusal> {
    let mut handshake = sound();
    change(&mut handshake);
    handshake.read()
}

#[test]
fn a_sound_handshake_is_an_offer() {
    let offer = sound().read().unwrap().unwrap();
    let expected = Offer {
        key: KEY,
        protocols: vec!["chat", "superchat", "v2.chat"],
        origin: Some("http://here"),
    };
    assert_eq!(offer, expected);
    let plain = with(|one| (one.protocol, one.origin) = (vec![], vec![]));
    let plain = plain.unwrap().unwrap();
    assert_eq!((plain.protocols, plain.origin), (vec![], None));
}

#[test]
fn what_asks_for_no_websocket_is_a_request_as_any_other() {
    for handshake in [
        with(|one| one.upgrade = vec![]),
        with(|one| one.upgrade = vec!["h2c"]),
        with(|one| one.connection = vec!["keep-alive"]),
        with(|one| one.connection = vec![]),
        with(|one| one.is_http_11 = false),
        with(|one| (one.upgrade, one.key) = (vec!["websockets"], vec![])),
    ] {
        assert_eq!(handshake, Ok(None));
    }
    let among_others = with(|one| one.upgrade = vec!["h2c", "foo, websocket"]);
    assert!(among_others.unwrap().is_some());
}

#[test]
fn what_is_wrong_with_a_handshake_is_said() {
    for (handshake, expected) in [
        (with(|one| one.method = "POST"), Refusal::Method),
        (with(|one| one.has_body = true), Refusal::Body),
        (with(|one| one.version = vec![]), Refusal::Version),
        (with(|one| one.version = vec!["8"]), Refusal::Version),
        (with(|one| one.version = vec!["13, 8"]), Refusal::Version),
        (with(|one| one.version = vec!["13", "13"]), Refusal::Version),
        (with(|one| one.key = vec![]), Refusal::Key),
        (with(|one| one.key = vec![KEY, KEY]), Refusal::Key),
        (with(|one| one.key = vec![""]), Refusal::Key),
        (with(|one| one.key = vec!["dGhlIHNhbXBsZQ=="]), Refusal::Key),
        (
            with(|one| one.key = vec!["dGhlIHNhbXBsZSBub25jZB=="]),
            Refusal::Key,
        ),
        (
            with(|one| one.key = vec!["dGhlIHNhbXBsZSBub25jZ!=="]),
            Refusal::Key,
        ),
        (with(|one| one.protocol = vec!["a, b c"]), Refusal::Protocol),
        (with(|one| one.protocol = vec!["a", "a"]), Refusal::Protocol),
        (with(|one| one.protocol = names(33)), Refusal::Protocol),
        (
            with(|one| one.origin = vec!["http://a", "http://b"]),
            Refusal::Origin,
        ),
    ] {
        assert_eq!(handshake, Err(expected));
    }
    let most = with(|one| one.protocol = names(32)).unwrap().unwrap();
    assert_eq!(most.protocols.len(), 32);
}

/// So many different names of subprotocols.
#[test]
fn a_server_that_switches_must_mean_it() {
    let sound = || Switched {
        connection: vec!["keep-alive, Upgrade"],
        upgrade: vec!["WebSocket"],
        accept: vec!["proof"],
        extensions: vec![],
    };
    assert_eq!(sound().check("proof"), Ok(()));
    type Change = fn(&mut Switched<'static>);
    let wrong: [(Change, Unsound); 9] = [
        (|said| said.connection.clear(), Unsound::Protocol),
        (|said| said.connection = vec!["close"], Unsound::Protocol),
        (|said| said.upgrade.clear(), Unsound::Protocol),
        (|said| said.upgrade = vec!["h2c"], Unsound::Protocol),
        (|said| said.upgrade.push("h2c"), Unsound::Protocol),
        (|said| said.accept.clear(), Unsound::Accept),
        (|said| said.accept = vec!["Proof"], Unsound::Accept),
        (|said| said.accept.push("proof"), Unsound::Accept),
        (
            |said| said.extensions.push("permessage-deflate"),
            Unsound::Extension,
        ),
    ];
    for (change, unsound) in wrong {
        let mut said = sound();
        change(&mut said);
        assert_eq!(said.check("proof"), Err(unsound), "{said:?}");
    }
}

#[test]
fn an_end_is_told_by_codes_that_may_be_sent() {
    for (code, expected) in [
        (code::NORMAL, Some(code::NORMAL)),
        (code::NONE, None),
        (code::ABNORMAL, Some(code::GOING_AWAY)),
        (code::FAILED, Some(code::FAILED)),
        (4321, Some(4321)),
    ] {
        assert_eq!(passed_on(code), expected, "{code}");
    }
}

fn names(count: usize) -> Vec<&'static str> {
    const MANY: &str = "abcdefghijklmnopqrstuvwxyzabcdefgh";
    (0..count).map(|at| &MANY[..=at]).collect()
}

#[test]
fn pages_of_the_same_host_connect_and_others_only_if_they_may() {
    let these = |texts: &[&str]| {
        let origins = texts.iter().map(|text| Origin::try_from(*text).unwrap());
        Origins::These(origins.collect())
    };
    let listed = ["https://Shop.example", "http://localhost:5173"];
    for (origins, origin, expected) in [
        (Origins::Same, None, true),
        (Origins::Same, Some("http://here"), true),
        (Origins::Same, Some("http://HERE:80"), true),
        (Origins::Same, Some("https://here"), false),
        (Origins::Same, Some("https://here:80"), false),
        (Origins::Same, Some("http://here.example"), false),
        (Origins::Same, Some("http://there"), false),
        (Origins::Same, Some("null"), false),
        (Origins::Same, Some(""), false),
        (Origins::Same, Some("http://here/"), false),
        (Origins::Any, Some("null"), true),
        (these(&listed), None, true),
        (these(&listed), Some("https://shop.example:443"), true),
        (these(&listed), Some("http://localhost:5173"), true),
        (these(&listed), Some("http://localhost"), false),
        (these(&listed), Some("http://here"), false),
        (these(&listed), Some("http://shop.example"), false),
        (these(&[]), Some("http://here"), false),
    ] {
        let settings = Settings {
            origins: origins.clone(),
            ..Settings::DEFAULT
        };
        assert_eq!(
            settings.admits(origin, "http", "here"),
            expected,
            "{origins:?} {origin:?}"
        );
    }
    let ported = Settings::DEFAULT;
    assert!(ported.admits(Some("http://here:8080"), "http", "here:8080"));
    assert!(ported.admits(Some("http://here"), "http", "here:80"));
    assert!(ported.admits(Some("http://[::1]:8080"), "http", "[::1]:8080"));
    assert!(!ported.admits(Some("http://here"), "http", "here:8080"));
    assert!(ported.admits(Some("https://here:443"), "https", "here"));
    assert!(!ported.admits(Some("http://here"), "https", "here"));
    assert!(!ported.admits(Some("http://here:8443"), "https", "here:8443"));
}

#[test]
fn what_is_no_origin_is_refused() {
    for text in [
        "",
        "here",
        "http://",
        "http://a/b",
        "http://a?b",
        "http://a b",
        "://a",
        "http://me@a",
        "*",
    ] {
        assert!(Origin::try_from(text).is_err(), "{text}");
    }
    let said = Origin::try_from("here").unwrap_err().to_string();
    assert!(
        said.starts_with("\"here\" is no origin: write a scheme"),
        "{said}"
    );
}

type Change = fn(&mut Settings);

#[test]
fn the_defaults_are_within_bounds_and_what_is_not_is_refused_by_name() {
    assert_eq!(Settings::DEFAULT.check(), Ok(()));
    let refused = |change: Change| {
        let mut settings = Settings::DEFAULT;
        change(&mut settings);
        settings.check().unwrap_err().key
    };
    let cases: [(Change, &str); 8] = [
        (|one| one.connections = 0, "connections"),
        (|one| one.connections = CONNECTIONS_MAX + 1, "connections"),
        (|one| one.message = 124, "message"),
        (|one| one.message = MIB + 1, "message"),
        (|one| one.idle = Duration::from_millis(999), "idle"),
        (|one| one.ping = Duration::ZERO, "ping"),
        (|one| one.queue = 0, "queue"),
        (|one| one.queue = QUEUE_MAX + 1, "queue"),
    ];
    for (change, key) in cases {
        assert_eq!(refused(change), key);
    }
}

#[test]
fn a_lost_message_ends_the_connection_with_a_code_that_says_why() {
    for (status, expected) in [
        (200, None),
        (204, None),
        (299, None),
        (302, Some(code::REFUSED)),
        (403, Some(code::REFUSED)),
        (429, Some(code::TRY_AGAIN)),
        (503, Some(code::TRY_AGAIN)),
        (500, Some(code::FAILED)),
        (504, Some(code::FAILED)),
    ] {
        assert_eq!(ends_over(status), expected, "{status}");
    }
}

#[test]
fn texts_and_json_are_texts() {
    for text in [
        "text/plain",
        "Text/HTML; charset=utf-8",
        "application/json",
        "application/ld+json;a=b",
    ] {
        assert!(is_text(text), "{text}");
    }
    for other in [
        "",
        "application/octet-stream",
        "image/svg+xml",
        "textual",
        "image/json",
    ] {
        assert!(!is_text(other), "{other}");
    }
}

#[test]
fn a_service_closes_with_codes_that_may_be_sent() {
    assert_eq!(closing_code(None), Some(1000));
    for sent in ["1000", "1001", "1011", "3000", "4999"] {
        assert_eq!(closing_code(Some(sent)), sent.parse().ok());
    }
    for other in [
        "", "0", "999", "1002", "1004", "1005", "1006", "1010", "1014", "1015", "2999", "5000",
        "65536", "+1000x",
    ] {
        assert_eq!(closing_code(Some(other)), None, "{other}");
    }
}

#[test]
fn an_order_is_a_method() {
    let orders = ["POST", "DELETE", "GET", "PUT", "post"].map(Order::of);
    let expected = [
        Some(Order::Send),
        Some(Order::Close),
        Some(Order::Look),
        None,
        None,
    ];
    assert_eq!(orders, expected);
}

#[test]
fn only_an_id_as_it_is_written_is_one() {
    for text in [
        "",
        "0",
        &"g".repeat(32),
        &"A".repeat(32),
        &"0".repeat(33),
        "+000000000000000000000000000000f",
    ] {
        assert_eq!(ConnectionId::parse(text), None, "{text}");
    }
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn who_is_silent_is_asked_and_who_does_not_answer_is_gone() {
    let mut pulse = Pulse::new(&Settings::DEFAULT, at(0));
    assert_eq!(pulse.beat(at(0)), Beat::Wait(at(30)));
    assert_eq!(pulse.beat(at(30)), Beat::Ping);
    pulse.asked(at(31));
    assert_eq!(pulse.beat(at(31)), Beat::Wait(at(61)));
    pulse.heard(at(60));
    assert_eq!(pulse.beat(at(61)), Beat::Wait(at(90)));
    pulse.asked(at(90));
    assert_eq!(pulse.beat(at(120)), Beat::Gone);
}

#[test]
fn who_is_slow_is_there_while_something_moves() {
    let mut pulse = Pulse::new(&Settings::DEFAULT, at(0));
    pulse.moved(at(20));
    assert_eq!(pulse.beat(at(30)), Beat::Wait(at(50)));
    pulse.asked(at(50));
    // Before it was asked, that is.
    pulse.moved(at(49));
    assert_eq!(pulse.beat(at(80)), Beat::Gone);
    pulse.moved(at(70));
    assert_eq!(pulse.beat(at(80)), Beat::Wait(at(100)));
    assert_eq!(pulse.beat(at(600)), Beat::Idle);
}

#[test]
fn pongs_are_no_messages() {
    let mut pulse = Pulse::new(&Settings::DEFAULT, at(0));
    for second in 1..600 {
        pulse.heard(at(second));
    }
    assert_eq!(pulse.beat(at(600)), Beat::Idle);
    pulse.message(at(600));
    assert_eq!(pulse.beat(at(600)), Beat::Wait(at(629)));
}

#[test]
fn a_flood_of_control_frames_is_noticed_within_a_second() {
    let mut pulse = Pulse::new(&Settings::DEFAULT, at(0));
    for second in 0..3 {
        for _ in 0..CONTROLS_PER_SECOND_MAX {
            assert!(pulse.control(at(second)));
        }
    }
    assert!(!pulse.control(at(2)));
    assert!(pulse.control(at(3)));
}

proptest! {
    #[test]
    fn an_id_is_what_it_was_written_as(bits: u128) {
        let id = ConnectionId::new(bits);
        prop_assert_eq!(ConnectionId::parse(&id.to_string()), Some(id));
        prop_assert!(id.part(16) < 16);
    }

    #[test]
    fn after_a_wait_there_is_something_to_do(heard in 0u64..1000, message in 0u64..1000, asked in proptest::option::of(0u64..1000)) {
        let mut pulse = Pulse::new(&Settings::DEFAULT, at(0));
        pulse.heard(at(heard));
        pulse.message(at(message));
        if let Some(asked) = asked {
            pulse.asked(at(asked));
        }
        let now = at(heard.max(message).max(asked.unwrap_or(0)));
        if let Beat::Wait(until) = pulse.beat(now) {
            prop_assert!(until > now);
            prop_assert!(!matches!(pulse.beat(until), Beat::Wait(_)));
        }
    }
}
