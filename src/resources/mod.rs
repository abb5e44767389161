//! One file for each kind of thing that can be put right and undone.

pub mod account_file;
pub mod command;
pub mod fields;
pub mod firewall;
pub mod firewall_live;
pub mod firewall_rule;
pub mod firewall_undo;
pub mod group;
pub mod home;
pub mod member;
pub mod unit;
pub mod unit_debt;
pub mod unit_survey;
pub mod unit_undo;
pub mod user;
pub mod user_undo;

pub mod authorized_key;
pub mod block;
pub mod container;
pub mod directory;
pub mod download;
pub mod file;
pub mod hostname;
pub mod kernel_module;
pub mod live;
pub mod locale;
pub mod owner;
pub mod part;
pub mod preimage;
pub mod seen;
pub mod spec;
pub mod swap;
pub mod symlink;
pub mod sysctl;
pub mod timezone;

#[cfg(test)]
mod bench;
