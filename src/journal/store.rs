//! Writing and reading the journal. Every write is committed with `synchronous=FULL` when it returns.

use super::record::{
    DebtRow, RequestRow, SpanRow, StepOutline, StepRow, StepState, TransactionKind, TransactionRow, TransactionState,
};
use super::{Error, Objects, Result, Watch, Write, ballast, schema};
use crate::base::ids::{ResourceId, TransactionId};
use rusqlite::{Connection, OpenFlags, Row, params};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The journal of one host.
#[derive(Debug)]
pub struct Journal {
    connection: Mutex<Connection>,
    objects: Objects,
    state: PathBuf,
    watch: Option<Arc<dyn Watch>>,
}

/// What is known of a transaction when it begins.
#[derive(Debug, Clone)]
pub struct Begin {
    /// What it does.
    pub kind: TransactionKind,
    /// The transactions that it takes back.
    pub undoes: Vec<TransactionId>,
    /// What was asked for.
    pub request: Value,
    /// The plan.
    pub plan: Value,
    /// Who does it.
    pub actor: Value,
    /// When, nanoseconds since the epoch.
    pub now: i64,
}

/// What is written before a step changes anything.
#[derive(Debug, Clone)]
pub struct Intent {
    /// The transaction.
    pub tx: TransactionId,
    /// What it changes.
    pub resource: ResourceId,
    /// For which module.
    pub module: String,
    /// Shared by these modules.
    pub shared: Vec<String>,
    /// `create`, `update`, `remove`, `keep`.
    pub action: String,
    /// The plan's line.
    pub summary: String,
    /// The state before.
    pub before: Value,
    /// The state afterwards.
    pub after: Value,
    /// What will be owed.
    pub notify: Vec<Value>,
    /// How to take it back.
    pub undo: Option<Value>,
    /// What makes it anew.
    pub recipe: Option<Value>,
    /// The step that this one takes back.
    pub removes: Option<i64>,
    /// When.
    pub now: i64,
}

impl Journal {
    /// Opens (and makes, mode 0700 and 0600) the journal in `state`, a directory of the real file system.
    pub fn open(state: &Path) -> Result<Self> {
        Journal::open_watched(state, None)
    }

