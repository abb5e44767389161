//! The kinds of things that can be put right and undone, one file each.

pub mod apt_source;
pub mod package;
