//! What only the kernel knows: firewall, settings, mounts, swap, host name.

use super::{Snapshot, Subject};
use crate::harness::Trouble;
use nix::sched::{CloneFlags, setns};
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

pub fn read(subject: &Subject<'_>, snapshot: &mut Snapshot) -> Result<(), Trouble> {
    firewall(subject, snapshot)?;
    mounts(subject, snapshot)?;
    for line in fs::read_to_string("/proc/swaps").unwrap_or_default().lines().skip(1) {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let [name, kind, size, ..] = words.as_slice() {
            snapshot.note("swap", *name, [("type", (*kind).into()), ("size", (*size).into())]);
        }
    }
    for (name, value) in settings(subject.leader()).map_err(|why| format!("the sysctls: {why}"))? {
        match name.strip_prefix("legacy ") {
            Some(table) => snapshot.note("nft", format!("iptables-legacy {table}"), []),
            None => snapshot.note("sysctl", name, [("is", value)]),
        }
    }
    let name = snapshot.0.get("sysctl").and_then(|all| all.get("kernel.hostname")?.get("is").cloned());
    snapshot.note("host", "hostname", [("is", name.unwrap_or_default())]);
    Ok(())
}

/// With this side's nft, in the box's network: the box may have none. A table counts even when it's empty: a
/// leftover. Counters and timers are left out by `--stateless`.
fn firewall(subject: &Subject<'_>, snapshot: &mut Snapshot) -> Result<(), Trouble> {
    let text = subject.on_its_network("nft", &["--stateless", "list", "ruleset"])?;
    let mut table = String::new();
    let mut part: Option<(String, Vec<&str>)> = None;
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("table ") {
            table = name.trim_end_matches('{').trim().to_owned();
            snapshot.note("nft", &table, []);
        } else if let Some((name, mut rules)) = part.take() {
            if line == "\t}" {
                snapshot.note("nft", name, [("rules", rules.join("; "))]);
            } else {
                rules.push(line.trim());
                part = Some((name, rules));
            }
        } else if let Some(rest) = line.strip_prefix('\t') {
            match rest.strip_suffix(" {") {
                Some(head) => part = Some((format!("{table} {head}"), Vec::new())),
                None if rest.is_empty() => {}
                None => snapshot.note("nft", format!("{table} {rest}"), []),
            }
        }
    }
    for (family, program) in [("ip", "iptables-nft-save"), ("ip6", "ip6tables-nft-save")] {
        if snapshot.0.get("nft").is_some_and(|all| all.keys().any(|name| name.starts_with(&format!("{family} ")))) {
            iptables(family, &subject.on_its_network(program, &[])?, snapshot);
        }
    }
    Ok(())
}

/// Rules that came by iptables, as iptables has them: nft can't name all of its matches and leaves those out.
fn iptables(family: &str, text: &str, snapshot: &mut Snapshot) {
    let mut table = None;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('*') {
            table = Some((format!("{family} {name} as iptables has it"), Vec::new()));
        } else if line == "COMMIT" {
            if let Some((name, rules)) = table.take() {
                snapshot.note("nft", name, [("rules", rules.join("; "))]);
            }
        } else if let Some((_, rules)) = &mut table {
            // `:INPUT ACCEPT [12:3456]`: packets and bytes so far.
            let counted = line.starts_with(':').then(|| line.rsplit_once(" [")).flatten();
            rules.push(counted.map_or(line, |(rule, _)| rule).to_owned());
        }
    }
}

/// What tells one state folder from another, or one boot from the next, is no property of the mount.
fn mounts(subject: &Subject<'_>, snapshot: &mut Snapshot) -> Result<(), Trouble> {
    let path = subject.leader().map_or("/proc/self/mountinfo".into(), |leader| format!("/proc/{leader}/mountinfo"));
    let text = fs::read_to_string(&path).map_err(|error| format!("cannot read {path}: {error}"))?;
    let noise = ["lowerdir=", "upperdir=", "workdir=", "fd=", "pgrp=", "pipe_ino=", "uuid="];
    for line in text.lines() {
        let Some((place, kind)) = line.split_once(" - ") else {
            continue;
        };
        let place: Vec<&str> = place.split(' ').collect();
        let kind: Vec<&str> = kind.split(' ').collect();
        let ([_, _, _, _, point, options, ..], [kind, _source, super_options, ..]) =
            (place.as_slice(), kind.as_slice())
        else {
            continue;
        };
        let super_options: Vec<&str> =
            super_options.split(',').filter(|option| !noise.iter().any(|start| option.starts_with(start))).collect();
        let value = format!("{kind} {options} {}", super_options.join(","));
        let mut name = (*point).to_owned();
        // Mounts lie on one another; each counts.
        while snapshot.0.get("mount").is_some_and(|all| all.contains_key(&name)) {
            name.push_str(" (and over it)");
        }
        snapshot.note("mount", name, [("is", value)]);
    }
    Ok(())
}

/// Every setting with a write bit. /proc/sys answers for the namespaces of the thread that reads it, so a thread
/// of ours goes into the box's and ends there.
fn settings(leader: Option<i32>) -> Result<Vec<(String, String)>, Trouble> {
    let read = move || -> Result<Vec<(String, String)>, Trouble> {
        let spaces =
            [("net", CloneFlags::CLONE_NEWNET), ("uts", CloneFlags::CLONE_NEWUTS), ("ipc", CloneFlags::CLONE_NEWIPC)];
        for (leader, (name, flag)) in leader.into_iter().flat_map(|leader| spaces.map(|space| (leader, space))) {
            let path = format!("/proc/{leader}/ns/{name}");
            let file = File::open(&path).map_err(|error| format!("cannot open {path}: {error}"))?;
            setns(file, flag).map_err(|error| format!("cannot enter {path}: {error}"))?;
        }
        let mut found = Vec::new();
        walk(Path::new("/proc/sys"), "", &mut found);
        let legacy = ["ip_tables_names", "ip6_tables_names", "arp_tables_names"];
        for line in legacy.iter().filter_map(|name| fs::read_to_string(format!("/proc/thread-self/net/{name}")).ok()) {
            found.extend(line.lines().map(|table| (format!("legacy {table}"), String::new())));
        }
        Ok(found)
    };
    std::thread::spawn(read).join().map_err(|_| "the reading thread panicked".to_owned())?
}

fn walk(folder: &Path, prefix: &str, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let Ok(about) = entry.metadata() else {
            continue;
        };
        if about.is_dir() {
            walk(&entry.path(), &format!("{name}."), found);
        } else if about.mode() & 0o222 != 0
            && let Ok(value) = fs::read(entry.path())
        {
            found.push((name, String::from_utf8_lossy(&value).trim().to_owned()));
        }
    }
}
