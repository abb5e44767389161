//! The plan as a promise: every difference between two snapshots must be one that the plan had named, and everything
//! that it had named must have come.

use super::program::json;
use crate::harness::diff::{self, Difference};
use crate::harness::{Machine, Snapshot};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use vps_configurator::base::ids::TransactionId;
use vps_configurator::journal::{Journal, StepRow};

/// Paths that a kind of resource writes without carrying them in its name.
const PATHS: &[(&str, &[&str])] = &[
    ("timezone", &["/etc/localtime", "/etc/timezone"]),
    ("locale", &["/etc/locale.gen", "/etc/locale.conf", "/etc/default/locale"]),
    ("hostname", &["/etc/hostname", "/etc/hosts"]),
];

/// What a running service makes in the kernel (`*`: any text): the plan names the service, not each of its rules.
const KERNEL: &[(&str, &str, &[&str])] = &[
    ("firewall:ufw", "nft", &["ip filter*", "ip6 filter*"]),
    // From /etc/ufw/sysctl.conf, which belongs to the package.
    ("firewall:ufw", "sysctl", &["net.ipv*.conf.*.accept_redirects"]),
    ("unit:docker.service", "nft", &["ip nat*", "ip6 nat*", "ip filter chain DOCKER*"]),
    ("unit:docker.service", "sysctl", &["net.*.docker0.*", "net.ipv4.ip_forward", "net.ipv4.conf.*.forwarding"]),
    ("unit:fail2ban.service", "nft", &["inet f2b*"]),
];

