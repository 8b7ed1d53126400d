//! HTTP/2 as bytes: a test says every frame itself, well-formed or not, and sees each one that comes.

use std::net::SocketAddr;

use futures::StreamExt;
use futures::channel::mpsc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio_util::task::AbortOnDropHandle;

use super::client;
use super::wait::within;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEAD_BYTES: usize = 9;
/// Who has taken nothing for so long is not about to.
const STALL: std::time::Duration = std::time::Duration::from_secs(2);

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

/// Flags: of SETTINGS and PING, of DATA and HEADERS, and the last of HEADERS and CONTINUATION.
pub(crate) const ACK: u8 = 1;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const PADDED: u8 = 8;

const HEADER_TABLE_SIZE: u16 = 1;
pub(crate) const ENABLE_PUSH: u16 = 2;
pub(crate) const INITIAL_WINDOW_SIZE: u16 = 4;
pub(crate) const MAX_FRAME_SIZE: u16 = 5;

/// Error codes (RFC 9113, 7).
pub(crate) const NO_ERROR: u32 = 0;
pub(crate) const PROTOCOL_ERROR: u32 = 1;
pub(crate) const FLOW_CONTROL_ERROR: u32 = 3;
pub(crate) const STREAM_CLOSED: u32 = 5;
pub(crate) const FRAME_SIZE_ERROR: u32 = 6;
pub(crate) const REFUSED_STREAM: u32 = 7;
pub(crate) const CANCEL: u32 = 8;
pub(crate) const COMPRESSION_ERROR: u32 = 9;
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;

/// One frame as it is on the wire.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Fields in the plainest coding that HPACK has: literal, not to be remembered.
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        for text in [name, value] {
            integer(&mut bytes, text.len());
            bytes.extend(text.as_bytes());
        }
    }
    bytes
}

/// An integer with a prefix of seven bits (RFC 7541, 5.1).
fn integer(bytes: &mut Vec<u8>, number: usize) {
    let Some(mut rest) = number.checked_sub(127) else {
        return bytes.push(number as u8);
    };
    bytes.push(127);
    while rest >= 128 {
        bytes.push((rest % 128) as u8 | 128);
        rest /= 128;
    }
    bytes.push(rest as u8);
}

/// The pseudo-header fields of a request.
pub(crate) fn asks<'a>(method: &'a str, path: &'a str) -> Vec<(&'a str, &'a str)> {
    let rest = [(":scheme", "http"), (":authority", "here")];
    [(":method", method), (":path", path)]
        .into_iter()
        .chain(rest)
        .collect()
}

/// A request without a body, in one frame.
pub(crate) fn get(stream: u32, path: &str) -> Vec<u8> {
    headers(stream, &asks("GET", path))
}

/// HEADERS that are all there is.
pub(crate) fn headers(stream: u32, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, block(fields))
}

/// The head of a request whose body follows.
pub(crate) fn post(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, block(&asks("POST", path)))
}

/// SETTINGS.
pub(crate) fn settings(values: &[(u16, u32)]) -> Vec<u8> {
    let pair = |(id, value): &(u16, u32)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat();
    frame(
        SETTINGS,
        0,
        0,
        values.iter().flat_map(pair).collect::<Vec<_>>(),
    )
}

/// RST_STREAM.
pub(crate) fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, code.to_be_bytes())
}

/// WINDOW_UPDATE.
pub(crate) fn window(stream: u32, more: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, more.to_be_bytes())
}

/// One frame that came.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// The error code of RST_STREAM or GOAWAY.
    pub(crate) fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }

    /// The last stream that GOAWAY says is worked on.
    pub(crate) fn last_stream(&self) -> u32 {
        u32::from_be_bytes(self.payload[..4].try_into().unwrap())
    }

    pub(crate) fn is_end(&self) -> bool {
        matches!(self.kind, DATA | HEADERS) && self.flags & END_STREAM != 0
    }

    /// The status in the head of an answer, which comes first.
    pub(crate) fn status(&self) -> u16 {
        assert_eq!(self.kind, HEADERS, "{self:?}");
        let mut block = self.payload.iter().copied();
        let mut first = block.next().unwrap();
        while first & 0xe0 == 0x20 {
            first = block.next().unwrap();
        }
        // Of the static table (RFC 7541, A); or a literal with the name of its entry 8.
        if let Some(status) = [200, 204, 206, 304, 400, 404, 500].get(usize::from(first ^ 0x88)) {
            return *status;
        }
        let length = block.next().unwrap();
        let text: Vec<u8> = block.take(usize::from(length & 0x7f)).collect();
        match length & 0x80 {
            0 => String::from_utf8(text).unwrap().parse().unwrap(),
            _ => huffman_digits(&text),
        }
    }
}

/// Three digits in HPACK's Huffman code: five bits for 0 to 2, six for the others.
fn huffman_digits(bytes: &[u8]) -> u16 {
    let bits: String = bytes.iter().map(|byte| format!("{byte:08b}")).collect();
    let (mut at, mut number) = (0, 0);
    for _ in 0..3 {
        let five = u16::from_str_radix(&bits[at..at + 5], 2).unwrap();
        let (digit, length) = match five {
            0..=2 => (five, 5),
            _ => (
                u16::from_str_radix(&bits[at..at + 6], 2).unwrap() - 0x19 + 3,
                6,
            ),
        };
        (at, number) = (at + length, number * 10 + digit);
    }
    number
}

/// A connection for frames.
#[derive(Debug)]
pub(crate) struct Frames {
    to: OwnedWriteHalf,
    from: mpsc::UnboundedReceiver<Frame>,
    /// Of a client that does not read: kept, so that the connection stays.
    _unread: Option<OwnedReadHalf>,
    _reader: Option<AbortOnDropHandle<()>>,
}

