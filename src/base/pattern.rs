//! Patterns as shells and sshd(8) have them: `*` stands for any text, `?` for one character.

/// Whether a text is what a pattern says.
pub fn is_like(pattern: &str, text: &str) -> bool {
    let mut rest = pattern.chars();
    match rest.next() {
        None => text.is_empty(),
        // Wherever what the star stands for may end.
        Some('*') => {
            let mut ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
            ends.any(|at| is_like(rest.as_str(), &text[at..]))
        }
        Some(first) => {
            let mut text = text.chars();
            text.next().is_some_and(|found| found == first || first == '?') && is_like(rest.as_str(), text.as_str())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_like;

    #[test]
    fn a_star_is_any_text_and_a_question_mark_one_character() {
        assert!(is_like("a*c*", "abc") && is_like("*", "") && is_like("a*a", "aäa") && is_like("*b", "abab"));
        assert!(!is_like("a*a", "a") && !is_like("a", "ab") && !is_like("a*c", "ab"));
        assert!(is_like("s?do", "südo") && !is_like("s?do", "sdo"));
    }
}
