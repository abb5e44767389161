//! Implicit edges: what waits for what without saying so (`docs/reference/manifest.md`, "Implicit edges"). Pure.

use crate::base::ids::ResourceId;
use crate::resources::Spec;
use crate::resources::schema::PackageOrder;
use std::collections::{BTreeMap, BTreeSet};

/// Adds the implicit edges to `needs`, and puts before the packages whatever something before them needs.
pub fn add(specs: &mut [Spec]) {
    let declared: BTreeSet<ResourceId> = specs.iter().map(Spec::id).collect();
    let all: Vec<Vec<ResourceId>> = specs.iter().map(|spec| implicit(spec, specs, &declared)).collect();
    for (spec, implicit) in specs.iter_mut().zip(all) {
        for id in implicit {
            if !spec.needs.contains(&id) {
                spec.needs.push(id);
            }
        }
    }
    before_packages(specs);
}

fn implicit(spec: &Spec, specs: &[Spec], declared: &BTreeSet<ResourceId>) -> Vec<ResourceId> {
    let mut wanted = Vec::new();
    if spec.name.starts_with('/') {
        let mut dir = spec.name.as_str();
        while let Some((parent, _)) = dir.rsplit_once('/') {
            let id = ResourceId::new("directory", parent);
            if declared.contains(&id) {
                wanted.push(id);
                break;
            }
            dir = parent;
        }
    }
    match spec.kind {
        "member" => {
            if let Some((user, group)) = spec.name.split_once('/') {
                wanted.extend([ResourceId::new("user", user), ResourceId::new("group", group)]);
            }
        }
        "authorized_key" => wanted.push(ResourceId::new("user", &spec.name)),
        "unit" => {
            let notifiers = specs.iter().filter(|other| other.module == spec.module && other.id() != spec.id());
            let tells = |other: &Spec| other.notify.iter().any(|debt| debt.unit == spec.name);
            let waits_for_us = |other: &Spec| other.needs.contains(&spec.id());
            wanted.extend(notifiers.filter(|other| tells(other) && !waits_for_us(other)).map(Spec::id));
        }
        _ => {}
    }
    for (field, kind) in [("owner", "user"), ("user", "user"), ("group", "group")] {
        wanted.extend(spec.text(field).map(|name| ResourceId::new(kind, name)));
    }
    wanted.retain(|id| declared.contains(id) && *id != spec.id());
    wanted
}

/// What must be there before the packages must have before the packages what it needs itself.
fn before_packages(specs: &mut [Spec]) {
    let index: BTreeMap<ResourceId, usize> = specs.iter().enumerate().map(|(n, spec)| (spec.id(), n)).collect();
    let mut open: Vec<usize> = (0..specs.len()).filter(|n| specs[*n].packages == PackageOrder::Before).collect();
    while let Some(at) = open.pop() {
        for need in specs[at].needs.clone() {
            let Some(&needed) = index.get(&need) else {
                continue;
            };
            let is_package = matches!(specs[needed].kind, "package" | "security_updates");
            if specs[needed].packages != PackageOrder::Before && !is_package {
                specs[needed].packages = PackageOrder::Before;
                open.push(needed);
            }
        }
    }
}

/// A unit's whole name: `docker` is `docker.service`.
pub fn unit_name(name: &str) -> String {
    if name.is_empty() || name.contains('.') { name.to_owned() } else { format!("{name}.service") }
}
