//! What the reader says, in an operator's words.

use skep_policy::nearest::nearest;
use skep_policy::quote::{QUOTED_CHARS_MAX, quoted};

/// What serde says of a key that a table doesn't have.
pub(super) struct UnknownKey<'m> {
    key: &'m str,
    known: Vec<&'m str>,
}

impl<'m> UnknownKey<'m> {
    pub(super) fn read(message: &'m str) -> Option<Self> {
        let message = message.strip_prefix("unknown field `")?;
        // From the right: the key may hold anything, the list that follows holds our own words.
        let (key, known) = message
            .rsplit_once("`, expected ")
            .or_else(|| message.rsplit_once("`, there are"))?;
        Some(Self {
            key,
            known: known.split('`').skip(1).step_by(2).collect(),
        })
    }

    pub(super) fn explain(&self, table: &[String]) -> String {
        let within = if table.is_empty() {
            String::new()
        } else {
            format!(" in {}", dotted(table))
        };
        let advice = match nearest(self.key, self.known.iter().copied()) {
            Some(key) => format!("did you mean {key:?}?"),
            None => format!("the keys there are: {}", self.known.join(", ")),
        };
        format!("unknown key {}{within}: {advice}", quoted(self.key))
    }
}

/// Serde's words for types, in an operator's; what they quote is cut.
pub(super) fn plain(message: &str) -> String {
    let mut message = cut(message.trim());
    for (theirs, ours) in [
        ("expected a string", "expected a string in quotes"),
        ("expected a sequence", "expected an array in [brackets]"),
        ("expected a map", "expected a table"),
        ("expected a boolean", "expected true or false"),
        (
            "expected u32",
            "expected a whole number from 0 to 4294967295",
        ),
        ("expected usize", "expected a whole number from 0"),
    ] {
        if message.ends_with(theirs) {
            message.truncate(message.len() - theirs.len());
            message.push_str(ours);
            break;
        }
    }
    message
}

/// A message without its middle if it is too long to read.
fn cut(message: &str) -> String {
    const HALF: usize = 200;
    let start = message.char_indices().nth(HALF);
    let end = message.char_indices().rev().nth(HALF);
    match (start, end) {
        (Some((start, _)), Some((end, _))) if start < end => {
            format!("{} … {}", &message[..start], &message[end..])
        }
        _ => message.to_owned(),
    }
}

/// `["service", "2", "limits"]` as `service[2].limits`, counted from 0 as the array is.
pub(super) fn dotted(keys: &[String]) -> String {
    let mut shown = String::new();
    for key in keys {
        if key.bytes().all(|b| b.is_ascii_digit()) && !shown.is_empty() {
            shown.push_str(&format!("[{key}]"));
        } else {
            let dot = if shown.is_empty() { "" } else { "." };
            let bare = (1..=QUOTED_CHARS_MAX).contains(&key.len())
                && key
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
            shown.push_str(dot);
            shown.push_str(&if bare {
                key.clone()
            } else {
                quoted(key).to_string()
            });
        }
    }
    shown
}
