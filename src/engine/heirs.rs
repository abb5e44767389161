//! Who takes over what a module leaves behind. A package that a module brought may be wanted by another one that came
//! later and found it there, so that no step of its own says so: before the first module is taken back, the other one
//! gets its name into the record, and what it wants stays.

use super::undo::Wishes;
use super::{Error, Result, UndoRecord, Undoers};
use crate::journal::StepRow;

/// A step whose record changes hands, in part.
#[derive(Debug, Clone, PartialEq)]
pub struct Inheritance {
    /// The number of the step.
    pub step: i64,
    /// Its record, with the heirs in it.
    pub undo: UndoRecord,
    /// The modules that share it now.
    pub shared: Vec<String>,
    /// What stays and for whom, a line each.
    pub lines: Vec<String>,
}

/// Puts those of `wishes` into the records of `steps` that want what `leaving` had asked for. Says which steps changed.
pub fn inherit(undoers: &Undoers, steps: &mut [StepRow], leaving: &str, wishes: &Wishes) -> Result<Vec<Inheritance>> {
    let mut all = Vec::new();
    for step in steps.iter_mut().filter(|step| !step.shared.is_empty()) {
        let Some(value) = &step.undo else { continue };
        let record: UndoRecord = serde_json::from_value(value.clone())
            .map_err(|e| Error::BadRecord { kind: step.resource.to_string(), why: e.to_string() })?;
        let Some((undo, heirs)) = undoers.decode(&record)?.hand_over(leaving, wishes)? else { continue };
        let mut shared = step.shared.clone();
        shared.extend(heirs.keys().filter(|heir| !step.shared.contains(heir)).cloned());
        let stays =
            |(heir, names): (&String, &Vec<String>)| format!("{} stay: module {heir} wants them", names.join(", "));
        let lines = heirs.iter().map(stays).collect();
        step.undo = Some(serde_json::to_value(&undo).unwrap_or_default());
        step.shared.clone_from(&shared);
        all.push(Inheritance { step: step.id, undo, shared, lines });
    }
    Ok(all)
}
