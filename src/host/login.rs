//! How somebody came onto this host: from where, at which address and port, and when.
//!
//! The tree of processes tells it, behind sudo and su as well: somewhere above stands the program that serves the
//! connection, or the console. Who left that tree (tmux, screen) is found through logind's session, and what the
//! environment of the processes above still says. Nothing here is a proof against root, who can claim anything.

use super::{Host, Kind, read_text};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Programs that serve somebody who comes from elsewhere, by the kernel's name for them.
const REMOTE: &[&str] =
    &["sshd-session", "sshd", "dropbear", "mosh-server", "tailscaled", "xrdp-sesexec", "xrdp-sesman"];
/// The program that lets in at a console.
const CONSOLE: &str = "login";
/// The kernel's word for "not set" in loginuid and sessionid.
const UNSET: u32 = u32::MAX;
/// Nanoseconds of a tick of /proc/PID/stat: USER_HZ is 100 wherever Debian runs (proc_pid_stat(5)).
const TICK: i128 = 10_000_000;
/// No honest chain of processes is longer.
const DEPTH: usize = 200;

/// A login, as far as it can be found out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Login {
    /// Whether it came from another machine; at the console otherwise.
    pub is_remote: bool,
    /// Who came in.
    pub uid: u32,
    /// The address that it came from.
    pub from: Option<String>,
    /// The address and port of this host that it came to.
    pub to: Option<(String, u16)>,
    /// When it began, in nanoseconds since the host was started (as [`Host::uptime`]), in steps of 10 ms. Of an SSH
    /// connection it is the connection's begin: sessions that share one are as old as that.
    pub began: Option<i128>,
}

impl Login {
    /// Whether it came from this host itself, so that it says nothing about the way in.
    pub fn is_from_here(&self) -> bool {
        let is_loopback = |address: &String| address.starts_with("127.") || address == "::1";
        let same = self.to.as_ref().is_some_and(|(to, _)| self.from.as_ref() == Some(to));
        self.is_remote && (same || self.from.as_ref().is_some_and(is_loopback))
    }
}

/// The login behind this process; `None` for services, and for whom nothing can be found out. `environment` is that
/// of this process.
pub fn own(host: &dyn Host, environment: &BTreeMap<String, String>) -> Option<Login> {
    let chain = chain(host);
    let serves = chain.iter().position(|process| REMOTE.contains(&process.name.as_str()));
    let below = serves.unwrap_or(chain.len());
    let said = environment.get("SSH_CONNECTION").cloned();
    let said = said.or_else(|| chain[..below].iter().find_map(|process| connection_of(host, process.pid)));
    let (from, to) = said.as_deref().map(connection).unwrap_or_default();
    if let Some(at) = serves {
        // One connection is served by several processes of this name; the first of them is as old as it.
        let first = chain[at..].iter().take_while(|process| process.name == chain[at].name && process.name != "sshd");
        let began = first.last().unwrap_or(&chain[at]).began;
        let uid = uid(host, chain[at.saturating_sub(1)].pid).unwrap_or_default();
        return Some(Login { is_remote: true, uid, from, to, began: Some(began) });
    }
    if let Some(at) = chain.iter().position(|process| process.name == CONSOLE) {
        // It became `login` where a getty had waited since the start: only what it started is as old as the login.
        let shell = &chain[at.saturating_sub(1)];
        let uid = uid(host, shell.pid).unwrap_or_default();
        return Some(Login { is_remote: false, uid, from: None, to: None, began: Some(shell.began) });
    }
    let session = session(host, environment);
    if session.is_none() && from.is_none() {
        return None;
    }
    let field = |name: &str| session.as_ref().and_then(|fields| fields.get(name)).filter(|value| !value.is_empty());
    Some(Login {
        is_remote: from.is_some() || field("REMOTE").is_some_and(|value| value == "1"),
        uid: field("UID").and_then(|uid| uid.parse().ok()).unwrap_or_default(),
        from: from.or_else(|| field("REMOTE_HOST").cloned()),
        to,
        // Microseconds since the start. Time that the host slept is not in it: the login looks older than it is.
        began: field("MONOTONIC").and_then(|text| text.parse::<i128>().ok()).map(|micro| micro * 1000),
    })
}

