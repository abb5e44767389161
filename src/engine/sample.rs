//! A smallest resource, for the engine's own tests: a file of a temporary directory that holds one word.

use super::{
    Action, Change, Context, Debt, Error, Node, Outcome, Resource, Result, Scope, State, Undo, UndoRecord, Undoers,
};
use crate::base::ids::ResourceId;
use crate::host::{Attributes, Host};
use serde_json::{Value, json};
use std::path::PathBuf;

/// The file `/x/<name>` shall hold `want`.
#[derive(Debug)]
pub(super) struct Word {
    pub id: ResourceId,
    pub want: String,
    pub fails: bool,
}

impl Word {
    fn path(&self) -> PathBuf {
        PathBuf::from(format!("/x/{}", self.id.name()))
    }
}

/// A node with a [`Word`] of this id that wants "on".
pub(super) fn node(id: &str, needs: &[&str]) -> Node {
    let id = ResourceId::parse(id).unwrap();
    Node {
        resource: Box::new(Word { id, want: "on".into(), fails: false }),
        module: "sample".into(),
        needs: needs.iter().map(|n| ResourceId::parse(n).unwrap()).collect(),
        notify: Vec::<Debt>::new(),
        access: Vec::new(),
        priority: 0,
        origin: "sample:1".into(),
        recipe: None,
    }
}

impl Resource for Word {
    fn id(&self) -> &ResourceId {
        &self.id
    }

    fn observe(&self, host: &dyn Host) -> Result<State> {
        Ok(State(match host.meta(&self.path())? {
            None => Value::Null,
            Some(_) => json!(String::from_utf8_lossy(&host.read(&self.path())?)),
        }))
    }

    fn compare(&self, seen: &State) -> Result<Change> {
        if seen.0 == json!(self.want) {
            return Ok(Change::keep(seen));
        }
        Ok(Change::new(Action::Update, format!("write {}", self.want), json!(self.want)))
    }

    fn capture(&self, context: &Context<'_>, seen: &State, _change: &Change) -> Result<UndoRecord> {
        context.objects.put(seen.0.to_string().as_bytes())?;
        Ok(UndoRecord::new("word", json!({"path": self.path(), "before": seen.0})))
    }

    fn apply(&self, context: &Context<'_>, _seen: &State, _change: &Change) -> Result<()> {
        context.host.write(&self.path(), self.want.as_bytes(), &Attributes::root(0o644))?;
        if self.fails {
            return Err(Error::refused("sample", "write", "it is made to fail"));
        }
        Ok(())
    }
}

#[derive(Debug)]
struct UndoWord {
    path: PathBuf,
    before: Value,
}

impl Undo for UndoWord {
    fn describe(&self, _context: &Context<'_>, _scope: &Scope) -> Result<Vec<String>> {
        Ok(vec![format!("restore {}", self.path.display())])
    }

    fn undo(&self, context: &Context<'_>, _scope: &Scope, _after: Option<&Value>) -> Result<Outcome> {
        match self.before.as_str() {
            None => context.host.remove(&self.path)?,
            Some(word) => context.host.write(&self.path, word.as_bytes(), &Attributes::root(0o644))?,
        }
        Ok(Outcome::Undone)
    }

    fn settle(&self, _context: &Context<'_>) -> Result<Option<Value>> {
        match self.path.ends_with("unsettled") {
            true => Err(Error::refused("sample", "look at what there is", "it can't be looked at")),
            false => Ok(None),
        }
    }

    fn may_wait(&self) -> bool {
        self.path.ends_with("slow")
    }
}

/// The decoder of this kind.
pub(super) fn undoers() -> Undoers {
    Undoers::new(&[("word", |_, data| {
        Ok(Box::new(UndoWord {
            path: PathBuf::from(data["path"].as_str().unwrap_or_default()),
            before: data["before"].clone(),
        }))
    })])
}
