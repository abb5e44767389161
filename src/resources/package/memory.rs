//! The last solution, kept for as long as nothing that apt reads has changed. A package set is observed for the plan
//! and again just before it is applied; the second time apt need not solve the same question on the same files.

use super::solution::Solution;
use crate::base::digest::Digest;
use crate::base::paths;
use crate::engine::Result;
use crate::host::{Host, Kind};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// All that a solution is made from: apt's configuration and sources, what is installed and how it is marked, the
/// lists, and the archives, where an old version may still lie. Folders with what is in them, two deep.
const SOURCES: [&str; 7] = [
    "/etc/apt",
    "/var/lib/dpkg/status",
    "/var/lib/dpkg/arch",
    "/var/lib/apt/extended_states",
    "/var/lib/apt/lists",
    "/var/cache/apt/archives",
    paths::CACHE,
];
const DEPTH: usize = 2;

/// Remembers one solution. A copy remembers with the original.
#[derive(Debug, Clone, Default)]
pub struct Memory(Arc<Mutex<Option<(Digest, Solution)>>>);

impl Memory {
    /// The solution to `question`: the one that is known, when the question and every file that it was made from are
    /// the same as then; else what `find` finds.
    pub fn solve(&self, host: &dyn Host, question: &str, find: impl FnOnce() -> Result<Solution>) -> Result<Solution> {
        // Taken before: what changes while apt solves counts as changed.
        let evidence = evidence(host, question)?;
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, solution)) = known.filter(|(stood, _)| *stood == evidence) {
            solution.check_room(host)?;
            return Ok(solution);
        }
        let solution = find()?;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((evidence, solution.clone()));
        Ok(solution)
    }
}

fn evidence(host: &dyn Host, question: &str) -> Result<Digest> {
    let mut text = question.to_owned();
    for source in SOURCES {
        describe(host, Path::new(source), DEPTH, &mut text)?;
    }
    Ok(Digest::of(text.as_bytes()))
}

/// Size, time of change, owner and mode of a path and of what is in it.
fn describe(host: &dyn Host, path: &Path, depth: usize, text: &mut String) -> Result<()> {
    let meta = host.meta(path)?;
    let _ = writeln!(text, "\n{} {meta:?}", path.display());
    if depth > 0 && meta.is_some_and(|meta| meta.kind == Kind::Directory) {
        let mut names = host.list(path)?;
        names.sort();
        for name in names {
            describe(host, &path.join(name), depth - 1, text)?;
        }
    }
    Ok(())
}
