//! What is still owed after a run: a service that is not well is no success, whatever else went well.

use super::explain::Problem;
use crate::engine::debts::Unpaid;

/// The failure that the first unpaid act is; `state` says how the host is otherwise.
pub fn problem(unpaid: &[Unpaid], state: &str) -> Option<Problem> {
    let (first, more) = unpaid.split_first()?;
    let mut problem = Problem::of(&first.error).state(format!("{state}, but for what is still owed"));
    problem.why.extend(more.iter().map(|unpaid| format!("also owed: {} ({})", unpaid.debt, unpaid.error)));
    problem.details = Some("vps-configurator status".to_owned());
    Some(problem)
}
