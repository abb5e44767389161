//! Who exists on the host: passwd(5) and group(5), read as text. Changes go through `useradd` and its kin.

use super::{Host, Result, read_text};
use crate::base::paths;
use std::path::{Path, PathBuf};

/// A line of `/etc/passwd`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The login name.
    pub name: String,
    /// The user's number.
    pub uid: u32,
    /// The number of the primary group.
    pub gid: u32,
    /// The comment field: full name first, then whatever comes after commas.
    pub comment: String,
    /// The home directory.
    pub home: String,
    /// The login shell; empty means `/bin/sh`.
    pub shell: String,
}

impl User {
    /// Whether the shell lets a person in.
    pub fn has_login_shell(&self) -> bool {
        let name = self.shell.rsplit('/').next().unwrap_or_default();
        !matches!(name, "nologin" | "false" | "sync" | "true")
    }

    /// The file of keys that a pattern of sshd_config(5), AuthorizedKeysFile, means for this user.
    pub fn key_file(&self, pattern: &str) -> PathBuf {
        let file = pattern.replace("%%", "\0").replace("%h", &self.home).replace("%u", &self.name);
        let file = file.replace("%U", &self.uid.to_string()).replace('\0', "%");
        // An absolute path replaces the home before it.
        Path::new(&self.home).join(file)
    }

    /// Whether this is a person: a number of 1000 to 59999 (Debian policy 9.2.2) and a shell.
    pub fn is_person(&self) -> bool {
        (1000..=59999).contains(&self.uid) && self.has_login_shell()
    }
}

/// The patterns in a value of AuthorizedKeysFile.
pub fn key_patterns(value: &str) -> impl Iterator<Item = &str> {
    value.split_whitespace().map(|pattern| pattern.trim_matches('"')).filter(|pattern| *pattern != "none")
}

/// A line of `/etc/group`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Its number.
    pub gid: u32,
    /// Those who have it as a supplementary group.
    pub members: Vec<String>,
}

/// The users and groups of the host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accounts {
    users: Vec<User>,
    groups: Vec<Group>,
}

impl Accounts {
    /// Reads passwd and group; a missing file is an empty one.
    pub fn read(host: &dyn Host) -> Result<Self> {
        Ok(Accounts {
            users: parse_passwd(&read_text(host, paths::PASSWD)?),
            groups: parse_group(&read_text(host, paths::GROUP)?),
        })
    }

    /// The accounts of these two texts.
    pub fn parse(passwd: &str, group: &str) -> Self {
        Accounts { users: parse_passwd(passwd), groups: parse_group(group) }
    }

    /// All users, in the order of the file.
    pub fn users(&self) -> &[User] {
        &self.users
    }

    /// All groups, in the order of the file.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// The user of this name.
    pub fn user(&self, name: &str) -> Option<&User> {
        self.users.iter().find(|user| user.name == name)
    }

    /// The first user of this number.
    pub fn user_of(&self, uid: u32) -> Option<&User> {
        self.users.iter().find(|user| user.uid == uid)
    }

    /// The group of this name.
    pub fn group(&self, name: &str) -> Option<&Group> {
        self.groups.iter().find(|group| group.name == name)
    }

    /// The first group of this number.
    pub fn group_of(&self, gid: u32) -> Option<&Group> {
        self.groups.iter().find(|group| group.gid == gid)
    }

    /// Everyone in the group `name`: its members, and those whose primary group it is. Sorted.
    pub fn members(&self, name: &str) -> Vec<&str> {
        let Some(group) = self.group(name) else {
            return Vec::new();
        };
        let mut names: Vec<&str> = group.members.iter().map(String::as_str).collect();
        names.extend(self.users.iter().filter(|user| user.gid == group.gid).map(|user| user.name.as_str()));
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The people on the host.
    pub fn people(&self) -> impl Iterator<Item = &User> {
        self.users.iter().filter(|user| user.is_person())
    }
}

fn names(list: &str) -> Vec<String> {
    list.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn parse_passwd(text: &str) -> Vec<User> {
    let line = |line: &str| {
        let fields: Vec<&str> = line.split(':').collect();
        let &[name, _, uid, gid, comment, home, shell] = fields.as_slice() else {
            return None;
        };
        Some(User {
            name: name.to_owned(),
            uid: uid.parse().ok()?,
            gid: gid.parse().ok()?,
            comment: comment.to_owned(),
            home: home.to_owned(),
            shell: shell.to_owned(),
        })
    };
    text.lines().filter_map(line).collect()
}

fn parse_group(text: &str) -> Vec<Group> {
    let line = |line: &str| {
        let fields: Vec<&str> = line.split(':').collect();
        let &[name, _, gid, members] = fields.as_slice() else {
            return None;
        };
        Some(Group { name: name.to_owned(), gid: gid.parse().ok()?, members: names(members) })
    };
    text.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1::/usr/sbin:/usr/sbin/nologin\n\
        mia:x:1000:1000:Mia Berg,,,:/home/mia:/bin/bash\nbot:x:1001:1001::/srv/bot:/usr/sbin/nologin\n\
        nobody:x:65534:65534:nobody:/nonexistent:/bin/sh\nbroken line\nhalf:x:no:1:::\n";
    const GROUP: &str = "root:x:0:\nsudo:x:27:mia,ole\nmia:x:1000:\nadm:x:4:mia\n";

    #[test]
    fn people_are_those_with_a_number_and_a_shell() {
        let accounts = Accounts::parse(PASSWD, GROUP);
        assert_eq!(accounts.people().map(|user| user.name.as_str()).collect::<Vec<_>>(), ["mia"]);
        assert_eq!(accounts.user("mia").unwrap().comment, "Mia Berg,,,");
        assert_eq!(accounts.user_of(1).unwrap().name, "daemon");
        assert_eq!(accounts.users().len(), 5);
        assert!(accounts.user("half").is_none());
    }

    #[test]
    fn members_are_listed_and_primary_ones_too() {
        let accounts = Accounts::parse(PASSWD, GROUP);
        assert_eq!(accounts.members("sudo"), ["mia", "ole"]);
        assert_eq!(accounts.members("mia"), ["mia"]);
        assert_eq!(accounts.group_of(4).unwrap().name, "adm");
        assert!(accounts.members("none").is_empty());
    }

    #[test]
    fn a_host_without_the_files_has_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let host = crate::host::RealHost::new(dir.path().into());
        assert_eq!(Accounts::read(&host).unwrap(), Accounts::default());
    }
}
