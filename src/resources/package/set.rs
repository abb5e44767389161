//! The resource `package:all`.

use super::apt::{self, Part};
use super::archive::{Archive, Pending, PlannedSource, Reach, update};
use super::cache::{self, Checked, cached_deb};
use super::database::Database;
use super::failure;
use super::fetch::{fetch, is_there, remove_strangers};
use super::guard;
use super::health::{Ailments, Healing, heal};
use super::locks::wait_for_locks;
use super::memory::Memory;
use super::record::{Before, Record, Upgrade};
use super::simulation::Item;
use super::solution::{Solution, Wanted};
use super::traces::Traces;
use super::tree::Tree;
use super::{treasure, unsynced};
use crate::base::count::counted;
use crate::base::ids::ResourceId;
use crate::base::size::bytes;
use crate::engine::undo::Wishes;
use crate::engine::{Action, Change, Context, Error, Event, Patience, Progress, Resource, Result, State, UndoRecord};
use crate::host::login::boot;
use crate::host::{Command, Host, Output, read_if_there};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

/// One package that a module asks for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claim {
    /// The package's name, `name:architecture` when foreign.
    pub name: String,
    /// A target release such as `trixie-backports`; empty for apt's own choice.
    pub release: String,
}

/// All packages of a profile.
#[derive(Debug, Clone)]
pub struct PackageSet {
    id: ResourceId,
    claims: BTreeMap<String, Vec<Claim>>,
    security: BTreeSet<String>,
    sources: Vec<PlannedSource>,
    foreign: BTreeSet<PathBuf>,
    is_fast: bool,
    solved: Memory,
    checked: Checked,
    reach: Reach,
}

/// The state: what is there of what is wanted, and, when something is not, exactly how it will be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    /// Each claimed package; `None` when it isn't installed.
    packages: BTreeMap<String, Option<Package>>,
    /// What Debian-Security has newer; `None` when nobody wants to know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    security: Option<Vec<Pending>>,
    /// What apt will do; only when something is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    solution: Option<Solution>,
    /// What is to be brought in order before anything can be installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ailments: Option<Ailments>,
}

/// An installed package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Package {
    version: String,
    /// It came in as a dependency and would go with the last package that needs it.
    auto: bool,
}

impl PackageSet {
    /// The packages that each module claims, and the modules that want security updates.
    pub fn new(claims: BTreeMap<String, Vec<Claim>>, security: BTreeSet<String>) -> Self {
        PackageSet {
            id: ResourceId::new("package", "all"),
            claims,
            security,
            sources: Vec::new(),
            foreign: BTreeSet::new(),
            is_fast: false,
            solved: Memory::default(),
            checked: Checked::default(),
            reach: Reach::default(),
        }
    }

    /// With apt sources that the same plan puts in place: they are planned with, though they aren't there yet.
    pub fn with_sources(mut self, sources: Vec<PlannedSource>) -> Self {
        self.sources = sources;
        self
    }

    /// Leaving alone the paths of other resources that may be worked on at the same time (those that don't wait for
    /// packages): what happens to them is not a side effect of packages.
    pub fn leaving(mut self, paths: BTreeSet<PathBuf>) -> Self {
        self.foreign = paths;
        self
    }

    /// Unpacking without syncing each file, where that loses nothing that was there.
    pub fn fast(mut self, is_fast: bool) -> Self {
        self.is_fast = is_fast;
        self
    }

    /// Waits for others who work with packages, and brings dpkg in order. Returns whether either was needed: what was
    /// observed before may be out of date then.
    pub fn make_ready(&self, host: &dyn Host, progress: &dyn Progress, patience: Patience<'_>) -> Result<bool> {
        apt::adopt(host, progress, patience)?;
        let waited = wait_for_locks(host, progress, patience)?;
        let healed = heal(host, progress, Healing { patience, holds_services: false })?;
        Ok(waited || healed)
    }

    /// What is known of the hosts that packages come from.
    pub fn reach(&self) -> &Reach {
        &self.reach
    }

    /// Which packages each module wants.
    pub fn wishes(&self) -> Wishes {
        let names = |claims: &Vec<Claim>| claims.iter().map(|claim| claim.name.clone()).collect();
        self.claims.iter().map(|(module, claims)| (module.clone(), names(claims))).collect()
    }

