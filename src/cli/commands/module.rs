//! `module list|show|graph`: what there is to enable.

use super::Outcome;
use crate::base::yaml::{self, nearest};
use crate::cli::args::{GraphFormat, Module, Select};
use crate::cli::exit::Exit;
use crate::cli::explain::Problem;
use crate::cli::generate::Generated;
use crate::cli::render::{graph, table::Table, wrap::wrap};
use crate::cli::session::Session;
use crate::cli::{generate, setup};
use crate::modules::catalogue::Catalogue;
use crate::modules::manifest::Manifest;
use crate::modules::option::OptionSchema;
use crate::resources::schema::KINDS;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Runs one of them.
pub fn run(session: &Session<'_>, verb: &Module) -> Outcome {
    let catalogue = setup::catalogue(session)?;
    match verb {
        Module::List => list(session, &catalogue),
        Module::Show { name } => show(session, &catalogue, name),
        Module::Graph { profile, format } => draw(session, &catalogue, profile.as_deref(), *format),
    }
}

/// The modules that the configuration enables. `None`, and a warning, when it can't be read: the modules can be shown
/// all the same.
fn enabled(session: &Session<'_>, catalogue: &Catalogue) -> Option<BTreeSet<String>> {
    match setup::configuration(session, catalogue, &Select::default()) {
        Ok(configuration) => Some(configuration.order().into_iter().collect()),
        Err(problem) => {
            let why = problem.why.join("\n");
            session.output.error(&format!("warning: what is enabled is unknown: {}\n{why}\n", problem.what));
            None
        }
    }
}

fn list(session: &Session<'_>, catalogue: &Catalogue) -> Outcome {
    let enabled = enabled(session, catalogue);
    if session.output.is_json() {
        let all: Vec<Value> = catalogue.iter().map(|module| value(module, enabled.as_ref())).collect();
        session.output.value(&json!({"modules": all}));
        return Ok(Exit::Done);
    }
    let mut table = Table::new(&["MODULE", "ENABLED", "SUMMARY"]);
    for module in catalogue.iter() {
        let is_enabled = match enabled.as_ref().map(|names| names.contains(&module.name)) {
            Some(true) => "yes",
            Some(false) => "no",
            None => "unknown",
        };
        table.row([module.name.clone(), is_enabled.to_owned(), module.summary.clone()]);
    }
    session.output.text(&table.text());
    Ok(Exit::Done)
}

fn show(session: &Session<'_>, catalogue: &Catalogue, name: &str) -> Outcome {
    let Some(module) = catalogue.get(name) else {
        if catalogue.is_disabled(name) {
            return Err(catalogue.missing(name, &format!("the module \"{name}\""), yaml::Problem::anywhere).into());
        }
        let names: Vec<&str> = catalogue.iter().map(|module| module.name.as_str()).collect();
        let mut problem = Problem::new(
            Exit::Usage,
            "module-unknown",
            format!("there is no module {name}"),
            format!("there are: {}", names.join(", ")),
        );
        if let Some(near) = nearest(name, names.iter().copied()) {
            problem = problem.fix(format!("did you mean {near}?"));
        }
        return Err(problem);
    };
    if session.output.is_json() {
        let mut value = value(module, enabled(session, catalogue).as_ref());
        value["disk_mb"] = module.requires.disk_mb.into();
        value["options"] = json!(
            module
                .options
                .0
                .iter()
                .flat_map(OptionSchema::with_keys)
                .map(|(path, o)| {
                    let (kind, takes) = (o.kind.name(), o.kind.takes());
                    json!({"name": path, "type": kind, "takes": takes, "default": o.default, "help": o.help})
                })
                .collect::<Vec<_>>()
        );
        session.output.value(&value);
        return Ok(Exit::Done);
    }
    session.output.text(&page(module, "", "  "));
    Ok(Exit::Done)
}

fn value(module: &Manifest, enabled: Option<&BTreeSet<String>>) -> Value {
    json!({
        "name": module.name, "summary": module.summary, "priority": module.priority, "mandatory": module.mandatory,
        "enabled": enabled.map(|names| names.contains(&module.name)), "builtin": module.builtin,
        "depends_on": module.depends_on.iter().map(|need| &need.name).collect::<Vec<_>>(),
    })
}

