//! Server-sent events, as a browser reads them: bytes to messages, within bounds.

/// Longest line, and longest message, in bytes: more than a host says at once.
const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// One message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::cli) struct Message {
    /// The id to go on after, if the message has set one.
    pub(in crate::cli) id: Option<String>,
    /// What it is about; `message` if it does not say.
    pub(in crate::cli) kind: String,
    /// What it says.
    pub(in crate::cli) data: String,
}

/// A line or message that is longer than anything that is to be read.
#[derive(Debug, thiserror::Error)]
#[error("a message is longer than {MESSAGE_BYTES_MAX} bytes")]
pub(super) struct TooLong;

/// Reads a stream piece by piece.
#[derive(Debug, Default)]
pub(super) struct Parser {
    /// Of the line that has begun.
    line: Vec<u8>,
    /// The line before ended with a carriage return: a line feed still belongs to it.
    after_return: bool,
    /// Of the message that has begun.
    message: Message,
    has_data: bool,
}

impl Parser {
    /// The messages that are whole now.
    ///
    /// # Errors
    /// When a message has no end.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<Vec<Message>, TooLong> {
        let mut messages = Vec::new();
        for byte in bytes {
            let after_return = std::mem::replace(&mut self.after_return, *byte == b'\r');
            match byte {
                b'\n' if after_return => {}
                b'\n' | b'\r' => messages.extend(self.end_line()),
                _ => self.line.push(*byte),
            }
            if self.line.len() + self.message.data.len() > MESSAGE_BYTES_MAX {
                return Err(TooLong);
            }
        }
        Ok(messages)
    }

    fn end_line(&mut self) -> Option<Message> {
        let line = std::mem::take(&mut self.line);
        let line = String::from_utf8_lossy(&line);
        if line.is_empty() {
            let message = std::mem::take(&mut self.message);
            return std::mem::take(&mut self.has_data).then(|| finished(message));
        }
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.message.data.push('\n');
                }
                self.message.data.push_str(value);
            }
            "event" => value.clone_into(&mut self.message.kind),
            "id" if !value.contains('\0') => self.message.id = Some(value.to_owned()),
            // Comments keep the connection alive; the rest is of no use here.
            _ => {}
        }
        None
    }
}

fn finished(message: Message) -> Message {
    match message.kind.is_empty() {
        true => Message {
            kind: "message".to_owned(),
            ..message
        },
        false => message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(id: Option<&str>, kind: &str, data: &str) -> Message {
        Message {
            id: id.map(str::to_owned),
            kind: kind.to_owned(),
            data: data.to_owned(),
        }
    }

    const STREAM: &str = ": hello\n\nid: 7\nevent: promoted\ndata: {\"a\":1}\n\ndata:one\r\ndata: two\r\n\r\n\
         event: empty\n\nevent: stage\rdata:  x: é\r\rid\nretry: 5\ndata\n\ndata: unfinished\n";

    fn expected() -> Vec<Message> {
        vec![
            message(Some("7"), "promoted", "{\"a\":1}"),
            message(None, "message", "one\ntwo"),
            message(None, "stage", " x: é"),
            message(Some(""), "message", ""),
        ]
    }

    #[test]
    fn messages_are_read_however_they_are_cut() {
        for size in [1, 2, 3, 5, STREAM.len()] {
            let mut parser = Parser::default();
            let messages: Vec<Message> = STREAM
                .as_bytes()
                .chunks(size)
                .flat_map(|piece| parser.take(piece).unwrap())
                .collect();
            assert_eq!(messages, expected(), "in pieces of {size}");
        }
    }

    #[test]
    fn what_has_no_end_is_not_kept() {
        let mut parser = Parser::default();
        assert!(parser.take(&vec![b'a'; MESSAGE_BYTES_MAX]).is_ok());
        assert!(parser.take(b"a").is_err());
        let mut parser = Parser::default();
        let line = [b"data:".as_slice(), &vec![b'a'; 1 << 20], b"\n"].concat();
        let taken: Result<Vec<_>, _> = (0..5).map(|_| parser.take(&line)).collect();
        assert!(taken.is_err());
    }
}
