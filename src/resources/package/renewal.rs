//! Packages that a step had installed when the machine lost its power, made anew.
//!
//! What dpkg unpacks it syncs, or it is [looked at](super::unsynced), and its own database it syncs: afterwards it knows a
//! package as installed. What the package's scripts and triggers had written by then nobody had synced: compiled files,
//! keys, the books of services may be empty. No package knows them, so nothing shows. Installing it once more writes them
//! again, once those in `/etc` that are empty are out of the way: a script leaves alone what is there. That is done before
//! dpkg is brought in order: scripts that have not run yet read them.

use super::archive::{Archive, Reach, update};
use super::database::Database;
use super::failure;
use super::guard::{release_guard, take_guard_again};
use super::health::{Healing, heal};
use super::locks::wait_for_locks;
use super::record::Record;
use super::simulation::Item;
use super::tree::Tree;
use super::{apt, purge};
use crate::engine::{Context, Error, Event, Result};
use crate::host::login::boot;
use crate::host::{Command, Output};
use std::collections::BTreeSet;
use std::path::PathBuf;

impl Record {
    /// Installs once more what the step had installed in another boot. Returns whether there was anything. Services stay
    /// held back: their configuration may not be there yet.
    pub(super) fn make_anew(&self, context: &Context<'_>) -> Result<bool> {
        let (host, progress) = (context.host, context.progress);
        if self.boot.is_empty() || self.boot == boot(host) || self.came(&Database::read(host)?).is_empty() {
            return Ok(false);
        }
        let line = "the machine went down while packages were being installed: those are installed once more that were \
                    done by then";
        progress.tell(&Event::Note { line });
        wait_for_locks(host, progress, context.patience)?;
        take_guard_again(host, progress)?;
        let done = self.install_again(context);
        release_guard(host)?;
        done?;
        host.sync()?;
        Ok(true)
    }

    /// Its packages that are there, or were about to be.
    fn came(&self, database: &Database) -> Vec<&Item> {
        let is_there =
            |item: &&Item| database.known(&item.name).is_some_and(|p| p.is_coming() && p.version == item.version);
        self.new.iter().chain(self.upgrades.iter().map(|upgrade| &upgrade.item)).filter(is_there).collect()
    }

    fn install_again(&self, context: &Context<'_>) -> Result<()> {
        let (host, progress) = (context.host, context.progress);
        let database = Database::read(host)?;
        self.clear_empty(context, &database)?;
        heal(host, progress, Healing { patience: context.patience, holds_services: true })?;
        let database = Database::read(host)?;
        let names = self.came(&database).into_iter().map(|item| format!("{}={}", item.name, item.version));
        let args: Vec<String> =
            ["--no-remove", "--reinstall", "install"].map(str::to_owned).into_iter().chain(names).collect();
        let first = apt::run(host, progress, None, &args)?;
        if is_whole(&first) {
            return Ok(());
        }
        // The lists may have been lost as well.
        update(host, Archive::Own, &Reach::default(), &mut |command| Ok(host.run(command)?))?;
        let second = apt::run(host, progress, None, &args)?;
        if is_whole(&second) {
            return Ok(());
        }
        let text = format!("{}\n{}", second.text(), String::from_utf8_lossy(&second.stderr));
        Err(Error::refused(
            "package-failed",
            "cannot install anew what may have been damaged by the loss of power",
            failure::last_lines(&text, 12),
        )
        .fix("see that the network and the sources of apt are well, then run vps-configurator recover")
        .fix("or take the run back: vps-configurator recover --direction undo"))
    }

    /// Removes the files without content that were not there before the step, and that no package of it brought.
    fn clear_empty(&self, context: &Context<'_>, database: &Database) -> Result<()> {
        let Some(before) = &self.tree else { return Ok(()) };
        let host = context.host;
        let before = Tree::kept(context.objects, before)?;
        let now = Tree::see(host, &self.foreign)?;
        let mut shipped = BTreeSet::new();
        for item in self.new.iter().chain(self.upgrades.iter().map(|upgrade| &upgrade.item)) {
            shipped.extend(purge::files(host, &item.name, database.architecture())?);
        }
        let is_new = |path: &PathBuf| !before.nodes.contains_key(path) && !shipped.contains(path);
        for (path, _) in now.nodes.iter().filter(|(path, node)| node.is_empty_file() && is_new(path)) {
            host.remove(path)?;
            if host.has_program("ucf") {
                // For it, a file that it had put there and that is missing is one that somebody removed.
                host.run(&Command::new("ucf").arg("--purge").arg(path.display().to_string()).accept(&[0, 1, 2, 3]))?;
            }
        }
        Ok(())
    }
}

