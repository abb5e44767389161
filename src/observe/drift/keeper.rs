//! Keeping the baseline in the journal: pictures before and after each run of ours, comparing in between.

use super::finding::findings;
use super::{Finding, Inventory, Items, Kind, Known, Reach, Territory};
use crate::base::ids::TransactionId;
use crate::base::paths;
use crate::engine::{Error, Result};
use crate::host::{Attributes, Host, read_if_there};
use crate::journal::{BaselineReason, BaselineRow, Journal};
use crate::resources::written::{Accepted, Written};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Keeps the baseline of one host.
#[derive(Debug)]
pub struct Keeper<'a> {
    host: &'a dyn Host,
    journal: &'a Journal,
    territories: Vec<Territory>,
}

/// How the host differs from its baseline.
#[derive(Debug)]
pub struct Comparison {
    /// The baseline that it was compared with.
    pub baseline: BaselineRow,
    /// What differs.
    pub findings: Vec<Finding>,
    /// Territories that could not be looked at, or are not known yet, each with the reason.
    pub unknown: BTreeMap<String, String>,
    /// What is known, with what was accepted.
    pub known: Known,
    now: Inventory,
}

impl Comparison {
    /// The territories that are known and could not be looked at now: what changed there is not seen.
    pub fn blind(&self) -> impl Iterator<Item = &String> {
        self.unknown.keys().filter(|name| self.known.territories.contains_key(*name))
    }
}

/// Up to when the files of packages were looked through since the baseline was kept.
#[derive(Debug, Serialize, Deserialize)]
struct Looked {
    baseline: i64,
    since: i64,
    again: BTreeSet<PathBuf>,
}

/// Of a [`Known`] what lies in the territory [`EDITS`](super::EDITS).
#[derive(Debug, Deserialize)]
struct OnlyEdits {
    territories: Edits,
}

#[derive(Debug, Deserialize)]
struct Edits {
    #[serde(default)]
    edits: BTreeMap<String, IgnoredAny>,
}

impl<'a> Keeper<'a> {
    /// Of these territories.
    pub fn new(host: &'a dyn Host, journal: &'a Journal, territories: Vec<Territory>) -> Self {
        Keeper { host, journal, territories }
    }

    /// The baseline in force.
    pub fn known(&self) -> Result<Option<(BaselineRow, Known)>> {
        let Some(row) = self.journal.baseline()? else { return Ok(None) };
        let known = self.load(&row)?;
        Ok(Some((row, known)))
    }

    /// The edits of files of ours that somebody accepted.
    pub fn accepted_edits(&self) -> Result<Accepted> {
        let Some(row) = self.journal.baseline()? else { return Ok(Accepted::new()) };
        // It is asked for at each run, and all else that is known of the host is long.
        let text = self.journal.objects().get(&row.known)?;
        let known: OnlyEdits = serde_json::from_slice(&text).map_err(|e| bad(&e))?;
        Ok(known.territories.edits.into_keys().collect())
    }

    /// What is there now.
    fn take(&self, reach: &Reach) -> Result<Inventory> {
        let written = Written::default();
        if self.territories.iter().any(|territory| territory.kind == Kind::Edits) {
            written.read(self.journal, &Accepted::new())?;
        }
        Ok(Inventory::take(self.host, &self.territories, &written, reach))
    }

    fn load(&self, row: &BaselineRow) -> Result<Known> {
        let text = self.journal.objects().get(&row.known)?;
        serde_json::from_slice(&text).map_err(|e| bad(&e))
    }

    fn keep(&self, reason: BaselineReason, tx: Option<TransactionId>, actor: &Value, known: &Known) -> Result<()> {
        let text = serde_json::to_vec(known).map_err(|e| bad(&e))?;
        let digest = self.journal.objects().put(&text)?;
        let now = i64::try_from(self.host.now()).unwrap_or(i64::MAX);
        Ok(self.journal.add_baseline(reason, tx, actor, now, &digest)?)
    }

    /// The files of packages that are known to be other than they were brought.
    fn programs(&self, territories: &BTreeMap<String, Items>) -> BTreeSet<PathBuf> {
        let of_programs = |territory: &&Territory| matches!(territory.kind, Kind::Programs { .. });
        let names = self.territories.iter().filter(of_programs).filter_map(|t| territories.get(&t.name));
        names.flat_map(BTreeMap::keys).map(PathBuf::from).collect()
    }

