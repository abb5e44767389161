//! `health check`: whether the host is well.

use super::Outcome;
use crate::base::count::counted;
use crate::cli::args::Health;
use crate::cli::exit::Exit;
use crate::cli::render::wrap::wrap;
use crate::cli::session::Session;
use crate::observe::health::{self, Looked, State};
use serde_json::{Value, json};

/// Runs it. Exit 4 when something is not well.
pub fn run(session: &Session<'_>, verb: &Health) -> Outcome {
    let Health::Check { pre } = verb;
    session.require_root()?;
    let journal = session.journal_to_read()?;
    let all = match pre {
        true => health::before(session.host)?,
        false => health::all(session.host, journal.as_ref(), &|| session.who_changes())?,
    };
    let worst = health::worst(&all);
    if session.output.is_json() {
        let checks: Vec<Value> = all.iter().map(one_json).collect();
        session.output.value(&json!({"status": worst.word(), "checks": checks}));
    } else {
        session.output.text(&page(&all, session.output.is_verbose()));
    }
    Ok(if worst > State::Healthy { Exit::Findings } else { Exit::Done })
}

fn one_json(one: &Looked) -> Value {
    json!({"check": one.at, "state": one.state.word(), "seen": one.seen, "why": one.why, "fix": one.fix})
}

/// Findings with why and what to do; the rest in a line each.
fn page(all: &[Looked], is_verbose: bool) -> String {
    let mut text = String::new();
    for one in all.iter().filter(|one| is_verbose || one.state != State::NotApplicable) {
        text.push_str(&wrap("  ", &format!("{:<14} {:<9} {}", one.state.word(), one.at, one.seen)));
        for (name, words) in [("why:", &one.why), ("fix:", &one.fix)] {
            if !words.is_empty() {
                text.push_str(&wrap("      ", &format!("{name} {words}")));
            }
        }
    }
    let count = |state: State| all.iter().filter(|one| one.state == state).count();
    let findings = all.iter().filter(|one| one.is_finding()).count();
    let beside = count(State::NotApplicable);
    let told = match findings {
        0 => "This host is well".to_owned(),
        1 => "1 thing is not well".to_owned(),
        several => format!("{several} things are not well"),
    };
    let well = count(State::Healthy);
    text.push_str(&format!("{told}: {} passed, {beside} not applicable here.\n", counted(well, "check")));
    text
}
