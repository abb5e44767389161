//! Power cuts: in an install, in the recovery after it, in a rollback. What wasn't written out is lost. The boots after
//! them finish or take back by themselves, and the box is then exactly what an undisturbed run makes of it, or what it was
//! before.

mod reference;
mod round;
mod trial;

use super::Scenario;
use super::program::Dice;
use reference::Reference;
use round::Round;
use std::time::Instant;
use trial::Bench;

/// With `VPS_BOX_LONG=1`.
pub const LONG: &[Scenario] = &[
    Scenario {
        name: "power cuts all over an install, its recovery and its way back lose nothing",
        run: || run("workshop", true, 16),
    },
    Scenario {
        name: "power cuts all over an install that syncs each file of its packages lose nothing",
        run: || run("workshop", false, 6),
    },
    Scenario {
        name: "power cuts all over beginner with packages that are synced once lose nothing",
        run: || run("beginner", true, 14),
    },
    Scenario { name: "power cuts all over beginner lose nothing", run: || run("beginner", false, 14) },
];

/// Rounds that lost something once, as they were printed, with what it was.
const ONCE_LOST: &[&str] = &[
    // A link that the script of a package of nginx makes while that is removed was taken for somebody's.
    "workshop finish install@0.0914+2584ms rollback@0.3685",
    "workshop finish fast install@0.0606+2687ms rollback@0.602",
];

/// Those of `ONCE_LOST` that are of this kind, then as many new ones; or those in `VPS_BOX_ROUNDS`, separated by commas.
fn run(profile: &str, fast: bool, count: u32) {
    let parse = |line: &str| line.parse::<Round>().unwrap_or_else(|why| panic!("{why}"));
    let given = std::env::var("VPS_BOX_ROUNDS").unwrap_or_default();
    let mut rounds: Vec<Round> = given.split(',').filter(|line| !line.trim().is_empty()).map(parse).collect();
    if rounds.is_empty() {
        rounds.extend(ONCE_LOST.iter().copied().map(parse));
        let mut dice = Dice::new(&format!("{profile}{}", if fast { ", fast" } else { "" }));
        rounds.extend(Round::plan(&mut dice, profile, fast, count));
    }
    rounds.retain(|round| round.profile == profile && round.fast == fast);
    let mut bench = Bench::new();
    let reference = Reference::made(&mut bench, profile, fast);
    let (mut cuts, mut lost) = (0, Vec::new());
    for (number, round) in rounds.iter().enumerate() {
        let begun = Instant::now();
        println!("{} of {}: {round}", number + 1, rounds.len());
        cuts += round.cuts();
        match bench.play(round, &reference) {
            Ok(()) => println!("  nothing lost, {:.0?}", begun.elapsed()),
            Err(what) => {
                println!("  LOST: {what}");
                lost.push(format!("{round}\n{what}"));
                if number + 1 < rounds.len() {
                    bench.machine.as_kept();
                }
            }
        }
    }
    println!("{profile}: {cuts} power cuts in {} rounds, {} with losses", rounds.len(), lost.len());
    assert!(lost.is_empty(), "{} of {} rounds lost something:\n{}", lost.len(), rounds.len(), lost.join("\n"));
}
