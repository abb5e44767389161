//! `config show`: every value by its dotted key, with its origin.

use super::configuration::{Configuration, Origin, Valued};
use crate::base::yaml::Problem;
use serde::Serialize;
use serde_json::{Value, json};

/// One value, to be shown.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Shown {
    /// Its dotted key: `modules.docker.source`.
    pub key: String,
    /// Its value.
    pub value: Value,
    /// Where it comes from.
    pub origin: Origin,
}

impl Configuration {
    /// All values, or those at and below a key. Without a key, of the modules only those that are enabled.
    ///
    /// # Errors
    /// A key that does not exist, with the nearest one.
    pub fn show(&self, key: Option<&str>) -> Result<Vec<Shown>, Problem> {
        let all = self.all();
        let Some(key) = key else {
            let off = |shown: &Shown| {
                let module = shown.key.strip_prefix("modules.").and_then(|rest| rest.split('.').next());
                module.is_some_and(|name| !self.enabled.iter().any(|m| m.name == name))
            };
            return Ok(all.into_iter().filter(|shown| !off(shown)).collect());
        };
        let below = format!("{key}.");
        let found: Vec<Shown> =
            all.iter().filter(|shown| shown.key == key || shown.key.starts_with(&below)).cloned().collect();
        if found.is_empty() {
            let problem = Problem::anywhere("key-unknown", format!("there is no setting \"{key}\""));
            let near = crate::base::yaml::nearest(key, all.iter().map(|shown| shown.key.as_str()));
            return Err(match near {
                Some(near) => problem.hint(format!("did you mean \"{near}\"?")),
                None => problem.hint("config show lists all of them"),
            });
        }
        Ok(found)
    }

    /// All values, those of modules that aren't enabled too.
    pub(super) fn all(&self) -> Vec<Shown> {
        let shown =
            |key: String, valued: &Valued| Shown { key, value: valued.value.clone(), origin: valued.origin.clone() };
        let mut all = Vec::new();
        let none = Valued { value: Value::Null, origin: Origin::Default };
        all.push(shown("profile".to_owned(), self.profile.as_ref().unwrap_or(&none)));
        all.extend(self.setting_values.iter().map(|(path, valued)| shown(path.clone(), valued)));
        for (name, values) in &self.modules {
            let enabled = self.enabled.iter().find(|module| module.name == *name);
            let switch = self.switches.get(name).map(|(_, origin)| origin.clone());
            let origin = enabled.map(|module| module.origin.clone()).or(switch).unwrap_or(Origin::Default);
            let key = format!("modules.{name}.enabled");
            all.push(Shown { key, value: json!(enabled.is_some()), origin });
            all.extend(values.iter().map(|(path, valued)| shown(format!("modules.{name}.{path}"), valued)));
        }
        all
    }
}
