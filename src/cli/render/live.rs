//! The view on a terminal: three lines that move, at the bottom, and what is worth a line of its own above them. Each line
//! is cut to the width that the terminal has at that moment.

use super::course::Course;
use crate::cli::output::harmless;
use crate::cli::signals::held_back;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::time::Duration;

/// How often it moves by itself.
const TICK: Duration = Duration::from_millis(250);

/// What is drawn.
#[derive(Debug)]
pub struct Live {
    all: MultiProgress,
    whole: ProgressBar,
    now: ProgressBar,
    modules: ProgressBar,
}

impl Live {
    /// Begins to draw.
    pub fn begin() -> Self {
        let all = MultiProgress::new();
        let line = |template: &str| {
            let bar = ProgressBar::new(100);
            bar.set_style(style(template));
            bar
        };
        let whole = all.add(line("{spinner} {elapsed} {wide_msg}").with_message("looking at the host"));
        held_back(|| whole.enable_steady_tick(TICK));
        let (now, modules) = (all.add(line("  {wide_msg}")), all.add(line("  {wide_msg}")));
        Live { all, whole, now, modules }
    }

    /// Shows where the run is.
    pub fn show(&self, course: &Course, at: f64) {
        if let Some(percent) = course.percent() {
            if self.whole.position() == 0 && self.whole.message() == "looking at the host" {
                self.whole.set_style(style("{spinner} {elapsed} [{bar:14}] {wide_msg}"));
            }
            self.whole.set_position(percent.into());
            self.whole.set_message(course.whole(at));
        }
        self.now.set_message(harmless(course.now()).into_owned());
        self.modules.set_message(course.modules());
    }

    /// A line that stays.
    pub fn line(&self, line: &str) {
        // A terminal that is gone is told nothing more.
        let _ = self.all.println(line);
    }

    /// Does something that writes by itself.
    pub fn aside<T>(&self, act: impl FnOnce() -> T) -> T {
        self.all.suspend(act)
    }

    /// Takes the moving lines away.
    pub fn end(&self) {
        [&self.whole, &self.now, &self.modules].into_iter().for_each(ProgressBar::finish_and_clear);
    }
}

/// Without colour, and of characters that every terminal has.
fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.tick_chars(r"|/-\ ").progress_chars("=> ")
}
