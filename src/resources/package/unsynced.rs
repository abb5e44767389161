//! Packages that dpkg unpacks without syncing each of their files (`--force-unsafe-io`, dpkg(1)): most of what an
//! installation waits for the disk for. Only those that are new, so that nothing that was there can be lost. From before
//! dpkg begins until the disk has everything (syncfs(2)), a mark with their names lies in our state; dpkg's own database
//! is synced as ever. Whoever finds the mark has the files compared with that database, and what is
//! [damaged](super::damage) unpacked anew, before any script runs.

use super::apt::TRANSACTION_TIME;
use super::cache::cached_deb;
use super::damage::Damage;
use super::database::Database;
use super::failure;
use super::simulation::Item;
use crate::base::paths;
use crate::base::pattern::is_like;
use crate::engine::{Error, Event, Progress, Result};
use crate::host::{Attributes, Command, Host, digest_if_there, read_if_there};
use crate::resources::download::APT_HELPER;
use crate::resources::preimage::make_parents;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What apt passes on to dpkg.
pub const OPTIONS: [&str; 2] = ["-o", "Dpkg::Options::=--force-unsafe-io"];

/// What must be whole before anything can be mended after a crash: the boot and the way in hang on it.
const NEVER: [&str; 12] = [
    "dracut*",
    "grub*",
    "initramfs-tools*",
    "libnss-*",
    "libpam-*",
    "linux-image-*",
    "openssh-server",
    "shim-*",
    "sssd*",
    "sudo*",
    "systemd*",
    "udev",
];

/// Whether a package may be unpacked so: dpkg has nothing of it, not even old configuration.
pub fn is_fit(item: &Item, database: &Database) -> bool {
    let is_there = database.known(&item.name).is_some_and(|known| known.is_present());
    !is_there && !NEVER.iter().any(|pattern| is_like(pattern, &item.name))
}

/// Sets the mark for `packages`. It is on the disk when this returns.
pub fn begin(host: &dyn Host, packages: &[&Item]) -> Result<()> {
    let names: String = packages.iter().map(|item| format!("{}\n", item.name)).collect();
    make_parents(host, Path::new(paths::UNSYNCED))?;
    Ok(host.write(Path::new(paths::UNSYNCED), names.as_bytes(), &Attributes::root(0o600))?)
}

/// Waits until the disk has everything, and takes the mark away.
pub fn end(host: &dyn Host) -> Result<()> {
    host.sync()?;
    Ok(host.remove(Path::new(paths::UNSYNCED))?)
}

/// The packages that the mark names; `None` without one.
pub fn marked(host: &dyn Host) -> Result<Option<BTreeSet<String>>> {
    let text = read_if_there(host, paths::UNSYNCED)?;
    Ok(text.map(|text| String::from_utf8_lossy(&text).lines().map(str::to_owned).collect()))
}

/// Unpacks anew what is damaged of the packages `names`; returns whether something was. What it can't get is left as it
/// is. They are to be configured after that, with conffiles that are missing (`--force-confmiss`), and looked at again.
pub fn mend(host: &dyn Host, progress: &dyn Progress, names: &BTreeSet<String>) -> Result<bool> {
    progress.tell(&Event::Within {
        what: "comparing the files of the new packages",
        percent: None,
        bytes: None,
        done: None,
    });
    let damage = Damage::find(host, names)?;
    if damage.is_none() {
        return Ok(false);
    }
    let line = format!("{}; unpacking anew: {}", damage.summary(), damage.names());
    progress.tell(&Event::Note { line: &line });
    // dpkg takes a conffile that is empty for somebody's wish; one that is missing comes again.
    for path in damage.blank() {
        host.remove(path)?;
    }
    let database = Database::read(host)?;
    let mut files = Vec::new();
    for name in damage.packages() {
        match file(host, &database, name) {
            Ok(file) => files.extend(file.map(|path| path.display().to_string())),
            Err(error) => progress.tell(&Event::Note { line: &error.to_string() }),
        }
    }
    if !files.is_empty() {
        // What they depend on may wait to be configured, too.
        let how = ["--force-depends", "--force-confdef", "--force-confold", "--unpack"];
        let dpkg = Command::new("dpkg").args(how).args(files).accept(&[0, 1, 2]).timeout(TRANSACTION_TIME);
        let output = host.run(&dpkg)?;
        if output.code != 0 {
            let text = format!("{}{}", output.text(), String::from_utf8_lossy(&output.stderr));
            progress.tell(&Event::Note { line: &failure::last_lines(&text, 6) });
        }
    }
    Ok(true)
}

/// Refuses with `dpkg-broken` when something of `names` is damaged still; `said` is what dpkg or apt printed last.
pub fn require_whole(host: &dyn Host, names: &BTreeSet<String>, said: &str) -> Result<()> {
    let left = Damage::find(host, names)?;
    if left.is_none() {
        return Ok(());
    }
    let said = failure::last_lines(said, 6);
    let why = format!("{}, of {}: the machine stopped before the disk had them\n{said}", left.summary(), left.names());
    Err(Error::refused("dpkg-broken", "cannot bring dpkg in order", why)
        .fix("look at the network and the sources of apt, then run: vps-configurator recover")
        .fix(format!("or by hand: apt-get install --reinstall {}", left.names())))
}

