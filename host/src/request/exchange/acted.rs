//! Whether somebody may have done something about a request although there is no answer that says so.

use std::sync::atomic::Ordering::Relaxed;

use super::Exchange;
use crate::fault::{Cause, Fault};

impl Exchange {
    /// What a revision had begun about the request ended so: in a try, in its own or another's place.
    pub(crate) fn failed_when_begun(&self, fault: &Fault) {
        if !fault.unobserved && !is_refusal(fault.cause) {
            self.may_have_acted.store(true, Relaxed);
        }
    }

    /// What may have been done in this turn of the request may have been done about the request.
    pub(crate) fn acted_as(&self, turn: &Self) {
        if turn.may_have_acted() {
            self.may_have_acted.store(true, Relaxed);
        }
    }

    /// Whether somebody may have done something about the request and failed then, in whichever of its tries. What no
    /// revision has got is not begun.
    pub(crate) fn may_have_acted(&self) -> bool {
        self.may_have_acted.load(Relaxed)
    }
}

/// Whether a request that ends so has been with nobody who could have done something about it. An instance that can't be
/// started is not said here: its fault says whether it was observed.
fn is_refusal(cause: Cause) -> bool {
    match cause {
        Cause::MalformedRequest
        | Cause::HeadTooLarge
        | Cause::NoRoute
        | Cause::NoFile
        | Cause::WrongMethod
        | Cause::Unauthenticated
        | Cause::Forbidden
        | Cause::ForeignOrigin
        | Cause::UpgradeVersion
        | Cause::NoRevision
        | Cause::RateLimited
        | Cause::IdempotencyKeyMissing
        | Cause::IdempotencyKeyMalformed
        | Cause::IdempotencyKeyReused
        | Cause::IdempotencyInFlight
        | Cause::IdempotencyInDoubt
        | Cause::Overloaded
        | Cause::QueueFull
        | Cause::IdentityUnknown
        | Cause::SocketsFull
        | Cause::NotReady
        | Cause::BreakerOpen
        | Cause::Unhealthy
        | Cause::UpstreamUnreachable
        | Cause::PoolExhausted => true,
        // What is shut down may have begun.
        Cause::Draining
        | Cause::BodyTooLarge
        | Cause::BodyTimeout
        | Cause::CallerGone
        | Cause::GuestTrapped
        | Cause::GuestOutOfMemory
        | Cause::NoResponse
        | Cause::InvalidResponse
        | Cause::CalleeFailed
        | Cause::UpstreamFailed
        | Cause::BodyStalled
        | Cause::InstantiationFailed
        | Cause::CpuDeadline
        | Cause::WallDeadline
        | Cause::CallLoop
        | Cause::HostFailed => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_failed_may_have_acted_unless_it_refused_or_was_not_observed() {
        for (cause, expected) in [
            (Cause::WallDeadline, true),
            (Cause::GuestTrapped, true),
            (Cause::UpstreamFailed, true),
            (Cause::Draining, true),
            (Cause::QueueFull, false),
            (Cause::BreakerOpen, false),
            (Cause::UpstreamUnreachable, false),
        ] {
            let exchange = Exchange::of_nobody();
            exchange.failed_when_begun(&cause.into());
            assert_eq!(exchange.may_have_acted(), expected, "{cause:?}");
            let exchange = Exchange::of_nobody();
            exchange.failed_when_begun(&Fault {
                unobserved: true,
                ..cause.into()
            });
            assert!(!exchange.may_have_acted(), "{cause:?}");
        }
    }

    #[test]
    fn what_an_earlier_try_may_have_done_is_not_undone_by_how_a_later_one_ends() {
        let exchange = Exchange::of_nobody();
        for cause in [Cause::QueueFull, Cause::GuestTrapped, Cause::BreakerOpen] {
            let turn = Exchange::of_nobody();
            turn.failed_when_begun(&cause.into());
            exchange.tried_as(&turn);
        }
        assert!(exchange.may_have_acted());
    }
}
