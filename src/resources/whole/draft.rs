//! What a path will be, as it can be told before any of it is changed: the kinds `file`, `block` and `symlink`.

use crate::engine::Result;
use crate::host::{Attributes, Candidate, Host, Kind, Shape};
use crate::resources::file::{self, File};
use crate::resources::part::{self, Place};
use crate::resources::written::Written;
use crate::resources::{Spec, block, symlink};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The files of a group as they will be, by path.
pub type Composed = BTreeMap<PathBuf, Candidate>;

/// What will be at a path.
#[derive(Debug)]
pub enum Draft {
    /// A whole file.
    File(Box<File>),
    /// A block of ours in a file of others.
    Block {
        /// The word that names it.
        marker: String,
        /// What stands between its marker lines.
        content: String,
        /// Where a new one goes.
        at: Place,
    },
    /// A symbolic link to this target.
    Link(String),
}

impl Draft {
    /// What a spec says will be at its path; `None` when it is of another kind.
    pub fn of(spec: &Spec, written: &Arc<Written>) -> Result<Option<Draft>> {
        let Spec { name, fields, module, .. } = spec;
        Ok(match spec.kind {
            "file" => Some(file::draft(name, fields, module, written)?),
            "block" => Some(block::draft(name, fields, module)?),
            "symlink" => Some(symlink::draft(name, fields, module)?),
            _ => None,
        })
    }

    /// Adds what will be at `path` to what is composed already; looks at the host for the parts that are not ours.
    pub fn compose(&self, host: &dyn Host, path: &Path, composed: &mut Composed) -> Result<()> {
        let (shape, attributes) = match self {
            Draft::File(file) => match file.candidate(host)? {
                Some((content, attributes)) => (Shape::File(content), attributes),
                None => return Ok(()),
            },
            Draft::Block { marker, content, at } => {
                let (text, attributes) = holder(host, path, composed)?;
                (Shape::File(part::put(&text, marker, content, *at)), attributes)
            }
            Draft::Link(target) => (Shape::Link(target.into()), Attributes::root(0o777)),
        };
        composed.insert(path.to_owned(), Candidate { path: path.to_owned(), shape, attributes });
        Ok(())
    }
}

/// The file that a block goes into: as it will be when more of it is ours, else as it is.
fn holder(host: &dyn Host, path: &Path, composed: &Composed) -> Result<(Vec<u8>, Attributes)> {
    if let Some(Candidate { shape: Shape::File(text), attributes, .. }) = composed.get(path) {
        return Ok((text.clone(), attributes.clone()));
    }
    Ok(match host.meta(path)? {
        Some(meta) if meta.kind == Kind::File => (host.read(path)?, meta.attributes),
        _ => (Vec::new(), Attributes::root(0o644)),
    })
}

/// Whether the host is as composed already.
pub fn is_in_place(host: &dyn Host, composed: &Composed) -> Result<bool> {
    for (path, candidate) in composed {
        let is = match (host.meta(path)?.map(|meta| meta.kind), &candidate.shape) {
            (Some(Kind::File), Shape::File(content)) => host.read(path)? == *content,
            (Some(Kind::Link(target)), Shape::Link(wanted)) => target == *wanted,
            _ => false,
        };
        if !is {
            return Ok(false);
        }
    }
    Ok(true)
}
