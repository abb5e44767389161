//! Errors and deaths at every effect: of each kind of resource and of composed plans; in an install, in the rollback of a
//! failed module, in a rollback, in the recovery from all these. And the built program killed at random moments. Each
//! time the host is finished or as it was before, and the journal says so.

#[path = "../support/mod.rs"]
mod support;

mod cases;
mod composed;
mod ground;
mod killed;
mod kinds;
mod likeness;
mod points;
