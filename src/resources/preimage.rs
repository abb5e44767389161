//! What stood at a path before us, and putting it back: the undo kind `paths`.
//!
//! A record says for each path what was there before and what we put there. Undoing goes through them backwards:
//! a path that is still as we left it goes back; one that someone changed since is first copied to
//! [`paths::KEPT`](crate::base::paths::KEPT); a file of which only a part is ours loses that part alone.

use super::part::Part;
use crate::base::digest::Digest;
use crate::base::paths;
use crate::engine::{Context, Error, Outcome, Result, Scope, Undo, UndoRecord};
use crate::host::{Attributes, Host, Kind, temporary_name};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The kind of record that [`Paths`] writes.
pub const KIND: &str = "paths";

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum Image {
    /// Nothing.
    Absent,
    /// A regular file.
    File {
        /// The digest of its content, which lies in the object store when the image was [kept](Image::keep).
        digest: Digest,
        /// Owner, mode, extended attributes.
        attributes: Attributes,
    },
    /// A directory; what lies in it is not part of the image.
    Directory {
        /// Owner, mode, extended attributes.
        attributes: Attributes,
    },
    /// A symbolic link.
    Link {
        /// Where it points, as written.
        target: PathBuf,
        /// Owner.
        attributes: Attributes,
    },
    /// A device, socket or pipe: never ours.
    Other,
}

impl Image {
    /// What is at `path` now.
    pub fn see(host: &dyn Host, path: &Path) -> Result<Image> {
        Image::look(host, path, &mut |content| Ok(Digest::of(content)))
    }

    /// What is at `path` now, a file's content put into the object store.
    pub fn keep(context: &Context<'_>, path: &Path) -> Result<Image> {
        Image::look(context.host, path, &mut |content| Ok(context.objects.put(content)?))
    }

    /// A file with this content.
    pub fn file(content: &[u8], attributes: Attributes) -> Image {
        Image::File { digest: Digest::of(content), attributes }
    }

    fn look(host: &dyn Host, path: &Path, digest: &mut dyn FnMut(&[u8]) -> Result<Digest>) -> Result<Image> {
        let Some(meta) = host.meta(path)? else {
            return Ok(Image::Absent);
        };
        let attributes = meta.attributes;
        Ok(match meta.kind {
            Kind::File => Image::File { digest: digest(&host.read(path)?)?, attributes },
            Kind::Directory => Image::Directory { attributes },
            Kind::Link(target) => Image::Link { target, attributes },
            Kind::Other => Image::Other,
        })
    }

    /// Whether both are the same but for owner, mode and extended attributes.
    fn same_content(&self, other: &Image) -> bool {
        match (self, other) {
            (Image::File { digest: a, .. }, Image::File { digest: b, .. }) => a == b,
            (Image::Link { target: a, .. }, Image::Link { target: b, .. }) => a == b,
            (Image::Directory { .. }, Image::Directory { .. }) => true,
            (a, b) => a == b,
        }
    }
}

/// One path of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The path.
    pub path: PathBuf,
    /// What was there before us.
    pub before: Image,
    /// What we put there; `None` when it is known only afterwards (a program makes it).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Image>,
    /// Our part, when the rest of the file belongs to others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
}

/// A path that is about to change, and what it will become.
#[derive(Debug, Clone)]
pub struct Intent<'a> {
    path: &'a Path,
    after: Option<Image>,
    part: Option<Part>,
}

impl<'a> Intent<'a> {
    /// `path` will be `after`.
    pub fn new(path: &'a Path, after: Image) -> Self {
        Intent { path, after: Some(after), part: None }
    }

    /// `path` will be made by a program: what it becomes is seen when it is done.
    pub fn unknown(path: &'a Path) -> Self {
        Intent { path, after: None, part: None }
    }

    /// `path` will be `after`, of which `part` is ours.
    pub fn part(path: &'a Path, after: Image, part: Part) -> Self {
        Intent { path, after: Some(after), part: Some(part) }
    }
}

/// What stood at some paths before us. Undo records of other kinds embed it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paths {
    /// In the order in which they change: parents before what lies in them.
    pub entries: Vec<Entry>,
}

/// What putting back did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Whether anything changed.
    pub changed: bool,
    /// What was kept or left alone, and where it is.
    pub kept: Vec<String>,
}

impl From<Restored> for Outcome {
    fn from(restored: Restored) -> Outcome {
        match restored {
            Restored { kept, .. } if !kept.is_empty() => Outcome::Kept(kept),
            Restored { changed: true, .. } => Outcome::Undone,
            _ => Outcome::AlreadyGone,
        }
    }
}

