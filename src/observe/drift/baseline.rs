//! What is known of the territories, and how that changes: by a run of ours, by an administrator's word.

use super::{EDITS, Inventory, Item, Items};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// The baseline.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// What is as it should be. A territory that isn't in here was never looked at.
    pub territories: BTreeMap<String, Items>,
    /// What an administrator accepted, by the finding's id.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub accepted: BTreeMap<String, Acceptance>,
    /// Up to when the files of packages were looked through, nanoseconds since the epoch.
    #[serde(default)]
    pub since: Option<i64>,
    /// Those that were found to be other than they were brought: they are looked at again each time.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub again: BTreeSet<PathBuf>,
}

/// An administrator's word that something is as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acceptance {
    /// What was known before, which comes back when the word is withdrawn.
    pub was: Option<Item>,
    /// What was accepted: `None` that it is gone.
    pub now: Option<Item>,
    /// Who said so.
    pub by: String,
    /// When, nanoseconds since the epoch.
    pub at: i64,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The id of a finding: `territory:name`.
pub(super) fn id(territory: &str, name: &str) -> String {
    format!("{territory}:{name}")
}

impl Known {
    /// The first baseline: the host as it was handed to us. Edits of our files are never ours.
    pub fn first(now: &Inventory) -> Known {
        let mut territories = now.territories.clone();
        territories.entry(EDITS.to_owned()).and_modify(Items::clear);
        Known { territories, since: now.since, ..Known::default() }
    }

    /// What is known after a run of ours, which found `before` and left `after`: what is different between the two is
    /// the run's doing, and becomes known. What was not known before it, and is as before it, stays unknown: a run
    /// never swallows what somebody else did. Territories that couldn't be looked at stay as they were known.
    pub fn after(mut self, before: &Inventory, after: &Inventory) -> Known {
        for (territory, now) in &after.territories {
            if territory == EDITS {
                self.forget_gone(now);
                continue;
            }
            let Some(known) = self.territories.get_mut(territory) else {
                // A territory that is looked at from now on.
                self.territories.insert(territory.clone(), now.clone());
                continue;
            };
            let Some(then) = before.territories.get(territory) else { continue };
            let names: BTreeSet<&String> = then.keys().chain(now.keys()).collect();
            for name in names {
                if same(then.get(name), now.get(name)) {
                    continue;
                }
                match now.get(name) {
                    Some(item) => known.insert(name.clone(), item.clone()),
                    None => known.remove(name),
                };
                self.accepted.remove(&id(territory, name));
            }
        }
        self.since = after.since.or(self.since);
        self
    }

    /// A run makes no edit of a file of ours known; one that it took away needs nobody's word any more.
    fn forget_gone(&mut self, now: &Items) {
        let known = self.territories.entry(EDITS.to_owned()).or_default();
        known.retain(|name, _| now.contains_key(name));
        self.accepted.retain(|key, _| {
            key.split_once(':').is_none_or(|(territory, name)| territory != EDITS || known.contains_key(name))
        });
    }

    /// What is known of one thing.
    pub fn get(&self, territory: &str, name: &str) -> Option<&Item> {
        self.territories.get(territory)?.get(name)
    }

    /// Sets what is known of one thing.
    fn set(&mut self, territory: &str, name: &str, item: Option<Item>) {
        let items = self.territories.entry(territory.to_owned()).or_default();
        match item {
            Some(item) => items.insert(name.to_owned(), item),
            None => items.remove(name),
        };
    }

    /// Takes a thing as it is `now` for right.
    pub fn accept(
        &mut self,
        territory: &str,
        name: &str,
        now: Option<Item>,
        by: &str,
        at: i64,
        reason: Option<String>,
    ) {
        let key = id(territory, name);
        // Accepted twice, what comes back is what was known before the first time.
        let was = match self.accepted.remove(&key) {
            Some(earlier) => earlier.was,
            None => self.get(territory, name).cloned(),
        };
        self.set(territory, name, now.clone());
        // What went back to how it was needs nobody's word any more.
        if !same(was.as_ref(), now.as_ref()) {
            self.accepted.insert(key, Acceptance { was, now, by: by.to_owned(), at, reason });
        }
    }

