//! The kind `file`: a whole file of ours, with content, owner and mode.

use super::preimage::{self, Image, Intent, Paths};
use super::seen::{Owned, Seen};
use super::whole::{Draft, Whole};
use super::written::{Past, Verdict, Written};
use super::{fields, insert, owner};
use crate::base::diff;
use crate::base::digest::Digest;
use crate::base::ids::ResourceId;
use crate::base::merge::{Clash, edits, first};
use crate::engine::{Action, Change, Context, Error, Resource, Result, State, UndoRecord};
use crate::host::{Attributes, Host};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A detail of a change: somebody else made what was there, as far as its bytes show.
pub const FOREIGN: &str = "replaces a file that vps-configurator did not write";

/// How a detail of a change, or the summary of one that is none, begins where somebody edited the file.
pub const EDITED: &str = "edited by hand since";

/// A file of which we own every byte.
#[derive(Debug)]
pub struct File {
    id: ResourceId,
    path: PathBuf,
    fields: Fields,
    whole: Option<Arc<Whole>>,
    written: Arc<Written>,
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
pub fn draft(name: &str, fields: &Map<String, Value>, module: &str, written: &Arc<Written>) -> Result<Draft> {
    Ok(Draft::File(Box::new(File::read(name, fields, module, None, written)?)))
}

fn plain_mode() -> u32 {
    0o644
}

impl File {
    /// The file `name` as a manifest declares it, its template already rendered into `content`; `whole` is what it is
    /// checked with, `written` what is known of the file that we wrote before.
    pub fn from_spec(
        name: &str,
        fields: &Map<String, Value>,
        module: &str,
        whole: Option<Arc<Whole>>,
        written: &Arc<Written>,
    ) -> Result<Box<dyn Resource>> {
        Ok(Box::new(File::read(name, fields, module, whole, written)?))
    }

    fn read(
        name: &str,
        fields: &Map<String, Value>,
        module: &str,
        whole: Option<Arc<Whole>>,
        written: &Arc<Written>,
    ) -> Result<File> {
        let path = fields::path("file", name, module)?;
        let mut fields: Fields = fields::read("file", name, fields, module)?;
        fields.secret |= fields.inserts;
        Ok(File { id: ResourceId::new("file", name), path, fields, whole, written: Arc::clone(written) })
    }

    fn wanted(&self) -> Seen {
        Seen::file(self.fields.content.as_bytes(), self.owned(), self.fields.secret)
    }

    /// What is wanted, as it stands in the file.
    fn filled(&self, host: &dyn Host) -> Result<String> {
        let what = format!("cannot write {}", self.path.display());
        if self.fields.inserts {
            insert::required(host, &self.fields.content, &what)
        } else {
            Ok(self.fields.content.clone())
        }
    }

    /// What becomes of the content that was found.
    fn judge(&self, found: &Digest, text: Option<&str>) -> (Verdict, Option<Arc<Past>>) {
        let past = self.written.of(&self.id);
        let verdict = past.as_ref().map_or(Verdict::Wanted, |past| past.judge(&self.fields.content, found, text));
        (verdict, past)
    }

    /// What the file will be; `None` when what is there stays.
    pub(super) fn candidate(&self, host: &dyn Host) -> Result<Option<(Vec<u8>, Attributes)>> {
        // Before its owner is made, root stands in: checkers ask who else may write it.
        let attributes = || self.attributes(host).unwrap_or(Attributes::root(self.fields.mode));
        Ok(self.becomes(host)?.map(|content| (content, attributes())))
    }

    /// What the file will hold; `None` when what is there stays.
    fn becomes(&self, host: &dyn Host) -> Result<Option<Vec<u8>>> {
        if self.fields.create_only && host.meta(&self.path)?.is_some() {
            return Ok(None);
        }
        if let Seen::File { digest, text, .. } = Seen::at(host, &self.path, self.fields.secret)? {
            match self.judge(&digest, text.as_deref()).0 {
                Verdict::Merged(text) => return Ok(Some(text.into_bytes())),
                Verdict::Mended(text) if text != self.fields.content => return Ok(Some(text.into_bytes())),
                Verdict::Stands | Verdict::Meets(_) => return Ok(None),
                Verdict::Mended(_) | Verdict::Wanted => {}
            }
        }
        Ok(Some(self.filled(host)?.into_bytes()))
    }

    /// The same, with what is there where that stays.
    fn content(&self, host: &dyn Host) -> Result<Vec<u8>> {
        match self.becomes(host)? {
            Some(content) => Ok(content),
            None => Ok(host.read(&self.path)?),
        }
    }

    fn attributes(&self, host: &dyn Host) -> Result<Attributes> {
        owner::attributes(host, self.fields.mode, &self.fields.owner, &self.fields.group)
    }

    /// The difference from `old` to `new`; `None` when the file is secret, or no text.
    fn diff(&self, old: &str, new: &str) -> Option<String> {
        let Seen::File { text: Some(_), .. } = Seen::file(new.as_bytes(), self.owned(), self.fields.secret) else {
            return None;
        };
        let name = self.path.to_string_lossy();
        Some(diff::unified(old, new, &name, &name))
    }

