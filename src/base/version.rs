//! Comparing Debian version numbers (deb-version(7)).

use std::cmp::Ordering;

/// Which of two versions is the later one, as `dpkg --compare-versions` says.
pub fn compare(a: &str, b: &str) -> Ordering {
    let (a_epoch, a_rest) = epoch(a);
    let (b_epoch, b_rest) = epoch(b);
    let (a_upstream, a_revision) = a_rest.rsplit_once('-').unwrap_or((a_rest, ""));
    let (b_upstream, b_revision) = b_rest.rsplit_once('-').unwrap_or((b_rest, ""));
    a_epoch
        .cmp(&b_epoch)
        .then_with(|| part(a_upstream.as_bytes(), b_upstream.as_bytes()))
        .then_with(|| part(a_revision.as_bytes(), b_revision.as_bytes()))
}

fn epoch(version: &str) -> (u64, &str) {
    match version.split_once(':') {
        Some((epoch, rest)) => (epoch.parse().unwrap_or(0), rest),
        None => (0, version),
    }
}

/// Runs of other characters and runs of digits in turn; letters before everything else, `~` before the end itself.
fn part(mut a: &[u8], mut b: &[u8]) -> Ordering {
    loop {
        loop {
            let (x, y) = (word_rank(a.first()), word_rank(b.first()));
            match x.cmp(&y) {
                Ordering::Equal if x == 0 => break,
                Ordering::Equal => (a, b) = (a.get(1..).unwrap_or_default(), b.get(1..).unwrap_or_default()),
                unequal => return unequal,
            }
        }
        let (x, a_rest) = number(a);
        let (y, b_rest) = number(b);
        let order = x.len().cmp(&y.len()).then_with(|| x.cmp(y));
        if order != Ordering::Equal {
            return order;
        }
        (a, b) = (a_rest, b_rest);
        if a.is_empty() && b.is_empty() {
            return Ordering::Equal;
        }
    }
}

fn word_rank(byte: Option<&u8>) -> i32 {
    match byte {
        Some(b'~') => -1,
        None | Some(b'0'..=b'9') => 0,
        Some(b) if b.is_ascii_alphabetic() => i32::from(*b),
        Some(b) => i32::from(*b) + 256,
    }
}

/// The digits at the start without leading zeros, and the rest.
fn number(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|b| !b.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    let zeros = digits.iter().position(|b| *b != b'0').unwrap_or(digits.len());
    (digits.get(zeros..).unwrap_or_default(), rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_as_dpkg_orders_them() {
        for (earlier, later) in [
            ("1.0~rc1", "1.0"),
            ("1.0", "1.0-1"),
            ("1.0-1", "1.0-1+deb13u1"),
            ("1.9", "1.10"),
            ("2.0", "1:1.0"),
            ("1.0a", "1.0+"),
            ("1.0~~", "1.0~"),
            ("26.1.5+dfsg1-9", "26.1.5+dfsg1-9+b7"),
            ("1.2-3~bpo12+1", "1.2-3"),
        ] {
            assert_eq!(compare(earlier, later), Ordering::Less, "{earlier} {later}");
            assert_eq!(compare(later, earlier), Ordering::Greater, "{later} {earlier}");
        }
        assert_eq!(compare("1.00-1", "1.0-01"), Ordering::Equal);
    }
}
