//! From the configuration to a graph of resources: what every command that plans begins with.

use super::args::Select;
use super::exit::Exit;
use super::explain::Problem;
use super::hooks;
use super::lockout;
use super::session::Session;
use crate::base::digest::Digest;
use crate::base::ids::ResourceId;
use crate::base::paths;
use crate::base::yaml::Problems;
use crate::engine::dropped::{Found, Wanted, find};
use crate::engine::graph::Order;
use crate::engine::plan::Plan;
use crate::engine::{Node, Patience, Policy, Silent, Works, room};
use crate::host::ReadOnly;
use crate::host::kernel;
use crate::host::machine::{Machine, ssh_ports};
use crate::host::sockets;
use crate::journal::Journal;
use crate::modules::catalogue::Catalogue;
use crate::modules::expand::{NextStep, OptionValues, PortNeed, expand, needed_options};
use crate::modules::facts::Facts;
use crate::modules::probe::{Probe, ProbeTest};
use crate::observe::drift::Keeper;
use crate::profiles::input::Inputs;
use crate::profiles::settings::Settings;
use crate::profiles::{Configuration, check};
use crate::resources::Spec;
use crate::resources::access::AccessRules;
use crate::resources::assembly::{Assembled, Assembly, assemble};
use crate::resources::file::FOREIGN;
use crate::resources::package::{LOCK_WAIT, PackageSet, host_of};
use crate::resources::unit::survey::UnitSurvey;
use crate::resources::written::Written;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// Everything that is known before a plan is made.
#[derive(Debug)]
pub struct Setup {
    /// The profile's name.
    pub profile: String,
    /// The enabled modules, in load order.
    pub modules: Vec<String>,
    /// How many modules there are.
    pub available: usize,
    /// The resources.
    pub nodes: Vec<Node>,
    /// The packages among them.
    pub packages: Option<PackageSet>,
    /// The files among them that are checked as a whole.
    pub checked: BTreeSet<ResourceId>,
    /// What systemd says of their units, and of those of the probes.
    pub survey: Arc<UnitSurvey>,
    /// Their order.
    pub order: Order,
    /// What proves the modules.
    pub probes: Vec<Probe>,
    /// What the administrator may do next.
    pub next_steps: Vec<NextStep>,
    /// The engine's settings.
    pub settings: Settings,
    /// What was asked for, to be kept with the transaction and with a saved plan.
    pub request: Value,
    /// The modules that the configuration without flags asks for.
    pub asked: Vec<String>,
    /// Whether all of the profile is meant: what it no longer asks for is taken back.
    pub is_whole: bool,
    /// Names the modules and the values of all their options: what recovery must not change behind anybody's back.
    pub agreed: Digest,
    /// Which modules are mandatory, and which need which.
    pub policy: Policy,
    specs: Vec<Spec>,
    facts: Facts,
    written: Arc<Written>,
}

impl Setup {
    /// Reads and checks everything; refuses with every problem that there is.
    pub fn make(session: &Session<'_>, select: &Select) -> Result<Self, Problem> {
        let catalogue = catalogue(session)?;
        let configuration = configuration(session, &catalogue, select)?;
        let Some(profile) = configuration.profile.as_ref().and_then(|value| value.value.as_str()).map(str::to_owned)
        else {
            return Err(Problem::new(
                Exit::Usage,
                "profile-missing",
                "no profile is chosen",
                "neither the configuration nor --profile names one",
            )
            .fix("vps-configurator profile list, then --profile NAME, or dpkg-reconfigure vps-configurator"));
        };
        let facts = facts(session)?;
        let modules = configuration.order();
        require(&catalogue, &modules, &facts)?;
        let values = configuration.option_values();
        required_options(session, &catalogue, &modules, &values, &facts)?;
        let agreed = Digest::of(format!("{modules:?} {values:?}").as_bytes());
        let expansion = expand(session.host, &catalogue, &modules, &values, &facts)?;
        lockout::check(session, &expansion.specs, &facts)?;
        free_ports(session, &expansion.ports)?;
        let written = Arc::new(Written::default());
        let Assembled { nodes, packages, checked, survey } = assemble(
            &expansion.specs,
            &Assembly {
                keep_open: facts.ssh_ports.clone(),
                fast_io: configuration.settings.fast_io,
                access: AccessRules::load(session.host)?,
                is_checked: true,
                written: Arc::clone(&written),
            },
        )?;
        for probe in &expansion.probes {
            if let ProbeTest::Unit { unit, .. } = &probe.test {
                survey.register(unit);
            }
        }
        let order = Order::of(&nodes)?;
        let mut policy = Policy { workers: configuration.settings.workers, ..Policy::default() };
        for name in &modules {
            if let Some(manifest) = catalogue.get(name) {
                if manifest.mandatory {
                    policy.mandatory.insert(name.clone());
                }
                let needs: BTreeSet<String> = manifest.depends_on.iter().map(|need| need.name.clone()).collect();
                policy.depends_on.insert(name.clone(), needs);
            }
        }
        Ok(Setup {
            request: request(&profile, select),
            asked: asked(session, &catalogue, select, &modules),
            is_whole: select.is_whole(),
            agreed,
            profile,
            available: catalogue.iter().count(),
            modules,
            nodes,
            packages,
            checked,
            survey,
            order,
            probes: expansion.probes,
            next_steps: expansion.next_steps,
            settings: configuration.settings,
            policy,
            specs: expansion.specs,
            facts,
            written,
        })
    }

