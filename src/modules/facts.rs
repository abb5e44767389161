//! What is known of the host before anything is planned; templates see it as `facts`.

use serde::{Deserialize, Serialize};

/// The facts. The caller gathers them (`cli`, through the host); every field is always there.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Facts {
    /// dpkg's name of the architecture: `amd64`.
    pub architecture: String,
    /// The release's code name: `trixie`.
    pub codename: String,
    /// The host's name.
    pub hostname: String,
    /// The address by which the internet reaches this host, where the host has it itself: the one that packets leave from,
    /// when it is no private one. Else empty.
    pub public_ipv4: String,
    /// Memory in MiB.
    pub memory_mb: u64,
    /// Processors.
    pub cpus: u32,
    /// The SSH port in use: of the current connection, else one of [`ssh_ports`](Facts::ssh_ports) that answers, else the
    /// first of them.
    pub ssh_port: u16,
    /// All ports that sshd, or systemd for it, listens on; 22 when there is none yet.
    pub ssh_ports: Vec<u16>,
    /// The ways in which the running kernel can steer TCP: `cubic`, `bbr`; those that it can load, too.
    pub congestion_controls: Vec<String>,
    /// The kernel's schedulers of packets: `fq`, `fq_codel`.
    pub queues: Vec<String>,
    /// Whether this is a container (nspawn, LXC, docker).
    pub container: bool,
    /// Login names with uid 1000–59999 and a login shell, sorted.
    pub users: Vec<String>,
    /// Those of them in group sudo, sorted.
    pub admins: Vec<String>,
    /// Who ran sudo, or empty.
    pub login_user: String,
}
