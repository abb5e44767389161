//! The kinds of things that can be put right and undone, one file each.

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
