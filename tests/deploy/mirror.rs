//! A candidate answers what the running revision has just answered: nobody gets its answers, nobody hears from it, and how
//! it does is known before it has any request.

use http::{HeaderValue, Request};
use serde_json::Value;

use crate::support::client::{self, Body};
use crate::support::elsewhere::Elsewhere;
use crate::support::rollouts::{PATIENT, count, split};
use crate::support::wait::until;
use crate::support::{Host, probe};

const SECRET: &str = "nobody-shall-see-this";
const BLUE_GREEN: &str = "[rollout]\nstrategy = \"blue-green\"\n";

/// A service that asks `elsewhere`, of which a revision in whose environment this stands behaves otherwise.
fn manifest(elsewhere: &Elsewhere, rollout: &str, differs: &str) -> String {
    let origin = elsewhere.origin();
    format!("[allow]\nhosts = [{origin:?}]\n[env]\nDIFFERS = {differs:?}\n{BLUE_GREEN}{rollout}")
}

/// A host with such a service, and a candidate of it behind a mirror for all its requests.
async fn mirrored(elsewhere: &Elsewhere, rollout: &str, differs: &str) -> Host {
    let host = Host::with("a", probe("told"))
        .manifest("a", &manifest(elsewhere, "", ""))
        .start()
        .await;
    let rollout = format!("mirror = 100\n{rollout}");
    host.put("a.toml", manifest(elsewhere, &rollout, differs));
    host.rollout_begun("a").await;
    host
}

fn secret(path: &str) -> Request<Body> {
    let mut request = client::get(path);
    let value = HeaderValue::from_static(SECRET);
    request.headers_mut().insert("authorization", value);
    request
}

impl Host {
    /// Waits until the candidate has answered so many requests from the mirror. What is known of them.
    async fn reflected(&self, service: &str, requests: u64) -> Value {
        until("the candidate to answer what is mirrored", async || {
            let mirror = self.rollout(service).await["mirror"].clone();
            (mirror["requests"] == requests).then_some(mirror)
        })
        .await
    }

    async fn report(&self, service: &str) -> Value {
        let answer = self.admin(&format!("/v1/services/{service}/diff")).await;
        assert_eq!(answer.status(), 200, "{answer:?}");
        answer.json()
    }
}

#[tokio::test]
async fn what_is_mirrored_is_told_the_same_and_reaches_nobody() {
    let elsewhere = Elsewhere::start().await;
    let host = mirrored(&elsewhere, "", "").await;
    let mut connection = host.connect().await;
    for number in 0..5 {
        let path = format!("/a?url={}&n={number}", elsewhere.url());
        let answer = connection.send(secret(&path)).await;
        assert_eq!(answer.status(), 200, "{answer:?}");
    }
    let upload = Request::post("/a").body(client::full("a body")).unwrap();
    connection.send(upload).await;
    let mirror = host.reflected("a", 6).await;
    assert_eq!(
        (&mirror["differing"], &mirror["left_out"]),
        (&0.into(), &0.into())
    );
    assert_eq!(elsewhere.asked(), 5, "only the running revision asks");
    let rollout = host.rollout("a").await;
    let requests = |of: &str| rollout[of]["requests"].as_u64();
    assert_eq!(
        (requests("candidate"), requests("running")),
        (Some(6), Some(6))
    );
    let report = host.report("a").await;
    assert_eq!(
        (&report["requests"], &report["same"]),
        (&6.into(), &6.into())
    );
    assert!(host.log.all(|line| line.text().contains(SECRET)).is_empty());
    host.stop().await;
}

#[tokio::test]
async fn what_a_candidate_does_otherwise_is_told_and_reaches_no_client() {
    let elsewhere = Elsewhere::start().await;
    let host = mirrored(&elsewhere, "", "body").await;
    let mut connection = host.connect().await;
    for request in [client::get("/a"), secret("/a")] {
        let answer = connection.send(request).await;
        assert!(!answer.text().contains("and more"), "{answer:?}");
    }
    let mirror = host.reflected("a", 2).await;
    assert_eq!(mirror["differing"], 2);
    let what = "the host to tell of the difference";
    let line = host
        .log_line(what, |line| {
            line.message().starts_with("a mirrored request was")
        })
        .await;
    assert_eq!(line.level(), "WARN", "{}", line.text());
    let report = host.report("a").await;
    let shown: Vec<&str> = (0..2)
        .map(|at| {
            report["differences"][at]["body"]["candidate"]
                .as_str()
                .unwrap()
        })
        .collect();
    let is_concealed = |text: &&&str| **text == "redacted";
    assert_eq!(shown.iter().filter(is_concealed).count(), 1, "{report}");
    assert!(
        shown.iter().any(|text| text.ends_with("and more\n")),
        "{report}"
    );
    host.stop().await;
}

#[tokio::test]
async fn a_bad_candidate_is_taken_back_before_it_has_hurt_anybody() {
    let elsewhere = Elsewhere::start().await;
    for (differs, why) in [
        ("trap", "success rate 0 % is under 99 %"),
        ("body", "difference rate 100 % is over 5 %"),
    ] {
        let checks = format!(
            "auto_promote_after = \"1h\"\n[rollout.analysis]\ninterval = \"50ms\"\nthreshold = 1\nminimum_samples = 3\n\
             {PATIENT}[[rollout.analysis.metric]]\nname = \"difference_rate\"\nmax = 5\n"
        );
        let host = mirrored(&elsewhere, &checks, differs).await;
        let answers = host.drive("a", |_| client::get("/a")).await;
        let hurt = answers.iter().filter(|answer| answer.status() != 200);
        assert_eq!(hurt.count(), 0);
        host.rolled_back("a", why).await;
        host.stop().await;
    }
}

#[tokio::test]
async fn a_good_candidate_is_promoted_by_what_was_mirrored_alone() {
    let elsewhere = Elsewhere::start().await;
    let checks = format!(
        "auto_promote_after = \"50ms\"\n[rollout.analysis]\ninterval = \"50ms\"\nminimum_samples = 3\n{PATIENT}"
    );
    let host = mirrored(&elsewhere, &checks, "").await;
    host.drive("a", |_| client::get("/a")).await;
    host.promoted("a", 2).await;
    host.stop().await;
}

#[tokio::test]
async fn a_part_of_the_requests_is_mirrored_and_only_the_running_revisions() {
    let manifest = "[rollout]\nstrategy = \"canary\"\nsteps = [{ weight = 50 }]\nmirror = 50\n";
    let host = Host::with("a", probe("revision_a"))
        .manifest("a", manifest)
        .start()
        .await;
    host.deploy("a", probe("revision_b"));
    host.rollout_begun("a").await;
    let mut connection = host.connect().await;
    let by_id = split(&mut connection, "/a?lines=1", 0..40).await;
    let running = u64::try_from(count(&by_id, "a")).unwrap();
    let mirror = host.reflected("a", running.div_ceil(2)).await;
    assert_eq!(
        mirror["differing"], mirror["requests"],
        "they are not the same"
    );
    host.stop().await;
}
