//! `plan`: shows exactly what an install would change, and changes nothing.

use super::Outcome;
use crate::cli::args::Plan;
use crate::cli::arming::{Arming, Asked};
use crate::cli::exit::Exit;
use crate::cli::explain::Problem;
use crate::cli::render::plan as page;
use crate::cli::session::Session;
use crate::cli::setup::Setup;
use serde_json::json;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

/// Runs it. Exit 0 when nothing is to do, 4 when changes are pending.
pub fn run(session: &Session<'_>, flags: &Plan) -> Outcome {
    session.require_root()?;
    session.require_debian_13()?;
    let setup = Setup::make(session, &flags.select)?;
    let plan = setup.plan(session)?;
    let arming = Arming::of(session, &setup, &plan, Asked::default());
    let value = json!({
        "format": 1, "profile": setup.profile, "request": setup.request, "modules": setup.modules, "plan": plan,
        "confirm": arming.as_ref().map(Arming::json),
    });
    if let Some(path) = &flags.out {
        let text = format!("{}\n", serde_json::to_string_pretty(&value).unwrap_or_default());
        // It holds what was set on the command line, which may be secret.
        let file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
        file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|e| {
            Problem::new(Exit::Failed, "cannot-write", format!("cannot write {}", path.display()), e.to_string())
                .fix("name a file in a directory that can be written")
        })?;
    }
    if session.output.is_json() {
        session.output.value(&value);
    } else {
        page::show(session.output, &plan, &setup.profile, arming.as_ref());
        if let Some(path) = &flags.out {
            session.output.text(&format!("Saved: vps-configurator install --plan {}\n", path.display()));
        }
    }
    Ok(if plan.is_empty() { Exit::Done } else { Exit::Findings })
}
