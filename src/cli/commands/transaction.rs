//! `transaction list|show|diff`: what was done, when, by whom.

use super::Outcome;
use crate::base::ids::TransactionId;
use crate::cli::args::Transaction;
use crate::cli::exit::Exit;
use crate::cli::explain::Problem;
use crate::cli::render::{confirmation as page, table::Table, time};
use crate::cli::reports;
use crate::cli::session::{Session, masked};
use crate::journal::{Journal, StepRow, TransactionRow};
use serde_json::{Value, json};

/// Runs one of them.
pub fn run(session: &Session<'_>, verb: &Transaction) -> Outcome {
    session.require_root()?;
    let Some(journal) = session.journal_to_read()? else {
        if session.output.is_json() {
            session.output.value(&json!({"transactions": []}));
        } else {
            session.output.text("No transaction yet.\n");
        }
        return Ok(Exit::Done);
    };
    match verb {
        Transaction::List => list(session, &journal),
        Transaction::Show { id } => show(session, &journal, *id),
        Transaction::Diff { id } => diff(session, &journal, *id),
    }
}

fn list(session: &Session<'_>, journal: &Journal) -> Outcome {
    let rows = journal.transactions()?;
    if session.output.is_json() {
        let all: Vec<Value> = rows.iter().map(summary).collect();
        session.output.value(&json!({"transactions": all}));
        return Ok(Exit::Done);
    }
    let mut table = Table::new(&["ID", "KIND", "STATE", "BEGUN", "BY", "WHAT"]);
    for row in &rows {
        table.row([
            row.id.to_string(),
            word(&row.kind),
            word(&row.state),
            time::minute(row.started),
            who(&row.actor),
            what(row),
        ]);
    }
    session.output.text(&table.text());
    Ok(Exit::Done)
}

fn show(session: &Session<'_>, journal: &Journal, id: i64) -> Outcome {
    let row = find(journal, id)?;
    let steps = journal.steps(row.id)?;
    let undos = journal.undos(row.id)?;
    let confirmation = journal.confirmation(row.id)?;
    if session.output.is_json() {
        let mut value = summary(&row);
        value["reports"] = reports::of(session.host, row.id).into();
        value["actor"] = row.actor.clone();
        value["request"] = without_values(row.request.clone());
        value["confirmation"] = match &confirmation {
            Some(confirmation) => page::json(session.host, confirmation),
            None => Value::Null,
        };
        value["steps"] = json!(steps.iter().map(step).collect::<Vec<_>>());
        value["undos"] = json!(
            undos
                .iter()
                .map(|(s, outcome, lines)| json!({"step": s, "outcome": outcome, "lines": lines}))
                .collect::<Vec<_>>()
        );
        session.output.value(&value);
        return Ok(Exit::Done);
    }
    let mut text = format!(
        "Transaction {id}: {} {}, {}\n  begun {}{}\n  by    {}\n",
        word(&row.kind),
        what(&row),
        word(&row.state),
        time::second(row.started),
        row.ended.map(|end| format!(", ended {}", time::second(end))).unwrap_or_default(),
        who(&row.actor),
    );
    for (name, field) in [("sudo by", "sudo_user"), ("from", "source_address"), ("tty", "tty"), ("command", "command")]
    {
        if let Some(value) = row.actor.get(field).and_then(Value::as_str) {
            text.push_str(&format!("  {name:<5} {value}\n"));
        }
    }
    for report in reports::of(session.host, row.id) {
        text.push_str(&format!("  report {report}\n"));
    }
    if let Some(error) = &row.error {
        text.push_str(&format!("  failed: {error}\n"));
    }
    if let Some(confirmation) = &confirmation {
        text.push_str(&format!("  confirmation: {}", word(&confirmation.state)));
        match (&confirmation.by, confirmation.ended) {
            (Some(by), Some(ended)) => text.push_str(&format!(" by {}, {}\n", who(by), time::second(ended))),
            (None, Some(ended)) => text.push_str(&format!(", {}\n", time::second(ended))),
            _ => text.push_str(&format!(", {}\n", page::until(session.host, confirmation))),
        }
    }
    for step in &steps {
        text.push_str(&format!(
            "\n  {:<11} {} [{}]\n    {}\n",
            word(&step.state),
            step.resource,
            step.module,
            step.summary
        ));
        if let Some(error) = &step.error {
            text.push_str(&format!("    failed: {error}\n"));
        }
    }
    for (number, outcome, lines) in &undos {
        let name = journal.step(*number)?.map(|s| s.resource.to_string()).unwrap_or_default();
        text.push_str(&format!("\n  {outcome:<11} {name}\n"));
        for line in lines {
            text.push_str(&format!("    {line}\n"));
        }
    }
    session.output.text(&text);
    Ok(Exit::Done)
}

