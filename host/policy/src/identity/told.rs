//! Claims as values of headers.

use std::fmt::Write;

use serde_json::Value;

use super::claims::scalar;

/// Longest value of a header that is made of a claim, in bytes.
pub const VALUE_BYTES_MAX: usize = 8 << 10;

/// The value of a header that says what a claim says. Arrays are joined by commas; a comma or a percent sign in an item,
/// and a space at its ends, are percent-encoded, so that no item looks like two.
///
/// # Errors
/// None of a header's value is made of a null, an object, an array of other than texts, numbers and booleans, of control
/// characters, of a text with white space at an end, or of more than [`VALUE_BYTES_MAX`] bytes. Null is as if the claim
/// were not there.
pub fn tell(claim: &Value) -> Result<Option<String>, Unfit> {
    let told = match claim {
        Value::Null => return Ok(None),
        Value::Array(items) => {
            let mut told = String::new();
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    told.push(',');
                }
                item_into(&mut told, &scalar(item).ok_or(Unfit)?);
                if told.len() > VALUE_BYTES_MAX {
                    return Err(Unfit);
                }
            }
            told
        }
        one => scalar(one).ok_or(Unfit)?,
    };
    is_fit(&told).then_some(Some(told)).ok_or(Unfit)
}

/// Whether a header's value can be this text, and is this text for whoever reads it: white space at the ends of a value is
/// none of it (RFC 9110, 5.5).
#[must_use]
pub fn is_fit(text: &str) -> bool {
    text.len() <= VALUE_BYTES_MAX && text.trim() == text && !text.chars().any(char::is_control)
}

/// No header can say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no header can have this value")]
pub struct Unfit;

fn item_into(told: &mut String, item: &str) {
    let last = item.len().saturating_sub(1);
    for (at, character) in item.char_indices() {
        let is_end = at == 0 || at == last;
        match character {
            ',' | '%' => encode(told, character),
            ' ' if is_end => encode(told, character),
            other => told.push(other),
        }
    }
}

fn encode(told: &mut String, character: char) {
    // A string takes everything.
    write!(told, "%{:02X}", u32::from(character)).ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_fit_is_the_same_text_for_whoever_reads_it() {
        let longest = "x".repeat(VALUE_BYTES_MAX);
        for fit in ["", "a", "of all", "Ægir", &longest] {
            assert!(is_fit(fit), "{fit}");
        }
        let too_long = format!("{longest}x");
        for unfit in [
            "admin ",
            " admin",
            " ",
            "\tadmin",
            "admin\u{a0}",
            "a\nb",
            "a\u{85}b",
            &too_long,
        ] {
            assert!(!is_fit(unfit), "{unfit:?}");
        }
    }
}
