//! Makes, boots, breaks and removes boxes: Debian 13 machines in `systemd-nspawn`.
//!
//! A scenario needs only [`Machine`]. Below it, from the ground up: `place` (where state lies), `host` (what the
//! machine under us must have), `mirror` (where Debian comes from), `base` (the image all boxes share), `record`
//! (what is written down of a box), `disk`, `drive`, `net`, `launch`, `leader` (start it and find it), `exec` and `carry`
//! (run in it, copy in and out), `shell` (what a virtual machine does as well), `serve` (files for it), `teardown` and `clean`
//! (take it away), `snapshot` and `diff` (is all as before?).

pub mod base;
pub mod carry;
pub mod clean;
pub mod diff;
pub mod disk;
#[allow(dead_code, reason = "the words of scenarios that cut power, which tests/vm has none of")]
pub mod drive;
pub mod exec;
pub mod host;
pub mod launch;
pub mod leader;
#[allow(dead_code, reason = "the scenarios' vocabulary: not each word is in use at each time")]
pub mod machine;
pub mod mirror;
pub mod net;
pub mod place;
pub mod record;
pub mod repository;
pub mod serve;
#[allow(dead_code, reason = "its words are for tests/vm")]
pub mod shell;
pub mod snapshot;
pub mod teardown;

pub use exec::Output;
pub use machine::Machine;
pub use shell::Shell;
pub use snapshot::Snapshot;

/// What the harness says when it can't go on: one sentence or a few, for a person.
pub type Trouble = String;

/// Everything a box needs before the first one boots; cheap when it's all there.
pub fn prepare() -> Result<(), Trouble> {
    host::ready()?;
    clean::dead_owners()?;
    base::ready()?;
    Ok(())
}
