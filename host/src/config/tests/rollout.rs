//! What manifests say about the way from one revision to the next.

use std::time::Duration;

use super::*;
use crate::config::service::rollout::{Rollout, Sticky};
use skep_policy::rollout::{Pause, Strategy};

fn rollout(manifest: &str) -> Result<Rollout, String> {
    let manifest = format!("component = 'hello.wasm'\n[rollout]\n{manifest}");
    let folder = Folder::new().with("a.toml", manifest);
    folder.service("a.toml").map(|service| service.rollout)
}

#[test]
fn a_revision_takes_its_place_at_once_unless_it_is_said_otherwise() {
    assert_eq!(rollout("").unwrap(), Rollout::default());
    let said = "strategy = 'canary'\nstep_weight = 20\nsticky = 'header:X-User'\nmirror = 10\n";
    let said = rollout(said).unwrap();
    assert_eq!(said.sticky, Sticky::Header("x-user".to_owned()));
    assert_eq!((said.mirror, said.allow_breaking), (10, false));
    let Strategy::Canary { steps } = said.plan.strategy else {
        panic!("it is a canary")
    };
    let steps: Vec<_> = steps
        .as_slice()
        .iter()
        .map(|step| (step.weight, step.pause))
        .collect();
    let minute = Pause::For(Duration::from_secs(60));
    assert_eq!(steps, [(20, minute), (40, minute), (50, minute)]);
}

#[test]
fn what_can_not_be_is_refused() {
    let blue_green = |more: &str| format!("strategy = 'blue-green'\n{more}");
    for (manifest, said) in [
        (
            "strategy = 'canari'".to_owned(),
            "rollout.strategy: \"canari\" is none: did you mean \"canary\"? ",
        ),
        (
            "strategy = 'canary'".to_owned(),
            "rollout: says nothing of the steps",
        ),
        (
            "mirror = 10".to_owned(),
            "rollout.mirror: an immediate rollout has no time for this: set strategy",
        ),
        (
            "[rollout.analysis]".to_owned(),
            "rollout.analysis: an immediate rollout has no time for this: set strategy",
        ),
        (
            blue_green("mirror = 0"),
            "rollout.mirror: must be between 1 and 100, in percent",
        ),
        (
            blue_green("mirror = 101"),
            "rollout.mirror: must be between 1 and 100, in percent",
        ),
        (
            blue_green("step_weight = 5"),
            "rollout.step_weight: is for strategy = \"canary\" only: leave it out",
        ),
        (
            blue_green("sticky = 'cooky'"),
            "rollout.sticky: \"cooky\" is none: did you mean \"cookie\"? ",
        ),
        (
            blue_green("auto_promote_after = '8d'"),
            "rollout.auto_promote_after: must be between 10ms and ",
        ),
        (
            blue_green("[[rollout.analysis.metric]]\nname = 'differences'"),
            "unknown metric \"differences\"",
        ),
        (
            blue_green("[[rollout.analysis.metric]]\nname = 'difference_rate'\nmax = 5"),
            "rollout.analysis.metric[0].name: is of no use without a mirror",
        ),
        (
            blue_green(
                "mirror = 1\n[[rollout.analysis.metric]]\nname = 'difference_rate'\nmax_ratio = 5",
            ),
            "max_ratio: compares with the running revision, which has none",
        ),
    ] {
        let error = rollout(&manifest).unwrap_err();
        assert!(error.contains(said), "{manifest}: {error}");
    }
}
