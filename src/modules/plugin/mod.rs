//! Plugins: the administrator's modules, as things that come, go, and are switched.
//!
//! A plugin is a folder in `modules.d`; one that is switched off has the same folder under the name `NAME.disabled`, which
//! the reader of modules passes over. Each change is one rename: whoever is killed leaves the old state or the new one.

pub mod archive;
pub mod bundle;

pub use bundle::Bundle;

use super::catalogue::Catalogue;
use super::manifest::Manifest;
use super::source::{Content, DISABLED, MANIFEST, ModuleSource};
use crate::base::paths;
use crate::base::yaml::{Collector, Problem, Problems, Reader, Source, parse};
use crate::engine::{Error, Result};
use crate::host::{Attributes, Host, remove_tree, temporary_name};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// A plugin that is there.
#[derive(Debug)]
pub struct Plugin {
    /// Its name.
    pub name: String,
    /// Its folder.
    pub dir: PathBuf,
    /// Whether it is switched on: there for profiles.
    pub enabled: bool,
    /// Its manifest, or what is wrong with it.
    pub manifest: std::result::Result<Manifest, Problems>,
}

/// The folder of a plugin.
fn folder(name: &str, enabled: bool) -> PathBuf {
    Path::new(paths::MODULES_D).join(if enabled { name.to_owned() } else { format!("{name}{DISABLED}") })
}

/// All plugins, by name; of one name that is there twice, the one that is switched on comes first.
///
/// # Errors
/// When the folder of all of them can't be read.
pub fn all(host: &dyn Host) -> Result<Vec<Plugin>> {
    let mut all = Vec::new();
    for file in host.list(Path::new(paths::MODULES_D))? {
        let file = file.to_string_lossy();
        let (name, enabled) = file.strip_suffix(DISABLED).map_or((&*file, true), |name| (name, false));
        if file.starts_with('.') {
            continue;
        }
        let manifest = match load(host, name, enabled) {
            Ok(None) => continue,
            Ok(Some(source)) => {
                let collector = Collector::default();
                let read = Manifest::read(source, &collector);
                collector.finish(read).and_then(|read| read.ok_or_else(|| Problems(Vec::new())))
            }
            // Whoever is to put it out of the way must find it.
            Err(error) => Err(Problems(vec![Problem::anywhere("modules-unreadable", error.to_string())])),
        };
        all.push(Plugin { name: name.to_owned(), dir: folder(name, enabled), enabled, manifest });
    }
    all.sort_by(|a, b| (&a.name, !a.enabled).cmp(&(&b.name, !b.enabled)));
    Ok(all)
}

/// What lies where the plugin of that name would be switched on, be it a plugin or not.
///
/// # Errors
/// When it can't be looked at.
pub fn place_taken(host: &dyn Host, name: &str) -> Result<Option<PathBuf>> {
    let dir = folder(name, true);
    Ok(host.meta(&dir)?.map(|_| dir))
}

/// The plugin of that name as a module that is switched on, whether it is or not; `None` when it is not there so.
///
/// # Errors
/// When its folder can't be read.
pub fn load(host: &dyn Host, name: &str, enabled: bool) -> Result<Option<ModuleSource>> {
    let dir = folder(name, enabled);
    let Some(mut source) = ModuleSource::load(host, &dir, false)? else { return Ok(None) };
    source.dir = folder(name, true);
    Ok(Some(source))
}

/// The module that a bundle would be. Its name is the one in its manifest.
///
/// # Errors
/// When the manifest can't be read, or gives no name that a folder could have.
pub fn module_of(bundle: &Bundle) -> std::result::Result<ModuleSource, Problems> {
    let mut files: BTreeMap<String, Vec<u8>> = bundle.files().clone();
    let text = files.remove(MANIFEST).unwrap_or_default();
    let manifest = Source::from_bytes(MANIFEST, &text);
    let root = parse(&manifest)?;
    let collector = Collector::default();
    let reader = Reader::new(&manifest, &collector);
    let name = reader.map(&root, "a module's manifest").and_then(|mut fields| fields.require("name"));
    let name = name.and_then(|node| reader.text(node)).unwrap_or_default().to_owned();
    collector.finish(())?;
    // Whether the name is a good one says the manifest's own reading; here it must only stay in its place.
    let dir = folder(&name.replace(['/', '.'], "_"), true);
    let manifest = Source::from_bytes(dir.join(MANIFEST).display().to_string(), &text);
    let files = files.into_iter().map(|(name, content)| (name, Content::Held(content))).collect();
    Ok(ModuleSource { dir, builtin: false, manifest, files })
}

