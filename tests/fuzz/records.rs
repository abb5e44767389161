//! Undo records: those of all releases, with changes that a broken disk or a newer version could make.

use super::draw::{check, files};
use proptest::prelude::*;
use serde_json::{Map, Number, Value};
use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;
use vps_configurator::engine::{Context, Patience, Scope, Silent, UndoRecord};
use vps_configurator::host::{ReadOnly, RealHost};
use vps_configurator::journal::Journal;
use vps_configurator::resources::undoers;

fn fixtures() -> Vec<UndoRecord> {
    let all = files("tests/compat", ".json").into_iter().filter(|path| path.parent().unwrap().ends_with("undo"));
    all.map(|path| serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()).collect()
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|n| Number::from_f64(n).map_or(Value::Null, Value::Number)),
        prop::sample::select(vec!["", "/", "/etc/x", "../..", "root", "0644", "\u{0}", "web.service", "å", "-rf"])
            .prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z_]{1,8}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// Every place in a value, the whole of it first.
fn places(value: &Value, at: &str, all: &mut Vec<String>) {
    all.push(at.to_owned());
    let step = |key: &str| format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
    match value {
        Value::Array(list) => list.iter().enumerate().for_each(|(n, inner)| places(inner, &step(&n.to_string()), all)),
        Value::Object(map) => map.iter().for_each(|(key, inner)| places(inner, &step(key), all)),
        _ => {}
    }
}

#[derive(Debug, Clone)]
enum Change {
    Replace(prop::sample::Index, Value),
    Remove(prop::sample::Index),
    Add(prop::sample::Index, String, Value),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        (at(), json()).prop_map(|(at, value)| Change::Replace(at, value)),
        at().prop_map(Change::Remove),
        (at(), "[a-z_]{1,8}", json()).prop_map(|(at, key, value)| Change::Add(at, key, value)),
    ]
}

fn changed(mut value: Value, change: &Change) -> Value {
    let mut all = Vec::new();
    places(&value, "", &mut all);
    match change {
        Change::Replace(at, new) => {
            if let Some(place) = value.pointer_mut(&all[at.index(all.len())]) {
                *place = new.clone();
            }
        }
        Change::Remove(at) => {
            let place = &all[at.index(all.len())];
            if let Some((parent, key)) = place.rsplit_once('/') {
                let key = key.replace("~1", "/").replace("~0", "~");
                match value.pointer_mut(parent) {
                    Some(Value::Object(map)) => drop(map.remove(&key)),
                    Some(Value::Array(list)) => drop(key.parse().ok().map(|n: usize| list.remove(n))),
                    _ => {}
                }
            }
        }
        Change::Add(at, key, new) => {
            if let Some(Value::Object(map)) = value.pointer_mut(&all[at.index(all.len())]) {
                map.insert(key.clone(), new.clone());
            }
        }
    }
    value
}

#[test]
fn a_record_is_the_same_after_it_was_written_and_read() {
    let strategy = ("[a-z-]{0,12}", any::<u32>(), json());
    check(2000, &strategy, |(kind, version, data)| {
        let record = UndoRecord { kind, version, data };
        let read: UndoRecord = serde_json::from_str(&serde_json::to_string(&record).unwrap()).unwrap();
        prop_assert_eq!(read, record);
        Ok(())
    });
}

#[test]
fn any_record_of_any_kind_and_version_is_read_or_refused() {
    let undoers = undoers();
    let kinds: Vec<&str> = undoers.kinds().collect();
    let version = prop_oneof![Just(0_u32), Just(1), Just(2), any::<u32>()];
    check(6000, &(prop::sample::select(kinds), version, json()), |(kind, version, data)| {
        let record = UndoRecord { kind: kind.to_owned(), version, data };
        if let Err(error) = undoers.decode(&record) {
            prop_assert!(!error.to_string().is_empty());
        }
        Ok(())
    });
}

#[test]
fn a_changed_record_is_read_or_refused_and_what_it_would_do_can_be_told() {
    let undoers = undoers();
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    fs::create_dir(&state).unwrap();
    let journal = Journal::open(&state).unwrap();
    let host = RealHost::new(dir.path().into());
    let context = Context {
        host: &ReadOnly(&host),
        objects: journal.objects(),
        progress: &Silent,
        patience: Patience::of(Duration::ZERO),
    };
    let strategy = (prop::sample::select(fixtures()), prop::collection::vec(change(), 0..4));
    check(2500, &strategy, |(record, changes)| {
        let data = changes.iter().fold(record.data.clone(), changed);
        let record = UndoRecord { data, ..record };
        match undoers.decode(&record) {
            // An error here is told; it is no panic.
            Ok(undo) => drop(undo.describe(&context, &Scope::Whole)),
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
        Ok(())
    });
    let known: BTreeMap<String, usize> = fixtures().iter().map(|record| (record.kind.clone(), 1)).collect();
    assert_eq!(known.len(), undoers.kinds().count(), "a fixture of each kind");
}

#[test]
fn a_field_that_a_newer_version_added_is_passed_over() {
    let undoers = undoers();
    for record in fixtures() {
        let mut newer = record.clone();
        if let Value::Object(map) = &mut newer.data {
            map.insert("field_of_a_later_version".to_owned(), Value::from(true));
            assert!(undoers.decode(&newer).is_ok(), "{}", record.kind);
        }
    }
}