fn names(module: &Manifest) -> String {
    let names: Vec<&str> = module.depends_on.iter().map(|need| need.name.as_str()).collect();
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

fn page(module: &Manifest, head: &str, indent: &str) -> String {
    let mut text = format!("{head}{}: {}\n", module.name, module.summary);
    text.push_str(&format!("{indent}needs:     {}\n", names(module)));
    text.push_str(&format!("{indent}mandatory: {}\n", if module.mandatory { "yes" } else { "no" }));
    if let Some(room) = module.requires.disk_mb {
        text.push_str(&format!("{indent}disk:      about {room} MB\n"));
    }
    if !module.options.0.is_empty() {
        text.push_str("\nOptions (modules.");
        text.push_str(&module.name);
        text.push_str(".NAME):\n");
    }
    for (path, option) in module.options.0.iter().flat_map(OptionSchema::with_keys) {
        let default = default(option, |value| format!("default {value}"));
        text.push_str(&wrap(indent, &format!("{path} ({}; {default})", option.kind.takes())));
        if !option.help.is_empty() {
            text.push_str(&wrap(&format!("{indent}    "), &option.help));
        }
    }
    text
}

fn draw(session: &Session<'_>, catalogue: &Catalogue, profile: Option<&str>, format: GraphFormat) -> Outcome {
    let shown: Vec<&Manifest> = match profile {
        None => catalogue.iter().collect(),
        Some(profile) => {
            let select = Select { profile: Some(profile.to_owned()), ..Select::default() };
            let order = setup::configuration(session, catalogue, &select)?.order();
            order.iter().filter_map(|name| catalogue.get(name)).collect()
        }
    };
    let edges: Vec<(String, Vec<String>)> = shown
        .iter()
        .map(|module| (module.name.clone(), module.depends_on.iter().map(|need| need.name.clone()).collect()))
        .collect();
    if session.output.is_json() {
        session.output.value(&graph::json(&edges));
        return Ok(Exit::Done);
    }
    session.output.raw(&match format {
        GraphFormat::Ascii => graph::tree(&edges),
        GraphFormat::Mermaid => graph::mermaid(&edges),
        GraphFormat::Dot => graph::dot(&edges),
        GraphFormat::Json => format!("{}\n", serde_json::to_string_pretty(&graph::json(&edges)).unwrap_or_default()),
    });
    Ok(Exit::Done)
}

/// The generated reference: commands, modules with their options, kinds of resources with their fields.
pub fn reference(session: &Session<'_>) -> Result<Vec<Generated>, Problem> {
    let catalogue = setup::catalogue(session)?;
    let mut files = vec![
        ("commands.md".to_owned(), generate::reference().into_bytes()),
        ("kinds.md".to_owned(), kinds().into_bytes()),
    ];
    for module in catalogue.iter().filter(|module| module.builtin) {
        files.push((format!("modules/{}.md", module.name), markdown(module).into_bytes()));
    }
    Ok(files)
}

fn markdown(module: &Manifest) -> String {
    let mut text = format!("# Module `{}`\n\n{}.\n\nGenerated; don't edit by hand.\n\n", module.name, module.summary);
    text.push_str(&format!(
        "- needs: {}\n- mandatory: {}\n",
        names(module),
        if module.mandatory { "yes" } else { "no" }
    ));
    if module.options.0.is_empty() {
        return text;
    }
    text.push_str("\n| option | type | default | meaning |\n|---|---|---|---|\n");
    for (path, option) in module.options.0.iter().flat_map(OptionSchema::with_keys) {
        let default = default(option, |value| format!("`{value}`"));
        let (takes, help) = (option.kind.takes(), &option.help);
        text.push_str(&format!("| `modules.{}.{path}` | {takes} | {default} | {help} |\n", module.name));
    }
    text
}

fn default(option: &OptionSchema, shown: impl Fn(&Value) -> String) -> String {
    option.default.as_ref().map_or_else(|| "must be given".to_owned(), shown)
}

fn kinds() -> String {
    let mut text = String::from(
        "# Kinds of resources\n\nGenerated; don't edit by hand. How they are written: [manifest.md](manifest.md).\n",
    );
    for kind in KINDS {
        text.push_str(&format!("\n## `{}`\n\nThe name: {}.\n", kind.name, kind.help));
        if !kind.fields.is_empty() {
            text.push_str("\n| field | required | meaning |\n|---|---|---|\n");
            for field in kind.fields {
                let required = if field.required { "yes" } else { "no" };
                text.push_str(&format!("| `{}` | {required} | {} |\n", field.name, field.help));
            }
        }
    }
    text
}
