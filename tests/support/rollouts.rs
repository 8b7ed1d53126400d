//! What tests of rollouts share: requests that fall on the same revision every time, and what the host says of rollouts.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::Request;
use serde_json::Value;

use super::answer::Answer;
use super::client::{self, Body, Connection};
use super::host::Host;
use super::log::Line;
use super::wait::until;

/// What a candidate answers must be far from what the test's machine can make of a good one.
pub(crate) const PATIENT: &str = "p99 = \"60s\"\n";

/// `GET path` under this id, by which it falls on one of two revisions.
pub(crate) fn with_id(path: &str, id: usize) -> Request<Body> {
    let mut request = client::get(path);
    let id = format!("id-{id}").parse().unwrap();
    request.headers_mut().insert("x-request-id", id);
    request
}

/// The revision that a probe says has answered.
pub(crate) fn answered_by(answer: &Answer) -> &str {
    answer.header("x-revision").unwrap_or_default()
}

/// Which revision answers each of these ids.
pub(crate) async fn split(
    connection: &mut Connection,
    path: &str,
    ids: impl IntoIterator<Item = usize>,
) -> BTreeMap<usize, String> {
    let mut by_id = BTreeMap::new();
    for id in ids {
        let answer = connection.send(with_id(path, id)).await;
        assert_eq!(answer.status(), 200, "{answer:?}");
        by_id.insert(id, answered_by(&answer).to_owned());
    }
    by_id
}

/// How many of them a revision answers.
pub(crate) fn count(by_id: &BTreeMap<usize, String>, revision: &str) -> usize {
    by_id.values().filter(|found| *found == revision).count()
}

/// Asserts that of so many requests about `percent` were a candidate's.
pub(crate) fn assert_share(of_candidate: usize, all: usize, percent: u32) {
    let (expected, slack) = share(all, percent);
    let distance = (of_candidate as f64 - expected).abs();
    assert!(
        distance <= slack,
        "{of_candidate} of {all} requests were the candidate's, which gets {percent} %"
    );
}

/// Asserts that of so many requests no more than about `percent` were hurt.
pub(crate) fn assert_at_most(hurt: usize, all: usize, percent: u32) {
    let (expected, slack) = share(all, percent);
    assert!(
        hurt as f64 <= expected + slack,
        "{hurt} of {all} requests were hurt by a candidate that gets {percent} %"
    );
}

/// How many are to be expected, and five standard deviations: for few requests one more.
fn share(all: usize, percent: u32) -> (f64, f64) {
    let (all, part) = (all as f64, f64::from(percent) / 100.0);
    (all * part, 5.0 * (all * part * (1.0 - part)).sqrt() + 1.0)
}

impl Host {
    /// Waits until a candidate gets its part of the requests of `service`.
    pub(crate) async fn rollout_begun(&self, service: &str) -> Arc<Line> {
        let what = format!("a rollout of {service}");
        self.log_line(&what, |line| line.says("rollout begun", service))
            .await
    }

    /// Waits until the candidate gets so many percent.
    pub(crate) async fn rollout_at(&self, service: &str, weight: u8) -> Arc<Line> {
        let what = format!("the candidate of {service} to get {weight} %");
        let weight = weight.to_string();
        self.log_line(&what, |line| {
            line.says("rollout goes on", service) && line.field("weight") == weight
        })
        .await
    }

    /// Waits until a candidate is rolled back, which the log and the API give `why` for.
    pub(crate) async fn rolled_back(&self, service: &str, why: &str) -> Arc<Line> {
        let what = format!("the rollout of {service} to be aborted");
        let line = self
            .log_line(&what, |line| line.says("rollout aborted", service))
            .await;
        assert_eq!(line.level(), "WARN", "{}", line.text());
        let reasons = line.field("reasons");
        assert!(reasons.contains(why), "{why:?} expected: {reasons}");
        let of_service = self.service(service).await;
        let said = format!("revision 2 was rolled back: {reasons}");
        assert_eq!(of_service.error.as_deref(), Some(&*said));
        assert_eq!(
            (&*of_service.state, of_service.revision),
            ("ready", Some(1))
        );
        line
    }

    /// Waits until the last rollout of `service` is over, one way or the other; sends one request after the other
    /// meanwhile, by ids from 0.
    pub(crate) async fn drive(
        &self,
        service: &str,
        ask: impl Fn(usize) -> Request<Body>,
    ) -> Vec<Answer> {
        let mut connection = self.connect().await;
        let mut answers = Vec::new();
        let mut next = 0;
        let over = format!("the rollout of {service} to be over");
        until(&over, async || {
            // Some at a time, since the waiting between gets ever longer.
            for _ in 0..20 {
                answers.push(connection.send(ask(next)).await);
                next += 1;
            }
            let is_promoted = self.told("revision promoted", service) > 1;
            (is_promoted || self.told("rollout aborted", service) > 0).then_some(())
        })
        .await;
        answers
    }

    /// What the API says of the rollout of `service`.
    pub(crate) async fn rollout(&self, service: &str) -> Value {
        let answer = self.admin(&format!("/v1/services/{service}")).await;
        answer.json()["rollout"].clone()
    }
}
