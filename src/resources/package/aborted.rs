//! First unpackings that were cut off. dpkg holds such a package for half installed, in the version that was coming, and
//! when it is unpacked once more calls `preinst upgrade` with that version. A script that sets up for the first time
//! only what `preinst install` asks for (vim-runtime its diversions) then never does, and dpkg refuses files of others.
//! Nothing is known of its files yet: forgotten, it comes as if for the first time.

use super::apt::TRANSACTION_TIME;
use super::database::{Database, Known};
use crate::engine::Result;
use crate::host::{Command, Host};
use std::path::Path;

/// dpkg's lists of files, `NAME.list` or `NAME:ARCHITECTURE.list`.
const INFO: &str = "/var/lib/dpkg/info";

/// Where the list of its files may lie.
pub fn lists(name: &str, known: &Known) -> [String; 2] {
    [format!("{INFO}/{name}.list"), format!("{INFO}/{name}:{}.list", known.architecture)]
}

/// Whether dpkg has a list of its files; one without content is none.
pub fn has_list(host: &dyn Host, name: &str, known: &Known) -> Result<bool> {
    for list in lists(name, known) {
        if host.meta(Path::new(&list))?.is_some_and(|meta| meta.size > 0) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Has dpkg forget the packages whose first unpacking was cut off; returns them. What was unpacked of them stays where it
/// is, until they come again.
pub fn forget(host: &dyn Host, database: &Database) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for (name, known) in database.all() {
        let is_half = known.state == "half-installed" && !known.is_leaving;
        if is_half && !has_list(host, name, known)? {
            names.push(name.to_owned());
        }
    }
    if !names.is_empty() {
        // Not purged: that would take conffiles of one that was there and whose list is lost.
        let how = ["--force-remove-reinstreq", "--force-depends", "--remove"];
        let dpkg = Command::new("dpkg").args(how).args(names.iter().cloned());
        host.run(&dpkg.accept(&[0, 1, 2]).timeout(TRANSACTION_TIME))?;
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::bench::Bench;

    #[test]
    fn only_what_never_was_unpacked_is_forgotten() {
        let bench = Bench::new();
        bench.simulated("dpkg");
        let entry =
            |name: &str, status: &str| format!("Package: {name}\nStatus: {status}\nArchitecture: all\nVersion: 1\n\n");
        let (half, whole) = ("install reinstreq half-installed", "install ok installed");
        let entries = [
            entry("new", half),
            entry("blank", "install ok half-installed"),
            entry("upgraded", half),
            entry("going", "deinstall reinstreq half-installed"),
            entry("whole", whole),
        ];
        bench.put("/var/lib/dpkg/status", entries.concat());
        bench.put("/var/lib/dpkg/info/upgraded:all.list", "/.\n");
        bench.put("/var/lib/dpkg/info/blank.list", "");
        let names = forget(bench.host(), &Database::read(bench.host()).unwrap()).unwrap();
        assert_eq!(names, ["blank", "new"]);
        let left = Database::read(bench.host()).unwrap();
        assert_eq!(left.all().map(|(name, _)| name).collect::<Vec<_>>(), ["going", "upgraded", "whole"]);
    }
}
