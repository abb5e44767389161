//! Contents of other files inside a file of ours: `@{/etc/vpn/a.key}` stands for the text of that file. What is
//! inserted is a secret of this host: it is known only where the file is written, and in no plan and no journal.

use crate::engine::{Error, Result};
use crate::host::{Host, read_if_there};
use std::path::PathBuf;

/// The paths that `content` inserts, in the order of writing.
pub fn paths(content: &str) -> Vec<PathBuf> {
    let after = content.split("@{").skip(1);
    let named = after.filter_map(|rest| rest.split_once('}')).map(|(path, _)| path);
    named.filter(|path| path.starts_with('/') && !path.contains(char::is_whitespace)).map(PathBuf::from).collect()
}

/// `content` with everything inserted; `None` while a file that it inserts isn't there or is empty.
pub fn filled(host: &dyn Host, content: &str) -> Result<Option<String>> {
    let mut text = content.to_owned();
    for path in paths(content) {
        let bytes = read_if_there(host, &path)?.unwrap_or_default();
        let inner = String::from_utf8_lossy(&bytes);
        if inner.trim().is_empty() {
            return Ok(None);
        }
        text = text.replace(&format!("@{{{}}}", path.display()), inner.trim());
    }
    Ok(Some(text))
}

/// The same, where everything must be there.
///
/// # Errors
/// `insert-missing` names the file that isn't.
pub fn required(host: &dyn Host, content: &str, what: &str) -> Result<String> {
    filled(host, content)?.ok_or_else(|| {
        let all: Vec<String> = paths(content).iter().map(|path| path.display().to_string()).collect();
        Error::refused(
            "insert-missing",
            what,
            format!("it inserts {}, and not all of them are there with a text in them", all.join(", ")),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::bench::Bench;

    #[test]
    fn the_text_of_a_file_stands_where_it_is_named() {
        let bench = Bench::new();
        let content = "a = @{/etc/a.key}\nb = @{/etc/b.key} @{/etc/a.key}\n@{no} @{\n";
        assert_eq!(paths(content), ["/etc/a.key", "/etc/b.key", "/etc/a.key"].map(PathBuf::from));
        assert_eq!(filled(bench.host(), content).unwrap(), None);
        bench.put("/etc/a.key", "A\n");
        bench.put("/etc/b.key", "\n");
        assert!(required(bench.host(), content, "write it").is_err(), "an empty key is none");
        bench.put("/etc/b.key", "B\n");
        assert_eq!(filled(bench.host(), content).unwrap().unwrap(), "a = A\nb = B A\n@{no} @{\n");
    }
}
