//! Who could still log in: an SSH server that would let nobody in is refused before anything is changed. What can't be
//! told beforehand is tried afterwards (`knock`), and what nobody can try but a person must be confirmed.

mod access;
pub mod dropped;
mod people;
mod wanted;

use super::exit::Exit;
use super::explain::Problem;
use super::session::Session;
use crate::base::pattern::is_like;
use crate::host::login::Login;
use crate::modules::facts::Facts;
use crate::resources::Spec;
use access::{Access, Gone, shuts_root};
use people::{Doors, Person, Sudo};
use std::net::IpAddr;
use wanted::Lines;

/// Refuses what would shut out everybody who can log in now. Looks at the host only when something is asked of the SSH
/// server.
pub fn check(session: &Session<'_>, specs: &[Spec], facts: &Facts) -> Result<(), Problem> {
    let asked = Lines::asked(specs);
    if !is_possible(&asked) {
        return Ok(());
    }
    let Some(access) = Access::see(session, &facts.users, &facts.admins, &Gone::default())? else { return Ok(()) };
    let after = Lines::after(session.host, specs)?;
    refuse_people(&asked, &access, &people::after(&access.people, specs), &|name| Sudo::ask(session.host, name))?;
    refuse_lists(&asked, &after, &access)?;
    refuse_doors(&after, &access, &session.logins())
}

/// Whether anything is asked for that could shut somebody out.
fn is_possible(asked: &Lines) -> bool {
    let lists = ["allowusers", "allowgroups", "denyusers", "denygroups", "port", "listenaddress"];
    let is_off = asked.has("passwordauthentication", "no") || asked.all("permitrootlogin").any(|word| word != "yes");
    is_off || lists.iter().any(|keyword| asked.all(keyword).next().is_some())
}

fn problem(why: impl Into<String>) -> Problem {
    Problem::new(Exit::Failed, "ssh-locks-out", "this would lock you out", why)
}

/// A way to log in that is turned off while no other is left: somebody must be able to come in and become root.
/// `people`: as the modules leave them. `ask`: what sudo lets somebody do, asked only where that counts.
fn refuse_people(asked: &Lines, access: &Access, people: &[Person], ask: &dyn Fn(&str) -> Sudo) -> Result<(), Problem> {
    let no_root = asked.all("permitrootlogin").any(shuts_root);
    let only_key =
        asked.has("permitrootlogin", "prohibit-password") || asked.has("permitrootlogin", "without-password");
    let no_password = asked.has("passwordauthentication", "no") && !asked.has("kbdinteractiveauthentication", "yes");
    let (what, fix) = if no_password && access.password {
        (
            "logins with a password are to be turned off, and no account that may become root has an SSH key",
            [
                "from your own computer: ssh-copy-id USER@HOST, then run this again",
                "or leave passwords on: modules.security.ssh.password_login true",
            ],
        )
    } else if no_root && access.root {
        (
            "logins as root are to be turned off, and no other account can come in and use sudo",
            [
                "make an account: adduser NAME && adduser NAME sudo, then run this again",
                "or leave it to this program: modules.security.ssh.root_login auto",
            ],
        )
    } else if only_key && access.root_password {
        (
            "root may log in with a key only, has none, and no other account can come in and use sudo",
            [
                "from your own computer: ssh-copy-id root@HOST, then run this again",
                "or leave root's logins as they are: modules.security.ssh.root_login yes",
            ],
        )
    } else {
        return Ok(());
    };
    let doors = Doors {
        password: !no_password && (access.password || asked.has("passwordauthentication", "yes")),
        root: !no_root && (access.root || asked.all("permitrootlogin").next().is_some()),
        root_password: !only_key && (access.root_password || asked.has("permitrootlogin", "yes")),
        other: access.other,
    };
    let Err(others) = let_somebody_in(&doors, people, ask) else { return Ok(()) };
    let why: Vec<String> = std::iter::once(what.to_owned()).chain(others).collect();
    Err(problem(why.join("\n")).fix(fix[0]).fix(fix[1]))
}

