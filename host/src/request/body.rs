//! Bodies on their way in and out: bounded in size and in silence, and cut where a fault cuts them.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep, sleep};
use wasmtime_wasi_http::{Error as WasiError, WasiBody};

use super::exchange::Exchange;
use super::run::sender::Sender;
use crate::fault::{Cause, Fault};

use self::early::Early;

pub(crate) mod coded;
pub(crate) mod early;
mod unread;

pub(crate) use self::unread::watched;

/// How often what waits looks whether the instance that it waits for was stopped: nothing wakes it for that, so that
/// requests have nothing in common to register with.
pub(crate) const LOOK: Duration = Duration::from_secs(1);

/// Times out when a body makes no progress. Registers a timer only when it has to wait.
struct Patience {
    limit: Duration,
    since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Patience {
    fn new(limit: Duration) -> Self {
        Self {
            limit,
            since: None,
            timer: None,
        }
    }

    /// Ready when there was no progress for too long.
    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while !ready!(self.poll_look(cx)) {}
        Poll::Ready(())
    }

    /// Ready whenever it is time to look whether there is still something to wait for; true when it was too long.
    fn poll_look(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let out = *self.since.get_or_insert_with(Instant::now) + self.limit;
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(sleep(self.limit.min(LOOK))));
        ready!(timer.as_mut().poll(cx));
        let now = Instant::now();
        timer.as_mut().reset(out.min(now + LOOK));
        Poll::Ready(now >= out)
    }

    fn progress(&mut self) {
        self.since = None;
        self.timer = None;
    }
}

/// A request's body on its way to a guest.
pub(crate) struct Incoming<B> {
    body: B,
    left: u64,
    patience: Patience,
    exchange: Arc<Exchange>,
}

impl<B> Incoming<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<WasiError>,
{
    /// Lets at most `limit` bytes pass and never waits longer than `idle` for the next.
    pub(crate) fn boxed(body: B, limit: u64, idle: Duration, exchange: &Arc<Exchange>) -> WasiBody {
        if body.is_end_stream() {
            return http_body_util::Empty::new()
                .map_err(|never| match never {})
                .boxed_unsync();
        }
        Self {
            body,
            left: limit,
            patience: Patience::new(idle),
            exchange: exchange.clone(),
        }
        .boxed_unsync()
    }

