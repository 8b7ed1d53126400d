//! Every way in which two answers can be alike or not.

use super::*;

fn headers(of: &[(&str, &str)]) -> Vec<(String, Vec<u8>)> {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), value.as_bytes().to_vec());
    of.iter().map(owned).collect()
}

fn compared(
    running: (u16, &[(&str, &str)], Body<'_>),
    candidate: (u16, &[(&str, &str)], Body<'_>),
) -> Option<Difference> {
    let (ignored, redacted) = (names(&["x-when"]), names(&["x-secret"]));
    let (before, after) = (headers(running.1), headers(candidate.1));
    let answer = |status, headers, body| Answer {
        status,
        headers,
        body,
    };
    compare(
        answer(running.0, &before, running.2),
        answer(candidate.0, &after, candidate.2),
        &[Names::ignored(&ignored), Names::redacted(&redacted)],
    )
}

fn names(of: &[&str]) -> BTreeSet<String> {
    of.iter().map(|name| (*name).to_owned()).collect()
}

fn bodies_of(running: &[u8], candidate: &[u8]) -> BodyDifference {
    let found = bodies(Body::Whole(running), Body::Whole(candidate));
    found.unwrap()
}

#[test]
fn answers_that_are_alike_have_no_difference() {
    let alike = (200, &[("a", "1"), ("b", "2")][..], Body::Whole(b"x"));
    let in_another_order = (200, &[("b", "2"), ("a", "1")][..], Body::Whole(b"x"));
    assert_eq!(compared(alike, alike), None);
    assert_eq!(compared(alike, in_another_order), None);
}

#[test]
fn headers_that_may_differ_do_not_count() {
    for name in ["x-when", "x-secret", "date", "set-cookie", "connection"] {
        let before = (200, &[(name, "1")][..], Body::Whole(b""));
        for after in [&[][..], &[(name, "2")], &[(name, "1"), (name, "1")]] {
            assert_eq!(compared(before, (200, after, Body::Whole(b""))), None);
        }
    }
}

#[test]
fn a_difference_says_of_each_part_what_it_was_and_what_it_is() {
    let found = compared(
        (200, &[("a", "1"), ("gone", "x")], Body::Whole(b"before")),
        (
            404,
            &[("a", "2"), ("a", "3"), ("new", "y")],
            Body::Whole(b"behind"),
        ),
    );
    let header = |name: &str, running: Option<&str>, candidate: Option<&str>| HeaderDifference {
        name: name.to_owned(),
        running: running.map(str::to_owned),
        candidate: candidate.map(str::to_owned),
    };
    let found = found.unwrap();
    assert_eq!(found.status, Some((200, 404)));
    assert_eq!(
        found.headers,
        [
            header("a", Some("1"), Some("2, 3")),
            header("gone", Some("x"), None),
            header("new", None, Some("y")),
        ]
    );
    let body = found.body.unwrap();
    assert_eq!((&*body.running, &*body.candidate), ("before", "behind"));
    assert_eq!(body.first_difference_at, Some(2));
}

#[test]
fn each_part_alone_is_a_difference() {
    let same = (200, &[("a", "1")][..], Body::Whole(b"x"));
    for other in [
        (201, same.1, same.2),
        (200, &[("a", "2")][..], same.2),
        (200, same.1, Body::Whole(b"y")),
    ] {
        assert!(compared(same, other).is_some(), "{other:?}");
    }
}

#[test]
fn one_header_twice_is_not_the_same_as_both_in_one() {
    let twice = (200, &[("a", "1"), ("a", "2")][..], Body::Whole(b""));
    let in_one = (200, &[("a", "1, 2")][..], Body::Whole(b""));
    assert!(compared(twice, in_one).is_some());
}

#[test]
fn bodies_are_cut_around_the_first_difference() {
    let (mut before, mut after) = ("a".repeat(1000), "a".repeat(1000));
    before += "one";
    before += &"b".repeat(1000);
    after += "two";
    let found = bodies_of(before.as_bytes(), after.as_bytes());
    assert_eq!(found.first_difference_at, Some(1000));
    let lead = "a".repeat(BEFORE_BYTES);
    assert_eq!(found.running.len(), EXCERPT_BYTES_MAX);
    assert!(found.running.starts_with(&format!("{lead}oneb")));
    assert_eq!(found.candidate, lead + "two");
}

#[test]
fn one_body_that_goes_on_differs_where_the_other_ends() {
    let found = bodies_of(b"abc", b"abcdef");
    assert_eq!(found.first_difference_at, Some(3));
    assert_eq!((&*found.running, &*found.candidate), ("abc", "abcdef"));
    let found = bodies_of(b"", b"a");
    assert_eq!(found.first_difference_at, Some(0));
}

#[test]
fn text_is_shown_as_text_wherever_it_is_cut_and_all_else_in_hexadecimal() {
    for lead in 0..8 {
        let text = "x".repeat(lead) + &"é€𝄞".repeat(200);
        for at in 0..text.len() {
            let shown = excerpt(text.as_bytes(), at);
            assert!(text.contains(&shown), "{at}: {shown}");
            assert!(shown.len() <= EXCERPT_BYTES_MAX && shown.len() + 6 > BEFORE_BYTES);
        }
    }
    assert_eq!(excerpt(&[0xff, 0x00, 0xab], 0), "ff00ab");
    // An end that is no end of a text, though nothing was cut.
    assert_eq!(excerpt(&[b'a', 0xc3], 0), "61c3");
    assert_eq!(excerpt(&[0xff; 1000], 500).len(), 2 * EXCERPT_BYTES_MAX);
}

#[test]
fn long_bodies_are_the_same_if_their_digests_are() {
    let long = |bytes, digest| Body::Long {
        bytes,
        sha256: [digest; 32],
    };
    assert_eq!(bodies(long(70_000, 1), long(70_000, 1)), None);
    for other in [long(70_000, 2), long(70_001, 1), Body::Whole(b"short")] {
        let found = bodies(long(70_000, 1), other).unwrap();
        assert_eq!(found.first_difference_at, None);
        assert!(found.running.starts_with("70000 bytes, sha256:0101"));
    }
}
