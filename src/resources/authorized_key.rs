//! The kind `authorized_key`: public keys of a user in a managed block of `~/.ssh/authorized_keys` (sshd(8)). Other
//! keys stay. The directory and the file belong to the user, 0700 and 0600, as sshd's StrictModes wants them.
//!
//! The home is the user's to fill: a link, or a directory of somebody else, in the way is refused, for root would
//! write where the user points. (The host layer refuses links of users on the way to a file once more, in the act.)

use super::fields;
use super::part::{self, Part, Place};
use super::preimage::{self, Image, Intent, Paths};
use crate::base::count::counted;
use crate::base::ids::ResourceId;
use crate::engine::{Action, Change, Context, Error, Resource, Result, State, UndoRecord};
use crate::host::accounts::{Accounts, User};
use crate::host::{Attributes, Host, Kind, Meta};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

const KIND: &str = "authorized_key";

/// Public keys of a user.
#[derive(Debug)]
pub struct AuthorizedKey {
    id: ResourceId,
    user: String,
    marker: String,
    content: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    #[serde(deserialize_with = "fields::list")]
    keys: Vec<String>,
    #[serde(default = "usual_marker")]
    marker: String,
}

fn usual_marker() -> String {
    "keys".to_owned()
}

/// What is seen: our block, and owner and mode of the directory and the file (`ada 0700`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Found {
    block: Option<String>,
    directory: Option<String>,
    file: Option<String>,
}

impl AuthorizedKey {
    /// The keys of the user `name`.
    ///
    /// # Errors
    /// `manifest-invalid`: a line that is no public key.
    pub fn from_spec(name: &str, fields: &Map<String, Value>, module: &str) -> Result<Box<dyn Resource>> {
        let fields: Fields = fields::read(KIND, name, fields, module)?;
        let invalid = |why: String| fields::invalid(KIND, name, module, why);
        let word = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if fields.marker.is_empty() || !fields.marker.chars().all(word) {
            return Err(invalid("the marker must be one word".into()));
        }
        let mut content = String::new();
        for key in &fields.keys {
            let key = key.trim();
            if !is_public_key(key) {
                let start: String = key.chars().take(24).collect();
                return Err(invalid(format!("`{start}…` is no line of a public key")));
            }
            content.push_str(key);
            content.push('\n');
        }
        let id = ResourceId::new(KIND, &format!("{name}#{}", fields.marker));
        Ok(Box::new(AuthorizedKey { id, user: name.to_owned(), marker: fields.marker, content }))
    }

    fn refused(&self, why: String) -> Error {
        Error::refused("unsafe-path", format!("cannot write the SSH keys of {}", self.user), why)
            .fix("look at the user's home directory, and move away what is not the user's own")
    }

    /// The user, and what is at `~/.ssh` and at the file; `None` as long as there is no such user.
    fn places(&self, host: &dyn Host) -> Result<Option<Places>> {
        let Some(user) = Accounts::read(host)?.user(&self.user).cloned() else {
            return Ok(None);
        };
        let directory = Path::new(&user.home).join(".ssh");
        let file = directory.join("authorized_keys");
        let at = |path: &Path, kind: Kind, word: &str| -> Result<Option<Meta>> {
            match host.meta(path)? {
                Some(meta) if meta.kind != kind => Err(self.refused(format!("{} is no {word}", path.display()))),
                Some(meta) if meta.attributes.uid != user.uid && meta.attributes.uid != 0 => {
                    Err(self.refused(format!("{} belongs to another user", path.display())))
                }
                meta => Ok(meta),
            }
        };
        let directory_meta = at(&directory, Kind::Directory, "directory")?;
        let file_meta = at(&file, Kind::File, "plain file")?;
        Ok(Some(Places { user, directory, file, directory_meta, file_meta }))
    }

    /// The places of a user who must be there by now, with a home.
    fn present(&self, host: &dyn Host) -> Result<Places> {
        let what = || format!("cannot write the SSH keys of {}", self.user);
        let Some(places) = self.places(host)? else {
            return Err(Error::refused("user-unknown", what(), "there is no such user"));
        };
        match host.meta(Path::new(&places.user.home))? {
            Some(_) => Ok(places),
            None => Err(Error::refused("home-missing", what(), format!("there is no directory {}", places.user.home))),
        }
    }
}

/// Where a user's keys lie.
#[derive(Debug)]
struct Places {
    user: User,
    directory: PathBuf,
    file: PathBuf,
    directory_meta: Option<Meta>,
    file_meta: Option<Meta>,
}

