//! The account databases of passwd(5), shadow(5), group(5), gshadow(5) and subuid(5): lines of fields with colons, found
//! by their first field. They are changed through shadow's own programs; taking a change back puts back exactly the
//! lines that were changed, so that order, bytes and everybody else's lines stay as they are.

use crate::base::digest::Digest;
use crate::base::paths::{GROUP, GSHADOW, PASSWD, SHADOW, SUBGID, SUBUID};
use crate::engine::{Context, Error, Progress, Result, progress::Event};
use crate::host::{self, Guard, Host, read_if_there, read_text};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// The lock of lckpwdf(3), which all programs of shadow hold while they write.
const PWD_LOCK: &str = "/etc/.pwd.lock";

/// The files that adding a user may change.
pub const OF_A_USER: [&str; 6] = [PASSWD, SHADOW, GROUP, GSHADOW, SUBUID, SUBGID];
/// The files that adding a group may change.
pub const OF_A_GROUP: [&str; 2] = [GROUP, GSHADOW];

/// The fields of the line of `key`, or `None`.
pub fn fields<'a>(text: &'a str, key: &str) -> Option<Vec<&'a str>> {
    line(text, key).map(|line| line.split(':').collect())
}

/// The line of `key` without its line end, or `None`.
pub fn line<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find(|line| line.split(':').next() == Some(key) && line.contains(':'))
}

/// `text` with the line of `key` replaced, or taken out when `with` is `None`. A key that isn't there adds nothing. Bytes:
/// the name of a person may be in whatever encoding there was when the account was made.
pub fn replaced(text: &[u8], key: &str, with: Option<&str>) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for whole in text.split_inclusive(|byte| *byte == b'\n') {
        let (bare, end) = whole.strip_suffix(b"\n").map_or((whole, &b""[..]), |bare| (bare, &b"\n"[..]));
        let is_its = bare.strip_prefix(key.as_bytes()).is_some_and(|rest| rest.starts_with(b":"));
        match (is_its, with) {
            (false, _) => out.extend_from_slice(whole),
            (true, None) => {}
            (true, Some(with)) => out.extend([&written_as(with, bare)[..], end].concat()),
        }
    }
    out
}

/// The line `with`; of its fields those that are as in `was`, but for what is no UTF-8 there, in the bytes of that.
fn written_as(with: &str, was: &[u8]) -> Vec<u8> {
    let mut fields = was.split(|byte| *byte == b':');
    let one = |field: &str| match fields.next() {
        Some(bytes) if String::from_utf8_lossy(bytes) == field => bytes.to_vec(),
        _ => field.as_bytes().to_vec(),
    };
    with.split(':').map(one).collect::<Vec<_>>().join(&b':')
}

/// `line` of group(5) or gshadow(5) without `user` among its members (the last field).
pub fn without_member(line: &str, user: &str) -> String {
    let (head, members) = line.rsplit_once(':').unwrap_or((line, ""));
    let left: Vec<&str> = members.split(',').filter(|member| *member != user).collect();
    format!("{head}:{}", left.join(","))
}

/// The members that `line` of group(5) names.
pub fn members(line: &str) -> Vec<&str> {
    line.rsplit(':').next().unwrap_or("").split(',').filter(|name| !name.is_empty()).collect()
}

/// The name of the group with this number.
pub fn group_name(groups: &str, gid: &str) -> Option<String> {
    groups.lines().map(|l| l.split(':').collect::<Vec<_>>()).find(|f| f.get(2) == Some(&gid)).map(|f| f[0].to_owned())
}

/// The users in passwd(5) whose first group has this number.
pub fn users_of_group(passwd: &str, gid: &str) -> Vec<String> {
    let users = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
    users.filter(|fields| fields.get(3) == Some(&gid)).map(|fields| fields[0].to_owned()).collect()
}

/// Whether shadow's useradd takes this name (Debian's rule: no colon, comma, slash, blank, nor a dash at the start).
pub fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let first = name.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    first && name.len() <= 32 && name.chars().all(plain)
}

/// The lines of one account as they are at one moment: file → line. Kept in the object store, because they hold
/// password hashes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Lines(pub BTreeMap<String, String>);

impl Lines {
    /// The lines of `key` in `files`.
    pub fn of(host: &dyn Host, files: &[&str], key: &str) -> Result<Lines> {
        let mut lines = BTreeMap::new();
        for file in files {
            if let Some(line) = line(&read_text(host, file)?, key) {
                lines.insert((*file).to_owned(), line.to_owned());
            }
        }
        Ok(Lines(lines))
    }

    /// Keeps them in the object store.
    pub fn keep(&self, context: &Context<'_>) -> Result<Digest> {
        Ok(context.objects.put(serde_json::to_vec(self).unwrap_or_default().as_slice())?)
    }

    /// Reads them back from the object store.
    pub fn kept(context: &Context<'_>, kind: &str, digest: &Digest) -> Result<Lines> {
        let bytes = context.objects.get(digest)?;
        serde_json::from_slice(&bytes).map_err(|e| Error::BadRecord { kind: kind.to_owned(), why: e.to_string() })
    }

    /// The digest of each line: enough to see later whether somebody changed it, and no secret.
    pub fn digests(&self) -> BTreeMap<String, Digest> {
        self.0.iter().map(|(file, line)| (file.clone(), Digest::of(line.as_bytes()))).collect()
    }
}

