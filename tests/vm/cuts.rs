//! Power cuts: in an install, in the recovery after it, in a rollback. The boots after them finish or take back by
//! themselves, and the guest is then exactly what an undisturbed run makes of it, or what it was before.

use crate::guest::Guest;
use crate::harness::{Shell, Snapshot};
use crate::image::Image;
use crate::program::{Dice, json, program, story, unit};
use crate::reference::{Reference, differences};
use crate::round::{Moment, Round};
use crate::station::Station;
use std::time::{Duration, Instant};

/// Rounds that lost something once, as they were printed, with what it was.
const ONCE_LOST: &[&str] = &[];

/// A rollback as a unit, so that nobody waits for it.
const ROLLBACK: &str = "vps-rollback.service";

/// Those of `ONCE_LOST` that are of this kind, then as many new ones; or those in `VPS_VM_ROUNDS`, separated by commas.
pub fn run(station: &Station, image: &Image, profile: &str, fast: bool, count: u32) {
    let parse = |line: &str| line.parse::<Round>().unwrap_or_else(|why| panic!("{why}"));
    let given = std::env::var("VPS_VM_ROUNDS").unwrap_or_default();
    let mut rounds: Vec<Round> = given.split(',').filter(|line| !line.trim().is_empty()).map(parse).collect();
    if rounds.is_empty() {
        rounds.extend(ONCE_LOST.iter().copied().map(parse));
        let mut dice = Dice::new(&format!("{profile}{}", if fast { ", fast" } else { "" }));
        rounds.extend(Round::plan(&mut dice, profile, fast, count));
    }
    rounds.retain(|round| round.profile == profile && round.fast == fast);
    let reference = Reference::ready(station, image, profile);
    let (mut cuts, mut lost) = (0, Vec::new());
    for (number, round) in rounds.iter().enumerate() {
        let begun = Instant::now();
        println!("{} of {}: {round}", number + 1, rounds.len());
        cuts += round.cuts();
        let trial = Trial { station, image, reference: &reference, round };
        match trial.run() {
            Ok(()) => println!("  nothing lost, {:.0?}", begun.elapsed()),
            Err(what) => {
                println!("  LOST: {what}");
                lost.push(format!("{round}\n{what}"));
            }
        }
    }
    println!("{profile}: {cuts} power cuts in {} rounds, {} with losses", rounds.len(), lost.len());
    assert!(lost.is_empty(), "{} of {} rounds lost something:\n{}", lost.len(), rounds.len(), lost.join("\n"));
}

struct Trial<'a> {
    station: &'a Station,
    image: &'a Image,
    reference: &'a Reference,
    round: &'a Round,
}

