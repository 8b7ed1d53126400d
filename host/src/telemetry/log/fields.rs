//! How an event's fields are written as text: always on one line, in no way that a value could pass for another field.
//!
//! Values may come from guests and clients. A value is written as it is only if it can't be mistaken for anything else;
//! every other one is quoted, with control characters, escapes and invisible marks spelled out.

use std::fmt::{self, Debug, Write};

use tracing::field::{Field, Visit};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::Writer;

/// Bytes of one value that are written.
const VALUE_BYTES_MAX: usize = 16 << 10;

/// Writes `message name=value name="quoted value"`.
#[derive(Debug)]
pub(super) struct OneLine;

impl<'writer> FormatFields<'writer> for OneLine {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut line = Line {
            writer,
            result: Ok(()),
            started: false,
        };
        fields.record(&mut line);
        line.result
    }
}

struct Line<'writer> {
    writer: Writer<'writer>,
    result: fmt::Result,
    started: bool,
}

impl Line<'_> {
    fn put(&mut self, name: &str, value: &str) {
        // Fields of the `log` crate's records, which the line's head shows.
        if self.result.is_ok() && !name.starts_with("log.") {
            self.result = self.try_put(name, value);
        }
    }

    /// A value without a name is what the host says in its own words.
    fn try_put(&mut self, name: &str, value: &str) -> fmt::Result {
        if std::mem::replace(&mut self.started, true) {
            self.writer.write_char(' ')?;
        }
        let (value, cut) = match value.get(..value.floor_char_boundary(VALUE_BYTES_MAX)) {
            Some(start) if start.len() < value.len() => (start, "…"),
            _ => (value, ""),
        };
        if name.is_empty() {
            return write!(self.writer, "{}{cut}", Plain(value));
        }
        let (faint, normal) = if self.writer.has_ansi_escapes() {
            ("\x1b[2m", "\x1b[0m")
        } else {
            ("", "")
        };
        write!(self.writer, "{faint}{name}={normal}")?;
        if is_bare(value) {
            write!(self.writer, "{value}{cut}")
        } else {
            write!(self.writer, "{value:?}{cut}")
        }
    }
}

impl Visit for Line<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        // Also a message: given as a value, it is somebody else's.
        self.put(field.name(), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let name = if field.name() == "message" {
            ""
        } else {
            field.name()
        };
        self.put(name, &format!("{value:?}"));
    }
}

fn is_bare(value: &str) -> bool {
    !value.is_empty()
        && value
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'=')
}

/// Text without anything that ends a line or moves a terminal's cursor.
struct Plain<'a>(&'a str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for char in self.0.chars() {
            if char.is_ascii_graphic() || char == ' ' {
                f.write_char(char)?;
            } else {
                // Leaves letters of every script as they are.
                write!(f, "{}", char.escape_debug())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    /// What the subscriber writes while `log` runs, without the time.
    fn written(colours: bool, log: impl FnOnce()) -> String {
        #[derive(Clone, Default)]
        struct Buffer(Arc<Mutex<Vec<u8>>>);
        impl io::Write for Buffer {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.lock().unwrap().extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let subscriber = tracing_subscriber::fmt()
            .compact()
            .without_time()
            .with_ansi(colours)
            .with_writer(move || writer.clone())
            .fmt_fields(OneLine)
            .finish();
        tracing::subscriber::with_default(subscriber, log);
        let bytes = buffer.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn plain_values_are_bare_and_others_quoted() {
        let line = written(false, || {
            let (service, path, empty) = ("hello", "/a b?x=y", "");
            tracing::info!(target: "t", service, path, empty, status = 200, ready = true, error = %"it's late", "served ünïcode");
        });
        assert_eq!(
            line,
            " INFO t: served ünïcode service=hello path=\"/a b?x=y\" empty=\"\" status=200 ready=true error=\"it's late\"\n"
        );
    }

    #[test]
    fn no_value_can_forge_a_line_a_field_or_an_escape_sequence() {
        let hostile =
            "x\" service=\"victim\"\n ERROR t: forged\r\u{1b}[2J\u{9b}2J\u{202e}\u{2028}\0";
        for log in [
            Box::new(|| tracing::info!(target: "t", line = hostile)) as Box<dyn FnOnce()>,
            Box::new(|| tracing::info!(target: "t", line = %hostile)),
            Box::new(|| tracing::info!(target: "t", line = ?hostile)),
            Box::new(|| tracing::info!(target: "t", message = hostile)),
            Box::new(|| tracing::info!(target: "t", "{hostile}")),
        ] {
            let line = written(false, log);
            assert_eq!(line.matches('\n').count(), 1, "{line:?}");
            let body = line.trim_end_matches('\n');
            assert!(
                !body.contains(|char: char| char.is_control()
                    || char == '\u{202e}'
                    || char == '\u{2028}'),
                "{line:?}"
            );
            assert!(body.contains("\\n ERROR t: forged"), "{line:?}");
        }
        let quoted = written(false, || {
            tracing::info!(target: "t", service = "rogue", message = hostile);
        });
        let expected = r#" INFO t: service=rogue message="x\" service=\"victim\"\n"#;
        assert!(quoted.starts_with(expected), "{quoted}");
    }

    #[test]
    fn a_value_is_bounded() {
        let line = written(
            false,
            || tracing::info!(target: "t", line = "é".repeat(VALUE_BYTES_MAX)),
        );
        assert!(line.len() < VALUE_BYTES_MAX + 100 && line.ends_with("…\n"));
    }

    #[test]
    fn colours_touch_names_alone() {
        let line = written(true, || tracing::info!(target: "t", service = "hello"));
        assert!(
            line.contains("\u{1b}[2mservice=\u{1b}[0m") && line.ends_with("hello\n"),
            "{line:?}"
        );
    }
}
