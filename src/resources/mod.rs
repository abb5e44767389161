//! The kinds of things that can be put right and undone, one file each.

pub mod block;
pub mod container;
pub mod directory;
pub mod file;
pub mod owner;
pub mod part;
pub mod preimage;
pub mod seen;
pub mod spec;
pub mod symlink;

#[cfg(test)]
mod bench;
