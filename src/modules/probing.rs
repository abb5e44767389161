//! Making probes: looking whether what a module promised is in force. A finding is a result, never an error.

use super::probe::{Probe, ProbeTest};
use crate::base::paths;
use crate::host::accounts::Accounts;
use crate::host::sockets;
use crate::host::{Attributes, Command, Host, text_of};
use crate::resources::sysctl::proc_path;
use crate::resources::unit::survey::UnitSurvey;
use crate::resources::whole::{self, sshd::Setting};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What came of a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeResult {
    /// The module that it proves.
    pub module: String,
    /// What it proves, one sentence.
    pub name: String,
    /// How it came out.
    pub verdict: Verdict,
}

/// How a probe came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is so.
    Passed,
    /// It is so, but for some: for whom not.
    Partly(String),
    /// It isn't, and what was found.
    Failed(String),
    /// This kind of host has no such thing (a container without its own kernel settings).
    NotApplicable(String),
}

/// Makes probes; what several of them need is asked once.
#[derive(Debug)]
pub struct Prober<'a> {
    host: &'a dyn Host,
    units: &'a UnitSurvey,
    sshd: Option<Result<BTreeMap<String, String>, String>>,
    exceptions: Option<Vec<Setting>>,
    /// By user.
    states: BTreeMap<String, Option<String>>,
}

impl<'a> Prober<'a> {
    /// On this host, where `units` asks systemd.
    pub fn new(host: &'a dyn Host, units: &'a UnitSurvey) -> Self {
        Prober { host, units, sshd: None, exceptions: None, states: BTreeMap::new() }
    }

    /// Makes one.
    pub fn run(&mut self, probe: &Probe) -> ProbeResult {
        let verdict = self.test(probe);
        ProbeResult { module: probe.module.clone(), name: probe.name.clone(), verdict }
    }

    fn test(&mut self, probe: &Probe) -> Verdict {
        match &probe.test {
            ProbeTest::Command { run, contains, exit, user } => {
                let Some((program, args)) = run.split_first() else { return Verdict::Failed("no command".into()) };
                let mut command = Command::new(program).args(args.to_vec()).accept(&[*exit]);
                command.timeout = Duration::from_secs(probe.timeout);
                command.user.clone_from(user);
                if let Some(state) = self.state_of(user.as_deref().unwrap_or("root")) {
                    command = command.env("XDG_STATE_HOME", state).env("XDG_CACHE_HOME", state);
                    // What is asked as root says nothing of root's home, and Go, npm and others note things down there;
                    // Delve in the one that the list of users names.
                    if user.is_none() {
                        for name in ["HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"] {
                            command = command.env(name, state);
                        }
                    }
                }
                match self.host.look(&command) {
                    Err(error) => Verdict::Failed(error.to_string()),
                    Ok(output) => found(&output.text(), contains.as_deref(), &command.shown()),
                }
            }
            ProbeTest::Unit { unit, enabled } => match self.units.seen(self.host, unit) {
                Err(error) => Verdict::Failed(error.to_string()),
                Ok(facts) if !facts.is_active() => {
                    Verdict::Failed(format!("{unit} is {} ({})", facts.active, facts.load))
                }
                Ok(facts) => match enabled {
                    Some(wanted) if facts.is_enabled() != *wanted => {
                        Verdict::Failed(format!("{unit} is {}", facts.file))
                    }
                    _ => Verdict::Passed,
                },
            },
            ProbeTest::Port { port, address, protocol } => self.port(*port, address, protocol),
            ProbeTest::Http { url, status, contains } => {
                let wait = probe.timeout.to_string();
                let command = Command::new("curl")
                    .args(["-sS", "--max-time", &wait, "-w", "\n%{http_code}", url])
                    .timeout(Duration::from_secs(probe.timeout + 2));
                match self.host.look(&command) {
                    Err(error) => Verdict::Failed(error.to_string()),
                    Ok(output) => {
                        let text = output.text();
                        let (body, code) = text.rsplit_once('\n').unwrap_or(("", &text));
                        if code.trim() == status.to_string() {
                            found(body, contains.as_deref(), url)
                        } else {
                            Verdict::Failed(format!("{url} answered {}", code.trim()))
                        }
                    }
                }
            }
            ProbeTest::File { path, contains } => {
                let at = PathBuf::from(path);
                match self.host.meta(&at) {
                    Err(error) => Verdict::Failed(error.to_string()),
                    Ok(None) => Verdict::Failed(format!("{path} is not there")),
                    Ok(Some(_)) if contains.is_none() => Verdict::Passed,
                    Ok(Some(_)) => match self.host.read(&at) {
                        Err(error) => Verdict::Failed(error.to_string()),
                        Ok(bytes) => found(&text_of(&bytes), contains.as_deref(), path),
                    },
                }
            }
            ProbeTest::EffectiveSshd { keyword, value } => match self.sshd() {
                Err(why) => Verdict::Failed(why.clone()),
                Ok(settings) => match equal(settings.get(keyword).map(String::as_str), value, keyword) {
                    Verdict::Passed => {
                        let exceptions = self.exceptions.get_or_insert_with(|| whole::ssh_exceptions(self.host));
                        excepted(exceptions, keyword, value)
                    }
                    verdict => verdict,
                },
            },
            ProbeTest::EffectiveSysctl { key, value } => self.sysctl(key, value),
        }
    }