    /// What was asked for, as the journal keeps it: with the name of the configuration that it meant.
    pub fn kept_request(&self) -> Value {
        let mut request = self.request.clone();
        request["configuration"] = self.agreed.to_string().into();
        request["asked"] = self.asked.clone().into();
        request
    }

    /// The hosts that modules fetch something from by themselves, with the module and the resource.
    pub fn origins(&self) -> Vec<(String, String, ResourceId)> {
        let mut origins = Vec::new();
        for spec in &self.specs {
            let urls = match spec.kind {
                "apt_source" => spec.list("uris"),
                "download" => spec.text("url").map(str::to_owned).into_iter().collect(),
                _ => Vec::new(),
            };
            let hosts = urls.iter().filter_map(|url| host_of(url));
            origins.extend(hosts.map(|host| (host, spec.module.clone(), spec.id())));
        }
        origins
    }

    /// What the configuration asks for, to be held against what stands.
    fn wanted(&self) -> Wanted {
        Wanted {
            modules: self.modules.iter().cloned().collect(),
            ids: self.nodes.iter().map(|node| node.resource.id().clone()).collect(),
            wishes: self.packages.as_ref().map(PackageSet::wishes).unwrap_or_default(),
        }
    }

    /// Whether a request that the journal kept means the configuration that is in force now.
    pub fn is_meant_by(&self, kept: &Value) -> bool {
        kept.get("configuration").and_then(Value::as_str).is_none_or(|word| word == self.agreed.as_str())
    }

    /// Refuses a plan that takes more room than there is, packages and all else together; and one that takes the last way
    /// in back.
    pub fn check(&self, session: &Session<'_>, plan: &Plan) -> Result<(), Problem> {
        room::check(session.host, &self.nodes, plan)?;
        lockout::dropped::check(session, plan, &self.specs, &self.facts)
    }

    /// Plans, on a host that refuses every effect.
    pub fn plan(&self, session: &Session<'_>) -> Result<Plan, Problem> {
        let host = ReadOnly(session.host);
        let journal = session.journal_to_read()?;
        if let Some(journal) = &journal {
            self.written.read(journal, &Keeper::new(&host, journal, Vec::new()).accepted_edits()?)?;
        }
        let mut plan = Plan::make(&self.nodes, &self.order, &host)?;
        if let Some(journal) = journal {
            if self.is_whole {
                plan = plan.after_taking_back(self.dropped(session, &journal, &host)?);
            }
            if plan.steps.iter().any(|step| step.change.details.iter().any(|line| line == FOREIGN)) {
                let ours = journal.outline()?.into_iter().map(|step| step.resource).collect();
                plan = plan.without_detail(FOREIGN, &ours);
            }
        }
        if plan.steps.iter().any(|step| self.checked.contains(&step.id)) && !session.host.has_views() {
            plan.notes.push(
                "this host allows no private view of files: what a daemon reads is checked right after it changed and \
                 before it is reloaded, not beforehand"
                    .to_owned(),
            );
        }
        if !plan.is_empty() {
            plan.notes.extend(hooks::look(session)?.notes());
        }
        Ok(plan)
    }

