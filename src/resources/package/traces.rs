//! Traces that a package's programs leave in the kernel and in empty directories once they run: no maintainer script
//! makes them, so no picture taken right after the installation shows them. They are few and known; here is the list.

use super::treasure;
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
        traces.present.extend(treasure::directories(host, packages)?);
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

    /// What there was before two records of one step that was cut off: what was seen first counts. `newer` only adds what
    /// the older one, which knew of `packages`, hadn't looked for.
    pub fn extend(&mut self, packages: &BTreeSet<String>, newer: Traces) {
        let looked_for: BTreeSet<&str> =
            of(packages).flat_map(|k| k.links.iter().chain(k.directories)).copied().collect();
        self.present.extend(newer.present.into_iter().filter(|name| !looked_for.contains(name.as_str())));
        for (key, value) in newer.sysctls {
            self.sysctls.entry(key).or_insert(value);
        }
    }

    /// Takes down the tables that came with `packages`: those seen right after them (`after`), and those that their
    /// programs make. Must be called while the tools for them are still there. Returns what is left because it is someone else's.
    pub fn drop_tables(
        &self,
        host: &dyn Host,
        progress: &dyn Progress,
        after: &[String],
        packages: &BTreeSet<String>,
    ) -> Result<Vec<String>> {
        let made: Vec<&str> = of(packages).flat_map(|k| k.tables.iter().copied()).collect();
        let is_last_chance = tools(host).all(|tool| packages.contains(tool.package));
        let mut left = Vec::new();
        for table in tables(host)?.into_iter().filter(|t| !self.tables.contains(t)) {
            if after.contains(&table) || made.contains(&table.as_str()) {
                let line = format!("taking down the packet filter's table {table}");
                progress.tell(&Event::Within { what: &line, percent: None, bytes: None, done: None });
                take_down(host, &table)?;
            } else if is_last_chance {
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

/// Whether a line of sysctl.d(5) text sets `key`.
fn is_set_by(text: &str, key: &str) -> bool {
    let names = text.lines().map(str::trim).filter(|l| !l.starts_with(['#', ';'])).filter_map(|l| l.split_once('='));
    names.map(|(name, _)| name.trim().trim_start_matches('-').replace('/', ".")).any(|name| name == key)
}

/// A program that shows the packet filter's tables, the one that takes them down, and the package of both.
struct Tool {
    /// The family of the tables that it knows; empty for all.
    family: &'static str,
    show: &'static str,
    take_down: &'static str,
    package: &'static str,
}

/// Who has only one of the two packages has the other's tables all the same: they are the kernel's.
const TOOLS: [Tool; 3] = [
    Tool { family: "", show: "nft", take_down: "nft", package: "nftables" },
    Tool { family: "ip", show: "iptables-nft-save", take_down: "iptables-nft-restore", package: "iptables" },
    Tool { family: "ip6", show: "ip6tables-nft-save", take_down: "ip6tables-nft-restore", package: "iptables" },
];

fn tools(host: &dyn Host) -> impl Iterator<Item = &'static Tool> {
    TOOLS.iter().filter(|tool| host.has_program(tool.show))
}

/// The tables in the kernel's packet filter, `family name`; none when the host has no program that shows them.
pub fn tables(host: &dyn Host) -> Result<Vec<String>> {
    let mut tables = Vec::new();
    for tool in tools(host) {
        let command = Command::new(tool.show).accept(&[0, 1]);
        if tool.family.is_empty() {
            let text = host.look(&command.args(["list", "tables"]))?.text();
            return Ok(text.lines().filter_map(|l| l.strip_prefix("table ")).map(|t| t.trim().to_owned()).collect());
        }
        let text = host.look(&command)?.text();
        tables.extend(text.lines().filter_map(|l| l.strip_prefix('*')).map(|name| format!("{} {name}", tool.family)));
    }
    Ok(tables)
}

fn take_down(host: &dyn Host, table: &str) -> Result<()> {
    let (family, name) = table.split_once(' ').unwrap_or_default();
    let Some(tool) = tools(host).find(|tool| tool.family.is_empty() || tool.family == family) else { return Ok(()) };
    let command = Command::new(tool.take_down).accept(&[0, 1]);
    host.run(&match tool.family {
        "" => command.args(["delete", "table", family, name]),
        // A table without a chain is none: iptables deletes it.
        _ => command.arg("--wait").stdin(format!("*{name}\nCOMMIT\n")),
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Silent;
    use crate::resources::bench::Bench;

    /// A host whose packet filter is a file of tables, with these programs for it.
    fn with_filter(tables: &str, programs: &[&str]) -> Bench {
        let bench = Bench::new();
        bench.put("/run/filter", tables);
        for program in programs {
            let family = if program.starts_with("ip6") { "ip6" } else { "ip" };
            let drop = "sed -i \"/^table $family $name\\$/d\" $VPS_ROOT/run/filter";
            bench.program(
                program,
                &match *program {
                    "nft" => format!(
                        "family=$3 name=$4; case $1 in list) cat $VPS_ROOT/run/filter ;; delete) {drop} ;; esac"
                    ),
                    save if save.ends_with("save") => {
                        format!("sed -n 's/^table {family} /*/p' $VPS_ROOT/run/filter; echo ':INPUT ACCEPT [0:0]'")
                    }
                    _ => format!("family={family}; read line; name=${{line#?}}; {drop}"),
                },
            );
        }
        bench
    }

    const IPTABLES: [&str; 4] =
        ["iptables-nft-save", "ip6tables-nft-save", "iptables-nft-restore", "ip6tables-nft-restore"];

    #[test]
    fn tables_are_seen_and_taken_down_by_whichever_program_is_there() {
        let all = "table ip nat\ntable ip6 filter\ntable ip mine\n";
        let packages = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<BTreeSet<_>>();
        let before = Traces { tables: vec!["ip mine".into()], ..Traces::default() };
        for (programs, purged) in [
            (&["nft"][..], &["iptables", "docker.io", "nftables"][..]),
            // nft went with a step that came later, before the one that brought iptables is taken back.
            (&IPTABLES[..], &["iptables", "docker.io"][..]),
        ] {
            let bench = with_filter(all, programs);
            assert_eq!(tables(bench.host()).unwrap().len(), 3);
            let left = before.drop_tables(bench.host(), &Silent, &[], &packages(purged)).unwrap();
            assert_eq!((left, tables(bench.host()).unwrap()), (vec![], vec!["ip mine".to_owned()]), "{programs:?}");
        }
        // Without any there is nothing to see.
        assert!(tables(with_filter(all, &[]).host()).unwrap().is_empty());
    }

    #[test]
    fn a_table_of_someone_else_stays_and_is_told_only_when_the_last_program_for_it_goes() {
        let packages = BTreeSet::from(["nftables".to_owned()]);
        let both = with_filter("table ip theirs\n", &["nft", "iptables-nft-save", "iptables-nft-restore"]);
        assert!(Traces::default().drop_tables(both.host(), &Silent, &[], &packages).unwrap().is_empty());
        let one = with_filter("table ip theirs\n", &["nft"]);
        assert_eq!(Traces::default().drop_tables(one.host(), &Silent, &[], &packages).unwrap().len(), 1);
        assert_eq!(tables(one.host()).unwrap(), ["ip theirs"]);
    }

    #[test]
    fn a_setting_that_a_file_names_is_found_in_both_spellings_and_not_in_a_comment() {
        let text = "# net.ipv4.ip_forward=1\n-net/ipv6/conf/all/forwarding = 1\n";
        assert!(is_set_by(text, "net.ipv6.conf.all.forwarding") && !is_set_by(text, "net.ipv4.ip_forward"));
    }
}
