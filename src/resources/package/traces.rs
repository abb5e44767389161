//! Traces that a package's programs leave in the kernel and in empty directories once they run: no maintainer script
//! makes them, so no picture taken right after the installation shows them. They are few and known; here is the list.

use crate::engine::{Event, Progress, Result};
use crate::host::{Command, Host, read_text};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// What the programs of one package leave.
struct Known {
    package: &'static str,
    /// Tables of the packet filter, `family name`.
    tables: &'static [&'static str],
    /// Network interfaces.
    links: &'static [&'static str],
    /// Kernel settings, in the order in which they are put back: some change others (`ip_forward` all redirects).
    sysctls: &'static [&'static str],
    /// Directories, removed when they are empty; children first.
    directories: &'static [&'static str],
}

const NONE: Known = Known { package: "", tables: &[], links: &[], sysctls: &[], directories: &[] };

const KNOWN: [Known; 5] = [
    Known {
        package: "iptables",
        tables: &[
            "ip filter",
            "ip nat",
            "ip mangle",
            "ip raw",
            "ip security",
            "ip6 filter",
            "ip6 nat",
            "ip6 mangle",
            "ip6 raw",
            "ip6 security",
        ],
        ..NONE
    },
    Known { package: "fail2ban", tables: &["inet f2b-table"], ..NONE },
    Known {
        package: "docker.io",
        links: &["docker0"],
        sysctls: &FORWARDING,
        directories: &["/etc/docker", "/var/lib/docker"],
        ..NONE
    },
    Known { package: "containerd", directories: &["/etc/cni/net.d", "/etc/cni"], ..NONE },
    // The settings of its /etc/ufw/sysctl.conf.
    Known { package: "ufw", sysctls: &FORWARDING, ..NONE },
];

const FORWARDING: [&str; 7] = [
    "net.ipv4.ip_forward",
    "net.ipv4.conf.default.forwarding",
    "net.ipv4.conf.all.accept_redirects",
    "net.ipv4.conf.default.accept_redirects",
    "net.ipv6.conf.all.forwarding",
    "net.ipv6.conf.all.accept_redirects",
    "net.ipv6.conf.default.accept_redirects",
];

/// What there was of them before the transaction.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traces {
    /// All tables of the packet filter.
    #[serde(default)]
    pub tables: Vec<String>,
    /// Those of the known interfaces and directories that were there.
    #[serde(default)]
    pub present: BTreeSet<String>,
    /// The known kernel settings.
    #[serde(default)]
    pub sysctls: BTreeMap<String, String>,
}

fn of(packages: &BTreeSet<String>) -> impl Iterator<Item = &'static Known> {
    KNOWN.iter().filter(|k| packages.contains(k.package))
}

fn link_path(link: &str) -> String {
    format!("/sys/class/net/{link}")
}

fn setting(host: &dyn Host, key: &str) -> Result<String> {
    Ok(read_text(host, format!("/proc/sys/{}", key.replace('.', "/")))?.trim().to_owned())
}

impl Traces {
    /// What there is now of what the programs of `packages` will leave.
    pub fn see(host: &dyn Host, packages: &BTreeSet<String>) -> Result<Traces> {
        let mut traces = Traces { tables: tables(host)?, ..Traces::default() };
        for known in of(packages) {
            for (name, path) in known
                .links
                .iter()
                .map(|l| (*l, link_path(l)))
                .chain(known.directories.iter().map(|d| (*d, (*d).to_owned())))
            {
                if host.meta(Path::new(&path))?.is_some() {
                    traces.present.insert(name.to_owned());
                }
            }
            for key in known.sysctls {
                let value = setting(host, key)?;
                if !value.is_empty() {
                    traces.sysctls.insert((*key).to_owned(), value);
                }
            }
        }
        Ok(traces)
    }

    /// Takes down the tables that came with `packages`: those seen right after them (`after`), and those that their
    /// programs make. Must be called while `nft` is still there. Returns what is left because it is someone else's.
    pub fn drop_tables(
        &self,
        host: &dyn Host,
        progress: &dyn Progress,
        after: &[String],
        packages: &BTreeSet<String>,
    ) -> Result<Vec<String>> {
        let made: Vec<&str> = of(packages).flat_map(|k| k.tables.iter().copied()).collect();
        let loses_nft = packages.contains("nftables");
        let mut left = Vec::new();
        for table in tables(host)?.into_iter().filter(|t| !self.tables.contains(t)) {
            // When nft goes, this is the last time that a table can be taken down: what stopped programs left in it goes,
            // also when their packages came in another step (one that a crash cut off).
            let left_over = loses_nft && !after.contains(&table) && is_left_over(&list(host, &table)?);
            if after.contains(&table) || made.contains(&table.as_str()) || left_over {
                let line = format!("taking down the packet filter's table {table}");
                progress.tell(&Event::Within { what: &line, percent: None });
                host.run(&Command::new("nft").args(["delete", "table"]).args(table.split(' ')).accept(&[0, 1]))?;
            } else if loses_nft {
                left.push(format!("the packet filter's table {table} was made by someone else: left as it is"));
            }
        }
        Ok(left)
    }

