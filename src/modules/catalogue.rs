//! All modules there are, checked against each other, and their order.

use super::manifest::{Manifest, Reference};
use super::source::{DISABLED, ModuleSource};
use crate::base::yaml::{Collector, Problem, Problems};
use crate::host::{self, Host};
use petgraph::algo::tarjan_scc;
use petgraph::graphmap::DiGraphMap;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;

/// The modules, by name.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    modules: BTreeMap<String, Manifest>,
    disabled: BTreeSet<String>,
}

impl Catalogue {
    /// Reads the modules below `builtin` and then those below `own`.
    ///
    /// # Errors
    /// Everything that is wrong with them; a folder that can't be read is one of those things.
    pub fn load(host: &dyn Host, builtin: &Path, own: &Path) -> Result<Catalogue, Problems> {
        let (sources, disabled) = Catalogue::sources(host, builtin, own)?;
        Catalogue::of(sources, disabled)
    }

    /// What it would be made of: the modules, and the names of the plugins that are switched off.
    ///
    /// # Errors
    /// When a folder can't be read.
    pub fn sources(
        host: &dyn Host,
        builtin: &Path,
        own: &Path,
    ) -> Result<(Vec<ModuleSource>, BTreeSet<String>), Problems> {
        let unreadable = |error: host::Error| Problem::anywhere("modules-unreadable", error.to_string());
        let mut sources = Vec::new();
        for (dir, is_builtin) in [(builtin, true), (own, false)] {
            sources.extend(ModuleSource::load_all(host, dir, is_builtin).map_err(unreadable)?);
        }
        let names = host.list(own).map_err(unreadable)?;
        let off = names.iter().filter_map(|name| name.to_str()?.strip_suffix(DISABLED).map(str::to_owned));
        Ok((sources, off.collect()))
    }

    /// The catalogue of these modules, built-in ones first; none is switched off.
    ///
    /// # Errors
    /// As [`Catalogue::of`].
    pub fn new(sources: Vec<ModuleSource>) -> Result<Catalogue, Problems> {
        Catalogue::of(sources, BTreeSet::new())
    }

    /// The catalogue of these modules, built-in ones first, beside those of these names that are switched off.
    ///
    /// # Errors
    /// Every problem of every manifest: those of its own text, a module that replaces another, a dependency that
    /// doesn't exist, modules that depend on each other in a circle.
    pub fn of(sources: Vec<ModuleSource>, disabled: BTreeSet<String>) -> Result<Catalogue, Problems> {
        let collector = Collector::default();
        let mut modules: BTreeMap<String, Manifest> = BTreeMap::new();
        let mut broken = BTreeSet::new();
        for source in sources {
            let folder = source.dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let place = source.dir.display().to_string();
            if let Some(first) = modules.get(&folder) {
                let what = if first.builtin { "a built-in module can't be replaced" } else { "there are two" };
                let message = format!("the module \"{folder}\" is in {} and in {place}; {what}", first.dir.display());
                collector.add(
                    Problem::anywhere("module-replaces", message).hint(format!("give the one in {place} another name")),
                );
                continue;
            }
            match Manifest::read(source, &collector) {
                Some(manifest) => {
                    modules.insert(folder, manifest);
                }
                None => {
                    broken.insert(folder);
                }
            }
        }
        let catalogue = Catalogue { modules, disabled };
        catalogue.check_references(&broken, &collector);
        catalogue.check_cycles(&collector);
        collector.finish(catalogue)
    }

    /// The module of that name.
    pub fn get(&self, name: &str) -> Option<&Manifest> {
        self.modules.get(name)
    }

