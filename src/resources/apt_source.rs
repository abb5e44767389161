//! The kind `apt_source`: an archive that apt may take packages from, and the key that it must be signed with.
//!
//! Two files: `/etc/apt/sources.list.d/<name>-vps-configurator.sources` (deb822, sources.list(5)) and
//! `/etc/apt/keyrings/<name>-vps-configurator.asc`. The key's fingerprint is checked before anything trusts it.

use super::fields;
use super::openpgp;
use super::package::PlannedSource;
use super::preimage::{self, Image, Intent, Paths};
use super::seen::{Owned, Seen};
use crate::base::ids::ResourceId;
use crate::engine::{Action, Change, Context, Error, Resource, Result, State, UndoRecord};
use crate::host::{Attributes, Host};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// An apt source with its key.
#[derive(Debug, Clone)]
pub struct AptSource {
    id: ResourceId,
    planned: PlannedSource,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    #[serde(deserialize_with = "fields::list")]
    uris: Vec<String>,
    #[serde(deserialize_with = "fields::list")]
    suites: Vec<String>,
    #[serde(default, deserialize_with = "fields::list")]
    components: Vec<String>,
    #[serde(default, deserialize_with = "fields::list")]
    architectures: Vec<String>,
    #[serde(default)]
    key: String,
    #[serde(default)]
    key_text: String,
    fingerprint: String,
    #[serde(default, rename = "before_packages", deserialize_with = "fields::boolean")]
    _before_packages: bool,
}

impl AptSource {
    /// The source `name` as a manifest declares it; `key` holds the armoured key itself, read from the module's file.
    ///
    /// # Errors
    /// `apt-key-mismatch` when the file holds other keys than the declared ones, or more.
    pub fn read(name: &str, fields: &Map<String, Value>, module: &str) -> Result<AptSource> {
        let invalid = |why: &str| fields::invalid("apt_source", name, module, why);
        let is_word =
            |n: &str| !n.is_empty() && n.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        if !is_word(name) {
            return Err(invalid("the name must be of lower-case letters, digits and hyphens"));
        }
        let mut fields: Fields = fields::read("apt_source", name, fields, module)?;
        if fields.key.is_empty() != fields.key_text.is_empty() {
            fields.key.push_str(&fields.key_text);
        } else {
            return Err(invalid("it needs the key of the archive: either key, a file of the module, or key_text"));
        }
        if fields.uris.is_empty() || fields.suites.is_empty() {
            return Err(invalid("uris and suites must not be empty"));
        }
        let lists = [&fields.uris, &fields.suites, &fields.components, &fields.architectures];
        if lists.iter().any(|l| l.iter().any(|w| w.is_empty() || w.contains(char::is_whitespace))) {
            return Err(invalid("uris, suites, components and architectures are words without blanks"));
        }
        check(name, &fields.key, &fields.fingerprint, module)?;
        let key_path = PathBuf::from(format!("/etc/apt/keyrings/{name}-vps-configurator.asc"));
        let path = PathBuf::from(format!("/etc/apt/sources.list.d/{name}-vps-configurator.sources"));
        let text = deb822(&fields, module, &key_path);
        let planned = PlannedSource { path, text, key_path, key: fields.key.into_bytes() };
        Ok(AptSource { id: ResourceId::new("apt_source", name), planned })
    }

    /// The same as a resource.
    pub fn from_spec(name: &str, fields: &Map<String, Value>, module: &str) -> Result<Box<dyn Resource>> {
        Ok(Box::new(AptSource::read(name, fields, module)?))
    }

    /// What the package transaction must know to plan with it before it is in place.
    pub fn planned(&self) -> &PlannedSource {
        &self.planned
    }

    fn wanted(&self) -> Value {
        let seen = |content: &[u8]| Seen::file(content, Owned::new(0o644, "root", "root"), false).state().0;
        json!({ "source": seen(self.planned.text.as_bytes()), "key": seen(&self.planned.key) })
    }
}

/// The declared fingerprints, in the one form: forty (or sixty-four) upper-case digits each.
pub fn wanted(fingerprint: &str) -> Vec<String> {
    let digits = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_uppercase();
    fingerprint.split(',').map(digits).collect()
}

