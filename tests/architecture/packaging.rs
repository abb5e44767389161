//! The packages say the same thing everywhere: versions, choices, paths, scripts.

use super::sources::{below, top};
use std::collections::BTreeSet;
use std::fs;

fn read(path: &str) -> String {
    fs::read_to_string(top().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The text between two others, at its first place.
fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let rest = text.split_once(before).unwrap_or_else(|| panic!("no {before:?}")).1;
    rest.split_once(after).unwrap_or_else(|| panic!("no {after:?} after {before:?}")).0
}

#[test]
fn the_changelog_names_the_version_of_the_program() {
    let manifest = read("Cargo.toml");
    let version = between(&manifest, "[workspace.package]\nversion = \"", "\"");
    let changelog = read("debian/changelog");
    let packaged = between(&changelog, "(", ")");
    assert_eq!(packaged.rsplit_once('-').map(|(upstream, _)| upstream), Some(version));
}

#[test]
fn debian_control_lists_the_packages_that_are_built() {
    let built: BTreeSet<String> = ["Cargo.toml", "src/apt-source/Cargo.toml"]
        .iter()
        .map(|path| between(&read(path), "[package]\nname = \"", "\"").to_owned())
        .collect();
    let control = read("debian/control");
    let listed = control.lines().filter_map(|line| line.strip_prefix("Package: ")).map(str::to_owned).collect();
    assert_eq!(built, listed);
}

#[test]
fn the_question_offers_none_and_every_shipped_profile() {
    let mut shipped: BTreeSet<String> = below("config/profiles", "yaml")
        .iter()
        .map(|profile| profile.path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    shipped.insert("none".to_owned());
    let templates = read("debian/vps-configurator.templates");
    let offered = between(&templates, "Choices: ", "\n").split(", ").map(str::to_owned).collect();
    assert_eq!(shipped, offered);
    for profile in shipped {
        assert!(templates.contains(&format!("  {profile}:")), "the question doesn't explain {profile}");
    }
}

#[test]
fn quick_install_writes_the_bytes_that_the_apt_source_package_ships() {
    let script = read("docs/quick-install.sh");
    let written = between(&script, "\"$work/sources\" <<EOF\n", "EOF\n");
    let key = between(&script, "\nkey=", "\n");
    let shipped = read("etc/apt/sources.list.d/vps-configurator.sources");
    let address = between(&shipped, "URIs: ", "\n");
    assert_eq!(written.replace("$REPO_URL", address).replace("$key", key), shipped);
}

#[test]
fn every_unit_and_conffile_is_packaged_or_found_by_its_name() {
    let manifest = read("Cargo.toml");
    for unit in ["service", "timer"].iter().flat_map(|ending| below("systemd", ending)) {
        let stem = unit.path.file_stem().unwrap().to_string_lossy().into_owned();
        let path = unit.path.display().to_string();
        let packaged = manifest.contains(&format!("\"{path}\""));
        let found = manifest.contains(&format!("unit-name = \"{stem}\""));
        assert!(packaged != found, "{path} must be an asset or a systemd-units entry, and not both");
    }
    for file in below("etc/vps-configurator", "yaml") {
        assert!(manifest.contains(&format!("\"{}\"", file.path.display())), "{} isn't packaged", file.path.display());
    }
}

#[test]
fn each_maintainer_script_has_its_link_and_the_token_where_it_must() {
    for script in ["config", "templates", "postinst", "prerm", "postrm"] {
        let link = format!("debian/maint/vps-configurator/{script}");
        let text = read(&link);
        assert_eq!(text, read(&format!("debian/vps-configurator.{script}")));
        let wants_token = ["postinst", "prerm", "postrm"].contains(&script);
        assert_eq!(text.contains("\n#DEBHELPER#\n"), wants_token, "{link}");
    }
}

#[test]
fn tmpfiles_and_the_program_agree_on_the_mode_of_the_cache() {
    let tmpfiles = read("systemd/tmpfiles.d/vps-configurator.conf");
    let line = tmpfiles.lines().find(|line| line.starts_with("d /var/cache/vps-configurator ")).unwrap();
    let mode = u32::from_str_radix(line.split_whitespace().nth(2).unwrap(), 8).unwrap();
    assert_eq!(mode, vps_configurator::base::paths::CACHE_MODE);
}

#[test]
fn a_purge_removes_every_folder_that_tmpfiles_makes() {
    let tmpfiles = read("systemd/tmpfiles.d/vps-configurator.conf");
    let script = read("debian/vps-configurator.postrm");
    for line in tmpfiles.lines().filter(|line| line.starts_with("d ")) {
        let folder = line.split_whitespace().nth(1).unwrap();
        let named = match folder.strip_prefix("/etc/vps-configurator/") {
            Some(below) => script.contains(&format!("{below} ")),
            None => script.contains(folder),
        };
        assert!(named, "{folder} outlives a purge");
    }
}

#[test]
fn workflows_call_make_targets_that_exist() {
    let makefile = read("Makefile");
    for workflow in below(".github/workflows", "yml") {
        assert!(workflow.text.contains("\npermissions:\n  contents: read\n"), "{}", workflow.path.display());
        let lines = workflow.text.lines().map(|line| line.trim().trim_start_matches("run: "));
        for line in lines.filter(|line| line.starts_with("make ")) {
            let target = line.split_whitespace().nth(1).unwrap_or_default();
            assert!(makefile.contains(&format!("\n{target}:")), "{line:?} in {}", workflow.path.display());
        }
    }
}
