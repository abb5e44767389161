//! A circuit breaker, one for each host that something is fetched from, and how long to wait before another try. Pure: the
//! clock and the chance come from outside.
//!
//! | state | what it means | leaves it |
//! |---|---|---|
//! | closed | the host is asked | after so many failures in a row it opens |
//! | open | the host is left alone | half-open when its time is over |
//! | half-open | the host may be asked once more | an answer closes it, a failure opens it again |

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// When it opens, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// So many failures in a row.
    pub failures: u32,
    /// So long it stays open.
    pub pause: Duration,
}

/// What happened to a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt<'w> {
    /// It answered, whatever it said.
    Answered,
    /// It could not be reached, for this reason.
    Failed(&'w str),
}

/// What is known of a host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breaker {
    /// Failures in a row.
    pub failures: u32,
    /// When the first of them was, nanoseconds since the epoch.
    #[serde(default)]
    pub since: i128,
    /// When the last of them was.
    #[serde(default)]
    pub last: i128,
    /// What it said.
    #[serde(default)]
    pub why: String,
}

/// Where a breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The host is asked.
    Closed,
    /// It is left alone until then, nanoseconds since the epoch.
    Open {
        /// When.
        until: i128,
    },
    /// It may be asked once.
    HalfOpen,
}

impl State {
    /// In a word.
    pub fn word(self) -> &'static str {
        match self {
            State::Closed => "closed",
            State::Open { .. } => "open",
            State::HalfOpen => "half-open",
        }
    }
}

impl Breaker {
    /// Where it stands at `now`. A clock that was set back opens nothing for longer than its pause.
    pub fn state(&self, rules: Rules, now: i128) -> State {
        let until = self.last.saturating_add(i128::try_from(rules.pause.as_nanos()).unwrap_or(i128::MAX));
        match self.failures >= rules.failures {
            false => State::Closed,
            true if self.last <= now && now < until => State::Open { until },
            true => State::HalfOpen,
        }
    }

    /// The same after an attempt.
    pub fn after(self, attempt: Attempt<'_>, now: i128) -> Breaker {
        match attempt {
            Attempt::Answered => Breaker::default(),
            Attempt::Failed(why) => Breaker {
                failures: self.failures.saturating_add(1),
                since: if self.failures == 0 { now } else { self.since },
                last: now,
                why: why.to_owned(),
            },
        }
    }
}

/// How long to wait before the try after so many failures: twice as long each time from one second on, a minute at most;
/// and of that between a half and all, as chance has it, so that many hosts don't come back at the same moment.
pub fn delay(failed: u32, chance: u64) -> Duration {
    let longest = 1000_u64.saturating_mul(1 << failed.saturating_sub(1).min(6)).min(60_000);
    Duration::from_millis(longest / 2 + chance % (longest / 2 + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules { failures: 3, pause: Duration::from_nanos(60) };

    fn failed(times: &[i128]) -> Breaker {
        times.iter().fold(Breaker::default(), |breaker, now| breaker.after(Attempt::Failed("no route"), *now))
    }

    #[test]
    fn it_opens_at_the_last_failure_in_a_row_and_lets_one_try_through_when_its_time_is_over() {
        assert_eq!(failed(&[1, 2]).state(RULES, 3), State::Closed);
        let open = failed(&[1, 2, 10]);
        assert_eq!((open.since, open.why.as_str()), (1, "no route"));
        assert_eq!(open.state(RULES, 69), State::Open { until: 70 });
        assert_eq!(open.state(RULES, 70), State::HalfOpen);
        assert_eq!(open.clone().after(Attempt::Failed("x"), 75).state(RULES, 134), State::Open { until: 135 });
        assert_eq!(open.after(Attempt::Answered, 75), Breaker::default());
    }

    #[test]
    fn an_answer_in_between_counts_the_failures_anew() {
        let breaker = failed(&[1, 2]).after(Attempt::Answered, 3).after(Attempt::Failed("x"), 4);
        assert_eq!((breaker.failures, breaker.state(RULES, 5)), (1, State::Closed));
    }

    #[test]
    fn a_clock_that_was_set_back_leaves_nobody_off_for_long() {
        assert_eq!(failed(&[1000, 1001, 1002]).state(RULES, 5), State::HalfOpen);
    }

    #[test]
    fn the_waits_grow_to_a_minute_and_chance_takes_up_to_half_of_each() {
        let bounds = |failed| (delay(failed, 0).as_millis(), (0..2000).map(|c| delay(failed, c).as_millis()).max());
        assert_eq!([bounds(1), bounds(2)], [(500, Some(1000)), (1000, Some(2000))]);
        assert!(delay(40, 30_000) == Duration::from_secs(60) && delay(0, 0) == Duration::from_millis(500));
    }
}
