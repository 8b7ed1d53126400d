//! Why a request did not get its answer, and who is to blame.
//!
//! Clients see the status, a title and a request id. The detail, which may quote guests and host internals, goes to
//! the log alone.

use std::fmt;

use http::StatusCode;

/// Who made the request fail. Only the guest's faults count against a service, only the host's page an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Blame {
    /// Whoever sent the request.
    Caller,
    /// The service that should have answered.
    Guest,
    /// Skep itself, or what it runs on.
    Host,
}

impl Blame {
    /// The word in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Guest => "guest",
            Self::Host => "host",
        }
    }
}

/// Everything that can keep a request from its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "each cause's title says what it is")]
pub enum Cause {
    MalformedRequest,
    HeadTooLarge,
    NoRoute,
    NoFile,
    WrongMethod,
    Unauthenticated,
    Forbidden,
    ForeignOrigin,
    UpgradeVersion,
    NoRevision,
    BodyTooLarge,
    BodyTimeout,
    CallerGone,
    RateLimited,
    IdempotencyKeyMissing,
    IdempotencyKeyMalformed,
    IdempotencyKeyReused,
    IdempotencyInFlight,
    IdempotencyInDoubt,
    Overloaded,
    QueueFull,
    IdentityUnknown,
    SocketsFull,
    NotReady,
    Draining,
    BreakerOpen,
    Unhealthy,
    GuestTrapped,
    GuestOutOfMemory,
    NoResponse,
    InvalidResponse,
    CalleeFailed,
    UpstreamUnreachable,
    UpstreamFailed,
    BodyStalled,
    InstantiationFailed,
    CpuDeadline,
    WallDeadline,
    CallLoop,
    PoolExhausted,
    HostFailed,
}

impl serde::Serialize for Cause {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> serde::Deserialize<'de> for Cause {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = <std::borrow::Cow<'_, str>>::deserialize(deserializer)?;
        let unknown = || serde::de::Error::custom(format!("{name:?} is no fault"));
        Self::named(&name).ok_or_else(unknown)
    }
}

