//! The breaker beside a model that remembers everything, under random schedules; and its states one by one.

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn settings() -> Settings {
    Settings {
        window: Span::Calls(4),
        minimum_calls: 2,
        failure_rate: 50,
        slow_call_rate: 100,
        slow_call_duration: 10 * SECOND,
        open: 30 * SECOND,
        half_open_calls: 2,
    }
}

/// Makes calls that end at once.
fn call(breaker: &mut Breaker, outcome: Outcome, now: Duration) {
    let pass = breaker.admit(now).unwrap();
    breaker.record(pass, outcome, Duration::ZERO, now);
}

fn opened() -> Breaker {
    let mut breaker = Breaker::new(settings());
    for _ in 0..2 {
        call(&mut breaker, Outcome::Failure, Duration::ZERO);
    }
    breaker
}

#[test]
fn it_opens_at_the_rate_and_not_before_there_are_enough_calls() {
    let mut breaker = Breaker::new(settings());
    call(&mut breaker, Outcome::Failure, Duration::ZERO);
    assert_eq!(breaker.state(Duration::ZERO), State::Closed);
    call(&mut breaker, Outcome::Success, Duration::ZERO);
    assert_eq!(breaker.state(Duration::ZERO), State::Open, "half of two");
    let refused = breaker.admit(10 * SECOND).unwrap_err();
    assert_eq!(refused.retry_after, 20 * SECOND);
}

#[test]
fn slow_calls_open_it_as_well() {
    let mut breaker = Breaker::new(settings());
    for took in [10 * SECOND, 11 * SECOND] {
        let pass = breaker.admit(Duration::ZERO).unwrap();
        breaker.record(pass, Outcome::Success, took, took);
    }
    assert_eq!(breaker.state(11 * SECOND), State::Open);
}

#[test]
fn what_says_nothing_about_the_service_does_not_count() {
    let mut breaker = Breaker::new(settings());
    for _ in 0..100 {
        call(&mut breaker, Outcome::Ignored, Duration::ZERO);
    }
    call(&mut breaker, Outcome::Failure, Duration::ZERO);
    assert_eq!(breaker.state(Duration::ZERO), State::Closed);
}

#[test]
fn half_open_it_lets_a_few_through_and_closes_if_they_are_well() {
    let mut breaker = opened();
    let now = 30 * SECOND;
    assert_eq!(breaker.state(now), State::HalfOpen);
    let (one, two) = (breaker.admit(now).unwrap(), breaker.admit(now).unwrap());
    assert!(breaker.admit(now).is_err());
    breaker.record(one, Outcome::Ignored, Duration::ZERO, now);
    let three = breaker.admit(now).unwrap();
    breaker.record(two, Outcome::Success, Duration::ZERO, now);
    assert_eq!(breaker.state(now), State::HalfOpen);
    breaker.record(three, Outcome::Success, Duration::ZERO, now);
    assert_eq!(breaker.state(now), State::Closed);
    assert!(breaker.admit(now).is_ok());
}

#[test]
fn half_open_it_opens_again_if_they_are_not() {
    let mut breaker = opened();
    let now = 30 * SECOND;
    call(&mut breaker, Outcome::Success, now);
    call(&mut breaker, Outcome::Failure, now);
    assert_eq!(breaker.state(now), State::Open);
    assert_eq!(breaker.admit(now).unwrap_err().retry_after, 30 * SECOND);
}

#[test]
fn a_call_of_an_earlier_state_says_nothing() {
    let mut breaker = Breaker::new(settings());
    let late = breaker.admit(Duration::ZERO).unwrap();
    for _ in 0..2 {
        call(&mut breaker, Outcome::Failure, Duration::ZERO);
    }
    let now = 30 * SECOND;
    call(&mut breaker, Outcome::Success, now);
    breaker.record(late, Outcome::Failure, Duration::ZERO, now);
    call(&mut breaker, Outcome::Success, now);
    assert_eq!(breaker.state(now), State::Closed);
}

#[test]
fn a_call_of_the_breaker_before_says_nothing() {
    let mut before = Breaker::new(settings());
    let pass = before.admit(Duration::ZERO).unwrap();
    let mut breaker = Breaker::new(settings()).in_place_of(Some(&before));
    for _ in 0..4 {
        breaker.record(pass, Outcome::Failure, Duration::ZERO, Duration::ZERO);
    }
    assert_eq!(breaker.state(Duration::ZERO), State::Closed);
}

#[test]
fn calls_of_past_seconds_are_forgotten() {
    let mut breaker = Breaker::new(Settings {
        window: Span::Seconds(10),
        minimum_calls: 2,
        ..settings()
    });
    call(&mut breaker, Outcome::Failure, Duration::ZERO);
    call(&mut breaker, Outcome::Success, 10 * SECOND);
    call(&mut breaker, Outcome::Success, 10 * SECOND);
    assert_eq!(breaker.state(10 * SECOND), State::Closed);
    call(&mut breaker, Outcome::Failure, 19 * SECOND);
    call(&mut breaker, Outcome::Failure, 19 * SECOND);
    assert_eq!(breaker.state(19 * SECOND), State::Open);
}

