//! Who could still log in: an SSH server that lets nobody in is refused before anything is changed.

use super::exit::Exit;
use super::explain::Problem;
use crate::host::accounts::Accounts;
use crate::host::{Command, Error, Host};
use crate::modules::facts::Facts;
use crate::resources::Spec;
use std::path::Path;

/// Files of sshd_config(5), below which what a module writes counts.
const CONFIG: &str = "/etc/ssh/sshd_config";

/// How people log in now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// With a password.
    pub password: bool,
    /// As root, in whatever way.
    pub root: bool,
    /// As root with a password.
    pub root_password: bool,
    /// In ways that can't be looked into: keys from a program or another place, certificates.
    pub other: bool,
    /// Who has a key.
    pub keys: Vec<String>,
}

impl Access {
    /// How people log in to this host; `None` when no SSH server is there.
    pub fn see(host: &dyn Host, people: &[String]) -> crate::engine::Result<Option<Self>> {
        let text = match host.look(&Command::new("sshd").arg("-T")) {
            Ok(output) => output.text(),
            Err(Error::NoProgram { .. }) => return Ok(None),
            // It tells nothing without its host keys. Then its defaults are the best guess.
            Err(Error::Failed { .. }) => String::new(),
            Err(error) => return Err(error.into()),
        };
        let accounts = Accounts::read(host)?;
        let mut keys = Vec::new();
        for name in people.iter().map(String::as_str).chain(["root"]) {
            let home = accounts.user(name).map(|user| user.home.clone()).unwrap_or_default();
            if !home.is_empty() && has_key(host, Path::new(&home)) {
                keys.push(name.to_owned());
            }
        }
        Ok(Some(Access { keys, ..Access::read(&text) }))
    }

    /// What `sshd -T` says; without a line, its default.
    fn read(text: &str) -> Self {
        let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')).map(str::trim);
        let is_set = |key: &str| value(key).is_some_and(|word| word != "none");
        let elsewhere = value("authorizedkeysfile")
            .is_some_and(|files| !files.split_whitespace().any(|file| file == ".ssh/authorized_keys"));
        Access {
            password: value("passwordauthentication") != Some("no"),
            root: value("permitrootlogin") != Some("no"),
            root_password: value("permitrootlogin") == Some("yes"),
            other: elsewhere || is_set("authorizedkeyscommand") || is_set("trustedusercakeys"),
            keys: Vec::new(),
        }
    }
}

/// What can't be read is taken for a key: this is to warn, not to be in the way.
fn has_key(host: &dyn Host, home: &Path) -> bool {
    let path = home.join(".ssh/authorized_keys");
    match host.meta(&path) {
        Ok(None) => false,
        Ok(Some(_)) => host.read(&path).map_or(true, |content| {
            String::from_utf8_lossy(&content).lines().any(|l| !l.trim().is_empty() && !l.trim().starts_with('#'))
        }),
        Err(_) => true,
    }
}

/// Whether a line of the SSH server's configuration is asked for.
fn wants(specs: &[Spec], line: &str) -> bool {
    specs.iter().filter(|spec| spec.kind == "file" && spec.name.starts_with(CONFIG)).any(|spec| {
        let text = spec.text("content").unwrap_or_default();
        text.lines().any(|have| have.trim().eq_ignore_ascii_case(line))
    })
}

/// Whether anything is asked for that could shut somebody out: only then the host must be looked at.
pub fn is_possible(specs: &[Spec]) -> bool {
    ["PasswordAuthentication no", "PermitRootLogin no", "PermitRootLogin prohibit-password"]
        .into_iter()
        .any(|line| wants(specs, line))
}

