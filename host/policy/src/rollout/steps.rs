//! The steps of a canary: how much of the requests the candidate gets, and for how long.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Percent of the requests that the candidate gets.
    pub weight: u8,
    /// How long it gets them, at least.
    pub pause: Pause,
}

/// How long a step lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pause {
    /// So long, and with an analysis until a check has passed.
    For(Duration),
    /// Until an operator promotes.
    UntilPromoted,
}

/// One step or more; no weight is over 100 or under the one before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Step>", into = "Vec<Step>")]
pub struct Steps(Vec<Step>);

/// Why steps are none; its display says how to write them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StepsError {
    /// There is none.
    #[error("a canary has no step: write one or more, or roll out immediately")]
    Empty,
    /// More than all requests.
    #[error("{0} is no weight: write a percentage from 0 to 100")]
    OverHundred(u8),
    /// Requests would go back to the running revision.
    #[error("weight {to} comes after {from}: write weights that do not fall")]
    Falls {
        /// The weight before.
        from: u8,
        /// The lower one after it.
        to: u8,
    },
    /// Steps that would never end.
    #[error("a step weight of 0 leads nowhere: write a percentage from 1 to 100")]
    NoStepWeight,
}

impl Steps {
    /// Flagger's: `step_weight` percent, twice as much and so on, each for `interval`; the last has `max_weight` percent.
    ///
    /// # Errors
    /// When the step weight is 0, or the maximum over 100.
    pub fn linear(step_weight: u8, max_weight: u8, interval: Duration) -> Result<Self, StepsError> {
        if step_weight == 0 {
            return Err(StepsError::NoStepWeight);
        }
        let pause = Pause::For(interval);
        let mut steps = Vec::new();
        let mut weight = step_weight;
        while weight < max_weight {
            steps.push(Step { weight, pause });
            weight = weight.saturating_add(step_weight);
        }
        steps.push(Step {
            weight: max_weight,
            pause,
        });
        Self::try_from(steps)
    }

    /// The steps, the first one first.
    #[must_use]
    pub fn as_slice(&self) -> &[Step] {
        &self.0
    }
}

impl TryFrom<Vec<Step>> for Steps {
    type Error = StepsError;

    fn try_from(steps: Vec<Step>) -> Result<Self, StepsError> {
        if steps.is_empty() {
            return Err(StepsError::Empty);
        }
        let mut from = 0;
        for to in steps.iter().map(|step| step.weight) {
            if to > 100 {
                return Err(StepsError::OverHundred(to));
            }
            if to < from {
                return Err(StepsError::Falls { from, to });
            }
            from = to;
        }
        Ok(Self(steps))
    }
}

impl From<Steps> for Vec<Step> {
    fn from(steps: Steps) -> Self {
        steps.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn weights(step_weight: u8, max_weight: u8) -> Vec<u8> {
        let steps = Steps::linear(step_weight, max_weight, MINUTE).unwrap();
        assert!(
            steps
                .as_slice()
                .iter()
                .all(|step| step.pause == Pause::For(MINUTE))
        );
        steps.as_slice().iter().map(|step| step.weight).collect()
    }

    #[test]
    fn linear_steps_end_at_the_maximum() {
        assert_eq!(weights(10, 50), [10, 20, 30, 40, 50]);
        assert_eq!(weights(20, 50), [20, 40, 50]);
        assert_eq!(weights(60, 50), [50]);
        assert_eq!(weights(100, 100), [100]);
        assert_eq!(weights(1, 100), (1..=100).collect::<Vec<u8>>());
    }

    /// All there are.
    #[test]
    fn linear_steps_are_steps() {
        for (step, max) in (0..=255).flat_map(|step| (0..=255).map(move |max| (step, max))) {
            let steps = Steps::linear(step, max, MINUTE);
            assert_eq!(steps.is_ok(), step > 0 && max <= 100, "{step} {max}");
        }
    }

    #[test]
    fn what_are_no_steps_is_refused_with_a_way_out() {
        let steps = |weights: &[u8]| {
            let pause = Pause::UntilPromoted;
            let steps = weights.iter().map(|weight| Step {
                weight: *weight,
                pause,
            });
            Steps::try_from(steps.collect::<Vec<_>>()).map_err(|error| error.to_string())
        };
        assert!(steps(&[0, 5, 5, 100]).is_ok());
        assert_eq!(
            steps(&[]).unwrap_err(),
            "a canary has no step: write one or more, or roll out immediately"
        );
        assert_eq!(
            steps(&[5, 101]).unwrap_err(),
            "101 is no weight: write a percentage from 0 to 100"
        );
        assert_eq!(
            steps(&[5, 50, 20]).unwrap_err(),
            "weight 20 comes after 50: write weights that do not fall"
        );
        assert_eq!(
            Steps::linear(0, 50, MINUTE).unwrap_err().to_string(),
            "a step weight of 0 leads nowhere: write a percentage from 1 to 100"
        );
        assert!(serde_json::from_str::<Steps>("[]").is_err());
    }
}
