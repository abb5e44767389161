//! Watching: what changed on the host that no resource of the profile looks after.

pub mod drift;