    /// A directory in which the programs of a user may note down what they did (XDG Base Directory Specification): a look
    /// must leave nothing in a home, and the unit that looks by the clock can't write there.
    fn state_of(&mut self, name: &str) -> Option<&str> {
        if !self.states.contains_key(name) {
            // A probe that has none says itself what it misses.
            let state = self.make_state(name).unwrap_or_default();
            self.states.insert(name.to_owned(), state);
        }
        self.states.get(name)?.as_deref()
    }

    fn make_state(&self, name: &str) -> crate::host::Result<Option<String>> {
        let accounts = Accounts::read(self.host)?;
        let Some(user) = accounts.user(name) else { return Ok(None) };
        let all = Path::new(paths::PROBE_STATE);
        let own = all.join(name);
        let private = Attributes { uid: user.uid, gid: user.gid, ..Attributes::root(0o700) };
        for (path, attributes) in [(all, Attributes::root(0o711)), (own.as_path(), private)] {
            match self.host.meta(path)? {
                None => self.host.make_directory(path, &attributes)?,
                // The number may be another user's by now.
                Some(meta) if meta.attributes != attributes => self.host.set_attributes(path, &attributes)?,
                Some(_) => {}
            }
        }
        Ok(Some(own.display().to_string()))
    }

    /// `sshd -T`: what holds where no `Match` says otherwise; every keyword in lower case.
    fn sshd(&mut self) -> &Result<BTreeMap<String, String>, String> {
        let host = self.host;
        self.sshd.get_or_insert_with(|| {
            let command = Command::new("sshd").arg("-T");
            let output = host.look(&command).map_err(|error| error.to_string())?;
            Ok(output
                .text()
                .lines()
                .filter_map(|line| line.split_once(' '))
                .map(|(keyword, value)| (keyword.to_lowercase(), value.trim().to_owned()))
                .collect())
        })
    }

    fn sysctl(&self, key: &str, value: &str) -> Verdict {
        let path = proc_path(key);
        match self.host.meta(&path) {
            Ok(None) => return Verdict::NotApplicable(format!("this kernel shows no {key} here")),
            Err(error) => return Verdict::Failed(error.to_string()),
            Ok(Some(_)) => {}
        }
        match self.host.read(&path) {
            Err(error) => Verdict::Failed(error.to_string()),
            Ok(bytes) => {
                let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
                equal(Some(&words(&text_of(&bytes))), &words(value), key)
            }
        }
    }

    fn port(&self, port: u16, address: &str, protocol: &str) -> Verdict {
        let reaches = |bound: &str| ["0.0.0.0", "::", address].contains(&bound) || bound == format!("::ffff:{address}");
        if sockets::is_there(self.host, protocol, |one| one.port == port && reaches(&one.address)) {
            return Verdict::Passed;
        }
        let there = sockets::listening(self.host).into_iter();
        let at: Vec<String> =
            there.filter(|one| one.port == port && one.protocol == protocol).map(|one| one.address).collect();
        if at.is_empty() {
            Verdict::Failed(format!("nothing listens on port {port}/{protocol}"))
        } else {
            Verdict::Failed(format!("port {port}/{protocol} is open on {} only", at.join(", ")))
        }
    }
}

fn found(text: &str, wanted: Option<&str>, what: &str) -> Verdict {
    match wanted {
        Some(wanted) if !text.contains(wanted) => {
            let start: String = text.trim().chars().take(120).collect();
            Verdict::Failed(format!("{what} does not show \"{wanted}\", but: {}", start.replace('\n', "; ")))
        }
        _ => Verdict::Passed,
    }
}