impl Paths {
    /// Records what stands at the paths of `intents`, and which of their parent directories are missing and will be
    /// made. File contents are in the object store when this returns.
    pub fn capture(context: &Context<'_>, intents: &[Intent<'_>]) -> Result<Paths> {
        let mut entries: Vec<Entry> = Vec::new();
        for intent in intents {
            let parents = Paths::of_missing_parents(context.host, intent.path)?.entries;
            let is_new = |parent: &Entry| !entries.iter().any(|entry| entry.path == parent.path);
            let new: Vec<Entry> = parents.into_iter().filter(is_new).collect();
            entries.extend(new);
            entries.push(Entry {
                path: intent.path.to_owned(),
                before: Image::keep(context, intent.path)?,
                after: intent.after.clone(),
                part: intent.part.clone(),
            });
        }
        Ok(Paths { entries })
    }

    /// The parent directories of `path` that are missing and will be made.
    pub fn of_missing_parents(host: &dyn Host, path: &Path) -> Result<Paths> {
        let made = |path| {
            let after = Some(Image::Directory { attributes: Attributes::root(0o755) });
            Entry { path, before: Image::Absent, after, part: None }
        };
        Ok(Paths { entries: missing_parents(host, path)?.into_iter().map(made).collect() })
    }

    /// As a record of the kind `paths`.
    pub fn record(&self) -> Result<UndoRecord> {
        Ok(UndoRecord::new(KIND, to_data(KIND, self)?))
    }

    /// Reads a record of the kind `paths`.
    pub fn decode(version: u32, data: &Value) -> Result<Box<dyn Undo>> {
        Ok(Box::new(from_data::<Paths>(KIND, version, data)?))
    }

    /// What there is to remember once a program has made what it makes: the paths whose `after` was unknown.
    pub fn seen_after(&self, host: &dyn Host) -> Result<Option<Value>> {
        let mut seen = BTreeMap::new();
        for entry in self.entries.iter().filter(|e| e.after.is_none()) {
            seen.insert(entry.path.clone(), Image::see(host, &entry.path)?);
        }
        if seen.is_empty() { Ok(None) } else { to_data(KIND, &seen).map(Some) }
    }

    /// Puts everything back, last change first. One path's failure doesn't stop the others; the first failure is
    /// returned. `after` is what [`seen_after`](Self::seen_after) gave.
    pub fn restore(&self, context: &Context<'_>, after: Option<&Value>) -> Result<Restored> {
        let mut restored = Restored::default();
        let mut failure = None;
        for (entry, decision) in self.decisions(context.host, after)? {
            match carry_out(context, entry, decision) {
                Ok((changed, line)) => {
                    restored.changed |= changed;
                    restored.kept.extend(line);
                }
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        failure.map_or(Ok(restored), Err)
    }

    /// What [`restore`](Self::restore) would do, a line for each path that it would touch.
    pub fn describe_restore(&self, host: &dyn Host, after: Option<&Value>) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        for (entry, decision) in self.decisions(host, after)? {
            let path = entry.path.display();
            lines.push(match decision {
                Decision::Nothing => continue,
                Decision::Restore(_) => restore_line(entry),
                Decision::CopyThenRestore => {
                    format!("keep a copy of {path}, which was changed since; then {}", restore_line(entry))
                }
                Decision::TakeOut { edited: true, .. } => {
                    format!("keep a copy of {path}, in which our part was edited; then take that part out")
                }
                Decision::TakeOut { .. } => {
                    format!("take our part out of {path}, which was changed since")
                }
                Decision::RemoveDirectory => format!("remove the directory {path} if it is empty"),
                Decision::Leave(why) => format!("leave {path}: {why}"),
            });
        }
        Ok(lines)
    }

    /// The decision for each entry, last first, made on what is there now.
    fn decisions(&self, host: &dyn Host, after: Option<&Value>) -> Result<Vec<(&Entry, Decision)>> {
        let settled: BTreeMap<PathBuf, Image> = match after {
            Some(value) => from_data(KIND, 1, value)?,
            None => BTreeMap::new(),
        };
        let mut decisions = Vec::new();
        for entry in self.entries.iter().rev() {
            let now = Image::see(host, &entry.path)?;
            let left = entry.after.as_ref().or_else(|| settled.get(&entry.path));
            let changed = left.is_some_and(|left| !now.same_content(left));
            let text = match (&entry.part, &now) {
                (Some(_), Image::File { .. }) if changed => Some(host.read(&entry.path)?),
                _ => None,
            };
            decisions.push((entry, decide(entry, left, &now, text.as_deref())));
        }
        Ok(decisions)
    }
}

