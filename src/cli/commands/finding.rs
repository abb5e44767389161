//! `finding list|accept|withdraw`: what an administrator takes for right though no module declares it.

use super::{Outcome, who};
use crate::base::glob;
use crate::cli::args::Finding;
use crate::cli::baseline::territories;
use crate::cli::exit::Exit;
use crate::cli::explain::Problem;
use crate::cli::render::{table::Table, time};
use crate::cli::session::Session;
use crate::observe::drift::{Keeper, Known, Word};
use serde_json::json;
use std::collections::BTreeSet;

/// Runs one of them.
pub fn run(session: &Session<'_>, verb: &Finding) -> Outcome {
    session.require_root()?;
    match verb {
        Finding::List => list(session),
        Finding::Accept { id, reason } => accept(session, id, reason.as_deref()),
        Finding::Withdraw { id } => withdraw(session, id),
    }
}

fn list(session: &Session<'_>) -> Outcome {
    let known = match session.journal_to_read()? {
        Some(journal) => Keeper::new(session.host, &journal, Vec::new()).known()?.map(|(_, known)| known),
        None => None,
    };
    let accepted = known.map(|known| known.accepted).unwrap_or_default();
    if session.output.is_json() {
        let all: Vec<_> = accepted
            .iter()
            .map(|(id, word)| {
                json!({
                    "id": id, "by": word.by, "at": time::rfc3339(word.at), "reason": word.reason,
                    "accepted": word.now.as_ref().map(|item| &item.text), "was": word.was.as_ref().map(|item| &item.text),
                })
            })
            .collect();
        session.output.value(&json!({"findings": all}));
        return Ok(Exit::Done);
    }
    if accepted.is_empty() {
        session.output.text("Nothing was accepted; what is open shows: vps-configurator verify\n");
        return Ok(Exit::Done);
    }
    let mut table = Table::new(&["ACCEPTED", "BY", "WHEN", "WHY"]);
    for (id, word) in &accepted {
        let reason = word.reason.clone().unwrap_or_default();
        table.row([id.clone(), word.by.clone(), time::minute(word.at), reason]);
    }
    session.output.text(&table.text());
    Ok(Exit::Done)
}

fn accept(session: &Session<'_>, patterns: &[String], reason: Option<&str>) -> Outcome {
    let territories = territories(session, &[])?;
    let _lock = session.lock()?;
    let journal = session.journal()?;
    let keeper = Keeper::new(session.host, &journal, territories);
    let Some(comparison) = keeper.compare(&BTreeSet::new(), false)? else {
        return Err(Problem::new(
            Exit::Failed,
            "baseline-missing",
            "there is nothing to compare with yet",
            "the baseline is kept at the end of the first install",
        )
        .fix("vps-configurator install"));
    };
    let open: Vec<&str> = comparison.findings.iter().map(|finding| finding.id.as_str()).collect();
    let ids = chosen(patterns, &open, "vps-configurator verify")?;
    let actor = session.actor();
    keeper.accept(&comparison, &ids, &Word { by: &who(&actor), actor: &actor, reason })?;
    done(session, "Accepted", &ids)
}

fn withdraw(session: &Session<'_>, patterns: &[String]) -> Outcome {
    let _lock = session.lock()?;
    let journal = session.journal()?;
    let keeper = Keeper::new(session.host, &journal, Vec::new());
    let known = keeper.known()?.map_or_else(Known::default, |(_, known)| known);
    let accepted: Vec<&str> = known.accepted.keys().map(String::as_str).collect();
    let ids = chosen(patterns, &accepted, "vps-configurator finding list")?;
    let actor = session.actor();
    let ids = keeper.withdraw(&ids, &Word { by: &who(&actor), actor: &actor, reason: None })?;
    done(session, "Withdrawn", &ids)
}

/// The ids that the patterns mean. One that means none is a mistake, and then nothing is done.
fn chosen(patterns: &[String], ids: &[&str], look: &str) -> Result<BTreeSet<String>, Problem> {
    let mut chosen = BTreeSet::new();
    for pattern in patterns {
        let before = chosen.len();
        chosen.extend(ids.iter().filter(|id| glob::matches(pattern, id)).map(|id| (*id).to_owned()));
        if chosen.len() == before && !chosen.iter().any(|id| glob::matches(pattern, id)) {
            let why =
                if ids.is_empty() { "there is none".to_owned() } else { format!("there are: {}", ids.join("\n")) };
            return Err(Problem::new(Exit::Usage, "finding-unknown", format!("there is no finding {pattern}"), why)
                .fix(format!("see them: {look}")));
        }
    }
    Ok(chosen)
}

fn done(session: &Session<'_>, word: &str, ids: &BTreeSet<String>) -> Outcome {
    if session.output.is_json() {
        session.output.value(&json!({"status": "success", "changes": ids.len(), "findings": ids}));
    } else {
        let lines: Vec<String> = ids.iter().map(|id| format!("  {id}\n")).collect();
        session.output.text(&format!("{word}:\n{}", lines.concat()));
    }
    Ok(Exit::Done)
}
