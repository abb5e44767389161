//! Progress: a view that moves on a terminal, plain lines in a pipe, lines of JSON where they are asked for, `STATUS=` for
//! systemd always. None of them can disturb the run: who doesn't listen any more is not told.

use super::course::{Course, Line};
use super::events::Events;
use super::live::Live;
use crate::cli::explain::Problem;
use crate::cli::forecast::History;
use crate::cli::output::{Output, harmless};
use crate::engine::plan::Plan;
use crate::engine::{Event, Progress};
use crate::journal::Journal;
use libsystemd::daemon::{self, NotifyState};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Draws what the engine tells.
#[derive(Debug)]
pub struct Drawn {
    face: Face,
    verbose: bool,
    began: Instant,
    state: Mutex<State>,
}

/// Where it goes.
#[derive(Debug)]
enum Face {
    Live(Live),
    Plain,
    Silent,
}

#[derive(Debug, Default)]
struct State {
    course: Course,
    events: Option<Events>,
    /// What systemd was told last.
    status: String,
}

impl Drawn {
    /// As the output wants it; with `events`, also there.
    pub fn new(output: &Output, events: Option<&Path>) -> Result<Self, Problem> {
        let events = events.map(Events::to).transpose()?;
        let face = match (output.is_json() || output.is_quiet(), output.can_move()) {
            (true, _) => Face::Silent,
            (false, true) => Face::Live(Live::begin()),
            (false, false) => Face::Plain,
        };
        let state = Mutex::new(State { events, ..State::default() });
        Ok(Drawn { face, verbose: output.is_verbose(), began: Instant::now(), state })
    }

    /// What is ahead is known: how much it is, and, from earlier runs, how long it takes.
    pub fn expect(&self, plan: &Plan, journal: &Journal) {
        self.state().course.expect(History::of(journal).ahead(plan));
    }

    /// Does something that writes or asks by itself: the view is away meanwhile.
    pub fn aside<T>(&self, act: impl FnOnce() -> T) -> T {
        match &self.face {
            Face::Live(live) => live.aside(act),
            Face::Plain | Face::Silent => act(),
        }
    }

    /// Takes the view away.
    pub fn finish(&self) {
        let mut state = self.state();
        if let Some(mut events) = state.events.take() {
            events.end(self.began.elapsed().as_secs_f64());
        }
        if let Face::Live(live) = &self.face {
            live.end();
        }
    }

    /// What was told beside the steps, for the result: who was waited for, what was brought in order.
    pub fn notes(&self) -> Vec<String> {
        self.state().course.notes().to_vec()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn line(&self, line: &Line) {
        match (&self.face, line) {
            (Face::Silent, _) => {}
            // The view shows each moment of these, and modules in place of their steps.
            (Face::Live(_), Line::Tenth(_)) | (Face::Plain, Line::Module { .. }) => {}
            (Face::Live(_), Line::Begins(_)) if !self.verbose => {}
            (Face::Live(live), line) => live.line(&harmless(line.text())),
            (Face::Plain, line) => {
                let mut stream = std::io::stderr().lock();
                let _ = std::io::Write::write_all(&mut stream, format!("{}\n", harmless(line.text())).as_bytes());
            }
        }
    }
}

impl Drop for Drawn {
    fn drop(&mut self) {
        self.finish();
    }
}

impl Progress for Drawn {
    fn tell(&self, event: &Event<'_>) {
        let at = self.began.elapsed().as_secs_f64();
        let mut state = self.state();
        let State { course, events, status } = &mut *state;
        let lines = course.on(event, at);
        if let Some(events) = events {
            events.tell(event, course, &lines, at);
        }
        lines.iter().for_each(|line| self.line(line));
        if let Face::Live(live) = &self.face {
            live.show(course, at);
        }
        let now = course.status();
        if now != *status && !now.is_empty() {
            // Without systemd nobody listens, and that is no failure.
            let _ = daemon::notify(false, &[NotifyState::Status(now.clone())]);
            *status = now;
        }
    }
}
