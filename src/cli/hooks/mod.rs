//! Hooks: the administrator's own programs, run when something is about to happen or happened. They get JSON on standard
//! input, a fixed environment and a time. What they do is theirs: no plan shows it, and no rollback takes it back.
//!
//! Each is run once at most for an event of a transaction: what comes before an install belongs to none yet, and what
//! comes after runs when the journal has its end already, so that a crash on the way forgets it rather than repeats it.

mod found;

pub use found::{EVENTS, Event, Found};

use super::commands::who;
use super::exit::Exit;
use super::explain::Problem;
use super::session::{Held, Session};
use super::setup::hook_timeout;
use crate::base::ids::TransactionId;
use crate::engine::rollback::RollbackReport;
use crate::host::{Command, Error};
use crate::journal::Journal;
use found::short;
use serde_json::{Map, Value, json};
use std::cell::{Cell, RefCell};
use std::path::Path;
use std::time::Duration;

/// A hook was run.
const RAN: &str = "5f2d4d5d7d8a4f0f9a0c6b1f3f6d2a0e";
/// How much of what a hook wrote is told: the last lines, and of these so many characters.
const LINES: usize = 20;
const CHARACTERS: usize = 2000;

/// The hooks of one run.
#[derive(Debug)]
pub struct Hooks<'s> {
    session: &'s Session<'s>,
    lock: Option<&'s Held>,
    time: Duration,
    found: Found,
    base: Map<String, Value>,
    told: RefCell<Vec<Value>>,
    is_open: Cell<bool>,
}

impl<'s> Hooks<'s> {
    /// Those there are now. `base` is part of what each of them is told; what is passed over is told to the person. The
    /// `lock` may be let go while they run.
    pub fn of(session: &'s Session<'s>, time: Duration, base: Value, lock: Option<&'s Held>) -> Self {
        let unreadable = |error: Error| Found { skipped: vec![error.to_string()], ..Found::default() };
        let found = look(session).unwrap_or_else(unreadable);
        let (told, is_open) = (RefCell::default(), Cell::new(false));
        let hooks = Hooks { session, lock, time, found, base: object(base), told, is_open };
        for line in &hooks.found.skipped {
            hooks.warn(&format!("hooks: {line}"));
            hooks.told.borrow_mut().push(json!({"state": "skipped", "why": line}));
        }
        hooks
    }

    /// From now on what fails is told to the hooks of [`Event::OnError`].
    pub fn open(&self) {
        self.is_open.set(true);
    }

    /// What fails is told to nobody yet, or was told already.
    pub fn close(&self) {
        self.is_open.set(false);
    }

    /// Whether a failure is to be told.
    pub fn is_open(&self) -> bool {
        self.is_open.get()
    }

    /// Whether there is one for this event.
    pub fn has(&self, event: Event) -> bool {
        self.found.programs.contains_key(&event)
    }

    /// Runs those of an event at which nothing is done yet. The first that fails ends it.
    pub fn before(&self, event: Event, more: Value) -> Result<(), Problem> {
        for path in self.programs(event) {
            if let Err(why) = self.run(event, None, path, &more) {
                let what = format!("the hook {} failed, so nothing was begun", short(path));
                return Err(Problem::new(Exit::Failed, "hook-failed", what, why)
                    .state("nothing was changed, but for what the hooks did themselves")
                    .fix("mend what it says, and run the same command again")
                    .fix(format!("to do without it: chmod -x {}", path.display())));
            }
        }
        Ok(())
    }

    /// Runs those of an event after which nothing is done any more. One that fails is told, and changes nothing.
    pub fn after(&self, event: Event, tx: Option<TransactionId>, more: &Value) {
        for path in self.programs(event) {
            self.let_others_in();
            if let Err(why) = self.run(event, tx, path, more) {
                self.warn(&format!("hook {} failed: {why}", short(path)));
            }
        }
    }

    /// Lets the lock go while a change waits for its confirmation: whoever takes that back must not wait for a hook, which
    /// may hang for the same reason for which nobody gets in any more.
    fn let_others_in(&self) {
        let waits = |journal: Journal| journal.open_confirmations().is_ok_and(|open| !open.is_empty());
        if let Some(lock) = self.lock
            && self.session.journal_to_read().is_ok_and(|journal| journal.is_some_and(waits))
        {
            drop(lock.take());
        }
    }

    /// Tells programs what was run, at the end of the document.
    pub fn tell(&self) {
        let told = self.told.take();
        if self.session.output.is_json() && !told.is_empty() {
            self.session.output.value(&json!({"hooks": told}));
        }
    }

    fn programs(&self, event: Event) -> impl Iterator<Item = &Path> {
        self.found.programs.get(&event).into_iter().flatten().map(|path| path.as_path())
    }

    fn warn(&self, line: &str) {
        if !self.session.output.is_json() {
            self.session.output.error(&format!("warning: {line}\n"));
        }
    }

