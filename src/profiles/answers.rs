//! Answers: a profile and values of options, which become configuration together. Their file has the form of the main
//! configuration, and is read like one more fragment of it. Pure.

use super::change::{fragment, with};
use super::configuration::{Configuration, Origin};
use super::input::Inputs;
use super::merge::check;
use crate::base::paths::{LOCAL_CONFIG, PROFILE_CONFIG};
use crate::base::yaml::{Problem, Problems, Source, edit};
use crate::modules::Catalogue;
use serde_json::{Value, json};

/// A profile, and values by their keys.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answers {
    /// The profile; `None` leaves the one that is chosen.
    pub profile: Option<String>,
    /// Keys and values: `modules.system.hostname`.
    pub values: Vec<(String, Value)>,
}

impl Answers {
    /// Reads a file of answers, in its place above the layers that there are.
    ///
    /// # Errors
    /// Everything that is wrong in it, or in what it stands on, each at its place.
    pub fn read(catalogue: &Catalogue, inputs: &Inputs, source: Source) -> Result<Answers, Problems> {
        let name = source.name.clone();
        let mut inputs = inputs.clone();
        inputs.config.push(source);
        let configuration = check(catalogue, &inputs)?;
        let is_here = |origin: &Origin| matches!(origin, Origin::File { file, .. } if *file == name);
        let mut answers = Answers::default();
        for shown in configuration.all().into_iter().filter(|shown| is_here(&shown.origin)) {
            match shown.key.as_str() {
                "profile" => answers.profile = shown.value.as_str().map(str::to_owned),
                _ => answers.values.push((shown.key, shown.value)),
            }
        }
        Ok(answers)
    }

    /// The file that [`Answers::read`] reads.
    ///
    /// # Errors
    /// A key that has no place in it.
    pub fn text(&self) -> Result<String, Problem> {
        let head = "# Answers for vps-configurator wizard --answers FILE; the same form as config.yaml.\n";
        let profile = self.profile.iter().map(|name| ("profile", json!(name)));
        let values = self.values.iter().map(|(key, value)| (key.as_str(), value.clone()));
        profile.chain(values).try_fold(head.to_owned(), |text, (key, value)| {
            edit::set(&Source::new("answers", text), &key.split('.').collect::<Vec<_>>(), &value)
        })
    }

    /// The same as arguments of `--set`, for a run that keeps nothing of them.
    pub fn sets(&self) -> Vec<String> {
        self.values.iter().map(|(key, value)| format!("{key}={}", edit::flow(value))).collect()
    }

    /// The fragments of `conf.d` that make these answers the configuration, with their new texts, in the order in which
    /// they are to be written. What is so already stays as it is written.
    ///
    /// # Errors
    /// When the configuration would not be good, or a later layer says otherwise than an answer.
    pub fn fragments(&self, catalogue: &Catalogue, inputs: &Inputs) -> Result<Vec<(&'static str, String)>, Problems> {
        let mut inputs = inputs.clone();
        let mut changed = Vec::new();
        if let Some(name) = &self.profile {
            let now = check(catalogue, &inputs)?;
            let profile = now.profile.as_ref();
            if profile.is_none_or(|valued| valued.value != json!(name)) {
                let is_local =
                    profile.is_some_and(|v| matches!(&v.origin, Origin::File { file, .. } if file == LOCAL_CONFIG));
                let place = if is_local { LOCAL_CONFIG } else { PROFILE_CONFIG };
                let text = edit::set(&fragment(&inputs, place), &["profile"], &json!(name))?;
                inputs = with(&inputs, place, &text);
                changed.push((place, text));
            }
        }
        let now = check(catalogue, &inputs)?;
        let mut local = fragment(&inputs, LOCAL_CONFIG);
        let before = local.text.clone();
        for (key, value) in &self.values {
            if value_of(&now, key).is_none_or(|(found, _)| found != *value) {
                local = Source::new(LOCAL_CONFIG, edit::set(&local, &key.split('.').collect::<Vec<_>>(), value)?);
            }
        }
        if local.text != before {
            inputs = with(&inputs, LOCAL_CONFIG, &local.text);
            changed.retain(|(place, _)| *place != LOCAL_CONFIG);
            // Values without their profile do no harm; the profile without them would be half of what was meant.
            changed.insert(0, (LOCAL_CONFIG, local.text));
        }
        self.in_force(&check(catalogue, &inputs)?)?;
        Ok(changed)
    }

    /// Refuses when a later layer says otherwise.
    fn in_force(&self, now: &Configuration) -> Result<(), Problem> {
        let profile = self.profile.as_ref().map(|name| ("profile".to_owned(), json!(name)));
        for (key, value) in profile.iter().chain(&self.values) {
            if let Some((found, origin)) = value_of(now, key).filter(|(found, _)| found != value) {
                let message = format!("{key} is to be {}, but {origin} says {}", edit::flow(value), edit::flow(&found));
                return Err(
                    Problem::anywhere("answer-overridden", message).hint("take it out there, or change it there")
                );
            }
        }
        Ok(())
    }
}

fn value_of(configuration: &Configuration, key: &str) -> Option<(Value, Origin)> {
    let shown = configuration.show(Some(key)).ok()?;
    shown.into_iter().find(|shown| shown.key == key).map(|shown| (shown.value, shown.origin))
}
