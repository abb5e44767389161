//! What `verify` found, for people and for programs.

use super::time;
use super::wrap::wrap;
use crate::cli::commands::who;
use crate::engine::plan::Step;
use crate::journal::{StepRow, TransactionRow};
use crate::observe::drift::{Comparison, Finding, What};
use serde_json::{Value, json};

/// A resource that is no longer as wanted, and what is known of that.
#[derive(Debug)]
pub struct Drifted<'a> {
    /// What would put it right.
    pub step: &'a Step,
    /// The step that left it as it was wanted, and its transaction.
    pub last: Option<(StepRow, TransactionRow)>,
    /// When it last changed, nanoseconds since the epoch, where the host knows.
    pub changed: Option<i128>,
}

impl Drifted<'_> {
    /// When it changed; not what the host still knows of the time before our own last change of it.
    fn since(&self) -> Option<i64> {
        let ours = self.last.as_ref().and_then(|(step, _)| step.ended).unwrap_or(0);
        self.changed.and_then(|changed| i64::try_from(changed).ok()).filter(|changed| *changed > ours)
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let last = self.last.as_ref().map(|(step, tx)| {
            json!({
                "transaction": tx.id, "by": who(&tx.actor), "at": step.ended.map(time::rfc3339), "summary": step.summary
            })
        });
        json!({
            "resource": self.step.id, "module": self.step.module, "summary": self.step.change.summary,
            "details": self.step.change.details, "diff": self.step.change.diff, "changed": self.since().map(time::rfc3339), "last": last,
        })
    }

    /// For people.
    pub fn text(&self) -> String {
        let step = self.step;
        let mut text = wrap("  ", &format!("{} [{}]: {}", step.id, step.module, step.change.summary));
        for line in &step.change.details {
            text.push_str(&wrap("      ", line));
        }
        let mut known = Vec::new();
        known.extend(self.since().map(|changed| format!("changed {}", time::second(changed))));
        known.extend(self.last.as_ref().map(|(step, tx)| {
            let at = time::minute(step.ended.unwrap_or(step.started));
            format!("transaction {} by {} had left it as wanted, {at}", tx.id, who(&tx.actor))
        }));
        if !known.is_empty() {
            text.push_str(&wrap("      ", &known.join("; ")));
        }
        text
    }
}

fn changed(finding: &Finding) -> Option<i64> {
    finding.changed.and_then(|changed| i64::try_from(changed).ok())
}

/// A finding for programs.
pub fn finding_json(finding: &Finding) -> Value {
    let mut value = serde_json::to_value(finding).unwrap_or_default();
    value["changed"] = changed(finding).map(time::rfc3339).into();
    value
}

/// With what the host was compared, for programs.
pub fn baseline_json(comparison: &Comparison) -> Value {
    let row = &comparison.baseline;
    json!({"at": time::rfc3339(row.at), "by": who(&row.actor), "transaction": row.tx, "reason": row.reason})
}

/// The findings for people; empty when there are none.
pub fn findings_text(comparison: &Comparison) -> String {
    let row = &comparison.baseline;
    let mut text = String::new();
    if !comparison.findings.is_empty() {
        let run = row.tx.map(|tx| format!("transaction {tx} of ")).unwrap_or_default();
        let known = format!("known: {run}{}, {}", time::minute(row.at), who(&row.actor));
        text.push_str(&format!("Findings beside the profile ({known}):\n"));
    }
    for finding in &comparison.findings {
        text.push_str(&wrap("  ", &finding.id));
        let mut line = match finding.what {
            What::Added => format!("new: {}", finding.text),
            What::Changed => format!("changed: {}", finding.text),
            What::Removed => format!("gone: {}", finding.text),
        };
        if let Some(was) = &finding.was {
            line.push_str(&format!(" (was: {was})"));
        }
        text.push_str(&wrap("      ", &line));
        let file = finding.file.as_ref().map(|file| file.display().to_string());
        let is_named = |file: &String| finding.id.ends_with(file.as_str()) || finding.text.contains(file.as_str());
        match (changed(finding), file.filter(|file| !is_named(file))) {
            (Some(at), Some(file)) => text.push_str(&wrap("      ", &format!("{file} changed {}", time::second(at)))),
            (Some(at), None) => text.push_str(&format!("      changed {}\n", time::second(at))),
            (None, _) => {}
        }
    }
    for (territory, why) in &comparison.unknown {
        text.push_str(&wrap("  ", &format!("{territory} was not compared: {why}")));
    }
    if !comparison.findings.is_empty() {
        text.push_str("Accept what is right: vps-configurator finding accept FINDING\n");
    }
    text
}
