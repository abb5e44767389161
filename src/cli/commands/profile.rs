//! `profile list|show|create`.

use super::Outcome;
use crate::base::paths;
use crate::base::size;
use crate::base::yaml::Collector;
use crate::cli::args::{Profile, Select};
use crate::cli::exit::Exit;
use crate::cli::explain::Problem;
use crate::cli::render::table::Table;
use crate::cli::session::Session;
use crate::cli::setup;
use crate::host::Attributes;
use crate::profiles::create::{NewProfile, create};
use crate::profiles::profile::{Estimate, Profiles};
use serde_json::{Value, json};
use std::path::Path;

/// Runs one of them.
pub fn run(session: &Session<'_>, verb: &Profile) -> Outcome {
    match verb {
        Profile::List => list(session),
        Profile::Show { name } => show(session, name),
        Profile::Create { name, extends, module, dry_run } => {
            let new = NewProfile { name: name.clone(), extends: extends.clone(), modules: module.clone() };
            make(session, &new, *dry_run)
        }
    }
}

/// All profiles there are.
pub fn all(session: &Session<'_>) -> Result<Profiles, Problem> {
    let collector = Collector::default();
    let profiles = Profiles::read(&setup::inputs(session, &Select::default())?, &collector);
    Ok(collector.finish(profiles)?)
}

fn list(session: &Session<'_>) -> Outcome {
    let profiles = all(session)?;
    if session.output.is_json() {
        let all: Vec<Value> = profiles
            .iter()
            .map(|p| {
                json!({"name": p.name, "title": p.title, "summary": p.summary, "extends": p.extends, "shipped": p.shipped,
                       "estimate": p.estimate.as_ref().map(estimate)})
            })
            .collect();
        session.output.value(&json!({"profiles": all}));
        return Ok(Exit::Done);
    }
    let mut table = Table::new(&["PROFILE", "FROM", "TITLE"]);
    for profile in profiles.iter() {
        let from = if profile.shipped { "shipped" } else { "yours" };
        table.row([profile.name.clone(), from.to_owned(), profile.title.clone()]);
    }
    session.output.text(&table.text());
    Ok(Exit::Done)
}

fn estimate(estimate: &Estimate) -> Value {
    json!({"minutes": estimate.minutes, "download_mb": estimate.download_mb, "disk_mb": estimate.disk_mb})
}

fn show(session: &Session<'_>, name: &str) -> Outcome {
    let catalogue = setup::catalogue(session)?;
    let select = Select { profile: Some(name.to_owned()), ..Select::default() };
    let configuration = setup::configuration(session, &catalogue, &select)?;
    let profiles = all(session)?;
    let Some(profile) = profiles.get(name) else {
        return Err(Problem::new(
            Exit::Usage,
            "profile-unknown",
            format!("there is no profile {name}"),
            "it was not found",
        ));
    };
    let shown = configuration.show(None)?;
    let options: Vec<_> = shown.iter().filter(|value| value.key.starts_with("modules.")).collect();
    if session.output.is_json() {
        session.output.value(&json!({
            "name": profile.name, "title": profile.title, "summary": profile.summary, "extends": configuration.chain,
            "estimate": profile.estimate.as_ref().map(estimate),
            "modules": configuration.enabled.iter().map(|m| json!({"name": m.name, "because": m.origin.to_string()})).collect::<Vec<_>>(),
            "options": options.iter().map(|value| (value.key.clone(), value.value.clone())).collect::<serde_json::Map<_, _>>(),
        }));
        return Ok(Exit::Done);
    }
    let mut text = format!("{}: {}\n{}\n", profile.name, profile.title, profile.summary.trim());
    if let Some(estimate) = &profile.estimate {
        text.push_str(&format!("{}\n", takes(estimate)));
    }
    text.push_str("\nModules:\n");
    for module in &configuration.enabled {
        text.push_str(&format!("  {:<16} {}\n", module.name, module.origin));
    }
    text.push_str("\nOptions:\n");
    for value in options.iter().filter(|value| !value.key.ends_with(".enabled")) {
        text.push_str(&format!("  {} = {}\n", value.key, value.value));
    }
    session.output.text(&text);
    Ok(Exit::Done)
}

/// What a first run takes, in words.
pub fn takes(estimate: &Estimate) -> String {
    let size = |megabytes: u64| size::bytes(megabytes.saturating_mul(1_000_000));
    let Estimate { minutes, download_mb, disk_mb } = estimate;
    format!("About {minutes} minutes, {} to fetch, {} on disk.", size(*download_mb), size(*disk_mb))
}

fn make(session: &Session<'_>, new: &NewProfile, dry_run: bool) -> Outcome {
    let catalogue = setup::catalogue(session)?;
    let text = create(&catalogue, &all(session)?, new)?;
    let dir = Path::new(paths::PROFILES_D);
    let path = dir.join(format!("{}.yaml", new.name));
    if dry_run {
        match session.output.is_json() {
            true => session.output.value(&json!({"status": "dry-run", "path": path, "text": text})),
            false => session.output.raw(&text),
        }
        return Ok(Exit::Done);
    }
    session.require_root()?;
    let _lock = session.lock()?;
    for missing in [Path::new(paths::ETC), dir] {
        if session.host.meta(missing)?.is_none() {
            session.host.make_directory(missing, &Attributes::root(0o750))?;
        }
    }
    if session.host.meta(&path)?.is_some() {
        return Err(Problem::new(
            Exit::Usage,
            "profile-exists",
            format!("there is a profile {} already", new.name),
            path.display().to_string(),
        )
        .fix("choose another name, or edit that file"));
    }
    session.host.write(&path, text.as_bytes(), &Attributes::root(0o640))?;
    if session.output.is_json() {
        session.output.value(&json!({"status": "success", "path": path}));
    } else {
        session.output.text(&format!(
            "Written: {}\nUse it: vps-configurator plan --profile {}\n",
            path.display(),
            new.name
        ));
    }
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_first_run_takes_is_told_however_much_somebody_wrote() {
        let told = |disk_mb| takes(&Estimate { minutes: 5, download_mb: 120, disk_mb });
        assert_eq!(told(1500), "About 5 minutes, 120.0 MB to fetch, 1.5 GB on disk.");
        assert!(told(u64::MAX).starts_with("About 5 minutes"));
    }
}
