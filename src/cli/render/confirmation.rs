//! A transaction that waits for its confirmation: for people and for programs.

use super::time;
use super::wrap::wrap;
use crate::engine::confirm::remaining;
use crate::host::Host;
use crate::journal::{ConfirmationRow, ConfirmationState};
use serde_json::{Value, json};

/// `until 2026-11-23 18:05:07Z (in 4:12)`.
pub fn until(host: &dyn Host, row: &ConfirmationRow) -> String {
    let left = remaining(host, row).as_secs();
    format!("until {} (in {}:{:02})", time::second(deadline(host, row)), left / 60, left % 60)
}

/// The end of the waiting, in nanoseconds since the epoch.
fn deadline(host: &dyn Host, row: &ConfirmationRow) -> i64 {
    let end = host.now() + i128::try_from(remaining(host, row).as_nanos()).unwrap_or_default();
    i64::try_from(end).unwrap_or(i64::MAX)
}

/// For programs.
pub fn json(host: &dyn Host, row: &ConfirmationRow) -> Value {
    let is_open = row.state.is_open();
    json!({
        "transaction": row.tx,
        "state": row.state,
        "until": is_open.then(|| time::rfc3339(deadline(host, row))),
        "seconds_left": is_open.then(|| remaining(host, row).as_secs()),
        "modules": row.modules,
        "resources": row.resources,
        "ended": row.ended.map(time::rfc3339),
        "by": row.by,
        "why": row.why,
    })
}

/// What `status` says of one that is open.
pub fn status(host: &dyn Host, row: &ConfirmationRow) -> String {
    let modules = row.modules.join(", ");
    let line = match row.state {
        ConfirmationState::Armed => format!(
            "Armed:     transaction {} is under way or was cut off; vps-configurator recover finishes it, and otherwise \
             what it made of {modules} is taken back",
            row.tx
        ),
        ConfirmationState::Reverting => format!(
            "Reverting: transaction {} was not confirmed; not all of {modules} is taken back yet, it is tried again",
            row.tx
        ),
        _ => format!(
            "Waiting:   transaction {} for its confirmation, {}; vps-configurator confirm from a new login, or {modules} \
             is taken back",
            row.tx,
            until(host, row)
        ),
    };
    wrap("", &line)
}

/// What an install says at its end.
pub fn after_install(host: &dyn Host, row: &ConfirmationRow, looked: &[String]) -> String {
    let mut text = String::from("\nThis must be confirmed. Log in anew, from a second terminal, and there:\n");
    text.push_str("  sudo vps-configurator confirm\n");
    text.push_str(&wrap(
        "",
        &format!(
            "Stay logged in here until that has worked. Otherwise it is taken back {}: what was changed for {}.",
            until(host, row).replacen("until", "at", 1),
            row.modules.join(", ")
        ),
    ));
    if !looked.is_empty() {
        let line =
            format!("Seen from this host: {}. The way to it through the network only you can try.", looked.join("; "));
        text.push_str(&wrap("", &line));
    }
    text
}
