//! Options: what an administrator may set of a module, with its type, default and help. The program's own settings
//! are written the same way.

use crate::base::yaml::{Fields, Node, Reader, Span, Value};
use regex_lite::Regex;
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;
use std::fmt::Display;

/// The type of an option.
#[derive(Debug, Clone)]
pub enum OptionType {
    /// Text, which must match the whole of a pattern when there is one.
    Text(Option<Pattern>),
    /// `true` or `false`.
    Boolean,
    /// A whole number within bounds.
    Integer(Option<i64>, Option<i64>),
    /// A number within bounds.
    Number(Option<f64>, Option<f64>),
    /// One of several words.
    Choice(Vec<String>),
    /// A list of one type.
    List(Box<OptionType>),
    /// A mapping with these keys; those without a default must be given.
    Map(Vec<OptionSchema>),
}

/// A regular expression that the whole text must match.
#[derive(Debug, Clone)]
pub struct Pattern {
    /// As written.
    pub text: String,
    /// What matches it, in words: "a host name: web1".
    pub means: Option<String>,
    regex: Regex,
}

/// One option.
#[derive(Debug, Clone)]
pub struct OptionSchema {
    /// Its name, with its group when it is in one: `ssh.password_login`.
    pub path: String,
    /// Its type.
    pub kind: OptionType,
    /// Its value when nobody sets it. Only keys of a [`OptionType::Map`] may have none.
    pub default: Option<Json>,
    /// One line of help.
    pub help: String,
}

/// All options of a module, in the order of writing.
#[derive(Debug, Clone, Default)]
pub struct Options(pub Vec<OptionSchema>);

/// How many characters of a value that is wrong are told.
const LONGEST_TOLD: usize = 40;
const TYPES: [&str; 7] = ["string", "boolean", "integer", "number", "choice", "list", "map"];

impl Options {
    /// Reads an `options:` mapping.
    pub fn read<'a>(reader: Reader<'a>, node: &'a Node) -> Options {
        let mut all = Vec::new();
        for entry in reader.map(node, "options").map_or(&[][..], |fields| fields.entries()) {
            good_name(reader, &entry.key, entry.span);
            if entry.key == "enabled" {
                reader.problem(
                    entry.span,
                    "option-name",
                    "\"enabled\" is there for every module and can't be an option",
                );
            }
            let is_option = entry.value.get("type").is_some_and(|kind| kind.as_map().is_none());
            let grouped = entry.value.as_map().is_some_and(|inner| inner.iter().any(|e| e.value.as_map().is_some()));
            if is_option || !grouped {
                all.extend(OptionSchema::read(reader, &entry.value, entry.key.clone(), Role::Option));
                continue;
            }
            for inner in entry.value.as_map().unwrap_or(&[]) {
                good_name(reader, &inner.key, inner.span);
                let path = format!("{}.{}", entry.key, inner.key);
                all.extend(OptionSchema::read(reader, &inner.value, path, Role::Option));
            }
        }
        Options(all)
    }

    /// The option of that path.
    pub fn find(&self, path: &str) -> Option<&OptionSchema> {
        self.0.iter().find(|option| option.path == path)
    }

    /// The defaults, by path.
    pub fn defaults(&self) -> BTreeMap<String, Json> {
        self.0.iter().map(|o| (o.path.clone(), o.default.clone().unwrap_or(Json::Null))).collect()
    }

    /// Reads values for these options from a mapping whose other keys are already taken; each good one is handed to
    /// `put` with its place. `loose`: a scalar of any type may stand where text is wanted (the command line's).
    pub fn values<'a>(&self, fields: &mut Fields<'a>, what: &str, loose: bool, put: &mut dyn FnMut(&str, Json, Span)) {
        let reader = fields.reader;
        let mut groups: BTreeMap<&str, Option<Fields<'a>>> = BTreeMap::new();
        for option in &self.0 {
            let node = match option.path.split_once('.') {
                None => fields.take(&option.path),
                Some((group, key)) => groups
                    .entry(group)
                    .or_insert_with(|| {
                        let node = fields.take(group)?;
                        reader.map(node, format!("{what}.{group}"))
                    })
                    .as_mut()
                    .and_then(|inner| inner.take(key)),
            };
            if let Some(node) = node
                && let Some(value) = option.kind.value(reader, node, loose)
            {
                put(&option.path, value, node.span);
            }
        }
        for group in groups.into_values().flatten() {
            group.finish();
        }
    }

    /// The values as templates see them: groups are mappings.
    pub fn nested(values: &BTreeMap<String, Json>) -> Json {
        let mut root = Map::new();
        for (path, value) in values {
            match path.split_once('.') {
                None => {
                    root.insert(path.clone(), value.clone());
                }
                Some((group, key)) => {
                    let inner = root.entry(group.to_owned()).or_insert_with(|| json!({}));
                    if let Some(inner) = inner.as_object_mut() {
                        inner.insert(key.to_owned(), value.clone());
                    }
                }
            }
        }
        Json::Object(root)
    }

    /// The JSON Schema (2020-12) of the properties that these options make.
    pub fn json_schema(&self) -> Map<String, Json> {
        let mut properties = Map::new();
        for option in &self.0 {
            match option.path.split_once('.') {
                None => {
                    properties.insert(option.path.clone(), option.json_schema());
                }
                Some((group, key)) => {
                    let inner = properties
                        .entry(group.to_owned())
                        .or_insert_with(|| json!({"type": "object", "additionalProperties": false, "properties": {}}));
                    inner["properties"][key] = option.json_schema();
                }
            }
        }
        properties
    }
}

