//! What the journal says is left over: of a crash, of a rollback, of a change that nobody confirmed, of restarts.

use super::{Busy, Looked, State};
use crate::engine::{Debt, Result};
use crate::journal::Journal;

pub(super) fn look(journal: Option<&Journal>, busy: Busy<'_>) -> Result<Vec<Looked>> {
    let Some(journal) = journal else {
        return Ok(vec![Looked::beside("records", "nothing was applied on this host yet")]);
    };
    let mut all = Vec::new();
    if let Some(tx) = journal.undo_failed()? {
        all.push(Looked::found(
            "records",
            State::Unhealthy,
            format!("transaction {tx} could not be taken back whole"),
            "nothing more is applied until it is",
            format!("vps-configurator transaction show {tx}, then vps-configurator rollback"),
        ));
    }
    for row in journal.running()? {
        all.push(match busy() {
            Some(who) => Looked::found(
                "records",
                State::Degraded,
                format!("transaction {} is under way ({who})", row.id),
                "until it is done what it makes is half made",
                "let it end, then look again",
            ),
            None => Looked::found(
                "records",
                State::Unhealthy,
                format!("transaction {} was cut off", row.id),
                "what it had begun is half made",
                "vps-configurator recover",
            ),
        });
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
