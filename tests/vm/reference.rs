//! What an undisturbed run makes of a guest, and how much it writes for that: the measure of the disturbed ones.

use crate::guest::Guest;
use crate::harness::{Shell, Snapshot, Trouble, diff};
use crate::image::Image;
use crate::program::{must_be_settled, program, start, story};
use crate::station::Station;
use serde::{Deserialize, Serialize};
use std::fs;

#[derive(Serialize, Deserialize)]
pub struct Reference {
    pub profile: String,
    /// The guest after a boot, before anything is installed.
    pub before: Snapshot,
    /// After the install and a boot.
    pub after: Snapshot,
    /// Writes of the disk during the install.
    pub install: u64,
    /// Writes of the disk while all of it is taken back.
    pub rollback: u64,
}

impl Reference {
    /// Of this profile, from the run that was kept with the image, or from one made now.
    pub fn ready(station: &Station, image: &Image, profile: &str) -> Self {
        let path = image.beside(station, &format!("{profile}.json"));
        if let Ok(text) = fs::read_to_string(&path)
            && let Ok(reference) = serde_json::from_str(&text)
        {
            return reference;
        }
        println!("{profile}: an undisturbed run first, there and back");
        let reference = Self::made(station, image, profile);
        let text = serde_json::to_string(&reference).expect("text and numbers");
        fs::write(&path, text).unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
        reference
    }

    fn made(station: &Station, image: &Image, profile: &str) -> Self {
        let mut guest = Guest::boot(station, image);
        let before = guest.snapshot();
        let begun = guest.writes();
        start(&guest, profile);
        guest.ok("sync");
        let install = guest.writes() - begun;
        must_be_settled(&guest, profile);
        guest.reboot();
        must_be_settled(&guest, profile);
        let after = guest.snapshot();
        let begun = guest.writes();
        let output = program(&guest, "rollback --to 0 --yes");
        assert_eq!(output.code, 0, "{}\n{}\n{}", output.stdout, output.stderr, story(&guest));
        guest.ok("sync");
        let rollback = guest.writes() - begun;
        guest.reboot();
        let reference = Reference { profile: profile.to_owned(), before, after, install, rollback };
        let lines = differences(&reference.before, &guest.snapshot());
        assert!(lines.is_empty(), "taken back undisturbed, {profile} leaves:\n{}", lines.join("\n"));
        println!("{profile}: {install} writes for the install, {rollback} for the way back");
        reference
    }
}

/// A line for each difference that counts.
pub fn differences(wanted: &Snapshot, found: &Snapshot) -> Vec<String> {
    compare(wanted, found, "")
}

/// The same before a reboot: a module that the kernel has loaded stays, with the settings that it brought.
pub fn differences_but_modules(wanted: &Snapshot, found: &Snapshot) -> Vec<String> {
    compare(wanted, found, "sysctl:net.netfilter.*   # of a module that is loaded\n")
}

fn compare(wanted: &Snapshot, found: &Snapshot, more: &str) -> Vec<String> {
    let exceptions = || -> Result<Vec<_>, Trouble> {
        let mut all = diff::exceptions()?;
        all.extend(diff::exceptions_in(include_str!("may-differ.txt"))?);
        all.extend(diff::exceptions_in(more)?);
        Ok(all)
    };
    diff::compare(wanted, found, &exceptions().unwrap_or_else(|why| panic!("{why}")))
}
