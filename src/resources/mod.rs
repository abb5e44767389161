//! The kinds of things that can be put right and undone, one file each.

pub mod apt_source;
pub mod block;
pub mod container;
pub mod directory;
pub mod file;
pub mod hostname;
pub mod kernel_module;
pub mod live;
pub mod openpgp;
pub mod owner;
pub mod package;
pub mod part;
pub mod preimage;
pub mod seen;
pub mod spec;
pub mod symlink;
pub mod sysctl;
pub mod timezone;

#[cfg(test)]
mod bench;
