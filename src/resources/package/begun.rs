//! The host as it was when packages began to be taken back: by it is told what is someone's own. An undo that goes on
//! where it was cut off finds what scripts of the packages have made and removed by then, and must not take that for
//! somebody's. So the picture lies in our state until the undo is done.

use super::tree::Tree;
use crate::base::digest::Digest;
use crate::base::paths;
use crate::engine::Result;
use crate::host::{Attributes, Host, read_if_there};
use crate::resources::preimage::make_parents;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The picture of the host, without `foreign`, that decides in the undo `id`: the one of its first try with what somebody
/// may have written since, or else one of now, which is kept where packages are `to_go`.
pub fn picture(host: &dyn Host, id: &Digest, foreign: &BTreeSet<PathBuf>, to_go: bool) -> Result<Tree> {
    let now = Tree::see(host, foreign)?;
    if let Some(first) = kept(host, id)? {
        return Ok(first.with_writings(&now));
    }
    if !to_go {
        return Ok(now);
    }
    let bytes = [format!("{id}\n").into_bytes(), now.to_bytes()?].concat();
    make_parents(host, Path::new(paths::UNDOING))?;
    host.write(Path::new(paths::UNDOING), &bytes, &Attributes::root(0o600))?;
    Ok(now)
}

/// The picture of the first try of the undo `id`, if that was cut off. One that can't be read is none.
fn kept(host: &dyn Host, id: &Digest) -> Result<Option<Tree>> {
    let Some(bytes) = read_if_there(host, paths::UNDOING)? else { return Ok(None) };
    let picture = bytes.strip_prefix(format!("{id}\n").as_bytes());
    Ok(picture.and_then(|bytes| Tree::from_bytes(bytes).ok()))
}

/// The undo ended, well or not: what comes later is no part of it.
pub fn end(host: &dyn Host) -> Result<()> {
    match host.meta(Path::new(paths::UNDOING))? {
        Some(_) => Ok(host.remove(Path::new(paths::UNDOING))?),
        None => Ok(()),
    }
}