    /// The same, with somebody who sees each durable write coming.
    pub fn open_watched(state: &Path, watch: Option<Arc<dyn Watch>>) -> Result<Self> {
        if let Some(watch) = &watch {
            watch.before(Write::Open)?;
        }
        if !state.is_dir() {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(state)?;
        }
        let path = state.join("journal.db");
        let fresh = !path.exists();
        let mut connection = Connection::open(&path)?;
        if fresh {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        }
        connection.busy_timeout(Duration::from_secs(5))?;
        connection.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF;",
        )?;
        schema::migrate(&mut connection)?;
        let objects = Objects::new(state.join("objects")).watched(watch.clone());
        Ok(Journal { connection: Mutex::new(connection), objects, state: state.to_owned(), watch })
    }

    /// Removes from the store beside the journal in `state` what a run that was killed had not finished to write. Only for
    /// whoever holds the lock of changing runs: another one may be writing just now.
    pub fn sweep(state: &Path) -> Result<()> {
        Objects::new(state.join("objects")).sweep()
    }

    /// Makes sure that there is room on the disk for the way back, or at least more than before. Whatever takes changes
    /// back begins with it.
    pub(super) fn make_room(&self) {
        ballast::give_up(&self.state);
    }

    /// Opens the journal for reading, without making anything; `None` when there is none yet.
    pub fn open_to_read(state: &Path) -> Result<Option<Self>> {
        let path = state.join("journal.db");
        if !path.exists() {
            return Ok(None);
        }
        let connection = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        connection.busy_timeout(Duration::from_secs(5))?;
        connection.execute_batch("PRAGMA trusted_schema = OFF;")?;
        schema::stand_in(&connection)?;
        let objects = Objects::new(state.join("objects"));
        Ok(Some(Journal { connection: Mutex::new(connection), objects, state: state.to_owned(), watch: None }))
    }

    /// The store of pre-images beside it.
    pub fn objects(&self) -> &Objects {
        &self.objects
    }

    pub(super) fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection, for the commit of `what`.
    pub(super) fn to_write(&self, what: &'static str) -> Result<MutexGuard<'_, Connection>> {
        let connection = self.connection();
        if let Some(watch) = &self.watch {
            watch.before(Write::Commit(what))?;
        }
        Ok(connection)
    }

    /// Begins a transaction. A rollback may need the room that an install keeps for it.
    pub fn begin(&self, begin: &Begin) -> Result<TransactionId> {
        match begin.kind {
            TransactionKind::Install => ballast::keep(&self.state),
            TransactionKind::Rollback => self.make_room(),
        }
        let connection = self.to_write("begin")?;
        connection.execute(
            "INSERT INTO transactions (kind, state, undoes, request, plan, actor, version, started)
             VALUES (?1, 'running', ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                word(&begin.kind)?,
                json(&begin.undoes)?,
                json(&begin.request)?,
                json(&begin.plan)?,
                json(&begin.actor)?,
                env!("CARGO_PKG_VERSION"),
                begin.now
            ],
        )?;
        Ok(TransactionId(connection.last_insert_rowid()))
    }

    /// Sets where a transaction stands; `ended` when it is over.
    pub fn set_transaction(
        &self,
        id: TransactionId,
        state: TransactionState,
        ended: Option<i64>,
        error: Option<&str>,
    ) -> Result<()> {
        self.to_write("transaction")?.execute(
            "UPDATE transactions SET state = ?2, ended = ?3, error = COALESCE(?4, error) WHERE id = ?1",
            params![id.0, word(&state)?, ended, error],
        )?;
        Ok(())
    }

    /// Writes a step down before it changes anything, with the debts that its change will make.
    pub fn intend(&self, intent: &Intent) -> Result<i64> {
        let mut connection = self.to_write("intent")?;
        let change = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        change.execute(
            "INSERT INTO steps (tx, resource, module, shared, action, summary, before, after, notify, undo, state, started,
                recipe, removes)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 'intent', ?11, ?12, ?13)",
            params![
                intent.tx.0,
                intent.resource.as_str(),
                intent.module,
                json(&intent.shared)?,
                intent.action,
                intent.summary,
                json(&intent.before)?,
                json(&intent.after)?,
                json(&intent.notify)?,
                intent.undo.as_ref().map(json).transpose()?,
                intent.now,
                intent.recipe.as_ref().map(json).transpose()?,
                intent.removes
            ],
        )?;
        let step = change.last_insert_rowid();
        insert_debts(&change, intent)?;
        change.commit()?;
        Ok(step)
    }

    /// The step of `tx` that makes `resource`, was begun and is not marked as made, the newest when there are several.
    pub fn cut_off(&self, tx: TransactionId, resource: &ResourceId) -> Result<Option<StepRow>> {
        let connection = self.connection();
        let mut query = connection.prepare(&format!(
            "{STEP} WHERE tx = ?1 AND resource = ?2 AND state = 'intent' AND removes IS NULL ORDER BY id DESC LIMIT 1"
        ))?;
        let mut rows = query.query_map(params![tx.0, resource.as_str()], step_row)?;
        Ok(rows.next().transpose()?)
    }

    /// Writes down that a step that was cut off goes on, before it changes anything more: how both parts are taken back,
    /// whose they are, the state that will be there, and what will be owed. What it set out to do, and the state before,
    /// stay as they were written first; what had been seen after it is part of the new undo record.
    pub fn extend(&self, step: i64, intent: &Intent) -> Result<()> {
        let mut connection = self.connection();
        let change = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        change.execute(
            "UPDATE steps SET shared = ?2, after = ?3, notify = ?4, undo = ?5, recipe = ?6, settled = NULL, ended = NULL,
                error = NULL
             WHERE id = ?1",
            params![
                step,
                json(&intent.shared)?,
                json(&intent.after)?,
                json(&intent.notify)?,
                intent.undo.as_ref().map(json).transpose()?,
                intent.recipe.as_ref().map(json).transpose()?
            ],
        )?;
        insert_debts(&change, intent)?;
        change.commit()?;
        Ok(())
    }

    /// Sets where a step stands.
    pub fn set_step(
        &self,
        step: i64,
        state: StepState,
        settled: Option<&Value>,
        error: Option<&str>,
        now: i64,
    ) -> Result<()> {
        self.to_write("step")?.execute(
            "UPDATE steps SET state = ?2, settled = COALESCE(?3, settled), error = ?4, ended = ?5 WHERE id = ?1",
            params![step, word(&state)?, settled.map(json).transpose()?, error, now],
        )?;
        Ok(())
    }

    /// A step that was cut off is made once more: what had been seen of it is forgotten, and the next crash looks anew.
    pub fn make_again(&self, step: i64) -> Result<()> {
        self.to_write("step")?.execute("UPDATE steps SET settled = NULL WHERE id = ?1", params![step])?;
        Ok(())
    }

    /// Records that a step was taken back (or not), in one commit with its new state, the rest of its undo record
    /// when only a part is back, and the debts that the way back makes.
    pub fn record_undo(&self, undo: &UndoEntry<'_>) -> Result<()> {
        let mut connection = self.to_write("undo")?;
        let change = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        change.execute(
            "INSERT INTO undos (step, tx, outcome, lines, at) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![undo.step.id, undo.tx.0, undo.outcome, json(&undo.lines)?, undo.now],
        )?;
        change.execute(
            "UPDATE steps SET state = ?2, undo = COALESCE(?3, undo), shared = COALESCE(?4, shared) WHERE id = ?1",
            params![
                undo.step.id,
                word(&undo.state)?,
                undo.rest.map(json).transpose()?,
                undo.shared.map(json).transpose()?
            ],
        )?;
        if let Some((removal, settled)) = undo.by {
            change.execute(
                "UPDATE steps SET state = 'verified', settled = COALESCE(?2, settled), error = NULL, ended = ?3
                 WHERE id = ?1",
                params![removal, settled.map(json).transpose()?, undo.now],
            )?;
        }
        let reason = format!("{} was taken back", undo.step.resource);
        for debt in undo.notify {
            insert_debt(&change, undo.tx, &undo.step.module, debt, &reason, undo.now)?;
        }
        change.commit()?;
        Ok(())
    }

    /// Gives a step's undo record to other modules, too.
    pub fn hand_over(&self, step: i64, undo: &Value, shared: &[String]) -> Result<()> {
        self.to_write("hand over")?.execute(
            "UPDATE steps SET undo = ?2, shared = ?3 WHERE id = ?1",
            params![step, json(undo)?, json(&shared)?],
        )?;
        Ok(())
    }

    /// Adds an act owed.
    pub fn owe(&self, tx: TransactionId, module: &str, debt: &Value, reason: &str, now: i64) -> Result<()> {
        insert_debt(&*self.to_write("debt")?, tx, module, debt, reason, now)
    }

    /// Marks an act as paid.
    pub fn pay(&self, debt: i64, now: i64) -> Result<()> {
        self.to_write("payment")?.execute("UPDATE debts SET paid = ?2 WHERE id = ?1", params![debt, now])?;
        Ok(())
    }

    /// The acts owed, oldest first.
    pub fn owed(&self) -> Result<Vec<DebtRow>> {
        let connection = self.connection();
        let mut query = connection
            .prepare("SELECT id, tx, module, debt, reason, made, paid FROM debts WHERE paid IS NULL ORDER BY id")?;
        let rows = query.query_map([], |row| {
            Ok(DebtRow {
                id: row.get(0)?,
                tx: TransactionId(row.get(1)?),
                module: row.get(2)?,
                debt: parse(row, 3)?,
                reason: row.get(4)?,
                made: row.get(5)?,
                paid: row.get(6)?,
            })
        })?;
        Ok(rows.collect::<std::result::Result<_, _>>()?)
    }

    /// All transactions, newest first.
    pub fn transactions(&self) -> Result<Vec<TransactionRow>> {
        let connection = self.connection();
        let mut query = connection.prepare(&format!("{TRANSACTION} ORDER BY id DESC"))?;
        let rows = query.query_map([], transaction_row)?;
        Ok(rows.collect::<std::result::Result<_, _>>()?)
    }

    /// The transactions that are under way, or were cut off; newest first.
    pub fn running(&self) -> Result<Vec<TransactionRow>> {
        let connection = self.connection();
        let mut query = connection.prepare(&format!("{TRANSACTION} WHERE state = 'running' ORDER BY id DESC"))?;
        let rows = query.query_map([], transaction_row)?;
        Ok(rows.collect::<std::result::Result<_, _>>()?)
    }

    /// One transaction.
    pub fn transaction(&self, id: TransactionId) -> Result<Option<TransactionRow>> {
        let connection = self.connection();
        let mut query = connection.prepare(&format!("{TRANSACTION} WHERE id = ?1"))?;
        let mut rows = query.query_map([id.0], transaction_row)?;
        Ok(rows.next().transpose()?)
    }

    /// The steps of a transaction, in the order in which they were made.
    pub fn steps(&self, id: TransactionId) -> Result<Vec<StepRow>> {
        let connection = self.connection();
        let mut query = connection.prepare(&format!("{STEP} WHERE tx = ?1 ORDER BY id"))?;
        let rows = query.query_map([id.0], step_row)?;
        Ok(rows.collect::<std::result::Result<_, _>>()?)
    }

    /// One step, by its number.
    pub fn step(&self, step: i64) -> Result<Option<StepRow>> {
        let connection = self.connection();
        let mut query = connection.prepare(&format!("{STEP} WHERE id = ?1"))?;
        let mut rows = query.query_map([step], step_row)?;
        Ok(rows.next().transpose()?)
    }

    /// All steps that stand on the host, newest first: what a rollback of everything would take back.
    pub fn standing(&self) -> Result<Vec<StepRow>> {
        let connection = self.connection();
        let mut query = connection
            .prepare(&format!("{STEP} WHERE state IN ('intent', 'verified', 'undo-failed') ORDER BY id DESC"))?;
        let rows = query.query_map([], step_row)?;
        Ok(rows.collect::<std::result::Result<_, _>>()?)
    }

    /// The transaction of the newest step that could not be taken back whole.
    pub fn undo_failed(&self) -> Result<Option<TransactionId>> {
        let connection = self.connection();
        let mut query =
            connection.prepare("SELECT tx FROM steps WHERE state = 'undo-failed' ORDER BY id DESC LIMIT 1")?;
        let mut rows = query.query_map([], |row| Ok(TransactionId(row.get(0)?)))?;
        Ok(rows.next().transpose()?)
    }

    /// How long steps took that made something, the newest of them.
    pub fn spans(&self) -> Result<Vec<SpanRow>> {
        let connection = self.connection();
        let mut query = connection.prepare(
            "SELECT tx, resource, started, ended FROM steps
             WHERE state IN ('verified', 'undone') AND ended > started AND removes IS NULL ORDER BY id DESC LIMIT 2000",
        )?;
        let rows = query.query_map([], |row| {
            let id: String = row.get(1)?;
            Ok(SpanRow {
                tx: TransactionId(row.get(0)?),
                resource: ResourceId::parse(&id).ok_or_else(|| bad(1, format!("resource id {id:?}")))?,
                started: row.get(2)?,
                ended: row.get(3)?,
            })
        })?;
        Ok(rows.collect::<std::result::Result<_, _>>()?)
    }

    /// The newest steps that made `resource`, 5 at most.
    pub fn made(&self, resource: &ResourceId) -> Result<Vec<StepRow>> {
        let connection = self.connection();
        let mut query = connection.prepare(&format!(
            "{STEP} WHERE resource = ?1 AND state IN ('verified', 'undone') AND removes IS NULL ORDER BY id DESC LIMIT 5"
        ))?;
        let rows = query.query_map([resource.as_str()], step_row)?;
        Ok(rows.collect::<std::result::Result<_, _>>()?)
    }

    /// What the last try to take a step back left; `None` when nobody tried.
    pub fn last_undo(&self, step: i64) -> Result<Option<Vec<String>>> {
        let connection = self.connection();
        let mut query = connection.prepare("SELECT lines FROM undos WHERE step = ?1 ORDER BY id DESC LIMIT 1")?;
        let mut rows = query.query_map([step], |row| parse(row, 0))?;
        Ok(rows.next().transpose()?)
    }

    /// The steps that stand and make something, newest first, without what they hold.
    pub fn outline(&self) -> Result<Vec<StepOutline>> {
        let connection = self.connection();
        let mut query = connection.prepare(
            "SELECT id, tx, resource, module, shared != '[]' FROM steps
             WHERE state IN ('intent', 'verified', 'undo-failed') AND removes IS NULL ORDER BY id DESC",
        )?;
        let rows = query.query_map([], |row| {
            let id: String = row.get(2)?;
            Ok(StepOutline {
                id: row.get(0)?,
                tx: TransactionId(row.get(1)?),
                resource: ResourceId::parse(&id).ok_or_else(|| bad(2, format!("resource id {id:?}")))?,
                module: row.get(3)?,
                is_shared: row.get(4)?,
            })
        })?;
        Ok(rows.collect::<std::result::Result<_, _>>()?)
    }

    /// The undo record of a step, without all else that it holds.
    pub fn undo_of(&self, step: i64) -> Result<Option<Value>> {
        let connection = self.connection();
        let mut query = connection.prepare("SELECT undo FROM steps WHERE id = ?1 AND undo IS NOT NULL")?;
        let mut rows = query.query_map([step], |row| parse(row, 0))?;
        Ok(rows.next().transpose()?)
    }

    /// The step of `tx` that takes the step `removes` back for `module`, when it was begun and is not marked as made.
    pub fn cut_off_removal(&self, tx: TransactionId, removes: i64, module: &str) -> Result<Option<StepRow>> {
        let connection = self.connection();
        let mut query = connection.prepare(&format!(
            "{STEP} WHERE tx = ?1 AND removes = ?2 AND module = ?3 AND state = 'intent' ORDER BY id DESC LIMIT 1"
        ))?;
        let mut rows = query.query_map(params![tx.0, removes, module], step_row)?;
        Ok(rows.next().transpose()?)
    }

    /// What each transaction was asked for, oldest first.
    pub fn requests(&self) -> Result<Vec<RequestRow>> {
        let connection = self.connection();
        let mut query = connection.prepare("SELECT id, kind, request, started FROM transactions ORDER BY id")?;
        let rows = query.query_map([], |row| {
            Ok(RequestRow {
                id: TransactionId(row.get(0)?),
                kind: parse_word(row, 1)?,
                request: parse(row, 2)?,
                started: row.get(3)?,
            })
        })?;
        Ok(rows.collect::<std::result::Result<_, _>>()?)
    }

    /// The lines that taking back each step of a transaction left: `(step, outcome, lines)`.
    pub fn undos(&self, tx: TransactionId) -> Result<Vec<(i64, String, Vec<String>)>> {
        let connection = self.connection();
        let mut query = connection.prepare("SELECT step, outcome, lines FROM undos WHERE tx = ?1 ORDER BY id")?;
        let rows = query.query_map([tx.0], |row| Ok((row.get(0)?, row.get(1)?, parse(row, 2)?)))?;
        Ok(rows.collect::<std::result::Result<_, _>>()?)
    }
}

