//! Who could come in and become root: the accounts that are there, and what modules make of them.

use crate::host::{Command, Host};
use crate::resources::Spec;

/// The group whose members may become root.
const ADMINS: &str = "sudo";

/// An account that a person may come in with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Person {
    /// The login name.
    pub name: String,
    /// Whether it has a key that gives a shell.
    pub key: bool,
    /// Whether it has a password that is asked for: one is set and not locked.
    pub password: bool,
    /// What sudo is known to let it do; of those who are in no group, sudo itself is asked.
    pub sudo: Sudo,
}

/// What sudo lets somebody do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sudo {
    /// Not everything.
    #[default]
    Nothing,
    /// Become root, with the own password.
    WithPassword,
    /// Become root without one.
    Freely,
}

impl Sudo {
    /// Asks sudo, which knows all its files. Where it can't be asked it stands in nobody's way.
    pub fn ask(host: &dyn Host, name: &str) -> Self {
        let list =
            |more: &[&str]| host.look(&Command::new("sudo").args(["-n", "-U", name, "-l"]).args(more.iter().copied()));
        if !host.has_program("sudo") || list(&["/bin/sh"]).is_err() {
            return Sudo::Nothing;
        }
        match list(&[]) {
            Ok(output) if !asks_nothing(&output.text()) => Sudo::WithPassword,
            _ => Sudo::Freely,
        }
    }
}

/// Whether a rule of sudoers(5), or what sudo lists, lets somebody do something without a password.
fn asks_nothing(text: &str) -> bool {
    text.contains("NOPASSWD") || text.contains("!authenticate")
}

/// How people could log in once the SSH server is as asked.
#[derive(Debug, Clone, Copy, Default)]
pub struct Doors {
    /// With a password.
    pub password: bool,
    /// As root, in whatever way.
    pub root: bool,
    /// As root with a password.
    pub root_password: bool,
    /// With a key that nobody can look into: of a program, or a certificate.
    pub other: bool,
}

impl Doors {
    /// Whether a person could come in.
    pub fn let_in(&self, person: &Person) -> bool {
        let by_key = person.key || self.other;
        match person.name.as_str() {
            "root" => self.root && (by_key || self.password && self.root_password && person.password),
            _ => by_key || self.password && person.password,
        }
    }
}

/// The people as they will be: `people` with the keys, groups and rules of sudo that modules give them, the accounts
/// that modules make, and without those that modules lock.
pub fn after(people: &[Person], specs: &[Spec]) -> Vec<Person> {
    let mut all = people.to_vec();
    for spec in specs.iter().filter(|spec| spec.kind == "user" && !all_named(people, &spec.name)) {
        all.push(Person { name: spec.name.clone(), ..Person::default() });
    }
    let is_locked =
        |person: &Person| specs.iter().any(|spec| spec.kind == "user" && spec.name == person.name && spec.is("locked"));
    all.retain(|person| !is_locked(person));
    for person in &mut all {
        for spec in specs {
            match spec.kind {
                "authorized_key" if spec.name == person.name => {
                    person.key |= spec.list("keys").iter().any(|key| super::access::gives_shell(key));
                }
                "member" if spec.name == format!("{}/{ADMINS}", person.name) => {
                    person.sudo = person.sudo.max(Sudo::WithPassword);
                }
                "file" if spec.name.starts_with("/etc/sudoers.d/") => {
                    person.sudo = person.sudo.max(granted(spec.text("content").unwrap_or_default(), &person.name));
                }
                _ => {}
            }
        }
    }
    all
}

fn all_named(people: &[Person], name: &str) -> bool {
    people.iter().any(|person| person.name == name)
}

/// What the rules of a file of sudo, written for this name, let it do.
fn granted(content: &str, name: &str) -> Sudo {
    let is_whole = |line: &&str| line.split_whitespace().next() == Some(name) && line.trim_end().ends_with("ALL");
    let rules = content.lines().filter(is_whole);
    rules.map(|line| if asks_nothing(line) { Sudo::Freely } else { Sudo::WithPassword }).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_modules_give_an_account_itself_counts_for_it() {
        let mia = Person { name: "mia".into(), ..Person::default() };
        let of = |specs: &[Spec]| after(std::slice::from_ref(&mia), specs).remove(0);
        let key = |name: &str, key: &str| Spec::sample("authorized_key", name, json!({"keys": [key]}));
        assert!(of(&[key("mia", "ssh-ed25519 AAAA mia")]).key);
        assert!(!of(&[key("ada", "ssh-ed25519 AAAA ada")]).key);
        assert!(!of(&[key("mia", "command=\"backup\" ssh-ed25519 AAAA")]).key);
        let member = |name: &str| Spec::sample("member", name, json!({}));
        assert_eq!(of(&[member("mia/sudo")]).sudo, Sudo::WithPassword);
        assert_eq!(of(&[member("mia/docker"), member("ada/sudo")]).sudo, Sudo::Nothing);
        let rule = |content: &str| of(&[Spec::sample("file", "/etc/sudoers.d/x", json!({"content": content}))]).sudo;
        assert_eq!(rule("# x\nmia ALL=(ALL:ALL) NOPASSWD: ALL\n"), Sudo::Freely);
        assert_eq!(rule("mia ALL=(ALL) ALL\n"), Sudo::WithPassword);
        assert_eq!(rule("ada ALL=(ALL) NOPASSWD: ALL\nmia ALL=(ALL) NOPASSWD: /bin/ls\n"), Sudo::Nothing);
        let user = |name: &str, locked: bool| Spec::sample("user", name, json!({"locked": locked}));
        assert_eq!(after(&[], &[user("new", false), user("old", true)]).len(), 1);
        assert!(after(std::slice::from_ref(&mia), &[user("mia", true)]).is_empty(), "she is locked out on purpose");
        assert_eq!(after(std::slice::from_ref(&mia), &[user("mia", false)]), [mia]);
    }

    #[test]
    fn a_person_comes_in_by_a_door_that_is_open_with_what_it_takes() {
        let person = |name: &str, key, password| Person { name: name.into(), key, password, ..Person::default() };
        let keys = Doors { root: true, ..Doors::default() };
        assert!(keys.let_in(&person("mia", true, false)) && !keys.let_in(&person("mia", false, true)));
        let passwords = Doors { password: true, ..keys };
        assert!(passwords.let_in(&person("mia", false, true)) && !passwords.let_in(&person("mia", false, false)));
        assert!(!passwords.let_in(&person("root", false, true)) && passwords.let_in(&person("root", true, false)));
        assert!(Doors { root_password: true, ..passwords }.let_in(&person("root", false, true)));
        assert!(!Doors { root: false, ..passwords }.let_in(&person("root", true, true)));
        assert!(Doors { other: true, ..Doors::default() }.let_in(&person("mia", false, false)));
    }
}
