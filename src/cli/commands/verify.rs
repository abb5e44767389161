//! `verify`: proves from the effective state that the host is as the profile says.

use super::Outcome;
use crate::cli::args::Verify;
use crate::cli::exit::Exit;
use crate::cli::render::plan as page;
use crate::cli::render::wrap::wrap;
use crate::cli::session::Session;
use crate::cli::setup::Setup;
use crate::modules::probing::{Prober, Verdict};
use serde_json::json;

/// Runs it. Exit 4 when something differs or a probe fails.
pub fn run(session: &Session<'_>, flags: &Verify) -> Outcome {
    session.require_root()?;
    session.require_debian_13()?;
    let setup = Setup::make(session, &flags.select)?;
    let plan = setup.plan(session)?;
    let mut prober = Prober::new(session.host);
    let results: Vec<_> = setup.probes.iter().map(|probe| prober.run(probe)).collect();
    let failed = results.iter().filter(|result| matches!(result.verdict, Verdict::Failed(_))).count();
    let exit = if plan.is_empty() && failed == 0 { Exit::Done } else { Exit::Findings };
    if session.output.is_json() {
        session.output.value(&json!({
            "status": if exit == Exit::Done { "success" } else { "drift" },
            "profile": setup.profile,
            "drift": plan.steps.iter().map(|step| json!({
                "resource": step.id, "module": step.module, "summary": step.change.summary, "details": step.change.details
            })).collect::<Vec<_>>(),
            "unchanged": plan.unchanged,
            "probes": results.iter().map(|result| json!({
                "module": result.module, "name": result.name, "verdict": word(&result.verdict), "why": why(&result.verdict)
            })).collect::<Vec<_>>(),
        }));
        return Ok(exit);
    }
    let mut text = String::new();
    for result in &results {
        let failed = matches!(result.verdict, Verdict::Failed(_));
        if failed || session.output.is_verbose() {
            text.push_str(&format!("  {:<15} [{}] {}\n", word(&result.verdict), result.module, result.name));
        }
        if let Some(why) = why(&result.verdict).filter(|_| failed) {
            text.push_str(&format!("                  {why}\n"));
        }
    }
    if plan.is_empty() {
        text.push_str(&format!("{} resources are as {} says; ", plan.unchanged, setup.profile));
    } else {
        text.push_str("Drift:\n");
        for step in &plan.steps {
            text.push_str(&format!("  {} [{}]: {}\n", step.id, step.module, step.change.summary));
            for line in &step.change.details {
                text.push_str(&wrap("      ", line));
            }
        }
        text.push_str(&format!("{}\n", page::sums(&plan)));
    }
    text.push_str(&format!("{} of {} probes passed.\n", results.len() - failed, results.len()));
    session.output.text(&text);
    Ok(exit)
}

fn word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Passed => "passed",
        Verdict::Failed(_) => "failed",
        Verdict::NotApplicable(_) => "not-applicable",
    }
}

fn why(verdict: &Verdict) -> Option<&str> {
    match verdict {
        Verdict::Passed => None,
        Verdict::Failed(why) | Verdict::NotApplicable(why) => Some(why),
    }
}
