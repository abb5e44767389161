//! What can go wrong in the engine and in resources. Words for people are made in `cli::explain`.

use crate::base::ids::ResourceId;
use crate::{host, journal};

/// The result of engine and resource functions.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The machine refused.
    #[error(transparent)]
    Host(#[from] host::Error),
    /// The journal could not be read or written.
    #[error(transparent)]
    Journal(#[from] journal::Error),
    /// A resource's own reason, with a stable code that `docs/reference/errors.md` explains.
    #[error("{what}: {why}")]
    Refused {
        /// The stable code, words with hyphens: `package-unknown`, `ssh-config-rejected`.
        code: &'static str,
        /// What was to be done.
        what: String,
        /// Why it can't.
        why: String,
        /// How to mend it, one step a line.
        fix: Vec<String>,
        /// The module at fault, when it is not the step's own (in a shared package transaction).
        module: Option<String>,
    },
    /// Somebody on the network gives no answer. To ask again later may mend it.
    #[error("cannot fetch {what} from {}: {why}", hosts.join(", "))]
    Unreachable {
        /// What was to be fetched.
        what: String,
        /// The hosts, with their ports where an address names one; empty when they can't be told.
        hosts: Vec<String>,
        /// What they, or the way to them, said.
        why: String,
    },
    /// After the change the resource is still not as wanted.
    #[error("{id} is not as wanted after its change: {left}")]
    NotVerified {
        /// Which resource.
        id: ResourceId,
        /// What is left to do.
        left: String,
    },
    /// An undo record of a kind or version that this program does not know.
    #[error("undo record {kind} version {version} is unknown to this version")]
    UnknownRecord {
        /// Its kind.
        kind: String,
        /// Its version.
        version: u32,
    },
    /// A record's JSON is not of the form of its kind and version.
    #[error("undo record {kind} cannot be read: {why}")]
    BadRecord {
        /// Its kind.
        kind: String,
        /// What is wrong with it.
        why: String,
    },
    /// Resources wait for each other in a circle.
    #[error("resources wait for each other: {}", path.join(" -> "))]
    Cycle {
        /// The circle, first name repeated at the end.
        path: Vec<String>,
    },
    /// A resource waits for one that nobody declares.
    #[error("{id} needs {needs}, which nothing declares")]
    Dangling {
        /// Who waits.
        id: ResourceId,
        /// For what.
        needs: ResourceId,
        /// Where it is written.
        origin: String,
    },
    /// Two modules want to own the same thing.
    #[error("{id} is declared twice: by {first} and by {second}")]
    TwoOwners {
        /// The thing.
        id: String,
        /// The first origin.
        first: String,
        /// The second origin.
        second: String,
    },
    /// The host changed since the plan was made.
    #[error("{id} changed since the plan was made")]
    Moved {
        /// Which resource.
        id: ResourceId,
    },
    /// An earlier rollback could not be finished; nothing more is applied until it is resolved.
    #[error("transaction {transaction} could not be undone")]
    UndoIncomplete {
        /// Which.
        transaction: i64,
    },
}

impl Error {
    /// A refusal with its code, what and why.
    pub fn refused(code: &'static str, what: impl Into<String>, why: impl Into<String>) -> Self {
        Error::Refused { code, what: what.into(), why: why.into(), fix: Vec::new(), module: None }
    }

    /// The same refusal with one more way to mend it.
    pub fn fix(mut self, line: impl Into<String>) -> Self {
        if let Error::Refused { fix, .. } = &mut self {
            fix.push(line.into());
        }
        self
    }
}
