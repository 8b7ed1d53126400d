//! Colours for people, and untrusted text made fit for a terminal.

/// What a piece of output says by its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Good,
    Underway,
    Bad,
    Faint,
    Strong,
    Plain,
}

/// `text` in the colour of `tone`, if colours are wanted.
pub(super) fn paint(text: &str, tone: Tone, colours: bool) -> String {
    let code = match tone {
        Tone::Good => "32",
        Tone::Underway => "33",
        Tone::Bad => "31",
        Tone::Faint => "2",
        Tone::Strong => "1",
        Tone::Plain => return text.to_owned(),
    };
    if colours {
        format!("\x1b[{code}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

/// Colours that tell names apart and say nothing else: cyan, magenta, blue, and the bright ones.
const TINTS: [u8; 8] = [36, 35, 34, 96, 95, 94, 92, 93];
/// FNV-1a's, of 64 bits.
const HASH_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const HASH_PRIME: u64 = 0x0100_0000_01b3;

/// `name` in the colour that it always has, if colours are wanted.
pub(super) fn tinted(name: &str, colours: bool) -> String {
    if !colours {
        return name.to_owned();
    }
    let hash = name.bytes().fold(HASH_BASIS, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(HASH_PRIME)
    });
    let index = (hash % TINTS.len() as u64) as usize;
    format!("\x1b[{}m{name}\x1b[0m", TINTS[index])
}

/// `text` on one line, with nothing that a terminal would obey.
pub(super) fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '"' | '\'' | '\\' => shown.push(char),
            '\n' => shown.push(' '),
            // Letters of every script stay as they are.
            other => shown.extend(other.escape_debug()),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_is_left() {
        assert_eq!(
            harmless("it's \"é\"\n\u{1b}[2J\r\u{202e}\u{9b}"),
            "it's \"é\" \\u{1b}[2J\\r\\u{202e}\\u{9b}"
        );
    }

    #[test]
    fn without_colours_text_is_text() {
        assert_eq!(paint("ready", Tone::Good, false), "ready");
        assert_eq!(paint("ready", Tone::Good, true), "\x1b[32mready\x1b[0m");
        assert_eq!(paint("-", Tone::Plain, true), "-");
    }

    #[test]
    fn a_name_has_always_the_same_colour() {
        assert_eq!(tinted("hello", false), "hello");
        let hello = tinted("hello", true);
        assert_eq!(hello, tinted("hello", true));
        let names = ["hello", "orders", "payment", "catalog", "inventory"];
        let others = names.map(|name| tinted(name, true).replace(name, ""));
        assert!(others.iter().any(|other| *other != others[0]));
        assert!(hello.ends_with("mhello\x1b[0m"));
    }
}
