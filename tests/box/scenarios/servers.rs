//! The modules that run servers: databases, Caddy, WireGuard, monitoring; and the people who may use them.

use super::Scenario;
use super::modules::{profile_on, there_and_back_on};
use super::program::{installed, program, start, take_all_back};
use crate::harness::Machine;

/// Two boxes, a hundred megabytes, three minutes.
pub const LONG: &[Scenario] = &[
    Scenario {
        name: "databases, caddy, wireguard, monitoring and users serve for real, and all of them go without a trace",
        run: servers,
    },
    Scenario {
        name: "a rollback spares databases with data in them, and a new installation takes them up again",
        run: spared,
    },
];

pub const SCENARIOS: &[Scenario] =
    &[Scenario { name: "a web server that is there is seen before anything is touched", run: taken }];

const ADA: &str = "{name: ada, full_name: Ada, groups: [crew], sudo: full, password: false}";

fn servers() {
    let machine = installed("servers");
    let client = Machine::boot("client");
    machine.ok("mkdir -p /srv/www && echo hello from caddy > /srv/www/index.html");
    let profile = format!(
        "title: Servers\nsummary: Everything that listens\nmodules:\n  system: {{enabled: true, build_tools: false}}\n  \
         security: {{enabled: true}}\n  \
         rbac: {{enabled: true, groups: [crew], users: [{ADA}, {{name: bob, sudo: commands, commands: [/usr/bin/journalctl]}}]}}\n  \
         databases: {{enabled: true, servers: [mariadb, postgresql, valkey], users: [ada]}}\n  \
         monitoring: {{enabled: true}}\n  \
         caddy:\n    enabled: true\n    sites:\n      - {{address: localhost, root: /srv/www, tls: internal}}\n      \
         - {{address: figures.test, proxy: \"localhost:9100\", tls: \"off\"}}\n  \
         wireguard:\n    enabled: true\n    endpoint: {}\n    peers: [{{name: phone, address: 10.8.0.2}}]\n",
        machine.address()
    );
    there_and_back_on(&machine, "servers", &profile, || {
        people(&machine);
        databases(&machine);
        web(&machine);
        tunnel(&machine, &client);
        // A login's manager outlives it by some seconds, and nobody who runs something is removed.
        machine.ok("loginctl terminate-user ada; for i in $(seq 100); do pgrep -u ada >/dev/null || exit 0; sleep 0.1; done; exit 1");
    });
}

fn people(machine: &Machine) {
    assert!(machine.ok("id ada").contains("(crew)"));
    assert_eq!(machine.ok("runuser -u ada -- sudo -n id -un").trim(), "root");
    assert!(machine.ok("sudo -l -U bob").contains("/usr/bin/journalctl"));
    assert_ne!(machine.sh("runuser -u bob -- sudo -n id").code, 0);
}

fn databases(machine: &Machine) {
    let said = machine.ok(
        "cd /; runuser -u ada -- createdb shop && runuser -u ada -- psql -qAt shop -c 'create table t as select 42 as a' -c 'table t' \
         && runuser -u ada -- dropdb shop",
    );
    assert_eq!(said.trim(), "42");
    let said = machine.ok(
        "runuser -u ada -- mariadb -NBe 'create database ada_x; create table ada_x.t select 43; select * from ada_x.t; drop database ada_x'",
    );
    assert_eq!(said.trim(), "43");
    assert_ne!(machine.sh("runuser -u ada -- mariadb -e 'create database other'").code, 0);
    assert_eq!(machine.ok("valkey-cli set a 44 && valkey-cli get a && valkey-cli del a"), "OK\n44\n1\n");
    // Nobody outside reaches them, whatever the firewall says.
    let open = machine.ok("ss -Hltn | awk '{print $4}'");
    for port in [5432, 3306, 6379, 9100] {
        let all = open.lines().filter(|line| line.ends_with(&format!(":{port}")));
        assert!(all.clone().count() > 0, "{port} in {open}");
        assert!(all.into_iter().all(|line| line.starts_with("127.0.0.1:") || line.starts_with("[::1]:")), "{open}");
    }
}

fn web(machine: &Machine) {
    let root = "/var/lib/caddy/.local/share/caddy/pki/authorities/local/root.crt";
    assert_eq!(machine.ok(&format!("curl -sS --cacert {root} https://localhost/")).trim(), "hello from caddy");
    assert!(machine.ok("curl -sS -H 'Host: figures.test' http://localhost/metrics").contains("node_load1 "));
    // What Debian serves without us is still served.
    assert_eq!(
        machine.ok("curl -sS -o /dev/null -w '%{http_code}' -H 'Host: other.test' http://127.0.0.1/").trim(),
        "200"
    );
    let outside = (machine.address(), 443).into();
    assert!(std::net::TcpStream::connect_timeout(&outside, std::time::Duration::from_secs(2)).is_ok(), "the firewall");
}