    /// How far to look: what changed since the last look, and again what was found then.
    fn reach(&self, row: &BaselineRow, known: &Known) -> Result<Reach> {
        let looked = read_if_there(self.host, paths::LOOKED)?
            .and_then(|text| serde_json::from_slice::<Looked>(&text).ok())
            .filter(|looked| looked.baseline == row.id);
        let (since, found) = match looked {
            Some(looked) => (Some(looked.since), looked.again),
            None => (known.since, known.again.clone()),
        };
        let mut again = self.programs(&known.territories);
        again.extend(found);
        Ok(Reach { since, again, deep: false })
    }

    /// Before a run of ours changes anything: keeps what is there, unless a run that died did. Nothing, before the first
    /// baseline.
    pub fn begin(&self, actor: &Value) -> Result<()> {
        if self.journal.open_baseline()?.is_some() {
            return Ok(());
        }
        let Some((row, known)) = self.known()? else { return Ok(()) };
        let before = self.take(&self.reach(&row, &known)?)?;
        self.keep(BaselineReason::Before, None, actor, &Known::first(&before))
    }

    /// After the run `tx`: what it changed is known from now on. The first time, all there is.
    pub fn end(&self, tx: Option<TransactionId>, actor: &Value) -> Result<()> {
        if self.journal.baseline()?.is_none() {
            let now = self.take(&Reach::default())?;
            return self.keep(BaselineReason::After, tx, actor, &Known::first(&now));
        }
        let Some(open) = self.journal.open_baseline()? else { return Ok(()) };
        let Some((_, known)) = self.known()? else { return Ok(()) };
        let before = self.load(&open)?;
        // What the run itself unpacked is as it was brought: only what was found before, and the last moment, are looked at.
        let mut again = self.programs(&known.territories);
        again.extend(self.programs(&before.territories));
        let after = self.take(&Reach { since: None, again, deep: false })?;
        let before = Inventory { territories: before.territories, ..Inventory::default() };
        let known = Known { again: self.programs(&after.territories), ..known.after(&before, &after) };
        self.keep(BaselineReason::After, tx, actor, &known)
    }

    /// How the host differs from its baseline; `None` before the first. `owned`: the paths of resources, which tell
    /// their own drift. `deep`: also files of packages that changed before anybody looked.
    pub fn compare(&self, owned: &BTreeSet<PathBuf>, deep: bool) -> Result<Option<Comparison>> {
        let Some((baseline, known)) = self.known()? else { return Ok(None) };
        let reach = Reach { deep, ..self.reach(&baseline, &known)? };
        let now = self.take(&reach)?;
        let findings = findings(self.host, &self.territories, &known, &now, owned)?;
        let mut unknown = now.unknown.clone();
        for territory in &self.territories {
            if now.territories.contains_key(&territory.name) && !known.territories.contains_key(&territory.name) {
                unknown.insert(territory.name.clone(), "not known yet: the next install begins with it".to_owned());
            }
        }
        Ok(Some(Comparison { baseline, findings, unknown, known, now }))
    }

    /// Remembers how far the files of packages were looked through, so that the next look need not begin there again.
    /// It's only a shortcut: that it can't be written is no failure.
    pub fn remember(&self, comparison: &Comparison) {
        let Some(since) = comparison.now.since else { return };
        let looked =
            Looked { baseline: comparison.baseline.id, since, again: self.programs(&comparison.now.territories) };
        let text = serde_json::to_vec(&looked).unwrap_or_default();
        let cache = Path::new(paths::CACHE);
        let written = match self.host.meta(cache) {
            Ok(None) => self.host.make_directory(cache, &Attributes::root(paths::CACHE_MODE)),
            other => other.map(drop),
        };
        let written = written.and_then(|()| self.host.write(Path::new(paths::LOOKED), &text, &Attributes::root(0o600)));
        if let Err(error) = written {
            tracing::warn!("how far was looked is not remembered: {error}");
        }
    }

    /// Takes these findings for right.
    pub fn accept(&self, comparison: &Comparison, ids: &BTreeSet<String>, word: &Word<'_>) -> Result<()> {
        let mut known = comparison.known.clone();
        let now = i64::try_from(self.host.now()).unwrap_or(i64::MAX);
        for finding in comparison.findings.iter().filter(|finding| ids.contains(&finding.id)) {
            let reason = word.reason.map(str::to_owned);
            known.accept(finding.territory(), finding.name(), finding.item.clone(), word.by, now, reason);
        }
        // How far was looked is remembered with the baseline before this one.
        known.since = comparison.now.since.or(known.since);
        known.again = self.programs(&comparison.now.territories);
        self.keep(BaselineReason::Accepted, None, word.actor, &known)
    }

