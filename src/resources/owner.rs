//! Owners by name: a plan names the user that a file will belong to before that user exists.

use crate::engine::{Error, Result};
use crate::host::accounts::Accounts;
use crate::host::{Attributes, Host};

/// Owner and mode as the kernel wants them, without extended attributes.
///
/// # Errors
/// `owner-unknown` when there is no such user or group.
pub fn attributes(host: &dyn Host, mode: u32, owner: &str, group: &str) -> Result<Attributes> {
    if owner == root() && group == root() {
        return Ok(Attributes::root(mode));
    }
    let accounts = Accounts::read(host)?;
    let uid = match accounts.user(owner) {
        Some(user) => user.uid,
        None => number(owner, "user")?,
    };
    let gid = match accounts.group(group) {
        Some(group) => group.gid,
        None => number(group, "group")?,
    };
    Ok(Attributes { uid, gid, ..Attributes::root(mode) })
}

/// The names of this owner and group; the numbers themselves where there is no name.
pub fn names(host: &dyn Host, attributes: &Attributes) -> Result<(String, String)> {
    if (attributes.uid, attributes.gid) == (0, 0) {
        return Ok((root(), root()));
    }
    let accounts = Accounts::read(host)?;
    let nameless = |id: u32| if id == 0 { root() } else { id.to_string() };
    let owner = accounts.user_of(attributes.uid).map(|user| user.name.clone());
    let group = accounts.group_of(attributes.gid).map(|group| group.name.clone());
    Ok((owner.unwrap_or_else(|| nameless(attributes.uid)), group.unwrap_or_else(|| nameless(attributes.gid))))
}

/// Who owns a file of which nothing else is said.
pub fn root() -> String {
    "root".to_owned()
}

/// The number that a name without an account stands for: root is 0 even where the account files are missing.
fn number(name: &str, kind: &str) -> Result<u32> {
    if name == "root" {
        return Ok(0);
    }
    name.parse().map_err(|_| {
        let why = format!("there is no {kind} of that name");
        Error::refused("owner-unknown", format!("cannot give a file to {name}"), why)
            .fix(format!("let the resource need {kind}:{name}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::bench::Bench;

    #[test]
    fn names_and_numbers_are_found_both_ways() {
        let bench = Bench::new();
        let ada = attributes(bench.host(), 0o600, "ada", "adm").unwrap();
        assert_eq!((ada.uid, ada.gid), (1000, 4));
        assert_eq!(names(bench.host(), &ada).unwrap(), ("ada".to_owned(), "adm".to_owned()));
        let stranger = Attributes { uid: 77, ..Attributes::root(0) };
        assert_eq!(names(bench.host(), &stranger).unwrap(), ("77".to_owned(), "root".to_owned()));
        let error = attributes(bench.host(), 0, "bob", "root").unwrap_err();
        assert!(matches!(error, Error::Refused { code: "owner-unknown", .. }));
    }
}
