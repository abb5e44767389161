//! How long the steps of a plan will take, by how long such steps took on this host before. Of what is not known nothing
//! is said.

use crate::base::ids::{ResourceId, TransactionId};
use crate::engine::State;
use crate::engine::plan::{Plan, Step};
use crate::journal::{Journal, SpanRow};
use crate::resources::package::Figures;
use std::collections::BTreeMap;

/// One step that is ahead.
#[derive(Debug, Clone, PartialEq)]
pub struct Ahead {
    /// What it changes.
    pub id: ResourceId,
    /// The modules that it is made for.
    pub modules: Vec<String>,
    /// How much work it is: a package is as much as any other resource.
    pub weight: usize,
    /// How long it will take, seconds, where that is known.
    pub seconds: Option<f64>,
}

/// How long steps took before.
#[derive(Debug, Clone, Default)]
pub struct History {
    spans: Vec<SpanRow>,
    /// Seconds for each package, of earlier package steps.
    packages: Vec<f64>,
}

impl History {
    /// As the journal tells it. What can't be read is not known, and stops nobody.
    pub fn of(journal: &Journal) -> Self {
        let made = journal.made(&ResourceId::new("package", "all")).unwrap_or_default();
        let each = made.iter().filter_map(|step| {
            let count = Figures::of(&State(step.before.clone()))?.count();
            let took = seconds(step.started, step.ended?);
            (count > 0).then(|| took / count as f64)
        });
        History { packages: each.collect(), spans: journal.spans().unwrap_or_default() }
    }

    /// The steps of `plan`.
    pub fn ahead(&self, plan: &Plan) -> Vec<Ahead> {
        let scale = self.scale();
        let one = |step: &Step| Ahead {
            id: step.id.clone(),
            modules: if step.shared.is_empty() { vec![step.module.clone()] } else { step.shared.clone() },
            weight: weight(step),
            seconds: self.seconds(step).map(|seconds| seconds * scale),
        };
        plan.steps.iter().map(one).collect()
    }

    fn seconds(&self, step: &Step) -> Option<f64> {
        // What goes takes another time than what comes, and is not looked up.
        if step.dropped.is_some() {
            return None;
        }
        if step.id.kind() == "package" {
            return median(self.packages.clone()).map(|each| each * weight(step) as f64);
        }
        let like = |fits: &dyn Fn(&ResourceId) -> bool| {
            let fitting = self.spans.iter().filter(|span| fits(&span.resource));
            median(fitting.map(|span| seconds(span.started, span.ended)).collect())
        };
        like(&|id| *id == step.id)
            .or_else(|| like(&|id| id.kind() == step.id.kind()))
            .or_else(|| like(&|id| id.kind() != "package"))
    }

    /// How much of the time that the steps took one after another the whole run took: steps are made side by side.
    fn scale(&self) -> f64 {
        let mut runs: BTreeMap<TransactionId, (i64, i64)> = BTreeMap::new();
        for span in &self.spans {
            let run = runs.entry(span.tx).or_insert((span.started, span.ended));
            *run = (run.0.min(span.started), run.1.max(span.ended));
        }
        let whole: f64 = runs.values().map(|(started, ended)| seconds(*started, *ended)).sum();
        let sum: f64 = self.spans.iter().map(|span| seconds(span.started, span.ended)).sum();
        if sum > 0.0 { (whole / sum).min(1.0) } else { 1.0 }
    }
}

fn weight(step: &Step) -> usize {
    match step.dropped {
        None if step.id.kind() == "package" => Figures::of(&step.seen).map_or(1, |figures| figures.count().max(1)),
        _ => 1,
    }
}

fn seconds(started: i64, ended: i64) -> f64 {
    ended.saturating_sub(started) as f64 / 1e9
}

/// The one in the middle; of two, the smaller.
fn median(mut all: Vec<f64>) -> Option<f64> {
    all.sort_by(f64::total_cmp);
    all.get(all.len().saturating_sub(1) / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Action, Change};
    use serde_json::{Value, json};

    fn span(tx: i64, resource: &str, from: i64, to: i64) -> SpanRow {
        let resource = ResourceId::parse(resource).unwrap();
        SpanRow { tx: TransactionId(tx), resource, started: from * 1_000_000_000, ended: to * 1_000_000_000 }
    }

    fn plan(steps: &[(&str, Value)]) -> Plan {
        let step = |(id, seen): &(&str, Value)| Step {
            id: ResourceId::parse(id).unwrap(),
            module: "web".into(),
            shared: Vec::new(),
            change: Change::new(Action::Create, "x", json!(1)),
            seen: State(seen.clone()),
            access: false,
            notify: Vec::new(),
            dropped: None,
        };
        let hash = crate::base::digest::Digest::of(b"");
        Plan { hash, steps: steps.iter().map(step).collect(), unchanged: 0, left: Vec::new(), notes: Vec::new() }
    }

    fn packages(count: usize) -> Value {
        let item = json!({"name": "a", "architecture": "amd64", "version": "1", "download": 1, "installed": 1});
        json!({"packages": {}, "solution": {
            "request": [], "download": 1, "installed": 1, "upgrades": [], "new": vec![item; count],
        }})
    }

    #[test]
    fn a_step_takes_what_the_same_took_else_what_its_kind_took_else_what_others_took() {
        let spans = vec![
            span(1, "file:/a", 0, 2),
            span(1, "file:/a", 2, 6),
            span(1, "file:/a", 6, 106),
            span(1, "unit:x", 106, 116),
        ];
        let history = History { spans, packages: vec![] };
        let ahead = history.ahead(&plan(&[("file:/a", json!(0)), ("file:/b", json!(0)), ("user:u", json!(0))]));
        let seconds: Vec<_> = ahead.iter().map(|one| one.seconds).collect();
        assert_eq!(seconds, [Some(4.0), Some(4.0), Some(4.0)]);
    }

    #[test]
    fn packages_take_their_number_and_weigh_it() {
        let history = History { spans: vec![], packages: vec![0.5, 3.0, 0.25] };
        let ahead = history.ahead(&plan(&[("package:all", packages(40)), ("file:/a", json!(0))]));
        assert_eq!((ahead[0].weight, ahead[0].seconds), (40, Some(20.0)));
        assert_eq!((ahead[1].weight, ahead[1].seconds), (1, None), "of files nothing is known");
    }

    #[test]
    fn steps_that_went_side_by_side_will_do_so_again() {
        let spans = vec![span(1, "file:/a", 0, 10), span(1, "file:/b", 0, 10), span(2, "file:/a", 100, 110)];
        let history = History { spans, packages: vec![] };
        let ahead = history.ahead(&plan(&[("file:/a", json!(0))]));
        assert!((ahead[0].seconds.unwrap() - 10.0 * 20.0 / 30.0).abs() < 1e-9);
    }

    #[test]
    fn without_a_history_nothing_is_said() {
        let ahead = History::default().ahead(&plan(&[("package:all", packages(3)), ("file:/a", json!(0))]));
        assert!(ahead.iter().all(|one| one.seconds.is_none()));
    }
}