/// What holds for all holds for some only where a `Match` says otherwise.
fn excepted(exceptions: &[Setting], keyword: &str, wanted: &str) -> Verdict {
    // sshd_config(5) knows one of its words by two names.
    let plain =
        |word: &str| word.trim().trim_matches('"').to_lowercase().replace("prohibit-password", "without-password");
    let other = |one: &&Setting| one.keyword == keyword && plain(&one.value) != plain(wanted);
    let told = |one: &Setting| {
        let Setting { only, file, line, value, .. } = one;
        format!(
            "not for some logins: Match {} sets {keyword} {value} ({file} line {line})",
            only.as_deref().unwrap_or("all")
        )
    };
    let lines: Vec<String> = exceptions.iter().filter(other).map(told).collect();
    if lines.is_empty() { Verdict::Passed } else { Verdict::Partly(lines.join("; ")) }
}

fn equal(found: Option<&str>, wanted: &str, what: &str) -> Verdict {
    match found {
        Some(found) if found.eq_ignore_ascii_case(wanted) => Verdict::Passed,
        Some(found) => Verdict::Failed(format!("{what} is {found}, not {wanted}")),
        None => Verdict::Failed(format!("{what} is not set")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_that_some_logins_do_not_have_is_told_with_whose_and_where() {
        let setting = |value: &str| Setting {
            only: Some("User bob".into()),
            file: "/etc/ssh/sshd_config".into(),
            line: 9,
            keyword: "permitrootlogin".into(),
            value: value.into(),
        };
        let verdict = |value: &str| excepted(&[setting(value)], "permitrootlogin", "without-password");
        assert_eq!(verdict("Prohibit-Password"), Verdict::Passed);
        let why = "not for some logins: Match User bob sets permitrootlogin yes (/etc/ssh/sshd_config line 9)";
        assert_eq!(verdict("yes"), Verdict::Partly(why.into()));
        assert_eq!(excepted(&[setting("yes")], "maxauthtries", "4"), Verdict::Passed);
    }

    #[test]
    fn a_probe_that_fails_says_what_was_found() {
        assert_eq!(equal(Some("yes"), "no", "x"), Verdict::Failed("x is yes, not no".into()));
        assert_eq!(equal(Some("Without-Password"), "without-password", "x"), Verdict::Passed);
        assert!(matches!(found("a\nb", Some("c"), "cat f"), Verdict::Failed(why) if why.ends_with("but: a; b")));
    }

    #[test]
    fn a_program_of_a_user_notes_down_what_it_did_in_a_directory_of_its_own_outside_the_home() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
        };
        put("etc/passwd", "root:x:0:0::/root:/bin/bash\nada:x:1000:1000::/home/ada:/bin/bash\n");
        put("etc/group", "root:x:0:\nada:x:1000:\n");
        put("usr/bin/pipx", "#!/bin/sh\necho \"$HOME $XDG_STATE_HOME $XDG_CACHE_HOME$XDG_CONFIG_HOME\"\n");
        std::fs::create_dir_all(dir.path().join("run/vps-configurator")).unwrap();
        let host = crate::host::RealHost::new(dir.path().into());
        let units = UnitSurvey::default();
        let run = |user: Option<&str>| {
            let run = vec!["pipx".to_owned()];
            let state = format!("/run/vps-configurator/state/{}", user.unwrap_or("root"));
            let home = user.map_or(state.clone(), |name| format!("/home/{name}"));
            let config = if user.is_none() { state.as_str() } else { "" };
            let contains = Some(format!("{home} {state} {state}{config}"));
            let test = ProbeTest::Command { run, contains, exit: 0, user: user.map(str::to_owned) };
            let probe = Probe { module: "m".into(), name: "n".into(), timeout: 10, origin: "o".into(), test };
            Prober::new(&host, &units).run(&probe).verdict
        };
        assert_eq!(run(Some("ada")), Verdict::Passed);
        let mode = |path: &str| std::fs::metadata(dir.path().join(path)).unwrap().permissions().mode() & 0o7777;
        let state = "run/vps-configurator/state";
        assert_eq!((mode(state), mode(&format!("{state}/ada"))), (0o711, 0o700));
        std::fs::set_permissions(dir.path().join(state), std::fs::Permissions::from_mode(0o777)).unwrap();
        assert_eq!((run(Some("ada")), mode(state)), (Verdict::Passed, 0o711));
        // Nothing that is asked as root depends on root's home.
        assert_eq!(run(None), Verdict::Passed);
    }
}
