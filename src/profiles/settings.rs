//! The program's own settings: described like a module's options, so that they are read, shown and exported alike.

use super::configuration::Valued;
use crate::base::yaml::{Collector, Reader, Source, parse};
use crate::engine::MOST_WORKERS;
use crate::engine::breaker::Rules;
use crate::modules::Options;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// All settings, in the form of a manifest's options, with the name of a limit that others know. Each has its reader in
/// [`Settings::new`].
const SETTINGS: &str = "\
apply:
  workers: {type: integer, min: 1, max: MOST_WORKERS, default: 4, help: How many steps may be under way at once}
  lock_wait: {type: integer, min: 0, max: 86400, default: 600, help: Seconds to wait for a lock that someone else holds}
  recovery: {type: choice, choices: [finish, undo], default: finish, help: What the next start does with a run that a crash cut off}
  fast_io: {type: boolean, default: false, help: 'Sync the files of new packages once, at the end, not each by itself'}
cache:
  limit: {type: integer, min: 0, max: 1000000, default: 2000, help: 'MB that packages may take in the cache of apt after an install; those that were not used for longest go first (0 - no limit)'}
drift:
  skip: {type: list, items: {type: string}, default: [], help: Territories that verify leaves out; territories.yaml lists them}
network:
  retries: {type: integer, min: 0, max: 10, default: 2, help: 'How often an install asks again when a host gives no answer, after a pause that grows'}
  failures: {type: integer, min: 1, max: 100, default: 5, help: So many times in a row without an answer and a host is left alone for a while}
  pause: {type: integer, min: 1, max: 86400, default: 60, help: Seconds that it is left alone}
confirm:
  when: {type: choice, choices: [auto, always, never], default: auto, help: 'When a change of SSH, firewall, sudo, accounts or network must be confirmed from a new login (auto - over the network, or by a service while somebody is in over the network)'}
  timeout: {type: integer, min: 10, max: 86400, default: 300, help: Seconds after which such a change is taken back unless it was confirmed}
hooks:
  timeout: {type: integer, min: 1, max: 3600, default: 60, help: Seconds that a hook may take; then it is ended and has failed}
";

/// What to do with a run that a crash cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    /// Go on to the end.
    Finish,
    /// Take it back.
    Undo,
}

/// When a change of the way in must be confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfirmWhen {
    /// When it is asked for over the network, or by a service while somebody is logged in over the network.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The settings, typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// How many steps may be under way at once.
    pub workers: usize,
    /// How long a lock is waited for.
    pub lock_wait: Duration,
    /// What is done with a run that a crash cut off.
    pub recovery: Recovery,
    /// Whether new packages are unpacked without syncing each file.
    pub fast_io: bool,
    /// Bytes that packages may take in apt's cache after an install; `None` for no limit.
    pub cache_limit: Option<u64>,
    /// The territories that `verify` leaves out.
    pub skipped: Vec<String>,
    /// How often it is tried again when a host gives no answer.
    pub retries: u32,
    /// When a host that gives no answer is left alone, and for how long.
    pub breaker: Rules,
    /// When a change of the way in must be confirmed.
    pub confirm_when: ConfirmWhen,
    /// How long a confirmation is waited for.
    pub confirm_timeout: Duration,
    /// How long a hook may take.
    pub hook_timeout: Duration,
}

impl Settings {
    /// The settings from their checked values.
    pub(super) fn new(values: &BTreeMap<String, Valued>) -> Settings {
        // Without a value (the file of defaults is damaged) the one that is described counts.
        let described = options().defaults();
        let number = |key: &str| {
            let given = values.get(key).and_then(|v| v.value.as_u64());
            given.or_else(|| described.get(key).and_then(Value::as_u64)).unwrap_or_default()
        };
        let undo = values.get("apply.recovery").is_some_and(|v| v.value == "undo");
        Settings {
            workers: usize::try_from(number("apply.workers")).unwrap_or(1),
            lock_wait: Duration::from_secs(number("apply.lock_wait")),
            recovery: if undo { Recovery::Undo } else { Recovery::Finish },
            fast_io: values
                .get("apply.fast_io")
                .and_then(|v| v.value.as_bool())
                .unwrap_or_else(|| described.get("apply.fast_io") == Some(&Value::Bool(true))),
            cache_limit: Some(number("cache.limit") * 1_000_000).filter(|limit| *limit > 0),
            skipped: values
                .get("drift.skip")
                .and_then(|v| v.value.as_array())
                .map(|list| list.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect())
                .unwrap_or_default(),
            retries: u32::try_from(number("network.retries")).unwrap_or_default(),
            breaker: Rules {
                failures: u32::try_from(number("network.failures")).unwrap_or(1),
                pause: Duration::from_secs(number("network.pause")),
            },
            confirm_when: match values.get("confirm.when").and_then(|v| v.value.as_str()) {
                Some("always") => ConfirmWhen::Always,
                Some("never") => ConfirmWhen::Never,
                _ => ConfirmWhen::Auto,
            },
            confirm_timeout: Duration::from_secs(number("confirm.timeout")),
            hook_timeout: Duration::from_secs(number("hooks.timeout")),
        }
    }
}

fn source() -> Source {
    Source::new("settings", SETTINGS.replace("MOST_WORKERS", &MOST_WORKERS.to_string()))
}

/// The descriptions of all settings.
pub fn options() -> Options {
    let source = source();
    let collector = Collector::default();
    // The text is a constant; a test holds that it is good.
    parse(&source).map(|root| Options::read(Reader::new(&source, &collector), &root)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_defaults_are_those_that_are_described_and_that_packages_wait_by() {
        let text = include_str!("../../config/defaults.yaml");
        let shipped: Value = serde_yaml::from_str(text).unwrap();
        for (path, default) in options().defaults() {
            let (group, key) = path.split_once('.').unwrap();
            assert_eq!(shipped[group][key], default, "{path}");
        }
        let settings = Settings::new(&BTreeMap::new());
        assert_eq!(settings.lock_wait, crate::resources::package::LOCK_WAIT);
        assert!(!settings.fast_io);
        assert_eq!((settings.breaker.failures, settings.breaker.pause), (5, Duration::from_secs(60)));
        assert_eq!(settings.cache_limit, Some(2_000_000_000));
        assert_eq!((settings.workers, settings.confirm_timeout), (4, Duration::from_secs(300)));
    }

    #[test]
    fn the_descriptions_of_the_settings_are_good() {
        let source = source();
        let collector = Collector::default();
        Options::read(Reader::new(&source, &collector), &parse(&source).unwrap());
        collector.finish(()).unwrap();
        let paths: Vec<String> = options().0.into_iter().map(|o| o.path).collect();
        assert_eq!(
            paths,
            [
                "apply.workers",
                "apply.lock_wait",
                "apply.recovery",
                "apply.fast_io",
                "cache.limit",
                "drift.skip",
                "network.retries",
                "network.failures",
                "network.pause",
                "confirm.when",
                "confirm.timeout",
                "hooks.timeout"
            ]
        );
    }
}
