//! apt's cache of packages: what lies there, whether it is what the archives vouch for, and how much of it stays.
//!
//! apt verifies what it fetches, and takes by its size alone what it finds in its cache. So whatever is about to be
//! installed from there is digested first and held against the lists, which are signed; what differs is removed, and apt
//! fetches it anew.
//!
//! A file counts as used when it came and each time that it was installed from: its attributes are then set anew, as they
//! are, which moves the one time of a file that nothing sets back (`st_ctime`). When it was read says nothing here:
//! backups read, too, and many file systems don't note it down.

use super::archive::Archive;
use super::database::{Database, field};
use super::excerpt::Lists;
use super::simulation::Item;
use super::weight::paragraphs_about;
use crate::base::digest::Digest;
use crate::engine::Result;
use crate::host::{Error, Host, digest_if_there, read_if_there};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Where apt keeps the files of packages.
pub const ARCHIVES: &str = "/var/cache/apt/archives";
/// Who holds it may put files there or take them from there.
const LOCK: &str = "/var/cache/apt/archives/lock";

/// A package's file in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cached {
    /// Where it is.
    pub path: PathBuf,
    /// Which package.
    pub key: Key,
    /// Its size in bytes.
    pub size: u64,
    /// When it came or was installed from last, nanoseconds since the epoch.
    pub used: i128,
    /// Just this version is installed: the way back from an upgrade may hang on it, once no archive has it any more.
    pub is_installed: bool,
}

/// One version of one package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// Its name, without an architecture.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its architecture, `all` among them.
    pub architecture: String,
}

/// What the archives say of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is theirs, byte for byte.
    Good,
    /// It has another content than theirs.
    Damaged,
    /// No list has this version any more, or no list is there.
    Unknown,
}

impl Verdict {
    /// In a word.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Good => "good",
            Verdict::Damaged => "damaged",
            Verdict::Unknown => "unknown",
        }
    }
}

/// Where apt keeps the file of a package that it downloaded.
pub fn cached_deb(name: &str, version: &str, architecture: &str) -> PathBuf {
    let bare = name.split(':').next().unwrap_or_default();
    Path::new(ARCHIVES).join(format!("{bare}_{}_{architecture}.deb", version.replace(':', "%3a")))
}

impl Key {
    fn of(item: &Item) -> Key {
        Key {
            name: item.name.split(':').next().unwrap_or_default().to_owned(),
            version: item.version.clone(),
            architecture: item.architecture.clone(),
        }
    }

    /// Read from the name of its file.
    fn parse(file: &str) -> Option<Key> {
        let mut parts = file.strip_suffix(".deb")?.split('_');
        let (name, version, architecture) = (parts.next()?, parts.next()?, parts.next()?);
        let version = version.replace("%3a", ":");
        parts.next().is_none().then(|| Key { name: name.into(), version, architecture: architecture.into() })
    }

    /// As apt is asked for it.
    fn asked(&self) -> String {
        match self.architecture.as_str() {
            "all" => format!("{}={}", self.name, self.version),
            architecture => format!("{}:{architecture}={}", self.name, self.version),
        }
    }

    fn path(&self) -> PathBuf {
        cached_deb(&self.name, &self.version, &self.architecture)
    }
}

/// All that lies in the cache, in the order in which it may go: what was not used for longest first, and what is
/// installed after all the rest.
pub fn list(host: &dyn Host) -> Result<Vec<Cached>> {
    let database = Database::read(host)?;
    let mut all = Vec::new();
    for key in host.list(Path::new(ARCHIVES))?.iter().filter_map(|name| Key::parse(name.to_str()?)) {
        let path = key.path();
        let Some(meta) = host.meta(&path)? else { continue };
        let foreign = format!("{}:{}", key.name, key.architecture);
        let known = [&key.name, &foreign].into_iter().filter_map(|name| database.installed(name));
        let is_installed = known.into_iter().any(|it| it.version == key.version && it.architecture == key.architecture);
        all.push(Cached { path, key, size: meta.size, used: meta.changed, is_installed });
    }
    all.sort_by(|a, b| (a.is_installed, a.used, &a.key).cmp(&(b.is_installed, b.used, &b.key)));
    Ok(all)
}

/// What the lists of this host, apt's and those of the last plan, say of each.
pub fn verify(host: &dyn Host, files: &[Cached]) -> Result<Vec<Verdict>> {
    let keys: BTreeSet<&Key> = files.iter().map(|file| &file.key).collect();
    let mut known = vouched(host, &Lists::whole(Archive::Own), &keys)?;
    for (key, digests) in vouched(host, &Lists::whole(Archive::Private), &keys)? {
        known.entry(key).or_default().extend(digests);
    }
    files.iter().map(|file| verdict(host, &file.path, known.get(&file.key))).collect()
}