/// How taking back one step ended.
#[derive(Debug)]
pub struct UndoEntry<'a> {
    /// The step.
    pub step: &'a StepRow,
    /// The rollback's transaction.
    pub tx: TransactionId,
    /// The step's new state.
    pub state: StepState,
    /// `undone`, `already-gone`, `kept`, `partly`, `failed`.
    pub outcome: &'a str,
    /// What to tell.
    pub lines: &'a [String],
    /// The undo record of the rest, when only a part is back.
    pub rest: Option<&'a Value>,
    /// The step of an install that took it back, which is made with this, and what its own settling found.
    pub by: Option<(i64, Option<&'a Value>)>,
    /// The modules that still share the step.
    pub shared: Option<&'a [String]>,
    /// What is owed now that it is taken back.
    pub notify: &'a [Value],
    /// When.
    pub now: i64,
}

const TRANSACTION: &str =
    "SELECT id, kind, state, undoes, request, plan, actor, version, started, ended, error FROM transactions";
const STEP: &str = "SELECT id, tx, resource, module, shared, action, summary, before, after, notify, undo, settled,
    state, started, ended, error, recipe, removes FROM steps";

/// What the change of a step will owe.
fn insert_debts(connection: &Connection, intent: &Intent) -> Result<()> {
    let reason = format!("{} changed", intent.resource);
    for debt in &intent.notify {
        insert_debt(connection, intent.tx, &intent.module, debt, &reason, intent.now)?;
    }
    Ok(())
}

