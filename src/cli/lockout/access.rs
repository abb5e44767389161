//! How people log in now, and who of them may become root.

use super::super::session::Session;
use super::people::{Person, Sudo};
use crate::base::paths;
use crate::engine::Result;
use crate::host::accounts::{Accounts, key_patterns};
use crate::host::{Command, Error, Host, read_text};
use crate::resources::whole::ssh_exceptions;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What of people's ways in is taken as gone already.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gone {
    /// Accounts.
    pub users: BTreeSet<String>,
    /// Groups.
    pub groups: BTreeSet<String>,
    /// Users in groups.
    pub members: BTreeSet<(String, String)>,
    /// Keys, whole lines, by user.
    pub keys: BTreeMap<String, BTreeSet<String>>,
    /// Files, and all below them.
    pub paths: Vec<PathBuf>,
    /// What was in files of sudo.
    pub sudoers: Vec<String>,
    /// Whether the configuration of the SSH server is among the files.
    pub touches_sshd: bool,
    /// Whether it said where keys lie.
    pub moves_keys: bool,
    /// Whether sudo itself goes.
    pub sudo: bool,
    /// Whether the SSH server itself goes.
    pub sshd: bool,
}

impl Gone {
    /// Whether somebody who was in the group sudo still is.
    pub fn leaves_in_sudo(&self, name: &str) -> bool {
        !self.sudo && !self.groups.contains("sudo") && !self.members.contains(&(name.to_owned(), "sudo".to_owned()))
    }

    /// Whether it is not certain that sudo will still know somebody whom it knows now: a rule that goes names him, or
    /// nobody by name.
    pub fn may_concern(&self, name: &str) -> bool {
        let is_word = |c: char| c.is_alphanumeric() || "-_.".contains(c);
        let of_many = |line: &str| line.starts_with(['%', '+']) || line.starts_with("ALL") || line.contains("_Alias");
        let names = |text: &String| {
            text.lines().map(str::trim).any(of_many) || text.split(|c| !is_word(c)).any(|word| word == name)
        };
        self.sudo
            || !self.groups.is_empty()
            || self.members.iter().any(|(user, _)| user == name)
            || self.sudoers.iter().any(names)
    }
}

/// How people log in now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// With a password.
    pub password: bool,
    /// As root, in whatever way.
    pub root: bool,
    /// As root with a password.
    pub root_password: bool,
    /// In ways that can't be looked into: keys from a program, certificates.
    pub other: bool,
    /// The ports that sshd listens on.
    pub ports: Vec<u16>,
    /// Root and the people, each with what lets it in.
    pub people: Vec<Person>,
    /// Those who are logged in, with their groups.
    pub present: Vec<(String, Vec<String>)>,
}

impl Access {
    /// How people log in to this host; `None` when no SSH server is there. `admins`: those who are known to be in the
    /// group sudo. `gone` is left out.
    pub fn see(session: &Session<'_>, people: &[String], admins: &[String], gone: &Gone) -> Result<Option<Self>> {
        let host = session.host;
        let text = match host.look(&Command::new("sshd").arg("-T")) {
            Ok(output) => output.text(),
            Err(Error::NoProgram { .. }) => return Ok(None),
            // It tells nothing without its host keys. Then its defaults are the best guess.
            Err(Error::Failed { .. }) => String::new(),
            Err(error) => return Err(error.into()),
        };
        let mut access = Access::read(&text);
        let accounts = Accounts::read(host)?;
        let shadow = read_text(host, paths::SHADOW)?;
        let today = i64::try_from(host.now() / 86_400_000_000_000).unwrap_or(i64::MAX);
        // What holds for all need not hold for each: sshd says what it does.
        let differs = !ssh_exceptions(host).is_empty();
        let people = people.iter().filter(|name| !gone.users.contains(*name));
        for user in people.map(String::as_str).chain(["root"]).filter_map(|name| accounts.user(name)) {
            let is_open = !is_expired(&shadow, &user.name, today);
            let own = if differs { told_of(host, &user.name)? } else { None };
            let takes = Takes::read(own.as_deref().unwrap_or(&text));
            access.people.push(Person {
                name: user.name.clone(),
                key: is_open
                    && takes.keys
                    && takes.files.iter().any(|file| has_key(host, &user.key_file(file), &user.name, gone)),
                password: is_open && (takes.passwords || !access.password) && has_password(&shadow, &user.name),
                sudo: match admins.contains(&user.name) && gone.leaves_in_sudo(&user.name) {
                    true => Sudo::WithPassword,
                    false => Sudo::Nothing,
                },
            });
        }
        for login in session.logins().iter().filter(|login| login.is_remote) {
            let Some(user) = accounts.user_of(login.uid) else { continue };
            let groups =
                accounts.groups().iter().filter(|group| group.gid == user.gid || group.members.contains(&user.name));
            access.present.push((user.name.clone(), groups.map(|group| group.name.clone()).collect()));
        }
        Ok(Some(access))
    }