    /// All modules, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Manifest> {
        self.modules.values()
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.modules.keys().map(String::as_str)
    }

    /// Whether there is a plugin of that name that is switched off.
    pub fn is_disabled(&self, name: &str) -> bool {
        self.disabled.contains(name)
    }

    /// That a module is not there of which `said` tells (`the module "dokcer"`), at the place that `at` knows: it doesn't
    /// exist, or it is switched off.
    pub fn missing(&self, name: &str, said: &str, at: impl FnOnce(&'static str, String) -> Problem) -> Problem {
        if self.disabled.contains(name) {
            let hint = format!("vps-configurator plugin enable {name}");
            return at("plugin-disabled", format!("{said} is a plugin that is switched off")).hint(hint);
        }
        at("module-unknown", format!("{said} does not exist")).instead_of(name, self.names())
    }

    /// The modules and everything that they depend on: each name with who needed it first, `None` for those asked for.
    pub fn with_dependencies<'a>(
        &'a self,
        asked: impl IntoIterator<Item = &'a str>,
    ) -> BTreeMap<&'a str, Option<&'a str>> {
        let mut found: BTreeMap<&str, Option<&str>> = asked.into_iter().map(|name| (name, None)).collect();
        let mut open: VecDeque<&str> = found.keys().copied().collect();
        while let Some(name) = open.pop_front() {
            for needed in self.get(name).map_or(&[][..], |m| m.depends_on.as_slice()) {
                if !found.contains_key(needed.name.as_str()) {
                    found.insert(&needed.name, Some(name));
                    open.push_back(&needed.name);
                }
            }
        }
        found
    }

    /// The load order of these modules: dependencies first, then by priority, then by name.
    pub fn order<'a>(&self, modules: impl IntoIterator<Item = &'a str>) -> Vec<String> {
        let mut waiting: BTreeSet<(i32, &str)> =
            modules.into_iter().filter_map(|name| self.get(name)).map(|m| (m.priority, m.name.as_str())).collect();
        let names: BTreeSet<&str> = waiting.iter().map(|(_, name)| *name).collect();
        let mut done: BTreeSet<&str> = BTreeSet::new();
        let mut order = Vec::new();
        let ready = |name: &str, done: &BTreeSet<&str>| {
            let needed = self.get(name).map_or(&[][..], |m| m.depends_on.as_slice());
            needed.iter().all(|n| done.contains(n.name.as_str()) || !names.contains(n.name.as_str()))
        };
        while let Some(next) = waiting.iter().find(|(_, name)| ready(name, &done)).copied() {
            waiting.remove(&next);
            done.insert(next.1);
            order.push(next.1.to_owned());
        }
        order
    }

    /// Every dependency as (module, what it depends on), for `module graph`.
    pub fn dependencies(&self) -> impl Iterator<Item = (&str, &str)> {
        self.iter().flat_map(|m| m.depends_on.iter().map(|needed| (m.name.as_str(), needed.name.as_str())))
    }

    /// Every pair of these modules that can't be enabled together.
    pub fn conflicts<'a>(&'a self, enabled: &BTreeSet<&str>) -> Vec<(&'a str, &'a str)> {
        let declared = self.iter().filter(|m| enabled.contains(m.name.as_str()));
        let pairs = declared.flat_map(|m| m.conflicts_with.iter().map(|other| (m.name.as_str(), other.name.as_str())));
        pairs.filter(|(_, other)| enabled.contains(other)).collect()
    }

    fn check_references(&self, broken: &BTreeSet<String>, collector: &Collector) {
        for module in self.iter() {
            for (references, what) in [(&module.depends_on, "depends on"), (&module.conflicts_with, "conflicts with")] {
                for reference in references {
                    let Reference { name, span } = reference;
                    if self.modules.contains_key(name) || broken.contains(name) {
                        continue;
                    }
                    let said = format!("{} {what} \"{name}\", which", module.name);
                    collector
                        .add(self.missing(name, &said, |code, text| Problem::at(&module.source, *span, code, text)));
                }
            }
        }
    }

    fn check_cycles(&self, collector: &Collector) {
        let mut graph: DiGraphMap<&str, ()> = DiGraphMap::new();
        for (module, needed) in self.dependencies().filter(|(_, needed)| self.modules.contains_key(*needed)) {
            graph.add_edge(module, needed, ());
        }
        for mut circle in tarjan_scc(&graph) {
            circle.sort_unstable();
            let start = circle[0];
            if circle.len() == 1 && !graph.contains_edge(start, start) {
                continue;
            }
            let path = way_back(&graph, start, &circle);
            let module = &self.modules[start];
            let span = module.depends_on.iter().find(|r| Some(&r.name.as_str()) == path.get(1)).map(|r| r.span);
            let message = format!("modules depend on each other: {}", path.join(" -> "));
            let problem = Problem::at(&module.source, span.unwrap_or_default(), "module-cycle", message);
            collector.add(problem.hint("one of these must not depend on the next"));
        }
    }
}

/// The shortest way from `start` back to itself within its circle.
fn way_back<'a>(graph: &DiGraphMap<&'a str, ()>, start: &'a str, circle: &[&'a str]) -> Vec<&'a str> {
    let mut came_from: BTreeMap<&str, &str> = BTreeMap::new();
    let mut open = VecDeque::from([start]);
    while let Some(at) = open.pop_front() {
        for next in graph.neighbors(at).filter(|next| circle.contains(next)) {
            if next == start {
                let mut path = vec![at];
                while let Some(before) = came_from.get(path[path.len() - 1]) {
                    path.push(before);
                }
                path.reverse();
                path.push(start);
                return path;
            }
            if !came_from.contains_key(next) {
                came_from.insert(next, at);
                open.push_back(next);
            }
        }
    }
    vec![start, start]
}
