//! What the package archives offer: apt's own lists, or lists of our own where a plan needs some that apt doesn't have.
//!
//! Planning changes nothing of apt's: when its lists are missing, older than a day, or don't know a source that the
//! same plan will add, the plan fetches its own to [`paths::APT_LISTS`], from a copy of the sources. That is the one
//! thing that `observe` writes, a cache that may be deleted at any time; so the programs that do it are run by
//! [`Host::look`], which a dry run allows.

use super::database::{Database, field, paragraphs};
use super::failure;
use super::simulation::{Item, Simulation};
use crate::base::digest::Digest;
use crate::base::{paths, version};
use crate::engine::{Error, Result};
use crate::host::{Command, Host, Kind, Meta, if_there, read_if_there, read_text, text_of};
use memchr::memmem;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// apt's lists.
const OWN_LISTS: &str = "/var/lib/apt/lists";
/// apt's sources.
const SOURCES: &str = "/etc/apt/sources.list.d";
/// The mode of what apt's own user must read: lists and keys.
const FOR_ALL: u32 = 0o644;
/// The mode of what only root must.
const ROOTS_OWN: u32 = 0o600;
/// Lists older than this are fetched anew before something is installed: mirrors drop superseded files in time.
const FRESH: Duration = Duration::from_secs(24 * 3600);
/// So much of a list is held at once, in bytes.
const PART: usize = 64 << 10;
/// What fetching lists may take.
const UPDATE_TIME: Duration = Duration::from_secs(300);

/// An apt source that the same plan will put in place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedSource {
    /// Where its deb822 file will be.
    pub path: PathBuf,
    /// The text of that file.
    pub text: String,
    /// Where its key will be, as the text names it after `Signed-By`.
    pub key_path: PathBuf,
    /// The key, its fingerprint checked.
    pub key: Vec<u8>,
}

/// A package of which Debian-Security has a newer version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// Its name.
    pub name: String,
    /// The version that is there.
    pub installed: String,
    /// The version that should be.
    pub available: String,
    /// It came in as a dependency, and that is what it stays.
    #[serde(default)]
    pub auto: bool,
}

/// What this run knows of the hosts that the archives are on: who didn't answer is not asked again and again. A copy knows
/// what the original knows.
#[derive(Debug, Clone, Default)]
pub struct Reach(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    is_off: bool,
    answered: bool,
    silent: Vec<String>,
    alone: BTreeSet<String>,
}

impl Reach {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An archive that is needed gives no answer: what was fetched before must do.
    pub fn is_off(&self) -> bool {
        self.known().is_off
    }

    /// These gave no answer, and it is gone on without them.
    pub fn set_off(&self, error: &Error) {
        let mut known = self.known();
        known.is_off = true;
        if let Error::Unreachable { hosts, .. } = error {
            known.silent.extend(hosts.iter().cloned());
        }
    }

    /// An archive that is needed is left alone: what was fetched before must do.
    pub fn go_without(&self) {
        self.known().is_off = true;
    }

    /// Whether these are all among the hosts that are done without.
    fn may_lack(&self, error: &Error) -> bool {
        let known = self.known();
        matches!(error, Error::Unreachable { hosts, .. } if !hosts.is_empty() && hosts.iter().all(|it| known.alone.contains(it)))
    }

    /// All that were asked answered.
    pub fn set_answered(&self) {
        self.known().answered = true;
    }

    /// These are done without: that they don't answer is no failure.
    pub fn leave_alone(&self, hosts: impl IntoIterator<Item = String>) {
        self.known().alone.extend(hosts);
    }

    /// Whether all that were asked since the last call answered, and who was done without.
    pub fn take(&self) -> (bool, Vec<String>) {
        let mut known = self.known();
        (std::mem::take(&mut known.answered), std::mem::take(&mut known.silent))
    }
}

/// The lists that a plan is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Archive {
    /// apt's own.
    Own,
    /// Ours, fetched for the plan.
    Private,
}

impl Archive {
    /// The lists to solve with, fetched if need be: apt's own when they are fresh and know every source. When nobody can
    /// be reached, older ones that know every source.
    pub fn for_solving(host: &dyn Host, sources: &[PlannedSource], reach: &Reach) -> Result<Archive> {
        let planned: Vec<&PlannedSource> = missing(host, sources)?;
        if planned.is_empty() && Archive::Own.is_fresh(host)? {
            return Ok(Archive::Own);
        }
        Archive::fetch_private(host, &planned, reach)
    }

    /// The lists to look for security updates in, whatever their age: a host where nothing else is to be done goes
    /// on its own lists, which apt's timer keeps fresh; only where there are none they are fetched.
    pub fn for_looking(host: &dyn Host, reach: &Reach) -> Result<Archive> {
        if Archive::Own.releases(host)?.is_empty() { Archive::for_solving(host, &[], reach) } else { Ok(Archive::Own) }
    }