/// The file of an installed package: the one that apt keeps, when it is what the archive says, else fetched anew. Without
/// an archive that still has this version, the kept one as it is.
fn file(host: &dyn Host, database: &Database, name: &str) -> Result<Option<PathBuf>> {
    let Some(known) = database.known(name) else { return Ok(None) };
    let kept = cached_deb(name, &known.version, &known.architecture);
    let found = digest_if_there(host, &kept)?;
    let ask = Command::new("apt-get").args(["-qq", "--print-uris", "download"]);
    let ask = ask.arg(format!("{name}={}", known.version)).accept(&[0, 100]).timeout(Duration::from_secs(120));
    let answer = host.look(&ask)?.text();
    let Some((uri, digest)) = answer.lines().find_map(offer) else { return Ok(found.map(|_| kept)) };
    if found.is_some_and(|found| found.as_str() == digest) {
        return Ok(Some(kept));
    }
    let path = Path::new(paths::CACHE).join("debs").join(kept.file_name().unwrap_or_default());
    make_parents(host, &path)?;
    let words = ["download-file", uri, &path.display().to_string(), &format!("SHA256:{digest}")];
    host.run(&Command::new(APT_HELPER).args(words).timeout(Duration::from_secs(3600)))?;
    Ok(Some(path))
}

/// Where a file is and its SHA-256, from a line of `--print-uris`: `'http://host/a.deb' a_1_all.deb 10 SHA256:12ab`.
fn offer(line: &str) -> Option<(&str, &str)> {
    let (uri, rest) = line.strip_prefix('\'')?.split_once("' ")?;
    Some((uri, rest.rsplit_once(" SHA256:")?.1))
}

#[cfg(test)]
mod tests {
    use super::super::health::{Healing, heal};
    use super::super::life::{bench, set};
    use super::*;
    use crate::engine::{Context, Resource, Silent};
    use crate::host::fake::FakeHost;
    use crate::resources::bench::{Bench, PATIENCE};
    use std::sync::{Arc, Mutex};

    fn healed(bench: &Bench) -> Result<bool> {
        heal(bench.host(), &Silent, Healing { patience: PATIENCE, holds_services: true })
    }

    /// A host on which the power went once web was configured and jq unpacked, with the disk lacking a file of each.
    fn cut_off() -> Bench {
        let bench = bench();
        bench.simulated_at("apt-helper", APT_HELPER);
        bench.put("/run/fake-kill", "configure jq");
        // Not by the step itself: that would go on after the end of apt.
        bench.put(paths::UNSYNCED, "jq\nlibjq1\nweb\n");
        let install = Command::new("apt-get").args(["install", "jq", "web"]).accept(&[137]);
        bench.host().run(&install).unwrap();
        let configure = Command::new("dpkg").args(["--configure", "web"]);
        bench.host().run(&configure).unwrap();
        bench.put("/usr/bin/jq", "");
        bench.put("/etc/web/web.conf", "");
        bench
    }

    fn package(bench: &Bench, name: &str) -> String {
        assert!(bench.at("/var/lib/fake-repo").join(name).is_dir());
        format!("/var/lib/fake-repo/{name}\n")
    }

    fn is_whole(bench: &Bench) -> bool {
        bench.text("/usr/bin/jq") == "#!/bin/sh\n" && bench.text("/etc/web/web.conf") == "default\n"
    }

    #[test]
    fn only_what_dpkg_has_nothing_of_is_unpacked_so() {
        let package =
            |name: &str, status: &str| format!("Package: {name}\nStatus: {status}\nArchitecture: all\nVersion: 1\n\n");
        let status = package("old", "deinstall ok config-files") + &package("libc6", "install ok installed");
        let database = Database::parse(&status, "");
        let is_fit = |name: &str| is_fit(&Item { name: name.into(), ..Item::default() }, &database);
        assert!(is_fit("jq") && is_fit("libsystemd-shared"));
        assert!(!is_fit("libc6") && !is_fit("old"), "an upgrade; one whose configuration is there");
        assert!(!is_fit("libpam-gnome-keyring") && !is_fit("linux-image-amd64"), "who can't log in can mend nothing");
    }

