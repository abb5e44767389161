//! Whether an install must be confirmed: what of the way in it would touch, and who asks for it from where.

use super::args;
use super::session::Session;
use super::setup::Setup;
use crate::engine::confirm::Terms;
use crate::engine::plan::Plan;
use crate::host::login::Login;
use crate::profiles::settings::ConfirmWhen;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

/// What the command line says of confirming, in place of the settings.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asked {
    /// When.
    pub when: Option<args::ConfirmWhen>,
    /// How long is waited, seconds.
    pub timeout: Option<u32>,
}

/// An install that must be confirmed.
#[derive(Debug)]
pub struct Arming {
    /// What, and until when.
    pub terms: Terms,
    /// The logins whose way in must stay.
    pub logins: Vec<Login>,
}

impl Arming {
    /// The arming of what is planned; `None` when nothing needs to be confirmed.
    pub fn of(session: &Session<'_>, setup: &Setup, plan: &Plan, asked: Asked) -> Option<Self> {
        let when = match asked.when {
            None => setup.settings.confirm_when,
            Some(args::ConfirmWhen::Auto) => ConfirmWhen::Auto,
            Some(args::ConfirmWhen::Always) => ConfirmWhen::Always,
            Some(args::ConfirmWhen::Never) => ConfirmWhen::Never,
        };
        if when == ConfirmWhen::Never || !plan.steps.iter().any(|step| step.access) {
            return None;
        }
        let logins = session.logins();
        if when == ConfirmWhen::Auto && !logins.iter().any(|login| login.is_remote) {
            return None;
        }
        let seconds = asked.timeout.map(|seconds| Duration::from_secs(seconds.into()));
        let timeout = seconds.unwrap_or(setup.settings.confirm_timeout);
        Some(Arming { terms: terms(setup, plan, timeout), logins })
    }

    /// For programs.
    pub fn json(&self) -> Value {
        json!({
            "seconds": self.terms.timeout.as_secs(), "resources": self.terms.resources, "modules": self.terms.modules,
        })
    }
}

fn terms(setup: &Setup, plan: &Plan, timeout: Duration) -> Terms {
    let concerned = || setup.nodes.iter().filter(|node| !node.access.is_empty());
    let is_planned = |id| plan.step(id).is_some_and(|step| step.access);
    let mut gone: BTreeSet<&String> =
        concerned().filter(|node| is_planned(node.resource.id())).flat_map(|node| &node.access).collect();
    let dropped: Vec<_> = plan.dropped().map(|(step, _)| step).filter(|step| step.access).collect();
    gone.extend(dropped.iter().map(|step| &step.module));
    // Whoever depends on what is taken back goes with it.
    loop {
        let needs_one = |(_, needs): &(&String, &BTreeSet<String>)| needs.iter().any(|need| gone.contains(need));
        let more: Vec<&String> = setup.policy.depends_on.iter().filter(needs_one).map(|(module, _)| module).collect();
        let before = gone.len();
        gone.extend(more);
        if gone.len() == before {
            break;
        }
    }
    let resources = concerned().map(|node| node.resource.id().clone());
    // In load order each comes after those that it depends on. What is made anew comes when these are gone.
    let former = gone.iter().copied().filter(|module| !setup.modules.contains(module));
    let modules = setup.modules.iter().rev().filter(|module| gone.contains(module)).chain(former);
    Terms {
        resources: resources.chain(dropped.iter().map(|step| step.id.clone())).collect(),
        modules: modules.cloned().collect(),
        timeout,
    }
}
