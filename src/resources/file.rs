//! The kind `file`: a whole file of ours, with content, owner and mode.

use super::preimage::{self, Image, Intent, Paths};
use super::seen::{Owned, Seen};
use super::whole::{Draft, Whole};
use super::{fields, insert, owner};
use crate::base::diff;
use crate::base::digest::Digest;
use crate::base::ids::ResourceId;
use crate::engine::{Action, Change, Context, Error, Resource, Result, State, UndoRecord};
use crate::host::{Attributes, Host};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A detail of a change: somebody else made what was there, as far as its bytes show.
pub const FOREIGN: &str = "replaces a file that vps-configurator did not write";

/// A file of which we own every byte.
#[derive(Debug)]
pub struct File {
    id: ResourceId,
    path: PathBuf,
    fields: Fields,
    whole: Option<Arc<Whole>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    content: String,
    #[serde(default = "plain_mode", deserialize_with = "fields::mode")]
    mode: u32,
    #[serde(default = "owner::root")]
    owner: String,
    #[serde(default = "owner::root")]
    group: String,
    #[serde(default, rename = "check", deserialize_with = "fields::list")]
    _check: Vec<String>,
    #[serde(default, deserialize_with = "fields::boolean")]
    secret: bool,
    #[serde(default, deserialize_with = "fields::boolean")]
    create_only: bool,
    #[serde(default, deserialize_with = "fields::boolean")]
    inserts: bool,
    #[serde(default, rename = "before_packages", deserialize_with = "fields::boolean")]
    _before_packages: bool,
}

/// What the file will be.
pub fn draft(name: &str, fields: &Map<String, Value>, module: &str) -> Result<Draft> {
    let Fields { content, mode, owner, group, create_only, inserts, .. } = fields::read("file", name, fields, module)?;
    Ok(Draft::File { content, mode, owner, group, create_only, inserts })
}

fn plain_mode() -> u32 {
    0o644
}

impl File {
    /// The file `name` as a manifest declares it, its template already rendered into `content`; `whole` is what it is
    /// checked with.
    pub fn from_spec(
        name: &str,
        fields: &Map<String, Value>,
        module: &str,
        whole: Option<Arc<Whole>>,
    ) -> Result<Box<dyn Resource>> {
        let path = fields::path("file", name, module)?;
        let mut fields: Fields = fields::read("file", name, fields, module)?;
        fields.secret |= fields.inserts;
        Ok(Box::new(File { id: ResourceId::new("file", name), path, fields, whole }))
    }

    fn wanted(&self) -> Seen {
        let owned = Owned::new(self.fields.mode, &self.fields.owner, &self.fields.group);
        Seen::file(self.fields.content.as_bytes(), owned, self.fields.secret)
    }

    /// The content as it stands in the file.
    fn content(&self, host: &dyn Host) -> Result<String> {
        let what = format!("cannot write {}", self.path.display());
        if self.fields.inserts {
            insert::required(host, &self.fields.content, &what)
        } else {
            Ok(self.fields.content.clone())
        }
    }

    fn attributes(&self, host: &dyn Host) -> Result<Attributes> {
        owner::attributes(host, self.fields.mode, &self.fields.owner, &self.fields.group)
    }

    /// The difference from `old` to what is wanted; `None` when that is secret, or no text.
    fn diff(&self, old: &str) -> Option<String> {
        let Seen::File { text: Some(new), .. } = self.wanted() else { return None };
        let name = self.path.to_string_lossy();
        Some(diff::unified(old, &new, &name, &name))
    }

    /// Whether the file that was seen bears our name: in its own, or in its first lines as all that we write does.
    fn is_ours(&self, text: Option<&str>) -> bool {
        let named = |text: &str| text.lines().take(5).any(|line| line.contains("vps-configurator"));
        self.path.to_string_lossy().contains("vps-configurator") || text.is_some_and(named)
    }

