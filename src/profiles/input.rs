//! The raw layers, as they lie on disk and on the command line.

use crate::base::paths;
use crate::base::yaml::Source;
use crate::host::{Host, Result};
use std::path::Path;

/// Everything that configuration is made of, unread.
#[derive(Debug, Clone, Default)]
pub struct Inputs {
    /// The defaults of the package.
    pub defaults: Option<Source>,
    /// Profiles, and whether the package brought them.
    pub profiles: Vec<(Source, bool)>,
    /// `config.yaml`, then the fragments of `conf.d` in the order of their names.
    pub config: Vec<Source>,
    /// `--set key=value`, in the order given.
    pub sets: Vec<String>,
    /// `--profile`, which wins over every `profile:` of a file.
    pub profile: Option<String>,
    /// `--module`: only these and what they depend on.
    pub only: Vec<String>,
    /// `--skip`: not these.
    pub skip: Vec<String>,
}

impl Inputs {
    /// Reads the files where they belong on a host; what isn't there is left out.
    ///
    /// # Errors
    /// When a file can't be read.
    pub fn load(host: &dyn Host) -> Result<Inputs> {
        let mut inputs = Inputs { defaults: read(host, Path::new(paths::DEFAULTS))?, ..Inputs::default() };
        for (dir, shipped) in [(paths::SHIPPED_PROFILES, true), (paths::PROFILES_D, false)] {
            inputs.profiles.extend(read_all(host, Path::new(dir))?.into_iter().map(|source| (source, shipped)));
        }
        inputs.config.extend(read(host, Path::new(paths::CONFIG))?);
        inputs.config.extend(read_all(host, Path::new(paths::CONF_D))?);
        Ok(inputs)
    }
}

fn read(host: &dyn Host, path: &Path) -> Result<Option<Source>> {
    if host.meta(path)?.is_none() {
        return Ok(None);
    }
    Ok(Some(Source::from_bytes(path.display().to_string(), &host.read(path)?)))
}

/// The `.yaml` files in a directory, by name; hidden ones are left out.
fn read_all(host: &dyn Host, dir: &Path) -> Result<Vec<Source>> {
    let mut all = Vec::new();
    for name in host.list(dir)? {
        let shown = name.to_string_lossy();
        if shown.ends_with(".yaml") && !shown.starts_with('.') {
            all.extend(read(host, &dir.join(&name))?);
        }
    }
    Ok(all)
}
