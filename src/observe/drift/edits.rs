//! What somebody edited in files that we wrote, place by place. While nothing else is wanted of the file that is drift,
//! and told as such; what a run let stand, because it merged it or was told to, is a finding until it is accepted.

use super::{Item, Items};
use crate::base::digest::Digest;
use crate::base::merge::{Edit, edits, first};
use crate::engine::Result;
use crate::host::{Host, Kind};
use crate::resources::written::{Past, Written};
use std::path::Path;

/// How the files that are there differ from what was wanted when we wrote them.
pub(super) fn look(host: &dyn Host, written: &Written) -> Result<Items> {
    let mut items = Items::new();
    for (id, past) in written.all() {
        let path = Path::new(id.name());
        if host.meta(path)?.is_some_and(|meta| meta.kind == Kind::File) {
            items.extend(of_file(id.name(), &past, &host.read(path)?));
        }
    }
    Ok(items)
}

fn of_file(path: &str, past: &Past, content: &[u8]) -> Vec<(String, Item)> {
    let found = Digest::of(content);
    if past.is_untouched(&found) {
        return Vec::new();
    }
    let item = |id: &str, text: String| {
        (format!("{path}#{id}"), Item { value: id.to_owned(), text, place: Some(path.into()) })
    };
    match std::str::from_utf8(content).ok().filter(|_| past.is_shown) {
        Some(text) => edits(&past.base, text).iter().map(|edit| item(&edit.id(), told(edit))).collect(),
        None => vec![item(found.short(), format!("{} bytes that we did not write", content.len()))],
    }
}

/// An edit in one line.
fn told(edit: &Edit) -> String {
    let line = edit.line;
    match (edit.old.is_empty(), edit.new.is_empty()) {
        (true, _) => format!("line {line}: {} was put in by hand", first(&edit.new)),
        (_, true) => format!("line {line}: {} was taken out by hand", first(&edit.old)),
        _ => format!("line {line}: {} by hand, in place of {}", first(&edit.new), first(&edit.old)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::TransactionId;

    #[test]
    fn each_place_is_told_with_its_line_and_nothing_of_what_is_secret_is() {
        let base = "a = 1\nb = 2\nc = 3\n";
        let mut past = Past {
            base: base.to_owned(),
            left: Digest::of(base.as_bytes()),
            merged: None,
            tx: TransactionId(1),
            is_shown: true,
            accepted: Default::default(),
        };
        let told = |past: &Past, text: &str| -> Vec<String> {
            of_file("/etc/x", past, text.as_bytes()).into_iter().map(|(_, item)| item.text).collect()
        };
        assert!(told(&past, base).is_empty());
        assert_eq!(
            told(&past, "new\na = 1\nb = 9\n"),
            ["line 1: `new` was put in by hand", "line 3: `b = 9` by hand, in place of `b = 2` and 1 more"]
        );
        past.is_shown = false;
        assert_eq!(told(&past, "token = x\n"), ["10 bytes that we did not write"]);
    }
}
