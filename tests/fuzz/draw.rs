//! Drawing cases: the seed, their number, and texts that are nearly right.

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseResult, TestRng, TestRunner};
use std::fs;
use std::path::{Path, PathBuf};

/// Runs `test` on `cases` values. `FUZZ_SEED` gives other ones, `FUZZ_TIMES` as many times more.
#[track_caller]
pub fn check<S: Strategy>(cases: u32, strategy: &S, test: impl Fn(S::Value) -> TestCaseResult) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seed = number("FUZZ_SEED").unwrap_or(1);
    let times = u32::try_from(number("FUZZ_TIMES").unwrap_or(1)).expect("FUZZ_TIMES is small");
    let config =
        Config { cases: cases * times, failure_persistence: None, max_shrink_iters: 2000, ..Config::default() };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    if let Err(error) = runner.run(strategy, test) {
        panic!("FUZZ_SEED={seed} FUZZ_TIMES={times}: {error}");
    }
}

/// The project's top folder.
pub fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files below a folder of the project whose names end so, sorted.
pub fn files(below: &str, end: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut ahead = vec![top().join(below)];
    while let Some(dir) = ahead.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                ahead.push(path);
            } else if path.to_string_lossy().ends_with(end) {
                found.push(path);
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "no {end} below {below}");
    found
}

/// Bytes of no form at all, and of a form that looks like text.
pub fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        any::<u8>().prop_map(|byte| vec![byte]),
        any::<char>().prop_map(|c| c.to_string().into_bytes()),
        sample_piece().prop_map(String::into_bytes),
    ];
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

/// What means something to one reader or another.
fn sample_piece() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "\n",
        "\r\n",
        "\r",
        "\t",
        " ",
        "  ",
        ":",
        ": ",
        "- ",
        "[",
        "]",
        "{",
        "}",
        ",",
        "&a ",
        "*a",
        "!",
        "!!str ",
        "|",
        "|2-\n",
        ">",
        ">+\n",
        "'",
        "\"",
        "\\",
        "\\u0000",
        "%",
        "%YAML 1.2\n",
        "---\n",
        "...\n",
        "#",
        " # c\n",
        "? ",
        "<<: *a\n",
        "~",
        "null",
        "true",
        "0x1f",
        "1e999",
        "-",
        ".",
        "..",
        "/",
        "@",
        "`",
        "=",
        "\u{0}",
        "\u{7f}",
        "\u{85}",
        "\u{2028}",
        "\u{feff}",
        "å",
        "𝄞",
        "a: b\n",
        "key",
        "{{",
        "}}",
        "{% if %}",
        "{# #}",
        "0",
        "9999999999999999999999",
        "Match User x\n",
        "Include /etc/*\n",
        "Port 22\n",
        "Package: a\n",
        "Status: install ok installed\n",
        "\n\n",
        "root:x:0:0::/root:/bin/sh\n",
        "\u{200b}",
        "-1",
    ])
    .prop_map(str::to_owned)
}

/// One change to a text.
#[derive(Debug, Clone)]
enum Change {
    Insert(prop::sample::Index, String),
    Remove(prop::sample::Index, usize),
    Double(prop::sample::Index),
    Swap(prop::sample::Index, prop::sample::Index),
    Cut(prop::sample::Index),
    Indent(prop::sample::Index, usize),
}

/// One of `texts`, with a few changes: nearly right.
pub fn nearly(texts: Vec<String>) -> impl Strategy<Value = String> {
    let at = any::<prop::sample::Index>;
    let change = prop_oneof![
        4 => (at(), sample_piece()).prop_map(|(at, text)| Change::Insert(at, text)),
        3 => (at(), 1..30_usize).prop_map(|(at, count)| Change::Remove(at, count)),
        2 => at().prop_map(Change::Double),
        2 => (at(), at()).prop_map(|(a, b)| Change::Swap(a, b)),
        1 => at().prop_map(Change::Cut),
        2 => (at(), 0..5_usize).prop_map(|(at, by)| Change::Indent(at, by)),
    ];
    (prop::sample::select(texts), prop::collection::vec(change, 1..6))
        .prop_map(|(text, changes)| changes.iter().fold(text, |text, change| changed(&text, change)))
}

fn changed(text: &str, change: &Change) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
    if chars.is_empty() {
        return "x".to_owned();
    }
    match change {
        Change::Insert(at, piece) => {
            let at = at.index(chars.len());
            chars.splice(at..at, piece.chars());
        }
        Change::Remove(at, count) => {
            let at = at.index(chars.len());
            let end = (at + count).min(chars.len());
            chars.drain(at..end);
        }
        Change::Cut(at) => chars.truncate(at.index(chars.len())),
        Change::Double(at) => {
            let at = at.index(lines.len());
            let line = lines[at].clone();
            lines.insert(at, line);
            return lines.concat();
        }
        Change::Swap(a, b) => {
            let (a, b) = (a.index(lines.len()), b.index(lines.len()));
            lines.swap(a, b);
            return lines.concat();
        }
        Change::Indent(at, by) => {
            let at = at.index(lines.len());
            lines[at] = format!("{}{}", " ".repeat(*by), lines[at].trim_start_matches(' '));
            return lines.concat();
        }
    }
    chars.into_iter().collect()
}

/// The texts of files.
pub fn texts(paths: &[PathBuf]) -> Vec<String> {
    paths.iter().map(|path| fs::read_to_string(path).unwrap()).collect()
}
