//! Who can log in, who is a member of which group, and with which keys.

use super::{Item, Items};
use crate::base::digest::Digest;
use crate::base::paths::{GROUP, PASSWD};
use crate::engine::Result;
use crate::host::accounts::{Accounts, User, key_patterns};
use crate::host::{Command, Error, Host};
use crate::resources::whole::ssh_exceptions;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn can_log_in(user: &User) -> bool {
    user.has_login_shell() || user.uid == 0
}

/// Accounts with a shell, and those that have the number of root.
pub(super) fn logins(host: &dyn Host) -> Result<Items> {
    let accounts = Accounts::read(host)?;
    let item = |user: &User| {
        let shell = if user.shell.is_empty() { "/bin/sh" } else { &user.shell };
        Item::new(format!("{} can log in: number {}, {shell}, {}", user.name, user.uid, user.home), PASSWD)
    };
    Ok(accounts.users().iter().filter(|user| can_log_in(user)).map(|user| (user.name.clone(), item(user))).collect())
}

/// Everyone in `groups`, as `group/user`.
pub(super) fn members(host: &dyn Host, groups: &[String]) -> Result<Items> {
    let accounts = Accounts::read(host)?;
    let mut items = Items::new();
    for group in groups {
        for user in accounts.members(group) {
            items.insert(format!("{group}/{user}"), Item::new(format!("{user} is in group {group}"), GROUP));
        }
    }
    Ok(items)
}

/// The keys in the files `below` the home of each account that can log in, and in those that sshd looks for, as
/// `user/digest`. Blocks of ours are left out: they are resources.
pub(super) fn keys(host: &dyn Host, below: &[PathBuf]) -> Result<Items> {
    let mut items = Items::new();
    let patterns = patterns(host)?;
    for user in Accounts::read(host)?.users().iter().filter(|user| can_log_in(user)) {
        let files: BTreeSet<PathBuf> = below
            .iter()
            .map(|name| Path::new(&user.home).join(name))
            .chain(patterns.iter().map(|pattern| user.key_file(pattern)))
            .collect();
        for path in files {
            if host.meta(&path)?.is_none() {
                continue;
            }
            // A user may have put anything there; that it can't be read is worth knowing, and no failure.
            let lines = match host.read(&path) {
                Ok(content) => foreign_lines(&String::from_utf8_lossy(&content)),
                Err(error) => vec![format!("({error})")],
            };
            for line in lines {
                let name = format!("{}/{}", user.name, Digest::of(line.as_bytes()).short());
                items.insert(name, Item::new(format!("{} lets in {}", user.name, shown(&line)), &path));
            }
        }
    }
    Ok(items)
}

/// Where sshd looks for keys, of whomever. Where it can't tell, its own words are the territory's list.
fn patterns(host: &dyn Host) -> Result<BTreeSet<String>> {
    let told = match host.look(&Command::new("sshd").arg("-T")) {
        Ok(output) => output.text(),
        Err(Error::NoProgram { .. } | Error::Failed { .. }) => String::new(),
        Err(error) => return Err(error.into()),
    };
    let keyword = "authorizedkeysfile";
    let for_all = told.lines().filter_map(|line| line.split_once(' ')).filter(|(word, _)| *word == keyword);
    let mut values: Vec<String> = for_all.map(|(_, value)| value.to_owned()).collect();
    let for_some = ssh_exceptions(host).into_iter().filter(|one| one.keyword == keyword);
    values.extend(for_some.map(|one| one.value));
    Ok(values.iter().flat_map(|value| key_patterns(value)).map(str::to_owned).collect())
}

/// The lines of an authorized_keys file (sshd(8)) that are no comments and not in a block of ours.
fn foreign_lines(text: &str) -> Vec<String> {
    let mut ours = false;
    let mut lines = Vec::new();
    for line in text.lines().map(str::trim) {
        ours |= line.starts_with("# BEGIN vps-configurator:");
        if !ours && !line.is_empty() && !line.starts_with('#') {
            lines.push(line.to_owned());
        }
        ours &= !line.starts_with("# END vps-configurator:");
    }
    lines
}

/// A key with its middle left out: its type and options, its last characters, and the remark behind it.
fn shown(line: &str) -> String {
    let short = |word: &str| {
        let tail: String = word.chars().rev().take(12).collect::<Vec<_>>().into_iter().rev().collect();
        if word.len() > 60 && word.starts_with("AAAA") { format!("...{tail}") } else { word.to_owned() }
    };
    line.split_whitespace().map(short).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::RealHost;
    use std::fs;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB0123456789012345678901234567890123456789abc";

    fn host() -> (tempfile::TempDir, RealHost) {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in [
            (
                "etc/passwd",
                "root:x:0:0::/root:/bin/bash\ndaemon:x:1:1::/:/usr/sbin/nologin\n\
                 toor:x:0:0::/:/usr/sbin/nologin\nada:x:1000:1000::/home/ada:/bin/bash\n",
            ),
            ("etc/group", "root:x:0:\nsudo:x:27:ada\nada:x:1000:\n"),
            (
                "home/ada/.ssh/authorized_keys",
                &format!(
                    "# mine\n# BEGIN vps-configurator: keys\n{KEY} ours\n# END vps-configurator: keys\n\n{KEY} evil@x\n"
                ),
            ),
        ] {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let host = RealHost::new(dir.path().into());
        (dir, host)
    }

    #[test]
    fn accounts_with_a_shell_or_the_number_of_root_members_and_foreign_keys_are_seen() {
        let (_dir, host) = host();
        assert_eq!(logins(&host).unwrap().keys().collect::<Vec<_>>(), ["ada", "root", "toor"]);
        let members = members(&host, &["root".into(), "sudo".into(), "none".into()]).unwrap();
        assert_eq!(members.keys().collect::<Vec<_>>(), ["root/root", "root/toor", "sudo/ada"]);
        let keys = keys(&host, &[".ssh/authorized_keys".into()]).unwrap();
        let texts: Vec<&str> = keys.values().map(|item| item.text.as_str()).collect();
        assert_eq!(texts, ["ada lets in ssh-ed25519 ...123456789abc evil@x"]);
    }

    #[test]
    fn keys_are_seen_wherever_sshd_looks_for_them_be_it_for_some_only() {
        let (dir, host) = host();
        let put = |path: &str, text: String| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            path
        };
        let sshd =
            put("usr/sbin/sshd", "#!/bin/sh\necho authorizedkeysfile .ssh/authorized_keys /etc/keys/%u\n".into());
        fs::set_permissions(sshd, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        put("etc/ssh/sshd_config", "Match User toor\n  AuthorizedKeysFile \"/srv/%U.keys\"\n".into());
        put("etc/keys/ada", format!("{KEY} elsewhere\n"));
        put("srv/0.keys", format!("{KEY} matched\n"));
        let keys = keys(&host, &[".ssh/authorized_keys".into()]).unwrap();
        let mut texts: Vec<&str> = keys.values().map(|item| item.text.rsplit_once(' ').unwrap().1).collect();
        texts.sort_unstable();
        assert_eq!(texts, ["elsewhere", "evil@x", "matched", "matched"], "of both who have the number 0");
    }
}
