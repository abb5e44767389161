//! Drift of what no module declares: places whose state after the last run is kept as the *baseline*. What differs from
//! it later is a finding, until an administrator accepts it.
//!
//! | file | what |
//! |---|---|
//! | `territory` | what is looked after: data, `config/territories.yaml` |
//! | `inventory` | what is there now, territory by territory |
//! | `accounts`, `edits`, `files`, `settings`, `kernel_rules`, `programs` | how each kind is looked at |
//! | `baseline` | what is known, and how a run of ours changes that |
//! | `finding` | the differences, in words |
//! | `keeper` | keeping the baseline in the journal, around each run |

mod accounts;
mod baseline;
mod edits;
mod files;
mod finding;
mod inventory;
mod keeper;
mod kernel_rules;
mod programs;
mod settings;
mod territory;

pub use baseline::{Acceptance, Known};
pub use finding::{Finding, What};
pub use inventory::{Inventory, Item, Items, Reach};
pub use keeper::{Comparison, Keeper, Word};
pub use territory::{EDITS, Kind, Territory, load};
