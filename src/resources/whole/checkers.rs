//! Programs that say whether a daemon would take its configuration, and the files that they speak for. A file at one of
//! these paths is checked without its module asking for it; another daemon's checker is named by `check`.

/// A daemon's own checker. Each reads the whole configuration at the place where it is, writes nothing to it, and tells
/// file and line.
#[derive(Debug)]
struct Checker {
    /// What it reads: a file, or everything below a directory (with `/` at its end). `*` stands for one component.
    reads: &'static [&'static str],
    /// How it is asked; `*` is what the component was.
    argv: &'static [&'static str],
}

const CHECKERS: &[Checker] = &[
    Checker { reads: &["/etc/ssh/sshd_config", "/etc/ssh/sshd_config.d/"], argv: &["sshd", "-t"] },
    Checker { reads: &["/etc/sudoers", "/etc/sudoers.d/"], argv: &["visudo", "-c"] },
    Checker { reads: &["/etc/nginx/"], argv: &["nginx", "-t"] },
    Checker { reads: &["/etc/apache2/"], argv: &["apache2ctl", "-t"] },
    Checker {
        reads: &["/etc/caddy/"],
        argv: &["caddy", "validate", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"],
    },
    Checker { reads: &["/etc/php/*/fpm/"], argv: &["php-fpm*", "-t"] },
    Checker { reads: &["/etc/bind/"], argv: &["named-checkconf"] },
    Checker { reads: &["/etc/fail2ban/"], argv: &["fail2ban-client", "-t"] },
    Checker { reads: &["/etc/docker/daemon.json"], argv: &["dockerd", "--validate"] },
    Checker { reads: &["/etc/nftables.conf"], argv: &["nft", "-c", "-f", "/etc/nftables.conf"] },
    Checker { reads: &["/etc/apt/apt.conf", "/etc/apt/apt.conf.d/"], argv: &["apt-config", "dump"] },
    Checker { reads: &["/etc/rsyslog.conf", "/etc/rsyslog.d/"], argv: &["rsyslogd", "-N1"] },
];

/// Where the administrator's units are (systemd.unit(5)).
const UNITS: &str = "/etc/systemd/system/";

/// How the program that reads `path` is asked, when it is known.
pub fn known(path: &str) -> Option<Vec<String>> {
    CHECKERS.iter().find_map(|checker| {
        let found = checker.reads.iter().find_map(|pattern| covers(pattern, path))?;
        Some(checker.argv.iter().map(|arg| arg.replace('*', found)).collect())
    })
}

/// Whether `pattern` covers `path`; gives what `*` stood for, nothing when there is none.
fn covers<'p>(pattern: &str, path: &'p str) -> Option<&'p str> {
    let (found, rest, pattern) = match pattern.split_once('*') {
        None => ("", path, pattern),
        Some((before, after)) => {
            let rest = path.strip_prefix(before)?;
            let end = rest.find('/').unwrap_or(rest.len());
            let (found, rest) = rest.split_at(end);
            (found, rest, after)
        }
    };
    let is_covered = match pattern.ends_with('/') {
        true => rest.len() > pattern.len() && rest.starts_with(pattern),
        false => rest == pattern,
    };
    is_covered.then_some(found)
}

/// The unit that the file at `path` describes: its own file, or a drop-in of it.
pub fn unit(path: &str) -> Option<&str> {
    let rest = path.strip_prefix(UNITS)?;
    let name = match rest.split_once('/') {
        None => rest,
        Some((dir, file)) if file.ends_with(".conf") && !file.contains('/') => dir.strip_suffix(".d")?,
        Some(_) => return None,
    };
    let kinds = [".service", ".socket", ".timer", ".path", ".mount", ".target", ".slice", ".swap", ".automount"];
    // A drop-in for all units of a kind or prefix (`service.d`, `foo-.service.d`) names none.
    (kinds.iter().any(|kind| name.ends_with(kind)) && !name.contains("-.")).then_some(name)
}

/// The lines of `systemd-analyze verify` that say that systemd would not take the files at `paths` or the units
/// `names`. What a unit would run or want may come later: that it isn't there is no fault of the file.
pub fn faults<'t>(text: &'t str, paths: &[&str], names: &[&str]) -> Vec<&'t str> {
    let later = ["is not executable", "Failed to create", "not found"];
    let speaks = |line: &str| {
        paths.iter().any(|path| line.strip_prefix(path).is_some_and(|rest| rest.starts_with(':')))
            || names.iter().any(|name| line.starts_with(&format!("{name}:")) || line.contains(&format!("Unit {name} ")))
    };
    text.lines().filter(|line| speaks(line) && !later.iter().any(|word| line.contains(word))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_that_reads_a_path_is_known_by_where_it_lies() {
        let known = |path: &str| known(path).map(|argv| argv.join(" "));
        assert_eq!(known("/etc/ssh/sshd_config.d/10-x.conf").as_deref(), Some("sshd -t"));
        assert_eq!(known("/etc/ssh/sshd_config").as_deref(), Some("sshd -t"));
        assert_eq!(known("/etc/ssh/sshd_config.bak"), None);
        assert_eq!(known("/etc/sudoers.d/"), None);
        assert_eq!(known("/etc/php/8.4/fpm/pool.d/www.conf").as_deref(), Some("php-fpm8.4 -t"));
        assert_eq!(known("/etc/php/8.4/cli/php.ini"), None);
        assert_eq!(known("/srv/etc/nginx/x"), None);
    }

    #[test]
    fn a_unit_is_known_by_its_file_and_by_its_drop_ins() {
        assert_eq!(unit("/etc/systemd/system/web.service"), Some("web.service"));
        assert_eq!(unit("/etc/systemd/system/web@.service.d/limits.conf"), Some("web@.service"));
        for none in [
            "web.service.d/notes.txt",
            "multi-user.target.wants/web.service",
            "service.d/x.conf",
            "a-.service.d/x.conf",
            "x",
        ] {
            assert_eq!(unit(&format!("{UNITS}{none}")), None, "{none}");
        }
    }

    #[test]
    fn of_what_systemd_says_only_faults_of_the_files_count() {
        let text = "/etc/systemd/system/a.service:3: Failed to parse service restart specifier, ignoring: sometimes\n\
            a.service: Command /opt/none is not executable: No such file or directory\n\
            a.service: Failed to create a.service/start: Unit b.service not found.\n\
            b.service: Service has no ExecStart=, ExecStop=, or SuccessAction=. Refusing.\n\
            Unit a.service has a bad unit file setting.\n";
        let faults = faults(text, &["/etc/systemd/system/a.service"], &["a.service"]);
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert!(faults[0].contains("sometimes") && faults[1].starts_with("Unit a.service"));
    }
}