/// All modules as they would be with `module` in the place of the one of its name, or without the one named.
///
/// # Errors
/// Everything that would be wrong with them.
pub fn catalogue_with(
    host: &dyn Host,
    builtin: &Path,
    name: &str,
    module: Option<ModuleSource>,
) -> std::result::Result<Catalogue, Problems> {
    let (mut sources, mut disabled) = Catalogue::sources(host, builtin, Path::new(paths::MODULES_D))?;
    sources.retain(|source| source.dir != folder(name, true));
    match module {
        Some(module) => {
            disabled.remove(name);
            sources.push(module);
        }
        None => drop(disabled.insert(name.to_owned())),
    }
    Catalogue::of(sources, disabled)
}

/// Puts a bundle in its place, under this name; what is there already is replaced by it, all at once.
///
/// # Errors
/// When it can't be written; then nothing is there that was not there before.
pub fn put(host: &dyn Host, name: &str, enabled: bool, bundle: &Bundle) -> Result<()> {
    for dir in [paths::ETC, paths::MODULES_D] {
        if host.meta(Path::new(dir))?.is_none() {
            host.make_directory(Path::new(dir), &Attributes::root(0o750))?;
        }
    }
    let staged = staged(name);
    remove_tree(host, &staged)?;
    let written = write(host, &staged, bundle).and_then(|()| Ok(host.rename(&staged, &folder(name, enabled))?));
    // What was replaced, or what was written in vain. The next run that holds the lock sweeps what stays.
    let removed = remove_tree(host, &staged);
    written.and_then(|()| Ok(removed?))
}

fn write(host: &dyn Host, dir: &Path, bundle: &Bundle) -> Result<()> {
    host.make_directory(dir, &Attributes::root(0o750))?;
    let mut made = BTreeSet::new();
    for (name, content) in bundle.files() {
        for (at, _) in name.match_indices('/') {
            if made.insert(&name[..at]) {
                host.make_directory(&dir.join(&name[..at]), &Attributes::root(0o750))?;
            }
        }
        host.write(&dir.join(name), content, &Attributes::root(0o640))?;
    }
    Ok(())
}

fn staged(name: &str) -> PathBuf {
    Path::new(paths::MODULES_D).join(temporary_name(OsStr::new(name)))
}

/// Switches a plugin on or off.
///
/// # Errors
/// When there is one of each already, or the folder can't be renamed.
pub fn switch(host: &dyn Host, name: &str, enabled: bool) -> Result<()> {
    let (from, to) = (folder(name, !enabled), folder(name, enabled));
    if host.meta(&to)?.is_some() {
        return Err(Error::refused(
            "plugin-exists",
            format!("cannot switch the plugin {name}"),
            format!("there are {} and {}", from.display(), to.display()),
        )
        .fix("remove one of the two folders"));
    }
    Ok(host.rename(&from, &to)?)
}

