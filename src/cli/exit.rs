//! Exit codes, and what each promises about the host.

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done, or nothing to do.
    Done,
    /// Failed; the host is unchanged, or everything was undone.
    Failed,
    /// Wrong usage or configuration; nothing was touched.
    Usage,
    /// Something could not be undone.
    UndoIncomplete,
    /// Findings (drift), or changes that are pending.
    Findings,
    /// Another run holds the lock.
    Locked,
    /// It needs root.
    NeedsRoot,
}

impl Exit {
    /// The `status` of a JSON document that has none of its own.
    pub fn word(self) -> &'static str {
        match self {
            Exit::Done => "success",
            Exit::Findings => "findings",
            Exit::UndoIncomplete => "undo-incomplete",
            Exit::Failed | Exit::Usage | Exit::Locked | Exit::NeedsRoot => "error",
        }
    }

    /// The number that the shell sees.
    pub fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::UndoIncomplete => 3,
            Exit::Findings => 4,
            Exit::Locked => 5,
            Exit::NeedsRoot => 6,
        }
    }
}
