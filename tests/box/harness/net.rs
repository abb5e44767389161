//! The boxes' network: a number each, a /30 and a veth pair from it, and one NAT table for all.
//!
//! The pair itself is made by the launcher at every boot (`launch`), so that firewall, routes and network sysctls
//! are gone after a reboot, as on a real machine.

use super::{Trouble, host, place};
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

/// The boxes' /16 holds this many /30 networks; number 0 is left out.
const NUMBERS: u16 = 1 << 14;

#[derive(Debug, Clone, Copy)]
pub struct Subnet {
    /// Our end of the veth pair, the box's gateway.
    pub outside: Ipv4Addr,
    pub inside: Ipv4Addr,
}

pub fn subnet(number: u16) -> Subnet {
    let address = |last: u16| {
        let offset = number * 4 + last;
        Ipv4Addr::new(10, 99, (offset >> 8) as u8, (offset & 0xff) as u8)
    };
    Subnet { outside: address(1), inside: address(2) }
}

/// Takes a free number for the box in `folder`. Call with the registry locked.
pub fn take_number(folder: &Path) -> Result<u16, Trouble> {
    let addresses = host::run("ip", &["-4", "-o", "address"])?;
    for number in 1..NUMBERS {
        let claim = place::registry().join(number.to_string());
        // A box inside a box must not take the subnet that its own machine hangs on.
        let Subnet { outside, inside } = subnet(number);
        let in_use = [outside, inside].iter().any(|end| addresses.contains(&format!(" {end}/")));
        // Whose folder is gone is about to let go of it, or killed, and then the next clean does it.
        if !claim.exists() && !in_use {
            fs::write(&claim, folder.as_os_str().as_encoded_bytes())
                .map_err(|error| format!("cannot write {}: {error}", claim.display()))?;
            return Ok(number);
        }
    }
    Err("all subnets for boxes are taken".into())
}

/// Gives the number back. Call with the registry locked; the last one out removes the NAT table.
pub fn release_number(number: u16) {
    let _ = fs::remove_file(place::registry().join(number.to_string()));
    if numbers().is_empty() {
        let _ = host::run("nft", &["delete", "table", "ip", "vps_box"]);
    }
}

/// Whether the number is held by the box in `folder`. Call with the registry locked.
pub fn is_held_by(number: u16, folder: &Path) -> bool {
    fs::read(place::registry().join(number.to_string()))
        .is_ok_and(|holder| holder == folder.as_os_str().as_encoded_bytes())
}

/// Every number that is taken, with the folder of the box that holds it.
pub fn numbers() -> Vec<(u16, String)> {
    fs::read_dir(place::registry())
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let number = entry.file_name().to_str()?.parse().ok()?;
            Some((number, fs::read_to_string(entry.path()).ok()?))
        })
        .collect()
}

/// Lets boxes out to the world behind this machine's address, and nothing else: their own table, their own subnet.
pub fn masquerade() -> Result<(), Trouble> {
    fs::write("/proc/sys/net/ipv4/ip_forward", "1")
        .map_err(|error| format!("cannot turn on net.ipv4.ip_forward: {error}"))?;
    // All or nothing, and not again: other boxes' connections are going through it.
    if host::run("nft", &["list", "chain", "ip", "vps_box", "out"]).is_err() {
        let statements = [
            "add table ip vps_box",
            "add chain ip vps_box out { type nat hook postrouting priority 100 ; }",
            "add rule ip vps_box out ip saddr 10.99.0.0/16 oifname != \"vpsbox*\" masquerade",
        ];
        host::run("nft", &[&statements.join("\n")])?;
    }
    Ok(())
}
