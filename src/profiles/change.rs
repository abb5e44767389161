//! `config set`: a text edit of the administrator's own fragment, checked before it is handed back. Pure.

use super::input::Inputs;
use super::merge::check;
use super::setting;
use super::settings;
use crate::base::paths::LOCAL_CONFIG;
use crate::base::yaml::{Collector, Node, Problem, Problems, Reader, Source, edit};
use crate::modules::Catalogue;
use serde_json::{Value, json};

/// The new text of [`LOCAL_CONFIG`] with `value` (YAML in a line) at `key`.
///
/// # Errors
/// A key that does not exist, a value of the wrong type, or a configuration that would not be good as a whole.
pub fn set(catalogue: &Catalogue, inputs: &Inputs, key: &str, value: &str) -> Result<String, Problems> {
    let (source, root) = setting::tree(&format!("{key}={value}"))?;
    let collector = Collector::default();
    let typed = typed(catalogue, Reader::new(&source, &collector), &root, key);
    let Some(typed) = collector.finish(typed)? else {
        return Err(unknown(catalogue, key).into());
    };
    let path: Vec<&str> = key.split('.').collect();
    let text = edit::set(&local(inputs), &path, &typed)?;
    good(catalogue, inputs, text)
}

/// The new text of [`LOCAL_CONFIG`] without `key`.
///
/// # Errors
/// A key that is not set there, or a configuration that would not be good as a whole.
pub fn unset(catalogue: &Catalogue, inputs: &Inputs, key: &str) -> Result<String, Problems> {
    let source = local(inputs);
    let path: Vec<&str> = key.split('.').collect();
    let text = edit::unset(&source, &path)?;
    if text == source.text {
        let message = format!("\"{key}\" is not set in {LOCAL_CONFIG}");
        return Err(Problem::anywhere("key-unset", message)
            .hint(format!("config show {key} --origin says where it is set"))
            .into());
    }
    good(catalogue, inputs, text)
}

fn local(inputs: &Inputs) -> Source {
    let found = inputs.config.iter().find(|source| source.name == LOCAL_CONFIG);
    found
        .cloned()
        .unwrap_or_else(|| Source::new(LOCAL_CONFIG, "# Set by vps-configurator config set; yours to edit.\n"))
}

/// The text, when the whole configuration is good with it.
fn good(catalogue: &Catalogue, inputs: &Inputs, text: String) -> Result<String, Problems> {
    let mut changed = inputs.clone();
    changed.config.retain(|source| source.name != LOCAL_CONFIG);
    // Fragments come after the main file, in the order of their names.
    let is_later = |source: &Source| source.name.as_str() > LOCAL_CONFIG && source.name.contains("/conf.d/");
    let at = changed.config.iter().position(is_later).unwrap_or(changed.config.len());
    changed.config.insert(at, Source::new(LOCAL_CONFIG, text.clone()));
    check(catalogue, &changed).map(|_| text)
}

/// The value of the key's type; `None` when it is not good (told) or there is no such key.
fn typed<'a>(catalogue: &Catalogue, reader: Reader<'a>, root: &'a Node, key: &str) -> Option<Value> {
    let node = key.split('.').try_fold(root, |node, part| node.get(part))?;
    if key == "profile" {
        return reader.text(node).map(|name| json!(name));
    }
    if let Some(setting) = settings::options().find(key) {
        return setting.kind.value(reader, node, true);
    }
    let (module, path) = key.strip_prefix("modules.")?.split_once('.')?;
    let module = catalogue.get(module)?;
    if path == "enabled" {
        return reader.boolean(node).map(|on| json!(on));
    }
    module.options.find(path)?.kind.value(reader, node, true)
}

fn unknown(catalogue: &Catalogue, key: &str) -> Problem {
    let options = |module: &crate::modules::Manifest| {
        let paths = module.options.0.iter().map(|option| option.path.clone()).chain(["enabled".to_owned()]);
        paths.map(|path| format!("modules.{}.{path}", module.name)).collect::<Vec<_>>()
    };
    let mut all: Vec<String> = catalogue.iter().flat_map(options).collect();
    all.extend(settings::options().0.into_iter().map(|option| option.path));
    all.push("profile".to_owned());
    let problem = Problem::anywhere("key-unknown", format!("there is no setting \"{key}\""));
    match crate::base::yaml::nearest(key, all.iter().map(String::as_str)) {
        Some(near) => problem.hint(format!("did you mean \"{near}\"?")),
        None => problem.hint("config show lists all of them"),
    }
}
