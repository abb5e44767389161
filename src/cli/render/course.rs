//! The course of a run: what the engine told of it so far, and what that says of the whole. Nothing here looks at a
//! clock: the time is given, in seconds since the run began.

use super::time;
use crate::base::ids::ResourceId;
use crate::base::size;
use crate::cli::forecast::Ahead;
use crate::engine::Event;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// How often lines tell that it is still being waited, seconds.
const WAITING: f64 = 30.0;
/// Over which time the rate of a download is taken, seconds.
const RATE: f64 = 5.0;

/// What is worth a line of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// A step begins.
    Begins(String),
    /// Another tenth of what a step does is done.
    Tenth(String),
    /// A step failed.
    Failed(String),
    /// The last step of a module is made.
    Module {
        /// Which module.
        name: String,
        /// How many steps it had.
        changes: usize,
        /// The line.
        line: String,
    },
    /// It is waited for somebody, still.
    Waiting(String),
    /// Something to know.
    Note(String),
}

impl Line {
    /// As it is written.
    pub fn text(&self) -> &str {
        match self {
            Line::Begins(text)
            | Line::Tenth(text)
            | Line::Failed(text)
            | Line::Module { line: text, .. }
            | Line::Waiting(text)
            | Line::Note(text) => text,
        }
    }
}

/// The course so far.
#[derive(Debug, Default)]
pub struct Course {
    ahead: Vec<Ahead>,
    total: usize,
    done: usize,
    steps: BTreeMap<ResourceId, Stage>,
    /// What happens now.
    now: String,
    /// For which module.
    module: Option<String>,
    /// Whether something is fetched, not put in place.
    fetches: bool,
    /// The last tenth that had a line.
    tenth: u8,
    rate: VecDeque<(f64, f64)>,
    /// When a line about the waiting was last worth it.
    waiting: Option<f64>,
    notes: Vec<String>,
}

/// Where a step is.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Stage {
    /// Since when it is under way, how much of it is done, and since when there is something of it.
    Running {
        since: f64,
        share: f64,
        first: Option<f64>,
    },
    Done,
    Failed,
}

impl Course {
    /// What is ahead is known from here on.
    pub fn expect(&mut self, ahead: Vec<Ahead>) {
        self.ahead = ahead;
    }

    /// Something happened; what of it is worth a line.
    pub fn on(&mut self, event: &Event<'_>, at: f64) -> Vec<Line> {
        if !matches!(event, Event::Waiting { .. }) {
            self.waiting = None;
        }
        match event {
            Event::Begin { total } => {
                self.total = *total;
                Vec::new()
            }
            Event::StepBegins { id, module, summary } => {
                self.steps.insert((*id).clone(), Stage::Running { since: at, share: 0.0, first: None });
                self.turn_to(format!("{id}: {summary}"), Some(self.whose(id, module)));
                vec![Line::Begins(format!("  {id}: {summary}"))]
            }
            Event::StepDone { id, module } => {
                self.done += 1;
                self.steps.insert((*id).clone(), Stage::Done);
                self.turn_to(format!("{id} done"), Some(self.whose(id, module)));
                self.finished_with(id)
            }
            Event::StepFailed { id, error, .. } => {
                self.done += 1;
                self.steps.insert((*id).clone(), Stage::Failed);
                vec![Line::Failed(format!("  FAILED {id}: {}", error.lines().next().unwrap_or_default()))]
            }
            Event::TakingBack { id, module } => {
                self.turn_to(format!("taking back {id}"), Some((*module).to_owned()));
                Vec::new()
            }
            Event::Within { what, percent, bytes, done } => self.within(what, *percent, *bytes, *done, at),
            Event::Waiting { what } => {
                self.now = format!("waiting: {what}");
                if self.waiting.is_some_and(|told| at - told < WAITING) {
                    return Vec::new();
                }
                self.waiting = Some(at);
                vec![Line::Waiting(format!("  waiting: {what}"))]
            }
            Event::Note { line } => {
                self.notes.push((*line).to_owned());
                vec![Line::Note(format!("  {line}"))]
            }
        }
    }

