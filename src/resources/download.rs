//! The kind `download`: a file from the network whose content is known beforehand by its SHA-256.
//!
//! Fetched with apt's own downloader (`apt-helper`), which every Debian has and which uses apt's proxy settings; its
//! verdict on the checksum is not relied upon: what is put in place was digested here.

use super::package::{host_of, of_download};
use super::preimage::{self, Image, Intent, Paths};
use super::seen::{Owned, Seen};
use super::{fields, file, owner};
use crate::base::digest::Digest;
use crate::base::ids::ResourceId;
use crate::base::paths;
use crate::engine::{Action, Change, Context, Error, Resource, Result, State, UndoRecord};
use crate::host::{Attributes, Command, Host};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// apt's downloader (package apt).
pub const APT_HELPER: &str = "/usr/lib/apt/apt-helper";

/// A downloaded file.
#[derive(Debug)]
pub struct Download {
    id: ResourceId,
    path: PathBuf,
    url: String,
    digest: Digest,
    mode: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    url: String,
    sha256: String,
    #[serde(default = "plain_mode", deserialize_with = "fields::mode")]
    mode: u32,
}

fn plain_mode() -> u32 {
    0o644
}

impl Download {
    /// The download to `name` as a manifest declares it.
    pub fn from_spec(name: &str, fields: &Map<String, Value>, module: &str) -> Result<Box<dyn Resource>> {
        let path = fields::path("download", name, module)?;
        let fields: Fields = fields::read("download", name, fields, module)?;
        let invalid = |why: &str| fields::invalid("download", name, module, why);
        let digest = Digest::parse(&fields.sha256).ok_or_else(|| invalid("sha256 must be 64 lower-case hex digits"))?;
        if !is_url(&fields.url) {
            return Err(invalid("the url must begin with https:// or http://"));
        }
        Ok(Box::new(Download {
            id: ResourceId::new("download", name),
            path,
            url: fields.url,
            digest,
            mode: fields.mode,
        }))
    }

    fn wanted(&self) -> Seen {
        let root = owner::root();
        Seen::File { digest: self.digest.clone(), owned: Owned::new(self.mode, &root, &root), text: None }
    }
}

/// Whether this is the address of something that can be fetched. Its digest makes it safe, not the way it comes.
pub fn is_url(text: &str) -> bool {
    ["https://", "http://"].iter().any(|scheme| text.starts_with(scheme))
}

/// The content of what is at `url`, which is what its digest says.
///
/// # Errors
/// When it doesn't come through, or is something else.
pub fn fetch(host: &dyn Host, url: &str, digest: &Digest) -> Result<Vec<u8>> {
    let dir = Path::new(paths::CACHE).join("downloads");
    let file = dir.join(digest.short());
    preimage::make_parents(host, &file)?;
    host.remove(&file)?;
    // Tried again with growing pauses by apt itself (apt.conf(5)), where the other side gives no answer.
    let command = Command::new(APT_HELPER)
        .args(["-o", "Acquire::Retries=3"])
        .args(["download-file".to_owned(), url.to_owned(), file.to_string_lossy().into_owned()])
        .arg(format!("SHA256:{}", digest))
        .timeout(Duration::from_secs(1800));
    let what = || format!("cannot download {}", url);
    let fetched = host.run(&command).map_err(|why| match why {
        crate::host::Error::Failed { .. } | crate::host::Error::TimedOut { .. } => {
            of_download(url, host_of(url), &why.to_string()).unwrap_or_else(|| {
                Error::refused("download-failed", what(), why.to_string())
                    .fix("look whether the address can be reached from this host, then run again")
            })
        }
        other => other.into(),
    });
    let content = fetched.and_then(|_| Ok(host.read(&file)?));
    host.remove(&file)?;
    let content = content?;
    let found = Digest::of(&content);
    if found != *digest {
        let why = format!("its SHA-256 is {found}, and {} was expected", digest);
        return Err(Error::refused("download-mismatch", what(), why)
            .fix("if the publisher changed the file, check the new one and declare its sha256"));
    }
    Ok(content)
}