/// Removes what may go until no more than `limit` bytes are left, and says what went. `None`: there is too much, and
/// somebody else works with the cache.
pub fn trim(host: &dyn Host, limit: u64) -> Result<Option<Vec<Cached>>> {
    let mut files = list(host)?;
    let mut total: u64 = files.iter().map(|file| file.size).sum();
    if total <= limit {
        return Ok(Some(Vec::new()));
    }
    let _lock = match host.lock_fcntl(Path::new(LOCK)) {
        Ok(lock) => lock,
        Err(Error::Locked { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut gone = 0;
    for file in &files {
        if total <= limit {
            break;
        }
        host.remove(&file.path)?;
        total = total.saturating_sub(file.size);
        gone += 1;
    }
    files.truncate(gone);
    Ok(Some(files))
}

/// Whether all of them lie there.
pub(super) fn holds<'i>(host: &dyn Host, items: impl Iterator<Item = &'i Item>) -> Result<bool> {
    for item in items {
        if host.meta(&Key::of(item).path())?.is_none() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Notes that they were used now.
pub(super) fn mark_used<'i>(host: &dyn Host, items: impl Iterator<Item = &'i Item>) -> Result<()> {
    for path in items.map(|item| Key::of(item).path()) {
        if let Some(meta) = host.meta(&path)? {
            host.set_attributes(&path, &meta.attributes)?;
        }
    }
    Ok(())
}

/// The files that were found to be good, with their times of change: each is digested once in a run. A copy remembers
/// with the original.
#[derive(Debug, Clone, Default)]
pub(super) struct Checked(Arc<Mutex<BTreeMap<PathBuf, i128>>>);

impl Checked {
    /// Removes from the cache what apt would take for one of `items` and `lists` don't vouch for. Returns the names of
    /// what it was.
    pub fn remove_strangers<'i>(
        &self,
        host: &dyn Host,
        lists: &Lists,
        items: impl Iterator<Item = &'i Item>,
    ) -> Result<Vec<String>> {
        let mut good = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut open = BTreeMap::new();
        for key in items.map(Key::of) {
            let path = key.path();
            let changed = host.meta(&path)?.map(|meta| meta.changed);
            if let Some(changed) = changed.filter(|changed| good.get(&path) != Some(changed)) {
                open.insert(key, (path, changed));
            }
        }
        let mut removed = Vec::new();
        let known = vouched(host, lists, &open.keys().collect())?;
        for (key, (path, changed)) in open {
            if verdict(host, &path, known.get(&key))? == Verdict::Good {
                good.insert(path, changed);
            } else {
                host.remove(&path)?;
                removed.push(format!("{} {}", key.name, key.version));
            }
        }
        Ok(removed)
    }

    /// Takes those of `items` that lie there for good: apt, which verifies what it fetches, has just done so, and what
    /// was there before has been [looked at](Self::remove_strangers).
    pub fn note_fetched<'i>(&self, host: &dyn Host, items: impl Iterator<Item = &'i Item>) -> Result<()> {
        let mut good = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for path in items.map(|item| Key::of(item).path()) {
            if let Some(meta) = host.meta(&path)? {
                good.insert(path, meta.changed);
            }
        }
        Ok(())
    }
}

fn verdict(host: &dyn Host, path: &Path, known: Option<&BTreeSet<Digest>>) -> Result<Verdict> {
    let Some(known) = known else { return Ok(Verdict::Unknown) };
    let is_theirs = digest_if_there(host, path)?.is_some_and(|digest| known.contains(&digest));
    Ok(if is_theirs { Verdict::Good } else { Verdict::Damaged })
}

/// The digests that the lists have for each of `keys`: more than one where two archives have different files of one
/// version.
fn vouched(host: &dyn Host, lists: &Lists, keys: &BTreeSet<&Key>) -> Result<BTreeMap<Key, BTreeSet<Digest>>> {
    let mut known: BTreeMap<Key, BTreeSet<Digest>> = BTreeMap::new();
    if keys.is_empty() {
        return Ok(known);
    }
    let names: BTreeSet<String> = keys.iter().map(|key| key.name.clone()).collect();
    for list in host.list(lists.dir())?.into_iter().filter_map(|name| name.into_string().ok()) {
        if list.ends_with("_Packages") {
            let text = read_if_there(host, lists.dir().join(&list))?.unwrap_or_default();
            take(&text, &names, keys, &mut known);
        }
    }
    let left: Vec<String> = keys.iter().filter(|key| !known.contains_key(**key)).map(|key| key.asked()).collect();
    if !left.is_empty() {
        // Lists may be kept compressed (Acquire::GzipIndexes): apt reads them.
        let output = host.look(&lists.command("apt-cache").arg("show").args(left).accept(&[0, 100]))?;
        take(&output.stdout, &names, keys, &mut known);
    }
    Ok(known)
}

fn take(text: &[u8], names: &BTreeSet<String>, keys: &BTreeSet<&Key>, known: &mut BTreeMap<Key, BTreeSet<Digest>>) {
    for (name, paragraph) in paragraphs_about(text, names) {
        let [version, architecture] =
            ["Version", "Architecture"].map(|it| field(&paragraph, it).unwrap_or_default().to_owned());
        let key = Key { name, version, architecture };
        if let (true, Some(digest)) = (keys.contains(&key), field(&paragraph, "SHA256").and_then(Digest::parse)) {
            known.entry(key).or_default().insert(digest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::bench::Bench;

    const LIST: &str = "/var/lib/apt/lists/x_dists_trixie_main_binary-amd64_Packages";

    fn paragraph(name: &str, content: &str) -> String {
        let digest = Digest::of(content.as_bytes());
        format!("Package: {name}\nVersion: 1:2\nArchitecture: amd64\nSHA256: {digest}\n\n")
    }

    fn item(name: &str) -> Item {
        Item { name: name.into(), version: "1:2".into(), architecture: "amd64".into(), ..Item::default() }
    }

    fn bench() -> Bench {
        let bench = Bench::new();
        bench.simulated("apt-cache");
        bench.put(LIST, paragraph("good", "good") + &paragraph("bad", "bad") + &paragraph("away", "away"));
        for name in ["good", "bad", "strange"] {
            bench.put(&format!("{ARCHIVES}/{name}_1%3a2_amd64.deb"), "good");
        }
        bench
    }

    #[test]
    fn the_name_of_a_cached_file_escapes_the_epoch() {
        let path = cached_deb("libx:i386", "1:2-3", "i386");
        assert_eq!(path, Path::new("/var/cache/apt/archives/libx_1%3a2-3_i386.deb"));
        let key = Key { name: "libx".into(), version: "1:2-3".into(), architecture: "i386".into() };
        assert_eq!((Key::parse("libx_1%3a2-3_i386.deb"), Key::parse("libx_1_i386.deb.part")), (Some(key), None));
    }

    #[test]
    fn each_file_is_held_against_what_the_lists_vouch_for() {
        let bench = bench();
        let files = list(bench.host()).unwrap();
        let verdicts = verify(bench.host(), &files).unwrap();
        let mut told: Vec<_> =
            files.iter().zip(verdicts).map(|(f, v)| format!("{} {}", f.key.name, v.word())).collect();
        told.sort();
        assert_eq!(told, ["bad damaged", "good good", "strange unknown"]);
    }

    #[test]
    fn apt_is_left_nothing_that_no_list_vouches_for_and_what_is_good_is_digested_once() {
        let bench = bench();
        let checked = Checked::default();
        let items = ["good", "bad", "strange", "away"].map(item);
        let lists = Lists::whole(Archive::Own);
        let removed = checked.remove_strangers(bench.host(), &lists, items.iter()).unwrap();
        assert_eq!(removed, ["bad 1:2", "strange 1:2"]);
        assert!(bench.at(&format!("{ARCHIVES}/good_1%3a2_amd64.deb")).exists());
        // What was found to be good stays so, until it changes.
        std::fs::remove_file(bench.at(LIST)).unwrap();
        assert!(checked.remove_strangers(bench.host(), &lists, items.iter()).unwrap().is_empty());
        bench.put(&format!("{ARCHIVES}/good_1%3a2_amd64.deb"), "evil");
        assert_eq!(checked.remove_strangers(bench.host(), &lists, items.iter()).unwrap(), ["good 1:2"]);
    }

    #[test]
    fn what_apt_has_just_fetched_is_not_digested_again_until_it_changes() {
        let bench = bench();
        let (checked, lists, items) = (Checked::default(), Lists::whole(Archive::Own), [item("bad")]);
        checked.note_fetched(bench.host(), items.iter()).unwrap();
        assert!(checked.remove_strangers(bench.host(), &lists, items.iter()).unwrap().is_empty());
        bench.put(&format!("{ARCHIVES}/bad_1%3a2_amd64.deb"), "evil");
        assert_eq!(checked.remove_strangers(bench.host(), &lists, items.iter()).unwrap(), ["bad 1:2"]);
    }

    #[test]
    fn what_was_used_longest_ago_goes_first_and_what_is_installed_last() {
        let bench = bench();
        let status = "Package: bad\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1:2\n\n";
        bench.put("/var/lib/dpkg/status", status);
        // In the order of their use: bad, which is installed, strange, good.
        for name in ["bad", "strange", "good"] {
            std::thread::sleep(std::time::Duration::from_millis(10));
            mark_used(bench.host(), [item(name)].iter()).unwrap();
        }
        let names = |files: Vec<Cached>| files.into_iter().map(|file| file.key.name).collect::<Vec<_>>();
        assert_eq!(trim(bench.host(), 12).unwrap(), Some(Vec::new()));
        assert_eq!(names(trim(bench.host(), 8).unwrap().unwrap()), ["strange"]);
        assert_eq!(names(list(bench.host()).unwrap()), ["good", "bad"]);
        assert_eq!(names(trim(bench.host(), 0).unwrap().unwrap()), ["good", "bad"]);
    }
}