impl Undo for Paths {
    fn describe(&self, context: &Context<'_>, _scope: &Scope) -> Result<Vec<String>> {
        self.describe_restore(context.host, None)
    }

    fn undo(&self, context: &Context<'_>, _scope: &Scope, after: Option<&Value>) -> Result<Outcome> {
        self.restore(context, after).map(Outcome::from)
    }

    fn settle(&self, context: &Context<'_>) -> Result<Option<Value>> {
        self.seen_after(context.host)
    }
}

/// What to do about one path.
#[derive(Debug, PartialEq, Eq)]
enum Decision {
    /// It is as before.
    Nothing,
    /// Put back what was before; the line says what of somebody else's goes with that, if anything.
    Restore(Option<String>),
    /// Somebody changed it since: keep a copy, then put back.
    CopyThenRestore,
    /// Somebody changed the file since, of which only a part is ours: take that part out.
    TakeOut {
        /// The file without our part.
        rest: Vec<u8>,
        /// Our part itself was edited: keep a copy.
        edited: bool,
    },
    /// We made this directory.
    RemoveDirectory,
    /// Not ours any more, and why.
    Leave(String),
}

/// Decides for one path: `left` is what we left there (when known), `now` what is there, `text` its content when the
/// file is only in part ours and was changed.
fn decide(entry: &Entry, left: Option<&Image>, now: &Image, text: Option<&[u8]>) -> Decision {
    if *now == entry.before {
        return Decision::Nothing;
    }
    match (now, &entry.before, left) {
        (Image::Other, _, _) => Decision::Leave("it is no file, directory or link any more".into()),
        (Image::Directory { .. }, Image::Absent, Some(Image::Directory { .. }) | None) => Decision::RemoveDirectory,
        (Image::Directory { .. }, Image::Directory { .. }, _) => Decision::Restore(None),
        (Image::Directory { .. }, _, _) => Decision::Leave("it is a directory now".into()),
        (Image::Absent, _, _) | (_, _, None) => Decision::Restore(None),
        (_, Image::Directory { .. }, _) | (_, _, Some(Image::Directory { .. })) => {
            Decision::Leave("it is no directory any more".into())
        }
        (now, before, Some(left)) if now.same_content(left) || now.same_content(before) => {
            let strange = attributes(now) != attributes(left) && attributes(now) != attributes(before);
            Decision::Restore(strange.then(|| format!("its owner or mode was changed since, to {}", words(now))))
        }
        (Image::File { .. }, _, _) => match (&entry.part, text) {
            (Some(part), Some(text)) => match part.take_out(text) {
                Some(rest) => Decision::TakeOut { rest, edited: part.is_edited(text) },
                None => Decision::Leave("our part is not in it any more".into()),
            },
            _ => Decision::CopyThenRestore,
        },
        (Image::Link { target, .. }, _, _) => {
            Decision::Restore(Some(format!("it had been pointed to {} since", target.display())))
        }
    }
}

/// Does what was decided. Says whether anything changed, and what there is to tell.
fn carry_out(context: &Context<'_>, entry: &Entry, decision: Decision) -> Result<(bool, Option<String>)> {
    let path = &entry.path;
    let tell = |what: String| Some(format!("{}: {what}", path.display()));
    Ok(match decision {
        Decision::Nothing => {
            clear_debris(context.host, path)?;
            (false, None)
        }
        Decision::Restore(note) => {
            put_back(context, path, &entry.before)?;
            (true, note.and_then(tell))
        }
        Decision::CopyThenRestore => {
            let copy = keep_copy(context.host, path)?;
            put_back(context, path, &entry.before)?;
            (true, tell(format!("it was changed since; that version is kept as {}", copy.display())))
        }
        Decision::TakeOut { rest, edited } => {
            let copy = if edited { Some(keep_copy(context.host, path)?) } else { None };
            match (&entry.before, context.host.meta(path)?) {
                (Image::Absent, _) if rest.iter().all(u8::is_ascii_whitespace) => context.host.remove(path)?,
                (_, Some(meta)) => context.host.write(path, &rest, &meta.attributes)?,
                (_, None) => {}
            }
            let note =
                |copy: PathBuf| format!("our part of it was edited since; that version is kept as {}", copy.display());
            (true, copy.and_then(|copy| tell(note(copy))))
        }
        Decision::RemoveDirectory if context.host.list(path)?.is_empty() => {
            context.host.remove(path)?;
            (true, None)
        }
        Decision::RemoveDirectory => (false, tell("the directory is not empty and stays".into())),
        Decision::Leave(why) => (false, tell(format!("left alone, {why}"))),
    })
}