/// Whether somebody could come in and become root; where nobody could, what those lack who nearly could.
fn let_somebody_in(doors: &Doors, people: &[Person], ask: &dyn Fn(&str) -> Sudo) -> Result<(), Vec<String>> {
    // An administrator who knows root's password becomes root by su(1), too.
    let by_su = people.iter().any(|person| person.name == "root" && person.password);
    let mut why = Vec::new();
    for person in people {
        let (name, is_root) = (&person.name, person.name == "root");
        let is_in = doors.let_in(person);
        if !is_in && (is_root || person.sudo == Sudo::Nothing) {
            continue;
        }
        if !is_in {
            why.push(format!("{name} may use sudo, and would have no way in"));
            continue;
        }
        let sudo = match person.sudo {
            _ if is_root => Sudo::Freely,
            Sudo::WithPassword if person.password => Sudo::WithPassword,
            known => known.max(ask(name)),
        };
        match sudo {
            Sudo::Nothing => {}
            Sudo::WithPassword if !person.password && !by_su => {
                why.push(format!("{name} comes in with a key, and has no password for sudo"));
            }
            _ => return Ok(()),
        }
    }
    Err(why)
}

/// Lists of users and groups that would leave out somebody who is logged in. Only what is certain is refused: patterns
/// with a host or an exclamation mark are not judged.
fn refuse_lists(asked: &Lines, after: &Lines, access: &Access) -> Result<(), Problem> {
    for (user, groups) in &access.present {
        let user = std::slice::from_ref(user);
        let lists = [("denyusers", user), ("denygroups", groups), ("allowusers", user), ("allowgroups", groups)];
        for (keyword, names) in lists {
            if asked.all(keyword).next().is_none() {
                continue;
            }
            let patterns: Vec<&str> = after.all(keyword).flat_map(str::split_whitespace).collect();
            if patterns.iter().any(|pattern| pattern.contains(['@', '!'])) {
                continue;
            }
            let is_listed = names.iter().any(|name| patterns.iter().any(|pattern| is_like(pattern, name)));
            if is_listed == keyword.starts_with("deny") {
                return Err(problem(format!("{} is logged in, and {keyword} would shut {} out", user[0], user[0]))
                    .fix(format!("correct {keyword} in the module that sets it: {}", patterns.join(" "))));
            }
        }
    }
    Ok(())
}

/// The port and the address that somebody came in by, and at which sshd would no longer listen.
fn refuse_doors(after: &Lines, access: &Access, logins: &[Login]) -> Result<(), Problem> {
    let numbers: Vec<u16> = after.all("port").filter_map(|port| port.parse().ok()).collect();
    let ports = if numbers.is_empty() { vec![22] } else { numbers };
    let listens: Vec<&str> = after.all("listenaddress").collect();
    for (address, port) in logins.iter().filter_map(|login| login.to.as_ref()) {
        // Who came in another way than through this sshd is not its business.
        if !access.ports.contains(port) {
            continue;
        }
        let here =
            format!("somebody is logged in through port {port} of {address}, and sshd would no longer listen there");
        let stays = |listen: &&str| listens_at(listen, address, *port, &ports).unwrap_or(true);
        if !listens.is_empty() && !listens.iter().any(stays) || listens.is_empty() && !ports.contains(port) {
            return Err(problem(here)
                .fix(format!("let it listen at both for now: Port {port} beside the new one"))
                .fix("then log in through the new one, confirm, and take the old one away from there"));
        }
    }
    Ok(())
}

