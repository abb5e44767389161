//! What of ufw is in the kernel: read from `iptables -S`, and taken out again in one atomic step.
//!
//! ufw leaves its chains and the jumps to them behind when it is disabled. And once someone flushed the built-in
//! chains, `ufw reload` sets the policy to drop without putting the jumps back, which shuts everybody out: so a broken
//! ruleset is taken out before ufw builds it anew.

use super::IPV6;
use super::rule::Family;
use crate::engine::Result;
use crate::host::{Command, Host};
use std::path::Path;

/// The built-in chains of the table `filter`.
const CHAINS: [&str; 3] = ["INPUT", "FORWARD", "OUTPUT"];

impl Family {
    /// The prefix of ufw's chains.
    pub fn prefix(self) -> &'static str {
        match self {
            Family::Four => "ufw-",
            Family::Six => "ufw6-",
        }
    }

    /// The program that shows and changes its ruleset.
    pub fn program(self) -> &'static str {
        match self {
            Family::Four => "iptables",
            Family::Six => "ip6tables",
        }
    }

    /// nft's name for it.
    pub fn table(self) -> &'static str {
        match self {
            Family::Four => "ip",
            Family::Six => "ip6",
        }
    }
}

/// The rules of the table `filter` in force, as `iptables -S` prints them; nothing without the program, or where the
/// kernel has no such family.
pub fn rules(host: &dyn Host, family: Family) -> Result<String> {
    let is_known = family == Family::Four || host.meta(Path::new(IPV6))?.is_some();
    if !is_known || !host.has_program(family.program()) {
        return Ok(String::new());
    }
    Ok(host.look(&Command::new(family.program()).arg("-S"))?.text())
}

/// Whether ufw's rules in force are those of its file: the policy of INPUT, the jump from it, and as many rules in the
/// chains of the user as the file has.
pub fn is_whole(rules: &str, file: &str, family: Family, drops: bool) -> bool {
    let prefix = family.prefix();
    let policy = if drops { "-P INPUT DROP" } else { "-P INPUT ACCEPT" };
    let has = |wanted: &str| rules.lines().any(|line| line == wanted);
    let counts = |text: &str, chain: &str| text.lines().filter(|line| line.starts_with(chain)).count();
    has(policy)
        && has(&format!("-A INPUT -j {prefix}before-input"))
        && has(&format!("-A {prefix}before-input -j {prefix}user-input"))
        && ["input", "output", "forward"].into_iter().all(|way| {
            let chain = format!("-A {prefix}user-{way} ");
            counts(rules, &chain) == counts(file, &chain)
        })
}

/// The policies of the built-in chains: lines `-P INPUT ACCEPT`.
pub fn policies(rules: &str) -> Vec<String> {
    rules.lines().filter(|line| line.starts_with("-P ")).map(str::to_owned).collect()
}

/// The input for `iptables-restore --noflush` that takes out ufw's chains and the jumps to them, and sets `policies`;
/// `None` when there is nothing of ufw.
pub fn removal(rules: &str, family: Family, policies: &[String]) -> Option<String> {
    let chains: Vec<&str> = rules
        .lines()
        .filter_map(|line| line.strip_prefix("-N "))
        .filter(|chain| chain.starts_with(family.prefix()))
        .collect();
    if chains.is_empty() {
        return None;
    }
    let mut script = "*filter\n".to_owned();
    for chain in CHAINS {
        let line = format!("-P {chain} ");
        let policy = policies.iter().find_map(|policy| policy.strip_prefix(&line)).unwrap_or("ACCEPT");
        script.push_str(&format!(":{chain} {policy} [0:0]\n"));
    }
    let jump = format!(" -j {}", family.prefix());
    for line in rules.lines().filter(|line| line.contains(&jump)) {
        let own = line.strip_prefix("-A ").is_some_and(|rest| rest.starts_with(family.prefix()));
        if let Some(rest) = line.strip_prefix("-A ").filter(|_| !own) {
            script.push_str(&format!("-D {rest}\n"));
        }
    }
    for verb in ["-F", "-X"] {
        for chain in &chains {
            script.push_str(&format!("{verb} {chain}\n"));
        }
    }
    script.push_str("COMMIT\n");
    Some(script)
}

/// Whether `nft list table ip filter` shows a table without any rule, chain of its own or policy but accept: as good
/// as none.
fn is_empty_table(text: &str) -> bool {
    let inner = text.lines().map(str::trim).filter(|line| !line.is_empty() && *line != "}" && !line.starts_with("# "));
    inner.into_iter().all(|line| {
        line.starts_with("table ")
            || CHAINS.iter().any(|chain| line == format!("chain {chain} {{"))
            || (line.starts_with("type filter hook ") && line.ends_with("policy accept;"))
    })
}