impl Frames {
    /// Connected and introduced: the preface, and SETTINGS with these values.
    pub(crate) async fn open(address: SocketAddr, values: &[(u16, u32)]) -> Self {
        let mut frames = Self::silent(address).await;
        frames.send(introduction(values)).await;
        let acked = |frame: &Frame| frame.kind == SETTINGS && frame.flags & ACK != 0;
        frames.until("the settings to be acknowledged", acked).await;
        // The host's own came first.
        frames.send(frame(SETTINGS, ACK, 0, [])).await;
        frames
    }

    /// Connected, with nothing said.
    pub(crate) async fn silent(address: SocketAddr) -> Self {
        let (read, to) = client::connect(address).await.into_split();
        let (sender, from) = mpsc::unbounded();
        let reader = tokio::spawn(follow(read, sender));
        Self {
            to,
            from,
            _unread: None,
            _reader: Some(AbortOnDropHandle::new(reader)),
        }
    }

    /// As `open`, and never reads anything.
    pub(crate) async fn deaf(address: SocketAddr, values: &[(u16, u32)]) -> Self {
        let (read, to) = client::connect(address).await.into_split();
        let mut frames = Self {
            to,
            from: mpsc::unbounded().1,
            _unread: Some(read),
            _reader: None,
        };
        frames.send(introduction(values)).await;
        frames
    }

    /// Sends bytes, which may be any number of frames.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        assert!(self.try_send(bytes).await, "the connection takes no more");
    }

    /// The same; false if the connection takes no more.
    pub(crate) async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        let sent = self.to.write_all(bytes.as_ref());
        within("frames to be sent", sent).await.is_ok()
    }

    /// The same, unless the other side takes nothing for a while.
    pub(crate) async fn write_soon(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        let sent = self.to.write_all(bytes.as_ref());
        matches!(tokio::time::timeout(STALL, sent).await, Ok(Ok(())))
    }

    /// The next frame; none at the connection's end.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        within("a frame", self.from.next()).await
    }

    /// Takes frames up to the first that fits. Panics if the connection ends before.
    pub(crate) async fn until(&mut self, what: &str, fits: impl Fn(&Frame) -> bool) -> Frame {
        let mut seen = Vec::new();
        loop {
            match within(what, self.from.next()).await {
                Some(frame) if fits(&frame) => return frame,
                Some(frame) => seen.push((frame.kind, frame.flags, frame.stream)),
                None => panic!("the connection ended before {what}, after {seen:?}"),
            }
        }
    }

    /// The status that a stream is answered with; the rest of the answer is left.
    pub(crate) async fn status(&mut self, stream: u32) -> u16 {
        let what = format!("an answer on stream {stream}");
        let fits = |frame: &Frame| frame.kind == HEADERS && frame.stream == stream;
        self.until(&what, fits).await.status()
    }

    /// What is first heard of a stream: a status, or the code that it is reset with.
    pub(crate) async fn outcome(&mut self, stream: u32) -> Outcome {
        loop {
            match self.next().await {
                None => return Outcome::Gone(None),
                Some(frame) if frame.kind == GOAWAY => {
                    return Outcome::Gone(Some(frame.code()));
                }
                Some(frame) if frame.stream != stream => {}
                Some(frame) if frame.kind == HEADERS => return Outcome::Status(frame.status()),
                Some(frame) if frame.kind == RST_STREAM => return Outcome::Reset(frame.code()),
                Some(_) => {}
            }
        }
    }

    /// What is heard of a stream after the head of its answer, which may have come.
    pub(crate) async fn after_head(&mut self, stream: u32) -> Outcome {
        match self.outcome(stream).await {
            Outcome::Status(_) => self.outcome(stream).await,
            other => other,
        }
    }

    /// Whether the connection is well: a PING comes back.
    pub(crate) async fn answers_pings(&mut self) -> bool {
        let mark = *b"are you?";
        if !self.try_send(frame(PING, 0, 0, mark)).await {
            return false;
        }
        while let Some(frame) = self.next().await {
            if frame.kind == PING && frame.flags & ACK != 0 && frame.payload == mark {
                return true;
            }
        }
        false
    }

    /// Takes what comes until the connection ends; the code of the last GOAWAY, if there was one.
    pub(crate) async fn end(mut self) -> Option<u32> {
        let mut code = None;
        while let Some(frame) = within("the connection to end", self.from.next()).await {
            if frame.kind == GOAWAY {
                code = Some(frame.code());
            }
        }
        code
    }
}

/// Whose answers repeat no field by its number: each can be read on its own.
fn introduction(values: &[(u16, u32)]) -> Vec<u8> {
    let values = [&[(HEADER_TABLE_SIZE, 0)], values].concat();
    [PREFACE, &settings(&values)].concat()
}

/// What came of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Status(u16),
    Reset(u32),
    /// The connection ended, with this code if it said so.
    Gone(Option<u32>),
}

/// Hands on each frame that comes until the connection ends; a reset ends it as well.
async fn follow(mut from: OwnedReadHalf, to: mpsc::UnboundedSender<Frame>) {
    let mut head = [0; HEAD_BYTES];
    while from.read_exact(&mut head).await.is_ok() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        if from.read_exact(&mut payload).await.is_err() {
            return;
        }
        let stream = u32::from_be_bytes(head[5..].try_into().unwrap()) & 0x7fff_ffff;
        let frame = Frame {
            kind: head[3],
            flags: head[4],
            stream,
            payload,
        };
        if to.unbounded_send(frame).is_err() {
            return;
        }
    }
}
