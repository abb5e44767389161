//! What this binary does in the guest: it looks at the machine that it runs on, and prints what it sees.

use crate::harness::snapshot::Subject;
use crate::harness::{Snapshot, Trouble};

/// Runs a verb, if the words are one for the inside of a guest.
pub fn run(words: &[String]) -> Option<Result<(), Trouble>> {
    match words {
        [verb] if verb == "snapshot" => Some(snapshot()),
        _ => None,
    }
}

fn snapshot() -> Result<(), Trouble> {
    let snapshot = Snapshot::deep(&Subject::Here)?;
    println!("{}", serde_json::to_string(&snapshot).map_err(|error| error.to_string())?);
    Ok(())
}
