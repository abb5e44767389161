//! Where what is installed comes from: what modules pin, whether what stands on this host is what was pinned when it came,
//! every source that apt takes packages from, and each download that was made.

use crate::base::yaml::{Node as Yaml, Value as YamlValue};
use crate::engine::{Recipe, Resource, Result, UndoRecord};
use crate::host::{Host, read_text};
use crate::journal::{Journal, StepRow};
use crate::modules::catalogue::Catalogue;
use crate::modules::declaration::Declaration;
use crate::modules::manifest::Manifest;
use crate::resources::apt_source::{self, AptSource};
use crate::resources::download::Download;
use crate::resources::{Spec, openpgp, package};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// apt's sources.
const LIST: &str = "/etc/apt/sources.list";
/// The folder with more of them.
const PARTS: &str = "/etc/apt/sources.list.d";
/// The two kinds of resources that bring something by themselves.
const KINDS: [&str; 2] = ["apt_source", "download"];

/// What a module of this host pins, enabled or not. Templates stand as they are written: an option fills them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pin {
    /// The module.
    pub module: String,
    /// The resource.
    pub resource: String,
    /// Where it comes from.
    pub from: Vec<String>,
    /// The fingerprints of the keys, or the SHA-256.
    pub pinned: String,
    /// The architectures that the module is for; empty: any.
    pub architectures: Vec<String>,
    /// Why it can't be right.
    pub finding: Option<String>,
}

/// A pinned resource that stands on this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// The module.
    pub module: String,
    /// The resource.
    pub resource: String,
    /// The transaction that brought it.
    pub transaction: i64,
    /// Where it comes from.
    pub from: Vec<String>,
    /// The fingerprints of the keys, or the SHA-256.
    pub pinned: String,
    /// The files that it is.
    pub paths: Vec<PathBuf>,
    /// What differs from it now.
    pub finding: Option<String>,
}

/// A source that apt takes packages from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Source {
    /// The file that it stands in.
    pub path: PathBuf,
    /// Where it is.
    pub uris: Vec<String>,
    /// Its suites.
    pub suites: Vec<String>,
    /// The key that it must be signed by: a file, a fingerprint, `(the key itself)`; `None`: any that apt trusts.
    pub signed_by: Option<String>,
    /// Why its packages are not safe.
    pub finding: Option<String>,
}

/// Something that was fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fetched {
    /// The transaction.
    pub transaction: i64,
    /// When, nanoseconds since the epoch.
    pub at: i64,
    /// The module; several of them.
    pub modules: Vec<String>,
    /// The address of a file.
    pub url: Option<String>,
    /// The checksum that was pinned.
    pub sha256: Option<String>,
    /// The packages, `name version`, that apt brought from its sources, each by the checksum in a signed list.
    pub packages: Vec<String>,
    /// Whether it stands.
    pub stands: bool,
}

/// All of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SupplyChain {
    /// What modules pin.
    pub pins: Vec<Pin>,
    /// What stands.
    pub standing: Vec<Standing>,
    /// apt's sources.
    pub sources: Vec<Source>,
    /// What was fetched, newest first.
    pub downloads: Vec<Fetched>,
}

impl SupplyChain {
    /// Looks at the modules, the host, and the journal, when there is one.
    pub fn look(host: &dyn Host, catalogue: &Catalogue, journal: Option<&Journal>) -> Result<SupplyChain> {
        let declared = catalogue.iter().flat_map(|module| module.resources.iter().map(move |it| (module, it)));
        let mut all = SupplyChain {
            pins: declared
                .filter(|(_, it)| KINDS.contains(&it.kind.name))
                .map(|(module, it)| pin(host, module, it))
                .collect::<Result<_>>()?,
            sources: sources(host)?,
            ..SupplyChain::default()
        };
        let Some(journal) = journal else { return Ok(all) };
        for step in journal.standing()?.iter().filter(|step| step.removes.is_none()) {
            if KINDS.contains(&step.resource.kind()) {
                all.standing.extend(standing(host, step)?);
            }
        }
        for row in journal.transactions()? {
            let steps = journal.steps(row.id)?;
            all.downloads.extend(steps.iter().filter(|step| step.removes.is_none()).filter_map(fetched));
        }
        Ok(all)
    }

    /// What is not as it should be, a line each.
    pub fn findings(&self) -> Vec<String> {
        let pins = self.pins.iter().filter_map(|it| Some((&it.resource, it.finding.as_ref()?)));
        let standing = self.standing.iter().filter_map(|it| Some((&it.resource, it.finding.as_ref()?)));
        let lines = pins.chain(standing).map(|(resource, why)| format!("{resource}: {why}"));
        let sources = self.sources.iter().filter_map(|it| Some((it.path.display(), it.finding.as_ref()?)));
        lines.chain(sources.map(|(path, why)| format!("{path}: {why}"))).collect()
    }
}

