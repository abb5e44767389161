//! One file for each kind of thing that can be put right and undone, and the table of what each may be given.

pub mod schema;
pub mod spec;

pub use spec::Spec;
