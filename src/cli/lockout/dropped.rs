//! What an install takes back, because the profile no longer asks for it, may be the last way in: an account, its key,
//! its right to become root. It is refused before anything is changed. What is not certain counts as gone.

use super::access::{Access, Gone, shuts_root};
use super::people::{self, Doors, Sudo};
use super::wanted::{Lines, is_config};
use super::{let_somebody_in, problem};
use crate::cli::explain::Problem;
use crate::cli::session::Session;
use crate::engine::plan::{Plan, Step};
use crate::engine::{Recipe, Result};
use crate::host::{Host, Kind, read_text};
use crate::journal::StepRow;
use crate::modules::facts::Facts;
use crate::resources::Spec;
use crate::resources::firewall::rule::Rule;
use std::path::{Path, PathBuf};

const WHY: &str =
    "what the profile no longer asks for is the last way in: afterwards nobody could log in and become root";
/// Below this sudo reads what people may.
const SUDOERS: &str = "/etc/sudoers";
const SUDOERS_D: &str = "/etc/sudoers.d";

/// Refuses a plan after which nobody could log in and become root, while somebody can now.
pub fn check(session: &Session<'_>, plan: &Plan, specs: &[Spec], facts: &Facts) -> std::result::Result<(), Problem> {
    let gone = gone(session, plan)?;
    let ports = facts.ssh_ports.iter().filter(|port| shuts(plan, specs, **port)).collect::<Vec<_>>();
    if let Some(port) = ports.first() {
        return Err(problem(format!(
            "the only rule that opens port {port}, on which sshd listens, is to be taken back"
        ))
        .fix("let a module ask for that port, or the module security for the firewall, then run this again"));
    }
    if gone == Gone::default() {
        return Ok(());
    }
    let see = |gone: &Gone| Access::see(session, &facts.users, &facts.admins, gone);
    let Some(before) = see(&Gone::default())? else { return Ok(()) };
    if let_somebody_in(&doors(&before), &before.people, &|name| Sudo::ask(session.host, name)).is_err() {
        return Ok(());
    }
    let Some(mut after) = see(&gone)? else { return Ok(()) };
    if gone.moves_keys {
        after.people.iter_mut().for_each(|person| person.key = false);
    }
    let mut open = doors(&after);
    if gone.touches_sshd || super::is_possible(&Lines::asked(specs)) {
        let lines = Lines::after_without(session.host, specs, &gone.paths)?;
        let is_key_only = lines.all("permitrootlogin").any(|word| word != "yes");
        open.root = !lines.all("permitrootlogin").any(shuts_root);
        open.root_password = lines.has("permitrootlogin", "yes") && !is_key_only;
        open.password = !lines.has("passwordauthentication", "no") || lines.has("kbdinteractiveauthentication", "yes");
    }
    let mut people = people::after(&after.people, specs);
    people.retain(|person| !gone.sudo || person.name == "root");
    let ask = |name: &str| if gone.may_concern(name) { Sudo::Nothing } else { Sudo::ask(session.host, name) };
    match let_somebody_in(&open, &people, &ask) {
        Ok(()) if !gone.sshd => Ok(()),
        refused => {
            let mut why = vec![WHY.to_owned()];
            why.extend(refused.err().into_iter().flatten());
            Err(problem(why.join("\n"))
                .fix("ask for it again, or let another account in first: ssh-copy-id USER@HOST, adduser USER sudo"))
        }
    }
}

fn doors(access: &Access) -> Doors {
    Doors { password: access.password, root: access.root, root_password: access.root_password, other: access.other }
}

/// Whether a rule goes that opens a port of sshd, and nothing is left to keep it open.
fn shuts(plan: &Plan, specs: &[Spec], port: u16) -> bool {
    let opens =
        |kind: &str, name: &str| kind == "firewall_rule" && Rule::parse(name).is_ok_and(|rule| rule.opens(port));
    let stays = specs.iter().any(|spec| spec.kind == "firewall" || opens(spec.kind, &spec.name));
    !stays && plan.dropped().any(|(step, _)| opens(step.id.kind(), step.id.name()))
}