    pub(super) fn dir(self) -> &'static Path {
        Path::new(match self {
            Archive::Own => OWN_LISTS,
            Archive::Private => paths::APT_LISTS,
        })
    }

    /// apt's options for these lists.
    pub fn options(self) -> Vec<String> {
        if self == Archive::Own {
            return Vec::new();
        }
        let set = |name: &str, value: &str| ["-o".to_owned(), format!("{name}={value}")];
        [
            set("Dir::State::lists", paths::APT_LISTS),
            set("Dir::Etc::sourceparts", paths::APT_SOURCES),
            set("Dir::Cache::pkgcache", ""),
            set("Dir::Cache::srcpkgcache", ""),
        ]
        .concat()
    }

    /// Where apt finds the sources of these lists, when it isn't where it always does.
    pub(super) fn sources(self) -> Option<&'static str> {
        (self == Archive::Private).then_some(paths::APT_SOURCES)
    }

    /// The last `apt-get update` made or removed something in `partial`, even when nothing was new.
    fn is_fresh(self, host: &dyn Host) -> Result<bool> {
        let Some(partial) = host.meta(&self.dir().join("partial"))? else {
            return Ok(false);
        };
        let age = host.now().saturating_sub(partial.modified);
        let fresh = i128::try_from(FRESH.as_nanos()).unwrap_or(i128::MAX);
        Ok(age < fresh && !self.releases(host)?.is_empty())
    }

    /// The names of the Release files among the lists.
    fn releases(self, host: &dyn Host) -> Result<Vec<String>> {
        let names = host.list(self.dir())?.into_iter().filter_map(|n| n.into_string().ok());
        Ok(names.filter(|n| n.ends_with("_InRelease") || n.ends_with("_Release")).collect())
    }

    fn fetch_private(host: &dyn Host, planned: &[&PlannedSource], reach: &Reach) -> Result<Archive> {
        // With their modes: apt reads sources as root, and one that is root's alone may hold a password.
        let mut files: BTreeMap<PathBuf, (Vec<u8>, u32)> = BTreeMap::new();
        let target = Path::new(paths::APT_SOURCES);
        for name in host.list(Path::new(SOURCES))? {
            let path = Path::new(SOURCES).join(&name);
            let mode = match host.meta(&path)? {
                Some(Meta { kind: Kind::File, attributes, .. }) => attributes.mode & FOR_ALL,
                _ => ROOTS_OWN,
            };
            if let Some(content) = read_if_there(host, &path)? {
                files.insert(target.join(&name), (content, mode));
            }
        }
        for source in planned {
            let name = source.path.file_name().unwrap_or_default();
            let key = target.join(source.key_path.file_name().unwrap_or_default());
            let text = source.text.replace(&source.key_path.display().to_string(), &key.display().to_string());
            files.insert(key, (source.key.clone(), FOR_ALL));
            files.insert(target.join(name), (text.into_bytes(), FOR_ALL));
        }
        let mut all = read_if_there(host, Path::new("/etc/apt/sources.list"))?.unwrap_or_default();
        for (path, (content, _)) in &files {
            all.extend(format!("\n{}\n", path.display()).bytes().chain(content.iter().copied()));
        }
        let stamp = Digest::of(&all);
        let stamped = read_if_there(host, Path::new(paths::APT_SOURCES_DIGEST))?;
        let is_same = stamped.as_deref() == Some(stamp.as_str().as_bytes());
        if is_same && Archive::Private.is_fresh(host)? {
            return Ok(Archive::Private);
        }
        // What was fetched for just these sources; else apt's own, where they know all of them.
        let older = if is_same { Some(Archive::Private) } else { planned.is_empty().then_some(Archive::Own) };
        let older = match older {
            Some(older) if !older.releases(host)?.is_empty() => Some(older),
            _ => None,
        };
        if reach.is_off() {
            let why = "the archives are left alone, and no lists that were fetched before know every source";
            return older.ok_or_else(|| Error::Unreachable {
                what: "the package lists".to_owned(),
                hosts: Vec::new(),
                why: why.to_owned(),
            });
        }
        if !is_same {
            // From here on until they are fetched the lists are those of no sources.
            let strangers = host.list(target)?.into_iter().map(|name| target.join(name));
            for path in strangers.filter(|path| !files.contains_key(path)).chain([paths::APT_SOURCES_DIGEST.into()]) {
                host.look(&Command::new("rm").arg("-f").arg(path.display().to_string()))?;
            }
        }
        let partial = Path::new(paths::APT_LISTS).join("partial");
        let mode = format!("{:04o}", paths::CACHE_MODE);
        for dirs in [[Path::new(paths::CACHE), Path::new(paths::APT_SOURCES)], [Path::new(paths::APT_LISTS), &partial]]
        {
            let dirs = dirs.map(|dir| dir.display().to_string());
            host.look(&Command::new("install").args(["-d", "-m", &mode]).args(dirs))?;
        }
        for (path, (content, mode)) in &files {
            copy_with(host, path, content, *mode)?;
        }
        match (update(host, Archive::Private, reach, &mut |command| Ok(host.look(command)?)), older) {
            (Ok(()), _) => {
                copy(host, Path::new(paths::APT_SOURCES_DIGEST), stamp.as_str().as_bytes())?;
                Ok(Archive::Private)
            }
            (Err(error), Some(older)) if failure::is_network(&error) => {
                reach.set_off(&error);
                Ok(older)
            }
            (Err(error), _) => Err(error),
        }
    }

    /// What Debian-Security has newer than is installed. Held packages are the administrator's business.
    pub fn security(self, host: &dyn Host, database: &Database) -> Result<Vec<Pending>> {
        let mut newest: BTreeMap<String, Pending> = BTreeMap::new();
        let names: Vec<String> = host.list(self.dir())?.into_iter().filter_map(|n| n.into_string().ok()).collect();
        for release in self.releases(host)? {
            let text = read_text(host, self.dir().join(&release))?;
            if !text.lines().take(40).any(|l| l == "Label: Debian-Security") {
                continue;
            }
            let prefix = release.trim_end_matches("InRelease").trim_end_matches("Release");
            let lists = names.iter().filter(|n| n.starts_with(prefix) && n.contains("_binary-"));
            for list in lists {
                if !list.ends_with("_Packages") {
                    return self.security_by_apt(host, database);
                }
                let mut keep = |text: &[u8]| {
                    for pending in paragraphs(&text_of(text)).filter_map(|one| newer(one, database)) {
                        let known = newest.get(&pending.name);
                        if known.is_none_or(|k| version::compare(&k.available, &pending.available) == Ordering::Less) {
                            newest.insert(pending.name.clone(), pending);
                        }
                    }
                };
                let mut left = Vec::new();
                if_there(host.read_parts(&self.dir().join(list), PART, &mut |part| {
                    left.extend_from_slice(part);
                    let whole = memmem::rfind(&left, b"\n\n").unwrap_or(0);
                    keep(&left[..whole]);
                    left.drain(..whole);
                    ControlFlow::Continue(())
                }))?;
                keep(&left);
            }
        }
        Ok(newest.into_values().collect())
    }

    /// The same where the lists are kept compressed (`Acquire::GzipIndexes`, as in container images): apt reads them.
    fn security_by_apt(self, host: &dyn Host, database: &Database) -> Result<Vec<Pending>> {
        let args = ["-s", "-o", "APT::Get::Show-User-Simulation-Note=no", "--no-install-recommends"];
        let output =
            host.look(&Command::new("apt-get").args(args).args(self.options()).args(["--with-new-pkgs", "upgrade"]))?;
        let simulation = Simulation::parse(&output.text());
        let items = simulation.install.iter().filter(|i| simulation.from_security.contains(&i.name));
        let pending = |item: &Item| {
            let installed = item.old.clone()?;
            let auto = database.known(&item.name).is_some_and(|p| p.auto);
            Some(Pending { name: item.name.clone(), installed, available: item.version.clone(), auto })
        };
        Ok(items.filter_map(pending).collect())
    }
}

