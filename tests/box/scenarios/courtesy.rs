//! What others made or said stays: a rollback keeps their edits and packages, an installation their answers and hooks.

use super::Scenario;
use super::program::{installed, must_be_settled, program, start, take_all_back};

pub const SCENARIOS: &[Scenario] = &[
    Scenario { name: "a rollback keeps an administrator's edits and packages, and says so", run: courtesy },
    Scenario { name: "a package takes the answers given before, and apt's other hooks run", run: answers },
];

fn courtesy() {
    let machine = installed("courtesy");
    let before = machine.snapshot();
    start(&machine, "small");
    must_be_settled(&machine, "small");
    // An edit of a file that is ours, one of a package's, and a package that needs one of ours (git).
    machine.ok("echo '# mine' >> /etc/fail2ban/jail.d/zz-vps-configurator.conf && echo '[alias]\\n\\tst = status' >> /etc/gitconfig");
    machine.ok("DEBIAN_FRONTEND=noninteractive apt-get install -qqy --no-install-recommends etckeeper >/dev/null");
    let output = program(&machine, "rollback --yes");
    assert_eq!(output.code, 0, "{}\n{}", output.stdout, output.stderr);
    let said = format!("{}{}", output.stdout, output.stderr);
    assert!(said.contains("zz-vps-configurator.conf"), "the edited file is told:\n{said}");
    assert!(said.contains("git") && said.contains("etckeeper"), "the package that stays is told:\n{said}");
    machine.ok("grep -rq '# mine' /var/lib/vps-configurator/kept");
    assert_eq!(machine.ok("dpkg-query -Wf '${Status}' git etckeeper").matches("install ok installed").count(), 2);
    assert_eq!(machine.sh("dpkg -s ufw").code, 1);
    machine.ok("grep -q 'st = status' /etc/gitconfig && ! grep -q vps-configurator /etc/gitconfig");
    // Nothing of ours is left but what they keep: git with its perl, which apt counts as recommended.
    machine.ok("rm /etc/gitconfig && apt-get purge -qqy --autoremove etckeeper git perl 'perl-modules-*' 'libperl5*' 'libgdbm*' >/dev/null && rm -rf /etc/.git /etc/.etckeeper /etc/.gitignore /etc/etckeeper");
    let left: Vec<String> = machine
        .differences(&before)
        .into_iter()
        .filter(|line| !line.contains("git") && !line.contains("etckeeper"))
        .collect();
    assert!(left.is_empty(), "{}", left.join("\n"));
}

fn answers() {
    let machine = installed("answers");
    machine.put_bytes(
        "name: mail\nsummary: A package that asks\npriority: 50\nresources:\n  - package: dma\n",
        "/etc/vps-configurator/modules.d/mail/module.yaml",
        0o644,
    );
    let profile = "title: Mail\nsummary: A package that asks\nmodules: {mail: {}}\n";
    machine.put_bytes(profile, "/etc/vps-configurator/profiles.d/mail.yaml", 0o644);
    // Who comes after debconf in the list of hooks gets the names of the archives.
    let hook = "DPkg::Pre-Install-Pkgs { \"cat >> /run/hooked || true\"; };\n";
    machine.put_bytes(hook, "/etc/apt/apt.conf.d/99hook", 0o644);
    let before = machine.snapshot();
    machine.ok("echo 'dma dma/relayhost string relay.example' | debconf-set-selections");
    start(&machine, "mail");
    must_be_settled(&machine, "mail");
    assert_eq!(machine.ok("sed -n 's/^SMARTHOST //p' /etc/dma/dma.conf").trim(), "relay.example");
    assert!(machine.ok("cat /run/hooked").contains("/dma_"), "another's hook was left out");
    machine.ok("! grep -q '^Preconfiguring' /run/vps-configurator/apt.log && grep -q '^Setting up dma' /run/vps-configurator/apt.log");
    take_all_back(&machine, &before);
}
