//! The sources of the program, read once for each test that asks.

use std::fs;
use std::path::{Path, PathBuf};

/// One file: its path from the top of the repository, and its text.
#[derive(Debug)]
pub struct Source {
    /// Such as `src/engine/plan.rs`.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
}

impl Source {
    /// The text before its unit tests.
    pub fn code(&self) -> &str {
        self.text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default()
    }
}

/// The top of the repository.
pub fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files below `dir` with this ending, in the order of their paths.
pub fn below(dir: &str, ending: &str) -> Vec<Source> {
    let mut sources = Vec::new();
    let mut ahead = vec![top().join(dir)];
    while let Some(dir) = ahead.pop() {
        let Ok(entries) = fs::read_dir(&dir) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                ahead.push(path);
            } else if path.extension().is_some_and(|found| found == ending) {
                let text = fs::read_to_string(&path).unwrap();
                sources.push(Source { path: path.strip_prefix(top()).unwrap().to_owned(), text });
            }
        }
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    sources
}
