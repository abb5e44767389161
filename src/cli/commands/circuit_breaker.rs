//! `circuit-breaker status|reset`: the hosts that gave no answer, and whether they are left alone.

use super::Outcome;
use crate::cli::args::CircuitBreaker;
use crate::cli::exit::Exit;
use crate::cli::explain::Problem;
use crate::cli::render::{table::Table, time};
use crate::cli::session::Session;
use crate::cli::setup::settings;
use crate::engine::breaker::State;
use crate::observe::upstreams::Upstreams;
use serde_json::json;

/// Runs one of them.
pub fn run(session: &Session<'_>, verb: &CircuitBreaker) -> Outcome {
    session.require_root()?;
    match verb {
        CircuitBreaker::Status => status(session),
        CircuitBreaker::Reset { host } => reset(session, host.as_deref()),
    }
}

fn status(session: &Session<'_>) -> Outcome {
    let (rules, now) = (settings(session)?.breaker, session.host.now());
    let known = Upstreams::load(session.host)?;
    let nanoseconds = |at: i128| i64::try_from(at).unwrap_or_default();
    let until = |state: State| match state {
        State::Open { until } => Some(nanoseconds(until)),
        _ => None,
    };
    let states = known.iter().map(|(name, breaker)| (name, breaker, breaker.state(rules, now)));
    if session.output.is_json() {
        let all = states.map(|(name, breaker, state)| {
            json!({
                "host": name, "state": state.word(), "failures": breaker.failures, "why": breaker.why,
                "since": time::rfc3339(nanoseconds(breaker.since)), "last": time::rfc3339(nanoseconds(breaker.last)),
                "until": until(state).map(time::rfc3339),
            })
        });
        let rules = json!({"failures": rules.failures, "seconds": rules.pause.as_secs()});
        session.output.value(&json!({"hosts": all.collect::<Vec<_>>(), "rules": rules}));
        return Ok(Exit::Done);
    }
    let mut table = Table::new(&["STATE", "FAILURES", "SINCE", "UNTIL", "HOST"]);
    let mut count = 0;
    for (name, breaker, state) in states {
        let until = until(state).map(time::second).unwrap_or_default();
        let since = time::second(nanoseconds(breaker.since));
        table.row([state.word().to_owned(), breaker.failures.to_string(), since, until, name.clone()]);
        count += 1;
    }
    let none = "No host failed to answer the last time that it was asked.\n".to_owned();
    session.output.text(&if count == 0 { none } else { table.text() });
    Ok(Exit::Done)
}

fn reset(session: &Session<'_>, host: Option<&str>) -> Outcome {
    let _lock = session.lock()?;
    let mut known = Upstreams::load(session.host)?;
    let names: Vec<String> = known.iter().map(|(name, _)| name.clone()).collect();
    let gone = known.reset(host);
    if let (Some(host), true) = (host, gone.is_empty()) {
        let why = match names.is_empty() {
            true => "no host failed to answer".to_owned(),
            false => format!("there are: {}", names.join(", ")),
        };
        return Err(Problem::new(Exit::Usage, "upstream-unknown", format!("nothing is known of {host}"), why)
            .fix("see them: vps-configurator circuit-breaker status"));
    }
    if !gone.is_empty() {
        known.save(session.host)?;
    }
    if session.output.is_json() {
        session.output.value(&json!({"status": "success", "hosts": gone}));
    } else if gone.is_empty() {
        session.output.text("Nothing to reset.\n");
    } else {
        session.output.text(&format!("Asked again from now on: {}\n", gone.join(", ")));
    }
    Ok(Exit::Done)
}
