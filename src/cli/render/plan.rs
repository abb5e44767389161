//! A plan, for people: module by module, each change with its lines and its diff; the sums at the end.

use super::time;
use super::wrap::wrap;
use crate::base::count::counted;
use crate::base::size;
use crate::cli::arming::Arming;
use crate::cli::output::Output;
use crate::engine::Action;
use crate::engine::plan::{Dropped, Plan, Step};
use serde_json::Value;

/// Shows the plan, as the output wants it. `arming`: what of it must be confirmed.
pub fn show(output: &Output, plan: &Plan, profile: &str, arming: Option<&Arming>) {
    output.text(&text(plan, profile, arming, output.has_colour(), output.is_verbose()));
}

/// The plan as text. `verbose` shows every diff whole; else the first lines of each.
pub fn text(plan: &Plan, profile: &str, arming: Option<&Arming>, colour: bool, verbose: bool) -> String {
    if plan.is_empty() && plan.left.is_empty() {
        return format!(
            "Nothing to do: the host is as {profile} says ({} checked).\n",
            counted(plan.unchanged, "resource")
        );
    }
    if plan.is_empty() {
        let text = left(plan, colour, verbose);
        return format!("{text}\nNothing else to do: {} as {profile} says.\n", are(plan.unchanged));
    }
    let mut text = format!("Plan for profile {profile}\n");
    let mut module = "";
    for step in &plan.steps {
        let owner = if step.shared.is_empty() { step.module.as_str() } else { "packages" };
        if owner != module {
            text.push_str(&format!("\n{owner}\n"));
            module = owner;
        }
        text.push_str(&one(step, profile, colour, verbose));
    }
    if !plan.left.is_empty() {
        text.push_str(&format!("\n{}", left(plan, colour, verbose)));
    }
    for note in &plan.notes {
        text.push_str(&wrap("  ", note));
    }
    text.push_str(&format!("\n{}\n", sums(plan)));
    let access: Vec<&str> = plan.steps.iter().filter(|step| step.access).map(|step| step.id.as_str()).collect();
    if !access.is_empty() {
        let access = access.join(", ");
        text.push_str(&wrap("", &match arming {
            None => format!("These touch the way in: {access}."),
            Some(arming) => format!(
                "These touch the way in: {access}. That must be confirmed from a new login within {}, or {} is taken back.",
                time::length(arming.terms.timeout.as_secs_f64()),
                arming.terms.modules.join(", ")
            ),
        }));
    }
    text.push_str(&format!("Plan {}; nothing was changed.\n", plan.hash.short()));
    text
}

fn one(step: &Step, profile: &str, colour: bool, verbose: bool) -> String {
    let sign = match step.change.action {
        Action::Create => paint("+", "32", colour),
        Action::Remove => paint("-", "31", colour),
        _ => paint("~", "33", colour),
    };
    let note = if step.change.irreversible { " (cannot be taken back)" } else { "" };
    let mut text = wrap(&format!("  {sign} "), &format!("{}: {}{note}", step.id, step.change.summary));
    if let Some(dropped) = &step.dropped {
        text.push_str(&wrap("      ", &reason(dropped, profile)));
    }
    let details = &step.change.details;
    let shown = if verbose { details.len() } else { details.len().min(400) };
    for line in &details[..shown] {
        text.push_str(&wrap("      ", line));
    }
    text.extend(step.change.diff.as_ref().map(|diff| difference(diff, colour, verbose)));
    for debt in &step.notify {
        text.push_str(&format!("      then {debt}\n"));
    }
    text
}

/// What is not as wanted, and stays as it is: with both sides, for somebody must choose.
pub fn left(plan: &Plan, colour: bool, verbose: bool) -> String {
    let mut text = String::from("Not as wanted, and left as it is:\n");
    for one in &plan.left {
        let sign = paint("!", "31", colour);
        text.push_str(&wrap(&format!("  {sign} "), &format!("{} [{}]: {}", one.id, one.module, one.summary)));
        for line in &one.details {
            text.push_str(&wrap("      ", line));
        }
        text.extend(one.diff.as_ref().map(|diff| difference(diff, colour, verbose)));
    }
    text
}

/// A diff without its head; all of it, or its first lines.
fn difference(diff: &str, colour: bool, verbose: bool) -> String {
    let lines: Vec<&str> = diff.lines().skip_while(|line| line.starts_with("---") || line.starts_with("+++")).collect();
    let shown = if verbose { lines.len() } else { lines.len().min(24) };
    let mut text = String::new();
    for line in &lines[..shown] {
        let line = match line.chars().next() {
            Some('+') => paint(line, "32", colour),
            Some('-') => paint(line, "31", colour),
            _ => (*line).to_owned(),
        };
        text.push_str(&format!("      {line}\n"));
    }
    if shown < lines.len() {
        text.push_str(&format!("      ... {} more lines (--verbose)\n", lines.len() - shown));
    }
    text
}

/// Why something is taken back.
fn reason(dropped: &Dropped, profile: &str) -> String {
    let stays = |name: &&String| dropped.heirs.values().any(|names| names.contains(*name));
    let names: Vec<&str> = dropped.names.iter().filter(|name| !stays(name)).map(String::as_str).collect();
    let what = if names.is_empty() { "it".to_owned() } else { names.join(", ") };
    let before = dropped.profile.as_deref().map(|name| format!(" ({name})")).unwrap_or_default();
    let (transaction, since) = (dropped.transaction, time::minute(dropped.since));
    format!("profile {profile} does not ask for {what}; transaction {transaction}{before} did, {since}")
}

/// `4 resources are`.
pub fn are(count: usize) -> String {
    counted(count, "resource") + if count == 1 { " is" } else { " are" }
}

/// One line of sums: changes, packages with their bytes.
pub fn sums(plan: &Plan) -> String {
    let count = |action: Action| plan.steps.iter().filter(|step| step.change.action == action).count();
    let mut line = format!(
        "{}: {} to create, {} to update, {} to remove; {} already as wanted.",
        counted(plan.steps.len(), "change"),
        count(Action::Create),
        count(Action::Update),
        count(Action::Remove),
        plan.unchanged
    );
    if let Some(packages) = packages(plan) {
        line.push_str(&format!(
            "\n{}: {} to fetch, {} on disk.",
            counted(packages.count, "package"),
            size::bytes(packages.download),
            size::bytes(packages.installed)
        ));
    }
    line
}

/// What the package transaction of a plan weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packages {
    /// How many are installed or upgraded.
    pub count: usize,
    /// Bytes to fetch.
    pub download: u64,
    /// Bytes on disk afterwards.
    pub installed: u64,
}

/// The package transaction of a plan, read from what the package resource saw.
pub fn packages(plan: &Plan) -> Option<Packages> {
    let step = plan.steps.iter().find(|step| step.id.kind() == "package" && step.dropped.is_none())?;
    let solution = step.seen.0.get("solution")?;
    let count = |list: &str| solution.get(list).and_then(Value::as_array).map_or(0, Vec::len);
    let bytes = |field: &str| solution.get(field).and_then(Value::as_u64).unwrap_or(0);
    Some(Packages {
        count: count("new") + count("upgrades"),
        download: bytes("download"),
        installed: bytes("installed"),
    })
}

fn paint(text: &str, code: &str, colour: bool) -> String {
    if colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
}
