//! The developers' workbench: boxes by hand.

use crate::harness::Machine;
use crate::harness::record::{Options, Record};
use crate::harness::{Snapshot, Trouble, base, carry, clean, diff, drive, exec, host, launch, leader, net, teardown};
use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "\
verbs:
  base                    make the base image, if there is no fresh one
  up NAME [--drive] [--nested] [--real DIR]...
                          boot a box; after `kill`, boot it again with the same disk
  run NAME -- CMD ARG...  run a command in it: its stdin, stdout, stderr and exit code
  shell NAME              a root shell in it
  put NAME SRC DST        copy a file, or a folder's contents, into it
  get NAME SRC DST        copy a file, or a folder's contents, out of it
  snapshot NAME FILE.json write its state down
  diff A.json B.json [--all]
                          what differs, a line each; exit code 1 if anything does;
                          with --all also what may differ
  kill NAME               cut its power; its disk stays
  down NAME               remove it
  list                    all boxes
  clean [--all]           remove what killed runs left; with --all every box, also other people's";

/// None: the words aren't for the workbench but for the test runner.
pub fn run(words: &[String]) -> Option<ExitCode> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["base"] => make_base(),
        ["up", name, options @ ..] => up(name, options),
        ["run", name, "--", argv @ ..] | ["run", name, argv @ ..] if !argv.is_empty() => enter(name, argv),
        ["shell", name] => enter(name, &["script", "-qec", "bash -l", "/dev/null"]),
        ["put", name, source, target] => Record::load(name).and_then(|it| carry::put(&it, Path::new(source), target)),
        ["get", name, source, target] => Record::load(name).and_then(|it| carry::get(&it, source, Path::new(target))),
        ["snapshot", name, file] => {
            Record::load(name).and_then(|it| Snapshot::take(&it)).and_then(|taken| taken.save(Path::new(file)))
        }
        ["diff", before, after] => return Some(compare(before, after, false)),
        ["diff", before, after, "--all"] => return Some(compare(before, after, true)),
        ["kill", name] => Record::load(name).and_then(|it| leader::cut_power(&it)),
        ["down", name] => Record::load(name).and_then(|it| teardown::remove(&it)),
        ["list"] => list(),
        ["clean"] => clean::dead_owners().map(told),
        ["clean", "--all"] => clean::everything().map(told),
        // For a scenario: a run that can be killed. Not in the usage.
        ["boot-and-wait", name] => {
            let machine = Machine::boot(name);
            println!("{}", machine.record().id);
            std::thread::sleep(std::time::Duration::from_secs(3600));
            Ok(())
        }
        ["help"] => {
            println!("{USAGE}");
            Ok(())
        }
        ["up" | "run" | "shell" | "put" | "get" | "snapshot" | "diff" | "kill" | "down", ..] => {
            eprintln!("box: wrong or missing words after {:?}\n{USAGE}", words[0]);
            return Some(ExitCode::from(2));
        }
        _ => return None,
    };
    Some(match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("box: {why}");
            ExitCode::from(125)
        }
    })
}

fn told(removed: usize) {
    println!("{removed} boxes removed");
}

fn make_base() -> Result<(), Trouble> {
    host::ready()?;
    println!("{}", base::ready()?.display());
    Ok(())
}

fn up(name: &str, words: &[&str]) -> Result<(), Trouble> {
    let mut options = Options::default();
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        match *word {
            "--drive" => options.drive = true,
            "--nested" => options.nested = true,
            "--real" => options.real.push(rest.next().ok_or("--real needs a folder of the box")?.into()),
            other => return Err(format!("up doesn't know {other:?}\n{USAGE}")),
        }
    }
    host::ready()?;
    if let (true, Some(why)) = (options.drive, drive::missing()) {
        return Err(format!("no drive of its own: {why}"));
    }
    clean::dead_owners()?;
    let record = match Record::load(name) {
        Ok(record) if leader::find(&record).is_some() => {
            return Err(format!("{name} is up already"));
        }
        Ok(record) if !words.is_empty() => {
            return Err(format!("{} exists; its options can't change (see: down)", record.id));
        }
        Ok(record) => record,
        Err(_) => launch::create(name, name, None, options)?,
    };
    let begun = std::time::Instant::now();
    launch::start(&record)?;
    let failed = leader::wait_until_up(&record)?;
    let address = net::subnet(record.number).inside;
    println!("{name} is up at {address} after {:.1} s", begun.elapsed().as_secs_f32());
    if !failed.is_empty() {
        println!("failed units: {}", failed.join(" "));
    }
    Ok(())
}

fn enter(name: &str, argv: &[&str]) -> Result<(), Trouble> {
    Err(exec::become_command(&Record::load(name)?, argv))
}

fn list() -> Result<(), Trouble> {
    for record in Record::all() {
        let state = leader::find(&record).map_or("off".to_owned(), |pid| format!("up, process {pid}"));
        let owner = match &record.owner {
            None => "kept".to_owned(),
            Some(owner) if owner.lives() => format!("of run {}", owner.pid),
            Some(_) => "left over".to_owned(),
        };
        println!("{:<24} {:<12} {state:<20} {owner}", record.id, net::subnet(record.number).inside);
    }
    Ok(())
}

/// Exit codes as diff(1) has them.
fn compare(before: &str, after: &str, all: bool) -> ExitCode {
    let lines = Snapshot::load(Path::new(before)).and_then(|before| {
        let exceptions = if all { Vec::new() } else { diff::exceptions()? };
        Ok(diff::compare(&before, &Snapshot::load(Path::new(after))?, &exceptions))
    });
    match lines {
        Ok(lines) => {
            lines.iter().for_each(|line| println!("{line}"));
            ExitCode::from(u8::from(!lines.is_empty()))
        }
        Err(why) => {
            eprintln!("box: {why}");
            ExitCode::from(2)
        }
    }
}
