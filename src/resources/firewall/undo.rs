//! Taking the firewall back: its files as they were, and the kernel's ruleset and settings as they were.

use super::live;
use super::rule::{Family, arguments_of_kept};
use super::{CONF, DEFAULTS, RULES, RULES6, observe, ufw};
use crate::base::digest::Digest;
use crate::engine::{Context, Outcome, Result, Scope, Undo};
use crate::host::{Attributes, Command, Host, Kind};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The kind of the undo record.
pub const UNDO: &str = "firewall";

/// All files that ufw changes.
const FILES: [&str; 4] = [CONF, DEFAULTS, RULES, RULES6];
/// The kernel settings that ufw makes when it is switched on (ufw-framework(8)).
const SYSCTLS: &str = "/etc/ufw/sysctl.conf";

/// What undoing needs.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct UndoFirewall {
    /// Whether it was on.
    enabled: bool,
    /// The files as they were: content (in the object store), owner and mode. A file that is not in here wasn't there.
    files: BTreeMap<String, (Digest, Attributes)>,
    /// The policies that we change, as they were, by ufw's names.
    #[serde(default)]
    policies: BTreeMap<String, String>,
    /// The rules that we add or replace, as ufw keeps them, with the one that was in the place.
    #[serde(default)]
    rules: Vec<(String, Option<String>)>,
    /// The policies of the kernel's built-in chains, for IPv4 and IPv6.
    #[serde(default)]
    kernel: [Vec<String>; 2],
    /// nft's tables that were there.
    #[serde(default)]
    tables: Vec<String>,
    /// The kernel's settings that ufw changes, by their path under /proc/sys.
    #[serde(default)]
    sysctls: BTreeMap<String, String>,
}

/// Reads the undo record of the firewall.
pub fn decode(version: u32, data: &Value) -> Result<Box<dyn Undo>> {
    crate::resources::preimage::from_data::<UndoFirewall>(UNDO, version, data)
        .map(|undo| Box::new(undo) as Box<dyn Undo>)
}

/// The settings that a sysctl.conf of ufw names, as paths below /proc/sys.
fn named(text: &str) -> Vec<String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';']));
    lines.filter_map(|line| line.split_once('=')).map(|(key, _)| key.trim().replace('.', "/")).collect()
}

/// The values of those settings; of those for all interfaces also each interface's own, because writing `default`
/// changes the interfaces, too.
fn sysctls(host: &dyn Host) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    if host.meta(Path::new(SYSCTLS))?.is_none() {
        return Ok(found);
    }
    for key in named(&String::from_utf8_lossy(&host.read(Path::new(SYSCTLS))?)) {
        let mut keys = vec![key.clone()];
        if let Some((head, tail)) = key.split_once("/conf/")
            && let Some((_, leaf)) = tail.split_once('/')
        {
            let dir = PathBuf::from(format!("/proc/sys/{head}/conf"));
            keys.extend(host.list(&dir)?.iter().map(|name| format!("{head}/conf/{}/{leaf}", name.to_string_lossy())));
        }
        for key in keys {
            let path = Path::new("/proc/sys").join(&key);
            if host.meta(&path)?.is_some() {
                found.insert(key, String::from_utf8_lossy(&host.read(&path)?).trim().to_owned());
            }
        }
    }
    Ok(found)
}

/// The digest of each file that is there.
fn digests(host: &dyn Host) -> Result<BTreeMap<String, Digest>> {
    let mut found = BTreeMap::new();
    for file in FILES {
        if host.meta(Path::new(file))?.is_some_and(|meta| meta.kind == Kind::File) {
            found.insert(file.to_owned(), Digest::of(&host.read(Path::new(file))?));
        }
    }
    Ok(found)
}

fn texts(value: &Value) -> impl Iterator<Item = &str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str)
}

impl UndoFirewall {
    /// What there is now, and what of the rules `after` changes.
    pub(super) fn capture(context: &Context<'_>, seen: &Value, after: &Value) -> Result<Self> {
        let host = context.host;
        let mut files = BTreeMap::new();
        for file in FILES {
            if let Some(meta) = host.meta(Path::new(file))? {
                let digest = context.objects.put(&host.read(Path::new(file))?)?;
                files.insert(file.to_owned(), (digest, meta.attributes));
            }
        }
        let mut rules = Vec::new();
        for key in ["rules", "rules6"] {
            let before: Vec<&str> = texts(&seen[key]).collect();
            for (at, rule) in texts(&after[key]).enumerate() {
                if before.get(at) != Some(&rule) {
                    rules.push((rule.to_owned(), before.get(at).map(|rule| (*rule).to_owned())));
                }
            }
        }
        let changed = |name: &&str| seen[*name] != after[*name];
        let policy = |name: &str| seen[name].as_str().map(|word| (name.to_owned(), word.to_owned()));
        Ok(UndoFirewall {
            enabled: seen["enabled"] == true,
            files,
            policies: ["incoming", "outgoing", "routed"].into_iter().filter(changed).filter_map(policy).collect(),
            rules,
            kernel: [
                live::policies(&live::rules(host, Family::Four)?),
                live::policies(&live::rules(host, Family::Six)?),
            ],
            tables: live::tables(host)?,
            sysctls: sysctls(host)?,
        })
    }

    /// The files that we changed, as [`settle`](Undo::settle) saw them afterwards; `None` when it didn't come to that:
    /// then what there is, is half of ours.
    fn ours(&self, after: Option<&Value>) -> Option<BTreeMap<String, Digest>> {
        let mut files: BTreeMap<String, Digest> = BTreeMap::deserialize(after?.get("files")?).ok()?;
        files.retain(|file, digest| self.files.get(file).is_none_or(|(before, _)| before != digest));
        Some(files)
    }

