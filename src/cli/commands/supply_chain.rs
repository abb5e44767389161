//! `supply-chain verify`: where what is installed comes from, and whether it is what was pinned.

use super::Outcome;
use crate::base::count::counted;
use crate::cli::args;
use crate::cli::exit::Exit;
use crate::cli::render::time;
use crate::cli::session::Session;
use crate::cli::setup::catalogue;
use crate::observe::supply_chain::{Fetched, SupplyChain};
use serde_json::{Value, json};

/// Runs it. Exit 4 when something is not what was pinned, or taken unsigned.
pub fn run(session: &Session<'_>, verb: &args::SupplyChain) -> Outcome {
    let args::SupplyChain::Verify = verb;
    session.require_root()?;
    let journal = session.journal_to_read()?;
    let all = SupplyChain::look(session.host, &catalogue(session)?, journal.as_ref())?;
    let findings = all.findings();
    let exit = if findings.is_empty() { Exit::Done } else { Exit::Findings };
    if session.output.is_json() {
        session.output.value(&json!({
            "status": exit.word(), "pins": all.pins, "standing": all.standing, "sources": all.sources,
            "downloads": all.downloads.iter().map(fetched_json).collect::<Vec<_>>(), "findings": findings,
        }));
        return Ok(exit);
    }
    session.output.text(&text(&all));
    let sum = match findings.len() {
        0 => "Nothing differs from what was pinned.\n".to_owned(),
        count => format!("Findings: {count}\n  {}\n", findings.join("\n  ")),
    };
    session.output.text(&sum);
    Ok(exit)
}

fn fetched_json(fetched: &Fetched) -> Value {
    let mut value = json!(fetched);
    value["at"] = time::rfc3339(fetched.at).into();
    value
}

fn text(all: &SupplyChain) -> String {
    let mut text = String::from("Pinned by the modules of this host, enabled or not:\n");
    for pin in &all.pins {
        text.push_str(&format!("  {} ({})\n    from   {}\n", pin.resource, pin.module, pin.from.join(" ")));
        let by_option = pin.pinned.contains("{{");
        let pinned = if by_option { "by an option: refused until the option gives one" } else { pin.pinned.as_str() };
        text.push_str(&format!("    pinned {pinned}\n"));
    }
    text.push_str("\nOf these, on this host:\n");
    for it in &all.standing {
        let word = if it.finding.is_some() { "DIFFERS" } else { "ok" };
        text.push_str(&format!("  {word:<7} {} ({}), transaction {}\n", it.resource, it.module, it.transaction));
        it.paths.iter().for_each(|path| text.push_str(&format!("          {}\n", path.display())));
    }
    text.push_str(none(all.standing.is_empty()));
    text.push_str("\nSources of apt:\n");
    for source in &all.sources {
        let key = source.signed_by.as_deref().unwrap_or("any key in /etc/apt/trusted.gpg.d");
        text.push_str(&format!("  {} {}\n", source.uris.join(" "), source.suites.join(" ")));
        text.push_str(&format!("    in     {}\n    signed {key}\n", source.path.display()));
    }
    text.push_str(none(all.sources.is_empty()));
    text.push_str("\nFetched by vps-configurator:\n");
    for fetched in &all.downloads {
        let what = match (&fetched.url, fetched.packages.len()) {
            (Some(url), _) => url.clone(),
            (None, 0) => "a file; its address was not kept by the version that fetched it".to_owned(),
            (None, count) => counted(count, "package") + ", by apt",
        };
        let gone = if fetched.stands { "" } else { ", taken back" };
        let (at, tx) = (time::minute(fetched.at), fetched.transaction);
        text.push_str(&format!("  {at} transaction {tx}{gone}\n    {what}\n"));
        fetched.sha256.iter().for_each(|sha256| text.push_str(&format!("    sha256 {sha256}\n")));
    }
    text.push_str(none(all.downloads.is_empty()));
    text.push('\n');
    text
}

fn none(is_empty: bool) -> &'static str {
    if is_empty { "  none\n" } else { "" }
}
