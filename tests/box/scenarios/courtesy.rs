//! A rollback takes back what is ours, and leaves what others made of it: their edits are kept, their packages stay.

use super::Scenario;
use super::program::{installed, must_be_settled, program, start};

pub const SCENARIOS: &[Scenario] =
    &[Scenario { name: "a rollback keeps an administrator's edits and packages, and says so", run: courtesy }];

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
