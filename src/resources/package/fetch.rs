//! Fetching what a solution needs into apt's cache, before anything is changed.

use super::apt::{self, Part};
use super::archive::Reach;
use super::cache::{self, Checked};
use super::database::Database;
use super::excerpt::Lists;
use super::failure;
use super::simulation::Item;
use super::solution::Solution;
use crate::engine::{Error, Event, Progress, Result};
use crate::host::Host;

/// Fetches what is not in the cache, and good. Nothing but apt's cache is changed.
///
/// # Errors
/// `network-unreachable`, `download-failed`, `disk-full`; `plan-outdated` when the lists lead to something else by now.
pub fn fetch(
    host: &dyn Host,
    progress: &dyn Progress,
    solution: &Solution,
    checked: &Checked,
    reach: &Reach,
) -> Result<()> {
    let database = Database::read(host)?;
    let lists = Lists::for_request(host, solution.archive(), &database, &solution.request)?;
    remove_strangers(host, progress, &lists, solution, checked)?;
    let missing = || solution.items().filter(|item| !is_there(&database, item));
    if cache::holds(host, missing())? {
        return Ok(());
    }
    let mut bytes = 0;
    for item in missing() {
        let is_cached = host.meta(&cache::cached_deb(&item.name, &item.version, &item.architecture))?.is_some();
        bytes += if is_cached { 0 } else { item.download };
    }
    if reach.is_off() {
        let names: Vec<&str> = solution.items().map(|item| item.name.as_str()).collect();
        let why = format!("no archive answers, and not all of these are in apt's cache: {}", names.join(" "));
        return Err(Error::Unreachable { what: "the packages".into(), hosts: Vec::new(), why });
    }
    let lists = solution.lists(host, solution.archive(), &database)?;
    let mut args = lists.options();
    args.extend(["--no-remove", "--download-only", "install"].map(str::to_owned));
    args.extend(solution.request.iter().cloned());
    let part = Part { bytes: Some(bytes), span: None };
    let output = apt::run_part(host, progress, lists.environment(), &args, part)?;
    if output.code == 0 {
        reach.set_answered();
        return checked.note_fetched(host, solution.items());
    }
    Err(failure::of_fetch(&format!("{}\n{}", output.text(), String::from_utf8_lossy(&output.stderr))))
}

/// Removes from the cache what apt would take unseen and `lists` don't vouch for.
pub fn remove_strangers(
    host: &dyn Host,
    progress: &dyn Progress,
    lists: &Lists,
    solution: &Solution,
    checked: &Checked,
) -> Result<()> {
    let removed = checked.remove_strangers(host, lists, solution.items())?;
    if !removed.is_empty() {
        let line = format!("removed from apt's cache, not what the archives have: {}", removed.join(", "));
        progress.tell(&Event::Note { line: &line });
    }
    Ok(())
}

/// Whether the item is installed already, in just this version.
pub fn is_there(database: &Database, item: &Item) -> bool {
    database.installed(&item.name).is_some_and(|package| package.version == item.version)
}

#[cfg(test)]
mod tests {
    use super::super::archive::PlannedSource;
    use super::super::life::{bench, set};
    use crate::base::paths;
    use crate::engine::{Error, Resource, Silent};
    use crate::resources::bench::{Bench, PATIENCE};
    use std::os::unix::fs::PermissionsExt;

    const OFFLINE: &str = "/run/fake-offline";
    const WEB: &str = "/var/cache/apt/archives/web_1.0_amd64.deb";

    /// A host whose own lists are too old to install from.
    fn stale() -> Bench {
        let bench = bench();
        std::fs::remove_dir_all(bench.at("/var/lib/apt/lists/partial")).unwrap();
        bench
    }

    fn fetched(bench: &Bench) {
        let set = set(&[("b", "web")]);
        let (seen, _) = bench.plan(&set);
        set.download(bench.host(), &Silent, PATIENCE, &seen).unwrap();
        assert!(bench.at(WEB).exists() && !bench.text("/var/lib/dpkg/status").contains("web"));
    }

    /// As if a day and more had gone by since any lists came.
    fn long_after(bench: &Bench) {
        for lists in [paths::APT_LISTS, "/var/lib/apt/lists"] {
            std::fs::remove_dir_all(bench.at(lists).join("partial")).unwrap();
        }
    }

