//! The kind `sysctl`: kernel settings of one module, in one drop-in (sysctl.d(5)) and in force now.
//!
//! What is in force is read in `/proc/sys`. A key that this kernel has not, or that a container may not write, gets
//! its line in the drop-in and is not demanded live.

use super::fields;
use super::live;
use super::preimage::{self, Image, Intent, Paths};
use crate::base::count::counted;
use crate::base::ids::ResourceId;
use crate::engine::{Action, Change, Context, Error, Outcome, Resource, Result, Scope, State, Undo, UndoRecord};
use crate::host::{Attributes, Command, Host};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The kind of record that undoes kernel settings.
pub const KIND: &str = "sysctl";

/// All kernel settings of one module.
#[derive(Debug)]
pub struct Sysctl {
    id: ResourceId,
    module: String,
    path: PathBuf,
    settings: BTreeMap<String, Setting>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Setting {
    #[serde(deserialize_with = "fields::text")]
    value: String,
    #[serde(default, deserialize_with = "fields::boolean")]
    at_least: bool,
}

/// What is seen: the drop-in, and the live value of each key that can be set here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Found {
    file: Option<String>,
    live: BTreeMap<String, Option<String>>,
}

impl Sysctl {
    /// The settings that `module` declares: each key with its fields.
    ///
    /// # Errors
    /// `manifest-invalid`: a wrong key, or one declared twice.
    pub fn from_specs(module: &str, specs: &[(String, Map<String, Value>)]) -> Result<Box<dyn Resource>> {
        let mut settings = BTreeMap::new();
        for (key, fields) in specs {
            let clean = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
            if key.is_empty() || key.contains("..") || !key.chars().all(clean) {
                return Err(fields::invalid(KIND, key, module, "that is no key of the kernel"));
            }
            let mut setting: Setting = fields::read(KIND, key, fields, module)?;
            setting.value = live::one_line(&setting.value);
            if setting.at_least && numbers(&setting.value).is_none() {
                return Err(fields::invalid(KIND, key, module, "at_least needs numbers"));
            }
            if settings.insert(key.clone(), setting).is_some() {
                return Err(fields::invalid(KIND, key, module, "the key is declared twice"));
            }
        }
        let path = PathBuf::from(format!("/etc/sysctl.d/60-vps-configurator-{module}.conf"));
        Ok(Box::new(Sysctl { id: ResourceId::new(KIND, module), module: module.to_owned(), path, settings }))
    }

    /// The state that is wanted where `found` is in force. What must only be `at_least` so much keeps a higher value,
    /// and is not written down where the kernel has enough by itself.
    fn wanted(&self, found: &Found) -> Found {
        let mut lines = String::new();
        let mut wanted = BTreeMap::new();
        for (key, setting) in &self.settings {
            let is = found.live.get(key).cloned().flatten();
            let value = match &is {
                Some(is) if setting.at_least => at_least(is, &setting.value),
                _ => setting.value.clone(),
            };
            let written = found.file.as_deref().is_some_and(|text| has_line_for(text, key));
            if !setting.at_least || written || is.as_ref() != Some(&value) {
                lines.push_str(&format!("{key} = {value}\n"));
            }
            wanted.insert(key.clone(), is.map(|_| value));
        }
        let head = format!("# Written by vps-configurator (module {}); changes are overwritten.\n", self.module);
        let file = (found.file.is_some() || !lines.is_empty()).then(|| head + &lines);
        Found { file, live: wanted }
    }
}

impl Resource for Sysctl {
    fn id(&self) -> &ResourceId {
        &self.id
    }

    fn paths(&self) -> Vec<PathBuf> {
        vec![self.path.clone()]
    }

    fn observe(&self, host: &dyn Host) -> Result<State> {
        let file = match host.meta(&self.path)? {
            Some(_) => Some(String::from_utf8_lossy(&host.read(&self.path)?).into_owned()),
            None => None,
        };
        let mut found = Found { file, live: BTreeMap::new() };
        for key in self.settings.keys() {
            let path = proc_path(key);
            let can_set = match host.meta(&path)? {
                Some(meta) => meta.attributes.mode & 0o200 != 0 && !host.space(&path)?.read_only,
                None => false,
            };
            let value = if can_set { live::value(host, &path)? } else { None };
            found.live.insert(key.clone(), value);
        }
        Ok(State(preimage::to_data(KIND, &found)?))
    }

