//! More requests than the host can answer: who counts most is answered, and so is the operator.

use std::num::NonZero;

use crate::support::load::Flood;
use crate::support::wait::until;
use crate::support::{Host, guest};

/// Connections of a lane that ask without a pause: one that serves each once is far behind.
const CONNECTIONS: usize = 200;
const ANSWERS: u32 = 20;

#[tokio::test]
async fn requests_of_low_priority_are_refused_first_and_the_admin_api_answers() {
    let limits = "[limits]\ntimeout = \"60s\"\nconcurrency = 1000\nqueue = 1000\n";
    let host = Host::with("batch", guest("hello"))
        .manifest("batch", &format!("{limits}priority = 1\n"))
        .and("shop", guest("hello"))
        .manifest("shop", &format!("{limits}priority = 9\n"))
        .settings("[log]\nrequests = false\n")
        .alone()
        .start()
        .await;
    // As many as there are lanes, whose connections are dealt out evenly.
    let lanes = std::thread::available_parallelism().map_or(1, NonZero::get);
    let flood = |_| Flood::begin(host.gateway, "/batch", CONNECTIONS);
    let floods: Vec<_> = (0..lanes).map(flood).collect();
    host.log_line("that requests are refused", |line| {
        line.message()
            .starts_with("a lane has more to do than it can")
    })
    .await;
    let refused = until("a request of low priority to be refused", async || {
        let answer = host.get("/batch").await;
        (answer.status() == 503).then_some(answer)
    })
    .await;
    assert!(
        refused.text().contains("urn:skep:fault:overloaded"),
        "{refused:?}"
    );
    assert_eq!(refused.header("retry-after"), Some("1"));
    for _ in 0..ANSWERS {
        assert_eq!(host.get("/shop").await.status(), 200);
        assert_eq!(host.admin("/healthz").await.status(), 200);
        assert_eq!(host.admin("/metrics").await.status(), 200);
    }
    for flood in floods {
        flood.stop();
    }
    host.log_line("that all are taken again", |line| {
        line.message() == "the lane takes all requests again"
    })
    .await;
    until("both lanes to take requests of low priority", async || {
        let [one, other] = [host.get("/batch").await, host.get("/batch").await];
        (one.status() == 200 && other.status() == 200).then_some(())
    })
    .await;
    host.stop().await;
}
