//! Which bytes of a file a `Range` asks for.

use std::ops::Range;

/// What is sent of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// All of it: no part is asked for, or in a way that may be ignored, such as several at once.
    Whole,
    /// These bytes; at least one.
    Bytes(Range<u64>),
    /// Nothing: there are no such bytes (416).
    Nothing,
}

/// What `range`, the value of the field, asks for of a file of `length` bytes.
#[must_use]
pub fn part(range: &str, length: u64) -> Part {
    asked(range, length).unwrap_or(Part::Whole)
}

/// None if it is not one range of bytes.
fn asked(range: &str, length: u64) -> Option<Part> {
    let (unit, set) = range.trim().split_once('=')?;
    if !unit.trim_end().eq_ignore_ascii_case("bytes") || set.contains(',') {
        return None;
    }
    let (first, last) = set.trim().split_once('-')?;
    let bytes = match (number(first)?, number(last)?) {
        (None, None) => return None,
        (None, Some(count)) => length.saturating_sub(count)..length,
        (Some(first), None) => first..length,
        (Some(first), Some(last)) if first > last => return None,
        (Some(first), Some(last)) => first..length.min(last.saturating_add(1)),
    };
    Some(if bytes.is_empty() {
        Part::Nothing
    } else {
        Part::Bytes(bytes)
    })
}

/// A number, or nothing. None if it is neither; one that is too large is the largest.
fn number(text: &str) -> Option<Option<u64>> {
    if text.is_empty() {
        return Some(None);
    }
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| Some(text.parse().unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_range_is_what_it_says_and_all_else_is_the_whole() {
        use Part::{Bytes, Nothing, Whole};
        let huge = "9".repeat(40);
        for (range, expected) in [
            ("bytes=0-0", Bytes(0..1)),
            ("bytes=0-9", Bytes(0..10)),
            ("bytes=0-10", Bytes(0..10)),
            ("bytes=4-", Bytes(4..10)),
            ("bytes=-3", Bytes(7..10)),
            ("bytes=-11", Bytes(0..10)),
            ("Bytes = 1-2", Bytes(1..3)),
            (&format!("bytes=1-{huge}"), Bytes(1..10)),
            (&format!("bytes=-{huge}"), Bytes(0..10)),
            ("bytes=10-", Nothing),
            ("bytes=10-11", Nothing),
            ("bytes=-0", Nothing),
            (&format!("bytes={huge}-"), Nothing),
            ("bytes=2-1", Whole),
            ("bytes=0-1,3-4", Whole),
            ("bytes=-", Whole),
            ("bytes=", Whole),
            ("bytes", Whole),
            ("bytes=a-b", Whole),
            ("bytes=+1-2", Whole),
            ("bytes=1-2-3", Whole),
            ("bytes=0x0-1", Whole),
            ("lines=0-1", Whole),
            ("", Whole),
        ] {
            assert_eq!(part(range, 10), expected, "{range}");
        }
        for range in ["bytes=0-", "bytes=-5", "bytes=0-0"] {
            assert_eq!(part(range, 0), Nothing);
        }
    }

    proptest! {
        #[test]
        fn bytes_lie_within_the_file(range in "bytes=[0-9]{0,20}-[0-9]{0,20}", length: u64) {
            if let Part::Bytes(bytes) = part(&range, length) {
                prop_assert!(bytes.start < bytes.end && bytes.end <= length);
            }
        }
    }
}