impl Cause {
    /// The cause that [`Cause::as_str`] gives this name, if there is one.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.as_str() == name)
    }

    /// Every cause, in the order of a request's way.
    pub const ALL: [Self; 41] = [
        Self::MalformedRequest,
        Self::HeadTooLarge,
        Self::NoRoute,
        Self::NoFile,
        Self::WrongMethod,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::ForeignOrigin,
        Self::UpgradeVersion,
        Self::NoRevision,
        Self::BodyTooLarge,
        Self::BodyTimeout,
        Self::CallerGone,
        Self::RateLimited,
        Self::IdempotencyKeyMissing,
        Self::IdempotencyKeyMalformed,
        Self::IdempotencyKeyReused,
        Self::IdempotencyInFlight,
        Self::IdempotencyInDoubt,
        Self::Overloaded,
        Self::QueueFull,
        Self::IdentityUnknown,
        Self::SocketsFull,
        Self::NotReady,
        Self::Draining,
        Self::BreakerOpen,
        Self::Unhealthy,
        Self::GuestTrapped,
        Self::GuestOutOfMemory,
        Self::NoResponse,
        Self::InvalidResponse,
        Self::CalleeFailed,
        Self::UpstreamUnreachable,
        Self::UpstreamFailed,
        Self::BodyStalled,
        Self::InstantiationFailed,
        Self::CpuDeadline,
        Self::WallDeadline,
        Self::CallLoop,
        Self::PoolExhausted,
        Self::HostFailed,
    ];

    /// The status that a client gets if the response's head is not out yet.
    pub fn status(self) -> StatusCode {
        match self {
            Self::MalformedRequest
            | Self::IdempotencyKeyMissing
            | Self::IdempotencyKeyMalformed => StatusCode::BAD_REQUEST,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::IdempotencyKeyReused => StatusCode::UNPROCESSABLE_ENTITY,
            Self::IdempotencyInFlight | Self::IdempotencyInDoubt => StatusCode::CONFLICT,
            Self::NoRoute | Self::NoFile | Self::NoRevision => StatusCode::NOT_FOUND,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Forbidden | Self::ForeignOrigin => StatusCode::FORBIDDEN,
            Self::UpgradeVersion => StatusCode::UPGRADE_REQUIRED,
            Self::WrongMethod => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            // Only for the log: there is nobody to send it to.
            Self::CallerGone => StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
            Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::Overloaded
            | Self::QueueFull
            | Self::IdentityUnknown
            | Self::SocketsFull
            | Self::NotReady
            | Self::Draining
            | Self::BreakerOpen
            | Self::Unhealthy
            | Self::PoolExhausted => StatusCode::SERVICE_UNAVAILABLE,
            Self::GuestTrapped
            | Self::GuestOutOfMemory
            | Self::NoResponse
            | Self::InvalidResponse
            | Self::CalleeFailed
            | Self::UpstreamUnreachable
            | Self::UpstreamFailed
            | Self::InstantiationFailed => StatusCode::BAD_GATEWAY,
            Self::BodyStalled | Self::CpuDeadline | Self::WallDeadline => {
                StatusCode::GATEWAY_TIMEOUT
            }
            Self::CallLoop => StatusCode::LOOP_DETECTED,
            Self::HostFailed => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Who is to blame.
    pub fn blame(self) -> Blame {
        match self {
            Self::MalformedRequest
            | Self::HeadTooLarge
            | Self::NoRoute
            | Self::NoFile
            | Self::WrongMethod
            | Self::Unauthenticated
            | Self::Forbidden
            | Self::ForeignOrigin
            | Self::UpgradeVersion
            | Self::NoRevision
            | Self::BodyTooLarge
            | Self::BodyTimeout
            | Self::CallerGone
            | Self::RateLimited
            | Self::IdempotencyKeyMissing
            | Self::IdempotencyKeyMalformed
            | Self::IdempotencyKeyReused
            | Self::IdempotencyInFlight
            | Self::IdempotencyInDoubt
            | Self::QueueFull
            | Self::SocketsFull => Blame::Caller,
            Self::GuestTrapped
            | Self::GuestOutOfMemory
            | Self::NoResponse
            | Self::InvalidResponse
            | Self::CalleeFailed
            | Self::UpstreamUnreachable
            | Self::UpstreamFailed
            | Self::BodyStalled
            | Self::InstantiationFailed
            | Self::CpuDeadline
            | Self::WallDeadline
            | Self::CallLoop
            | Self::BreakerOpen
            | Self::Unhealthy => Blame::Guest,
            Self::Overloaded
            | Self::IdentityUnknown
            | Self::NotReady
            | Self::Draining
            | Self::PoolExhausted
            | Self::HostFailed => Blame::Host,
        }
    }

    /// The name in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MalformedRequest => "malformed_request",
            Self::HeadTooLarge => "head_too_large",
            Self::NoRoute => "no_route",
            Self::NoFile => "no_file",
            Self::WrongMethod => "wrong_method",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::ForeignOrigin => "foreign_origin",
            Self::UpgradeVersion => "upgrade_version",
            Self::NoRevision => "no_revision",
            Self::BodyTooLarge => "body_too_large",
            Self::BodyTimeout => "body_timeout",
            Self::CallerGone => "caller_gone",
            Self::RateLimited => "rate_limited",
            Self::IdempotencyKeyMissing => "idempotency_key_missing",
            Self::IdempotencyKeyMalformed => "idempotency_key_malformed",
            Self::IdempotencyKeyReused => "idempotency_key_reused",
            Self::IdempotencyInFlight => "idempotency_in_flight",
            Self::IdempotencyInDoubt => "idempotency_in_doubt",
            Self::Overloaded => "overloaded",
            Self::QueueFull => "queue_full",
            Self::IdentityUnknown => "identity_unknown",
            Self::SocketsFull => "sockets_full",
            Self::NotReady => "not_ready",
            Self::Draining => "draining",
            Self::BreakerOpen => "breaker_open",
            Self::Unhealthy => "unhealthy",
            Self::GuestTrapped => "guest_trapped",
            Self::GuestOutOfMemory => "guest_out_of_memory",
            Self::NoResponse => "no_response",
            Self::InvalidResponse => "invalid_response",
            Self::CalleeFailed => "callee_failed",
            Self::UpstreamUnreachable => "upstream_unreachable",
            Self::UpstreamFailed => "upstream_failed",
            Self::BodyStalled => "body_stalled",
            Self::InstantiationFailed => "instantiation_failed",
            Self::CpuDeadline => "cpu_deadline",
            Self::WallDeadline => "wall_deadline",
            Self::CallLoop => "call_loop",
            Self::PoolExhausted => "pool_exhausted",
            Self::HostFailed => "host_failed",
        }
    }

    /// A sentence for clients.
    pub fn title(self) -> &'static str {
        match self {
            Self::MalformedRequest => "the request is malformed",
            Self::HeadTooLarge => "the request has more headers than are taken",
            Self::NoRoute => "no service has a route for this request",
            Self::NoFile => "there is no such file",
            Self::WrongMethod => "the route does not take this method",
            Self::Unauthenticated => "the request does not prove who sent it",
            Self::Forbidden => "whoever sent the request may not ask for this",
            Self::ForeignOrigin => "pages of this origin may not connect",
            Self::UpgradeVersion => "there is no such version of WebSocket",
            Self::NoRevision => "no such revision runs or is on trial",
            Self::BodyTooLarge => "the request body is larger than the service allows",
            Self::BodyTimeout => "the request body stopped arriving",
            Self::CallerGone => "the caller closed the connection",
            Self::RateLimited => "too many requests",
            Self::IdempotencyKeyMissing => "the request needs an Idempotency-Key",
            Self::IdempotencyKeyMalformed => {
                "the Idempotency-Key is not one string of at most 255 bytes"
            }
            Self::IdempotencyKeyReused => "the Idempotency-Key was sent with another request",
            Self::IdempotencyInFlight => "the first request with this Idempotency-Key is under way",
            Self::IdempotencyInDoubt => {
                "whether the first request with this Idempotency-Key was carried out is not known"
            }
            Self::Overloaded => "the host has more to do than it can",
            Self::QueueFull => "the service's queue is full",
            Self::IdentityUnknown => "who sent the request can't be verified now",
            Self::SocketsFull => "there are as many WebSockets as there may be",
            Self::NotReady => "the service has no running revision",
            Self::Draining => "what would answer is being shut down",
            Self::BreakerOpen => "the service fails too often and is given a rest",
            Self::Unhealthy => "the service is not well",
            Self::GuestTrapped => "the service crashed",
            Self::GuestOutOfMemory => "the service ran out of memory",
            Self::NoResponse => "the service ended without a response",
            Self::InvalidResponse => "the service's response is invalid",
            Self::CalleeFailed => "a service that this one calls failed",
            Self::UpstreamUnreachable => "the service can't be reached",
            Self::UpstreamFailed => "the service failed to answer",
            Self::BodyStalled => "the service stopped sending its response",
            Self::InstantiationFailed => "the service could not be started",
            Self::CpuDeadline => "the service used up its CPU time",
            Self::WallDeadline => "the service did not answer in time",
            Self::CallLoop => "services call each other without an end",
            Self::PoolExhausted => "no instance is free",
            Self::HostFailed => "the host failed",
        }
    }

    /// Seconds after which trying again makes sense, where it does.
    pub fn retry_after(self) -> Option<u32> {
        (self.status() == StatusCode::SERVICE_UNAVAILABLE).then_some(1)
    }
}

