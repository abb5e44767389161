//! What packages cost, in bytes, and whether the versions that upgrades replace can still be had.

use super::cache::cached_deb;
use super::database::field;
use super::excerpt::Lists;
use super::simulation::Item;
use crate::engine::Result;
use crate::host::{Host, read_if_there};
use std::collections::{BTreeMap, BTreeSet};

/// Fills in what `items` cost, in bytes to download and bytes on the disk, and their architecture where it is open:
/// `native` or `all`.
pub fn weigh(host: &dyn Host, lists: &Lists, native: &str, items: &mut [Item]) -> Result<()> {
    let mut open: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (index, item) in items.iter().enumerate() {
        let name = item.name.split(':').next().unwrap_or_default();
        open.entry(name.to_owned()).or_default().push(index);
    }
    for list in host.list(lists.dir())?.into_iter().filter_map(|n| n.into_string().ok()) {
        if list.ends_with("_Packages") && !open.is_empty() {
            let text = read_if_there(host, lists.dir().join(&list))?.unwrap_or_default();
            weigh_from(&text, native, &mut open, items);
        }
    }
    if !open.is_empty() {
        let left: Vec<String> =
            open.values().flatten().map(|i| &items[*i]).map(|i| format!("{}={}", i.name, i.version)).collect();
        let output = host.look(&lists.command("apt-cache").arg("show").args(left).accept(&[0, 100]))?;
        weigh_from(&output.stdout, native, &mut open, items);
    }
    for item in items.iter_mut().filter(|item| item.architecture.is_empty()) {
        item.architecture = native.to_owned();
    }
    Ok(())
}

/// Marks the upgrades whose old version no archive has any more.
pub fn find_old(host: &dyn Host, lists: &Lists, upgrades: &mut [Item]) -> Result<()> {
    if upgrades.is_empty() {
        return Ok(());
    }
    let names = upgrades.iter().map(|i| i.name.clone());
    let output = host.look(&lists.command("apt-cache").arg("madison").args(names).accept(&[0, 100]))?;
    let text = output.text();
    for item in upgrades {
        let bare = item.name.split(':').next().unwrap_or_default();
        let old = item.old.as_deref().unwrap_or_default();
        let offered = text.lines().any(|line| {
            let mut words = line.split('|').map(str::trim);
            words.next() == Some(bare) && words.next() == Some(old) && line.ends_with(" Packages")
        });
        item.old_is_gone = !offered && host.meta(&cached_deb(&item.name, old, &item.architecture))?.is_none();
    }
    Ok(())
}

/// The paragraphs of a Packages list about packages of these names, with their names. One pass over some 50 MB: only these
/// are looked into.
pub(super) fn paragraphs_about<'t>(
    text: &'t [u8],
    names: &'t BTreeSet<String>,
) -> impl Iterator<Item = (String, String)> + 't {
    let mut lines = text.split(|b| *b == b'\n');
    std::iter::from_fn(move || {
        loop {
            let line = lines.next()?;
            let name = line.strip_prefix(b"Package: ").and_then(|name| std::str::from_utf8(name).ok());
            let Some(name) = name.filter(|name| names.contains(*name)) else { continue };
            let paragraph: Vec<u8> = lines.by_ref().take_while(|l| !l.is_empty()).collect::<Vec<_>>().join(&b'\n');
            return Some((name.to_owned(), String::from_utf8_lossy(&paragraph).into_owned()));
        }
    })
}

/// Reads `Size` (bytes) and `Installed-Size` (KiB) of the wanted versions from the text of a Packages list.
fn weigh_from(text: &[u8], native: &str, open: &mut BTreeMap<String, Vec<usize>>, items: &mut [Item]) {
    let names: BTreeSet<String> = open.keys().cloned().collect();
    for (name, paragraph) in paragraphs_about(text, &names) {
        let Some(wanted) = open.get_mut(&name) else { continue };
        let number = |name| field(&paragraph, name).and_then(|n| n.parse::<u64>().ok());
        let (version, architecture) = (field(&paragraph, "Version"), field(&paragraph, "Architecture"));
        let Some(size) = number("Size") else { continue };
        wanted.retain(|index| {
            let Some(item) = items.get_mut(*index) else {
                return false;
            };
            let fits = |found: &str| match item.architecture.as_str() {
                "" => found == native || found == "all",
                asked => found == asked,
            };
            let is_it = version == Some(&item.version) && architecture.is_some_and(fits);
            if is_it {
                item.architecture = architecture.unwrap_or_default().to_owned();
                item.download = size;
                item.installed = number("Installed-Size").unwrap_or(0) * 1024;
            }
            !is_it
        });
        if wanted.is_empty() {
            open.remove(&name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::listing;
    use super::*;

    #[test]
    fn sizes_come_from_the_right_version_and_architecture() {
        let list = b"Package: jq\nVersion: 1.6\nArchitecture: amd64\nInstalled-Size: 1\nSize: 10\n\n\
            Package: jq\nVersion: 1.7\nArchitecture: arm64\nSize: 1\n\n\
            Package: jq\nVersion: 1.7\nArchitecture: amd64\nInstalled-Size: 2\nSize: 20\n\n\
            Package: other\nVersion: 1.7\nArchitecture: amd64\nSize: 30\n";
        let mut items =
            listing::parse("The following NEW packages will be installed:\n   jq (1.7)\n   zz (1)\n").install;
        let mut open = BTreeMap::from([("jq".to_owned(), vec![0]), ("zz".to_owned(), vec![1])]);
        weigh_from(list, "amd64", &mut open, &mut items);
        assert_eq!((items[0].download, items[0].installed, items[0].architecture.as_str()), (20, 2048, "amd64"));
        assert_eq!(open.keys().collect::<Vec<_>>(), ["zz"]);
    }
}
