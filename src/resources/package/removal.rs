//! What a rollback takes off the host in one call of apt: made smaller until nothing goes that others need, then done.

use super::archive::Archive;
use super::database::Database;
use super::excerpt::Lists;
use super::simulation::{Item, Simulation};
use super::traces::Traces;
use super::{apt, failure, purge, treasure};
use crate::engine::{Context, Error, Result};
use crate::host::{Command, Host, Output};
use std::collections::BTreeSet;
use std::time::Duration;

/// How often the set is made smaller because something else needs a package of it.
const ROUNDS: usize = 20;

/// What one removal is to do.
#[derive(Debug, Default)]
pub(super) struct Removal {
    /// Packages to purge.
    pub purge: BTreeSet<String>,
    /// Arguments that put old versions back.
    pub downgrade: Vec<String>,
    /// Arguments that keep apt from putting something else in place of what goes.
    pub avoid: BTreeSet<String>,
    /// What stays, and why.
    pub kept: Vec<String>,
    /// What apt looked at when it was found out.
    pub lists: Option<Lists>,
}

impl Removal {
    /// Whether nothing is to go.
    pub fn is_empty(&self) -> bool {
        self.purge.is_empty() && self.downgrade.is_empty()
    }

    /// The arguments of apt-get.
    fn args(&self) -> Vec<String> {
        let mut args: Vec<String> = ["--purge", "--allow-downgrades", "install"].map(str::to_owned).into();
        args.extend(self.downgrade.iter().cloned());
        args.extend(self.purge.iter().chain(&self.avoid).map(|n| format!("{n}-")));
        args
    }

    /// Makes the removal smaller until apt would remove nothing but what came with us.
    pub fn shrink(&mut self, context: &Context<'_>, database: &Database) -> Result<()> {
        for _ in 0..ROUNDS {
            if self.is_empty() {
                return Ok(());
            }
            let (lists, output) = simulate(context.host, database, &["--no-install-recommends"], self.args())?;
            self.lists = Some(lists);
            if output.code != 0 && !self.downgrade.is_empty() {
                self.kept
                    .push(format!("stay upgraded, the old versions don't fit any more: {}", self.downgrade.join(", ")));
                self.downgrade.clear();
                continue;
            }
            if output.code != 0 {
                return Err(refusal(&output));
            }
            let simulation = Simulation::parse(&output.text());
            let is_ours =
                |i: &&Item| !self.downgrade.iter().any(|d| d.contains(&format!("{}=", i.name)) || d.ends_with(".deb"));
            let replacements: Vec<String> =
                simulation.install.iter().filter(is_ours).filter(|i| i.old.is_none()).map(|i| i.name.clone()).collect();
            let outsiders: Vec<&String> = simulation.remove.iter().filter(|n| !self.purge.contains(*n)).collect();
            if replacements.is_empty() && outsiders.is_empty() {
                return Ok(());
            }
            self.avoid.extend(replacements);
            for outsider in outsiders {
                let needed = database.needed_by(outsider, &self.purge);
                if needed.is_empty() {
                    let why = format!("apt would remove {outsider} with them, which came otherwise");
                    return Err(Error::refused("package-conflict", "cannot remove the packages", why));
                }
                self.kept.push(format!(
                    "{} stay: {outsider}, which came otherwise, needs them",
                    needed.iter().cloned().collect::<Vec<_>>().join(", ")
                ));
                self.purge.retain(|n| !needed.contains(n));
            }
        }
        Err(Error::refused(
            "package-conflict",
            "cannot remove the packages",
            "what apt would remove with them has no end",
        ))
    }

    /// Does it. Everything that must be done around it is done: units, tables, people's data.
    pub fn run(&mut self, context: &Context<'_>, database: &Database, traces: &Traces, after: &[String]) -> Result<()> {
        let (host, progress) = (context.host, context.progress);
        let units = purge::units(host, &self.purge, database.architecture())?;
        let has_systemd = purge::has_systemd(host)?;
        if has_systemd && !units.is_empty() {
            purge::systemctl(host, &["stop"], &units)?;
        }
        self.kept.extend(treasure::spare(host, &self.purge)?);
        self.kept.extend(traces.drop_tables(host, progress, after, &self.purge)?);
        let variable = self.lists.as_ref().and_then(Lists::environment);
        let output = apt::run(host, progress, variable.clone(), &self.args())?;
        if output.code != 0 {
            // A package whose scripts fail can often be removed once the others are gone.
            let again = apt::run(host, progress, variable, &self.args())?;
            if again.code != 0 {
                let text = format!("{}{}", again.text(), String::from_utf8_lossy(&again.stderr));
                let what = format!("cannot remove {}", failure::guilty(&text).join(", "));
                return Err(Error::refused("package-failed", what, failure::last_lines(&text, 12)));
            }
        }
        let now = Database::read(host)?;
        let left: Vec<&String> = self.purge.iter().filter(|n| now.known(n).is_some_and(|p| p.is_present())).collect();
        if !left.is_empty() {
            host.run(
                &Command::new("dpkg").arg("--purge").args(left.into_iter().cloned()).timeout(Duration::from_secs(600)),
            )?;
        }
        if has_systemd {
            let plain: Vec<String> = units.into_iter().filter(|u| !u.contains('*')).collect();
            if !plain.is_empty() {
                purge::systemctl(host, &["reset-failed"], &plain)?;
            }
        }
        Ok(())
    }
}

/// What `apt-get -s` says to `args`, on as much of the lists as it takes, and what these are.
pub(super) fn simulate(
    host: &dyn Host,
    database: &Database,
    options: &[&str],
    args: Vec<String>,
) -> Result<(Lists, Output)> {
    let look = |lists: &Lists| {
        let command = lists.command("apt-get").args(["-s", "-o", "APT::Get::Show-User-Simulation-Note=no"]);
        let command = command.args(options.iter().copied()).args(args.iter().cloned()).accept(&[0, 100]);
        Ok(host.look(&command.timeout(Duration::from_secs(120)))?)
    };
    Lists::attempt(host, Archive::Own, database, &args, look, |output| output.code == 0)
}

/// What is told when apt won't even simulate it.
pub(super) fn refusal(output: &Output) -> Error {
    let text = format!("{}{}", output.text(), String::from_utf8_lossy(&output.stderr));
    Error::refused("package-conflict", "cannot remove the packages", failure::last_lines(&text, 8))
}
