//! The exact answer to "what would apt do": which packages, versions and bytes. Found while observing, when something
//! is missing; kept in the state, so that the plan can promise it and apply can hold to it.

use super::archive::{Archive, Pending, near_names};
use super::database::Database;
use super::excerpt::Lists;
use super::listing;
use super::simulation::{Item, Problem, Simulation, problems};
use super::weight;
use crate::base::count::counted;
use crate::base::size::bytes;
use crate::engine::{Error, Result};
use crate::host::{Host, Output};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// Room that must be left on every file system that the packages use.
use crate::engine::room::MARGIN;

/// A package that is wanted: who asked for it, and from which release.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted {
    /// The modules that asked for it.
    pub modules: Vec<String>,
    /// A target release such as `trixie-backports`; empty for apt's own choice.
    pub release: String,
}

/// What one package transaction will do.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Solution {
    /// What apt-get is asked for: `name=version`, or `name/release`.
    pub request: Vec<String>,
    /// Packages that are not there.
    pub new: Vec<Item>,
    /// Packages that are there in an older version.
    pub upgrades: Vec<Item>,
    /// Bytes to download, were nothing cached.
    pub download: u64,
    /// Bytes that the new packages take.
    pub installed: u64,
    /// apt's own lists are missing, old, or lack a planned source: they are fetched first.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub refresh: bool,
    /// No archive could be reached: this was found in lists that were fetched before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub offline: bool,
}

impl Solution {
    /// Solves for the `missing` packages and the `pending` security updates; `dependencies`, which are there, are to be
    /// marked as wanted by the same call.
    ///
    /// Refuses with `package-unknown`, `package-conflict`, `disk-full`.
    pub fn find(
        host: &dyn Host,
        archive: Archive,
        database: &Database,
        missing: &BTreeMap<String, Wanted>,
        pending: &[Pending],
        dependencies: &[(String, String)],
    ) -> Result<Solution> {
        let mut request: Vec<String> = Vec::new();
        for (name, wanted) in missing {
            let release = if wanted.release.is_empty() { String::new() } else { format!("/{}", wanted.release) };
            request.push(format!("{name}{release}"));
        }
        let updates = pending.iter().filter(|p| !missing.contains_key(&p.name));
        request.extend(updates.map(|p| format!("{}={}", p.name, p.available)));
        let (lists, (output, simulation)) = Lists::attempt(
            host,
            archive,
            database,
            &request,
            |lists| solve(host, lists, database, &request),
            |(output, simulation)| output.code == 0 && simulation.remove.is_empty(),
        )?;
        if output.code != 0 {
            return Err(refusal(host, archive, missing, &output)?);
        }
        if !simulation.remove.is_empty() {
            return Err(conflict(missing, format!("apt would remove {}", simulation.remove.join(", "))));
        }
        let mut items = simulation.install;
        for name in missing.keys() {
            if !items.iter().any(|i| i.name == *name) {
                return Err(virtual_name(missing, name, &output.text()));
            }
        }
        weight::weigh(host, &lists, database.architecture(), &mut items)?;
        let (mut upgrades, new): (Vec<Item>, Vec<Item>) = items.into_iter().partition(|i| i.old.is_some());
        weight::find_old(host, &lists, &mut upgrades)?;
        let mut exact = request;
        for asked in &mut exact {
            if let Some(item) = new.iter().chain(&upgrades).find(|i| i.name == *asked) {
                *asked = format!("{}={}", item.name, item.version);
            }
        }
        // Those that stay as they are, in the version that they have: apt does nothing but mark them.
        let stay = dependencies.iter().filter(|(name, _)| !new.iter().chain(&upgrades).any(|i| i.name == *name));
        exact.extend(stay.map(|(name, version)| format!("{name}={version}")));
        let solution = Solution {
            request: exact,
            download: new.iter().chain(&upgrades).map(|i| i.download).sum(),
            installed: new.iter().map(|i| i.installed).sum(),
            new,
            upgrades,
            refresh: archive == Archive::Private,
            offline: false,
        };
        solution.check_room(host)?;
        Ok(solution)
    }

    /// Everything that will be put in, by name.
    pub fn items(&self) -> impl Iterator<Item = &Item> {
        self.new.iter().chain(&self.upgrades)
    }

    /// The version of `name` once this is done.
    pub fn version_of(&self, name: &str) -> Option<&str> {
        self.items().find(|i| i.name == name).map(|i| i.version.as_str())
    }

    /// The lists that this was found in.
    pub fn archive(&self) -> Archive {
        if self.refresh { Archive::Private } else { Archive::Own }
    }

    /// The lists of `archive` that apt is to install from: an excerpt that leads to what was planned, else all. Where these
    /// were just fetched, they must lead to it.
    pub fn lists(&self, host: &dyn Host, archive: Archive, database: &Database) -> Result<Lists> {
        let lists = Lists::for_request(host, archive, database, &self.request)?;
        if lists.is_excerpt() && self.recheck(host, &lists, database).is_ok() {
            return Ok(lists);
        }
        let lists = Lists::whole(archive);
        if archive != self.archive() {
            self.recheck(host, &lists, database)?;
        }
        Ok(lists)
    }