/// The planned sources that apt's own lists can't know: they are not in place as they will be, or came after the lists.
fn missing<'a>(host: &dyn Host, sources: &'a [PlannedSource]) -> Result<Vec<&'a PlannedSource>> {
    let fetched = host.meta(&Archive::Own.dir().join("partial"))?.map_or(0, |partial| partial.modified);
    let mut missing = Vec::new();
    for source in sources {
        let is_newer = host.meta(&source.path)?.is_none_or(|meta| meta.changed > fetched);
        if is_newer || read_if_there(host, &source.path)?.as_deref() != Some(source.text.as_bytes()) {
            missing.push(source);
        }
    }
    Ok(missing)
}

/// Fetches the lists of `archive`; `run` runs the program (by `look` for our own lists, by `run` for apt's).
pub fn update(
    host: &dyn Host,
    archive: Archive,
    reach: &Reach,
    run: &mut dyn FnMut(&Command) -> Result<crate::host::Output>,
) -> Result<()> {
    // Without --error-on=any, apt-get ends well although a signature is bad or a mirror can't be reached, when it
    // has older lists.
    let command = Command::new("apt-get")
        .args(["-q", "--error-on=any", "-o", "Acquire::Languages=none", "-o", "Acquire::Retries=2"])
        .args(archive.options())
        .arg("update")
        .accept(&[0, 100])
        .timeout(UPDATE_TIME);
    let output = run(&command)?;
    if output.code == 0 {
        reach.set_answered();
        return Ok(());
    }
    let text = format!("{}{}", output.text(), String::from_utf8_lossy(&output.stderr));
    let has_lists = !archive.releases(host)?.is_empty();
    let error = failure::of_update(&text, has_lists);
    // apt has fetched the lists of all the others by then.
    if reach.may_lack(&error) { Ok(()) } else { Err(error) }
}

