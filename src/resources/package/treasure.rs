//! Data that people made with a package's programs: no removal may destroy it.
//!
//! What lies in a data directory when nobody made anything (the skeleton that an installation makes) goes with the
//! package; as soon as there is a sign of people's work the directory stays, and is told.

use crate::engine::Result;
use crate::host::{Command, Host, Kind};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Data that purging a package would destroy although people made it.
struct Treasure {
    package: &'static str,
    /// What is told.
    what: &'static str,
    /// Where it lies.
    path: &'static str,
    /// What shows that people made something, each at a place below `path` (`""` is `path` itself).
    signs: &'static [(&'static str, Sign)],
    /// How its maintainer scripts are kept from destroying it.
    disarm: Disarm,
}

/// A sign of people's work.
enum Sign {
    /// Any entry of a directory but these.
    EntryBut(&'static [&'static str]),
    /// An entry of a directory whose name begins with a number from this one up.
    NumberFrom(u64),
    /// A file with something in it.
    Content,
    /// A file of Redis or Valkey with a key or a function in it.
    Keys,
}

/// How maintainer scripts are kept from destroying data.
enum Disarm {
    /// They run this program: without its executable bit, and without the copy of it in the data, they can't.
    Program(&'static str),
    /// They look here for what to destroy: it stands under another name while they run.
    Hide(&'static str),
    /// They ask debconf: the question, and the package that owns it.
    Answer(&'static str, &'static str),
}

/// What is hidden has this at the end of its name.
const HIDDEN: &str = ".spared-by-vps-configurator";

const TREASURES: [Treasure; 5] = [
    // Its postrm copies a script into `/var/lib/docker` at the removal and runs it there at the purge: every volume,
    // container and image goes.
    Treasure {
        package: "docker.io",
        what: "volumes, containers or images",
        path: "/var/lib/docker",
        signs: &[
            ("volumes", Sign::EntryBut(&["metadata.db", "backingFsBlockDev"])),
            ("containers", Sign::EntryBut(&[])),
            ("image/overlay2/imagedb/content/sha256", Sign::EntryBut(&[])),
        ],
        disarm: Disarm::Program("/usr/share/docker.io/contrib/nuke-graph-directory.sh"),
    },
    // Its postrm drops each cluster that has a postgresql.conf below /etc/postgresql/17, whatever debconf knew before.
    // Databases 1, 4 and 5 are template1, template0 and postgres; files of people's tables in them are numbered from
    // FirstNormalObjectId up (access/transam.h), 2613 holds the large objects.
    Treasure {
        package: "postgresql-17",
        what: "databases or tables",
        path: "/var/lib/postgresql/17",
        signs: &[
            ("", Sign::EntryBut(&["main"])),
            ("main/base", Sign::EntryBut(&["1", "4", "5", "pgsql_tmp"])),
            ("main/base/1", Sign::NumberFrom(16384)),
            ("main/base/5", Sign::NumberFrom(16384)),
            ("main/base/5/2613", Sign::Content),
            ("main/pg_tblspc", Sign::EntryBut(&[])),
        ],
        disarm: Disarm::Hide("/etc/postgresql/17"),
    },
    // Each database is a directory.
    Treasure {
        package: "mariadb-server",
        what: "databases",
        path: "/var/lib/mysql",
        signs: &[("", Sign::EntryBut(MARIADB))],
        disarm: Disarm::Answer("mariadb-server", "mariadb-server/postrm_remove_databases"),
    },
    // It is the tools whose postrm removes the directory.
    Treasure {
        package: "valkey-tools",
        what: "keys",
        path: "/var/lib/valkey",
        signs: KEY_STORE,
        disarm: Disarm::Hide("/var/lib/valkey"),
    },
    Treasure {
        package: "redis-tools",
        what: "keys",
        path: "/var/lib/redis",
        signs: KEY_STORE,
        disarm: Disarm::Hide("/var/lib/redis"),
    },
];

/// What the first start of MariaDB 11.8 leaves.
const MARIADB: &[&str] = &[
    "aria_log.00000001",
    "aria_log_control",
    "ddl_recovery-backup.log",
    "ddl_recovery.log",
    "debian-11.8.flag",
    "ib_buffer_pool",
    "ib_logfile0",
    "ibdata1",
    "ibtmp1",
    "mariadb_upgrade_info",
    "multi-master.info",
    "mysql",
    "mysql_upgrade_info",
    "performance_schema",
    "sys",
    "tc.log",
    "undo001",
    "undo002",
    "undo003",
];

const KEY_STORE: &[(&str, Sign)] = &[("", Sign::EntryBut(&["dump.rdb"])), ("dump.rdb", Sign::Keys)];

impl Sign {
    fn is_at(&self, host: &dyn Host, path: &Path) -> Result<bool> {
        Ok(match self {
            Sign::EntryBut(except) => host.list(path)?.iter().any(|name| !except.iter().any(|known| name == known)),
            Sign::NumberFrom(least) => host.list(path)?.iter().any(|name| {
                let name = name.to_string_lossy();
                let digits = name.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
                digits.parse::<u64>().is_ok_and(|number| number >= *least)
            }),
            Sign::Content => host.meta(path)?.is_some_and(|meta| meta.kind == Kind::File && meta.size > 0),
            Sign::Keys => match host.meta(path)? {
                Some(_) => !is_keyless(&host.read(path)?),
                None => false,
            },
        })
    }
}

/// Whether a dump of Redis or Valkey holds nothing: after the nine bytes of its name and version only auxiliary fields
/// (0xfa and two texts), then the end (0xff). A text is preceded by its length in six bits, or is a number of 8, 16 or
/// 32 bits (0xc0, 0xc1, 0xc2). Whatever is anything else counts as something.
fn is_keyless(dump: &[u8]) -> bool {
    fn after_text(rest: &[u8]) -> Option<&[u8]> {
        let (&head, rest) = rest.split_first()?;
        match head {
            0xc0 => rest.get(1..),
            0xc1 => rest.get(2..),
            0xc2 => rest.get(4..),
            0..0x40 => rest.get(usize::from(head)..),
            _ => None,
        }
    }
    let mut rest = dump.get(9..);
    while let Some([0xfa, fields @ ..]) = rest {
        rest = after_text(fields).and_then(after_text);
    }
    dump.is_empty() || matches!(rest, Some([0xff, ..]))
}

fn of(packages: &BTreeSet<String>) -> impl Iterator<Item = &'static Treasure> {
    TREASURES.iter().filter(|treasure| packages.contains(treasure.package))
}

fn is_there(host: &dyn Host, treasure: &Treasure) -> Result<bool> {
    let hidden = PathBuf::from(format!("{}{HIDDEN}", treasure.path));
    let top = if host.meta(&hidden)?.is_some() { hidden } else { PathBuf::from(treasure.path) };
    for (place, sign) in treasure.signs {
        let path = if place.is_empty() { top.clone() } else { top.join(place) };
        if sign.is_at(host, &path)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What people made that purging `packages` would destroy: one line each, for the plan and the report.
pub fn told(host: &dyn Host, packages: &BTreeSet<String>) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for treasure in of(packages) {
        if is_there(host, treasure)? {
            lines.push(format!(
                "{} stays: it holds {}; remove it yourself when nobody needs them",
                treasure.path, treasure.what
            ));
        }
    }
    Ok(lines)
}

/// Makes the maintainer scripts unable to destroy data, and says what stays. Call it when the units are stopped and
/// everything is on disk.
///
/// Docker's script is disarmed in any case: it deletes across mounts, and where it fails the purge does.
pub fn spare(host: &dyn Host, packages: &BTreeSet<String>) -> Result<Vec<String>> {
    for treasure in of(packages) {
        match treasure.disarm {
            Disarm::Program(program) => {
                let name = Path::new(program).file_name().unwrap_or_default();
                host.remove(&Path::new(treasure.path).join(name))?;
                if let Some(meta) = host.meta(Path::new(program))? {
                    let mut attributes = meta.attributes;
                    attributes.mode &= !0o111;
                    host.set_attributes(Path::new(program), &attributes)?;
                }
            }
            Disarm::Hide(path) if is_there(host, treasure)? => {
                let hidden = format!("{path}{HIDDEN}");
                if host.meta(Path::new(path))?.is_some() && host.meta(Path::new(&hidden))?.is_none() {
                    host.run(&Command::new("mv").args(["-T", path, &hidden]))?;
                }
            }
            Disarm::Hide(_) => {}
            Disarm::Answer(package, question) if host.has_program("debconf-set-selections") => {
                let answer = format!("{package} {question} boolean false\n");
                host.run(&Command::new("debconf-set-selections").stdin(answer))?;
            }
            Disarm::Answer(..) => {}
        }
    }
    told(host, packages)
}

/// What is left to do once `packages` are gone: what was hidden stands in its place again, and the data directories in
/// which nobody made anything go, but for those that were there before us (`present`).
pub fn tidy(host: &dyn Host, packages: &BTreeSet<String>, present: &BTreeSet<String>) -> Result<()> {
    for treasure in of(packages) {
        if let Disarm::Hide(path) = treasure.disarm {
            let hidden = format!("{path}{HIDDEN}");
            if host.meta(Path::new(&hidden))?.is_some() && host.meta(Path::new(path))?.is_none() {
                host.run(&Command::new("mv").args(["-T", &hidden, path]))?;
            }
        }
        let is_left = host.meta(Path::new(treasure.path))?.is_some() && !is_there(host, treasure)?;
        if is_left && !present.contains(treasure.path) {
            let command = Command::new("rm").args(["-rf", "--one-file-system", treasure.path]);
            host.run(&command.accept(&[0, 1]).timeout(std::time::Duration::from_secs(600)))?;
        }
    }
    Ok(())
}

/// The settings that stay with the data that stays: without them nobody could use it again.
pub fn settings(host: &dyn Host) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for treasure in &TREASURES {
        if let Disarm::Hide(path) = treasure.disarm
            && is_there(host, treasure)?
        {
            found.push(PathBuf::from(path));
        }
    }
    Ok(found)
}

/// The data directories of `packages` that are there.
pub fn directories(host: &dyn Host, packages: &BTreeSet<String>) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for treasure in of(packages) {
        if host.meta(Path::new(treasure.path))?.is_some() {
            found.push(treasure.path.to_owned());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::bench::Bench;

    fn packages(name: &str) -> BTreeSet<String> {
        BTreeSet::from([name.to_owned()])
    }

    #[test]
    fn a_dump_without_keys_is_told_from_one_with_keys() {
        // As valkey-server 8.1 wrote them, cut to what matters.
        let mut empty =
            b"REDIS0011\xfa\x0avalkey-ver\x058.1.1\xfa\x0aredis-bits\xc0\x40\xfa\x05ctime\xc2\x01\x02\x03\x04".to_vec();
        let mut full = empty.clone();
        empty.extend(b"\xff\x01\x02\x03\x04\x05\x06\x07\x08");
        full.extend(b"\xfe\x00\xfb\x01\x00\x00\x01a\x01b\xff\x01\x02\x03\x04\x05\x06\x07\x08");
        assert!(is_keyless(&empty) && is_keyless(b""));
        assert!(!is_keyless(&full) && !is_keyless(b"REDIS0011") && !is_keyless(b"anything else"));
    }

    #[test]
    fn a_cluster_that_nobody_used_goes_and_one_with_a_table_stays_with_its_settings() {
        for (path, stays) in [
            ("/var/lib/postgresql/17/main/base/5/2613", false),
            ("/var/lib/postgresql/17/main/base/5/2619_fsm", false),
            ("/var/lib/postgresql/17/main/base/5/16388_vm", true),
            ("/var/lib/postgresql/17/main/base/16390/112", true),
            ("/var/lib/postgresql/17/other/PG_VERSION", true),
        ] {
            let bench = Bench::new();
            bench.simulated("mv");
            bench.simulated("rm");
            bench.put("/var/lib/postgresql/17/main/base/1/112", "");
            bench.put("/etc/postgresql/17/main/postgresql.conf", "x\n");
            bench.put(path, "");
            let gone = packages("postgresql-17");
            let lines = spare(bench.host(), &gone).unwrap();
            assert_eq!(lines.len(), usize::from(stays), "{path}: {lines:?}");
            assert_eq!(bench.at("/etc/postgresql/17").exists(), !stays, "{path}: the script must not find it");
            // A second try, after a crash, finds it as the first one left it.
            assert_eq!(spare(bench.host(), &gone).unwrap(), lines);
            tidy(bench.host(), &gone, &BTreeSet::new()).unwrap();
            assert_eq!(bench.at(path).exists(), stays, "{path}");
            let settings = settings(bench.host()).unwrap();
            assert_eq!(settings.len(), usize::from(stays), "{path}: {settings:?}");
            assert!(bench.at("/etc/postgresql/17/main/postgresql.conf").exists());
        }
    }

    #[test]
    fn keys_stand_under_another_name_while_the_scripts_run() {
        let bench = Bench::new();
        bench.simulated("mv");
        bench.put("/var/lib/valkey/dump.rdb", "REDIS0011 with something in it");
        let gone = packages("valkey-tools");
        let lines = spare(bench.host(), &gone).unwrap();
        assert!(lines[0].starts_with("/var/lib/valkey stays: it holds keys") && !bench.at("/var/lib/valkey").exists());
        assert_eq!(spare(bench.host(), &gone).unwrap(), lines, "again, after a crash");
        tidy(bench.host(), &gone, &BTreeSet::new()).unwrap();
        assert!(bench.at("/var/lib/valkey/dump.rdb").exists());
    }

    #[test]
    fn data_that_was_there_before_us_stays_even_when_it_holds_nothing() {
        let bench = Bench::new();
        bench.simulated("rm");
        bench.put("/var/lib/mysql/ibdata1", "");
        let gone = packages("mariadb-server");
        let present: BTreeSet<String> = directories(bench.host(), &gone).unwrap().into_iter().collect();
        tidy(bench.host(), &gone, &present).unwrap();
        assert!(bench.at("/var/lib/mysql/ibdata1").exists());
        tidy(bench.host(), &gone, &BTreeSet::new()).unwrap();
        assert!(!bench.at("/var/lib/mysql").exists());
        bench.put("/var/lib/mysql/shop/orders.ibd", "");
        tidy(bench.host(), &gone, &BTreeSet::new()).unwrap();
        assert!(bench.at("/var/lib/mysql/shop/orders.ibd").exists());
        assert!(told(bench.host(), &gone).unwrap()[0].contains("databases"));
    }
}
