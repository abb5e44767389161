//! The rows of the journal.

use crate::base::digest::Digest;
use crate::base::ids::{ResourceId, TransactionId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a transaction does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TransactionKind {
    /// Makes the host match a profile.
    Install,
    /// Takes earlier transactions, or a module of them, back.
    Rollback,
}

/// Where a transaction stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TransactionState {
    /// Under way, or cut off by a crash: recovery tells which.
    Running,
    /// Ended well.
    Done,
    /// Ended well for some modules; the others were taken back.
    Partial,
    /// Failed, and everything it had done was taken back.
    Failed,
    /// Cut off; what it had done stands, and can be taken back or finished.
    Interrupted,
    /// All of it has been taken back by a later transaction.
    Undone,
    /// Taking it back did not work out; nothing more is applied until that is resolved.
    UndoIncomplete,
}

/// Where a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepState {
    /// Written down before the change; the change may be made, half-made or not made.
    Intent,
    /// Made, and verified.
    Verified,
    /// Another run, or a package, had done it already: nothing to undo.
    Kept,
    /// Taken back.
    Undone,
    /// Taking it back failed.
    UndoFailed,
}

impl StepState {
    /// Whether there may be something on the host to take back.
    pub fn stands(self) -> bool {
        matches!(self, StepState::Intent | StepState::Verified | StepState::UndoFailed)
    }
}

/// One transaction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TransactionRow {
    /// Its number.
    pub id: TransactionId,
    /// What it does.
    pub kind: TransactionKind,
    /// Where it stands.
    pub state: TransactionState,
    /// The transactions that it takes back (a rollback).
    pub undoes: Vec<TransactionId>,
    /// What was asked for: profile, modules, options of the command.
    pub request: Value,
    /// The plan as it was shown.
    pub plan: Value,
    /// Who did it.
    pub actor: Value,
    /// The version of the program.
    pub version: String,
    /// When it began, nanoseconds since the epoch.
    pub started: i64,
    /// When it ended.
    pub ended: Option<i64>,
    /// Why it failed.
    pub error: Option<String>,
}

/// One step of a transaction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepRow {
    /// Its number; steps are undone in falling order of it.
    pub id: i64,
    /// The transaction that it belongs to.
    pub tx: TransactionId,
    /// What it changed.
    pub resource: ResourceId,
    /// The module that asked for it.
    pub module: String,
    /// The modules that share it, when several do.
    pub shared: Vec<String>,
    /// `create`, `update`, `remove` or `keep`.
    pub action: String,
    /// The plan's line.
    pub summary: String,
    /// The state before.
    pub before: Value,
    /// The state after, as promised.
    pub after: Value,
    /// What is owed after it changed (the engine's debts, as JSON).
    pub notify: Value,
    /// The undo record; `None` when nothing was changed.
    pub undo: Option<Value>,
    /// What the undo record's `settle` returned.
    pub settled: Option<Value>,
    /// Where it stands.
    pub state: StepState,
    /// When it began.
    pub started: i64,
    /// When it ended.
    pub ended: Option<i64>,
    /// Why it failed.
    pub error: Option<String>,
    /// What makes it anew (the engine's recipe, as JSON); `None` in steps of older versions.
    pub recipe: Option<Value>,
    /// The step that this one takes back, because nothing asks for it any more.
    pub removes: Option<i64>,
}

/// A step in few words, as far as it is known without reading what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepOutline {
    /// Its number.
    pub id: i64,
    /// The transaction that it belongs to.
    pub tx: TransactionId,
    /// What it changed.
    pub resource: ResourceId,
    /// The module that asked for it.
    pub module: String,
    /// Whether several modules share it.
    pub is_shared: bool,
}

/// How long a step took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpanRow {
    /// The transaction that it belongs to.
    pub tx: TransactionId,
    /// What it changed.
    pub resource: ResourceId,
    /// When it began, nanoseconds since the epoch.
    pub started: i64,
    /// When it was made.
    pub ended: i64,
}

/// What a transaction was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestRow {
    /// Its number.
    pub id: TransactionId,
    /// What it does.
    pub kind: TransactionKind,
    /// What was asked for: profile, modules, options of the command.
    pub request: Value,
    /// When it began, nanoseconds since the epoch.
    pub started: i64,
}

/// One act owed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DebtRow {
    /// Its number.
    pub id: i64,
    /// The transaction that made it.
    pub tx: TransactionId,
    /// The module whose change made it.
    pub module: String,
    /// What is owed (the engine's debt, as JSON).
    pub debt: Value,
    /// Because of what: `/etc/fail2ban/jail.d/x.conf changed`.
    pub reason: String,
    /// When it was made.
    pub made: i64,
    /// When it was paid.
    pub paid: Option<i64>,
}

/// Why a baseline was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BaselineReason {
    /// What was there before a run; the run has not ended, or died, as long as nothing follows.
    Before,
    /// What is known after a run.
    After,
    /// An administrator accepted findings.
    Accepted,
    /// An administrator took such a word back.
    Withdrawn,
}

/// One baseline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BaselineRow {
    /// Its number.
    pub id: i64,
    /// Why it was kept.
    pub reason: BaselineReason,
    /// The transaction after which it was.
    pub tx: Option<TransactionId>,
    /// Who did it.
    pub actor: Value,
    /// When, nanoseconds since the epoch.
    pub at: i64,
    /// What is known: the digest of an object in the store.
    pub known: Digest,
}
