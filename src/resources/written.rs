//! What we last wrote to each file of ours, and what of it is to become of one that somebody edited since.
//!
//! | what is wanted | an edit is |
//! |---|---|
//! | as it was when we wrote | drift: it goes, but for lines that were accepted, or that an earlier run let stand |
//! | something else now | merged where the lines don't meet, else the file stays as it is |

use super::seen::LONGEST_TEXT;
use super::spec::Spec;
use crate::base::digest::Digest;
use crate::base::ids::{ResourceId, TransactionId};
use crate::base::merge::{Clash, Edit, edits, only, three_way};
use crate::engine::{Recipe, Result};
use crate::journal::{Journal, StepRow, StepState};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// The names of edits that somebody accepted: `path#edit`.
pub type Accepted = BTreeSet<String>;

/// What we wrote, by file. Shared by all who need it, and read anew with each plan.
#[derive(Debug, Default)]
pub struct Written(Mutex<BTreeMap<ResourceId, Arc<Past>>>);

impl Written {
    /// As the journal has it.
    pub fn read(&self, journal: &Journal, accepted: &Accepted) -> Result<()> {
        let mut all = BTreeMap::new();
        for row in journal.outline()?.into_iter().filter(|row| row.resource.kind() == "file") {
            if all.contains_key(&row.resource) {
                continue;
            }
            let step = journal.step(row.id)?.filter(|step| step.state == StepState::Verified);
            if let Some(mut past) = step.as_ref().and_then(Past::of) {
                let of_file =
                    |name: &&String| name.rsplit_once('#').is_some_and(|(path, _)| path == row.resource.name());
                past.accepted = accepted.iter().filter(of_file).cloned().collect();
                all.insert(row.resource, Arc::new(past));
            }
        }
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = all;
        Ok(())
    }

    /// What is known of a file; `None` when we never wrote it, or wrote down too little.
    pub fn of(&self, id: &ResourceId) -> Option<Arc<Past>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// All files that we wrote.
    pub fn all(&self) -> Vec<(ResourceId, Arc<Past>)> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|(id, past)| (id.clone(), past.clone())).collect()
    }
}

/// What we last wrote to one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Past {
    /// What was wanted then.
    pub base: String,
    /// The digest of the bytes that we left: what was wanted, or what it was merged to.
    pub left: Digest,
    /// Those bytes, where they are text and not what was wanted.
    pub merged: Option<String>,
    /// The transaction.
    pub tx: TransactionId,
    /// Whether its lines may be shown: it is text, and no secret.
    pub is_shown: bool,
    /// The edits of this file that somebody accepted: `path#edit`.
    pub accepted: Accepted,
}

/// What is to become of a file's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It becomes what is wanted: nobody edited it, or nothing is known of it.
    Wanted,
    /// Somebody's edit goes: this is what it was, with what was let stand.
    Mended(String),
    /// What is wanted now, with what somebody edited.
    Merged(String),
    /// Somebody's edit stands, and nothing is to be changed.
    Stands,
    /// Somebody's edit stands, and what is wanted now does not get in. The places; none where it can't be merged at all.
    Meets(Vec<Clash>),
}

impl Past {
    /// What a step wrote; `None` when it did not change the content, or is of a version that kept no recipe.
    fn of(step: &StepRow) -> Option<Past> {
        let recipe = Recipe::read(step.recipe.as_ref()?).ok()?;
        let spec: Spec = serde_json::from_value(recipe.parts.first()?.spec.clone()).ok()?;
        // What is made once is theirs ever after.
        if spec.is("create_only") {
            return None;
        }
        let base = spec.text("content")?.to_owned();
        let after = &step.after["digest"];
        let is_plain = after.as_str() == Some(Digest::of(base.as_bytes()).as_str());
        // One that set only owner or mode says nothing of who wrote the content.
        if !is_plain && step.before["digest"] == *after {
            return None;
        }
        let merged = step.after["text"].as_str().filter(|_| !is_plain).map(str::to_owned);
        let left = left(step.undo.as_ref(), step.resource.name()).or_else(|| Digest::parse(after.as_str()?))?;
        let is_shown = step.after["text"].is_string();
        Some(Past { base, left, merged, tx: step.tx, is_shown, accepted: Accepted::new() })
    }