    #[test]
    fn what_was_fetched_is_installed_without_a_network_long_after() {
        let bench = stale();
        fetched(&bench);
        long_after(&bench);
        bench.put(OFFLINE, "");
        let set = set(&[("b", "web")]);
        let (seen, change) = bench.plan(&set);
        assert_eq!(change.details[0], "no archive answers: planned from package lists that were fetched before");
        let calls = bench.text("/run/apt.calls").lines().count();
        set.download(bench.host(), &Silent, PATIENCE, &seen).unwrap();
        assert_eq!(bench.text("/run/apt.calls").lines().count(), calls, "all of it is there: apt is not asked");
        set.apply(&bench.context(), &seen, &change).unwrap();
        assert_eq!(set.observe(bench.host()).unwrap(), change.after);
        assert_eq!(bench.text("/etc/web/web.conf"), "default\n");
    }

    #[test]
    fn a_damaged_file_is_fetched_anew_and_without_a_network_refused() {
        let bench = stale();
        fetched(&bench);
        let set = set(&[("b", "web")]);
        let (seen, _) = bench.plan(&set);
        let good = bench.text(WEB);
        bench.put(WEB, "evil");
        set.download(bench.host(), &Silent, PATIENCE, &seen).unwrap();
        assert_eq!(bench.text(WEB), good);
        bench.put(WEB, "evil");
        bench.put(OFFLINE, "");
        let error = set.download(bench.host(), &Silent, PATIENCE, &seen).unwrap_err();
        assert_eq!(error.to_string().split(": ").next(), Some("cannot fetch the packages from fake.example"));
        assert!(!bench.at(WEB).exists());
    }

    #[test]
    fn sources_that_the_plan_adds_are_known_without_a_network_once_they_were_fetched() {
        let source = PlannedSource {
            path: "/etc/apt/sources.list.d/x-vps-configurator.sources".into(),
            text: "Signed-By: /etc/apt/keyrings/x.asc\n".into(),
            key_path: "/etc/apt/keyrings/x.asc".into(),
            key: b"key".to_vec(),
        };
        let bench = bench();
        bench.put(OFFLINE, "");
        let asked = || set(&[("b", "web")]).with_sources(vec![source.clone()]);
        let error = asked().observe(bench.host()).unwrap_err();
        assert!(matches!(error, Error::Unreachable { .. }), "{error}");
        std::fs::remove_file(bench.at(OFFLINE)).unwrap();
        let (seen, _) = bench.plan(&asked());
        asked().download(bench.host(), &Silent, PATIENCE, &seen).unwrap();
        long_after(&bench);
        bench.put(OFFLINE, "");
        let (seen, change) = bench.plan(&asked());
        asked().apply(&bench.context(), &seen, &change).unwrap();
        assert_eq!(bench.text("/etc/web/web.conf"), "default\n");
    }

    #[test]
    fn a_source_that_only_root_may_read_is_copied_for_root_alone() {
        let bench = stale();
        let own = |name: &str| format!("/etc/apt/sources.list.d/{name}.list");
        bench.put(&own("open"), "deb http://open.example x main\n");
        bench.put(&own("closed"), "deb https://me:secret@closed.example x main\n");
        std::fs::set_permissions(bench.at(&own("closed")), std::fs::Permissions::from_mode(0o600)).unwrap();
        drop(bench.plan(&set(&[("b", "web")])));
        let mode = |name: &str| {
            let copy = bench.at(paths::APT_SOURCES).join(format!("{name}.list"));
            std::fs::metadata(copy).unwrap().permissions().mode() & 0o777
        };
        assert_eq!((mode("open"), mode("closed")), (0o644, 0o600));
    }

    #[test]
    fn a_source_that_came_after_the_lists_is_not_looked_for_in_them() {
        let bench = bench();
        let source = PlannedSource {
            path: "/etc/apt/sources.list.d/x-vps-configurator.sources".into(),
            text: "Signed-By: /etc/apt/keyrings/x.asc\n".into(),
            key_path: "/etc/apt/keyrings/x.asc".into(),
            key: b"key".to_vec(),
        };
        let set = set(&[("b", "web")]).with_sources(vec![source.clone()]);
        let refreshes = || set.observe(bench.host()).unwrap().0["solution"].get("refresh").is_some();
        assert!(refreshes(), "it is not there yet");
        bench.put("/etc/apt/sources.list.d/x-vps-configurator.sources", &source.text);
        assert!(refreshes(), "it is there, and apt has not fetched its list");
        std::thread::sleep(std::time::Duration::from_millis(20));
        let update = crate::host::Command::new("apt-get").arg("update");
        crate::host::Host::run(bench.host(), &update).unwrap();
        assert!(!refreshes());
    }
}
