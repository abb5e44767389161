//! Progress: a bar with an estimate on a terminal, plain lines in a pipe, `STATUS=` for systemd always.

use crate::cli::output::Output;
use crate::cli::signals::held_back;
use crate::engine::{Event, Progress};
use indicatif::{ProgressBar, ProgressStyle};
use libsystemd::daemon::{self, NotifyState};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How often lines tell that it is still being waited.
const WAITING: Duration = Duration::from_secs(30);

/// Draws what the engine tells.
#[derive(Debug)]
pub struct Drawn {
    bar: Option<ProgressBar>,
    plain: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    total: usize,
    done: usize,
    within: u8,
    /// When a line about the waiting was last written.
    waiting: Option<Instant>,
    notes: Vec<String>,
}

impl Drawn {
    /// As the output wants it.
    pub fn new(output: &Output) -> Self {
        let silent = output.is_json() || output.is_quiet();
        let bar = (output.is_terminal() && !silent).then(|| {
            let bar = ProgressBar::new_spinner().with_message("looking at the host");
            bar.set_style(style("{spinner} [{elapsed_precise}] {wide_msg}"));
            held_back(|| bar.enable_steady_tick(Duration::from_millis(250)));
            bar
        });
        Drawn { plain: bar.is_none() && !silent, bar, state: Mutex::default() }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// What was told beside the steps, for the result: who was waited for, what was brought in order.
    pub fn notes(&self) -> Vec<String> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner).notes.clone()
    }

    fn line(&self, line: &str) {
        if let Some(bar) = &self.bar {
            bar.println(line);
        } else if self.plain {
            let mut stream = std::io::stderr().lock();
            let _ = std::io::Write::write_all(&mut stream, format!("{line}\n").as_bytes());
        }
    }

    fn status(&self, state: &State, what: &str) {
        if let Some(bar) = &self.bar {
            bar.set_length(state.total as u64);
            bar.set_position(state.done as u64);
            bar.set_message(what.to_owned());
        }
        // Healing dpkg and taking back have no count of steps.
        let text = match state.total {
            0 => what.to_owned(),
            total => format!("step {}/{total}: {what}", (state.done + 1).min(total)),
        };
        // Without systemd nobody listens, and that is no failure.
        let _ = daemon::notify(false, &[NotifyState::Status(text)]);
    }
}

impl Progress for Drawn {
    fn tell(&self, event: &Event<'_>) {
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if !matches!(event, Event::Waiting { .. }) {
            state.waiting = None;
        }
        match event {
            Event::Begin { total } => {
                state.total = *total;
                if let Some(bar) = &self.bar {
                    bar.set_style(style("{spinner} [{elapsed_precise}] {bar:24} {pos}/{len} {wide_msg}"));
                }
            }
            Event::StepBegins { id, summary, .. } => {
                state.within = 0;
                self.line(&format!("  {id}: {summary}"));
                self.status(&state, &format!("{id}: {summary}"));
            }
            Event::StepDone { id, .. } => {
                state.done += 1;
                self.status(&state, &format!("{id} done"));
            }
            Event::StepFailed { id, error, .. } => {
                state.done += 1;
                self.line(&format!("  FAILED {id}: {}", error.lines().next().unwrap_or_default()));
            }
            Event::Within { what, percent } => {
                let tenth = percent.map_or(0, |p| (p / 10.0) as u8);
                if self.plain && tenth > state.within {
                    self.line(&format!("    {}0 % {what}", tenth));
                }
                state.within = tenth.max(state.within);
                let text = percent.map_or((*what).to_owned(), |p| format!("{what} ({p:.0} %)"));
                self.status(&state, &text);
            }
            Event::Waiting { what } => {
                // On a terminal the bar shows each moment of it.
                if state.waiting.is_none_or(|told| told.elapsed() >= WAITING) {
                    self.line(&format!("  waiting: {what}"));
                    state.waiting = Some(Instant::now());
                }
                self.status(&state, &format!("waiting: {what}"));
            }
            Event::Note { line } => {
                self.line(&format!("  {line}"));
                state.notes.push((*line).to_owned());
            }
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