impl Trial<'_> {
    /// What is wrong afterwards. Trouble of the harness is a panic, and ends all rounds.
    fn run(&self) -> Result<(), String> {
        let round = self.round;
        let mut guest = Guest::boot(self.station, self.image);
        let direction = if round.undoes { "undo" } else { "finish" };
        let fast = if round.fast { "\n  fast_io: true" } else { "" };
        guest.ok(&format!(
            "printf 'apply:\\n  recovery: %s\\n' '{direction}{fast}' > /etc/vps-configurator/conf.d/50-test.yaml; sync"
        ));
        let install = unit(&round.profile);
        guest.ok(&format!("systemctl start --no-block {install}"));
        cut_at(&mut guest, "install", &install, round.install, self.reference.install);
        guest.power_on();
        if let Some(moment) = round.recovery {
            cut_at(&mut guest, "recovery", "vps-configurator-recover.service", moment, self.reference.install);
            guest.power_on();
        }
        guest.wait_until_up();
        let installed = match newest(&guest, "install").as_deref() {
            None => false,
            Some("done") => true,
            Some("failed") if round.undoes => false,
            Some(other) => return Err(self.told(&guest, &format!("the install is {other} after recovery"))),
        };
        self.must_be(&guest, installed)?;
        if installed && let Some(moment) = round.rollback {
            guest.ok(&format!("systemd-run --quiet --collect --unit {ROLLBACK} vps-configurator rollback --to 0 -y"));
            cut_at(&mut guest, "rollback", ROLLBACK, moment, self.reference.rollback);
            guest.power_on();
            guest.wait_until_up();
            let standing = match newest(&guest, "rollback").as_deref() {
                None => true,
                Some("done") => false,
                Some(other) => return Err(self.told(&guest, &format!("the rollback is {other} after recovery"))),
            };
            self.must_be(&guest, standing)?;
        }
        Ok(())
    }

    /// The guest is what the undisturbed run made of it, or as it was before that; nothing is pending, damaged or owed.
    fn must_be(&self, guest: &Guest<'_>, installed: bool) -> Result<(), String> {
        let login = guest.login();
        if login.stdout.trim() != "in as root" {
            return Err(self.told(guest, &format!("no login by SSH: {}", login.stderr.trim())));
        }
        let profile = &self.round.profile;
        let questions: &[(&str, i32)] = if installed {
            &[("status", 0), ("verify", 0), ("plan", 0), ("install --yes", 0)]
        } else {
            &[("status", 0), ("plan", 4)]
        };
        for (words, code) in questions {
            let words = if *words == "status" { (*words).to_owned() } else { format!("{words} --profile {profile}") };
            let output = program(guest, &words);
            if output.code != *code {
                let said = format!("`{words}` ends with {}\n{}{}", output.code, output.stdout, output.stderr);
                return Err(self.told(guest, &said));
            }
        }
        if installed {
            let changes = json(guest, 0, &format!("install --profile {profile} --yes"))["changes"].clone();
            if changes != 0 {
                return Err(self.told(guest, &format!("a further run makes {changes} changes")));
            }
        }
        let (wanted, name) = self.wanted(installed);
        let lines = differences(wanted, &guest.snapshot());
        if lines.is_empty() {
            println!("  {name}");
            return Ok(());
        }
        Err(self.told(guest, &format!("not {name}:\n{}", lines.join("\n"))))
    }

    fn wanted(&self, installed: bool) -> (&Snapshot, &'static str) {
        if installed {
            (&self.reference.after, "what an undisturbed run makes of it")
        } else {
            (&self.reference.before, "as it was before")
        }
    }

    /// With what the program says of it.
    fn told(&self, guest: &Guest<'_>, what: &str) -> String {
        let list = program(guest, "transaction list");
        let audit = guest.sh("dpkg --audit; tail -n 3 /var/log/dpkg.log");
        format!("{what}\n{}{}\n{}", list.stdout, audit.stdout, story(guest))
    }
}

/// The state of the newest transaction of this kind, if there is one.
fn newest(guest: &Guest<'_>, kind: &str) -> Option<String> {
    let list = json(guest, 0, "transaction list");
    let of_kind = list.as_array()?.iter().find(|row| row["kind"] == kind)?;
    of_kind["state"].as_str().map(str::to_owned)
}

/// Cuts the power at the moment, or when the unit has ended before that.
fn cut_at(guest: &mut Guest<'_>, what: &str, unit: &str, moment: Moment, whole: u64) {
    // After a boot the disk has had none but the boot's.
    let begun = if what == "recovery" { 0 } else { guest.writes() };
    let target = (whole as f64 * moment.share) as u64;
    let ask = format!(
        "systemctl show -P ActiveState {unit}; systemctl show -P StatusText {unit}; tail -n 1 /var/log/dpkg.log"
    );
    let mut asked: Option<(i64, Instant)> = None;
    let mut last = String::new();
    let ended = loop {
        if guest.writes() - begun >= target {
            break false;
        }
        // The answer comes while we go on looking at the disk.
        match asked {
            None => asked = Some((guest.begin(&ask), Instant::now())),
            Some((process, since)) if since.elapsed() > Duration::from_secs(2) => {
                if let Some(output) = guest.ended(process) {
                    asked = None;
                    let lines: Vec<&str> = output.stdout.lines().collect();
                    last = lines.join(", ");
                    if matches!(lines.first(), Some(&"inactive" | &"failed")) {
                        break true;
                    }
                }
            }
            Some(_) => {}
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    std::thread::sleep(moment.pause);
    let writes = guest.writes() - begun;
    guest.cut();
    let end = if ended { ", and had ended" } else { "" };
    println!("  {what}: cut after {writes} writes of {whole}{end}; shortly before: {last}");
}
