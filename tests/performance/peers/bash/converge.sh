#!/bin/bash
# The work of profile beginner as a careful administrator's script: looks before it changes, restarts what changed.
set -euo pipefail
work=/opt/work
export DEBIAN_FRONTEND=noninteractive

# Packages: those of the list that aren't there in that version.
mapfile -t wanted <"$work/packages"
mapfile -t missing < <(comm -23 <(sort "$work/packages") \
    <(dpkg-query -W -f '${db:Status-Abbrev} ${Package}=${Version}\n' | sed -n 's/^ii  //p' | sort))
if [ ${#missing[@]} -gt 0 ]; then
    apt-get -qq -y --no-install-recommends -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold \
        install "${wanted[@]}" </dev/null
fi

# Files: put FILE UNIT ACTION.
put() {
    cmp -s "$work/files/${1##*/}" "$1" && return
    install -D -m 0644 "$work/files/${1##*/}" "$1"
    [ $# -lt 3 ] || systemctl "$3" "$2"
}
put /etc/apt/apt.conf.d/21auto-upgrades-vps-configurator
put /etc/apt/apt.conf.d/52unattended-upgrades-vps-configurator
put /etc/gitconfig
put /etc/docker/daemon.json docker restart
put /etc/fail2ban/jail.d/zz-vps-configurator.conf fail2ban restart
put /etc/ssh/sshd_config.d/00-vps-configurator.conf ssh reload

# Kernel values, each as the kernel has it now.
put /etc/sysctl.d/60-vps-configurator-system.conf
while IFS='= ' read -r name value; do
    case $name in '#'* | '') continue ;; esac
    [ "$(sysctl -n "$name" | tr '\t' ' ')" = "$value" ] || sysctl -qw "$name=$value"
done </etc/sysctl.d/60-vps-configurator-system.conf

# Language and time zone.
locale -a | grep -qx en_US.utf8 || { echo 'en_US.UTF-8 UTF-8' >>/etc/locale.gen; locale-gen >/dev/null; }
grep -qx LANG=en_US.UTF-8 /etc/default/locale 2>/dev/null || update-locale LANG=en_US.UTF-8
[ "$(readlink /etc/localtime)" = /usr/share/zoneinfo/UTC ] || ln -sf /usr/share/zoneinfo/UTC /etc/localtime

# Firewall.
status=$(ufw status verbose)
grep -q '^22/tcp *LIMIT IN' <<<"$status" || ufw limit 22/tcp comment SSH >/dev/null
grep -q '^Default: deny (incoming), allow (outgoing)' <<<"$status" ||
    { ufw default deny incoming; ufw default allow outgoing; ufw default deny routed; } >/dev/null
grep -q '^Status: active' <<<"$status" || ufw --force enable >/dev/null

# Services.
for unit in ssh fail2ban unattended-upgrades containerd docker; do
    systemctl -q is-enabled "$unit" && systemctl -q is-active "$unit" || systemctl -q enable --now "$unit"
done
