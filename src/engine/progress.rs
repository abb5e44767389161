//! Where the engine tells what it does. The command line draws it; the library never prints.

use crate::base::ids::ResourceId;
use std::fmt::Debug;

/// One thing worth telling.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<'a> {
    /// `total` steps are ahead.
    Begin {
        /// How many.
        total: usize,
    },
    /// A step begins.
    StepBegins {
        /// Which resource.
        id: &'a ResourceId,
        /// For which module.
        module: &'a str,
        /// The plan's line.
        summary: &'a str,
    },
    /// A step ended well.
    StepDone {
        /// Which resource.
        id: &'a ResourceId,
        /// For which module.
        module: &'a str,
    },
    /// A step failed; the reason follows with the result.
    StepFailed {
        /// Which resource.
        id: &'a ResourceId,
        /// For which module.
        module: &'a str,
        /// Why.
        error: &'a str,
    },
    /// A step is taken back now.
    TakingBack {
        /// Which resource.
        id: &'a ResourceId,
        /// The module that had asked for it.
        module: &'a str,
    },
    /// Within a step: what happens now and how far it is, in percent where known.
    Within {
        /// What happens: `unpacking libc6`.
        what: &'a str,
        /// 0 to 100.
        percent: Option<f64>,
        /// How many bytes 100 % are, where something is fetched and that is known.
        bytes: Option<u64>,
        /// How far the whole step is with it, 0 to 1, where known.
        done: Option<f64>,
    },
    /// Waiting for somebody else, with who it is.
    Waiting {
        /// For what and whom.
        what: &'a str,
    },
    /// Something that the administrator should know and that is no failure.
    Note {
        /// The line.
        line: &'a str,
    },
}

/// Listens. Called from several threads.
pub trait Progress: Send + Sync + Debug {
    /// Something happened.
    fn tell(&self, event: &Event<'_>);
}

/// Listens to nothing.
#[derive(Debug)]
pub struct Silent;

impl Progress for Silent {
    fn tell(&self, _event: &Event<'_>) {}
}
