//! One way to write a path (RFC 3986, 6.2.2), so that routes and whoever is behind them read the same.

use std::borrow::Cow;

/// What ends a segment for one server or another.
const SEPARATORS: [&str; 6] = ["/", "\\", "%2F", "%2f", "%5C", "%5c"];
const DIGITS: &[u8; 16] = b"0123456789ABCDEF";

/// `path` with unreserved characters plain, and with whatever can't stand plain in a path encoded, in upper case.
/// Encoded reserved characters stay: they are others than the plain ones. A percent sign without two digits stands for
/// itself. What is so already is lent.
#[must_use]
pub fn normalised(path: &str) -> Cow<'_, str> {
    if path.bytes().all(is_plain) {
        return Cow::Borrowed(path);
    }
    let bytes = path.as_bytes();
    let digit = |at: usize| char::from(*bytes.get(at)?).to_digit(16);
    let octet = |at: usize| u8::try_from(digit(at + 1)? * 16 + digit(at + 2)?).ok();
    let mut normal = String::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at).copied() {
        let encoded = octet(at).filter(|_| byte == b'%');
        at += if encoded.is_some() { 3 } else { 1 };
        match encoded {
            Some(octet) if is_unreserved(octet) => normal.push(char::from(octet)),
            None if is_plain(byte) => normal.push(char::from(byte)),
            octet => {
                let octet = octet.unwrap_or(byte);
                normal.push('%');
                normal.push(char::from(DIGITS[usize::from(octet >> 4)]));
                normal.push(char::from(DIGITS[usize::from(octet & 15)]));
            }
        }
    }
    Cow::Owned(normal)
}

/// Whether a segment of `path` is `.` or `..` however that is written, for any server that may be behind the host: some
/// decode slashes first, take backslashes for slashes, or leave out what follows a semicolon.
#[must_use]
pub fn has_dot_segment(path: &str) -> bool {
    let mut rest = Some(path);
    while let Some(segments) = rest {
        if begins_with_dots(segments) {
            return true;
        }
        let mut signs = segments.match_indices(['/', '\\', '%']);
        rest = signs.find_map(|(at, _)| after_separator(&segments[at..]));
    }
    false
}

fn begins_with_dots(segments: &str) -> bool {
    let ends =
        |rest: &str| rest.is_empty() || rest.starts_with(';') || after_separator(rest).is_some();
    after_dot(segments).is_some_and(|rest| ends(rest) || after_dot(rest).is_some_and(ends))
}

fn after_dot(text: &str) -> Option<&str> {
    let mut dots = [".", "%2E", "%2e"].iter();
    dots.find_map(|dot| text.strip_prefix(dot))
}

