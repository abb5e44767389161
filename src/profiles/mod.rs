//! Configuration: layers of files, raw → merged → checked, with the origin of every value.
//!
//! Later wins: defaults < profile (and what it extends, outermost first) < `config.yaml` < `conf.d/*.yaml` in the order
//! of their names < `--set`. [`Inputs`] are the raw layers; [`check`] merges and checks them into a [`Configuration`].

pub mod answers;
pub mod change;
pub mod configuration;
pub mod create;
pub mod input;
mod merge;
pub mod profile;
pub mod questions;
pub mod schema;
mod setting;
pub mod settings;
pub mod show;
#[cfg(test)]
mod tests;

pub use answers::Answers;
pub use change::{set, unset};
pub use configuration::{Configuration, EnabledModule, Origin, Valued};
pub use create::{NewProfile, create};
pub use input::Inputs;
pub use merge::{check, validate};
pub use profile::{Estimate, Profile, Profiles};
pub use questions::{Question, questions};
pub use schema::schema;
pub use settings::{Recovery, Settings};
pub use show::Shown;