/// Remembers every call since the last change of state, and decides by looking at all of them.
struct Model {
    settings: Settings,
    state: State,
    until: Duration,
    begun: u32,
    calls: Vec<(u64, bool, bool)>,
    era: u64,
}

impl Model {
    fn change(&mut self, state: State) {
        (self.state, self.begun) = (state, 0);
        self.calls.clear();
        self.era += 1;
    }

    fn admit(&mut self, now: Duration) -> Option<u64> {
        if self.state == State::Open && now >= self.until {
            self.change(State::HalfOpen);
        }
        let is_full = self.begun == self.settings.half_open_calls;
        match self.state {
            State::Closed => Some(self.era),
            State::HalfOpen if !is_full => {
                self.begun += 1;
                Some(self.era)
            }
            State::HalfOpen | State::Open => None,
        }
    }

    fn record(&mut self, era: u64, outcome: Outcome, took: Duration, now: Duration) {
        if era != self.era || self.state == State::Open {
            return;
        }
        if outcome == Outcome::Ignored {
            self.begun = self.begun.saturating_sub(1);
            return;
        }
        let is_slow = took >= self.settings.slow_call_duration;
        self.calls
            .push((now.as_secs(), outcome == Outcome::Failure, is_slow));
        let is_probing = self.state == State::HalfOpen;
        let counted: Vec<_> = match self.settings.window {
            _ if is_probing => self.calls.clone(),
            Span::Calls(last) => {
                let skipped = self.calls.len().saturating_sub(last as usize);
                self.calls[skipped..].to_vec()
            }
            Span::Seconds(seconds) => {
                let mut calls = self.calls.clone();
                calls.retain(|call| call.0 + u64::from(seconds) > now.as_secs());
                calls
            }
        };
        let needed = if is_probing {
            self.settings.half_open_calls
        } else {
            self.settings.minimum_calls
        };
        if counted.len() < needed as usize {
            return;
        }
        let percent = |part: usize| part * 100 / counted.len().max(1);
        let failed = percent(counted.iter().filter(|call| call.1).count());
        let slow = percent(counted.iter().filter(|call| call.2).count());
        if failed >= self.settings.failure_rate.into()
            || slow >= self.settings.slow_call_rate.into()
        {
            self.until = now + self.settings.open;
            self.change(State::Open);
        } else if is_probing {
            self.change(State::Closed);
        }
    }
}

fn any_settings() -> impl Strategy<Value = Settings> {
    let window = prop_oneof![
        (1..20u32).prop_map(Span::Calls),
        (1..20u32).prop_map(Span::Seconds),
    ];
    (window, 1..20u32, 1..=100u8, 1..=100u8, 1..6u32).prop_map(
        |(window, minimum_calls, failure_rate, slow_call_rate, half_open_calls)| Settings {
            window,
            minimum_calls,
            failure_rate,
            slow_call_rate,
            slow_call_duration: 2 * SECOND,
            open: 5 * SECOND,
            half_open_calls,
        },
    )
}

/// Milliseconds to the next event; whether a call begins, or else which of those under way ends, and how.
fn any_event() -> impl Strategy<Value = (u64, Option<(usize, Outcome, u32)>)> {
    let outcome = prop_oneof![
        Just(Outcome::Success),
        Just(Outcome::Failure),
        Just(Outcome::Ignored)
    ];
    let ends = proptest::option::of((any::<usize>(), outcome, 0..4u32));
    (prop_oneof![0..50u64, 0..8_000u64], ends)
}

proptest! {
    #[test]
    fn it_does_what_the_model_does(
        settings in any_settings(),
        events in proptest::collection::vec(any_event(), 1..300),
    ) {
        let mut breaker = Breaker::new(settings.clone());
        let mut model = Model {
            settings,
            state: State::Closed,
            until: Duration::ZERO,
            begun: 0,
            calls: Vec::new(),
            era: 0,
        };
        let (mut now, mut under_way) = (Duration::ZERO, Vec::new());
        for (pause, ends) in events {
            now += Duration::from_millis(pause);
            match ends.filter(|_| !under_way.is_empty()) {
                None => {
                    let (real, expected) = (breaker.admit(now).ok(), model.admit(now));
                    prop_assert_eq!(real.is_some(), expected.is_some());
                    under_way.extend(real.zip(expected));
                }
                Some((which, outcome, took)) => {
                    let (pass, era) = under_way.swap_remove(which % under_way.len());
                    breaker.record(pass, outcome, took * SECOND, now);
                    model.record(era, outcome, took * SECOND, now);
                }
            }
            let expected = match model.state {
                State::Open if now >= model.until => State::HalfOpen,
                state => state,
            };
            prop_assert_eq!(breaker.state(now), expected);
        }
    }
}
