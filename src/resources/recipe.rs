//! Recipes of resources, and following them: what a step needs to be made anew once its module no longer asks for it.

use super::access::AccessRules;
use super::account_file;
use super::assembly::{Assembly, assemble};
use super::preimage::{Intent, Paths};
use super::spec::Spec;
use super::user_undo::UndoUser;
use crate::base::paths::{GROUP, PASSWD};
use crate::engine::recipe::{Kitchen, Part};
use crate::engine::{Context, Error, Node, Recipe, Resource, Result, UndoRecord};
use crate::host::read_text;
use serde::Deserialize;
use serde_json::json;
use std::path::PathBuf;
use std::sync::Arc;

/// How recipes of our kinds are followed.
pub const KITCHEN: Kitchen = Kitchen { remake, picture };

/// A file longer than this (bytes) is made anew from its recipe alone.
const LONGEST: u64 = 16 * 1024 * 1024;

/// What makes the resource of these specs anew. `keep_open`: the ports that no firewall may close.
pub fn write<'s>(specs: impl IntoIterator<Item = &'s Spec>, keep_open: &[u16]) -> Recipe {
    let part = |spec: &Spec| Part {
        module: spec.module.clone(),
        name: spec.name.clone(),
        spec: serde_json::to_value(spec).unwrap_or_default(),
    };
    Recipe { parts: specs.into_iter().map(part).collect(), with: json!({"keep_open": keep_open}) }
}

/// The node of a recipe. Nothing checks its files: they were in force once, among others that are made anew as well.
fn remake(context: &Context<'_>, recipe: &Recipe) -> Result<Node> {
    let bad = |why: String| Error::BadRecord { kind: "recipe".into(), why };
    let specs: Vec<Spec> = recipe
        .parts
        .iter()
        .map(|part| {
            let spec: Spec = serde_json::from_value(part.spec.clone())?;
            Ok(Spec { needs: Vec::new(), module: part.module.clone(), ..spec })
        })
        .collect::<serde_json::Result<_>>()
        .map_err(|e| bad(e.to_string()))?;
    let keep_open = recipe.with.get("keep_open").cloned().unwrap_or_default();
    let assembly = Assembly {
        keep_open: Vec::<u16>::deserialize(keep_open).unwrap_or_default(),
        fast_io: false,
        access: AccessRules::load(context.host).map_err(|e| bad(e.to_string()))?,
        is_checked: false,
        written: Arc::default(),
    };
    let mut nodes = assemble(&specs, &assembly)?.nodes;
    match (nodes.pop(), nodes.is_empty()) {
        (Some(node), true) => Ok(node),
        _ => Err(bad("it is not of one resource".to_owned())),
    }
}

fn picture(context: &Context<'_>, resource: &dyn Resource, recipe: &mut Recipe) -> Result<UndoRecord> {
    let id = resource.id();
    match id.kind() {
        "user" => {
            keep_number(recipe, "uid", &read_text(context.host, PASSWD)?, id.name());
            return UndoUser::of_present(context, id.name());
        }
        "group" => keep_number(recipe, "gid", &read_text(context.host, GROUP)?, id.name()),
        _ => {}
    }
    let mut paths: Vec<PathBuf> = Vec::new();
    for path in resource.paths() {
        if context.host.meta(&path)?.is_none_or(|meta| meta.size <= LONGEST) {
            paths.push(path);
        }
    }
    let intents: Vec<Intent<'_>> = paths.iter().map(|path| Intent::unknown(path)).collect();
    Paths::capture(context, &intents)?.record()
}

/// An account comes again with the number that it has: its files bear it.
fn keep_number(recipe: &mut Recipe, field: &str, accounts: &str, name: &str) {
    let line = account_file::fields(accounts, name);
    let number = line.and_then(|fields| fields.get(2)?.parse::<u32>().ok());
    if let (Some(number), [part]) = (number, recipe.parts.as_mut_slice()) {
        part.spec["fields"][field] = number.into();
    }
}
