//! The host as it was when packages began to be taken back: by it is told what is someone's own. An undo that goes on
//! where it was cut off finds what scripts of the packages have made and removed by then, and must not take that for
//! somebody's. So the picture lies in our state until the undo is done.

use super::tree::{Changes, Node, Tree};
use crate::base::digest::Digest;
use crate::base::paths;
use crate::engine::Result;
use crate::host::{Attributes, Host, read_if_there};
use crate::resources::preimage::{clear_debris, make_parents};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The picture of the host, without `foreign`, that decides in the undo `id`: the one of its first try, with what somebody
/// may have written since and with what is now as it is in `after`, which others left alone. Or else one of now, which is
/// kept where packages are `to_go`.
pub fn picture(
    host: &dyn Host,
    id: &Digest,
    foreign: &BTreeSet<PathBuf>,
    after: &Changes,
    to_go: bool,
) -> Result<Tree> {
    let now = Tree::see(host, foreign)?;
    if let Some(first) = kept(host, id)? {
        let mut tree = first.with_writings(&now);
        let is_ours = |(path, node): &(&PathBuf, &Option<Node>)| now.nodes.get(*path) == node.as_ref();
        let ours = after.iter().filter(is_ours).map(|(path, node)| (path.clone(), node.clone())).collect();
        tree.take_over(ours, &now);
        return Ok(tree);
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
    sweep(host, || false)
}

/// Takes away what is half-written, and the picture too unless a run `is_cut_off`, whose undo may go on by it.
pub fn sweep(host: &dyn Host, is_cut_off: impl FnOnce() -> bool) -> Result<()> {
    let path = Path::new(paths::UNDOING);
    clear_debris(host, path)?;
    if host.meta(path)?.is_some() && !is_cut_off() {
        host.remove(path)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::bench::Bench;

    #[test]
    fn the_picture_of_the_first_try_counts_with_what_was_written_since_until_the_undo_is_over() {
        let bench = Bench::new();
        let see_after = |id: &str, after: &Changes| {
            picture(bench.host(), &Digest::of(id.as_bytes()), &BTreeSet::new(), after, true).unwrap()
        };
        let see = |id: &str| see_after(id, &Changes::new());
        let has = |tree: &Tree, path: &str| tree.nodes.contains_key(Path::new(path));
        bench.put("/etc/first", "x");
        assert!(has(&see("one"), "/etc/first"));
        std::fs::remove_file(bench.at("/etc/first")).unwrap();
        bench.put("/etc/d/note", "theirs");
        bench.put("/etc/empty", "");
        let again = see("one");
        assert!(
            has(&again, "/etc/first") && has(&again, "/etc/d") && again.content(Path::new("/etc/d/note")).is_some()
        );
        assert!(!has(&again, "/etc/empty"), "nobody loses anything by it");
        let now = Tree::see(bench.host(), &BTreeSet::new()).unwrap();
        let ours = ["/etc/first", "/etc/empty"].map(|path| (path.into(), now.nodes.get(Path::new(path)).cloned()));
        let ours = see_after("one", &ours.into());
        assert!(!has(&ours, "/etc/first") && has(&ours, "/etc/empty"), "the run itself left it so");
        assert!(!has(&see("another"), "/etc/first"), "its own first try");
        assert!(has(&see("one"), "/etc/empty"), "what was for one is gone");
    }

    #[test]
    fn what_an_undo_needs_to_go_on_stays_while_a_run_is_cut_off_and_what_is_half_written_never() {
        let bench = Bench::new();
        let half = "/var/lib/vps-configurator/.undoing-packages.vps-configurator";
        for (is_cut_off, stays) in [(true, true), (false, false)] {
            bench.put(paths::UNDOING, "a picture");
            bench.put(half, "a pic");
            sweep(bench.host(), || is_cut_off).unwrap();
            assert_eq!(bench.at(paths::UNDOING).exists(), stays);
            assert!(!bench.at(half).exists());
        }
        sweep(bench.host(), || unreachable!("nothing is there")).unwrap();
    }
}
