//! Which files of a run belong together: found from what modules ask for, before any resource is made.

use super::checkers::{known, unit};
use super::sshd::MAIN;
use super::{Approvals, Check, Draft, Whole};
use crate::base::ids::ResourceId;
use crate::engine::Result;
use crate::resources::Spec;
use crate::resources::written::Written;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// What makes two files of one module belong together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Bond {
    /// Both are checked by it.
    Check(Check),
    /// Both notify this unit.
    Unit(String),
}

/// A group as indices of specs, with what checks it.
#[derive(Debug)]
struct Group {
    members: BTreeSet<usize>,
    checks: BTreeSet<Check>,
}

fn is_file(spec: &Spec) -> bool {
    matches!(spec.kind, "file" | "block" | "symlink")
}

/// What must approve of a file, by what its module says and by where it lies.
fn checks(spec: &Spec) -> BTreeSet<Check> {
    let argv = spec.list("check");
    let mut checks = BTreeSet::new();
    if argv.iter().any(|arg| arg.contains("{path}")) {
        checks.insert(Check::File(PathBuf::from(&spec.name), argv));
    } else if !argv.is_empty() {
        checks.insert(Check::Asked(argv));
    }
    if let Some(argv) = known(&spec.name)
        && !checks.contains(&Check::Asked(argv.clone()))
    {
        checks.insert(Check::Known(argv));
    }
    // Of a file that is ours in part only, the other lines are none of ours to ask for.
    if spec.kind == "file" && (spec.name == MAIN || spec.name.starts_with(&format!("{MAIN}.d/"))) {
        checks.insert(Check::Sshd(PathBuf::from(&spec.name)));
    }
    if unit(&spec.name).is_some() {
        checks.insert(Check::Units);
    }
    checks
}

fn groups(specs: &[Spec]) -> Vec<Group> {
    let mut groups: Vec<(BTreeSet<(&str, Bond)>, Group)> = Vec::new();
    for (at, spec) in specs.iter().enumerate().filter(|(_, spec)| is_file(spec)) {
        let module = spec.module.as_str();
        let own = checks(spec);
        let units = spec.notify.iter().filter(|debt| !debt.unit.is_empty()).map(|debt| Bond::Unit(debt.unit.clone()));
        let mut bonds: BTreeSet<(&str, Bond)> =
            units.chain(own.iter().cloned().map(Bond::Check)).map(|bond| (module, bond)).collect();
        let mut group = Group { members: BTreeSet::from([at]), checks: own };
        let (joined, apart) = groups.into_iter().partition(|(theirs, _)| !theirs.is_disjoint(&bonds));
        groups = apart;
        for (theirs, other) in joined {
            bonds.extend(theirs);
            group.members.extend(other.members);
            group.checks.extend(other.checks);
        }
        groups.push((bonds, group));
    }
    groups.into_iter().map(|(_, group)| group).filter(|group| !group.checks.is_empty()).collect()
}

/// The specs whose files are checked as a whole.
pub fn checked(specs: &[Spec]) -> BTreeSet<usize> {
    groups(specs).into_iter().flat_map(|group| group.members).collect()
}

/// All groups of a run.
#[derive(Debug, Default)]
pub struct Wholes(BTreeMap<usize, Arc<Whole>>);

impl Wholes {
    /// The groups among these specs, whose needs are complete.
    pub fn of(specs: &[Spec], written: &Arc<Written>) -> Result<Wholes> {
        let approvals: Arc<Mutex<Approvals>> = Arc::default();
        let mut wholes = BTreeMap::new();
        for group in groups(specs) {
            // One that waits for something else, which waits for another member, comes later: it is checked by itself,
            // over what is in place by then.
            let late = |at: &usize| waits_behind(specs, *at, &group.members);
            let (late, together): (BTreeSet<usize>, BTreeSet<usize>) = group.members.iter().partition(|at| late(at));
            for members in late.into_iter().map(|at| BTreeSet::from([at])).chain([together]) {
                let mut drafts = Vec::new();
                for &at in &members {
                    drafts.extend(Draft::of(&specs[at], written)?.map(|draft| (PathBuf::from(&specs[at].name), draft)));
                }
                let about = |check: &Check| match check {
                    Check::File(path, _) | Check::Sshd(path) => drafts.iter().any(|(member, _)| member == path),
                    _ => true,
                };
                let checks = group.checks.iter().filter(|check| about(check)).cloned().collect();
                let whole = Arc::new(Whole { members: drafts, checks, approvals: approvals.clone() });
                wholes.extend(members.into_iter().map(|at| (at, whole.clone())));
            }
        }
        Ok(Wholes(wholes))
    }

