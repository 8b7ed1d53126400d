//! A client gets what it takes and likes best, and nothing that it refuses.

use proptest::prelude::*;

use super::Coding::{Br, Gzip, Zstd};
use super::*;

#[test]
fn clients_get_what_they_like_best() {
    let all = &Coding::ALL[..];
    for (accepted, offered, coding, refuses_identity) in [
        (&[][..], all, None, false),
        (&[""], all, None, false),
        (&["gzip"], all, Some(Gzip), false),
        (&["GZip"], all, Some(Gzip), false),
        (&["x-gzip"], all, Some(Gzip), false),
        (&["gzip, deflate, br, zstd"], all, Some(Zstd), false),
        (&["gzip, deflate, br"], all, Some(Br), false),
        (&["gzip", "br"], all, Some(Br), false),
        (&["gzip, br"], &[Gzip, Br], Some(Gzip), false),
        (&["gzip, br;q=0.9"], all, Some(Gzip), false),
        (&["gzip;q=0.5, br;q=0.501"], all, Some(Br), false),
        (&["br;q=0.001"], all, Some(Br), false),
        (&["br;q=0, gzip;q=0.000"], all, None, false),
        (&["*"], all, Some(Zstd), false),
        (&["*;q=0.3, br"], all, Some(Br), false),
        (&["*, zstd;q=0"], all, Some(Br), false),
        (&["*;q=0"], all, None, true),
        (&["*;q=0, gzip"], all, Some(Gzip), true),
        (&["*;q=0, identity"], all, None, false),
        (&["identity;q=0"], all, None, true),
        (&["identity;q=0, br"], all, Some(Br), true),
        (&["identity"], all, None, false),
        (&["identity, gzip"], all, Some(Gzip), false),
        (&["identity, gzip;q=0.5"], all, None, false),
        (&["gzip;q=0.5, identity;q=0.4"], all, Some(Gzip), false),
        (&["gzip ; q=0.5 , br ; Q=0.7"], all, Some(Br), false),
        (&["gzip;q=0, gzip"], all, None, false),
        (&["deflate, compress"], all, None, false),
        (&["gzip"], &[Br], None, false),
        (&["gzip"], &[], None, false),
    ] {
        let expected = Wish {
            coding,
            refuses_identity,
        };
        assert_eq!(
            wish(accepted.iter().copied(), offered),
            expected,
            "{accepted:?}"
        );
    }
}

#[test]
fn a_member_with_no_sound_weight_is_none() {
    for weight in [
        "1.1", "2", "-1", "0.1234", "1.001", ".5", "", "1e0", "nan", "+1",
    ] {
        let member = format!("gzip;q={weight}");
        assert_eq!(wish([&*member], &[Gzip]).coding, None, "{weight}");
    }
    assert_eq!(wish(["gzip;level"], &[Gzip]).coding, None);
    assert_eq!(wish(["gzip;level=9"], &[Gzip]).coding, Some(Gzip));
    for weight in ["1", "1.", "1.0", "1.000", "0.1", "0.12", "0.123"] {
        let member = format!("gzip;q={weight}");
        assert_eq!(wish([&*member], &[Gzip]).coding, Some(Gzip), "{weight}");
    }
}

const TEXT: Head<'_> = Head {
    status: 200,
    content_type: Some("text/html; charset=utf-8"),
    cache_control: &[],
    is_coded_or_part: false,
    length: None,
};

fn judge(head: &Head<'_>) -> Verdict {
    Compression::default().judge(head, ["gzip"])
}

#[test]
fn answers_whose_type_is_worth_it_are_coded() {
    let with = |content_type| Head {
        content_type,
        ..TEXT
    };
    for coded in [
        "text/html",
        "text/event-stream",
        "Application/JSON",
        "application/json ; charset=utf-8",
        "application/problem+json",
        "application/javascript",
        "application/wasm",
        "image/svg+xml",
    ] {
        assert_eq!(judge(&with(Some(coded))), Verdict::Coded(Gzip), "{coded}");
    }
    for untouched in [
        "image/png",
        "video/mp4",
        "application/zip",
        "application/octet-stream",
        "application/grpc",
        "application/jsonx",
        "text",
        "",
    ] {
        assert_eq!(
            judge(&with(Some(untouched))),
            Verdict::Untouched,
            "{untouched}"
        );
    }
    assert_eq!(judge(&with(None)), Verdict::Untouched);
}

