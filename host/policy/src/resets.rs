//! Whether a client asks only to take it back: each request costs it a few bytes and the host a guest's beginning
//! (CVE-2023-44487).

use std::time::Duration;

/// A request that is taken back within this time was hardly meant.
pub const PREMATURE: Duration = Duration::from_secs(1);
/// So many on one connection may happen to a client in good faith.
pub const PREMATURE_MAX: u64 = 500;

/// Whether a connection on which `begun` requests have begun, `premature` of which were taken back at once, is not to go
/// on: these are many, and they are most.
#[must_use]
pub fn is_abuse(begun: u64, premature: u64) -> bool {
    premature > PREMATURE_MAX && premature > begun / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_that_are_most_are_abuse() {
        for (begun, premature, expected) in [
            (0, 0, false),
            (500, 500, false),
            (501, 501, true),
            (1001, 501, true),
            (1002, 501, false),
            (1_000_000, 400_000, false),
            (u64::MAX, u64::MAX, true),
        ] {
            assert_eq!(
                is_abuse(begun, premature),
                expected,
                "{premature} of {begun}"
            );
        }
    }
}