/// Bytes of a detail; guests choose parts of it, such as the names in a backtrace.
const DETAIL_BYTES_MAX: usize = 4096;

/// One request's failure: the cause that decides the answer, and the detail for the log.
#[derive(Clone, Debug)]
pub struct Fault {
    /// What went wrong.
    pub cause: Cause,
    /// What the log says about it; never sent to a client.
    pub detail: String,
    /// For [`Cause::WrongMethod`]: the methods that the route takes.
    pub allow: Option<String>,
    /// How whoever asks can prove who it is: values of `www-authenticate`.
    pub challenges: Vec<String>,
    /// Seconds after which trying again makes sense, if that is known better than by the cause.
    pub retry_after: Option<u32>,
    /// Whether the guest failed before it sent anything to anyone.
    pub unobserved: bool,
}

impl Fault {
    /// A fault with what the log should say about it.
    pub fn new(cause: Cause, detail: impl fmt::Display) -> Self {
        let mut detail = detail.to_string();
        detail.truncate(detail.floor_char_boundary(DETAIL_BYTES_MAX));
        Self {
            cause,
            detail,
            allow: None,
            challenges: Vec::new(),
            retry_after: None,
            unobserved: false,
        }
    }

    /// The route exists, for other methods.
    pub fn wrong_method(allow: &[&str]) -> Self {
        let allow = allow.join(", ");
        Self {
            allow: Some(allow.clone()),
            ..Self::new(Cause::WrongMethod, format!("the route takes {allow}"))
        }
    }
}

impl From<Cause> for Fault {
    fn from(cause: Cause) -> Self {
        Self::new(cause, cause.title())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.cause.as_str(), self.detail)
    }
}

impl std::error::Error for Fault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blame_and_status_agree() {
        for cause in Cause::ALL {
            match cause.blame() {
                Blame::Caller => assert!(
                    cause.status().is_client_error()
                        || matches!(cause, Cause::QueueFull | Cause::SocketsFull),
                    "{cause:?}"
                ),
                Blame::Guest => assert!(
                    matches!(cause.status().as_u16(), 502..=504 | 508),
                    "{cause:?}"
                ),
                Blame::Host => assert!(matches!(cause.status().as_u16(), 500 | 503), "{cause:?}"),
            }
            assert_eq!(
                cause.retry_after().is_some(),
                cause.status().as_u16() == 503,
                "{cause:?}"
            );
        }
    }

    #[test]
    fn a_detail_is_bounded_and_stays_text() {
        let fault = Fault::new(Cause::GuestTrapped, "é".repeat(DETAIL_BYTES_MAX) + "x");
        assert_eq!(fault.detail.len(), DETAIL_BYTES_MAX);
        let odd = Fault::new(
            Cause::GuestTrapped,
            format!("x{}", "é".repeat(DETAIL_BYTES_MAX)),
        );
        assert_eq!(odd.detail.len(), DETAIL_BYTES_MAX - 1);
    }

    #[test]
    fn causes_have_names_of_their_own() {
        let names: std::collections::HashSet<_> =
            Cause::ALL.iter().map(|cause| cause.as_str()).collect();
        assert_eq!(names.len(), Cause::ALL.len());
    }
}
