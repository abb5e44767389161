//! `wizard`: a profile, its questions, the plan, and then the same as `config set` and `install`.

use super::{Outcome, install, plan};
use crate::base::paths;
use crate::base::yaml::Source;
use crate::cli::args::{Select, Wizard as Flags};
use crate::cli::arming::{Arming, Asked};
use crate::cli::ask::ask;
use crate::cli::exit::Exit;
use crate::cli::explain::Problem;
use crate::cli::render::plan as page;
use crate::cli::session::{Held, Session};
use crate::cli::setup::{self, Setup};
use crate::cli::signals::Signals;
use crate::cli::story;
use crate::cli::wizard::plain::Plain;
use crate::cli::wizard::state::{Act, Choice, Event, Wizard};
use crate::cli::wizard::{Drawing, Front, is_too_small};
use crate::engine::plan::Plan;
use crate::host::Attributes;
use crate::journal::{TransactionKind, TransactionState};
use crate::profiles::input::Inputs;
use crate::profiles::{Answers, Profile, Profiles, Question, questions};
use serde_json::{Value, json};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

/// Runs it.
pub fn run(session: &Session<'_>, flags: &Flags) -> Outcome {
    session.require_root()?;
    session.require_debian_13()?;
    if let Some(path) = &flags.answers {
        let answers = load(session, path)?;
        let preview = Preview::make(session, &answers, session.output.has_colour())?;
        if !session.output.is_json() {
            session.output.text(&preview.text);
        } else if flags.dry_run {
            session.output.value(&preview.json());
        }
        if flags.dry_run {
            return Ok(Exit::Done);
        }
        ask(session, flags.yes, "Make these changes?")?;
        return carry_out(session, &answers, preview.plan);
    }
    let mut front = front(session, flags)?;
    let mut wizard = Wizard::new(choices(session)?, configured(session).as_deref());
    let mut preview = None;
    let mut act = Act::Show;
    loop {
        let event = match act {
            Act::Show => front.next(&wizard)?,
            Act::Questions(profile) => match asked(session, &profile) {
                Ok(questions) => Event::Questions(questions),
                Err(problem) => Event::Refused(told(&problem)),
            },
            Act::Plan => {
                front.step_aside();
                session.output.error("Looking at the host, to make the plan. This may take a minute.\n");
                // Who draws has colours of its own; after a dry run lines are written.
                let colour = session.output.has_colour() && (flags.dry_run || !front.is_drawn());
                match Preview::make(session, &wizard.answers(), colour) {
                    Ok(made) if flags.dry_run => {
                        session.output.text(&made.text);
                        return Ok(Exit::Done);
                    }
                    Ok(made) => Event::Planned(preview.insert(made).text.clone()),
                    Err(problem) => Event::Refused(told(&problem)),
                }
            }
            Act::Save(path) => match save(&wizard.answers(), Path::new(&path)) {
                Ok(()) => Event::Saved(path),
                Err(problem) => Event::Refused(told(&problem)),
            },
            Act::Install => {
                front.step_aside();
                let Some(preview) = preview else { return Err(left()) };
                return carry_out(session, &wizard.answers(), preview.plan);
            }
            Act::Leave => {
                front.step_aside();
                return Err(left());
            }
        };
        act = wizard.on(event);
    }
}

