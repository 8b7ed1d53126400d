//! Tables for people: columns that line up, text that wraps, durations.

use std::os::fd::AsFd;

use skep_policy::size::{GIB, KIB, MIB, TIB};

use super::style::{Tone, harmless, paint};

const GAP: &str = "  ";
const WIDTH_DEFAULT: usize = 100;
/// Narrower than this, wrapping helps nobody.
const WIDTH_MIN: usize = 40;
const DIGEST_DIGITS: usize = 12;

/// Columns that there are for text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Width(pub(super) usize);

impl Width {
    /// The terminal's, or a sensible one if `stream` is none.
    pub(super) fn of(stream: &impl AsFd) -> Self {
        let columns =
            rustix::termios::tcgetwinsize(stream).map_or(0, |size| usize::from(size.ws_col));
        Self(if columns == 0 {
            WIDTH_DEFAULT
        } else {
            columns.max(WIDTH_MIN)
        })
    }
}

/// Three digits at most before the unit.
pub(super) fn milliseconds(ms: f64) -> String {
    match ms {
        ms if ms < 1.0 => format!("{:.0}us", ms * 1e3),
        ms if ms < 10.0 => format!("{ms:.1}ms"),
        ms if ms < 1e3 => format!("{ms:.0}ms"),
        ms => format!("{:.1}s", ms / 1e3),
    }
}

/// In the largest binary unit that there is a whole one of.
pub(super) fn bytes(bytes: u64) -> String {
    let units = [("TiB", TIB), ("GiB", GIB), ("MiB", MIB), ("KiB", KIB)];
    match units.into_iter().find(|(_, unit)| bytes >= *unit) {
        Some((name, unit)) => {
            let tenths = u128::from(bytes) * 10 / u128::from(unit);
            format!("{}.{}{name}", tenths / 10, tenths % 10)
        }
        None => format!("{bytes}B"),
    }
}

/// The first digits of a digest, which are enough to tell artifacts apart.
pub(super) fn short(digest: &str) -> String {
    let digits = digest.strip_prefix("sha256:").unwrap_or(digest);
    harmless(&digits.chars().take(DIGEST_DIGITS).collect::<String>())
}

/// Columns as wide as what stands in them.
pub(super) struct Columns<const N: usize> {
    headings: [&'static str; N],
    /// Those that hold numbers.
    right: [bool; N],
    widths: [usize; N],
    /// One that is left out.
    pub(super) hidden: Option<usize>,
}

impl<const N: usize> Columns<N> {
    pub(super) fn of(headings: &[&'static str; N], right: [bool; N], rows: &[[String; N]]) -> Self {
        let widths = std::array::from_fn(|column| {
            let cells = rows.iter().map(|row| row[column].chars().count());
            cells.chain([headings[column].len()]).max().unwrap_or(0)
        });
        Self {
            headings: *headings,
            right,
            widths,
            hidden: None,
        }
    }

    pub(super) fn headings(&self, colours: bool) -> String {
        self.line(
            &self.headings.map(str::to_owned),
            [Tone::Strong; N],
            colours,
        )
    }

    pub(super) fn line(&self, cells: &[String; N], tones: [Tone; N], colours: bool) -> String {
        let mut line = String::new();
        for (column, cell) in cells.iter().enumerate() {
            if self.hidden == Some(column) {
                continue;
            }
            let fill = " ".repeat(self.widths[column] - cell.chars().count());
            let cell = paint(cell, tones[column], colours);
            let gap = if column == 0 { "" } else { GAP };
            line.push_str(gap);
            line.push_str(&if self.right[column] {
                fill + &cell
            } else {
                cell + &fill
            });
        }
        line.truncate(line.trim_end().len());
        line.push('\n');
        line
    }
}

/// Breaks text between words; a word that is too long stands on a line of its own.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_fitting_unit() {
        let shown = [0.25, 1.25, 12.5, 999.4, 10_000.0].map(milliseconds);
        assert_eq!(shown, ["250us", "1.2ms", "12ms", "999ms", "10.0s"]);
    }

    #[test]
    fn sizes_have_a_fitting_unit() {
        let shown = [0, 1023, 1536, (17 << 20) - 1, u64::MAX].map(bytes);
        assert_eq!(shown, ["0B", "1023B", "1.5KiB", "16.9MiB", "16777215.9TiB"]);
    }

    #[test]
    fn digests_are_cut() {
        assert_eq!(short("sha256:0123456789abcdef"), "0123456789ab");
        assert_eq!(short("\u{1b}"), "\\u{1b}");
    }
}
