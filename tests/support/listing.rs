//! A tree as a list, path by path: what is compared when something must be as it was before.

use super::tree::Tree;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Path to mode, owner, content and extended attributes.
pub type Listing = BTreeMap<String, String>;

/// What may differ: each with its reason.
const OURS: &[&str] = &[
    "/run/vps-",                   // the lock, and the calls that simulated programs note
    "/run/apt.calls",              // the same
    "/run/fake-systemd/active/",   // holds times; listed by name below
    "/var/lib/vps-configurator",   // our own state
    "/var/cache/vps-configurator", // the same
    "/var/log/vps-configurator",   // reports are kept
    "/var/lib/apt/lists",          // apt's own cache
    "/var/cache/apt",              // the same
    "/var/lib/fake-repo",          // the archive is not the host
    "/usr/share/vps-configurator", // what a package of ours ships
    "/usr/sbin/",                  // the simulated programs
];

impl Tree {
    /// Everything that a rollback must bring back.
    pub fn listing(&self) -> Listing {
        let mut listing = Listing::new();
        walk(self.root(), self.root(), &mut listing);
        for running in fs::read_dir(self.at("/run/fake-systemd/active")).into_iter().flatten() {
            let name = running.unwrap().file_name().into_string().unwrap();
            listing.insert(format!("running {name}"), String::new());
        }
        // dpkg and apt rewrite these with other blank lines.
        for path in ["/var/lib/dpkg/status", "/var/lib/apt/extended_states"] {
            let text = fs::read_to_string(self.at(path)).unwrap_or_default();
            let mut paragraphs: Vec<&str> = text.split("\n\n").map(str::trim).filter(|p| !p.is_empty()).collect();
            paragraphs.sort_unstable();
            listing.insert(path.to_owned(), paragraphs.join("\n\n"));
        }
        listing
    }

    /// Fails with the differences when the tree is not as it was.
    #[track_caller]
    pub fn must_be(&self, before: &Listing, when: &str) {
        let lines = differences(before, &self.listing());
        assert!(lines.is_empty(), "{when}: the tree is not as it was:\n{}", lines.join("\n"));
    }
}

/// What differs, a line each.
pub fn differences(before: &Listing, after: &Listing) -> Vec<String> {
    let mut lines = Vec::new();
    for (path, what) in before {
        match after.get(path) {
            None => lines.push(format!("- {path} {what}")),
            Some(other) if other != what => lines.push(format!("~ {path}\n    before: {what}\n    now:    {other}")),
            Some(_) => {}
        }
    }
    lines.extend(
        after.iter().filter(|(path, _)| !before.contains_key(*path)).map(|(path, what)| format!("+ {path} {what}")),
    );
    lines
}

fn walk(root: &Path, dir: &Path, listing: &mut Listing) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("/{}", path.strip_prefix(root).unwrap().display());
        if OURS.iter().any(|ours| name.starts_with(ours)) && name != "/usr/sbin/policy-rc.d" {
            continue;
        }
        let Ok(meta) = fs::symlink_metadata(&path) else { continue };
        let what = if meta.is_symlink() {
            format!("-> {}", fs::read_link(&path).unwrap().display())
        } else if meta.is_file() {
            format!("{:?}", String::from_utf8_lossy(&fs::read(&path).unwrap()))
        } else {
            "directory".to_owned()
        };
        let mut whole = format!("{:o} {}:{} {what}", meta.mode() & 0o7777, meta.uid(), meta.gid());
        for attribute in xattr::list(&path).unwrap() {
            let value = xattr::get(&path, &attribute).unwrap().unwrap_or_default();
            whole.push_str(&format!(" {}={:?}", attribute.to_string_lossy(), String::from_utf8_lossy(&value)));
        }
        listing.insert(name, whole);
        if meta.is_dir() {
            walk(root, &path, listing);
        }
    }
}
