//! How a candidate answered the recorded requests of the running revision, for people.

use std::sync::Arc;

use serde::Serialize;
use skep_policy::name::ServiceName;
use skep_policy::replay::{self, BodyDifference, HeaderDifference, Names, REDACTED_VALUE};

use super::kept::{Answer, Recording};
use crate::fault::Fault;
use crate::registry::Revision;

/// Differences that are listed; all are counted.
const DIFFERENCES_MAX: usize = 50;
/// Bytes of what is said of a fault.
const FAULT_BYTES_MAX: usize = 256;

/// One candidate's replay.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The service.
    pub service: ServiceName,
    /// What answered again.
    pub candidate: Side,
    /// What had answered.
    pub running: Side,
    /// Recorded requests that were answered again.
    pub requests: usize,
    /// Those of them whose answers were the same.
    pub same: usize,
    /// How the others differed, the first of them.
    pub differences: Vec<Differs>,
}

/// A revision.
#[derive(Debug, Clone, Serialize)]
pub struct Side {
    /// Its number.
    pub revision: u64,
    /// `sha256:` and the artifact's digest in hexadecimal.
    pub digest: String,
}

/// One request that was answered otherwise.
#[derive(Debug, Clone, Serialize)]
pub struct Differs {
    /// What was asked.
    pub request: Asked,
    /// The running revision's and the candidate's, if they are not the same.
    pub status: Option<(u16, u16)>,
    /// The headers that are not the same.
    pub headers: Vec<HeaderDifference>,
    /// The bodies, if they are not the same.
    pub body: Option<BodyDifference>,
    /// Why the candidate had no answer, or what it asked others for that the running revision had not.
    pub fault: Option<String>,
}

/// A request. Its query may hold secrets.
#[derive(Debug, Clone, Serialize)]
pub struct Asked {
    /// Its method.
    pub method: String,
    /// Its path as the guest saw it, without the query.
    pub path: String,
    /// When it came.
    pub at_unix_ms: u64,
}

/// What a revision made of a recorded request.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) answer: Result<Answer, Fault>,
    /// What answered, for this request alone.
    pub(crate) aside: Arc<Revision>,
    /// What it asked others for and was not recorded.
    pub(crate) strays: Vec<String>,
}

impl Differs {
    /// The same without what the answers say, in which what nobody shall see could be.
    pub(crate) fn concealed(mut self) -> Self {
        let redacted = || REDACTED_VALUE.to_owned();
        for header in &mut self.headers {
            for value in [&mut header.running, &mut header.candidate] {
                *value = value.take().map(|_| redacted());
            }
        }
        if let Some(body) = &mut self.body {
            (body.running, body.candidate) = (redacted(), redacted());
        }
        self.fault = self.fault.map(|_| redacted());
        self
    }
}

impl Report {
    /// Of nothing yet.
    pub(crate) fn new(candidate: &Revision, running: &Revision) -> Self {
        let side = |revision: &Revision| Side {
            revision: revision.number,
            digest: revision.digest.clone(),
        };
        Self {
            service: candidate.config.name.clone(),
            candidate: side(candidate),
            running: side(running),
            requests: 0,
            same: 0,
            differences: Vec::new(),
        }
    }

    /// How many answers differed.
    pub(crate) fn differing(&self) -> usize {
        self.requests - self.same
    }

    /// Counts one request, and lists it if the answers differ.
    pub(crate) fn add(&mut self, difference: Option<Differs>) {
        self.requests += 1;
        match difference {
            None => self.same += 1,
            Some(difference) if self.differences.len() < DIFFERENCES_MAX => {
                self.differences.push(difference);
            }
            Some(_) => {}
        }
    }
}

/// How a candidate's `outcome` differs from what the running revision answered. Headers of these names may.
pub(crate) fn difference(
    recording: &Arc<Recording>,
    running: &Answer,
    outcome: Outcome,
    apart: &[Names<'_>],
) -> Option<Differs> {
    let Outcome { answer, strays, .. } = outcome;
    let mut faults: Vec<String> = strays
        .into_iter()
        .map(|stray| format!("asks {stray}, which the running revision did not"))
        .collect();
    let found = match answer {
        Ok(answer) => replay::compare(running.view(), answer.view(), apart),
        Err(fault) => {
            let text = fault.to_string();
            faults.push(text[..text.floor_char_boundary(FAULT_BYTES_MAX)].to_owned());
            None
        }
    };
    if found.is_none() && faults.is_empty() {
        return None;
    }
    let request = Asked {
        method: recording.method.to_string(),
        path: recording.uri.path().to_owned(),
        at_unix_ms: recording.at_unix_ms(),
    };
    let (status, headers, body) = found.map_or((None, Vec::new(), None), |found| {
        (found.status, found.headers, found.body)
    });
    Some(Differs {
        request,
        status,
        headers,
        body,
        fault: (!faults.is_empty()).then(|| faults.join("; ")),
    })
}
