//! Rollouts that are waited for: what the host tells of them, step by step, until each is over.

use std::collections::BTreeMap;

use super::DeployError;
use super::progress::Progress;
use crate::cli::api::{Done, Event, Figures, Rollout, Service, words};
use crate::cli::client::{ClientError, Feed, Target};
use crate::cli::style::harmless;
use crate::cli::table::milliseconds;

/// The outcome of a rollout that did not go well.
pub(super) const ABORTED: &str = "rollout_aborted";
const BEGUN: &str = "rollout_begun";
const PROMOTED: &str = "promoted";

/// The rollouts that came of an order.
#[derive(Debug, Default)]
pub(super) struct Rollouts {
    /// Revisions that are on their way, by service.
    under_way: BTreeMap<String, Option<u64>>,
    over: BTreeMap<String, Ending>,
}

#[derive(Debug, PartialEq, Eq)]
struct Ending {
    outcome: &'static str,
    detail: Option<String>,
}

impl Rollouts {
    /// Those that the order has begun.
    pub(super) fn begun(done: &Done) -> Self {
        let begun = done.services.iter();
        let begun = begun.filter(|standing| standing.outcome == BEGUN);
        Self {
            under_way: begun
                .map(|standing| (standing.service.clone(), standing.revision))
                .collect(),
            over: BTreeMap::new(),
        }
    }

    pub(super) fn are_over(&self) -> bool {
        self.under_way.is_empty()
    }

    /// Follows them to their ends. `seen` is what the feed has told already.
    pub(super) async fn follow(
        &mut self,
        target: &Target,
        mut feed: Feed<'_>,
        seen: Vec<Event>,
        progress: &mut Progress,
    ) -> Result<(), DeployError> {
        for event in &seen {
            if self.take(event) {
                progress.say(&line(event, None));
            }
        }
        while !self.are_over() {
            let message = feed.next().await?;
            // What is no event is not for this version.
            let Ok(event) = serde_json::from_str::<Event>(&message.data) else {
                continue;
            };
            if self.take(&event) {
                let standing = standing(target, &event.service).await?;
                progress.say(&line(&event, standing.as_ref()));
            }
        }
        Ok(())
    }

    /// Whether the event is one of a rollout's that is waited for. It may be its last.
    fn take(&mut self, event: &Event) -> bool {
        let Some(revision) = self.under_way.get(&event.service) else {
            return false;
        };
        let is_about_it = revision.is_none() || *revision == event.revision;
        let outcome = match event.kind.as_str() {
            PROMOTED if is_about_it => PROMOTED,
            ABORTED if is_about_it => ABORTED,
            // With the service, or what it was to take the place of, the candidate goes too.
            "removed" | "rolled_back" => ABORTED,
            kind => return is_about_it && kind.starts_with("rollout_"),
        };
        self.under_way.remove(&event.service);
        let ending = Ending {
            outcome,
            detail: match outcome {
                PROMOTED => None,
                _ => Some(event.detail.clone().unwrap_or_else(|| words(&event.kind))),
            },
        };
        self.over.insert(event.service.clone(), ending);
        true
    }

    /// Puts what became of them in the place of what had begun.
    pub(super) fn tell(self, done: &mut Done) {
        for standing in &mut done.services {
            if let Some(ending) = self.over.get(&standing.service) {
                ending.outcome.clone_into(&mut standing.outcome);
                standing.detail.clone_from(&ending.detail);
            }
        }
    }
}

