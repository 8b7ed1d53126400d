//! Who sends the body of an answer.

use super::instance::Claimant;
use crate::fault::Fault;

/// Who still works on an answer whose head is there.
#[derive(Debug)]
pub(crate) enum Sender {
    /// A guest, which has to be let go.
    Guest(Claimant),
    /// The host: its body says all there is to say, and is dropped if nobody wants it.
    Host,
}

impl Sender {
    /// Why it can't go on, if it can't.
    pub(crate) fn stopped(&self) -> Option<Fault> {
        match self {
            Self::Guest(claimant) => claimant.stopped(),
            Self::Host => None,
        }
    }

    /// The whole answer is out.
    pub(crate) fn release(&self) {
        if let Self::Guest(claimant) = self {
            claimant.release();
        }
    }

    /// Nobody wants the rest of the answer.
    pub(crate) fn hang_up(&self) {
        if let Self::Guest(claimant) = self {
            claimant.hang_up();
        }
    }
}
