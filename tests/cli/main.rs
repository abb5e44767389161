//! The program on a tree that stands for a host: what it prints, how it ends, and that it refuses what it must.

#[path = "../support/mod.rs"]
mod support;

mod refusals;
mod words;
