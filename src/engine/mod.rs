//! The engine: orders resources, plans, applies, verifies, rolls back, recovers. It knows the contract of a resource
//! and no kind of it.
//!
//! The life of one step: `observe` (read only) → `compare` (pure) → `capture` (what undo needs, committed to the
//! journal before anything changes) → `apply` → `observe` and `compare` again: nothing may be left.

pub mod apply;
pub mod breaker;
mod completion;
pub mod confirm;
pub mod debts;
pub mod dropped;
pub mod error;
pub mod events;
pub mod graph;
pub mod heirs;
mod intent;
pub mod plan;
pub mod progress;
pub mod recipe;
pub mod recover;
mod removal;
pub mod resource;
pub mod rollback;
pub mod room;
#[cfg(test)]
mod sample;
#[cfg(test)]
mod tests;
pub mod undo;
pub mod works;

pub use error::{Error, Result};
pub use progress::{Event, Progress, Silent};
pub use recipe::Recipe;
pub use resource::{Action, Change, Context, Debt, DebtKind, Health, Node, Resource, State};
pub use undo::{Decode, Outcome, Scope, Undo, UndoRecord, Undoers};
pub use works::{MOST_WORKERS, Patience, Policy, Services, Works};
