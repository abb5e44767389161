//! The kind `swap`: a swap file, made without holes, formatted, switched on, and in `/etc/fstab` (swapon(8), fstab(5)).
//!
//! It is made under another name and renamed when it is complete, so what stands at its path is always a whole swap
//! file. A container can't swap: there it is not applicable.

use super::fields;
use super::part::{self, Part, Place};
use super::preimage::{self, Image, Intent, Paths};
use crate::base::ids::ResourceId;
use crate::engine::{Action, Change, Context, Error, Outcome, Resource, Result, Scope, State, Undo, UndoRecord};
use crate::host::{Attributes, Command, Host, Kind, machine};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The kind of record that undoes a swap file.
pub const KIND: &str = "swap";

const FSTAB: &str = "/etc/fstab";
const SWAPS: &str = "/proc/swaps";
const MARKER: &str = "swap";
const MIB: u64 = 1 << 20;
/// Room that must be left when the file is made, in MiB.
const RESERVE: u64 = 512;

/// A swap file.
#[derive(Debug)]
pub struct Swap {
    id: ResourceId,
    path: PathBuf,
    size_mb: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    #[serde(deserialize_with = "fields::number")]
    size_mb: u64,
}

/// What is seen of a swap file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Found {
    applicable: bool,
    /// MiB; `None` when there is no file.
    size_mb: Option<u64>,
    mode: Option<String>,
    /// Formatted as swap space.
    formatted: bool,
    on: bool,
    /// `/etc/fstab` switches it on at boot.
    at_boot: bool,
    /// The line in `/etc/fstab` is ours.
    ours: bool,
}

impl Swap {
    /// The swap file `name`.
    pub fn from_spec(name: &str, fields: &Map<String, Value>, module: &str) -> Result<Box<dyn Resource>> {
        let path = fields::path(KIND, name, module)?;
        if name.contains(char::is_whitespace) {
            return Err(fields::invalid(KIND, name, module, "a swap file's path may hold no blanks"));
        }
        let Fields { size_mb } = fields::read(KIND, name, fields, module)?;
        Ok(Box::new(Swap { id: ResourceId::new(KIND, name), path, size_mb }))
    }

    fn wanted(&self, found: &Found) -> Found {
        match self.size_mb {
            // Only what is ours is taken away.
            0 if found.ours => {
                let gone = Found { size_mb: None, mode: None, formatted: false, on: false, ..found.clone() };
                Found { at_boot: false, ours: false, ..gone }
            }
            0 => found.clone(),
            size => {
                let ours = found.ours || !found.at_boot;
                let mode = Some("0600".to_owned());
                Found { applicable: true, size_mb: Some(size), mode, formatted: true, on: true, at_boot: true, ours }
            }
        }
    }

    /// `/etc/fstab` as it is, as it will be, and our part of it.
    fn fstab(&self, host: &dyn Host, wanted: &Found) -> Result<(Vec<u8>, Part)> {
        let text = fstab_text(host)?;
        let before = part::inner(&text, MARKER).map(|b| String::from_utf8_lossy(b).into_owned());
        let line = format!("{} none swap sw 0 0\n", self.path.display());
        let new = match (wanted.ours, part::find(&text, MARKER)) {
            (true, _) => part::put(&text, MARKER, &line, Place::End),
            (false, Some(range)) => part::replace(&text, range, b""),
            (false, None) => text,
        };
        let after = if wanted.ours { line } else { String::new() };
        Ok((new, Part::Block { marker: MARKER.to_owned(), before, after }))
    }
}

impl Resource for Swap {
    fn id(&self) -> &ResourceId {
        &self.id
    }

    fn paths(&self) -> Vec<PathBuf> {
        vec![self.path.clone()]
    }

