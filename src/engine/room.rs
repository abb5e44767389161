//! The room that the changes of a plan take together, on each file system, before any of them is begun.

use super::plan::Plan;
use super::{Error, Node, Result};
use crate::base::size;
use crate::host::Host;
use std::collections::BTreeMap;

/// What must stay free on each file system, bytes: for logs, and for what programs make of their own.
pub const MARGIN: u64 = 64 << 20;

/// Refuses with `disk-full` when they take more than there is.
pub fn check(host: &dyn Host, nodes: &[Node], plan: &Plan) -> Result<()> {
    let mut devices: BTreeMap<u64, (u64, u64, Vec<String>)> = BTreeMap::new();
    for step in plan.steps.iter().filter(|step| step.dropped.is_none()) {
        let Some(node) = nodes.iter().find(|node| *node.resource.id() == step.id) else { continue };
        for (path, bytes) in node.resource.room(&step.seen, &step.change)? {
            let space = host.space(&path)?;
            let entry = devices.entry(space.device).or_insert((space.available, MARGIN, Vec::new()));
            entry.1 = entry.1.saturating_add(bytes);
            entry.2.push(format!("{} takes {} below {}", step.id, size::bytes(bytes), path.display()));
        }
    }
    let Some((available, needed, lines)) = devices.into_values().find(|(available, needed, _)| available < needed)
    else {
        return Ok(());
    };
    let why = format!(
        "{}\n{} stay free for the rest; there are {}",
        lines.join("\n"),
        size::bytes(MARGIN),
        size::bytes(available)
    );
    let short = size::bytes(needed - available);
    Err(Error::refused("disk-full", "the changes need more room than there is", why)
        .fix(format!("free {short} (apt-get clean; journalctl --vacuum-size=100M), or enlarge the disk"))
        .fix("or choose a smaller swap file, or leave modules out with --skip"))
}
