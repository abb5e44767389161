//! The result of an install: JSON for programs (the form of the blueprint, and more), and a page for people.

use super::wrap::wrap;
use super::{plan, time};
use crate::base::count::counted;
use crate::engine::apply::Report;
use crate::engine::plan::Plan;
use crate::journal::TransactionState;
use crate::resources::file::EDITED;
use crate::resources::package::Figures;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

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
    /// Why a reboot is needed; empty when none is.
    pub reboot: &'a [String],
    /// The host's name.
    pub hostname: &'a str,
    /// When it ended, nanoseconds since the epoch.
    pub ended: i64,
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
        "hostname": result.hostname,
        "ended": time::rfc3339(result.ended),
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
        "reboot": result.reboot,
        "packages": packages(result),
    })
}

/// The packages that came, in numbers.
fn packages(result: &Result<'_>) -> Option<Figures> {
    let mut applied = result.report?.applied.iter();
    let step = applied.find(|step| step.id.kind() == "package")?;
    Figures::of(&result.plan.step(&step.id)?.seen)
}

/// What took longest: modules, and the packages of all of them, with the seconds of their steps and how many these were.
fn slowest(report: &Report) -> Vec<(&str, f64, usize)> {
    let mut all: BTreeMap<&str, (f64, usize)> = BTreeMap::new();
    for step in &report.applied {
        let name = if step.id.kind() == "package" { "packages" } else { &step.module };
        let entry = all.entry(name).or_default();
        *entry = (entry.0 + step.seconds, entry.1 + 1);
    }
    let mut all: Vec<_> = all.into_iter().map(|(name, (seconds, count))| (name, seconds, count)).collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1));
    all
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
            return format!("{left}\nNothing else to do: {} as {profile} says, {took}.\n", plan::are(unchanged));
        }
        return format!(
            "Nothing to do: the host is as {profile} says ({}, {took}).\n",
            counted(unchanged, "resource") + " checked"
        );
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
        "  {} made, {} already as wanted, transaction {}.\n",
        counted(report.applied.len(), "change"),
        counted(report.unchanged, "resource"),
        report.tx
    ));
    for (name, seconds, count) in slowest(report).into_iter().filter(|(_, seconds, _)| *seconds >= 1.0).take(8) {
        let took = time::length(seconds);
        text.push_str(&match (name, packages(result)) {
            ("packages", Some(figures)) => format!("  {took:>12}  {}\n", counted(figures.count(), "package")),
            ("packages", None) => format!("  {took:>12}  packages\n"),
            (name, _) => format!("  {took:>12}  {name}: {}\n", counted(count, "step")),
        });
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
    let reboot = (!result.reboot.is_empty()).then(|| format!("Reboot this host: {}", result.reboot.join("; ")));
    if !result.next_steps.is_empty() || reboot.is_some() {
        text.push_str("\nNext:\n");
        for line in result.next_steps.iter().copied().chain(reboot.as_deref()) {
            text.push_str(&wrap("  ", line));
        }
    }
    text.push_str(&format!(
        "\nTake it back: vps-configurator rollback\nDetails:      vps-configurator transaction show {}\n",
        report.tx
    ));
    text
}