/// How far the rollout is; None if it is over already.
async fn standing(target: &Target, service: &str) -> Result<Option<Rollout>, ClientError> {
    match target
        .read::<Service>(&format!("/v1/services/{service}"))
        .await
    {
        Ok(service) => Ok(service.rollout),
        Err(ClientError::Refused { .. } | ClientError::Mute { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn line(event: &Event, rollout: Option<&Rollout>) -> String {
    let mut line = format!("  {}  {}", harmless(&event.service), words(&event.kind));
    if let Some(rollout) = rollout {
        line.push_str(&format!(
            "  {}% (step {} of {})  candidate: {}  running: {}",
            rollout.weight,
            rollout.step,
            rollout.steps,
            figures(&rollout.candidate),
            figures(&rollout.running)
        ));
        if rollout.failed_checks > 0 {
            line.push_str(&format!("  {} checks failed", rollout.failed_checks));
        }
    }
    if let Some(detail) = &event.detail {
        line.push_str(&format!("  {}", harmless(detail)));
    }
    line
}

fn figures(figures: &Figures) -> String {
    let p99 = figures.p99_ms.map_or_else(|| "-".to_owned(), milliseconds);
    let (requests, errors) = (figures.requests, figures.errors);
    format!("{requests} requests, {errors} errors, p99 {p99}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::outcome;

    fn event(service: &str, kind: &str, revision: u64) -> Event {
        let detail = (kind == ABORTED).then(|| "success rate 91% < 99%".to_owned());
        Event {
            service: service.into(),
            kind: kind.into(),
            revision: Some(revision),
            detail,
            ..Event::default()
        }
    }

    fn done() -> Done {
        let done = r#"{"services":[
            {"service":"a","outcome":"rollout_begun","revision":2,"digest":"sha256:aa","generation":5},
            {"service":"b","outcome":"promoted","revision":7,"digest":"sha256:bb","generation":1},
            {"service":"c","outcome":"rollout_begun","revision":3,"digest":"sha256:cc","generation":9}]}"#;
        serde_json::from_str(done).unwrap()
    }

    #[test]
    fn each_rollout_is_followed_to_its_own_end() {
        let mut done = done();
        let mut rollouts = Rollouts::begun(&done);
        for (event, is_shown) in [
            (event("a", "rollout_step", 2), true),
            (event("a", "rollout_step", 1), false),
            (event("a", "promoted", 1), false),
            (event("a", "stage", 2), false),
            (event("b", "retired", 6), false),
            (event("a", "promoted", 2), true),
            (event("a", "rollout_aborted", 2), false),
            (event("c", "refused", 4), false),
        ] {
            assert_eq!(rollouts.take(&event), is_shown, "{event:?}");
            assert!(!rollouts.are_over());
        }
        assert!(rollouts.take(&event("c", "rollout_aborted", 3)));
        assert!(rollouts.are_over());
        rollouts.tell(&mut done);
        assert_eq!(
            outcome::render(&done, None, false),
            "a  revision 2  promoted         sha256:aa\n\
             b  revision 7  promoted         sha256:bb\n\
             c  revision 3  rollout aborted  sha256:cc    success rate 91% < 99%\n"
        );
    }

    #[test]
    fn a_rollout_ends_with_its_service() {
        for (kind, revision) in [("removed", 0), ("rolled_back", 1)] {
            let mut done = done();
            let mut rollouts = Rollouts::begun(&done);
            assert!(rollouts.take(&event("a", kind, revision)));
            rollouts.tell(&mut done);
            assert_eq!(done.services[0].outcome, ABORTED);
            assert_eq!(done.services[0].detail, Some(words(kind)));
        }
    }

    #[test]
    fn a_step_is_shown_with_its_numbers() {
        let rollout = r#"{"revision":2,"digest":"sha256:aa","phase":"progressing","weight":25,"step":2,"steps":4,
            "failed_checks":1,"candidate":{"requests":120,"errors":2,"faults":0,"p99_ms":1.25},
            "running":{"requests":360,"errors":0,"faults":0,"p99_ms":null}}"#;
        let rollout: Rollout = serde_json::from_str(rollout).unwrap();
        assert_eq!(
            line(&event("a", "rollout_step", 2), Some(&rollout)),
            "  a  rollout step  25% (step 2 of 4)  candidate: 120 requests, 2 errors, p99 1.2ms  \
             running: 360 requests, 0 errors, p99 -  1 checks failed"
        );
        assert_eq!(
            line(&event("a", ABORTED, 2), None),
            "  a  rollout aborted  success rate 91% < 99%"
        );
    }
}
