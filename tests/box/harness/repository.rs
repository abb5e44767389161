//! A signed repository of the packages that `make debs` left in `target/debian`, and of versions made from them.

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

fn run(command: &mut Command) {
    let output = command.output().expect("the program starts");
    assert!(
        output.status.success(),
        "{command:?} failed:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