    /// What stands, and the configuration does not ask for.
    fn dropped(&self, session: &Session<'_>, journal: &Journal, host: &ReadOnly<'_>) -> Result<Found, Problem> {
        let works = Works { host, ..session.works(journal, &Silent) };
        let mut wanted = self.wanted();
        let found = find(&works, &wanted)?;
        if found.own.is_empty() || found.steps.is_empty() {
            return Ok(found);
        }
        // What modules beside the profile want may have been there before them, so that no step says so.
        let module = found.own.iter().cloned().collect();
        let select = Select { profile: Some(self.profile.clone()), module, ..Select::default() };
        let packages = Setup::make(session, &select).ok().and_then(|setup| setup.packages);
        let wishes = packages.map(|packages| packages.wishes()).unwrap_or_default();
        wanted.wishes.extend(wishes.into_iter().filter(|(module, _)| found.own.contains(module)));
        Ok(find(&works, &wanted)?)
    }
}

/// The modules that the configuration without flags asks for: what comes by flags alone is not the profile's.
fn asked(session: &Session<'_>, catalogue: &Catalogue, select: &Select, modules: &[String]) -> Vec<String> {
    if select.is_whole() && select.set.is_empty() {
        return modules.to_vec();
    }
    let plain = Select { profile: select.profile.clone(), ..Select::default() };
    configuration(session, catalogue, &plain).map(|configuration| configuration.order()).unwrap_or_default()
}

/// What was asked for, as it is kept.
fn request(profile: &str, select: &Select) -> Value {
    json!({"profile": profile, "module": select.module, "skip": select.skip, "set": select.set})
}

/// What was asked for, read back.
pub fn select_of(request: &Value) -> Select {
    let list = |name: &str| -> Vec<String> {
        request
            .get(name)
            .and_then(Value::as_array)
            .map(|all| all.iter().filter_map(Value::as_str).map(str::to_owned).collect())
            .unwrap_or_default()
    };
    Select {
        profile: request.get("profile").and_then(Value::as_str).map(str::to_owned),
        module: list("module"),
        skip: list("skip"),
        set: list("set"),
    }
}

/// All modules of this host, built-in ones first.
pub fn catalogue(session: &Session<'_>) -> Result<Catalogue, Problem> {
    let share = format!("{}/modules", paths::SHARE);
    let catalogue = Catalogue::load(session.host, Path::new(&share), Path::new(paths::MODULES_D))?;
    if catalogue.iter().next().is_none() {
        return Err(Problem::new(Exit::Failed, "modules-missing", "no module was found", format!("{share} is empty"))
            .fix("reinstall: apt-get install --reinstall vps-configurator"));
    }
    Ok(catalogue)
}

/// Refuses a module with which, and with the defaults of all options, nothing could be planned.
pub fn try_module(session: &Session<'_>, catalogue: &Catalogue, name: &str) -> Result<(), Problem> {
    let needed = catalogue.with_dependencies([name]);
    let order = catalogue.order(needed.keys().copied());
    let manifests = order.iter().filter_map(|name| catalogue.get(name));
    let values: OptionValues = manifests.map(|module| (module.name.clone(), module.options.defaults())).collect();
    let facts = facts(session)?;
    let expansion = expand(session.host, catalogue, &order, &values, &facts)?;
    // What only the administrator can give may be missing yet.
    if needed_options(session.host, catalogue, &order, &values, &facts)?.is_empty() {
        let assembled = assemble(
            &expansion.specs,
            &Assembly {
                keep_open: facts.ssh_ports.clone(),
                fast_io: false,
                access: AccessRules::load(session.host)?,
                is_checked: true,
                written: Arc::new(Written::default()),
            },
        )?;
        Order::of(&assembled.nodes)?;
    }
    Ok(())
}

/// The files of the configuration and what the flags select.
pub fn inputs(session: &Session<'_>, select: &Select) -> Result<Inputs, Problem> {
    let mut inputs = Inputs::load(session.host)?;
    inputs.sets.clone_from(&select.set);
    inputs.profile.clone_from(&select.profile);
    inputs.only.clone_from(&select.module);
    inputs.skip.clone_from(&select.skip);
    Ok(inputs)
}

/// The configuration in force.
pub fn configuration(session: &Session<'_>, catalogue: &Catalogue, select: &Select) -> Result<Configuration, Problem> {
    Ok(check(catalogue, &inputs(session, select)?)?)
}

