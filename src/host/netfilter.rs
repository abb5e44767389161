//! The kernel's packet filter, asked directly: whether there is one that may be changed, and whether its rules are still
//! the same, without reading them: nf_tables counts its changes.

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};
use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;

/// `NFT_MSG_GETGEN` of the subsystem nf_tables (linux/netfilter/nf_tables.h), and its answer.
const GET_GENERATION: u16 = 10 << 8 | 16;
const NEW_GENERATION: u16 = 10 << 8 | 15;
/// The kernel refuses (linux/netlink.h); behind the head of the message stands the number of the error, negative.
const ERROR: u16 = 2;
/// The attribute with the number, big-endian.
const ID: u16 = 1;
/// The tables of the older iptables, which are not counted.
const LEGACY: [&str; 3] = ["/proc/net/ip_tables_names", "/proc/net/ip6_tables_names", "/proc/net/arp_tables_names"];

/// A word that moves with every change of the rules of this network namespace. `None` when there may be rules that
/// aren't counted, and when the kernel can't be asked.
pub(super) fn stamp() -> Option<String> {
    let is_legacy = LEGACY.iter().any(|table| fs::read(table).is_ok_and(|names| !names.is_empty()));
    let namespace = fs::metadata("/proc/self/ns/net").ok().filter(|_| !is_legacy)?;
    Some(format!("{} {}", namespace.ino(), parse(&ask().ok()?)?))
}

/// Why rules can't be set here; `None` when they can, or when that can't be told.
pub(super) fn refusal() -> Option<String> {
    let error = match ask() {
        Ok(answer) => refused(&answer)?,
        Err(error) => error,
    };
    match error {
        Errno::EPERM | Errno::EACCES => Some("the kernel does not let this host set rules".to_owned()),
        Errno::EPROTONOSUPPORT | Errno::EAFNOSUPPORT | Errno::EINVAL | Errno::EOPNOTSUPP => {
            Some("the kernel has no packet filter (nf_tables)".to_owned())
        }
        _ => None,
    }
}

/// The error in the kernel's answer, when it is one.
fn refused(answer: &[u8]) -> Option<Errno> {
    let kind = u16::from_ne_bytes(answer.get(4..6)?.try_into().ok()?);
    let number = i32::from_ne_bytes(answer.get(16..20)?.try_into().ok()?);
    (kind == ERROR && number != 0).then(|| Errno::from_raw(-number))
}

/// Asks for the number of changes, and gives what the kernel says.
fn ask() -> nix::Result<Vec<u8>> {
    let kernel = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkNetFilter)?;
    let mut request = Vec::new();
    request.extend(20_u32.to_ne_bytes());
    request.extend(GET_GENERATION.to_ne_bytes());
    // NLM_F_REQUEST; sequence and port; any family, version 0, no resource.
    request.extend(1_u16.to_ne_bytes());
    request.extend([0; 12]);
    send(kernel.as_raw_fd(), &request, MsgFlags::empty())?;
    let mut answer = [0; 1024];
    // It is there as soon as the request was sent.
    let length = recv(kernel.as_raw_fd(), &mut answer, MsgFlags::MSG_DONTWAIT)?;
    answer.get(..length).map(<[u8]>::to_vec).ok_or(Errno::EIO)
}

/// The number in the kernel's answer; `None` when it is another one (a refusal).
fn parse(answer: &[u8]) -> Option<u32> {
    let short = |at: usize| Some(u16::from_ne_bytes(answer.get(at..at + 2)?.try_into().ok()?));
    if short(4)? != NEW_GENERATION {
        return None;
    }
    let mut at = 20;
    loop {
        let (length, kind) = (usize::from(short(at)?), short(at + 2)?);
        if kind == ID {
            return Some(u32::from_be_bytes(answer.get(at + 4..at + 8)?.try_into().ok()?));
        }
        at += length.max(4).next_multiple_of(4);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_found_among_the_attributes_and_a_refusal_has_none() {
        let mut answer = Vec::new();
        answer.extend(48_u32.to_ne_bytes());
        answer.extend(NEW_GENERATION.to_ne_bytes());
        answer.extend([0; 14]);
        for (kind, content) in [(2_u16, &b"\0\0\x12\x34"[..]), (3, b"nft\0\0"), (ID, b"\0\0\x01\x02")] {
            answer.extend(u16::try_from(4 + content.len()).unwrap().to_ne_bytes());
            answer.extend(kind.to_ne_bytes());
            answer.extend(content);
            answer.resize(answer.len().next_multiple_of(4), 0);
        }
        assert_eq!(parse(&answer), Some(0x102));
        for cut in 0..answer.len() {
            assert!(cut == answer.len() || parse(&answer[..cut]).is_none(), "{cut}");
        }
        assert_eq!(refused(&answer), None);
        answer[4..6].copy_from_slice(&ERROR.to_ne_bytes());
        answer[16..20].copy_from_slice(&(-1_i32).to_ne_bytes());
        assert_eq!((parse(&answer), refused(&answer)), (None, Some(Errno::EPERM)));
        assert_eq!(refused(&answer[..10]), None);
    }
}
