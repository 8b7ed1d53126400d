//! Byte sizes as operators write them: `"64MiB"`, `"10KB"`. A number without a unit is refused.

use crate::nearest::nearest;
use crate::quote::quoted;

/// One kibibyte, in bytes.
pub const KIB: u64 = 1 << 10;
/// One mebibyte, in bytes.
pub const MIB: u64 = 1 << 20;
/// One gibibyte, in bytes.
pub const GIB: u64 = 1 << 30;
/// One tebibyte, in bytes.
pub const TIB: u64 = 1 << 40;

/// As many digits as the largest 64-bit number has.
const DIGITS_MAX: usize = 20;

const UNITS: [(&str, u64); 9] = [
    ("B", 1),
    ("KiB", KIB),
    ("MiB", MIB),
    ("GiB", GIB),
    ("TiB", TIB),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
];

/// Why a text is no size; its display says how to write one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    /// No number at the start, or more than a number and a unit.
    #[error(
        "{} is not a size: write a whole number and a unit, such as \"64MiB\"",
        quoted(.0)
    )]
    Malformed(String),
    /// A number without a unit.
    #[error("{} has no unit: write \"{}MiB\", \"{}KiB\" or \"{}B\"", quoted(.0), .0, .0, .0)]
    NoUnit(String),
    /// A unit that is none.
    #[error(
        "unknown unit {}: {}use one of B, KiB, MiB, GiB, TiB (powers of 1024) or KB, MB, GB, TB (powers of 1000)",
        quoted(unit),
        suggestion.map(|unit| format!("did you mean {unit}? ")).unwrap_or_default()
    )]
    UnknownUnit {
        /// What was written.
        unit: String,
        /// The nearest unit.
        suggestion: Option<&'static str>,
    },
    /// More bytes than 64 bits count.
    #[error("{} is more bytes than there can be: write a smaller size", quoted(.0))]
    TooLarge(String),
}

/// Reads a size in bytes: a whole number and a unit (`B`, `KiB` … `TiB`, `KB` … `TB`), a space between or not.
///
/// # Errors
/// Says what is wrong with the text and how to write it; a bare number is an error.
pub fn parse(text: &str) -> Result<u64, SizeError> {
    let trimmed = text.trim();
    let digits = trimmed.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = trimmed.split_at(digits);
    let unit = unit.trim_start();
    if number.is_empty() || !unit.chars().all(char::is_alphabetic) {
        return Err(SizeError::Malformed(text.to_owned()));
    }
    if digits > DIGITS_MAX {
        return Err(SizeError::TooLarge(text.to_owned()));
    }
    if unit.is_empty() {
        return Err(SizeError::NoUnit(number.to_owned()));
    }
    let Some((_, factor)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        return Err(SizeError::UnknownUnit {
            unit: unit.to_owned(),
            suggestion: suggest(unit),
        });
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(*factor))
        .ok_or_else(|| SizeError::TooLarge(text.to_owned()))
}

/// Shows a size in the largest binary unit that divides it, as [`parse`] reads it: `64MiB`, `1500B`.
#[must_use]
pub fn show(bytes: u64) -> String {
    let unit = [("TiB", TIB), ("GiB", GIB), ("MiB", MIB), ("KiB", KIB)]
        .into_iter()
        .find(|(_, factor)| bytes >= *factor && bytes.is_multiple_of(*factor));
    match unit {
        Some((name, factor)) => format!("{}{name}", bytes / factor),
        None => format!("{bytes}B"),
    }
}

/// `M`, `mb` and `mib` are `MiB` far more often than anything else.
fn suggest(unit: &str) -> Option<&'static str> {
    let first = unit.chars().next()?.to_ascii_uppercase();
    UNITS
        .iter()
        .map(|(name, _)| *name)
        .find(|name| unit.len() <= 3 && name.len() == 3 && name.starts_with(first))
        .or_else(|| nearest(unit, UNITS.iter().map(|(name, _)| *name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_unit_counts_its_bytes() {
        for (text, bytes) in [
            ("0B", 0),
            ("1B", 1),
            ("64MiB", 64 << 20),
            ("10KB", 10_000),
            ("10 MB", 10_000_000),
            (" 4GiB ", 4 << 30),
            ("2TiB", 2 << 40),
            ("3TB", 3_000_000_000_000),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn errors_say_how_to_write_it() {
        for (text, message) in [
            (
                "64",
                "\"64\" has no unit: write \"64MiB\", \"64KiB\" or \"64B\"",
            ),
            (
                "64mb",
                "unknown unit \"mb\": did you mean MiB? use one of B, KiB, MiB, GiB, TiB (powers of 1024) \
                 or KB, MB, GB, TB (powers of 1000)",
            ),
            (
                "64parsec",
                "unknown unit \"parsec\": use one of B, KiB, MiB, GiB, TiB (powers of 1024) \
                 or KB, MB, GB, TB (powers of 1000)",
            ),
            (
                "1.5GiB",
                "\"1.5GiB\" is not a size: write a whole number and a unit, such as \"64MiB\"",
            ),
            (
                "",
                "\"\" is not a size: write a whole number and a unit, such as \"64MiB\"",
            ),
            (
                "-1B",
                "\"-1B\" is not a size: write a whole number and a unit, such as \"64MiB\"",
            ),
            (
                "99999999TiB",
                "\"99999999TiB\" is more bytes than there can be: write a smaller size",
            ),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), message, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(bytes: u64) {
            prop_assert_eq!(parse(&show(bytes)), Ok(bytes));
        }

        #[test]
        fn round_sizes_read_back(number in 0_u64..1 << 20, unit in 0..UNITS.len()) {
            let (name, factor) = UNITS[unit];
            prop_assert_eq!(parse(&format!("{number}{name}")), Ok(number * factor));
            prop_assert_eq!(parse(&show(number * factor)), Ok(number * factor));
        }

        #[test]
        fn any_text_is_a_size_or_an_error(text in ".{0,40}") {
            if let Err(error) = parse(&text) {
                prop_assert!(!error.to_string().is_empty());
            }
        }
    }
}
