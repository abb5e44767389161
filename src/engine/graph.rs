//! The order of resources: who waits for whom, one owner for each thing, no circles.

use super::{Error, Node, Result};
use crate::base::ids::ResourceId;
use petgraph::algo::tarjan_scc;
use petgraph::graph::{DiGraph, NodeIndex};
use std::collections::{BTreeMap, BTreeSet};

/// Which nodes come before which. Indices are those of the slice that it was made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// For each node, the nodes that it waits for.
    pub before: Vec<BTreeSet<usize>>,
    /// For each node, the nodes that wait for it.
    pub after: Vec<BTreeSet<usize>>,
    /// One order that respects all of it: among the free ones, smaller priority first, then the id.
    pub sequence: Vec<usize>,
}

impl Order {
    /// The order of `nodes`. Refuses two owners of one id or path, a need that nothing declares, and a circle.
    pub fn of(nodes: &[Node]) -> Result<Self> {
        let index = one_owner(nodes)?;
        let mut before = vec![BTreeSet::new(); nodes.len()];
        for (at, node) in nodes.iter().enumerate() {
            for need in &node.needs {
                let Some(&needed) = index.get(need) else {
                    return Err(Error::Dangling {
                        id: node.resource.id().clone(),
                        needs: need.clone(),
                        origin: node.origin.clone(),
                    });
                };
                before[at].insert(needed);
            }
        }
        let mut after = vec![BTreeSet::new(); nodes.len()];
        for (at, needed) in before.iter().enumerate() {
            for &first in needed {
                after[first].insert(at);
            }
        }
        let sequence = sequence(nodes, &before, &after);
        if sequence.len() < nodes.len() {
            return Err(Error::Cycle { path: circle(nodes, &before) });
        }
        Ok(Order { before, after, sequence })
    }
}

/// The index of each id; an error when two nodes have one id, or own one path.
fn one_owner(nodes: &[Node]) -> Result<BTreeMap<ResourceId, usize>> {
    let mut ids = BTreeMap::new();
    let mut paths = BTreeMap::new();
    for (at, node) in nodes.iter().enumerate() {
        let twice = |id: String, first: usize| Error::TwoOwners {
            id,
            first: format!("module {} ({})", nodes[first].module, nodes[first].origin),
            second: format!("module {} ({})", node.module, node.origin),
        };
        if let Some(first) = ids.insert(node.resource.id().clone(), at) {
            return Err(twice(node.resource.id().to_string(), first));
        }
        for path in node.resource.paths() {
            if let Some(first) = paths.insert(path.clone(), at) {
                return Err(twice(path.display().to_string(), first));
            }
        }
    }
    Ok(ids)
}

/// Kahn's algorithm; shorter than `nodes` when there is a circle.
fn sequence(nodes: &[Node], before: &[BTreeSet<usize>], after: &[BTreeSet<usize>]) -> Vec<usize> {
    let key = |at: usize| (nodes[at].priority, nodes[at].resource.id().clone(), at);
    let mut waits: Vec<usize> = before.iter().map(BTreeSet::len).collect();
    let mut free: BTreeSet<_> = (0..nodes.len()).filter(|&at| waits[at] == 0).map(key).collect();
    let mut sequence = Vec::with_capacity(nodes.len());
    while let Some((_, _, at)) = free.pop_first() {
        sequence.push(at);
        for &next in &after[at] {
            waits[next] -= 1;
            if waits[next] == 0 {
                free.insert(key(next));
            }
        }
    }
    sequence
}

/// One circle, written `a -> b -> a`.
fn circle(nodes: &[Node], before: &[BTreeSet<usize>]) -> Vec<String> {
    let mut graph: DiGraph<usize, ()> = DiGraph::new();
    let indices: Vec<NodeIndex> = (0..nodes.len()).map(|at| graph.add_node(at)).collect();
    for (at, needed) in before.iter().enumerate() {
        for &first in needed {
            graph.add_edge(indices[at], indices[first], ());
        }
    }
    let knot = tarjan_scc(&graph)
        .into_iter()
        .map(|part| part.into_iter().map(|node| graph[node]).collect::<BTreeSet<usize>>())
        .find(|part| part.len() > 1 || part.iter().any(|at| before[*at].contains(at)))
        .unwrap_or_default();
    // Within a knot every node has a way on inside it: walk until one comes back.
    let mut path: Vec<usize> = knot.first().copied().into_iter().collect();
    while let Some(&last) = path.last() {
        let Some(&next) = before[last].iter().find(|at| knot.contains(at)) else { break };
        if let Some(start) = path.iter().position(|&at| at == next) {
            path.drain(..start);
            path.push(next);
            break;
        }
        path.push(next);
    }
    path.into_iter().map(|at| nodes[at].resource.id().to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::sample::node;

    #[test]
    fn the_free_ones_go_by_priority_and_then_by_name() {
        let mut nodes = vec![node("x:c", &[]), node("x:b", &["x:d"]), node("x:a", &[]), node("x:d", &[])];
        nodes[0].priority = -1;
        let order = Order::of(&nodes).unwrap();
        assert_eq!(order.sequence, [0, 2, 3, 1]);
        assert_eq!(order.after[3], BTreeSet::from([1]));
    }

    #[test]
    fn a_circle_is_named_with_its_path() {
        let nodes = [node("x:start", &["x:a"]), node("x:a", &["x:b"]), node("x:b", &["x:c"]), node("x:c", &["x:a"])];
        let Err(Error::Cycle { path }) = Order::of(&nodes) else { panic!("no circle found") };
        assert_eq!(path, ["x:a", "x:b", "x:c", "x:a"]);
    }

    #[test]
    fn two_owners_of_one_thing_and_a_need_that_nothing_declares_are_refused() {
        assert!(matches!(Order::of(&[node("x:a", &[]), node("x:a", &[])]), Err(Error::TwoOwners { .. })));
        assert!(matches!(Order::of(&[node("x:a", &["x:b"])]), Err(Error::Dangling { .. })));
    }

    #[test]
    fn a_thousand_resources_are_ordered() {
        let nodes: Vec<Node> = (0..1000)
            .map(|n| {
                let needs = if n == 0 { vec![] } else { vec![format!("x:{}", n / 2)] };
                node(&format!("x:{n}"), &needs.iter().map(String::as_str).collect::<Vec<_>>())
            })
            .collect();
        assert!(Order::of(&nodes[1..]).is_err(), "x:1 needs x:0");
        assert_eq!(Order::of(&nodes).unwrap().sequence.len(), 1000);
    }
}
