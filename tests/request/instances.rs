//! How many requests an instance serves in its life and at once.
//!
//! An instance that computes for a tick of the clock gets no more requests, and on a machine that does other work too a
//! tick is soon over: a life can be shorter than it may be, so these tests go on until they have seen a whole one.

use std::collections::BTreeSet;

use futures::future::join_all;
use http::Request;

use crate::support::client::{Connection, get, streamed};
use crate::support::wait::until;
use crate::support::{Answer, Host, guest, probe};

/// Requests after which a whole life should have been seen.
const ASKED_MAX: u32 = 2000;

/// Asks one after the other how many requests the instance has served, until one has served `last` and another has
/// begun; the greatest number there was.
async fn until_served(host: &Host, last: u64) -> u64 {
    let mut connection = host.connect().await;
    let (mut before, mut greatest) = (0, 0);
    for _ in 0..ASKED_MAX {
        let answer = connection.get("/a").await;
        let served = answer.text().split_whitespace().next().unwrap();
        let served: u64 = served.parse().unwrap();
        assert!(
            served == 1 || served == before + 1,
            "{served} after {before}"
        );
        greatest = served.max(greatest);
        if before == last && served == 1 {
            return greatest;
        }
        before = served;
        // The instance is free once the guest is done with the request.
        host.works_on("a", 0).await;
    }
    panic!("no instance served {last} requests; the most were {greatest}");
}

/// How many requests the instance of `trap_at` has served that answered.
fn served_by(answer: &Answer) -> u64 {
    answer.header("x-served").unwrap().parse().unwrap()
}

/// What the admin API says of the service's instances: alive, requests in a life, requests at once.
async fn instances(host: &Host) -> (u64, u64, u64) {
    let detail = host.admin("/v1/services/a").await.json();
    let number = |name: &str| detail["instances"][name].as_u64().unwrap();
    let alive = number("claims_in_use") / number("claims_per_instance");
    (alive, number("reuse"), number("concurrency"))
}

#[tokio::test]
async fn a_proxy_of_0_2_is_fresh_for_each_request() {
    let host = Host::with("a", probe("counter")).start().await;
    let mut connection = host.connect().await;
    for _ in 0..20 {
        assert_eq!(connection.get("/a").await.text(), "1\n");
    }
    assert_eq!(instances(&host).await.1, 1);
    host.stop().await;
}

#[tokio::test]
async fn an_instance_serves_as_many_requests_as_the_manifest_says() {
    for kind in ["counter", "counter_p3"] {
        let host = Host::with("a", probe(kind))
            .manifest("a", "[instances]\nreuse = 3\n")
            .start()
            .await;
        assert_eq!(until_served(&host, 3).await, 3);
        host.stop().await;
    }
}

#[tokio::test]
async fn an_instance_that_traps_is_replaced() {
    const TRAPS: u32 = 3;
    let host = Host::with("a", probe("trap_at"))
        .manifest("a", "[instances]\nreuse = 3\nstep_down = \"0s\"\n")
        .start()
        .await;
    let mut connection = host.connect().await;
    let (mut served, mut trapped) = (0, 0);
    for _ in 0..ASKED_MAX {
        let answer = connection.get("/a?trap=2").await;
        host.works_on("a", 0).await;
        if answer.status() == 502 {
            // Only the second request of an instance traps, so the one before was in the same.
            assert_eq!(served, 1);
            assert_eq!(host.logged(&answer).await.field("cause"), "guest_trapped");
            (served, trapped) = (0, trapped + 1);
        } else {
            served = served_by(&answer);
            assert_eq!(served, 1, "{answer:?}");
        }
        if trapped == TRAPS && served == 1 {
            host.stop().await;
            return;
        }
    }
    panic!("{trapped} second requests came to the instance of the first");
}

#[tokio::test]
async fn an_answer_that_is_whole_stays_so_when_its_instance_traps_later() {
    const WINDOW: u32 = 64;
    let host = Host::with("a", probe("trap_at"))
        .manifest("a", "[instances]\nreuse = 1000\n")
        .start()
        .await;
    until("a trap in the instance of an answer", async || {
        // The client takes so little that the last line of its answer is still in the host when the guest is done.
        let mut slow = Connection::http2_with_window(host.gateway, WINDOW).await;
        let reply = slow.open(get("/a")).await.unwrap();
        let served: u64 = reply.head.headers["x-served"]
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        host.works_on("a", 0).await;
        // Requests of one connection share instances.
        let mut other = slow.beside();
        let next = other.get(&format!("/a?trap={}", served + 1)).await;
        host.works_on("a", 0).await;
        let answer = reply.finish().await;
        let lines: Vec<_> = answer.text().lines().map(str::trim).collect();
        assert_eq!(lines, ["first", "last"], "{answer:?}");
        (next.status() == 502).then_some(())
    })
    .await;
    host.stop().await;
}

#[tokio::test]
async fn a_service_of_0_3_serves_128_requests_in_an_instance_16_at_once() {
    let host = Host::with("a", probe("counter_p3")).start().await;
    assert_eq!(until_served(&host, 128).await, 128);
    let (_, reuse, at_once) = instances(&host).await;
    assert_eq!((reuse, at_once), (128, 16));
    host.stop().await;
}