/// How the questions are put.
fn front<'a>(session: &'a Session<'_>, flags: &Flags) -> Result<Box<dyn Front + 'a>, Problem> {
    let output = session.output;
    let is_terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let why_not = match (output.is_json(), output.is_quiet(), flags.plain || is_terminal) {
        (true, ..) => Some("with --json no question is put"),
        (_, true, _) => Some("with --quiet no question is put"),
        (.., false) => Some("standard input or output is no terminal"),
        _ => None,
    };
    if let Some(why) = why_not {
        return Err(Problem::new(Exit::Usage, "wizard-no-terminal", "nobody can be asked", why)
            .fix("with answers from a file: vps-configurator wizard --answers FILE --yes")
            .fix("or without any: vps-configurator install --profile NAME --yes"));
    }
    let is_dumb = session.environment.get("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    let is_small = is_terminal && is_too_small();
    if is_small && !flags.plain {
        output.text("This window is too small to draw in; the questions come line by line.\n\n");
    }
    Ok(match flags.plain || is_dumb || is_small {
        true => Box::new(Plain::new(output)),
        false => Box::new(Drawing::new(output.has_colour())),
    })
}

/// What is shown before anything is changed.
struct Preview {
    profile: String,
    plan: Plan,
    text: String,
    confirm: Value,
}

impl Preview {
    /// Plans what the answers would make of this host, as if they were its configuration. Keeps nothing.
    fn make(session: &Session<'_>, answers: &Answers, colour: bool) -> Result<Self, Problem> {
        // That they can become the configuration is seen before anybody agrees to it.
        fragments(session, answers)?;
        let select = Select { profile: answers.profile.clone(), set: answers.sets(), ..Select::default() };
        let setup = Setup::make(session, &select)?;
        let plan = setup.plan(session)?;
        setup.check(session, &plan)?;
        let arming = Arming::of(session, &setup, &plan, Asked::default());
        let text = page::text(&plan, &setup.profile, arming.as_ref(), colour, session.output.is_verbose());
        Ok(Preview { profile: setup.profile, plan, text, confirm: arming.as_ref().map(Arming::json).into() })
    }

    /// The same for programs.
    fn json(&self) -> Value {
        json!({"status": "dry-run", "profile": self.profile, "plan": self.plan, "confirm": self.confirm})
    }
}

/// Makes the answers the configuration, and the host what it says. Where nothing came of it, and where somebody stopped
/// it and all was taken back, the configuration is as before, too.
fn carry_out(session: &Session<'_>, answers: &Answers, plan: Plan) -> Outcome {
    story::begin(session.output.is_verbose());
    // Before anything is written: a signal must not end the program with the answers there and nothing made of them.
    let signals = Signals::watch();
    let lock = Held::new(Some(session.lock()?));
    let mut before = Vec::new();
    let written = write(session, &fragments(session, answers)?, &mut before);
    let outcome = written.and_then(|()| install::agreed(session, &lock, plan));
    // With --json a failed install is a document, and no problem any more.
    let exit = outcome.as_ref().map_or_else(|problem| problem.exit, |exit| *exit);
    let is_stopped = signals.stop().load(Ordering::SeqCst);
    if (outcome.is_err() && !session.has_begun()) || (exit == Exit::Failed && is_stopped && is_taken_back(session)?) {
        put_back(session, before);
    }
    outcome
}

/// Paths that were made or written, with what had been there.
type Before = Vec<(PathBuf, Option<(Vec<u8>, Attributes)>)>;

fn write(session: &Session<'_>, fragments: &[(&str, String)], before: &mut Before) -> Result<(), Problem> {
    for (name, text) in fragments {
        for dir in [paths::ETC, paths::CONF_D].map(Path::new) {
            if session.host.meta(dir)?.is_none() {
                session.host.make_directory(dir, &Attributes::root(0o750))?;
                before.push((dir.to_owned(), None));
            }
        }
        let path = Path::new(name);
        let mode = if *name == paths::PROFILE_CONFIG { 0o644 } else { 0o640 };
        let attributes = match session.host.meta(path)? {
            Some(meta) => {
                before.push((path.to_owned(), Some((session.host.read(path)?, meta.attributes.clone()))));
                meta.attributes
            }
            None => {
                before.push((path.to_owned(), None));
                Attributes::root(mode)
            }
        };
        session.host.write(path, text.as_bytes(), &attributes)?;
    }
    Ok(())
}

/// All of it, whatever can't be: why the answers came to nothing is told elsewhere, here only what of them stays.
fn put_back(session: &Session<'_>, before: Before) {
    for (path, was) in before.iter().rev() {
        let done = match was {
            // A full disk may be why it never was another, and is no reason to write it anew.
            Some((bytes, _)) if session.host.read(path).is_ok_and(|now| now == *bytes) => Ok(()),
            Some((bytes, attributes)) => session.host.write(path, bytes, attributes),
            None => session.host.remove(path),
        };
        if let Err(error) = done {
            session.output.error(&format!("warning: {} is not as it was before: {error}\n", path.display()));
        }
    }
}

/// Whether all of the newest install was taken back. What did that is a transaction of its own.
fn is_taken_back(session: &Session<'_>) -> Result<bool, Problem> {
    let Some(journal) = session.journal_to_read()? else { return Ok(false) };
    let newest = journal.transactions()?.into_iter().find(|row| row.kind == TransactionKind::Install);
    Ok(newest.is_some_and(|row| row.state == TransactionState::Failed))
}

/// The new texts of the fragments that hold the answers.
fn fragments(session: &Session<'_>, answers: &Answers) -> Result<Vec<(&'static str, String)>, Problem> {
    let catalogue = setup::catalogue(session)?;
    Ok(answers.fragments(&catalogue, &inputs(session)?)?)
}

fn inputs(session: &Session<'_>) -> Result<Inputs, Problem> {
    setup::inputs(session, &Select::default())
}

fn load(session: &Session<'_>, path: &Path) -> Result<Answers, Problem> {
    let bytes = std::fs::read(path).map_err(|error| {
        let what = format!("cannot read the answers {}", path.display());
        Problem::new(Exit::Usage, "answers-missing", what, error.to_string()).fix("save them in the wizard: key s")
    })?;
    let source = Source::from_bytes(path.display().to_string(), &bytes);
    Ok(Answers::read(&setup::catalogue(session)?, &inputs(session)?, source)?)
}

fn save(answers: &Answers, path: &Path) -> Result<(), Problem> {
    plan::save(path, &answers.text()?).map_err(|error| {
        Problem::new(Exit::Failed, "cannot-write", format!("cannot write {}", path.display()), error.to_string())
    })
}

fn choices(session: &Session<'_>) -> Result<Vec<Choice>, Problem> {
    let choice = |profile: &Profile| Choice {
        name: profile.name.clone(),
        title: profile.title.clone(),
        summary: profile.summary.clone(),
        estimate: profile.estimate.as_ref().map(super::profile::takes),
    };
    let profiles = profiles(session)?;
    let mut all: Vec<&Profile> = profiles.iter().collect();
    // The small ones first; those of which nobody said what they take come last.
    all.sort_by_key(|profile| profile.estimate.map_or(u64::MAX, |estimate| estimate.disk_mb));
    Ok(all.into_iter().map(choice).collect())
}

fn profiles(session: &Session<'_>) -> Result<Profiles, Problem> {
    super::profile::all(session)
}

/// The profile that the configuration names, if it can be read.
fn configured(session: &Session<'_>) -> Option<String> {
    let catalogue = setup::catalogue(session).ok()?;
    let configuration = setup::configuration(session, &catalogue, &Select::default()).ok()?;
    configuration.profile?.value.as_str().map(str::to_owned)
}

fn asked(session: &Session<'_>, profile: &str) -> Result<Vec<Question>, Problem> {
    let catalogue = setup::catalogue(session)?;
    let select = Select { profile: Some(profile.to_owned()), ..Select::default() };
    let configuration = setup::configuration(session, &catalogue, &select)?;
    Ok(questions(&catalogue, &profiles(session)?, &configuration))
}

/// A problem on a page: what and why, and how to mend it.
fn told(problem: &Problem) -> String {
    let lines = std::iter::once(&problem.what).chain(&problem.why).chain(&problem.fix);
    lines.map(String::as_str).collect::<Vec<_>>().join("\n")
}

fn left() -> Problem {
    Problem::new(Exit::Failed, "not-confirmed", "stopped", "the wizard was left before its end")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Environment;
    use crate::cli::args::Args;
    use crate::cli::output::Output;
    use crate::cli::session::Site;
    use crate::host::fake::{FakeHost, Fault};
    use clap::Parser;
    use std::fs;

    /// Puts two fragments back of which one never was written and one was, and a third that was not there.
    fn left(fault: Option<u64>) -> [Option<String>; 3] {
        let dir = tempfile::tempdir().unwrap();
        let paths = ["/a", "/b", "/c"];
        let at = |path: &str| dir.path().join(path.trim_start_matches('/'));
        for path in paths {
            fs::write(at(path), if path == "/b" { "old" } else { "new" }).unwrap();
        }
        let args = Args::try_parse_from(["x", "wizard"]).unwrap();
        let environment = Environment::default();
        let output = Output::new(&args.global, &environment);
        let root = dir.path().to_owned();
        let host =
            fault.map_or_else(|| FakeHost::new(root.clone()), |n| FakeHost::with_fault(root.clone(), n, Fault::Fail));
        let session = Session::new(&Site::new(&host), &args.global, "wizard", "", &environment, &output);
        let was = || Some((b"old".to_vec(), Attributes::root(0o600)));
        put_back(&session, vec![("/a".into(), was()), ("/b".into(), was()), ("/c".into(), None)]);
        paths.map(|path| fs::read_to_string(at(path)).ok())
    }

    #[test]
    fn what_can_not_be_put_back_keeps_nothing_else_from_it() {
        let [old, new] = ["old", "new"].map(|text| Some(text.to_owned()));
        assert_eq!(left(None), [old.clone(), old.clone(), None]);
        assert_eq!(left(Some(1)), [old.clone(), old.clone(), new.clone()], "the last one, which goes first");
        assert_eq!(left(Some(2)), [new, old, None], "the one that was as before is not written");
    }
}