    fn compare(&self, seen: &State) -> Result<Change> {
        let found: Found = preimage::from_data(KIND, 1, &seen.0)?;
        let wanted = self.wanted(&found);
        if found == wanted {
            return Ok(Change::keep(seen));
        }
        let mut details = Vec::new();
        let mut raised = 0;
        for (key, value) in &wanted.live {
            match (found.live.get(key).cloned().flatten(), value) {
                (Some(is), Some(value)) if is != *value => {
                    raised += 1;
                    details.push(format!("{key} {is} → {value}"));
                }
                (_, None) => details.push(format!("{key}: not applicable here, takes effect on a kernel that has it")),
                _ => {}
            }
        }
        let action = if found.file.is_none() { Action::Create } else { Action::Update };
        let rewritten = if found.file == wanted.file { "" } else { "write the drop-in, " };
        let summary = format!("{rewritten}set {raised} of {}", counted(wanted.live.len(), "value"));
        let mut change = Change::new(action, summary, preimage::to_data(KIND, &wanted)?);
        change.details = details;
        Ok(change)
    }

    fn capture(&self, context: &Context<'_>, seen: &State, change: &Change) -> Result<UndoRecord> {
        let found: Found = preimage::from_data(KIND, 1, &seen.0)?;
        let after: Found = preimage::from_data(KIND, 1, &change.after.0)?;
        let text = after.file.unwrap_or_default();
        let image = Image::file(text.as_bytes(), Attributes::root(0o644));
        let mut live = BTreeMap::new();
        for (key, value) in after.live {
            if let (Some(before), Some(after)) = (found.live.get(&key).cloned().flatten(), value)
                && before != after
            {
                live.insert(key, Live { before, after });
            }
        }
        let record = Record { paths: Paths::capture(context, &[Intent::new(&self.path, image)])?, live };
        Ok(UndoRecord::new(KIND, preimage::to_data(KIND, &record)?))
    }

    fn apply(&self, context: &Context<'_>, _seen: &State, change: &Change) -> Result<()> {
        let after: Found = preimage::from_data(KIND, 1, &change.after.0)?;
        preimage::make_parents(context.host, &self.path)?;
        let text = after.file.unwrap_or_default();
        context.host.write(&self.path, text.as_bytes(), &Attributes::root(0o644))?;
        let mut wrong = Vec::new();
        for (key, value) in after.live {
            if let Some(value) = value
                && live::value(context.host, &proc_path(&key))?.as_deref() != Some(value.as_str())
            {
                wrong.push((key, value));
            }
        }
        set(context.host, &wrong)
    }
}

/// What undoing needs.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    paths: Paths,
    live: BTreeMap<String, Live>,
}

/// A live value that we changed.
#[derive(Debug, Serialize, Deserialize)]
struct Live {
    before: String,
    after: String,
}

/// Reads a record of the kind [`KIND`].
pub fn decode(version: u32, data: &Value) -> Result<Box<dyn Undo>> {
    Ok(Box::new(preimage::from_data::<Record>(KIND, version, data)?))
}

impl Undo for Record {
    fn describe(&self, context: &Context<'_>, _scope: &Scope) -> Result<Vec<String>> {
        let mut lines = self.paths.describe_restore(context.host, None)?;
        for (key, value) in &self.live {
            let is = live::value(context.host, &proc_path(key))?;
            if is.as_ref() == Some(&value.after) {
                lines.push(format!("set {key} back to {}", value.before));
            }
        }
        Ok(lines)
    }

    fn undo(&self, context: &Context<'_>, _scope: &Scope, after: Option<&Value>) -> Result<Outcome> {
        let mut restored = self.paths.restore(context, after)?;
        let mut back = Vec::new();
        for (key, value) in &self.live {
            match live::value(context.host, &proc_path(key))? {
                Some(is) if is == value.after => back.push((key.clone(), value.before.clone())),
                Some(is) if is != value.before => {
                    restored.kept.push(format!("{key}: it was set to {is} since and stays so"));
                }
                _ => {}
            }
        }
        restored.changed |= !back.is_empty();
        set(context.host, &back)?;
        Ok(restored.into())
    }
}

/// Sets live values.
fn set(host: &dyn Host, values: &[(String, String)]) -> Result<()> {
    if values.is_empty() {
        return Ok(());
    }
    let pairs = values.iter().map(|(key, value)| format!("{key}={value}"));
    match host.run(&Command::new("sysctl").args(["-q", "-w"]).args(pairs)) {
        Ok(_) => Ok(()),
        Err(error @ crate::host::Error::Failed { .. }) => {
            Err(Error::refused("sysctl-rejected", "cannot set kernel values", error.to_string()))
        }
        Err(error) => Err(error.into()),
    }
}

/// Where the value of `key` lies. As in sysctl(8), the first separator decides: with `.` first, a `/` in a name
/// stands for a dot (`net.ipv4.conf.eth0/100.rp_filter`).
pub fn proc_path(key: &str) -> PathBuf {
    let dots_first = key.find(['.', '/']).is_some_and(|i| key.as_bytes().get(i) == Some(&b'.'));
    let swap = |c| match c {
        '.' => '/',
        '/' => '.',
        other => other,
    };
    let relative: String = if dots_first { key.chars().map(swap).collect() } else { key.to_owned() };
    Path::new("/proc/sys").join(relative)
}

