//! The append-only, write-ahead record of transactions, and the store of pre-images.
//!
//! Rows are added and marked, never deleted: a rollback is a new transaction that names the ones it takes back. A step
//! is committed with its undo record before it changes anything, so a crash between any two instructions leaves a
//! journal that tells what may have been done.

mod ballast;
mod baselines;
pub mod confirmation;
pub mod error;
pub mod objects;
pub mod record;
mod schema;
pub mod store;
pub mod watch;

pub use confirmation::{ConfirmationRow, ConfirmationState, Ending, Moment};
pub use error::{Error, Result};
pub use objects::Objects;
pub use record::{BaselineReason, BaselineRow};
pub use record::{
    DebtRow, RequestRow, SpanRow, StepOutline, StepRow, StepState, TransactionKind, TransactionRow, TransactionState,
};
pub use store::{Begin, Intent, Journal, UndoEntry};
pub use watch::{Watch, Write};
