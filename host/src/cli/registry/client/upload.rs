//! A request's body that tells how much of it has been sent.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use indicatif::ProgressBar;

const PART_BYTES: usize = 64 << 10;

/// The rest of a body, of known length.
pub(in crate::cli::registry) struct Upload {
    left: Bytes,
    bar: ProgressBar,
}

impl Upload {
    /// A body that has not been sent yet, nor shown on `bar`.
    pub(super) fn new(bytes: Bytes, bar: ProgressBar) -> Self {
        bar.set_position(0);
        Self { left: bytes, bar }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let bytes = self.left.len().min(PART_BYTES);
        if bytes == 0 {
            return Poll::Ready(None);
        }
        self.bar.inc(bytes as u64);
        let part = self.left.split_to(bytes);
        Poll::Ready(Some(Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left.len() as u64)
    }
}
