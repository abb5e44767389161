//! Modules: data that says what a host should have. Reads manifests (`docs/reference/manifest.md`), checks them, puts
//! them in order, and expands them with options and facts into [`Spec`](crate::resources::Spec)s.
//!
//! Pure but for what goes through the host: [`ModuleSource::load`] looks through a module's folder, and
//! [`Manifest::content`](manifest::Manifest::content) reads a file of it.

pub mod catalogue;
pub mod declaration;
pub mod edges;
pub mod expand;
pub mod facts;
pub mod manifest;
pub mod names;
pub mod option;
pub mod plugin;
pub mod probe;
pub mod probing;
pub mod source;
pub mod template;
#[cfg(test)]
mod tests;

pub use catalogue::Catalogue;
pub use expand::{Expansion, NextStep, expand};
pub use facts::Facts;
pub use manifest::Manifest;
pub use option::{OptionSchema, OptionType, Options};
pub use probe::{Probe, ProbeTest};
pub use source::ModuleSource;