fn diff(session: &Session<'_>, journal: &Journal, id: i64) -> Outcome {
    let row = find(journal, id)?;
    let planned: Vec<Value> = row.plan.get("steps").and_then(Value::as_array).cloned().unwrap_or_default();
    let steps = journal.steps(row.id)?;
    let back = taken_back(journal, row.id)?;
    if session.output.is_json() {
        let made = steps
            .iter()
            .map(|s| json!({"resource": s.resource, "before": s.before, "after": s.after, "state": s.state}));
        let back = back.iter().map(|(s, outcome, lines)| {
            json!({"resource": s.resource, "before": s.after, "after": s.before, "state": outcome, "lines": lines})
        });
        let all: Vec<Value> = made.chain(back).collect();
        session.output.value(&json!({"transaction": id, "steps": all}));
        return Ok(Exit::Done);
    }
    let mut text = String::new();
    for step in &steps {
        text.push_str(&format!("{} {}: {}\n", step.action, step.resource, step.summary));
        let change = planned.iter().find(|p| p["id"] == step.resource.as_str()).map(|p| &p["change"]);
        for line in change.and_then(|c| c["details"].as_array()).into_iter().flatten().filter_map(Value::as_str) {
            text.push_str(&format!("    {line}\n"));
        }
        if let Some(diff) = change.and_then(|c| c["diff"].as_str()) {
            text.push_str(diff);
        }
    }
    for (step, outcome, lines) in &back {
        text.push_str(&format!(
            "{outcome} {}: {} (of transaction {}; transaction diff {} shows it)\n",
            step.resource, step.summary, step.tx, step.tx
        ));
        lines.iter().for_each(|line| text.push_str(&format!("    {line}\n")));
    }
    session.output.text(&text);
    Ok(Exit::Done)
}

/// The steps that a rollback took back, or tried to, each with how that ended.
fn taken_back(journal: &Journal, id: TransactionId) -> Result<Vec<(StepRow, String, Vec<String>)>, Problem> {
    let mut all = Vec::new();
    for (number, outcome, lines) in journal.undos(id)? {
        all.extend(journal.step(number)?.map(|step| (step, outcome, lines)));
    }
    Ok(all)
}

/// A request without the values of `--set`, which may be secret.
fn without_values(mut request: Value) -> Value {
    for set in request.get_mut("set").and_then(Value::as_array_mut).into_iter().flatten() {
        *set = set.as_str().map(masked).into();
    }
    request
}

pub(super) fn find(journal: &Journal, id: i64) -> Result<TransactionRow, Problem> {
    journal.transaction(TransactionId(id))?.ok_or_else(|| {
        Problem::new(
            Exit::Usage,
            "transaction-unknown",
            format!("there is no transaction {id}"),
            "the journal has none of this number",
        )
        .fix("vps-configurator transaction list")
    })
}

/// A transaction in one JSON object.
pub fn summary(row: &TransactionRow) -> Value {
    json!({
        "id": row.id, "kind": row.kind, "state": row.state, "undoes": row.undoes,
        "profile": row.request.get("profile"), "begun": time::rfc3339(row.started),
        "ended": row.ended.map(time::rfc3339), "by": who(&row.actor), "version": row.version, "error": row.error,
    })
}

fn step(step: &StepRow) -> Value {
    json!({
        "id": step.id, "resource": step.resource, "module": step.module, "shared": step.shared,
        "action": step.action, "summary": step.summary, "state": step.state,
        "seconds": step.ended.map(|end| (end - step.started) as f64 / 1e9), "error": step.error,
    })
}

/// What a transaction was about, in a few words.
pub fn what(row: &TransactionRow) -> String {
    if !row.undoes.is_empty() {
        let ids: Vec<String> = row.undoes.iter().map(ToString::to_string).collect();
        let module = row.request.get("module").and_then(Value::as_str);
        let module = module.or_else(|| row.request.get("module_of")?.get(0)?.as_str());
        return match module {
            Some(module) => format!("module {module} of {}", ids.join(", ")),
            None => format!("of {}", ids.join(", ")),
        };
    }
    row.request.get("profile").and_then(Value::as_str).map(|p| format!("profile {p}")).unwrap_or_default()
}

/// Who, in one word.
pub fn who(actor: &Value) -> String {
    let name = |field: &str| actor.get(field).and_then(Value::as_str).filter(|name| !name.is_empty());
    name("sudo_user").or_else(|| name("login_name")).unwrap_or("root").to_owned()
}

/// A word of the journal (`kebab-case`), as it is written there.
pub fn word<T: serde::Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => word,
        _ => String::new(),
    }
}
