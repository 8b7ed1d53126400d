//! The beginning of an answer's body, which leaves together with the head: a short answer goes out in one piece and with
//! its length, and its client is woken once.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use wasmtime_wasi_http::{Error as WasiError, WasiBody};

/// A body that has as many bytes is sent without a look at what comes next.
const BYTES_MAX: u64 = 16 << 10;
/// A guest may send frames without end that have no bytes.
const FRAMES_MAX: usize = 8;

type Next = Option<Result<Frame<Bytes>, WasiError>>;

/// A body, and what of it was there at once.
pub(crate) struct Early {
    body: WasiBody,
    /// In order. Nothing follows `None` and errors.
    frames: VecDeque<Next>,
    bytes: u64,
}

impl Early {
    pub(crate) fn of(body: WasiBody) -> Self {
        Self {
            body,
            frames: VecDeque::new(),
            bytes: 0,
        }
    }

    /// Takes in what comes, to the end or until it is enough.
    pub(crate) async fn begin(&mut self) {
        while self.bytes < BYTES_MAX && self.frames.len() < FRAMES_MAX && !self.has_end() {
            let next = self.body.frame().await;
            self.bytes += bytes_of(&next);
            self.frames.push_back(next);
        }
    }

    /// Whether the body's last frame is among those that were taken in.
    fn has_end(&self) -> bool {
        matches!(self.frames.back(), Some(None | Some(Err(_))))
    }

    /// Whether there is nothing but bytes, and no more of them. Trailers can only follow a body whose length is not said.
    fn is_whole(&self) -> bool {
        let is_trailers = |next: &Next| matches!(next, Some(Ok(frame)) if frame.is_trailers());
        matches!(self.frames.back(), Some(None)) && !self.frames.iter().any(is_trailers)
    }
}

fn bytes_of(next: &Next) -> u64 {
    let data = next
        .as_ref()
        .and_then(|frame| frame.as_ref().ok()?.data_ref());
    data.map_or(0, |data| data.len() as u64)
}

impl Body for Early {
    type Data = Bytes;
    type Error = WasiError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Next> {
        match self.frames.pop_front_if(|next| next.is_some()) {
            Some(next) => {
                self.bytes -= bytes_of(&next);
                Poll::Ready(next)
            }
            // The end stays for whoever asks again.
            None if self.has_end() => Poll::Ready(None),
            None => Pin::new(&mut self.body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self.frames.front() {
            Some(next) => next.is_none(),
            None => self.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        if self.is_whole() {
            return SizeHint::with_exact(self.bytes);
        }
        let (rest, mut hint) = (self.body.size_hint(), SizeHint::new());
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(self.bytes));
        }
        hint.set_lower(rest.lower().saturating_add(self.bytes));
        hint
    }
}