    /// The module that a step is for; what several share is theirs.
    fn whose(&self, id: &ResourceId, module: &str) -> String {
        match self.ahead.iter().find(|ahead| ahead.id == *id).map(|ahead| ahead.modules.as_slice()) {
            Some([_, _, ..]) => "all".to_owned(),
            _ => module.to_owned(),
        }
    }

    fn turn_to(&mut self, now: String, module: Option<String>) {
        (self.now, self.module, self.fetches, self.tenth) = (now, module, false, 0);
        self.rate.clear();
    }

    fn within(
        &mut self,
        what: &str,
        percent: Option<f64>,
        bytes: Option<u64>,
        done: Option<f64>,
        at: f64,
    ) -> Vec<Line> {
        if let (Some(done), Some((_, stage))) = (done, self.heaviest())
            && let Stage::Running { share, first, .. } = stage
        {
            *share = share.max(done.clamp(0.0, 1.0));
            *first = first.or((done > 0.0).then_some(at));
        }
        let Some(percent) = percent else {
            self.now = what.to_owned();
            return Vec::new();
        };
        let fetched = std::mem::replace(&mut self.fetches, bytes.is_some());
        // Fetching began or ended, or another call of the same program began.
        if fetched != self.fetches || percent + 20.0 < f64::from(self.tenth) * 10.0 {
            self.tenth = 0;
            self.rate.clear();
        }
        // apt's own guess of the rest, in parentheses, is made of less than ours.
        let what = if bytes.is_some() { what.split(" (").next().unwrap_or_default() } else { what };
        self.now = format!("{what}{} ({percent:.0} %)", self.fetched(percent, bytes, at));
        let tenth = (percent / 10.0).clamp(0.0, 10.0) as u8;
        if tenth <= self.tenth {
            return Vec::new();
        }
        self.tenth = tenth;
        vec![Line::Tenth(format!("    {tenth}0 % {what}{}", self.fetched(percent, bytes, at)))]
    }

    /// `, 45.2 MB of 120.1 MB, 5.3 MB/s, 14 s left`.
    fn fetched(&mut self, percent: f64, bytes: Option<u64>, at: f64) -> String {
        let Some(total) = bytes.filter(|total| *total > 0) else { return String::new() };
        let here = total as f64 * (percent / 100.0).clamp(0.0, 1.0);
        let text = format!(", {} of {}", size::bytes(here as u64), size::bytes(total));
        self.rate.push_back((at, here));
        while self.rate.get(1).is_some_and(|(then, _)| at - then >= RATE) {
            self.rate.pop_front();
        }
        match self.bytes_per_second() {
            Some(rate) => {
                let left = time::rough((total as f64 - here) / rate);
                format!("{text}, {}/s, {left} left", size::bytes(rate as u64))
            }
            None => text,
        }
    }

    /// How fast something is fetched; `None` when nothing is, or it is too early to tell.
    pub fn bytes_per_second(&self) -> Option<f64> {
        let ((from, before), (to, now)) = (self.rate.front()?, self.rate.back()?);
        (to - from >= 1.0 && now > before).then(|| (now - before) / (to - from))
    }

    /// The running step that is the most work.
    fn heaviest(&mut self) -> Option<(&ResourceId, &mut Stage)> {
        let weight = |id: &ResourceId| self.ahead.iter().find(|ahead| ahead.id == *id).map_or(0, |ahead| ahead.weight);
        let running = self.steps.iter_mut().filter(|(_, stage)| matches!(stage, Stage::Running { .. }));
        running.max_by_key(|(id, _)| weight(id))
    }

    /// The modules of which `id` was the last step.
    fn finished_with(&self, id: &ResourceId) -> Vec<Line> {
        let of = self.ahead.iter().find(|ahead| ahead.id == *id).map(|ahead| ahead.modules.clone()).unwrap_or_default();
        let line = |name: String| {
            let changes = self.of_module(&name).count();
            let word = if changes == 1 { "change" } else { "changes" };
            Line::Module { line: format!("  {name}: {changes} {word} made"), name, changes }
        };
        of.into_iter().filter(|name| self.is_over(name) == Some(true)).map(line).collect()
    }

    fn of_module<'a>(&'a self, module: &'a str) -> impl Iterator<Item = &'a Ahead> {
        self.ahead.iter().filter(move |ahead| ahead.modules.iter().any(|name| name == module))
    }

