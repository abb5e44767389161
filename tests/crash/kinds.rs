//! Every kind of resource.

use crate::cases::WISHES;
use crate::points::play_all;

#[test]
fn every_kind_survives_every_kill_point() {
    let chosen = std::env::var("CRASH_CASE").unwrap_or_default();
    let cases: Vec<_> = WISHES.iter().filter(|wish| wish.name.contains(&chosen)).map(|wish| wish.case()).collect();
    play_all("kinds", &cases);
}