/// Where an option is written, which decides what it must have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Of a module: default and help.
    Option,
    /// A key of a map: both may be missing.
    Key,
    /// What a list holds: neither.
    Items,
}

impl OptionSchema {
    fn read<'a>(reader: Reader<'a>, node: &'a Node, path: String, role: Role) -> Option<Self> {
        let mut fields = reader.map(node, format!("option {path}"))?;
        let kind = OptionType::read(reader, &mut fields);
        let (help, default) = match role {
            Role::Option => (fields.require("help"), fields.require("default")),
            Role::Key => (fields.take("help"), fields.take("default")),
            Role::Items => (None, None),
        };
        let help = help.and_then(|node| reader.text(node)).unwrap_or("").to_owned();
        fields.finish();
        let kind = kind?;
        let default = default.and_then(|node| kind.value(reader, node, false));
        Some(OptionSchema { path, kind, default, help })
    }

    /// The option; of a list of maps also each key of an item: `sites`, `sites[].address`.
    pub fn with_keys(&self) -> Vec<(String, &OptionSchema)> {
        let mut all = vec![(self.path.clone(), self)];
        if let OptionType::List(items) = &self.kind
            && let OptionType::Map(keys) = &**items
        {
            let inner = keys.iter().flat_map(OptionSchema::with_keys);
            all.extend(inner.map(|(path, key)| (format!("{}[].{path}", self.path), key)));
        }
        all
    }

    fn json_schema(&self) -> Json {
        let mut schema = self.kind.json_schema();
        if let Some(map) = schema.as_object_mut() {
            if !self.help.is_empty() {
                map.insert("description".to_owned(), json!(self.help));
            }
            if let Some(default) = &self.default {
                map.insert("default".to_owned(), default.clone());
            }
        }
        schema
    }
}

impl Pattern {
    fn read<'a>(reader: Reader<'a>, fields: &mut Fields<'a>) -> Option<Self> {
        let node = fields.take("pattern")?;
        let means = fields.take("means").and_then(|node| reader.text(node)).map(str::to_owned);
        let text = reader.text(node)?;
        match Regex::new(&format!("^(?:{text})$")) {
            Ok(regex) => Some(Pattern { text: text.to_owned(), means, regex }),
            Err(error) => {
                reader.problem(node.span, "pattern-wrong", format!("not a regular expression: {error}"));
                None
            }
        }
    }

    /// What matches it.
    fn words(&self) -> String {
        self.means.clone().unwrap_or_else(|| format!("what matches {}", self.text))
    }

    /// What is to be said of a text that doesn't match.
    fn mismatch(&self) -> String {
        match &self.means {
            Some(means) => format!("is not {means}"),
            None => format!("does not match the pattern {}", self.text),
        }
    }
}

/// `integer, 1 to 65535`.
fn bounded<T: Display>(name: &str, min: Option<&T>, max: Option<&T>) -> String {
    match (min, max) {
        (Some(min), Some(max)) => format!("{name}, {min} to {max}"),
        (Some(min), None) => format!("{name}, at least {min}"),
        (None, Some(max)) => format!("{name}, at most {max}"),
        (None, None) => name.to_owned(),
    }
}

