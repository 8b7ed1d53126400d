//! What the gateway learns of a request from outside on its way, each thing once.

use std::sync::Arc;

use http::HeaderValue;

use super::access::Visitor;
use super::{Exchange, Quota};
use crate::request::edge::Passage;
use crate::request::identity::Identity;
use crate::request::journey::Journey;

impl Exchange {
    pub(crate) fn says_quota(&self, quota: Quota) {
        // One limit a request.
        drop(self.quota.set(quota));
    }

    pub(crate) fn quota(&self) -> Option<&Quota> {
        let of_turn = || self.kept.get()?.quota();
        self.quota.get().or_else(of_turn)
    }

    pub(crate) fn says_cookie(&self, cookie: HeaderValue) {
        // One service is asked from outside.
        drop(self.cookie.set(cookie));
    }

    pub(crate) fn cookie(&self) -> Option<&HeaderValue> {
        self.cookie.get()
    }

    /// It was verified who sent it.
    pub(crate) fn is_of(&self, identity: Arc<Identity>) {
        // It is verified once, before anybody asks.
        drop(self.identity.set(identity));
    }

    /// Who sent the request from outside, if that was verified.
    pub(crate) fn identity(&self) -> Option<&Arc<Identity>> {
        self.identity.get().or(self.journey.identity.as_ref())
    }

    /// The journey as it goes on from here.
    pub(crate) fn onward(&self) -> Journey {
        Journey {
            identity: self.identity().cloned(),
            ..self.journey.clone()
        }
    }

    pub(crate) fn passes(&self, passage: Passage) {
        // A request comes by one route.
        drop(self.passage.set(Box::new(passage)));
    }

    pub(crate) fn passage(&self) -> Option<&Passage> {
        self.passage.get().map(Box::as_ref)
    }

    /// The access log is to say that the request was there.
    pub(crate) fn comes_of(&self, visitor: Visitor) {
        // A request comes once.
        drop(self.visitor.set(Box::new(visitor)));
    }
}
