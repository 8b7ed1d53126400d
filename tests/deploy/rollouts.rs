//! A new revision gets more of the requests with every step, as its manifest says, and all of them after the last.

use std::collections::BTreeSet;

use serde_json::json;

use crate::support::client::streamed;
use crate::support::operator::put;
use crate::support::rollouts::{PATIENT, answered_by, assert_share, count, split, with_id};
use crate::support::verb::skep;
use crate::support::wait::until;
use crate::support::{Answer, Host, probe};

const PATH: &str = "/a?lines=1";
const REQUESTS: usize = 400;

/// A host on which `revision_b` is on trial.
async fn on_trial(manifest: &str) -> Host {
    let host = Host::with("a", probe("revision_a"))
        .manifest("a", manifest)
        .start()
        .await;
    host.deploy("a", probe("revision_b"));
    host.rollout_begun("a").await;
    host
}

#[tokio::test]
async fn a_candidate_gets_its_part_of_the_requests() {
    let host = on_trial("[rollout]\nstrategy = \"canary\"\nsteps = [{ weight = 5 }]\n").await;
    let mut connection = host.connect().await;
    let first = split(&mut connection, PATH, 0..REQUESTS).await;
    assert_share(count(&first, "b"), REQUESTS, 5);
    assert!(count(&first, "b") > 0);
    // A request that comes again, falls where it fell.
    assert_eq!(split(&mut connection, PATH, 0..REQUESTS).await, first);

    let rollout = host.rollout("a").await;
    assert_eq!(rollout["revision"], 2);
    for (key, expected) in [
        ("weight", 5),
        ("step", 1),
        ("steps", 1),
        ("failed_checks", 0),
    ] {
        assert_eq!(rollout[key], expected, "{key}: {rollout}");
    }
    assert_eq!(rollout["phase"], "waiting", "{rollout}");
    let requests = |of: &str| rollout[of]["requests"].as_u64().unwrap() as usize;
    assert_eq!(requests("candidate"), 2 * count(&first, "b"), "{rollout}");
    assert_eq!(requests("running"), 2 * count(&first, "a"), "{rollout}");
    assert!(rollout["candidate"]["p99_ms"].is_number(), "{rollout}");
    let of_a = [("service", "a")];
    assert_eq!(host.metric("skep_rollout_weight", &of_a).await, Some(5.0));
    let failed = host.metric("skep_rollout_failed_checks", &of_a).await;
    assert_eq!(failed, Some(0.0));
    let said = skep(["ls", "--admin", &format!("http://{}", host.admin)]).await;
    assert!(
        said.output.contains("ROLLOUT") && said.output.contains("5% of 2 (waiting)"),
        "{said:?}"
    );
    host.stop().await;
}

#[tokio::test]
async fn a_good_candidate_is_promoted_step_by_step() {
    let manifest = format!(
        "[rollout]\nstrategy = \"canary\"\n\
         steps = [{{ weight = 10, pause = \"50ms\" }}, {{ weight = 50, pause = \"50ms\" }}]\n\
         [rollout.analysis]\ninterval = \"50ms\"\nminimum_samples = 3\n{PATIENT}"
    );
    let host = on_trial(&manifest).await;
    let answers = host.drive("a", |id| with_id(PATH, id)).await;
    let hurt = answers.iter().filter(|answer| answer.status() != 200);
    assert_eq!(hurt.count(), 0);
    let promoted = host.promoted("a", 2).await;
    let steps = host.log.all(|line| line.says("rollout goes on", "a"));
    let weights: Vec<_> = steps.iter().map(|line| line.field("weight")).collect();
    assert_eq!(weights, ["50"]);
    assert_eq!(promoted.field("revision"), "2");
    let mut connection = host.connect().await;
    let after = split(&mut connection, PATH, 0..50).await;
    assert_eq!(count(&after, "b"), 50);
    assert!(host.rollout("a").await.is_null());
    let weight = host
        .metric("skep_rollout_weight", &[("service", "a")])
        .await;
    assert_eq!(weight, None);
    let what = "the first revision to be retired";
    host.log_line(what, |line| line.says("revision retired", "a"))
        .await;
    host.stop().await;
}

