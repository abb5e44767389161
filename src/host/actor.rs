//! Who does it: the person behind the process, also behind sudo, for the journal and the audit trail.

use super::accounts::Accounts;
use super::{Host, Kind, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// The kernel's word for "not set" in loginuid and sessionid.
const UNSET: u32 = u32::MAX;

/// Who did it, from where, and with which command.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// The user who logged in, which sudo and su don't change (pam_loginuid(8)); `None` for services.
    pub login_uid: Option<u32>,
    /// That user's name.
    pub login_name: Option<String>,
    /// Who called sudo. A claim of the environment: root can set it to anything.
    pub sudo_user: Option<String>,
    /// The terminal: `/dev/pts/0`.
    pub tty: Option<String>,
    /// The address that the session came from.
    pub source_address: Option<String>,
    /// The command, as the command line hands it in.
    pub command: String,
    /// systemd's id of this run of a service.
    pub invocation_id: Option<String>,
}

impl Actor {
    /// The actor of this process. `environment` is that of the process (the command line hands it in), `command` what
    /// was called. What can't be found out stays empty: not knowing who it is must stop nobody.
    pub fn of_this_process(host: &dyn Host, environment: &BTreeMap<String, String>, command: &str) -> Result<Self> {
        let variable = |name: &str| environment.get(name).filter(|value| !value.is_empty()).cloned();
        let login_uid = number(host, "/proc/self/loginuid");
        let accounts = Accounts::read(host)?;
        let login_name = login_uid.and_then(|uid| accounts.user_of(uid)).map(|user| user.name.clone());
        let tty = tty(host).or_else(|| variable("SSH_TTY")).or_else(|| variable("SUDO_TTY"));
        let from_ssh = variable("SSH_CONNECTION").and_then(|words| words.split(' ').next().map(str::to_owned));
        let source_address = from_ssh.or_else(|| address_of_session(host, tty.as_deref()));
        Ok(Actor {
            login_uid,
            login_name,
            sudo_user: variable("SUDO_USER"),
            tty,
            source_address,
            command: command.to_owned(),
            invocation_id: variable("INVOCATION_ID"),
        })
    }

    /// The best name for the person: who logged in, else who called sudo.
    pub fn name(&self) -> Option<&str> {
        self.login_name.as_deref().or(self.sudo_user.as_deref())
    }
}

fn text(host: &dyn Host, path: &str) -> Option<String> {
    host.read(Path::new(path)).ok().map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned())
}

fn number(host: &dyn Host, path: &str) -> Option<u32> {
    text(host, path)?.parse().ok().filter(|number| *number != UNSET)
}

/// The terminal that one of the standard streams is.
fn tty(host: &dyn Host) -> Option<String> {
    ["/proc/self/fd/0", "/proc/self/fd/2", "/proc/self/fd/1"].into_iter().find_map(|path| {
        match host.meta(Path::new(path)).ok()??.kind {
            Kind::Link(target) => target.to_str().filter(|name| is_terminal(name)).map(str::to_owned),
            _ => None,
        }
    })
}

fn is_terminal(name: &str) -> bool {
    name.starts_with("/dev/pts/") || name.starts_with("/dev/tty") && name != "/dev/tty"
}

