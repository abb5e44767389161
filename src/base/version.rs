//! Comparing Debian version numbers (deb-version(7), Debian policy 5.6.12).

use std::cmp::Ordering;

/// Compares two versions as `dpkg --compare-versions` does: epoch, upstream version, Debian revision. What is not a
/// valid version is ordered too, by the same rules.
pub fn compare(a: &str, b: &str) -> Ordering {
    let ((epoch_a, upstream_a, revision_a), (epoch_b, upstream_b, revision_b)) = (split(a), split(b));
    number_order(epoch_a.as_bytes(), epoch_b.as_bytes())
        .then_with(|| part_order(upstream_a, upstream_b))
        .then_with(|| part_order(revision_a, revision_b))
}

/// Epoch, upstream version, revision; an absent one is empty, which compares like 0.
fn split(version: &str) -> (&str, &str, &str) {
    let version = version.trim();
    let (epoch, rest) = match version.split_once(':') {
        Some((epoch, rest)) if epoch.bytes().all(|c| c.is_ascii_digit()) => (epoch, rest),
        _ => ("", version),
    };
    let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
    (epoch, upstream, revision)
}

/// Stretches without digits and numbers, by turns.
fn part_order(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    while !a.is_empty() || !b.is_empty() {
        let (word_a, word_b) = (take(&mut a, false), take(&mut b, false));
        let order = word_order(word_a, word_b).then_with(|| number_order(take(&mut a, true), take(&mut b, true)));
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

/// Cuts the leading digits (or non-digits) off `text`.
fn take<'a>(text: &mut &'a [u8], digits: bool) -> &'a [u8] {
    let end = text.iter().position(|c| c.is_ascii_digit() != digits).unwrap_or(text.len());
    let (head, rest) = text.split_at(end);
    *text = rest;
    head
}