    /// Those of them that somebody changed after us.
    fn foreign(&self, host: &dyn Host, ours: Option<&BTreeMap<String, Digest>>) -> Result<Vec<String>> {
        let now = digests(host)?;
        let is_known = |file: &str, after: &Digest| {
            let before = self.files.get(file).map(|(before, _)| before);
            now.get(file).is_none_or(|now| now == after || before == Some(now))
        };
        let ours = ours.into_iter().flatten();
        Ok(ours.filter(|(file, after)| !is_known(file, after)).map(|(file, _)| file.clone()).collect())
    }

    /// Puts one file back; true when that changed something.
    fn restore(&self, context: &Context<'_>, file: &str) -> Result<bool> {
        let (host, path) = (context.host, Path::new(file));
        let Some((digest, attributes)) = self.files.get(file) else {
            return Ok(false);
        };
        let Some(meta) = host.meta(path)? else {
            return Ok(false);
        };
        if meta.attributes == *attributes && Digest::of(&host.read(path)?) == *digest {
            return Ok(false);
        }
        host.write(path, &context.objects.get(digest)?, attributes)?;
        Ok(true)
    }

    /// Takes our rules out of files that somebody changed, through ufw.
    fn take_out(&self, host: &dyn Host) -> Result<bool> {
        let seen = observe(host)?;
        let mut changed = false;
        for (rule, before) in &self.rules {
            let key = if rule.contains("::/0") { "rules6" } else { "rules" };
            if !texts(&seen[key]).any(|kept| kept == rule) {
                continue;
            }
            changed = true;
            match before.as_deref().and_then(arguments_of_kept) {
                // ufw puts a rule that differs only in its action into the other's place.
                Some(args) => ufw(host, args)?,
                None => {
                    let args = arguments_of_kept(rule).unwrap_or_default();
                    ufw(host, ["--force", "delete"].map(str::to_owned).into_iter().chain(without_comment(args)))?;
                }
            }
        }
        for (name, word) in self.policies.iter().filter(|(name, word)| seen[name.as_str()] != **word) {
            ufw(host, ["default", word, name])?;
            changed = true;
        }
        Ok(changed)
    }

    fn restore_sysctls(&self, host: &dyn Host) -> Result<()> {
        // `all` and `default` sort before the interfaces of most names, but not of all: those first, then the rest.
        let (general, own): (Vec<_>, Vec<_>) =
            self.sysctls.iter().partition(|(key, _)| key.contains("/conf/all/") || key.contains("/conf/default/"));
        for (key, value) in general.into_iter().chain(own) {
            let path = Path::new("/proc/sys").join(key);
            if host.meta(&path)?.is_some() && String::from_utf8_lossy(&host.read(&path)?).trim() != value {
                host.run(&Command::new("sysctl").args(["-q", "-w", &format!("{key}={value}")]))?;
            }
        }
        Ok(())
    }
}

/// ufw finds the rule to delete without its remark.
pub(super) fn without_comment(mut args: Vec<String>) -> Vec<String> {
    if let Some(at) = args.iter().position(|arg| arg == "comment") {
        args.truncate(at);
    }
    args
}

impl Undo for UndoFirewall {
    fn describe(&self, context: &Context<'_>, _: &Scope) -> Result<Vec<String>> {
        let host = context.host;
        let now = digests(host)?;
        let mut lines = Vec::new();
        for (file, (before, _)) in &self.files {
            if now.get(file).is_some_and(|digest| digest != before) {
                lines.push(format!("put back {file}"));
            }
        }
        if !self.enabled && observe(host)?["enabled"] == true {
            lines.push("switch the firewall off and take its chains out of the kernel".to_owned());
        }
        Ok(lines)
    }

    fn undo(&self, context: &Context<'_>, _: &Scope, after: Option<&Value>) -> Result<Outcome> {
        let host = context.host;
        let ours = self.ours(after);
        let foreign = self.foreign(host, ours.as_ref())?;
        let mut changed = false;
        let installed = host.has_program("ufw");
        let is_on = observe(host)?["enabled"] == true;
        if !self.enabled && is_on && installed {
            ufw(host, ["disable"])?;
            changed = true;
        }
        if !foreign.is_empty() && installed {
            changed |= self.take_out(host)?;
        }
        // `ufw disable` and `delete` changed only what is ours: the files nobody else touched still go back whole.
        let is_ours = |file: &str| ours.as_ref().is_none_or(|ours| ours.contains_key(file));
        for file in FILES.iter().filter(|file| is_ours(file) && !foreign.iter().any(|name| name == *file)) {
            changed |= self.restore(context, file)?;
        }
        // Whether or not a file was still to be put back: an undo that was cut off may not have come to this.
        if self.enabled && installed {
            ufw(host, ["reload"])?;
        }
        if !self.enabled {
            changed |= live::remove(host, &self.kernel, Some(&self.tables))?;
            self.restore_sysctls(host)?;
        }
        Ok(if !foreign.is_empty() {
            let line =
                |file: &String| format!("{file}: changed by somebody; only our own rules and policies were taken out");
            Outcome::Kept(foreign.iter().map(line).collect())
        } else if changed {
            Outcome::Undone
        } else {
            Outcome::AlreadyGone
        })
    }

    fn settle(&self, context: &Context<'_>) -> Result<Option<Value>> {
        Ok(Some(json!({"files": digests(context.host)?})))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_that_ufw_makes_are_read_from_its_file() {
        let text = "# net/a=1\n;net/b=1\n\nnet/ipv4/conf/all/accept_redirects=0\nnet.ipv4.icmp_echo_ignore_all = 0\n";
        assert_eq!(named(text), ["net/ipv4/conf/all/accept_redirects", "net/ipv4/icmp_echo_ignore_all"]);
    }
}
