"""The work of profile beginner as a pyinfra deploy: pyinfra --yes @local deploy.py"""

from pathlib import Path

from pyinfra import host
from pyinfra.facts.server import Command
from pyinfra.operations import apt, files, server, systemd

WORK = Path("/opt/work")


def template(path):
    return files.template(
        name=f"Write {path}", src=str(WORK / "files" / Path(path).name), dest=path, mode="644", user="root", group="root"
    )


apt.packages(
    name="Install the packages",
    packages=(WORK / "packages").read_text().split(),
    no_recommends=True,
    extra_install_args="-o Dpkg::Options::=--force-confold",
)

template("/etc/apt/apt.conf.d/21auto-upgrades-vps-configurator")
template("/etc/apt/apt.conf.d/52unattended-upgrades-vps-configurator")
template("/etc/gitconfig")
sshd = template("/etc/ssh/sshd_config.d/00-vps-configurator.conf")
fail2ban = template("/etc/fail2ban/jail.d/zz-vps-configurator.conf")
daemon = template("/etc/docker/daemon.json")

for line in (WORK / "files/60-vps-configurator-system.conf").read_text().splitlines():
    if line and not line.startswith("#"):
        key, value = (part.strip() for part in line.split("=", 1))
        numbers = [int(number) for number in value.split()]
        server.sysctl(
            name=f"Set {key}",
            key=key,
            value=numbers if len(numbers) > 1 else numbers[0],
            persist=True,
            persist_file="/etc/sysctl.d/60-vps-configurator-system.conf",
        )

server.locale(name="Make the language", locale="en_US.UTF-8")
files.line(name="Make it the default", path="/etc/default/locale", line="LANG=.*", replace="LANG=en_US.UTF-8")
files.link(name="Set the time zone", path="/etc/localtime", target="/usr/share/zoneinfo/UTC")

# pyinfra has no operation for ufw.
status = host.get_fact(Command, "ufw status verbose 2>/dev/null || true") or ""
if "22/tcp                     LIMIT IN" not in status:
    server.shell(name="Limit SSH", commands=["ufw limit 22/tcp comment SSH"])
if "Default: deny (incoming), allow (outgoing)" not in status:
    server.shell(
        name="Default policies",
        commands=["ufw default deny incoming", "ufw default allow outgoing", "ufw default deny routed"],
    )
if "Status: active" not in status:
    server.shell(name="Switch the firewall on", commands=["ufw --force enable"])

for unit in ("ssh", "fail2ban", "unattended-upgrades", "containerd", "docker"):
    systemd.service(name=f"Enable and start {unit}", service=f"{unit}.service", running=True, enabled=True)
systemd.service(name="Reload ssh", service="ssh.service", reloaded=True, _if=sshd.did_change)
systemd.service(name="Restart fail2ban", service="fail2ban.service", restarted=True, _if=fail2ban.did_change)
systemd.service(name="Restart docker", service="docker.service", restarted=True, _if=daemon.did_change)
