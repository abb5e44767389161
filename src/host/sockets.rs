//! What listens on this host, and which programs do: the kernel's tables (proc_pid_net(5)) and the descriptors of
//! processes.

use super::{Host, Kind, Result, read_text};
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;

/// So much is read at once of a table in which something is looked for: the kernel makes no line beyond it.
const SHORT: usize = 256;
/// And so much where all is wanted.
const LONG: usize = 16 << 10;

/// Something that listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// `tcp` or `udp`.
    pub protocol: &'static str,
    /// The address that it is bound to: `0.0.0.0` and `::` are all.
    pub address: String,
    /// The port.
    pub port: u16,
    /// The kernel's number of the socket.
    inode: String,
}

/// Everything that listens for TCP or is bound for UDP. A table that can't be read holds nothing: a kernel without IPv6
/// has none for it.
pub fn listening(host: &dyn Host) -> Vec<Listener> {
    let mut all = Vec::new();
    for protocol in ["tcp", "udp"] {
        each(host, protocol, LONG, &mut |one| {
            all.push(one);
            ControlFlow::Continue(())
        });
    }
    all
}

/// Whether one that listens by this protocol is `it`. To come to the end of a table costs a walk over all connections that
/// the kernel has room for; what listens for TCP stands at its head.
pub fn is_there(host: &dyn Host, protocol: &str, it: impl Fn(&Listener) -> bool) -> bool {
    let find = |part: usize| {
        let mut is_found = false;
        each(host, protocol, part, &mut |one| {
            is_found = it(&one);
            if is_found { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        is_found
    };
    // Between two parts the kernel may lose its place, when others go away.
    (protocol == "tcp" && find(SHORT)) || find(LONG)
}

fn each(host: &dyn Host, protocol: &str, part: usize, see: &mut dyn FnMut(Listener) -> ControlFlow<()>) {
    let tables: &[(&str, &str)] = match protocol {
        "tcp" => &[("/proc/net/tcp", "tcp"), ("/proc/net/tcp6", "tcp")],
        "udp" => &[("/proc/net/udp", "udp"), ("/proc/net/udp6", "udp")],
        _ => &[],
    };
    for (table, protocol) in tables {
        let (mut left, mut is_enough) = (Vec::new(), false);
        // One that can't be read holds nothing.
        let _ = host.read_parts(Path::new(table), part, &mut |part| {
            left.extend_from_slice(part);
            let lines = left.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            let whole: Vec<u8> = left.drain(..lines).collect();
            let seen = bound(&String::from_utf8_lossy(&whole), protocol).into_iter().try_for_each(&mut *see);
            is_enough = seen.is_break();
            seen
        });
        // The last line may have no end.
        let is_enough = is_enough
            || bound(&String::from_utf8_lossy(&left), protocol).into_iter().try_for_each(&mut *see).is_break();
        if is_enough {
            return;
        }
    }
}

/// Whether something listens on `port`, written `80` or `80/tcp`, at whatever address.
pub fn answers(listening: &[Listener], port: &str) -> bool {
    let (port, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
    listening.iter().any(|one| one.protocol == protocol && port.parse() == Ok(one.port))
}

/// Who holds a socket that no process is seen to have: one of the kernel's own, as WireGuard's, or one of a process that
/// can't be seen.
pub const UNSEEN: &str = "?";

/// The programs (their names in `/proc/<pid>/comm`) that listen on `port`; `tcp` or `udp`; or [`UNSEEN`].
///
/// # Errors
/// When the processes can't be listed.
pub fn holders(host: &dyn Host, port: u16, protocol: &str) -> Result<Vec<String>> {
    let mut there = listening(host);
    there.retain(|one| one.port == port && one.protocol == protocol);
    if there.is_empty() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for pid in host.list(Path::new("/proc"))? {
        let pid = pid.to_string_lossy();
        // A process may end while it is looked at.
        let held = if pid.bytes().all(|b| b.is_ascii_digit()) { sockets_of(host, &pid) } else { continue };
        if held.is_ok_and(|held| there.iter().any(|one| held.contains(&one.inode))) {
            let comm = Path::new("/proc").join(&*pid).join("comm");
            found.push(read_text(host, comm).unwrap_or_default().trim().to_owned());
        }
    }
    found.sort();
    found.dedup();
    Ok(if found.is_empty() { vec![UNSEEN.to_owned()] } else { found })
}

/// Whether the process `pid` listens for TCP. One that can't be looked at may.
///
/// The dear tables of TCP are read only where the process has a socket that is not in the short ones.
pub fn is_listener(host: &dyn Host, pid: u32) -> bool {
    let Ok(mut held) = sockets_of(host, &pid.to_string()) else { return true };
    for (table, column) in [("/proc/net/unix", 6), ("/proc/net/netlink", 9)] {
        let text = read_text(host, table).unwrap_or_default();
        for inode in text.lines().filter_map(|line| line.split_whitespace().nth(column)) {
            held.remove(inode);
        }
    }
    !held.is_empty() && is_there(host, "tcp", |one| held.contains(&one.inode))
}

/// The kernel's numbers of the sockets that a process has.
fn sockets_of(host: &dyn Host, pid: &str) -> Result<BTreeSet<String>> {
    let descriptors = Path::new("/proc").join(pid).join("fd");
    let mut all = BTreeSet::new();
    for (_, kind) in host.entries(&descriptors)? {
        let Kind::Link(target) = kind else { continue };
        let target = target.to_string_lossy();
        all.extend(target.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']')).map(str::to_owned));
    }
    Ok(all)
}

/// What is bound, from a table of `/proc/net` (proc_pid_net(5)): of TCP what listens (state 0A).
fn bound(table: &str, protocol: &'static str) -> Vec<Listener> {
    let one = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (local, state) = (fields.get(1)?, fields.get(3)?);
        let inode = fields.get(9).copied().unwrap_or_default();
        let (address, port) = local.split_once(':')?;
        let (address, port) = (readable(address)?, u16::from_str_radix(port, 16).ok()?);
        let listens = protocol != "tcp" || *state == "0A";
        listens.then(|| Listener { protocol, address, port, inode: inode.to_owned() })
    };
    // The head of a table is none.
    table.lines().filter_map(one).collect()
}

/// An address of `/proc/net`: 32-bit words in the machine's own order (little-endian on all that we ship for).
fn readable(hex: &str) -> Option<String> {
    let mut bytes = Vec::new();
    for at in (0..hex.len()).step_by(8) {
        bytes.extend(u32::from_str_radix(hex.get(at..at + 8)?, 16).ok()?.to_le_bytes());
    }
    if let Ok(four) = <[u8; 4]>::try_from(bytes.as_slice()) {
        return Some(std::net::Ipv4Addr::from(four).to_string());
    }
    <[u8; 16]>::try_from(bytes.as_slice()).ok().map(|all| std::net::Ipv6Addr::from(all).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(table: &str, protocol: &'static str) -> Vec<String> {
        let word = |one: Listener| format!("{} {} {} {}", one.protocol, one.address, one.port, one.inode);
        bound(table, protocol).into_iter().map(word).collect()
    }

    #[test]
    fn a_listening_socket_is_read_from_the_kernels_table_and_a_connection_is_none() {
        let tcp = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
             0: 0100007F:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 x\n   \
             1: 0100007F:1538 0100007F:D2F0 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 x\n";
        assert_eq!(seen(tcp, "tcp"), ["tcp 127.0.0.1 22 4711"]);
        assert_eq!(seen(tcp, "udp"), ["udp 127.0.0.1 22 4711", "udp 127.0.0.1 5432 4712"]);
        let six = "  sl\n 0: 00000000000000000000000000000000:0050 0:0 0A a b c d e 7\n \
                   1: 00000000000000000000000001000000:0051 0:0 0A\n 2: cut off\n";
        assert_eq!(seen(six, "tcp"), ["tcp :: 80 7", "tcp ::1 81 "]);
    }

    #[test]
    fn of_a_long_table_each_line_is_seen_once_and_none_when_there_is_enough() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("proc/net")).unwrap();
        let line = |n: u16| format!("  {n}: 0100007F:{n:04X} 00000000:0000 0A 0 0 0 0 0 {n}{}\n", " ".repeat(77));
        let table: String = (1..=40).map(line).collect();
        std::fs::write(dir.path().join("proc/net/tcp"), format!("  sl  local_address\n{table}")).unwrap();
        std::fs::write(dir.path().join("proc/net/tcp6"), line(41).trim_end()).unwrap();
        let host = super::super::real::RealHost::new(dir.path().into());
        for enough in [1, 7, 41, 50] {
            let mut seen = Vec::new();
            each(&host, "tcp", SHORT, &mut |one| {
                seen.push(one.port);
                if one.port == enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            assert_eq!(seen, (1..=enough.min(41)).collect::<Vec<_>>());
        }
        assert_eq!(listening(&host).len(), 41);
        let is_open = |port| is_there(&host, "tcp", |one| one.port == port);
        assert!(is_open(1) && is_open(41) && !is_open(50) && !is_there(&host, "udp", |_| true));
    }

    #[test]
    fn a_port_answers_when_something_listens_there_by_its_protocol() {
        let all = [Listener { protocol: "udp", address: "::".into(), port: 53, inode: "1".into() }];
        assert!(answers(&all, "53/udp") && !answers(&all, "53") && !answers(&all, "53/tcp") && !answers(&all, "none"));
    }

    #[test]
    fn this_machine_names_the_program_that_listens() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let host = super::super::real::RealHost::new("/".into());
        let own = std::fs::read_to_string("/proc/self/comm").unwrap();
        assert_eq!(holders(&host, port, "tcp").unwrap(), [own.trim()]);
    }
}
