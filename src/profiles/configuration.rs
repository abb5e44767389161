//! The checked outcome of all layers.

use super::settings::Settings;
use crate::base::yaml::{Source, Span};
use crate::modules::expand::OptionValues;
use serde::{Serialize, Serializer};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The module's manifest, or the program itself.
    Default,
    /// A file, at a place.
    File {
        /// The file.
        file: String,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
    },
    /// An option of the command line: `--set`, `--profile`, `--module`.
    Flag(&'static str),
    /// A module that depends on it.
    NeededBy(String),
}

impl Origin {
    /// The place of a value in a source; the source `--set` is the command line.
    pub fn at(source: &Source, span: Span) -> Origin {
        match source.name.as_str() {
            "--set" => Origin::Flag("--set"),
            _ => Origin::File { file: source.name.clone(), line: span.line, column: span.column },
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File { file, line, column } => write!(f, "{file}:{line}:{column}"),
            Origin::Flag(flag) => f.write_str(flag),
            Origin::NeededBy(module) => write!(f, "needed by {module}"),
        }
    }
}

impl Serialize for Origin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A value and where it comes from.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Valued {
    /// The value, of its option's type.
    pub value: Value,
    /// Where it comes from.
    pub origin: Origin,
}

/// A module that is enabled, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EnabledModule {
    /// Its name.
    pub name: String,
    /// What enabled it.
    pub origin: Origin,
}

/// The checked configuration.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// The chosen profile.
    pub profile: Option<Valued>,
    /// The profile and what it extends, outermost ancestor first.
    pub chain: Vec<String>,
    /// The enabled modules, in load order.
    pub enabled: Vec<EnabledModule>,
    /// Every option of every module there is, by module and path. Those of modules that aren't enabled are here too.
    pub modules: BTreeMap<String, BTreeMap<String, Valued>>,
    /// The program's settings.
    pub settings: Settings,
    /// The same with their origins: `apply.workers`.
    pub setting_values: BTreeMap<String, Valued>,
    /// Modules that a layer switched off or on, whether or not that decided: what `modules.<name>.enabled` shows.
    pub(super) switches: BTreeMap<String, (bool, Origin)>,
}

impl Configuration {
    /// The names of the enabled modules, in load order.
    pub fn order(&self) -> Vec<String> {
        self.enabled.iter().map(|module| module.name.clone()).collect()
    }

    /// The option values of the enabled modules, as [`expand`](crate::modules::expand()) takes them.
    pub fn option_values(&self) -> OptionValues {
        let plain = |name: &String| {
            let values = self.modules.get(name).into_iter().flatten();
            values.map(|(path, valued)| (path.clone(), valued.value.clone())).collect()
        };
        self.enabled.iter().map(|module| (module.name.clone(), plain(&module.name))).collect()
    }
}
