//! What runs on with files that are no longer there as it read them: programs and libraries that an upgrade has replaced,
//! and configuration that was written after the unit has last read it.
//!
//! A unit that owes nothing in the journal can still be behind: somebody edited its file by hand, or Debian's unattended
//! upgrade put a new library in place. The kernel tells of the first kind of file by ` (deleted)` behind a mapping
//! (proc_pid_maps(5)), systemd of the second by the times of a unit's states.

use crate::engine::{Debt, DebtKind, Result};
use crate::host::{Host, read_text};
use crate::journal::StepRow;
use crate::resources::unit::survey::{self, UnitFacts};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Where packages put programs and libraries: what is mapped from elsewhere (`/memfd:`, `/tmp`, `/dev`) is no upgrade's.
const PACKAGED: [&str; 5] = ["/usr/", "/lib", "/bin/", "/sbin/", "/opt/"];

/// What a unit runs with that is older than what is on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Programs or libraries that were replaced or removed since its processes began.
    Programs,
    /// Files of its configuration.
    Configuration,
    /// Its unit file.
    UnitFile,
}

/// A unit that runs with something outdated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outdated {
    /// Its name; a scope for what isn't a service: a login, a container, process 1.
    pub unit: String,
    /// What of it.
    pub part: Part,
    /// The files that it has in an older form.
    pub files: BTreeSet<String>,
    /// The processes that have them open; none where systemd, not the kernel, knows.
    pub pids: Vec<u32>,
    /// What to do about it.
    pub remedy: String,
}

/// Everything that is outdated, by unit. `standing` are the changes whose files units were told of.
pub fn outdated(host: &dyn Host, standing: &[StepRow]) -> Result<Vec<Outdated>> {
    let mut all = programs(host);
    all.extend(configuration(host, standing)?);
    all.sort_by(|a, b| (&a.unit, a.part).cmp(&(&b.unit, b.part)));
    Ok(all)
}

/// Processes whose programs or libraries are no longer on the disk. One that ends meanwhile is passed over.
fn programs(host: &dyn Host) -> Vec<Outdated> {
    let mut units: BTreeMap<String, Outdated> = BTreeMap::new();
    for name in host.list(Path::new("/proc")).unwrap_or_default() {
        let Ok(pid) = name.to_string_lossy().parse::<u32>() else { continue };
        let process = Path::new("/proc").join(&name);
        let Ok(maps) = read_text(host, process.join("maps")) else { continue };
        let replaced = replaced(&maps);
        if replaced.is_empty() {
            continue;
        }
        let cgroup = read_text(host, process.join("cgroup")).unwrap_or_default();
        let unit = unit_of(&cgroup).unwrap_or("?").to_owned();
        let found = units.entry(unit).or_insert_with_key(|unit| Outdated {
            unit: unit.clone(),
            part: Part::Programs,
            files: BTreeSet::new(),
            pids: Vec::new(),
            remedy: anew(unit),
        });
        found.files.extend(replaced.into_iter().map(str::to_owned));
        found.pids.push(pid);
    }
    units.into_values().collect()
}

/// Running units that were to be told of a file of ours which has changed since they last read it, whoever changed it.
fn configuration(host: &dyn Host, standing: &[StepRow]) -> Result<Vec<Outdated>> {
    let told = told(standing);
    let names: Vec<String> =
        told.iter().map(|(debt, _)| debt.unit.clone()).collect::<BTreeSet<_>>().into_iter().collect();
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let facts = survey::show(host, &names)?;
    let mut units: BTreeMap<(String, Part), Outdated> = BTreeMap::new();
    let mut add = |unit: &str, part, file: &str, remedy: String| {
        let new = || Outdated { unit: unit.to_owned(), part, files: BTreeSet::new(), pids: Vec::new(), remedy };
        units.entry((unit.to_owned(), part)).or_insert_with(new).files.insert(file.to_owned());
    };
    for (debt, path) in &told {
        let Some(facts) = facts.get(&debt.unit).filter(|facts| facts.is_active()) else { continue };
        let Some(meta) = host.meta(Path::new(path))? else { continue };
        if read_before(facts, debt.kind, meta.changed) {
            let act = if debt.kind == DebtKind::Reload { "reload" } else { "restart" };
            add(&debt.unit, Part::Configuration, path, format!("systemctl {act} {}", debt.unit));
        }
    }
    for (unit, facts) in facts.iter().filter(|(_, facts)| facts.stale && facts.is_active()) {
        add(unit, Part::UnitFile, &facts.fragment, format!("systemctl daemon-reload, then systemctl restart {unit}"));
    }
    Ok(units.into_values().collect())
}

