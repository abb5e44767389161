//! Counts of things, for people: `1 change`, `5 changes`.

/// `count` with `noun`, which gets an s unless it is one.
pub fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::counted;

    #[test]
    fn one_thing_is_no_things() {
        assert_eq!([0, 1, 2].map(|n| counted(n, "change")), ["0 changes", "1 change", "2 changes"]);
    }
}
