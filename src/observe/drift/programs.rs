//! Files of packages that are not as their packages brought them.
//!
//! dpkg knows the digest of every file that it unpacked, and comparing them all takes seconds. The kernel knows when a
//! file last changed, and no program can set that back: so only the packages of files that changed since the last look
//! are compared, by `dpkg --verify`. An upgrade is looked at once and found good.

use super::{Item, Items, Reach};
use crate::base::digest::Digest;
use crate::engine::Result;
use crate::host::{Command, Host, Kind, read_if_there, read_text};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where dpkg keeps the lists of files of its packages (dpkg(1)).
pub(super) const INFO: &str = "/var/lib/dpkg/info";
/// The kernel's clock for files goes in steps of up to 10 ms; what changed in this time before a look is looked at again.
const SLACK: i64 = 100_000_000;
/// Directories that Debian keeps as links into `/usr` (usrmerge); packages may still name files by them.
const MERGED: [&str; 4] = ["/bin/", "/sbin/", "/lib/", "/lib64/"];
/// At more packages than this, all are compared: an argument list has its limits.
const MANY: usize = 2000;

/// What is not as it was brought, and up to when that holds.
pub(super) fn look(host: &dyn Host, below: &[PathBuf], except: &[PathBuf], reach: &Reach) -> Result<(Items, i64)> {
    let mut now = i64::try_from(host.now()).unwrap_or(i64::MAX).saturating_sub(SLACK);
    let mut changed = match reach.since {
        // What the next look will look at again is known from the first on.
        None => host.changed_since(below, except, i128::from(now))?,
        Some(since) => {
            // Whoever remembers answers of programs has looked through the same trees a moment ago.
            let stamp = host.stamp(below, except)?;
            now = now.min(i64::try_from(stamp.begun).unwrap_or(i64::MAX).saturating_sub(SLACK));
            if stamp.newest > i128::from(since) {
                host.changed_since(below, except, i128::from(since))?
            } else {
                Vec::new()
            }
        }
    };
    changed.extend(reach.again.iter().cloned());
    let all = if reach.deep { Some(broken(host, &BTreeSet::new())?) } else { None };
    changed.extend(all.iter().flatten().map(|(path, _)| path).filter(|path| is_below(path, below)).cloned());
    if changed.is_empty() {
        return Ok((Items::new(), now));
    }
    let concerned = Concerned::find(host, &changed)?;
    let broken = match all {
        Some(all) => all,
        None => concerned.broken(host)?,
    };
    let mut items = Items::new();
    for (path, is_missing) in broken {
        let Some(package) = concerned.owners.get(&path).or_else(|| concerned.missing.get(&path)) else {
            // Another file of the same package, out of what is looked after.
            continue;
        };
        let item = match read_if_there(host, &path)? {
            Some(content) if !is_missing => Item {
                value: Digest::of(&content).to_string(),
                text: format!("is not as the package {package} brought it"),
                place: Some(path.clone()),
            },
            _ => Item {
                value: "missing".to_owned(),
                text: format!("is missing; the package {package} brought it"),
                place: path.parent().map(Path::to_owned),
            },
        };
        items.insert(path.to_string_lossy().into_owned(), item);
    }
    for path in &concerned.nobodys {
        let item = Item {
            value: host.digest(path)?.to_string(),
            text: "is a program that no package brought".to_owned(),
            place: Some(path.clone()),
        };
        items.insert(path.to_string_lossy().into_owned(), item);
    }
    Ok((items, now))
}

/// What dpkg knows of the paths that changed.
#[derive(Debug, Default)]
struct Concerned {
    /// The changed files that packages brought: each with its package.
    owners: BTreeMap<PathBuf, String>,
    /// Files that packages brought into the changed directories and that aren't there: each with its package.
    missing: BTreeMap<PathBuf, String>,
    /// Changed programs that no package brought.
    nobodys: Vec<PathBuf>,
}

