//! The result of an install: JSON for programs (the form of the blueprint, and more), and a page for people.

use super::wrap::wrap;
use super::{plan, time};
use crate::engine::apply::Report;
use crate::engine::plan::Plan;
use crate::journal::TransactionState;
use crate::resources::file::EDITED;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// What beside the engine's report a result tells.
#[derive(Debug)]
pub struct Result<'a> {
    /// The profile.
    pub profile: &'a str,
    /// The enabled modules.
    pub modules: &'a [String],
    /// How many modules there are.
    pub available: usize,
    /// What was planned.
    pub plan: &'a Plan,
    /// What came of it; `None` when nothing was to do.
    pub report: Option<&'a Report>,
    /// How long it took, seconds.
    pub seconds: f64,
    /// What was waited for, and what was brought in order on the way.
    pub notes: &'a [String],
    /// What the administrator may do next.
    pub next_steps: &'a [&'a str],
}

/// The result for programs.
pub fn json(result: &Result<'_>) -> Value {
    let mut summary = Map::new();
    // A module is touched by its own steps and by those that it shares: packages.
    let touched: BTreeSet<&str> = result
        .report
        .iter()
        .flat_map(|r| &r.applied)
        .flat_map(|step| {
            let shared = result.plan.step(&step.id).into_iter().flat_map(|planned| &planned.shared);
            shared.chain([&step.module]).map(String::as_str)
        })
        .collect();
    for module in result.modules {
        let failed = result.report.is_some_and(|r| r.failed_modules.contains(module));
        let seconds: f64 = result
            .report
            .iter()
            .flat_map(|r| r.applied.iter())
            .filter(|step| step.module == *module)
            .map(|step| step.seconds)
            .fold(0.0, |sum, seconds| sum + seconds);
        let status = if failed {
            "failed"
        } else if touched.contains(module.as_str()) {
            "success"
        } else {
            "unchanged"
        };
        summary.insert(module.clone(), json!({"status": status, "duration": seconds}));
    }
    let failed = result.report.map_or(0, |r| r.failed_modules.len());
    json!({
        "status": status(result),
        "profile": result.profile,
        "transaction": result.report.map(|r| r.tx),
        "duration_seconds": result.seconds,
        "changes": result.report.map_or(0, |r| r.applied.len()),
        "unchanged": result.report.map_or(result.plan.unchanged, |r| r.unchanged),
        "modules_installed": result.modules.len() - failed,
        "modules_skipped": result.available - result.modules.len() + failed,
        "plan": result.plan.hash,
        "deviations": result.report.map_or(&[][..], |r| &r.deviations),
        "kept": result.report.map_or(&[][..], |r| &r.kept),
        "edited": edited(result),
        "left": result.plan.left,
        "summary": summary,
        "steps": result.report.map(|r| r.applied.iter().map(|step| json!({
            "resource": step.id, "module": step.module, "summary": step.summary, "seconds": step.seconds
        })).collect::<Vec<_>>()).unwrap_or_default(),
        "failures": result.report.map(|r| r.failures.iter().map(|failure| json!({
            "resource": failure.id, "module": failure.module, "error": failure.error.to_string()
        })).collect::<Vec<_>>()).unwrap_or_default(),
        "rollback_executed": result.report.is_some_and(|r| !r.rollbacks.is_empty()),
        "rollback_complete": result.report.is_none_or(Report::is_undo_complete),
        "owed": result.report.map(|r| r.unpaid.iter().map(|debt| debt.debt.to_string()).collect::<Vec<_>>()).unwrap_or_default(),
        "notes": result.notes,
        "next_steps": result.next_steps,
    })
}

/// What was made of files that somebody had edited: a line each.
fn edited(result: &Result<'_>) -> Vec<String> {
    let applied = result.report.iter().flat_map(|report| &report.applied);
    let lines = applied.filter_map(|step| {
        let details = &result.plan.step(&step.id)?.change.details;
        Some(format!("{}: {}", step.id, details.iter().find(|line| line.starts_with(EDITED))?))
    });
    lines.collect()
}

fn status(result: &Result<'_>) -> &'static str {
    match result.report.map(|report| report.state) {
        None | Some(TransactionState::Done) if !result.plan.left.is_empty() => "findings",
        None | Some(TransactionState::Done) => "success",
        Some(TransactionState::Partial) => "degraded",
        Some(_) => "error",
    }
}

/// The result for people.
pub fn text(result: &Result<'_>) -> String {
    let Some(report) = result.report else {
        let (profile, unchanged, took) = (result.profile, result.plan.unchanged, time::length(result.seconds));
        if !result.plan.left.is_empty() {
            let left = plan::left(result.plan, false, false);
            return format!("{left}\nNothing else to do: {unchanged} resources are as {profile} says, {took}.\n");
        }
        return format!("Nothing to do: the host is as {profile} says ({unchanged} resources checked, {took}).\n");
    };
    let mut text = match report.state {
        TransactionState::Done => {
            format!(
                "Installation completed successfully: profile {}, {}.\n",
                result.profile,
                time::length(result.seconds)
            )
        }
        TransactionState::Partial => {
            let failed: Vec<&str> = report.failed_modules.iter().map(String::as_str).collect();
            format!("Installed without {}: what they had changed was taken back.\n", failed.join(", "))
        }
        _ => "Installation failed.\n".to_owned(),
    };
    text.push_str(&format!(
        "  {} changes made, {} resources already as wanted, transaction {}.\n",
        report.applied.len(),
        report.unchanged,
        report.tx
    ));
    let mut slow: Vec<_> = report.applied.iter().filter(|step| step.seconds >= 1.0).collect();
    slow.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    for step in slow.iter().take(5) {
        text.push_str(&format!("  {:>10}  {}\n", time::length(step.seconds), step.id));
    }
    for line in &report.deviations {
        text.push_str(&wrap("  ", &format!("deviation: {line}")));
    }
    for line in report.kept.iter().chain(report.rollbacks.iter().flat_map(|r| &r.kept)) {
        text.push_str(&wrap("  ", &format!("kept: {line}")));
    }
    for line in edited(result) {
        text.push_str(&wrap("  ", &line));
    }
    if !result.plan.left.is_empty() {
        text.push_str(&plan::left(result.plan, false, false));
    }
    for debt in &report.unpaid {
        text.push_str(&format!("  owed: {} ({})\n", debt.debt, debt.error));
    }
    if !result.next_steps.is_empty() {
        text.push_str("\nNext:\n");
        for line in result.next_steps {
            text.push_str(&wrap("  ", line));
        }
    }
    text.push_str(&format!(
        "\nTake it back: vps-configurator rollback\nDetails:      vps-configurator transaction show {}\n",
        report.tx
    ));
    text
}
