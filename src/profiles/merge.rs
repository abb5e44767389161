//! Merging and checking the layers.

use super::configuration::{Configuration, EnabledModule, Origin, Valued};
use super::input::Inputs;
use super::profile::Profiles;
use super::questions;
use super::setting;
use super::settings::{self, Settings};
use crate::base::yaml::{Collector, Fields, Node, Problem, Problems, Reader, Source, parse};
use crate::modules::{Catalogue, Options};
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};

/// Merges and checks the layers.
///
/// # Errors
/// Everything that is wrong in any layer that counts, each at its place.
pub fn check(catalogue: &Catalogue, inputs: &Inputs) -> Result<Configuration, Problems> {
    run(catalogue, inputs, false)
}

/// The same, and the modules of every profile are checked, also of those that are not chosen.
///
/// # Errors
/// All problems there are.
pub fn validate(catalogue: &Catalogue, inputs: &Inputs) -> Result<(), Problems> {
    run(catalogue, inputs, true).map(|_| ())
}

fn run(catalogue: &Catalogue, inputs: &Inputs, every_profile: bool) -> Result<Configuration, Problems> {
    let collector = Collector::default();
    let profiles = Profiles::read(inputs, &collector);
    let settings = settings::options();
    let mut merge = Merge::new(catalogue, &settings, &collector);
    let told = |outcome: Result<(Source, Node), Problem>| outcome.map_err(|problem| collector.add(problem)).ok();
    let read = |source: &Source| told(parse(source).map(|root| (source.clone(), root)));
    let defaults = inputs.defaults.as_ref().and_then(read);
    let files: Vec<(Source, Node)> = inputs.config.iter().filter_map(read).collect();
    let sets: Vec<(Source, Node)> = inputs.sets.iter().filter_map(|set| told(setting::tree(set))).collect();

    if let Some((source, root)) = &defaults {
        merge.config(source, root, false);
    }
    let chosen = choose(inputs, defaults.iter().chain(&files).chain(&sets));
    let mut chain = Vec::new();
    if let Some((name, _, unknown)) = &chosen {
        match profiles.chain(name, unknown.clone()) {
            Ok(profiles) => chain = profiles,
            Err(problem) => collector.add(problem),
        }
    }
    for profile in &chain {
        merge.modules(&profile.source, profile.modules.as_ref(), true, false);
        questions::check(catalogue, profile, &collector);
    }
    for (source, root) in &files {
        merge.config(source, root, false);
    }
    for (source, root) in &sets {
        merge.config(source, root, true);
    }
    if every_profile {
        for profile in profiles.iter().filter(|p| !chain.iter().any(|used| used.name == p.name)) {
            Merge::new(catalogue, &settings, &collector).modules(
                &profile.source,
                profile.modules.as_ref(),
                true,
                false,
            );
            questions::check(catalogue, profile, &collector);
            if let Err(problem) = profiles.chain(&profile.name, Problem::anywhere("profile-unknown", "")) {
                collector.add(problem);
            }
        }
    }
    let enabled = enable(catalogue, inputs, &merge.switches, &collector);
    let Merge { modules, setting_values, switches, .. } = merge;
    let configuration = Configuration {
        profile: chosen.map(|(name, origin, _)| Valued { value: json!(name), origin }),
        chain: chain.iter().map(|profile| profile.name.clone()).collect(),
        enabled,
        settings: Settings::new(&setting_values),
        modules,
        setting_values,
        switches,
    };
    collector.finish(configuration)
}

/// The chosen profile's name, where it was chosen, and the problem that it is if it doesn't exist.
fn choose<'a>(inputs: &Inputs, layers: impl Iterator<Item = &'a (Source, Node)>) -> Option<(String, Origin, Problem)> {
    let message = |name: &str| format!("the profile \"{name}\" does not exist");
    if let Some(name) = &inputs.profile {
        let problem = Problem::anywhere("profile-unknown", message(name));
        return Some((name.clone(), Origin::Flag("--profile"), problem));
    }
    let named = layers.filter_map(|(source, root)| {
        let node = root.get("profile")?;
        let name = node.as_text()?;
        let problem = Problem::at(source, node.span, "profile-unknown", message(name));
        Some((name.to_owned(), Origin::at(source, node.span), problem))
    });
    named.last()
}

struct Merge<'a> {
    catalogue: &'a Catalogue,
    settings: &'a Options,
    collector: &'a Collector,
    modules: BTreeMap<String, BTreeMap<String, Valued>>,
    setting_values: BTreeMap<String, Valued>,
    switches: BTreeMap<String, (bool, Origin)>,
}

impl<'a> Merge<'a> {
    /// With every default in place.
    fn new(catalogue: &'a Catalogue, settings: &'a Options, collector: &'a Collector) -> Self {
        let valued = |options: &Options| {
            let all = options.defaults().into_iter();
            all.map(|(path, value)| (path, Valued { value, origin: Origin::Default })).collect::<BTreeMap<_, _>>()
        };
        Merge {
            catalogue,
            settings,
            collector,
            modules: catalogue.iter().map(|module| (module.name.clone(), valued(&module.options))).collect(),
            setting_values: valued(settings),
            switches: BTreeMap::new(),
        }
    }