impl Places {
    fn owned(&self, mode: u32, there: Option<&Meta>) -> Attributes {
        let xattrs = there.map(|meta| meta.attributes.xattrs.clone()).unwrap_or_default();
        Attributes { mode, uid: self.user.uid, gid: self.user.gid, xattrs }
    }

    fn text(&self, host: &dyn Host) -> Result<Vec<u8>> {
        Ok(match self.file_meta {
            Some(_) => host.read(&self.file)?,
            None => Vec::new(),
        })
    }

    fn words(&self, meta: Option<&Meta>) -> Option<String> {
        let attributes = &meta?.attributes;
        let owner = if attributes.uid == self.user.uid { &self.user.name } else { "root" };
        Some(format!("{owner} {:04o}", attributes.mode))
    }
}

impl Resource for AuthorizedKey {
    fn id(&self) -> &ResourceId {
        &self.id
    }

    /// Two blocks of one user's file must not be written at the same time.
    fn exclusive(&self) -> &'static [&'static str] {
        &["authorized-keys"]
    }

    fn observe(&self, host: &dyn Host) -> Result<State> {
        let found = match self.places(host)? {
            Some(places) => {
                let text = places.text(host)?;
                let block = part::inner(&text, &self.marker).map(|b| String::from_utf8_lossy(b).into_owned());
                let directory = places.words(places.directory_meta.as_ref());
                Found { block, directory, file: places.words(places.file_meta.as_ref()) }
            }
            None => Found { block: None, directory: None, file: None },
        };
        Ok(State(preimage::to_data(KIND, &found)?))
    }

    fn compare(&self, seen: &State) -> Result<Change> {
        let found: Found = preimage::from_data(KIND, 1, &seen.0)?;
        let wanted = Found {
            block: Some(self.content.clone()),
            directory: Some(format!("{} 0700", self.user)),
            file: Some(format!("{} 0600", self.user)),
        };
        if found == wanted {
            return Ok(Change::keep(seen));
        }
        let keys = counted(self.content.lines().count(), "key");
        let summary = match &found.block {
            Some(block) if *block == self.content => "give the directory and the file to the user alone".to_owned(),
            Some(_) => format!("let {keys} in in place of those that we wrote before"),
            None => format!("let {keys} in"),
        };
        let action = if found.block.is_some() { Action::Update } else { Action::Create };
        let mut change = Change::new(action, summary, preimage::to_data(KIND, &wanted)?);
        let end = |key: &str| key.split_whitespace().last().unwrap_or_default().to_owned();
        change.details = self.content.lines().map(|key| format!("key {}", end(key))).collect();
        Ok(change)
    }

    fn capture(&self, context: &Context<'_>, _seen: &State, _change: &Change) -> Result<UndoRecord> {
        let places = self.present(context.host)?;
        let text = places.text(context.host)?;
        let before = part::inner(&text, &self.marker).map(|b| String::from_utf8_lossy(b).into_owned());
        let ours = Part::Block { marker: self.marker.clone(), before, after: self.content.clone() };
        let new = part::put(&text, &self.marker, &self.content, Place::End);
        let file = Image::file(&new, places.owned(0o600, places.file_meta.as_ref()));
        let directory = Image::Directory { attributes: places.owned(0o700, places.directory_meta.as_ref()) };
        let intents = [Intent::new(&places.directory, directory), Intent::part(&places.file, file, ours)];
        Paths::capture(context, &intents)?.record()
    }

    fn apply(&self, context: &Context<'_>, _seen: &State, _change: &Change) -> Result<()> {
        let host = context.host;
        let places = self.present(host)?;
        let attributes = places.owned(0o700, places.directory_meta.as_ref());
        match places.directory_meta {
            Some(_) => host.set_attributes(&places.directory, &attributes)?,
            None => host.make_directory(&places.directory, &attributes)?,
        }
        let new = part::put(&places.text(host)?, &self.marker, &self.content, Place::End);
        Ok(host.write(&places.file, &new, &places.owned(0o600, places.file_meta.as_ref()))?)
    }
}