    fn owned(&self) -> Owned {
        Owned::new(self.fields.mode, &self.fields.owner, &self.fields.group)
    }

    /// Whether the file that was seen bears our name: in its own, or in its first lines as all that we write does.
    fn is_ours(&self, text: Option<&str>) -> bool {
        let named = |text: &str| text.lines().take(5).any(|line| line.contains("vps-configurator"));
        self.path.to_string_lossy().contains("vps-configurator") || text.is_some_and(named)
    }

    /// What becomes of a file that is there.
    fn change(&self, digest: &Digest, owned: &Owned, text: Option<&str>) -> Change {
        let (verdict, past) = self.judge(digest, text);
        let since = past.as_ref().map(|past| format!("{EDITED} transaction {}", past.tx)).unwrap_or_default();
        match verdict {
            Verdict::Wanted => {
                let mut change = self.replace(digest, owned, text, &self.fields.content);
                if *digest != Digest::of(self.fields.content.as_bytes()) && !self.is_ours(text) {
                    change.details.insert(0, FOREIGN.to_owned());
                }
                change
            }
            Verdict::Mended(mended) => {
                let mut change = self.replace(digest, owned, text, &mended);
                change.details.insert(0, format!("{since}: that goes; a rollback brings it back"));
                change
            }
            Verdict::Merged(merged) => {
                let mut change = self.replace(digest, owned, text, &merged);
                change.details.insert(0, format!("{since}: those lines are kept, and merged with what is wanted now"));
                change
            }
            Verdict::Stands => {
                let count = past.as_ref().zip(text).map_or(0, |(past, text)| edits(&past.base, text).len());
                let places = if count == 0 { String::new() } else { format!(", in {count} places") };
                self.leave(digest, owned, text, format!("{since}{places}: that stays"))
            }
            Verdict::Meets(clashes) => {
                let summary = format!("{since}, and is not as wanted now: it stays as it is");
                let mut change = self.leave(digest, owned, text, summary);
                change.details.extend(clashes.iter().map(told));
                if clashes.is_empty() {
                    change.details.push("it can't be merged: no text, too long, or secret".to_owned());
                }
                change.details.push(format!(
                    "take over what is wanted by hand, or move {} away; then install again",
                    self.path.display()
                ));
                change.diff = text.and_then(|text| self.diff(text, &self.fields.content));
                change
            }
        }
    }

    /// This content, with the owner and mode that are wanted.
    fn with_text(&self, digest: &Digest, text: Option<&str>) -> Seen {
        Seen::File { digest: digest.clone(), owned: self.owned(), text: text.map(str::to_owned) }
    }

    /// Nothing but owner and mode changes, and those only where they differ.
    fn leave(&self, digest: &Digest, owned: &Owned, text: Option<&str>, summary: String) -> Change {
        let differs = owned.changes(&self.owned());
        let after = self.with_text(digest, text).state();
        if differs.is_empty() {
            return Change { summary, ..Change::keep(&after) };
        }
        let mut change = Change::new(Action::Update, format!("set {}", differs.join(", ")), after.0);
        change.details.push(summary);
        change
    }

    /// The file gets this content, and the owner and mode that are wanted.
    fn replace(&self, digest: &Digest, owned: &Owned, text: Option<&str>, new: &str) -> Change {
        let bytes = new.as_bytes();
        let after = Seen::file(bytes, self.owned(), self.fields.secret).state();
        let details = owned.changes(&self.owned());
        if *digest == Digest::of(bytes) {
            return Change::new(Action::Update, format!("set {}", details.join(", ")), after.0);
        }
        let summary = format!("write {} bytes, {}", bytes.len(), self.owned().words());
        let mut change = Change::new(Action::Update, summary, after.0);
        change.details = details;
        change.diff = text.and_then(|old| self.diff(old, new));
        change
    }
}

/// A place where both sides meet, in one line.
fn told(clash: &Clash) -> String {
    format!("line {}: there is {}; wanted is {}", clash.line, first(&clash.theirs), first(&clash.ours))
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
            Seen::File { digest, owned, text } => Ok(self.change(digest, owned, text.as_deref())),
            Seen::Absent | Seen::Link { .. } => {
                let summary = format!("write {} bytes, {}", self.fields.content.len(), self.owned().words());
                let action = if found == Seen::Absent { Action::Create } else { Action::Update };
                let mut change = Change::new(action, summary, self.wanted().state().0);
                if action == Action::Update {
                    change.details.push(format!("replaces {}", found.words()));
                }
                change.diff = self.diff("", &self.fields.content);
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
        let after = Image::file(&self.content(context.host)?, self.attributes(context.host)?);
        Paths::capture(context, &[Intent::new(&self.path, after)])?.record()
    }

    fn apply(&self, context: &Context<'_>, _seen: &State, _change: &Change) -> Result<()> {
        let attributes = self.attributes(context.host)?;
        let content = self.content(context.host)?;
        let put = || put(context.host, &self.path, &content, &attributes);
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
        let written = Arc::default();
        let whole = Wholes::of(std::slice::from_ref(&spec), &written).unwrap().of_spec(0);
        File::from_spec(name, &spec.fields, "test", whole, &written).unwrap()
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
