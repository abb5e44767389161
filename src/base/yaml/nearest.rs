//! The name that was probably meant.

/// Nobody means a name by a longer text than this, in bytes; comparing takes time by the length of both.
const LONGEST: usize = 128;

/// The candidate most like `name`, when one is like enough: Jaro-Winkler above 0.8, or at most two edits (a
/// transposition counts as one) on a name longer than they are.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .filter(|_| name.len() <= LONGEST)
        .filter_map(|candidate| {
            let likeness = strsim::jaro_winkler(name, candidate);
            let edits = strsim::damerau_levenshtein(name, candidate);
            let close = likeness > 0.8 || (edits <= 2 && candidate.chars().count() > 2);
            close.then_some((likeness, candidate))
        })
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_name_and_another_word_finds_none() {
        let names = ["docker", "git", "security"];
        assert_eq!(nearest("dokcer", names), Some("docker"));
        assert_eq!(nearest("gti", names), Some("git"));
        assert_eq!(nearest("securty", names), Some("security"));
        assert_eq!(nearest("wireguard", names), None);
        assert_eq!(nearest(&"docker".repeat(100_000), names), None, "at no cost");
    }
}