    /// A layer in the form of `config.yaml`.
    fn config(&mut self, source: &Source, root: &Node, loose: bool) {
        let reader = Reader::new(source, self.collector);
        let Some(mut fields) = reader.map(root, "the configuration") else {
            return;
        };
        fields.text("profile");
        let modules = fields.take("modules");
        let values = &mut self.setting_values;
        self.settings.values(&mut fields, "the configuration", loose, &mut |path, value, span| {
            values.insert(path.to_owned(), Valued { value, origin: Origin::at(source, span) });
        });
        fields.finish();
        self.modules(source, modules, false, loose);
    }

    /// The `modules:` of a layer. In a profile, naming a module switches it on.
    fn modules(&mut self, source: &Source, node: Option<&Node>, is_profile: bool, loose: bool) {
        let reader = Reader::new(source, self.collector);
        let Some(fields) = node.and_then(|node| reader.map(node, "modules")) else {
            return;
        };
        for entry in fields.entries() {
            let Some(module) = self.catalogue.get(&entry.key) else {
                let said = format!("the module \"{}\"", entry.key);
                reader.tell(self.catalogue.missing(&entry.key, &said, |code, text| reader.at(entry.span, code, text)));
                continue;
            };
            let what = format!("modules.{}", entry.key);
            let Some(mut fields) = reader.map(&entry.value, what.as_str()) else {
                continue;
            };
            match switch(&mut fields) {
                Some((on, node)) => {
                    self.switches.insert(entry.key.clone(), (on, Origin::at(source, node.span)));
                }
                None if is_profile => {
                    self.switches.insert(entry.key.clone(), (true, Origin::at(source, entry.span)));
                }
                None => {}
            }
            let values = self.modules.entry(entry.key.clone()).or_default();
            module.options.values(&mut fields, &what, loose, &mut |path, value: Json, span| {
                values.insert(path.to_owned(), Valued { value, origin: Origin::at(source, span) });
            });
            fields.finish();
        }
    }
}

fn switch<'a>(fields: &mut Fields<'a>) -> Option<(bool, &'a Node)> {
    let node = fields.take("enabled")?;
    Some((fields.reader.boolean(node)?, node))
}

/// The enabled modules in load order: those asked for and what they depend on.
fn enable(
    catalogue: &Catalogue,
    inputs: &Inputs,
    switches: &BTreeMap<String, (bool, Origin)>,
    collector: &Collector,
) -> Vec<EnabledModule> {
    let known = |name: &String, flag: &str| {
        let good = catalogue.get(name).is_some();
        if !good {
            collector.add(catalogue.missing(name, &format!("{flag} {name}: the module \"{name}\""), Problem::anywhere));
        }
        good
    };
    let only: Vec<&String> = inputs.only.iter().filter(|name| known(name, "--module")).collect();
    let skip: BTreeSet<&str> = inputs.skip.iter().filter(|name| known(name, "--skip")).map(String::as_str).collect();
    let mut asked: BTreeMap<&str, Origin> = if inputs.only.is_empty() {
        let on = switches.iter().filter(|(_, (on, _))| *on);
        on.map(|(name, (_, origin))| (name.as_str(), origin.clone())).collect()
    } else {
        only.into_iter().map(|name| (name.as_str(), Origin::Flag("--module"))).collect()
    };
    asked.retain(|name, _| !skip.contains(name));
    let all = catalogue.with_dependencies(asked.keys().copied());
    for (name, needed_by) in &all {
        let Some(by) = needed_by else { continue };
        if skip.contains(name) {
            let problem = Problem::anywhere("module-needed", format!("--skip {name}: {by} depends on it"));
            collector.add(problem.hint(format!("skip {by} too: --skip {by}")));
        } else if let Some((false, origin)) = switches.get(*name) {
            let message = format!("{by} depends on {name}, which is switched off at {origin}");
            collector
                .add(Problem::anywhere("module-needed", message).hint(format!("switch {by} off too, or {name} on")));
        }
    }
    let names: BTreeSet<&str> = all.keys().copied().collect();
    for (one, other) in catalogue.conflicts(&names) {
        let message = format!("{one} and {other} can't be enabled together");
        collector.add(
            Problem::anywhere("module-conflict", message)
                .hint(format!("set modules.{other}.enabled to false, or modules.{one}.enabled")),
        );
    }
    let origin = |name: &str| match (asked.get(name), all.get(name)) {
        (Some(origin), _) => origin.clone(),
        (None, Some(Some(by))) => Origin::NeededBy((*by).to_owned()),
        _ => Origin::Default,
    };
    let order = catalogue.order(names.iter().copied());
    order.into_iter().map(|name| EnabledModule { origin: origin(&name), name }).collect()
}
