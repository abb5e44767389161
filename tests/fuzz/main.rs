//! What others wrote, or a broken disk, and what our readers make of it: nothing panics, every complaint has a place.
//! Cases come from a seed that is printed when one fails; the same seed gives the same cases.

mod draw;
mod host_files;
mod packages;
mod records;
mod versions;
mod yaml;