/// Refuses a configuration of the SSH server that shuts out everybody who could log in until now.
pub fn refuse(specs: &[Spec], facts: &Facts, access: Option<&Access>) -> Result<(), Problem> {
    let Some(access) = access else { return Ok(()) };
    let wants = |line: &str| wants(specs, line);
    let brings = |kind: &str| specs.iter().any(|spec| spec.kind == kind);
    let no_root = wants("PermitRootLogin no");
    let problem = |why: &str| Problem::new(Exit::Failed, "ssh-locks-out", "this would lock you out", why);
    let can_by_key = access.keys.iter().any(|name| name != "root" || !no_root);
    if wants("PasswordAuthentication no")
        && access.password
        && !access.other
        && !can_by_key
        && !brings("authorized_key")
    {
        return Err(problem("logins with a password are to be turned off, and no account has an SSH key")
            .fix("from your own computer: ssh-copy-id USER@HOST, then run this again")
            .fix("or leave passwords on: modules.security.ssh.password_login true"));
    }
    if no_root && access.root && facts.admins.is_empty() && !brings("member") && !brings("user") {
        return Err(problem("logins as root are to be turned off, and no other account may use sudo")
            .fix("make an account: adduser NAME && adduser NAME sudo, then run this again")
            .fix("or leave it to this program: modules.security.ssh.root_login auto"));
    }
    let only_key = wants("PermitRootLogin prohibit-password");
    let root_has_key = access.other || access.keys.iter().any(|name| name == "root") || brings("authorized_key");
    if only_key && access.root_password && !root_has_key && facts.admins.is_empty() && !brings("member") {
        return Err(problem("root may log in with a key only, has none, and no other account may use sudo")
            .fix("from your own computer: ssh-copy-id root@HOST, then run this again")
            .fix("or leave it to this program: modules.security.ssh.root_login auto"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::schema::PackageOrder;
    use serde_json::json;

    fn sshd(content: &str) -> Vec<Spec> {
        vec![Spec {
            kind: "file",
            name: "/etc/ssh/sshd_config.d/00-vps-configurator.conf".into(),
            fields: json!({"content": content}).as_object().unwrap().clone(),
            needs: vec![],
            notify: vec![],
            access: None,
            packages: PackageOrder::After,
            module: "security".into(),
            priority: 0,
            origin: String::new(),
            dir: "/".into(),
        }]
    }

    #[test]
    fn turning_passwords_off_needs_a_key_of_somebody_who_may_come_in() {
        let specs = sshd("PasswordAuthentication no\n");
        let facts = Facts { admins: vec!["ada".into()], ..Facts::default() };
        let mut access = Access::read("passwordauthentication yes\npermitrootlogin yes\n");
        assert_eq!(refuse(&specs, &facts, Some(&access)).unwrap_err().code, "ssh-locks-out");
        access.keys = vec!["root".into()];
        refuse(&specs, &facts, Some(&access)).unwrap();
        let both = sshd("PasswordAuthentication no\nPermitRootLogin no\n");
        assert!(refuse(&both, &facts, Some(&access)).is_err());
        access.keys.push("ada".into());
        refuse(&both, &facts, Some(&access)).unwrap();
        let off = Access::read("passwordauthentication no\n");
        refuse(&specs, &facts, Some(&off)).unwrap();
        let elsewhere = Access::read("authorizedkeysfile /etc/ssh/keys/%u\n");
        refuse(&specs, &facts, Some(&elsewhere)).unwrap();
    }

    #[test]
    fn turning_root_off_needs_another_administrator() {
        let specs = sshd("PermitRootLogin no\n");
        let access = Access::read("");
        assert!(refuse(&specs, &Facts::default(), Some(&access)).is_err());
        refuse(&specs, &Facts { admins: vec!["ada".into()], ..Facts::default() }, Some(&access)).unwrap();
        let only_key = sshd("PermitRootLogin prohibit-password\n");
        refuse(&only_key, &Facts::default(), Some(&access)).unwrap();
        let mut by_password = Access::read("permitrootlogin yes\n");
        assert!(refuse(&only_key, &Facts::default(), Some(&by_password)).is_err());
        by_password.keys.push("root".into());
        refuse(&only_key, &Facts::default(), Some(&by_password)).unwrap();
        refuse(&specs, &Facts::default(), None).unwrap();
    }
}