#[tokio::test]
async fn a_blue_green_candidate_gets_nothing_and_then_all() {
    let host = on_trial("[rollout]\nstrategy = \"blue-green\"\n").await;
    let mut connection = host.connect().await;
    let first = split(&mut connection, PATH, 0..100).await;
    assert_eq!(count(&first, "a"), 100);
    assert_eq!(host.rollout("a").await["weight"], 0);

    // The newest files count; what they describe takes the candidate's place.
    host.put(
        "a.toml",
        "[rollout]\nstrategy = \"blue-green\"\nauto_promote_after = \"50ms\"\n",
    );
    host.promoted("a", 3).await;
    let after = split(&mut connection, PATH, 0..100).await;
    assert_eq!(count(&after, "b"), 100);
    host.stop().await;
}

#[tokio::test]
async fn a_request_sees_one_revision_however_often_it_calls() {
    let host = Host::with("a", probe("revision_a"))
        .manifest(
            "a",
            "[rollout]\nstrategy = \"canary\"\nsteps = [{ weight = 50 }]\n",
        )
        .and("front", probe("fetch_each"))
        .manifest("front", "[allow]\nservices = [\"a\"]\n")
        .start()
        .await;
    host.deploy("a", probe("revision_b"));
    host.rollout_begun("a").await;
    let mut connection = host.connect().await;
    let alone = split(&mut connection, PATH, 0..20).await;
    assert!(count(&alone, "a") > 0 && count(&alone, "b") > 0);
    for (id, revision) in alone {
        let (mut upload, body) = streamed();
        let mut request = with_id("/front", id).map(|_| body);
        *request.method_mut() = http::Method::POST;
        let mut reply = connection.open(request).await.unwrap();
        for _ in 0..4 {
            assert!(upload.send("http://a.internal/?lines=1\n").await);
            let line = reply.chunk().await.unwrap();
            assert_eq!(line.trim_ascii(), revision.as_bytes(), "of id {id}");
        }
        drop(upload);
        assert_eq!(reply.chunk().await, None);
    }
    host.stop().await;
}

#[tokio::test]
async fn functions_are_called_as_the_revision_that_answers_exports_them() {
    let half = "route = []\n[rollout]\nstrategy = \"canary\"\nsteps = [{ weight = 50 }]\n";
    let host = Host::with("ledger", probe("ledger"))
        .manifest("ledger", half)
        .and("two", probe("ledger_client"))
        .manifest("two", "[allow]\nservices = [\"ledger\"]\n")
        .start()
        .await;
    // Of another version: its interface has another name.
    host.deploy("ledger", probe("ledger_patched"));
    host.rollout_begun("ledger").await;
    let mut connection = host.connect().await;
    let mut found = BTreeSet::new();
    for id in 0..20 {
        let answer = connection.send(with_id("/two?how=well", id)).await;
        assert_eq!(answer.status(), 200, "{answer:?}");
        found.insert(answer.text().trim().to_owned());
    }
    assert!(found.into_iter().eq(["patched", "well"]));
    host.stop().await;
}

#[tokio::test]
async fn a_rollout_outlives_its_host() {
    let manifest = "[rollout]\nstrategy = \"canary\"\n\
         steps = [{ weight = 10, pause = \"10ms\" }, { weight = 50 }, { weight = 80 }]\n";
    let host = on_trial(manifest).await;
    host.rollout_at("a", 50).await;
    let before = split(&mut host.connect().await, PATH, 0..100).await;
    assert_share(count(&before, "b"), 100, 50);
    let setup = host.kill().await;

    let host = setup.start().await;
    host.rollout_at("a", 50).await;
    let after = split(&mut host.connect().await, PATH, 0..100).await;
    assert_eq!(after, before);
    let rollout = host.rollout("a").await;
    assert_eq!(
        (&rollout["step"], &rollout["revision"]),
        (&2.into(), &2.into())
    );
    assert_eq!(host.told("rollout begun", "a"), 0);
    host.stop().await;
}