/// The kernel of a test machine may have no WireGuard: then both ends run it as a program.
fn tunnel(machine: &Machine, client: &Machine) {
    client.ok("apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qqy --no-install-recommends wireguard-tools wireguard-go");
    // This side of the server's cable: reached through the tunnel, it answers to the server's own address.
    let beyond = machine.gateway();
    let conf = machine.read("/etc/wireguard/clients/phone.conf");
    assert!(conf.contains("AllowedIPs = 0.0.0.0/0, ::/0"), "{conf}");
    let conf = conf.replace("AllowedIPs = 0.0.0.0/0, ::/0", &format!("AllowedIPs = 10.8.0.0/24, {beyond}/32"));
    client.put_bytes(conf, "/etc/wireguard/wg0.conf", 0o600);
    client.ok("wg-quick up wg0");
    client.ok("ping -c 3 -W 5 10.8.0.1");
    client.ok(&format!("ping -c 3 -W 5 -I wg0 {beyond}"));
    assert!(machine.ok("wg show wg0 latest-handshakes").split_whitespace().nth(1).is_some_and(|time| time != "0"));
    let key = machine.ok("cat /etc/wireguard/wg0.key");
    machine.ok("ufw reload && systemctl restart wg-quick@wg0");
    // A client whose words stay unanswered begins anew after 15 seconds.
    client.ok("for i in $(seq 60); do ping -c 1 -W 1 10.8.0.1 && exit 0; done; exit 1");
    assert_eq!(machine.ok("cat /etc/wireguard/wg0.key"), key, "a key is made once");
    assert_eq!(machine.ok("stat -c %a /etc/wireguard/wg0.key /etc/wireguard/clients/phone.conf"), "600\n600\n");
    assert!(machine.ok("qrencode -t ansiutf8 -r /etc/wireguard/clients/phone.conf").lines().count() > 20);
    let journal = "grep -rqF -f /etc/wireguard/wg0.key /var/lib/vps-configurator /var/log/vps-configurator";
    assert_eq!(machine.sh(journal).code, 1, "the key is in no journal and no report");
}

fn spared() {
    let machine = installed("spared");
    machine.ok("useradd --create-home ada");
    let profile = "title: Databases\nsummary: All of them\nmodules:\n  system: {enabled: true, build_tools: false}\n  \
                   databases: {enabled: true, servers: [mariadb, postgresql, valkey], users: [ada]}\n";
    profile_on(&machine, "databases", profile);
    start(&machine, "databases");
    machine.ok(
        "cd /; runuser -u ada -- createdb shop && runuser -u ada -- psql -q shop -c 'create table t as select 42 as a'\n\
         runuser -u ada -- mariadb -e 'create database ada_x; create table ada_x.t select 43'\nvalkey-cli set a 44",
    );
    let output = program(&machine, "rollback --to 0 --yes");
    assert_eq!(output.code, 0, "{output:?}");
    for place in ["/var/lib/postgresql/17", "/var/lib/mysql", "/var/lib/valkey"] {
        assert!(output.stdout.contains(&format!("{place} stays")), "{place}: {output:?}");
    }
    start(&machine, "databases");
    let said = machine.ok(
        "cd /; runuser -u ada -- psql -qAt shop -c 'table t'; runuser -u ada -- mariadb -NBe 'select * from ada_x.t'; valkey-cli get a",
    );
    assert_eq!(said, "42\n43\n44\n");
}

fn taken() {
    let machine = installed("taken");
    machine.ok("apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qqy --no-install-recommends nginx-light || \
                apt-get install -qqy --no-install-recommends nginx; systemctl is-active nginx");
    let profile = "title: Caddy\nsummary: A web server\nmodules:\n  caddy: {enabled: true}\n";
    profile_on(&machine, "web", profile);
    let before = machine.snapshot();
    let output = program(&machine, "plan --profile web");
    assert_eq!(output.code, 1, "{output:?}");
    let said = format!("{}{}", output.stdout, output.stderr);
    assert!(said.contains("port-taken") && said.contains("nginx") && said.contains("80/tcp"), "{said}");
    machine.must_be_as_before(&before);
    take_all_back(&machine, &before);
}
