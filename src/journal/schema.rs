//! The form of the database and its steps from version to version.

use super::{Error, Result};
use rusqlite::Connection;

/// From one version of the form to the next.
struct Step {
    /// Brings the database to it.
    change: &'static str,
    /// What a reader, who may not change the database, gets instead: temporary tables and views of that form.
    stand_in: &'static str,
}

/// Each entry brings the database from the version of its index to the next. Entries are never edited once released.
const STEPS: &[Step] = &[
    Step { change: FIRST, stand_in: "" },
    Step {
        change: "CREATE TABLE baselines (
            id     INTEGER PRIMARY KEY,
            reason TEXT NOT NULL,
            tx     INTEGER REFERENCES transactions(id),
            actor  TEXT NOT NULL,
            at     INTEGER NOT NULL,
            known  TEXT NOT NULL
        ) STRICT;",
        stand_in: "CREATE TEMP TABLE baselines (id INTEGER, reason TEXT, tx INTEGER, actor TEXT, at INTEGER, known TEXT);",
    },
    Step {
        change: "CREATE TABLE confirmations (
            tx        INTEGER PRIMARY KEY REFERENCES transactions(id),
            state     TEXT NOT NULL,
            resources TEXT NOT NULL,
            modules   TEXT NOT NULL,
            timeout   INTEGER NOT NULL,
            since     INTEGER NOT NULL,
            boot      TEXT NOT NULL,
            uptime    INTEGER NOT NULL,
            ended     INTEGER,
            by        TEXT,
            why       TEXT
        ) STRICT;",
        stand_in: "CREATE TEMP TABLE confirmations (tx INTEGER, state TEXT, resources TEXT, modules TEXT,
            timeout INTEGER, since INTEGER, boot TEXT, uptime INTEGER, ended INTEGER, by TEXT, why TEXT);",
    },
    Step {
        change: "ALTER TABLE steps ADD COLUMN recipe TEXT; ALTER TABLE steps ADD COLUMN removes INTEGER REFERENCES steps(id);",
        stand_in: "CREATE TEMP VIEW steps AS SELECT *, NULL AS recipe, NULL AS removes FROM main.steps;",
    },
];

const FIRST: &str = "
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
";

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
        change.execute_batch(step.change)?;
    }
    change.pragma_update(None, "user_version", known)?;
    change.commit()?;
    Ok(())
}

/// Lets a reader of a database of an older form read it as if it had the newest one. The file stays as it is.
pub(super) fn stand_in(connection: &Connection) -> Result<()> {
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    connection.execute_batch("PRAGMA temp_store = MEMORY;")?;
    for step in STEPS.iter().skip(usize::try_from(found).unwrap_or(0)) {
        connection.execute_batch(step.stand_in)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::OpenFlags;

    #[test]
    fn a_reader_of_an_older_form_reads_it_as_the_newest_and_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("old.db");
        let old = Connection::open(&path).unwrap();
        old.execute_batch(FIRST).unwrap();
        old.pragma_update(None, "user_version", 1).unwrap();
        drop(old);
        let before = std::fs::read(&path).unwrap();
        let reader = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        stand_in(&reader).unwrap();
        let count: i64 =
            reader.query_row("SELECT count(*) FROM baselines WHERE tx IS NULL", [], |row| row.get(0)).unwrap();
        assert_eq!(count, 0);
        drop(reader);
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }
}