fn after_separator(text: &str) -> Option<&str> {
    SEPARATORS
        .iter()
        .find_map(|separator| text.strip_prefix(separator))
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// Whether it may stand in a path as it is.
fn is_plain(byte: u8) -> bool {
    is_unreserved(byte) || b"/!$&'()*+,;=:@".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_path_has_one_way_to_be_written() {
        for (path, normal) in [
            ("/%70rivate/x", "/private/x"),
            ("/a%2Fb", "/a%2Fb"),
            ("/a%2fb", "/a%2Fb"),
            ("/%2D%2e%5F%7e%41%30", "/-._~A0"),
            ("/%7Ba", "/%7Ba"),
            ("/{a}|[b]\\", "/%7Ba%7D%7C%5Bb%5D%5C"),
            ("/é/%c3%a9", "/%C3%A9/%C3%A9"),
            ("/%2570", "/%2570"),
            ("/100%/%4/%zz/%", "/100%25/%254/%25zz/%25"),
            ("/%%37%30", "/%2570"),
            ("/%2%35", "/%2525"),
            ("/%00%ff", "/%00%FF"),
        ] {
            assert_eq!(normalised(path), normal, "{path}");
        }
    }

    #[test]
    fn each_octet_is_written_as_its_kind_is() {
        for octet in 0..=u8::MAX {
            let upper = format!("/%{octet:02X}");
            let plain = format!("/{}", char::from(octet));
            let expected = match is_unreserved(octet) {
                true => &plain,
                false => &upper,
            };
            assert_eq!(&normalised(&upper), expected);
            assert_eq!(&normalised(&format!("/%{octet:02x}")), expected);
            let stands = octet.is_ascii() && is_plain(octet);
            assert_eq!(matches!(normalised(&plain), Cow::Borrowed(_)), stands);
        }
    }

    #[test]
    fn what_is_so_already_is_lent() {
        for path in ["", "/", "/a/b.c/~d", "/a//b", "/@a:b;c=d,e!$&'()*+"] {
            assert!(matches!(normalised(path), Cow::Borrowed(_)), "{path}");
        }
    }

    /// Each way to write dots and what may be around them.
    #[test]
    fn dots_are_seen_however_they_are_written() {
        let one = [".", "%2e", "%2E"];
        let two = one.map(|first| one.map(|second| format!("{first}{second}")));
        let dots: Vec<String> = one
            .map(str::to_owned)
            .into_iter()
            .chain(two.concat())
            .collect();
        for dots in &dots {
            for before in ["/", "/a/", "//", "\\", "/a%2f", "/a%5C"] {
                for after in ["", "/", "/a", ";", ";a/b", "\\a", "%2Fa", "%5ca"] {
                    let path = format!("{before}{dots}{after}");
                    assert!(has_dot_segment(&path), "{path}");
                }
            }
            for (before, after) in [
                ("/a", ""),
                ("/", "a"),
                ("/", "%2525"),
                ("/%25", "/"),
                ("/", "%20"),
            ] {
                let path = format!("{before}{dots}{after}");
                assert!(!has_dot_segment(&path), "{path}");
            }
        }
        for path in [
            "",
            "/",
            "//",
            "/...",
            "/a",
            "/.well-known/a",
            "/a..b/c.",
            "/%252e%252e/a",
            "/%",
        ] {
            assert!(!has_dot_segment(path), "{path}");
        }
    }

    /// What a server may read in a path: decoded once.
    fn decoded(path: &str) -> Vec<u8> {
        let bytes = path.as_bytes();
        let digit = |at: usize| char::from(*bytes.get(at)?).to_digit(16);
        let mut decoded = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            match (bytes[at], digit(at + 1), digit(at + 2)) {
                (b'%', Some(first), Some(second)) => {
                    decoded.push(u8::try_from(first * 16 + second).unwrap());
                    at += 3;
                }
                (byte, _, _) => {
                    decoded.push(byte);
                    at += 1;
                }
            }
        }
        decoded
    }

    proptest! {
        #[test]
        fn a_normal_path_stays_and_names_the_same(path in "(/|[a-c%{é.]|%[0-7][0-9a-fA-F]|%[0-9a-f]){0,16}") {
            let normal = normalised(&path);
            prop_assert_eq!(normalised(&normal), normal.as_ref());
            prop_assert_eq!(decoded(&normal), decoded(&path));
            // Nothing that is decoded later makes another segment of plain characters.
            let is_normal = |piece: &str| {
                let octet = piece.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok());
                octet.is_some_and(|octet| !is_unreserved(octet))
            };
            prop_assert!(normal.split('%').skip(1).all(is_normal), "{}", normal);
        }

        #[test]
        fn dots_are_what_a_server_that_decodes_sees(path in "/(/|\\.|%2e|%2E|%2f|%5C|\\\\|a|;|%){0,12}") {
            let decoded = decoded(&path);
            let decoded = String::from_utf8_lossy(&decoded);
            let is_dots = |segment: &str| {
                let name = segment.split(';').next().unwrap_or_default();
                name == "." || name == ".."
            };
            prop_assert_eq!(has_dot_segment(&path), decoded.split(['/', '\\']).any(is_dots));
            prop_assert_eq!(has_dot_segment(&normalised(&path)), has_dot_segment(&path));
        }
    }
}
