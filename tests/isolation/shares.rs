//! One service can exhaust its own share of the instance pool and never another's; past its queue it fails fast.

use futures::future::join_all;

use crate::support::{Host, guest, probe};

/// Requests of `greedy` under way at a time, and waiting.
const CONCURRENCY: u32 = 4;
const QUEUE: u32 = 3;
/// One instance more than `greedy` may have.
const POOL: &str = "[pool]\ninstances = 5\n";

#[tokio::test]
async fn a_service_at_its_limit_takes_no_instance_from_another() {
    let host = greedy_beside_modest().await;
    let held = join_all((0..CONCURRENCY).map(|_| host.begin("/greedy?ms=3000"))).await;
    host.works_on("greedy", CONCURRENCY).await;
    let queued = join_all((0..QUEUE).map(|_| host.begin("/greedy?ms=0"))).await;
    host.queues("greedy", QUEUE).await;

    // All at once: each has to wait for its turn on the one instance that is its service's own, and for nothing else.
    for answer in join_all((0..20).map(|_| host.get("/modest"))).await {
        assert_eq!(answer.status(), 200, "{answer:?}");
    }
    assert!(
        !held.iter().any(|request| request.is_over()),
        "the pool was exhausted all the time"
    );

    for request in held.into_iter().chain(queued) {
        let answer = request.finish().await;
        assert_eq!(answer.status(), 200, "backpressure, no errors: {answer:?}");
    }
    host.stop().await;
}

#[tokio::test]
async fn past_its_queue_a_service_fails_fast() {
    let host = greedy_beside_modest().await;
    let held = join_all((0..CONCURRENCY).map(|_| host.begin("/greedy?ms=3000"))).await;
    host.works_on("greedy", CONCURRENCY).await;
    let queued = join_all((0..QUEUE).map(|_| host.begin("/greedy?ms=0"))).await;
    host.queues("greedy", QUEUE).await;

    let refused = host.get("/greedy").await;
    assert_eq!(refused.status(), 503, "{refused:?}");
    let problem = refused.problem();
    assert_eq!(problem.r#type, "urn:skep:fault:queue_full");
    assert_eq!(problem.service.as_deref(), Some("greedy"));
    assert_eq!(host.logged(&refused).await.field("cause"), "queue_full");
    assert!(
        !held.iter().any(|request| request.is_over()),
        "refused at once"
    );

    for request in held.into_iter().chain(queued) {
        assert_eq!(request.finish().await.status(), 200);
    }
    assert_eq!(
        host.get("/greedy").await.status(),
        200,
        "there is room again"
    );
    host.stop().await;
}

#[tokio::test]
async fn what_waits_is_served_in_order_of_arrival() {
    let host = Host::with("one", probe("sleep_ms"))
        .manifest("one", "[limits]\nconcurrency = 1\ntimeout = \"50s\"\n")
        .start()
        .await;
    let mut requests = vec![host.begin("/one?ms=500").await];
    host.works_on("one", 1).await;
    for waiting in 1..=5 {
        requests.push(host.begin("/one?ms=1").await);
        host.queues("one", waiting).await;
    }
    let mut ids = Vec::new();
    for request in requests {
        let answer = request.finish().await;
        assert_eq!(answer.status(), 200, "{answer:?}");
        ids.push(answer.header("x-request-id").unwrap().to_owned());
        host.logged(&answer).await;
    }
    let served = host.log.all(|line| ids.contains(&line.field("id")));
    let served: Vec<_> = served.iter().map(|line| line.field("id")).collect();
    assert_eq!(served, ids);
    host.stop().await;
}

#[tokio::test]
async fn a_request_waits_no_longer_than_its_timeout() {
    let host = Host::with("one", probe("sleep_ms"))
        .manifest("one", "[limits]\nconcurrency = 1\ntimeout = \"500ms\"\n")
        .start()
        .await;
    let held = host.begin("/one?ms=60000").await;
    host.works_on("one", 1).await;
    for request in [host.begin("/one?ms=60000").await, held] {
        let answer = request.finish().await;
        assert_eq!(answer.status(), 504, "{answer:?}");
        assert_eq!(answer.problem().r#type, "urn:skep:fault:wall_deadline");
    }
    host.stop().await;
}

/// `greedy` asks for all of the pool but one instance, which is `modest`'s.
async fn greedy_beside_modest() -> Host {
    let limits = |concurrency, queue| {
        format!("[limits]\nconcurrency = {concurrency}\nqueue = {queue}\ntimeout = \"50s\"\n")
    };
    Host::with("greedy", probe("sleep_ms"))
        .manifest("greedy", &limits(CONCURRENCY, QUEUE))
        .and("modest", guest("hello"))
        .manifest("modest", &limits(1, 100))
        .settings(POOL)
        .start()
        .await
}

#[tokio::test]
async fn who_waits_for_an_instance_takes_a_place_in_one_that_has_room_again() {
    let host = Host::with("a", probe("sleep_ms"))
        .manifest("a", "[instances]\nreuse = 1000\n")
        .settings("[pool]\ninstances = 1\n")
        .start()
        .await;
    // Kept alive, the only instance there is gives nothing back to the pool.
    for answer in join_all((0..8).map(|_| host.get("/a?ms=20"))).await {
        assert_eq!(answer.text(), "slept 20\n", "{answer:?}");
    }
    host.stop().await;
}

#[tokio::test]
async fn a_new_service_is_given_what_idle_instances_of_another_held() {
    let host = Host::with("a", probe("sleep_ms"))
        .manifest(
            "a",
            "[instances]\nreuse = 1000\n[limits]\nconcurrency = 4\n",
        )
        .settings("[pool]\ninstances = 4\n")
        .start()
        .await;
    for answer in join_all((0..4).map(|_| host.get("/a?ms=200"))).await {
        assert_eq!(answer.status(), 200, "{answer:?}");
    }
    host.deploy("b", guest("hello"));
    host.promoted("b", 1).await;
    let answer = host.get("/b").await;
    assert_eq!(answer.status(), 200, "{answer:?}");
    host.stop().await;
}
