//! Why a host's answer can't be had, for whoever typed the verb.

use std::time::Duration;

use http::StatusCode;
use hyper_util::client::legacy;

/// Why the host's answer can't be had.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The URL can't be used.
    #[error("{url:?} is no URL of an admin API: write one such as http://127.0.0.1:8081")]
    Url {
        /// As given.
        url: String,
    },
    /// TLS.
    #[error(
        "{url:?} asks for TLS, which the admin API does not speak: reach it over http, or through a tunnel"
    )]
    Tls {
        /// As given.
        url: String,
    },
    /// The token can't be sent.
    #[error("the token holds characters that no token has: check --token and SKEP_ADMIN_TOKEN")]
    Token,
    /// Nobody there.
    #[error(
        "no host answers at {url}; is `skep up` running? Say where with --admin URL or SKEP_ADMIN"
    )]
    NoHost {
        /// Where it was looked for.
        url: String,
        /// Why there is no connection.
        source: legacy::Error,
    },
    /// Somebody there, who broke off.
    #[error("{url} broke off its answer; is it a host's admin API?")]
    Broken {
        /// Who was asked.
        url: String,
        /// What went wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The connection ended, and there was no other to be had.
    #[error("{url} ended the stream, and did not take it up again; is `skep up` still running?")]
    Ended {
        /// Who was asked.
        url: String,
    },
    /// Too slow.
    #[error("{url} did not answer within {} s; what it was told may still be done", after.as_secs())]
    Timeout {
        /// Who was asked.
        url: String,
        /// How long it had.
        after: Duration,
    },
    /// The token is missing or wrong.
    #[error(
        "{url} wants a token: set SKEP_ADMIN_TOKEN (or give --token) to one that its skep.toml knows, \
         as admin_token or as a [[token]]"
    )]
    Unauthorised {
        /// Who was asked.
        url: String,
    },
    /// The host says why not.
    #[error("{detail}")]
    Refused {
        /// The status.
        status: StatusCode,
        /// What the answer said.
        detail: String,
    },
    /// Any other status, without a reason.
    #[error("{url} answered {status}, and nothing more; is it a host's admin API?")]
    Mute {
        /// Who was asked.
        url: String,
        /// The status.
        status: StatusCode,
    },
    /// Some other server.
    #[error(
        "{url} answered with something else than what was asked for; is it a host's admin API?"
    )]
    Foreign {
        /// Who was asked.
        url: String,
        /// What is odd about it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Nothing can be started here.
    #[error("can't start")]
    Runtime(#[source] std::io::Error),
}

impl ClientError {
    /// Whether there was no host, or none any more, to say anything.
    pub(in crate::cli) fn is_out_of_reach(&self) -> bool {
        matches!(
            self,
            Self::NoHost { .. } | Self::Broken { .. } | Self::Ended { .. } | Self::Timeout { .. }
        )
    }

    /// Whether the same may be answered in a moment: the host is away, starts or stops.
    pub(super) fn is_passing(&self) -> bool {
        let unavailable = StatusCode::SERVICE_UNAVAILABLE;
        match self {
            Self::Refused { status, .. } | Self::Mute { status, .. } => *status == unavailable,
            error => error.is_out_of_reach(),
        }
    }
}
