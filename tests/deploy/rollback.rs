//! A candidate that does worse than it may is taken back by itself, and has hurt its part of the requests at most.

use std::path::PathBuf;

use http::{Method, Request};

use crate::support::client::Body;
use crate::support::rollouts::{PATIENT, answered_by, assert_at_most, count, split, with_id};
use crate::support::{Answer, Host, fault, guest, probe};

const PATH: &str = "/a?lines=1";
const WEIGHT: u32 = 20;

/// A candidate that fails its first check.
struct Bad {
    candidate: PathBuf,
    /// Of the manifest, before `[rollout]`.
    manifest: &'static str,
    /// Of `[rollout.analysis]`.
    analysis: &'static str,
    /// What is said of it.
    why: &'static str,
    ask: fn(usize) -> Request<Body>,
    /// Which answers are its doing.
    is_hurt: fn(&Answer) -> bool,
}

impl Bad {
    fn of(candidate: PathBuf, why: &'static str) -> Self {
        Self {
            candidate,
            manifest: "",
            analysis: PATIENT,
            why,
            ask: |id| with_id(PATH, id),
            is_hurt: |answer| answer.status() >= 500,
        }
    }

    async fn end(self) {
        let manifest = format!(
            "{}\n[rollout]\nstrategy = \"canary\"\nsteps = [{{ weight = {WEIGHT}, pause = \"1h\" }}]\n\
             [rollout.analysis]\ninterval = \"100ms\"\nthreshold = 1\nminimum_samples = 5\n{}",
            self.manifest, self.analysis
        );
        let host = Host::with("a", probe("revision_a"))
            .manifest("a", &manifest)
            .and("other", guest("hello"))
            .start()
            .await;
        host.deploy("a", self.candidate);
        host.rollout_begun("a").await;
        let answers = host.drive("a", self.ask).await;
        host.rolled_back("a", self.why).await;
        assert_eq!(host.told("rollout goes on", "a"), 0);

        // Those that came when it was taken back already would only thin out the others.
        let last = answers.iter().rposition(self.is_hurt);
        let until_then = &answers[..=last.expect("it hurts somebody")];
        let hurt = until_then.iter().filter(|answer| (self.is_hurt)(answer));
        assert_at_most(hurt.count(), until_then.len(), WEIGHT);

        let after = split(&mut host.connect().await, PATH, 0..50).await;
        assert_eq!(count(&after, "a"), 50);
        assert!(host.rollout("a").await.is_null());
        host.stop().await;
    }
}

#[tokio::test]
async fn errors_end_a_rollout() {
    let bad = Bad {
        // Further tries find the same revision.
        manifest: "[retry]\nstatuses = [500]\nbackoff = \"1ms\"\n",
        ..Bad::of(probe("revision_errors"), "success rate 0 % is under 99 %")
    };
    bad.end().await;
}

#[tokio::test]
async fn slowness_ends_a_rollout() {
    let bad = Bad {
        analysis: "p99 = \"150ms\"\n",
        is_hurt: |answer| answered_by(answer) == "slow",
        ..Bad::of(probe("revision_slow"), "is over 150ms")
    };
    bad.end().await;
}

#[tokio::test]
async fn memory_that_is_never_given_back_ends_a_rollout() {
    let bad = Bad {
        manifest: "[instances]\nreuse = 1000\n",
        analysis: "p99 = \"60s\"\n[[rollout.analysis.metric]]\nname = \"memory_bytes\"\nmax_ratio = 2\n",
        is_hurt: |answer| answered_by(answer) == "leaks",
        ..Bad::of(probe("revision_leaks"), "memory of an instance")
    };
    bad.end().await;
}

#[tokio::test]
async fn faults_end_a_rollout_however_few_requests_there_are() {
    let bad = Bad {
        analysis: "p99 = \"60s\"\nfaults = 0\n",
        // One in ten changes something.
        ask: |id| {
            let mut request = with_id(PATH, id);
            if id % 10 == 0 {
                *request.method_mut() = Method::POST;
            }
            request
        },
        ..Bad::of(probe("revision_traps_on_post"), "number of faults")
    };
    bad.end().await;
}

#[tokio::test]
async fn a_failure_that_another_service_answers_for_is_one() {
    let bad = Bad {
        manifest: "[fallback]\nservice = \"other\"\n",
        is_hurt: |answer| answer.header("x-skep-fallback").is_some(),
        ..Bad::of(fault("trap"), "success rate 0 % is under 99 %")
    };
    bad.end().await;
}

#[tokio::test]
async fn a_candidates_faults_do_not_open_the_breaker_of_the_running_revision() {
    let bad = Bad {
        manifest: "[breaker]\nwindow_calls = 2\nminimum_calls = 1\nfailure_rate = 1\n",
        is_hurt: |answer| answer.status() != 200,
        ..Bad::of(fault("trap"), "success rate 0 % is under 99 %")
    };
    bad.end().await;
}

#[tokio::test]
async fn a_candidate_that_says_it_is_not_well_is_taken_back_at_once() {
    // No step ends here, and nothing but its health is looked at.
    let manifest = "[health]\npath = \"/health\"\ninterval = \"20ms\"\n\
         [rollout]\nstrategy = \"canary\"\nsteps = [{ weight = 50 }]\n";
    let host = Host::with("a", probe("revision_a"))
        .manifest("a", manifest)
        .start()
        .await;
    host.deploy("a", probe("revision_sick"));
    host.rollout_begun("a").await;
    let why = "it is unhealthy: /health was answered with 500";
    host.rolled_back("a", why).await;
    let after = split(&mut host.connect().await, PATH, 0..50).await;
    assert_eq!(count(&after, "a"), 50);
    // Nothing was said against the revision that runs.
    let unwell = "the service is unhealthy and gets no requests";
    assert_eq!(host.told(unwell, "a"), 0);
    host.stop().await;
}
