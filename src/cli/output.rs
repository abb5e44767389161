//! The one writer of standard output and standard error. A closed pipe is a quiet end, never a panic; any other failure
//! to write the result is a failure of the command.

use super::Environment;
use super::args::{Colour, Global};
use super::exit::Exit;
use super::explain::Problem;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::io::{Error, ErrorKind, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};

/// How letters of ours look: what of a text may steer a terminal (ECMA-48, SGR).
const LOOKS: [&str; 5] = ["[0m", "[31m", "[32m", "[33m", "[1;31m"];

/// The text with a `?` for whatever else would steer a terminal: what it tells of may be somebody else's words, like the
/// lines of a file in somebody's home, the name of a process, or a plugin's summary.
pub fn harmless(text: &str) -> Cow<'_, str> {
    let steers = |c: char| c.is_control() && c != '\n' && c != '\t';
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let is_ours = |at: usize| text.get(at + 1..).is_some_and(|rest| LOOKS.iter().any(|look| rest.starts_with(look)));
    let seen = |(at, c): (usize, char)| if steers(c) && !(c == '\u{1b}' && is_ours(at)) { '?' } else { c };
    Cow::Owned(text.char_indices().map(seen).collect())
}

/// Where words go, and how.
#[derive(Debug)]
pub struct Output {
    json: bool,
    quiet: bool,
    verbose: bool,
    colour: bool,
    moves: bool,
    terminal: bool,
    failed: Mutex<Option<Error>>,
    document: Mutex<Option<Map<String, Value>>>,
}

impl Output {
    /// As the flags and the environment say.
    pub fn new(global: &Global, environment: &Environment) -> Self {
        let terminal = std::io::stdout().is_terminal();
        let no_colour = environment.get("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = environment.get("TERM").is_none_or(|term| term == "dumb");
        let colour = match global.color {
            Colour::Always => true,
            Colour::Never => false,
            Colour::Auto => terminal && !no_colour && !dumb,
        };
        Output {
            json: global.json,
            quiet: global.quiet,
            verbose: global.verbose,
            colour: colour && !global.json,
            moves: std::io::stderr().is_terminal() && !dumb,
            terminal,
            failed: Mutex::new(None),
            document: Mutex::new(global.json.then(Map::new)),
        }
    }

    /// Whether JSON was asked for.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Whether more words were asked for.
    pub fn is_verbose(&self) -> bool {
        self.verbose
    }

    /// Whether nothing but errors was asked for.
    pub fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Whether lines can be drawn anew: standard error is a terminal that can move.
    pub fn can_move(&self) -> bool {
        self.moves
    }

    /// Whether standard output is a terminal: somebody may be reading.
    pub fn is_at_terminal(&self) -> bool {
        self.terminal
    }

    /// Whether colour is used.
    pub fn has_colour(&self) -> bool {
        self.colour
    }

    /// Text for the person; left out when quiet.
    pub fn text(&self, text: &str) {
        if !self.quiet {
            self.out(&harmless(text));
        }
    }

    /// The result for programs, an object: the keys of the one document that is written at the end. What comes later
    /// counts.
    pub fn value(&self, value: &Value) {
        let mut document = self.document.lock().unwrap_or_else(PoisonError::into_inner);
        if let Value::Object(keys) = value {
            document.get_or_insert_default().extend(keys.clone());
        }
    }

    /// The raw result of a command whose purpose is its output. There is no document then.
    pub fn raw(&self, text: &str) {
        *self.document.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.out(text);
    }

    /// A failure.
    pub fn explain(&self, problem: &Problem) {
        if self.json {
            self.value(&problem.json());
        } else {
            let text = problem.text();
            let text = match (self.colour, text.strip_prefix("error:")) {
                (true, Some(rest)) => format!("\u{1b}[1;31merror:\u{1b}[0m{rest}"),
                _ => text,
            };
            self.error(&text);
        }
    }

    /// A line for standard error: progress in a pipe, warnings.
    pub fn error(&self, text: &str) {
        let mut stream = std::io::stderr().lock();
        let _ = stream.write_all(harmless(text).as_bytes()).and_then(|()| stream.flush());
    }

    /// The exit code, once everything is written: a result that was cut short is no success.
    pub fn finish(&self, exit: Exit) -> Exit {
        if let Some(mut document) = self.document.lock().unwrap_or_else(PoisonError::into_inner).take() {
            document.entry("status").or_insert_with(|| exit.word().into());
            self.out(&format!("{}\n", serde_json::to_string_pretty(&document).unwrap_or_default()));
        }
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner).take();
        match failed.filter(|error| error.kind() != ErrorKind::BrokenPipe) {
            None => exit,
            Some(error) => {
                let problem = Problem::new(Exit::Failed, "cannot-write", "cannot write the result", error.to_string())
                    .state("what the command does is done; only what it prints is cut short")
                    .fix("make room where standard output goes, then ask again: vps-configurator status");
                self.error(&problem.text());
                if matches!(exit, Exit::Done | Exit::Findings) { problem.exit } else { exit }
            }
        }
    }

    fn out(&self, text: &str) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if failed.is_some() {
            return;
        }
        let mut stream = std::io::stdout().lock();
        *failed = stream.write_all(text.as_bytes()).and_then(|()| stream.flush()).err();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobodys_words_steer_a_terminal_and_ours_look_as_they_should() {
        for plain in ["a\tb\n日本", "\u{1b}[1;31merror:\u{1b}[0m \u{1b}[32m+x\u{1b}[0m", ""] {
            assert_eq!(harmless(plain), plain);
        }
        for (text, shown) in [
            ("\u{1b}]0;title\u{7}", "?]0;title?"),
            ("\u{1b}[2J\u{1b}[8mhidden\u{1b}[31", "?[2J?[8mhidden?[31"),
            ("\u{9b}2J\u{7f}over\rwritten\u{0}", "?2J?over?written?"),
        ] {
            assert_eq!(harmless(text), shown);
        }
    }
}
