//! A module as it lies on disk.

use crate::base::yaml::Source;
use crate::host::{Error, Host, Kind, Result};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The file that makes a folder a module.
pub const MANIFEST: &str = "module.yaml";

/// The end of the name of a folder whose module is switched off.
pub const DISABLED: &str = ".disabled";

/// A module's folder, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleSource {
    /// The folder.
    pub dir: PathBuf,
    /// Whether it came with the package.
    pub builtin: bool,
    /// `module.yaml`.
    pub manifest: Source,
    /// Every other file by its path in the folder: `templates/daemon.json.tera`.
    pub files: BTreeMap<String, Content>,
}

/// What is in a file of a module. Most modules are not enabled, and what theirs hold is not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// This.
    Held(Vec<u8>),
    /// What lies there.
    At(PathBuf),
}

impl ModuleSource {
    /// Reads the module in `dir`; `None` when it has no `module.yaml`.
    ///
    /// # Errors
    /// When a file can't be read.
    pub fn load(host: &dyn Host, dir: &Path, builtin: bool) -> Result<Option<Self>> {
        let entries = match host.entries(dir) {
            // A file, or a link that leads to one.
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotADirectory => return Ok(None),
            entries => entries?,
        };
        if entries.iter().all(|(name, _)| name != MANIFEST) {
            return Ok(None);
        }
        let path = dir.join(MANIFEST);
        let manifest = Source::from_bytes(path.display().to_string(), &host.read(&path)?);
        let mut files = BTreeMap::new();
        // The manifest is read by itself. What hides at the top (`.git`, with all that ever was) is no part of a module,
        // and is not looked through at each run.
        let is_part = |name: &OsString| name != MANIFEST && !name.to_string_lossy().starts_with('.');
        find_files(host, dir, "", entries.into_iter().filter(|(name, _)| is_part(name)), &mut files)?;
        Ok(Some(ModuleSource { dir: dir.to_owned(), builtin, manifest, files }))
    }

    /// Reads every module below `dir`, in the order of their names; those that hide, and those that are switched off, are
    /// left out. None when there is no such folder.
    ///
    /// # Errors
    /// When a file can't be read.
    pub fn load_all(host: &dyn Host, dir: &Path, builtin: bool) -> Result<Vec<Self>> {
        let mut all = Vec::new();
        let is_module = |name: &str| !name.starts_with('.') && !name.ends_with(DISABLED);
        for name in host.list(dir)?.into_iter().filter(|name| is_module(&name.to_string_lossy())) {
            all.extend(ModuleSource::load(host, &dir.join(name), builtin)?);
        }
        Ok(all)
    }
}

/// Adds the files among `entries` of `dir`, and those below.
fn find_files(
    host: &dyn Host,
    dir: &Path,
    prefix: &str,
    entries: impl IntoIterator<Item = (OsString, Kind)>,
    files: &mut BTreeMap<String, Content>,
) -> Result<()> {
    for (name, kind) in entries {
        let path = dir.join(&name);
        let inner = format!("{prefix}{}", name.to_string_lossy());
        match kind {
            Kind::Directory => find_files(host, &path, &format!("{inner}/"), host.entries(&path)?, files)?,
            Kind::File => drop(files.insert(inner, Content::At(path))),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::RealHost;

    #[test]
    fn what_hides_at_the_top_of_a_module_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["module.yaml", ".git/objects/pack", "templates/.zshrc", "templates/a.tera"] {
            let path = dir.path().join("tree").join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        }
        std::os::unix::fs::symlink("tree/module.yaml", dir.path().join("file")).unwrap();
        std::os::unix::fs::symlink("nowhere", dir.path().join("lost")).unwrap();
        std::os::unix::fs::symlink("tree", dir.path().join("way")).unwrap();
        std::fs::write(dir.path().join("README"), "of modules").unwrap();
        let host = RealHost::new(dir.path().into());
        let all = ModuleSource::load_all(&host, Path::new("/"), false).unwrap();
        let dirs: Vec<PathBuf> = all.into_iter().map(|module| module.dir).collect();
        assert_eq!(dirs, ["/tree", "/way"].map(PathBuf::from), "a link to a module is one");
        let module = ModuleSource::load(&host, Path::new("/tree"), false).unwrap().unwrap();
        assert_eq!(module.files.into_keys().collect::<Vec<_>>(), ["templates/.zshrc", "templates/a.tera"]);
    }
}
