//! Errors and deaths at every effect of a composed plan, in an install, in a rollback, and in the recovery from these;
//! and the built program killed at random moments. Each time the host is finished or as it was before.

#[path = "../support/mod.rs"]
mod support;

mod bench;
mod effects;
mod killed;
