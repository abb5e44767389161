//! What can go wrong with the journal.

/// The result of journal functions.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database refused.
    #[error("the journal: {0}")]
    Database(rusqlite::Error),
    /// A file of the store refused.
    #[error("the object store: {0}")]
    Io(#[from] std::io::Error),
    /// An object is not there, or is not what its name says.
    #[error("object {0} is damaged or missing")]
    Damaged(String),
    /// What is written does not parse.
    #[error("the journal holds {0}")]
    Corrupt(String),
    /// Written by a newer version of the program.
    #[error("the journal has form {found}; this version knows up to {known}")]
    TooNew {
        /// What was found.
        found: i64,
        /// What is known.
        known: i64,
    },
}

impl Error {
    /// Whether there was no room on the disk.
    pub fn is_full(&self) -> bool {
        match self {
            Error::Database(error) => error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull),
            Error::Io(error) => error.kind() == std::io::ErrorKind::StorageFull,
            _ => false,
        }
    }
}

impl From<rusqlite::Error> for Error {
    /// A file that is no database, or no whole one, is damage; anything else is the database's refusal.
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::NotADatabase | rusqlite::ErrorCode::DatabaseCorrupt) => {
                Error::Corrupt(format!("no database that can be read: {error}"))
            }
            _ => Error::Database(error),
        }
    }
}