fn insert_debt(
    connection: &Connection,
    tx: TransactionId,
    module: &str,
    debt: &Value,
    reason: &str,
    now: i64,
) -> Result<()> {
    connection.execute(
        "INSERT INTO debts (tx, module, debt, reason, made) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![tx.0, module, json(debt)?, reason, now],
    )?;
    Ok(())
}

fn transaction_row(row: &Row<'_>) -> rusqlite::Result<TransactionRow> {
    Ok(TransactionRow {
        id: TransactionId(row.get(0)?),
        kind: parse_word(row, 1)?,
        state: parse_word(row, 2)?,
        undoes: parse(row, 3)?,
        request: parse(row, 4)?,
        plan: parse(row, 5)?,
        actor: parse(row, 6)?,
        version: row.get(7)?,
        started: row.get(8)?,
        ended: row.get(9)?,
        error: row.get(10)?,
    })
}

fn step_row(row: &Row<'_>) -> rusqlite::Result<StepRow> {
    let id: String = row.get(2)?;
    let optional = |index: usize| -> rusqlite::Result<Option<Value>> {
        Ok(match row.get_ref(index)? {
            rusqlite::types::ValueRef::Null => None,
            _ => Some(parse(row, index)?),
        })
    };
    Ok(StepRow {
        id: row.get(0)?,
        tx: TransactionId(row.get(1)?),
        resource: ResourceId::parse(&id).ok_or_else(|| bad(2, format!("resource id {id:?}")))?,
        module: row.get(3)?,
        shared: parse(row, 4)?,
        action: row.get(5)?,
        summary: row.get(6)?,
        before: parse(row, 7)?,
        after: parse(row, 8)?,
        notify: parse(row, 9)?,
        undo: optional(10)?,
        settled: optional(11)?,
        state: parse_word(row, 12)?,
        started: row.get(13)?,
        ended: row.get(14)?,
        error: row.get(15)?,
        recipe: optional(16)?,
        removes: row.get(17)?,
    })
}

