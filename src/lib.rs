//! `vps-configurator`: makes a Debian 13 host match a profile, proves that it does, and takes any of it back.
//!
//! # The layers
//!
//! A layer names only what stands above it in this list; `tests/architecture` reads the sources and holds the rule.
//! Folders of the same rank don't know each other. The library never prints, never exits, and never reads the
//! environment or the clock on its own: the command line (`cli`) owns words and hands the rest in.
//!
//! | layer | what lives there |
//! |---|---|
//! | [`base`] | words that all layers share: ids, paths, digests, YAML with positions |
//! | [`host`] | the only code that touches the machine |
//! | [`journal`] | the write-ahead record of transactions and the store of pre-images |
//! | [`engine`] | the resource contract; plan, apply, verify, rollback, recovery. Knows no kind of resource |
//! | [`resources`] | one file for each kind of thing that can be put right and undone |
//! | [`modules`] | reads module manifests (data) and expands them into resources |
//! | [`profiles`] | layers of configuration, with the origin of every value |
//! | [`observe`] | watching the host: drift of what no module declares, health, and looking at little cost |
//! | [`cli`] | commands, rendering, the words of errors |
//!
//! # Where a new line goes
//!
//! | you are adding | room |
//! |---|---|
//! | a system call, an external program, a rule for writing files | `src/host/` |
//! | a path, a user name | `src/base/paths.rs` |
//! | a kind of thing that can be put right and undone | `src/resources/<kind>.rs` and a golden case |
//! | something a module installs or sets | `config/modules/<name>/`, no Rust |
//! | ordering, retry, undo behaviour | `src/engine/` |
//! | a flag or command | `src/cli/commands/<noun>.rs` |
//! | words the administrator reads | `src/cli/render/`, `src/cli/explain.rs` |
//! | a default | `config/`, not code |

#![warn(missing_docs)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::print_stdout,
        clippy::print_stderr,
        clippy::exit
    )
)]

pub mod base;
pub mod cli;
pub mod engine;
pub mod host;
pub mod journal;
pub mod modules;
pub mod observe;
pub mod profiles;
pub mod resources;
