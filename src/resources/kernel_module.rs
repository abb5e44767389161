//! The kind `kernel_module`: a module of the kernel, loaded now and at each boot (modules-load.d(5)). A container has
//! no kernel of its own: there it is not applicable.

use super::fields;
use super::preimage::{self, Image, Intent, Paths};
use crate::base::ids::ResourceId;
use crate::engine::{Action, Change, Context, Error, Outcome, Resource, Result, Scope, State, Undo, UndoRecord};
use crate::host::{Attributes, Command, Host, kernel, machine};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// The kind of record that undoes a kernel module.
pub const KIND: &str = "kernel_module";

/// A kernel module.
#[derive(Debug)]
pub struct KernelModule {
    id: ResourceId,
    name: String,
    path: PathBuf,
    optional: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    #[serde(default, deserialize_with = "fields::boolean")]
    optional: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Found {
    applicable: bool,
    at_boot: bool,
    loaded: bool,
    /// The kernel has no such module, and can do without.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    missing: bool,
}

impl KernelModule {
    /// The kernel module `name`.
    pub fn from_spec(name: &str, fields: &Map<String, Value>, module: &str) -> Result<Box<dyn Resource>> {
        let Fields { optional } = fields::read(KIND, name, fields, module)?;
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if name.is_empty() || name.starts_with('-') || !name.chars().all(word) {
            return Err(fields::invalid(KIND, name, module, "that is no name of a kernel module"));
        }
        let path = PathBuf::from(format!("/etc/modules-load.d/vps-configurator-{name}.conf"));
        Ok(Box::new(KernelModule { id: ResourceId::new(KIND, name), name: name.to_owned(), path, optional }))
    }

    fn content(&self) -> String {
        format!("# Written by vps-configurator; changes are overwritten.\n{}\n", self.name)
    }
}

impl Resource for KernelModule {
    fn id(&self) -> &ResourceId {
        &self.id
    }

    fn paths(&self) -> Vec<PathBuf> {
        vec![self.path.clone()]
    }

    fn observe(&self, host: &dyn Host) -> Result<State> {
        let at_boot = match host.meta(&self.path)? {
            Some(_) => host.read(&self.path)? == self.content().as_bytes(),
            None => false,
        };
        let loaded = is_loaded(host, &self.name)?;
        let plain = self.name.replace('-', "_");
        let missing = self.optional && !loaded && !kernel::modules(host, &plain)?.contains("");
        let found = Found { applicable: machine::container(host)?.is_none(), at_boot, loaded, missing };
        Ok(State(preimage::to_data(KIND, &found)?))
    }

    fn compare(&self, seen: &State) -> Result<Change> {
        let found: Found = preimage::from_data(KIND, 1, &seen.0)?;
        let summary = match (found.at_boot, found.loaded) {
            _ if !found.applicable => {
                let keep = Change::keep(seen);
                return Ok(Change {
                    summary: "not applicable here: a container has no kernel of its own".into(),
                    ..keep
                });
            }
            _ if found.missing => {
                let summary = "not applicable here: the running kernel has no such module".into();
                return Ok(Change { summary, ..Change::keep(seen) });
            }
            (true, true) => return Ok(Change::keep(seen)),
            (false, true) => "load it at boot",
            (true, false) => "load it now",
            (false, false) => "load it now and at boot",
        };
        let action = if found.at_boot { Action::Update } else { Action::Create };
        Ok(Change::new(action, summary, json!({"applicable": true, "at_boot": true, "loaded": true})))
    }

    fn capture(&self, context: &Context<'_>, seen: &State, _change: &Change) -> Result<UndoRecord> {
        let found: Found = preimage::from_data(KIND, 1, &seen.0)?;
        let after = Image::file(self.content().as_bytes(), Attributes::root(0o644));
        let paths = Paths::capture(context, &[Intent::new(&self.path, after)])?;
        let record = Record { paths, name: self.name.clone(), was_loaded: found.loaded };
        Ok(UndoRecord::new(KIND, preimage::to_data(KIND, &record)?))
    }

    fn apply(&self, context: &Context<'_>, _seen: &State, _change: &Change) -> Result<()> {
        // Loaded first: a module that the kernel has not is not written down for the next boot either.
        if !is_loaded(context.host, &self.name)? {
            context.host.run(&Command::new("modprobe").arg(&self.name)).map_err(|why| {
                let what = format!("cannot load the kernel module {}", self.name);
                Error::refused("kernel-module-rejected", what, why.to_string()).fix(
                    "look whether the running kernel's modules are still installed; after a kernel upgrade, reboot",
                )
            })?;
        }
        preimage::make_parents(context.host, &self.path)?;
        Ok(context.host.write(&self.path, self.content().as_bytes(), &Attributes::root(0o644))?)
    }
}

/// What undoing needs.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    paths: Paths,
    name: String,
    was_loaded: bool,
}

/// Reads a record of the kind [`KIND`].
pub fn decode(version: u32, data: &Value) -> Result<Box<dyn Undo>> {
    Ok(Box::new(preimage::from_data::<Record>(KIND, version, data)?))
}

