//! `config set`: a text edit of the administrator's own fragment, checked before it is handed back. Pure.

use super::input::Inputs;
use super::merge::check;
use super::setting;
use super::settings;
use crate::base::paths::{LOCAL_CONFIG, PROFILE_CONFIG};
use crate::base::yaml::{Collector, Node, Problem, Problems, Reader, Source, edit};
use crate::modules::Catalogue;
use serde_json::{Value, json};

/// How [`LOCAL_CONFIG`] begins.
const LOCAL: &str = "# Set by vps-configurator config set; yours to edit.\n";

/// How [`PROFILE_CONFIG`] begins, whoever writes it: the package's postinst has the same words.
const OWNED: &str = "\
# Owned by the package: \"dpkg-reconfigure vps-configurator\" writes the line below. Your own edit of it is kept.\n";

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
    let text = edit::set(&fragment(inputs, LOCAL_CONFIG), &path, &typed)?;
    good(catalogue, inputs, text)
}

/// The new text of [`LOCAL_CONFIG`] without `key`.
///
/// # Errors
/// A key that is not set there, or a configuration that would not be good as a whole.
pub fn unset(catalogue: &Catalogue, inputs: &Inputs, key: &str) -> Result<String, Problems> {
    let source = fragment(inputs, LOCAL_CONFIG);
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

/// The text, when the whole configuration is good with it.
fn good(catalogue: &Catalogue, inputs: &Inputs, text: String) -> Result<String, Problems> {
    check(catalogue, &with(inputs, LOCAL_CONFIG, &text)).map(|_| text)
}

/// A fragment of `conf.d` as it is; with its first line when it isn't there yet.
pub(super) fn fragment(inputs: &Inputs, name: &str) -> Source {
    let found = inputs.config.iter().find(|source| source.name == name);
    found.cloned().unwrap_or_else(|| Source::new(name, if name == PROFILE_CONFIG { OWNED } else { LOCAL }))
}

/// The layers with another text in a fragment of `conf.d`.
pub(super) fn with(inputs: &Inputs, name: &str, text: &str) -> Inputs {
    let mut changed = inputs.clone();
    changed.config.retain(|source| source.name != name);
    // Fragments come after the main file, in the order of their names.
    let is_later = |source: &Source| source.name.as_str() > name && source.name.contains("/conf.d/");
    let at = changed.config.iter().position(is_later).unwrap_or(changed.config.len());
    changed.config.insert(at, Source::new(name, text));
    changed
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
