//! What goes over the network in an install: tried again after a pause, given up for a while when a host doesn't answer,
//! and done without where no mandatory module needs that host.

use super::exit::Exit;
use super::explain::Problem;
use super::render::time;
use super::session::Session;
use super::setup::Setup;
use crate::base::ids::ResourceId;
use crate::engine::apply::Report;
use crate::engine::breaker::{Attempt, Breaker, delay};
use crate::engine::{Error, Event, Progress};
use crate::observe::supply_chain;
use crate::observe::upstreams::Upstreams;
use crate::profiles::settings::Settings;
use crate::resources::package::host_of;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// The modules that a run leaves out, with the hosts that they need; and those hosts, with what is known of them.
#[derive(Debug, Default)]
pub struct Aside {
    /// The modules, each with its host or with the module that it depends on.
    pub modules: BTreeMap<String, String>,
    /// Nobody is asked for anything: what was fetched before must do.
    pub goes_without_network: bool,
    hosts: BTreeSet<String>,
    why: Vec<String>,
}

/// The network of one run.
#[derive(Debug)]
pub struct Upstream<'r> {
    session: &'r Session<'r>,
    settings: &'r Settings,
    progress: &'r dyn Progress,
}

impl<'r> Upstream<'r> {
    /// With what the configuration says of it.
    pub fn new(session: &'r Session<'r>, settings: &'r Settings, progress: &'r dyn Progress) -> Self {
        Upstream { session, settings, progress }
    }

    /// Does `act`, and again while a host doesn't answer, as often as the configuration says and no breaker is open.
    pub fn persist<T>(&self, setup: &Setup, act: impl Fn() -> Result<T, Problem>) -> Result<T, Problem> {
        for failed in 1.. {
            let result = act();
            let reach = setup.packages.as_ref().map(|packages| packages.reach().take());
            let answered = reach.as_ref().is_some_and(|(answered, _)| *answered);
            let silent = match (&result, reach) {
                (Err(problem), _) => problem.hosts.clone(),
                (Ok(_), Some((_, silent))) => silent,
                (Ok(_), None) => Vec::new(),
            };
            let why =
                result.as_ref().err().map_or("no answer", |problem| problem.why.first().map_or("", String::as_str));
            let mut asked = if answered { self.asked(setup)? } else { BTreeSet::new() };
            asked.retain(|host| !silent.contains(host));
            let is_off = self.record(&asked, &silent, why)?;
            match result {
                Err(problem) if !problem.hosts.is_empty() && !is_off && failed <= self.settings.retries => {
                    let wait = delay(failed, u64::try_from(self.session.host.now() & 0xffff_ffff).unwrap_or(0));
                    let line = format!("{} gives no answer; asked again after a pause", silent.join(", "));
                    self.progress.tell(&Event::Note { line: &line });
                    self.session.host.pause(wait);
                }
                result => return result,
            }
        }
        Err(Problem::new(Exit::Failed, "stopped", "gave up", "it was tried too often"))
    }

    /// Notes down who answered and who didn't; says whether one of these is left alone from now on.
    fn record(&self, answered: &BTreeSet<String>, silent: &[String], why: &str) -> Result<bool, Problem> {
        let (host, now) = (self.session.host, self.session.host.now());
        let mut known = Upstreams::load(host)?;
        let before = known.clone();
        for name in answered {
            known.record(name, Attempt::Answered, now);
        }
        for name in silent {
            known.record(name, Attempt::Failed(why), now);
        }
        if known != before {
            known.save(host)?;
        }
        let off = known.off(self.settings.breaker, now);
        Ok(silent.iter().any(|name| off.contains_key(name.as_str())))
    }

    /// The hosts of apt's sources, those that the plan adds among them, without those that it does without.
    fn asked(&self, setup: &Setup) -> Result<BTreeSet<String>, Problem> {
        let off = Upstreams::load(self.session.host)?;
        let off = off.off(self.settings.breaker, self.session.host.now());
        let there = supply_chain::sources(self.session.host)?.into_iter().flat_map(|source| source.uris);
        let planned = setup.origins().into_iter().filter(|(_, _, id)| id.kind() == "apt_source");
        let all = there.filter_map(|uri| host_of(&uri)).chain(planned.map(|(host, ..)| host));
        Ok(all.filter(|host| !off.contains_key(host.as_str())).collect())
    }

    /// Notes down which of the files that modules fetch by themselves came, and which host gave no answer. That it can't
    /// be noted is nobody's failure.
    pub fn learn(&self, setup: &Setup, made: &Report) {
        let came = |id: &ResourceId| id.kind() == "download" && made.applied.iter().any(|step| step.id == *id);
        let answered = setup.origins().into_iter().filter(|(_, _, id)| came(id)).map(|(host, ..)| host).collect();
        let mut recorded = self.record(&answered, &[], "");
        for failure in &made.failures {
            if let Error::Unreachable { hosts, why, .. } = &failure.error {
                recorded = recorded.and(self.record(&BTreeSet::new(), hosts, why));
            }
        }
        if let Err(problem) = recorded {
            tracing::warn!("who gave no answer was not noted: {}", problem.what);
        }
    }

