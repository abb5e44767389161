//! `plugin install|list|enable|disable|remove`: the administrator's own modules come, go, and are switched.

use super::install::one_waits;
use super::{Outcome, who};
use crate::base::count::counted;
use crate::base::digest::Digest;
use crate::base::paths;
use crate::cli::args::{Plugin, PluginInstall, Select};
use crate::cli::ask::ask;
use crate::cli::exit::Exit;
use crate::cli::explain::Problem;
use crate::cli::render::table::Table;
use crate::cli::session::{Session, without_login};
use crate::cli::{setup, story};
use crate::engine::Error;
use crate::host::RealHost;
use crate::modules::catalogue::Catalogue;
use crate::modules::plugin::{self, Bundle, archive};
use crate::modules::source::ModuleSource;
use crate::profiles;
use crate::resources::download::{fetch, is_url};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;

/// A plugin came, went, or was switched.
const CHANGED: &str = "5f2d4d5d7d8a4f0f9a0c6b1f3f6d2a0d";

/// Runs one of them.
pub fn run(session: &Session<'_>, verb: &Plugin) -> Outcome {
    session.require_root()?;
    story::begin(session.output.is_verbose());
    match verb {
        Plugin::Install(flags) => install(session, flags),
        Plugin::List => list(session),
        Plugin::Enable { name, dry_run } => switch(session, name, true, false, *dry_run),
        Plugin::Disable { name, force, dry_run } => switch(session, name, false, *force, *dry_run),
        Plugin::Remove { name, force, dry_run, yes } => remove(session, name, *force, *dry_run, *yes),
    }
}

/// The modules of which changes stand.
fn applied(session: &Session<'_>) -> Result<BTreeSet<String>, Problem> {
    let Some(journal) = session.journal_to_read()? else { return Ok(BTreeSet::new()) };
    let standing = journal.standing()?.into_iter().filter(|step| step.removes.is_none());
    Ok(standing.flat_map(|step| if step.shared.is_empty() { vec![step.module] } else { step.shared }).collect())
}

fn value(plugin: &plugin::Plugin, applied: &BTreeSet<String>) -> Value {
    json!({
        "name": plugin.name, "enabled": plugin.enabled, "applied": applied.contains(&plugin.name), "path": plugin.dir,
        "summary": plugin.manifest.as_ref().ok().map(|manifest| &manifest.summary),
        "problems": plugin.manifest.as_ref().err().map(|problems| problems.0.iter().map(|p| &p.message).collect::<Vec<_>>()).unwrap_or_default(),
    })
}

fn list(session: &Session<'_>) -> Outcome {
    let (plugins, applied) = (plugin::all(session.host)?, applied(session)?);
    if session.output.is_json() {
        let all: Vec<Value> = plugins.iter().map(|plugin| value(plugin, &applied)).collect();
        session.output.value(&json!({"plugins": all}));
        return Ok(Exit::Done);
    }
    if plugins.is_empty() {
        session.output.text("There is no plugin. How to make one: docs/how-to/own-module.md\n");
        return Ok(Exit::Done);
    }
    let mut table = Table::new(&["PLUGIN", "STATE", "APPLIED", "SUMMARY"]);
    for plugin in &plugins {
        let state = if plugin.enabled { "enabled" } else { "disabled" };
        let is_applied = if applied.contains(&plugin.name) { "yes" } else { "no" };
        let summary = match &plugin.manifest {
            Ok(manifest) => manifest.summary.clone(),
            Err(problems) => format!("broken: {}", problems.0.first().map_or("no mapping", |problem| &problem.message)),
        };
        table.row([plugin.name.clone(), state.to_owned(), is_applied.to_owned(), summary]);
    }
    session.output.text(&table.text());
    Ok(Exit::Done)
}