impl Concerned {
    fn find(host: &dyn Host, changed: &[PathBuf]) -> Result<Concerned> {
        let mut files: BTreeMap<&str, &Path> = BTreeMap::new();
        let mut directories: BTreeMap<&str, HashSet<String>> = BTreeMap::new();
        let mut programs = Vec::new();
        for path in changed {
            let Some(text) = path.to_str() else { continue };
            match host.meta(path)? {
                Some(meta) if meta.kind == Kind::Directory => {
                    let names = host.list(path)?.into_iter().map(|name| name.to_string_lossy().into_owned());
                    directories.insert(text, names.collect());
                }
                Some(meta) if meta.kind == Kind::File => {
                    files.insert(text, path);
                    if meta.attributes.mode & 0o111 != 0 {
                        programs.push(path);
                    }
                }
                Some(_) => {}
                // One that was found missing before.
                None => drop(files.insert(text, path)),
            }
        }
        let mut concerned = Concerned::default();
        for name in host.list(Path::new(INFO))? {
            let name = name.to_string_lossy();
            let Some(package) = name.strip_suffix(".list") else { continue };
            for line in read_text(host, Path::new(INFO).join(&*name))?.lines() {
                let line = merged(line);
                if files.contains_key(&*line) {
                    concerned.owners.insert(PathBuf::from(&*line), package.to_owned());
                } else if let Some((directory, name)) = line.rsplit_once('/')
                    && directories.get(directory).is_some_and(|there| !there.contains(name))
                {
                    concerned.missing.insert(PathBuf::from(&*line), package.to_owned());
                }
            }
        }
        let is_nobodys = |path: &&&PathBuf| !concerned.owners.contains_key(path.as_path());
        concerned.nobodys = programs.iter().filter(is_nobodys).map(|path| (*path).clone()).collect();
        Ok(concerned)
    }

    /// What dpkg says against the packages that are concerned.
    fn broken(&self, host: &dyn Host) -> Result<Vec<(PathBuf, bool)>> {
        let packages: BTreeSet<&String> = self.owners.values().chain(self.missing.values()).collect();
        if packages.is_empty() { Ok(Vec::new()) } else { broken(host, &packages) }
    }
}

fn is_below(path: &Path, below: &[PathBuf]) -> bool {
    below.iter().any(|directory| path.starts_with(directory))
}

/// What dpkg says against these packages, or, without any, against all that there are: the path, and whether it is
/// missing.
fn broken(host: &dyn Host, packages: &BTreeSet<&String>) -> Result<Vec<(PathBuf, bool)>> {
    let mut command = Command::new("dpkg").arg("--verify").accept(&[0, 1]).timeout(Duration::from_secs(1800));
    if packages.len() <= MANY {
        command = command.args(packages.iter().map(|name| (*name).clone()));
    }
    Ok(parse(&host.look(&command)?.text()))
}

/// The path under `/usr` that a link of Debian's leads to.
fn merged(line: &str) -> std::borrow::Cow<'_, str> {
    match MERGED.iter().any(|start| line.starts_with(start)) {
        true => format!("/usr{line}").into(),
        false => line.into(),
    }
}

