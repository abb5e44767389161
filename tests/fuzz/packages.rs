//! dpkg's database, as dpkg, a full disk or a person left it.

use super::draw::{bytes, check, nearly};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use vps_configurator::resources::package::Database;

const STATUS: &str = "\
Package: dpkg
Status: install ok installed
Architecture: amd64
Version: 1.22.21
Depends: tar (>= 1.28-1)
Description: package management
 A long text.
 .
 More of it.

Package: libc6
Status: hold ok installed
Architecture: i386
Version: 2.41-12
Provides: libc6-2.41, libc (= 2.41)
Depends: libgcc-s1, gawk | mawk:any (>= 1~) , x [amd64] <!nocheck>

Package: sour
Status: install reinstreq half-installed
Architecture: all
Version: 1:2.0~rc1-1+b2
Pre-Depends: dpkg (<< 2)
Depends: missing (= 0)
";
const EXTENDED: &str =
    "Package: libc6\nArchitecture: i386\nAuto-Installed: 1\n\nPackage: dpkg\nArchitecture: amd64\nAuto-Installed: 0\n";

fn asked(status: &str, extended: &str) -> Result<(), TestCaseError> {
    let database = Database::parse(status, extended);
    let names: BTreeSet<String> = database.all().map(|(name, _)| name.to_owned()).collect();
    prop_assert!(names.len() <= status.matches("Package").count());
    for name in &names {
        prop_assert!(database.known(name).is_some());
        prop_assert!(database.needed_by(name, &names).is_subset(&names));
    }
    prop_assert!(database.unfinished().iter().all(|name| names.contains(*name)));
    prop_assert!(database.unmet().iter().all(|line| line.contains(" needs ")));
    Ok(())
}

#[test]
fn any_database_is_read_and_what_it_says_agrees_with_itself() {
    let any_text = || bytes().prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    check(1500, &(nearly(vec![STATUS.into()]), nearly(vec![EXTENDED.into()])), |(status, extended)| {
        asked(&status, &extended)
    });
    check(1500, &(any_text(), any_text()), |(status, extended)| asked(&status, &extended));
}

#[test]
fn what_a_well_formed_database_says_is_what_was_written() {
    let package = ("[a-z][a-z0-9+.-]{1,12}", "[0-9][0-9a-z.+~]{0,8}", any::<bool>());
    check(500, &prop::collection::vec(package, 0..12), |packages| {
        let wanted: BTreeMap<String, (String, bool)> = packages
            .into_iter()
            .filter(|(name, ..)| name != "dpkg")
            .map(|(name, version, auto)| (name, (version, auto)))
            .collect();
        let paragraph = |(name, (version, _)): (&String, &(String, bool))| {
            format!("Package: {name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {version}\n\n")
        };
        let mark = |(name, (_, auto)): (&String, &(String, bool))| {
            format!("Package: {name}\nArchitecture: amd64\nAuto-Installed: {}\n\n", u8::from(*auto))
        };
        let status: String = wanted.iter().map(paragraph).collect();
        let extended: String = wanted.iter().map(mark).collect();
        let database = Database::parse(&status, &extended);
        let found: BTreeMap<String, (String, bool)> =
            database.all().map(|(name, known)| (name.to_owned(), (known.version.clone(), known.auto))).collect();
        prop_assert_eq!(found, wanted);
        Ok(())
    });
}