/// Everybody who is logged in from elsewhere and has a shell or a program running.
pub fn remote(host: &dyn Host) -> Vec<Login> {
    let mut processes = BTreeMap::new();
    for name in host.list(Path::new("/proc")).unwrap_or_default() {
        if let Some(process) = name.to_str().filter(|name| is_number(name)).and_then(|name| process(host, name)) {
            processes.insert(process.pid, process);
        }
    }
    let serves = |pid: u32| processes.get(&pid).filter(|process| REMOTE.contains(&process.name.as_str()));
    let mut logins = Vec::new();
    for process in processes.values().filter(|process| serves(process.pid).is_none()) {
        // Below sshd itself there is also what lets people in: they are not in yet.
        let Some(above) = serves(process.parent).filter(|_| process.name != "sshd-auth") else { continue };
        let same = |up: &&Process| up.name == above.name && up.name != "sshd";
        let first = std::iter::successors(Some(above), |above| serves(above.parent).filter(same));
        let began = first.last().map(|first| first.began);
        let (from, to) = connection_of(host, process.pid).as_deref().map(connection).unwrap_or_default();
        let uid = uid(host, process.pid).unwrap_or_default();
        logins.push(Login { is_remote: true, uid, from, to, began });
    }
    logins
}

/// The number of this boot of the host; empty where the kernel has none.
pub fn boot(host: &dyn Host) -> String {
    read_text(host, "/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// The user who logged in, which sudo and su don't change (pam_loginuid(8)); `None` for services.
pub(super) fn login_uid(host: &dyn Host) -> Option<u32> {
    number(host, "/proc/self/loginuid")
}

/// The terminal of this process.
pub(super) fn tty(host: &dyn Host, environment: &BTreeMap<String, String>) -> Option<String> {
    let variable = |name: &str| environment.get(name).filter(|value| !value.is_empty()).cloned();
    let own = ["/proc/self/fd/0", "/proc/self/fd/2", "/proc/self/fd/1"].into_iter().find_map(|path| {
        match host.meta(Path::new(path)).ok()??.kind {
            Kind::Link(target) => target.to_str().filter(|name| is_terminal(name)).map(str::to_owned),
            _ => None,
        }
    });
    own.or_else(|| variable("SSH_TTY")).or_else(|| variable("SUDO_TTY"))
}

fn is_terminal(name: &str) -> bool {
    name.starts_with("/dev/pts/") || name.starts_with("/dev/tty") && name != "/dev/tty"
}

/// One process, from proc_pid_stat(5).
#[derive(Debug, Clone, PartialEq, Eq)]
struct Process {
    pid: u32,
    name: String,
    parent: u32,
    /// Nanoseconds since the host was started.
    began: i128,
}

fn process(host: &dyn Host, pid: &str) -> Option<Process> {
    stat(&text(host, &format!("/proc/{pid}/stat"))?)
}

/// `151 (who.sh) S 149 ...`: the name may hold anything, so the rest begins behind the last parenthesis.
fn stat(line: &str) -> Option<Process> {
    let (head, rest) = line.rsplit_once(')')?;
    let (pid, name) = head.split_once(" (")?;
    let rest: Vec<&str> = rest.split_whitespace().collect();
    Some(Process {
        pid: pid.trim().parse().ok()?,
        name: name.to_owned(),
        parent: rest.get(1)?.parse().ok()?,
        began: rest.get(19)?.parse::<i128>().ok()? * TICK,
    })
}

/// This process and those above it, the nearest first.
fn chain(host: &dyn Host) -> Vec<Process> {
    let own = process(host, "self");
    std::iter::successors(own, |below| process(host, &below.parent.to_string())).take(DEPTH).collect()
}

/// The real user of a process.
fn uid(host: &dyn Host, pid: u32) -> Option<u32> {
    let status = text(host, &format!("/proc/{pid}/status"))?;
    status.lines().find_map(|line| line.strip_prefix("Uid:"))?.split_whitespace().next()?.parse().ok()
}

/// SSH_CONNECTION in the environment that a process was started with.
fn connection_of(host: &dyn Host, pid: u32) -> Option<String> {
    let environment = text(host, &format!("/proc/{pid}/environ"))?;
    environment.split('\0').find_map(|pair| pair.strip_prefix("SSH_CONNECTION=")).map(str::to_owned)
}

/// What SSH_CONNECTION says (ssh(1)): client, its port, server, its port.
fn connection(text: &str) -> (Option<String>, Option<(String, u16)>) {
    let words: Vec<&str> = text.split_whitespace().collect();
    let to = words.get(2).zip(words.get(3).and_then(|port| port.parse().ok()));
    (words.first().map(|from| (*from).to_owned()), to.map(|(address, port)| ((*address).to_owned(), port)))
}

/// logind's session of this process: the one with its audit id, else the one that its control group names, else the one
/// of its terminal.
fn session(host: &dyn Host, environment: &BTreeMap<String, String>) -> Option<BTreeMap<String, String>> {
    let directory = Path::new("/run/systemd/sessions");
    let audit = number(host, "/proc/self/sessionid").map(|id| id.to_string());
    let group = text(host, "/proc/self/cgroup").as_deref().and_then(session_of_group).map(str::to_owned);
    let terminal = tty(host, environment).map(|tty| tty.trim_start_matches("/dev/").to_owned());
    // Beside each session lies a pipe, NAME.ref.
    let names = host.list(directory).ok()?.into_iter().filter_map(|name| name.into_string().ok());
    let mut sessions: Vec<(String, BTreeMap<String, String>)> = names
        .filter(|name| !name.ends_with(".ref"))
        .filter_map(|name| Some((name.clone(), fields(&text(host, directory.join(&name).to_str()?)?))))
        .collect();
    let by = |field: &str, value: &Option<String>| {
        let value = value.as_ref()?;
        sessions.iter().position(|(_, session)| session.get(field) == Some(value))
    };
    let by_group = || sessions.iter().position(|(name, _)| Some(name) == group.as_ref());
    let at = by("AUDIT", &audit).or_else(by_group).or_else(|| by("TTY", &terminal))?;
    Some(sessions.swap_remove(at).1)
}

/// `0::/user.slice/user-1000.slice/session-5.scope` is session 5.
fn session_of_group(text: &str) -> Option<&str> {
    let part = text.split(['/', '\n']).find_map(|part| part.strip_prefix("session-"))?;
    part.strip_suffix(".scope")
}

/// The lines `NAME=value` of a session's file.
fn fields(text: &str) -> BTreeMap<String, String> {
    text.lines().filter_map(|line| line.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

fn text(host: &dyn Host, path: &str) -> Option<String> {
    host.read(&PathBuf::from(path)).ok().map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned())
}

fn number(host: &dyn Host, path: &str) -> Option<u32> {
    text(host, path)?.parse().ok().filter(|number| *number != UNSET)
}

fn is_number(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::RealHost;
    use std::fs;

    /// A host with these processes: pid, name, parent, uid, ticks since the start, environment. The last is ours.
    fn host(processes: &[(u32, &str, u32, u32, u32, &str)], files: &[(&str, &str)]) -> (tempfile::TempDir, RealHost) {
        let dir = tempfile::tempdir().unwrap();
        let put = |path: String, text: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        for (pid, name, parent, uid, ticks, environ) in processes {
            let zeros = "0 ".repeat(17);
            let stat = format!("{pid} ({name}) S {parent} {zeros}{ticks} 0 0\n");
            for pid in [pid.to_string(), "self".to_owned()] {
                put(format!("proc/{pid}/stat"), &stat);
                put(format!("proc/{pid}/status"), &format!("Name:\tx\nUid:\t{uid}\t{uid}\t0\t0\n"));
                put(format!("proc/{pid}/environ"), environ);
            }
        }
        for (path, text) in files {
            put((*path).to_owned(), text);
        }
        let host = RealHost::new(dir.path().into());
        (dir, host)
    }

    fn none() -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    const SSH: &str = "HOME=/home/mia\0SSH_CONNECTION=203.0.113.9 50000 198.51.100.1 2200\0";

    #[test]
    fn behind_sudo_the_connection_and_its_age_are_found_through_the_processes_above() {
        let (_dir, host) = host(
            &[
                (1, "systemd", 0, 0, 1, ""),
                (62, "sshd", 1, 0, 900, ""),
                (129, "sshd-session", 62, 0, 9368, ""),
                (148, "sshd-session", 129, 1000, 9374, ""),
                (149, "bash) x (", 148, 1000, 9375, SSH),
                (150, "sudo", 149, 1000, 9900, SSH),
                (151, "vps-configurato", 150, 0, 9901, "HOME=/root\0"),
            ],
            &[],
        );
        let login = own(&host, &none()).unwrap();
        let wanted = Login {
            is_remote: true,
            uid: 1000,
            from: Some("203.0.113.9".into()),
            to: Some(("198.51.100.1".into(), 2200)),
            began: Some(93_680_000_000),
        };
        assert_eq!(login, wanted);
        assert!(!login.is_from_here());
        assert_eq!(remote(&host), [wanted]);
    }

    #[test]
    fn who_comes_from_this_host_itself_is_seen() {
        let to = Some(("198.51.100.1".to_owned(), 22));
        let from =
            |address: &str| Login { is_remote: true, from: Some(address.into()), to: to.clone(), ..Login::default() };
        assert!(from("198.51.100.1").is_from_here() && from("127.0.0.1").is_from_here() && from("::1").is_from_here());
        assert!(!from("198.51.100.2").is_from_here());
    }

    #[test]
    fn a_console_login_is_as_old_as_its_shell_and_comes_from_nowhere() {
        let (_dir, host) =
            host(&[(1, "systemd", 0, 0, 1, ""), (40, "login", 1, 0, 300, ""), (50, "bash", 40, 0, 70_000, "")], &[]);
        let wanted = Login { began: Some(700_000_000_000), ..Login::default() };
        assert_eq!(own(&host, &none()), Some(wanted));
        assert_eq!(remote(&host), []);
    }

    #[test]
    fn what_systemd_started_has_no_login_and_those_who_are_in_are_found() {
        let (_dir, host) = host(
            &[
                (1, "systemd", 0, 0, 1, ""),
                (62, "sshd", 1, 0, 900, ""),
                (70, "sshd-session", 62, 0, 1000, ""),
                (71, "bash", 70, 0, 1001, SSH),
                (80, "sshd-session", 62, 0, 2000, ""),
                (81, "sshd-auth", 80, 105, 2001, ""),
                (90, "vps-configurato", 1, 0, 3000, "INVOCATION_ID=ab\0"),
            ],
            &[("proc/self/loginuid", "4294967295")],
        );
        assert_eq!(own(&host, &none()), None);
        let in_here = remote(&host);
        assert_eq!(in_here.len(), 1);
        assert_eq!(
            (in_here[0].began, in_here[0].to.clone()),
            (Some(10_000_000_000), Some(("198.51.100.1".into(), 2200)))
        );
    }

    #[test]
    fn in_tmux_the_session_tells_the_age_and_the_environment_the_way() {
        let tmux =
            [(1, "systemd", 0, 0, 1, ""), (77, "tmux: server", 1, 1000, 5000, SSH), (78, "bash", 77, 1000, 5001, SSH)];
        let session = "UID=1000\nREMOTE=1\nREMOTE_HOST=203.0.113.9\nAUDIT=5\nTTY=pts/0\nMONOTONIC=49000000\n";
        let (_dir, with) = host(&tmux, &[("run/systemd/sessions/5", session), ("proc/self/sessionid", "5")]);
        let login = own(&with, &none()).unwrap();
        assert_eq!((login.is_remote, login.uid, login.began), (true, 1000, Some(49_000_000_000)));
        assert_eq!(login.to.unwrap().1, 2200);
        let (_dir, without) = host(&tmux, &[]);
        let login = own(&without, &none()).unwrap();
        assert_eq!((login.is_remote, login.began), (true, None), "nobody knows when it began");
    }

    #[test]
    fn without_audit_the_control_group_or_the_terminal_leads_to_the_session() {
        let session = ("run/systemd/sessions/c7", "REMOTE=1\nREMOTE_HOST=2001:db8::9\nTTY=pts/3\n");
        let group = ("proc/self/cgroup", "0::/user.slice/user-1000.slice/session-c7.scope\n");
        let unset = ("proc/self/sessionid", "4294967295");
        let (_dir, by_group) = host(&[], &[session, group, unset]);
        let (_dir2, by_tty) = host(&[], &[session, unset]);
        let from = |host: &RealHost, environment| own(host, &environment).and_then(|login| login.from);
        let address = Some("2001:db8::9".to_owned());
        assert_eq!(from(&by_group, none()), address);
        assert_eq!(from(&by_tty, BTreeMap::from([("SSH_TTY".to_owned(), "/dev/pts/3".to_owned())])), address);
        assert_eq!(from(&by_tty, none()), None);
    }
}