impl Resource for Download {
    fn id(&self) -> &ResourceId {
        &self.id
    }

    fn paths(&self) -> Vec<PathBuf> {
        vec![self.path.clone()]
    }

    fn observe(&self, host: &dyn Host) -> Result<State> {
        Ok(Seen::at(host, &self.path, true)?.state())
    }

    fn compare(&self, seen: &State) -> Result<Change> {
        let found = Seen::from_state(seen)?;
        let wanted = self.wanted();
        let fetch = format!("download {}", self.url);
        let (action, summary) = match &found {
            found if *found == wanted => return Ok(Change::keep(seen)),
            Seen::Absent => (Action::Create, fetch),
            Seen::File { digest, .. } if *digest == self.digest => {
                (Action::Update, format!("set mode {:04o}, owner root:root", self.mode))
            }
            Seen::File { .. } | Seen::Link { .. } => {
                (Action::Update, format!("{fetch}; it replaces {}", found.words()))
            }
            Seen::Directory { .. } | Seen::Other => {
                let what = format!("cannot write {}", self.path.display());
                return Err(Error::refused("not-a-file", what, format!("there is {}", found.words())));
            }
        };
        Ok(Change::new(action, summary, wanted.state().0))
    }

    fn capture(&self, context: &Context<'_>, _seen: &State, _change: &Change) -> Result<UndoRecord> {
        let after = Image::File { digest: self.digest.clone(), attributes: Attributes::root(self.mode) };
        Paths::capture(context, &[Intent::new(&self.path, after)])?.record()
    }

    fn apply(&self, context: &Context<'_>, seen: &State, _change: &Change) -> Result<()> {
        let attributes = Attributes::root(self.mode);
        if let Seen::File { digest, .. } = Seen::from_state(seen)?
            && digest == self.digest
        {
            return Ok(context.host.set_attributes(&self.path, &attributes)?);
        }
        let content = fetch(context.host, &self.url, &self.digest)?;
        file::put(context.host, &self.path, &content, &attributes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::bench::{Bench, survives_every_crash};
    use serde_json::json;

    const URL: &str = "https://example.org/tool";

    fn download(sha256: &Digest) -> Box<dyn Resource> {
        let fields = json!({"url": URL, "sha256": sha256, "mode": "0755"});
        Download::from_spec("/opt/tool/bin/tool", fields.as_object().unwrap(), "test").unwrap()
    }

    fn bench() -> Bench {
        let bench = Bench::new();
        bench.simulated_at("apt-helper", APT_HELPER);
        bench.put("/srv/web/example.org/tool", "#!/bin/sh\n");
        bench
    }

    #[test]
    fn a_download_comes_and_goes() {
        let change = bench().there_and_back(&*download(&Digest::of(b"#!/bin/sh\n")));
        assert_eq!(change.summary, format!("download {URL}"));
    }

    #[test]
    fn another_content_than_declared_is_not_put_in_place() {
        let bench = bench();
        let resource = download(&Digest::of(b"something else"));
        let (seen, change) = bench.plan(&*resource);
        let error = resource.apply(&bench.context(), &seen, &change).unwrap_err();
        assert!(matches!(error, Error::Refused { code: "download-failed", .. }));
        // A downloader that doesn't look at the checksum changes nothing about that.
        bench.program("../lib/apt/apt-helper", "printf evil > \"$VPS_ROOT$5\"");
        let error = resource.apply(&bench.context(), &seen, &change).unwrap_err();
        assert!(matches!(error, Error::Refused { code: "download-mismatch", .. }));
        assert!(!bench.at("/opt/tool").exists());
    }

    #[test]
    fn no_crash_leaves_half_a_download() {
        survives_every_crash(|| (bench(), download(&Digest::of(b"#!/bin/sh\n"))));
    }
}
