//! The rollout beside a model that keeps every verdict of a step, under random schedules: ticks with any sample at any
//! time, operators, restarts.

use std::time::Duration;

use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{INTERVAL, analysis, seen, steps};
use crate::rollout::Strategy::BlueGreen;
use crate::rollout::{Change, Pause, Phase, Plan, Rollout, Sample, Step};

/// More than any of the plans needs.
const TICKS_MAX: u32 = 100;

/// What a tick is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Good,
    Bad,
    Few,
}

impl Seen {
    fn sample(self) -> Sample {
        match self {
            Self::Good => seen(100, 0),
            Self::Bad => seen(100, 50),
            Self::Few => seen(9, 9),
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Event {
    Tick(Seen),
    /// When the rollout asks for it.
    TickInTime(Seen),
    Promote,
    PromoteFully,
    Pause,
    Resume,
    Abort,
    Restart,
}

/// Counts the time of a step as it passes, and decides by all verdicts of the step.
struct Model {
    steps: Vec<Step>,
    threshold: Option<u32>,
    phase: Option<Phase>,
    is_paused: bool,
    step: usize,
    /// Milliseconds of this step that were not paused.
    spent: u64,
    /// Milliseconds since the last check or the step's beginning.
    unchecked: u64,
    verdicts: Vec<Seen>,
    passes: usize,
    failed: u32,
}

impl Model {
    fn pass_time(&mut self, milliseconds: u64) {
        self.unchecked += milliseconds;
        if !self.is_paused {
            self.spent += milliseconds;
        }
    }

    fn begin_step(&mut self, step: usize) {
        self.step = step;
        (self.spent, self.unchecked) = (0, 0);
        self.verdicts.clear();
    }

    fn go_on(&mut self) -> Option<u8> {
        if self.step + 1 == self.steps.len() {
            self.phase = Some(Phase::Promoted);
            return Some(100);
        }
        self.begin_step(self.step + 1);
        Some(self.steps[self.step].weight)
    }

    fn abort(&mut self) -> Option<u8> {
        self.phase = Some(Phase::Aborted);
        Some(0)
    }

    fn tick(&mut self, seen: Seen) -> Option<u8> {
        if let Some(threshold) = self.threshold
            && u128::from(self.unchecked) >= INTERVAL.as_millis()
        {
            self.unchecked = 0;
            self.verdicts.push(seen);
            self.passes += usize::from(seen == Seen::Good);
            self.failed += u32::from(seen == Seen::Bad);
            if seen == Seen::Bad && self.failed >= threshold {
                return self.abort();
            }
        }
        let Pause::For(time) = self.steps[self.step].pause else {
            return None;
        };
        let telling = self.verdicts.iter().rfind(|seen| **seen != Seen::Few);
        let is_vouched_for = self.threshold.is_none() || telling == Some(&Seen::Good);
        if self.is_paused || u128::from(self.spent) < time.as_millis() || !is_vouched_for {
            return None;
        }
        self.go_on()
    }

    /// The weight that is to be given now, if this changes it.
    fn take(&mut self, event: Event) -> Option<u8> {
        if self.phase.is_some() {
            return None;
        }
        match event {
            Event::Tick(seen) | Event::TickInTime(seen) => return self.tick(seen),
            Event::Promote if self.is_paused => self.is_paused = false,
            Event::Promote => return self.go_on(),
            Event::PromoteFully => {
                self.phase = Some(Phase::Promoted);
                return Some(100);
            }
            Event::Pause => self.is_paused = true,
            Event::Resume => self.is_paused = false,
            Event::Abort => return self.abort(),
            Event::Restart => self.begin_step(self.step),
        }
        None
    }

    fn phase(&self) -> Phase {
        match (self.phase, self.steps[self.step].pause) {
            (Some(over), _) => over,
            (None, _) if self.is_paused => Phase::Paused,
            (None, Pause::UntilPromoted) => Phase::Waiting,
            (None, Pause::For(_)) => Phase::Progressing,
        }
    }
}

fn any_pause() -> impl Strategy<Value = Pause> {
    prop_oneof![
        5 => (0..40_000u64).prop_map(|pause| Pause::For(Duration::from_millis(pause))),
        1 => Just(Pause::UntilPromoted),
    ]
}

/// A canary or a blue-green rollout, checked or not.
fn any_plan() -> impl Strategy<Value = Plan> {
    let canary = proptest::collection::vec((0..=100u8, any_pause()), 1..6).prop_map(|mut drawn| {
        let mut weights: Vec<u8> = drawn.iter().map(|(weight, _)| *weight).collect();
        weights.sort_unstable();
        for (step, weight) in drawn.iter_mut().zip(weights) {
            step.0 = weight;
        }
        steps(&drawn)
    });
    let blue_green = any_pause().prop_map(|pause| BlueGreen {
        auto_promote_after: match pause {
            Pause::For(time) => Some(time),
            Pause::UntilPromoted => None,
        },
    });
    let analysis = proptest::option::weighted(0.8, (0..6u32).prop_map(analysis));
    (prop_oneof![4 => canary, 1 => blue_green], analysis)
        .prop_map(|(strategy, analysis)| Plan { strategy, analysis })
}

fn any_event() -> impl Strategy<Value = Event> {
    let seen = || prop_oneof![6 => Just(Seen::Good), 1 => Just(Seen::Bad), 2 => Just(Seen::Few)];
    prop_oneof![
        30 => seen().prop_map(Event::TickInTime),
        10 => seen().prop_map(Event::Tick),
        2 => Just(Event::Promote),
        1 => Just(Event::PromoteFully),
        4 => Just(Event::Pause),
        6 => Just(Event::Resume),
        1 => Just(Event::Abort),
        2 => Just(Event::Restart),
    ]
}

/// What an event does to a rollout: the weight that its change gives.
fn happen(rollout: &mut Rollout, plan: &Plan, event: Event, now: Duration) -> Option<u8> {
    let change = match event {
        Event::Tick(seen) | Event::TickInTime(seen) => {
            rollout.tick(now, &seen.sample(), &Sample::default())
        }
        Event::Promote => rollout.promote(now),
        Event::PromoteFully => rollout.promote_fully(),
        Event::Pause => {
            rollout.pause(now);
            None
        }
        Event::Resume => {
            rollout.resume(now);
            None
        }
        Event::Abort => rollout.abort("told to"),
        Event::Restart => {
            let (plan, saved) = (reread(plan), reread(&rollout.save()));
            let weight = rollout.weight();
            *rollout = Rollout::restore(plan, saved, now).unwrap();
            assert_eq!(rollout.weight(), weight);
            None
        }
    };
    change.map(|change| match change {
        Change::Weight(weight) => weight,
        Change::Promote => 100,
        Change::Abort(reasons) => {
            assert!(!reasons.is_empty());
            assert_eq!(rollout.save().reasons, reasons);
            0
        }
    })
}

/// As it comes back from a file.
fn reread<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(it: &T) -> T {
    let text = serde_json::to_string(it).unwrap();
    let read = serde_json::from_str(&text).unwrap();
    assert_eq!(&read, it);
    read
}

/// At the time that it asks for, and not before, a rollout can do something.
fn asks_for_the_right_time(rollout: &Rollout, now: Duration) {
    let idles = |at: Duration| {
        for seen in [Seen::Good, Seen::Bad] {
            let mut then = rollout.clone();
            let change = then.tick(at, &seen.sample(), &Sample::default());
            assert_eq!((change, then.save()), (None, rollout.save()));
        }
    };
    let Some(next) = rollout.next_check(now) else {
        return idles(now + 1000 * INTERVAL);
    };
    assert!(next >= now);
    if next > now {
        idles(next - Duration::from_millis(1));
    }
    let mut then = rollout.clone();
    let change = then.tick(next, &Seen::Good.sample(), &Sample::default());
    let has_checked = then.since() == next;
    assert!(change.is_some() || has_checked);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn it_does_what_the_model_does(
        plan in any_plan(),
        events in proptest::collection::vec((any_event(), prop_oneof![0..50u64, 0..30_000u64]), 1..80),
    ) {
        let mut now = Duration::from_secs(7);
        let mut rollout = Rollout::begin(plan.clone(), now);
        let mut model = Model {
            steps: rollout.steps().to_vec(),
            threshold: plan.analysis.as_ref().map(|analysis| analysis.threshold),
            phase: None,
            is_paused: false,
            step: 0,
            spent: 0,
            unchecked: 0,
            verdicts: Vec::new(),
            passes: 0,
            failed: 0,
        };
        let mut has_operator = false;
        for (event, pause) in events {
            let wait = match event {
                Event::TickInTime(_) => rollout.next_check(now).map_or(Duration::ZERO, |at| at - now),
                _ => Duration::from_millis(pause),
            };
            now += wait;
            model.pass_time(wait.as_millis() as u64);
            let before = rollout.clone();
            let given = happen(&mut rollout, &plan, event, now);
            prop_assert_eq!(given, model.take(event));
            prop_assert_eq!(rollout.phase(), model.phase());
            prop_assert_eq!((rollout.step(), rollout.failed_checks()), (model.step, model.failed));
            asks_for_the_right_time(&rollout, now);

            let weight = rollout.weight();
            prop_assert_eq!(weight, given.unwrap_or(before.weight()), "told of every change");
            prop_assert!(weight >= before.weight() || rollout.phase() == Phase::Aborted);
            let is_tick = matches!(event, Event::Tick(_) | Event::TickInTime(_));
            if is_tick && before.phase() == Phase::Paused {
                prop_assert!(weight == before.weight() || rollout.phase() == Phase::Aborted);
            }
            if before.is_over() {
                prop_assert_eq!(rollout.save(), before.save());
            }
            has_operator |= matches!(event, Event::Promote | Event::PromoteFully);
            if rollout.phase() == Phase::Promoted && !has_operator && model.threshold.is_some() {
                prop_assert!(model.passes >= model.steps.len());
            }
        }
    }

    #[test]
    fn a_bad_candidate_is_aborted_after_as_many_checks_as_are_allowed(plan in any_plan()) {
        let Some(threshold) = plan.analysis.as_ref().map(|analysis| analysis.threshold.max(1)) else {
            return Ok(());
        };
        let mut rollout = Rollout::begin(plan, Duration::ZERO);
        let mut now = Duration::ZERO;
        let first = rollout.weight();
        for _ in 0..TICKS_MAX {
            prop_assert!(rollout.is_over() || rollout.weight() == first);
            now = rollout.next_check(now).unwrap_or(now);
            rollout.tick(now, &Seen::Bad.sample(), &Sample::default());
        }
        prop_assert_eq!(rollout.phase(), Phase::Aborted);
        prop_assert_eq!(now, threshold * INTERVAL);
    }

    #[test]
    fn a_good_candidate_is_promoted_as_soon_as_its_steps_allow(plan in any_plan()) {
        let mut rollout = Rollout::begin(plan.clone(), Duration::ZERO);
        let mut expected = Duration::ZERO;
        for step in rollout.steps() {
            let Pause::For(time) = step.pause else {
                return Ok(());
            };
            expected += plan.analysis.as_ref().map_or(time, |analysis| time.max(analysis.interval));
        }
        let mut now = Duration::ZERO;
        for _ in 0..TICKS_MAX {
            now = rollout.next_check(now).unwrap_or(now);
            rollout.tick(now, &Seen::Good.sample(), &Sample::default());
        }
        prop_assert_eq!(rollout.phase(), Phase::Promoted);
        prop_assert_eq!(now, expected);
    }
}