/// Removes what a crash in the middle of writing `path` left beside it.
pub(super) fn clear_debris(host: &dyn Host, path: &Path) -> Result<()> {
    if let Some(name) = path.file_name() {
        let beside = path.with_file_name(temporary_name(name));
        if host.meta(&beside)?.is_some() {
            host.remove(&beside)?;
        }
    }
    Ok(())
}

/// Makes `path` be `image` again.
pub fn put_back(context: &Context<'_>, path: &Path, image: &Image) -> Result<()> {
    let host = context.host;
    match image {
        Image::Absent => host.remove(path)?,
        Image::File { digest, attributes } => {
            let content = context.objects.get(digest)?;
            make_parents(host, path)?;
            host.write(path, &content, attributes)?;
        }
        Image::Link { target, attributes } => {
            make_parents(host, path)?;
            host.make_link(path, target, attributes)?;
        }
        Image::Directory { attributes } => match host.meta(path)? {
            Some(_) => host.set_attributes(path, attributes)?,
            None => {
                make_parents(host, path)?;
                host.make_directory(path, attributes)?;
            }
        },
        Image::Other => {}
    }
    Ok(())
}

/// Copies the file at `path` to where rollbacks keep what they may not lose; gives the copy's path.
fn keep_copy(host: &dyn Host, path: &Path) -> Result<PathBuf> {
    let content = host.read(path)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let copy = Path::new(paths::KEPT).join(format!("{}-{name}", Digest::of(&content).short()));
    for dir in missing_parents(host, &copy)? {
        host.make_directory(&dir, &Attributes::root(0o700))?;
    }
    host.write(&copy, &content, &Attributes::root(0o600))?;
    Ok(copy)
}

/// The parent directories of `path` that are missing, outermost first.
pub fn missing_parents(host: &dyn Host, path: &Path) -> Result<Vec<PathBuf>> {
    let mut missing = Vec::new();
    for parent in path.ancestors().skip(1) {
        if parent == Path::new("/") || parent.as_os_str().is_empty() || host.meta(parent)?.is_some() {
            break;
        }
        missing.push(parent.to_owned());
    }
    missing.reverse();
    Ok(missing)
}

/// Makes the missing parent directories of `path`, 0755 and root's. Workers that miss the same one make it one after the
/// other, so that the second finds it there.
pub fn make_parents(host: &dyn Host, path: &Path) -> Result<()> {
    static MAKING: Mutex<()> = Mutex::new(());
    let _making = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    for dir in missing_parents(host, path)? {
        host.make_directory(&dir, &Attributes::root(0o755))?;
    }
    Ok(())
}

/// A record's data as JSON.
pub fn to_data<T: Serialize>(kind: &str, data: &T) -> Result<Value> {
    serde_json::to_value(data).map_err(|e| Error::BadRecord { kind: kind.to_owned(), why: e.to_string() })
}

/// A record's data read back; only version 1 of each of our kinds exists so far.
pub fn from_data<T: serde::de::DeserializeOwned>(kind: &str, version: u32, data: &Value) -> Result<T> {
    if version != 1 {
        return Err(Error::UnknownRecord { kind: kind.to_owned(), version });
    }
    T::deserialize(data).map_err(|e| Error::BadRecord { kind: kind.to_owned(), why: e.to_string() })
}

fn restore_line(entry: &Entry) -> String {
    let path = entry.path.display();
    match &entry.before {
        Image::Absent => format!("remove {path}"),
        before => format!("put {path} back ({})", words(before)),
    }
}

fn attributes(image: &Image) -> Option<&Attributes> {
    match image {
        Image::File { attributes, .. } | Image::Directory { attributes } | Image::Link { attributes, .. } => {
            Some(attributes)
        }
        Image::Absent | Image::Other => None,
    }
}

/// An image in a few words.
fn words(image: &Image) -> String {
    match image {
        Image::Absent => "absent".into(),
        Image::File { attributes: a, .. } => {
            format!("file, mode {:04o}, owner {}:{}", a.mode, a.uid, a.gid)
        }
        Image::Directory { attributes: a } => {
            format!("directory, mode {:04o}, owner {}:{}", a.mode, a.uid, a.gid)
        }
        Image::Link { target, .. } => format!("link to {}", target.display()),
        Image::Other => "neither file, directory nor link".into(),
    }
}
