//! Files of the host that a person or another program wrote: accounts, sshd, sudoers, fstab, and the parts of files that
//! are ours.

use super::draw::{bytes, check, nearly};
use proptest::prelude::*;
use std::fs;
use std::path::Path;
use vps_configurator::host::RealHost;
use vps_configurator::host::accounts::Accounts;
use vps_configurator::host::machine::{Machine, ssh_ports};
use vps_configurator::observe::drift::{Inventory, Reach, load};
use vps_configurator::resources::part;

const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\nanna:x:1000:1000:Anna,,,:/home/anna:/bin/zsh\n+::::::\n";
const GROUP: &str = "root:x:0:\nsudo:x:27:anna,bob\nanna:x:1000:\n";
const SSHD: &str = "# comment\nPort 22\nListenAddress [::]:2222\nInclude /etc/ssh/sshd_config.d/*.conf\nMatch User anna\n\tPort 99\nPermitRootLogin no\n";
const FSTAB: &str =
    "# <file system>\nUUID=1 / ext4 defaults 0 1\n/swapfile none swap sw 0 0\nproc\\040x /proc proc defaults 0 0\n";
const SUDOERS: &str = "Defaults env_reset\n# BEGIN vps-configurator x\n%sudo ALL=(ALL:ALL) ALL\n# END vps-configurator x\n@includedir /etc/sudoers.d\n";

fn either(text: &str) -> impl Strategy<Value = Vec<u8>> + use<> {
    prop_oneof![nearly(vec![text.to_owned()]).prop_map(String::into_bytes), bytes()]
}

fn put(root: &Path, path: &str, content: &[u8]) {
    let at = root.join(path);
    fs::create_dir_all(at.parent().unwrap()).unwrap();
    fs::write(at, content).unwrap();
}

#[test]
fn accounts_are_read_from_whatever_the_files_hold() {
    check(4000, &(either(PASSWD), either(GROUP)), |(passwd, group)| {
        let (passwd, group) = (String::from_utf8_lossy(&passwd), String::from_utf8_lossy(&group));
        let accounts = Accounts::parse(&passwd, &group);
        for user in accounts.users() {
            prop_assert!(accounts.user(&user.name).is_some() && accounts.user_of(user.uid).is_some());
        }
        for group in accounts.groups() {
            prop_assert!(accounts.group(&group.name).is_some() && accounts.group_of(group.gid).is_some());
            let members = accounts.members(&group.name);
            // Of two of the same name the first counts.
            let first = accounts.group(&group.name).map(|group| group.members.clone()).unwrap_or_default();
            prop_assert!(members.iter().all(|name| accounts.user(name).is_some() || first.iter().any(|m| m == name)));
        }
        prop_assert!(accounts.people().count() <= accounts.users().len());
        Ok(())
    });
}

#[test]
fn a_host_with_odd_files_has_facts_ports_and_an_inventory() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let host = RealHost::new(root.into());
    let shipped = fs::read(super::draw::top().join("config/territories.yaml")).unwrap();
    put(root, "usr/share/vps-configurator/territories.yaml", &shipped);
    put(root, "usr/sbin/sshd", b"#!/bin/sh\nexit 255\n");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(root.join("usr/sbin/sshd"), mode).unwrap();
    let territories = load(&host).unwrap();
    let strategy = (either(SSHD), either(PASSWD), either(SUDOERS), either(FSTAB));
    check(150, &strategy, |(sshd, passwd, sudoers, fstab)| {
        put(root, "etc/ssh/sshd_config", &sshd);
        put(root, "etc/ssh/sshd_config.d/10.conf", &sshd);
        put(root, "etc/systemd/system/sockets.target.wants/ssh.socket", b"");
        put(root, "etc/systemd/system/ssh.socket.d/x.conf", &sshd);
        put(root, "etc/passwd", &passwd);
        put(root, "etc/sudoers", &sudoers);
        put(root, "etc/fstab", &fstab);
        put(root, "etc/os-release", &fstab);
        put(root, "etc/hostname", &sudoers);
        put(root, "proc/meminfo", &fstab);
        prop_assert!(Machine::read(&host).is_ok());
        prop_assert!(!ssh_ports(&host, &[22]).unwrap().is_empty());
        let inventory = Inventory::take(&host, &territories, &Reach::default());
        prop_assert!(inventory.territories.contains_key("sudo"), "{:?}", inventory.unknown);
        Ok(())
    });
}

#[test]
fn our_part_of_a_file_goes_in_and_out_and_the_rest_stays_byte_for_byte() {
    let content = "[ -~\n]{0,40}";
    let strategy = (prop_oneof![either(SUDOERS), either(FSTAB)], content, content);
    check(4000, &strategy, |(text, first, second)| {
        let foreign = part::find(&text, "fuzz").is_none();
        prop_assume!(foreign && ![&first, &second].iter().any(|content| content.contains("vps-configurator")));
        let one = part::put(&text, "fuzz", &first, part::Place::End);
        let whole = part::find(&one, "fuzz");
        prop_assert!(whole.is_some());
        let two = part::put(&one, "fuzz", &second, part::Place::End);
        prop_assert_eq!(part::put(&two, "fuzz", &second, part::Place::End), two.clone(), "twice is once");
        let back = part::put(&two, "fuzz", &first, part::Place::End);
        prop_assert_eq!(&back, &one);
        let rest = part::replace(&one, whole.unwrap(), b"");
        let bare =
            if text.is_empty() || text.ends_with(b"\n") { text.clone() } else { [text.as_slice(), b"\n"].concat() };
        prop_assert_eq!(rest, bare);
        Ok(())
    });
}