/// The texts of a field, as they are written.
fn written(declaration: &Declaration, field: &str) -> Vec<String> {
    let text = |node: &Yaml| match &node.value {
        YamlValue::Text(text) => text.clone(),
        _ => node.raw.clone(),
    };
    let node = declaration.fields.iter().find(|(schema, _)| schema.name == field).map(|(_, node)| node);
    match node {
        Some(node) => node.as_list().map_or_else(|| vec![text(node)], |list| list.iter().map(text).collect()),
        None => Vec::new(),
    }
}

fn pin(host: &dyn Host, module: &Manifest, it: &Declaration) -> Result<Pin> {
    let one = |field: &str| written(it, field).join(" ");
    let is_source = it.kind.name == "apt_source";
    let (from, pinned) = match is_source {
        true => (written(it, "uris"), one("fingerprint")),
        false => (written(it, "url"), one("sha256")),
    };
    let key = module.content(host, &one("key"))?;
    let finding = key.filter(|_| !pinned.contains("{{")).and_then(|key| {
        let found = openpgp::fingerprints(&String::from_utf8_lossy(&key)).unwrap_or_default();
        (found != apt_source::wanted(&pinned)).then(|| format!("its key file holds {}", in_words(&found)))
    });
    Ok(Pin {
        module: module.name.clone(),
        resource: format!("{}:{}", it.kind.name, it.subject.as_text().unwrap_or_default()),
        from,
        pinned,
        architectures: module.requires.architectures.clone(),
        finding,
    })
}

fn in_words(fingerprints: &[String]) -> String {
    if fingerprints.is_empty() { "no key".to_owned() } else { format!("the key {}", fingerprints.join(" and ")) }
}

/// What a step was asked for; `None` in steps of versions that did not keep it.
fn spec(step: &StepRow) -> Option<Spec> {
    let recipe = Recipe::read(step.recipe.as_ref()?).ok()?;
    serde_json::from_value(recipe.parts.into_iter().next()?.spec).ok()
}

fn standing(host: &dyn Host, step: &StepRow) -> Result<Option<Standing>> {
    let Some(spec) = spec(step) else { return Ok(None) };
    let mut finding = None;
    let (resource, from, pinned): (Box<dyn Resource>, _, _) = match spec.kind {
        "apt_source" => {
            let source = AptSource::read(&spec.name, &spec.fields, &spec.module)?;
            let pinned = spec.text("fingerprint").unwrap_or_default().to_owned();
            let path = &source.planned().key_path;
            let found = openpgp::fingerprints(&read_text(host, path)?).unwrap_or_default();
            if found != apt_source::wanted(&pinned) {
                finding = Some(format!("{} holds {}, not the pinned one", path.display(), in_words(&found)));
            }
            (Box::new(source), spec.list("uris"), pinned)
        }
        _ => {
            let from = spec.text("url").map(str::to_owned).into_iter().collect();
            let pinned = spec.text("sha256").unwrap_or_default().to_owned();
            (Download::from_spec(&spec.name, &spec.fields, &spec.module)?, from, pinned)
        }
    };
    if finding.is_none() {
        // What stands in the way of it is no reason to stop here: the pins are of all the others, too.
        let change = resource.observe(host).and_then(|seen| resource.compare(&seen));
        finding = match change {
            Ok(change) if !change.is_needed() => None,
            Ok(change) => Some(format!("not as it was brought; an install would: {}", change.summary)),
            Err(error) => Some(error.to_string()),
        };
    }
    Ok(Some(Standing {
        module: step.module.clone(),
        resource: step.resource.to_string(),
        transaction: step.tx.0,
        from,
        pinned,
        paths: resource.paths(),
        finding,
    }))
}

fn fetched(step: &StepRow) -> Option<Fetched> {
    let record: Option<UndoRecord> = step.undo.as_ref().and_then(|undo| serde_json::from_value(undo.clone()).ok());
    let packages = record.as_ref().map(package::brought).unwrap_or_default();
    let spec = spec(step).filter(|spec| spec.kind == "download");
    let is_download = step.resource.kind() == "download" && record.is_some();
    if packages.is_empty() && !is_download {
        return None;
    }
    let text = |field: &str| Some(spec.as_ref()?.text(field)?.to_owned());
    Some(Fetched {
        transaction: step.tx.0,
        at: step.started,
        modules: if step.shared.is_empty() { vec![step.module.clone()] } else { step.shared.clone() },
        url: text("url"),
        sha256: text("sha256"),
        packages,
        stands: step.state.stands(),
    })
}

