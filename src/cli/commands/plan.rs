//! `plan`: shows exactly what an install would change, and changes nothing.

use super::Outcome;
use crate::cli::args::Plan;
use crate::cli::arming::{Arming, Asked};
use crate::cli::exit::Exit;
use crate::cli::explain::Problem;
use crate::cli::render::plan as page;
use crate::cli::session::Session;
use crate::cli::setup::Setup;
use serde_json::json;
use std::fs;
use std::io::{Error, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Runs it. Exit 0 when nothing is to do, 4 when changes are pending or something is left that is not as wanted.
pub fn run(session: &Session<'_>, flags: &Plan) -> Outcome {
    session.require_root()?;
    session.require_debian_13()?;
    let setup = Setup::make(session, &flags.select)?;
    let plan = setup.plan(session)?;
    setup.check(session, &plan)?;
    let arming = Arming::of(session, &setup, &plan, Asked::default());
    let value = json!({
        "format": 1, "profile": setup.profile, "request": setup.request, "modules": setup.modules, "plan": plan,
        "confirm": arming.as_ref().map(Arming::json),
    });
    if let Some(path) = &flags.out {
        let text = format!("{}\n", serde_json::to_string_pretty(&value).unwrap_or_default());
        save(path, &text).map_err(|e| {
            Problem::new(Exit::Failed, "cannot-write", format!("cannot write {}", path.display()), e.to_string())
                .fix("name a file in a directory that can be written")
        })?;
    }
    if session.output.is_json() {
        session.output.value(&value);
    } else {
        page::show(session.output, &plan, &setup.profile, arming.as_ref());
        if let Some(path) = &flags.out {
            session.output.text(&format!("Saved: vps-configurator install --plan {}\n", path.display()));
        }
    }
    Ok(if plan.is_empty() && plan.left.is_empty() { Exit::Done } else { Exit::Findings })
}

/// Writes the file anew, for its owner alone: it holds what was set on the command line, which may be secret, whatever
/// mode a file of that name had. It is written under another name beside, so that a whole plan is there or none.
pub fn save(path: &Path, text: &str) -> std::io::Result<()> {
    if fs::symlink_metadata(path).is_ok_and(|meta| !meta.is_file()) {
        return Err(Error::new(ErrorKind::AlreadyExists, "it is a link, a directory or a device, and stays as it is"));
    }
    let name = path.file_name().ok_or_else(|| Error::new(ErrorKind::InvalidInput, "it names no file"))?;
    let beside = path.with_file_name(format!(".{}.{}", name.to_string_lossy(), std::process::id()));
    // Only a file that nobody else made: in /tmp, a link of that name could lead anywhere.
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    let written =
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        // The first failure is the one to tell.
        let _ = fs::remove_file(&beside);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn a_saved_plan_is_its_owners_alone_and_goes_through_no_link() {
        let dir = tempfile::tempdir().unwrap();
        let (plan, link, other) = (dir.path().join("plan"), dir.path().join("link"), dir.path().join("other"));
        fs::write(&plan, "old, and longer than the new one").unwrap();
        fs::set_permissions(&plan, fs::Permissions::from_mode(0o666)).unwrap();
        save(&plan, "new").unwrap();
        assert_eq!(fs::read_to_string(&plan).unwrap(), "new");
        assert_eq!(fs::metadata(&plan).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(&other, "somebody's").unwrap();
        symlink(&other, &link).unwrap();
        save(&link, "new").unwrap_err();
        save(dir.path(), "new").unwrap_err();
        save(&dir.path().join("nowhere/plan"), "new").unwrap_err();
        assert_eq!(fs::read_to_string(&other).unwrap(), "somebody's");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3, "nothing is left beside");
    }
}