fn check(name: &str, key: &str, fingerprint: &str, module: &str) -> Result<()> {
    let wanted = wanted(fingerprint);
    let found = openpgp::fingerprints(key).unwrap_or_default();
    if found == wanted {
        return Ok(());
    }
    let wanted = wanted.join(" and ");
    let found =
        if found.is_empty() { "no armoured key".to_owned() } else { format!("the key {}", found.join(" and ")) };
    Err(Error::Refused {
        code: "apt-key-mismatch",
        what: format!("cannot trust the apt source {name}"),
        why: format!("its file holds {found}, and the module declares {wanted}"),
        fix: vec![
            "compare the fingerprint with the one that the archive's owner publishes, and correct the wrong one"
                .to_owned(),
        ],
        module: Some(module.to_owned()),
    })
}

fn deb822(fields: &Fields, module: &str, key: &Path) -> String {
    let mut text = format!("# Written by vps-configurator for its module {module}.\nTypes: deb\n");
    for (name, words) in [
        ("URIs", &fields.uris),
        ("Suites", &fields.suites),
        ("Components", &fields.components),
        ("Architectures", &fields.architectures),
    ] {
        if !words.is_empty() {
            text.push_str(&format!("{name}: {}\n", words.join(" ")));
        }
    }
    text + &format!("Signed-By: {}\n", key.display())
}

impl Resource for AptSource {
    fn id(&self) -> &ResourceId {
        &self.id
    }

    fn paths(&self) -> Vec<PathBuf> {
        vec![self.planned.key_path.clone(), self.planned.path.clone()]
    }

    fn observe(&self, host: &dyn Host) -> Result<State> {
        let seen = |path: &Path| Ok::<Value, Error>(Seen::at(host, path, false)?.state().0);
        Ok(State(json!({ "source": seen(&self.planned.path)?, "key": seen(&self.planned.key_path)? })))
    }

    fn compare(&self, seen: &State) -> Result<Change> {
        let wanted = self.wanted();
        if seen.0 == wanted {
            return Ok(Change::keep(seen));
        }
        let is_new = seen.0.pointer("/source/is") == Some(&json!("absent"));
        let action = if is_new { Action::Create } else { Action::Update };
        let mut change = Change::new(action, format!("write {} and its key", self.planned.path.display()), wanted);
        change.details = self.planned.text.lines().skip(1).map(str::to_owned).collect();
        Ok(change)
    }

    fn capture(&self, context: &Context<'_>, _seen: &State, _change: &Change) -> Result<UndoRecord> {
        let image = |content: &[u8]| Image::file(content, Attributes::root(0o644));
        let intents = [
            Intent::new(&self.planned.key_path, image(&self.planned.key)),
            Intent::new(&self.planned.path, image(self.planned.text.as_bytes())),
        ];
        Paths::capture(context, &intents)?.record()
    }

    fn apply(&self, context: &Context<'_>, _seen: &State, _change: &Change) -> Result<()> {
        let files =
            [(&self.planned.key_path, self.planned.key.as_slice()), (&self.planned.path, self.planned.text.as_bytes())];
        for (path, content) in files {
            preimage::make_parents(context.host, path)?;
            context.host.write(path, content, &Attributes::root(0o644))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::bench::{Bench, survives_every_crash};
    use crate::resources::openpgp::tests::{FINGERPRINT, KEY};

    fn source(fingerprint: &str) -> Result<Box<dyn Resource>> {
        let fields = json!({
            "uris": "https://download.docker.com/linux/debian", "suites": ["trixie"], "components": ["stable"],
            "architectures": ["amd64"], "key": KEY, "fingerprint": fingerprint,
        });
        AptSource::from_spec("docker", fields.as_object().unwrap(), "docker")
    }

    #[test]
    fn a_source_and_its_key_come_and_go() {
        let bench = Bench::new();
        let change = bench.there_and_back(&*source(FINGERPRINT).unwrap());
        assert_eq!(change.details[1], "URIs: https://download.docker.com/linux/debian");
        survives_every_crash(|| (Bench::new(), source(&FINGERPRINT.to_lowercase()).unwrap()));
    }

    #[test]
    fn another_key_than_the_declared_one_is_never_trusted() {
        let error = source("0123456789012345678901234567890123456789").unwrap_err();
        assert!(matches!(error, Error::Refused { code: "apt-key-mismatch", .. }), "{error}");
    }
}
