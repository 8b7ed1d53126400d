//! Waiting: for an event, and never without a bound.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

/// Longer than anything takes on a machine that does other work too: beside a program that computes on each processor,
/// a component that compiles in a second takes more than one minute, since compile children have the lowest priority.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(180);
/// How often something is asked for that tells nobody when it changes.
const ASK_FIRST: Duration = Duration::from_millis(2);
const ASK_LAST: Duration = Duration::from_millis(100);

/// What `future` resolves to; a test that would wait longer than [`WAIT_MAX`] fails and says what for.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match timeout(WAIT_MAX, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited {WAIT_MAX:?} for {what}"),
    }
}

/// Asks until there is an answer, ever less often. Only for what no event tells.
pub(crate) async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + WAIT_MAX;
    let mut pause = ASK_FIRST;
    loop {
        if let Some(value) = within(what, ask()).await {
            return value;
        }
        assert!(Instant::now() < deadline, "waited {WAIT_MAX:?} for {what}");
        sleep(pause).await;
        pause = (pause * 2).min(ASK_LAST);
    }
}