    fn pass(&mut self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, WasiError> {
        let length = frame.data_ref().map_or(0, |data| data.len() as u64);
        match self.left.checked_sub(length) {
            Some(left) => {
                self.left = left;
                Ok(frame)
            }
            None => {
                self.exchange.refuse(Fault::new(
                    Cause::BodyTooLarge,
                    "the body is larger than [limits] body",
                ));
                Err(WasiError::HttpRequestBodySize(None))
            }
        }
    }
}

impl<B> Body for Incoming<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<WasiError>,
{
    type Data = Bytes;
    type Error = WasiError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, WasiError>>> {
        let this = self.get_mut();
        match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Ready(frame) => {
                this.patience.progress();
                this.exchange.set_awaits_caller(false);
                Poll::Ready(match frame {
                    Some(Ok(frame)) => Some(this.pass(frame)),
                    Some(Err(error)) => Some(Err(error.into())),
                    None => None,
                })
            }
            Poll::Pending => {
                this.exchange.set_awaits_caller(true);
                ready!(this.patience.poll_out(cx));
                this.exchange.refuse(Fault::new(
                    Cause::BodyTimeout,
                    "[timeouts] body_idle passed without a byte of the body",
                ));
                Poll::Ready(Some(Err(WasiError::ConnectionReadTimeout)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> Drop for Incoming<B> {
    fn drop(&mut self) {
        self.exchange.set_awaits_caller(false);
    }
}

/// Lets someone know when the body is gone.
pub(crate) struct Held {
    body: WasiBody,
    _held: oneshot::Sender<()>,
}

impl Held {
    pub(crate) fn boxed(body: WasiBody, held: oneshot::Sender<()>) -> WasiBody {
        Self { body, _held: held }.boxed_unsync()
    }
}

impl Body for Held {
    type Data = Bytes;
    type Error = WasiError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, WasiError>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of an answer as a connection sends it.
pub(crate) type OutgoingBody = UnsyncBoxBody<Bytes, Cut>;

/// The answer ends here although it is not whole; the connection must not look as if it were.
#[derive(Debug, thiserror::Error)]
#[error("the answer was cut: {0}")]
pub(crate) struct Cut(Fault);

impl Cut {
    /// For this reason.
    pub(crate) fn by(fault: Fault) -> Self {
        Self(fault)
    }
}

/// A body that an exchange ends with.
pub(crate) trait Ends: Body<Data = Bytes, Error = Cut> + Send + Unpin + 'static {
    fn exchange(&self) -> &Exchange;
}

/// A guest's answer on its way out.
pub(crate) struct Outgoing {
    body: Early,
    exchange: Arc<Exchange>,
    sender: Option<Sender>,
    patience: Patience,
    /// The answer's content-length, if it has one.
    promised: Option<u64>,
    bytes: u64,
    /// The next poll ends the body with this.
    cut: Option<Fault>,
}

impl Outgoing {
    /// Sends `body` for as long as it makes progress.
    pub(crate) fn new(
        body: Early,
        promised: Option<u64>,
        exchange: Arc<Exchange>,
        sender: Sender,
        idle: Duration,
    ) -> Self {
        Self {
            body,
            exchange,
            sender: Some(sender),
            patience: Patience::new(idle),
            promised,
            bytes: 0,
            cut: None,
        }
    }

    fn pass(&mut self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, Fault> {
        self.patience.progress();
        self.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
        match self.promised {
            Some(promised) if self.bytes > promised => Err(Fault::new(
                Cause::InvalidResponse,
                format!("the body is longer than its content-length of {promised}"),
            )),
            // A connection leaves a body once it has its trailers.
            _ if frame.is_trailers() => self.end().map(|()| frame),
            _ => Ok(frame),
        }
    }

    /// Ends the answer before its time. The connection is asked back first: it sends what it has of the answer when a
    /// body makes it wait, and forgets it when a body fails.
    fn cut(&mut self, fault: Fault, cx: &Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        self.fail(fault.clone());
        self.cut = Some(fault);
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn fail(&mut self, fault: Fault) {
        self.exchange.failed(fault);
        if let Some(sender) = self.sender.take() {
            sender.hang_up();
        }
    }

    /// Why the guest was stopped, if it was.
    fn stopped(&self) -> Option<Fault> {
        self.sender.as_ref()?.stopped()
    }

    fn failure(&self) -> Option<Fault> {
        self.exchange.fault().cloned().or_else(|| self.stopped())
    }

    /// The guest's stream has ended: that is the end of the answer unless the guest was stopped, or has not sent what
    /// it promised.
    fn end(&mut self) -> Result<(), Fault> {
        if let Some(fault) = self.failure() {
            return Err(fault);
        }
        if let Some(promised) = self.promised.filter(|promised| self.bytes < *promised) {
            return Err(Fault::new(
                Cause::InvalidResponse,
                format!("the body is shorter than its content-length of {promised}"),
            ));
        }
        self.exchange.over(self.bytes);
        if let Some(sender) = self.sender.take() {
            sender.release();
        }
        Ok(())
    }

    /// Whether nothing is missing, although the body may not have been asked for its end.
    fn is_whole(&self) -> bool {
        let all_there = self.body.is_end_stream() || self.promised == Some(self.bytes);
        all_there && self.exchange.fault().is_none()
    }
}

impl Ends for Outgoing {
    fn exchange(&self) -> &Exchange {
        &self.exchange
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = self.get_mut();
        if let Some(fault) = this.cut.take() {
            return Poll::Ready(Some(Err(Cut(fault))));
        }
        match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => match this.pass(frame) {
                Ok(frame) => Poll::Ready(Some(Ok(frame))),
                Err(fault) => this.cut(fault, cx),
            },
            Poll::Ready(Some(Err(error))) => {
                let fault = this.exchange.fault().cloned().unwrap_or_else(|| {
                    let detail = format!("the body ended wrongly: {error}");
                    Fault::new(Cause::InvalidResponse, detail)
                });
                this.cut(fault, cx)
            }
            Poll::Ready(None) => match this.end() {
                Ok(()) => Poll::Ready(None),
                Err(fault) => this.cut(fault, cx),
            },
            Poll::Pending => {
                while !ready!(this.patience.poll_look(cx)) {
                    // A guest that has handed its body on is gone without a word here.
                    if let Some(fault) = this.stopped() {
                        return this.cut(fault, cx);
                    }
                }
                let fault = if this.exchange.awaits_caller() {
                    let detail = "[timeouts] body_idle passed while the guest waited for the body";
                    Fault::new(Cause::BodyTimeout, detail)
                } else {
                    let detail = "[timeouts] body_idle passed without a byte of the answer";
                    Fault::new(Cause::BodyStalled, detail)
                };
                this.cut(fault, cx)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let kept = self.promised.is_none_or(|promised| self.bytes == promised);
        self.body.is_end_stream() && kept && self.failure().is_none()
    }

    fn size_hint(&self) -> SizeHint {
        // A connection believes this more than the head, and asks for no more: it must not take what a stopped guest
        // has sent for all, nor less than was promised for the whole.
        if self.promised.is_some() || self.failure().is_some() {
            return SizeHint::default();
        }
        self.body.size_hint()
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        // A connection leaves a body once it has as many bytes as were promised.
        if self.sender.is_some() {
            let outcome = if self.is_whole() {
                self.end()
            } else {
                Err(gone())
            };
            if let Err(fault) = outcome {
                self.fail(fault);
            }
        }
        self.exchange.over(self.bytes);
    }
}

fn gone() -> Fault {
    let detail = "the connection was closed in the middle of the answer";
    Fault::new(Cause::CallerGone, detail)
}

#[cfg(test)]
mod tests;
