//! Making probes: looking whether what a module promised is in force. A finding is a result, never an error.

use super::probe::{Probe, ProbeTest};
use crate::host::{Command, Host};
use crate::resources::unit::survey;
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
    /// It isn't, and what was found.
    Failed(String),
    /// This kind of host has no such thing (a container without its own kernel settings).
    NotApplicable(String),
}

/// Makes probes; what several of them need is asked once.
#[derive(Debug)]
pub struct Prober<'a> {
    host: &'a dyn Host,
    sshd: Option<Result<BTreeMap<String, String>, String>>,
}

impl<'a> Prober<'a> {
    /// On this host.
    pub fn new(host: &'a dyn Host) -> Self {
        Prober { host, sshd: None }
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
                match self.host.look(&command) {
                    Err(error) => Verdict::Failed(error.to_string()),
                    Ok(output) => found(&output.text(), contains.as_deref(), &command.shown()),
                }
            }
            ProbeTest::Unit { unit, enabled } => match survey::show_one(self.host, unit) {
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
                        Ok(bytes) => found(&String::from_utf8_lossy(&bytes), contains.as_deref(), path),
                    },
                }
            }
            ProbeTest::EffectiveSshd { keyword, value } => match self.sshd() {
                Err(why) => Verdict::Failed(why.clone()),
                Ok(settings) => equal(settings.get(keyword).map(String::as_str), value, keyword),
            },
            ProbeTest::EffectiveSysctl { key, value } => self.sysctl(key, value),
        }
    }

    /// `sshd -T`, for a login of root from here; every keyword in lower case.
    fn sshd(&mut self) -> &Result<BTreeMap<String, String>, String> {
        let host = self.host;
        self.sshd.get_or_insert_with(|| {
            let command = Command::new("sshd").args(["-T", "-C", "user=root,host=localhost,addr=127.0.0.1"]);
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
        let path = Path::new("/proc/sys").join(key.replace('.', "/"));
        match self.host.meta(&path) {
            Ok(None) => return Verdict::NotApplicable(format!("this kernel shows no {key} here")),
            Err(error) => return Verdict::Failed(error.to_string()),
            Ok(Some(_)) => {}
        }
        match self.host.read(&path) {
            Err(error) => Verdict::Failed(error.to_string()),
            Ok(bytes) => {
                let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
                equal(Some(&words(&String::from_utf8_lossy(&bytes))), &words(value), key)
            }
        }
    }

    fn port(&self, port: u16, address: &str, protocol: &str) -> Verdict {
        let mut listeners = Vec::new();
        for table in [format!("/proc/net/{protocol}"), format!("/proc/net/{protocol}6")] {
            if let Ok(bytes) = self.host.read(Path::new(&table)) {
                listeners.extend(bound(&String::from_utf8_lossy(&bytes), protocol));
            }
        }
        let reaches = |bound: &str| ["0.0.0.0", "::", address].contains(&bound) || bound == format!("::ffff:{address}");
        let at: Vec<&str> = listeners.iter().filter(|(_, p)| *p == port).map(|(a, _)| a.as_str()).collect();
        if at.iter().any(|bound| reaches(bound)) {
            Verdict::Passed
        } else if at.is_empty() {
            Verdict::Failed(format!("nothing listens on port {port}/{protocol}"))
        } else {
            Verdict::Failed(format!("port {port}/{protocol} is open on {} only", at.join(", ")))
        }
    }
}

/// The addresses and ports that are bound, from a table of `/proc/net` (proc_pid_net(5)): listening ones for TCP.
fn bound(table: &str, protocol: &str) -> Vec<(String, u16)> {
    let mut all = Vec::new();
    for line in table.lines().skip(1) {
        let mut words = line.split_whitespace().skip(1);
        let (Some(local), Some(_), Some(state)) = (words.next(), words.next(), words.next()) else { continue };
        if protocol == "tcp" && state != "0A" {
            continue;
        }
        let Some((address, port)) = local.split_once(':') else { continue };
        if let (Some(address), Ok(port)) = (readable(address), u16::from_str_radix(port, 16)) {
            all.push((address, port));
        }
    }
    all
}

/// An address of `/proc/net`: 32-bit words in the machine's own order (little-endian on all that we ship for).
fn readable(hex: &str) -> Option<String> {
    let mut bytes = Vec::new();
    for at in (0..hex.len()).step_by(8) {
        bytes.extend(u32::from_str_radix(hex.get(at..at + 8)?, 16).ok()?.to_le_bytes());
    }
    if let Ok(four) = <[u8; 4]>::try_from(bytes.as_slice()) {
        return Some(std::net::Ipv4Addr::from(four).to_string());
    }
    <[u8; 16]>::try_from(bytes.as_slice()).ok().map(|all| std::net::Ipv6Addr::from(all).to_string())
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
    fn listening_sockets_are_read_from_the_kernels_table() {
        let tcp = "  sl  local_address rem_address   st\n\
                   0: 0100007F:0016 00000000:0000 0A x\n   1: 0100007F:1538 0100007F:D2F0 01 x\n";
        assert_eq!(bound(tcp, "tcp"), [("127.0.0.1".to_owned(), 22)]);
        let six = "  sl\n 0: 00000000000000000000000000000000:0050 0:0 0A\n 1: 00000000000000000000000001000000:0051 0:0 0A\n";
        assert_eq!(bound(six, "tcp"), [("::".to_owned(), 80), ("::1".to_owned(), 81)]);
    }

    #[test]
    fn a_probe_that_fails_says_what_was_found() {
        assert_eq!(equal(Some("yes"), "no", "x"), Verdict::Failed("x is yes, not no".into()));
        assert_eq!(equal(Some("Without-Password"), "without-password", "x"), Verdict::Passed);
        assert!(matches!(found("a\nb", Some("c"), "cat f"), Verdict::Failed(why) if why.ends_with("but: a; b")));
    }
}
