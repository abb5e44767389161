//! How results look: tables, times, plans, reports, progress. Everything fits 80 columns and reads without colour.

pub mod confirmation;
pub mod drift;
pub mod graph;
pub mod plan;
pub mod progress;
pub mod report;
pub mod table;
pub mod time;
pub mod wrap;
