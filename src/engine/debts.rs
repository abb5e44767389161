//! Paying what is owed: restarts, reloads, starts. A debt stays in the journal until it is paid, whichever run does it.

use super::{Debt, DebtKind, Error, Result, Works, events};
use crate::base::ids::{ResourceId, TransactionId};
use crate::journal::DebtRow;
use serde_json::Value;
use std::collections::BTreeMap;

/// A debt that could not be paid, with the module whose change made it.
#[derive(Debug)]
pub struct Unpaid {
    /// The module.
    pub module: String,
    /// Every change that owes it, newest first: its transaction and its module.
    pub owed_by: Vec<(TransactionId, String)>,
    /// What is owed.
    pub debt: Debt,
    /// Why it could not be paid.
    pub error: Error,
}

/// Writes down what a step's settling found to be owed: the starts of units that were held back while their packages
/// were configured, under `debts`.
pub(super) fn owe_settled(
    works: &Works<'_>,
    tx: TransactionId,
    module: &str,
    id: &ResourceId,
    settled: Option<&Value>,
) -> Result<()> {
    let debts: Vec<Debt> = settled
        .and_then(|value| value.get("debts"))
        .map(|debts| serde_json::from_value(debts.clone()))
        .transpose()
        .map_err(|e| Error::BadRecord { kind: id.to_string(), why: e.to_string() })?
        .unwrap_or_default();
    for debt in debts {
        let value = serde_json::to_value(&debt).unwrap_or_default();
        works.journal.owe(tx, module, &value, &format!("{id} was configured"), works.now())?;
    }
    Ok(())
}

/// Pays everything owed, in this order: systemd reads its units again, then starts, restarts, reloads. One act for
/// each unit: a restart is also a reload. Then all units that something was done to are watched together: a debt is paid
/// when its unit is well. What cannot be paid is returned and stays owed.
pub fn pay(works: &Works<'_>) -> Result<Vec<Unpaid>> {
    let mut acts: BTreeMap<(u8, String), (Debt, Vec<DebtRow>)> = BTreeMap::new();
    let rows = works.journal.owed()?;
    let debts: Vec<Debt> = rows
        .iter()
        .map(|row| serde_json::from_value(row.debt.clone()))
        .collect::<std::result::Result<_, _>>()
        .map_err(|e| crate::journal::Error::Corrupt(format!("a debt that cannot be read: {e}")))?;
    let restarts: Vec<String> = debts.iter().filter(|d| d.kind == DebtKind::Restart).map(|d| d.unit.clone()).collect();
    for (mut debt, row) in debts.into_iter().zip(rows) {
        if debt.kind == DebtKind::Reload && restarts.contains(&debt.unit) {
            debt.kind = DebtKind::Restart;
        }
        let (act, rows) =
            acts.entry((rank(debt.kind), debt.unit.clone())).or_insert_with(|| (debt.clone(), Vec::new()));
        act.join(&debt);
        rows.push(row);
    }
    let mut unpaid = Vec::new();
    let (mut made, mut proved) = (Vec::new(), Vec::new());
    for (debt, rows) in acts.into_values() {
        let since = rows.iter().map(|row| row.made).max().unwrap_or(0);
        match works.services.pay(works.host, &debt, since) {
            Ok(true) if !debt.unit.is_empty() => made.push((debt, rows)),
            Ok(done) => proved.push((debt, rows, done)),
            Err(error) => unpaid.push(owing(debt, &rows, error)),
        }
    }
    let watched: Vec<Debt> = made.iter().map(|(debt, _)| debt.clone()).collect();
    for ((debt, rows), outcome) in made.into_iter().zip(works.services.prove(works.host, &watched)) {
        match outcome {
            Ok(()) => proved.push((debt, rows, true)),
            Err(error) => unpaid.push(owing(debt, &rows, error)),
        }
    }
    for (debt, rows, done) in proved {
        for row in &rows {
            works.journal.pay(row.id, works.now())?;
        }
        if let (true, Some(row)) = (done, rows.last()) {
            events::paid(row.tx, &debt.to_string(), &row.reason);
        }
    }
    Ok(unpaid)
}

fn owing(debt: Debt, rows: &[DebtRow], error: Error) -> Unpaid {
    let module = rows.last().map(|row| row.module.clone()).unwrap_or_default();
    let owed_by = rows.iter().rev().map(|row| (row.tx, row.module.clone())).collect();
    Unpaid { module, owed_by, debt, error }
}

/// Debts as a change that is about to be made will owe them.
pub(super) fn owed(works: &Works<'_>, debts: &[Debt]) -> Result<Vec<Value>> {
    if debts.is_empty() {
        return Ok(Vec::new());
    }
    let debts = works.services.owed(works.host, debts)?;
    Ok(debts.iter().map(|debt| serde_json::to_value(debt).unwrap_or_default()).collect())
}

fn rank(kind: DebtKind) -> u8 {
    match kind {
        DebtKind::DaemonReload => 0,
        DebtKind::Start => 1,
        DebtKind::Restart => 2,
        DebtKind::Reload => 3,
    }
}

impl std::fmt::Display for Debt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.kind {
            DebtKind::DaemonReload => f.write_str("systemd reads its units again"),
            DebtKind::Start => write!(f, "start {}", self.unit),
            DebtKind::Restart => write!(f, "restart {}", self.unit),
            DebtKind::Reload => write!(f, "reload {}", self.unit),
        }
    }
}
