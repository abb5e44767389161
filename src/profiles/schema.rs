//! The JSON Schema of `config.yaml`, its fragments and profiles, for editors.

use super::settings;
use crate::modules::Catalogue;
use serde_json::{Map, Value, json};

/// One schema (draft 2020-12) for both forms; made from the options of all modules.
pub fn schema(catalogue: &Catalogue) -> Value {
    let mut modules = Map::new();
    for module in catalogue.iter() {
        let mut properties = module.options.json_schema();
        properties
            .insert("enabled".to_owned(), json!({"type": "boolean", "description": "Whether the module is used"}));
        modules.insert(
            module.name.clone(),
            json!({
                "type": ["object", "null"], "description": module.summary,
                "additionalProperties": false, "properties": properties,
            }),
        );
    }
    let mut config = settings::options().json_schema();
    config.insert("profile".to_owned(), json!({"type": "string", "description": "The profile to use"}));
    config.insert("modules".to_owned(), json!({"$ref": "#/$defs/modules"}));
    let size = json!({"type": "integer", "minimum": 0});
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "vps-configurator: configuration and profiles",
        "oneOf": [{"$ref": "#/$defs/config"}, {"$ref": "#/$defs/profile"}],
        "$defs": {
            "modules": {"type": ["object", "null"], "additionalProperties": false, "properties": modules},
            "config": {"type": ["object", "null"], "additionalProperties": false, "properties": config},
            "profile": {
                "type": "object", "additionalProperties": false, "required": ["title", "summary"],
                "properties": {
                    "name": {"type": "string", "description": "The file's name without .yaml"},
                    "title": {"type": "string"},
                    "summary": {"type": "string"},
                    "extends": {"type": "string", "description": "Another profile, whose modules and options are the base"},
                    "modules": {"$ref": "#/$defs/modules"},
                    "ask": {
                        "type": "array", "items": {"type": "string", "pattern": "^modules\\."},
                        "description": "Keys of options that the wizard asks for, in that order",
                    },
                    "estimate": {
                        "type": "object", "additionalProperties": false,
                        "properties": {"minutes": size, "download_mb": size, "disk_mb": size},
                    },
                },
            },
        },
    })
}
