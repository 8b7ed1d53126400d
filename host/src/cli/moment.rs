//! Moments as people write them: UTC, in ISO 8601's form.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// To the second: `2026-11-22T00:43:53Z`. A dash for a moment that no calendar has.
pub(super) fn seconds(unix_ms: u64) -> String {
    let moment = i64::try_from(unix_ms / 1_000).ok();
    let moment = moment.and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    let text = moment.and_then(|moment| moment.format(&Rfc3339).ok());
    text.unwrap_or_else(|| "-".to_owned())
}

/// To the millisecond: `2026-11-22T00:43:53.042Z`.
pub(super) fn millis(unix_ms: u64) -> String {
    let text = seconds(unix_ms);
    text.strip_suffix('Z').map_or_else(
        || text.clone(),
        |text| format!("{text}.{:03}Z", unix_ms % 1_000),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_utc() {
        assert_eq!(seconds(0), "1970-01-01T00:00:00Z");
        assert_eq!(seconds(1_795_308_233_042), "2026-11-22T00:43:53Z");
        assert_eq!(millis(1_795_308_233_042), "2026-11-22T00:43:53.042Z");
        assert_eq!(seconds(u64::MAX), "-");
    }
}