    fn exclusive(&self) -> &'static [&'static str] {
        &["fstab"]
    }

    fn observe(&self, host: &dyn Host) -> Result<State> {
        let meta = host.meta(&self.path)?;
        if let Some(meta) = &meta
            && meta.kind != Kind::File
        {
            return Err(foreign(&self.path, "it is no plain file"));
        }
        let text = fstab_text(host)?;
        let on = is_on(host, &self.path)?;
        let found = Found {
            applicable: machine::container(host)?.is_none(),
            size_mb: meta.as_ref().map(|meta| meta.size / MIB),
            mode: meta.as_ref().map(|meta| format!("{:04o}", meta.attributes.mode)),
            formatted: on || (meta.is_some() && is_formatted(host, &self.path)?),
            on,
            at_boot: has_line(&text, &self.path),
            ours: part::inner(&text, MARKER).is_some_and(|block| has_line(block, &self.path)),
        };
        Ok(State(preimage::to_data(KIND, &found)?))
    }

    fn compare(&self, seen: &State) -> Result<Change> {
        let found: Found = preimage::from_data(KIND, 1, &seen.0)?;
        let wanted = self.wanted(&found);
        if !found.applicable {
            let keep = Change::keep(seen);
            return Ok(Change { summary: "not applicable here: a container cannot swap".into(), ..keep });
        }
        if found == wanted {
            return Ok(Change::keep(seen));
        }
        if self.size_mb > 0 && found.size_mb.is_some() && !found.formatted && !found.ours {
            return Err(foreign(&self.path, "it is no swap space, and vps-configurator did not make it"));
        }
        let (action, summary) = match (found.size_mb, wanted.size_mb) {
            (_, None) => (Action::Remove, "switch it off and remove it".to_owned()),
            (None, Some(size)) => (Action::Create, format!("make a swap file of {size} MiB and switch it on")),
            (Some(is), Some(size)) if is != size => (Action::Update, format!("make it {size} MiB instead of {is}")),
            _ => (Action::Update, "switch it on, now and at boot, mode 0600".to_owned()),
        };
        Ok(Change::new(action, summary, preimage::to_data(KIND, &wanted)?))
    }

    fn room(&self, seen: &State, change: &Change) -> Result<Vec<(PathBuf, u64)>> {
        let more = more(&preimage::from_data(KIND, 1, &seen.0)?, &preimage::from_data(KIND, 1, &change.after.0)?);
        Ok(if more == 0 { Vec::new() } else { vec![(self.path.clone(), (more + RESERVE).saturating_mul(MIB))] })
    }

    fn capture(&self, context: &Context<'_>, seen: &State, change: &Change) -> Result<UndoRecord> {
        let host = context.host;
        let before: Found = preimage::from_data(KIND, 1, &seen.0)?;
        let after: Found = preimage::from_data(KIND, 1, &change.after.0)?;
        let needs_room = more(&before, &after);
        let available = host.space(&self.path)?.available / MIB;
        if needs_room > 0 && available < needs_room + RESERVE {
            let what = format!("cannot make the swap file {}", self.path.display());
            let why = format!("it needs {needs_room} MiB and {RESERVE} MiB to spare; {available} MiB are available");
            return Err(Error::refused("disk-full", what, why).fix("choose a smaller swap file, or free some room"));
        }
        let (fstab, ours) = self.fstab(host, &after)?;
        let image = Image::file(&fstab, fstab_attributes(host)?);
        let paths = Paths::capture(context, &[Intent::part(Path::new(FSTAB), image, ours)])?;
        let parents = Paths::of_missing_parents(host, &self.path)?;
        let record = Record { path: self.path.clone(), before, paths, parents };
        Ok(UndoRecord::new(KIND, preimage::to_data(KIND, &record)?))
    }

    /// Once its line is out of fstab, nothing shows that the file was ours.
    fn goes_on(&self, before: &State, _change: &Change, now: &State) -> bool {
        now != before
    }

    fn apply(&self, context: &Context<'_>, _seen: &State, change: &Change) -> Result<()> {
        let host = context.host;
        let after: Found = preimage::from_data(KIND, 1, &change.after.0)?;
        let (fstab, _) = self.fstab(host, &after)?;
        let attributes = fstab_attributes(host)?;
        match after.size_mb {
            Some(size) => {
                bring(host, &self.path, size, 0o600)?;
                switch(host, &self.path, true)?;
                host.write(Path::new(FSTAB), &fstab, &attributes)?;
            }
            None => {
                host.write(Path::new(FSTAB), &fstab, &attributes)?;
                switch(host, &self.path, false)?;
                host.remove(&self.path)?;
            }
        }
        Ok(())
    }
}

/// By how many MiB the file grows.
fn more(before: &Found, after: &Found) -> u64 {
    after.size_mb.unwrap_or(0).saturating_sub(before.size_mb.unwrap_or(0))
}

/// What undoing needs.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    path: PathBuf,
    before: Found,
    paths: Paths,
    /// The directories above it that were not there.
    #[serde(default)]
    parents: Paths,
}

/// Reads a record of the kind [`KIND`].
pub fn decode(version: u32, data: &Value) -> Result<Box<dyn Undo>> {
    Ok(Box::new(preimage::from_data::<Record>(KIND, version, data)?))
}

