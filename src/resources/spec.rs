//! What a module asks for, before it becomes a resource: a kind, a name, and fields whose templates are rendered.

use super::schema::{self, PackageOrder};
use crate::base::ids::ResourceId;
use crate::engine::Debt;
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::{Map, Value};
use std::path::PathBuf;

/// The name of a kind. (Written out, serde would want to borrow it from what it reads.)
pub type KindName = &'static str;

/// One resource that a module asks for. Fields are checked against the kind's schema and have its types: a boolean, a
/// number, text, a list of texts, a mapping to texts. A field that was not given is not there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// The kind, a name in [`KINDS`](super::schema::KINDS).
    #[serde(deserialize_with = "known")]
    pub kind: KindName,
    /// The name. A list of packages is one spec for each.
    pub name: String,
    /// The fields. `template` has become `content`; `key` of an `apt_source` is the key's text.
    pub fields: Map<String, Value>,
    /// What must be in place before: written in the manifest, and the implicit edges.
    pub needs: Vec<ResourceId>,
    /// What is owed after a change.
    pub notify: Vec<Debt>,
    /// Whether people's way in depends on it, where the manifest says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<bool>,
    /// How it stands to the package transaction (the edge is made where packages become one resource).
    pub packages: PackageOrder,
    /// The module that asks.
    pub module: String,
    /// The module's place in the load order (dependencies, then priority, then name): smaller goes first where the
    /// graph leaves the choice.
    pub priority: i32,
    /// Where it is written: `file:line` of the manifest.
    pub origin: String,
    /// The module's folder.
    pub dir: PathBuf,
}

/// The name of a kind that there is.
fn known<'de, D: Deserializer<'de>>(deserializer: D) -> Result<&'static str, D::Error> {
    let name = String::deserialize(deserializer)?;
    schema::kind(&name).map(|kind| kind.name).ok_or_else(|| de::Error::custom(format!("no kind is called {name}")))
}

impl Spec {
    /// Its id.
    pub fn id(&self) -> ResourceId {
        ResourceId::new(self.kind, &self.name)
    }

    /// A text field.
    pub fn text(&self, field: &str) -> Option<&str> {
        self.fields.get(field).and_then(Value::as_str)
    }

    /// A boolean field, false when it is not there.
    pub fn is(&self, field: &str) -> bool {
        self.fields.get(field).and_then(Value::as_bool).unwrap_or(false)
    }

    /// A number field.
    pub fn integer(&self, field: &str) -> Option<i64> {
        self.fields.get(field).and_then(Value::as_i64)
    }

    /// A list field, empty when it is not there.
    pub fn list(&self, field: &str) -> Vec<String> {
        let list = self.fields.get(field).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        list.iter().filter_map(|value| value.as_str().map(str::to_owned)).collect()
    }

    /// One of the module `test`, for tests.
    #[cfg(test)]
    pub fn sample(kind: &'static str, name: &str, fields: Value) -> Spec {
        Spec {
            kind,
            name: name.to_owned(),
            fields: fields.as_object().cloned().unwrap_or_default(),
            needs: Vec::new(),
            notify: Vec::new(),
            access: None,
            packages: PackageOrder::After,
            module: "test".to_owned(),
            priority: 0,
            origin: "test:1".to_owned(),
            dir: PathBuf::new(),
        }
    }
}
