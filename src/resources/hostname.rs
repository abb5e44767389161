//! The kind `hostname`: the name in `/etc/hostname`, in the kernel, and behind 127.0.1.1 in `/etc/hosts`, as Debian's
//! installer leaves them (hostname(5), hosts(5)). A full name (`web.example.org`) goes to `/etc/hosts`; the host itself
//! is called by its first label.

use super::fields;
use super::live;
use super::part::{self, Part};
use super::preimage::{self, Image, Intent, Paths};
use crate::base::ids::ResourceId;
use crate::engine::{Action, Change, Context, Outcome, Resource, Result, Scope, State, Undo, UndoRecord};
use crate::host::{Attributes, Command, Host};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// The kind of record that undoes a host name.
pub const KIND: &str = "hostname";

const NAME_FILE: &str = "/etc/hostname";
const HOSTS: &str = "/etc/hosts";
const LIVE: &str = "/proc/sys/kernel/hostname";
/// The address that Debian gives to a host's own name.
const ADDRESS: &str = "127.0.1.1";
/// What `/etc/hosts` holds where there was none.
const FRESH_HOSTS: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n";

/// The host's name.
#[derive(Debug)]
pub struct Hostname {
    id: ResourceId,
    full: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {}

/// What is seen: the name in the file, in the kernel, and the line of 127.0.1.1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Found {
    file: Option<String>,
    live: Option<String>,
    hosts: Option<String>,
}

impl Hostname {
    /// The host name `name`.
    ///
    /// # Errors
    /// `manifest-invalid` when it is none (RFC 1123 labels, at most 64 bytes, the kernel's limit).
    pub fn from_spec(name: &str, fields: &Map<String, Value>, module: &str) -> Result<Box<dyn Resource>> {
        let Fields {} = fields::read(KIND, name, fields, module)?;
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let label = |l: &str| {
            !l.is_empty() && l.len() <= 63 && l.chars().all(inner) && !l.starts_with('-') && !l.ends_with('-')
        };
        if name.len() > 64 || !name.split('.').all(label) {
            return Err(fields::invalid(KIND, name, module, "a host name has lower-case letters, digits and hyphens"));
        }
        Ok(Box::new(Hostname { id: ResourceId::new(KIND, name), full: name.to_owned() }))
    }

    fn short(&self) -> &str {
        self.full.split('.').next().unwrap_or(&self.full)
    }

    /// The names that stand behind 127.0.1.1, first the full one.
    fn names(&self) -> Vec<&str> {
        if self.full == self.short() { vec![self.short()] } else { vec![&self.full, self.short()] }
    }

    /// The line of 127.0.1.1 that is wanted: ours first, then those aliases that were there and are not the former name.
    fn hosts_line(&self, found: &Found) -> String {
        let mut names = self.names();
        let former = found.file.as_deref().unwrap_or_default();
        let stays = |name: &&str| name.split('.').next() != Some(former) && !self.names().contains(name);
        let present = found.hosts.as_deref().unwrap_or_default();
        if present.split_whitespace().skip(1).take(names.len()).eq(names.iter().copied()) {
            return present.to_owned();
        }
        names.extend(present.split_whitespace().skip(1).filter(stays));
        format!("{ADDRESS}\t{}", names.join(" "))
    }

    /// `/etc/hosts` as it is, as it will be, and our part of it.
    fn hosts(&self, host: &dyn Host, found: &Found) -> Result<(Vec<u8>, Part)> {
        let after = self.hosts_line(found);
        let text = match host.meta(Path::new(HOSTS))? {
            Some(_) => host.read(Path::new(HOSTS))?,
            None => FRESH_HOSTS.as_bytes().to_owned(),
        };
        let line = format!("{after}\n");
        let new = match (part::find_line(&text, is_own_line), part::find_line(&text, |l| l.starts_with(b"127.0.0.1"))) {
            (Some(range), _) => part::replace(&text, range, line.as_bytes()),
            (None, Some(local)) if text.get(..local.end).is_some_and(|t| t.ends_with(b"\n")) => {
                part::replace(&text, local.end..local.end, line.as_bytes())
            }
            (None, _) => part::append(&text, line.as_bytes()),
        };
        Ok((new, Part::Line { before: found.hosts.clone(), after }))
    }
}

