//! The commands and their flags. Help, man pages, completions and the reference are made from these.

use crate::engine::MOST_WORKERS;
use clap::{Args as Flags, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Turn a fresh Debian 13 server into a configured, hardened workstation, keep it so, and take any change back.
///
/// A profile enables modules; the plan shows exactly what would change; every change is written down before it is made
/// and can be rolled back. See vps-configurator-profile(5) for profiles.
#[derive(Debug, Parser)]
#[command(name = "vps-configurator", version, propagate_version = false, max_term_width = 80)]
#[command(after_help = "\
Exit codes:
  0  done, or nothing to do
  1  failed; the host is unchanged or was put back
  2  wrong usage or configuration; nothing was touched
  3  an undo is incomplete
  4  findings (drift), or changes are pending
  5  another run is under way
  6  needs root")]
pub struct Args {
    /// Flags that every command takes.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Flags that every command takes.
#[derive(Debug, Clone, Flags)]
pub struct Global {
    /// Print JSON in place of text
    #[arg(long, global = true)]
    pub json: bool,
    /// Print nothing but errors
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say more
    #[arg(long, short, global = true)]
    pub verbose: bool,
    /// When to use colour; NO_COLOR is obeyed
    #[arg(long, global = true, value_enum, default_value_t = Colour::Auto, value_name = "WHEN")]
    pub color: Colour,
    /// Work on the tree below this directory, with the programs in it (tests)
    #[arg(long, global = true, hide = true, default_value = "/", value_name = "DIR")]
    pub root: PathBuf,
}

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Colour {
    /// On a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Choose a profile, answer its few questions, see the plan, install
    Wizard(Wizard),
    /// Make this host match a profile
    Install(Install),
    /// Show exactly what install would change
    Plan(Plan),
    /// Prove that the host is as the profile says; exit 4 when it isn't
    Verify(Verify),
    /// Take changes back
    Rollback(Rollback),
    /// Keep changes of SSH, firewall, sudo, accounts or network that wait for it
    Confirm(Confirm),
    /// Show what is applied, owed and left over
    Status,
    /// Look whether this host is well
    #[command(subcommand)]
    Health(Health),
    /// Finish or undo what a crash cut off
    Recover(Recover),
    /// Show past transactions
    #[command(subcommand)]
    Transaction(Transaction),
    /// Accept findings of verify, and show those that were accepted
    #[command(subcommand)]
    Finding(Finding),
    /// Show modules
    #[command(subcommand)]
    Module(Module),
    /// Install, switch and remove modules of your own
    #[command(subcommand)]
    Plugin(Plugin),
    /// Show and make profiles
    #[command(subcommand)]
    Profile(Profile),
    /// Show, check and change the configuration
    #[command(subcommand)]
    Config(Config),
    /// Show and clear the packages that apt keeps for later
    #[command(subcommand)]
    Cache(Cache),
    /// Prove where what is installed comes from
    #[command(subcommand)]
    SupplyChain(SupplyChain),
    /// Show which hosts give no answer and are left alone
    #[command(subcommand)]
    CircuitBreaker(CircuitBreaker),
    /// Print a shell completion script
    Completion {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// For units and the package build
    #[command(subcommand, hide = true)]
    Internal(Internal),
}

/// What is selected of the configuration.
#[derive(Debug, Clone, Default, Flags)]
pub struct Select {
    /// The profile, in place of the configured one
    #[arg(long, short, value_name = "NAME")]
    pub profile: Option<String>,
    /// Only these modules and what they depend on
    #[arg(long, short, value_name = "NAME", value_delimiter = ',')]
    pub module: Vec<String>,
    /// Without these modules
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub skip: Vec<String>,
    /// Set an option for this run: modules.security.ssh.max_auth_tries=3
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

impl Select {
    /// Whether nothing is selected: all is as the configuration says.
    pub fn is_empty(&self) -> bool {
        self.profile.is_none() && self.is_whole() && self.set.is_empty()
    }

    /// Whether all modules of the profile are meant.
    pub fn is_whole(&self) -> bool {
        self.module.is_empty() && self.skip.is_empty()
    }
}

/// Choose a profile, answer its few questions, see the plan, install.
///
/// Nothing is changed before the plan is agreed to; then the answers become configuration in /etc/vps-configurator/conf.d,
/// as if config set had been called, and install makes the host so.
#[derive(Debug, Flags)]
pub struct Wizard {
    /// Put no question: take the answers that the wizard saved in this file
    #[arg(long, value_name = "FILE")]
    pub answers: Option<PathBuf>,
    /// Ask line by line, without drawing on the screen
    #[arg(long, conflicts_with = "answers")]
    pub plain: bool,
    /// Show what would change, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// With --answers: don't ask
    #[arg(long, short, requires = "answers")]
    pub yes: bool,
}

/// Make this host match a profile.
#[derive(Debug, Flags)]
pub struct Install {
    /// What to install.
    #[command(flatten)]
    pub select: Select,
    /// Show what would change, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Apply this saved plan; refused when the host or the configuration moved since
    #[arg(long, value_name = "FILE", conflicts_with_all = ["dry_run", "download_only"])]
    pub plan: Option<PathBuf>,
    /// How many steps at a time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=i64::from(MOST_WORKERS)))]
    pub workers: Option<u16>,
    /// Fetch the packages and stop
    #[arg(long)]
    pub download_only: bool,
    /// When a change of the way in must be confirmed from a new login, in place of the configured confirm.when
    #[arg(long, value_enum, value_name = "WHEN")]
    pub confirm: Option<ConfirmWhen>,
    /// How long that is waited for before it is taken back, in place of the configured confirm.timeout
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(10..=86400))]
    pub confirm_timeout: Option<u32>,
    /// Tell each event there, a JSON object a line, while it runs: a file, a pipe, /dev/stderr
    #[arg(long, value_name = "FILE")]
    pub events: Option<PathBuf>,
    /// Don't ask
    #[arg(long, short)]
    pub yes: bool,
}

/// When a change of the way in must be confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ConfirmWhen {
    /// When it is asked for over the network, or by a service while somebody is logged in over the network.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Show exactly what install would change.
#[derive(Debug, Flags)]
pub struct Plan {
    /// What to plan.
    #[command(flatten)]
    pub select: Select,
    /// Save the plan for install --plan
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Prove that the host is as the profile says.
#[derive(Debug, Flags)]
pub struct Verify {
    /// What to verify.
    #[command(flatten)]
    pub select: Select,
    /// Compare every file of every package, not only those that changed lately, and ask every program again
    #[arg(long)]
    pub deep: bool,
}

/// Take changes back. Without a flag: the newest transaction.
#[derive(Debug, Flags)]
pub struct Rollback {
    /// Everything newer than this transaction; 0 takes everything back
    #[arg(long, value_name = "ID", conflicts_with = "module")]
    pub to: Option<i64>,
    /// Only what this module changed
    #[arg(long, value_name = "NAME")]
    pub module: Option<String>,
    /// List what can be taken back
    #[arg(long, conflicts_with_all = ["to", "module", "status", "dry_run"])]
    pub list: bool,
    /// Show whether a rollback is unfinished
    #[arg(long, conflicts_with_all = ["to", "module", "dry_run"])]
    pub status: bool,
    /// Show what would be taken back, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Tell each event there, a JSON object a line, while it runs: a file, a pipe, /dev/stderr
    #[arg(long, value_name = "FILE")]
    pub events: Option<PathBuf>,
    /// Don't ask
    #[arg(long, short)]
    pub yes: bool,
}

/// Keep changes of SSH, firewall, sudo, accounts or network that wait for it.
///
/// They are taken back when nobody confirms them in time. It must be done from a login that began after they were made:
/// that shows that people can still come in.
#[derive(Debug, Flags)]
pub struct Confirm {
    /// The transaction; without it, the one that waits
    pub id: Option<i64>,
    /// Do it from this login, though it is an old one, or none: there is another way in
    #[arg(long)]
    pub from_here: bool,
}

/// Finish or undo what a crash cut off.
#[derive(Debug, Flags)]
pub struct Recover {
    /// In place of the configured apply.recovery
    #[arg(long, value_enum, value_name = "WAY")]
    pub direction: Option<Direction>,
    /// Tell each event there, a JSON object a line, while it runs: a file, a pipe, /dev/stderr
    #[arg(long, value_name = "FILE")]
    pub events: Option<PathBuf>,
}

/// What to do with an install that was cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Direction {
    /// Do the rest.
    Finish,
    /// Take it back.
    Undo,
}

/// Show past transactions.
#[derive(Debug, Subcommand)]
pub enum Transaction {
    /// List them, newest first
    List,
    /// Show one: who, when, each step
    Show {
        /// Its number
        id: i64,
    },
    /// Show what it changed, as differences
    Diff {
        /// Its number
        id: i64,
    },
}

/// Look whether this host is well.
#[derive(Debug, Subcommand)]
pub enum Health {
    /// Look at it: system, disks, memory, network, clock, dpkg, services, what is left over; exit 4 when something is not
    /// well
    Check {
        /// Only what an install needs
        #[arg(long)]
        pre: bool,
    },
}

/// Accept findings, and show those that were accepted.
#[derive(Debug, Subcommand)]
pub enum Finding {
    /// List what was accepted: by whom, when, why
    List,
    /// Take findings for right from now on
    Accept {
        /// As verify shows them; * stands for any text: 'packages:*'
        #[arg(required = true, value_name = "FINDING")]
        id: Vec<String>,
        /// Why, for those who come after you
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Take such a word back: they are findings again
    Withdraw {
        /// As finding list shows them; * stands for any text
        #[arg(required = true, value_name = "FINDING")]
        id: Vec<String>,
    },
}

/// Show modules.
#[derive(Debug, Subcommand)]
pub enum Module {
    /// List them
    List,
    /// Show one: options, what it depends on, what it would set up
    Show {
        /// Its name
        name: String,
    },
    /// Show which module needs which
    Graph {
        /// The profile to show; all modules without it
        #[arg(long, short, value_name = "NAME")]
        profile: Option<String>,
        /// How to write it
        #[arg(long, short, value_enum, default_value_t = GraphFormat::Ascii, value_name = "FORMAT")]
        format: GraphFormat,
    },
}

/// Install, switch and remove modules of your own.
#[derive(Debug, Subcommand)]
pub enum Plugin {
    /// Install one; nothing of it is applied by that
    Install(PluginInstall),
    /// List them
    List,
    /// Make one available that was disabled
    Enable {
        /// Its name
        name: String,
        /// Check it, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Keep one, but out of use
    Disable {
        /// Its name
        name: String,
        /// Even if the configuration names it
        #[arg(long)]
        force: bool,
        /// Check whether that is possible, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Remove one for good
    Remove {
        /// Its name
        name: String,
        /// Even if its changes stand, or the configuration names it
        #[arg(long)]
        force: bool,
        /// Check whether that is possible, and change nothing
        #[arg(long)]
        dry_run: bool,
        /// Don't ask
        #[arg(long, short)]
        yes: bool,
    },
}

/// Install a plugin; nothing of it is applied by that.
#[derive(Debug, Flags)]
pub struct PluginInstall {
    /// A folder, a tar archive (also gz, xz, bz2, zst), or the address of one
    #[arg(value_name = "PATH|URL")]
    pub source: String,
    /// The SHA-256 that the archive must have; an address needs it
    #[arg(long, value_name = "HEX")]
    pub sha256: Option<String>,
    /// Put it in the place of the plugin of the same name
    #[arg(long)]
    pub replace: bool,
    /// Even if the configuration doesn't fit the new one
    #[arg(long)]
    pub force: bool,
    /// Check it, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// How to write a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum GraphFormat {
    /// A tree of lines.
    Ascii,
    /// Mermaid.
    Mermaid,
    /// Graphviz.
    Dot,
    /// Nodes and edges.
    Json,
}

/// Show and make profiles.
#[derive(Debug, Subcommand)]
pub enum Profile {
    /// List them
    List,
    /// Show one, with what it extends merged in
    Show {
        /// Its name
        name: String,
    },
    /// Make one in /etc/vps-configurator/profiles.d
    Create {
        /// Its name
        name: String,
        /// The profile that it starts from
        #[arg(long, value_name = "NAME")]
        extends: Option<String>,
        /// A module to enable
        #[arg(long, short, value_name = "NAME", value_delimiter = ',')]
        module: Vec<String>,
        /// Print it, and write nothing
        #[arg(long)]
        dry_run: bool,
    },
}

/// Show, check and change the configuration.
#[derive(Debug, Subcommand)]
pub enum Config {
    /// Show the configuration in force, or one key of it
    Show {
        /// A key, such as modules.docker or apply.workers
        key: Option<String>,
        /// Say where each value comes from
        #[arg(long)]
        origin: bool,
        /// The profile, in place of the configured one
        #[arg(long, short, value_name = "NAME")]
        profile: Option<String>,
    },
    /// Set a key in /etc/vps-configurator/conf.d/50-local.yaml
    Set {
        /// The key
        key: String,
        /// Its value, as YAML
        #[arg(required_unless_present = "unset")]
        value: Option<String>,
        /// Remove the key
        #[arg(long, conflicts_with = "value")]
        unset: bool,
        /// Print the new file, and write nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Check all configuration files
    Validate {
        /// A profile to check with it
        #[arg(long, short, value_name = "NAME")]
        profile: Option<String>,
    },
    /// Print the JSON Schema of the configuration, for editors
    Schema,
}

/// Show and clear the packages that apt keeps for later.
#[derive(Debug, Subcommand)]
pub enum Cache {
    /// Show how much there is, and how much may stay
    Stats,
    /// List them, in the order in which they go when there are too many
    List {
        /// Hold each against the checksum in the package lists; exit 4 when one differs
        #[arg(long)]
        verify: bool,
    },
    /// Remove them all
    Clear {
        /// Show what would go, and remove nothing
        #[arg(long)]
        dry_run: bool,
    },
}

/// Prove where what is installed comes from.
#[derive(Debug, Subcommand)]
pub enum SupplyChain {
    /// List pins, keys, sources of apt and downloads; exit 4 when one is not as pinned, or is taken unsigned
    Verify,
}

/// Show which hosts give no answer and are left alone.
#[derive(Debug, Subcommand)]
pub enum CircuitBreaker {
    /// Show the hosts that gave no answer when they were last asked
    Status,
    /// Ask a host again at once
    Reset {
        /// The host, as status shows it; without it, all
        host: Option<String>,
    },
}

/// For units and the package build.
#[derive(Debug, Subcommand)]
pub enum Internal {
    /// Whether the package can go: exit 0, or 4 and a line for each transaction of which changes stand; refuses otherwise
    MayRemove,
    /// Take back what was not confirmed in time; what the timer runs
    Revert,
    /// Generate documentation
    Generate {
        /// What to generate
        #[arg(value_enum)]
        what: Generated,
        /// Where to
        dir: PathBuf,
    },
}

/// What can be generated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Generated {
    /// Manual pages, section 8.
    Man,
    /// Completions for bash, zsh and fish.
    Completion,
    /// The reference in Markdown.
    Reference,
    /// The JSON Schema.
    Schema,
}
