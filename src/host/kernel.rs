//! What the running kernel has: modules that are loaded, built in, or can be loaded (kmod(8)).

use super::{Host, Result, read_text};
use std::collections::BTreeSet;
use std::path::Path;

/// The names of its modules that begin with `prefix`, without that, with `_` for `-`.
///
/// # Errors
/// When a file that is there can't be read.
pub fn modules(host: &dyn Host, prefix: &str) -> Result<BTreeSet<String>> {
    // There are thousands: only those that count are copied.
    let is_like = |(is, wanted): (u8, u8)| is == wanted || is == b'-' && wanted == b'_';
    let plain = |name: &str| {
        let begins = name.len() >= prefix.len() && name.bytes().zip(prefix.bytes()).all(is_like);
        begins.then(|| name.get(prefix.len()..).unwrap_or_default().replace('-', "_"))
    };
    let mut found: BTreeSet<String> = BTreeSet::new();
    found.extend(host.list(Path::new("/sys/module"))?.iter().filter_map(|name| plain(name.to_str()?)));
    let release = read_text(host, "/proc/sys/kernel/osrelease")?;
    let directory = Path::new("/lib/modules").join(release.trim());
    // `path/name.ko.xz: what it needs`, and `path/name.ko`.
    for file in ["modules.dep", "modules.builtin"] {
        let text = read_text(host, directory.join(file))?;
        let paths = text.lines().filter_map(|line| line.split(':').next());
        let names = paths.filter_map(|path| path.rsplit('/').next()?.split_once(".ko").map(|(name, _)| name));
        found.extend(names.filter_map(plain));
    }
    Ok(found)
}

/// The ways in which it can keep TCP from flooding a line (tcp(7)): `cubic`, `bbr`.
///
/// # Errors
/// As [`modules`].
pub fn congestion_controls(host: &dyn Host) -> Result<BTreeSet<String>> {
    let mut found = modules(host, "tcp_")?;
    let ready = read_text(host, "/proc/sys/net/ipv4/tcp_available_congestion_control")?;
    found.extend(ready.split_whitespace().map(str::to_owned));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::RealHost;

    #[test]
    fn what_is_loaded_built_in_and_can_be_loaded_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let host = RealHost::new(dir.path().into());
        assert!(congestion_controls(&host).unwrap().is_empty());
        for (path, text) in [
            ("proc/sys/kernel/osrelease", "6.12\n"),
            ("proc/sys/net/ipv4/tcp_available_congestion_control", "reno cubic\n"),
            (
                "lib/modules/6.12/modules.dep",
                "kernel/net/ipv4/tcp_bbr.ko.xz:\nkernel/net/sched/sch_fq.ko: kernel/a/b.ko\n",
            ),
            ("lib/modules/6.12/modules.builtin", "kernel/net/sched/sch-fq-codel.ko\n"),
            ("lib/modules/6.1/modules.dep", "kernel/net/ipv4/tcp_old.ko:\n"),
            ("sys/module/tcp_own/refcnt", "0\n"),
        ] {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let of = |names: BTreeSet<String>| names.into_iter().collect::<Vec<_>>().join(" ");
        assert_eq!(of(congestion_controls(&host).unwrap()), "bbr cubic own reno");
        assert_eq!(of(modules(&host, "sch_").unwrap()), "fq fq_codel");
    }
}
