//! A body that is noted on its way.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use wasmtime_wasi_http::Error;

use super::notebook::{Notebook, Part};

/// Notes what passes, and whether it came to its end.
pub(super) struct Tee<B: Body> {
    body: B,
    part: Part,
    notebook: Arc<Notebook>,
    is_over: bool,
}

impl<B: Body> Tee<B> {
    pub(super) fn of(body: B, part: Part, notebook: Arc<Notebook>) -> Self {
        let mut tee = Self {
            body,
            part,
            notebook,
            is_over: false,
        };
        tee.look();
        tee
    }

    /// Whoever takes the body may not ask for its end.
    fn look(&mut self) {
        if self.body.is_end_stream() {
            self.end(true);
        }
    }

    fn end(&mut self, is_whole: bool) {
        if !std::mem::replace(&mut self.is_over, true) {
            self.notebook.ends(&self.part, is_whole);
        }
    }
}

impl<B> Body for Tee<B>
where
    B: Body<Data = Bytes, Error = Error> + Unpin,
{
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        let next = ready!(Pin::new(&mut this.body).poll_frame(cx));
        match &next {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    this.notebook.passes(&this.part, data);
                }
                this.look();
            }
            Some(Err(_)) => this.end(false),
            None => this.end(true),
        }
        Poll::Ready(next)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B: Body> Drop for Tee<B> {
    fn drop(&mut self) {
        let is_whole = self.body.is_end_stream();
        self.end(is_whole);
    }
}
