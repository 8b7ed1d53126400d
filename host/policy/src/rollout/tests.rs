//! A rollout's ways one by one; and under random schedules, beside a model.

mod model;

use super::Strategy::{BlueGreen, Canary, Immediate};
use super::*;

const SECOND: Duration = Duration::from_secs(1);
const INTERVAL: Duration = Duration::from_secs(10);

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn analysis(threshold: u32) -> Analysis {
    Analysis {
        interval: INTERVAL,
        threshold,
        minimum_samples: 10,
        ..Analysis::default()
    }
}

fn steps(steps: &[(u8, Pause)]) -> Strategy {
    let steps = steps.iter().map(|(weight, pause)| Step {
        weight: *weight,
        pause: *pause,
    });
    let steps = Steps::try_from(steps.collect::<Vec<_>>()).unwrap();
    Canary { steps }
}

fn plan(strategy: Strategy, threshold: u32) -> Plan {
    Plan {
        strategy,
        analysis: Some(analysis(threshold)),
    }
}

/// Two steps of 20 s, checked every 10 s; two failed checks abort.
fn canary() -> Plan {
    let twenty = Pause::For(20 * SECOND);
    plan(steps(&[(5, twenty), (50, twenty)]), 2)
}

fn seen(requests: u64, errors: u64) -> Sample {
    Sample {
        requests,
        errors,
        ..Sample::default()
    }
}

fn good(rollout: &mut Rollout, now: u64) -> Option<Change> {
    rollout.tick(at(now), &seen(100, 0), &Sample::default())
}

fn bad(rollout: &mut Rollout, now: u64) -> Option<Change> {
    rollout.tick(at(now), &seen(100, 50), &Sample::default())
}

fn few(rollout: &mut Rollout, now: u64) -> Option<Change> {
    rollout.tick(at(now), &seen(9, 9), &Sample::default())
}

fn aborted() -> Option<Change> {
    let reason = "success rate 50 % is under 99 %".to_owned();
    Some(Change::Abort(vec![reason]))
}

#[test]
fn a_good_candidate_gets_more_with_every_step_and_then_all() {
    let mut rollout = Rollout::begin(canary(), at(0));
    assert_eq!((rollout.phase(), rollout.weight()), (Phase::Progressing, 5));
    assert_eq!(rollout.next_check(at(0)), Some(at(10)));
    assert_eq!(good(&mut rollout, 10), None);
    assert_eq!(good(&mut rollout, 20), Some(Change::Weight(50)));
    assert_eq!((rollout.step(), rollout.weight()), (1, 50));
    assert_eq!(good(&mut rollout, 30), None);
    assert_eq!(good(&mut rollout, 40), Some(Change::Promote));
    assert_eq!((rollout.phase(), rollout.weight()), (Phase::Promoted, 100));
    assert_eq!(rollout.next_check(at(40)), None);
}

#[test]
fn failed_checks_add_up_whatever_passes_in_between() {
    let mut rollout = Rollout::begin(canary(), at(0));
    assert_eq!(bad(&mut rollout, 10), None);
    assert_eq!(rollout.failed_checks(), 1);
    assert_eq!(good(&mut rollout, 20), Some(Change::Weight(50)));
    assert_eq!(good(&mut rollout, 30), None);
    assert_eq!(bad(&mut rollout, 40), aborted());
    assert_eq!((rollout.phase(), rollout.weight()), (Phase::Aborted, 0));
    assert_eq!(rollout.save().reasons, ["success rate 50 % is under 99 %"]);
}

#[test]
fn no_step_is_left_on_a_failed_check() {
    let mut rollout = Rollout::begin(canary(), at(0));
    assert_eq!(good(&mut rollout, 10), None);
    assert_eq!(bad(&mut rollout, 20), None);
    assert_eq!(few(&mut rollout, 30), None, "that takes nothing back");
    assert_eq!(good(&mut rollout, 40), Some(Change::Weight(50)));
}

#[test]
fn too_few_requests_make_a_step_last_longer_and_add_up() {
    let mut rollout = Rollout::begin(canary(), at(0));
    for now in [10, 20, 30] {
        assert_eq!(few(&mut rollout, now), None);
        assert_eq!(rollout.since(), at(0));
        assert_eq!(rollout.next_check(at(now)), Some(at(now + 10)));
    }
    assert_eq!((rollout.failed_checks(), rollout.weight()), (0, 5));
    assert_eq!(good(&mut rollout, 40), Some(Change::Weight(50)));
    assert_eq!(few(&mut rollout, 50), None);
    assert_eq!(rollout.since(), at(40));
    assert_eq!(bad(&mut rollout, 60), None);
    assert_eq!(rollout.since(), at(60));
    assert_eq!(good(&mut rollout, 70), Some(Change::Promote));
}

