//! The codings' encoders: bytes in, bytes out, with levels for what is made anew for each request.

use std::io::{self, Write};

use bytes::Bytes;
use flate2::write::GzEncoder;
use skep_policy::coding::Coding;

const ZSTD_LEVEL: i32 = 3;
const BROTLI_QUALITY: u32 = 4;
const GZIP_LEVEL: u32 = 5;
/// How far back an encoder looks, as a power of two: what an answer takes in memory grows with it.
const WINDOW_LOG_MAX: u32 = 18;
const WINDOW_LOG_MIN: u32 = 10;
/// Bytes that the brotli encoder writes at once.
const BROTLI_BUFFER_BYTES: usize = 4 << 10;
/// Less than this waits for more, or for a flush.
const GIVEN_BYTES_MIN: usize = 4 << 10;

/// An encoder, and what it has given that nobody has taken.
pub(crate) enum Encoder {
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
    Br(Box<brotli::CompressorWriter<Vec<u8>>>),
    Gzip(GzEncoder<Vec<u8>>),
    /// It could not be set up.
    Failed(Option<io::Error>),
}

impl Encoder {
    /// For a body of `length` bytes, if that is known.
    pub(crate) fn new(coding: Coding, length: Option<u64>) -> Self {
        let window = window_log(length);
        let out = Vec::new();
        match coding {
            Coding::Zstd => match zstd(out, window) {
                Ok(encoder) => Self::Zstd(encoder),
                Err(error) => Self::Failed(Some(error)),
            },
            Coding::Br => Self::Br(Box::new(brotli::CompressorWriter::new(
                out,
                BROTLI_BUFFER_BYTES,
                BROTLI_QUALITY,
                window,
            ))),
            Coding::Gzip => Self::Gzip(GzEncoder::new(out, flate2::Compression::new(GZIP_LEVEL))),
        }
    }

    /// Takes in a piece; what has come of all so far if it is worth sending, else nothing.
    pub(super) fn code(&mut self, piece: &[u8]) -> io::Result<Bytes> {
        self.writer()?.write_all(piece)?;
        Ok(match self.out() {
            Some(out) if out.len() >= GIVEN_BYTES_MIN => std::mem::take(out).into(),
            _ => Bytes::new(),
        })
    }

    /// Gives all that it has taken in.
    pub(super) fn flush(&mut self) -> io::Result<Bytes> {
        self.writer()?.flush()?;
        let out = self.out().map(std::mem::take);
        Ok(out.unwrap_or_default().into())
    }

    /// Gives the rest, and the end.
    pub(super) fn finish(self) -> io::Result<Bytes> {
        let rest = match self {
            Self::Zstd(encoder) => encoder.finish()?,
            Self::Br(encoder) => encoder.into_inner(),
            Self::Gzip(encoder) => encoder.finish()?,
            Self::Failed(error) => return Err(error.unwrap_or_else(failed)),
        };
        Ok(rest.into())
    }

    fn writer(&mut self) -> io::Result<&mut dyn Write> {
        match self {
            Self::Zstd(encoder) => Ok(encoder),
            Self::Br(encoder) => Ok(encoder),
            Self::Gzip(encoder) => Ok(encoder),
            Self::Failed(error) => Err(error.take().unwrap_or_else(failed)),
        }
    }

    fn out(&mut self) -> Option<&mut Vec<u8>> {
        match self {
            Self::Zstd(encoder) => Some(encoder.get_mut()),
            Self::Br(encoder) => Some(encoder.get_mut()),
            Self::Gzip(encoder) => Some(encoder.get_mut()),
            Self::Failed(_) => None,
        }
    }
}

fn zstd(
    out: Vec<u8>,
    window_log: u32,
) -> io::Result<zstd::stream::write::Encoder<'static, Vec<u8>>> {
    let mut encoder = zstd::stream::write::Encoder::new(out, ZSTD_LEVEL)?;
    encoder.window_log(window_log)?;
    Ok(encoder)
}

fn failed() -> io::Error {
    io::Error::other("the encoder could not be set up")
}

/// As large as the body, within bounds.
fn window_log(length: Option<u64>) -> u32 {
    let of_length = |length: u64| u64::BITS - length.leading_zeros();
    length.map_or(WINDOW_LOG_MAX, |length| {
        of_length(length).clamp(WINDOW_LOG_MIN, WINDOW_LOG_MAX)
    })
}
