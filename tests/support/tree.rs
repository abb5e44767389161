//! A tree of files that stands for a Debian 13 host, with simulated programs in it.

use super::repository;
use super::top;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};

/// Files that every such host has.
const FILES: &[(&str, &str)] = &[
    (
        "/etc/os-release",
        "PRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=\"13\"\n\
         VERSION=\"13 (trixie)\"\nVERSION_CODENAME=trixie\nID=debian\n",
    ),
    ("/etc/passwd", "root:x:0:0:root:/root:/bin/bash\nada:x:1000:1000:Ada:/home/ada:/bin/bash\n"),
    ("/etc/shadow", "root:*:20000:0:99999:7:::\nada:$y$hash:20001:0:99999:7:::\n"),
    ("/etc/group", "root:x:0:\nadm:x:4:\nsudo:x:27:ada\nada:x:1000:\n"),
    ("/etc/.pwd.lock", ""),
    ("/etc/gshadow", "root:*::\nadm:*::\nsudo:*::ada\nada:!::\n"),
    ("/etc/subuid", "ada:100000:65536\n"),
    ("/etc/subgid", "ada:100000:65536\n"),
    ("/etc/login.defs", "HOME_MODE 0700\n"),
    ("/etc/skel/.bashrc", "# skel\n"),
    ("/etc/hostname", "vps\n"),
    ("/etc/hosts", "127.0.0.1\tlocalhost\n127.0.1.1\tvps\n"),
    ("/etc/fstab", "/dev/vda1 / ext4 defaults 0 1\n"),
    ("/etc/locale.gen", "# en_US.UTF-8 UTF-8\n# sv_SE.UTF-8 UTF-8\n"),
    ("/etc/locale.conf", "LANG=C.UTF-8\n"),
    ("/usr/share/i18n/SUPPORTED", "en_US.UTF-8 UTF-8\nsv_SE.UTF-8 UTF-8\n"),
    ("/usr/share/zoneinfo/Europe/Stockholm", "TZif2 Stockholm"),
    ("/usr/share/zoneinfo/UTC", "TZif2 UTC"),
    ("/usr/share/zoneinfo/Etc/UTC", "TZif2 UTC"),
    ("/home/ada/notes", "mine\n"),
    ("/proc/meminfo", "MemTotal:        2031212 kB\nMemAvailable:    1800000 kB\n"),
    ("/proc/swaps", "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"),
    ("/proc/uptime", "100.00 180.00\n"),
    ("/proc/sys/kernel/hostname", "vps\n"),
    ("/proc/sys/vm/swappiness", "60\n"),
    ("/proc/sys/vm/dirty_ratio", "20\n"),
    ("/proc/sys/vm/dirty_background_ratio", "10\n"),
    ("/proc/sys/fs/inotify/max_user_watches", "14536\n"),
    ("/proc/sys/fs/inotify/max_user_instances", "128\n"),
    ("/proc/sys/net/core/netdev_max_backlog", "1000\n"),
    ("/proc/sys/net/core/rmem_max", "212992\n"),
    ("/proc/sys/net/core/wmem_max", "212992\n"),
    ("/proc/sys/net/core/somaxconn", "4096\n"),
    ("/proc/sys/net/core/default_qdisc", "pfifo_fast\n"),
    ("/proc/sys/net/ipv4/tcp_congestion_control", "cubic\n"),
    ("/proc/sys/net/ipv4/tcp_max_syn_backlog", "128\n"),
    ("/proc/sys/net/ipv4/tcp_rmem", "4096\t131072\t6291456\n"),
    ("/proc/sys/net/ipv4/tcp_wmem", "4096\t16384\t4194304\n"),
    ("/proc/sys/net/ipv4/tcp_fastopen", "1\n"),
    ("/proc/sys/net/ipv4/tcp_fin_timeout", "60\n"),
    ("/proc/sys/net/ipv4/tcp_keepalive_time", "7200\n"),
    ("/proc/sys/net/ipv4/conf/all/accept_redirects", "1\n"),
    ("/proc/sys/net/ipv6/conf/all/forwarding", "0\n"),
    ("/sys/devices/system/cpu/online", "0-1\n"),
    ("/lib/modules/6.12/modules.dep", "kernel/net/ipv4/tcp_bbr.ko.xz:\nkernel/net/sched/sch_fq.ko.xz:\n"),
    ("/proc/version", "Linux version 6.12\n"),
    ("/var/lib/dpkg/status", "Package: dpkg\nStatus: install ok installed\nVersion: 1.22\nArchitecture: amd64\n\n"),
    (
        DPKG_LIST,
        "/etc\n/etc/apt\n/etc/apt/apt.conf.d\n/etc/systemd\n/etc/systemd/system\n/usr\n/usr/bin\n/usr/lib\n/usr/lib/systemd\n\
         /usr/lib/systemd/system\n",
    ),
    ("/var/lib/apt/extended_states", ""),
    ("/var/lib/apt/lists/fake_dists_trixie_InRelease", "Origin: Debian\nLabel: Debian\n"),
    ("/srv/web/example.org/fetched", "hello\n"),
    ("/etc/ufw/ufw.conf", "# ufw\nENABLED=no\nLOGLEVEL=low\n"),
    (
        "/etc/default/ufw",
        "IPV6=yes\nDEFAULT_INPUT_POLICY=\"ACCEPT\"\nDEFAULT_OUTPUT_POLICY=\"ACCEPT\"\nDEFAULT_FORWARD_POLICY=\"DROP\"\n",
    ),
    ("/etc/ufw/user.rules", "*filter\n### RULES ###\n\n### END RULES ###\nCOMMIT\n"),
    ("/etc/ufw/user6.rules", "*filter\n### RULES ###\n\n### END RULES ###\nCOMMIT\n"),
    ("/usr/lib/systemd/system/vps-configurator-revert@.timer", "[Timer]\n"),
    ("/etc/ufw/sysctl.conf", "net/ipv4/conf/all/accept_redirects=0\n"),
];

