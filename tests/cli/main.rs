//! The program on a tree that stands for a host: what it prints, how it ends, and that it refuses what it must.

#[path = "../support/mod.rs"]
mod support;

mod answers;
mod beginner;
mod dropped;
mod edited;
mod heirs;
mod hooks;
mod json;
mod plugin;
mod refusals;
mod streams;
mod verify;
mod watched;
mod wizard;
mod words;

use std::path::PathBuf;

/// The folder of a suite's snapshots.
fn snapshots() -> PathBuf {
    support::top().join("tests/cli/snapshots")
}
