//! What makes a resource anew once nobody asks for it any more: kept with each step, so that taking it back because the
//! configuration dropped it can itself be taken back. The engine knows whose parts they are, and not what is in them.

use super::{Context, Error, Node, Resource, Result, UndoRecord};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeSet;

/// A resource as it was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// What was asked for: one part, or, of what several share, one for each thing and module.
    pub parts: Vec<Part>,
    /// What else was known then.
    #[serde(default)]
    pub with: Value,
}

/// One thing that a module asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// The module.
    pub module: String,
    /// The name of the thing.
    pub name: String,
    /// What its kind reads.
    pub spec: Value,
}

impl Recipe {
    /// Read back from the journal.
    pub fn read(value: &Value) -> Result<Self> {
        Recipe::deserialize(value).map_err(|e| Error::BadRecord { kind: "recipe".into(), why: e.to_string() })
    }

    /// Only what these modules asked for.
    pub fn of_modules(&self, modules: &[String]) -> Self {
        let parts = self.parts.iter().filter(|part| modules.contains(&part.module)).cloned().collect();
        Recipe { parts, with: self.with.clone() }
    }

    /// Only these things, as `module` asks for them: what it took over from another module is its own.
    pub fn of_names(&self, module: &str, names: &BTreeSet<String>) -> Self {
        let part = |name: &String| {
            let mut named = self.parts.iter().filter(|part| part.name == *name);
            let part = named.clone().find(|part| part.module == module).or(named.next())?;
            Some(Part { module: module.to_owned(), ..part.clone() })
        };
        Recipe { parts: names.iter().filter_map(part).collect(), with: self.with.clone() }
    }
}

/// How recipes are followed; handed in, for the engine knows no kinds.
#[derive(Debug, Clone, Copy)]
pub struct Kitchen {
    /// The node of a recipe.
    pub remake: fn(&Context<'_>, &Recipe) -> Result<Node>,
    /// What a resource is now beside its recipe, so that it can be put there again: the bytes of its paths, the lines of
    /// an account. What the host chose when it was made first (the number of a user) goes into the recipe.
    pub picture: fn(&Context<'_>, &dyn Resource, &mut Recipe) -> Result<UndoRecord>,
}
