//! What people's way into the host depends on: read from `access.yaml`, which is shipped as data. What a module says of
//! a resource of its own (`access: true`, `access: false`) goes before it.

use super::spec::Spec;
use crate::base::paths;
use crate::base::pattern::is_like;
use crate::base::yaml::{Collector, Problem, Problems, Reader, Source, parse};
use crate::host::{Host, read_if_there};

/// The kinds whose name is a path.
const AT_PATHS: &[&str] = &["file", "directory", "symlink", "block", "download"];

/// The rules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccessRules {
    resources: Vec<String>,
    exact: Vec<String>,
    paths: Vec<String>,
    programs: Vec<String>,
}

impl AccessRules {
    /// Reads the shipped rules.
    ///
    /// # Errors
    /// When the file is not there or is no good: without it nobody could tell what must be confirmed.
    pub fn load(host: &dyn Host) -> Result<Self, Problems> {
        let missing = |why: String| {
            let problem = Problem::anywhere("access-rules-missing", format!("{}: {why}", paths::ACCESS));
            problem.hint("reinstall: apt-get install --reinstall vps-configurator")
        };
        match read_if_there(host, paths::ACCESS) {
            Ok(Some(bytes)) => Self::read(&Source::from_bytes(paths::ACCESS.to_owned(), &bytes)),
            Ok(None) => Err(missing("it is not there".to_owned()).into()),
            Err(error) => Err(missing(error.to_string()).into()),
        }
    }

    fn read(source: &Source) -> Result<Self, Problems> {
        let collector = Collector::default();
        let root = parse(source)?;
        let mut rules = AccessRules::default();
        if let Some(mut fields) = Reader::new(source, &collector).map(&root, "the rules of access") {
            let mut list = |key: &str| -> Vec<String> {
                fields.texts(key).into_iter().filter_map(|node| node.as_text().map(str::to_owned)).collect()
            };
            rules = AccessRules {
                resources: list("resources"),
                exact: list("exact"),
                paths: list("paths"),
                programs: list("programs"),
            };
            fields.finish();
        }
        collector.finish(rules)
    }

    /// Whether somebody's way in depends on what a module asks for.
    pub fn concern(&self, spec: &Spec) -> bool {
        if let Some(said) = spec.access {
            return said;
        }
        let id = format!("{}:{}", spec.kind, spec.name);
        let by_path = |path: &str| {
            self.paths.iter().any(|rule| is_at_or_below(rule, path)) || self.exact.iter().any(|rule| is_at(rule, path))
        };
        let runs = spec.list("run");
        let program = runs.first().map(|program| program.rsplit('/').next().unwrap_or(program));
        self.resources.iter().any(|rule| is_like(rule, &id))
            || AT_PATHS.contains(&spec.kind) && by_path(&spec.name)
            || spec.kind == "command" && program.is_some_and(|name| self.programs.iter().any(|known| known == name))
    }
}

fn is_at(rule: &str, path: &str) -> bool {
    is_like(rule, path) && rule.matches('/').count() == path.trim_end_matches('/').matches('/').count()
}

