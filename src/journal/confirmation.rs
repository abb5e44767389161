//! Transactions that must be confirmed: one row each, armed before the first change of the way in is made.

use super::store::{json, parse, parse_word, word};
use super::{Journal, Result};
use crate::base::ids::{ResourceId, TransactionId};
use rusqlite::{Row, params};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Where a confirmation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConfirmationState {
    /// The transaction is under way, or was cut off: nobody can confirm it yet.
    Armed,
    /// All is made; somebody must come in anew and confirm it, or it is taken back.
    Waiting,
    /// Somebody did.
    Confirmed,
    /// Nobody did: it is being taken back. Stays until all of it is back.
    Reverting,
    /// Nobody did, and it is back.
    Reverted,
    /// Nothing of it stands any more, or was ever made: there is nothing to confirm.
    Void,
}

impl ConfirmationState {
    /// Whether there is still something to happen.
    pub fn is_open(self) -> bool {
        matches!(self, ConfirmationState::Armed | ConfirmationState::Waiting | ConfirmationState::Reverting)
    }
}

/// A moment on the clock of the wall, which somebody may set, and on that of the machine, which starts anew with each
/// boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// Nanoseconds since the epoch.
    pub wall: i64,
    /// The boot that `uptime` belongs to.
    pub boot: String,
    /// Nanoseconds since the host was started.
    pub uptime: i64,
}

/// One transaction that must be, or was to be, confirmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfirmationRow {
    /// The transaction.
    pub tx: TransactionId,
    /// Where it stands.
    pub state: ConfirmationState,
    /// The resources of the transaction that people's way in depends on.
    pub resources: Vec<ResourceId>,
    /// The modules that are taken back, each before those that it depends on.
    pub modules: Vec<String>,
    /// How long is waited, seconds.
    pub timeout: i64,
    /// From when: first the arming, then the end of the transaction.
    pub since: Moment,
    /// When it was over, nanoseconds since the epoch.
    pub ended: Option<i64>,
    /// Who confirmed it.
    pub by: Option<Value>,
    /// Why it was taken back.
    pub why: Option<String>,
}

/// How a confirmation ends.
#[derive(Debug, Clone, Copy)]
pub struct Ending<'a> {
    /// Its new state.
    pub state: ConfirmationState,
    /// When, nanoseconds since the epoch.
    pub now: i64,
    /// Who confirmed it.
    pub by: Option<&'a Value>,
}

const ROW: &str =
    "SELECT tx, state, resources, modules, timeout, since, boot, uptime, ended, by, why FROM confirmations";

impl Journal {
    /// Writes down that a transaction must be confirmed, before it changes anything.
    pub fn arm(&self, row: &ConfirmationRow) -> Result<()> {
        self.to_write("confirmation")?.execute(
            "INSERT INTO confirmations (tx, state, resources, modules, timeout, since, boot, uptime)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![
                row.tx.0,
                word(&row.state)?,
                json(&row.resources)?,
                json(&row.modules)?,
                row.timeout,
                row.since.wall,
                row.since.boot,
                row.since.uptime
            ],
        )?;
        Ok(())
    }

    /// All that is made: from `since` on the transaction waits. `false` when it was not armed any more.
    pub fn await_confirmation(&self, tx: TransactionId, since: &Moment) -> Result<bool> {
        let changed = self.to_write("confirmation")?.execute(
            "UPDATE confirmations SET state = 'waiting', since = ?2, boot = ?3, uptime = ?4
             WHERE tx = ?1 AND state = 'armed'",
            params![tx.0, since.wall, since.boot, since.uptime],
        )?;
        Ok(changed == 1)
    }

    /// Begins to take an unconfirmed transaction back. `false` when it was confirmed in the meantime.
    pub fn begin_revert(&self, tx: TransactionId, why: &str) -> Result<bool> {
        self.make_room();
        let changed = self.to_write("confirmation")?.execute(
            "UPDATE confirmations SET state = 'reverting', why = COALESCE(why, ?2)
             WHERE tx = ?1 AND state IN ('armed', 'waiting', 'reverting')",
            params![tx.0, why],
        )?;
        Ok(changed == 1)
    }

    /// Ends a confirmation that is in the state `from`. `false` when it is not: somebody else was faster.
    pub fn end_confirmation(&self, tx: TransactionId, from: ConfirmationState, ending: Ending<'_>) -> Result<bool> {
        let changed = self.to_write("confirmation")?.execute(
            "UPDATE confirmations SET state = ?3, ended = ?4, by = ?5 WHERE tx = ?1 AND state = ?2",
            params![tx.0, word(&from)?, word(&ending.state)?, ending.now, ending.by.map(json).transpose()?],
        )?;
        Ok(changed == 1)
    }

    /// The confirmation of a transaction, if it ever needed one.
    pub fn confirmation(&self, tx: TransactionId) -> Result<Option<ConfirmationRow>> {
        Ok(self.confirmations(&format!("WHERE tx = {}", tx.0))?.pop())
    }

    /// The confirmation of the newest transaction that ever needed one.
    pub fn newest_confirmation(&self) -> Result<Option<ConfirmationRow>> {
        Ok(self.confirmations("ORDER BY tx DESC LIMIT 1")?.pop())
    }

    /// Those that are still open, oldest first.
    pub fn open_confirmations(&self) -> Result<Vec<ConfirmationRow>> {
        self.confirmations("WHERE state IN ('armed', 'waiting', 'reverting') ORDER BY tx")
    }

    fn confirmations(&self, rest: &str) -> Result<Vec<ConfirmationRow>> {
        let connection = self.connection();
        let mut query = connection.prepare(&format!("{ROW} {rest}"))?;
        let rows = query.query_map([], confirmation_row)?;
        Ok(rows.collect::<std::result::Result<_, _>>()?)
    }
}