const DIRECTORIES: &[&str] = &[
    "/run/systemd/system",
    "/run/fake-systemd/active",
    "/run/fake-systemd/failed",
    "/run/fake-netfilter",
    "/etc/systemd/system",
    "/usr/lib/systemd/system",
    "/usr/lib/locale",
    "/usr/bin",
    "/usr/local/bin",
    "/sys/module",
    "/root",
    "/tmp",
    "/var/lib/dpkg/info",
    "/var/lib/dpkg/updates",
    "/var/lib/apt/lists/partial",
    "/var/cache/apt/archives/partial",
    "/var/log",
];

/// The files of the one package that every host has; all simulated programs are its own.
const DPKG_LIST: &str = "/var/lib/dpkg/info/dpkg.list";

/// The host. It goes away with the value.
#[derive(Debug)]
pub struct Tree {
    dir: tempfile::TempDir,
}

impl Tree {
    /// A host with the small modules and profiles of `tests/support/share`, and the packages that they want.
    pub fn new() -> Tree {
        let tree = Tree::bare();
        copy(&top().join("tests/support/share"), &tree.at("/usr/share/vps-configurator"));
        for name in ["defaults.yaml", "territories.yaml", "access.yaml"] {
            fs::copy(top().join("config").join(name), tree.at("/usr/share/vps-configurator").join(name)).unwrap();
        }
        repository::small(&tree);
        tree
    }

    /// A host with the modules and profiles that are shipped, and the packages that they want.
    pub fn shipped() -> Tree {
        let tree = Tree::bare();
        copy(&top().join("config"), &tree.at("/usr/share/vps-configurator"));
        repository::shipped(&tree);
        tree
    }

    /// A directory with nothing in it: in memory where programs may be run from there, because a tree is synced to the
    /// disk with each write.
    fn empty() -> Tree {
        let memory = Path::new("/dev/shm");
        let runs = nix::sys::statvfs::statvfs(memory).is_ok_and(|vfs| {
            !vfs.flags().contains(nix::sys::statvfs::FsFlags::ST_NOEXEC) && vfs.blocks_available() > 1 << 16
        });
        let place = if runs { memory.to_owned() } else { std::env::temp_dir() };
        let made = tempfile::Builder::new().prefix("vps-").tempdir_in(&place);
        Tree { dir: made.or_else(|_| tempfile::Builder::new().prefix("vps-").tempdir()).unwrap() }
    }

    /// The same host once more, to the last attribute: what is on its disk at this moment.
    pub fn twin(&self) -> Tree {
        Tree::twin_of(self.root())
    }

    /// The same of the host in a directory.
    pub fn twin_of(root: &Path) -> Tree {
        let twin = Tree::empty();
        twins(root, twin.root(), Path::new("/"));
        twin
    }

    /// A host without anything of ours.
    pub fn bare() -> Tree {
        let tree = Tree::empty();
        for dir in DIRECTORIES {
            fs::create_dir_all(tree.at(dir)).unwrap();
        }
        for (path, text) in FILES {
            tree.put(path, text);
        }
        for secret in ["/etc/shadow", "/etc/gshadow"] {
            tree.set_mode(secret, 0o640);
        }
        symlink("/usr/share/zoneinfo/Etc/UTC", tree.at("/etc/localtime")).unwrap();
        // A program that no package brought would be a finding of the drift, whenever the baseline is young enough.
        let mut brought = tree.text(DPKG_LIST);
        for entry in fs::read_dir(top().join("tests/support/programs")).unwrap() {
            let from = entry.unwrap().path();
            let name = from.file_name().unwrap().to_str().unwrap().to_owned();
            let to = match name.as_str() {
                "apt-helper" => "/usr/lib/apt/apt-helper".to_owned(),
                _ => format!("/usr/sbin/{name}"),
            };
            tree.program(&to, &fs::read_to_string(&from).unwrap());
            brought += &format!("{to}\n");
        }
        tree.put(DPKG_LIST, brought);
        tree
    }