    /// Runs one, and says in the system journal how that went. Why it failed, if it did.
    fn run(&self, event: Event, tx: Option<TransactionId>, path: &Path, more: &Value) -> Result<(), String> {
        let host = self.session.host;
        let mut input = json!({"format": 1, "event": event.name(), "transaction": tx});
        if let (Value::Object(all), Value::Object(more)) = (&mut input, more) {
            all.extend(self.base.clone());
            all.extend(more.clone());
        }
        let command = Command::new(path.display().to_string()).stdin(format!("{input}\n")).timeout(self.time);
        let began = host.now();
        let (name, number) = (short(path), tx.map(|tx| tx.0));
        let outcome = host.run(&command).map(|output| [output.stdout, output.stderr].concat()).map_err(why);
        let seconds = (host.now() - began) as f64 / 1e9;
        let (state, text) = match &outcome {
            Ok(written) => ("done", end_of(&String::from_utf8_lossy(written))),
            Err(why) => ("failed", end_of(why)),
        };
        let shown = if text.is_empty() { String::new() } else { format!(": {text}") };
        match state {
            "done" => tracing::info!(
                MESSAGE_ID = RAN,
                TRANSACTION_ID = number,
                HOOK = name,
                EVENT = event.name(),
                "hook {name} ended well after {seconds:.1} s{shown}"
            ),
            _ => tracing::warn!(
                MESSAGE_ID = RAN,
                TRANSACTION_ID = number,
                HOOK = name,
                EVENT = event.name(),
                "hook {name} failed after {seconds:.1} s{shown}"
            ),
        }
        let told = json!({"hook": name, "transaction": tx, "state": state, "seconds": seconds, "text": text});
        self.told.borrow_mut().push(told);
        outcome.map(drop).map_err(|_| text)
    }
}

/// The hooks there are, of root's or whoever stands for root on a tree.
pub fn look(session: &Session<'_>) -> crate::host::Result<Found> {
    Found::look(session.host, nix::unistd::geteuid().as_raw())
}

/// The words that an `on_error` hook gets of a failure.
pub fn error_of(problem: &Problem) -> Value {
    json!({"error": {"code": problem.code, "what": problem.what, "why": problem.why.join("\n"), "state": problem.state}})
}

/// Runs what comes after a rollback; `reason`: `asked`, `not-confirmed`, `recovery`. The `lock` may be let go meanwhile.
pub fn after_rollback(session: &Session<'_>, reason: &str, report: &RollbackReport, lock: Option<&Held>) {
    if report.tx.is_none() {
        return;
    }
    let hooks = Hooks::of(session, hook_timeout(session), base(session, None, &[]), lock);
    let state = if report.is_complete() { "done" } else { "undo-incomplete" };
    let mut more = json!({"state": state, "reason": reason, "undoes": report.undoes, "changes": report.undone.len()});
    hooks.after(Event::PostRollback, report.tx, &more);
    if !report.is_complete() {
        let why: Vec<String> = report.failed.iter().map(|(id, error)| format!("{id}: {error}")).collect();
        let what = "not everything could be taken back";
        more["error"] = json!({"code": "undo-incomplete", "what": what, "why": why.join("\n")});
        hooks.after(Event::OnError, report.tx, &more);
    }
    hooks.tell();
}

/// What every hook of a session is told.
pub fn base(session: &Session<'_>, profile: Option<&str>, modules: &[String]) -> Value {
    json!({"profile": profile, "modules": modules, "by": who(&session.actor()), "command": session.line()})
}

fn object(value: Value) -> Map<String, Value> {
    if let Value::Object(all) = value { all } else { Map::new() }
}

fn why(error: Error) -> String {
    match error {
        Error::Failed { code, tail, .. } => format!("it exited {code}\n{tail}"),
        Error::TimedOut { seconds, .. } => format!("it did not end within {seconds} s (hooks.timeout), and was ended"),
        other => other.to_string(),
    }
}

/// The end of what a program wrote, that a person and the journal can bear: without control characters.
fn end_of(text: &str) -> String {
    let lines: Vec<&str> = text.trim().lines().collect();
    let lines = lines.get(lines.len().saturating_sub(LINES)..).unwrap_or_default().join("\n");
    let skip = lines.chars().count().saturating_sub(CHARACTERS);
    lines.chars().skip(skip).map(|c| if c.is_control() && c != '\n' { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_hook_wrote_is_told_without_end_and_without_tricks() {
        assert_eq!(end_of(" a\n\u{1b}[2Jb\u{7}\n"), "a\n [2Jb ");
        assert_eq!(end_of(&"x".repeat(1 << 20)).len(), CHARACTERS);
        let many: String = (0..100).map(|n| format!("{n}\n")).collect();
        assert_eq!(end_of(&many).lines().count(), LINES);
        assert!(end_of(&many).ends_with("99"));
    }
}