    /// Each wanted package with who wants it.
    fn wanted(&self) -> BTreeMap<String, Wanted> {
        let mut wanted: BTreeMap<String, Wanted> = BTreeMap::new();
        for (module, claims) in &self.claims {
            for claim in claims {
                let entry = wanted.entry(claim.name.clone()).or_default();
                entry.modules.push(module.clone());
                if entry.release.is_empty() {
                    entry.release.clone_from(&claim.release);
                }
            }
        }
        wanted
    }

    fn read(&self, state: &State) -> Result<Seen> {
        serde_json::from_value(state.0.clone())
            .map_err(|e| Error::BadRecord { kind: self.id.to_string(), why: e.to_string() })
    }

    fn archive(&self, host: &dyn Host) -> Result<Archive> {
        Archive::for_solving(host, &self.sources, &self.reach)
    }

    fn see(&self, host: &dyn Host) -> Result<Seen> {
        let database = Database::read(host)?;
        let wanted = self.wanted();
        let package = |name: &String| {
            let known = database.known(name).filter(|p| p.is_coming())?;
            Some(Package { version: known.version.clone(), auto: known.auto })
        };
        let packages: BTreeMap<String, Option<Package>> = wanted.keys().map(|n| (n.clone(), package(n))).collect();
        let is_missing = packages.values().any(Option::is_none);
        let ailments = Ailments::find(host, &database, is_missing)?;
        let wants_security = !self.security.is_empty();
        if !is_missing && !wants_security {
            return Ok(Seen { packages, security: None, solution: None, ailments });
        }
        let mut archive = if is_missing { self.archive(host)? } else { Archive::for_looking(host, &self.reach)? };
        let mut pending = if wants_security { archive.security(host, &database)? } else { Vec::new() };
        if !is_missing && !pending.is_empty() {
            // Something is to be installed after all: from lists that are not too old for it.
            archive = self.archive(host)?;
            pending = archive.security(host, &database)?;
        }
        let missing: BTreeMap<String, Wanted> =
            wanted.into_iter().filter(|(n, _)| packages.get(n).is_some_and(Option::is_none)).collect();
        let solution = if missing.is_empty() && pending.is_empty() {
            None
        } else {
            let there = packages.iter().filter_map(|(name, package)| Some((name, package.as_ref()?)));
            let dependencies: Vec<(String, String)> =
                there.filter(|(_, p)| p.auto).map(|(name, p)| (name.clone(), p.version.clone())).collect();
            let question = format!("{archive:?} {missing:?} {pending:?} {dependencies:?}");
            let find = || Solution::find(host, archive, &database, &missing, &pending, &dependencies);
            let solution = self.solved.solve(host, &question, find)?;
            Some(Solution { offline: self.reach.is_off(), ..solution })
        };
        Ok(Seen { packages, security: wants_security.then_some(pending), solution, ailments })
    }

    /// The module that is to blame for `guilty`: it claims it, or a package that needs it.
    fn culprit(&self, host: &dyn Host, guilty: &[String]) -> Option<String> {
        let direct = self.claims.iter().find(|(_, claims)| claims.iter().any(|c| guilty.contains(&c.name)));
        if let Some((module, _)) = direct {
            return Some(module.clone());
        }
        let database = Database::read(host).ok()?;
        let guilty: BTreeSet<String> = guilty.iter().cloned().collect();
        let needs = |c: &Claim| !database.needed_by(&c.name, &guilty).is_empty();
        self.claims.iter().find(|(_, claims)| claims.iter().any(needs)).map(|(module, _)| module.clone())
    }

    /// What is told when apt-get failed. dpkg is brought in order first; what of `solution` can't be finished goes again,
    /// so that the modules that aren't to blame can be gone on with.
    fn failed(&self, context: &Context<'_>, solution: &Solution, output: &Output) -> Error {
        let text = format!("{}\n{}", output.text(), String::from_utf8_lossy(&output.stderr));
        let guilty = failure::guilty(&text);
        let module = self.culprit(context.host, &guilty);
        // To its end: it is what takes the failure back.
        let healed = heal(context.host, context.progress, healing(Patience { stop: None, ..context.patience }));
        if let Err(error) = healed.map(drop).or_else(|_| clear_away(context, solution)) {
            let line = error.to_string();
            context.progress.tell(&Event::Note { line: &line });
        }
        if failure::is_of_fetching(&text) {
            return failure::of_fetch(&text);
        }
        let what = if guilty.is_empty() {
            "cannot install the packages".to_owned()
        } else {
            format!("cannot install {}", guilty.join(", "))
        };
        Error::Refused {
            code: "package-failed",
            what,
            why: failure::last_lines(&text, 12),
            fix: vec![failure::keep(context.host, &text)],
            module,
        }
    }