    /// Whether all steps of a module are made; `None` when none is begun.
    fn is_over(&self, module: &str) -> Option<bool> {
        let stages: Vec<_> = self.of_module(module).map(|ahead| self.steps.get(&ahead.id)).collect();
        stages.iter().any(Option::is_some).then(|| stages.iter().all(|stage| *stage == Some(&Stage::Done)))
    }

    /// How much of the work is done, 0 to 100; `None` when it is not known what is ahead.
    pub fn percent(&self) -> Option<u8> {
        let all: usize = self.ahead.iter().map(|ahead| ahead.weight).sum();
        let done = |ahead: &Ahead| match self.steps.get(&ahead.id) {
            Some(Stage::Done | Stage::Failed) => ahead.weight as f64,
            Some(Stage::Running { share, .. }) => ahead.weight as f64 * share,
            None => 0.0,
        };
        let sum: f64 = self.ahead.iter().map(done).sum();
        (all > 0).then(|| (sum * 100.0 / all as f64) as u8)
    }

    /// How long it will take from here, seconds; `None` where that is not known of a step that is still to be made.
    pub fn left(&self, at: f64) -> Option<f64> {
        let one = |ahead: &Ahead| {
            match self.steps.get(&ahead.id) {
                None => ahead.seconds,
                Some(Stage::Done | Stage::Failed) => Some(0.0),
                Some(Stage::Running { since, share, first }) => ahead.seconds.map(|whole| match first {
                    // What came before there was something of it (a download) is over.
                    Some(first) => (whole - (first - since)).max(whole / 5.0) * (1.0 - share),
                    None => (whole - (at - since)).max(0.0),
                }),
            }
        };
        (!self.ahead.is_empty()).then(|| self.ahead.iter().map(one).sum::<Option<f64>>()).flatten()
    }

    /// How far the whole is: `37 %, 3 min left`.
    pub fn whole(&self, at: f64) -> String {
        let percent = self.percent().map(|percent| format!("{percent} %"));
        let left = self.left(at).filter(|left| *left > 0.0).map(|left| format!("{} left", time::rough(left)));
        percent.into_iter().chain(left).collect::<Vec<_>>().join(", ")
    }

    /// What happens now.
    pub fn now(&self) -> &str {
        &self.now
    }

    /// The modules that something is to be done for.
    pub fn names(&self) -> BTreeSet<&str> {
        self.ahead.iter().flat_map(|ahead| &ahead.modules).map(String::as_str).collect()
    }

    /// The modules, with where they stand: `4 of 9 modules done; now docker, desktop`.
    pub fn modules(&self) -> String {
        let names = self.names();
        if names.is_empty() {
            return String::new();
        }
        let done = names.iter().filter(|name| self.is_over(name) == Some(true)).count();
        let is_failed =
            |name: &str| self.of_module(name).any(|ahead| self.steps.get(&ahead.id) == Some(&Stage::Failed));
        let is_running = |name: &str| {
            self.of_module(name).any(|ahead| matches!(self.steps.get(&ahead.id), Some(Stage::Running { .. })))
        };
        let list = |word: &str, fits: &dyn Fn(&str) -> bool| {
            let fitting: Vec<&str> = names.iter().copied().filter(|name| fits(name)).collect();
            if fitting.is_empty() { String::new() } else { format!("; {word} {}", fitting.join(", ")) }
        };
        let failed = list("failed", &is_failed);
        format!("{done} of {} modules done{failed}{}", names.len(), list("now", &is_running))
    }

    /// One line of everything: `step 3/12, 40 %, docker: package:all: ...`. Where no steps are counted, what happens.
    pub fn status(&self) -> String {
        if self.total == 0 {
            return self.now.clone();
        }
        let step = format!("step {}/{}", (self.done + 1).min(self.total), self.total);
        let percent = self.percent().map(|percent| format!("{percent} %"));
        let head: Vec<String> = [Some(step), percent, self.module.clone()].into_iter().flatten().collect();
        format!("{}: {}", head.join(", "), self.now)
    }

    /// What was told beside the steps.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}

#[cfg(test)]
#[path = "course_tests.rs"]
mod tests;
