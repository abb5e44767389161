//! The files of a plugin as they come from elsewhere, a folder or an archive: judged, bounded, and held in memory. What is
//! written of them later is plain files of root's, whatever owners, modes and links they came with.

use crate::engine::{Error, Result};
use crate::host::{Host, Kind};
use crate::modules::source::MANIFEST;
use std::collections::BTreeMap;
use std::path::Path;

/// A plugin has no more files than this.
pub const MOST_FILES: usize = 500;
/// A file of it is no larger, in bytes.
pub const LARGEST_FILE: u64 = 1 << 20;
/// All of them together are no larger, in bytes.
pub const LARGEST: u64 = 8 << 20;
/// Folders in it lie no deeper.
const DEEPEST: usize = 8;

/// The files of a plugin by their path in its folder: `templates/tree.conf.tera`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bundle(BTreeMap<String, Vec<u8>>);

/// How much has been taken in.
#[derive(Debug, Default)]
pub(super) struct Count {
    files: usize,
    bytes: u64,
}

impl Count {
    /// Takes in one more file, or says why not.
    pub(super) fn add(&mut self, name: &str, size: u64) -> std::result::Result<(), String> {
        self.files += 1;
        self.bytes = self.bytes.saturating_add(size);
        if self.files > MOST_FILES {
            return Err(format!("it has more than {MOST_FILES} files"));
        }
        if size > LARGEST_FILE {
            return Err(format!("{name} is larger than {} MB", LARGEST_FILE >> 20));
        }
        if self.bytes > LARGEST {
            return Err(format!("its files are larger than {} MB together", LARGEST >> 20));
        }
        Ok(())
    }
}

/// Why a name can't be that of a file of a plugin.
pub(super) fn judge_name(name: &str) -> std::result::Result<(), String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-+@/".contains(c);
    if name.starts_with('/') {
        return Err(format!("{name} is an absolute path"));
    }
    if name.split('/').any(|part| part == "..") {
        return Err(format!("{name} leads out of its folder"));
    }
    if !name.chars().all(is_plain) {
        return Err(format!("the name {name} has characters other than letters, digits and . _ - + @"));
    }
    if name.split('/').count() > DEEPEST {
        return Err(format!("{name} lies too deep"));
    }
    Ok(())
}

impl Bundle {
    /// The files of a folder. What lies at its top with a name that begins with a dot (`.git`) is no part of it.
    ///
    /// # Errors
    /// When something can't be read, is neither file nor folder, or is too much.
    pub fn of_folder(host: &dyn Host, dir: &Path) -> Result<Bundle> {
        let mut bundle = Bundle::default();
        let names = host.list(dir)?.into_iter().filter(|name| !name.to_string_lossy().starts_with('.'));
        bundle.read(host, dir, "", names.collect(), &mut Count::default())?;
        bundle.with_manifest(&dir.display().to_string())
    }

    fn read(
        &mut self,
        host: &dyn Host,
        dir: &Path,
        prefix: &str,
        names: Vec<std::ffi::OsString>,
        count: &mut Count,
    ) -> Result<()> {
        for name in names {
            let path = dir.join(&name);
            let inner = format!("{prefix}{}", name.to_string_lossy());
            let refuse = |why: String| refuse(&dir.display().to_string(), why);
            judge_name(&inner).map_err(refuse)?;
            let Some(meta) = host.meta(&path)? else { continue };
            match meta.kind {
                Kind::Directory => self.read(host, &path, &format!("{inner}/"), host.list(&path)?, count)?,
                Kind::File => {
                    count.add(&inner, meta.size).map_err(refuse)?;
                    self.0.insert(inner, host.read(&path)?);
                }
                Kind::Link(_) => return Err(refuse(format!("{inner} is a link"))),
                Kind::Other => return Err(refuse(format!("{inner} is neither file nor folder"))),
            }
        }
        Ok(())
    }

