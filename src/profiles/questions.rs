//! What the wizard asks: the options that a profile names, with the values that they have so far. Pure.

use super::configuration::Configuration;
use super::profile::{Profile, Profiles};
use super::setting;
use crate::base::yaml::{Collector, Node, Problem, Reader, Source, Span, Value, edit, parse};
use crate::modules::{Catalogue, OptionSchema, OptionType};
use serde_json::Value as Json;

/// One question.
#[derive(Debug, Clone)]
pub struct Question {
    /// The key of the option that it asks for: `modules.system.hostname`.
    pub key: String,
    /// What the option is for.
    pub help: String,
    /// Its type.
    pub kind: OptionType,
    /// Its value so far.
    pub value: Json,
}

/// The questions of the chosen profile, in its order. Those of modules that aren't enabled are left out.
pub fn questions(catalogue: &Catalogue, profiles: &Profiles, configuration: &Configuration) -> Vec<Question> {
    let asked = configuration.chain.iter().rev().find_map(|name| profiles.get(name)?.ask.as_ref());
    let question = |key: &str| {
        let (module, option) = option(catalogue, key)?;
        configuration.enabled.iter().find(|enabled| enabled.name == module)?;
        let value = configuration.modules.get(module)?.get(&option.path)?.value.clone();
        Some(Question { key: key.to_owned(), help: option.help.clone(), kind: option.kind.clone(), value })
    };
    asked.into_iter().flatten().filter_map(|asked| question(&asked.key)).collect()
}

/// Tells what a profile has the wizard ask for, and is no option.
pub(super) fn check(catalogue: &Catalogue, profile: &Profile, collector: &Collector) {
    for asked in profile.ask.iter().flatten().filter(|asked| option(catalogue, &asked.key).is_none()) {
        let message = format!("there is no option \"{}\" to ask for", asked.key);
        let problem = Problem::at(&profile.source, asked.span, "key-unknown", message);
        let all = catalogue.iter().flat_map(|module| {
            module.options.0.iter().map(|option| format!("modules.{}.{}", module.name, option.path))
        });
        let all: Vec<String> = all.collect();
        collector.add(match crate::base::yaml::nearest(&asked.key, all.iter().map(String::as_str)) {
            Some(near) => problem.hint(format!("did you mean \"{near}\"?")),
            None => problem.hint("write it as config show does: modules.MODULE.OPTION"),
        });
    }
}

fn option<'a>(catalogue: &'a Catalogue, key: &str) -> Option<(&'a str, &'a OptionSchema)> {
    let (module, path) = key.strip_prefix("modules.")?.split_once('.')?;
    let module = catalogue.get(module)?;
    Some((&module.name, module.options.find(path)?))
}

impl Question {
    /// The value that a typed line means. Text is taken as it is, what is around it left out; a list may be written
    /// without its brackets; yes and no are taken for true and false.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn read(&self, line: &str) -> Result<Json, Problem> {
        let line = line.trim();
        if let Some(bad) = line.chars().find(|c| c.is_control()) {
            let message = format!("the character {} can't be part of it", bad.escape_unicode());
            return Err(Problem::anywhere("type-wrong", message));
        }
        let source = Source::new("answer", self.as_yaml(line));
        let node = match &self.kind {
            OptionType::Text(_) => text(line),
            OptionType::List(items) if matches!(**items, OptionType::Text(_) | OptionType::Choice(_)) => {
                let words = match line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                    Some(_) => parse(&source)?,
                    None => list(line),
                };
                if words.as_list().is_some() { words } else { list(line) }
            }
            _ => parse(&source)?,
        };
        let collector = Collector::default();
        let value = self.kind.value(Reader::new(&source, &collector), &node, true);
        match collector.finish(value) {
            Ok(Some(value)) => Ok(value),
            Ok(None) => Err(Problem::anywhere("type-wrong", format!("it is no {}", self.kind.name()))),
            Err(problems) => {
                let first = problems.0.into_iter().next();
                Err(first.unwrap_or_else(|| Problem::anywhere("type-wrong", "it can't be read")))
            }
        }
    }

    /// A value as a person would type it.
    pub fn typed(&self, value: &Json) -> String {
        match (&self.kind, value) {
            (OptionType::Text(_) | OptionType::Choice(_), Json::String(text)) => text.clone(),
            (OptionType::Boolean, Json::Bool(on)) => (if *on { "yes" } else { "no" }).to_owned(),
            (OptionType::List(items), Json::Array(list))
                if matches!(**items, OptionType::Text(_) | OptionType::Choice(_))
                    && list.iter().all(|item| item.as_str().is_some_and(|word| !word.contains(',')))
                    && !list.first().and_then(Json::as_str).is_some_and(|word| word.starts_with('[')) =>
            {
                list.iter().filter_map(Json::as_str).collect::<Vec<_>>().join(", ")
            }
            (_, value) => edit::flow(value),
        }
    }

    /// The words that it can be answered with, when they are few: of a choice, and of yes or no.
    pub fn choices(&self) -> Option<Vec<String>> {
        match &self.kind {
            OptionType::Boolean => Some(vec!["yes".to_owned(), "no".to_owned()]),
            OptionType::Choice(words) => Some(words.clone()),
            _ => None,
        }
    }

    /// The line as the YAML that a parser takes it for.
    fn as_yaml(&self, line: &str) -> String {
        match (&self.kind, line.to_ascii_lowercase().as_str()) {
            (OptionType::Boolean, "y" | "yes" | "on") => "true".to_owned(),
            (OptionType::Boolean, "n" | "no" | "off") => "false".to_owned(),
            _ => line.to_owned(),
        }
    }
}

fn text(line: &str) -> Node {
    // Nothing typed is an empty text, not no value.
    Node { value: Value::Text(line.to_owned()), ..setting::plain(line, 0) }
}

fn list(line: &str) -> Node {
    let words = line.split(',').map(str::trim).filter(|word| !word.is_empty());
    Node { value: Value::List(words.map(text).collect()), span: Span::default(), raw: String::new() }
}
