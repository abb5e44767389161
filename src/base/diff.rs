//! Unified differences of two texts, as `diff -u` prints them.

use similar::{Algorithm, TextDiff};

/// Above this many lines on both sides together the quicker algorithm is taken, which finds good differences but not
/// always the shortest.
const SHORTEST_UP_TO: usize = 10_000;

/// The unified diff from `old` to `new`, with three lines of context; empty when they are equal. A missing last line
/// end is marked with `\ No newline at end of file`.
pub fn unified(old: &str, new: &str, old_name: &str, new_name: &str) -> String {
    if old == new {
        return String::new();
    }
    TextDiff::configure()
        .algorithm(algorithm(old, new))
        .diff_lines(old, new)
        .unified_diff()
        .context_radius(3)
        .header(old_name, new_name)
        .missing_newline_hint(true)
        .to_string()
}

/// The algorithm that compares these two texts in bounded time.
pub(super) fn algorithm(old: &str, new: &str) -> Algorithm {
    let lines = old.lines().count() + new.lines().count();
    if lines > SHORTEST_UP_TO { Algorithm::Patience } else { Algorithm::Myers }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_change_has_three_lines_around_it() {
        let old = "1\n2\n3\n4\n5\n6\n7\n8\n9\n";
        let new = "1\n2\n3\n4\nfive\n6\n7\n8\n9\n";
        let wanted = "--- /etc/a\n+++ /etc/a (planned)\n@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n";
        assert_eq!(unified(old, new, "/etc/a", "/etc/a (planned)"), wanted);
        assert_eq!(unified(old, old, "a", "b"), "");
    }

    #[test]
    fn a_missing_last_line_end_is_told() {
        let wanted = "--- a\n+++ b\n@@ -1 +1 @@\n-x\n\\ No newline at end of file\n+x\n";
        assert_eq!(unified("x", "x\n", "a", "b"), wanted);
    }

    #[test]
    fn two_long_texts_without_a_common_line_are_compared_in_bounded_time() {
        let text = |word: &str| (0..20_000).map(|i| format!("{word} {i}\n")).collect::<String>();
        let begun = std::time::Instant::now();
        let diff = unified(&text("old"), &text("new"), "a", "b");
        assert_eq!(diff.lines().count(), 40_003);
        assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
    }

    /// What patch(1) makes of it, when it is here.
    fn patched(old: &str, diff: &str) -> Option<String> {
        use std::io::Write;
        use std::process::{Command, Stdio};
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, old).unwrap();
        let args = ["--silent", "--force", "-F0"];
        let spawned = Command::new("patch").args(args).arg(&file).stdin(Stdio::piped()).stdout(Stdio::null()).spawn();
        let mut child = spawned.ok()?;
        child.stdin.take().unwrap().write_all(diff.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success(), "{diff}");
        Some(std::fs::read_to_string(&file).unwrap_or_default())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn patch_makes_the_new_text_of_the_old_one(
            old in prop::collection::vec(prop::sample::select(vec!["a\n", "b\n", "c\n", "\n"]), 0..30),
            new in prop::collection::vec(prop::sample::select(vec!["a\n", "b\n", "c\n", "\n"]), 1..30),
            ended in any::<bool>(),
        ) {
            let (old, mut new) = (old.concat(), new.concat());
            if !ended {
                new.push_str("no end");
            }
            prop_assume!(old != new);
            if let Some(made) = patched(&old, &unified(&old, &new, "a", "b")) {
                prop_assert_eq!(made, new);
            }
        }
    }
}