fn is_at_or_below(rule: &str, path: &str) -> bool {
    is_like(rule, path) || is_like(&format!("{rule}/*"), path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn shipped() -> AccessRules {
        AccessRules::read(&Source::new("access.yaml", include_str!("../../config/access.yaml"))).unwrap()
    }

    fn spec(kind: &'static str, name: &str, fields: Value, access: Option<bool>) -> Spec {
        Spec { access, ..Spec::sample(kind, name, fields) }
    }

    #[test]
    fn the_shipped_rules_name_what_lets_people_in_and_nothing_else() {
        let rules = shipped();
        let concern = |kind, name: &str| rules.concern(&spec(kind, name, json!({}), None));
        for (kind, name) in [
            ("file", "/etc/ssh/sshd_config.d/00-x.conf"),
            ("file", "/etc/sudoers.d/mia"),
            ("directory", "/home/mia"),
            ("directory", "/root"),
            ("block", "/etc/bash.bashrc"),
            ("file", "/etc/profile.d/x.sh"),
            ("file", "/etc/fail2ban/jail.d/x.conf"),
            ("unit", "fail2ban.service"),
            ("package", "openssh-server"),
            ("directory", "/home/mia/.ssh"),
            ("file", "/home/mia/.ssh/authorized_keys"),
            ("symlink", "/etc/nftables.conf"),
            ("block", "/etc/pam.d/sshd"),
            ("firewall", "ufw"),
            ("user", "mia"),
            ("member", "mia/sudo"),
            ("authorized_key", "mia"),
            ("unit", "ssh.socket"),
            ("package", "libpam-google-authenticator"),
            ("sysctl", "net.ipv6.conf.all.disable_ipv6"),
        ] {
            assert!(concern(kind, name), "{kind}:{name}");
        }
        for (kind, name) in [
            ("file", "/etc/sshx"),
            ("file", "/etc/docker/daemon.json"),
            ("directory", "/etc"),
            ("unit", "docker.service"),
            ("package", "openssh-client"),
            ("directory", "/home/mia/.config"),
            ("file", "/root/.bashrc"),
            ("sysctl", "net.core.somaxconn"),
            ("hostname", "x"),
        ] {
            assert!(!concern(kind, name), "{kind}:{name}");
        }
    }

    /// Files below /etc that modules write and that nobody's login reads.
    const EXCUSED: &[&str] = &[
        "/etc/apt/",
        "/etc/bat/",
        "/etc/caddy/",
        "/etc/cni",
        "/etc/default/prometheus-node-exporter",
        "/etc/docker",
        "/etc/gitconfig",
        "/etc/gitignore",
        "/etc/mysql/",
        "/etc/netdata",
        "/etc/php/",
        "/etc/postgresql/",
        "/etc/redis/",
        "/etc/systemd/system/php8.4-fpm.service.d/",
        "/etc/trivy-vps-configurator.yaml",
        "/etc/valkey/",
        "/etc/xdg/nvim/",
        "/etc/xdg/vps-configurator/",
        "/etc/polkit-1/rules.d/40-vps-configurator-desktop.rules",
        // A desktop goes, the way in by SSH stays.
        "/etc/xrdp/",
    ];

    #[test]
    fn what_shipped_modules_write_below_etc_is_named_or_excused() {
        let rules = shipped();
        let modules = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config/modules");
        let mut seen = 0;
        for module in std::fs::read_dir(modules).unwrap() {
            let Ok(text) = std::fs::read_to_string(module.unwrap().path().join("module.yaml")) else { continue };
            for line in text.lines().filter_map(|line| line.strip_prefix("  - ")) {
                let Some((kind, name)) = line.split_once(": ") else { continue };
                let name = name.trim_matches('"');
                let Some(kind) = AT_PATHS.iter().find(|known| **known == kind) else { continue };
                if !name.starts_with("/etc/") {
                    continue;
                }
                seen += 1;
                let is_excused = EXCUSED.iter().any(|path| name.starts_with(path));
                let concerns = rules.concern(&spec(kind, name, json!({}), None));
                assert!(concerns != is_excused, "{kind}: {name}: named {concerns}, excused {is_excused}");
            }
        }
        assert!(seen > 30, "{seen}");
    }

    #[test]
    fn commands_count_by_their_program_and_the_module_has_the_last_word() {
        let rules = shipped();
        let run = |program: &str, access| rules.concern(&spec("command", "x", json!({"run": [program, "-F"]}), access));
        assert!(run("/usr/sbin/iptables", None) && run("nft", None));
        assert!(!run("npm", None) && run("npm", Some(true)) && !run("nft", Some(false)));
        assert!(!rules.concern(&spec("firewall", "ufw", json!({}), Some(false))));
    }
}