    /// What `sshd -T` says; without a line, its default.
    pub fn read(text: &str) -> Self {
        let value = |key: &str| values(text, key).next();
        let is_set = |key: &str| value(key).is_some_and(|word| word != "none");
        Access {
            password: value("passwordauthentication") != Some("no")
                || value("kbdinteractiveauthentication") == Some("yes"),
            root: !value("permitrootlogin").is_some_and(shuts_root),
            root_password: value("permitrootlogin") == Some("yes"),
            other: is_set("authorizedkeyscommand") || is_set("trustedusercakeys"),
            ports: values(text, "port").filter_map(|port| port.parse().ok()).collect(),
            ..Access::default()
        }
    }
}

/// Whether a value of PermitRootLogin leaves root no way in that gives a shell.
pub(super) fn shuts_root(word: &str) -> bool {
    ["no", "forced-commands-only"].iter().any(|shut| word.eq_ignore_ascii_case(shut))
}

fn values<'t>(text: &'t str, key: &str) -> impl Iterator<Item = &'t str> {
    let key = format!("{key} ");
    text.lines().filter_map(move |line| line.strip_prefix(key.as_str())).map(str::trim)
}

/// What `sshd -T` says of a login of this user, from somewhere; `None` where it tells nothing.
fn told_of(host: &dyn Host, user: &str) -> Result<Option<String>> {
    // An address of nobody's (RFC 5737).
    let connection = format!("user={user},host=client.example,addr=203.0.113.1");
    match host.look(&Command::new("sshd").args(["-T", "-C", &connection])) {
        Ok(output) => Ok(Some(output.text())),
        Err(Error::NoProgram { .. } | Error::Failed { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What sshd takes of one user.
#[derive(Debug, PartialEq, Eq)]
struct Takes {
    keys: bool,
    /// The files that they are in, with their tokens.
    files: Vec<String>,
    passwords: bool,
}

impl Takes {
    /// What `sshd -T` says; without a line, its default.
    fn read(text: &str) -> Self {
        let files = values(text, "authorizedkeysfile").next().unwrap_or(".ssh/authorized_keys .ssh/authorized_keys2");
        Takes {
            keys: values(text, "pubkeyauthentication").next() != Some("no"),
            files: key_patterns(files).map(str::to_owned).collect(),
            passwords: Access::read(text).password,
        }
    }
}

/// What can't be read is taken for a key: this is to warn, not to be in the way.
fn has_key(host: &dyn Host, path: &Path, user: &str, gone: &Gone) -> bool {
    if gone.paths.iter().any(|gone| path.starts_with(gone)) {
        return false;
    }
    let stays = |line: &&str| !gone.keys.get(user).is_some_and(|keys| keys.contains(line.trim()));
    let left = |content: &[u8]| String::from_utf8_lossy(content).lines().filter(stays).collect::<Vec<_>>().join("\n");
    match host.meta(path) {
        Ok(None) => false,
        Ok(Some(_)) => host.read(path).map_or(true, |content| gives_shell(&left(&content))),
        Err(_) => true,
    }
}

/// Whether one of the keys may do more than run a command that is fixed for it, as those of backups do, and those that
/// images of providers give root, only to say that another name must be used.
pub(super) fn gives_shell(keys: &str) -> bool {
    let is_fixed = |line: &str| line.starts_with("command=") || line.contains(",command=");
    keys.lines().map(str::trim).any(|line| !line.is_empty() && !line.starts_with('#') && !is_fixed(line))
}

/// Whether the account is past its day (shadow(5), the eighth field).
fn is_expired(shadow: &str, name: &str, today: i64) -> bool {
    let line = shadow.lines().find(|line| line.split(':').next() == Some(name));
    let day = line.and_then(|line| line.split(':').nth(7)).and_then(|day| day.parse::<i64>().ok());
    day.is_some_and(|day| day >= 0 && day <= today)
}

/// Whether there is a password that would be taken (shadow(5), the second field): none, `!` and `*` let nobody in. An
/// account that the file doesn't name may have one elsewhere.
fn has_password(shadow: &str, name: &str) -> bool {
    let line = shadow.lines().find(|line| line.split(':').next() == Some(name));
    let hash = line.and_then(|line| line.split(':').nth(1));
    hash.is_none_or(|hash| !hash.is_empty() && !hash.starts_with(['!', '*']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_sshd_says_is_read_with_its_defaults() {
        let access = Access::read("port 22\nport 2222\npasswordauthentication no\nkbdinteractiveauthentication yes\n");
        assert!(access.password && access.root && !access.root_password && !access.other);
        assert_eq!(access.ports, [22, 2222]);
        assert!(Access::read("trustedusercakeys /etc/ssh/ca\n").other && Access::read("").password);
    }

    #[test]
    fn files_of_keys_are_found_wherever_sshd_looks() {
        let accounts = Accounts::parse("mia:x:1000:1000::/home/mia:/bin/bash\n", "");
        let mia = accounts.user("mia").unwrap();
        let of = |file: &str| mia.key_file(file).display().to_string();
        assert_eq!(of(".ssh/authorized_keys"), "/home/mia/.ssh/authorized_keys");
        assert_eq!(
            [of("/etc/ssh/keys/%u"), of("%h/.k"), of("/k/%U/%%h")],
            ["/etc/ssh/keys/mia", "/home/mia/.k", "/k/1000/%h"]
        );
        assert_eq!(Takes::read("authorizedkeysfile none\n").files, [""; 0]);
        assert_eq!(Takes::read("").files.len(), 2);
    }

    #[test]
    fn what_a_match_takes_from_one_user_is_taken_from_that_user_alone() {
        let dir = tempfile::tempdir().unwrap();
        let host = crate::host::RealHost::new(dir.path().into());
        assert_eq!(told_of(&host, "mia").unwrap(), None, "without a server");
        let script = "#!/bin/sh\n[ \"$1\" = -T ] && [ \"$2\" = -C ] || exit 1\ncase $3 in user=mia,*addr=*) \
                      printf 'pubkeyauthentication no\\npasswordauthentication no\\nauthorizedkeysfile /k/%%u\\n' ;; esac\n";
        let path = dir.path().join("usr/sbin/sshd");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let takes = |user: &str| Takes::read(&told_of(&host, user).unwrap().unwrap());
        assert_eq!(takes("mia"), Takes { keys: false, files: vec!["/k/%u".into()], passwords: false });
        assert!(takes("ada").keys && takes("ada").passwords);
    }

    #[test]
    fn what_goes_is_left_out_and_what_is_not_certain_counts_as_gone() {
        let rule = |text: &str| Gone { sudoers: vec![text.into()], ..Gone::default() };
        assert!(rule("# ours\nmia ALL=(ALL) ALL\n").may_concern("mia"));
        assert!(!rule("# ours\nmia ALL=(ALL) ALL\n").may_concern("ada"));
        assert!(rule("%team ALL=(ALL) ALL\n").may_concern("ada") && rule("User_Alias X = eve\n").may_concern("ada"));
        let member = Gone { members: [("mia".to_owned(), "sudo".to_owned())].into(), ..Gone::default() };
        assert!(!member.leaves_in_sudo("mia") && member.leaves_in_sudo("ada"));
        assert!(member.may_concern("mia") && !member.may_concern("ada"));
        let dir = tempfile::tempdir().unwrap();
        let host = crate::host::RealHost::new(dir.path().into());
        std::fs::write(dir.path().join("keys"), "ssh-ed25519 AAAA mia\n").unwrap();
        let has = |gone: &Gone| has_key(&host, Path::new("/keys"), "mia", gone);
        let keys = |line: &str| Gone { keys: [("mia".to_owned(), [line.to_owned()].into())].into(), ..Gone::default() };
        assert!(has(&Gone::default()) && has(&keys("ssh-ed25519 BBBB mia")));
        assert!(!has(&keys("ssh-ed25519 AAAA mia")) && !has(&Gone { paths: vec!["/".into()], ..Gone::default() }));
    }

    #[test]
    fn a_key_with_a_fixed_command_and_an_expired_account_let_nobody_in() {
        assert!(gives_shell("# x\n\nssh-ed25519 AAAA mia\n") && gives_shell("no-pty ssh-rsa AAAA\n"));
        assert!(!gives_shell("no-pty,command=\"echo use admin\" ssh-rsa AAAA\n#ssh-rsa A\n"));
        let shadow =
            "mia:!:20000:0:99999:7::19000:\nada:!$y$x:20000:0:99999:7:::\nole:$y$x:20000::::::\nbot:*:1::::::\n";
        let has = ["mia", "ada", "bot", "ole", "of-ldap"].map(|name| has_password(shadow, name));
        assert_eq!(has, [false, false, false, true, true]);
        assert!(
            is_expired(shadow, "mia", 20000) && !is_expired(shadow, "mia", 18999) && !is_expired(shadow, "ada", 20000)
        );
    }
}