    /// Puts interfaces, settings and directories back, once the `packages` are gone. A setting that a file of
    /// `/etc/sysctl.d` names is that file's business.
    pub fn put_back(&self, host: &dyn Host, packages: &BTreeSet<String>) -> Result<()> {
        let mut files = read_text(host, "/etc/sysctl.conf")?;
        for name in host.list(Path::new("/etc/sysctl.d"))? {
            files.push_str(&read_text(host, format!("/etc/sysctl.d/{}", name.to_string_lossy()))?);
        }
        let mut done = BTreeSet::new();
        for known in of(packages) {
            for link in known.links.iter().filter(|l| !self.present.contains(**l)) {
                if host.meta(Path::new(&link_path(link)))?.is_some() && host.has_program("ip") {
                    host.run(&Command::new("ip").args(["link", "delete", link]).accept(&[0, 1, 2]))?;
                }
            }
            for key in known.sysctls.iter().filter(|k| done.insert(**k)) {
                let Some(value) = self.sysctls.get(*key) else {
                    continue;
                };
                if !is_set_by(&files, key) && setting(host, key)? != *value && host.has_program("sysctl") {
                    host.run(
                        &Command::new("sysctl").args(["-q", "-w"]).arg(format!("{key}={value}")).accept(&[0, 1, 255]),
                    )?;
                }
            }
            for directory in known.directories.iter().filter(|d| !self.present.contains(**d)) {
                let path = Path::new(directory);
                if host.meta(path)?.is_some() && host.list(path)?.is_empty() {
                    host.remove(path)?;
                }
            }
        }
        Ok(())
    }
}

/// A table's chains and rules, as nft(8) lists them.
fn list(host: &dyn Host, table: &str) -> Result<String> {
    let command = Command::new("nft").args(["list", "table"]).args(table.split(' ')).accept(&[0, 1]);
    Ok(host.look(&command)?.text())
}

/// Whether a table holds nothing but what Docker and ufw put into it: their own chains, the kernel's own chains, and in
/// these no rule but theirs.
fn is_left_over(listing: &str) -> bool {
    let theirs = |name: &str| name.starts_with("DOCKER") || name.starts_with("ufw");
    let kernels = ["INPUT", "FORWARD", "OUTPUT", "PREROUTING", "POSTROUTING"];
    let mut chain = "";
    let mut is_any = false;
    for line in listing.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("chain ").and_then(|rest| rest.strip_suffix(" {")) {
            if !theirs(name) && !kernels.contains(&name) {
                return false;
            }
            is_any |= theirs(name);
            chain = name;
        } else if !line.is_empty()
            && line != "}"
            && !line.starts_with('#')
            && !line.starts_with("table ")
            && !line.starts_with("type ")
        {
            let is_theirs = ["DOCKER", "docker0", "ufw"].iter().any(|word| line.contains(word));
            if !theirs(chain) && !is_theirs {
                return false;
            }
        }
    }
    is_any
}

/// Whether a line of sysctl.d(5) text sets `key`.
fn is_set_by(text: &str, key: &str) -> bool {
    let names = text.lines().map(str::trim).filter(|l| !l.starts_with(['#', ';'])).filter_map(|l| l.split_once('='));
    names.map(|(name, _)| name.trim().trim_start_matches('-').replace('/', ".")).any(|name| name == key)
}

/// The tables in the kernel's packet filter, `family name`; none when the host has no `nft`.
pub fn tables(host: &dyn Host) -> Result<Vec<String>> {
    if !host.has_program("nft") {
        return Ok(Vec::new());
    }
    let output = host.look(&Command::new("nft").args(["list", "tables"]).accept(&[0, 1]))?;
    Ok(output.text().lines().filter_map(|l| l.strip_prefix("table ")).map(|t| t.trim().to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_left_over_when_nothing_but_docker_and_ufw_wrote_into_it() {
        let dockers = "# Warning: table ip filter is managed by iptables-nft, do not touch!\ntable ip filter {\n\tchain DOCKER {\n\t\tcounter return\n\t}\n\n\tchain FORWARD {\n\t\ttype filter hook \
                       forward priority filter; policy accept;\n\t\tcounter packets 0 bytes 0 jump DOCKER\n\t}\n}\n";
        assert!(is_left_over(dockers));
        assert!(!is_left_over(&dockers.replace("jump DOCKER", "accept")), "a rule of somebody else");
        assert!(!is_left_over(&dockers.replace("chain DOCKER", "chain mine")), "a chain of somebody else");
        assert!(!is_left_over("table ip filter {\n}\n") && !is_left_over(""));
    }

    #[test]
    fn a_setting_that_a_file_names_is_found_in_both_spellings_and_not_in_a_comment() {
        let text = "# net.ipv4.ip_forward=1\n-net/ipv6/conf/all/forwarding = 1\n";
        assert!(is_set_by(text, "net.ipv6.conf.all.forwarding") && !is_set_by(text, "net.ipv4.ip_forward"));
    }
}