fn confirmation_row(row: &Row<'_>) -> rusqlite::Result<ConfirmationRow> {
    Ok(ConfirmationRow {
        tx: TransactionId(row.get(0)?),
        state: parse_word(row, 1)?,
        resources: parse(row, 2)?,
        modules: parse(row, 3)?,
        timeout: row.get(4)?,
        since: Moment { wall: row.get(5)?, boot: row.get(6)?, uptime: row.get(7)? },
        ended: row.get(8)?,
        by: match row.get_ref(9)? {
            rusqlite::types::ValueRef::Null => None,
            _ => Some(parse(row, 9)?),
        },
        why: row.get(10)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{Begin, TransactionKind};
    use serde_json::json;

    #[test]
    fn a_confirmation_and_a_revert_can_not_both_win() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path()).unwrap();
        let begin = Begin {
            kind: TransactionKind::Install,
            undoes: vec![],
            request: json!({}),
            plan: json!({}),
            actor: json!({}),
            now: 1,
        };
        let since = Moment { wall: 5, boot: "b".into(), uptime: 6 };
        let mut row = ConfirmationRow {
            tx: TransactionId(0),
            state: ConfirmationState::Armed,
            resources: vec![ResourceId::new("file", "/etc/ssh/x")],
            modules: vec!["security".into()],
            timeout: 300,
            since: since.clone(),
            ended: None,
            by: None,
            why: None,
        };
        let by = json!({"login_name": "mia"});
        let confirmed = Ending { state: ConfirmationState::Confirmed, now: 9, by: Some(&by) };
        for _ in 0..2 {
            row.tx = journal.begin(&begin).unwrap();
            journal.arm(&row).unwrap();
            assert_eq!(journal.confirmation(row.tx).unwrap().as_ref(), Some(&row));
            assert!(!journal.end_confirmation(row.tx, ConfirmationState::Waiting, confirmed).unwrap(), "it is armed");
            assert!(journal.await_confirmation(row.tx, &since).unwrap());
        }
        let (first, second) = (TransactionId(1), TransactionId(2));
        assert!(journal.end_confirmation(first, ConfirmationState::Waiting, confirmed).unwrap());
        assert!(!journal.begin_revert(first, "late").unwrap(), "it was confirmed");
        assert!(journal.begin_revert(second, "nobody").unwrap());
        assert!(!journal.end_confirmation(second, ConfirmationState::Waiting, confirmed).unwrap(), "it is taken back");
        let open = journal.open_confirmations().unwrap();
        assert_eq!(
            open.iter().map(|row| (row.tx, row.state)).collect::<Vec<_>>(),
            [(second, ConfirmationState::Reverting)]
        );
        assert_eq!(journal.confirmation(first).unwrap().unwrap().by, Some(by));
        assert_eq!(journal.newest_confirmation().unwrap().unwrap().why.as_deref(), Some("nobody"));
    }
}
