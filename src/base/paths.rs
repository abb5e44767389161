//! Every path that the program names, in one place. All are absolute paths of the managed host; the host layer puts
//! the root prefix of a test before them.

/// Shipped, read-only data: defaults, modules, profiles, schema.
pub const SHARE: &str = "/usr/share/vps-configurator";
/// The modules that come with the package.
pub const SHIPPED_MODULES: &str = "/usr/share/vps-configurator/modules";
/// The profiles that come with the package.
pub const SHIPPED_PROFILES: &str = "/usr/share/vps-configurator/profiles";
/// The lowest layer of configuration.
pub const DEFAULTS: &str = "/usr/share/vps-configurator/defaults.yaml";
/// The administrator's configuration directory.
pub const ETC: &str = "/etc/vps-configurator";
/// The main configuration file, a conffile with everything commented out.
pub const CONFIG: &str = "/etc/vps-configurator/config.yaml";
/// Configuration fragments, read in the order of their names. Debconf owns `00-profile.yaml` in it.
pub const CONF_D: &str = "/etc/vps-configurator/conf.d";
/// The fragment that `config set` edits.
pub const LOCAL_CONFIG: &str = "/etc/vps-configurator/conf.d/50-local.yaml";
/// The administrator's own profiles.
pub const PROFILES_D: &str = "/etc/vps-configurator/profiles.d";
/// The administrator's own modules (plugins).
pub const MODULES_D: &str = "/etc/vps-configurator/modules.d";
/// State, mode 0700.
pub const STATE: &str = "/var/lib/vps-configurator";
/// The journal's database.
pub const JOURNAL: &str = "/var/lib/vps-configurator/journal.db";
/// The store of pre-images, addressed by their SHA-256.
pub const OBJECTS: &str = "/var/lib/vps-configurator/objects";
/// Files that a rollback found changed by someone else: their copies, by transaction.
pub const KEPT: &str = "/var/lib/vps-configurator/kept";
/// Data that can be made anew.
pub const CACHE: &str = "/var/cache/vps-configurator";
/// Package lists fetched for a plan, so that planning changes nothing of apt's own.
pub const APT_LISTS: &str = "/var/cache/vps-configurator/lists";
/// Reports.
pub const LOG: &str = "/var/log/vps-configurator";
/// Locks and other things that a reboot may forget.
pub const RUN: &str = "/run/vps-configurator";
/// The lock that one changing run holds.
pub const LOCK: &str = "/run/vps-configurator/lock";
/// Units that were held back while their packages were configured, one to a line.
pub const HELD_UNITS: &str = "/run/vps-configurator/held-units";
/// Debian's hook that tells maintainer scripts whether a service may be started.
pub const POLICY_RC_D: &str = "/usr/sbin/policy-rc.d";
/// dpkg's database of packages.
pub const DPKG_STATUS: &str = "/var/lib/dpkg/status";
/// apt's record of which packages came in as dependencies.
pub const APT_EXTENDED_STATES: &str = "/var/lib/apt/extended_states";
/// What this system is.
pub const OS_RELEASE: &str = "/etc/os-release";
