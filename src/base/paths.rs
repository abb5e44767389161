//! The paths that the program names, in one place: all of its own (`tests/architecture` holds it), and those of the host
//! that more than one file needs. A path that a single kind of resource knows stands at the head of that kind. All are
//! absolute paths of the managed host; the host layer puts the root prefix of a test before them.

/// Shipped, read-only data: defaults, modules, profiles, schema.
pub const SHARE: &str = "/usr/share/vps-configurator";
/// The profiles that come with the package.
pub const SHIPPED_PROFILES: &str = "/usr/share/vps-configurator/profiles";
/// The lowest layer of configuration.
pub const DEFAULTS: &str = "/usr/share/vps-configurator/defaults.yaml";
/// What is looked after beside the resources of a profile.
pub const TERRITORIES: &str = "/usr/share/vps-configurator/territories.yaml";
/// Programs whose answers depend on files and the packet filter alone.
pub const ANSWERS: &str = "/usr/share/vps-configurator/answers.yaml";
/// What people's way in depends on.
pub const ACCESS: &str = "/usr/share/vps-configurator/access.yaml";
/// The administrator's configuration directory.
pub const ETC: &str = "/etc/vps-configurator";
/// The main configuration file, a conffile with everything commented out.
pub const CONFIG: &str = "/etc/vps-configurator/config.yaml";
/// Configuration fragments, read in the order of their names.
pub const CONF_D: &str = "/etc/vps-configurator/conf.d";
/// The fragment with the profile. Debconf writes it, too, and takes up what others wrote into it.
pub const PROFILE_CONFIG: &str = "/etc/vps-configurator/conf.d/00-profile.yaml";
/// The fragment that `config set` edits.
pub const LOCAL_CONFIG: &str = "/etc/vps-configurator/conf.d/50-local.yaml";
/// The administrator's own profiles.
pub const PROFILES_D: &str = "/etc/vps-configurator/profiles.d";
/// The administrator's own modules (plugins).
pub const MODULES_D: &str = "/etc/vps-configurator/modules.d";
/// The administrator's own programs that run at events, a folder for each.
pub const HOOKS_D: &str = "/etc/vps-configurator/hooks.d";
/// State, mode 0700: the journal's database and its store of pre-images (`journal::Journal` names them).
pub const STATE: &str = "/var/lib/vps-configurator";
/// Files that a rollback found changed by someone else: their copies, by transaction.
pub const KEPT: &str = "/var/lib/vps-configurator/kept";
/// Packages whose files the disk may not have, one to a line, while they are unpacked without syncing each.
pub const UNSYNCED: &str = "/var/lib/vps-configurator/unsynced-packages";
/// The host as it was when packages began to be taken back, until they are.
pub const UNDOING: &str = "/var/lib/vps-configurator/undoing-packages";
/// The hosts that gave no answer, and how often.
pub const UPSTREAMS: &str = "/var/lib/vps-configurator/upstreams.json";
/// Data that can be made anew.
pub const CACHE: &str = "/var/cache/vps-configurator";
/// Its mode, and that of the directories in it: apt fetches as `_apt`, who must get in. What only root may see has a mode
/// of its own.
pub const CACHE_MODE: u32 = 0o755;
/// Package lists fetched for a plan, so that planning changes nothing of apt's own.
pub const APT_LISTS: &str = "/var/cache/vps-configurator/lists";
/// The package sources of a plan, the host's own and those that the plan adds.
pub const APT_SOURCES: &str = "/var/cache/vps-configurator/sources.list.d";
/// The digest of the sources that [`APT_LISTS`] were fetched for.
pub const APT_SOURCES_DIGEST: &str = "/var/cache/vps-configurator/sources.digest";
/// Up to when the files of packages are known to be as they were brought, and which are not.
pub const LOOKED: &str = "/var/cache/vps-configurator/looked.json";
/// Parts of the package lists, each for one request to apt.
pub const APT_EXCERPTS: &str = "/run/vps-configurator/excerpts";
/// What programs that verify runs as a user note down, a directory for each: their homes may not be writable.
pub const PROBE_STATE: &str = "/run/vps-configurator/state";
/// What such programs answered, and to which state of the host.
pub const ANSWERED: &str = "/var/cache/vps-configurator/answered.json";
/// Reports.
pub const LOG: &str = "/var/log/vps-configurator";
/// Locks and other things that a reboot may forget.
pub const RUN: &str = "/run/vps-configurator";
/// The lock that one changing run holds.
pub const LOCK: &str = "/run/vps-configurator/lock";
/// A key pair for the program's own login, which lives for that moment. Others must be able to look into it.
pub const KNOCK: &str = "/run/vps-configurator-knock";
/// Units that were held back while their packages were configured, one to a line.
pub const HELD_UNITS: &str = "/run/vps-configurator/held-units";
/// What apt-get writes in a package transaction, its status lines among it.
pub const APT_LOG: &str = "/run/vps-configurator/apt.log";
/// Configuration for apt's hooks while packages are installed.
pub const APT_HOOKS: &str = "/run/vps-configurator/apt-hooks.conf";
/// What apt-get and dpkg wrote in the last package transaction that failed. apt's own term.log stays empty without a
/// terminal.
pub const APT_FAILED_LOG: &str = "/var/log/vps-configurator/apt-failed.log";
/// Debian's hook that tells maintainer scripts whether a service may be started.
pub const POLICY_RC_D: &str = "/usr/sbin/policy-rc.d";
/// dpkg's database of packages.
pub const DPKG_STATUS: &str = "/var/lib/dpkg/status";
/// apt's record of which packages came in as dependencies.
pub const APT_EXTENDED_STATES: &str = "/var/lib/apt/extended_states";
/// What this system is.
pub const OS_RELEASE: &str = "/etc/os-release";
/// The users: passwd(5).
pub const PASSWD: &str = "/etc/passwd";
/// Their passwords: shadow(5).
pub const SHADOW: &str = "/etc/shadow";
/// The groups: group(5).
pub const GROUP: &str = "/etc/group";
/// The groups' passwords and administrators: gshadow(5).
pub const GSHADOW: &str = "/etc/gshadow";
/// The ranges of user numbers that users may use in containers: subuid(5).
pub const SUBUID: &str = "/etc/subuid";
/// The same of group numbers: subgid(5).
pub const SUBGID: &str = "/etc/subgid";