/// Removes a plugin: out of the way all at once, then file by file.
///
/// # Errors
/// When its folder can't be renamed or removed.
pub fn remove(host: &dyn Host, name: &str, enabled: bool) -> Result<()> {
    let staged = staged(name);
    remove_tree(host, &staged)?;
    host.rename(&folder(name, enabled), &staged)?;
    Ok(remove_tree(host, &staged)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::RealHost;
    use crate::host::fake::{Died, FakeHost, Fault};
    use std::collections::BTreeMap;
    use std::fs;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    fn bundle(dir: &Path, version: u8) -> Bundle {
        fs::create_dir_all(dir.join("src/templates")).unwrap();
        fs::write(dir.join("src/module.yaml"), format!("name: tree\nsummary: Version {version}\n")).unwrap();
        fs::write(dir.join("src/templates/a.tera"), [version]).unwrap();
        Bundle::of_folder(&RealHost::new(dir.into()), Path::new("/src")).unwrap()
    }

    /// The plugins that the reader of modules sees: with their templates, whole.
    fn seen(dir: &Path) -> Vec<(String, bool, Vec<u8>)> {
        let host = RealHost::new(dir.into());
        let plugins = all(&host).unwrap();
        plugins
            .into_iter()
            .map(|plugin| {
                let files = plugin.manifest.unwrap().files;
                assert!(files.contains_key("templates/a.tera") && files.len() == 1, "half a plugin");
                let file = folder(&plugin.name, plugin.enabled).join("templates/a.tera");
                (plugin.name, plugin.enabled, host.read(&file).unwrap())
            })
            .collect()
    }

    /// Kills `act` at each of its effects, before and after: what is seen then is what was before or what is at the end;
    /// and acting again comes to the end.
    fn killed_everywhere(prepare: &dyn Fn(&dyn Host, &Path), act: &dyn Fn(&dyn Host, &Path) -> Result<()>) {
        let fresh = || {
            let dir = tempfile::tempdir().unwrap();
            fs::create_dir(dir.path().join("etc")).unwrap();
            prepare(&RealHost::new(dir.path().into()), dir.path());
            dir
        };
        let dir = fresh();
        let before = seen(dir.path());
        let host = FakeHost::new(dir.path().into());
        act(&host, dir.path()).unwrap();
        let after = seen(dir.path());
        assert_ne!(before, after);
        let mut states = BTreeMap::new();
        for number in 1..=host.effects() {
            for fault in [Fault::DieBefore, Fault::DieAfter, Fault::Fail] {
                let dir = fresh();
                let host = FakeHost::with_fault(dir.path().into(), number, fault);
                let ended = catch_unwind(AssertUnwindSafe(|| act(&host, dir.path())));
                match (fault, &ended) {
                    (Fault::Fail, Ok(outcome)) => assert!(outcome.is_err(), "effect {number}"),
                    (_, Err(death)) => assert!(death.is::<Died>()),
                    other => panic!("effect {number}: {other:?}"),
                }
                let now = seen(dir.path());
                assert!(now == before || now == after, "effect {number} {fault:?}: {now:?}");
                *states.entry(now == after).or_insert(0) += 1;
                if now == before {
                    act(&RealHost::new(dir.path().into()), dir.path()).unwrap();
                    assert_eq!(seen(dir.path()), after);
                }
            }
        }
        assert_eq!(states.len(), 2, "both are met: {states:?}");
    }

    #[test]
    fn whoever_is_killed_leaves_the_old_plugin_or_the_new_one() {
        let put_one = |host: &dyn Host, dir: &Path| put(host, "tree", true, &bundle(dir, 1)).unwrap();
        killed_everywhere(&|_, _| (), &|host, dir| put(host, "tree", true, &bundle(dir, 1)));
        killed_everywhere(&put_one, &|host, dir| put(host, "tree", true, &bundle(dir, 2)));
        killed_everywhere(&put_one, &|host, _| switch(host, "tree", false));
        killed_everywhere(&put_one, &|host, _| remove(host, "tree", true));
    }

    #[test]
    fn what_is_written_is_plain_and_roots_own() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("etc")).unwrap();
        let host = RealHost::new(dir.path().into());
        put(&host, "tree", false, &bundle(dir.path(), 1)).unwrap();
        let meta = |path: &str| host.meta(&Path::new(paths::MODULES_D).join(path)).unwrap().unwrap().attributes;
        assert_eq!(meta("tree.disabled").mode, 0o750);
        assert_eq!(meta("tree.disabled/templates/a.tera").mode, 0o640);
        assert_eq!(host.list(Path::new(paths::MODULES_D)).unwrap(), ["tree.disabled"]);
        put(&host, "tree", true, &bundle(dir.path(), 1)).unwrap();
        assert!(matches!(switch(&host, "tree", true), Err(Error::Refused { code: "plugin-exists", .. })));
    }

    #[test]
    fn a_name_in_a_manifest_leads_nowhere_else() {
        let dir = tempfile::tempdir().unwrap();
        bundle(dir.path(), 1);
        fs::write(dir.path().join("src/module.yaml"), "name: ../../tmp/x\n").unwrap();
        let bundle = Bundle::of_folder(&RealHost::new(dir.path().into()), Path::new("/src")).unwrap();
        let module = module_of(&bundle).unwrap();
        assert_eq!(module.dir, Path::new(paths::MODULES_D).join("______tmp_x"));
        let problems = Catalogue::new(vec![module]).unwrap_err().to_string();
        assert!(problems.contains("is no good name"), "{problems}");
    }
}
