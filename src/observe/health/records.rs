//! What the journal says is left over: of a crash, of a rollback, of a change that nobody confirmed, of restarts.

use super::{Looked, State};
use crate::engine::{Debt, Result};
use crate::journal::{Journal, StepState, TransactionState};

pub(super) fn look(journal: Option<&Journal>) -> Result<Vec<Looked>> {
    let Some(journal) = journal else {
        return Ok(vec![Looked::beside("records", "nothing was applied on this host yet")]);
    };
    let mut all = Vec::new();
    if let Some(step) = journal.standing()?.iter().find(|step| step.state == StepState::UndoFailed) {
        all.push(Looked::found(
            "records",
            State::Unhealthy,
            format!("transaction {} could not be taken back whole", step.tx),
            "nothing more is applied until it is",
            format!("vps-configurator transaction show {}, then vps-configurator rollback", step.tx),
        ));
    }
    for row in journal.transactions()?.iter().filter(|row| row.state == TransactionState::Running) {
        all.push(Looked::found(
            "records",
            State::Unhealthy,
            format!("transaction {} was cut off, or is under way", row.id),
            "what it had begun is half made",
            "vps-configurator recover",
        ));
    }
    for row in journal.open_confirmations()? {
        all.push(Looked::found(
            "records",
            State::Degraded,
            format!("transaction {} waits to be confirmed", row.tx),
            "it is taken back unless somebody confirms it",
            "log in anew, and there: vps-configurator confirm",
        ));
    }
    for row in journal.owed()? {
        let debt = serde_json::from_value::<Debt>(row.debt).map(|debt| debt.to_string()).unwrap_or_default();
        all.push(Looked::found(
            "records",
            State::Degraded,
            format!("owed: {debt}"),
            row.reason,
            "vps-configurator recover",
        ));
    }
    if all.is_empty() {
        all.push(Looked::well("records", "nothing is owed or left over"));
    }
    Ok(all)
}