/// Whether a line is a public key, options before it allowed: a key type that OpenSSH has, and behind it base64 text
/// that names the same type, as all of them do at their start.
fn is_public_key(line: &str) -> bool {
    const TYPES: [&str; 7] = [
        "ssh-ed25519",
        "ssh-rsa",
        "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp521",
        "sk-ssh-ed25519@openssh.com",
        "sk-ecdsa-sha2-nistp256@openssh.com",
    ];
    let base64 = |c: char| c.is_ascii_alphanumeric() || "+/=".contains(c);
    let words: Vec<&str> = line.split_whitespace().collect();
    !line.contains(['\n', '\0'])
        && words.windows(2).any(|pair| match pair {
            [kind, key] => {
                TYPES.contains(kind) && key.starts_with("AAAA") && key.len() >= 64 && key.chars().all(base64)
            }
            _ => false,
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Outcome;
    use crate::resources::bench::{Bench, survives_every_crash};
    use serde_json::json;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, chown, symlink};

    const FILE: &str = "/home/ada/.ssh/authorized_keys";
    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB0123456789012345678901234567890123456789abc ada@laptop";
    const OTHER: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBxyzxyzxyzxyzxyzxyzxyzxyzxyzxyzxyzxyzxyzxyz other";

    fn keys(lines: &str) -> Box<dyn Resource> {
        AuthorizedKey::from_spec("ada", json!({"keys": lines}).as_object().unwrap(), "test").unwrap()
    }

    /// Only root can give files away; without that these tests would say nothing.
    fn bench() -> Bench {
        let bench = Bench::new();
        fs::create_dir_all(bench.at("/home/ada")).unwrap();
        chown(bench.at("/home/ada"), Some(1000), Some(1000)).expect("run as root (fakeroot will do)");
        bench
    }

    #[test]
    fn a_key_goes_in_with_directory_owner_and_modes_and_all_comes_back() {
        let bench = bench();
        let change = bench.there_and_back(&*keys(KEY));
        assert_eq!((change.summary.as_str(), change.details), ("let 1 key in", vec!["key ada@laptop".to_owned()]));
        let _step = bench.step(&*keys(KEY));
        let meta = fs::metadata(bench.at(FILE)).unwrap();
        assert_eq!((meta.uid(), meta.gid(), meta.mode() & 0o7777), (1000, 1000, 0o600));
    }

    #[test]
    fn other_keys_stay_when_ours_come_and_when_they_go() {
        let bench = bench();
        bench.put(FILE, format!("{OTHER}\n"));
        let _ = bench.there_and_back(&*keys(KEY));
        let step = bench.step(&*keys(KEY));
        assert!(bench.text(FILE).starts_with(OTHER) && bench.text(FILE).contains(KEY));
        bench.put(FILE, bench.text(FILE).replace("other", "renamed"));
        let _ = step.undo();
        assert_eq!(bench.text(FILE), format!("{}\n", OTHER.replace("other", "renamed")));
    }

    #[test]
    fn links_and_strangers_in_the_way_are_refused() {
        let refused =
            |bench: &Bench| matches!(keys(KEY).observe(bench.host()), Err(Error::Refused { code: "unsafe-path", .. }));
        let link = bench();
        symlink("/etc", link.at("/home/ada/.ssh")).unwrap();
        assert!(refused(&link));
        let file = bench();
        fs::create_dir(file.at("/home/ada/.ssh")).unwrap();
        symlink("/etc/shadow", file.at(FILE)).unwrap();
        assert!(refused(&file));
        let stranger = bench();
        stranger.put(FILE, "");
        chown(stranger.at("/home/ada/.ssh"), Some(1234), None).unwrap();
        assert!(refused(&stranger));
    }

    #[test]
    fn a_user_who_will_only_be_made_can_be_planned_and_not_applied() {
        let bench = bench();
        let resource = AuthorizedKey::from_spec("eve", json!({"keys": [KEY]}).as_object().unwrap(), "test").unwrap();
        let (seen, change) = bench.plan(&*resource);
        assert!(change.is_needed());
        let error = resource.apply(&bench.context(), &seen, &change).unwrap_err();
        assert!(matches!(error, Error::Refused { code: "user-unknown", .. }));
    }

    #[test]
    fn a_line_that_is_no_public_key_is_refused() {
        for wrong in ["hello", "ssh-ed25519 AAAA", "-----BEGIN OPENSSH PRIVATE KEY-----"] {
            let fields = json!({"keys": [wrong]});
            assert!(AuthorizedKey::from_spec("ada", fields.as_object().unwrap(), "test").is_err(), "{wrong}");
        }
        assert!(is_public_key(&format!("from=\"10.0.0.0/8\",no-pty {KEY}")));
    }

    #[test]
    fn a_key_that_others_used_the_directory_for_keeps_the_directory() {
        let bench = bench();
        let step = bench.step(&*keys(KEY));
        bench.put("/home/ada/.ssh/config", "Host *\n");
        assert!(matches!(step.undo(), Outcome::Kept(_)));
        assert!(!bench.at(FILE).exists() && bench.at("/home/ada/.ssh/config").exists());
    }

    #[test]
    fn no_crash_leaves_half_a_key() {
        survives_every_crash(|| (bench(), keys(KEY)));
    }
}
