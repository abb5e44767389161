//! The wizard's pages line by line, for a terminal that can't be drawn on, and for scripts.

use super::Front;
use super::state::{Event, Page, Wizard};
use crate::cli::explain::Problem;
use crate::cli::output::Output;
use crate::cli::render::wrap::wrap;
use std::io::BufRead;

/// Puts questions as lines.
#[derive(Debug)]
pub struct Plain<'a> {
    output: &'a Output,
    /// The page that was shown last: it is shown once, and asked again for a better answer.
    shown: Option<Page>,
}

impl<'a> Plain<'a> {
    /// Writes to the output, reads standard input.
    pub fn new(output: &'a Output) -> Self {
        Plain { output, shown: None }
    }
}

impl Front for Plain<'_> {
    fn next(&mut self, wizard: &Wizard) -> Result<Event, Problem> {
        if let Some(told) = &wizard.told {
            told.lines().for_each(|line| self.output.text(&wrap("  ", line)));
        }
        if self.shown != Some(wizard.page) {
            self.output.text(&page(wizard));
            self.shown = Some(wizard.page);
        }
        self.output.text(&prompt(wizard));
        let mut line = String::new();
        // Neither the end of the input nor bytes that are no text are an answer.
        let read = std::io::stdin().lock().read_line(&mut line).unwrap_or(0);
        if read == 0 {
            self.output.text("\n");
            return Ok(Event::Leave);
        }
        let event = event(wizard, line.trim());
        if matches!(event, Event::Back) {
            self.shown = None;
        }
        Ok(event)
    }

    fn step_aside(&mut self) {}

    fn is_drawn(&self) -> bool {
        false
    }
}

/// What a line means on this page: nothing typed keeps what is there.
fn event(wizard: &Wizard, line: &str) -> Event {
    let is_plan = wizard.page == Page::Plan;
    match line {
        "<" => Event::Back,
        "q" | "quit" if is_plan || wizard.page == Page::Profile => Event::Leave,
        "n" | "no" if is_plan => Event::Leave,
        "b" | "back" if is_plan => Event::Back,
        "\"\"" => Event::Answer(String::new()),
        "" if !is_plan => Event::Answer(wizard.given()),
        line => Event::Answer(line.to_owned()),
    }
}

fn page(wizard: &Wizard) -> String {
    match wizard.page {
        Page::Profile => {
            let mut text =
                String::from("What is this host to be? Nothing is changed before you have seen the plan.\n\n");
            for (number, choice) in wizard.profiles.iter().enumerate() {
                text.push_str(&wrap("  ", &format!("{}. {}: {}", number + 1, choice.name, choice.summary.trim())));
                text.extend(choice.estimate.iter().map(|estimate| format!("     {estimate}\n")));
            }
            format!("{text}\nEnter keeps what is in brackets; < goes back; the end of the input (Ctrl-D) leaves.\n")
        }
        Page::Question(number) => {
            let Some(question) = wizard.questions.get(number) else { return String::new() };
            let mut text = format!("\n{} of {}. {}\n", number + 1, wizard.questions.len(), question.key);
            text.push_str(&wrap("  ", &question.help));
            if let Some(words) = question.choices() {
                text.push_str(&wrap("  ", &format!("One of: {}", words.join(", "))));
            }
            text
        }
        Page::Plan => format!("\n{}", wizard.plan),
        Page::Save => String::new(),
    }
}

fn prompt(wizard: &Wizard) -> String {
    match wizard.page {
        Page::Profile => format!("Profile [{}]: ", wizard.given()),
        Page::Question(_) => match wizard.given() {
            given if given.is_empty() => "Answer [empty]: ".to_owned(),
            given => format!("Answer, \"\" for none [{given}]: "),
        },
        Page::Plan => "Make these changes? yes, no, s to save the answers, < to go back: ".to_owned(),
        Page::Save => "Save in which file: ".to_owned(),
    }
}