impl Undo for Record {
    fn describe(&self, context: &Context<'_>, _scope: &Scope) -> Result<Vec<String>> {
        let mut lines = self.paths.describe_restore(context.host, None)?;
        let there = context.host.meta(&self.path)?.is_some();
        match self.before.size_mb {
            None if there => lines.push(format!("switch off and remove {}", self.path.display())),
            Some(size) => lines.push(format!("have {} with {size} MiB again", self.path.display())),
            None => {}
        }
        Ok(lines)
    }

    fn undo(&self, context: &Context<'_>, _scope: &Scope, after: Option<&Value>) -> Result<Outcome> {
        let host = context.host;
        let mut restored = self.paths.restore(context, after)?;
        host.remove(&unfinished(&self.path))?;
        match self.before.size_mb {
            None => {
                if host.meta(&self.path)?.is_some() {
                    switch(host, &self.path, false)?;
                    host.remove(&self.path)?;
                    restored.changed = true;
                }
            }
            Some(size) => {
                let mode = self.before.mode.as_deref().and_then(|m| u32::from_str_radix(m, 8).ok()).unwrap_or(0o600);
                restored.changed |= bring(host, &self.path, size, mode)?;
                restored.changed |= switch(host, &self.path, self.before.on)?;
            }
        }
        let parents = self.parents.restore(context, None)?;
        restored.changed |= parents.changed;
        restored.kept.extend(parents.kept);
        Ok(restored.into())
    }
}

/// Makes `path` a swap file of `size` MiB with `mode`, unless it is one. Says whether anything was done.
fn bring(host: &dyn Host, path: &Path, size: u64, mode: u32) -> Result<bool> {
    let meta = host.meta(path)?;
    if let Some(meta) = &meta
        && meta.size / MIB == size
        && (is_on(host, path)? || is_formatted(host, path)?)
    {
        if meta.attributes.mode == mode {
            return Ok(false);
        }
        host.set_attributes(path, &Attributes { mode, ..meta.attributes.clone() })?;
        return Ok(true);
    }
    preimage::make_parents(host, path)?;
    let beside = unfinished(path);
    let name = beside.to_string_lossy().into_owned();
    host.write(&beside, b"", &Attributes::root(mode))?;
    let dir = path.parent().unwrap_or(Path::new("/")).to_string_lossy().into_owned();
    if host.has_program("chattr")
        && host.look(&Command::new("stat").args(["-f", "-c", "%T", &dir]))?.text().trim() == "btrfs"
    {
        // btrfs swaps only on files without copy-on-write, which can be set on an empty file alone (btrfs(5)).
        host.run(&Command::new("chattr").args(["+C", &name]))?;
    }
    let allocate = Command::new("fallocate").args(["-l", &(size * MIB).to_string(), &name]);
    match host.run(&allocate) {
        Err(crate::host::Error::Failed { .. }) => {
            let zeros = [format!("of={name}"), format!("count={size}")];
            let fixed = ["if=/dev/zero", "bs=1M", "conv=fsync", "status=none"];
            host.run(&Command::new("dd").args(fixed).args(zeros).timeout(Duration::from_secs(3600)))?;
        }
        allocated => drop(allocated?),
    }
    host.run(&Command::new("mkswap").args(["-q", &name]))?;
    switch(host, path, false)?;
    host.run(&Command::new("mv").args(["-T", &name]).arg(path.to_string_lossy()))?;
    Ok(true)
}

/// Switches the swap file on or off, unless it is so. Says whether anything was done.
fn switch(host: &dyn Host, path: &Path, on: bool) -> Result<bool> {
    if is_on(host, path)? == on {
        return Ok(false);
    }
    let program = if on { "swapon" } else { "swapoff" };
    let command = Command::new(program).arg(path.to_string_lossy()).timeout(Duration::from_secs(900));
    host.run(&command)?;
    Ok(true)
}

/// The name that the file has until it is complete.
fn unfinished(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    path.with_file_name(format!(".{name}.vps-configurator-new"))
}

fn is_on(host: &dyn Host, path: &Path) -> Result<bool> {
    if host.meta(Path::new(SWAPS))?.is_none() {
        return Ok(false);
    }
    let text = String::from_utf8_lossy(&host.read(Path::new(SWAPS))?).into_owned();
    Ok(text.lines().any(|line| line.split_whitespace().next() == path.to_str()))
}

