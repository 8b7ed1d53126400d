//! An answer on a connection that carries several: one that its reader leaves alone is given up, the others go on.
//!
//! Over HTTP/2 a client can keep one stream's window shut while the connection is well. Such a body is never asked for
//! more, so that it can't notice by itself.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;

use super::{Cut, Outgoing, OutgoingBody};

pub(super) struct Unread {
    watched: Arc<Mutex<Watched>>,
    _watch: AbortOnDropHandle<()>,
}

struct Watched {
    outgoing: Outgoing,
    asked: Instant,
    /// Whether the connection waits for the guest, and not the other way round.
    waits: bool,
}

impl Unread {
    /// Gives `outgoing` up when nobody has asked for more of it for as long as `idle`.
    pub(super) fn boxed(outgoing: Outgoing, idle: Duration) -> OutgoingBody {
        let watched = Arc::new(Mutex::new(Watched {
            outgoing,
            asked: Instant::now(),
            waits: false,
        }));
        let watch = tokio::spawn(watch(Arc::downgrade(&watched), idle));
        Self {
            watched,
            _watch: AbortOnDropHandle::new(watch),
        }
        .boxed_unsync()
    }
}

async fn watch(watched: Weak<Mutex<Watched>>, idle: Duration) {
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
            return watched.outgoing.give_up();
        }
    }
}

impl Body for Unread {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let mut watched = lock(&self.watched);
        let frame = Pin::new(&mut watched.outgoing).poll_frame(cx);
        watched.asked = Instant::now();
        watched.waits = frame.is_pending();
        frame
    }

    fn is_end_stream(&self) -> bool {
        lock(&self.watched).outgoing.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        lock(&self.watched).outgoing.size_hint()
    }
}

fn lock(watched: &Mutex<Watched>) -> MutexGuard<'_, Watched> {
    watched.lock().unwrap_or_else(PoisonError::into_inner)
}
