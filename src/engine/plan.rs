//! The plan: what would change, in order, before anything does. Made by the same observing and comparing that the
//! apply does, so it is complete, and its hash names exactly this set of changes on exactly this host.

use super::dropped::Found;
use super::graph::Order;
use super::undo::Wishes;
use super::{Action, Change, Debt, Node, Result, State};
use crate::base::digest::Digest;
use crate::base::ids::{ResourceId, TransactionId};
use crate::host::Host;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// One change ahead.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// What changes.
    pub id: ResourceId,
    /// For which module.
    pub module: String,
    /// Shared by these modules, when by more than one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shared: Vec<String>,
    /// How.
    pub change: Change,
    /// What was seen when the plan was made.
    pub seen: State,
    /// Whether people's way in depends on it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub access: bool,
    /// What is owed afterwards.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notify: Vec<Debt>,
    /// Which earlier step is taken back, because nothing asks for it any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropped: Option<Dropped>,
}

/// An earlier step that nothing asks for any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// The step of the journal.
    pub step: i64,
    /// Its transaction.
    pub transaction: TransactionId,
    /// When that began, nanoseconds since the epoch.
    pub since: i64,
    /// The profile that asked for it then, when it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// Of a step that several share, the things that go.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub names: BTreeSet<String>,
    /// Those of them that stay, by the module that wants them, too.
    #[serde(default, skip_serializing_if = "Wishes::is_empty")]
    pub heirs: Wishes,
}

/// Something that is not as wanted, and is left as it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Left {
    /// What.
    pub id: ResourceId,
    /// For which module.
    pub module: String,
    /// Why it stays.
    pub summary: String,
    /// Where it differs, and what can be done about it.
    pub details: Vec<String>,
    /// The difference from what is there to what is wanted, where it may be shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diff: Option<String>,
}

/// What would change, in order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// SHA-256 over the steps: the same hash is the same set of changes from the same facts.
    pub hash: Digest,
    /// The changes, in an order that respects the graph.
    pub steps: Vec<Step>,
    /// How many resources are as wanted already.
    pub unchanged: usize,
    /// What is not as wanted, and stays so, for somebody else changed it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<Left>,
    /// What does not apply to this host, and why: no swap in a container.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl Plan {
    /// Observes every node and compares. Reads only.
    pub fn make(nodes: &[Node], order: &Order, host: &dyn Host) -> Result<Self> {
        let mut steps = Vec::new();
        let mut unchanged = 0;
        let mut notes = Vec::new();
        let mut left = Vec::new();
        for &at in &order.sequence {
            let node = &nodes[at];
            let seen = node.resource.observe(host)?;
            let change = node.resource.compare(&seen)?;
            if change.action == Action::Keep {
                if !change.details.is_empty() {
                    let Change { summary, details, diff, .. } = change;
                    let (id, module) = (node.resource.id().clone(), node.module.clone());
                    left.push(Left { id, module, summary, details, diff });
                    continue;
                }
                if !change.summary.is_empty() {
                    notes.push(format!("{}: {}", node.resource.id(), change.summary));
                }
                unchanged += 1;
                continue;
            }
            steps.push(Step {
                id: node.resource.id().clone(),
                module: node.module.clone(),
                shared: node.resource.shared_by(),
                change,
                seen,
                access: !node.access.is_empty(),
                notify: node.notify.clone(),
                dropped: None,
            });
        }
        Ok(Plan { hash: hash(&steps), steps, unchanged, left, notes })
    }

    /// The same plan, which first takes back what nothing asks for any more.
    #[must_use]
    pub fn after_taking_back(mut self, found: Found) -> Self {
        let mut steps = found.steps;
        steps.append(&mut self.steps);
        self.notes.extend(found.notes);
        Plan { hash: hash(&steps), steps, ..self }
    }

    /// The same plan without this detail where the resource is one of `ids`.
    #[must_use]
    pub fn without_detail(mut self, detail: &str, ids: &BTreeSet<ResourceId>) -> Self {
        for step in self.steps.iter_mut().filter(|step| ids.contains(&step.id)) {
            step.change.details.retain(|line| line != detail);
        }
        Plan { hash: hash(&self.steps), ..self }
    }

    /// What is taken back first.
    pub fn dropped(&self) -> impl Iterator<Item = (&Step, &Dropped)> {
        self.steps.iter().filter_map(|step| Some((step, step.dropped.as_ref()?)))
    }

    /// Whether nothing would change.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// The step that makes a resource.
    pub fn step(&self, id: &ResourceId) -> Option<&Step> {
        self.steps.iter().find(|step| step.id == *id && step.dropped.is_none())
    }

    /// The resources whose change differs from, or is missing in, `other`: why two hashes differ.
    pub fn differs_in(&self, other: &Plan) -> Vec<ResourceId> {
        let mut ids: Vec<ResourceId> =
            self.steps.iter().filter(|step| !other.steps.contains(step)).map(|s| s.id.clone()).collect();
        let others = other.steps.iter().filter(|step| !self.steps.contains(step)).map(|s| s.id.clone());
        ids.extend(others);
        let mut told = BTreeSet::new();
        ids.retain(|id| told.insert(id.clone()));
        ids
    }

    /// Whether the hash is that of the steps: a saved plan was not edited.
    pub fn is_genuine(&self) -> bool {
        self.hash == hash(&self.steps)
    }
}

fn hash(steps: &[Step]) -> Digest {
    Digest::of(&serde_json::to_vec(steps).unwrap_or_default())
}
