//! A user's home directory: filled from `/etc/skel` as useradd(8) does it, but so that a killed run can be completed;
//! and taken away again only while nobody has put anything in it.

use crate::base::digest::Digest;
use crate::engine::Result;
use crate::host::{Attributes, Host, Kind, is_temporary_name};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// What a new home is filled with.
const SKEL: &str = "/etc/skel";
/// login.defs(5): `HOME_MODE` is in it.
const LOGIN_DEFS: &str = "/etc/login.defs";

/// What lies in a directory: relative path → what it is (a digest of a file, `-> target` of a link, `directory`).
pub type Listing = BTreeMap<String, String>;

/// The mode of a new home: `HOME_MODE` of login.defs(5), which Debian sets to 0700.
pub fn mode(login_defs: &str) -> u32 {
    let value = login_defs.lines().find_map(|line| line.trim().strip_prefix("HOME_MODE")?.split_whitespace().next());
    value.and_then(|text| u32::from_str_radix(text, 8).ok()).unwrap_or(0o700)
}

/// Makes the home when it isn't there, and gives it the files of /etc/skel that it lacks.
pub fn fill(host: &dyn Host, home: &Path, uid: u32, gid: u32) -> Result<()> {
    let defs = Path::new(LOGIN_DEFS);
    let defs = if host.meta(defs)?.is_some() { host.read(defs)? } else { Vec::new() };
    let mode = mode(&String::from_utf8_lossy(&defs));
    copy(host, Path::new(SKEL), home, uid, gid, Some(mode))
}

fn copy(host: &dyn Host, from: &Path, to: &Path, uid: u32, gid: u32, mode: Option<u32>) -> Result<()> {
    let source = host.meta(from)?;
    if host.meta(to)?.is_none() {
        let mode = mode.or(source.map(|meta| meta.attributes.mode)).unwrap_or(0o755);
        host.make_directory(to, &Attributes { uid, gid, ..Attributes::root(mode) })?;
    }
    for name in host.list(from)? {
        let (from, to) = (from.join(&name), to.join(&name));
        let Some(meta) = host.meta(&from)? else {
            continue;
        };
        let attributes = Attributes { uid, gid, ..Attributes::root(meta.attributes.mode) };
        match (meta.kind, host.meta(&to)?) {
            (Kind::Directory, _) => copy(host, &from, &to, uid, gid, None)?,
            (Kind::File, None) => host.write(&to, &host.read(&from)?, &attributes)?,
            (Kind::Link(target), None) => host.make_link(&to, &target, &attributes)?,
            _ => {}
        }
    }
    Ok(())
}

/// Everything in `dir`.
pub fn listing(host: &dyn Host, dir: &Path) -> Result<Listing> {
    let mut found = Listing::new();
    let mut ahead = vec![PathBuf::new()];
    while let Some(below) = ahead.pop() {
        for name in host.list(&dir.join(&below))? {
            let relative = below.join(name);
            let path = dir.join(&relative);
            let Some(meta) = host.meta(&path)? else {
                continue;
            };
            let what = match meta.kind {
                Kind::Directory => "directory".to_owned(),
                Kind::File => Digest::of(&host.read(&path)?).to_string(),
                Kind::Link(target) => format!("-> {}", target.display()),
                Kind::Other => "other".to_owned(),
            };
            found.insert(relative.display().to_string(), what);
            if host.meta(&path)?.is_some_and(|meta| meta.kind == Kind::Directory) {
                ahead.push(relative);
            }
        }
    }
    Ok(found)
}

/// The paths in `now` that weren't so in `then`: what somebody put or changed there. What a write of ours left under its
/// temporary name when it was killed is nobody's.
pub fn added<'a>(now: &'a Listing, then: &Listing) -> Vec<&'a str> {
    let is_ours = |path: &str| is_temporary_name(OsStr::new(path.rsplit('/').next().unwrap_or(path)));
    now.iter()
        .filter(|(path, what)| then.get(*path) != Some(what) && !is_ours(path))
        .map(|(path, _)| path.as_str())
        .collect()
}

/// What a home has in it when it was just made.
pub fn skel(host: &dyn Host) -> Result<Listing> {
    listing(host, Path::new(SKEL))
}

/// Removes `dir` and what `now` lists in it, the deepest first.
pub fn remove(host: &dyn Host, dir: &Path, now: &Listing) -> Result<()> {
    // A path sorts before what lies below it.
    for path in now.keys().rev() {
        host.remove(&dir.join(path))?;
    }
    Ok(host.remove(dir)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mode_of_a_home_is_the_one_of_login_defs() {
        assert_eq!(mode("# HOME_MODE 0750 is a remark\nUMASK 022\nHOME_MODE\t0750\n"), 0o750);
        assert_eq!(mode(""), 0o700);
    }

    #[test]
    fn only_what_is_new_or_changed_counts_as_put_there_by_somebody() {
        let listing = |text: &str| -> Listing {
            text.split(' ').filter_map(|e| e.split_once('=')).map(|(a, b)| (a.to_owned(), b.to_owned())).collect()
        };
        let then = listing(".bashrc=1 .profile=2");
        assert!(added(&listing(".bashrc=1"), &then).is_empty(), "a removed file is no data");
        assert_eq!(added(&listing(".bashrc=9 notes=3 .profile=2"), &then), [".bashrc", "notes"]);
    }
}