    fn replace_file(&self, digest: &Digest, owned: &Owned, text: Option<&String>) -> Change {
        let bytes = self.fields.content.as_bytes();
        let wanted_owned = Owned::new(self.fields.mode, &self.fields.owner, &self.fields.group);
        let mut details = owned.changes(&wanted_owned);
        if *digest == Digest::of(bytes) {
            return Change::new(Action::Update, format!("set {}", details.join(", ")), self.wanted().state().0);
        }
        let summary = format!("write {} bytes, {}", bytes.len(), wanted_owned.words());
        let mut change = Change::new(Action::Update, summary, self.wanted().state().0);
        if !self.is_ours(text.map(String::as_str)) {
            details.insert(0, FOREIGN.to_owned());
        }
        change.details = details;
        change.diff = text.and_then(|old| self.diff(old));
        change
    }
}

impl Resource for File {
    fn id(&self) -> &ResourceId {
        &self.id
    }

    fn paths(&self) -> Vec<PathBuf> {
        vec![self.path.clone()]
    }

    fn observe(&self, host: &dyn Host) -> Result<State> {
        let seen = Seen::at(host, &self.path, self.fields.secret)?;
        // The state names what is inserted, and doesn't hold it: the plan can't know a key that isn't made yet.
        let filled = if self.fields.inserts { insert::filled(host, &self.fields.content)? } else { None };
        Ok(match (seen, filled) {
            (Seen::File { digest, owned, .. }, Some(filled)) if digest == Digest::of(filled.as_bytes()) => {
                Seen::file(self.fields.content.as_bytes(), owned, true).state()
            }
            (seen, _) => seen.state(),
        })
    }

    fn compare(&self, seen: &State) -> Result<Change> {
        let found = Seen::from_state(seen)?;
        if found == self.wanted() {
            return Ok(Change::keep(seen));
        }
        match &found {
            Seen::File { .. } | Seen::Link { .. } if self.fields.create_only => Ok(Change::keep(seen)),
            Seen::File { digest, owned, text } => Ok(self.replace_file(digest, owned, text.as_ref())),
            Seen::Absent | Seen::Link { .. } => {
                let owned = Owned::new(self.fields.mode, &self.fields.owner, &self.fields.group);
                let summary = format!("write {} bytes, {}", self.fields.content.len(), owned.words());
                let action = if found == Seen::Absent { Action::Create } else { Action::Update };
                let mut change = Change::new(action, summary, self.wanted().state().0);
                if action == Action::Update {
                    change.details.push(format!("replaces {}", found.words()));
                }
                change.diff = self.diff("");
                Ok(change)
            }
            Seen::Directory { .. } | Seen::Other => Err(Error::refused(
                "not-a-file",
                format!("cannot write {}", self.path.display()),
                format!("there is {}, which would have to be removed", found.words()),
            )
            .fix(format!("look at {} and move it away", self.path.display()))),
        }
    }

    fn capture(&self, context: &Context<'_>, _seen: &State, _change: &Change) -> Result<UndoRecord> {
        let after = Image::file(self.content(context.host)?.as_bytes(), self.attributes(context.host)?);
        Paths::capture(context, &[Intent::new(&self.path, after)])?.record()
    }

    fn apply(&self, context: &Context<'_>, _seen: &State, _change: &Change) -> Result<()> {
        let attributes = self.attributes(context.host)?;
        let content = self.content(context.host)?;
        let put = || put(context.host, &self.path, content.as_bytes(), &attributes);
        Whole::around(self.whole.as_deref(), context, &self.path, &put)
    }
}

