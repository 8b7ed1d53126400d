//! Durations as operators write them: `"500ms"`, `"5s"`, `"1m30s"`. A number without a unit is refused.

use std::time::Duration;

use crate::nearest::nearest;
use crate::quote::quoted;

/// As many digits as the largest 64-bit number has.
const DIGITS_MAX: usize = 20;

/// Units from the longest to the shortest, in nanoseconds.
const UNITS: [(&str, u64); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// Why a text is no duration; its display says how to write one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Not a sequence of whole numbers with units.
    #[error(
        "{} is not a duration: write whole numbers with units, such as \"500ms\", \"5s\" or \"1m30s\"",
        quoted(.0)
    )]
    Malformed(String),
    /// A number without a unit.
    #[error("{} has no unit: write \"{}s\" or \"{}ms\"", quoted(.0), .0, .0)]
    NoUnit(String),
    /// A unit that is none.
    #[error(
        "unknown unit {}: {}use one of d, h, m, s, ms, us, ns",
        quoted(unit),
        suggestion.map(|unit| format!("did you mean {unit}? ")).unwrap_or_default()
    )]
    UnknownUnit {
        /// What was written.
        unit: String,
        /// The nearest unit.
        suggestion: Option<&'static str>,
    },
    /// Longer than about 584 years.
    #[error("{} is longer than can be counted: write a shorter duration", quoted(.0))]
    TooLong(String),
}

/// Reads a duration: one or more whole numbers, each with its unit (`d`, `h`, `m`, `s`, `ms`, `us`, `ns`),
/// spaces between or not.
///
/// # Errors
/// Says what is wrong with the text and how to write it; a bare number is an error.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(DurationError::Malformed(text.to_owned()));
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let (number, after) = split(rest, |c| c.is_ascii_digit());
        let (unit, after) = split(after.trim_start(), char::is_alphabetic);
        if number.is_empty() || (unit.is_empty() && !after.is_empty()) {
            return Err(DurationError::Malformed(text.to_owned()));
        }
        if number.len() > DIGITS_MAX {
            return Err(DurationError::TooLong(text.to_owned()));
        }
        total = number
            .parse::<u64>()
            .ok()
            .zip(Some(nanoseconds(number, unit)?))
            .and_then(|(number, factor)| number.checked_mul(factor)?.checked_add(total))
            .ok_or_else(|| DurationError::TooLong(text.to_owned()))?;
        rest = after.trim_start();
    }
    Ok(Duration::from_nanos(total))
}

/// Shows a duration as [`parse`] reads it: `1m30s`; durations past what it reads show in seconds.
#[must_use]
pub fn show(duration: Duration) -> String {
    let Ok(mut left) = u64::try_from(duration.as_nanos()) else {
        return format!("{}s", duration.as_secs());
    };
    let mut shown = String::new();
    for (unit, factor) in UNITS {
        if left >= factor {
            shown.push_str(&format!("{}{unit}", left / factor));
            left %= factor;
        }
    }
    if shown.is_empty() {
        "0s".to_owned()
    } else {
        shown
    }
}

fn nanoseconds(number: &str, unit: &str) -> Result<u64, DurationError> {
    if unit.is_empty() {
        return Err(DurationError::NoUnit(number.to_owned()));
    }
    match UNITS.iter().find(|(name, _)| *name == unit) {
        Some((_, factor)) => Ok(*factor),
        None => Err(DurationError::UnknownUnit {
            unit: unit.to_owned(),
            suggestion: suggest(unit),
        }),
    }
}

fn suggest(unit: &str) -> Option<&'static str> {
    let words = [
        ("day", "d"),
        ("days", "d"),
        ("hour", "h"),
        ("hours", "h"),
        ("min", "m"),
        ("mins", "m"),
        ("minute", "m"),
        ("minutes", "m"),
        ("sec", "s"),
        ("secs", "s"),
        ("second", "s"),
        ("seconds", "s"),
        ("msec", "ms"),
        ("millis", "ms"),
        ("milliseconds", "ms"),
        ("µs", "us"),
        ("μs", "us"),
    ];
    let word = nearest(unit, words.iter().map(|(word, _)| *word))?;
    words
        .iter()
        .find(|(known, _)| *known == word)
        .map(|(_, unit)| *unit)
}

fn split(text: &str, is: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !is(c)).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_unit_counts_its_time() {
        for (text, milliseconds) in [
            ("0s", 0),
            ("500ms", 500),
            ("5s", 5_000),
            ("1m30s", 90_000),
            ("1m 30s", 90_000),
            (" 2 h ", 7_200_000),
            ("1d", 86_400_000),
            ("1500000us", 1_500),
        ] {
            assert_eq!(
                parse(text),
                Ok(Duration::from_millis(milliseconds)),
                "{text}"
            );
        }
    }

    #[test]
    fn errors_say_how_to_write_it() {
        let malformed = |text: &str| {
            format!(
                "{text:?} is not a duration: write whole numbers with units, such as \"500ms\", \"5s\" or \"1m30s\""
            )
        };
        for (text, message) in [
            ("5", "\"5\" has no unit: write \"5s\" or \"5ms\"".to_owned()),
            ("1m30", "\"30\" has no unit: write \"30s\" or \"30ms\"".to_owned()),
            (
                "5 seconds",
                "unknown unit \"seconds\": did you mean s? use one of d, h, m, s, ms, us, ns".to_owned(),
            ),
            (
                "5parsec",
                "unknown unit \"parsec\": use one of d, h, m, s, ms, us, ns".to_owned(),
            ),
            ("", malformed("")),
            ("s", malformed("s")),
            ("0.5s", malformed("0.5s")),
            ("-1s", malformed("-1s")),
            (
                "18446744073709551615s1000ms",
                "\"18446744073709551615s1000ms\" is longer than can be counted: write a shorter duration".to_owned(),
            ),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), message, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(nanoseconds: u64) {
            let duration = Duration::from_nanos(nanoseconds);
            prop_assert_eq!(parse(&show(duration)), Ok(duration));
        }

        #[test]
        fn any_text_is_a_duration_or_an_error(text in "[0-9a-zµ. -]{0,40}|.{0,40}") {
            if let Err(error) = parse(&text) {
                prop_assert!(!error.to_string().is_empty());
            }
        }
    }
}
