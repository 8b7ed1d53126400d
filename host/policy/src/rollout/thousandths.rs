//! Figures and limits with three decimals, compared exactly.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A number that is not negative, in steps of 0.001. What unit it has depends on where it stands.
///
/// It is at most [`Thousandths::MAX`], and what is more counts as that, so that it survives being written as a float.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(try_from = "f64", into = "f64")]
pub struct Thousandths(u64);

/// Why a number is no figure; its display says which are.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("{0} is out of range: write a number from 0 to {max}", max = Thousandths::MAX)]
pub struct ThousandthsError(f64);

impl Thousandths {
    /// About four million millions: in bytes, 4 TiB.
    pub const MAX: Self = Self(1000 << 42);

    /// So many thousandths.
    #[must_use]
    pub const fn new(thousandths: u64) -> Self {
        if thousandths > Self::MAX.0 {
            return Self::MAX;
        }
        Self(thousandths)
    }

    /// So many wholes.
    #[must_use]
    pub const fn whole(number: u64) -> Self {
        Self::new(number.saturating_mul(1000))
    }

    /// How many thousandths.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// `self` × `part` / `of`, rounded up; `of` is not zero.
    pub(super) fn scaled(self, part: u64, of: u64) -> Self {
        let scaled = (u128::from(self.0) * u128::from(part)).div_ceil(u128::from(of));
        u64::try_from(scaled).map_or(Self::MAX, Self::new)
    }

    /// `self` × `factor`, rounded down: who is above the product is above this.
    pub(super) fn times(self, factor: Self) -> Self {
        let product = u128::from(self.0) * u128::from(factor.0) / 1000;
        u64::try_from(product).map_or(Self::MAX, Self::new)
    }
}

impl TryFrom<f64> for Thousandths {
    type Error = ThousandthsError;

    /// The nearest one.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "from 0 to MAX, and MAX is exact"
    )]
    fn try_from(number: f64) -> Result<Self, ThousandthsError> {
        let thousandths = (number * 1000.0).round();
        if (0.0..=Self::MAX.0 as f64).contains(&thousandths) {
            Ok(Self(thousandths as u64))
        } else {
            Err(ThousandthsError(number))
        }
    }
}

impl From<Thousandths> for f64 {
    #[allow(clippy::cast_precision_loss, reason = "MAX has fewer bits than an f64")]
    fn from(number: Thousandths) -> Self {
        number.0 as Self / 1000.0
    }
}

impl fmt::Display for Thousandths {
    /// As a decimal without zeros at its end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&decimal(self.0, 3))
    }
}

/// `number` with its last `places` digits behind the point, without zeros at the end.
pub(super) fn decimal(number: u64, places: usize) -> String {
    let digits = format!("{number:0>width$}", width = places + 1);
    let (whole, part) = digits.split_at(digits.len() - places);
    match part.trim_end_matches('0') {
        "" => whole.to_owned(),
        part => format!("{whole}.{part}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_show_as_they_are_written() {
        for (number, shown) in [
            (0.0, "0"),
            (0.001, "0.001"),
            (99.9, "99.9"),
            (100.0, "100"),
            (1.0625, "1.063"),
            (-0.0001, "0"),
        ] {
            assert_eq!(Thousandths::try_from(number).unwrap().to_string(), shown);
        }
        assert_eq!(decimal(1_500_000, 6), "1.5");
    }

    #[test]
    fn what_is_no_figure_is_refused_with_a_way_out() {
        for number in [-1.0, f64::NAN, f64::INFINITY, 4_398_046_511_104.1] {
            assert_eq!(
                Thousandths::try_from(number).unwrap_err().to_string(),
                format!("{number} is out of range: write a number from 0 to 4398046511104")
            );
        }
        assert_eq!(Thousandths::whole(u64::MAX), Thousandths::MAX);
        assert_eq!(Thousandths::MAX.times(Thousandths::MAX), Thousandths::MAX);
    }

    proptest! {
        #[test]
        fn every_figure_survives_being_written(thousandths in 0..=Thousandths::MAX.get()) {
            let number = Thousandths::new(thousandths);
            prop_assert_eq!(number.get(), thousandths);
            prop_assert_eq!(Thousandths::try_from(f64::from(number)), Ok(number));
            let text = serde_json::to_string(&number).unwrap();
            prop_assert_eq!(serde_json::from_str::<Thousandths>(&text).unwrap(), number);
        }
    }
}