fn install(session: &Session<'_>, flags: &PluginInstall) -> Outcome {
    let _lock = session.lock()?;
    refuse_while_one_waits(session)?;
    let (bundle, digest) = bundle(session, flags)?;
    let module = plugin::module_of(&bundle).map_err(Problem::from).map_err(unfit)?;
    let name = module.dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let there = plugin::all(session.host)?.into_iter().find(|plugin| plugin.name == name);
    if let Some(there) = there.as_ref().filter(|_| !flags.replace) {
        return Err(Problem::new(
            Exit::Usage,
            "plugin-exists",
            format!("there is a plugin {name} already"),
            there.dir.display().to_string(),
        )
        .fix("put the new one in its place: --replace"));
    }
    // Nobody asked for that to go: a folder in which a manifest is still to be written, or a file.
    if let (None, Some(path)) = (&there, plugin::place_taken(session.host, &name)?) {
        let what = format!("cannot put the plugin {name} in its place");
        let why = format!("{} is there, and is no plugin: it has no module.yaml", path.display());
        return Err(
            Problem::new(Exit::Usage, "plugin-exists", what, why).fix("move it away, then the same command again")
        );
    }
    let enabled = there.as_ref().is_none_or(|there| there.enabled);
    let after = with(session, &name, Some(module)).map_err(unfit)?;
    setup::try_module(session, &after, &name).map_err(unfit)?;
    if enabled {
        keep_configuration(session, &name, &after, flags.force)?;
    }
    if !flags.dry_run {
        plugin::put(session.host, &name, enabled, &bundle)?;
        let what = if there.is_some() { "replaced" } else { "installed" };
        let digest = digest.map(|digest| format!(" (SHA-256 {digest})")).unwrap_or_default();
        tell(session, &name, &format!("{what} from {}{digest}", without_login(&flags.source)));
    }
    let count = counted(bundle.files().len(), "file");
    let what = match (flags.dry_run, there.is_some()) {
        (true, false) => "Would be installed",
        (true, true) => "Would be replaced",
        (false, false) => "Installed",
        (false, true) => "Replaced",
    };
    let next = match enabled {
        true => format!("See what it would do: vps-configurator plan --module {name}\n"),
        false => format!("It stays switched off: vps-configurator plugin enable {name}\n"),
    };
    let next = if flags.dry_run { "Nothing was changed.\n".to_owned() } else { next };
    let more = json!({"enabled": enabled, "files": bundle.files().keys().collect::<Vec<_>>()});
    done(session, &name, flags.dry_run, &format!("{what}: {name}, {count}\n{next}"), more)
}

/// Refuses while a change waits to be confirmed. Whoever takes it back needs the lock, which is held here for as long as a
/// host elsewhere takes to answer.
fn refuse_while_one_waits(session: &Session<'_>) -> Result<(), Problem> {
    let open = session.journal_to_read()?.map(|journal| journal.open_confirmations()).transpose()?;
    match open.as_ref().and_then(|open| open.first()) {
        None => Ok(()),
        Some(row) => {
            let why = format!("transaction {} waits for its confirmation, and may have to be taken back", row.tx);
            Err(one_waits("cannot install a plugin yet", why))
        }
    }
}

/// The same problem of what a person wrote, told of a plugin.
fn unfit(problem: Problem) -> Problem {
    if problem.exit != Exit::Usage {
        return problem;
    }
    Problem { what: "the plugin is not good".to_owned(), fix: Vec::new(), ..problem }
        .fix("correct what is marked, then the same command again")
}