impl Resource for Hostname {
    fn id(&self) -> &ResourceId {
        &self.id
    }

    fn paths(&self) -> Vec<PathBuf> {
        vec![PathBuf::from(NAME_FILE)]
    }

    fn observe(&self, host: &dyn Host) -> Result<State> {
        let hosts = match host.meta(Path::new(HOSTS))? {
            Some(_) => host.read(Path::new(HOSTS))?,
            None => Vec::new(),
        };
        let line = part::find_line(&hosts, is_own_line).and_then(|range| hosts.get(range));
        let found = Found {
            file: live::value(host, Path::new(NAME_FILE))?,
            live: live::value(host, Path::new(LIVE))?,
            hosts: line.map(|l| String::from_utf8_lossy(l).trim_end_matches('\n').to_owned()),
        };
        Ok(State(preimage::to_data(KIND, &found)?))
    }

    fn compare(&self, seen: &State) -> Result<Change> {
        let found: Found = preimage::from_data(KIND, 1, &seen.0)?;
        let short = self.short().to_owned();
        let wanted = Found { file: Some(short.clone()), live: Some(short), hosts: Some(self.hosts_line(&found)) };
        if found == wanted {
            return Ok(Change::keep(seen));
        }
        let former = found.live.as_deref().unwrap_or("no name");
        let summary = if former == self.short() {
            format!("write the name {} down", self.full)
        } else {
            format!("name the host {} instead of {former}", self.full)
        };
        let mut change = Change::new(Action::Update, summary, preimage::to_data(KIND, &wanted)?);
        if found.hosts != wanted.hosts {
            change.details.push(format!("{HOSTS}: {}", wanted.hosts.unwrap_or_default()));
        }
        Ok(change)
    }

    fn capture(&self, context: &Context<'_>, seen: &State, _change: &Change) -> Result<UndoRecord> {
        let found: Found = preimage::from_data(KIND, 1, &seen.0)?;
        let (hosts, ours) = self.hosts(context.host, &found)?;
        let (name_file, hosts_file) = (Path::new(NAME_FILE), Path::new(HOSTS));
        let name = Image::file(format!("{}\n", self.short()).as_bytes(), Attributes::root(0o644));
        let attributes = attributes(context.host, hosts_file)?;
        let intents = [Intent::new(name_file, name), Intent::part(hosts_file, Image::file(&hosts, attributes), ours)];
        let record =
            Record { paths: Paths::capture(context, &intents)?, before: found.live, after: self.short().to_owned() };
        Ok(UndoRecord::new(KIND, preimage::to_data(KIND, &record)?))
    }

    fn apply(&self, context: &Context<'_>, seen: &State, _change: &Change) -> Result<()> {
        let host = context.host;
        let found: Found = preimage::from_data(KIND, 1, &seen.0)?;
        // The name's own line first: from the moment that the name is in force, it can be resolved.
        let (hosts, _) = self.hosts(host, &found)?;
        host.write(Path::new(HOSTS), &hosts, &attributes(host, Path::new(HOSTS))?)?;
        let name = format!("{}\n", self.short());
        host.write(Path::new(NAME_FILE), name.as_bytes(), &Attributes::root(0o644))?;
        set_live(host, self.short())
    }
}

/// What undoing needs.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    paths: Paths,
    before: Option<String>,
    after: String,
}

/// Reads a record of the kind [`KIND`].
pub fn decode(version: u32, data: &Value) -> Result<Box<dyn Undo>> {
    Ok(Box::new(preimage::from_data::<Record>(KIND, version, data)?))
}

impl Undo for Record {
    fn describe(&self, context: &Context<'_>, _scope: &Scope) -> Result<Vec<String>> {
        let mut lines = self.paths.describe_restore(context.host, None)?;
        let is = live::value(context.host, Path::new(LIVE))?;
        if let Some(before) = &self.before
            && is.as_ref() == Some(&self.after)
            && is.as_ref() != Some(before)
        {
            lines.push(format!("name the host {before} again"));
        }
        Ok(lines)
    }

