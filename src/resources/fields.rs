//! How the fields of a resource are read: strictly by name, leniently by form, because a value that came out of a
//! template is text (`docs/reference/manifest.md`, "Every string is a Tera template").

use crate::engine::{Error, Result};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The fields of the resource `kind:name` as a `T`; an unknown field or a wrong form is refused with the code
/// `resource-invalid`.
pub fn read<T: DeserializeOwned>(
    kind: &str,
    name: &str,
    module: &str,
    fields: &Map<String, Value>,
) -> Result<T> {
    serde_json::from_value(Value::Object(fields.clone()))
        .map_err(|e| invalid(kind, name, module, e.to_string()))
}

/// The refusal of a resource whose fields make no sense.
pub fn invalid(kind: &str, name: &str, module: &str, why: impl Into<String>) -> Error {
    Error::refused("resource-invalid", format!("{kind}:{name} of module {module}"), why)
        .fix(format!("correct it in module.yaml of {module}; the fields of {kind} are in docs/reference/manifest.md"))
}

/// The data of an undo record of `kind`, all of whose versions up to now are version 1.
pub fn record<T: DeserializeOwned>(kind: &str, version: u32, data: &Value) -> Result<T> {
    if version != 1 {
        return Err(Error::UnknownRecord {
            kind: kind.to_owned(),
            version,
        });
    }
    serde_json::from_value(data.clone()).map_err(|e| Error::BadRecord {
        kind: kind.to_owned(),
        why: e.to_string(),
    })
}

/// A boolean, or the text of one; text of nothing is like no field.
pub fn optional_boolean<'de, D: Deserializer<'de>>(
    from: D,
) -> std::result::Result<Option<bool>, D::Error> {
    match Value::deserialize(from)? {
        Value::Null => Ok(None),
        Value::Bool(value) => Ok(Some(value)),
        Value::String(text) => match text.trim() {
            "" => Ok(None),
            "true" => Ok(Some(true)),
            "false" => Ok(Some(false)),
            other => Err(D::Error::custom(format!(
                "\"{other}\" is neither true nor false"
            ))),
        },
        other => Err(D::Error::custom(format!(
            "{other} is neither true nor false"
        ))),
    }
}

/// A boolean that is false when it isn't said.
pub fn boolean<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<bool, D::Error> {
    Ok(optional_boolean(from)?.unwrap_or(false))
}

/// A whole number from 0 to 4294967295, or its text; text of nothing is like no field.
pub fn optional_number<'de, D: Deserializer<'de>>(
    from: D,
) -> std::result::Result<Option<u32>, D::Error> {
    let value = Value::deserialize(from)?;
    let text = match &value {
        Value::Null => return Ok(None),
        Value::String(text) => text.trim().to_owned(),
        other => other.to_string(),
    };
    if text.is_empty() {
        return Ok(None);
    }
    text.parse()
        .map(Some)
        .map_err(|_| D::Error::custom(format!("{value} is not a whole number")))
}

/// Text, or a number as text; text of nothing is like no field.
pub fn optional_text<'de, D: Deserializer<'de>>(
    from: D,
) -> std::result::Result<Option<String>, D::Error> {
    match Value::deserialize(from)? {
        Value::Null => Ok(None),
        value => {
            Ok(Some(text_of(&value).map_err(D::Error::custom)?).filter(|text| !text.is_empty()))
        }
    }
}

/// A list of texts, or one text with an element a line (empty lines are left out).
pub fn list<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<Vec<String>, D::Error> {
    match Value::deserialize(from)? {
        Value::Null => Ok(Vec::new()),
        Value::Array(values) => values
            .iter()
            .map(|value| text_of(value).map_err(D::Error::custom))
            .collect(),
        Value::String(text) => Ok(text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect()),
        other => Err(D::Error::custom(format!("{other} is not a list"))),
    }
}

/// A mapping of texts.
pub fn map<'de, D: Deserializer<'de>>(
    from: D,
) -> std::result::Result<BTreeMap<String, String>, D::Error> {
    let values: BTreeMap<String, Value> = BTreeMap::deserialize(from)?;
    values
        .into_iter()
        .map(|(key, value)| Ok((key, text_of(&value).map_err(D::Error::custom)?)))
        .collect()
}

fn text_of(value: &Value) -> std::result::Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(_) | Value::Bool(_) => Ok(value.to_string()),
        other => Err(format!("{other} is not text")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Spec {
        #[serde(default, deserialize_with = "boolean")]
        system: bool,
        #[serde(default, deserialize_with = "optional_boolean")]
        enabled: Option<bool>,
        #[serde(default, deserialize_with = "optional_number")]
        uid: Option<u32>,
        #[serde(default, deserialize_with = "list")]
        rules: Vec<String>,
    }

    fn spec(value: Value) -> Result<Spec> {
        let Value::Object(fields) = value else {
            panic!("not an object")
        };
        read("user", "anna", "access", &fields)
    }

    #[test]
    fn text_out_of_a_template_reads_like_the_value_itself() {
        let wanted = Spec {
            system: true,
            enabled: None,
            uid: Some(1000),
            rules: vec!["a".into(), "b c".into()],
        };
        assert_eq!(
            spec(json!({"system": true, "uid": 1000, "rules": ["a", "b c"]})).unwrap(),
            wanted
        );
        let text = json!({"system": "true", "enabled": "", "uid": "1000", "rules": "a\n\n  b c\n"});
        assert_eq!(spec(text).unwrap(), wanted);
    }

    #[test]
    fn unknown_fields_and_wrong_forms_are_refused() {
        for wrong in [
            json!({"sytem": true}),
            json!({"system": "yes"}),
            json!({"uid": -1}),
            json!({"uid": "x"}),
        ] {
            assert!(matches!(
                spec(wrong),
                Err(Error::Refused {
                    code: "resource-invalid",
                    ..
                })
            ));
        }
    }
}