    fn install(&self, context: &Context<'_>, solution: &Solution, database: &Database) -> Result<()> {
        let (host, progress) = (context.host, context.progress);
        let archive = self.refresh(context, solution)?;
        if self.reach.is_off() {
            let line =
                "no archive answers: the packages in apt's cache are installed, by lists that were fetched before";
            progress.tell(&Event::Note { line });
        }
        let lists = solution.lists(host, archive, database)?;
        remove_strangers(host, progress, &lists, solution, &self.checked)?;
        let is_fit = |item: &Item| self.is_fast && unsynced::is_fit(item, database);
        let (fast, careful): (Vec<&Item>, Vec<&Item>) = solution.items().partition(|item| is_fit(item));
        let run = |options: &[&str], request: &[String], span: (f64, f64)| {
            let words = options.iter().map(|word| (*word).to_owned());
            let args = lists.options().into_iter().chain(words).chain(request.iter().cloned()).collect::<Vec<_>>();
            apt::run_part(host, progress, lists.environment(), &args, Part { bytes: None, span: Some(span) })
        };
        if fast.is_empty() {
            return self.judge(context, solution, &run(&["--no-remove", "install"], &solution.request, (0.0, 1.0))?);
        }
        let between = careful.len() as f64 / (careful.len() + fast.len()) as f64;
        if !careful.is_empty() {
            let first: Vec<String> = careful.iter().map(|item| exact(item)).collect();
            // What is claimed and new among them is marked by the second call.
            let options = ["--no-remove", "--mark-auto", "install"];
            self.judge(context, solution, &run(&options, &first, (0.0, between))?)?;
        }
        // What was upgraded keeps its mark, whatever becomes of the second call.
        let is_done = |asked: &&String| careful.iter().any(|item| item.old.is_some() && **asked == exact(item));
        let rest: Vec<String> = solution.request.iter().filter(|asked| !is_done(asked)).cloned().collect();
        unsynced::begin(host, &fast)?;
        let options = [&unsynced::OPTIONS[..], &["--no-remove", "install"]].concat();
        let output = run(&options, &rest, (between, 1.0))?;
        if apt::signal_of(&output).is_none() {
            unsynced::end(host)?;
        }
        self.judge(context, solution, &output)
    }

    /// The lists to install from: apt's own, fetched first where the plan was made from others. When nobody can be reached
    /// and all packages are in the cache, those of the plan do.
    fn refresh(&self, context: &Context<'_>, solution: &Solution) -> Result<Archive> {
        let (host, progress) = (context.host, context.progress);
        let has_all = || cache::holds(host, solution.items());
        if !solution.refresh || self.reach.is_off() && has_all()? {
            return Ok(solution.archive());
        }
        progress.tell(&Event::Within { what: "fetching the package lists", percent: None, bytes: None, done: None });
        match update(host, Archive::Own, &self.reach, &mut |command| Ok(host.run(command)?)) {
            Err(error) if failure::is_network(&error) && has_all()? => {
                self.reach.set_off(&error);
                Ok(solution.archive())
            }
            other => other.map(|()| Archive::Own),
        }
    }

    fn judge(&self, context: &Context<'_>, solution: &Solution, output: &Output) -> Result<()> {
        if output.code == 0 { Ok(()) } else { Err(self.failed(context, solution, output)) }
    }

    /// Everything of [`apply`](Resource::apply) that the guard watches over.
    fn change(&self, context: &Context<'_>, seen: &Seen) -> Result<()> {
        let (host, progress) = (context.host, context.progress);
        heal(host, progress, healing(context.patience))?;
        let database = Database::read(host)?;
        let solution = seen.solution.as_ref();
        if let Some(solution) = solution.filter(|s| !s.items().all(|item| is_there(&database, item))) {
            guard::take_guard(host, progress)?;
            self.install(context, solution, &database)?;
            cache::mark_used(host, solution.items())?;
        }
        self.mark(context, seen, solution)
    }

