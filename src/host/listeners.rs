//! Who listens on which port: the kernel's tables (proc_pid_net(5)) and the processes that hold the sockets.

use super::{Host, Kind, Result, read_text};
use std::path::Path;

/// The programs (their names in `/proc/<pid>/comm`) that listen on `port`; `tcp` or `udp`. A socket whose process can't
/// be seen is held by `?`.
pub fn on_port(host: &dyn Host, port: u16, protocol: &str) -> Result<Vec<String>> {
    let mut inodes = Vec::new();
    for table in [format!("/proc/net/{protocol}"), format!("/proc/net/{protocol}6")] {
        inodes.extend(sockets(&read_text(host, table)?, port, protocol));
    }
    if inodes.is_empty() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for pid in host.list(Path::new("/proc"))? {
        let process = Path::new("/proc").join(&pid);
        if !pid.to_string_lossy().bytes().all(|b| b.is_ascii_digit()) {
            continue;
        }
        let descriptors = process.join("fd");
        // A process may end while it is looked at.
        for name in host.list(&descriptors).unwrap_or_default() {
            let Ok(Some(meta)) = host.meta(&descriptors.join(name)) else { continue };
            let Kind::Link(target) = meta.kind else { continue };
            let target = target.to_string_lossy().into_owned();
            let inode = target.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']'));
            if inode.is_some_and(|inode| inodes.iter().any(|known| known == inode)) {
                found.push(read_text(host, process.join("comm")).unwrap_or_default().trim().to_owned());
            }
        }
    }
    found.sort();
    found.dedup();
    Ok(if found.is_empty() { vec!["?".to_owned()] } else { found })
}

/// The inodes of the sockets of a table that are bound to `port`; of TCP those that listen (state 0A).
fn sockets(table: &str, port: u16, protocol: &str) -> Vec<String> {
    let wanted = format!(":{port:04X}");
    let inode = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let listens = protocol != "tcp" || fields.get(3) == Some(&"0A");
        let here = fields.get(1).is_some_and(|local| local.ends_with(&wanted));
        (here && listens).then(|| fields.get(9).map(|inode| (*inode).to_owned())).flatten()
    };
    table.lines().skip(1).filter_map(inode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listening_socket_is_found_with_its_inode_and_a_connection_is_none() {
        let tcp = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
             0: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 x\n   \
             1: 0100007F:0050 0100007F:D2F0 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 x\n";
        assert_eq!(sockets(tcp, 80, "tcp"), ["4711"]);
        assert_eq!(sockets(tcp, 443, "tcp"), Vec::<String>::new());
        assert_eq!(sockets(tcp, 80, "udp"), ["4711", "4712"]);
    }

    #[test]
    fn this_machine_names_the_program_that_listens() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let host = super::super::real::RealHost::new("/".into());
        let own = std::fs::read_to_string("/proc/self/comm").unwrap();
        assert_eq!(on_port(&host, port, "tcp").unwrap(), [own.trim()]);
    }
}
