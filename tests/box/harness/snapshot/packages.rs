//! Packages with version, state and mark, read from the databases themselves: asking apt would touch its caches.

use super::Snapshot;
use crate::harness::Trouble;
use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::Path;

pub fn read(disk: &Path, snapshot: &mut Snapshot) -> Result<(), Trouble> {
    let text = |path: &str| {
        let path = disk.join(path);
        fs::read_to_string(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))
    };
    let status = text("var/lib/dpkg/status")?;
    // Not there until apt installed something.
    let marks = text("var/lib/apt/extended_states").unwrap_or_default();
    let automatic: HashSet<String> = stanzas(&marks)
        .filter(|fields| fields.get("Auto-Installed") == Some(&"1"))
        .filter_map(|fields| name(&fields))
        .collect();
    for fields in stanzas(&status) {
        let (Some(name), Some(state)) = (name(&fields), fields.get("Status")) else {
            continue;
        };
        // Known to dpkg, but neither it nor its configuration is here.
        if state.ends_with(" not-installed") {
            continue;
        }
        let mark = if automatic.contains(&name) { "auto" } else { "manual" };
        let version = fields.get("Version").unwrap_or(&"none").to_string();
        let attributes = [("version", version), ("state", state.to_string()), ("mark", mark.to_owned())];
        snapshot.note("package", name, attributes);
    }
    let diversions = text("var/lib/dpkg/diversions").unwrap_or_default();
    for lines in diversions.lines().collect::<Vec<_>>().chunks_exact(3) {
        snapshot.note("diversion", lines[0], [("to", lines[1].into()), ("by", lines[2].into())]);
    }
    for line in text("var/lib/dpkg/statoverride").unwrap_or_default().lines() {
        if let Some((rule, path)) = line.rsplit_once(' ') {
            snapshot.note("statoverride", path, [("rule", rule.into())]);
        }
    }
    Ok(())
}

fn stanzas(text: &str) -> impl Iterator<Item = HashMap<&str, &str>> {
    text.split("\n\n").map(|stanza| {
        let lines = stanza.lines().filter(|line| !line.starts_with(' '));
        lines.filter_map(|line| line.split_once(": ")).collect()
    })
}

/// dpkg says `all` where apt says the machine's own architecture; the mark is looked up under either.
fn name(fields: &HashMap<&str, &str>) -> Option<String> {
    Some((*fields.get("Package")?).to_owned())
}