    /// The group of the spec at this place; `None` when nothing checks it.
    pub fn of_spec(&self, at: usize) -> Option<Arc<Whole>> {
        self.0.get(&at).cloned()
    }
}

/// Whether the member `at` waits for something outside of the group that waits for a member.
fn waits_behind(specs: &[Spec], at: usize, members: &BTreeSet<usize>) -> bool {
    let mut index: BTreeMap<ResourceId, Vec<usize>> = BTreeMap::new();
    for (at, spec) in specs.iter().enumerate() {
        index.entry(spec.id()).or_default().push(at);
    }
    let needs = |at: usize| specs[at].needs.iter().filter_map(|id| index.get(id)).flatten().copied();
    let mut ahead: Vec<usize> = needs(at).filter(|need| !members.contains(need)).collect();
    let mut met = BTreeSet::new();
    while let Some(outside) = ahead.pop() {
        for need in needs(outside) {
            if members.contains(&need) {
                return true;
            }
            if met.insert(need) {
                ahead.push(need);
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Debt, DebtKind};
    use serde_json::{Value, json};

    fn spec(module: &str, kind: &'static str, name: &str, fields: Value, units: &[&str]) -> Spec {
        let debt = |unit: &&str| Debt::new(DebtKind::Reload, (*unit).to_owned());
        let notify = units.iter().map(debt).collect();
        Spec { module: module.to_owned(), notify, ..Spec::sample(kind, name, fields) }
    }

    fn file(module: &str, name: &str, units: &[&str]) -> Spec {
        spec(module, "file", name, json!({"content": ""}), units)
    }

    fn members(whole: &Option<Arc<Whole>>) -> Vec<String> {
        whole.iter().flat_map(|whole| &whole.members).map(|(path, _)| path.display().to_string()).collect()
    }

    #[test]
    fn files_of_a_module_that_notify_one_unit_or_have_one_checker_belong_together() {
        let mut specs = vec![
            file("web", "/etc/nginx/conf.d/a.conf", &["nginx.service"]),
            file("web", "/srv/include.conf", &["nginx.service"]),
            file("web", "/etc/motd", &[]),
            file("web", "/etc/nginx/conf.d/b.conf", &[]),
            file("other", "/etc/nginx/conf.d/c.conf", &["nginx.service"]),
            file("other", "/srv/unchecked.conf", &["app.service"]),
        ];
        specs[2].kind = "directory";
        let wholes = Wholes::of(&specs, &Arc::default()).unwrap();
        let of = |at| members(&wholes.of_spec(at));
        assert_eq!(of(0), ["/etc/nginx/conf.d/a.conf", "/srv/include.conf", "/etc/nginx/conf.d/b.conf"]);
        assert_eq!((of(1), of(3)), (of(0), of(0)));
        assert_eq!(of(4), ["/etc/nginx/conf.d/c.conf"]);
        assert!(of(2).is_empty() && of(5).is_empty());
        assert_eq!(checked(&specs), BTreeSet::from([0, 1, 3, 4]));
    }

    #[test]
    fn a_file_that_comes_after_what_another_one_makes_possible_is_checked_by_itself() {
        let mut specs = vec![
            file("web", "/etc/nginx/conf.d/a.conf", &[]),
            spec("web", "command", "certificate", json!({}), &[]),
            file("web", "/etc/nginx/conf.d/b.conf", &[]),
            file("web", "/etc/nginx/conf.d/c.conf", &[]),
        ];
        specs[1].needs.push(ResourceId::new("file", "/etc/nginx/conf.d/a.conf"));
        specs[2].needs.push(ResourceId::new("command", "certificate"));
        specs[3].needs.push(ResourceId::new("file", "/etc/nginx/conf.d/a.conf"));
        let wholes = Wholes::of(&specs, &Arc::default()).unwrap();
        assert_eq!(members(&wholes.of_spec(2)), ["/etc/nginx/conf.d/b.conf"]);
        assert_eq!(members(&wholes.of_spec(0)), ["/etc/nginx/conf.d/a.conf", "/etc/nginx/conf.d/c.conf"]);
    }

    #[test]
    fn what_a_manifest_asks_and_what_is_known_are_not_asked_twice() {
        let asked = spec("ssh", "file", "/etc/ssh/sshd_config.d/x.conf", json!({"check": ["sshd", "-t"]}), &[]);
        let all: Vec<Check> = checks(&asked).into_iter().collect();
        let argv = ["sshd", "-t"].map(str::to_owned).to_vec();
        assert_eq!(all, [Check::Asked(argv), Check::Sshd("/etc/ssh/sshd_config.d/x.conf".into())]);
    }
}
