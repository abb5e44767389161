//! One file for each kind of thing that can be put right and undone, and the table of what each may be given.

pub mod access;
pub mod account_file;
pub mod apt_source;
pub mod assembly;
pub mod authorized_key;
pub mod block;
pub mod command;
pub mod directory;
pub mod download;
pub mod fields;
pub mod file;
pub mod firewall;
pub mod generated;
pub mod group;
pub mod home;
pub mod hostname;
pub mod insert;
pub mod kernel_module;
pub mod live;
pub mod locale;
pub mod member;
pub mod openpgp;
pub mod owner;
pub mod package;
pub mod part;
pub mod preimage;
pub mod recipe;
pub mod registry;
pub mod schema;
pub mod seen;
pub mod spec;
pub mod swap;
pub mod symlink;
pub mod sysctl;
pub mod timezone;
pub mod unit;
pub mod user;
pub mod user_undo;
pub mod whole;
pub mod written;

#[cfg(test)]
mod bench;
#[cfg(test)]
mod system_tests;

pub use registry::{Units, undoers};
pub use spec::Spec;
