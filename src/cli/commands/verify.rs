//! `verify`: proves from the effective state that the host is as the last install was asked to make it, or as the given
//! selection says, and that nothing beside it changed.

use super::Outcome;
use crate::base::count::counted;
use crate::cli::args::{Select, Verify};
use crate::cli::baseline::territories;
use crate::cli::exit::Exit;
use crate::cli::explain::Problem;
use crate::cli::render::drift::{Drifted, baseline_json, finding_json, findings_text};
use crate::cli::render::plan as page;
use crate::cli::session::Session;
use crate::cli::setup::{Setup, select_of};
use crate::cli::story;
use crate::engine::plan::{Plan, Step};
use crate::engine::resource::Node;
use crate::journal::{Journal, StepState, TransactionKind, TransactionRow, TransactionState};
use crate::modules::probing::{ProbeResult, Prober, Verdict};
use crate::observe::answers::{Depth, List, Remembering};
use crate::observe::drift::{Comparison, EDITS, Finding, Keeper};
use libsystemd::daemon::{self, NotifyState};
use serde_json::json;
use std::path::Path;

/// What a line of the system journal about findings is known by.
const FOUND: &str = "5f2d4d5d7d8a4f0f9a0c6b1f3f6d2a11";

/// Runs it. Exit 4 when something differs, something was found, a probe fails, or what is known can't be looked at.
pub fn run(session: &Session<'_>, flags: &Verify) -> Outcome {
    session.require_root()?;
    session.require_debian_13()?;
    session.require_quiet()?;
    let depth = if flags.deep { Depth::Afresh } else { Depth::Whole };
    let remembering = Remembering::new(session.host, List::load(session.host)?, depth);
    let exit = prove(&session.on(&remembering), flags)?;
    remembering.keep();
    Ok(exit)
}

fn prove(session: &Session<'_>, flags: &Verify) -> Outcome {
    let journal = session.journal_to_read()?;
    let asked = match &journal {
        Some(journal) if flags.select.is_empty() => installed(journal)?,
        _ => None,
    };
    let setup = Setup::make(session, asked.as_ref().unwrap_or(&flags.select))?;
    let plan = setup.plan(session)?;
    let mut prober = Prober::new(session.host, &setup.survey);
    let results: Vec<_> = setup.probes.iter().map(|probe| prober.run(probe)).collect();
    let failed = results.iter().filter(|result| matches!(result.verdict, Verdict::Failed(_))).count();
    let keeper = match &journal {
        // A selection asks for some modules; what lies beside all of them is not asked for.
        Some(journal) if flags.select.is_whole() => {
            Some(Keeper::new(session.host, journal, territories(session, &setup.settings.skipped)?))
        }
        _ => None,
    };
    let owned = setup.nodes.iter().flat_map(|node| node.resource.paths()).collect();
    let mut comparison = match &keeper {
        Some(keeper) => keeper.compare(&owned, flags.deep)?,
        None => None,
    };
    if let Some(comparison) = &mut comparison {
        comparison.findings.retain(|finding| !is_drift(finding, &plan));
    }
    let drifted = drifted(session, journal.as_ref(), &setup, &plan)?;
    // What was seen while another run began its work is neither remembered nor told.
    session.require_quiet()?;
    if let (Some(keeper), Some(comparison)) = (&keeper, &comparison) {
        keeper.remember(comparison);
    }
    let found = comparison.as_ref().map_or(0, |comparison| comparison.findings.len());
    let blind = comparison.as_ref().map_or(0, |comparison| comparison.blind().count());
    let differs = !plan.is_empty() || !plan.left.is_empty() || failed > 0 || found > 0;
    let exit = if differs || blind > 0 { Exit::Findings } else { Exit::Done };
    announce(&plan, comparison.as_ref(), failed, blind);
    if session.output.is_json() {
        session.output.value(&json!({
            "status": match (differs, blind > 0) {
                (true, _) => "drift",
                (false, true) => "not-compared",
                (false, false) => "success",
            },
            "profile": setup.profile,
            "drift": drifted.iter().map(Drifted::json).collect::<Vec<_>>(),
            "findings": comparison.iter().flat_map(|c| &c.findings).map(finding_json).collect::<Vec<_>>(),
            "baseline": comparison.as_ref().map(baseline_json),
            "not_compared": comparison.as_ref().map(|c| &c.unknown),
            "left": plan.left,
            "unchanged": plan.unchanged,
            "probes": results.iter().map(|result| json!({
                "module": result.module, "name": result.name, "verdict": word(&result.verdict), "why": why(&result.verdict)
            })).collect::<Vec<_>>(),
        }));
        return Ok(exit);
    }
    let mut text = String::new();
    for result in &results {
        let failed = matches!(result.verdict, Verdict::Failed(_) | Verdict::Partly(_));
        if failed || session.output.is_verbose() {
            text.push_str(&format!("  {:<15} [{}] {}\n", word(&result.verdict), result.module, result.name));
        }
        if let Some(why) = why(&result.verdict).filter(|_| failed) {
            text.push_str(&format!("                  {why}\n"));
        }
    }
    if !plan.is_empty() {
        text.push_str("Drift:\n");
        text.extend(drifted.iter().map(Drifted::text));
        text.push_str(&format!("{}\n", page::sums(&plan)));
    }
    if !plan.left.is_empty() {
        text.push_str(&page::left(&plan, session.output.has_colour(), session.output.is_verbose()));
    }
    text.extend(comparison.as_ref().map(findings_text));
    if plan.is_empty() {
        text.push_str(&format!("{} as {} says; ", page::are(plan.unchanged), setup.profile));
    }
    text.push_str(&probed(&results));
    session.output.text(&text);
    Ok(exit)
}