/// What of the way in goes.
fn gone(session: &Session<'_>, plan: &Plan) -> std::result::Result<Gone, Problem> {
    let mut gone = Gone::default();
    let row = |step| -> std::result::Result<Option<StepRow>, Problem> {
        Ok(session.journal_to_read()?.map(|journal| journal.step(step)).transpose()?.flatten())
    };
    for (step, dropped) in plan.dropped() {
        let name = step.id.name();
        match step.id.kind() {
            // Who was there before stays.
            "user" if row(dropped.step)?.is_none_or(|row| row.action == "create") => {
                gone.users.insert(name.to_owned());
            }
            "group" if may_rule(session.host, name)? => {
                gone.groups.insert(name.to_owned());
            }
            "member" => {
                if let Some((user, group)) = name.split_once('/')
                    && may_rule(session.host, group)?
                {
                    gone.members.insert((user.to_owned(), group.to_owned()));
                }
            }
            "package" => {
                let stays = |name: &&String| dropped.heirs.values().any(|names| names.contains(*name));
                for name in dropped.names.iter().filter(|name| !stays(name)) {
                    gone.sudo |= name == "sudo" || name == "sudo-ldap";
                    gone.sshd |= name == "openssh-server" || name == "ssh";
                }
            }
            "authorized_key" => {
                let user = name.split('#').next().unwrap_or(name);
                let keys = row(dropped.step)?.and_then(|row| row.recipe).map(|recipe| keys_of(&recipe)).transpose()?;
                gone.keys.entry(user.to_owned()).or_default().extend(keys.unwrap_or_default());
            }
            "file" | "block" | "symlink" | "directory" | "generated" | "download" => {
                see_path(session.host, step, &mut gone)?;
            }
            _ => {}
        }
    }
    Ok(gone)
}

/// Whether a group makes its members administrators, or a rule of sudo is about it.
fn may_rule(host: &dyn Host, group: &str) -> Result<bool> {
    let mut files = vec![PathBuf::from(SUDOERS)];
    files.extend(host.list(Path::new(SUDOERS_D))?.iter().map(|name| Path::new(SUDOERS_D).join(name)));
    for file in files {
        if read_text(host, file.to_string_lossy().as_ref())?.contains(&format!("%{group}")) {
            return Ok(true);
        }
    }
    Ok(group == "sudo")
}

fn see_path(host: &dyn Host, step: &Step, gone: &mut Gone) -> Result<()> {
    let name = step.id.name();
    let path = name.split('#').next().unwrap_or(name);
    let is_file = host.meta(Path::new(path))?.is_some_and(|meta| meta.kind == Kind::File);
    if is_config(path) {
        gone.touches_sshd = true;
        gone.moves_keys |= !is_file || read_text(host, path)?.to_lowercase().contains("authorizedkeysfile");
    }
    if path == SUDOERS || path.starts_with(SUDOERS_D) {
        // A directory, a link: whom it is about is not known.
        gone.sudoers.push(if is_file { read_text(host, path)? } else { "%".to_owned() });
    }
    gone.paths.push(path.into());
    Ok(())
}

/// The keys that a step had put in place.
fn keys_of(recipe: &serde_json::Value) -> Result<Vec<String>> {
    let recipe = Recipe::read(recipe)?;
    let lists = recipe.parts.iter().filter_map(|part| part.spec["fields"]["keys"].as_array());
    Ok(lists.flatten().filter_map(|key| Some(key.as_str()?.trim().to_owned())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::RealHost;

    #[test]
    fn a_group_counts_when_sudo_has_a_rule_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let host = RealHost::new(dir.path().into());
        assert!(may_rule(&host, "sudo").unwrap() && !may_rule(&host, "dev").unwrap());
        std::fs::create_dir_all(dir.path().join("etc/sudoers.d")).unwrap();
        std::fs::write(dir.path().join("etc/sudoers.d/team"), "%team ALL=(ALL) ALL\n").unwrap();
        assert!(may_rule(&host, "team").unwrap() && !may_rule(&host, "dev").unwrap());
    }
}