    /// Its root.
    pub fn root(&self) -> &Path {
        self.dir.path()
    }

    /// The real path of one of its paths.
    pub fn at(&self, path: &str) -> PathBuf {
        self.root().join(path.trim_start_matches('/'))
    }

    /// Puts a file there, and the directories above it.
    pub fn put(&self, path: &str, content: impl AsRef<[u8]>) {
        let at = self.at(path);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        fs::write(at, content).unwrap();
    }

    /// Puts a program there.
    pub fn program(&self, path: &str, text: &str) {
        self.put(path, text);
        self.set_mode(path, 0o755);
    }

    /// Puts a module of the administrator's there.
    pub fn module(&self, name: &str, rest: &str) {
        let head = format!("name: {name}\nsummary: A module of a test\npriority: 50\n");
        self.put(&format!("/etc/vps-configurator/modules.d/{name}/module.yaml"), head + rest);
    }

    /// Enables modules in the configuration, over the profile `small`.
    pub fn enable(&self, names: &[&str]) {
        let lines: String = names.iter().map(|name| format!("  {name}: {{enabled: true}}\n")).collect();
        self.put("/etc/vps-configurator/config.yaml", format!("profile: small\nmodules:\n{lines}"));
    }

    /// Sets a mode.
    pub fn set_mode(&self, path: &str, mode: u32) {
        fs::set_permissions(self.at(path), fs::Permissions::from_mode(mode)).unwrap();
    }

    /// The text of a file.
    pub fn text(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
    }

    /// Whether something is there.
    pub fn has(&self, path: &str) -> bool {
        fs::symlink_metadata(self.at(path)).is_ok()
    }

    /// Removes a file.
    pub fn remove(&self, path: &str) {
        fs::remove_file(self.at(path)).unwrap();
    }
}

/// What no run changes in its place, so that twins may share it.
const SHARED: &[&str] = &["/usr/sbin", "/usr/share", "/usr/lib/apt", "/var/lib/fake-repo"];

/// Copies what is in a directory with owners, modes, extended attributes and times.
fn twins(from: &Path, to: &Path, name: &Path) {
    let is_shared = SHARED.iter().any(|shared| name.starts_with(shared));
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        // What stands for a view: on a machine nothing of it is on the disk.
        if name == Path::new("/run/vps-configurator") && entry.file_name().to_string_lossy().starts_with("view-") {
            continue;
        }
        let (path, beside, meta) = (entry.path(), to.join(entry.file_name()), entry.metadata().unwrap());
        if meta.is_symlink() {
            symlink(fs::read_link(&path).unwrap(), &beside).unwrap();
            lchown(&beside, Some(meta.uid()), Some(meta.gid())).unwrap();
            continue;
        }
        // Eight megabytes that are removed and never written.
        let is_ballast = name == Path::new("/var/lib/vps-configurator") && entry.file_name() == "ballast";
        if meta.is_file() && (is_shared || is_ballast) {
            fs::hard_link(&path, &beside).unwrap();
            continue;
        }
        if meta.is_dir() {
            fs::create_dir(&beside).unwrap();
            twins(&path, &beside, &name.join(entry.file_name()));
        } else {
            fs::copy(&path, &beside).unwrap();
        }
        if (meta.uid(), meta.gid()) != (0, 0) {
            lchown(&beside, Some(meta.uid()), Some(meta.gid())).unwrap();
        }
        fs::set_permissions(&beside, meta.permissions()).unwrap();
        for attribute in xattr::list(&path).unwrap() {
            xattr::set(&beside, &attribute, &xattr::get(&path, &attribute).unwrap().unwrap()).unwrap();
        }
        let times = fs::FileTimes::new().set_accessed(meta.accessed().unwrap()).set_modified(meta.modified().unwrap());
        fs::File::open(&beside).unwrap().set_times(times).unwrap();
    }
}

/// Copies a folder with everything below it.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let beside = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &beside);
        } else if entry.file_type().unwrap().is_symlink() {
            symlink(fs::read_link(entry.path()).unwrap(), beside).unwrap();
        } else {
            fs::copy(entry.path(), beside).unwrap();
        }
    }
}
