//! How results look: tables, times, plans, reports, progress. Everything fits 80 columns and reads without colour.

pub mod confirmation;
pub mod course;
pub mod drift;
pub mod events;
pub mod graph;
pub mod live;
pub mod page;
pub mod plan;
pub mod progress;
pub mod report;
pub mod table;
pub mod time;
pub mod wrap;