/// The files that are meant, and the digest of the archive that they came in.
fn bundle(session: &Session<'_>, flags: &PluginInstall) -> Result<(Bundle, Option<Digest>), Problem> {
    let source = &flags.source;
    let wanted = flags.sha256.as_deref().map(|text| {
        Digest::parse(&text.to_lowercase()).ok_or_else(|| unusable(source, "--sha256 is not 64 hexadecimal digits"))
    });
    let wanted = wanted.transpose()?;
    if is_url(source) {
        let Some(digest) = wanted else {
            return Err(unusable(source, "what comes from the network is taken with its checksum only")
                .fix("--sha256 with the one that its publisher names"));
        };
        let content = fetch(session.host, source, &digest)?;
        return Ok((archive::unpack(session.host, source, content)?, Some(digest)));
    }
    if source.contains("://") {
        return Err(unusable(source, "it is neither a path nor an http:// or https:// address"));
    }
    // Named on the command line: a path of the machine, whatever tree is worked on.
    let machine = RealHost::new("/".into());
    let path = std::path::absolute(source).map_err(|error| unusable(source, error.to_string()))?;
    let meta = std::fs::metadata(&path).map_err(|error| unusable(source, error.to_string()))?;
    if meta.is_dir() {
        if wanted.is_some() {
            return Err(unusable(source, "a folder has no checksum"));
        }
        return Ok((Bundle::of_folder(&machine, &path)?, None));
    }
    if !meta.is_file() || meta.len() > archive::LARGEST_ARCHIVE {
        let most = archive::LARGEST_ARCHIVE >> 20;
        return Err(unusable(source, format!("it is no folder, and no archive of up to {most} MB")));
    }
    let content = std::fs::read(&path).map_err(|error| unusable(source, error.to_string()))?;
    let found = Digest::of(&content);
    if let Some(digest) = wanted.filter(|digest| *digest != found) {
        let why = format!("its SHA-256 is {found}, and {digest} was expected");
        return Err(Error::refused("download-mismatch", format!("cannot use {source}"), why)
            .fix("never use it: compare it with what its publisher names")
            .into());
    }
    Ok((archive::unpack(session.host, source, content)?, Some(found)))
}

fn unusable(source: &str, why: impl Into<String>) -> Problem {
    Problem::new(Exit::Usage, "plugin-source", format!("cannot take a plugin from {source}"), why)
        .fix("name a folder, a tar archive, or an address with --sha256")
}

/// All modules as they would be then.
fn with(session: &Session<'_>, name: &str, module: Option<ModuleSource>) -> Result<Catalogue, Problem> {
    let builtin = format!("{}/modules", paths::SHARE);
    Ok(plugin::catalogue_with(session.host, Path::new(&builtin), name, module)?)
}

/// Refuses when a configuration that is good now would not be with these modules.
fn keep_configuration(session: &Session<'_>, name: &str, after: &Catalogue, force: bool) -> Result<(), Problem> {
    let inputs = setup::inputs(session, &Select::default())?;
    let Err(problems) = profiles::validate(after, &inputs) else { return Ok(()) };
    let is_good = setup::catalogue(session).is_ok_and(|now| profiles::validate(&now, &inputs).is_ok());
    if force || !is_good {
        return Ok(());
    }
    let what = format!("the configuration needs the plugin {name} as it is");
    Err(Problem::new(Exit::Usage, "plugin-in-use", what, problems.to_string())
        .fix("take it out there first, then: vps-configurator plan")
        .fix("--force does it all the same: nothing can be planned then until the configuration is right"))
}

/// The plugin of that name; of two, the one that is switched on.
fn find(session: &Session<'_>, name: &str) -> Result<plugin::Plugin, Problem> {
    let all = plugin::all(session.host)?;
    let names: Vec<String> = all.iter().map(|plugin| plugin.name.clone()).collect();
    all.into_iter().find(|plugin| plugin.name == name).ok_or_else(|| {
        let what = format!("there is no plugin {name}");
        if setup::catalogue(session).is_ok_and(|all| all.get(name).is_some()) {
            let why = "it is one of the modules that come with the program; profiles and the configuration switch them";
            return Problem::new(Exit::Usage, "plugin-unknown", what, why)
                .fix(format!("see what it would do: vps-configurator plan --module {name}"));
        }
        let there = if names.is_empty() { "there is none".into() } else { format!("there are: {}", names.join(", ")) };
        Problem::new(Exit::Usage, "plugin-unknown", what, there).fix("see them: vps-configurator plugin list")
    })
}

fn switch(session: &Session<'_>, name: &str, on: bool, force: bool, dry_run: bool) -> Outcome {
    let _lock = if dry_run { None } else { Some(session.lock()?) };
    let found = find(session, name)?;
    let word = if on { "enabled" } else { "disabled" };
    let more = json!({"enabled": on});
    if found.enabled == on {
        return done(session, name, dry_run, &format!("The plugin {name} is {word} already.\n"), more);
    }
    if on {
        let after = with(session, name, plugin::load(session.host, name, false)?).map_err(unfit)?;
        setup::try_module(session, &after, name).map_err(unfit)?;
        keep_configuration(session, name, &after, false)?;
    } else {
        refuse_if_needed(session, name, force)?;
    }
    if dry_run {
        let text = format!("The plugin {name} would be {word}.\nNothing was changed.\n");
        return done(session, name, dry_run, &text, more);
    }
    plugin::switch(session.host, name, on)?;
    tell(session, name, word);
    let text = match on {
        true => format!("Enabled: {name}\nSee what it would do: vps-configurator plan --module {name}\n"),
        false => format!("Disabled: {name}\n{}", what_stands(session, name)?),
    };
    done(session, name, dry_run, &text, more)
}