/// Every source that apt takes packages from.
pub fn sources(host: &dyn Host) -> Result<Vec<Source>> {
    let mut found = lines(Path::new(LIST), &read_text(host, LIST)?);
    for name in host.list(Path::new(PARTS))? {
        let path = Path::new(PARTS).join(name);
        match path.extension().and_then(|end| end.to_str()) {
            Some("list") => found.extend(lines(&path, &read_text(host, &path)?)),
            Some("sources") => found.extend(stanzas(&path, &read_text(host, &path)?)),
            _ => {}
        }
    }
    Ok(found)
}

fn is_yes(value: &str) -> bool {
    ["yes", "true", "with", "on", "enable", "1"].contains(&value.to_lowercase().as_str())
}

/// What apt is told to take though nobody signed for it.
fn unsigned(options: &[(String, String)]) -> Option<String> {
    let off = ["trusted", "allow-insecure", "allow-weak", "allow-downgrade-to-insecure"];
    let option = options.iter().find(|(name, value)| off.contains(&name.as_str()) && is_yes(value))?;
    Some(format!("{} is set: its packages are taken without a good signature", option.0))
}

/// One source a line (sources.list(5)): `deb [signed-by=KEY] URI SUITE COMPONENT...`.
fn lines(path: &Path, text: &str) -> Vec<Source> {
    let source = |line: &str| {
        let rest = line.trim().strip_prefix("deb")?.strip_prefix([' ', '\t'])?.trim_start();
        let (options, rest) = match rest.strip_prefix('[') {
            Some(rest) => rest.split_once(']')?,
            None => ("", rest),
        };
        let pairs = options.split_whitespace().filter_map(|option| option.split_once('='));
        let options: Vec<_> = pairs.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
        let mut words = rest.split_whitespace().map(str::to_owned);
        Some(Source {
            path: path.to_owned(),
            uris: vec![words.next()?],
            suites: vec![words.next()?],
            signed_by: options.iter().find(|(name, _)| name == "signed-by").map(|(_, value)| value.clone()),
            finding: unsigned(&options),
        })
    };
    text.lines().filter_map(source).collect()
}

/// Sources in deb822 (sources.list(5)).
fn stanzas(path: &Path, text: &str) -> Vec<Source> {
    let text: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let stanza = |lines: &[&str]| {
        let mut fields: Vec<(String, String)> = Vec::new();
        for line in lines {
            match (line.starts_with([' ', '\t']), line.split_once(':'), fields.last_mut()) {
                (true, _, Some((_, value))) => *value = format!("{value} {}", line.trim()),
                (false, Some((name, value)), _) => fields.push((name.to_lowercase(), value.trim().to_owned())),
                _ => {}
            }
        }
        let field = |name: &str| fields.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str());
        let words = |name: &str| field(name).unwrap_or_default().split_whitespace().map(str::to_owned).collect();
        let is_off = field("enabled").is_some_and(|value| !is_yes(value));
        let is_binary = field("types").is_some_and(|types| types.split_whitespace().any(|it| it == "deb"));
        let key = |value: &str| if value.contains("BEGIN PGP") { "(the key itself)".into() } else { value.to_owned() };
        (is_binary && !is_off).then(|| Source {
            path: path.to_owned(),
            uris: words("uris"),
            suites: words("suites"),
            signed_by: field("signed-by").map(key),
            finding: unsigned(&fields),
        })
    };
    text.split(|line| line.trim().is_empty()).filter_map(stanza).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_of_both_forms_are_read_with_their_keys_and_what_makes_them_unsafe() {
        let path = Path::new("/x");
        let found = lines(
            path,
            "# deb http://off x main\ndeb [arch=amd64 signed-by=/k.asc] http://a trixie main\ndeb\t[trusted=yes] http://b x/\ndeb-src http://c x main\n",
        );
        assert_eq!((found[0].uris[0].as_str(), found[0].signed_by.as_deref()), ("http://a", Some("/k.asc")));
        assert_eq!((found.len(), found[0].finding.is_none(), found[1].finding.is_some()), (2, true, true));
        let found = stanzas(
            path,
            "# one\nTypes: deb deb-src\nURIs: http://a\n http://b\nSuites: trixie\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n\n\
             Types: deb\nEnabled: no\nURIs: http://off\n\nTypes: deb\nURIs: http://c\nSuites: x/\nAllow-Insecure: yes\n",
        );
        let lower = lines(path, "deb [allow-downgrade-to-insecure=yes] http://d trixie main\n");
        assert!(lower[0].finding.as_deref().unwrap().starts_with("allow-downgrade-to-insecure is set"));
        assert_eq!(found[0].uris, ["http://a", "http://b"]);
        assert_eq!((found.len(), found[0].signed_by.as_deref()), (2, Some("(the key itself)")));
        assert!(found[1].finding.as_deref().unwrap().starts_with("allow-insecure is set"));
    }
}
