//! An answer on a connection that carries several: one that its reader leaves alone is given up, the others go on.
//!
//! Over HTTP/2 a client can keep one stream's window shut while the connection is well. Such a body is never asked for
//! more, so that it can't notice by itself. It is watched from outside, so that nothing that works on it on its way stays.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;

use super::{Cut, Ends, OutgoingBody};
use crate::fault::{Cause, Fault};
use crate::request::send::Manner;

/// `body` as a connection sends it: given up when nobody has asked for more of it for too long, if its reader may leave it
/// alone and go on.
pub(crate) fn watched<B: Ends>(body: B, manner: Manner) -> OutgoingBody {
    if !manner.may_be_unread {
        return body.boxed_unsync();
    }
    let watched = Arc::new(Mutex::new(Watched {
        body: Ok(body),
        asked: Instant::now(),
        waits: false,
    }));
    let watch = tokio::spawn(watch(Arc::downgrade(&watched), manner.body_idle));
    Unread {
        watched,
        _watch: AbortOnDropHandle::new(watch),
    }
    .boxed_unsync()
}

struct Unread<B> {
    watched: Arc<Mutex<Watched<B>>>,
    _watch: AbortOnDropHandle<()>,
}

struct Watched<B> {
    /// Or why it was given up.
    body: Result<B, Fault>,
    asked: Instant,
    /// Whether the connection waits for the guest, and not the other way round.
    waits: bool,
}

impl<B: Ends> Watched<B> {
    /// Nobody reads on: the guest is let go now, the answer is cut when it is asked for next.
    fn give_up(&mut self) {
        let detail = "[timeouts] body_idle passed without the client taking a byte of the answer";
        let fault = Fault::new(Cause::CallerGone, detail);
        if let Ok(body) = &self.body {
            body.exchange().failed(fault.clone());
        }
        self.body = Err(fault);
    }
}

async fn watch<B: Ends>(watched: Weak<Mutex<Watched<B>>>, idle: Duration) {
    let mut due = Instant::now() + idle;
    loop {
        sleep_until(due).await;
        let Some(watched) = watched.upgrade() else {
            return;
        };
        let mut watched = lock(&watched);
        let now = Instant::now();
        due = if watched.waits { now } else { watched.asked } + idle;
        if due <= now {
            return watched.give_up();
        }
    }
}

impl<B: Ends> Body for Unread<B> {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let mut watched = lock(&self.watched);
        let frame = match &mut watched.body {
            Ok(body) => Pin::new(body).poll_frame(cx),
            Err(fault) => Poll::Ready(Some(Err(Cut::by(fault.clone())))),
        };
        watched.asked = Instant::now();
        watched.waits = frame.is_pending();
        frame
    }

    fn is_end_stream(&self) -> bool {
        let watched = lock(&self.watched);
        watched.body.as_ref().is_ok_and(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let watched = lock(&self.watched);
        watched
            .body
            .as_ref()
            .map(Body::size_hint)
            .unwrap_or_default()
    }
}

fn lock<B>(watched: &Mutex<Watched<B>>) -> MutexGuard<'_, Watched<B>> {
    watched.lock().unwrap_or_else(PoisonError::into_inner)
}
