//! Words that all layers share: ids, paths, digests, text differences, merges and patterns, counts and sizes, YAML with
//! positions.
//!
//! Pure: nothing in here touches the machine.

pub mod count;
pub mod diff;
pub mod digest;
pub mod glob;
pub mod ids;
pub mod merge;
pub mod paths;
pub mod pattern;
pub mod size;
pub mod version;
pub mod yaml;