    /// Fetches what it takes to change what was `seen`, and changes nothing but apt's cache.
    pub fn download(
        &self,
        host: &dyn Host,
        progress: &dyn Progress,
        patience: Patience<'_>,
        seen: &State,
    ) -> Result<()> {
        let Some(solution) = self.read(seen)?.solution else { return Ok(()) };
        wait_for_locks(host, progress, patience)?;
        fetch(host, progress, &solution, &self.checked, &self.reach)
    }

    /// Sets the marks right: what is claimed is manual, what only was upgraded is what it was before.
    fn mark(&self, context: &Context<'_>, seen: &Seen, solution: Option<&Solution>) -> Result<()> {
        let database = Database::read(context.host)?;
        let is_auto = |name: &str| database.installed(name).is_some_and(|p| p.auto);
        let manual: Vec<String> = seen.packages.keys().filter(|n| is_auto(n)).cloned().collect();
        mark(context.host, "manual", &manual)?;
        let upgrades = solution.into_iter().flat_map(|s| &s.upgrades);
        let was_auto =
            upgrades.filter(|i| seen.security.as_ref().is_some_and(|p| p.iter().any(|p| p.name == i.name && p.auto)));
        let auto: Vec<String> =
            was_auto.map(|i| i.name.clone()).filter(|n| !seen.packages.contains_key(n) && !is_auto(n)).collect();
        mark(context.host, "auto", &auto)
    }
}

/// What a package step does, in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Figures {
    /// Packages that come.
    pub new: usize,
    /// Packages that become newer.
    pub upgraded: usize,
    /// Bytes to download, were nothing cached.
    pub download_bytes: u64,
    /// Bytes that the new ones take.
    pub installed_bytes: u64,
}

impl Figures {
    /// From the state before such a step; of another step, or where nothing is missing, there are none.
    pub fn of(before: &State) -> Option<Self> {
        let solution = serde_json::from_value::<Seen>(before.0.clone()).ok()?.solution?;
        Some(Figures {
            new: solution.new.len(),
            upgraded: solution.upgrades.len(),
            download_bytes: solution.download,
            installed_bytes: solution.installed,
        })
    }

    /// How many packages change.
    pub fn count(&self) -> usize {
        self.new + self.upgraded
    }
}

/// As apt-get is asked for just this version.
fn exact(item: &Item) -> String {
    format!("{}={}", item.name, item.version)
}