#[test]
fn once_vouched_for_a_step_ends_when_its_time_has_passed() {
    let five = Pause::For(15 * SECOND);
    let mut rollout = Rollout::begin(plan(steps(&[(5, five), (50, five)]), 1), at(0));
    assert_eq!(good(&mut rollout, 10), None);
    assert_eq!(rollout.next_check(at(10)), Some(at(15)));
    assert_eq!(few(&mut rollout, 15), Some(Change::Weight(50)));
    assert_eq!(rollout.since(), at(15));
    let next = rollout.next_check(at(15));
    assert_eq!(next, Some(at(25)), "a whole interval of this step");
    assert_eq!(bad(&mut rollout, 24), None);
    assert_eq!(bad(&mut rollout, 25), aborted());
}

#[test]
fn however_late_it_is_no_step_is_skipped() {
    let mut rollout = Rollout::begin(canary(), at(0));
    assert_eq!(good(&mut rollout, 500), Some(Change::Weight(50)));
    assert_eq!(good(&mut rollout, 500), None);
    let mut unchecked = canary();
    unchecked.analysis = None;
    let mut rollout = Rollout::begin(unchecked, at(0));
    assert_eq!(rollout.next_check(at(0)), Some(at(20)));
    assert_eq!(rollout.next_check(at(30)), Some(at(30)));
    assert_eq!(bad(&mut rollout, 500), Some(Change::Weight(50)));
    assert_eq!(bad(&mut rollout, 519), None);
    assert_eq!(bad(&mut rollout, 520), Some(Change::Promote));
    assert_eq!(rollout.failed_checks(), 0);
}

#[test]
fn a_pause_holds_the_weight_and_the_steps_time() {
    let mut rollout = Rollout::begin(canary(), at(0));
    assert_eq!(good(&mut rollout, 10), None);
    assert!(rollout.pause(at(15)));
    assert!(!rollout.pause(at(16)));
    assert_eq!((rollout.phase(), rollout.weight()), (Phase::Paused, 5));
    for now in [20, 30, 40] {
        assert_eq!(good(&mut rollout, now), None);
    }
    assert!(rollout.resume(at(45)));
    assert!(!rollout.resume(at(46)));
    assert_eq!(rollout.phase(), Phase::Progressing);
    assert_eq!(rollout.next_check(at(45)), Some(at(50)));
    assert_eq!(few(&mut rollout, 49), None);
    assert_eq!(few(&mut rollout, 50), Some(Change::Weight(50)));
}

#[test]
fn a_paused_one_is_checked_and_aborts() {
    let mut rollout = Rollout::begin(canary(), at(0));
    rollout.pause(at(0));
    assert_eq!(rollout.next_check(at(0)), Some(at(10)));
    assert_eq!(bad(&mut rollout, 10), None);
    assert_eq!(bad(&mut rollout, 20), aborted());
    assert!(!rollout.resume(at(21)) && !rollout.pause(at(21)));
    assert_eq!(rollout.weight(), 0);
}

#[test]
fn a_step_without_a_time_waits_for_an_operator_and_is_checked() {
    let strategy = steps(&[(5, Pause::UntilPromoted), (50, Pause::For(SECOND))]);
    let mut rollout = Rollout::begin(plan(strategy.clone(), 2), at(0));
    for now in 1..100 {
        assert_eq!(good(&mut rollout, now * 10), None);
        assert_eq!(rollout.phase(), Phase::Waiting);
    }
    assert_eq!(rollout.promote(at(1000)), Some(Change::Weight(50)));
    assert_eq!(rollout.phase(), Phase::Progressing);
    assert_eq!(bad(&mut rollout, 1009), None);
    assert_eq!(
        rollout.failed_checks(),
        0,
        "the check of the step before is not made"
    );
    assert_eq!(good(&mut rollout, 1010), Some(Change::Promote));

    let mut rollout = Rollout::begin(plan(strategy.clone(), 1), at(0));
    assert_eq!(bad(&mut rollout, 10), aborted());

    let analysis = None;
    let rollout = Rollout::begin(Plan { strategy, analysis }, at(0));
    assert_eq!(rollout.next_check(at(0)), None);
}

#[test]
fn promoting_passes_steps_and_resumes_what_is_paused() {
    let mut rollout = Rollout::begin(canary(), at(0));
    rollout.pause(at(5));
    assert_eq!(rollout.promote(at(10)), None);
    assert_eq!((rollout.phase(), rollout.weight()), (Phase::Progressing, 5));
    assert_eq!(rollout.promote(at(10)), Some(Change::Weight(50)));
    assert_eq!(rollout.promote(at(10)), Some(Change::Promote));
    assert_eq!(rollout.promote(at(10)), None);
    assert_eq!(rollout.promote_fully(), None);
    assert_eq!(rollout.abort("late"), None);
    assert_eq!(rollout.phase(), Phase::Promoted);

    let mut rollout = Rollout::begin(canary(), at(0));
    rollout.pause(at(5));
    assert_eq!(rollout.promote_fully(), Some(Change::Promote));
    assert_eq!(rollout.weight(), 100);
}

