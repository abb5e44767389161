//! The program's own look, before and after a change, whether people could still come in: it tries it, as far as that
//! can be done from the inside.
//!
//! - sshd takes its configuration.
//! - At the address and port that a login came to, an SSH server answers and shows its key.
//! - The person of that login is let in: with a key made for the moment, through the configuration of sshd and PAM that
//!   is in force, by an sshd that talks to its client through a pipe. No file but our own is touched for it.
//! - Who could become root by sudo still may.
//!
//! None of it goes through the packet filter as a stranger does, nor over the network: that takes a person. So what
//! passes here must still be confirmed; what passed before and fails now needs no waiting.

use crate::base::paths;
use crate::host::accounts::Accounts;
use crate::host::login::Login;
use crate::host::machine::ssh_ports;
use crate::host::{Attributes, Command, Host};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// Types of host keys, the usual one first.
const KEYS: &[&str] = &["ed25519", "ecdsa", "rsa"];
/// A reload of sshd has its socket closed for a moment.
const PAUSE: Duration = Duration::from_secs(2);

/// What was tried, by the sentence that it proves, and why it failed where it did. What can't be tried is not in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Knock(BTreeMap<String, Result<(), String>>);

impl Knock {
    /// Tries it for the people of these logins.
    pub fn at(host: &dyn Host, logins: &[Login]) -> Self {
        let mut tried = BTreeMap::new();
        let mut note = |name: String, outcome: Option<Result<(), String>>| {
            if let Some(outcome) = outcome {
                tried.insert(name, outcome);
            }
        };
        note("sshd takes its configuration".to_owned(), checked(host, &Command::new("sshd").arg("-t")));
        for (address, port) in doors(host, logins) {
            note(format!("an SSH server answers at {address} port {port}"), answers(host, &address, port));
        }
        for name in people(host, logins) {
            note(format!("{name} is let in by sshd and PAM"), let_in(host, &name));
            if name != "root" {
                let sudo = Command::new("sudo").args(["-n", "-U", &name, "-l", "/bin/sh"]);
                note(format!("{name} may become root"), checked(host, &sudo));
            }
        }
        Knock(tried)
    }

    /// Tries it once more; what passed before and fails now has a second chance.
    pub fn again(host: &dyn Host, logins: &[Login], before: &Knock) -> Self {
        let after = Knock::at(host, logins);
        if after.lost(before).is_empty() {
            return after;
        }
        host.pause(PAUSE);
        Knock::at(host, logins)
    }

    /// What passed before and does not pass now, with the reason.
    pub fn lost(&self, before: &Knock) -> Vec<String> {
        let passed = |name: &String| before.0.get(name).is_some_and(Result::is_ok);
        let lost = before.0.keys().filter(|name| passed(name)).filter_map(|name| match self.0.get(name) {
            Some(Ok(())) => None,
            Some(Err(why)) => Some(format!("no longer: {name} ({why})")),
            None => Some(format!("no longer: {name} (it can't even be tried any more)")),
        });
        lost.collect()
    }

    /// What passed.
    pub fn passed(&self) -> Vec<String> {
        self.0.iter().filter(|(_, outcome)| outcome.is_ok()).map(|(name, _)| name.clone()).collect()
    }
}

/// Where people came in; where nobody says it, the ports of sshd on this host itself.
fn doors(host: &dyn Host, logins: &[Login]) -> Vec<(String, u16)> {
    let mut doors: Vec<(String, u16)> = logins.iter().filter_map(|login| login.to.clone()).collect();
    if doors.is_empty() {
        let ports = ssh_ports(host, &[]).unwrap_or_default();
        doors.extend(ports.into_iter().map(|port| ("127.0.0.1".to_owned(), port)));
    }
    doors.sort();
    doors.dedup();
    doors
}

fn people(host: &dyn Host, logins: &[Login]) -> Vec<String> {
    let accounts = Accounts::read(host).unwrap_or_default();
    let name = |login: &Login| accounts.user_of(login.uid).map(|user| user.name.clone());
    let mut people: Vec<String> = logins.iter().filter(|login| login.is_remote).filter_map(name).collect();
    people.sort();
    people.dedup();
    people
}