    /// Takes such words back.
    pub fn withdraw(&self, ids: &BTreeSet<String>, word: &Word<'_>) -> Result<BTreeSet<String>> {
        let Some((_, mut known)) = self.known()? else { return Ok(BTreeSet::new()) };
        let withdrawn: BTreeSet<String> = ids.iter().filter(|key| known.withdraw(key)).cloned().collect();
        if !withdrawn.is_empty() {
            self.keep(BaselineReason::Withdrawn, None, word.actor, &known)?;
        }
        Ok(withdrawn)
    }
}

/// Who gives a word, and why.
#[derive(Debug, Clone, Copy)]
pub struct Word<'a> {
    /// The name.
    pub by: &'a str,
    /// Who it is, for the journal.
    pub actor: &'a Value,
    /// Why.
    pub reason: Option<&'a str>,
}

fn bad(error: &serde_json::Error) -> Error {
    Error::BadRecord { kind: "baseline".to_owned(), why: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::RealHost;
    use crate::observe::drift::What;
    use serde_json::json;
    use std::fs;

    const SUDOERS: &str = "/etc/sudoers.d/evil";

    /// A host with one territory, and a journal beside it.
    struct Stand(tempfile::TempDir);

    impl Stand {
        fn new() -> Self {
            let stand = Stand(tempfile::tempdir().unwrap());
            stand.put("/etc/sudoers.d/README", "x");
            stand
        }

        fn put(&self, path: &str, text: &str) {
            let path = self.0.path().join("root").join(path.trim_start_matches('/'));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        fn with<T>(&self, act: impl FnOnce(&Keeper<'_>) -> Result<T>) -> T {
            let host = RealHost::new(self.0.path().join("root"));
            let journal = Journal::open(&self.0.path().join("state")).unwrap();
            let sudo = Territory {
                name: "sudo".into(),
                summary: "sudo".into(),
                kind: Kind::Files(vec!["/etc/sudoers.d".into()]),
            };
            act(&Keeper::new(&host, &journal, vec![sudo])).unwrap()
        }

        fn found(&self) -> Vec<(String, What)> {
            let comparison = self.with(|keeper| keeper.compare(&BTreeSet::new(), false)).unwrap();
            comparison.findings.into_iter().map(|finding| (finding.id, finding.what)).collect()
        }
    }

    fn actor() -> Value {
        json!({"login_name": "ada"})
    }

    #[test]
    fn what_a_run_changes_is_known_and_what_others_changed_before_it_stays_a_finding() {
        let stand = Stand::new();
        assert!(stand.with(|keeper| keeper.compare(&BTreeSet::new(), false)).is_none());
        stand.with(|keeper| keeper.end(None, &actor()));
        assert!(stand.found().is_empty());
        stand.put(SUDOERS, "evil");
        let evil = vec![(format!("sudo:{SUDOERS}"), What::Added)];
        assert_eq!(stand.found(), evil);
        stand.with(|keeper| keeper.begin(&actor()));
        stand.put("/etc/sudoers.d/ours", "by the run");
        // It died; the one that goes on must not take what is there now for what was there before.
        stand.with(|keeper| keeper.begin(&actor()));
        stand.with(|keeper| keeper.end(None, &actor()));
        assert_eq!(stand.found(), evil);
        stand.with(|keeper| keeper.end(None, &actor()));
        assert_eq!(stand.found(), evil, "without a beginning there is no end");
    }

    #[test]
    fn what_is_accepted_is_no_finding_until_it_changes_or_the_word_is_withdrawn() {
        let stand = Stand::new();
        stand.with(|keeper| keeper.end(None, &actor()));
        stand.put(SUDOERS, "evil");
        let ids = BTreeSet::from([format!("sudo:{SUDOERS}")]);
        let actor = actor();
        let word = Word { by: "ada", actor: &actor, reason: Some("it's mine") };
        let accept = |keeper: &Keeper<'_>| {
            let comparison = keeper.compare(&BTreeSet::new(), false)?.unwrap();
            keeper.accept(&comparison, &ids, &word)
        };
        stand.with(accept);
        assert!(stand.found().is_empty());
        let (row, known) = stand.with(|keeper| keeper.known()).unwrap();
        assert_eq!((row.reason, known.accepted.len()), (BaselineReason::Accepted, 1));
        stand.put(SUDOERS, "more evil");
        assert_eq!(stand.found(), [(format!("sudo:{SUDOERS}"), What::Changed)]);
        stand.with(accept);
        assert!(stand.found().is_empty());
        assert_eq!(stand.with(|keeper| keeper.withdraw(&ids, &word)), ids);
        assert_eq!(stand.found(), [(format!("sudo:{SUDOERS}"), What::Added)]);
    }
}
