//! A request's side of the guest that works on it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::Response;
use tokio::sync::oneshot::{self, error::RecvError};
use wasmtime_wasi_http::WasiBody;

use super::instance::{Claimant, Instance};
use super::meter::Metered;
use super::sender::Sender;
use super::{Answer, Answered};
use crate::fault::{Cause, Fault};
use crate::request::body::early::Early;

/// An answer, and the guest that works on it if that is polled here: in its request's own task, so that no other has
/// to be woken. What the guest does after its answer it does in a task of its own. Dropped, it puts the guest down.
pub(super) struct Attended {
    pub(super) guest: Option<Guest>,
    pub(super) answer: oneshot::Receiver<Answer>,
}

/// An instance that has no task yet.
pub(super) struct Guest {
    pub(super) life: Metered,
    pub(super) instance: Arc<Instance>,
}

impl Guest {
    /// Goes on in a task of its own.
    pub(super) fn go(mut self) {
        if let Some(lull) = self.life.tell() {
            self.instance.tells(lull);
        }
        let task = tokio::spawn(self.life);
        self.instance.started(task.abort_handle());
    }
}

impl Future for Attended {
    type Output = Result<Answer, RecvError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let is_over = |guest: &mut Guest| Pin::new(&mut guest.life).poll(cx).is_ready();
        self.guest.take_if(is_over);
        let answer = ready!(Pin::new(&mut self.answer).poll(cx));
        if let Some(guest) = self.guest.take() {
            guest.go();
        }
        Poll::Ready(answer)
    }
}

/// Abandons the request's place in its instance unless it is kept: at the deadline, and when the caller is gone.
pub(super) struct Hold(pub(super) Option<Claimant>);

impl Hold {
    pub(super) fn keep(mut self) -> Result<Claimant, Fault> {
        self.0.take().ok_or_else(|| Cause::HostFailed.into())
    }

    pub(super) fn fault(&self) -> Fault {
        let ended = self
            .0
            .as_ref()
            .and_then(|claimant| claimant.instance.fault());
        ended.unwrap_or_else(|| {
            Fault::new(
                Cause::HostFailed,
                "the instance's task ended without a word; see the log for a panic",
            )
        })
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(claimant) = self.0.take() {
            claimant.abandon();
        }
    }
}

/// The answer, with as much of its body as the guest sends before it has to wait for something.
pub(super) async fn begun(response: Response<WasiBody>, claimant: Claimant) -> Option<Answered> {
    let instance = claimant.instance.clone();
    let mut sending = Sending(Some(claimant));
    let (head, body) = response.into_parts();
    let mut body = Early::of(body);
    tokio::select! {
        biased;
        () = body.begin() => {}
        () = instance.rests() => {}
    }
    let sender = Sender::Guest(sending.0.take()?);
    let response = Response::from_parts(head, body);
    Some(Answered { response, sender })
}

/// Lets the instance know that its caller has gone in the middle of the answer, unless the claimant is taken out.
struct Sending(Option<Claimant>);

impl Drop for Sending {
    fn drop(&mut self) {
        if let Some(claimant) = self.0.take() {
            claimant.hang_up();
        }
    }
}