    /// Tells the packages' step whom to leave alone; the modules that have to fetch something from there are set aside,
    /// with those that depend on them.
    ///
    /// # Errors
    /// `upstream-off` when one of them is mandatory.
    pub fn set_aside(&self, setup: &Setup, silent: &[String], aside: &mut Aside) -> Result<bool, Problem> {
        let known = Upstreams::load(self.session.host)?;
        let off = known.off(self.settings.breaker, self.session.host.now());
        let mut hosts: BTreeSet<String> = off.keys().map(|name| (*name).to_owned()).collect();
        let origins = setup.origins();
        let is_ours = |host: &String| origins.iter().any(|(origin, ..)| origin == host);
        if off.is_empty() && silent.is_empty() || !silent.iter().all(is_ours) {
            return Ok(false);
        }
        hosts.extend(silent.iter().cloned());
        if let Some(packages) = &setup.packages {
            packages.reach().leave_alone(hosts.iter().filter(|host| is_ours(host)).cloned());
            let there = supply_chain::sources(self.session.host)?.into_iter().flat_map(|source| source.uris);
            let there: BTreeSet<String> = there.filter_map(|uri| host_of(&uri)).collect();
            if off.keys().any(|name| there.contains(*name) && !is_ours(&(*name).to_owned())) {
                packages.reach().go_without();
                let lines = words(&off.keys().map(|name| (*name).to_owned()).collect(), &off);
                lines.iter().for_each(|line| self.progress.tell(&Event::Note { line }));
            }
        }
        let mut modules: BTreeMap<String, String> = BTreeMap::new();
        for (host, module, id) in origins {
            if hosts.contains(&host) && self.has_to_fetch(setup, &id) {
                modules.insert(module, host);
            }
        }
        while let Some((dependent, needed)) = dependent(setup, &modules) {
            modules.insert(dependent, needed);
        }
        if modules.is_empty() {
            return Ok(false);
        }
        let words = words(&hosts, &off);
        if let Some(name) = modules.keys().find(|name| setup.policy.mandatory.contains(*name)) {
            let what = format!("module {name}, which is mandatory, can't be had");
            return Err(problem(what, &words));
        }
        let list: Vec<String> = modules.iter().map(|(name, why)| format!("{name} (needs {why})")).collect();
        for line in words.iter().cloned().chain([format!("set aside: {}", list.join(", "))]) {
            self.progress.tell(&Event::Note { line: &line });
        }
        aside.modules.extend(modules);
        aside.hosts.extend(hosts);
        aside.why = words;
        Ok(true)
    }

    /// Whether the resource is not there as it should be.
    fn has_to_fetch(&self, setup: &Setup, id: &ResourceId) -> bool {
        let Some(node) = setup.nodes.iter().find(|node| node.resource.id() == id) else { return true };
        let change = node.resource.observe(self.session.host).and_then(|seen| node.resource.compare(&seen));
        change.map_or(true, |change| change.is_needed())
    }
}

impl Aside {
    /// Nothing is set aside any more; without the network it stays.
    pub fn begin_anew(&mut self) {
        *self = Aside { goes_without_network: self.goes_without_network, ..Aside::default() };
    }

    /// Tells the packages' step whom to do without.
    pub fn tell(&self, setup: &Setup) {
        if let Some(packages) = &setup.packages {
            packages.reach().leave_alone(self.hosts.iter().cloned());
            if self.goes_without_network {
                packages.reach().go_without();
            }
        }
    }

    /// How a run that left modules out ends, all else being well, and the host being in this state.
    pub fn outcome(&self, session: &Session<'_>, exit: Exit, state: &str) -> Result<Exit, Problem> {
        if self.modules.is_empty() {
            return Ok(exit);
        }
        if session.output.is_json() {
            session.output.value(&json!({"set_aside": self.modules}));
        }
        let list: Vec<&str> = self.modules.keys().map(String::as_str).collect();
        let problem = problem(format!("set aside: {}", list.join(", ")), &self.why);
        Err(problem.state(state))
    }
}

/// A module that depends on one of `modules`, with which.
fn dependent(setup: &Setup, modules: &BTreeMap<String, String>) -> Option<(String, String)> {
    let open = setup.policy.depends_on.iter().filter(|(name, _)| !modules.contains_key(*name));
    let mut needing = open.filter_map(|(name, needs)| Some((name, needs.iter().find(|it| modules.contains_key(*it))?)));
    needing.next().map(|(name, needed)| (name.clone(), format!("module {needed}")))
}

/// A line for each of the hosts.
fn words(hosts: &BTreeSet<String>, off: &BTreeMap<&str, (&Breaker, i128)>) -> Vec<String> {
    let stamp = |at: i128| time::second(i64::try_from(at).unwrap_or_default());
    let line = |name: &String| match off.get(name.as_str()) {
        Some((breaker, until)) => format!(
            "{name} gave no answer {} times since {}; it is left alone until {}",
            breaker.failures,
            stamp(breaker.since),
            stamp(*until)
        ),
        None => format!("{name} gives no answer"),
    };
    hosts.iter().map(line).collect()
}

fn problem(what: String, words: &[String]) -> Problem {
    Problem::new(Exit::Failed, "upstream-off", what, words.join("\n"))
        .fix("install again later: what was set aside comes then")
        .fix("to ask such a host at once: vps-configurator circuit-breaker reset")
}
