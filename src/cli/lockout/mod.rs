//! Who could still log in: an SSH server that would let nobody in is refused before anything is changed. What can't be
//! told beforehand is tried afterwards (`knock`), and what nobody can try but a person must be confirmed.

mod access;
mod wanted;

use super::exit::Exit;
use super::explain::Problem;
use super::session::Session;
use crate::base::pattern::is_like;
use crate::host::login::Login;
use crate::modules::facts::Facts;
use crate::resources::Spec;
use access::Access;
use std::net::IpAddr;
use wanted::Lines;

/// Refuses what would shut out everybody who can log in now. Looks at the host only when something is asked of the SSH
/// server.
pub fn check(session: &Session<'_>, specs: &[Spec], facts: &Facts) -> Result<(), Problem> {
    let asked = Lines::asked(specs);
    if !is_possible(&asked) {
        return Ok(());
    }
    let Some(access) = Access::see(session, &facts.users, &facts.admins)? else { return Ok(()) };
    let after = Lines::after(session.host, specs)?;
    refuse_people(specs, &asked, &access)?;
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

/// Ways to log in that are turned off while somebody has no other.
fn refuse_people(specs: &[Spec], asked: &Lines, access: &Access) -> Result<(), Problem> {
    let brings = |kind: &str| specs.iter().any(|spec| spec.kind == kind);
    let no_root = asked.has("permitrootlogin", "no");
    // By key, and then as root or by sudo.
    let is_way = |name: &String| if name == "root" { !no_root && access.root } else { access.admins.contains(name) };
    let can_by_key = access.keys.iter().any(is_way);
    let no_password = asked.has("passwordauthentication", "no") && !asked.has("kbdinteractiveauthentication", "yes");
    if no_password && access.password && !access.other && !can_by_key && !brings("authorized_key") {
        return Err(problem(
            "logins with a password are to be turned off, and no account that may become root has an SSH key",
        )
        .fix("from your own computer: ssh-copy-id USER@HOST, then run this again")
        .fix("or leave passwords on: modules.security.ssh.password_login true"));
    }
    let no_admin = access.admins.is_empty() && !brings("member");
    if no_root && access.root && no_admin && !brings("user") {
        return Err(problem("logins as root are to be turned off, and no other account may use sudo")
            .fix("make an account: adduser NAME && adduser NAME sudo, then run this again")
            .fix("or leave it to this program: modules.security.ssh.root_login auto"));
    }
    let only_key =
        asked.has("permitrootlogin", "prohibit-password") || asked.has("permitrootlogin", "without-password");
    let root_has_key = access.other || access.keys.iter().any(|name| name == "root") || brings("authorized_key");
    if only_key && access.root_password && !root_has_key && no_admin {
        return Err(problem("root may log in with a key only, has none, and no other account may use sudo")
            .fix("from your own computer: ssh-copy-id root@HOST, then run this again")
            .fix("or leave it to this program: modules.security.ssh.root_login auto"));
    }
    Ok(())
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

    fn people(content: &str, access: &Access) -> Result<(), Problem> {
        let specs = sshd(content);
        refuse_people(&specs, &Lines::asked(&specs), access)
    }

    #[test]
    fn turning_passwords_off_needs_a_key_of_somebody_who_may_come_in_and_become_root() {
        let off = "PasswordAuthentication no\n";
        let mut access = Access::read("passwordauthentication yes\npermitrootlogin yes\n");
        access.admins = vec!["ada".into()];
        assert_eq!(people(off, &access).unwrap_err().code, "ssh-locks-out");
        access.keys = vec!["bob".into()];
        assert!(people(off, &access).is_err(), "bob may not become root");
        access.keys.push("root".into());
        people(off, &access).unwrap();
        let both = "PasswordAuthentication no\nPermitRootLogin no\n";
        assert!(people(both, &access).is_err());
        access.keys.push("ada".into());
        people(both, &access).unwrap();
        people("PasswordAuthentication no\nKbdInteractiveAuthentication yes\n", &Access::read("")).unwrap();
        people(off, &Access::read("passwordauthentication no\n")).unwrap();
        people(off, &Access::read("trustedusercakeys /etc/ssh/ca.pub\n")).unwrap();
    }

    #[test]
    fn turning_root_off_needs_another_administrator() {
        let mut access = Access::read("");
        assert!(people("PermitRootLogin no\n", &access).is_err());
        people("PermitRootLogin prohibit-password\n", &access).unwrap();
        let mut by_password = Access::read("permitrootlogin yes\n");
        assert!(people("PermitRootLogin prohibit-password\n", &by_password).is_err());
        by_password.keys.push("root".into());
        people("PermitRootLogin prohibit-password\n", &by_password).unwrap();
        access.admins = vec!["ada".into()];
        people("PermitRootLogin no\n", &access).unwrap();
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