#[test]
fn an_aborted_one_says_why_and_stays_so() {
    let mut rollout = Rollout::begin(canary(), at(0));
    let change = rollout.abort("its health check failed");
    let reasons = vec!["its health check failed".to_owned()];
    assert_eq!(change, Some(Change::Abort(reasons.clone())));
    assert_eq!(rollout.abort("again"), None);
    assert_eq!(rollout.promote(at(1)), None);
    assert_eq!(rollout.promote_fully(), None);
    assert_eq!(good(&mut rollout, 100), None);
    assert_eq!(rollout.save().reasons, reasons);
    assert_eq!((rollout.phase(), rollout.weight()), (Phase::Aborted, 0));
}

#[test]
fn blue_and_green_change_places_by_hand_or_after_a_while() {
    let strategy = |auto_promote_after| BlueGreen { auto_promote_after };
    let mut rollout = Rollout::begin(plan(strategy(None), 2), at(0));
    assert_eq!((rollout.phase(), rollout.weight()), (Phase::Waiting, 0));
    assert_eq!(good(&mut rollout, 1000), None);
    assert_eq!(rollout.promote(at(1001)), Some(Change::Promote));

    let mut rollout = Rollout::begin(plan(strategy(Some(at(30))), 2), at(0));
    assert_eq!((rollout.phase(), rollout.weight()), (Phase::Progressing, 0));
    assert_eq!(few(&mut rollout, 30), None, "it has not been seen");
    assert_eq!(good(&mut rollout, 40), Some(Change::Promote));

    let strategy = strategy(Some(at(30)));
    let analysis = None;
    let mut rollout = Rollout::begin(Plan { strategy, analysis }, at(0));
    assert_eq!(few(&mut rollout, 29), None);
    assert_eq!(few(&mut rollout, 30), Some(Change::Promote));
}

#[test]
fn an_immediate_one_is_over_as_it_begins() {
    let mut rollout = Rollout::begin(plan(Immediate, 1), at(0));
    assert_eq!((rollout.phase(), rollout.weight()), (Phase::Promoted, 100));
    assert_eq!(rollout.next_check(at(0)), None);
    assert_eq!(bad(&mut rollout, 100), None);
    let restored = Rollout::restore(plan(Immediate, 1), rollout.save(), at(0)).unwrap();
    assert_eq!(restored.weight(), 100);
}

#[test]
fn after_a_restart_it_is_in_the_same_step_whose_time_begins_anew() {
    let mut rollout = Rollout::begin(canary(), at(0));
    bad(&mut rollout, 10);
    good(&mut rollout, 20);
    good(&mut rollout, 30);
    let mut restored = Rollout::restore(canary(), rollout.save(), at(5)).unwrap();
    assert_eq!((restored.step(), restored.weight()), (1, 50));
    assert_eq!((restored.failed_checks(), restored.since()), (1, at(5)));
    assert_eq!(bad(&mut restored.clone(), 15), aborted());
    assert_eq!(good(&mut restored, 15), None);
    assert_eq!(good(&mut restored, 25), Some(Change::Promote));

    rollout.abort("unhealthy");
    let restored = Rollout::restore(canary(), rollout.save(), at(5)).unwrap();
    assert_eq!((restored.phase(), restored.weight()), (Phase::Aborted, 0));
    assert_eq!(restored.save().reasons, ["unhealthy"]);
}

#[test]
fn what_was_saved_of_another_plan_is_refused() {
    let saved = |step, phase| Saved {
        step,
        phase,
        failed_checks: 0,
        reasons: Vec::new(),
    };
    let restore = |plan, step, phase| Rollout::restore(plan, saved(step, phase), at(0)).map(drop);
    assert_eq!(restore(canary(), 1, Phase::Progressing), Ok(()));
    let misfit = Misfit { step: 2, steps: 2 };
    for phase in [Phase::Progressing, Phase::Paused, Phase::Promoted] {
        assert_eq!(restore(canary(), 2, phase), Err(misfit));
    }
    assert_eq!(
        misfit.to_string(),
        "the rollout was in step 3 and its plan has 2: begin it anew"
    );
    assert!(restore(canary(), usize::MAX, Phase::Waiting).is_err());
    assert!(restore(plan(Immediate, 1), 0, Phase::Waiting).is_err());
    assert!(restore(plan(Immediate, 1), 0, Phase::Aborted).is_err());
}
