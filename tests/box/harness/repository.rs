//! A signed repository of the packages that `make debs` left in `target/debian`, and of versions made from them; or of a
//! stand-in for a third party's.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The repository's tree in a folder of its own, signed with a key of its own; both go when it is dropped.
pub struct Repository {
    home: tempfile::TempDir,
}

impl Repository {
    fn empty() -> Self {
        let repository = Self { home: tempfile::tempdir().expect("a folder for the repository") };
        run(Command::new(project().join("debian/make-key")).arg(repository.keys()));
        repository
    }

    /// Of `vps-configurator` in another version alone.
    pub fn of_another_version(version: &str) -> Self {
        let repository = Self::empty();
        repository.add_version(version, "true");
        repository
    }

    /// Of the packages as they were built.
    pub fn of_built_packages() -> Self {
        let repository = Self::empty();
        let debs = built_packages();
        assert!(debs.len() >= 2, "no packages in target/debian: run `make debs`");
        repository.add(&debs);
        repository
    }

    /// Of a package with a program of its name, which says it.
    pub fn of_stand_in(name: &str) -> Self {
        let repository = Self::empty();
        let script = format!(
            "mkdir -p tree/DEBIAN tree/usr/bin && printf '#!/bin/sh\\necho {name}\\n' > tree/usr/bin/{name} && \
             chmod 755 tree/usr/bin/{name} && printf '%s\\n' 'Package: {name}' 'Version: 1.0' 'Architecture: all' \
             'Maintainer: nobody <nobody@example.org>' 'Description: a stand-in' > tree/DEBIAN/control && \
             dpkg-deb --root-owner-group -b tree {name}_1.0_all.deb >/dev/null && rm -r tree"
        );
        run(Command::new("sh").args(["-euc", &script]).current_dir(repository.home.path()));
        repository.add(&[repository.home.path().join(format!("{name}_1.0_all.deb"))]);
        repository
    }

    /// The key, as text.
    pub fn key(&self) -> String {
        self.with_key("gpg --armor --export")
    }

    /// From now on its Release is one whose time is over, signed as ever.
    pub fn expire(&self) {
        let over = "s/^Date: .*/Date: Wed, 01 Jan 2020 00:00:00 UTC/; s/^Valid-Until: .*/Valid-Until: Sat, 01 Feb 2020 00:00:00 UTC/";
        let sign = "gpg --yes --pinentry-mode loopback --passphrase '' --clearsign --output InRelease Release";
        self.with_key(&format!("cd repo/dists/trixie && sed -i '{over}' Release && {sign}"));
    }

    /// Signs it as it is now.
    pub fn renew(&self) {
        self.add(&[]);
    }

    /// Turns a byte in each of its packages around, leaving the lists as they are; doing it twice leaves all as it was.
    pub fn turn_bytes(&self) {
        for deb in files(&self.folder().join("pool")) {
            let mut bytes = std::fs::read(&deb).expect("the package is ours");
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0xff;
            std::fs::write(&deb, bytes).expect("the package is ours");
        }
    }

    /// Adds `vps-configurator` as another version; `edit`, a shell script, changes its unpacked tree before.
    pub fn add_version(&self, version: &str, edit: &str) {
        let deb = built_packages()
            .into_iter()
            .find(|deb| deb.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vps-configurator_")))
            .expect("vps-configurator among the built packages");
        let tree = self.home.path().join("tree");
        let other = self.home.path().join(format!("vps-configurator_{version}_amd64.deb"));
        run(Command::new("dpkg-deb").arg("-R").args([&deb, &tree]));
        run(Command::new("sh").args(["-euc", edit]).current_dir(&tree));
        run(Command::new("sed")
            .arg("-i")
            .arg(format!("s/^Version: .*/Version: {version}/"))
            .arg(tree.join("DEBIAN/control")));
        run(Command::new("dpkg-deb").args(["--root-owner-group", "-Znone", "-b"]).args([&tree, &other]));
        std::fs::remove_dir_all(&tree).expect("the tree is ours");
        self.add(&[other]);
    }

    /// What a web server serves.
    pub fn folder(&self) -> PathBuf {
        self.home.path().join("repo")
    }

    /// Of the key that signs it.
    pub fn fingerprint(&self) -> String {
        let text = std::fs::read_to_string(self.keys().join("fingerprint"));
        text.expect("make-key writes it").trim().to_owned()
    }

    /// What a shell script says that has the key at hand, in the repository's home.
    fn with_key(&self, script: &str) -> String {
        let begin = "GNUPGHOME=$(mktemp -d /tmp/gpg.XXXXXX); export GNUPGHOME; trap 'gpgconf --kill all; rm -rf $GNUPGHOME' EXIT";
        let script = format!("{begin}; gpg --batch --quiet --import keys/signing.asc; {script}");
        run(Command::new("sh").args(["-euc", &script]).current_dir(self.home.path()))
    }

    fn keys(&self) -> PathBuf {
        self.home.path().join("keys")
    }

    fn add(&self, debs: &[PathBuf]) {
        run(Command::new(project().join("debian/make-repo")).args([self.folder(), self.keys()]).args(debs));
    }
}

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn built_packages() -> Vec<PathBuf> {
    let folder = std::fs::read_dir(project().join("target/debian"));
    let mut debs: Vec<PathBuf> = folder
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|end| end == "deb"))
        .collect();
    debs.sort();
    debs
}

/// The files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// What it says; it must end well.
fn run(command: &mut Command) -> String {
    let output = command.output().expect("the program starts");
    assert!(
        output.status.success(),
        "{command:?} failed:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