/// Makes the file at `path` hold `content`, with these attributes; missing parents are made. Where only the attributes
/// differ, only they are set.
pub fn put(host: &dyn Host, path: &Path, content: &[u8], attributes: &Attributes) -> Result<()> {
    let same = matches!(Image::see(host, path)?, Image::File { digest, .. } if digest == Digest::of(content));
    if same {
        return Ok(host.set_attributes(path, attributes)?);
    }
    preimage::make_parents(host, path)?;
    Ok(host.write(path, content, attributes)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Outcome;
    use crate::resources::Spec;
    use crate::resources::bench::{Bench, survives_every_crash};
    use crate::resources::whole::Wholes;
    use serde_json::json;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn file(name: &str, fields: Value) -> Box<dyn Resource> {
        let spec = Spec::sample("file", name, fields);
        let whole = Wholes::of(std::slice::from_ref(&spec)).unwrap().of_spec(0);
        File::from_spec(name, &spec.fields, "test", whole).unwrap()
    }

    #[test]
    fn a_new_file_in_a_new_directory_comes_and_goes() {
        let bench = Bench::new();
        let change = bench.there_and_back(&*file("/etc/a/b/new.conf", json!({"content": "x = 1\n", "mode": "0600"})));
        assert_eq!((change.action, change.summary.as_str()), (Action::Create, "write 6 bytes, mode 0600"));
    }

    #[test]
    fn a_foreign_file_is_replaced_with_a_word_about_it_and_comes_back() {
        let bench = Bench::new();
        bench.put("/etc/motd", "theirs\n");
        let change = bench.there_and_back(&*file("/etc/motd", json!({"content": "ours\n", "group": "adm"})));
        assert!(change.details[0].contains("did not write"), "{change:?}");
        assert!(change.diff.as_ref().unwrap().ends_with("-theirs\n+ours\n"), "{change:?}");
        assert_eq!(bench.text("/etc/motd"), "theirs\n");
    }

    #[test]
    fn only_the_mode_is_set_where_only_the_mode_differs() {
        let bench = Bench::new();
        bench.put("/etc/key", "k\n");
        fs::set_permissions(bench.at("/etc/key"), fs::Permissions::from_mode(0o666)).unwrap();
        let change = bench.there_and_back(&*file("/etc/key", json!({"content": "k\n", "mode": "0600"})));
        assert_eq!(change.summary, "set mode 0666 → 0600");
    }

    #[test]
    fn what_somebody_changed_since_is_kept_before_the_rollback() {
        let bench = Bench::new();
        bench.put("/etc/motd", "theirs\n");
        let step = bench.step(&*file("/etc/motd", json!({"content": "ours\n"})));
        bench.put("/etc/motd", "edited\n");
        let Outcome::Kept(lines) = step.undo() else { panic!("not kept") };
        assert_eq!(bench.text("/etc/motd"), "theirs\n");
        let copy = lines[0].rsplit(' ').next().unwrap();
        assert_eq!(bench.text(copy), "edited\n");
        assert_eq!(step.undo(), Outcome::AlreadyGone);
    }

    #[test]
    fn a_directory_that_others_use_by_now_stays() {
        let bench = Bench::new();
        let step = bench.step(&*file("/etc/new.d/ours", json!({"content": "x"})));
        bench.put("/etc/new.d/theirs", "y");
        assert!(matches!(step.undo(), Outcome::Kept(_)));
        assert!(!bench.at("/etc/new.d/ours").exists());
        assert_eq!(bench.text("/etc/new.d/theirs"), "y");
    }

    #[test]
    fn a_link_is_replaced_and_what_it_points_to_is_not_touched() {
        let bench = Bench::new();
        bench.put("/etc/real", "real\n");
        std::os::unix::fs::symlink("real", bench.at("/etc/alias")).unwrap();
        let change = bench.there_and_back(&*file("/etc/alias", json!({"content": "ours\n"})));
        assert_eq!(change.details, ["replaces a link to real"]);
        assert_eq!(bench.text("/etc/real"), "real\n");
    }

    #[test]
    fn a_rejected_candidate_changes_nothing_and_says_why() {
        let bench = Bench::new();
        bench.put("/etc/sudoers", "good\n");
        bench.program("visudo", "[ \"$1\" = -c ] || grep -q good \"$VPS_ROOT$2\" || { echo \"bad: $2\" >&2; exit 1; }");
        let check = json!(["visudo", "-cf", "{path}"]);
        let before = bench.tree();
        let bad = file("/etc/sudoers", json!({"content": "evil\n", "check": check}));
        let (seen, change) = bench.plan(&*bad);
        let error = bad.apply(&bench.context(), &seen, &change).unwrap_err();
        assert!(
            matches!(&error, Error::Refused { code: "check-failed", why, .. } if why.contains("bad: /etc/sudoers"))
        );
        assert_eq!(bench.tree(), before);
        assert_eq!(fs::read_dir(bench.at("/run/vps-configurator")).unwrap().count(), 0);
        let _ = bench.there_and_back(&*file("/etc/sudoers", json!({"content": "also good\n", "check": check})));
    }

    #[test]
    fn a_missing_checker_is_a_failure_and_no_approval() {
        let bench = Bench::new();
        let resource = file("/etc/x", json!({"content": "x", "check": ["nosuch", "{path}"]}));
        let (seen, change) = bench.plan(&*resource);
        assert!(resource.apply(&bench.context(), &seen, &change).is_err());
        assert!(!bench.at("/etc/x").exists());
    }

    #[test]
    fn a_secret_is_in_no_state_and_no_diff() {
        let bench = Bench::new();
        bench.put("/etc/token", "old-secret\n");
        let change = bench.there_and_back(&*file("/etc/token", json!({"content": "new-secret\n", "secret": "true"})));
        assert!(change.diff.is_none() && !format!("{change:?}").contains("secret\\n"), "{change:?}");
    }

    #[test]
    fn what_is_inserted_stands_in_the_file_and_nowhere_else() {
        let bench = Bench::new();
        let fields = json!({"content": "PrivateKey = @{/etc/vpn/a.key}\n", "mode": "0600", "inserts": true});
        let resource = file("/etc/vpn/a.conf", fields);
        // The plan is made before there is a key.
        let (seen, change) = bench.plan(&*resource);
        assert!(resource.apply(&bench.context(), &seen, &change).is_err());
        bench.put("/etc/vpn/a.key", "very-secret\n");
        let done = bench.there_and_back(&*resource);
        assert!(done.after == change.after && done.diff.is_none(), "{done:?}");
        let _step = bench.step(&*resource);
        assert_eq!(bench.text("/etc/vpn/a.conf"), "PrivateKey = very-secret\n");
        bench.put("/etc/vpn/a.key", "another\n");
        assert!(bench.plan(&*resource).1.is_needed(), "the file follows the key");
        assert!(!format!("{:?}", bench.plan(&*resource)).contains("secret\\n"));
    }

    #[test]
    fn what_is_made_once_is_left_alone_ever_after() {
        let bench = Bench::new();
        let once = file("/etc/once", json!({"content": "first\n", "create_only": true}));
        let _ = bench.there_and_back(&*once);
        bench.put("/etc/once", "mine\n");
        assert!(!bench.plan(&*once).1.is_needed());
    }

    #[test]
    fn no_crash_leaves_a_half_made_file() {
        survives_every_crash(|| {
            let bench = Bench::new();
            bench.put("/etc/motd", "theirs\n");
            (bench, file("/etc/motd", json!({"content": "ours\n", "mode": "0600"})))
        });
        survives_every_crash(|| {
            let bench = Bench::new();
            bench.program("true", ":");
            let fields = json!({"content": "x\n", "check": ["true"]});
            (bench, file("/etc/a/b/c", fields))
        });
    }

    #[test]
    fn a_directory_in_the_way_is_refused() {
        let bench = Bench::new();
        fs::create_dir(bench.at("/etc/x")).unwrap();
        let resource = file("/etc/x", json!({"content": ""}));
        let seen = resource.observe(bench.host()).unwrap();
        assert!(matches!(resource.compare(&seen), Err(Error::Refused { code: "not-a-file", .. })));
    }
}