    /// What becomes of the file, of which `found` is the digest and `text` the content where that is text that may be
    /// shown, when `wanted` is wanted.
    pub fn judge(&self, wanted: &str, found: &Digest, text: Option<&str>) -> Verdict {
        if self.is_untouched(found) {
            return Verdict::Wanted;
        }
        let is_left = *found == self.left;
        if wanted == self.base {
            return match text {
                _ if is_left => Verdict::Stands,
                None if self.has_accepted(found.short()) => Verdict::Stands,
                None => Verdict::Mended(wanted.to_owned()),
                Some(text) => self.mend(text),
            };
        }
        // Where both meet, and theirs was accepted, that word counts.
        let is_theirs = |clash: &Clash| {
            let edits = edits(&clash.base, &clash.theirs);
            !edits.is_empty() && edits.iter().all(|edit| self.has_accepted(&edit.id()))
        };
        match text.map(|text| three_way(&self.base, text, wanted, &is_theirs)) {
            None => Verdict::Meets(Vec::new()),
            Some(Err(clashes)) => Verdict::Meets(clashes),
            // What is longer would stand in no journal.
            Some(Ok(merged)) if merged.len() > LONGEST_TEXT => Verdict::Meets(Vec::new()),
            Some(Ok(merged)) if Digest::of(merged.as_bytes()) == *found => Verdict::Stands,
            Some(Ok(merged)) if merged == wanted => Verdict::Wanted,
            Some(Ok(merged)) => Verdict::Merged(merged),
        }
    }

    /// Whether the file, of which `found` is the digest, has nothing of anybody's in it.
    pub fn is_untouched(&self, found: &Digest) -> bool {
        *found == Digest::of(self.base.as_bytes()) || *found == self.left && self.merged.is_none()
    }

    /// Takes out of `text` what nobody let stand.
    fn mend(&self, text: &str) -> Verdict {
        let left = self.merged.as_deref().unwrap_or(&self.base);
        let stood: BTreeSet<String> = edits(&self.base, left).iter().map(Edit::id).collect();
        if edits(&self.base, text).iter().all(|edit| stood.contains(&edit.id()) || self.has_accepted(&edit.id())) {
            return Verdict::Stands;
        }
        let is_kept = |edit: &Edit| self.has_accepted(&edit.id());
        let mended = only(left, text, is_kept);
        // What would be taken apart in another way the next time goes back to what is known.
        match only(left, &mended, is_kept) == mended {
            true if mended == text => Verdict::Stands,
            true => Verdict::Mended(mended),
            false => Verdict::Mended(left.to_owned()),
        }
    }

    fn has_accepted(&self, id: &str) -> bool {
        self.accepted.iter().any(|name| name.rsplit_once('#').is_some_and(|(_, edit)| edit == id))
    }
}

