//! Two texts made of one: what each side changed, put together where it does not meet.

use super::diff::algorithm;
use super::digest::Digest;
use similar::{DiffTag, MergeResolution, TextDiff, TextMerge};

/// A place at which a text was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// The line of the changed text at which it is, from 1.
    pub line: usize,
    /// The lines that stood there, with their line ends.
    pub old: String,
    /// The lines that stand there now.
    pub new: String,
}

impl Edit {
    /// A word for what was changed, wherever in the text it is.
    pub fn id(&self) -> String {
        Digest::of(format!("{}\0{}", self.old, self.new).as_bytes()).short().to_owned()
    }
}

/// A place that both sides changed, each in its own way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Clash {
    /// The line of their text at which it is, from 1.
    pub line: usize,
    /// The lines that stood there.
    pub base: String,
    /// What they made of them.
    pub theirs: String,
    /// What we make of them.
    pub ours: String,
}

/// The first of these lines, for people, and how many come after it.
pub fn first(lines: &str) -> String {
    let mut all = lines.lines();
    let first: String = all.next().unwrap_or("nothing").trim().chars().take(60).collect();
    match all.count() {
        0 => format!("`{first}`"),
        more => format!("`{first}` and {more} more"),
    }
}

/// What was changed from `old` to `new`, place by place.
pub fn edits(old: &str, new: &str) -> Vec<Edit> {
    pieces(old, new).into_iter().filter_map(Result::err).collect()
}

/// `old` with those of the changes to `new` that `is_kept` wants.
pub fn only(old: &str, new: &str, is_kept: impl Fn(&Edit) -> bool) -> String {
    let piece = |piece: Result<String, Edit>| match piece {
        Ok(same) => same,
        Err(edit) if is_kept(&edit) => edit.new,
        Err(edit) => edit.old,
    };
    pieces(old, new).into_iter().map(piece).collect()
}

/// Both texts from the first to the last line: what is the same, and what was changed.
fn pieces(old: &str, new: &str) -> Vec<Result<String, Edit>> {
    let diff = TextDiff::configure().algorithm(algorithm(old, new)).diff_lines(old, new);
    let mut pieces: Vec<Result<String, Edit>> = Vec::new();
    for op in diff.ops() {
        let (tag, was, is) = op.as_tag_tuple();
        let line = is.start + 1;
        let was: String = was.filter_map(|at| diff.old_slice(at)).collect();
        let is: String = is.filter_map(|at| diff.new_slice(at)).collect();
        match (tag, pieces.last_mut()) {
            (DiffTag::Equal, _) => pieces.push(Ok(was)),
            (_, Some(Err(edit))) => {
                edit.old.push_str(&was);
                edit.new.push_str(&is);
            }
            _ => pieces.push(Err(Edit { line, old: was, new: is })),
        }
    }
    pieces
}

/// What `theirs` and `ours` made of `base`, in one text. Changes that touch each other, with no line that stayed between
/// them, meet: nobody knows which of them goes first. Where they meet, and `is_theirs` says so, theirs is taken. Merging
/// the result with `ours` once more changes nothing.
///
/// # Errors
/// Where they meet.
pub fn three_way(
    base: &str,
    theirs: &str,
    ours: &str,
    is_theirs: &dyn Fn(&Clash) -> bool,
) -> Result<String, Vec<Clash>> {
    let merged = once(base, theirs, ours, is_theirs)?;
    match once(base, &merged, ours, is_theirs) {
        Ok(again) if again == merged => Ok(merged),
        _ => Err(vec![Clash { line: 1, base: base.to_owned(), theirs: theirs.to_owned(), ours: ours.to_owned() }]),
    }
}

fn once(base: &str, theirs: &str, ours: &str, is_theirs: &dyn Fn(&Clash) -> bool) -> Result<String, Vec<Clash>> {
    let longer = if theirs.len() > ours.len() { theirs } else { ours };
    let merge = TextMerge::configure().algorithm(algorithm(base, longer)).merge_lines(base, ours, theirs);
    let mut merged = String::new();
    let mut clashes = Vec::new();
    // Changed regions with nothing between them, and what becomes of them when they don't meet.
    let mut open: Vec<MergeResolution> = Vec::new();
    let (mut clash, mut joined) = (Clash::default(), String::new());
    let mut close = |open: &mut Vec<MergeResolution>, clash: &mut Clash, joined: &mut String| {
        let (clash, joined) = (std::mem::take(clash), std::mem::take(joined));
        let meets = open.contains(&MergeResolution::Conflict) || open.windows(2).any(|two| two[0] != two[1]);
        open.clear();
        match meets {
            false => merged.push_str(&joined),
            true if is_theirs(&clash) => merged.push_str(&clash.theirs),
            true => clashes.push(clash),
        }
    };
    for region in merge.regions() {
        let base: String = region.base_range().filter_map(|at| merge.base_line(at)).collect();
        let ours: String = region.ours_range().filter_map(|at| merge.ours_line(at)).collect();
        let theirs: String = region.theirs_range().filter_map(|at| merge.theirs_line(at)).collect();
        let is_same = region.resolution() == MergeResolution::Unchanged;
        if is_same || open.is_empty() {
            close(&mut open, &mut clash, &mut joined);
            clash.line = region.theirs_range().start + 1;
        }
        joined.push_str(if region.resolution() == MergeResolution::Theirs { &theirs } else { &ours });
        clash.base.push_str(&base);
        clash.ours.push_str(&ours);
        clash.theirs.push_str(&theirs);
        if is_same {
            close(&mut open, &mut clash, &mut joined);
        } else {
            open.push(region.resolution());
        }
    }
    close(&mut open, &mut clash, &mut joined);
    if clashes.is_empty() { Ok(merged) } else { Err(clashes) }
}