/// Of what a run of ours left, or leaves now.
fn healing(patience: Patience<'_>) -> Healing<'_> {
    Healing { patience, holds_services: true }
}

/// Purges the packages that came with `solution` and that dpkg could not finish.
fn clear_away(context: &Context<'_>, solution: &Solution) -> Result<()> {
    let host = context.host;
    let database = Database::read(host)?;
    let new: BTreeSet<&str> = solution.new.iter().map(|item| item.name.as_str()).collect();
    let broken = database.unfinished().into_iter().filter(|name| new.contains(name)).map(str::to_owned);
    let broken: BTreeSet<String> = broken.collect();
    if broken.is_empty() {
        return Ok(());
    }
    let data = treasure::directories(host, &broken)?.into_iter().collect();
    treasure::spare(host, &broken)?;
    let purge = Command::new("dpkg").args(["--force-remove-reinstreq", "--purge"]).args(broken.iter().cloned());
    let purged = host.run(&purge.timeout(Duration::from_secs(600)));
    treasure::tidy(host, &broken, &data)?;
    purged?;
    let line = format!("taken off again, since they can't be configured: {}", Vec::from_iter(broken).join(", "));
    context.progress.tell(&Event::Note { line: &line });
    Ok(())
}

/// Marks packages as `auto` or `manual`; none is fine.
pub(super) fn mark(host: &dyn Host, how: &str, names: &[String]) -> Result<()> {
    if !names.is_empty() {
        host.run(&Command::new("apt-mark").arg(how).args(names.iter().cloned()))?;
    }
    Ok(())
}

impl Resource for PackageSet {
    fn id(&self) -> &ResourceId {
        &self.id
    }

    /// Reads dpkg's database. Only when something is missing it asks apt how it would be put in, which may fetch
    /// package lists of our own (see [`Archive`]); a converged host starts no program.
    fn observe(&self, host: &dyn Host) -> Result<State> {
        let seen = self.see(host)?;
        Ok(State(serde_json::to_value(&seen).unwrap_or(Value::Null)))
    }

    fn room(&self, seen: &State, _: &Change) -> Result<Vec<(PathBuf, u64)>> {
        let solution = self.read(seen)?.solution;
        Ok(solution
            .map(|solution| solution.room().map(|(path, bytes)| (path.into(), bytes)).to_vec())
            .unwrap_or_default())
    }

    fn compare(&self, seen: &State) -> Result<Change> {
        let state = seen;
        let seen = self.read(state)?;
        let mut after = seen.clone();
        after.security = after.security.map(|_| Vec::new());
        after.solution = None;
        after.ailments = None;
        let mut details = seen.ailments.as_ref().map(Ailments::lines).unwrap_or_default();
        let mut summary = Vec::new();
        if seen.ailments.is_some() {
            summary.push("bring dpkg in order".to_owned());
        }
        let mut manual = 0;
        for (name, package) in &mut after.packages {
            let planned = seen.solution.as_ref().and_then(|s| s.version_of(name));
            if let Some(known) = package.as_mut().filter(|p| p.auto) {
                details.push(format!("{name} is no longer only a dependency"));
                manual += 1;
                known.auto = false;
            }
            if let Some(version) = planned {
                *package = Some(Package { version: version.to_owned(), auto: false });
            }
        }
        let Some(solution) = &seen.solution else {
            if manual > 0 {
                summary.push(format!("mark {} as wanted", counted(manual, "package")));
            }
            if summary.is_empty() {
                return Ok(Change::keep(state));
            }
            let mut change =
                Change::new(Action::Update, summary.join(", "), serde_json::to_value(&after).unwrap_or(Value::Null));
            change.details = details;
            return Ok(change);
        };
        if solution.offline {
            details.push("no archive answers: planned from package lists that were fetched before".to_owned());
        }
        if !solution.new.is_empty() {
            summary.push(format!("install {}", counted(solution.new.len(), "package")));
        }
        if !solution.upgrades.is_empty() {
            summary.push(format!("upgrade {}", solution.upgrades.len()));
        }
        let summary = format!(
            "{}: download {}, {} on the disk",
            summary.join(", "),
            bytes(solution.download),
            bytes(solution.installed)
        );
        for item in &solution.new {
            details.push(format!("install {} {} ({})", item.name, item.version, bytes(item.download)));
        }
        for item in &solution.upgrades {
            let gone =
                if item.old_is_gone { "; cannot be taken back, no archive has the old version any more" } else { "" };
            let old = item.old.as_deref().unwrap_or_default();
            details.push(format!("upgrade {} {old} -> {} ({}){gone}", item.name, item.version, bytes(item.download)));
        }
        let action = if solution.new.is_empty() { Action::Update } else { Action::Create };
        let mut change = Change::new(action, summary, serde_json::to_value(&after).unwrap_or(Value::Null));
        change.details = details;
        change.irreversible = solution.upgrades.iter().any(|i| i.old_is_gone);
        Ok(change)
    }

    /// Others are waited for here, before there is anything to undo: what they change meanwhile is theirs.
    fn capture(&self, context: &Context<'_>, seen: &State, _change: &Change) -> Result<UndoRecord> {
        let host = context.host;
        if wait_for_locks(host, context.progress, context.patience)? && self.observe(host)? != *seen {
            return Err(Error::Moved { id: self.id().clone() });
        }
        let seen = self.read(seen)?;
        let database = Database::read(host)?;
        let before = |claim: &Claim| {
            let before = match seen.packages.get(&claim.name) {
                Some(Some(p)) => Before::Installed { version: p.version.clone(), auto: p.auto },
                _ => Before::Absent,
            };
            (claim.name.clone(), before)
        };
        let solution = seen.solution.clone().unwrap_or_default();
        let mut upgrades = Vec::new();
        for item in solution.upgrades {
            let old = item.old.clone().unwrap_or_default();
            let deb = match read_if_there(host, cached_deb(&item.name, &old, &item.architecture))? {
                Some(content) => Some(context.objects.put(&content)?),
                None => None,
            };
            let auto = database.known(&item.name).is_some_and(|p| p.auto);
            upgrades.push(Upgrade { item, auto, deb });
        }
        let new = solution.new.iter().map(|i| i.name.clone()).collect();
        let record = Record {
            claims: self.claims.iter().map(|(m, c)| (m.clone(), c.iter().map(before).collect())).collect(),
            security: self.security.clone(),
            new: solution.new,
            upgrades,
            tree: Some(Tree::see(host, &self.foreign)?.keep(context.objects)?),
            traces: Traces::see(host, &new)?,
            foreign: self.foreign.clone(),
            boot: boot(host),
            settled: None,
            resumed: None,
        };
        record.to_undo_record()
    }

    fn apply(&self, context: &Context<'_>, seen: &State, _change: &Change) -> Result<()> {
        let seen = self.read(seen)?;
        let (host, progress) = (context.host, context.progress);
        apt::adopt(host, progress, context.patience)?;
        wait_for_locks(host, progress, context.patience)?;
        let done = self.change(context, &seen);
        guard::release_guard(host)?;
        done?;
        // What scripts and triggers wrote, they did not sync, and nobody looks at it again once the step is marked.
        Ok(host.sync()?)
    }

    fn exclusive(&self) -> &'static [&'static str] {
        &["dpkg", "accounts"]
    }

    fn shared_by(&self) -> Vec<String> {
        self.claims.keys().chain(&self.security).cloned().collect::<BTreeSet<_>>().into_iter().collect()
    }

    fn without(&self, module: &str) -> Option<Box<dyn Resource>> {
        let mut rest = self.clone();
        rest.claims.remove(module);
        rest.security.remove(module);
        (!rest.claims.is_empty() || !rest.security.is_empty()).then(|| Box::new(rest) as Box<dyn Resource>)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn set() -> PackageSet {
        let claim = |name: &str| Claim { name: name.into(), release: String::new() };
        let claims = BTreeMap::from([
            ("security".to_owned(), vec![claim("ufw"), claim("jq")]),
            ("git".to_owned(), vec![claim("git")]),
        ]);
        PackageSet::new(claims, BTreeSet::from(["system".to_owned()]))
    }

    #[test]
    fn a_plan_names_versions_and_bytes_and_promises_what_will_be_there() {
        let seen = State(json!({
            "packages": {"git": {"version": "2.47", "auto": true}, "jq": null, "ufw": {"version": "0.36", "auto": false}},
            "security": [{"name": "libc6", "installed": "2.41-12", "available": "2.41-13", "auto": true}],
            "solution": {
                "request": ["jq=1.7", "libc6=2.41-13"], "download": 3_000_000, "installed": 5_000_000,
                "new": [{"name": "jq", "architecture": "amd64", "version": "1.7", "download": 1_000_000, "installed": 5_000_000}],
                "upgrades": [{"name": "libc6", "architecture": "amd64", "version": "2.41-13", "old": "2.41-12", "download": 2_000_000, "old_is_gone": true}],
            },
        }));
        let change = set().compare(&seen).unwrap();
        assert_eq!(change.summary, "install 1 package, upgrade 1: download 3.0 MB, 5.0 MB on the disk");
        assert_eq!(change.details[0], "git is no longer only a dependency");
        assert!(change.irreversible && change.details[2].contains("cannot be taken back"));
        assert_eq!(
            change.after,
            State(json!({
                "packages": {"git": {"version": "2.47", "auto": false}, "jq": {"version": "1.7", "auto": false}, "ufw": {"version": "0.36", "auto": false}},
                "security": [],
            }))
        );
        assert!(!set().compare(&change.after).unwrap().is_needed());
    }

    #[test]
    fn the_set_without_its_last_module_is_nothing() {
        let set = set();
        assert_eq!(set.shared_by(), ["git", "security", "system"]);
        let rest = set.without("git").unwrap().without("system").unwrap();
        assert_eq!(rest.shared_by(), ["security"]);
        assert!(rest.without("security").is_none());
    }
}
