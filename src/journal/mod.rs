//! The append-only, write-ahead record of transactions, and the store of pre-images.

pub mod error;
pub mod objects;

pub use error::{Error, Result};
pub use objects::Objects;
