//! Reading a resource's fields as a manifest gives them.
//!
//! Values may have come out of templates, as text: a boolean may be written `"true"`, a mode `"0644"`, a number
//! `"2048"`, and a list one element a line. Unknown fields are errors.

use crate::engine::{Error, Result};
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error as _};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The fields of the resource `name` of `kind`, declared by `module`.
///
/// # Errors
/// `manifest-invalid` names the resource, the module and what is wrong.
pub fn read<T: DeserializeOwned>(kind: &str, name: &str, fields: &Map<String, Value>, module: &str) -> Result<T> {
    T::deserialize(Value::Object(fields.clone())).map_err(|why| invalid(kind, name, module, why.to_string()))
}

/// The refusal of a resource whose declaration is wrong.
pub fn invalid(kind: &str, name: &str, module: &str, why: impl Into<String>) -> Error {
    Error::refused("manifest-invalid", format!("cannot use {kind}:{name} of the module {module}"), why)
}

/// The name as an absolute path without `.`, `..` or empty components.
pub fn path(kind: &str, name: &str, module: &str) -> Result<std::path::PathBuf> {
    let clean = name.strip_prefix('/').is_some_and(|rest| {
        !rest.contains('\0') && rest.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
    });
    if clean { Ok(name.into()) } else { Err(invalid(kind, name, module, "the name must be a clean absolute path")) }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Loose {
    Boolean(bool),
    Number(i64),
    Float(f64),
    Text(String),
}

impl Loose {
    fn text(self) -> String {
        match self {
            Loose::Boolean(b) => b.to_string(),
            Loose::Number(n) => n.to_string(),
            Loose::Float(f) => f.to_string(),
            Loose::Text(t) => t,
        }
    }
}

/// A boolean, or the words `true` and `false`.
pub fn boolean<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<bool, D::Error> {
    let text = Loose::deserialize(from)?.text();
    match text.trim() {
        "true" => Ok(true),
        "false" => Ok(false),
        other => Err(D::Error::custom(format!("`{other}` is neither true nor false"))),
    }
}

/// A whole number that is not negative.
pub fn number<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<u64, D::Error> {
    let text = Loose::deserialize(from)?.text();
    text.trim().parse().map_err(|_| D::Error::custom(format!("`{text}` is not a whole number from 0 up")))
}

/// Any single value, as text.
pub fn text<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<String, D::Error> {
    Loose::deserialize(from).map(Loose::text)
}

/// Permission bits written in octal as text: `"0644"`. A bare number is refused: YAML would have read it as decimal.
pub fn mode<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<u32, D::Error> {
    let text = String::deserialize(from)?;
    match u32::from_str_radix(text.trim(), 8) {
        Ok(mode) if mode <= 0o7777 => Ok(mode),
        _ => Err(D::Error::custom(format!("`{text}` is not a mode such as \"0644\""))),
    }
}

/// A list of texts, or one text with an element a line; blank elements are left out.
pub fn list<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum List {
        Many(Vec<Loose>),
        One(String),
    }
    let all: Vec<String> = match List::deserialize(from)? {
        List::Many(elements) => elements.into_iter().map(Loose::text).collect(),
        List::One(lines) => lines.lines().map(str::to_owned).collect(),
    };
    Ok(all.into_iter().filter(|e| !e.trim().is_empty()).collect())
}

/// A boolean or its text; text of nothing is like no field.
pub fn optional_boolean<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<Option<bool>, D::Error> {
    match optional_text(from)?.as_deref() {
        None => Ok(None),
        Some("true") => Ok(Some(true)),
        Some("false") => Ok(Some(false)),
        Some(other) => Err(D::Error::custom(format!("`{other}` is neither true nor false"))),
    }
}

/// A whole number from 0 to 4294967295 or its text; text of nothing is like no field.
pub fn optional_number<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<Option<u32>, D::Error> {
    let number =
        |text: String| text.parse().map_err(|_| D::Error::custom(format!("`{text}` is not a whole number from 0 up")));
    optional_text(from)?.map(number).transpose()
}

/// Any single value as text; text of nothing is like no field.
pub fn optional_text<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<Option<String>, D::Error> {
    let text = Option::<Loose>::deserialize(from)?.map(|value| value.text().trim().to_owned());
    Ok(text.filter(|text| !text.is_empty()))
}

/// A mapping of texts.
pub fn map<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<BTreeMap<String, String>, D::Error> {
    let values: BTreeMap<String, Loose> = BTreeMap::deserialize(from)?;
    Ok(values.into_iter().map(|(key, value)| (key, value.text())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Fields {
        #[serde(default, deserialize_with = "boolean")]
        on: bool,
        #[serde(default, deserialize_with = "mode")]
        mode: u32,
        #[serde(default, deserialize_with = "number")]
        size: u64,
        #[serde(default, deserialize_with = "list")]
        keys: Vec<String>,
    }

    fn fields(value: Value) -> Result<Fields> {
        read("file", "/etc/x", value.as_object().unwrap(), "m")
    }

    #[test]
    fn text_out_of_templates_is_read_as_what_the_field_wants() {
        let typed = fields(json!({"on": true, "mode": "0640", "size": 12, "keys": ["a", "b"]})).unwrap();
        let text = fields(json!({"on": " true", "mode": "640", "size": "12", "keys": "a\n\nb\n"})).unwrap();
        assert_eq!(typed, text);
        assert_eq!(typed.mode, 0o640);
    }

    #[test]
    fn what_a_field_cannot_be_is_refused_with_the_value() {
        for (wrong, word) in [
            (json!({"on": "yes"}), "yes"),
            (json!({"mode": 644}), "644"),
            (json!({"mode": "0999"}), "0999"),
            (json!({"size": -1}), "-1"),
            (json!({"colour": 1}), "colour"),
        ] {
            assert!(fields(wrong).unwrap_err().to_string().contains(word), "{word}");
        }
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Optional {
        #[serde(default, deserialize_with = "optional_boolean")]
        on: Option<bool>,
        #[serde(default, deserialize_with = "optional_number")]
        uid: Option<u32>,
        #[serde(default, deserialize_with = "map")]
        env: BTreeMap<String, String>,
    }

    #[test]
    fn an_empty_text_is_like_no_field() {
        let optional = |value: Value| serde_json::from_value::<Optional>(value).unwrap();
        assert_eq!(optional(json!({"on": "", "uid": " "})), optional(json!({})));
        let set = optional(json!({"on": "true", "uid": 7, "env": {"A": 1}}));
        assert_eq!((set.on, set.uid, set.env["A"].as_str()), (Some(true), Some(7), "1"));
        assert!(serde_json::from_value::<Optional>(json!({"uid": -1})).is_err());
    }

    #[test]
    fn only_clean_absolute_paths_are_names() {
        assert!(path("file", "/etc/a b", "m").is_ok());
        for wrong in ["etc/a", "/", "/etc/../a", "/etc//a", "/etc/a/", ""] {
            assert!(path("file", wrong, "m").is_err(), "{wrong}");
        }
    }
}
