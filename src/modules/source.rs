//! A module as it lies on disk.

use crate::base::yaml::Source;
use crate::host::{Host, Kind, Result};
use std::collections::BTreeMap;
use std::ffi::OsString;
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
    pub files: BTreeMap<String, Vec<u8>>,
}

impl ModuleSource {
    /// Reads the module in `dir`; `None` when it has no `module.yaml`.
    ///
    /// # Errors
    /// When a file can't be read.
    pub fn load(host: &dyn Host, dir: &Path, builtin: bool) -> Result<Option<Self>> {
        let path = dir.join(MANIFEST);
        if host.meta(&path)?.is_none() {
            return Ok(None);
        }
        let manifest = Source::from_bytes(path.display().to_string(), &host.read(&path)?);
        let mut files = BTreeMap::new();
        read_folder(host, dir, "", &mut files)?;
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

fn read_folder(host: &dyn Host, dir: &Path, prefix: &str, files: &mut BTreeMap<String, Vec<u8>>) -> Result<()> {
    // The manifest is read by itself. What hides at the top (`.git`, with all that ever was) is no part of a module, and is
    // not read at each run.
    let is_part = |name: &OsString| !prefix.is_empty() || name != MANIFEST && !name.to_string_lossy().starts_with('.');
    for name in host.list(dir)?.into_iter().filter(is_part) {
        let path = dir.join(&name);
        let inner = format!("{prefix}{}", name.to_string_lossy());
        match host.meta(&path)?.map(|meta| meta.kind) {
            Some(Kind::Directory) => read_folder(host, &path, &format!("{inner}/"), files)?,
            Some(Kind::File) => {
                files.insert(inner, host.read(&path)?);
            }
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
        let host = RealHost::new(dir.path().into());
        let module = ModuleSource::load(&host, Path::new("/tree"), false).unwrap().unwrap();
        assert_eq!(module.files.into_keys().collect::<Vec<_>>(), ["templates/.zshrc", "templates/a.tera"]);
    }
}