/// Whether the file bears the mark of swap space. blkid(8) ends with 2 where it finds none.
fn is_formatted(host: &dyn Host, path: &Path) -> Result<bool> {
    let command = Command::new("blkid").args(["-p", "-s", "TYPE", "-o", "value"]).arg(path.to_string_lossy());
    Ok(host.look(&command.accept(&[0, 2]))?.text().trim() == "swap")
}

fn fstab_text(host: &dyn Host) -> Result<Vec<u8>> {
    Ok(match host.meta(Path::new(FSTAB))? {
        Some(_) => host.read(Path::new(FSTAB))?,
        None => Vec::new(),
    })
}

fn fstab_attributes(host: &dyn Host) -> Result<Attributes> {
    let meta = host.meta(Path::new(FSTAB))?;
    Ok(meta.map_or_else(|| Attributes::root(0o644), |meta| meta.attributes))
}

fn has_line(fstab: &[u8], path: &Path) -> bool {
    let mine = |line: &[u8]| {
        let line = String::from_utf8_lossy(line);
        let mut fields = line.split_whitespace();
        fields.next() == path.to_str() && fields.nth(1) == Some("swap")
    };
    part::find_line(fstab, mine).is_some()
}

fn foreign(path: &Path, why: &str) -> Error {
    Error::refused("not-a-swap-file", format!("cannot use {} for swapping", path.display()), why)
        .fix("choose another path, or move the file away")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::bench::{Bench, survives_every_crash};
    use serde_json::json;
    use std::fs;

    const HEAD: &str = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";

    fn swap(size_mb: u64) -> Box<dyn Resource> {
        Swap::from_spec("/swapfile", json!({"size_mb": size_mb.to_string()}).as_object().unwrap(), "test").unwrap()
    }

    fn bench() -> Bench {
        let bench = Bench::new();
        for program in ["fallocate", "mkswap", "swapon", "swapoff", "blkid", "mv"] {
            bench.simulated(program);
        }
        bench.put(SWAPS, HEAD);
        bench.put(FSTAB, "/dev/vda1 / ext4 defaults 0 1\n");
        bench
    }

    #[test]
    fn a_swap_file_is_made_and_goes_again() {
        let change = bench().there_and_back(&*swap(1));
        assert_eq!(change.summary, "make a swap file of 1 MiB and switch it on");
    }

    #[test]
    fn it_is_in_force_and_in_fstab_and_readable_by_root_alone() {
        let bench = bench();
        let _step = bench.step(&*swap(1));
        assert!(bench.text(SWAPS).contains("/swapfile"));
        assert!(bench.text(FSTAB).contains("/swapfile none swap sw 0 0\n"));
        let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(bench.at("/swapfile")).unwrap());
        assert_eq!(mode & 0o7777, 0o600);
    }

    #[test]
    fn another_size_and_none_come_back_too() {
        let bench = bench();
        let _first = bench.step(&*swap(1));
        assert_eq!(bench.there_and_back(&*swap(2)).summary, "make it 2 MiB instead of 1");
        assert_eq!(bench.there_and_back(&*swap(0)).action, Action::Remove);
    }

    #[test]
    fn one_that_was_switched_off_is_drift() {
        let bench = bench();
        let resource = swap(1);
        let _step = bench.step(&*resource);
        bench.put(SWAPS, HEAD);
        assert!(bench.plan(&*resource).1.is_needed());
    }

    #[test]
    fn a_foreign_swap_file_is_not_removed_and_a_foreign_file_is_refused() {
        let bench = bench();
        bench.put("/swapfile", "precious data");
        assert!(!bench.plan(&*swap(0)).1.is_needed());
        let seen = swap(1).observe(bench.host()).unwrap();
        assert!(matches!(swap(1).compare(&seen), Err(Error::Refused { code: "not-a-swap-file", .. })));
    }

    #[test]
    fn a_swap_file_larger_than_the_room_is_refused_before_anything_changes() {
        let bench = bench();
        let resource = swap(1 << 40);
        let (seen, change) = bench.plan(&*resource);
        let error = resource.capture(&bench.context(), &seen, &change).unwrap_err();
        assert!(matches!(error, Error::Refused { code: "disk-full", .. }));
    }

    #[test]
    fn in_a_container_it_is_not_applicable() {
        let bench = bench();
        bench.put("/run/systemd/container", "systemd-nspawn\n");
        let (_, change) = bench.plan(&*swap(1));
        assert!(!change.is_needed() && change.summary.starts_with("not applicable here"));
    }

    #[test]
    fn no_crash_leaves_half_a_swap_file() {
        survives_every_crash(|| (bench(), swap(1)));
    }
}