/// Reads `??5??????   /usr/bin/jq` and `missing     /usr/bin/zip`. Configuration, which may be changed, has a `c` there.
fn parse(text: &str) -> Vec<(PathBuf, bool)> {
    let line = |line: &str| {
        let (head, path) = line.split_at(line.find('/')?);
        let is_configuration = head.split_whitespace().nth(1) == Some("c");
        let is_missing = head.starts_with("missing");
        // Behind the path of a missing file there may be the reason.
        let path = path.split_once(" (").filter(|_| is_missing).map_or(path, |(path, _)| path);
        (!is_configuration).then(|| (PathBuf::from(&*merged(path)), is_missing))
    };
    text.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::RealHost;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    /// A host with three packages and a dpkg that compares with what lies below /orig.
    struct Stand(tempfile::TempDir);

    impl Stand {
        fn new() -> Self {
            let stand = Stand(tempfile::tempdir().unwrap());
            for (list, path) in [("jq", "/usr/bin/jq"), ("zip:amd64", "/usr/bin/zip"), ("old", "/lib/old/run")] {
                stand.put(&format!("{INFO}/{list}.list"), &format!("/.\n/usr\n{path}\n"), 0o644);
                for base in ["", "/orig"] {
                    stand.put(&format!("{base}{}", merged(path)), "as brought", 0o755);
                }
            }
            let script = "#!/bin/sh\ncd \"$VPS_ROOT/orig\"\nshift\necho \"$*\" >> \"$VPS_ROOT/asked\"\n\
                find . -type f | sed 's/^.//' | while read f; do\n\
                if [ ! -e \"$VPS_ROOT$f\" ]; then echo \"missing     $f\"\n\
                elif ! cmp -s \"$VPS_ROOT$f\" \".$f\"; then echo \"??5??????   $f\"; fi; done\n";
            stand.put("/usr/sbin/dpkg", script, 0o755);
            for program in ["find", "sed", "cmp"] {
                stand.put(
                    &format!("/usr/sbin/{program}"),
                    &format!("#!/bin/sh\nexec /usr/bin/{program} \"$@\"\n"),
                    0o755,
                );
            }
            stand
        }

        fn at(&self, path: &str) -> PathBuf {
            self.0.path().join(path.trim_start_matches('/'))
        }

        fn put(&self, path: &str, text: &str, mode: u32) {
            fs::create_dir_all(self.at(path).parent().unwrap()).unwrap();
            fs::write(self.at(path), text).unwrap();
            fs::set_permissions(self.at(path), fs::Permissions::from_mode(mode)).unwrap();
        }

        fn look(&self, reach: &Reach) -> Items {
            let host = RealHost::new(self.0.path().into());
            let below = ["/usr/bin", "/usr/lib"].map(PathBuf::from);
            look(&host, &below, &[PathBuf::from("/usr/lib/old")], reach).unwrap().0
        }

        fn names(&self, reach: &Reach) -> Vec<String> {
            self.look(reach).into_keys().collect()
        }
    }

    fn since(since: i64) -> Reach {
        Reach { since: Some(since), ..Reach::default() }
    }

    #[test]
    fn of_what_changed_only_that_is_found_which_dpkg_knows_otherwise_and_what_nobody_brought() {
        let stand = Stand::new();
        assert!(stand.look(&since(0)).is_empty(), "all of it is new, and all of it is as it was brought");
        assert_eq!(fs::read_to_string(stand.at("/asked")).unwrap(), "jq zip:amd64\n", "what is excepted isn't asked");
        stand.put("/usr/bin/jq", "other", 0o755);
        fs::remove_file(stand.at("/usr/bin/zip")).unwrap();
        stand.put("/usr/bin/evil", "x", 0o755);
        stand.put("/usr/lib/notes", "no program", 0o644);
        stand.put("/usr/lib/old/run", "other", 0o755);
        let found = stand.look(&since(0));
        assert_eq!(found.keys().collect::<Vec<_>>(), ["/usr/bin/evil", "/usr/bin/jq", "/usr/bin/zip"]);
        assert_eq!(found["/usr/bin/zip"].value, "missing");
        assert!(found["/usr/bin/jq"].text.contains("the package jq brought it"));
        assert!(stand.look(&since(i64::MAX)).is_empty());
        let again = Reach { again: found.keys().map(PathBuf::from).collect(), ..since(i64::MAX) };
        assert_eq!(stand.names(&again), ["/usr/bin/evil", "/usr/bin/jq", "/usr/bin/zip"]);
        let deep = Reach { deep: true, ..since(i64::MAX) };
        assert_eq!(stand.names(&deep), ["/usr/bin/jq", "/usr/bin/zip", "/usr/lib/old/run"]);
    }

    #[test]
    fn the_first_look_tells_what_the_next_one_looks_at_again() {
        let stand = Stand::new();
        stand.put("/usr/bin/mine", "put there a moment ago", 0o755);
        let host = RealHost::new(stand.0.path().into());
        let below = [PathBuf::from("/usr/bin")];
        let (first, until) = look(&host, &below, &[], &Reach::default()).unwrap();
        let (second, _) = look(&host, &below, &[], &since(until)).unwrap();
        assert_eq!(second, first);
    }

    #[test]
    fn what_dpkg_verify_says_is_read_and_configuration_passed_over() {
        let text = "??5??????   /usr/bin/jq\nmissing     /lib/x/zip (No such file)\n??5?????? c /etc/vim/vimrc\nmissing   c /etc/a\n";
        let found = parse(text);
        assert_eq!(found[0], (PathBuf::from("/usr/bin/jq"), false));
        assert_eq!(found[1..], [(PathBuf::from("/usr/lib/x/zip"), true)]);
    }
}