impl Undo for Record {
    fn describe(&self, context: &Context<'_>, _scope: &Scope) -> Result<Vec<String>> {
        let mut lines = self.paths.describe_restore(context.host, None)?;
        if !self.was_loaded && is_loaded(context.host, &self.name)? {
            lines.push(format!("unload the kernel module {} if nothing uses it", self.name));
        }
        Ok(lines)
    }

    fn undo(&self, context: &Context<'_>, _scope: &Scope, after: Option<&Value>) -> Result<Outcome> {
        let mut restored = self.paths.restore(context, after)?;
        if !self.was_loaded && is_loaded(context.host, &self.name)? {
            // A module in use can't be unloaded, and nothing is wrong with that: it is not loaded at the next boot.
            match context.host.run(&Command::new("modprobe").args(["-r", &self.name])) {
                Ok(_) => restored.changed = true,
                Err(crate::host::Error::Failed { .. }) => {
                    restored.kept.push(format!("the kernel module {} is in use and stays until the reboot", self.name));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(restored.into())
    }
}

/// Whether the kernel has the module: loaded, or built in (then `modules.builtin` of the running kernel names it).
fn is_loaded(host: &dyn Host, name: &str) -> Result<bool> {
    let plain = name.replace('-', "_");
    if host.meta(&Path::new("/sys/module").join(&plain))?.is_some() {
        return Ok(true);
    }
    let Some(release) = super::live::value(host, Path::new("/proc/sys/kernel/osrelease"))? else {
        return Ok(false);
    };
    let builtin = Path::new("/lib/modules").join(release).join("modules.builtin");
    if host.meta(&builtin)?.is_none() {
        return Ok(false);
    }
    let text = String::from_utf8_lossy(&host.read(&builtin)?).replace('-', "_");
    let file = format!("/{plain}.ko");
    Ok(text.lines().any(|line| line.ends_with(&file)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::bench::{Bench, survives_every_crash};

    fn kernel_module(name: &str) -> Box<dyn Resource> {
        KernelModule::from_spec(name, &Map::new(), "test").unwrap()
    }

    fn bench() -> Bench {
        let bench = Bench::new();
        bench.simulated("modprobe");
        bench.put("/lib/modules/6.12/modules.dep", "kernel/net/tcp_bbr.ko.xz:\n");
        bench.put("/lib/modules/6.12/modules.builtin", "kernel/fs/over-lay.ko\n");
        bench.put("/proc/sys/kernel/osrelease", "6.12\n");
        bench.put("/sys/module/README", "");
        bench
    }

    #[test]
    fn a_module_is_loaded_now_and_at_boot_and_comes_back() {
        let change = bench().there_and_back(&*kernel_module("tcp_bbr"));
        assert_eq!(change.summary, "load it now and at boot");
    }

    #[test]
    fn one_that_was_loaded_before_stays_loaded() {
        let bench = bench();
        bench.put("/sys/module/tcp_bbr/refcnt", "0\n");
        assert_eq!(bench.there_and_back(&*kernel_module("tcp_bbr")).summary, "load it at boot");
        assert!(bench.at("/sys/module/tcp_bbr").exists());
    }

    #[test]
    fn one_that_is_built_in_counts_as_loaded() {
        assert_eq!(bench().there_and_back(&*kernel_module("over_lay")).summary, "load it at boot");
    }

    #[test]
    fn an_unknown_module_is_refused_and_not_written_down() {
        let bench = bench();
        let before = bench.tree();
        let resource = kernel_module("nosuch");
        let (seen, change) = bench.plan(&*resource);
        let error = resource.apply(&bench.context(), &seen, &change).unwrap_err();
        assert!(matches!(error, Error::Refused { code: "kernel-module-rejected", .. }));
        assert_eq!(bench.tree(), before);
    }

    #[test]
    fn one_that_the_kernel_can_do_without_is_not_applicable_where_there_is_none() {
        let bench = bench();
        let fields = json!({"optional": true});
        let resource = |name| KernelModule::from_spec(name, fields.as_object().unwrap(), "test").unwrap();
        let (_, change) = bench.plan(&*resource("nosuch"));
        assert!(!change.is_needed() && change.summary.ends_with("has no such module"), "{change:?}");
        // A name that only begins so is another module.
        assert!(!bench.plan(&*resource("tcp_bb")).1.is_needed());
        let _ = bench.there_and_back(&*resource("tcp_bbr"));
    }

    #[test]
    fn one_in_use_stays_until_the_reboot() {
        let bench = bench();
        let step = bench.step(&*kernel_module("tcp_bbr"));
        bench.put("/sys/module/tcp_bbr/holders", "x");
        assert!(matches!(step.undo(), Outcome::Kept(lines) if lines[0].contains("in use")));
    }

    #[test]
    fn in_a_container_it_is_not_applicable() {
        let bench = bench();
        bench.put("/run/systemd/container", "lxc\n");
        let (_, change) = bench.plan(&*kernel_module("tcp_bbr"));
        assert!(!change.is_needed() && change.summary.starts_with("not applicable here"));
    }

    #[test]
    fn no_crash_leaves_half_a_module() {
        survives_every_crash(|| (bench(), kernel_module("tcp_bbr")));
    }
}
