//! Words that all layers share: ids, paths, digests, text differences, YAML with positions.
//!
//! Pure: nothing in here touches the machine.

pub mod diff;
pub mod digest;
pub mod ids;
pub mod paths;
pub mod version;
pub mod yaml;