/// Refuses to do without a plugin that the configuration or another module names. Where all is broken already, by this
/// plugin above all, it may go.
fn refuse_if_needed(session: &Session<'_>, name: &str, force: bool) -> Result<(), Problem> {
    match with(session, name, None) {
        Ok(after) => keep_configuration(session, name, &after, force),
        Err(problem) if !force && setup::catalogue(session).is_ok() => {
            let what = format!("other modules need the plugin {name}");
            Err(Problem::new(Exit::Usage, "plugin-in-use", what, problem.why.join("\n"))
                .fix("disable or remove those first")
                .fix("--force does it all the same: nothing can be planned then until that is right"))
        }
        Err(_) => Ok(()),
    }
}

/// What becomes of what a plugin changed, in words.
fn what_stands(session: &Session<'_>, name: &str) -> Result<String, Problem> {
    Ok(match applied(session)?.contains(name) {
        true => format!(
            "Its changes stand. What the next install does with them: vps-configurator plan\n\
             Take them back now: vps-configurator rollback --module {name}\n"
        ),
        false => String::new(),
    })
}

fn remove(session: &Session<'_>, name: &str, force: bool, dry_run: bool, yes: bool) -> Outcome {
    let found = removable(session, name, force)?;
    if dry_run {
        let text = format!("{} would be removed.\nNothing was changed.\n", found.dir.display());
        return done(session, name, dry_run, &text, json!({}));
    }
    ask(session, yes, &format!("Remove {} for good?", found.dir.display()))?;
    // Not before: a question may stand for days, and what must be taken back meanwhile needs the lock.
    let lock = session.lock()?;
    let now = removable(session, name, force)?;
    if now.dir != found.dir {
        let what = format!("the plugin {name} is not where it was when that was asked");
        return Err(Problem::new(Exit::Failed, "host-moved", what, format!("it is {} now", now.dir.display()))
            .fix("the same command again"));
    }
    plugin::remove(session.host, name, now.enabled)?;
    tell(session, name, "removed");
    let text = format!("Removed: {name}\n{}", what_stands(session, name)?);
    drop(lock);
    done(session, name, dry_run, &text, json!({}))
}

/// The plugin, when nothing is in the way of its removal.
fn removable(session: &Session<'_>, name: &str, force: bool) -> Result<plugin::Plugin, Problem> {
    let found = find(session, name)?;
    if !force && applied(session)?.contains(name) {
        return Err(Problem::new(
            Exit::Failed,
            "plugin-applied",
            format!("cannot remove the plugin {name}"),
            "what it changed stands on this host",
        )
        .fix(format!("take it back first: vps-configurator rollback --module {name}"))
        .fix("--force removes the plugin and leaves that; the journal can take it back later all the same"));
    }
    if found.enabled {
        refuse_if_needed(session, name, force)?;
    }
    Ok(found)
}

/// Says in the system journal what was done, and who did it.
fn tell(session: &Session<'_>, name: &str, what: &str) {
    let by = who(&session.actor());
    let command = session.line();
    tracing::info!(MESSAGE_ID = CHANGED, PLUGIN = name, BY = by, COMMAND = command, "plugin {name} {what}, by {by}");
}

fn done(session: &Session<'_>, name: &str, dry_run: bool, text: &str, more: Value) -> Outcome {
    let mut value = json!({"status": if dry_run { "dry-run" } else { "success" }, "plugin": name});
    if let (Value::Object(all), Value::Object(more)) = (&mut value, more) {
        all.extend(more);
    }
    match session.output.is_json() {
        true => session.output.value(&value),
        false => session.output.text(text),
    }
    Ok(Exit::Done)
}
