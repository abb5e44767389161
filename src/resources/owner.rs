//! Names of owners and groups, as `/etc/passwd` and `/etc/group` give them (passwd(5), group(5)).

use crate::engine::{Error, Result};
use crate::host::{Attributes, Host};
use std::path::Path;

/// The names and numbers of one of both files, in its order.
#[derive(Debug, Clone, Default)]
pub struct Names(Vec<(String, u32)>);

impl Names {
    /// The users of the host.
    pub fn users(host: &dyn Host) -> Result<Names> {
        Names::read(host, "/etc/passwd")
    }

    /// The groups of the host.
    pub fn groups(host: &dyn Host) -> Result<Names> {
        Names::read(host, "/etc/group")
    }

    fn read(host: &dyn Host, path: &str) -> Result<Names> {
        let path = Path::new(path);
        match host.meta(path)? {
            Some(_) => Ok(Names::parse(&String::from_utf8_lossy(&host.read(path)?))),
            None => Ok(Names::default()),
        }
    }

    /// The names and numbers in `text`: first and third field.
    pub fn parse(text: &str) -> Names {
        let entry = |line: &str| {
            let mut fields = line.split(':');
            Some((fields.next()?.to_owned(), fields.nth(1)?.parse().ok()?))
        };
        Names(text.lines().filter_map(entry).collect())
    }

    /// The name of `id`; the number itself when it has none. 0 is root even where the files are missing.
    pub fn name(&self, id: u32) -> String {
        match self.0.iter().find(|(_, n)| *n == id) {
            Some((name, _)) => name.clone(),
            None if id == 0 => "root".to_owned(),
            None => id.to_string(),
        }
    }

    /// The number of `name`, or the number that `name` is.
    ///
    /// # Errors
    /// `owner-unknown` when there is no such account.
    pub fn id(&self, name: &str) -> Result<u32> {
        match self.0.iter().find(|(n, _)| n == name) {
            Some((_, id)) => Ok(*id),
            None if name == "root" => Ok(0),
            None => name.parse().map_err(|_| {
                Error::refused(
                    "owner-unknown",
                    format!("cannot give a file to {name}"),
                    "there is no such account",
                )
                .fix(format!("let the resource need user:{name} or group:{name}"))
            }),
        }
    }
}

/// Owner and mode as the kernel wants them, without extended attributes.
pub fn attributes(host: &dyn Host, mode: u32, owner: &str, group: &str) -> Result<Attributes> {
    let uid = Names::users(host)?.id(owner)?;
    let gid = Names::groups(host)?.id(group)?;
    Ok(Attributes {
        uid,
        gid,
        ..Attributes::root(mode)
    })
}

/// Who owns a file of which nothing else is said.
pub fn root() -> String {
    "root".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_found_both_ways() {
        let names = Names::parse(
            "root:x:0:0::/root:/bin/sh\nada:x:1000:1000:Ada:/home/ada:/bin/bash\nbroken\n",
        );
        assert_eq!(names.name(1000), "ada");
        assert_eq!(names.name(7), "7");
        assert_eq!(names.id("ada").unwrap(), 1000);
        assert_eq!(names.id("1001").unwrap(), 1001);
        assert!(matches!(
            names.id("bob"),
            Err(Error::Refused {
                code: "owner-unknown",
                ..
            })
        ));
    }
}
