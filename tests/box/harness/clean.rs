//! Removes what killed runs left behind.

use super::record::Record;
use super::{Trouble, net, place, teardown};
use std::fs;
use std::path::Path;

/// Boxes whose runner is dead. Those of living runs and those a developer keeps stay.
pub fn dead_owners() -> Result<usize, Trouble> {
    let dead = |record: &Record| record.owner.as_ref().is_some_and(|owner| !owner.lives());
    let removed = remove(dead)?;
    strays()?;
    Ok(removed)
}

/// Every box, whoever's.
pub fn everything() -> Result<usize, Trouble> {
    let removed = remove(|_| true)?;
    strays()?;
    Ok(removed)
}

fn remove(which: impl Fn(&Record) -> bool) -> Result<usize, Trouble> {
    place::make()?;
    let _lock = place::lock(&place::boxes().join("clean.lock"))?;
    let mut removed = 0;
    for record in Record::all().iter().filter(|record| which(record)) {
        teardown::remove(record)?;
        removed += 1;
    }
    Ok(removed)
}

/// A run may die between two steps: a folder without a record, a number whose folder is gone.
fn strays() -> Result<(), Trouble> {
    let _lock = place::lock_registry()?;
    for entry in fs::read_dir(place::boxes()).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && !path.join("record.json").exists() {
            fs::remove_dir_all(&path).map_err(|error| format!("cannot remove {}: {error}", path.display()))?;
        }
    }
    for (number, holder) in net::numbers() {
        if !Path::new(&holder).exists() {
            teardown::strip(number);
            net::release_number(number);
        }
    }
    Ok(())
}
