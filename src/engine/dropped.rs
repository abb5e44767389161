//! What stands in the journal and nothing asks for any more: a module that left the profile, a port, a package, a user.
//! Each such step is taken back by its own undo record.
//!
//! A step is the profile's when, at its time or later, the configuration without flags asked for its module. What came
//! by a selection (`--module`) beside the profile is the administrator's own, and stays until it is rolled back.

use super::heirs::inherit;
use super::plan::{Dropped, Step};
use super::rollback::{read_record, record};
use super::undo::Wishes;
use super::{Action, Change, Debt, Recipe, Result, Scope, State, Works};
use crate::base::ids::{ResourceId, TransactionId};
use crate::journal::{StepOutline, StepRow, TransactionKind};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// What the whole configuration asks for.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// The enabled modules.
    pub modules: BTreeSet<String>,
    /// The resources.
    pub ids: BTreeSet<ResourceId>,
    /// Of what modules share, the things that each wants.
    pub wishes: Wishes,
}

/// What is to be taken back.
#[derive(Debug, Default)]
pub struct Found {
    /// The steps, newest first.
    pub steps: Vec<Step>,
    /// What nothing asks for, and stays.
    pub notes: Vec<String>,
    /// The modules that came by themselves, beside the profile.
    pub own: BTreeSet<String>,
}

/// One earlier step, and how much of it goes.
struct Leaving {
    row: StepRow,
    module: String,
    names: BTreeSet<String>,
    heirs: Wishes,
}

/// What of the journal nothing in `wanted` asks for. Reads only.
pub fn find(works: &Works<'_>, wanted: &Wanted) -> Result<Found> {
    let outline = works.journal.outline()?;
    let unclaimed = |row: &&StepOutline| row.is_shared || !wanted.ids.contains(&row.resource);
    let open: Vec<&StepOutline> = outline.iter().filter(unclaimed).collect();
    let mut shared = Vec::new();
    for row in open.iter().copied().filter(|row| row.is_shared) {
        let Some(undo) = works.journal.undo_of(row.id)? else { continue };
        let record = read_record(undo, &row.resource)?;
        shared.push((row, works.undoers.decode(&record)?.wishes()));
    }
    let is_wished = |name: &String| wanted.wishes.values().any(|wished| wished.contains(name));
    let is_wanted =
        |(module, names): (&String, &BTreeSet<String>)| wanted.modules.contains(module) && names.iter().all(is_wished);
    if open.iter().all(|row| row.is_shared) && shared.iter().all(|(_, wishes)| wishes.iter().all(is_wanted)) {
        return Ok(Found::default());
    }
    let past = Past::read(works, &outline)?;
    let mut own: BTreeMap<String, TransactionId> = BTreeMap::new();
    let mut leaving: Vec<Leaving> = Vec::new();
    for row in open.into_iter().filter(|row| !row.is_shared) {
        if !past.was_asked(&row.module, row.tx, wanted) {
            own.entry(row.module.clone()).or_insert(row.tx);
        } else if let Some(full) = works.journal.step(row.id)? {
            let (names, heirs) = (BTreeSet::new(), Wishes::new());
            leaving.push(Leaving { module: row.module.clone(), names, heirs, row: full });
        }
    }
    let mut wishes = wanted.wishes.clone();
    let mut parts = Vec::new();
    for (row, asked) in shared {
        for (module, names) in asked {
            if past.was_asked(&module, row.tx, wanted) {
                parts.push((row, module, names));
            } else {
                own.entry(module.clone()).or_insert(row.tx);
                wishes.entry(module).or_default().extend(names);
            }
        }
    }
    for (row, module, mut names) in parts {
        let mut heirs = Wishes::new();
        if wanted.modules.contains(&module) {
            names.retain(|name| !wishes.values().any(|wished| wished.contains(name)));
        } else {
            let shares = wishes.iter().map(|(heir, wished)| (heir.clone(), &names & wished));
            heirs.extend(shares.filter(|(_, wished)| !wished.is_empty()));
        }
        if names.is_empty() {
            continue;
        }
        if let Some(row) = works.journal.step(row.id)? {
            leaving.push(Leaving { row, module, names, heirs });
        }
    }
    leaving.sort_by_key(|one| std::cmp::Reverse(one.row.id));
    let mut found = Found { own: own.keys().cloned().collect(), ..Found::default() };
    let (mut told, mut rests) = (BTreeSet::new(), BTreeMap::new());
    for one in leaving {
        let is_newest = told.insert(one.row.resource.clone()) || !one.names.is_empty();
        let (id, module) = (one.row.resource.clone(), one.module.clone());
        match step(works, one, &past, is_newest, &mut rests)? {
            Ok(step) => found.steps.push(step),
            Err(why) => found.notes.push(format!(
                "{id} is no longer asked for, and stays: {why}; vps-configurator rollback --module {module} takes it back"
            )),
        }
    }
    found.notes.extend(own.into_iter().map(|(module, tx)| {
        format!(
            "module {module} is not the profile's; it came by itself with transaction {tx}, and stays; vps-configurator \
             rollback --module {module} takes it back"
        )
    }));
    Ok(found)
}

