//! The body of a request: parts that are sent as they are, and shown on a bar as they go.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use indicatif::ProgressBar;

/// Sent, and counted on the bar, at a time.
const PIECE_BYTES: usize = 64 << 10;

/// The rest of a body, of known length.
#[derive(Debug)]
pub(super) struct Upload {
    left: VecDeque<Bytes>,
    bar: ProgressBar,
}

impl Upload {
    /// Nothing.
    pub(super) fn empty() -> Self {
        Self::whole(Bytes::new(), ProgressBar::hidden())
    }

    /// Bytes as they are. The bar goes from none to all of them.
    pub(super) fn whole(bytes: Bytes, bar: ProgressBar) -> Self {
        Self::of([bytes].into(), bar)
    }

    /// Parts, one after the other.
    pub(super) fn of(left: VecDeque<Bytes>, bar: ProgressBar) -> Self {
        let upload = Self { left, bar };
        upload.bar.set_length(upload.bytes());
        upload.bar.set_position(0);
        upload
    }

    fn bytes(&self) -> u64 {
        self.left.iter().map(|part| part.len() as u64).sum()
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        while self.left.front().is_some_and(Bytes::is_empty) {
            self.left.pop_front();
        }
        let Some(part) = self.left.front_mut() else {
            return Poll::Ready(None);
        };
        let piece = part.split_to(part.len().min(PIECE_BYTES));
        self.bar.inc(piece.len() as u64);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.iter().all(Bytes::is_empty)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes())
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn nothing_is_nothing() {
        let upload = Upload::empty();
        assert!(upload.is_end_stream());
        assert_eq!(upload.size_hint().exact(), Some(0));
        assert!(upload.collect().await.unwrap().to_bytes().is_empty());
    }
}