#[tokio::test]
async fn what_runs_is_deployed_again_and_its_candidate_goes() {
    let canary = "[rollout]\nstrategy = \"canary\"\nsteps = [{ weight = 50 }]\n";
    let why = "what runs was deployed again";
    let ended = async |host: &Host| {
        let line = host
            .log_line("the rollout to be aborted", |line| {
                line.says("rollout aborted", "a")
            })
            .await;
        assert_eq!(line.field("reasons"), why);
        host.healed("a").await;
        assert!(host.rollout("a").await.is_null());
        let after = split(&mut host.connect().await, PATH, 0..50).await;
        assert_eq!(count(&after, "a"), 50);
        assert_eq!(host.service("a").await.revision, Some(1));
    };
    // A file is put back as it was.
    let host = on_trial(canary).await;
    host.deploy("a", probe("revision_a"));
    ended(&host).await;
    host.stop().await;

    // An operator sends what runs.
    let host = Host::empty().start().await;
    host.send("a", probe("revision_a"), canary).await;
    let candidate = host.ask(put("a", &[], probe("revision_b"))).await;
    let outcome = |answer: &Answer| answer.json()["services"][0]["outcome"].clone();
    assert_eq!(outcome(&candidate), "rollout_begun");
    let again = host.ask(put("a", &[], probe("revision_a"))).await;
    assert_eq!(outcome(&again), "unchanged");
    ended(&host).await;
    host.stop().await;
}

#[tokio::test]
async fn what_does_not_fit_any_more_is_not_promoted() {
    let canary = "[rollout]\nstrategy = \"canary\"\nsteps = [{ weight = 50 }]\n";
    let host = on_trial(canary).await;
    // The next candidate wants a path, which another service takes meanwhile.
    host.put("a.toml", format!("{canary}[[route]]\npath = \"/taken\"\n"));
    until("the next candidate", async || {
        (host.rollout("a").await["revision"] == 3).then_some(())
    })
    .await;
    host.put("b.toml", "[[route]]\npath = \"/taken\"\n");
    host.deploy("b", probe("revision_b"));
    host.promoted("b", 1).await;

    let answer = host
        .tell("/v1/services/a/promote", &json!({"full": true}))
        .await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let standing = &answer.json()["services"][0];
    assert_eq!(
        (&standing["outcome"], &standing["revision"]),
        (&json!("rollout_aborted"), &json!(3))
    );
    let service = host.service("a").await;
    let error = service.error.unwrap();
    assert!(error.contains("/taken"), "{error}");
    assert_eq!(service.revision, Some(1));
    assert!(host.rollout("a").await.is_null());
    assert_eq!(host.revision_at("/a").await, "a");
    assert_eq!(host.revision_at("/taken").await, "b");
    host.stop().await;
}

#[tokio::test]
async fn without_a_rollout_nothing_is_different() {
    let host = Host::with("a", probe("revision_a")).start().await;
    host.deploy("a", probe("revision_b"));
    host.promoted("a", 2).await;
    let answer = host.get(PATH).await;
    assert_eq!(answered_by(&answer), "b");
    assert_eq!(answer.header("set-cookie"), None);
    assert!(host.rollout("a").await.is_null());
    assert_eq!(host.metric("skep_rollout_weight", &[]).await, None);
    let said = skep(["ls", "--admin", &format!("http://{}", host.admin)]).await;
    assert!(!said.output.contains("ROLLOUT"), "{said:?}");
    assert_eq!(host.told("rollout begun", "a"), 0);
    host.stop().await;
}
