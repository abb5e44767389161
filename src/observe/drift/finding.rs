//! Findings: how the host differs from its baseline.

use super::baseline::{id, same};
use super::{Inventory, Item, Items, Kind, Known, Territory, settings};
use crate::engine::Result;
use crate::host::Host;
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// In which way something differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// It is there and was not known.
    Added,
    /// It is otherwise than was known.
    Changed,
    /// It was known and is not there.
    Removed,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Its id, with which it can be accepted: `territory:name`.
    pub id: String,
    /// In which way.
    pub what: What,
    /// How it is now; of what is gone, how it was.
    pub text: String,
    /// How it was known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub was: Option<String>,
    /// The file that it stands in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// When that file last changed, nanoseconds since the epoch.
    #[serde(skip)]
    pub changed: Option<i128>,
    /// What is there now, to be accepted.
    #[serde(skip)]
    pub(super) item: Option<Item>,
}

impl Finding {
    /// The territory that it belongs to.
    pub fn territory(&self) -> &str {
        self.id.split_once(':').map_or("", |(territory, _)| territory)
    }

    /// Its name in there.
    pub(super) fn name(&self) -> &str {
        self.id.split_once(':').map_or("", |(_, name)| name)
    }
}

/// How `now` differs from `known`, territory by territory. What is at one of the paths `owned` is a resource's, whose
/// drift is told with it.
pub(super) fn findings(
    host: &dyn Host,
    territories: &[Territory],
    known: &Known,
    now: &Inventory,
    owned: &BTreeSet<PathBuf>,
) -> Result<Vec<Finding>> {
    let mut all = Vec::new();
    for territory in territories {
        let (Some(then), Some(is)) = (known.territories.get(&territory.name), now.territories.get(&territory.name))
        else {
            continue;
        };
        for mut finding in differences(territory, then, is) {
            if matches!(territory.kind, Kind::Files(_)) && finding.file.as_ref().is_some_and(|f| owned.contains(f)) {
                continue;
            }
            // Whoever takes an edit of theirs out again has left our file as it was.
            if territory.kind == Kind::Edits && finding.what == What::Removed {
                continue;
            }
            if let Kind::Settings { set_in, .. } = &territory.kind
                && let Some(place) = settings::set_at(host, set_in, finding.name())?
            {
                finding.text = format!("{}, {}", finding.text, settings::shown(&place));
                finding.file = Some(place.0);
            }
            // Of a file that is gone, its directory knows the time.
            let directory = finding.file.as_deref().and_then(Path::parent).filter(|_| finding.what == What::Removed);
            for place in finding.file.as_deref().into_iter().chain(directory) {
                finding.changed = finding.changed.or(host.meta(place)?.map(|meta| meta.changed));
            }
            all.push(finding);
        }
    }
    Ok(all)
}

fn differences(territory: &Territory, then: &Items, now: &Items) -> Vec<Finding> {
    let names: BTreeSet<&String> = then.keys().chain(now.keys()).collect();
    let mut all = Vec::new();
    for name in names {
        let (was, is) = (then.get(name), now.get(name));
        if same(was, is) {
            continue;
        }
        let what = match (was, is) {
            (None, _) => What::Added,
            (Some(_), Some(_)) => What::Changed,
            (Some(_), None) => What::Removed,
        };
        let Some(shown) = is.or(was) else { continue };
        all.push(Finding {
            id: id(&territory.name, name),
            what,
            text: shown.text.clone(),
            was: was.map(|item| item.text.clone()).filter(|text| what == What::Changed && *text != shown.text),
            file: shown.place.clone(),
            changed: None,
            item: is.cloned(),
        });
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::RealHost;
    use std::collections::BTreeMap;

    #[test]
    fn what_came_what_changed_and_what_went_is_told_and_resources_are_left_to_their_own() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("etc")).unwrap();
        for name in ["etc/new", "etc/edited"] {
            std::fs::write(dir.path().join(name), "x").unwrap();
        }
        let host = RealHost::new(dir.path().into());
        let item = |value: &str, path: &str| Item { value: value.into(), text: value.into(), place: Some(path.into()) };
        let items = |pairs: &[(&str, &str)]| -> Items {
            pairs.iter().map(|(path, value)| ((*path).to_owned(), item(value, path))).collect()
        };
        let of = |pairs: &[(&str, &str)]| Inventory {
            territories: BTreeMap::from([("sudo".to_owned(), items(pairs))]),
            ..Inventory::default()
        };
        let known =
            Known::first(&of(&[("/etc/same", "1"), ("/etc/edited", "1"), ("/etc/gone", "1"), ("/etc/ours", "1")]));
        let now = of(&[("/etc/same", "1"), ("/etc/edited", "2"), ("/etc/new", "1"), ("/etc/ours", "2")]);
        let territory = Territory { name: "sudo".into(), summary: String::new(), kind: Kind::Files(vec![]) };
        let owned = BTreeSet::from([PathBuf::from("/etc/ours")]);
        let found = findings(&host, &[territory], &known, &now, &owned).unwrap();
        let told: Vec<(&str, What, Option<&str>)> =
            found.iter().map(|f| (f.id.as_str(), f.what, f.was.as_deref())).collect();
        let wanted = [
            ("sudo:/etc/edited", What::Changed, Some("1")),
            ("sudo:/etc/gone", What::Removed, None),
            ("sudo:/etc/new", What::Added, None),
        ];
        assert_eq!(told, wanted);
        assert!(found.iter().all(|finding| finding.changed.is_some()));
        let other = Territory { name: "other".into(), summary: String::new(), kind: Kind::Packages };
        assert!(findings(&host, &[other], &known, &now, &owned).unwrap().is_empty(), "never looked at, never found");
    }
}
