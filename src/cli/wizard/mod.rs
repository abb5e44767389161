//! The wizard: pages that lead from a profile over its questions to a plan that is agreed to. `commands::wizard` makes
//! the plan, keeps the answers and installs.
//!
//! | file | what |
//! |---|---|
//! | [`state`] | the pages, and what follows on what: pure |
//! | [`field`], [`keys`] | what keys do within a page, and what bytes are which key: pure |
//! | [`screen`] | a page on a whole screen, drawn with ratatui |
//! | [`terminal`], [`backend`] | the terminal: taken over, read, written to, given back |
//! | [`plain`] | the same pages line by line |

pub mod backend;
pub mod field;
pub mod keys;
pub mod plain;
pub mod screen;
pub mod state;
pub mod terminal;
#[cfg(test)]
mod tests;

use super::explain::Problem;
use crate::cli::exit::Exit;
use backend::Ansi;
use field::{Field, Wish};
use ratatui::Terminal;
use ratatui::layout::Size;
use state::{Event, Wizard};
use std::io::Stdout;
use terminal::{Input, Taken};

/// Who shows pages, and tells what happens on them.
pub trait Front {
    /// Shows the page, until something happens on it.
    ///
    /// # Errors
    /// When the terminal can't be read or written.
    fn next(&mut self, wizard: &Wizard) -> Result<Event, Problem>;

    /// Gives the terminal back, until the next page.
    fn step_aside(&mut self);

    /// Whether pages are drawn, in colours of their own.
    fn is_drawn(&self) -> bool;
}

/// Whether the window is too small to draw pages in.
pub fn is_too_small() -> bool {
    screen::is_too_small(terminal::size())
}

/// What is drawn on: standard output.
type Canvas = Terminal<Ansi<Stdout, fn() -> Size>>;

/// Draws pages on the whole screen.
#[derive(Debug)]
pub struct Drawing {
    colour: bool,
    taken: Option<(Taken, Canvas)>,
}

impl Drawing {
    /// Nothing is drawn, and the terminal is as it was, until the first page.
    pub fn new(colour: bool) -> Self {
        Drawing { colour, taken: None }
    }

    fn show(&mut self, wizard: &Wizard) -> Result<Event, std::io::Error> {
        let (taken, terminal) = match &mut self.taken {
            Some(both) => both,
            none => {
                // In this order: what fails on the way gives the terminal back.
                let taken = Taken::take()?;
                let terminal =
                    Terminal::new(Ansi::new(std::io::stdout(), terminal::size as fn() -> Size, self.colour))?;
                none.insert((taken, terminal))
            }
        };
        let mut field = Field::of(wizard);
        loop {
            terminal.draw(|frame| {
                if let Some(cursor) = screen::draw(wizard, &field, frame.buffer_mut()) {
                    frame.set_cursor_position(cursor);
                }
            })?;
            match taken.input()? {
                Input::Gone => return Ok(Event::Leave),
                Input::Redraw => terminal.clear()?,
                Input::Key(key) => {
                    let (window, lines) = screen::text_rows(wizard, terminal::size());
                    match field.press(&key, lines.len(), window) {
                        Wish::None => {}
                        // What is wrong with it stands below it already.
                        Wish::Answer(words) if wizard.objection(&words).is_some() => {}
                        Wish::Answer(words) => return Ok(Event::Answer(words)),
                        Wish::Back => return Ok(Event::Back),
                        Wish::Leave => return Ok(Event::Leave),
                    }
                }
            }
        }
    }
}

impl Front for Drawing {
    fn next(&mut self, wizard: &Wizard) -> Result<Event, Problem> {
        self.show(wizard).map_err(|error| {
            self.taken = None;
            Problem::new(Exit::Failed, "wizard-no-terminal", "cannot draw on this terminal", error.to_string())
                .fix("line by line: vps-configurator wizard --plain")
        })
    }

    fn step_aside(&mut self) {
        self.taken = None;
    }

    fn is_drawn(&self) -> bool {
        true
    }
}
