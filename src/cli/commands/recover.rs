//! `recover`: after a crash, finishes or takes back what was cut off. Run at boot, and by every changing command.

use super::Outcome;
use super::install::{self, Resume};
use crate::cli::args::{self, Recover};
use crate::cli::baseline;
use crate::cli::exit::Exit;
use crate::cli::explain::Problem;
use crate::cli::hooks;
use crate::cli::owed;
use crate::cli::render::progress::Drawn;
use crate::cli::session::{Held, Session};
use crate::cli::setup::{Setup, patience, select_of, settings};
use crate::cli::signals::Signals;
use crate::cli::story;
use crate::engine::recover::{self, Direction, is_needed, recover};
use crate::engine::{Error, Event, Patience, Progress, Works, confirm, debts};
use crate::journal::{TransactionKind, TransactionRow, TransactionState};
use crate::profiles::settings::Recovery;
use crate::resources::package::{self, Healing};
use serde_json::json;

/// Runs it.
pub fn run(session: &Session<'_>, flags: &Recover) -> Outcome {
    session.require_root()?;
    story::begin(session.output.is_verbose());
    // The end of the session, or of a firewall's patience with it, must not leave the host half-way.
    let stop = Signals::watch().stop();
    let lock = Held::new(Some(session.lock()?));
    let progress = Drawn::new(session.output, flags.events.as_deref())?;
    let patience = patience(session, Some(&stop));
    let journal = session.journal_to_read()?.map(|_| session.journal()).transpose()?;
    let Some(journal) = journal else {
        prepare(session, &progress, patience, false)?;
        progress.finish();
        return quiet(session);
    };
    let works = Works { patience: Patience { stop: None, ..patience }, ..session.works(&journal, &progress) };
    // First what shuts people out: that waits for nobody who works with packages.
    super::revert::tell(session, &super::revert::what_is_due(session, &works)?)?;
    let is_cut_off = is_needed(&works)?;
    if is_cut_off {
        renew(&Works { patience, ..works }, wanted(session, flags)? == Direction::Finish)?;
    }
    // While something waits for its confirmation, nobody may hold our lock for long: it may come due.
    if is_cut_off || journal.open_confirmations()?.is_empty() {
        prepare(session, &progress, patience, is_cut_off)?;
    }
    if !is_needed(&works)? && journal.owed()?.is_empty() {
        baseline::close(session, &journal)?;
        progress.finish();
        return quiet(session);
    }
    let direction = wanted(session, flags)?;
    let direction = match direction {
        Direction::Finish if flags.direction.is_none() => match is_as_agreed(session, &works) {
            Ok(true) => Direction::Finish,
            Ok(false) => {
                let why = "The configuration was changed since the run was agreed to: it is taken back.\n";
                session.output.error(why);
                Direction::Undo
            }
            // A crash must not wait for a person.
            Err(problem) => {
                let why = problem.why.join("\n  ");
                session.output.error(&format!("The run cannot go on, and is taken back: {}\n  {why}\n", problem.what));
                Direction::Undo
            }
        },
        direction => direction,
    };
    session.begin_changes();
    let recovery = recover(&works, direction, &session.actor())?;
    confirm::settle_all(&works)?;
    // An install that goes on pays at its end: until then the units that it holds back aren't configured.
    let unpaid = if recovery.to_finish.is_none() { debts::pay(&works)? } else { Vec::new() };
    let owed = owed::problem(&unpaid, "what was cut off is settled");
    progress.finish();
    if recovery.to_finish.is_none() {
        baseline::close(session, &journal)?;
    }
    drop(journal);
    let (to_finish, mut rolled_back) = (recovery.to_finish, recovery.rolled_back);
    if session.output.is_json() {
        session.output.value(&json!({
            "recovered": rolled_back.iter().map(|report| super::rollback::document(report, 0.0)).collect::<Vec<_>>(),
            "owed": unpaid.iter().map(|unpaid| unpaid.debt.to_string()).collect::<Vec<_>>(),
        }));
    }
    for report in &mut rolled_back {
        // Told once, below: they were tried once more since.
        report.unpaid.clear();
        let told = super::rollback::tell(session, report, 0.0);
        // What goes on needs the lock.
        let lock = to_finish.is_none().then_some(&lock);
        hooks::after_rollback(session, "recovery", report, lock);
        told?;
    }
    if let Some(problem) = owed {
        return Err(problem);
    }
    match to_finish {
        Some(row) => install::resume(session, &lock, Resume { tx: row.id, request: row.request }, flags.events.clone()),
        None => {
            if rolled_back.is_empty() && unpaid.is_empty() && !session.output.is_json() {
                session.output.text("What was owed is paid.\n");
            }
            Ok(Exit::Done)
        }
    }
}

/// Makes anew what a loss of power took from a run that was cut off. Where the run is not `finished`, what can't be made
/// anew is only told: it goes.
pub fn renew(works: &Works<'_>, finished: bool) -> Result<(), Error> {
    match recover::renew(works) {
        Err(error) if !finished => {
            works.progress.tell(&Event::Note { line: &error.to_string() });
            Ok(())
        }
        done => done,
    }
}