/// The engine's settings, for the commands that need no profile.
pub fn settings(session: &Session<'_>) -> Result<Settings, Problem> {
    Ok(configuration(session, &catalogue(session)?, &Select::default())?.settings)
}

/// How others are waited for: as the configuration says, if it can be read; a way back must not hang on it.
pub fn patience<'s>(session: &Session<'_>, stop: Option<&'s AtomicBool>) -> Patience<'s> {
    Patience { limit: settings(session).map_or(LOCK_WAIT, |settings| settings.lock_wait), stop }
}

/// How long a hook may take: as the configuration says, if it can be read.
pub fn hook_timeout(session: &Session<'_>) -> Duration {
    settings(session).map_or(Duration::from_secs(60), |settings| settings.hook_timeout)
}

/// What templates see of the host.
pub fn facts(session: &Session<'_>) -> Result<Facts, Problem> {
    let machine = Machine::read(session.host)?;
    let used: Vec<u16> = session.logins().iter().filter_map(|login| Some(login.to.as_ref()?.1)).collect();
    let mut ports: Vec<u16> = ssh_ports(session.host, &used)?.into_iter().collect();
    if ports.is_empty() {
        // No sshd yet: the one that comes listens there, and no firewall may be in its way.
        ports.push(22);
    }
    // Of several, one that answers now.
    let listening = if ports.len() > 1 { sockets::listening(session.host) } else { Vec::new() };
    let answers = ports.iter().find(|port| sockets::answers(&listening, &port.to_string()));
    Ok(Facts {
        architecture: machine.architecture,
        codename: machine.os.codename,
        hostname: machine.hostname,
        public_ipv4: session.host.outward_address().filter(is_public).map(|ip| ip.to_string()).unwrap_or_default(),
        memory_mb: machine.memory.unwrap_or(0) / (1024 * 1024),
        cpus: machine.cpus.and_then(|count| u32::try_from(count).ok()).unwrap_or(1),
        ssh_port: used.first().or(answers).or(ports.first()).copied().unwrap_or(22),
        ssh_ports: ports,
        congestion_controls: kernel::congestion_controls(session.host)?.into_iter().collect(),
        queues: kernel::modules(session.host, "sch_")?.into_iter().collect(),
        container: machine.container.is_some(),
        users: machine.people,
        admins: machine.admins,
        login_user: session.environment.get("SUDO_USER").cloned().unwrap_or_default(),
    })
}

/// Refuses a machine that an enabled module can't live on. Disk room is weighed exactly, by the package step.
fn require(catalogue: &Catalogue, modules: &[String], facts: &Facts) -> Result<(), Problem> {
    let mut why = Vec::new();
    for name in modules {
        let Some(manifest) = catalogue.get(name) else { continue };
        let requires = &manifest.requires;
        if let Some(wanted) = requires.memory_mb
            && facts.memory_mb > 0
            && !is_enough(facts.memory_mb, wanted)
        {
            why.push(format!("module {name} needs {wanted} MB of memory, this host has {} MB", facts.memory_mb));
        }
        if !requires.architectures.is_empty() && !requires.architectures.contains(&facts.architecture) {
            why.push(format!(
                "module {name} is for {}, this host is {}",
                requires.architectures.join(" and "),
                facts.architecture
            ));
        }
    }
    if why.is_empty() {
        return Ok(());
    }
    Err(Problem::new(Exit::Failed, "requirements-unmet", "this host is not enough for the profile", why.join("\n"))
        .fix("leave the module out with --skip NAME, or take a larger server"))
}

/// Whether a machine sold with that much memory would show what this one does: the kernel and its crash room, the
/// firmware and the hypervisor take up to 15 % before anything is counted.
fn is_enough(has: u64, wanted: u64) -> bool {
    has * 100 >= wanted * 85
}

/// Whether the internet can reach an address: none of a private network, of a provider's (RFC 6598), or with a meaning of
/// its own (RFC 6890).
fn is_public(ip: &Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let is_shared = a == 100 && (64..128).contains(&b);
    let is_special = matches!((a, b, c), (0, ..) | (192, 0, 0) | (198, 18..=19, _) | (240.., ..));
    let is_local = ip.is_private() || ip.is_loopback() || ip.is_link_local() || is_shared;
    !(is_local || ip.is_multicast() || ip.is_documentation() || is_special)
}