/// Compares; panics with everything that was not promised or not kept.
pub fn must_be_kept(machine: &Machine, plan: &Value, before: &Snapshot, after: &Snapshot, transaction: i64) {
    let journal = Journal::open_to_read(&machine.disk().join("var/lib/vps-configurator"))
        .expect("the journal can be read")
        .expect("there is a journal");
    let rows = journal.steps(TransactionId(transaction)).expect("its steps");
    let promise = Promise::read(machine, plan, &rows);
    let exceptions = diff::exceptions().expect("the list is sound");
    let all = diff::differences(before, after, &exceptions);
    let mut because: BTreeMap<&str, usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for difference in &all {
        match promise.covers(difference, after) {
            Some(why) => *because.entry(why).or_default() += 1,
            None => wrong.push(format!("not promised: {}", difference.line)),
        }
    }
    println!("{} differences: {because:?}; {} uncovered", all.len(), wrong.len());
    wrong.extend(promise.not_kept(before, after, &rows));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

struct Promise {
    steps: Vec<(String, Value)>,
    /// Name to version of what is installed or upgraded.
    packages: BTreeMap<String, String>,
    /// The marks promised, where the plan speaks of a package by name: is it automatic?
    marks: BTreeMap<String, bool>,
    /// Every path that these packages bring.
    shipped: BTreeSet<String>,
    /// What their maintainer scripts did, as the journal has it.
    side_effects: BTreeSet<String>,
}

impl Promise {
    fn read(machine: &Machine, plan: &Value, rows: &[StepRow]) -> Self {
        let steps: Vec<(String, Value)> = plan["plan"]["steps"]
            .as_array()
            .expect("a plan has steps")
            .iter()
            .map(|step| (step["id"].as_str().expect("a step has an id").to_owned(), step.clone()))
            .collect();
        let (mut packages, mut marks) = (BTreeMap::new(), BTreeMap::new());
        for (id, step) in &steps {
            if !id.starts_with("package:") {
                continue;
            }
            for item in ["new", "upgrades"]
                .iter()
                .flat_map(|list| step["seen"]["solution"][list].as_array().into_iter().flatten())
            {
                let text = |name: &str| item[name].as_str().unwrap_or_default().to_owned();
                packages.insert(text("name"), text("version"));
            }
            for (name, state) in step["change"]["after"]["packages"].as_object().into_iter().flatten() {
                marks.insert(name.clone(), state["auto"] == true);
            }
        }
        let shipped = packages.keys().flat_map(|name| shipped(&machine.disk(), name)).collect();
        let side_effects = rows
            .iter()
            .filter_map(|row| row.settled.as_ref()?.get("changes")?.as_object())
            .flat_map(|changes| changes.keys().cloned())
            .collect();
        Promise { steps, packages, marks, shipped, side_effects }
    }

    fn has(&self, id: &str) -> bool {
        self.steps.iter().any(|(planned, _)| planned == id)
    }

    /// Whether a path is written by a step of the plan.
    fn writes(&self, path: &str) -> bool {
        self.steps.iter().any(|(id, step)| {
            let (kind, name) = id.split_once(':').unwrap_or((id, ""));
            let named = name.split('#').next() == Some(path);
            named
                || PATHS.iter().any(|(of, paths)| *of == kind && paths.contains(&path))
                || (kind == "sysctl" && path == format!("/etc/sysctl.d/60-vps-configurator-{name}.conf"))
                || (kind == "firewall" && (path.starts_with("/etc/ufw/") || path == "/etc/default/ufw"))
                || (kind == "unit" && step["change"]["after"]["enabled"] == true && path.ends_with(&format!("/{name}")))
        })
    }

    /// Which part of the plan, or of the record of the packages' own scripts, speaks of this difference.
    fn covers(&self, difference: &Difference, after: &Snapshot) -> Option<&'static str> {
        let (kind, name) = (difference.kind.as_str(), difference.name.as_str());
        let unit_of_package = |name: &str| {
            ["/usr/lib/systemd/system/", "/lib/systemd/system/", "/etc/init.d/"]
                .iter()
                .any(|folder| self.shipped.contains(&format!("{folder}{name}")))
        };
        match kind {
            "package" if self.packages.contains_key(name) => Some("package"),
            "package" if self.marks.get(name) == Some(&false) && difference.line.contains("mark auto -> manual") => {
                Some("mark of a package")
            }
            "file" if self.writes(name) => Some("path of a step"),
            "file" if self.shipped.contains(name) => Some("path of a package"),
            "file" if self.side_effects.contains(name) => Some("side effect of a package, recorded"),
            "diversion" => self.diverts(name, after).then_some("diversion of a package"),
            "unit" | "active" if self.has(&format!("unit:{name}")) => Some("unit of a step"),
            "unit" | "active" if unit_of_package(name) => Some("unit of a package"),
            "user" | "group" | "shadow" | "gshadow" | "subuid" | "subgid" => {
                let file = if kind == "user" { "/etc/passwd".to_owned() } else { format!("/etc/{kind}") };
                self.side_effects.contains(&file).then_some("account of a package, recorded")
            }
            "locale" => self.steps.iter().any(|(id, _)| id.starts_with("locale:")).then_some("locale"),
            "host" => self
                .steps
                .iter()
                .any(|(id, _)| {
                    let kind = id.split(':').next().unwrap_or_default();
                    name.starts_with(kind)
                })
                .then_some("name, zone and language"),
            "sysctl" if self.settings().contains(name) => Some("setting of a step"),
            "sysctl" | "nft" => KERNEL
                .iter()
                .any(|(id, of, patterns)| {
                    *of == kind && self.has(id) && patterns.iter().any(|pattern| diff::matches(pattern, name))
                })
                .then_some("made in the kernel by a planned service"),
            _ => None,
        }
    }

    fn diverts(&self, path: &str, after: &Snapshot) -> bool {
        let by = after.0.get("diversion").and_then(|all| all.get(path)).and_then(|attributes| attributes.get("by"));
        by.is_some_and(|name| self.packages.contains_key(name))
    }

    /// The settings that the plan's lines name.
    fn settings(&self) -> BTreeSet<String> {
        let lines = self
            .steps
            .iter()
            .filter(|(id, _)| id.starts_with("sysctl:"))
            .flat_map(|(_, step)| step["change"]["details"].as_array().into_iter().flatten());
        lines.filter_map(|line| Some(line.as_str()?.split(' ').next()?.to_owned())).collect()
    }

    /// What was promised and didn't come.
    fn not_kept(&self, before: &Snapshot, after: &Snapshot, rows: &[StepRow]) -> Vec<String> {
        let mut wrong = Vec::new();
        let get = |snapshot: &Snapshot, kind: &str, name: &str, attribute: &str| {
            snapshot.0.get(kind).and_then(|all| all.get(name)?.get(attribute).cloned())
        };
        let nothing = BTreeMap::new();
        let (old, new) = (before.0.get("package").unwrap_or(&nothing), after.0.get("package").unwrap_or(&nothing));
        for (name, version) in &self.packages {
            if get(after, "package", name, "version").as_ref() != Some(version) {
                wrong.push(format!("not kept: package {name} {version}"));
            }
            let automatic = self.marks.get(name).copied().unwrap_or(true);
            if (get(after, "package", name, "mark").as_deref() == Some("auto")) != automatic && !old.contains_key(name)
            {
                wrong.push(format!("not kept: the mark of package {name}"));
            }
        }
        for (name, attributes) in new {
            if old.get(name).and_then(|old| old.get("version")) != attributes.get("version")
                && !self.packages.contains_key(name)
            {
                wrong.push(format!("not promised: package {name}"));
            }
        }
        for (id, step) in &self.steps {
            let (kind, name) = id.split_once(':').unwrap_or((id, ""));
            let wanted = &step["change"]["after"];
            let kept = match kind {
                "file" => get(after, "file", name, "content")
                    .is_some_and(|content| content.ends_with(wanted["digest"].as_str().unwrap_or("no digest"))),
                "unit" => {
                    (wanted["active"] != true || get(after, "active", name, "state").as_deref() == Some("active"))
                        && (wanted["enabled"] != true
                            || get(after, "unit", name, "enabled").as_deref() == Some("enabled"))
                }
                "timezone" => get(after, "host", "timezone", "is").is_some_and(|zone| zone.ends_with(name)),
                "hostname" => get(after, "host", "hostname", "is").as_deref() == Some(name),
                "sysctl" => step["change"]["details"].as_array().into_iter().flatten().all(|line| {
                    let line = line.as_str().unwrap_or_default();
                    let (setting, values) = line.split_once(' ').unwrap_or_default();
                    let value = values.split(" → ").nth(1).unwrap_or_default();
                    get(after, "sysctl", setting, "is")
                        .is_some_and(|is| is.split_whitespace().eq(value.split_whitespace()))
                }),
                _ => true,
            };
            if !kept {
                wrong.push(format!("not kept: {id}: {wanted}"));
            }
            if !rows.iter().any(|row| row.resource.to_string() == *id) {
                wrong.push(format!("not in the journal: {id}"));
            }
        }
        for row in rows {
            if !self.has(&row.resource.to_string()) {
                wrong.push(format!("in the journal, and not in the plan: {}", row.resource));
            }
        }
        wrong
    }
}

/// The paths of an installed package, as dpkg has them. (Of a package for several machines: `name:amd64.list`.)
fn shipped(disk: &Path, name: &str) -> Vec<String> {
    let info = disk.join("var/lib/dpkg/info");
    let lists = ["", ":amd64", ":arm64"].map(|end| info.join(format!("{name}{end}.list")));
    let text = lists.iter().find_map(|path| fs::read_to_string(path).ok()).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// The result that the program kept of a transaction.
pub fn result(machine: &Machine, transaction: i64) -> Value {
    serde_json::from_str(&machine.read(&format!("/var/log/vps-configurator/install-{transaction}.json")))
        .expect("the result is JSON")
}

/// The number of the newest transaction.
pub fn newest(machine: &Machine) -> i64 {
    let list = json(machine, 0, "transaction list");
    list["transactions"][0]["id"].as_i64().unwrap_or_else(|| panic!("no transaction in {list}"))
}