/// Takes ufw out of the kernel, for both families. With `tables`, also the tables that are left empty, except those
/// named in it (they were there before).
pub fn remove(host: &dyn Host, policies: &[Vec<String>; 2], tables: Option<&[String]>) -> Result<bool> {
    let mut changed = false;
    for (family, policies) in [Family::Four, Family::Six].into_iter().zip(policies) {
        if let Some(script) = removal(&rules(host, family)?, family, policies) {
            let restore = Command::new(format!("{}-restore", family.program())).arg("--noflush").stdin(script);
            host.run(&restore)?;
            changed = true;
        }
        let name = format!("table {} filter", family.table());
        if let Some(before) = tables
            && !before.contains(&name)
            && host.has_program("nft")
            && self::tables(host)?.contains(&name)
        {
            let list = Command::new("nft").args(["list", "table", family.table(), "filter"]);
            if is_empty_table(&host.look(&list)?.text()) {
                host.run(&Command::new("nft").args(["delete", "table", family.table(), "filter"]))?;
                changed = true;
            }
        }
    }
    Ok(changed)
}

/// The tables in force, as nft lists them: `table ip filter`.
pub fn tables(host: &dyn Host) -> Result<Vec<String>> {
    if !host.has_program("nft") {
        return Ok(Vec::new());
    }
    let text = host.look(&Command::new("nft").args(["list", "tables"]))?.text();
    Ok(text.lines().map(|line| line.trim().to_owned()).filter(|line| line.starts_with("table ")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIVE: &str = "-P INPUT DROP\n-P FORWARD DROP\n-P OUTPUT ACCEPT\n-N DOCKER\n-N ufw-before-input\n\
        -N ufw-user-input\n-A INPUT -j ufw-before-input\n-A INPUT -p tcp -j f2b-sshd\n-A FORWARD -j DOCKER\n\
        -A ufw-before-input -j ufw-user-input\n-A ufw-user-input -p tcp -m tcp --dport 22 -j ACCEPT\n";
    const FILE: &str = "### RULES ###\n-A ufw-user-input -p tcp --dport 22 -j ACCEPT\n";

    #[test]
    fn a_flushed_chain_an_open_policy_and_an_extra_rule_are_seen() {
        let (live6, file6) = (LIVE.replace("ufw-", "ufw6-"), FILE.replace("ufw-", "ufw6-"));
        assert!(is_whole(&live6, &file6, Family::Six, true));
        assert!(!is_whole(LIVE, &file6, Family::Six, true), "the chains of the other family don't count");
        assert!(is_whole(LIVE, FILE, Family::Four, true));
        assert!(!is_whole(LIVE, FILE, Family::Four, false));
        assert!(!is_whole(&LIVE.replace("-A INPUT -j ufw-before-input\n", ""), FILE, Family::Four, true));
        assert!(!is_whole(&LIVE.replace("-P INPUT DROP", "-P INPUT ACCEPT"), FILE, Family::Four, true));
        assert!(!is_whole(&format!("{LIVE}-A ufw-user-input -p tcp --dport 23 -j ACCEPT\n"), FILE, Family::Four, true));
        assert!(!is_whole("", FILE, Family::Four, true));
    }

    #[test]
    fn removal_touches_only_what_is_of_ufw() {
        let script = removal(LIVE, Family::Four, &["-P FORWARD DROP".to_owned()]).unwrap();
        let wanted = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n\
            -D INPUT -j ufw-before-input\n-F ufw-before-input\n-F ufw-user-input\n-X ufw-before-input\n\
            -X ufw-user-input\nCOMMIT\n";
        assert_eq!(script, wanted);
        assert_eq!(removal("-P INPUT ACCEPT\n-N DOCKER\n", Family::Four, &[]), None);
    }

    #[test]
    fn a_table_with_a_rule_of_somebody_is_not_empty() {
        let empty =
            "table ip filter {\n\tchain INPUT {\n\t\ttype filter hook input priority filter; policy accept;\n\t}\n}\n";
        assert!(is_empty_table(empty));
        assert!(!is_empty_table(&empty.replace("accept;\n", "accept;\n\t\tcounter drop\n")));
        assert!(!is_empty_table(&empty.replace("INPUT", "DOCKER")));
        assert!(!is_empty_table(&empty.replace("policy accept", "policy drop")));
    }
}