#[tokio::test]
async fn a_service_of_0_3_can_be_fresh_for_each_request() {
    let host = Host::with("a", probe("counter_p3"))
        .manifest("a", "[instances]\nreuse = 1\n")
        .start()
        .await;
    let answers = join_all((0..20).map(|_| host.get("/a?ms=20"))).await;
    assert!(
        answers.iter().all(|answer| answer.text() == "1 1\n"),
        "{answers:?}"
    );
    host.stop().await;
}

#[tokio::test]
async fn an_instance_takes_as_many_requests_at_once_as_the_manifest_says() {
    const AT_ONCE: u64 = 3;
    let host = Host::with("a", guest("echo"))
        .manifest("a", "[instances]\nconcurrency = 3\n")
        .start()
        .await;
    until("an instance to take three at once", async || {
        // Requests of one connection share instances; elsewhere there may be others.
        let mut connection = host.connect_h2().await;
        let mut held = Vec::new();
        let mut alive = Vec::new();
        for number in 1..=AT_ONCE + 1 {
            let (mut upload, body) = streamed();
            let request = Request::post("/a").body(body).unwrap();
            let mut reply = connection.open(request).await.unwrap();
            assert!(upload.send("held").await);
            assert_eq!(reply.chunk().await.unwrap(), "held");
            held.push((upload, reply));
            let (now, ..) = instances(&host).await;
            assert!(
                now >= number.div_ceil(AT_ONCE),
                "{now} instances hold {number}"
            );
            alive.push(now);
        }
        // All go on side by side, the last first.
        for (upload, mut reply) in held.into_iter().rev() {
            drop(upload);
            assert_eq!(reply.chunk().await, None);
        }
        host.works_on("a", 0).await;
        until("the full instances to be gone", async || {
            (instances(&host).await.0 <= 1).then_some(())
        })
        .await;
        (alive == [1, 1, 1, 2]).then_some(())
    })
    .await;
    host.stop().await;
}

#[tokio::test]
async fn requests_inside_one_instance_wait_side_by_side() {
    let host = Host::with("a", probe("counter_p3"))
        .manifest("a", "[limits]\ntimeout = \"60s\"\n")
        .start()
        .await;
    let answers = join_all((0..8).map(|_| host.get("/a?ms=1000"))).await;
    let inside = answers
        .iter()
        .map(|answer| answer.text().trim().split_once(' ').unwrap().1.to_owned());
    // The first to leave has seen the others.
    let seen: BTreeSet<String> = inside.collect();
    assert!(seen.len() > 1, "{seen:?}");
    host.stop().await;
}

#[tokio::test]
async fn an_instance_without_work_is_let_go() {
    let host = Host::with("a", probe("counter"))
        .manifest("a", "[instances]\nreuse = 1000\n")
        .start()
        .await;
    let mut connection = host.connect().await;
    until("an instance to be kept", async || {
        connection.get("/a").await;
        host.works_on("a", 0).await;
        (instances(&host).await.0 == 1).then_some(())
    })
    .await;
    until("the idle instance to be gone", async || {
        (instances(&host).await.0 == 0).then_some(())
    })
    .await;
    assert_eq!(host.get("/a").await.text(), "1\n");
    host.stop().await;
}

#[tokio::test]
async fn a_service_whose_instance_fails_has_fresh_ones_for_a_while() {
    let host = Host::with("a", probe("trap_at"))
        .manifest("a", "[instances]\nreuse = 1000\nstep_down = \"3s\"\n")
        .and("b", probe("trap_at"))
        .manifest("b", "[instances]\nreuse = 1000\nstep_down = \"0s\"\n")
        .start()
        .await;
    let stepped_down = async || {
        let metric = host.metric("skep_stepped_down", &[("service", "a")]).await;
        metric == Some(1.0)
    };
    assert!(!stepped_down().await);
    for (service, expected) in [("a", 1), ("b", 2)] {
        let mut connection = host.connect().await;
        let trapped = connection.get(&format!("/{service}?trap=1")).await;
        assert_eq!(trapped.status(), 502, "{trapped:?}");
        connection.get(&format!("/{service}")).await;
        host.works_on(service, 0).await;
        let served = served_by(&connection.get(&format!("/{service}")).await);
        assert_eq!(served, expected, "{service}");
    }
    let listed = host.admin("/v1/services/a").await.json();
    assert_eq!(listed["stepped_down"], true, "{listed:#}");
    let said = host
        .log_line("that instances are fresh", |line| {
            line.says("each request has a fresh instance for now", "a")
        })
        .await;
    assert_eq!(said.field("why"), "guest_trapped");
    until("instances to be used again", async || {
        (!stepped_down().await).then_some(())
    })
    .await;
    let mut connection = host.connect().await;
    let mut most = 0;
    while most < 2 {
        most = served_by(&connection.get("/a").await);
    }
    host.stop().await;
}
