//! An answer's body in a content coding, as it comes: what the inner body has sent reaches the client when there is no more
//! of it for now.
//!
//! A body that is cut stays cut: the coding's end is written when the inner body has ended well, and never else. The answer
//! is over when the last of what was coded has left, in as many bytes as that is.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame};

use super::{Cut, Ends, gone};
use crate::fault::{Cause, Fault};
use crate::request::exchange::Exchange;

pub(crate) use self::encoder::Encoder;

mod encoder;
#[cfg(test)]
mod tests;

/// Bytes that are coded before others on the lane have their turn.
const PIECE_BYTES_MAX: usize = 32 << 10;
/// What a frame counts for beside its bytes: a guest may send ever so many small ones.
const FRAME_COST: usize = 256;

/// A body that is coded on its way.
pub(crate) struct Coded<B> {
    body: B,
    /// None when it has ended, well or not.
    encoder: Option<Encoder>,
    /// What has come and is not coded yet.
    input: Bytes,
    /// Whether the encoder may have bytes that it has not given.
    holds: bool,
    /// Whether the body was asked a second time for what follows what it holds.
    has_waited: bool,
    /// Whether others come first, when it is asked next. The connection sends what it has when a body makes it wait.
    rests: bool,
    trailers: Option<HeaderMap>,
    /// After the body, which knows better why it ends.
    leaving: Leaving,
}

/// What of an answer has left in its coding; says so when nothing follows.
struct Leaving {
    exchange: Arc<Exchange>,
    bytes: u64,
    is_whole: bool,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        if !self.is_whole {
            self.exchange.failed(gone());
        }
        self.exchange.over_in_coding(self.bytes);
    }
}

impl<B> Coded<B>
where
    B: Body<Data = Bytes, Error = Cut> + Unpin,
{
    /// `body` as `encoder` makes it. From now on `exchange` is over when this is.
    pub(crate) fn new(body: B, encoder: Encoder, exchange: Arc<Exchange>) -> Self {
        exchange.leaves_in_coding();
        Self {
            body,
            encoder: Some(encoder),
            input: Bytes::new(),
            holds: false,
            has_waited: false,
            rests: false,
            trailers: None,
            leaving: Leaving {
                exchange,
                bytes: 0,
                is_whole: false,
            },
        }
    }

    /// What is next, if the body has it: `None` when it has to be waited for, or others come first.
    fn next(&mut self, cx: &mut Context<'_>) -> Result<Next, Cut> {
        let mut work = 0;
        while let Some(encoder) = &mut self.encoder {
            if work >= PIECE_BYTES_MAX {
                cx.waker().wake_by_ref();
                return Ok(Next::Later);
            }
            let coded = if !self.input.is_empty() {
                let piece = self.input.split_to(self.input.len().min(PIECE_BYTES_MAX));
                work += piece.len();
                (self.holds, self.has_waited) = (true, false);
                encoder.code(&piece)
            } else {
                match Pin::new(&mut self.body).poll_frame(cx) {
                    Poll::Ready(Some(Ok(frame))) => {
                        work += FRAME_COST;
                        match frame.into_data() {
                            Ok(data) => {
                                self.input = data;
                                continue;
                            }
                            Err(frame) => self.trailers = frame.into_trailers().ok(),
                        }
                        self.end()
                    }
                    Poll::Ready(None) => self.end(),
                    Poll::Ready(Some(Err(cut))) => return Err(cut),
                    Poll::Pending if self.holds && self.has_waited => {
                        self.holds = false;
                        encoder.flush()
                    }
                    Poll::Pending => {
                        // A guest that sends one small piece after the other has its turn first: a flush costs bytes.
                        if self.holds {
                            self.has_waited = true;
                            cx.waker().wake_by_ref();
                        }
                        return Ok(Next::Later);
                    }
                }
            };
            let coded = coded.map_err(|error| {
                let detail = format!("the answer can't be coded: {error}");
                Cut::by(Fault::new(Cause::HostFailed, detail))
            })?;
            if !coded.is_empty() {
                return Ok(Next::Data(coded));
            }
        }
        Ok(match self.trailers.take() {
            Some(trailers) => Next::Trailers(trailers),
            None => Next::End,
        })
    }

    /// The rest of what the encoder has, and the coding's end.
    fn end(&mut self) -> std::io::Result<Bytes> {
        match self.encoder.take() {
            Some(encoder) => encoder.finish(),
            None => Ok(Bytes::new()),
        }
    }
}

/// What a body does next.
enum Next {
    Data(Bytes),
    Trailers(HeaderMap),
    End,
    Later,
}

impl<B> Ends for Coded<B>
where
    B: Body<Data = Bytes, Error = Cut> + Send + Unpin + 'static,
{
    fn exchange(&self) -> &Exchange {
        &self.leaving.exchange
    }
}

impl<B> Body for Coded<B>
where
    B: Body<Data = Bytes, Error = Cut> + Unpin,
{
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = self.get_mut();
        if std::mem::take(&mut this.rests) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let next = match this.next(cx) {
            Ok(Next::Data(data)) => {
                this.rests = this.encoder.is_some();
                this.leaving.bytes += data.len() as u64;
                Some(Ok(Frame::data(data)))
            }
            Ok(Next::Trailers(trailers)) => Some(Ok(Frame::trailers(trailers))),
            Ok(Next::End) => None,
            Ok(Next::Later) => return Poll::Pending,
            Err(cut) => {
                // Nothing of what it still has may follow, its end least of all.
                this.encoder = None;
                this.trailers = None;
                this.leaving.exchange.failed(cut.0.clone());
                return Poll::Ready(Some(Err(cut)));
            }
        };
        // A connection leaves a body once it says that this was the last of it.
        this.leaving.is_whole = this.is_end_stream();
        Poll::Ready(next)
    }

    fn is_end_stream(&self) -> bool {
        self.encoder.is_none() && self.trailers.is_none()
    }
}
