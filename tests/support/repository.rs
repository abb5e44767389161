//! The archive of packages that the simulated apt installs from: folders below `/var/lib/fake-repo`.

use super::top;
use super::tree::Tree;
use std::collections::BTreeSet;
use std::fs;

impl Tree {
    /// Adds a package; `rest` are more lines of its control file.
    pub fn package(&self, name: &str, rest: &str) {
        let text = format!("Package: {name}\nVersion: 1.0\nArchitecture: amd64\nSize: 1000\nInstalled-Size: 4\n{rest}");
        self.put(&format!("/var/lib/fake-repo/{name}/control"), text);
    }

    /// Adds a file to a package.
    pub fn packed(&self, name: &str, path: &str, content: &str) {
        self.put(&format!("/var/lib/fake-repo/{name}/files{path}"), content);
        if path.contains("bin/") {
            self.set_mode(&format!("/var/lib/fake-repo/{name}/files{path}"), 0o755);
        }
    }

    /// Adds a unit to a package, which its postinst enables and, unless that is refused, starts.
    pub fn packed_unit(&self, name: &str, unit: &str, more: &str) {
        let text = format!("[Service]\n{more}[Install]\nWantedBy=multi-user.target\n");
        self.packed(name, &format!("/usr/lib/systemd/system/{unit}"), &text);
        let script = format!("/var/lib/fake-repo/{name}/postinst");
        let mut text = fs::read_to_string(self.at(&script)).unwrap_or_else(|_| "#!/bin/sh\n".to_owned());
        text.push_str(&format!(
            "systemctl enable {unit}\nif [ -x $VPS_ROOT/usr/sbin/policy-rc.d ]; then echo '{unit} start' >> $VPS_ROOT/run/vps-configurator/held-units\nelse systemctl start {unit}; fi\n"
        ));
        self.program(&script, &text);
        let gone = format!("/var/lib/fake-repo/{name}/prerm");
        self.program(&gone, &format!("#!/bin/sh\nsystemctl stop {unit}\nsystemctl disable {unit}\nexit 0\n"));
    }
}

/// The packages of `tests/support/share`.
pub fn small(tree: &Tree) {
    tree.package("web", "Depends: libweb (= 1.0)\n");
    tree.packed("web", "/usr/bin/web", "#!/bin/sh\n");
    tree.packed("web", "/etc/web/web.conf", "default\n");
    tree.packed("web", "/etc/web/conf.d/README", "drop-ins\n");
    tree.program(
        "/var/lib/fake-repo/web/postinst",
        "#!/bin/sh\ngrep -q '^web:' $VPS_ROOT/etc/passwd || echo 'web:x:990:990::/:/usr/sbin/nologin' >> $VPS_ROOT/etc/passwd\n",
    );
    tree.packed_unit("web", "web.service", "");
    tree.package("libweb", "");
    tree.packed("libweb", "/usr/lib/libweb.so.1", "ELF");
    tree.package("tool", "");
    tree.packed("tool", "/usr/bin/tool", "#!/bin/sh\necho tool 1.0\n");
}

/// The packages that the shipped modules want: every name in their manifests, and what these need to be driven.
pub fn shipped(tree: &Tree) {
    // Beside what the manifests name: the defaults of their lists.
    let by_default = ["black", "ipython3", "mypy", "pylint", "python3-pytest"].map(str::to_owned);
    for name in names().into_iter().chain(by_default) {
        tree.package(&name, "");
    }
    let says = |package: &str, program: &str, body: &str| {
        tree.packed(package, &format!("/usr/bin/{program}"), &format!("#!/bin/sh\n{body}\n"));
    };
    says(
        "docker-cli",
        "docker",
        "case $1 in info) echo '28.0 json-file' ;; compose) echo Docker Compose ;; buildx) echo buildx ;; esac",
    );
    says("gh", "gh", "echo gh version 2");
    says("git", "git", GIT);
    tree.packed("ca-certificates", "/etc/ssl/certs/ca-certificates.crt", "-----BEGIN CERTIFICATE-----\n");
    tree.packed("docker.io", "/etc/docker/key", "");
    tree.packed("openssh-server", "/etc/ssh/sshd_config", "Include /etc/ssh/sshd_config.d/*.conf\n");
    tree.packed("openssh-server", "/etc/ssh/sshd_config.d/.keep", "");
    tree.packed("fail2ban", "/etc/fail2ban/jail.d/defaults-debian.conf", "[sshd]\nenabled = true\n");
    tree.put("/etc/apt/apt.conf.d/01autoremove", "APT::NeverAutoRemove \"x\";\n");
    for (package, unit) in [
        ("fail2ban", "fail2ban.service"),
        ("unattended-upgrades", "unattended-upgrades.service"),
        ("containerd", "containerd.service"),
        ("docker.io", "docker.service"),
    ] {
        tree.packed_unit(package, unit, "");
    }
    tree.packed_unit("openssh-server", "ssh.service", "LISTENS=22\n");
}

/// git(1), small: `config` of one file, one `key = value` a line below its section.
const GIT: &str = "case \"$1 $2\" in\n  'config --file') cat \"$VPS_ROOT$3\" ;;\n  'config --system')\n    awk -v want=\"$4\" '/^\\[/ { s = $0; gsub(/[][\"]/, \"\", s); gsub(/ /, \".\", s) } /=/ { k = $1; sub(/^[^=]*= */, \"\"); if (s \".\" k == want) print }' \"$VPS_ROOT/etc/gitconfig\" ;;\n  lfs*) echo git-lfs/3 ;;\nesac";

/// Every package named in a shipped manifest.
fn names() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(top().join("config/modules")).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path().join("module.yaml")).unwrap();
        for line in text.lines() {
            let Some(list) = line.trim_start().strip_prefix("- package: ") else { continue };
            let list = list.trim_matches(|c| c == '[' || c == ']' || c == '"');
            names.extend(list.split(", ").filter(|name| !name.contains('{')).map(str::to_owned));
        }
    }
    names
}