/// Replaces the line of `key` in `file`, or takes it out; everything else stays, owner and mode too. Holds the lock of the
/// programs of shadow meanwhile, for which it waits. True when the file changed.
pub fn put(host: &dyn Host, progress: &dyn Progress, file: &str, key: &str, with: Option<&str>) -> Result<bool> {
    let before = read_text(host, file)?;
    if line(&before, key).is_none() || line(&before, key) == with {
        return Ok(false);
    }
    let _lock = take_lock(host, progress)?;
    let before = read_if_there(host, file)?.unwrap_or_default();
    let after = replaced(&before, key, with);
    if after == before {
        return Ok(false);
    }
    let Some(meta) = host.meta(Path::new(file))? else {
        return Ok(false);
    };
    host.write(Path::new(file), &after, &meta.attributes)?;
    Ok(true)
}

/// Takes the lock of the account databases; waits up to 15 s for it, as lckpwdf(3) does.
fn take_lock(host: &dyn Host, progress: &dyn Progress) -> Result<Box<dyn Guard>> {
    for _ in 0..29 {
        match host.lock_fcntl(Path::new(PWD_LOCK)) {
            Err(host::Error::Locked { holder, .. }) => {
                progress.tell(&Event::Waiting { what: &format!("the account databases, held by {holder}") });
                host.pause(Duration::from_millis(500));
            }
            taken => return Ok(taken?),
        }
    }
    host.lock_fcntl(Path::new(PWD_LOCK)).map_err(|error| match error {
        host::Error::Locked { holder, .. } => {
            let why = format!("{holder} has held {PWD_LOCK} for 15 s");
            Error::refused("accounts-locked", "change the account databases", why)
                .fix("see what it is (ps -p its number); end it or let it finish, then run again")
        }
        error => error.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Silent;
    use crate::host::RealHost;
    use crate::resources::bench::Bench;
    use std::sync::{Arc, Mutex};

    const GROUPS: &str = "root:x:0:\nsudo:x:27:anna,bo\nan:x:1001:";

    #[test]
    fn a_line_is_found_by_its_whole_first_field() {
        assert_eq!(line(GROUPS, "an"), Some("an:x:1001:"));
        assert_eq!(line(GROUPS, "ann"), None);
        assert_eq!(fields(GROUPS, "sudo").unwrap()[3], "anna,bo");
        assert_eq!(group_name(GROUPS, "1001").as_deref(), Some("an"));
    }

    #[test]
    fn taking_a_line_out_leaves_every_other_byte() {
        let replaced = |key: &str, with| String::from_utf8(replaced(GROUPS.as_bytes(), key, with)).unwrap();
        assert_eq!(replaced("sudo", None), "root:x:0:\nan:x:1001:");
        assert_eq!(replaced("an", None), "root:x:0:\nsudo:x:27:anna,bo\n");
        assert_eq!(replaced("an", Some("an:x:7:")), "root:x:0:\nsudo:x:27:anna,bo\nan:x:7:");
        assert_eq!(replaced("nobody", Some("nobody:x:7:")), GROUPS);
    }

    #[test]
    fn names_in_another_encoding_stay_as_they_are() {
        let passwd = b"j:x:1000:1000:J\xf6rg:/home/j:/bin/zsh\nan:x:1001:1001:An:/home/an:/bin/sh\n";
        let bench = Bench::new();
        bench.put("/etc/passwd", passwd);
        assert!(put(bench.host(), &Silent, PASSWD, "an", None).unwrap());
        assert_eq!(bench.host().read(Path::new(PASSWD)).unwrap(), passwd[..36]);
        // A line that was kept as text, and comes back with another shell.
        let kept = String::from_utf8_lossy(&passwd[..35]).replace("zsh", "bash");
        assert!(put(bench.host(), &Silent, PASSWD, "j", Some(&kept)).unwrap());
        let now = bench.host().read(Path::new(PASSWD)).unwrap();
        assert_eq!(now, b"j:x:1000:1000:J\xf6rg:/home/j:/bin/bash\n");
    }

    #[test]
    fn a_member_leaves_and_the_others_stay() {
        assert_eq!(without_member("sudo:x:27:anna,bo", "anna"), "sudo:x:27:bo");
        assert_eq!(without_member("sudo:x:27:anna", "anna"), "sudo:x:27:");
        assert_eq!(without_member("sudo:x:27:annabel", "anna"), "sudo:x:27:annabel");
        assert_eq!(members("sudo:x:27:"), Vec::<&str>::new());
    }

    #[test]
    fn the_lock_of_shadow_is_waited_for_and_held_until_the_file_is_written() {
        let bench = Bench::new();
        bench.put("/etc/group", GROUPS);
        let held = bench.host().lock_fcntl(Path::new(PWD_LOCK)).unwrap();
        let error = put(&bench.fake(), &Silent, GROUP, "an", None).unwrap_err();
        assert!(error.to_string().contains("15 s"), "{error}");
        assert_eq!(bench.text("/etc/group"), GROUPS);
        drop(held);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (notes, other) = (Arc::clone(&seen), RealHost::new(bench.at("/")));
        let fake = bench.fake().observed(Box::new(move |moment| {
            if moment.what.starts_with("write") {
                notes.lock().unwrap().push(other.lock_fcntl(Path::new(PWD_LOCK)).is_err());
            }
        }));
        assert!(put(&fake, &Silent, GROUP, "an", None).unwrap());
        assert_eq!(*seen.lock().unwrap(), [true], "somebody else could write at the same time");
        bench.host().lock_fcntl(Path::new(PWD_LOCK)).unwrap();
    }

    #[test]
    fn names_that_useradd_would_take_for_options_or_break_its_files_are_refused() {
        assert!(is_name("anna") && is_name("_apt") && is_name("web-1"));
        assert!(!is_name("-r") && !is_name("a:b") && !is_name("") && !is_name("a b") && !is_name("a/b"));
    }
}