/// Refuses when a module lacks what it can't guess.
fn required_options(
    session: &Session<'_>,
    catalogue: &Catalogue,
    modules: &[String],
    values: &OptionValues,
    facts: &Facts,
) -> Result<(), Problem> {
    let is_empty = |value: Option<&Value>| match value {
        Some(Value::String(text)) => text.trim().is_empty(),
        Some(Value::Array(list)) => list.is_empty(),
        other => other.is_none_or(Value::is_null),
    };
    let mut missing = Vec::new();
    for (name, option) in needed_options(session.host, catalogue, modules, values, facts)? {
        if is_empty(values.get(&name).and_then(|values| values.get(&option))) {
            let found = catalogue.get(&name).and_then(|manifest| manifest.options.find(&option));
            let help = found.map(|option| option.help.as_str()).unwrap_or_default();
            missing.push(format!("modules.{name}.{option} is not set: {help}"));
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    Err(Problem::new(Exit::Usage, "option-required", "a module needs what only you can give", missing.join("\n"))
        .fix("vps-configurator config set KEY VALUE, or leave the module out with --skip NAME"))
}

/// Refuses when somebody else already listens where a module's program will.
fn free_ports(session: &Session<'_>, ports: &[PortNeed]) -> Result<(), Problem> {
    let mut taken = Vec::new();
    for need in ports {
        let others: Vec<String> = sockets::holders(session.host, need.port, &need.protocol)?
            .into_iter()
            .filter(|program| !need.is_own(program))
            .collect();
        if !others.is_empty() {
            let PortNeed { module, port, protocol, .. } = need;
            taken
                .push(format!("module {module} needs port {port}/{protocol}, and {} listens there", others.join(", ")));
        }
    }
    if taken.is_empty() {
        return Ok(());
    }
    Err(Problem::new(Exit::Failed, "port-taken", "another program is where a module's own must be", taken.join("\n"))
        .fix("stop that program, give the module another port, or leave it out with --skip NAME"))
}

impl From<Problems> for Problem {
    fn from(problems: Problems) -> Self {
        let all = problems.0;
        let code = all.first().map_or("configuration-invalid", |problem| problem.code);
        let what = match all.len() {
            1 => "the configuration has a problem".to_owned(),
            count => format!("the configuration has {count} problems"),
        };
        let why: Vec<String> = all.iter().map(|problem| problem.marked().trim_end().to_owned()).collect();
        Problem::new(Exit::Usage, code, what, why.join("\n"))
            .fix("correct it, then run vps-configurator config validate")
    }
}

#[cfg(test)]
mod tests {
    use super::{is_enough, is_public};
    use crate::modules::expand::PortNeed;

    #[test]
    fn a_socket_that_no_process_has_is_the_kernels() {
        let need = |holders: &[&str]| PortNeed {
            module: "wireguard".into(),
            port: 51820,
            protocol: "udp".into(),
            holders: holders.iter().map(|name| (*name).to_owned()).collect(),
        };
        assert!(
            need(&["wireguard-go", "kernel"]).is_own("?") && need(&["wireguard-go", "kernel"]).is_own("wireguard-go")
        );
        assert!(!need(&["caddy"]).is_own("?") && !need(&["wireguard-go", "kernel"]).is_own("caddy"));
    }

    #[test]
    fn an_address_that_only_neighbours_reach_is_not_public() {
        let public = |text: &str| is_public(&text.parse().unwrap());
        assert!(["1.1.1.1", "100.128.0.1", "172.32.0.1", "198.20.0.1", "223.255.255.1"].into_iter().all(public));
        let private = ["10.0.0.5", "172.31.9.1", "192.168.1.1", "100.64.0.1", "127.0.0.1", "169.254.1.1", "0.0.0.0"];
        assert!(!private.into_iter().any(public));
        assert!(!["192.0.2.1", "198.18.0.1", "198.51.100.7", "224.0.0.1", "255.255.255.255"].into_iter().any(public));
    }

    #[test]
    fn a_machine_counts_as_what_it_was_sold_as() {
        assert!(is_enough(461, 512) && is_enough(957, 1024) && is_enough(2000, 1024));
        assert!(!is_enough(400, 512) && !is_enough(512, 1024));
    }
}