/// apt-get leaves alone what it can't fetch, and ends well.
fn is_whole(output: &Output) -> bool {
    output.code == 0 && !output.text().contains("Reinstallation of")
}

#[cfg(test)]
mod tests {
    use super::super::life::{bench, set};
    use super::super::record::decode;
    use crate::base::paths;
    use crate::engine::{Error, Resource, Scope};
    use crate::resources::bench::Bench;

    const BOOT: &str = "/proc/sys/kernel/random/boot_id";

    /// A package that makes a key where there is none, and one that knows nothing of it.
    fn with_keys() -> Bench {
        let bench = bench();
        bench.put(BOOT, "one\n");
        bench.put(
            "/var/lib/fake-repo/web/postinst",
            "#!/bin/sh\n[ -e $VPS_ROOT/etc/web/key ] || echo secret > $VPS_ROOT/etc/web/key\n",
        );
        bench
    }

    fn calls(bench: &Bench) -> String {
        bench.text("/run/apt.calls").lines().last().unwrap_or_default().to_owned()
    }

    #[test]
    fn what_scripts_had_written_when_the_power_went_is_written_once_more() {
        let bench = with_keys();
        bench.put("/etc/theirs", "");
        let status = || bench.text("/var/lib/dpkg/status").trim().to_owned();
        let before = status();
        let set = set(&[("a", "jq"), ("b", "web")]);
        let (seen, change) = bench.plan(&set);
        let record = set.capture(&bench.context(), &seen, &change).unwrap();
        let undo = decode(1, &record.data).unwrap();
        assert!(!undo.renew(&bench.context()).unwrap(), "nothing is there yet");
        set.apply(&bench.context(), &seen, &change).unwrap();
        assert_eq!(bench.text("/etc/web/key"), "secret\n");
        let marks = bench.text("/var/lib/apt/extended_states");
        bench.put(paths::HELD_UNITS, "web start\n");
        bench.put("/etc/web/key", "");
        assert!(!undo.renew(&bench.context()).unwrap(), "the page cache outlives a process");
        assert_eq!(bench.text("/etc/web/key"), "");

        bench.put(BOOT, "two\n");
        assert!(undo.renew(&bench.context()).unwrap());
        assert_eq!(bench.text("/etc/web/key"), "secret\n");
        let called = calls(&bench);
        assert!(called.contains("--reinstall install jq=1.0 libjq1=1.0 web=1.0"), "{called}");
        assert_eq!(bench.text("/var/lib/apt/extended_states"), marks);
        assert!(bench.at("/etc/theirs").exists() && !bench.at(paths::POLICY_RC_D).exists());
        assert_eq!(bench.text(paths::HELD_UNITS), "web start\n", "who is owed a start stays in the list");
        std::fs::remove_file(bench.at(paths::HELD_UNITS)).unwrap();

        let after = undo.settle(&bench.context()).unwrap();
        let _ = undo.undo(&bench.context(), &Scope::Whole, after.as_ref()).unwrap();
        assert_eq!((status(), bench.at("/etc/web/key").exists()), (before, false));
    }

    #[test]
    fn what_cannot_be_installed_once_more_is_told_and_may_be_tried_again() {
        let bench = with_keys();
        let set = set(&[("b", "web")]);
        let (seen, change) = bench.plan(&set);
        let record = set.capture(&bench.context(), &seen, &change).unwrap();
        set.apply(&bench.context(), &seen, &change).unwrap();
        bench.put(BOOT, "two\n");
        bench.put("/etc/web/key", "");
        let script = bench.text("/var/lib/fake-repo/web/postinst");
        bench.put("/var/lib/fake-repo/web/postinst", "#!/bin/sh\nexit 1\n");
        let undo = decode(1, &record.data).unwrap();
        let error = undo.renew(&bench.context()).unwrap_err();
        let Error::Refused { code, fix, .. } = error else { panic!("{error}") };
        assert_eq!((code, fix.len()), ("package-failed", 2));
        assert!(!bench.at(paths::POLICY_RC_D).exists());
        bench.put("/var/lib/fake-repo/web/postinst", script.clone());
        bench.put("/var/lib/dpkg/info/web.postinst", script);
        assert!(undo.renew(&bench.context()).unwrap());
        assert_eq!(bench.text("/etc/web/key"), "secret\n");
    }
}