pub(super) fn bad(index: usize, what: String) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(index, rusqlite::types::Type::Text, what.into())
}

pub(super) fn parse<T: DeserializeOwned>(row: &Row<'_>, index: usize) -> rusqlite::Result<T> {
    let text: String = row.get(index)?;
    serde_json::from_str(&text).map_err(|e| bad(index, e.to_string()))
}

pub(super) fn parse_word<T: DeserializeOwned>(row: &Row<'_>, index: usize) -> rusqlite::Result<T> {
    let text: String = row.get(index)?;
    serde_json::from_value(Value::String(text)).map_err(|e| bad(index, e.to_string()))
}

pub(super) fn json<T: Serialize + ?Sized>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|e| Error::Corrupt(e.to_string()))
}

pub(super) fn word<T: Serialize>(value: &T) -> Result<String> {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => Ok(word),
        other => Err(Error::Corrupt(format!("{other:?} in place of a word"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn begin(kind: TransactionKind) -> Begin {
        Begin { kind, undoes: vec![], request: json!({}), plan: json!({}), actor: json!({}), now: 1 }
    }

    #[test]
    fn a_step_is_written_with_its_undo_record_and_debts_before_it_changes_anything() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path()).unwrap();
        let tx = journal.begin(&begin(TransactionKind::Install)).unwrap();
        let step = journal
            .intend(&Intent {
                tx,
                resource: ResourceId::new("file", "/etc/a"),
                module: "git".into(),
                shared: vec![],
                action: "create".into(),
                summary: "write".into(),
                before: json!(null),
                after: json!(1),
                notify: vec![json!({"kind": "reload", "unit": "a.service"})],
                undo: Some(json!({"kind": "paths", "version": 1, "data": {}})),
                recipe: None,
                removes: None,
                now: 2,
            })
            .unwrap();
        drop(journal);
        let journal = Journal::open_to_read(dir.path()).unwrap().unwrap();
        let standing = journal.standing().unwrap();
        assert_eq!(standing.len(), 1);
        assert_eq!((standing[0].id, standing[0].state), (step, StepState::Intent));
        assert_eq!(journal.owed().unwrap()[0].reason, "file:/etc/a changed");
        assert_eq!(journal.transactions().unwrap()[0].state, TransactionState::Running);
    }

    #[test]
    fn on_a_full_disk_there_is_room_for_the_way_back() {
        let dir = tempfile::tempdir().unwrap();
        let flags = nix::mount::MsFlags::empty();
        if let Err(e) = nix::mount::mount(Some("tmpfs"), dir.path(), Some("tmpfs"), flags, Some("size=160m")) {
            eprintln!("skipped: a full disk needs root, to mount a small tmpfs ({e})");
            return;
        }
        let begin = |kind, text: &str| Begin {
            kind,
            undoes: vec![],
            request: Value::Null,
            plan: Value::String(text.repeat(4096)),
            actor: Value::Null,
            now: 1,
        };
        let journal = Journal::open(&dir.path().join("state")).unwrap();
        journal.begin(&begin(TransactionKind::Install, "")).unwrap();
        let mut filler = std::fs::File::create(dir.path().join("log")).unwrap();
        while std::io::Write::write(&mut filler, &[b'x'; 4096]).is_ok_and(|count| count > 0) {}
        let long = "many words, more than the log has room for";
        let install = journal.begin(&begin(TransactionKind::Install, long));
        let rollback = journal.begin(&begin(TransactionKind::Rollback, long));
        drop((journal, filler));
        // A program that another test starts may hold a file of it until it has begun.
        nix::mount::umount2(dir.path(), nix::mount::MntFlags::MNT_DETACH).unwrap();
        assert!(install.unwrap_err().is_full());
        rollback.unwrap();
    }

    #[test]
    fn opening_the_journal_leaves_alone_what_another_run_is_writing() {
        let dir = tempfile::tempdir().unwrap();
        let unfinished = dir.path().join("objects/unfinished");
        std::fs::create_dir_all(&unfinished).unwrap();
        std::fs::write(unfinished.join("half"), "ha").unwrap();
        drop(Journal::open(dir.path()).unwrap());
        assert!(unfinished.join("half").exists());
        Journal::sweep(dir.path()).unwrap();
        assert!(!unfinished.join("half").exists());
    }

    #[test]
    fn a_database_of_a_newer_form_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        drop(Journal::open(dir.path()).unwrap());
        let raw = Connection::open(dir.path().join("journal.db")).unwrap();
        raw.pragma_update(None, "user_version", 99).unwrap();
        drop(raw);
        assert!(matches!(Journal::open(dir.path()), Err(Error::TooNew { found: 99, .. })));
    }
}
