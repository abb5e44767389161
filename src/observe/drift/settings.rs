//! What a program says is in force, and which file says so: `sshd -T`.

use super::{Item, Items};
use crate::engine::Result;
use crate::host::{Command, Host, Kind, read_text};
use std::path::{Path, PathBuf};

/// Each key with its value; of a key that is told several times, all values. Nothing, without the program.
pub(super) fn look(host: &dyn Host, argv: &[String]) -> Result<Items> {
    let Some((program, arguments)) = argv.split_first().filter(|(program, _)| host.has_program(program)) else {
        return Ok(Items::new());
    };
    let output = host.look(&Command::new(program).args(arguments.iter().cloned()))?;
    Ok(parse(&output.text()))
}

fn parse(text: &str) -> Items {
    let mut items = Items::new();
    for line in text.lines() {
        let (key, value) = line.split_once(' ').unwrap_or((line, ""));
        let item =
            items.entry(key.to_owned()).or_insert(Item { value: String::new(), text: String::new(), place: None });
        item.value = if item.value.is_empty() { value.to_owned() } else { format!("{}, {value}", item.value) };
        item.text.clone_from(&item.value);
    }
    items
}

/// Where `key` is set: the file and line that count, as sshd_config(5) has it: the first, files in a directory taking
/// their turn, by name, where the main file includes them. `Match` blocks, which hold for some only, are passed over.
pub(super) fn set_at(host: &dyn Host, set_in: &[PathBuf], key: &str) -> Result<Option<(PathBuf, usize)>> {
    let mut included = Vec::new();
    let mut main = Vec::new();
    for path in set_in {
        if host.meta(path)?.is_some_and(|meta| meta.kind == Kind::Directory) {
            let names = host.list(path)?.into_iter().filter(|name| name.as_encoded_bytes().ends_with(b".conf"));
            included.extend(names.map(|name| path.join(name)));
        } else {
            main.push(path.clone());
        }
    }
    for path in main {
        let text = read_text(host, &path)?;
        for (number, line) in text.lines().enumerate() {
            match keyword(line) {
                Some(word) if word == "match" => break,
                Some(word) if word == "include" => {
                    for path in &included {
                        if let Some(line) = first_line(&read_text(host, path)?, key) {
                            return Ok(Some((path.clone(), line)));
                        }
                    }
                }
                Some(word) if word == key => return Ok(Some((path, number + 1))),
                _ => {}
            }
        }
    }
    Ok(None)
}

/// The number of the first line that sets `key` for everyone.
fn first_line(text: &str, key: &str) -> Option<usize> {
    let lines = text.lines().map(keyword).enumerate();
    lines
        .take_while(|(_, word)| word.as_deref() != Some("match"))
        .find(|(_, word)| word.as_deref() == Some(key))
        .map(|(n, _)| n + 1)
}

fn keyword(line: &str) -> Option<String> {
    let line = line.trim_start();
    let word = line.split([' ', '\t', '=']).next().filter(|word| !word.is_empty() && !word.starts_with('#'))?;
    Some(word.to_lowercase())
}

/// The file that a path of [`set_at`] names, in words.
pub(super) fn shown(place: &(PathBuf, usize)) -> String {
    format!("set by {} line {}", Path::new(&place.0).display(), place.1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::RealHost;
    use std::fs;

    #[test]
    fn the_file_that_counts_is_the_first_in_the_order_of_the_server() {
        let dir = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        put(
            "etc/ssh/sshd_config",
            "# Port 1\nPort 22\nInclude /etc/ssh/sshd_config.d/*.conf\nX11Forwarding yes\nUsePAM yes\n",
        );
        put("etc/ssh/sshd_config.d/00-evil.conf", "Match User ada\n  PermitRootLogin no\n");
        put("etc/ssh/sshd_config.d/01-evil.conf", "\npermitrootlogin=yes\nport 2222\n");
        put("etc/ssh/sshd_config.d/02-ours.conf", "PermitRootLogin no\nX11Forwarding no\n");
        put("etc/ssh/sshd_config.d/03-off.txt", "UsePAM no\n");
        let host = RealHost::new(dir.path().into());
        let set_in = ["/etc/ssh/sshd_config", "/etc/ssh/sshd_config.d"].map(PathBuf::from);
        let at = |key: &str| set_at(&host, &set_in, key).unwrap().map(|place| shown(&place));
        assert_eq!(at("permitrootlogin").unwrap(), "set by /etc/ssh/sshd_config.d/01-evil.conf line 2");
        assert_eq!(at("port").unwrap(), "set by /etc/ssh/sshd_config line 2");
        assert_eq!(at("x11forwarding").unwrap(), "set by /etc/ssh/sshd_config.d/02-ours.conf line 2");
        assert_eq!(at("usepam").unwrap(), "set by /etc/ssh/sshd_config line 5");
        assert_eq!(at("loglevel"), None);
    }

    #[test]
    fn a_key_that_is_told_twice_has_both_values() {
        let items = parse("port 22\nport 2222\nusepam yes\n");
        assert_eq!((items["port"].value.as_str(), items["usepam"].value.as_str()), ("22, 2222", "yes"));
    }
}