    /// Solves again: every step must be one that was planned. Fewer are fine: a transaction that is resumed has done
    /// some.
    fn recheck(&self, host: &dyn Host, lists: &Lists, database: &Database) -> Result<()> {
        let (output, simulation) = solve(host, lists, database, &self.request)?;
        let planned = |i: &Item| self.version_of(&i.name) == Some(&i.version);
        let strangers: Vec<String> =
            simulation.install.iter().filter(|i| !planned(i)).map(|i| format!("{} {}", i.name, i.version)).collect();
        if output.code == 0 && strangers.is_empty() && simulation.remove.is_empty() {
            return Ok(());
        }
        let why = if output.code == 0 {
            format!("the archives changed since: {} {}", strangers.join(", "), simulation.remove.join(", "))
        } else {
            let problems = problems(&output.text(), &String::from_utf8_lossy(&output.stderr));
            format!("the archives changed since: {problems:?}")
        };
        Err(Error::refused("plan-outdated", "cannot install the packages as planned", why)
            .fix("make a new plan and apply it"))
    }

    /// How many bytes go where.
    pub fn room(&self) -> [(&'static str, u64); 2] {
        [("/var/cache/apt/archives", self.download), ("/usr", self.installed)]
    }

    /// The room that the packages need, on each file system that they use.
    pub fn check_room(&self, host: &dyn Host) -> Result<()> {
        let mut devices: BTreeMap<u64, (u64, u64, Vec<&str>)> = BTreeMap::new();
        for (path, bytes) in self.room() {
            let space = host.space(Path::new(path))?;
            let entry = devices.entry(space.device).or_insert((space.available, MARGIN, Vec::new()));
            entry.1 += bytes;
            entry.2.push(path);
        }
        for (available, needed, on) in devices.into_values() {
            if available < needed {
                let what = format!("cannot install {}", counted(self.new.len() + self.upgrades.len(), "package"));
                let why = format!("{} need {}, and {} is free", on.join(" and "), bytes(needed), bytes(available));
                return Err(Error::refused("disk-full", what, why)
                    .fix(format!(
                        "free {} (apt-get clean; journalctl --vacuum-size=100M), or enlarge the disk",
                        bytes(needed - available)
                    ))
                    .fix("or leave modules out with --skip"));
            }
        }
        Ok(())
    }
}

/// What apt-get says that it would do, and what it said.
fn solve(host: &dyn Host, lists: &Lists, database: &Database, request: &[String]) -> Result<(Output, Simulation)> {
    let mut command = lists.command("apt-get").args(listing::OPTIONS).arg("--no-install-recommends");
    if !database.unfinished().is_empty() || !database.unmet().is_empty() {
        command = command.arg("--fix-broken");
    }
    command = command.arg("install").args(request.iter().cloned()).accept(&[0, 100]);
    let output = host.look(&command.timeout(std::time::Duration::from_secs(120)))?;
    let simulation = listing::parse(&output.text());
    Ok((output, simulation))
}

/// The modules that asked for a package, in words, and the first of them.
fn asked(missing: &BTreeMap<String, Wanted>, name: &str) -> (String, Option<String>) {
    let modules = missing.get(name).map(|w| w.modules.clone()).unwrap_or_default();
    (
        if modules.is_empty() { "the security updates".to_owned() } else { format!("module {}", modules.join(", ")) },
        modules.into_iter().next(),
    )
}

fn refusal(host: &dyn Host, archive: Archive, missing: &BTreeMap<String, Wanted>, output: &Output) -> Result<Error> {
    let found = problems(&output.text(), &String::from_utf8_lossy(&output.stderr));
    let (mut why, mut fixes, mut module) = (Vec::new(), Vec::new(), None);
    for problem in &found {
        let (name, line) = match problem {
            Problem::Unknown(name) => (name, format!("no archive of this host has a package {name}")),
            Problem::NoVersion { name, wanted } => (name, format!("no archive of this host has {name} in {wanted}")),
            Problem::Other(_) => continue,
        };
        let (who, first) = asked(missing, name);
        why.push(format!("{line}; {who} asks for it"));
        module = module.or(first);
        let near = near_names(host, archive, name)?;
        if matches!(problem, Problem::Unknown(_)) && !near.is_empty() {
            fixes.push(format!("near names: {}", near.join(", ")));
        }
    }
    if why.is_empty() {
        let others: Vec<String> = found.into_iter().map(|p| format!("{p:?}")).collect();
        return Ok(conflict(missing, others.join("; ")));
    }
    fixes.push("correct the name in the module or its options, or add the archive that has it".to_owned());
    Ok(Error::Refused {
        code: "package-unknown",
        what: "cannot plan the packages".to_owned(),
        why: why.join("; "),
        fix: fixes,
        module,
    })
}

fn conflict(missing: &BTreeMap<String, Wanted>, why: String) -> Error {
    let module =
        missing.iter().find(|(name, _)| why.contains(name.as_str())).and_then(|(_, w)| w.modules.first().cloned());
    Error::Refused {
        code: "package-conflict",
        what: "cannot plan the packages".to_owned(),
        why,
        fix: vec!["remove the package that stands in the way yourself, or leave the module out with --skip".to_owned()],
        module,
    }
}

fn virtual_name(missing: &BTreeMap<String, Wanted>, name: &str, text: &str) -> Error {
    let chosen = text.lines().find_map(|l| l.strip_prefix("Note, selecting '")?.split_once("' instead of '"));
    let (who, module) = asked(missing, name);
    let fix = chosen
        .filter(|(_, virtual_name)| virtual_name.trim_end_matches('\'') == name)
        .map(|(real, _)| format!("name {real} in its place"));
    Error::Refused {
        code: "package-unknown",
        what: "cannot plan the packages".to_owned(),
        why: format!("{name} is only another package's second name; {who} asks for it"),
        fix: fix.into_iter().collect(),
        module,
    }
}
