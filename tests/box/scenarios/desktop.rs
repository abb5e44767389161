//! The desktop, as people reach it: an RDP client in another box, through SSH, logs in and sees Xfce.

use super::Scenario;
use super::modules::there_and_back_on;
use super::program::installed;
use crate::harness::Machine;
use std::time::{Duration, Instant};

/// Two boxes, three hundred megabytes, eight minutes.
pub const LONG: &[Scenario] =
    &[Scenario { name: "two people log in to the same Xfce desktop over RDP, and root does not", run: desktop }];

const PROFILE: &str = "\
title: Desktop
summary: A desktop and what it needs
modules:
  system: {enabled: true, build_tools: false}
  security: {enabled: true, ufw: {ssh_rate_limit: false}}
  desktop: {enabled: true, browser: false, theme: Arc-Dark}
";

/// Longer than a session takes to start on a busy machine.
const LIMIT: Duration = Duration::from_secs(120);

fn desktop() {
    let machine = installed("desktop");
    let client = client();
    let key = client.read("/root/.ssh/id_ed25519.pub");
    for name in ["anna", "bert"] {
        machine.ok(&format!(
            "useradd -m -s /bin/bash {name}; install -d -o {name} -g {name} -m 700 /home/{name}/.ssh; \
             printf '%s' '{key}' >/home/{name}/.ssh/authorized_keys"
        ));
    }
    machine.ok("printf 'anna:secret77\\nbert:secret77\\nroot:secret77\\n' | chpasswd");
    there_and_back_on(&machine, "desktop", PROFILE, || {
        let address = machine.address();
        let direct = format!("timeout 5 bash -c '</dev/tcp/{address}/3389'");
        assert_ne!(client.sh(&direct).code, 0, "nobody outside reaches it");
        client.ok(&format!(
            "ssh -f -N -o StrictHostKeyChecking=accept-new -o ExitOnForwardFailure=yes -L 3389:127.0.0.1:3389 anna@{address} \
             </dev/null >/dev/null 2>&1"
        ));
        for (screen, name) in [(1, "anna"), (2, "bert")] {
            log_in(&client, screen, name);
            must_have_a_session(&machine, name);
        }
        must_show_a_desktop(&client, 1);
        log_in(&client, 3, "root");
        machine.ok(
            "for i in $(seq 300); do grep -q 'ROOT login attempted, but root login is disabled' /var/log/xrdp-sesman.log && exit 0; sleep 0.1; done; exit 1",
        );
        assert_ne!(machine.sh("pgrep -u root -x xfce4-session").code, 0, "root has no desktop");
        leave(&machine, &client);
    });
}

/// A box with an RDP client, a screen for it and a key.
fn client() -> Machine {
    let client = Machine::boot("client");
    client.ok("apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qqy --no-install-recommends \
         freerdp3-x11 xvfb x11-apps imagemagick openssh-client >/dev/null 2>&1");
    client.ok("mkdir -p -m 700 /root/.ssh && ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519");
    client
}

/// Starts an RDP client on a screen of its own.
fn log_in(client: &Machine, screen: u32, name: &str) {
    client.ok(&format!(
        "systemd-run -q --unit=screen{screen} Xvfb :{screen} -screen 0 1280x800x24; \
         for i in $(seq 100); do test -S /tmp/.X11-unix/X{screen} && break; sleep 0.1; done; \
         systemd-run -q --unit=rdp{screen} --setenv=DISPLAY=:{screen} --setenv=HOME=/root \
         xfreerdp3 /v:127.0.0.1 /u:{name} /p:secret77 /cert:ignore /w:1280 /h:800"
    ));
}

/// Waits until the user has a desktop with what the profile says of it.
#[track_caller]
fn must_have_a_session(machine: &Machine, name: &str) {
    let ask = |channel: &str, property: &str| {
        let uid = machine.ok(&format!("id -u {name}"));
        let uid = uid.trim();
        machine.sh(&format!(
            "pgrep -u {name} -x xfwm4 >/dev/null && pgrep -u {name} -x xfdesktop >/dev/null && pgrep -u {name} -x xfce4-panel >/dev/null && \
             runuser -u {name} -- env DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/{uid}/bus xfconf-query -c {channel} -p {property}"
        ))
    };
    let end = Instant::now() + LIMIT;
    loop {
        let theme = ask("xsettings", "/Net/ThemeName");
        if theme.code == 0 {
            assert_eq!(theme.stdout.trim(), "Arc-Dark", "{name}");
            break;
        }
        let log = "tail -n 20 /var/log/xrdp-sesman.log /var/log/xrdp.log";
        assert!(Instant::now() < end, "{name} has no desktop: {}\n{}", theme.stderr, machine.ok(log));
        std::thread::sleep(Duration::from_millis(500));
    }
    assert_eq!(ask("xfwm4", "/general/use_compositing").stdout.trim(), "false", "{name}");
    assert_eq!(ask("xsettings", "/Gtk/MonospaceFontName").stdout.trim(), "JetBrains Mono 10", "{name}");
}

/// The picture on the client's screen: `target/tmp/desktop.png`. A panel at the top, and not one colour all over.
#[track_caller]
fn must_show_a_desktop(client: &Machine, screen: u32) {
    let end = Instant::now() + LIMIT;
    loop {
        client.ok(&format!("xwd -silent -root -display :{screen} | convert xwd:- /run/desktop.png"));
        let colours: usize = client.ok("identify -format %k /run/desktop.png").trim().parse().expect("a number");
        let panel = client.ok("convert /run/desktop.png -crop 1280x26+0+0 +repage -format %k info:");
        if colours > 500 && panel.trim().parse::<usize>().is_ok_and(|colours| colours > 20) {
            break;
        }
        assert!(Instant::now() < end, "{colours} colours on the screen, {panel} in the panel");
        std::thread::sleep(Duration::from_millis(500));
    }
    client.get("/run/desktop.png", concat!(env!("CARGO_TARGET_TMPDIR"), "/desktop.png"));
}

/// Ends the sessions, and takes away what they put into the homes.
fn leave(machine: &Machine, client: &Machine) {
    client.ok("systemctl stop 'rdp*'; pkill -x ssh; true");
    for name in ["anna", "bert"] {
        machine.ok(&format!(
            "loginctl terminate-user {name}; pkill -u {name}; for i in $(seq 300); do pgrep -u {name} >/dev/null || break; sleep 0.1; done; \
             umount /home/{name}/thinclient_drives 2>/dev/null; cd /home/{name} && \
             find . -mindepth 1 -maxdepth 1 ! -name .ssh ! -name .profile ! -name '.bash*' -exec rm -rf {{}} + ; \
             ! pgrep -u {name}"
        ));
    }
}
