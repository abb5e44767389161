//! From what modules ask for to the nodes of the graph: each spec becomes its kind's resource; the packages of all
//! modules become one, and the kernel settings of a module become one.

use super::access::AccessRules;
use super::apt_source::AptSource;
use super::package::{Claim, PackageSet};
use super::schema::PackageOrder;
use super::spec::Spec;
use super::unit::survey::UnitSurvey;
use super::whole::{Whole, Wholes};
use super::written::Written;
use super::{
    authorized_key, block, command, directory, download, file, firewall, generated, group, hostname, kernel_module,
    locale, member, recipe, swap, symlink, sysctl, timezone, unit, user,
};
use crate::base::ids::ResourceId;
use crate::engine::{Error, Node, Resource, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What resources need to know beside their specs.
#[derive(Debug, Clone)]
pub struct Assembly {
    /// The ports that no firewall may close: SSH's.
    pub keep_open: Vec<u16>,
    /// Whether new packages are unpacked without syncing each file.
    pub fast_io: bool,
    /// What people's way in depends on.
    pub access: AccessRules,
    /// Whether files are checked before they are switched.
    pub is_checked: bool,
    /// What we wrote before, by which an edit of somebody's is told from it.
    pub written: Arc<Written>,
}

/// What comes of all specs.
#[derive(Debug)]
pub struct Assembled {
    /// The nodes of the graph.
    pub nodes: Vec<Node>,
    /// The package transaction among them, when a module wants packages.
    pub packages: Option<PackageSet>,
    /// Those of the nodes that are checked as a whole before they change.
    pub checked: BTreeSet<ResourceId>,
    /// What systemd says of the units among them.
    pub survey: Arc<UnitSurvey>,
}

/// The nodes of all specs.
pub fn assemble(specs: &[Spec], assembly: &Assembly) -> Result<Assembled> {
    let packages = ResourceId::new("package", "all");
    let claimed: Vec<&Spec> = specs.iter().filter(|spec| is_claim(spec)).collect();
    let first = claimed.first().map(|spec| (spec.module.clone(), spec.priority, spec.origin.clone()));
    let mut claims: BTreeMap<String, Vec<Claim>> = BTreeMap::new();
    let mut security = BTreeSet::new();
    for spec in &claimed {
        if spec.kind == "security_updates" {
            security.insert(spec.module.clone());
        } else {
            let release = spec.text("release").unwrap_or_default().to_owned();
            claims.entry(spec.module.clone()).or_default().push(Claim { name: spec.name.clone(), release });
        }
    }
    // What a manifest calls a resource, and what it is called in the graph: packages are one, a block has its marker.
    let mut names: BTreeMap<ResourceId, ResourceId> =
        claimed.iter().map(|spec| (spec.id(), packages.clone())).collect();
    let mut orders: BTreeMap<ResourceId, PackageOrder> = BTreeMap::new();
    let survey = Arc::new(UnitSurvey::default());
    let mut sources = Vec::new();
    let mut beside = BTreeSet::new();
    let mut ahead = Vec::new();
    let mut nodes = Vec::new();
    let mut settings: BTreeMap<String, Vec<Spec>> = BTreeMap::new();
    let wholes = if assembly.is_checked { Wholes::of(specs, &assembly.written)? } else { Wholes::default() };
    let mut checked = BTreeSet::new();
    for (at, spec) in specs.iter().enumerate().filter(|(_, spec)| !is_claim(spec)) {
        if spec.kind == "sysctl" {
            settings.entry(spec.module.clone()).or_default().push(spec.clone());
            continue;
        }
        let whole = wholes.of_spec(at);
        let is_checked = whole.is_some();
        let resource = build(spec, assembly, &survey, whole, &mut sources)?;
        if is_checked {
            checked.insert(resource.id().clone());
        }
        names.insert(spec.id(), resource.id().clone());
        orders.insert(resource.id().clone(), spec.packages);
        let recipe = Some(recipe::write([spec], &assembly.keep_open));
        nodes.push(Node { access: concerned([spec], assembly), recipe, ..node(spec, resource) });
    }
    for (module, specs) in settings {
        let fields: Vec<_> = specs.iter().map(|spec| (spec.name.clone(), spec.fields.clone())).collect();
        let resource = sysctl::Sysctl::from_specs(&module, &fields)?;
        let Some(first) = specs.first() else { continue };
        names.extend(specs.iter().map(|spec| (spec.id(), resource.id().clone())));
        orders.insert(resource.id().clone(), first.packages);
        let mut merged = node(first, resource);
        merged.needs = specs.iter().flat_map(|spec| spec.needs.clone()).collect();
        merged.notify = specs.iter().flat_map(|spec| spec.notify.clone()).collect();
        merged.access = concerned(specs.iter(), assembly);
        merged.recipe = Some(recipe::write(&specs, &assembly.keep_open));
        nodes.push(merged);
    }
    let has_packages = !claimed.is_empty();
    let mut healths = BTreeMap::new();
    for spec in specs.iter().filter(|spec| spec.kind == "unit") {
        healths.insert(spec.name.as_str(), unit::health(&spec.name, &spec.fields, &spec.module)?);
    }
    for node in &mut nodes {
        for debt in &mut node.notify {
            debt.healthy = healths.get(debt.unit.as_str()).cloned().unwrap_or_default();
        }
        let id = node.resource.id().clone();
        node.needs = node.needs.iter().map(|need| names.get(need).unwrap_or(need).clone()).collect();
        node.needs.sort();
        node.needs.dedup();
        if orders.get(&id).is_some_and(|order| *order != PackageOrder::After) {
            beside.extend(node.resource.paths());
        }
        match orders.get(&id).copied().unwrap_or(PackageOrder::After) {
            PackageOrder::Before => ahead.push(id),
            PackageOrder::After if has_packages => node.needs.push(packages.clone()),
            PackageOrder::After | PackageOrder::Either => {}
        }
    }
    let packages = first.map(|(module, priority, origin)| {
        let set = PackageSet::new(claims, security).with_sources(sources).leaving(beside);
        let set = set.fast(assembly.fast_io);
        nodes.push(Node {
            resource: Box::new(set.clone()),
            module,
            needs: ahead,
            notify: Vec::new(),
            access: concerned(claimed.iter().copied(), assembly),
            priority,
            origin,
            recipe: Some(recipe::write(claimed.iter().copied(), &assembly.keep_open)),
        });
        set
    });
    Ok(Assembled { nodes, packages, checked, survey })
}

/// The modules that ask for something on which people's way in depends.
fn concerned<'s>(specs: impl IntoIterator<Item = &'s Spec>, assembly: &Assembly) -> Vec<String> {
    let concerned = specs.into_iter().filter(|spec| assembly.access.concern(spec)).map(|spec| spec.module.clone());
    concerned.collect::<BTreeSet<_>>().into_iter().collect()
}