/// `~` sorts before the end, the end before letters, letters before all else.
fn word_order(a: &[u8], b: &[u8]) -> Ordering {
    let weight = |c: Option<&u8>| match c {
        Some(b'~') => -1,
        None => 0,
        Some(c) if c.is_ascii_alphabetic() => i32::from(*c),
        Some(c) => i32::from(*c) + 256,
    };
    let length = a.len().max(b.len());
    (0..length).map(|i| weight(a.get(i)).cmp(&weight(b.get(i)))).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

/// Numbers of any length.
fn number_order(a: &[u8], b: &[u8]) -> Ordering {
    let strip = |digits: &'_ [u8]| digits.iter().take_while(|c| **c == b'0').count();
    let (a, b) = (a.split_at(strip(a)).1, b.split_at(strip(b)).1);
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Each line: smaller, equal or greater, then the two versions.
    const HARD: &str = "
        = 1.0 1.0
        = 1.0 1.0-0
        = 1.0 0:1.0
        = 1.0-0 1.0-00
        = 1.0 1.00
        = 1.0 01.0
        = 1.01 1.1
        = 0 0:0-0
        = 1.0-1 1.0-01
        = 1.a0 1.a
        = 00:1 1
        = 1.0- 1.0
        < 1.0 1.0-1
        < 1.0-1 1.0-2
        < 1.0-9 1.0-10
        < 1.9 1.10
        < 1.99 1.100
        < 1.0 1.0.0
        < 1.0 1.0a
        < 1.0 1.0+b1
        < 1.0a 1.0+b1
        < 1.0a 1.0b
        < 1.0Z 1.0a
        < 1.0~ 1.0
        < 1.0~~ 1.0~
        < 1.0~~a 1.0~
        < 1.0~rc1 1.0
        < 1.0~rc1 1.0~rc2
        < 1.0~rc9 1.0~rc10
        < 1.0~rc1-1 1.0-1
        < 1.0~beta1 1.0~rc1
        < 1.0-1~bpo12+1 1.0-1
        < 1.0-1~bpo12+1 1.0-1~bpo13+1
        < 1.0-1 1.0-1+b1
        < 1.0-1+b1 1.0-1+b2
        < 1.0-1+b9 1.0-1+b10
        < 1.0-1 1.0-1+deb12u1
        < 1.0-1+deb12u1 1.0-1+deb12u2
        < 1.0-1+deb12u9 1.0-1+deb13u1
        < 1.0-1~deb12u1 1.0-1
        < 1.0-1~deb12u1 1.0-1~deb13u1
        < 1.0-1 1.0-1.1
        < 1.0-1.1 1.0-2
        < 1.0-1 1.0-1ubuntu1
        < 1.0-1+b1 1.0-1.1
        < 1.0 1:0.1
        < 9999 1:0
        < 9:1 10:0
        < 1:1.0~ 1:1.0
        < 1.0-1 1.0.1-1
        < 1.0+dfsg-1 1.0.1-1
        < 1.0 1.0+dfsg
        < 1.0+dfsg 1.0+dfsg1
        < 1.0-1 1.0-1-1
        < 1.0-a 1.0-a-b
        < 0.0~git20240101 0.0~git20240102
        < 0~20240101 0.1
        < 0.0 0.0.1~
        < 2.0 10.0
        < 2.36-9+deb12u9 2.36-9+deb12u10
        < 2.36-9+deb12u13 2.41-12
        < 5.2.15-2+b8 5.2.37-2+b5
        < 3.0.19-1~deb12u2 3.5.1-1
        < 1.21.22 1.22.21
        < 4.13+dfsg1-1+deb12u1 1:4.17.4-2
        < 99999999999999999998 99999999999999999999
        < 99999999999999999999 100000000000000000000
        > 1.0.1~rc1 1.0
        > 1.0+ 1.0
        > 1.0. 1.0
        > 1.0. 1.0a
        > a1 1
        > 1.0+b 1.0-1
        > 1.2.3-1 1.2-3-1
    ";

    fn pairs() -> Vec<(Ordering, &'static str, &'static str)> {
        let line = |line: &'static str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let &[sign, a, b] = words.as_slice() else { return None };
            let order = match sign {
                "<" => Ordering::Less,
                "=" => Ordering::Equal,
                _ => Ordering::Greater,
            };
            Some((order, a, b))
        };
        HARD.lines().filter_map(line).collect()
    }

    #[test]
    fn hard_pairs_are_ordered_both_ways() {
        assert!(pairs().len() >= 60, "{}", pairs().len());
        for (order, a, b) in pairs() {
            assert_eq!(compare(a, b), order, "{a} {b}");
            assert_eq!(compare(b, a), order.reverse(), "{b} {a}");
        }
    }

    /// Versions out of the pieces that make comparing hard.
    fn version() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            "0", "1", "2", "9", "10", "00", "007", "~", "~~", "+", ".", "-", "a", "b", "Z", "rc", "+b1", "~bpo12+1",
            "+deb12u1", "dfsg",
        ]);
        let epoch = prop::sample::select(vec!["", "", "0:", "1:", "01:", "12:"]);
        (epoch, 0..10u32, prop::collection::vec(piece, 0..6))
            .prop_map(|(epoch, first, pieces)| format!("{epoch}{first}{}", pieces.concat()))
    }

    proptest! {
        #[test]
        fn comparing_is_an_order(a in version(), b in version(), c in version()) {
            prop_assert_eq!(compare(&a, &a), Ordering::Equal);
            prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
            if compare(&a, &b).is_le() && compare(&b, &c).is_le() {
                prop_assert!(compare(&a, &c).is_le());
            }
            if compare(&a, &b).is_eq() {
                prop_assert_eq!(compare(&a, &c), compare(&b, &c));
            }
        }
    }

    #[test]
    fn dpkg_agrees_on_two_thousand_pairs() {
        use proptest::strategy::ValueTree;
        use proptest::test_runner::TestRunner;
        use std::io::Write;
        use std::process::{Command, Stdio};
        if !Command::new("dpkg").arg("--version").output().is_ok_and(|out| out.status.success()) {
            eprintln!("skipped: dpkg is not here");
            return;
        }
        let mut runner = TestRunner::deterministic();
        let mut draw = || version().new_tree(&mut runner).unwrap().current();
        let mut input = String::new();
        let word = |order| match order {
            Ordering::Less => "lt",
            Ordering::Equal => "eq",
            Ordering::Greater => "gt",
        };
        for (order, a, b) in pairs() {
            input.push_str(&format!("{a} {} {b}\n", word(order)));
        }
        for _ in 0..2000 {
            let (a, b) = (draw(), draw());
            input.push_str(&format!("{a} {} {b}\n", word(compare(&a, &b))));
        }
        let script = "while read -r a op b; do dpkg --compare-versions \"$a\" \"$op\" \"$b\" 2>/dev/null || echo \"$a $op $b\"; done";
        let mut child =
            Command::new("sh").args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let out = child.wait_with_output().unwrap();
        // dpkg refuses an empty revision ("1.0-") whatever the order.
        let wrong: Vec<String> = String::from_utf8(out.stdout)
            .unwrap()
            .lines()
            .filter(|line| !line.split(' ').any(|word| word.ends_with('-')))
            .map(str::to_owned)
            .collect();
        assert!(wrong.is_empty(), "dpkg does not say: {wrong:#?}");
    }
}
