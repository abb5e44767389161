//! The plan: what would change, in order, before anything does. Made by the same observing and comparing that the
//! apply does, so it is complete, and its hash names exactly this set of changes on exactly this host.

use super::graph::Order;
use super::{Action, Change, Debt, Node, Result, State};
use crate::base::digest::Digest;
use crate::base::ids::ResourceId;
use crate::host::Host;
use serde::{Deserialize, Serialize};

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
        for &at in &order.sequence {
            let node = &nodes[at];
            let seen = node.resource.observe(host)?;
            let change = node.resource.compare(&seen)?;
            if change.action == Action::Keep {
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
            });
        }
        Ok(Plan { hash: hash(&steps), steps, unchanged, notes })
    }

    /// Whether nothing is to do.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// The step of a resource.
    pub fn step(&self, id: &ResourceId) -> Option<&Step> {
        self.steps.iter().find(|step| step.id == *id)
    }

    /// The resources whose change differs from, or is missing in, `other`: why two hashes differ.
    pub fn differs_in(&self, other: &Plan) -> Vec<ResourceId> {
        let mut ids: Vec<ResourceId> =
            self.steps.iter().filter(|step| other.step(&step.id) != Some(step)).map(|s| s.id.clone()).collect();
        ids.extend(other.steps.iter().filter(|step| self.step(&step.id).is_none()).map(|s| s.id.clone()));
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