fn is_claim(spec: &Spec) -> bool {
    matches!(spec.kind, "package" | "security_updates")
}

fn node(spec: &Spec, resource: Box<dyn Resource>) -> Node {
    Node {
        resource,
        module: spec.module.clone(),
        needs: spec.needs.clone(),
        notify: spec.notify.clone(),
        access: Vec::new(),
        priority: spec.priority,
        origin: spec.origin.clone(),
        recipe: None,
    }
}

fn build(
    spec: &Spec,
    assembly: &Assembly,
    survey: &Arc<UnitSurvey>,
    whole: Option<Arc<Whole>>,
    sources: &mut Vec<super::package::PlannedSource>,
) -> Result<Box<dyn Resource>> {
    let Spec { name, fields, module, .. } = spec;
    match spec.kind {
        "apt_source" => {
            let source = AptSource::read(name, fields, module)?;
            sources.push(source.planned().clone());
            Ok(Box::new(source))
        }
        "authorized_key" => authorized_key::AuthorizedKey::from_spec(name, fields, module),
        "block" => block::Block::from_spec(name, fields, module, whole),
        "command" => command::Run::from_spec(name, fields, module),
        "directory" => directory::Directory::from_spec(name, fields, module),
        "download" => download::Download::from_spec(name, fields, module),
        "file" => file::File::from_spec(name, fields, module, whole, &assembly.written),
        "firewall" => firewall::Firewall::from_spec(name, fields, module, &assembly.keep_open),
        "firewall_rule" => firewall::one::FirewallRule::from_spec(name, fields, module, &assembly.keep_open),
        "generated" => generated::Generated::from_spec(name, fields, module),
        "group" => group::Group::from_spec(name, fields, module),
        "hostname" => hostname::Hostname::from_spec(name, fields, module),
        "kernel_module" => kernel_module::KernelModule::from_spec(name, fields, module),
        "locale" => locale::Locale::from_spec(name, fields, module),
        "member" => member::Member::from_spec(name, fields, module),
        "swap" => swap::Swap::from_spec(name, fields, module),
        "symlink" => symlink::Symlink::from_spec(name, fields, module, whole),
        "timezone" => timezone::Timezone::from_spec(name, fields, module),
        "unit" => unit::Unit::from_spec(name, fields, module, survey),
        "user" => user::User::from_spec(name, fields, module),
        kind => Err(Error::refused("kind-unknown", format!("{kind}:{name} of {module}"), "no such kind is known")),
    }
}
