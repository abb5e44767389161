//! What `apt-get -s` prints, and what it says when it can't.

use serde::{Deserialize, Serialize};

/// One package that would be installed, upgraded or downgraded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// Its name; `name:architecture` when foreign.
    pub name: String,
    /// Its architecture.
    pub architecture: String,
    /// The version that will be there.
    pub version: String,
    /// The version that is there, when one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<String>,
    /// Bytes to download.
    #[serde(default)]
    pub download: u64,
    /// Bytes on the disk afterwards.
    #[serde(default)]
    pub installed: u64,
    /// No archive has the old version any more: this upgrade can't be taken back, unless its file is still cached.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub old_is_gone: bool,
}

/// What one `apt-get -s` would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Simulation {
    /// Packages installed or upgraded, by name.
    pub install: Vec<Item>,
    /// Names of packages removed or purged.
    pub remove: Vec<String>,
    /// The same packages' lines that name Debian-Security as their origin, by name.
    pub from_security: Vec<String>,
}

impl Simulation {
    /// Reads apt-get's lines: `Inst name [old] (new origin, origin [arch])`, `Remv name [version]`, `Purg name [version]`.
    pub fn parse(text: &str) -> Simulation {
        let mut simulation = Simulation::default();
        for line in text.lines() {
            match line.split_once(' ') {
                Some(("Inst", rest)) => {
                    if let Some(item) = item(rest) {
                        if rest.contains("Debian-Security:") {
                            simulation.from_security.push(item.name.clone());
                        }
                        simulation.install.push(item);
                    }
                }
                Some(("Remv" | "Purg", rest)) => {
                    let name = rest.split(' ').next().unwrap_or_default().to_owned();
                    if !simulation.remove.contains(&name) {
                        simulation.remove.push(name);
                    }
                }
                _ => {}
            }
        }
        simulation.install.sort_by(|a, b| a.name.cmp(&b.name));
        simulation.remove.sort();
        simulation
    }
}

fn item(rest: &str) -> Option<Item> {
    let (head, tail) = rest.split_once(" (")?;
    let inside = tail.split(')').next()?;
    let (name, old) = match head.split_once(" [") {
        Some((name, old)) => (name, Some(old.trim_end_matches(']').to_owned())),
        None => (head, None),
    };
    let architecture = inside.rsplit_once('[').map_or("", |(_, arch)| arch.trim_end_matches(']'));
    Some(Item {
        name: name.to_owned(),
        architecture: architecture.to_owned(),
        version: inside.split(' ').next()?.to_owned(),
        old,
        download: 0,
        installed: 0,
        old_is_gone: false,
    })
}

/// Why apt-get can't.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// No list has this name, or has a version of it that can be installed.
    Unknown(String),
    /// The package is there, but not in this version or release.
    NoVersion {
        /// The package.
        name: String,
        /// The version or the release.
        wanted: String,
    },
    /// The rest: dependencies that can't be met, above all.
    Other(String),
}

/// Reads apt-get's `E:` lines and its list of unmet dependencies.
pub fn problems(stdout: &str, stderr: &str) -> Vec<Problem> {
    let mut found: Vec<Problem> = Vec::new();
    for line in stderr.lines().filter_map(|l| l.strip_prefix("E: ")) {
        let quoted: Vec<&str> = line.split('\'').skip(1).step_by(2).collect();
        let problem = if let Some(name) = line.strip_prefix("Unable to locate package ") {
            Problem::Unknown(name.trim().to_owned())
        } else if line.ends_with("has no installation candidate") {
            Problem::Unknown(quoted.first().copied().unwrap_or_default().to_owned())
        } else if let (true, [wanted, name]) = (line.ends_with("was not found"), quoted.as_slice()) {
            Problem::NoVersion { name: (*name).to_owned(), wanted: (*wanted).to_owned() }
        } else if line.starts_with("Couldn't find any package by") {
            continue;
        } else {
            Problem::Other(line.to_owned())
        };
        if !found.contains(&problem) {
            found.push(problem);
        }
    }
    if let Some((_, unmet)) = stdout.split_once("The following packages have unmet dependencies:\n") {
        let lines: Vec<&str> = unmet.lines().take_while(|l| l.starts_with(' ')).map(str::trim).collect();
        found.push(Problem::Other(lines.join("; ")));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_simulation_is_read_with_versions_origins_and_removals() {
        let text = "Reading package lists...\nInst libc6 [2.41-12] (2.41-12+deb13u1 Debian-Security:13/stable-security [amd64]) [libc-bin:amd64 ]\n\
            Inst jq (1.7.1-6+deb13u4 Debian:13.8/stable, Debian-Security:13/stable-security [amd64])\nRemv exim4 [4.98]\nPurg exim4 [4.98]\n\
            Inst zlib1g:i386 (1:1.3 Debian:13.8/stable [i386])\nConf jq (1.7.1-6+deb13u4 Debian:13.8/stable [amd64])\n";
        let simulation = Simulation::parse(text);
        let names: Vec<&str> = simulation.install.iter().map(|i| i.name.as_str()).collect();
        assert_eq!(names, ["jq", "libc6", "zlib1g:i386"]);
        let libc = &simulation.install[1];
        assert_eq!((libc.old.as_deref(), libc.version.as_str()), (Some("2.41-12"), "2.41-12+deb13u1"));
        assert_eq!((libc.architecture.as_str(), simulation.install[0].old.as_deref()), ("amd64", None));
        assert_eq!(simulation.remove, ["exim4"]);
        assert_eq!(simulation.from_security, ["libc6", "jq"]);
    }

    #[test]
    fn apts_complaints_are_told_apart() {
        let stderr = "E: Unable to locate package nosuchpkg\nE: Couldn't find any package by glob 'nosuchpkg'\n\
            E: Package 'mail-transport-agent' has no installation candidate\nE: Version '9' for 'jq' was not found\n\
            E: Release 'nope' for 'curl' was not found\nE: Unable to correct problems, you have held broken packages.\n";
        let stdout = "The following packages have unmet dependencies:\n a : Depends: b but it is not installable\n     Depends: c\nE\n";
        let found = problems(stdout, stderr);
        let no = |name: &str, wanted: &str| Problem::NoVersion { name: name.into(), wanted: wanted.into() };
        assert_eq!(
            found[..4],
            [
                Problem::Unknown("nosuchpkg".into()),
                Problem::Unknown("mail-transport-agent".into()),
                no("jq", "9"),
                no("curl", "nope"),
            ]
        );
        assert_eq!(found[5], Problem::Other("a : Depends: b but it is not installable; Depends: c".into()));
    }
}