fn numbers(value: &str) -> Option<Vec<i128>> {
    value.split(' ').map(|n| n.parse().ok()).collect()
}

/// The greater of both, number by number; `wanted` where they can't be compared.
fn at_least(is: &str, wanted: &str) -> String {
    match (numbers(is), numbers(wanted)) {
        (Some(a), Some(b)) if a.len() == b.len() => {
            let greater: Vec<String> = a.iter().zip(&b).map(|(a, b)| a.max(b).to_string()).collect();
            greater.join(" ")
        }
        _ => wanted.to_owned(),
    }
}

fn has_line_for(text: &str, key: &str) -> bool {
    text.lines().filter_map(|line| line.split_once('=')).any(|(name, _)| name.trim() == key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::bench::{Bench, survives_every_crash};
    use serde_json::json;

    const DROP_IN: &str = "/etc/sysctl.d/60-vps-configurator-tuning.conf";

    fn sysctl(specs: Value) -> Box<dyn Resource> {
        let specs: Vec<_> = specs
            .as_object()
            .unwrap()
            .iter()
            .map(|(key, fields)| (key.clone(), fields.as_object().unwrap().clone()))
            .collect();
        Sysctl::from_specs("tuning", &specs).unwrap()
    }

    fn bench() -> Bench {
        let bench = Bench::new();
        bench.simulated("sysctl");
        bench.put("/proc/sys/vm/swappiness", "60\n");
        bench.put("/proc/sys/net/ipv4/tcp_rmem", "4096\t131072\t6291456\n");
        bench.put("/proc/sys/fs/file-max", "9223372036854775807\n");
        bench
    }

    #[test]
    fn settings_are_written_and_in_force_and_both_come_back() {
        let change = bench().there_and_back(&*sysctl(json!({
            "vm.swappiness": {"value": 10},
            "net.ipv4.tcp_rmem": {"value": "4096 87380 134217728", "at_least": true},
            "fs.file-max": {"value": "100000", "at_least": "true"},
        })));
        assert_eq!(
            change.details,
            ["net.ipv4.tcp_rmem 4096 131072 6291456 → 4096 131072 134217728", "vm.swappiness 60 → 10"]
        );
        let file = change.after.0["file"].as_str().unwrap();
        assert!(file.contains("net.ipv4.tcp_rmem = 4096 131072 134217728\nvm.swappiness = 10\n"));
        assert!(!file.contains("file-max"), "what is enough already is not written down: {file}");
    }

    #[test]
    fn a_key_that_this_kernel_has_not_is_written_and_not_demanded() {
        let bench = bench();
        let change = bench.there_and_back(&*sysctl(json!({"kernel.nosuch": {"value": "1"}})));
        assert!(change.details[0].contains("not applicable here"));
    }

    #[test]
    fn a_live_value_that_was_turned_is_seen_though_the_file_is_as_we_left_it() {
        let bench = bench();
        let resource = sysctl(json!({"vm.swappiness": {"value": 10}}));
        let _step = bench.step(&*resource);
        bench.put("/proc/sys/vm/swappiness", "90\n");
        let (_, change) = bench.plan(&*resource);
        assert_eq!(change.summary, "set 1 of 1 value");
    }

    #[test]
    fn what_somebody_set_since_stays_on_rollback() {
        let bench = bench();
        let step = bench.step(&*sysctl(json!({"vm.swappiness": {"value": 10}})));
        bench.put("/proc/sys/vm/swappiness", "33\n");
        assert!(matches!(step.undo(), Outcome::Kept(lines) if lines[0].contains("33")));
        assert!(!bench.at(DROP_IN).exists());
        assert_eq!(bench.text("/proc/sys/vm/swappiness"), "33\n");
    }

    #[test]
    fn what_must_be_at_least_so_much_follows_a_higher_value_up_and_never_down() {
        let bench = bench();
        let resource = sysctl(json!({"vm.swappiness": {"value": 70, "at_least": true}}));
        let _step = bench.step(&*resource);
        bench.put("/proc/sys/vm/swappiness", "95\n");
        let change = bench.step(&*resource).change;
        assert_eq!(change.after.0["live"]["vm.swappiness"], "95");
        assert!(bench.text(DROP_IN).contains("vm.swappiness = 95\n"));
    }

    #[test]
    fn no_crash_leaves_half_a_setting() {
        survives_every_crash(|| (bench(), sysctl(json!({"vm.swappiness": {"value": 10}}))));
    }

    #[test]
    fn keys_become_paths_as_sysctl_reads_them() {
        assert_eq!(
            proc_path("net.ipv4.conf.eth0/100.rp_filter"),
            Path::new("/proc/sys/net/ipv4/conf/eth0.100/rp_filter")
        );
        assert_eq!(proc_path("net/ipv4/ip_forward"), Path::new("/proc/sys/net/ipv4/ip_forward"));
    }
}