/// sudo takes SSH_CONNECTION away, but logind remembers where the session came from: the session with our audit id,
/// else the one that our control group names, else the one of our terminal.
fn address_of_session(host: &dyn Host, tty: Option<&str>) -> Option<String> {
    let directory = Path::new("/run/systemd/sessions");
    let audit = number(host, "/proc/self/sessionid").map(|id| id.to_string());
    let group = text(host, "/proc/self/cgroup").as_deref().and_then(session_of_group).map(str::to_owned);
    let terminal = tty.map(|tty| tty.trim_start_matches("/dev/").to_owned());
    // Beside each session lies a pipe, NAME.ref.
    let names = host.list(directory).ok()?.into_iter().filter_map(|name| name.into_string().ok());
    let sessions: Vec<(String, BTreeMap<String, String>)> = names
        .filter(|name| !name.ends_with(".ref"))
        .filter_map(|name| Some((name.clone(), fields(&text(host, directory.join(&name).to_str()?)?))))
        .collect();
    let by = |field: &str, value: &Option<String>| {
        let value = value.as_ref()?;
        sessions.iter().find(|(_, session)| session.get(field) == Some(value))
    };
    let by_group = || sessions.iter().find(|(name, _)| Some(name) == group.as_ref());
    let (_, session) = by("AUDIT", &audit).or_else(by_group).or_else(|| by("TTY", &terminal))?;
    session.get("REMOTE_HOST").filter(|address| !address.is_empty()).cloned()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::RealHost;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn host(files: &[(&str, &str)]) -> (tempfile::TempDir, RealHost) {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let host = RealHost::new(dir.path().into());
        (dir, host)
    }

    fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn behind_sudo_the_person_and_the_address_are_found_through_the_session() {
        let (dir, host) = host(&[
            ("etc/passwd", "mia:x:1000:1000::/home/mia:/bin/bash\n"),
            ("proc/self/loginuid", "1000"),
            ("proc/self/sessionid", "5"),
            ("run/systemd/sessions/4", "UID=1001\nREMOTE_HOST=192.0.2.4\nAUDIT=4\nTTY=pts/1\n"),
            ("run/systemd/sessions/5", "UID=1000\nREMOTE=1\nREMOTE_HOST=203.0.113.9\nAUDIT=5\nTTY=pts/0\n"),
        ]);
        fs::create_dir_all(dir.path().join("proc/self/fd")).unwrap();
        symlink("/dev/pts/0", dir.path().join("proc/self/fd/0")).unwrap();
        let actor = Actor::of_this_process(&host, &environment(&[("SUDO_USER", "mia")]), "apply").unwrap();
        let wanted = Actor {
            login_uid: Some(1000),
            login_name: Some("mia".into()),
            sudo_user: Some("mia".into()),
            tty: Some("/dev/pts/0".into()),
            source_address: Some("203.0.113.9".into()),
            command: "apply".into(),
            invocation_id: None,
        };
        assert_eq!(actor, wanted);
        assert_eq!(actor.name(), Some("mia"));
    }

    #[test]
    fn without_audit_the_control_group_or_the_terminal_leads_to_the_session() {
        let session = ("run/systemd/sessions/c7", "REMOTE_HOST=2001:db8::9\nTTY=pts/3\n");
        let group = ("proc/self/cgroup", "0::/user.slice/user-1000.slice/session-c7.scope\n");
        let unset = ("proc/self/sessionid", "4294967295");
        let (_dir, by_group) = host(&[session, group, unset]);
        let (_dir2, by_tty) = host(&[session, unset]);
        let address = Some("2001:db8::9".to_owned());
        let of = |host: &RealHost, pairs| Actor::of_this_process(host, &environment(pairs), "").unwrap().source_address;
        assert_eq!(of(&by_group, &[]), address);
        assert_eq!(of(&by_tty, &[("SSH_TTY", "/dev/pts/3")]), address);
        assert_eq!(of(&by_tty, &[]), None);
    }

    #[test]
    fn a_service_has_an_invocation_and_nobody_behind_it() {
        let (_dir, host) = host(&[("proc/self/loginuid", "4294967295")]);
        let actor = Actor::of_this_process(&host, &environment(&[("INVOCATION_ID", "ab12")]), "audit").unwrap();
        let wanted = Actor { command: "audit".into(), invocation_id: Some("ab12".into()), ..Actor::default() };
        assert_eq!(actor, wanted);
    }

    #[test]
    fn an_ssh_session_without_sudo_says_itself_where_it_came_from() {
        let (_dir, host) = host(&[]);
        let ssh = environment(&[("SSH_CONNECTION", "203.0.113.9 50000 198.51.100.1 22")]);
        let actor = Actor::of_this_process(&host, &ssh, "plan").unwrap();
        assert_eq!(actor.source_address.as_deref(), Some("203.0.113.9"));
    }
}
