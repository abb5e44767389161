//! Profiles: named YAML files that enable modules and set their options.

use super::input::Inputs;
use crate::base::yaml::{Collector, Node, Problem, Reader, Source, Span, Value, parse};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// What a first run of a profile takes, for people; not a promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Estimate {
    /// Minutes.
    pub minutes: u64,
    /// Download in MB.
    pub download_mb: u64,
    /// Room on disk in MB.
    pub disk_mb: u64,
}

/// A profile, its own file only.
#[derive(Debug, Clone, Serialize)]
pub struct Profile {
    /// Its name, the file's without `.yaml` (`name:` in it may repeat that).
    pub name: String,
    /// A short title.
    pub title: String,
    /// One line.
    pub summary: String,
    /// The profile that it extends.
    pub extends: Option<String>,
    /// What it takes.
    pub estimate: Option<Estimate>,
    /// The options that the wizard asks for, in that order, by their keys: `modules.system.hostname`. `None`: as in the
    /// profile that it extends.
    #[serde(skip)]
    pub ask: Option<Vec<Asked>>,
    /// Whether the package brought it.
    pub shipped: bool,
    /// Its file.
    pub file: String,
    #[serde(skip)]
    extends_at: Span,
    /// Its `modules:`, checked when the profile is used.
    #[serde(skip)]
    pub(super) modules: Option<Node>,
    #[serde(skip)]
    pub(super) source: Source,
}

/// A key that a profile has the wizard ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The key of a module's option.
    pub key: String,
    /// Where it is written.
    pub(super) span: Span,
}

/// All profiles there are.
#[derive(Debug, Clone, Default)]
pub struct Profiles(BTreeMap<String, Profile>);

impl Profiles {
    /// Reads the heads of all profiles; what is wrong is told to the collector.
    pub fn read(inputs: &Inputs, collector: &Collector) -> Profiles {
        let mut all: BTreeMap<String, Profile> = BTreeMap::new();
        for (source, shipped) in &inputs.profiles {
            let Some(profile) = Profile::read(source, *shipped, collector) else {
                continue;
            };
            match all.get(&profile.name) {
                Some(first) => {
                    let what = if first.shipped {
                        "one that comes with the package can't be replaced"
                    } else {
                        "there are two"
                    };
                    let message = format!(
                        "the profile \"{}\" is in {} and in {}; {what}",
                        profile.name, first.file, profile.file
                    );
                    let hint =
                        format!("give the one in {} another name, and let it extend {}", profile.file, profile.name);
                    collector.add(Problem::anywhere("profile-replaces", message).hint(hint));
                }
                None => {
                    all.insert(profile.name.clone(), profile);
                }
            }
        }
        Profiles(all)
    }

    /// The profile of that name.
    pub fn get(&self, name: &str) -> Option<&Profile> {
        self.0.get(name)
    }

    /// All profiles, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Profile> {
        self.0.values()
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.0.keys().map(String::as_str)
    }

    /// The profile and what it extends, outermost ancestor first.
    ///
    /// # Errors
    /// A profile that does not exist (`unknown` makes the problem at the place that names it), or profiles that
    /// extend each other in a circle.
    pub fn chain(&self, name: &str, unknown: Problem) -> Result<Vec<&Profile>, Problem> {
        let mut chain: Vec<&Profile> = Vec::new();
        let mut next = Some((name.to_owned(), unknown));
        while let Some((name, unknown)) = next {
            let Some(profile) = self.get(&name) else {
                let near = crate::base::yaml::nearest(&name, self.names());
                let near = near.map(|near| format!("did you mean \"{near}\"? ")).unwrap_or_default();
                let names: Vec<&str> = self.names().collect();
                return Err(unknown.hint(format!("{near}there are: {}", names.join(", "))));
            };
            if let Some(start) = chain.iter().position(|p| p.name == name) {
                let mut path: Vec<&str> = chain[start..].iter().map(|p| p.name.as_str()).collect();
                path.push(&name);
                let last = chain[chain.len() - 1];
                let message = format!("profiles extend each other: {}", path.join(" -> "));
                return Err(Problem::at(&last.source, last.extends_at, "profile-cycle", message));
            }
            chain.push(profile);
            next = profile.extends.clone().map(|parent| {
                let message = format!("the profile \"{parent}\" does not exist");
                (parent, Problem::at(&profile.source, profile.extends_at, "profile-unknown", message))
            });
        }
        chain.reverse();
        Ok(chain)
    }
}

impl Profile {
    fn read(source: &Source, shipped: bool, collector: &Collector) -> Option<Profile> {
        let root = parse(source).map_err(|problem| collector.add(problem)).ok()?;
        let reader = Reader::new(source, collector);
        let file =
            Path::new(&source.name).file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let mut fields = reader.map(&root, "a profile")?;
        if let Some(node) = fields.take("name")
            && reader.text(node).is_some_and(|name| name != file)
        {
            let message = format!("the profile is called {}, but its file \"{file}.yaml\"", node.described());
            reader.problem(node.span, "profile-name", message);
        }
        let mut text = |key| fields.require(key).and_then(|node| reader.text(node)).unwrap_or("").to_owned();
        let (title, summary) = (text("title"), text("summary"));
        let extends = fields.take("extends").filter(|node| node.value != Value::Null);
        let estimate = fields.take("estimate").map(|node| {
            let Some(mut fields) = reader.map(node, "estimate") else {
                return Estimate::default();
            };
            let mut number = |key| fields.integer(key, Some(0), None).and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
            let (minutes, download_mb, disk_mb) = (number("minutes"), number("download_mb"), number("disk_mb"));
            fields.finish();
            Estimate { minutes, download_mb, disk_mb }
        });
        let ask = fields.take("ask").map(|node| {
            let asked = |node: &Node| node.as_text().map(|key| Asked { key: key.to_owned(), span: node.span });
            reader.texts(node).into_iter().filter_map(asked).collect()
        });
        let modules = fields.take("modules").cloned();
        fields.finish();
        Some(Profile {
            name: file,
            title,
            summary,
            extends: extends.and_then(|node| reader.text(node)).map(str::to_owned),
            extends_at: extends.map(|node| node.span).unwrap_or_default(),
            estimate,
            ask,
            shipped,
            file: source.name.clone(),
            modules,
            source: source.clone(),
        })
    }
}