    fn undo(&self, context: &Context<'_>, _scope: &Scope, after: Option<&Value>) -> Result<Outcome> {
        let mut restored = self.paths.restore(context, after)?;
        let is = live::value(context.host, Path::new(LIVE))?;
        match (&self.before, is) {
            (Some(before), Some(is)) if is == self.after && is != *before => {
                set_live(context.host, before)?;
                restored.changed = true;
            }
            (Some(before), Some(is)) if is != *before => {
                restored.kept.push(format!("the host was named {is} since and keeps that name"));
            }
            _ => {}
        }
        Ok(restored.into())
    }
}

/// Sets the kernel's name of the host. Not through hostnamed: it needs a message bus, and containers often have none.
fn set_live(host: &dyn Host, name: &str) -> Result<()> {
    if live::value(host, Path::new(LIVE))?.as_deref() != Some(name) {
        host.run(&Command::new("hostname").arg(name))?;
    }
    Ok(())
}

fn attributes(host: &dyn Host, path: &Path) -> Result<Attributes> {
    Ok(host.meta(path)?.map_or_else(|| Attributes::root(0o644), |meta| meta.attributes))
}

fn is_own_line(line: &[u8]) -> bool {
    String::from_utf8_lossy(line).split_whitespace().next() == Some(ADDRESS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::bench::{Bench, survives_every_crash};

    fn hostname(name: &str) -> Box<dyn Resource> {
        Hostname::from_spec(name, &Map::new(), "test").unwrap()
    }

    fn bench(hosts: &str) -> Bench {
        let bench = Bench::new();
        bench.simulated("hostname");
        bench.put(LIVE, "old\n");
        bench.put(NAME_FILE, "old\n");
        bench.put(HOSTS, hosts);
        bench
    }

    #[test]
    fn the_name_is_set_everywhere_and_comes_back() {
        let bench = bench("127.0.0.1 localhost\n127.0.1.1 old.example.org old vpn\n# theirs\n");
        let change = bench.there_and_back(&*hostname("web.example.org"));
        assert_eq!(change.summary, "name the host web.example.org instead of old");
        let _step = bench.step(&*hostname("web.example.org"));
        assert_eq!(bench.text(HOSTS), "127.0.0.1 localhost\n127.0.1.1\tweb.example.org web vpn\n# theirs\n");
        assert_eq!((bench.text(NAME_FILE), bench.text(LIVE)), ("web\n".to_owned(), "web\n".to_owned()));
    }

    #[test]
    fn a_missing_line_is_added_behind_localhost_and_a_missing_file_is_made() {
        let with_line = bench("127.0.0.1 localhost\n10.0.0.1 gate\n");
        let _step = with_line.step(&*hostname("web"));
        assert_eq!(with_line.text(HOSTS), "127.0.0.1 localhost\n127.0.1.1\tweb\n10.0.0.1 gate\n");
        let without = bench("");
        std::fs::remove_file(without.at(HOSTS)).unwrap();
        let _ = without.there_and_back(&*hostname("web"));
    }

    #[test]
    fn lines_that_others_added_to_hosts_survive_the_rollback() {
        let bench = bench("127.0.0.1 localhost\n127.0.1.1 old\n");
        let step = bench.step(&*hostname("web"));
        bench.put(HOSTS, bench.text(HOSTS) + "10.0.0.1 gate\n");
        assert_eq!(step.undo(), Outcome::Undone);
        assert_eq!(bench.text(HOSTS), "127.0.0.1 localhost\n127.0.1.1 old\n10.0.0.1 gate\n");
    }

    #[test]
    fn no_crash_leaves_half_a_name() {
        survives_every_crash(|| (bench("127.0.0.1 localhost\n"), hostname("web")));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for wrong in ["", "-a", "a_b", "A", "a..b", "a b"] {
            assert!(Hostname::from_spec(wrong, &Map::new(), "test").is_err(), "{wrong}");
        }
    }
}