/// The bytes that an undo record of the kind `paths` says were put at `path`.
fn left(undo: Option<&Value>, path: &str) -> Option<Digest> {
    let entries = undo?.pointer("/data/entries")?.as_array()?;
    let entry = entries.iter().find(|entry| entry["path"].as_str().map(Path::new) == Some(Path::new(path)))?;
    Digest::parse(entry.pointer("/after/digest")?.as_str()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "one\ntwo\nthree\nfour\nfive\n";

    fn past(base: &str, left: &str) -> Past {
        Past {
            base: base.to_owned(),
            left: Digest::of(left.as_bytes()),
            merged: (left != base).then(|| left.to_owned()),
            tx: TransactionId(1),
            is_shown: true,
            accepted: Accepted::new(),
        }
    }

    fn judge(past: &Past, wanted: &str, text: &str) -> Verdict {
        past.judge(wanted, &Digest::of(text.as_bytes()), Some(text))
    }

    #[test]
    fn what_nobody_edited_becomes_what_is_wanted() {
        assert_eq!(judge(&past(BASE, BASE), "other\n", BASE), Verdict::Wanted);
        // One that had been merged, and of which somebody took their lines out again.
        assert_eq!(judge(&past(BASE, "zero\none\ntwo\nthree\nfour\nfive\n"), "other\n", BASE), Verdict::Wanted);
    }

    #[test]
    fn an_edit_is_mended_while_nothing_else_is_wanted_but_for_what_was_accepted() {
        let edited = "zero\none\ntwo\nthree\nFOUR\nfive\n";
        let mut past = past(BASE, BASE);
        assert_eq!(judge(&past, BASE, edited), Verdict::Mended(BASE.to_owned()));
        let id = edits(BASE, edited)[0].id();
        past.accepted.insert(format!("/etc/a#{id}"));
        assert_eq!(judge(&past, BASE, edited), Verdict::Mended("zero\none\ntwo\nthree\nfour\nfive\n".to_owned()));
        assert_eq!(judge(&past, BASE, "zero\none\ntwo\nthree\nfour\nfive\n"), Verdict::Stands);
    }

    #[test]
    fn what_a_run_let_stand_stands_and_what_comes_on_top_of_it_does_not() {
        let merged = "zero\none\ntwo\nthree\nfour\nfive\n";
        let past = past(BASE, merged);
        assert_eq!(judge(&past, BASE, merged), Verdict::Stands);
        let more = "zero\none\ntwo\nthree\nfour\nfive\nevil\n";
        assert_eq!(judge(&past, BASE, more), Verdict::Mended(merged.to_owned()));
        let touching = "zero\nevil\none\ntwo\nthree\nfour\nfive\n";
        assert_eq!(judge(&past, BASE, touching), Verdict::Mended(merged.to_owned()));
        let wanted = "one\ntwo\n3\nfour\nfive\n";
        assert_eq!(judge(&past, wanted, more), Verdict::Merged("zero\none\ntwo\n3\nfour\nfive\nevil\n".to_owned()));
    }

    #[test]
    fn an_edit_is_merged_with_what_is_wanted_now_and_stands_where_both_meet() {
        let past = past(BASE, BASE);
        let wanted = "one\ntwo\nthree\nfour\nFIVE\n";
        let merged = "one\nTWO\nthree\nfour\nFIVE\n";
        assert_eq!(judge(&past, wanted, "one\nTWO\nthree\nfour\nfive\n"), Verdict::Merged(merged.to_owned()));
        assert_eq!(judge(&past, wanted, merged), Verdict::Stands, "as after the merge");
        let Verdict::Meets(clashes) = judge(&past, wanted, "one\ntwo\nthree\nfour\n5\n") else { panic!("merged") };
        assert_eq!((clashes[0].line, clashes[0].theirs.as_str(), clashes[0].ours.as_str()), (5, "5\n", "FIVE\n"));
        let mut past = past;
        past.accepted.insert(format!("/etc/a#{}", edits("five\n", "5\n")[0].id()));
        assert_eq!(judge(&past, wanted, "one\ntwo\nthree\nfour\n5\n"), Verdict::Stands);
        assert_eq!(
            judge(&past, &wanted.replace("one", "1"), "one\ntwo\nthree\nfour\n5\n"),
            Verdict::Merged("1\ntwo\nthree\nfour\n5\n".to_owned())
        );
    }

    #[test]
    fn what_is_no_text_or_no_ones_to_see_is_never_merged() {
        let mut past = past(BASE, BASE);
        let found = Digest::of(b"\0\xff");
        assert_eq!(past.judge("new\n", &found, None), Verdict::Meets(Vec::new()));
        assert_eq!(past.judge(BASE, &found, None), Verdict::Mended(BASE.to_owned()));
        past.accepted.insert(format!("/etc/a#{}", found.short()));
        assert_eq!(past.judge(BASE, &found, None), Verdict::Stands);
    }
}
