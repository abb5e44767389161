//! What is known of the hosts that something is fetched from, kept across runs.

use crate::base::paths;
use crate::engine::Result;
use crate::engine::breaker::{Attempt, Breaker, Rules, State};
use crate::host::{Attributes, Host, read_if_there};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// The breakers by host, with its port where an address names one. Hosts of which nothing is known have none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Upstreams(BTreeMap<String, Breaker>);

impl Upstreams {
    /// What earlier runs learnt. A file that can't be read any more tells nothing.
    pub fn load(host: &dyn Host) -> Result<Upstreams> {
        let text = read_if_there(host, paths::UPSTREAMS)?.unwrap_or_default();
        Ok(serde_json::from_slice(&text).unwrap_or_default())
    }

    /// Keeps it.
    pub fn save(&self, host: &dyn Host) -> Result<()> {
        let text = serde_json::to_vec(self).unwrap_or_default();
        Ok(host.write(Path::new(paths::UPSTREAMS), &text, &Attributes::root(0o600))?)
    }

    /// Takes up what happened to a host.
    pub fn record(&mut self, name: &str, attempt: Attempt<'_>, now: i128) {
        let breaker = self.0.remove(name).unwrap_or_default().after(attempt, now);
        if breaker.failures > 0 {
            self.0.insert(name.to_owned(), breaker);
        }
    }

    /// Forgets a host, or all of them. Says which.
    pub fn reset(&mut self, name: Option<&str>) -> Vec<String> {
        let (gone, stay) =
            std::mem::take(&mut self.0).into_iter().partition(|(it, _)| name.is_none_or(|name| it == name));
        self.0 = stay;
        let gone: BTreeMap<String, Breaker> = gone;
        gone.into_keys().collect()
    }

    /// All that something is known of.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &Breaker)> {
        self.0.iter()
    }

    /// Those that are left alone now, with the end of it.
    pub fn off(&self, rules: Rules, now: i128) -> BTreeMap<&str, (&Breaker, i128)> {
        let open = |(name, breaker)| match Breaker::state(breaker, rules, now) {
            State::Open { until } => Some((String::as_str(name), (breaker, until))),
            _ => None,
        };
        self.0.iter().filter_map(open).collect()
    }
}