#[test]
fn answers_that_may_not_be_changed_or_have_no_whole_body_are_left_alone() {
    let with_length = |length| Head {
        length: Some(length),
        ..TEXT
    };
    assert_eq!(judge(&with_length(1024)), Verdict::Coded(Gzip));
    assert_eq!(judge(&with_length(1023)), Verdict::Plain);
    assert_eq!(judge(&with_length(0)), Verdict::Untouched);
    let is_coded_or_part = true;
    let coded = Head {
        is_coded_or_part,
        ..TEXT
    };
    assert_eq!(judge(&coded), Verdict::Untouched);
    for (cache_control, verdict) in [
        (&["public, No-Transform"][..], Verdict::Untouched),
        (&["public", "no-transform"], Verdict::Untouched),
        (&["x=\"no-transform-at-all\""], Verdict::Coded(Gzip)),
    ] {
        let head = Head {
            cache_control,
            ..TEXT
        };
        assert_eq!(judge(&head), verdict, "{cache_control:?}");
    }
    for status in [200, 201, 404, 500, 599] {
        assert_eq!(
            judge(&Head { status, ..TEXT }),
            Verdict::Coded(Gzip),
            "{status}"
        );
    }
    for status in [101, 199, 204, 205, 206] {
        assert_eq!(
            judge(&Head { status, ..TEXT }),
            Verdict::Untouched,
            "{status}"
        );
    }
}

#[test]
fn what_was_not_modified_varies_as_it_did() {
    let unchanged = Head {
        status: 304,
        ..Head::default()
    };
    assert_eq!(judge(&unchanged), Verdict::Coded(Gzip));
    let length = Some(0);
    assert_eq!(
        judge(&Head {
            length,
            ..unchanged
        }),
        Verdict::Coded(Gzip)
    );
    let content_type = Some("image/png");
    assert_eq!(
        judge(&Head {
            content_type,
            ..unchanged
        }),
        Verdict::Untouched
    );
}

#[test]
fn who_refuses_plain_answers_gets_short_ones_coded_too() {
    let short = Head {
        length: Some(1),
        ..TEXT
    };
    let compression = Compression::default();
    assert_eq!(
        compression.judge(&short, ["br, identity;q=0"]),
        Verdict::Coded(Br)
    );
    // There is nothing that it takes: the answer is sent all the same.
    assert_eq!(compression.judge(&short, ["identity;q=0"]), Verdict::Plain);
    assert_eq!(compression.judge(&TEXT, []), Verdict::Plain);
}

#[test]
fn media_types_are_read_and_shown() {
    for text in ["text/html", "text/*", "*+json", "application/vnd.api+json"] {
        let pattern = TypePattern::try_from(text).unwrap();
        assert_eq!(String::from(pattern), text);
    }
    for text in [
        "",
        "*",
        "*/*",
        "text",
        "text/",
        "/html",
        "te xt/html",
        "text/html; charset=utf-8",
        "*+",
        "*json",
    ] {
        let error = TypePattern::try_from(text).unwrap_err();
        assert!(error.to_string().contains("is not a media type"), "{text}");
    }
}

proptest! {
    #[test]
    fn nothing_that_is_refused_or_not_named_is_chosen(
        members in proptest::collection::vec(("gzip|br|zstd|identity|\\*|deflate", 0_u16..=1000), 0..8),
        offered in proptest::sample::subsequence(Coding::ALL.to_vec(), 0..=3).prop_shuffle(),
    ) {
        let text: Vec<_> = members
            .iter()
            .map(|(name, weight)| match weight {
                1000 => name.clone(),
                weight => format!("{name};q=0.{weight:03}"),
            })
            .collect();
        let first = |name: &str| members.iter().find(|(own, _)| own == name).map(|(_, weight)| *weight);
        let weight = |coding: Coding| first(coding.as_str()).or(first("*")).unwrap_or(0);
        let wish = wish([text.join(",").as_str()], &offered);
        if let Some(coding) = wish.coding {
            prop_assert!(offered.contains(&coding));
            prop_assert!(weight(coding) > 0);
            for other in &offered {
                prop_assert!(weight(*other) <= weight(coding));
            }
        } else {
            let plain = first("identity").or(first("*"));
            for other in &offered {
                prop_assert!(weight(*other) == 0 || plain.is_some_and(|plain| plain > weight(*other)));
            }
        }
    }

    #[test]
    fn no_header_from_outside_breaks_it(values in proptest::collection::vec(".{0,60}", 0..5)) {
        let values: Vec<_> = values.iter().map(String::as_str).collect();
        let wish = wish(values, &Coding::ALL);
        prop_assert!(wish.coding.is_none_or(|coding| Coding::ALL.contains(&coding)));
    }
}

#[test]
fn thousands_of_members_are_read_once() {
    let many = "deflate;q=0.5,".repeat(100_000) + "gzip";
    assert_eq!(wish([&*many], &Coding::ALL).coding, Some(Gzip));
}
