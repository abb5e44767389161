//! Who sees each durable write of the journal and of its store coming: the crash suite, which refuses one as a full disk
//! would, or keeps what is on the disk at that moment. On a host nobody does.

use super::Result;
use std::fmt::Debug;
use std::path::Path;

/// A durable write that is about to be made.
#[derive(Debug, Clone, Copy)]
pub enum Write<'a> {
    /// The database is made, or brought to the newest form.
    Open,
    /// A commit: SQLite makes it whole or not at all.
    Commit(&'static str),
    /// A file of the store: first written under a name of its own, then renamed.
    Object {
        /// The name until it is whole.
        beside: &'a Path,
        /// What goes into it.
        content: &'a [u8],
    },
}

/// Sees writes coming.
pub trait Watch: Send + Sync + Debug {
    /// `write` is about to be made.
    ///
    /// # Errors
    /// An error is handed on in place of the write, which is then not made.
    fn before(&self, write: Write<'_>) -> Result<()>;
}
