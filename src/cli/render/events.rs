//! What a run does, for programs: one JSON object a line, while it runs (docs/how-to/watch-a-run.md has the keys).

use super::course::{Course, Line};
use crate::base::ids::ResourceId;
use crate::cli::exit::Exit;
use crate::cli::explain::Problem;
use crate::engine::Event;
use nix::fcntl::OFlag;
use serde_json::{Value, json};
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// A line of a pipe is written whole or not at all up to 4096 bytes (pipe(7)): longer words are cut.
const LONGEST: usize = 2000;

/// Where the lines go. A reader that is slow misses some, one that is gone gets no more: the run waits for neither.
#[derive(Debug)]
pub struct Events {
    file: Option<File>,
    missed: usize,
    last: Option<(u8, bool)>,
}

impl Events {
    /// To the end of `path`: a file, which is made where there is none, a pipe, `/dev/stderr`, `/dev/fd/3`.
    ///
    /// # Errors
    /// When it can't be written to; a pipe, when nobody reads it.
    pub fn to(path: &Path) -> Result<Self, Problem> {
        let opened =
            OpenOptions::new().append(true).create(true).mode(0o640).custom_flags(OFlag::O_NONBLOCK.bits()).open(path);
        let file = opened.map_err(|error| {
            let what = format!("cannot write events to {}", path.display());
            Problem::new(Exit::Usage, "cannot-write", what, error.to_string())
                .fix("name a file, a pipe that is being read, or /dev/stderr")
        })?;
        Ok(Events { file: Some(file), missed: 0, last: None })
    }

    /// Something happened, which `course` knows of and made `lines` of.
    pub fn tell(&mut self, event: &Event<'_>, course: &Course, lines: &[Line], at: f64) {
        let mut all: Vec<Value> = self.of(event, course, lines).into_iter().collect();
        for line in lines {
            if let Line::Module { name, changes, .. } = line {
                all.push(json!({"event": "module", "module": name, "state": "done", "changes": changes}));
            }
        }
        for mut value in all {
            value["at"] = tenths(at).into();
            value["percent"] = course.percent().into();
            value["seconds_left"] = course.left(at).map(tenths).into();
            self.write(value);
        }
    }

    fn of(&mut self, event: &Event<'_>, course: &Course, lines: &[Line]) -> Option<Value> {
        let step = |id: &ResourceId, module: &str, state: &str| json!({"event": "step", "state": state, "resource": id, "module": module});
        Some(match event {
            Event::Begin { total } => json!({"event": "begin", "steps": total, "modules": course.names()}),
            Event::StepBegins { id, module, summary } => {
                let mut value = step(id, module, "begun");
                value["summary"] = cut(summary).into();
                value
            }
            Event::StepDone { id, module } => step(id, module, "done"),
            Event::StepFailed { id, module, error } => {
                let mut value = step(id, module, "failed");
                value["error"] = cut(error).into();
                value
            }
            Event::TakingBack { id, module } => step(id, module, "taking-back"),
            Event::Within { what, percent, bytes, .. } => {
                let now = percent.map(|percent| (percent as u8, bytes.is_some()));
                if now.is_some() && std::mem::replace(&mut self.last, now) == now {
                    return None;
                }
                let fetched = bytes.zip(*percent).map(|(bytes, percent)| (bytes as f64 * percent / 100.0) as u64);
                json!({
                    "event": "progress", "what": cut(what), "of_this": percent.map(tenths),
                    "bytes": fetched, "bytes_total": bytes,
                    "bytes_per_second": course.bytes_per_second().map(|rate| rate as u64),
                })
            }
            Event::Waiting { .. } if lines.is_empty() => return None,
            Event::Waiting { what } => json!({"event": "waiting", "what": cut(what)}),
            Event::Note { line } => json!({"event": "note", "line": cut(line)}),
        })
    }

    /// The last line.
    pub fn end(&mut self, at: f64) {
        self.write(json!({"event": "end", "at": tenths(at)}));
        self.file = None;
    }

    fn write(&mut self, mut value: Value) {
        let Some(file) = &mut self.file else { return };
        if self.missed > 0 {
            value["missed"] = self.missed.into();
        }
        match file.write_all(format!("{value}\n").as_bytes()) {
            Ok(()) => self.missed = 0,
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.missed += 1,
            Err(_) => self.file = None,
        }
    }
}

fn tenths(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

fn cut(text: &str) -> &str {
    let end = (0..=LONGEST.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
}
