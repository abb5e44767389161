//! The form of the database and its steps from version to version.

use super::{Error, Result};
use rusqlite::Connection;

/// Each entry brings the database from the version of its index to the next. Entries are never edited once released.
const STEPS: &[&str] = &["
    CREATE TABLE transactions (
        id       INTEGER PRIMARY KEY,
        kind     TEXT NOT NULL,
        state    TEXT NOT NULL,
        undoes   TEXT NOT NULL DEFAULT '[]',
        request  TEXT NOT NULL,
        plan     TEXT NOT NULL,
        actor    TEXT NOT NULL,
        version  TEXT NOT NULL,
        started  INTEGER NOT NULL,
        ended    INTEGER,
        error    TEXT
    ) STRICT;
    CREATE TABLE steps (
        id       INTEGER PRIMARY KEY,
        tx       INTEGER NOT NULL REFERENCES transactions(id),
        resource TEXT NOT NULL,
        module   TEXT NOT NULL,
        shared   TEXT NOT NULL,
        action   TEXT NOT NULL,
        summary  TEXT NOT NULL,
        before   TEXT NOT NULL,
        after    TEXT NOT NULL,
        notify   TEXT NOT NULL,
        undo     TEXT,
        settled  TEXT,
        state    TEXT NOT NULL,
        started  INTEGER NOT NULL,
        ended    INTEGER,
        error    TEXT
    ) STRICT;
    CREATE INDEX steps_by_tx ON steps(tx, id);
    CREATE INDEX steps_by_state ON steps(state);
    CREATE TABLE undos (
        id      INTEGER PRIMARY KEY,
        step    INTEGER NOT NULL REFERENCES steps(id),
        tx      INTEGER NOT NULL REFERENCES transactions(id),
        outcome TEXT NOT NULL,
        lines   TEXT NOT NULL,
        at      INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE debts (
        id     INTEGER PRIMARY KEY,
        tx     INTEGER NOT NULL REFERENCES transactions(id),
        module TEXT NOT NULL,
        debt   TEXT NOT NULL,
        reason TEXT NOT NULL,
        made   INTEGER NOT NULL,
        paid   INTEGER
    ) STRICT;
    CREATE INDEX debts_owed ON debts(paid) WHERE paid IS NULL;
"];

/// Brings the database to the newest form, in one transaction.
pub(super) fn migrate(connection: &mut Connection) -> Result<()> {
    let known = STEPS.len() as i64;
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if found == known {
        return Ok(());
    }
    if found > known || found < 0 {
        return Err(Error::TooNew { found, known });
    }
    let change = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    for step in STEPS.iter().skip(usize::try_from(found).unwrap_or(0)) {
        change.execute_batch(step)?;
    }
    change.pragma_update(None, "user_version", known)?;
    change.commit()?;
    Ok(())
}