/// Waits for an apt that outlived us, brings dpkg in order, takes our guard away. What can't be brought in order is
/// told, and left to the step that needs it: it may be just what goes.
pub fn prepare(
    session: &Session<'_>,
    progress: &dyn Progress,
    patience: Patience<'_>,
    is_cut_off: bool,
) -> Result<(), Error> {
    let host = session.host;
    package::adopt(host, progress, patience)?;
    // The guard goes last: healing goes on under it, keeps its list of who is owed a start, and may take it anew.
    let healed = package::heal(host, progress, Healing { patience, holds_services: is_cut_off });
    if is_change(&healed) {
        session.begin_changes();
    }
    package::release_guard(host)?;
    match healed {
        Err(error @ Error::Refused { code: "dpkg-broken", .. }) => {
            progress.tell(&Event::Note { line: &error.to_string() });
            Ok(())
        }
        healed => healed.map(drop),
    }
}

/// Whether bringing dpkg in order was begun: while others are waited for nothing is.
pub fn is_change(healed: &crate::engine::Result<bool>) -> bool {
    !matches!(healed, Ok(false) | Err(Error::Refused { code: "apt-lock-held" | "stopped", .. }))
}

/// The direction that was asked for, or that of the configuration.
fn wanted(session: &Session<'_>, flags: &Recover) -> Result<Direction, Problem> {
    match flags.direction {
        Some(args::Direction::Finish) => Ok(Direction::Finish),
        Some(args::Direction::Undo) => Ok(Direction::Undo),
        None => configured(session),
    }
}

/// The direction of the configuration; finishing, when that cannot be read: a crash must not wait for a person.
fn configured(session: &Session<'_>) -> Result<Direction, Problem> {
    Ok(match settings(session).map(|settings| settings.recovery) {
        Ok(Recovery::Undo) => Direction::Undo,
        _ => Direction::Finish,
    })
}

/// Whether the configuration still is what the install that was cut off had been agreed to with. Finishing another
/// would be a change that nobody has looked at.
fn is_as_agreed(session: &Session<'_>, works: &Works<'_>) -> Result<bool, Problem> {
    let rows = works.journal.transactions()?;
    let is_cut_off =
        |row: &&TransactionRow| row.state == TransactionState::Running && row.kind == TransactionKind::Install;
    match rows.iter().find(is_cut_off) {
        Some(row) => Ok(Setup::make(session, &select_of(&row.request))?.is_meant_by(&row.request)),
        None => Ok(true),
    }
}

fn quiet(session: &Session<'_>) -> Outcome {
    if session.output.is_json() {
        session.output.value(&json!({"status": "success", "recovered": []}));
    } else {
        session.output.text("Nothing was cut off.\n");
    }
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::paths;
    use crate::cli::Environment;
    use crate::cli::args::Args;
    use crate::cli::output::Output;
    use crate::cli::session::Site;
    use crate::host::{Attributes, RealHost};
    use crate::journal::Begin;
    use crate::resources::package::LOCK_WAIT;
    use clap::Parser;
    use serde_json::Value;
    use std::path::Path;

    /// A root on which dpkg was killed between unpacking and configuring, under our guard, with one unit held back.
    #[test]
    fn healing_keeps_the_list_of_held_units_and_leaves_no_guard_behind() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().to_string_lossy().into_owned();
        let args = Args::try_parse_from(["x", "--quiet", "--root", &root, "recover"]).unwrap();
        let environment = Environment::default();
        let output = Output::new(&args.global, &environment);
        let real = RealHost::new(dir.path().into());
        let session = Session::new(&Site::new(&real), &args.global, "recover", "", &environment, &output);
        let host = session.host;
        let put = |path: &str, text: &str, mode: u32| {
            crate::resources::preimage::make_parents(host, Path::new(path)).unwrap();
            host.write(Path::new(path), text.as_bytes(), &Attributes::root(mode)).unwrap();
        };
        let status = |how: &str| format!("Package: ufw\nStatus: install ok {how}\nArchitecture: all\nVersion: 1\n\n");
        put("/var/lib/dpkg/status", &status("unpacked"), 0o644);
        put("/run/vps-configurator/x", "", 0o644);
        put("/usr/sbin/x", "", 0o644);
        // The run that was killed had its guard in place; this one fails at once, and leaves it.
        put("/usr/bin/dpkg", "#!/bin/sh\nexit 1\n", 0o755);
        put("/usr/bin/apt-get", "#!/bin/sh\nexit 0\n", 0o755);
        let progress = Drawn::new(&output, None).unwrap();
        let healing = Healing { patience: Patience::of(LOCK_WAIT), holds_services: true };
        assert!(package::heal(host, &progress, healing).is_err());
        assert!(host.meta(Path::new(paths::POLICY_RC_D)).unwrap().is_some());
        put(paths::HELD_UNITS, "ufw start\n", 0o644);
        put("/status.new", &status("installed"), 0o644);
        put("/usr/bin/dpkg", "#!/bin/sh\ncp \"$VPS_ROOT/status.new\" \"$VPS_ROOT/var/lib/dpkg/status\"\n", 0o755);
        put("/usr/bin/cp", "#!/bin/sh\nexec /bin/cp \"$@\"\n", 0o755);
        let journal = session.journal().unwrap();
        let begin = Begin {
            kind: TransactionKind::Install,
            undoes: vec![],
            request: Value::Null,
            plan: Value::Null,
            actor: Value::Null,
            now: 1,
        };
        journal.begin(&begin).unwrap();
        prepare(&session, &progress, Patience::of(LOCK_WAIT), true).unwrap();
        assert!(host.meta(Path::new(paths::POLICY_RC_D)).unwrap().is_none(), "the guard stays");
        assert_eq!(host.read(Path::new(paths::HELD_UNITS)).unwrap(), b"ufw start\n");
    }
}
