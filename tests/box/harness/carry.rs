//! Copies files and folders into a box and out of it.
//!
//! Through processes of the box, not through its disk: /tmp and /run are mounts that only the box sees, and an
//! absolute link must lead to the box's own file.

use super::record::Record;
use super::{Trouble, exec};
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(600);

/// Copies a file (to the path `inside`, its mode kept) or the contents of a folder (into the folder `inside`).
/// All of it belongs to root there.
pub fn put(record: &Record, outside: &Path, inside: &str) -> Result<(), Trouble> {
    let about = fs::metadata(outside).map_err(|error| format!("cannot read {}: {error}", outside.display()))?;
    if about.is_dir() {
        let mut pack = Command::new("tar");
        pack.arg("-C").arg(outside).args(["--owner=0", "--group=0", "-cf", "-", "."]);
        let unpack = ["sh", "-c", r#"mkdir -p "$0" && tar -C "$0" -xf -"#, inside];
        return pipe(pack, exec::command(record, exec::leader_of(record)?, &unpack));
    }
    let mode = format!("{:o}", about.permissions().mode() & 0o7777);
    let file = File::open(outside).map_err(|error| format!("cannot read {}: {error}", outside.display()))?;
    let mut write = exec::command(record, exec::leader_of(record)?, &writer(inside, &mode));
    let output = write.stdin(file).output().map_err(|error| format!("cannot run nsenter: {error}"))?;
    said(&output.status, &output.stderr, inside)
}

/// Writes these bytes to a file of the box.
pub fn put_bytes(record: &Record, bytes: &[u8], inside: &str, mode: u32) -> Result<(), Trouble> {
    let mode = format!("{mode:o}");
    let output = exec::run(record, &writer(inside, &mode), bytes, LIMIT)?;
    if output.success() {
        return Ok(());
    }
    Err(format!("cannot write {inside} in box {}: {}", record.id, output.stderr.trim()))
}

fn writer<'a>(inside: &'a str, mode: &'a str) -> [&'a str; 5] {
    ["sh", "-c", r#"mkdir -p "$(dirname "$0")" && cat >"$0" && chmod "$1" "$0""#, inside, mode]
}

/// Copies a file of the box to the path `outside`, or the contents of a folder into the folder `outside`.
pub fn get(record: &Record, inside: &str, outside: &Path) -> Result<(), Trouble> {
    let leader = exec::leader_of(record)?;
    if exec::run(record, &["test", "-d", inside], b"", LIMIT)?.success() {
        fs::create_dir_all(outside).map_err(|error| format!("cannot make {}: {error}", outside.display()))?;
        let mut unpack = Command::new("tar");
        unpack.arg("-C").arg(outside).args(["-xf", "-"]);
        return pipe(exec::command(record, leader, &["tar", "-C", inside, "-cf", "-", "."]), unpack);
    }
    let bytes = read(record, inside)?;
    fs::write(outside, bytes).map_err(|error| format!("cannot write {}: {error}", outside.display()))
}

/// The bytes of a file of the box.
pub fn read(record: &Record, inside: &str) -> Result<Vec<u8>, Trouble> {
    let leader = exec::leader_of(record)?;
    let (status, stdout, stderr) = exec::collect(exec::command(record, leader, &["cat", "--", inside]), b"", LIMIT)?;
    said(&status, &stderr, inside).map(|()| stdout)
}

fn pipe(mut from: Command, mut into: Command) -> Result<(), Trouble> {
    let trouble = |error: std::io::Error| format!("cannot run tar: {error}");
    let mut source = from.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map_err(trouble)?;
    let stream = source.stdout.take().expect("its stdout is piped");
    let output = into.stdin(stream).output().map_err(trouble)?;
    let status = source.wait().map_err(trouble)?;
    said(&output.status, &output.stderr, "tar")?;
    said(&status, b"the other tar failed", "tar")
}

fn said(status: &std::process::ExitStatus, stderr: &[u8], what: &str) -> Result<(), Trouble> {
    if status.success() {
        return Ok(());
    }
    Err(format!("{what}: {}", String::from_utf8_lossy(stderr).trim()))
}
