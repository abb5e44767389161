//! The one package transaction of a profile: every package of every module, and the security updates, in one
//! `apt-get install`. It can be planned to the byte, survives being killed, and can be taken back exactly.
//!
//! | file | what |
//! |---|---|
//! | `set` | [`PackageSet`], the resource |
//! | `record`, `undo` | its undo record: versions, marks, what maintainer scripts left; and going back by it |
//! | `resumed`, `renewal` | one record of a step that was cut off and of its going on; what a loss of power took from it |
//! | `database` | what dpkg knows, read without a program |
//! | `archive` | what the archives offer: apt's lists or our own |
//! | `cache` | what apt's cache of packages holds, whether it is what the archives vouch for, how much of it stays |
//! | `excerpt` | the part of the lists that a request can touch: what apt is given to read |
//! | `weight` | what packages cost, and which old versions can still be had |
//! | `solution`, `listing`, `simulation`, `memory` | what apt would do, exactly, asked once |
//! | `fetch` | what is needed, into that cache, before anything is changed |
//! | `apt`, `health` | running it, and adopting what still runs; bringing dpkg in order |
//! | `aborted` | packages whose first unpacking was cut off |
//! | `unsynced`, `damage` | unpacking without syncing each file, and what a crash spoils then |
//! | `holder`, `locks`, `guard` | courtesy to others: who works here, waiting for it; services held back |
//! | `tree`, `side_effects`, `begun` | pictures of `/etc` and its like, and going back to one, in as many tries as it takes |
//! | `purge`, `treasure`, `traces` | what must be done around a removal; people's data; what programs leave in the kernel |
//! | `failure` | reading what went wrong |

mod aborted;
mod apt;
mod archive;
mod begun;
pub mod cache;
mod damage;
mod database;
mod excerpt;
mod failure;
mod fetch;
mod guard;
mod health;
mod holder;
#[cfg(test)]
mod life;
mod listing;
mod locks;
mod memory;
mod purge;
mod record;
mod removal;
mod renewal;
mod resumed;
#[cfg(test)]
mod resumed_tests;
mod set;
mod side_effects;
mod simulation;
mod solution;
mod traces;
mod treasure;
mod tree;
mod undo;
mod unsynced;
mod weight;

pub use apt::adopt;
pub use archive::{PlannedSource, Reach};
pub use begun::sweep;
pub use database::Database;
pub use failure::{host_of, of_download};
pub use guard::{held_units, release_guard};
pub use health::{Ailments, Healing, heal};
pub use holder::Holder;
pub use locks::{LOCK_WAIT, wait_for_locks};
pub use record::{KIND, brought, decode};
pub use set::{Claim, Figures, PackageSet};
