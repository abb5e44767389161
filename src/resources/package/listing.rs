//! What `apt-get -V --print-uris install` lists before it would begin: the same solution as `-s`, at a third of the
//! price. (`-s` also plays every step through, and looks at every package of the archive after each.)

use super::simulation::{Item, Simulation};

/// apt-get's options for it: one package a line, with versions, in the form that scripts know, whatever apt.conf says.
pub const OPTIONS: [&str; 5] = ["-q", "-V", "-o", "APT::Output-Version=0", "--print-uris"];

/// Which of apt-get's lists a line stands in.
#[derive(Clone, Copy)]
enum List {
    New,
    Changed,
    Removed,
    Other,
}

/// Reads the lists. Architectures are those that the names tell: empty for the host's own and for `all`.
pub fn parse(text: &str) -> Simulation {
    let mut simulation = Simulation::default();
    let mut list = List::Other;
    for line in text.lines() {
        let Some(entry) = line.strip_prefix("   ") else {
            list = match line.trim_end() {
                "The following NEW packages will be installed:" => List::New,
                "The following packages will be upgraded:" | "The following packages will be DOWNGRADED:" => {
                    List::Changed
                }
                "The following packages will be REMOVED:" => List::Removed,
                _ => List::Other,
            };
            continue;
        };
        let Some((name, inside)) = entry.strip_suffix(')').and_then(|entry| entry.split_once(" (")) else { continue };
        match list {
            List::New => simulation.install.push(item(name, None, inside)),
            List::Changed => {
                if let Some((old, new)) = inside.split_once(" => ") {
                    simulation.install.push(item(name, Some(old), new));
                }
            }
            // A star: its configuration goes too.
            List::Removed => simulation.remove.push(name.trim_end_matches('*').to_owned()),
            List::Other => {}
        }
    }
    simulation.install.sort_by(|a, b| a.name.cmp(&b.name));
    simulation.remove.sort();
    simulation
}

fn item(name: &str, old: Option<&str>, version: &str) -> Item {
    Item {
        name: name.to_owned(),
        architecture: name.split_once(':').map(|(_, architecture)| architecture.to_owned()).unwrap_or_default(),
        version: version.to_owned(),
        old: old.map(str::to_owned),
        download: 0,
        installed: 0,
        old_is_gone: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_changed_and_removed_packages_are_read_and_nothing_else() {
        let text = "Reading package lists...\nThe following additional packages will be installed:\n   libjq1 (1.7.1-6)\n\
            Suggested packages:\n   doc (1)\nThe following packages will be REMOVED:\n   cron* (3.0pl1-197)\n   exim4 (4.98)\n\
            The following NEW packages will be installed:\n   jq (1.7.1-6+deb13u4)\n   libjq1 (1.7.1-6)\n   zlib1g:i386 (1:1.3)\n\
            The following packages will be upgraded:\n   libc6 (2.41-12 => 2.41-12+deb13u1)\n\
            The following packages will be DOWNGRADED:\n   openssl (3.5.9 => 3.5.7)\n\
            1 upgraded, 3 newly installed, 1 downgraded, 2 to remove and 0 not upgraded.\nNeed to get 5 kB of archives.\n\
            'http://deb.debian.org/pool/main/j/jq/jq_1.7.1_amd64.deb' jq_1.7.1_amd64.deb 10 MD5Sum:0\n";
        let simulation = parse(text);
        let names: Vec<&str> = simulation.install.iter().map(|i| i.name.as_str()).collect();
        assert_eq!(names, ["jq", "libc6", "libjq1", "openssl", "zlib1g:i386"]);
        let libc = &simulation.install[1];
        assert_eq!((libc.old.as_deref(), libc.version.as_str()), (Some("2.41-12"), "2.41-12+deb13u1"));
        assert_eq!(
            (simulation.install[3].version.as_str(), simulation.install[4].architecture.as_str()),
            ("3.5.7", "i386")
        );
        assert_eq!(simulation.remove, ["cron", "exim4"]);
    }
}