#[cfg(test)]
mod tests {
    use super::{Clash, edits, only};
    use proptest::prelude::*;

    fn three_way(base: &str, theirs: &str, ours: &str) -> Result<String, Vec<Clash>> {
        super::three_way(base, theirs, ours, &|_| false)
    }

    const BASE: &str = "one\ntwo\nthree\nfour\nfive\n";

    #[test]
    fn changes_that_do_not_meet_are_both_in_it() {
        let theirs = "one\nTWO\nthree\nfour\nfive\nsix\n";
        let ours = "one\ntwo\nthree\nFOUR\nfive\n";
        assert_eq!(three_way(BASE, theirs, ours).unwrap(), "one\nTWO\nthree\nFOUR\nfive\nsix\n");
        assert_eq!(three_way(BASE, BASE, ours).unwrap(), ours);
        assert_eq!(three_way(BASE, theirs, BASE).unwrap(), theirs);
        assert_eq!(three_way(BASE, ours, ours).unwrap(), ours);
    }

    #[test]
    fn changes_that_meet_or_touch_are_told_with_both_sides_and_where_they_are() {
        let clash = three_way(BASE, "zero\none\nTWO\nthree\nfour\nfive\n", "one\n2\nthree\nfour\nfive\n").unwrap_err();
        let wanted = Clash { line: 3, base: "two\n".into(), theirs: "TWO\n".into(), ours: "2\n".into() };
        assert_eq!(clash, [wanted]);
        let clash = three_way(BASE, "one\nTWO\nthree\nfour\nfive\n", "one\ntwo\n3\nfour\nfive\n").unwrap_err();
        let wanted =
            Clash { line: 2, base: "two\nthree\n".into(), theirs: "TWO\nthree\n".into(), ours: "two\n3\n".into() };
        assert_eq!(clash, [wanted]);
        let theirs = |clash: &Clash| clash.theirs == "TWO\n";
        let ours = "one\n2\nthree\nfour\nV\n";
        let merged = super::three_way(BASE, "one\nTWO\nthree\nfour\nfive\n", ours, &theirs);
        assert_eq!(merged.unwrap(), "one\nTWO\nthree\nfour\nV\n", "what is theirs by somebody's word");
        // One took a line away that the other changed.
        assert_eq!(three_way(BASE, "one\nthree\nfour\nfive\n", "one\n2\nthree\nfour\nfive\n").unwrap_err().len(), 1);
    }

    #[test]
    fn the_end_without_a_line_end_and_lines_that_end_in_two_bytes_are_told_apart() {
        assert_eq!(three_way("a\nb\nc\n", "a\nb\nc", "A\nb\nc\n").unwrap(), "A\nb\nc");
        assert_eq!(three_way("a\nb\nc", "A\nb\nc", "a\nb\nc\n").unwrap(), "A\nb\nc\n");
        assert_eq!(three_way("a\nb\n", "a\nb\nmine", "a\nb\nours\n").unwrap_err().len(), 1);
        // An editor that wrote all lines anew in its own way changed all of them.
        assert_eq!(three_way("a\nb\nc\n", "a\r\nb\r\nc\r\n", "A\nb\nc\n").unwrap_err().len(), 1);
        assert_eq!(three_way("a\r\nb\r\nc\r\n", "a\r\nb\r\nC\r\n", "A\r\nb\r\nc\r\n").unwrap(), "A\r\nb\r\nC\r\n");
    }

    #[test]
    fn edits_are_kept_one_by_one_and_are_known_wherever_they_stand() {
        let new = "zero\none\ntwo\nTHREE\nfour\nfive\n";
        let all = edits(BASE, new);
        let told: Vec<(usize, &str, &str)> = all.iter().map(|e| (e.line, e.old.as_str(), e.new.as_str())).collect();
        assert_eq!(told, [(1, "", "zero\n"), (4, "three\n", "THREE\n")]);
        assert_eq!(only(BASE, new, |edit| edit.id() == all[1].id()), "one\ntwo\nTHREE\nfour\nfive\n");
        let alone = edits("three\n", "THREE\n");
        assert_eq!(alone[0].id(), all[1].id());
    }

    fn texts() -> impl Strategy<Value = String> {
        prop::collection::vec(prop::sample::select(vec!["a\n", "b\n", "c\n", "d\n", "\n"]), 0..12)
            .prop_map(|v| v.concat())
    }

    proptest! {
        #[test]
        fn what_is_merged_keeps_every_change_of_both_and_merging_again_changes_nothing(
            base in texts(), theirs in texts(), ours in texts(),
        ) {
            if let Ok(merged) = three_way(&base, &theirs, &ours) {
                prop_assert_eq!(three_way(&base, &merged, &ours).unwrap(), merged.clone());
                if ours == base { prop_assert_eq!(&merged, &theirs); }
                if theirs == base { prop_assert_eq!(&merged, &ours); }
                let count = |text: &str, line: &str| text.lines().filter(|l| *l == line).count() as i64;
                for line in ["a", "b", "c", "d"] {
                    let (b, t, o, m) = (count(&base, line), count(&theirs, line), count(&ours, line), count(&merged, line));
                    // What both changed alike is in it once.
                    prop_assert!(m >= t.min(o).min(t + o - b) && m <= t.max(o).max(t + o - b), "{line}: {b} {t} {o} {m}");
                }
            }
        }

        #[test]
        fn with_all_edits_it_is_the_new_text_and_with_none_the_old_one(old in texts(), new in texts()) {
            prop_assert_eq!(only(&old, &new, |_| true), new.clone());
            prop_assert_eq!(only(&old, &new, |_| false), old);
        }
    }
}