    #[test]
    fn the_mark_lies_there_from_before_apt_begins_until_the_disk_has_everything() {
        let bench = bench();
        let set = set(&[("b", "web")]).fast(true);
        let (seen, change) = bench.plan(&set);
        let effects = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&effects);
        let observer = move |moment: &crate::host::fake::Moment<'_>| sink.lock().unwrap().push(moment.what.to_owned());
        let host = FakeHost::new(bench.at("/")).observed(Box::new(observer));
        set.apply(&Context { host: &host, ..bench.context() }, &seen, &change).unwrap();
        let effects = effects.lock().unwrap();
        let about = |what: &str| effects.iter().position(|effect| effect.contains(what)).unwrap();
        let (marked, apt) = (about("write /var/lib/vps-configurator/unsynced"), about("run apt-get"));
        let synced = effects.iter().position(|effect| effect == "sync").unwrap();
        let cleared = about("remove /var/lib/vps-configurator/unsynced");
        assert!(marked < apt && apt < synced && synced < cleared, "{effects:?}");
        assert!(bench.text("/run/apt.calls").contains("--force-unsafe-io"));
        assert!(!bench.at(paths::UNSYNCED).exists());
    }

    #[test]
    fn what_was_there_before_and_what_the_way_in_hangs_on_comes_first_as_dpkg_does_by_itself() {
        let bench = bench();
        let status = bench.text("/var/lib/dpkg/status");
        bench.put("/var/lib/fake-repo/sudo-x/control", "Package: sudo-x\nVersion: 1.0\nArchitecture: amd64\n");
        let old = "Package: web\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 1\n\n";
        bench.put("/var/lib/dpkg/status", status + old);
        let set = set(&[("a", "jq"), ("b", "web"), ("c", "sudo-x")]).fast(true);
        let (seen, change) = bench.plan(&set);
        set.apply(&bench.context(), &seen, &change).unwrap();
        assert_eq!(set.observe(bench.host()).unwrap(), change.after);
        let calls = bench.text("/run/apt.calls");
        let is_fast = |line: &str| line.contains("--force-unsafe-io");
        let calls: Vec<(bool, &str)> =
            calls.lines().map(|l| (is_fast(l), l.split(" install ").nth(1).unwrap())).collect();
        assert_eq!(calls, [(false, "sudo-x=1.0 web=1.0"), (true, "jq=1.0 sudo-x=1.0")]);
    }

    #[test]
    fn without_the_setting_nothing_is_unpacked_so() {
        let bench = bench();
        let set = set(&[("b", "web")]);
        let (seen, change) = bench.plan(&set);
        set.apply(&bench.context(), &seen, &change).unwrap();
        assert!(!bench.text("/run/apt.calls").contains("--force-unsafe-io"));
    }

    #[test]
    fn what_a_power_cut_spoilt_comes_anew_from_the_file_that_apt_keeps() {
        let bench = cut_off();
        for name in ["jq", "web"] {
            bench.put(&format!("/var/cache/apt/archives/{name}_1.0_amd64.deb"), package(&bench, name));
        }
        assert!(healed(&bench).unwrap());
        assert!(is_whole(&bench) && !bench.at(paths::UNSYNCED).exists());
        assert!(!healed(&bench).unwrap());
    }

    #[test]
    fn a_file_of_a_package_that_the_power_cut_spoilt_too_is_fetched_anew() {
        let bench = cut_off();
        for name in ["jq", "web"] {
            bench.put(&format!("/var/cache/apt/archives/{name}_1.0_amd64.deb"), "");
            bench.put(&format!("/srv/web/fake.example/{name}.deb"), package(&bench, name));
        }
        assert!(healed(&bench).unwrap());
        assert!(is_whole(&bench) && !bench.at(paths::UNSYNCED).exists());
    }

    #[test]
    fn notes_of_triggers_that_the_power_cut_blanked_do_not_stop_dpkg() {
        for (notes, stays) in [(&[0; 40][..], false), (b"/usr/lib libc6\n", true), (b"", true)] {
            let bench = bench();
            bench.put("/run/fake-kill", "configure web");
            let _ = bench.host().run(&Command::new("apt-get").args(["install", "web"]).accept(&[137]));
            bench.put("/var/lib/dpkg/triggers/Unincorp", notes);
            assert!(healed(&bench).unwrap());
            assert_eq!(bench.at("/var/lib/dpkg/triggers/Unincorp").exists(), stays, "{notes:?}");
        }
    }

    #[test]
    fn what_cannot_be_had_is_told_and_the_mark_stays() {
        let bench = cut_off();
        let error = healed(&bench).unwrap_err().to_string();
        assert!(error.contains("/usr/bin/jq") && error.contains("jq web"), "{error}");
        assert!(bench.at(paths::UNSYNCED).exists());
        for name in ["jq", "web"] {
            bench.put(&format!("/srv/web/fake.example/{name}.deb"), package(&bench, name));
        }
        assert!(healed(&bench).unwrap());
        assert!(is_whole(&bench) && !bench.at(paths::UNSYNCED).exists());
    }

    #[test]
    fn offers_of_apt_are_read() {
        let line = "'http://deb.debian.org/pool/v/vim_9%2b1_amd64.deb' vim_2%3a9+1_amd64.deb 1670616 SHA256:6ac5";
        assert_eq!(offer(line), Some(("http://deb.debian.org/pool/v/vim_9%2b1_amd64.deb", "6ac5")));
        assert_eq!(offer("E: Unable to locate package nosuch"), None);
    }
}