/// Whether a command succeeds; `None` without the program.
fn checked(host: &dyn Host, command: &Command) -> Option<Result<(), String>> {
    if !host.has_program(&command.program) {
        return None;
    }
    Some(host.look(command).map(drop).map_err(|error| error.to_string()))
}

/// One connection up to the exchange of keys. More would look like an attack to sshd itself.
fn answers(host: &dyn Host, address: &str, port: u16) -> Option<Result<(), String>> {
    let has_key =
        |kind: &&&str| matches!(host.meta(Path::new(&format!("/etc/ssh/ssh_host_{kind}_key.pub"))), Ok(Some(_)));
    let kind = KEYS.iter().find(has_key)?;
    let scan = Command::new("ssh-keyscan").args(["-T", "5", "-t", kind, "-p", &port.to_string(), address]);
    if !host.has_program("ssh-keyscan") {
        return None;
    }
    Some(match host.look(&scan.accept(&[0, 1])) {
        Ok(output) if output.text().lines().any(|line| !line.starts_with('#') && line.contains(' ')) => Ok(()),
        Ok(output) => Err(last_line(&output.stderr).unwrap_or_else(|| "nobody answers".to_owned())),
        Err(error) => Err(error.to_string()),
    })
}

/// A login of this person, from the key to the end of a command.
fn let_in(host: &dyn Host, name: &str) -> Option<Result<(), String>> {
    if ["ssh", "ssh-keygen", "sshd"].iter().any(|program| !host.has_program(program)) {
        return None;
    }
    let outcome = with_key(host, |key| {
        let sshd = format!("ProxyCommand=/usr/sbin/sshd -i -o AuthorizedKeysFile={key}.pub");
        let options = [
            &sshd,
            "BatchMode=yes",
            "IdentitiesOnly=yes",
            "IdentityAgent=none",
            "PreferredAuthentications=publickey",
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "GlobalKnownHostsFile=/dev/null",
            "LogLevel=ERROR",
        ];
        let ssh = Command::new("ssh").args(["-F", "none", "-T", "-i", key, "-l", name]);
        let ssh = options.into_iter().fold(ssh, |ssh, option| ssh.args(["-o", option]));
        host.run(&ssh.args(["localhost", "exit 0"]).timeout(Duration::from_secs(60)))
    });
    Some(outcome.map(drop).map_err(|error| error.to_string()))
}

/// Runs `act` with the path of a key pair that is gone afterwards. sshd reads the public one as the person.
fn with_key<T>(host: &dyn Host, act: impl FnOnce(&str) -> crate::host::Result<T>) -> crate::host::Result<T> {
    let folder = Path::new(paths::KNOCK);
    let key = folder.join("key");
    let public = folder.join("key.pub");
    let clean =
        || [&key, &public].into_iter().try_for_each(|path| host.remove(path)).and_then(|()| host.remove(folder));
    clean()?;
    host.make_directory(folder, &Attributes::root(0o755))?;
    let path = key.to_string_lossy();
    let made = host.run(&Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f", &path]));
    let outcome = made.and_then(|_| act(&path));
    clean()?;
    outcome
}

fn last_line(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    text.lines().map(str::trim).rfind(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_passed_before_can_be_lost() {
        let knock = |outcomes: &[(&str, bool)]| {
            let outcome = |good: bool| if good { Ok(()) } else { Err("why".to_owned()) };
            Knock(outcomes.iter().map(|(name, good)| ((*name).to_owned(), outcome(*good))).collect())
        };
        let before = knock(&[("a", true), ("b", false), ("c", true), ("d", true)]);
        let after = knock(&[("a", true), ("b", false), ("c", false)]);
        assert_eq!(after.lost(&before), ["no longer: c (why)", "no longer: d (it can't even be tried any more)"]);
        assert_eq!(after.passed(), ["a"]);
        assert!(before.lost(&before).is_empty());
    }
}