    /// Takes that word back: what was known before is known again. `false` when there was none.
    pub fn withdraw(&mut self, key: &str) -> bool {
        let Some((acceptance, (territory, name))) = self.accepted.remove(key).zip(key.split_once(':')) else {
            return false;
        };
        self.set(territory, name, acceptance.was);
        true
    }
}

/// Whether two things are the same, in what is compared.
pub(super) fn same(one: Option<&Item>, other: Option<&Item>) -> bool {
    one.map(|item| &item.value) == other.map(|item| &item.value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn items(pairs: &[(&str, &str)]) -> Items {
        let item = |value: &str| Item { value: value.into(), text: value.into(), place: None };
        pairs.iter().map(|(name, value)| ((*name).to_owned(), item(value))).collect()
    }

    fn inventory(pairs: &[(&str, &str)]) -> Inventory {
        Inventory { territories: BTreeMap::from([("t".to_owned(), items(pairs))]), ..Inventory::default() }
    }

    #[test]
    fn a_run_makes_known_what_it_changed_and_nothing_that_was_foreign_before_it() {
        let known = Known::first(&inventory(&[("ours", "1"), ("edited", "1"), ("gone", "1"), ("dropped", "1")]));
        let before = inventory(&[("ours", "1"), ("edited", "2"), ("evil", "1"), ("dropped", "1")]);
        let after = inventory(&[("ours", "2"), ("edited", "2"), ("evil", "1"), ("made", "1")]);
        let now = known.after(&before, &after);
        assert_eq!(now.territories["t"], items(&[("ours", "2"), ("edited", "1"), ("gone", "1"), ("made", "1")]));
    }

    #[test]
    fn a_territory_that_could_not_be_looked_at_stays_as_it_was_known_and_a_new_one_begins() {
        let known = Known::first(&inventory(&[("a", "1")]));
        let unknown = Inventory::default();
        let mut later = inventory(&[("a", "2")]);
        later.territories.insert("new".to_owned(), items(&[("b", "1")]));
        assert_eq!(known.clone().after(&inventory(&[("a", "1")]), &unknown), known);
        let now = known.after(&unknown, &later);
        assert_eq!(now.get("t", "a").unwrap().value, "1");
        assert_eq!(now.get("new", "b").unwrap().value, "1");
    }

    #[test]
    fn a_word_is_given_and_taken_back() {
        let first = Known::first(&inventory(&[("a", "1")]));
        let mut known = first.clone();
        let item = |value: &str| items(&[("x", value)]).remove("x");
        known.accept("t", "a", item("2"), "ada", 7, Some("wanted".into()));
        known.accept("t", "a", item("3"), "ada", 8, None);
        known.accept("t", "b", item("1"), "ada", 9, None);
        known.accept("t", "c", item("1"), "ada", 9, None);
        known.accept("t", "c", None, "ada", 9, None);
        assert_eq!(known.get("t", "a").unwrap().value, "3");
        assert!(known.withdraw("t:a") && known.withdraw("t:b") && !known.withdraw("t:b"));
        assert_eq!(known, first);
    }

    proptest! {
        /// Whatever was known and whatever changed: after a run, exactly the things that differed before it and that it
        /// didn't touch still differ.
        #[test]
        fn what_differed_before_a_run_and_was_not_touched_by_it_still_differs(
            known in prop::collection::btree_map("[a-e]", "[1-3]", 0..5),
            before in prop::collection::btree_map("[a-e]", "[1-3]", 0..5),
            after in prop::collection::btree_map("[a-e]", "[1-3]", 0..5),
        ) {
            let of = |map: &BTreeMap<String, String>| {
                inventory(&map.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect::<Vec<_>>())
            };
            let now = Known::first(&of(&known)).after(&of(&before), &of(&after));
            for name in ["a", "b", "c", "d", "e"] {
                let value = now.get("t", name).map(|item| &item.value);
                let expected = if before.get(name) == after.get(name) { known.get(name) } else { after.get(name) };
                prop_assert_eq!(value, expected);
            }
        }
    }
}
