//! The baseline around runs: what is there is kept before a run changes anything, and what the run changed is known
//! afterwards.

use super::explain::Problem;
use super::session::Session;
use crate::base::ids::TransactionId;
use crate::journal::Journal;
use crate::observe::drift::{Keeper, Territory, load};

/// The territories of this host, without those that the settings leave out.
pub fn territories(session: &Session<'_>, skipped: &[String]) -> Result<Vec<Territory>, Problem> {
    let mut territories = load(session.host)?;
    if let Some(unknown) = skipped.iter().find(|name| territories.iter().all(|territory| territory.name != **name)) {
        let names: Vec<&str> = territories.iter().map(|territory| territory.name.as_str()).collect();
        let why = format!("drift.skip names it; there are: {}", names.join(", "));
        return Err(Problem::new(
            super::exit::Exit::Usage,
            "territory-unknown",
            format!("there is no territory {unknown}"),
            why,
        )
        .fix("correct the name: vps-configurator config show drift.skip --origin"));
    }
    territories.retain(|territory| !skipped.contains(&territory.name));
    Ok(territories)
}

/// Before a run changes anything. Whatever is wrong with the looking is told, and keeps no run from its work.
pub fn begin(session: &Session<'_>, journal: &Journal) {
    let kept = territories(session, &[]).and_then(|territories| {
        Keeper::new(session.host, journal, territories).begin(&session.actor()).map_err(Problem::from)
    });
    tell(kept);
}

/// After a run that died: what it had changed is known now. Nothing, when none did.
pub fn close(session: &Session<'_>, journal: &Journal) -> Result<(), Problem> {
    if journal.open_baseline()?.is_some() {
        end(session, journal, None);
    }
    Ok(())
}

/// After a run, however it ended.
pub fn end(session: &Session<'_>, journal: &Journal, tx: Option<TransactionId>) {
    let kept = territories(session, &[]).and_then(|territories| {
        Keeper::new(session.host, journal, territories).end(tx, &session.actor()).map_err(Problem::from)
    });
    tell(kept);
}

fn tell(kept: Result<(), Problem>) {
    if let Err(problem) = kept {
        tracing::warn!("the baseline was not kept: {}: {}", problem.what, problem.why.join(" "));
    }
}