impl OptionType {
    fn read<'a>(reader: Reader<'a>, fields: &mut Fields<'a>) -> Option<Self> {
        let node = fields.require("type")?;
        Some(match reader.choice(node, TYPES)? {
            "string" => OptionType::Text(Pattern::read(reader, fields)),
            "boolean" => OptionType::Boolean,
            "integer" => OptionType::Integer(fields.integer("min", None, None), fields.integer("max", None, None)),
            "number" => {
                let mut bound = |key| fields.take(key).and_then(|node| reader.number(node, None, None));
                OptionType::Number(bound("min"), bound("max"))
            }
            "choice" => {
                let choices = fields.require("choices")?;
                OptionType::Choice(
                    reader.texts(choices).iter().filter_map(|n| n.as_text().map(str::to_owned)).collect(),
                )
            }
            "list" => {
                let items = fields.require("items")?;
                OptionType::List(Box::new(OptionSchema::read(reader, items, "items".to_owned(), Role::Items)?.kind))
            }
            _ => {
                let node = fields.require("fields")?;
                let mut keys = Vec::new();
                for entry in reader.map(node, "fields")?.entries() {
                    good_name(reader, &entry.key, entry.span);
                    keys.extend(OptionSchema::read(reader, &entry.value, entry.key.clone(), Role::Key));
                }
                OptionType::Map(keys)
            }
        })
    }

    /// A value of this type, complete (the keys of a map that were not given have their defaults).
    pub fn value<'a>(&self, reader: Reader<'a>, node: &'a Node, loose: bool) -> Option<Json> {
        match self {
            OptionType::Text(pattern) => {
                let scalar = loose && !matches!(node.value, Value::List(_) | Value::Map(_));
                let text = if scalar { node.as_text().unwrap_or(&node.raw) } else { reader.text(node)? };
                match pattern {
                    Some(pattern) if !pattern.regex.is_match(text) => {
                        // What stands where a public key should may be a private one.
                        let mut start: String = text.chars().take(LONGEST_TOLD).collect();
                        start.push_str(if start.len() < text.len() { "..." } else { "" });
                        reader.problem(node.span, "pattern-mismatch", format!("\"{start}\" {}", pattern.mismatch()));
                        None
                    }
                    _ => Some(json!(text)),
                }
            }
            OptionType::Boolean => reader.boolean(node).map(Json::Bool),
            OptionType::Integer(min, max) => reader.integer(node, *min, *max).map(|n| json!(n)),
            OptionType::Number(min, max) => {
                reader.number(node, *min, *max)?;
                Some(node.to_json())
            }
            OptionType::Choice(choices) => {
                reader.choice(node, choices.iter().map(String::as_str)).map(|word| json!(word))
            }
            OptionType::List(items) => {
                let list = reader.list(node)?;
                let values: Vec<Json> = list.iter().filter_map(|n| items.value(reader, n, loose)).collect();
                (values.len() == list.len()).then_some(Json::Array(values))
            }
            OptionType::Map(keys) => {
                let mut fields = reader.map(node, "this item")?;
                let mut map = Map::new();
                for key in keys {
                    let found = if key.default.is_some() { fields.take(&key.path) } else { fields.require(&key.path) };
                    let value = match found {
                        Some(node) => key.kind.value(reader, node, loose),
                        None => key.default.clone(),
                    };
                    map.extend(value.map(|value| (key.path.clone(), value)));
                }
                fields.finish();
                (map.len() == keys.len()).then_some(Json::Object(map))
            }
        }
    }

    /// The type, and which values of it are taken: `integer, 1 to 65535`, `list of strings: an IP address`.
    pub fn takes(&self) -> String {
        match self {
            OptionType::Text(Some(pattern)) => format!("string: {}", pattern.words()),
            OptionType::Integer(min, max) => bounded(self.name(), min.as_ref(), max.as_ref()),
            OptionType::Number(min, max) => bounded(self.name(), min.as_ref(), max.as_ref()),
            OptionType::Choice(words) => format!("choice: {}", words.join(", ")),
            OptionType::List(items) => {
                let one = items.takes();
                format!("list of {}s{}", items.name(), one.strip_prefix(items.name()).unwrap_or_default())
            }
            OptionType::Text(None) | OptionType::Boolean | OptionType::Map(_) => self.name().to_owned(),
        }
    }

    /// The word that manifests use for it.
    pub fn name(&self) -> &'static str {
        match self {
            OptionType::Text(_) => "string",
            OptionType::Boolean => "boolean",
            OptionType::Integer(..) => "integer",
            OptionType::Number(..) => "number",
            OptionType::Choice(_) => "choice",
            OptionType::List(_) => "list",
            OptionType::Map(_) => "map",
        }
    }

    fn json_schema(&self) -> Json {
        let bounded = |kind: &str, min: Option<Json>, max: Option<Json>| {
            let mut schema = json!({"type": kind});
            if let Some(min) = min {
                schema["minimum"] = min;
            }
            if let Some(max) = max {
                schema["maximum"] = max;
            }
            schema
        };
        match self {
            OptionType::Text(None) => json!({"type": "string"}),
            OptionType::Text(Some(pattern)) => {
                json!({"type": "string", "pattern": format!("^(?:{})$", pattern.text)})
            }
            OptionType::Boolean => json!({"type": "boolean"}),
            OptionType::Integer(min, max) => bounded("integer", min.map(|n| json!(n)), max.map(|n| json!(n))),
            OptionType::Number(min, max) => bounded("number", min.map(|n| json!(n)), max.map(|n| json!(n))),
            OptionType::Choice(choices) => json!({"enum": choices}),
            OptionType::List(items) => json!({"type": "array", "items": items.json_schema()}),
            OptionType::Map(keys) => {
                let required: Vec<&str> =
                    keys.iter().filter(|k| k.default.is_none()).map(|k| k.path.as_str()).collect();
                let properties: Map<String, Json> = keys.iter().map(|k| (k.path.clone(), k.json_schema())).collect();
                json!({"type": "object", "additionalProperties": false, "required": required, "properties": properties})
            }
        }
    }
}

/// Names of options and keys: what Tera can say, and what a dotted path can hold.
fn good_name(reader: Reader<'_>, name: &str, span: Span) {
    let good = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if !good {
        let message = format!("\"{name}\" is no good name: lower-case letters, digits and _, a letter first");
        reader.problem(span, "option-name", message);
    }
}
