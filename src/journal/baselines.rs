//! The baselines: what is known of the places that are looked after beside the resources. Rows are only added.

use super::record::{BaselineReason, BaselineRow};
use super::store::{bad, json, parse, parse_word, word};
use super::{Journal, Result};
use crate::base::digest::Digest;
use crate::base::ids::TransactionId;
use rusqlite::{Row, params};
use serde_json::Value;

impl Journal {
    /// Keeps a baseline; its object lies in the store already.
    pub fn add_baseline(
        &self,
        reason: BaselineReason,
        tx: Option<TransactionId>,
        actor: &Value,
        at: i64,
        known: &Digest,
    ) -> Result<()> {
        self.to_write("baseline")?.execute(
            "INSERT INTO baselines (reason, tx, actor, at, known) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![word(&reason)?, tx.map(|id| id.0), json(actor)?, at, known.as_str()],
        )?;
        Ok(())
    }

    /// The baseline in force; `None` before the first.
    pub fn baseline(&self) -> Result<Option<BaselineRow>> {
        self.newest("WHERE reason <> 'before'")
    }

    /// What was there before a run that has not ended: it is under way, or died.
    pub fn open_baseline(&self) -> Result<Option<BaselineRow>> {
        Ok(self.newest("")?.filter(|row| row.reason == BaselineReason::Before))
    }

    fn newest(&self, of: &str) -> Result<Option<BaselineRow>> {
        let connection = self.connection();
        let mut query = connection.prepare(&format!(
            "SELECT id, reason, tx, actor, at, known FROM baselines {of} ORDER BY id DESC LIMIT 1"
        ))?;
        let mut rows = query.query_map([], row)?;
        Ok(rows.next().transpose()?)
    }
}

fn row(row: &Row<'_>) -> rusqlite::Result<BaselineRow> {
    let known: String = row.get(5)?;
    Ok(BaselineRow {
        id: row.get(0)?,
        reason: parse_word(row, 1)?,
        tx: row.get::<_, Option<i64>>(2)?.map(TransactionId),
        actor: parse(row, 3)?,
        at: row.get(4)?,
        known: Digest::parse(&known).ok_or_else(|| bad(5, format!("digest {known:?}")))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_newest_is_in_force_and_one_of_before_is_open_until_another_follows() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path()).unwrap();
        assert_eq!(journal.baseline().unwrap(), None);
        let add = |reason, text: &str| {
            let known = journal.objects().put(text.as_bytes()).unwrap();
            journal.add_baseline(reason, None, &json!({"login_name": "ada"}), 1, &known).unwrap();
        };
        add(BaselineReason::After, "1");
        add(BaselineReason::Before, "2");
        let (known, open) = (journal.baseline().unwrap().unwrap(), journal.open_baseline().unwrap().unwrap());
        assert_eq!((known.id, known.known, open.id), (1, Digest::of(b"1"), 2));
        add(BaselineReason::After, "3");
        assert_eq!(journal.baseline().unwrap().unwrap().actor["login_name"], "ada");
        assert_eq!(journal.open_baseline().unwrap(), None);
    }
}
