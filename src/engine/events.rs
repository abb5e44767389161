//! The engine's story for the system journal: one `MESSAGE_ID` for each kind of event, and the fields
//! `TRANSACTION_ID`, `MODULE` and `RESOURCE`, so that `journalctl TRANSACTION_ID=17` tells it all.

use crate::base::ids::{ResourceId, TransactionId};

/// A transaction began.
pub const BEGUN: &str = "5f2d4d5d7d8a4f0f9a0c6b1f3f6d2a01";
/// A transaction ended.
pub const ENDED: &str = "5f2d4d5d7d8a4f0f9a0c6b1f3f6d2a02";
/// A step was applied and verified.
pub const APPLIED: &str = "5f2d4d5d7d8a4f0f9a0c6b1f3f6d2a03";
/// A step failed.
pub const FAILED: &str = "5f2d4d5d7d8a4f0f9a0c6b1f3f6d2a04";
/// A step was taken back.
pub const UNDONE: &str = "5f2d4d5d7d8a4f0f9a0c6b1f3f6d2a05";
/// Taking a step back failed.
pub const UNDO_FAILED: &str = "5f2d4d5d7d8a4f0f9a0c6b1f3f6d2a06";
/// A debt was paid.
pub const PAID: &str = "5f2d4d5d7d8a4f0f9a0c6b1f3f6d2a07";
/// A transaction that a crash cut off was found.
pub const RECOVERED: &str = "5f2d4d5d7d8a4f0f9a0c6b1f3f6d2a08";

/// A step that was cut off goes on.
pub const EXTENDED: &str = "5f2d4d5d7d8a4f0f9a0c6b1f3f6d2a09";
/// A transaction waits for its confirmation.
pub const WAITING: &str = "5f2d4d5d7d8a4f0f9a0c6b1f3f6d2a0a";
/// A transaction was confirmed.
pub const CONFIRMED: &str = "5f2d4d5d7d8a4f0f9a0c6b1f3f6d2a0b";
/// A transaction that was not confirmed is taken back, or was.
pub const REVERTED: &str = "5f2d4d5d7d8a4f0f9a0c6b1f3f6d2a0c";

pub(super) fn begun(tx: TransactionId, what: &str) {
    tracing::info!(MESSAGE_ID = BEGUN, TRANSACTION_ID = tx.0, "transaction {tx} begins: {what}");
}

pub(super) fn ended(tx: TransactionId, state: &str) {
    tracing::info!(MESSAGE_ID = ENDED, TRANSACTION_ID = tx.0, "transaction {tx} ended: {state}");
}

pub(super) fn applied(tx: TransactionId, module: &str, id: &ResourceId, summary: &str) {
    tracing::info!(
        MESSAGE_ID = APPLIED,
        TRANSACTION_ID = tx.0,
        MODULE = module,
        RESOURCE = id.as_str(),
        "{id}: {summary}"
    );
}

pub(super) fn extended(tx: TransactionId, module: &str, id: &ResourceId) {
    tracing::info!(
        MESSAGE_ID = EXTENDED,
        TRANSACTION_ID = tx.0,
        MODULE = module,
        RESOURCE = id.as_str(),
        "{id} goes on where it was cut off"
    );
}

pub(super) fn failed(tx: TransactionId, module: &str, id: &ResourceId, error: &str) {
    tracing::error!(
        MESSAGE_ID = FAILED,
        TRANSACTION_ID = tx.0,
        MODULE = module,
        RESOURCE = id.as_str(),
        "{id} failed: {error}"
    );
}

pub(super) fn undone(tx: TransactionId, module: &str, id: &ResourceId, outcome: &str) {
    tracing::info!(
        MESSAGE_ID = UNDONE,
        TRANSACTION_ID = tx.0,
        MODULE = module,
        RESOURCE = id.as_str(),
        "{id} taken back: {outcome}"
    );
}

pub(super) fn undo_failed(tx: TransactionId, module: &str, id: &ResourceId, error: &str) {
    tracing::error!(
        MESSAGE_ID = UNDO_FAILED,
        TRANSACTION_ID = tx.0,
        MODULE = module,
        RESOURCE = id.as_str(),
        "{id} could not be taken back: {error}"
    );
}

pub(super) fn paid(tx: TransactionId, debt: &str, reason: &str) {
    tracing::info!(MESSAGE_ID = PAID, TRANSACTION_ID = tx.0, "{debt}, because {reason}");
}

pub(super) fn recovered(tx: TransactionId, what: &str) {
    tracing::warn!(MESSAGE_ID = RECOVERED, TRANSACTION_ID = tx.0, "transaction {tx} was cut off: {what}");
}

pub(super) fn waiting(tx: TransactionId, seconds: i64) {
    tracing::warn!(
        MESSAGE_ID = WAITING,
        TRANSACTION_ID = tx.0,
        "transaction {tx} is taken back in {seconds} s unless vps-configurator confirm comes from a new login"
    );
}

pub(super) fn confirmed(tx: TransactionId) {
    tracing::info!(MESSAGE_ID = CONFIRMED, TRANSACTION_ID = tx.0, "transaction {tx} was confirmed");
}

pub(super) fn reverting(tx: TransactionId, why: &str) {
    tracing::warn!(MESSAGE_ID = REVERTED, TRANSACTION_ID = tx.0, "transaction {tx} is taken back: {why}");
}

pub(super) fn reverted(tx: TransactionId, complete: bool) {
    match complete {
        true => tracing::warn!(MESSAGE_ID = REVERTED, TRANSACTION_ID = tx.0, "transaction {tx} is taken back"),
        false => tracing::error!(
            MESSAGE_ID = REVERTED,
            TRANSACTION_ID = tx.0,
            "transaction {tx} was not confirmed, and not all of it could be taken back"
        ),
    }
}
