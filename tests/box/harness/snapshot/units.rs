//! What systemd would start, and what it runs; the name, the zone and the languages of the host.

use super::{Snapshot, Subject};
use crate::harness::Trouble;
use std::fs;

/// One entry into the box for all questions. A unit that is loaded but idle counts as little as one that isn't
/// loaded: systemd forgets and remembers those as it likes.
const QUESTIONS: &str = r"
export LC_ALL=C
systemctl list-unit-files --no-pager --no-legend --plain | sed 's/^/file /'
systemctl list-units --no-pager --no-legend --plain --full \
    --type=service,socket,timer,path,swap,mount,automount | sed 's/^/active /'
locale -a | sed 's/^/locale /'
";

pub fn read(subject: &Subject<'_>, snapshot: &mut Snapshot) -> Result<(), Trouble> {
    let output = subject.run(&["sh", "-c", QUESTIONS])?;
    if !output.success() || !output.stdout.contains("active ") {
        return Err(format!("systemctl: {}", output.stderr.trim()));
    }
    for line in output.stdout.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["file", unit, state, ..] => snapshot.note("unit", *unit, [("enabled", (*state).into())]),
            ["active", unit, _loaded, state, ..] => snapshot.note("active", *unit, [("state", (*state).into())]),
            ["locale", name] => snapshot.note("locale", *name, []),
            _ => {}
        }
    }
    let disk = subject.disk();
    let zone = fs::read_link(disk.join("etc/localtime")).map_or("none".into(), |path| path.display().to_string());
    snapshot.note("host", "timezone", [("is", zone)]);
    for file in ["etc/default/locale", "etc/locale.conf"] {
        let text = fs::read_to_string(disk.join(file)).unwrap_or_default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            if let Some((name, value)) = line.split_once('=') {
                snapshot.note("host", format!("locale {name}"), [("is", value.into())]);
            }
        }
    }
    Ok(())
}
