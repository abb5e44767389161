//! Texts compared with files; `UPDATE_SNAPSHOTS=1` (or `UPDATE_GOLDEN=1`) writes the files anew.

use regex_lite::Regex;
use std::fs;
use std::path::Path;

/// Compares a text with the file that holds it.
#[track_caller]
pub fn compare(file: &Path, text: &str, variable: &str) {
    if std::env::var_os(variable).is_some() {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
        return;
    }
    let kept =
        fs::read_to_string(file).unwrap_or_else(|e| panic!("{}: {e}; {variable}=1 writes it:\n{text}", file.display()));
    if kept != text {
        let diff = similar::TextDiff::from_lines(&kept, text);
        let diff = diff.unified_diff().header("kept", "now").to_string();
        panic!("{} differs ({variable}=1 writes it anew):\n{diff}", file.display());
    }
}

/// The same text on every run and machine: times, lengths, hashes, process ids and the root's place are named.
pub fn steady(text: &str, root: &Path) -> String {
    let mut text = text.replace(&root.display().to_string(), "ROOT");
    for (pattern, word) in [
        (r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d)?(\.\d+)?(Z| UTC)?", "TIME"),
        (r"\b\d+(\.\d+)? (s|ms|min)\b( \d+ s)?", "LENGTH"),
        // The slow steps of a report: which are slow depends on the day.
        (r"(?m)^ {4,}LENGTH  .*\n", ""),
        // How full the disk of this machine is.
        (r"is \d+ % full, .* are free", "is PARTLY full"),
        (r"in\s+\d+:\d\d\b", "in LEFT"),
        (r"Plan [0-9a-f]{8,}", "Plan HASH"),
        (r"pid \d+", "pid N"),
        (r"-p \d+", "-p N"),
        (r"\d+(\.\d+)? [GT]B", "MANY GB"),
        (r"candidate-[0-9a-f]+", "candidate-HASH"),
        (r"sha256:[0-9a-f]+|[0-9a-f]{64}", "HASH"),
        (r#""(duration_seconds|seconds|duration)": [0-9.e-]+"#, "\"$1\": 0"),
    ] {
        text = Regex::new(pattern).unwrap().replace_all(&text, word).into_owned();
    }
    text
}