/// What the newest install that stands was asked for: nobody who named a profile then need name it again. One of a few
/// modules leaves the rest of the host to the one before it.
fn installed(journal: &Journal) -> Result<Option<Select>, Problem> {
    let rows = journal.transactions()?;
    let stands = |row: &&TransactionRow| {
        row.kind == TransactionKind::Install && matches!(row.state, TransactionState::Done | TransactionState::Partial)
    };
    let mut asked: Vec<Select> = rows.iter().filter(stands).map(|row| select_of(&row.request)).collect();
    let of_all = asked.iter().position(|select| select.module.is_empty()).unwrap_or(0);
    Ok((of_all < asked.len()).then(|| asked.swap_remove(of_all)))
}

/// How the probes came out. One that can't be made here proves nothing.
fn probed(results: &[ProbeResult]) -> String {
    let is_passed = |result: &&ProbeResult| matches!(result.verdict, Verdict::Passed | Verdict::Partly(_));
    let passed = results.iter().filter(is_passed).count();
    let partly = results.iter().filter(|result| matches!(result.verdict, Verdict::Partly(_))).count();
    let partly = if partly == 0 { String::new() } else { format!(", {partly} of them with exceptions") };
    let beside = results.iter().filter(|result| matches!(result.verdict, Verdict::NotApplicable(_))).count();
    let beside = if beside == 0 { String::new() } else { format!(", {beside} not applicable here") };
    format!("{passed} of {} probes passed{partly}{beside}.\n", results.len())
}

/// The resources that drifted, each with when it changed and who had left it as it was wanted.
fn drifted<'a>(
    session: &Session<'_>,
    journal: Option<&Journal>,
    setup: &Setup,
    plan: &'a Plan,
) -> Result<Vec<Drifted<'a>>, Problem> {
    if plan.is_empty() {
        return Ok(Vec::new());
    }
    let standing = journal.map(Journal::standing).transpose()?.unwrap_or_default();
    let one = |step: &'a Step| -> Result<Drifted<'a>, Problem> {
        let mut asked_for = standing.iter().filter(|_| step.dropped.is_none());
        let last =
            asked_for.find(|row| row.resource == step.id && row.state == StepState::Verified && row.removes.is_none());
        let last = match (last, journal) {
            (Some(row), Some(journal)) => journal.transaction(row.tx)?.map(|tx| (row.clone(), tx)),
            _ => None,
        };
        let node = setup.nodes.iter().find(|node: &&Node| *node.resource.id() == step.id);
        let changed = node.and_then(|node| node.resource.changed(session.host).ok().flatten());
        Ok(Drifted { step, last, changed })
    };
    plan.steps.iter().map(one).collect()
}

/// Whether an edit of a file of ours is told with that file already.
fn is_drift(finding: &Finding, plan: &Plan) -> bool {
    let mut ids = plan.steps.iter().map(|step| &step.id).chain(plan.left.iter().map(|left| &left.id));
    let file = finding.file.as_deref().filter(|_| finding.territory() == EDITS);
    file.is_some_and(|file| ids.any(|id| id.kind() == "file" && file == Path::new(id.name())))
}

/// Tells the system journal and whoever watches the unit, so that an alert says how much was found.
fn announce(plan: &Plan, comparison: Option<&Comparison>, failed: usize, blind: usize) {
    let drifted = plan.steps.len() + plan.left.len();
    let findings = comparison.map_or(&[][..], |comparison| comparison.findings.as_slice());
    let mut text = format!(
        "{} drifted, {}, {} failed",
        counted(drifted, "resource"),
        counted(findings.len(), "finding"),
        counted(failed, "probe")
    );
    if blind > 0 {
        text.push_str(&format!(", {} could not be looked at", counted(blind, "place")));
    }
    // Without systemd nobody listens, and that is no failure.
    let _ = daemon::notify(false, &[NotifyState::Status(text.clone())]);
    if drifted == 0 && findings.is_empty() && failed + blind == 0 {
        return;
    }
    story::begin(false);
    let left = plan.left.iter().map(|left| left.id.as_str());
    let drift = plan.steps.iter().map(|step| step.id.as_str()).chain(left);
    let blind = comparison.into_iter().flat_map(Comparison::blind).map(String::as_str);
    let ids: Vec<&str> = drift.chain(findings.iter().map(|finding| finding.id.as_str())).chain(blind).collect();
    tracing::warn!(MESSAGE_ID = FOUND, "verify: {text}: {}", ids.join(", "));
}

fn word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Passed => "passed",
        Verdict::Partly(_) => "partly",
        Verdict::Failed(_) => "failed",
        Verdict::NotApplicable(_) => "not-applicable",
    }
}

fn why(verdict: &Verdict) -> Option<&str> {
    match verdict {
        Verdict::Passed => None,
        Verdict::Failed(why) | Verdict::NotApplicable(why) | Verdict::Partly(why) => Some(why),
    }
}
