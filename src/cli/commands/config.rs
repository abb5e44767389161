//! `config show|set|validate|schema`.

use super::Outcome;
use crate::base::{paths, yaml};
use crate::cli::args::{Config, Select};
use crate::cli::exit::Exit;
use crate::cli::explain::Problem;
use crate::cli::session::Session;
use crate::cli::setup;
use crate::host::Attributes;
use crate::profiles::{self, change};
use serde_json::{Map, Value, json};
use std::path::Path;

/// Runs one of them.
pub fn run(session: &Session<'_>, verb: &Config) -> Outcome {
    match verb {
        Config::Show { key, origin, profile } => show(session, key.as_deref(), *origin, profile.clone()),
        Config::Set { key, value, dry_run, .. } => set(session, key, value.as_deref(), *dry_run),
        Config::Validate { profile } => validate(session, profile.clone()),
        Config::Schema => {
            let text = String::from_utf8_lossy(&schema(session)?).into_owned();
            session.output.raw(&text);
            Ok(Exit::Done)
        }
    }
}

/// The JSON Schema, as a file.
pub fn schema(session: &Session<'_>) -> Result<Vec<u8>, Problem> {
    let value = profiles::schema(&setup::catalogue(session)?);
    Ok(format!("{}\n", serde_json::to_string_pretty(&value).unwrap_or_default()).into_bytes())
}

fn show(session: &Session<'_>, key: Option<&str>, origin: bool, profile: Option<String>) -> Outcome {
    let catalogue = setup::catalogue(session)?;
    let configuration = setup::configuration(session, &catalogue, &Select { profile, ..Select::default() })?;
    let shown = configuration.show(key)?;
    if session.output.is_json() {
        let all: Map<String, Value> = shown
            .iter()
            .map(|v| {
                let value =
                    if origin { json!({"value": v.value, "origin": v.origin.to_string()}) } else { v.value.clone() };
                (v.key.clone(), value)
            })
            .collect();
        session.output.value(&Value::Object(all));
        return Ok(Exit::Done);
    }
    let mut text = String::new();
    for value in &shown {
        text.push_str(&format!("{} = {}\n", value.key, value.value));
        if origin {
            text.push_str(&format!("    from {}\n", value.origin));
        }
    }
    session.output.text(&text);
    Ok(Exit::Done)
}

fn set(session: &Session<'_>, key: &str, value: Option<&str>, dry_run: bool) -> Outcome {
    session.require_root()?;
    let _lock = if dry_run { None } else { Some(session.lock()?) };
    let catalogue = setup::catalogue(session)?;
    let inputs = setup::inputs(session, &Select::default())?;
    let text = match value {
        Some(value) => change::set(&catalogue, &inputs, key, value)?,
        None => change::unset(&catalogue, &inputs, key)?,
    };
    let path = Path::new(paths::LOCAL_CONFIG);
    if dry_run {
        match session.output.is_json() {
            true => session.output.value(&json!({"status": "dry-run", "key": key, "path": path, "text": text})),
            false => session.output.raw(&text),
        }
        return Ok(Exit::Done);
    }
    for dir in [path.parent().and_then(Path::parent), path.parent()].into_iter().flatten() {
        if session.host.meta(dir)?.is_none() {
            session.host.make_directory(dir, &Attributes::root(0o750))?;
        }
    }
    session.host.write(path, text.as_bytes(), &Attributes::root(0o640))?;
    if session.output.is_json() {
        session.output.value(&json!({"status": "success", "key": key, "path": path}));
    } else {
        session.output.text(&format!("Written: {}\nSee what it changes: vps-configurator plan\n", path.display()));
    }
    Ok(Exit::Done)
}

fn validate(session: &Session<'_>, profile: Option<String>) -> Outcome {
    let catalogue = setup::catalogue(session)?;
    let inputs = setup::inputs(session, &Select { profile, ..Select::default() })?;
    profiles::validate(&catalogue, &inputs)?;
    if session.output.is_json() {
        session.output.value(&json!({"status": "success", "problems": []}));
    } else {
        session.output.text("The configuration is good.\n");
    }
    Ok(Exit::Done)
}

impl From<yaml::Problem> for Problem {
    fn from(problem: yaml::Problem) -> Self {
        yaml::Problems(vec![problem]).into()
    }
}
