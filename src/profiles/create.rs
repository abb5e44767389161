//! `profile create`: the text of a new profile, ready to be edited. Pure.

use super::profile::Profiles;
use crate::base::yaml::{Problem, edit};
use crate::modules::Catalogue;
use serde_json::json;

/// What a new profile is to be.
#[derive(Debug, Clone, Default)]
pub struct NewProfile {
    /// Its name: lower-case letters, digits, `-` and `_`, a letter first.
    pub name: String,
    /// The profile that it extends.
    pub extends: Option<String>,
    /// The modules that it enables.
    pub modules: Vec<String>,
}

/// The text of the profile, with every option of its modules as a comment.
///
/// # Errors
/// A name that is taken or no good, a profile or module that does not exist.
pub fn create(catalogue: &Catalogue, profiles: &Profiles, new: &NewProfile) -> Result<String, Problem> {
    let name = &new.name;
    let good = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c));
    if !good {
        let message = format!("\"{name}\" is no good name: lower-case letters, digits, - and _, a letter first");
        return Err(Problem::anywhere("profile-name", message));
    }
    if let Some(there) = profiles.get(name) {
        return Err(Problem::anywhere("profile-replaces", format!("the profile \"{name}\" is there: {}", there.file)));
    }
    let mut text = format!("name: {name}\ntitle: {name}\nsummary: \"\"\n");
    if let Some(base) = &new.extends {
        let problem = Problem::anywhere("profile-unknown", format!("the profile \"{base}\" does not exist"));
        profiles.chain(base, problem)?;
        text.push_str(&format!("extends: {base}\n"));
    }
    text.push_str(if new.modules.is_empty() { "modules: {}\n" } else { "modules:\n" });
    for name in &new.modules {
        let Some(module) = catalogue.get(name) else {
            return Err(catalogue.missing(name, &format!("the module \"{name}\""), Problem::anywhere));
        };
        text.push_str(&format!("  # {}\n  {name}:\n", module.summary));
        for option in &module.options.0 {
            let default = edit::flow(option.default.as_ref().unwrap_or(&json!(null)));
            let written = match option.path.split_once('.') {
                Some((group, key)) => format!("{group}: {{{key}: {default}}}"),
                None => format!("{}: {default}", option.path),
            };
            text.push_str(&format!("    # {written}   # {}\n", option.help));
        }
    }
    Ok(text)
}