/// The step of the plan; why there can be none, where what goes could not be brought back.
fn step(
    works: &Works<'_>,
    one: Leaving,
    past: &Past,
    is_newest: bool,
    rests: &mut Rests,
) -> Result<std::result::Result<Step, &'static str>> {
    let Leaving { row, module, names, heirs } = one;
    let Some(recipe) = recipe(&row, &module, &names)? else {
        return Ok(Err("an earlier version made it, which did not keep what it takes to bring it back"));
    };
    let Ok(node) = works.undoers.remake(&works.context(), &recipe) else {
        return Ok(Err("this version could not bring it back"));
    };
    let asked = past.0.get(&row.tx);
    let dropped = Dropped {
        step: row.id,
        transaction: row.tx,
        since: asked.map(|asked| asked.started).unwrap_or_default(),
        profile: asked.and_then(|asked| asked.profile.clone()),
        names,
        heirs,
    };
    let lines = lines(works, &row, &module, &dropped, rests)?;
    let summary = match is_newest {
        true => "no longer asked for".to_owned(),
        false => format!("and what transaction {} did", row.tx),
    };
    let mut change = Change::new(Action::Remove, summary, Value::Null);
    if is_newest {
        change.details.clone_from(&lines);
    }
    Ok(Ok(Step {
        id: row.resource.clone(),
        module,
        shared: Vec::new(),
        change,
        seen: State(json!(lines)),
        access: !node.access.is_empty(),
        notify: debts(&row),
        dropped: Some(dropped),
    }))
}

/// The undo records of steps as they will be when what goes before has gone, by the number of the step.
pub(super) type Rests = BTreeMap<i64, Value>;

/// What taking it back will do, when everything that goes before it has gone.
pub(super) fn lines(
    works: &Works<'_>,
    row: &StepRow,
    module: &str,
    dropped: &Dropped,
    rests: &mut Rests,
) -> Result<Vec<String>> {
    let mut row = row.clone();
    if let Some(rest) = rests.get(&row.id) {
        row.undo = Some(rest.clone());
    }
    let inherited = inherit(works.undoers, std::slice::from_mut(&mut row), module, &dropped.heirs)?;
    let Some(record) = record(&row)? else { return Ok(Vec::new()) };
    let (undo, scope) = (works.undoers.decode(&record)?, scope(module, &dropped.names));
    let mut lines = undo.describe(&works.context(), &scope)?;
    lines.extend(inherited.into_iter().flat_map(|one| one.lines));
    if let Some(rest) = undo.without(&scope)? {
        rests.insert(row.id, serde_json::to_value(rest).unwrap_or_default());
    }
    Ok(lines)
}

/// How much of a step goes: of what several share, what this module asked for under these names.
pub(super) fn scope(module: &str, names: &BTreeSet<String>) -> Scope {
    match names.is_empty() {
        true => Scope::Whole,
        false => Scope::Names(module.to_owned(), names.clone()),
    }
}

/// What makes anew what goes; `None` when the step is of a version that kept none.
pub(super) fn recipe(row: &StepRow, module: &str, names: &BTreeSet<String>) -> Result<Option<Recipe>> {
    let Some(value) = &row.recipe else { return Ok(None) };
    let recipe = Recipe::read(value)?;
    let recipe = if names.is_empty() { recipe } else { recipe.of_names(module, names) };
    Ok((!recipe.parts.is_empty()).then_some(recipe))
}

/// What was owed when it was made, and is owed when it goes.
pub(super) fn debts(row: &StepRow) -> Vec<Debt> {
    let debts: Vec<Debt> = serde_json::from_value(row.notify.clone()).unwrap_or_default();
    debts.into_iter().map(|debt| Debt { ran: false, ..debt }).collect()
}

/// What one transaction was asked for.
struct Asked {
    profile: Option<String>,
    started: i64,
    /// The modules that the configuration without flags asked for then.
    modules: BTreeSet<String>,
}

/// What was asked for until now, by transaction.
struct Past(BTreeMap<TransactionId, Asked>);

impl Past {
    fn read(works: &Works<'_>, outline: &[StepOutline]) -> Result<Self> {
        let mut past = BTreeMap::new();
        for row in works.journal.requests()?.into_iter().filter(|row| row.kind == TransactionKind::Install) {
            let list = |name: &str| row.request.get(name).and_then(Value::as_array);
            let modules = match list("asked") {
                Some(names) => names.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
                // Of an earlier version, which kept only the flags.
                None if list("module").is_none_or(Vec::is_empty) => {
                    outline.iter().filter(|step| step.tx == row.id).map(|step| step.module.clone()).collect()
                }
                None => BTreeSet::new(),
            };
            let profile = row.request.get("profile").and_then(Value::as_str).map(str::to_owned);
            past.insert(row.id, Asked { profile, started: row.started, modules });
        }
        Ok(Past(past))
    }

    /// Whether the profile asked for `module` when `tx` made something of it, or later.
    fn was_asked(&self, module: &str, tx: TransactionId, wanted: &Wanted) -> bool {
        wanted.modules.contains(module) || self.0.range(tx..).any(|(_, asked)| asked.modules.contains(module))
    }
}