pub(super) fn copy(host: &dyn Host, path: &Path, content: &[u8]) -> Result<()> {
    copy_with(host, path, content, FOR_ALL)
}

fn copy_with(host: &dyn Host, path: &Path, content: &[u8], mode: u32) -> Result<()> {
    let mode = format!("{mode:04o}");
    let args = ["-D", "-m", &mode, "/dev/stdin"];
    host.look(&Command::new("install").args(args).arg(path.display().to_string()).stdin(content))?;
    Ok(())
}

/// The security update that a paragraph of a Packages list is for an installed package.
fn newer(paragraph: &str, database: &Database) -> Option<Pending> {
    let name = field(paragraph, "Package")?;
    let installed = database.installed(name).filter(|p| !p.held)?;
    let architecture = field(paragraph, "Architecture")?;
    if architecture != "all" && architecture != database.architecture() {
        return None;
    }
    let available = field(paragraph, "Version")?;
    (version::compare(&installed.version, available) == Ordering::Less).then(|| Pending {
        name: name.to_owned(),
        installed: installed.version.clone(),
        available: available.to_owned(),
        auto: installed.auto,
    })
}

/// Names like `name` among all that the archives offer, best first.
pub fn near_names(host: &dyn Host, archive: Archive, name: &str) -> Result<Vec<String>> {
    let output = host.look(&Command::new("apt-cache").args(archive.options()).arg("pkgnames").accept(&[0, 100]))?;
    Ok(nearest(&output.text(), name))
}

fn nearest(names: &str, name: &str) -> Vec<String> {
    let score = |n: &str| strsim::jaro_winkler(n, name);
    let mut near: Vec<(f64, &str)> = names.lines().map(|n| (score(n), n)).filter(|(s, _)| *s > 0.9).collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    near.into_iter().take(3).map(|(_, n)| n.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::bench::Bench;

    #[test]
    fn near_names_are_the_likely_slips_of_the_pen() {
        let names = "fail2ban\nfailban\nnginx\nngircd\nzsh\n";
        assert_eq!(nearest(names, "fail2bann"), ["fail2ban", "failban"]);
        assert!(nearest(names, "qqqq").is_empty());
    }

    #[test]
    fn only_newer_versions_of_installed_packages_are_security_updates() {
        let database = Database::parse(
            "Package: dpkg\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\n\n\
            Package: curl\nStatus: install ok installed\nArchitecture: amd64\nVersion: 8.14.1-2\n",
            "",
        );
        let paragraph = |version: &str, architecture: &str| {
            format!("Package: curl\nVersion: {version}\nArchitecture: {architecture}\n")
        };
        assert!(newer(&paragraph("8.14.1-2+deb13u7", "amd64"), &database).is_some());
        assert!(newer(&paragraph("8.14.1-2", "amd64"), &database).is_none());
        assert!(newer(&paragraph("9", "arm64"), &database).is_none());
    }

    #[test]
    fn what_is_newer_is_found_wherever_it_stands_in_a_list_that_is_read_in_parts() {
        let bench = Bench::new();
        let lists = "/var/lib/apt/lists";
        bench.put(&format!("{lists}/sec_InRelease"), "Origin: Debian\nLabel: Debian-Security\n");
        let paragraph = |n: usize| {
            format!("Package: p{n}\nVersion: 2\nArchitecture: all\nDescription: {}\n", "ü".repeat(1 + n * 37 % 900))
        };
        let list: Vec<String> = (0..400).map(paragraph).collect();
        assert!(list.concat().len() > 3 * PART);
        bench.put(&format!("{lists}/sec_main_binary-amd64_Packages"), list.join("\n"));
        let installed =
            |n: usize| format!("Package: p{n}\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n");
        let status: Vec<String> = (0..400).map(installed).collect();
        let database = Database::parse(&status.join("\n"), "");
        let mut found: Vec<String> =
            Archive::Own.security(bench.host(), &database).unwrap().into_iter().map(|one| one.name).collect();
        found.sort_by_key(|name| name[1..].parse::<usize>().unwrap());
        assert_eq!(found, (0..400).map(|n| format!("p{n}")).collect::<Vec<_>>());
    }
}
