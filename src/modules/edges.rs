//! Implicit edges: what waits for what without saying so (`docs/reference/manifest.md`, "Implicit edges"). Pure.

use crate::base::ids::ResourceId;
use crate::resources::schema::PackageOrder;
use crate::resources::whole::checked;
use crate::resources::{Spec, insert};
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
    checked_last(specs);
}

/// Files that are checked as a whole wait for everything of their module that does not wait for one of them: what they
/// name (a user, a directory, a certificate that a command makes) must be there when they are checked.
fn checked_last(specs: &mut [Spec]) {
    let checked = checked(specs);
    let index: BTreeMap<ResourceId, usize> = specs.iter().enumerate().map(|(n, spec)| (spec.id(), n)).collect();
    let waits_for_checked = |first: usize| {
        let (mut ahead, mut met) = (vec![first], BTreeSet::new());
        while let Some(at) = ahead.pop() {
            for need in specs[at].needs.iter().filter_map(|id| index.get(id)).copied() {
                if checked.contains(&need) {
                    return true;
                }
                if met.insert(need) {
                    ahead.push(need);
                }
            }
        }
        false
    };
    let comes_before = |at: &usize| {
        let spec = &specs[*at];
        let comes_last = matches!(spec.kind, "unit" | "package" | "security_updates");
        !checked.contains(at) && !comes_last && !waits_for_checked(*at)
    };
    let before: Vec<usize> = (0..specs.len()).filter(comes_before).collect();
    for &at in &checked {
        if specs[at].packages == PackageOrder::Before {
            continue;
        }
        let own = before.iter().filter(|other| specs[**other].module == specs[at].module);
        let more: Vec<ResourceId> =
            own.map(|other| specs[*other].id()).filter(|id| !specs[at].needs.contains(id)).collect();
        specs[at].needs.extend(more);
    }
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
        "firewall_rule" => wanted.push(ResourceId::new("firewall", "ufw")),
        "file" if spec.fields.get("inserts").is_some_and(|value| value == true) => {
            let text = spec.text("content").unwrap_or_default();
            let named = insert::paths(text).into_iter().map(|path| path.display().to_string());
            wanted.extend(named.flat_map(|path| ["generated", "file"].map(|kind| ResourceId::new(kind, &path))));
        }
        "generated" => {
            let read = spec.text("stdin").unwrap_or_default();
            wanted.extend(["generated", "file"].map(|kind| ResourceId::new(kind, read)));
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_file_that_is_checked_waits_for_what_it_may_name_and_for_nothing_that_waits_for_it() {
        let file = |path: &str| Spec::sample("file", path, json!({"content": ""}));
        let mut specs = vec![
            file("/etc/nginx/conf.d/site.conf"),
            Spec::sample("command", "certificate", json!({})),
            Spec::sample("command", "warm-up", json!({})),
            Spec::sample("unit", "nginx.service", json!({})),
            Spec::sample("command", "after-the-unit", json!({})),
            file("/etc/motd"),
            file("/etc/nginx/conf.d/early.conf"),
            Spec { module: "other".into(), ..Spec::sample("user", "www", json!({})) },
        ];
        specs[2].needs.push(ResourceId::new("command", "after-the-unit"));
        specs[4].needs.push(ResourceId::new("file", "/etc/nginx/conf.d/site.conf"));
        specs[6].packages = PackageOrder::Before;
        add(&mut specs);
        let needs: Vec<&str> = specs[0].needs.iter().map(ResourceId::as_str).collect();
        assert_eq!(needs, ["command:certificate", "file:/etc/motd"]);
        assert!(specs[6].needs.is_empty());
    }
}
