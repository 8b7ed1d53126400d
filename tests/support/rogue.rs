//! The scene of every test of isolation: a service that misbehaves, `rogue`, beside a healthy one, `victim`.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join;
use tokio::time::sleep;

use super::answer::Answer;
use super::guests::{fault, guest};
use super::host::Host;
use super::log::Line;
use super::setup::Setup;
use super::wait::until;

/// Often enough to notice, and no load that would keep the rogue itself from running.
const VICTIM_INTERVAL: Duration = Duration::from_millis(5);

/// Limits that a test which is about something else never reaches, even where the processor is shared.
const PATIENT: &str = "[limits]\ncpu = \"20s\"\ntimeout = \"50s\"\n";

/// A host that serves the fault guest `name` at `/rogue`, and a healthy service at `/victim`. Without a manifest the
/// rogue's time is hardly limited.
pub(crate) fn beside_victim(name: &str, manifest: &str) -> Setup {
    let manifest = if manifest.is_empty() {
        PATIENT
    } else {
        manifest
    };
    Host::with("victim", guest("hello"))
        .and("rogue", fault(name))
        .manifest("rogue", manifest)
}

impl Host {
    /// `GET /rogue` while the victim is asked again and again.
    pub(crate) async fn provoke(&self) -> Answer {
        self.while_victim_serves(self.get("/rogue")).await
    }

    /// `GET /rogue` over HTTP/2 while the victim is asked again and again.
    pub(crate) async fn provoke_h2(&self) -> Answer {
        let mut connection = self.connect_h2().await;
        self.while_victim_serves(connection.get("/rogue")).await
    }

    /// Does something while the victim is asked again and again, which must answer each time.
    pub(crate) async fn while_victim_serves<T>(&self, rogue: impl Future<Output = T>) -> T {
        let over = Cell::new(false);
        let rogue = async {
            let result = rogue.await;
            over.set(true);
            result
        };
        let victim = async {
            let mut connection = self.connect().await;
            let mut last = false;
            // Once more after the rogue is done.
            while !last {
                sleep(VICTIM_INTERVAL).await;
                last = over.get();
                let answer = connection.get("/victim").await;
                assert_eq!(answer.status(), 200, "{answer:?}");
                assert_eq!(answer.text(), "Hello from hello revision 1: GET /\n");
            }
        };
        join(rogue, victim).await.0
    }

    /// The answer is the host's own, tells clients nothing of the inside, and the log says what the guest did.
    pub(crate) async fn assert_fault(
        &self,
        answer: &Answer,
        status: u16,
        cause: &str,
    ) -> Arc<Line> {
        assert_eq!(answer.status(), status, "{answer:?}");
        let problem = answer.problem();
        assert_eq!(problem.r#type, format!("urn:skep:fault:{cause}"));
        assert_eq!(problem.service.as_deref(), Some("rogue"));
        self.assert_blamed(answer, cause).await
    }

    /// The answer began well, and the client could tell that it did not end well.
    pub(crate) async fn assert_cut(&self, answer: &Answer, cause: &str) -> Arc<Line> {
        assert_eq!(answer.status(), 200, "{answer:?}");
        assert!(answer.cut.is_some(), "the answer is cut: {answer:?}");
        self.assert_blamed(answer, cause).await
    }

    async fn assert_blamed(&self, answer: &Answer, cause: &str) -> Arc<Line> {
        let line = self.logged(answer).await;
        assert_eq!(line.field("cause"), cause, "{}", line.text());
        assert_eq!(line.field("blame"), "guest", "{}", line.text());
        assert_eq!(line.field("service"), "rogue", "{}", line.text());
        assert_eq!(
            line.field("status"),
            answer.status().to_string(),
            "{}",
            line.text()
        );
        assert_eq!(line.level(), "WARN", "{}", line.text());
        assert!(!line.field("detail").is_empty(), "{}", line.text());
        let labels = [("service", "rogue"), ("cause", cause)];
        let counted = self.metric("skep_faults_total", &labels).await;
        assert!(
            counted.is_some_and(|count| count >= 1.0),
            "{counted:?} {cause}"
        );
        line
    }

    /// Waits until a service has failed this often after its answers were out; what the log says of it.
    pub(crate) async fn late_faults(&self, service: &str, count: usize) -> Vec<Arc<Line>> {
        let what = format!("{count} late faults of {service}");
        let is_late = |line: &Line| line.says("guest failed after its answer was out", service);
        self.nth_line(&what, count, is_late).await;
        self.log.all(is_late)
    }

    /// The rogue's file is replaced by one that behaves: the service answers as if nothing had been.
    pub(crate) async fn assert_recovers(&self) {
        self.deploy("rogue", guest("hello"));
        self.while_victim_serves(self.promoted("rogue", 2)).await;
        let answer = self.get("/rogue").await;
        assert_eq!(answer.status(), 200, "{answer:?}");
        assert_eq!(answer.text(), "Hello from hello revision 1: GET /\n");
        until("the rogue's instances to be given back", async || {
            let held = self
                .metric("skep_instance_claims_in_use", &[("service", "rogue")])
                .await;
            (held == Some(0.0)).then_some(())
        })
        .await;
    }
}
