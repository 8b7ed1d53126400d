//! Quotes what an operator or a client wrote, so that an error can show it whatever it holds.

use std::fmt;

/// Most characters of the input that an error repeats.
pub const QUOTED_CHARS_MAX: usize = 80;

/// Text in double quotes: control characters escaped, cut after [`QUOTED_CHARS_MAX`] characters.
#[derive(Debug, Clone, Copy)]
pub struct Quoted<'a>(&'a str);

/// Wraps `text` so that it displays quoted, escaped and cut.
#[must_use]
pub fn quoted(text: &str) -> Quoted<'_> {
    Quoted(text)
}

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(QUOTED_CHARS_MAX) {
            Some((end, _)) => write!(f, "{:?}…", &self.0[..end]),
            None => write!(f, "{:?}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_text_is_shown_whole_and_escaped() {
        assert_eq!(quoted("a\n\"b").to_string(), r#""a\n\"b""#);
    }

    #[test]
    fn long_text_is_cut_at_a_character() {
        let shown = quoted(&"é".repeat(500)).to_string();
        assert_eq!(shown.chars().count(), QUOTED_CHARS_MAX + 3);
        assert!(shown.ends_with("\"…"));
    }
}
