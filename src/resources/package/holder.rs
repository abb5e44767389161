//! Who works with packages right now: its name, its process, since when, and what it does.

use crate::engine::Result;
use crate::host::{Host, read_text};
use std::path::Path;

/// The locks of dpkg and apt, and unattended-upgrades' own, which it keeps while it holds none of the others: between
/// two packages. All of the fcntl kind.
const LOCKS: [&str; 5] = [
    "/var/lib/dpkg/lock-frontend",
    "/var/lib/dpkg/lock",
    "/var/lib/apt/lists/lock",
    "/var/cache/apt/archives/lock",
    "/run/unattended-upgrades.lock",
];
/// Where apt puts what it is fetching.
const FETCHING: [(&str, &str); 2] =
    [("/var/cache/apt/archives/partial", "downloading"), ("/var/lib/apt/lists/partial", "fetching")];
/// Each act of dpkg, a line each (dpkg(1), `--log`).
const DPKG_LOG: &str = "/var/log/dpkg.log";

/// Programs that only run another, which is their first argument.
const INTERPRETERS: [&str; 5] = ["python", "perl", "sh", "bash", "dash"];

/// A process that holds one of the locks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    /// The first lock that is held.
    pub lock: &'static str,
    /// By whom.
    pub pid: u32,
}

impl Holder {
    /// Who holds a lock, if anybody does.
    pub fn find(host: &dyn Host) -> Result<Option<Holder>> {
        for lock in LOCKS {
            if let Some(pid) = host.lock_holder(Path::new(lock))? {
                return Ok(Some(Holder { lock, pid }));
            }
        }
        Ok(None)
    }

    /// For people: `unattended-upgrade (pid 734, for 94 s, unpacking libc6)`.
    pub fn describe(self, host: &dyn Host) -> String {
        let text = |name: &str| read_text(host, format!("/proc/{}/{name}", self.pid)).unwrap_or_default();
        let uptime = read_text(host, "/proc/uptime").unwrap_or_default();
        let age = age(&text("stat"), &uptime);
        let mut facts = vec![format!("pid {}", self.pid)];
        facts.extend(age.map(|seconds| format!("for {seconds} s")));
        // What it does is told where it is known; not knowing it stops nobody.
        facts.extend(age.and_then(|seconds| doing(host, seconds).unwrap_or_default()));
        format!("{} ({})", name(&text("cmdline")), facts.join(", "))
    }
}

/// What a process that began `age` seconds ago does with packages: what it is fetching, or dpkg's last act.
fn doing(host: &dyn Host, age: u64) -> Result<Option<String>> {
    for (dir, act) in FETCHING {
        let names = host.list(Path::new(dir))?;
        if let Some(name) = names.first() {
            let name = name.to_string_lossy();
            return Ok(Some(format!("{act} {}", name.split('_').next().unwrap_or_default())));
        }
    }
    let since = host.now().saturating_sub(i128::from(age) * 1_000_000_000);
    if host.meta(Path::new(DPKG_LOG))?.is_none_or(|meta| meta.modified < since) {
        return Ok(None);
    }
    Ok(last_act(&read_text(host, DPKG_LOG)?))
}

/// dpkg's last act in words, from the text of its log: `2026-11-26 00:10:38 status half-configured libc6:amd64 2.41`.
fn last_act(log: &str) -> Option<String> {
    log.lines().rev().find_map(|line| {
        let mut words = line.split(' ').skip(2);
        let act = match (words.next()?, words.clone().next()?) {
            ("status", state) => {
                words.next();
                match state {
                    "half-installed" => "unpacking",
                    "unpacked" => "has unpacked",
                    "half-configured" => "configuring",
                    "installed" => "has configured",
                    "triggers-pending" | "triggers-awaited" => "running the triggers of",
                    _ => "removing",
                }
            }
            ("install" | "upgrade", _) => "unpacking",
            ("configure", _) => "configuring",
            ("trigproc", _) => "running the triggers of",
            ("remove" | "purge", _) => "removing",
            _ => return None,
        };
        Some(format!("{act} {}", words.next()?.split(':').next()?))
    })
}