/// Whether a ListenAddress takes in what comes to this address and port; `None` when it is written with a name.
fn listens_at(listen: &str, address: &str, port: u16, ports: &[u16]) -> Option<bool> {
    let listen = listen.split_whitespace().next()?;
    let (host, own) = match (listen.strip_prefix('['), listen.matches(':').count()) {
        (Some(rest), _) => {
            let (host, rest) = rest.split_once(']')?;
            (host, rest.strip_prefix(':'))
        }
        (None, 1) => listen.split_once(':').map(|(host, port)| (host, Some(port)))?,
        _ => (listen, None),
    };
    let host: IpAddr = host.parse().ok()?;
    let at_port = own.map_or(ports.contains(&port), |own| own.parse() == Ok(port));
    let came: IpAddr = address.split('%').next()?.parse().ok()?;
    let at_address = host == came || host.is_unspecified() && host.is_ipv4() == came.is_ipv4();
    Some(at_port && at_address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::RealHost;
    use serde_json::json;

    fn spec(kind: &'static str, name: &str, content: &str) -> Spec {
        Spec::sample(kind, name, json!({"content": content}))
    }

    fn sshd(content: &str) -> Vec<Spec> {
        vec![spec("file", "/etc/ssh/sshd_config.d/00-vps-configurator.conf", content)]
    }

    fn refused(content: &str, access: &Access, more: Vec<Spec>) -> Result<(), String> {
        let specs: Vec<Spec> = sshd(content).into_iter().chain(more).collect();
        let ask = |name: &str| if name == "cloud" { Sudo::Freely } else { Sudo::Nothing };
        refuse_people(&Lines::asked(&specs), access, &people::after(&access.people, &specs), &ask)
            .map_err(|problem| format!("{} {}", problem.code, problem.why.join("; ")))
    }

    fn person(name: &str, key: bool, password: bool, sudo: Sudo) -> Person {
        Person { name: name.into(), key, password, sudo }
    }

    fn access(sshd: &str, people: &[Person]) -> Access {
        Access { people: people.to_vec(), ..Access::read(sshd) }
    }

    const BOTH: &str = "passwordauthentication yes\npermitrootlogin yes\n";

    #[test]
    fn turning_passwords_off_needs_a_key_of_somebody_who_may_come_in_and_become_root() {
        let (off, all) = ("PasswordAuthentication no\n", "PasswordAuthentication no\nPermitRootLogin no\n");
        let ada = |key| person("ada", key, true, Sudo::WithPassword);
        let (bob, root) = (person("bob", true, true, Sudo::Nothing), person("root", true, false, Sudo::Nothing));
        assert!(refused(off, &access(BOTH, &[ada(false)]), vec![]).unwrap_err().starts_with("ssh-locks-out"));
        assert!(refused(off, &access(BOTH, &[ada(false), bob.clone()]), vec![]).is_err(), "bob may not become root");
        refused(off, &access(BOTH, &[ada(false), root.clone()]), vec![]).unwrap();
        assert!(refused(all, &access(BOTH, &[ada(false), root.clone()]), vec![]).is_err());
        refused(all, &access(BOTH, &[ada(true), root]), vec![]).unwrap();
        let keyboard = "PasswordAuthentication no\nKbdInteractiveAuthentication yes\n";
        refused(keyboard, &access("", &[ada(false)]), vec![]).unwrap();
        refused(off, &access("passwordauthentication no\n", &[]), vec![]).unwrap();
        refused(off, &access("trustedusercakeys /etc/ssh/ca.pub\n", &[ada(false)]), vec![]).unwrap();
        // A key counts for the account that it is for, and no other.
        let key = |name: &str| Spec::sample("authorized_key", name, json!({"keys": ["ssh-ed25519 AAAA x"]}));
        assert!(refused(off, &access(BOTH, &[ada(false), bob.clone()]), vec![key("bob")]).is_err());
        refused(off, &access(BOTH, &[ada(false), bob]), vec![key("ada")]).unwrap();
    }

    #[test]
    fn turning_root_off_needs_another_administrator_who_can_come_in() {
        assert!(refused("PermitRootLogin no\n", &access("", &[]), vec![]).is_err());
        refused("PermitRootLogin prohibit-password\n", &access("", &[]), vec![]).unwrap();
        let by_password = person("root", false, true, Sudo::Nothing);
        let only_key = |more: &[Person]| {
            let people = [std::slice::from_ref(&by_password), more].concat();
            refused("PermitRootLogin prohibit-password\n", &access(BOTH, &people), vec![])
        };
        assert!(only_key(&[]).is_err());
        // In the group sudo, and with no way in: a password that is locked, no key.
        let why = only_key(&[person("deploy", false, false, Sudo::WithPassword)]).unwrap_err();
        assert!(why.contains("deploy may use sudo, and would have no way in"), "{why}");
        only_key(&[person("deploy", false, true, Sudo::WithPassword)]).unwrap();
        only_key(&[person("deploy", true, false, Sudo::WithPassword)]).unwrap();
        refused(
            "PermitRootLogin prohibit-password\n",
            &access(BOTH, &[person("root", true, true, Sudo::Nothing)]),
            vec![],
        )
        .unwrap();
    }

    #[test]
    fn an_administrator_with_a_key_only_must_not_be_asked_for_a_password() {
        let root_off =
            |people: &[Person], more: Vec<Spec>| refused("PermitRootLogin no\n", &access(BOTH, people), more);
        let ada = person("ada", true, false, Sudo::WithPassword);
        let why = root_off(std::slice::from_ref(&ada), vec![]).unwrap_err();
        assert!(why.contains("ada comes in with a key, and has no password for sudo"), "{why}");
        root_off(&[person("cloud", true, false, Sudo::Nothing)], vec![]).unwrap();
        root_off(&[ada, person("root", false, true, Sudo::Nothing)], vec![]).unwrap();
        let of_rbac = |rule: &str| {
            vec![
                Spec::sample("user", "mia", json!({})),
                Spec::sample("authorized_key", "mia", json!({"keys": ["ssh-ed25519 AAAA x"]})),
                Spec::sample(
                    "file",
                    "/etc/sudoers.d/50-mia",
                    json!({"content": format!("mia ALL=(ALL:ALL) {rule}\n")}),
                ),
            ]
        };
        root_off(&[], of_rbac("NOPASSWD: ALL")).unwrap();
        assert!(root_off(&[], of_rbac("ALL")).is_err(), "she has no password that sudo would take");
        assert!(root_off(&[], vec![Spec::sample("user", "mia", json!({}))]).is_err());
    }

    #[test]
    fn a_list_that_leaves_out_who_is_logged_in_is_refused() {
        let present = vec![("mia".to_owned(), vec!["mia".to_owned(), "sudo".to_owned()])];
        let access = Access { present, ..Access::default() };
        let lists = |content: &str| {
            let lines = Lines::asked(&sshd(content));
            refuse_lists(&lines, &lines, &access)
        };
        for bad in ["AllowUsers ada\n", "AllowGroups wheel admin?\n", "DenyUsers m*\n", "DenyGroups sudo\n"] {
            assert_eq!(lists(bad).unwrap_err().code, "ssh-locks-out", "{bad}");
        }
        for good in
            ["AllowUsers ada\nAllowUsers mia\n", "AllowGroups s?do\n", "DenyUsers root\n", "AllowUsers ada@10.*\n"]
        {
            lists(good).unwrap_or_else(|e| panic!("{good}: {e:?}"));
        }
        // Who is not there is not judged: nobody knows who shall come in.
        let nobody = Lines::asked(&sshd("AllowUsers ada\n"));
        refuse_lists(&nobody, &nobody, &Access::default()).unwrap();
    }

    #[test]
    fn the_door_that_somebody_came_in_by_stays() {
        let dir = tempfile::tempdir().unwrap();
        let host = RealHost::new(dir.path().into());
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("etc/ssh/sshd_config", "Include /etc/ssh/sshd_config.d/*.conf\nUsePAM yes\n");
        let mut login = Login { is_remote: true, to: Some(("198.51.100.1".into(), 22)), ..Login::default() };
        let access = Access { ports: vec![22], ..Access::default() };
        let doors = |content: &str, login: &Login| {
            let after = Lines::after(&host, &sshd(content)).unwrap();
            refuse_doors(&after, &access, std::slice::from_ref(login)).map_err(|problem| problem.code)
        };
        let refused = Err("ssh-locks-out".to_owned());
        assert_eq!(doors("Port 2222\n", &login), refused);
        assert_eq!(doors("Port 2222\nPort 22\n", &login), Ok(()));
        assert_eq!(doors("X11Forwarding no\n", &login), Ok(()));
        assert_eq!(doors("ListenAddress 10.0.0.1\n", &login), refused);
        assert_eq!(doors("ListenAddress 198.51.100.1:2222\n", &login), refused);
        assert_eq!(doors("ListenAddress 0.0.0.0\nListenAddress [::]:22\n", &login), Ok(()));
        assert_eq!(doors("ListenAddress vps.example.org\n", &login), Ok(()));
        write("etc/ssh/sshd_config.d/90.conf", "Port 22\n");
        assert_eq!(doors("Port 2222\n", &login), Ok(()), "the other file still names it");
        login.to = Some(("198.51.100.1".into(), 2022));
        assert_eq!(doors("Port 2222\n", &login), Ok(()), "not the door of this sshd");
    }
}
