//! Who does it: the person behind the process, also behind sudo, for the journal and the audit trail.

use super::accounts::Accounts;
use super::{Host, Result, login};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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
        let login_uid = login::login_uid(host);
        let accounts = Accounts::read(host)?;
        let login_name = login_uid.and_then(|uid| accounts.user_of(uid)).map(|user| user.name.clone());
        Ok(Actor {
            login_uid,
            login_name,
            sudo_user: variable("SUDO_USER"),
            tty: login::tty(host, environment),
            source_address: login::own(host, environment).and_then(|login| login.from),
            command: command.to_owned(),
            invocation_id: variable("INVOCATION_ID"),
        })
    }

    /// The best name for the person: who logged in, else who called sudo.
    pub fn name(&self) -> Option<&str> {
        self.login_name.as_deref().or(self.sudo_user.as_deref())
    }
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