/// The files that stand, each with the unit that reads it.
fn told(standing: &[StepRow]) -> Vec<(Debt, &str)> {
    let mut all = Vec::new();
    for step in standing {
        let path = step.resource.name().split('#').next().unwrap_or_default();
        let debts: Vec<Debt> = serde_json::from_value(step.notify.clone()).unwrap_or_default();
        let reads = |debt: &Debt| matches!(debt.kind, DebtKind::Reload | DebtKind::Restart) && !debt.unit.is_empty();
        if path.starts_with('/') {
            all.extend(debts.into_iter().filter(reads).map(|debt| (debt, path)));
        }
    }
    all
}

/// Whether the unit has last read its configuration before `changed`: a reload is a change of its state and back, a
/// restart a start.
fn read_before(facts: &UnitFacts, kind: DebtKind, changed: i128) -> bool {
    let read = if kind == DebtKind::Reload { facts.started.max(facts.state_changed) } else { facts.started };
    read.is_some_and(|read| read < changed)
}

/// The packaged files that are mapped as programs in `maps` and no longer on the disk.
fn replaced(maps: &str) -> BTreeSet<&str> {
    let mut all = BTreeSet::new();
    for line in maps.lines() {
        let is_code = line.split_whitespace().nth(1).is_some_and(|permissions| permissions.contains('x'));
        let path = line.find('/').and_then(|at| line.get(at..));
        let gone = path.and_then(|path| path.strip_suffix(" (deleted)"));
        all.extend(gone.filter(|path| is_code && PACKAGED.iter().any(|start| path.starts_with(start))));
    }
    all
}

/// The unit that a process belongs to: the outermost service or scope of its control group (cgroups(7)).
fn unit_of(cgroup: &str) -> Option<&str> {
    let is_systemds = |line: &&str| line.starts_with("0::") || line.contains(":name=systemd:");
    let mut parts = cgroup.lines().filter(is_systemds).flat_map(|line| line.split('/').skip(1));
    parts.find(|part| part.ends_with(".service") || part.ends_with(".scope"))
}

/// How the processes of a unit come to run the new files.
fn anew(unit: &str) -> String {
    if unit == "init.scope" {
        return "systemctl daemon-reexec".to_owned();
    }
    if unit.starts_with("session-") || unit.starts_with("user@") {
        return "log out and in again".to_owned();
    }
    if unit == "?" || unit.ends_with(".scope") {
        return "end its processes, and start them again".to_owned();
    }
    format!("systemctl restart {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaced_programs_and_libraries_are_told_from_data_and_from_what_no_package_brought() {
        let maps = "\
55d0-55d1 r--p 00000000 fe:00 1 /usr/sbin/sshd (deleted)\n\
55d1-55d2 r-xp 00001000 fe:00 1 /usr/sbin/sshd (deleted)\n\
7f00-7f01 r-xp 00000000 fe:00 2 /usr/lib/x86_64-linux-gnu/libc.so.6\n\
7f02-7f03 r-xp 00000000 fe:00 3 /usr/lib/x86_64-linux-gnu/libssl.so.3 (deleted)\n\
7f04-7f05 r--p 00000000 fe:00 4 /usr/lib/locale/C.utf8/LC_CTYPE (deleted)\n\
7f06-7f07 rwxp 00000000 00:01 5 /memfd:jit (deleted)\n\
7f08-7f09 r-xp 00000000 00:01 6 /tmp/x (deleted)\n\
7ffd-7ffe r-xp 00000000 00:00 0 [vdso]\n";
        let expected = ["/usr/lib/x86_64-linux-gnu/libssl.so.3", "/usr/sbin/sshd"];
        assert_eq!(replaced(maps).into_iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_process_belongs_to_its_outermost_service_or_scope() {
        assert_eq!(unit_of("0::/system.slice/ssh.service\n"), Some("ssh.service"));
        assert_eq!(unit_of("0::/user.slice/user-7.slice/user@7.service/app.slice/a.service\n"), Some("user@7.service"));
        assert_eq!(unit_of("4:memory:/a.service\n1:name=systemd:/init.scope\n0::/\n"), Some("init.scope"));
        assert_eq!(unit_of("0::/\n"), None);
        assert_eq!(anew("init.scope"), "systemctl daemon-reexec");
        assert_eq!(anew("session-4.scope"), "log out and in again");
        assert_eq!(anew("ssh.service"), "systemctl restart ssh.service");
    }

    #[test]
    fn a_reload_counts_for_what_needs_a_reload_and_not_for_what_needs_a_restart() {
        let facts = UnitFacts { started: Some(10), state_changed: Some(30), ..UnitFacts::default() };
        assert!(!read_before(&facts, DebtKind::Reload, 20) && read_before(&facts, DebtKind::Reload, 31));
        assert!(read_before(&facts, DebtKind::Restart, 20) && !read_before(&facts, DebtKind::Restart, 9));
        assert!(!read_before(&UnitFacts::default(), DebtKind::Restart, 20), "what systemd doesn't know is no finding");
    }
}
