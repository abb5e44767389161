//! The kind `timezone`: the `/etc/localtime` link (localtime(5)). Debian 13's tzdata keeps `/etc/timezone` up only
//! where it is there already; so do we. Never through timedated: in a container it moves the clock of the host.

use super::fields;
use super::live;
use super::preimage::{self, Image, Intent, Paths};
use crate::base::ids::ResourceId;
use crate::engine::{Action, Change, Context, Error, Resource, Result, State, UndoRecord};
use crate::host::{Attributes, Host, Kind};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

const LINK: &str = "/etc/localtime";
const NAME_FILE: &str = "/etc/timezone";
const ZONES: &str = "/usr/share/zoneinfo";

/// The host's time zone.
#[derive(Debug)]
pub struct Timezone {
    id: ResourceId,
    zone: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {}

/// What is seen: the zone that the link names, and the name in `/etc/timezone` where that is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Found {
    zone: Option<String>,
    file: Option<String>,
}

impl Timezone {
    /// The time zone `name`.
    ///
    /// # Errors
    /// `manifest-invalid` when it has not the form of a zone's name.
    pub fn from_spec(name: &str, fields: &Map<String, Value>, module: &str) -> Result<Box<dyn Resource>> {
        let Fields {} = fields::read("timezone", name, fields, module)?;
        let word = |w: &str| {
            w.starts_with(|c: char| c.is_ascii_alphabetic())
                && w.chars().all(|c| c.is_ascii_alphanumeric() || "_+-".contains(c))
        };
        if !name.split('/').all(word) {
            return Err(fields::invalid("timezone", name, module, "a zone is named like Europe/Stockholm"));
        }
        Ok(Box::new(Timezone { id: ResourceId::new("timezone", name), zone: name.to_owned() }))
    }

    fn target(&self) -> PathBuf {
        Path::new(ZONES).join(&self.zone)
    }

    /// Refuses a zone that tzdata does not know; without tzdata (`needed`: now it must be there) any may be planned.
    fn must_exist(&self, host: &dyn Host, needed: bool) -> Result<()> {
        let there = |path: &Path| Ok::<bool, Error>(host.meta(path)?.is_some());
        if there(&self.target())? || (!needed && !there(Path::new(ZONES))?) {
            return Ok(());
        }
        Err(Error::refused(
            "timezone-unknown",
            format!("cannot set the time zone {}", self.zone),
            format!("there is no {}", self.target().display()),
        )
        .fix("choose a name that `timedatectl list-timezones` shows (old names are in the package tzdata-legacy)"))
    }
}

impl Resource for Timezone {
    fn id(&self) -> &ResourceId {
        &self.id
    }

    fn paths(&self) -> Vec<PathBuf> {
        vec![PathBuf::from(LINK)]
    }

    fn observe(&self, host: &dyn Host) -> Result<State> {
        self.must_exist(host, false)?;
        let zone = match host.meta(Path::new(LINK))?.map(|meta| meta.kind) {
            Some(Kind::Link(target)) => {
                let text = target.to_string_lossy().into_owned();
                Some(text.split_once("/zoneinfo/").map_or(text.clone(), |(_, zone)| zone.to_owned()))
            }
            Some(_) => Some("a copied file".to_owned()),
            None => None,
        };
        let found = Found { zone, file: live::value(host, Path::new(NAME_FILE))? };
        Ok(State(preimage::to_data("timezone", &found)?))
    }

    fn compare(&self, seen: &State) -> Result<Change> {
        let found: Found = preimage::from_data("timezone", 1, &seen.0)?;
        let wanted = Found { zone: Some(self.zone.clone()), file: found.file.as_ref().map(|_| self.zone.clone()) };
        if found == wanted {
            return Ok(Change::keep(seen));
        }
        let former = found.zone.as_deref().unwrap_or("UTC, which holds without a link");
        let summary = format!("set {} instead of {former}", self.zone);
        Ok(Change::new(Action::Update, summary, preimage::to_data("timezone", &wanted)?))
    }

    fn capture(&self, context: &Context<'_>, seen: &State, _change: &Change) -> Result<UndoRecord> {
        let found: Found = preimage::from_data("timezone", 1, &seen.0)?;
        let link = Image::Link { target: self.target(), attributes: Attributes::root(0o777) };
        let name = Image::file(format!("{}\n", self.zone).as_bytes(), Attributes::root(0o644));
        let mut intents = vec![Intent::new(Path::new(LINK), link)];
        if found.file.is_some() {
            intents.push(Intent::new(Path::new(NAME_FILE), name));
        }
        Paths::capture(context, &intents)?.record()
    }

    fn apply(&self, context: &Context<'_>, seen: &State, _change: &Change) -> Result<()> {
        let host = context.host;
        self.must_exist(host, true)?;
        let found: Found = preimage::from_data("timezone", 1, &seen.0)?;
        host.make_link(Path::new(LINK), &self.target(), &Attributes::root(0o777))?;
        if found.file.is_some() {
            let name = format!("{}\n", self.zone);
            host.write(Path::new(NAME_FILE), name.as_bytes(), &Attributes::root(0o644))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::bench::{Bench, survives_every_crash};

    fn timezone(name: &str) -> Box<dyn Resource> {
        Timezone::from_spec(name, &Map::new(), "test").unwrap()
    }

    fn bench() -> Bench {
        let bench = Bench::new();
        bench.put("/usr/share/zoneinfo/Europe/Stockholm", "TZif");
        bench
    }

    #[test]
    fn the_link_is_set_and_comes_back_and_no_old_file_is_made() {
        let bench = bench();
        std::os::unix::fs::symlink("/usr/share/zoneinfo/Etc/UTC", bench.at(LINK)).unwrap();
        let change = bench.there_and_back(&*timezone("Europe/Stockholm"));
        assert_eq!(change.summary, "set Europe/Stockholm instead of Etc/UTC");
        let _step = bench.step(&*timezone("Europe/Stockholm"));
        assert!(!bench.at(NAME_FILE).exists());
    }

    #[test]
    fn an_old_file_is_kept_in_step_with_the_link_and_a_copied_zone_is_replaced() {
        let bench = bench();
        bench.put(NAME_FILE, "Etc/UTC\n");
        bench.put(LINK, "TZif copied");
        let _ = bench.there_and_back(&*timezone("Europe/Stockholm"));
        let _step = bench.step(&*timezone("Europe/Stockholm"));
        assert_eq!(bench.text(NAME_FILE), "Europe/Stockholm\n");
    }

    #[test]
    fn an_unknown_zone_is_refused_when_planned_and_when_applied() {
        let resource = timezone("Europe/Stokholm");
        let known = bench();
        let refused = |e| matches!(e, Err(Error::Refused { code: "timezone-unknown", .. }));
        assert!(refused(resource.observe(known.host()).map(drop)));
        let empty = Bench::new();
        let (seen, change) = empty.plan(&*resource);
        assert!(refused(resource.apply(&empty.context(), &seen, &change)));
        assert!(Timezone::from_spec("../passwd", &Map::new(), "test").is_err());
    }

    #[test]
    fn no_crash_leaves_half_a_time_zone() {
        survives_every_crash(|| {
            let bench = bench();
            bench.put(NAME_FILE, "Etc/UTC\n");
            (bench, timezone("Europe/Stockholm"))
        });
    }
}
