//! What listens on this host, as the kernel's tables tell (proc_pid_net(5)).

use super::Host;
use std::path::Path;

/// Something that listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// `tcp` or `udp`.
    pub protocol: &'static str,
    /// The address that it is bound to: `0.0.0.0` and `::` are all.
    pub address: String,
    /// The port.
    pub port: u16,
}

/// Everything that listens for TCP or is bound for UDP. A table that can't be read holds nothing.
pub fn listening(host: &dyn Host) -> Vec<Listener> {
    let mut all = Vec::new();
    for protocol in ["tcp", "udp"] {
        for table in [format!("/proc/net/{protocol}"), format!("/proc/net/{protocol}6")] {
            if let Ok(bytes) = host.read(Path::new(&table)) {
                let found = bound(&String::from_utf8_lossy(&bytes), protocol);
                all.extend(found.into_iter().map(|(address, port)| Listener { protocol, address, port }));
            }
        }
    }
    all
}

/// Whether something listens on `port`, written `80` or `80/tcp`, at whatever address.
pub fn answers(listening: &[Listener], port: &str) -> bool {
    let (port, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
    listening.iter().any(|one| one.protocol == protocol && port.parse() == Ok(one.port))
}

/// The addresses and ports that are bound, from a table of `/proc/net` (proc_pid_net(5)): listening ones for TCP.
fn bound(table: &str, protocol: &str) -> Vec<(String, u16)> {
    let mut all = Vec::new();
    for line in table.lines().skip(1) {
        let mut words = line.split_whitespace().skip(1);
        let (Some(local), Some(_), Some(state)) = (words.next(), words.next(), words.next()) else { continue };
        if protocol == "tcp" && state != "0A" {
            continue;
        }
        let Some((address, port)) = local.split_once(':') else { continue };
        if let (Some(address), Ok(port)) = (readable(address), u16::from_str_radix(port, 16)) {
            all.push((address, port));
        }
    }
    all
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

    #[test]
    fn listening_sockets_are_read_from_the_kernels_table() {
        let tcp = "  sl  local_address rem_address   st\n\
                   0: 0100007F:0016 00000000:0000 0A x\n   1: 0100007F:1538 0100007F:D2F0 01 x\n";
        assert_eq!(bound(tcp, "tcp"), [("127.0.0.1".to_owned(), 22)]);
        let six = "  sl\n 0: 00000000000000000000000000000000:0050 0:0 0A\n 1: 00000000000000000000000001000000:0051 0:0 0A\n";
        assert_eq!(bound(six, "tcp"), [("::".to_owned(), 80), ("::1".to_owned(), 81)]);
    }

    #[test]
    fn a_port_answers_when_something_listens_there_by_its_protocol() {
        let all = [Listener { protocol: "udp", address: "::".into(), port: 53 }];
        assert!(answers(&all, "53/udp") && !answers(&all, "53") && !answers(&all, "53/tcp") && !answers(&all, "none"));
    }
}
