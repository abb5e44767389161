//! One round, in one line: what is installed, which way recovery goes, and at which moments the power is cut. The line
//! is printed, and can be run again as it is.

use crate::harness::Trouble;
use crate::scenarios::program::Dice;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// When the power is cut: once the disk has had this share of the writes that the undisturbed run makes, and this long
/// afterwards. Writes, because they don't depend on how busy this machine is; the pause, for what writes nothing.
#[derive(Clone, Copy, PartialEq)]
pub struct Moment {
    /// 0.0 to 1.0.
    pub share: f64,
    pub pause: Duration,
}

impl Moment {
    /// Somewhere in this part of the run.
    fn somewhere(dice: &mut Dice, from: f64, to: f64) -> Self {
        let share = dice.share(Duration::from_secs(1), from, to).as_secs_f64();
        // Most have none.
        let pause = dice.share(Duration::from_secs(8), 0.0, 1.0).saturating_sub(Duration::from_secs(5));
        Moment { share: (share * 1e4).round() / 1e4, pause: Duration::from_millis(pause.as_millis() as u64) }
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.share)?;
        if !self.pause.is_zero() {
            write!(f, "+{}ms", self.pause.as_millis())?;
        }
        Ok(())
    }
}

impl FromStr for Moment {
    type Err = Trouble;

    fn from_str(text: &str) -> Result<Self, Trouble> {
        let (share, pause) = text.split_once('+').unwrap_or((text, "0ms"));
        let wrong = || format!("{text:?} is no moment: SHARE or SHARE+PAUSEms");
        let share = share.parse().map_err(|_| wrong())?;
        let pause = pause.strip_suffix("ms").and_then(|pause| pause.parse().ok()).ok_or_else(wrong)?;
        Ok(Moment { share, pause: Duration::from_millis(pause) })
    }
}

#[derive(Clone, PartialEq)]
pub struct Round {
    pub profile: String,
    /// `apply.recovery`: take back, instead of finish.
    pub undoes: bool,
    /// `apply.fast_io`.
    pub fast: bool,
    /// The cut while it installs.
    pub install: Moment,
    /// A second one, while the boot after the first recovers.
    pub recovery: Option<Moment>,
    /// One while what was finished is taken back.
    pub rollback: Option<Moment>,
}

impl Round {
    /// So many rounds, the first cut of each in its own part of the run; every third is cut again while it recovers,
    /// every second finishes, and every second of these is cut while it is taken back.
    pub fn plan(dice: &mut Dice, profile: &str, fast: bool, count: u32) -> Vec<Self> {
        (0..count)
            .map(|number| {
                let part = |number: u32| f64::from(number) / f64::from(count);
                let install = Moment::somewhere(dice, part(number), part(number + 1));
                let again = Moment::somewhere(dice, 0.0, 1.0 - install.share);
                let back = Moment::somewhere(dice, 0.0, 1.0);
                let undoes = number % 2 == 1;
                Round {
                    profile: profile.to_owned(),
                    undoes,
                    fast,
                    install,
                    recovery: (number % 3 == 2).then_some(again),
                    rollback: (number % 4 == 0).then_some(back),
                }
            })
            .collect()
    }

    pub fn cuts(&self) -> usize {
        1 + usize::from(self.recovery.is_some()) + usize::from(self.rollback.is_some())
    }
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.profile, if self.undoes { "undo" } else { "finish" })?;
        if self.fast {
            write!(f, " fast")?;
        }
        write!(f, " install@{}", self.install)?;
        for (what, moment) in [("recovery", self.recovery), ("rollback", self.rollback)] {
            if let Some(moment) = moment {
                write!(f, " {what}@{moment}")?;
            }
        }
        Ok(())
    }
}

impl FromStr for Round {
    type Err = Trouble;

    fn from_str(line: &str) -> Result<Self, Trouble> {
        let mut words = line.split_whitespace();
        let profile = words.next().ok_or("an empty line is no round")?.to_owned();
        let (mut undoes, mut fast) = (false, false);
        let (mut install, mut recovery, mut rollback) = (None, None, None);
        for word in words {
            match word.split_once('@') {
                None if word == "undo" => undoes = true,
                None if word == "finish" => undoes = false,
                None if word == "fast" => fast = true,
                Some(("install", moment)) => install = Some(moment.parse()?),
                Some(("recovery", moment)) => recovery = Some(moment.parse()?),
                Some(("rollback", moment)) => rollback = Some(moment.parse()?),
                _ => return Err(format!("{word:?} in {line:?} means nothing")),
            }
        }
        let install = install.ok_or_else(|| format!("{line:?} has no install@"))?;
        Ok(Round { profile, undoes, fast, install, recovery, rollback })
    }
}