/// The program of a command line as /proc has it, its words ended by zeros: without its path, and without the
/// interpreter of a script.
fn name(cmdline: &str) -> String {
    let words: Vec<&str> = cmdline.split('\0').filter(|word| !word.is_empty()).collect();
    let bare = |word: &str| word.rsplit('/').next().unwrap_or_default().to_owned();
    let first = words.first().map(|word| bare(word)).unwrap_or_default();
    let is_interpreter = INTERPRETERS.iter().any(|name| {
        first.strip_prefix(name).is_some_and(|version| version.chars().all(|c| c.is_ascii_digit() || c == '.'))
    });
    let (name, rest) = match words.get(1) {
        Some(script) if is_interpreter && script.starts_with('/') => (bare(script), 2),
        _ => (first, 1),
    };
    if name.is_empty() {
        return "another process".to_owned();
    }
    // apt-get's first words say what it is about; the rest may be a hundred packages, or a program.
    let more = words.iter().skip(rest).take(2).filter(|word| word.len() < 20 && !word.contains(char::is_whitespace));
    more.fold(name, |line, word| line + " " + word)
}

/// Seconds since a process began, from the texts of /proc/PID/stat (field 22, in ticks of 1/100 s) and /proc/uptime
/// (proc_pid_stat(5), proc_uptime(5)).
fn age(stat: &str, uptime: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let began: u64 = after_name.split_whitespace().nth(19)?.parse().ok()?;
    let up: f64 = uptime.split(' ').next()?.parse().ok()?;
    Some((up as u64).saturating_sub(began / 100))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::bench::Bench;

    #[test]
    fn the_age_of_a_process_is_read_past_a_name_with_blanks_and_brackets() {
        let stat = "734 (unatt (x) y) S 1 734 734 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 90000 1 2";
        assert_eq!(age(stat, "994.55 1800.1\n"), Some(94));
        assert_eq!(age("", ""), None);
    }

    #[test]
    fn a_script_is_named_and_not_its_interpreter() {
        assert_eq!(name("/usr/bin/python3\0/usr/bin/unattended-upgrade\0-v\0"), "unattended-upgrade -v");
        assert_eq!(name("apt-get\0-y\0install\0a\0b\0"), "apt-get -y install");
        assert_eq!(name("python3.13\0-c\0import fcntl, time\0"), "python3.13 -c");
        assert_eq!(name("/usr/bin/shutter\0/etc\0"), "shutter /etc");
        assert_eq!(name(""), "another process");
    }

    #[test]
    fn the_last_act_of_dpkg_is_read_past_lines_that_say_nothing() {
        let log = "2026-11-26 00:10:37 status half-installed vim:amd64 2\n2026-11-26 00:10:38 conffile /etc/x keep\n";
        assert_eq!(last_act(log).unwrap(), "unpacking vim");
        assert_eq!(last_act("2026-11-26 00:10:38 configure libc6:amd64 2.41 <none>\n").unwrap(), "configuring libc6");
        assert_eq!(last_act("2026-11-26 00:10:38 startup packages configure\n"), None);
        assert_eq!(last_act(""), None);
    }

    #[test]
    fn what_it_is_fetching_is_told_before_what_dpkg_did_last_and_old_acts_are_not_told() {
        let bench = Bench::new();
        assert_eq!(doing(bench.host(), 5).unwrap(), None);
        bench.put(DPKG_LOG, "2026-11-26 00:10:38 configure libc6:amd64 2.41 <none>\n");
        assert_eq!(doing(bench.host(), 3600).unwrap().unwrap(), "configuring libc6");
        let old = std::time::SystemTime::now() - std::time::Duration::from_secs(7200);
        std::fs::File::options().append(true).open(bench.at(DPKG_LOG)).unwrap().set_modified(old).unwrap();
        assert_eq!(doing(bench.host(), 3600).unwrap(), None);
        bench.put("/var/cache/apt/archives/partial/docker.io_26_amd64.deb", "");
        assert_eq!(doing(bench.host(), 5).unwrap().unwrap(), "downloading docker.io");
    }
}
