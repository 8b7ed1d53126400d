//! The body of an answer that the host sends itself, and what the request holds until that is out.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio_util::sync::WaitForCancellationFutureOwned;
use wasmtime_wasi_http::{Error as WasiError, WasiBody};

use crate::fault::{Cause, Fault};
use crate::registry::Lease;
use crate::request::exchange::Exchange;
use crate::request::gate::Slot;

/// What a request holds while it is answered.
#[derive(Debug)]
pub(in crate::request) struct Holds {
    pub(in crate::request) exchange: Arc<Exchange>,
    pub(in crate::request) lease: Lease,
    pub(in crate::request) _slot: Slot,
}

impl Holds {
    /// Ends when the revision is cut.
    pub(super) async fn cut(&self) -> Fault {
        self.lease.revision.late().cancelled().await;
        late()
    }

    /// `body` with all that is held for it.
    pub(super) fn body(self, body: WasiBody) -> WasiBody {
        let late = self.lease.revision.late().clone().cancelled_owned();
        Held {
            body,
            late: Box::pin(late),
            holds: self,
        }
        .boxed_unsync()
    }
}

fn late() -> Fault {
    Fault::new(
        Cause::Draining,
        "[timeouts] drain passed before the answer was out",
    )
}

struct Held {
    body: WasiBody,
    late: Pin<Box<WaitForCancellationFutureOwned>>,
    holds: Holds,
}

impl Body for Held {
    type Data = Bytes;
    type Error = WasiError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, WasiError>>> {
        if self.late.as_mut().poll(cx).is_ready() {
            self.holds.exchange.failed(late());
            return Poll::Ready(Some(Err(WasiError::ConnectionTerminated)));
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