    /// The same, from the folder in it that has the manifest: the top, or the only folder at the top (as in archives that
    /// are made of repositories).
    pub(super) fn with_manifest(mut self, from: &str) -> Result<Bundle> {
        if self.0.contains_key(MANIFEST) {
            return Ok(self);
        }
        let tops: Vec<&str> = self.0.keys().filter_map(|name| name.strip_suffix(MANIFEST)).collect();
        let tops: Vec<&str> =
            tops.into_iter().filter(|top| top.ends_with('/') && top.matches('/').count() == 1).collect();
        let [top] = tops[..] else {
            let why = match tops.len() {
                0 => format!("it has no {MANIFEST}"),
                count => format!("it has {count} folders with a {MANIFEST}; each is a plugin of its own"),
            };
            return Err(refuse(from, why));
        };
        let top = top.to_owned();
        let inner = |(name, content): (String, Vec<u8>)| Some((name.strip_prefix(&top)?.to_owned(), content));
        self.0 = std::mem::take(&mut self.0).into_iter().filter_map(inner).collect();
        self.0.retain(|name, _| !name.starts_with('.'));
        Ok(self)
    }

    /// The files, by name.
    pub fn files(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.0
    }
}

/// Why a plugin can't be taken.
pub(super) fn refuse(from: &str, why: impl Into<String>) -> Error {
    Error::refused("plugin-unfit", format!("cannot take a plugin from {from}"), why)
        .fix("a plugin is a folder with module.yaml and its templates: docs/how-to/own-module.md")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::RealHost;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn read(prepare: impl FnOnce(&Path)) -> std::result::Result<Vec<String>, String> {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("p/templates")).unwrap();
        let top = dir.path().join("p");
        fs::write(top.join("module.yaml"), "name: p\n").unwrap();
        fs::write(top.join("templates/a.tera"), "a").unwrap();
        prepare(&top);
        match Bundle::of_folder(&RealHost::new(dir.path().into()), Path::new("/p")) {
            Ok(bundle) => Ok(bundle.files().keys().cloned().collect()),
            Err(Error::Refused { code: "plugin-unfit", why, .. }) => Err(why),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn a_folder_is_taken_without_what_hides_at_its_top() {
        let names = read(|top| {
            fs::create_dir(top.join(".git")).unwrap();
            symlink("/etc/shadow", top.join(".git/HEAD")).unwrap();
            fs::write(top.join("templates/.zshrc"), "").unwrap();
        });
        assert_eq!(names.unwrap(), ["module.yaml", "templates/.zshrc", "templates/a.tera"]);
    }

    #[test]
    fn links_strange_names_and_too_much_are_refused() {
        let link = read(|top| symlink("/etc/shadow", top.join("templates/b")).unwrap());
        assert_eq!(link.unwrap_err(), "templates/b is a link");
        let socket = read(|top| drop(std::os::unix::net::UnixListener::bind(top.join("s")).unwrap()));
        assert_eq!(socket.unwrap_err(), "s is neither file nor folder");
        assert!(read(|top| fs::write(top.join("a b"), "").unwrap()).unwrap_err().contains("a b"));
        let large = read(|top| fs::write(top.join("b"), vec![0; (1 << 20) + 1]).unwrap());
        assert_eq!(large.unwrap_err(), "b is larger than 1 MB");
        let many = read(|top| (0..MOST_FILES).for_each(|n| fs::write(top.join(n.to_string()), "").unwrap()));
        assert_eq!(many.unwrap_err(), "it has more than 500 files");
        let heavy = read(|top| (0..9).for_each(|n| fs::write(top.join(n.to_string()), vec![0; 1 << 20]).unwrap()));
        assert_eq!(heavy.unwrap_err(), "its files are larger than 8 MB together");
        let deep = read(|top| fs::create_dir_all(top.join("a/b/c/d/e/f/g/h/i")).unwrap());
        assert_eq!(deep.unwrap_err(), "a/b/c/d/e/f/g/h/i lies too deep");
        let none = read(|top| fs::remove_file(top.join("module.yaml")).unwrap());
        assert_eq!(none.unwrap_err(), "it has no module.yaml");
    }
}
