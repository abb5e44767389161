//! Breaking lines at blanks so that they fit 80 columns. A word that is longer than a line stays whole.

/// How wide the output is at most.
const WIDTH: usize = 80;

/// `line` behind `indent`, broken where it must be; the lines after the first are indented two more. Ends with a
/// newline.
pub fn wrap(indent: &str, line: &str) -> String {
    let mut text = String::new();
    let mut row = indent.to_owned();
    let mut empty = true;
    for word in line.split(' ') {
        let fits = row.chars().count() + usize::from(!empty) + word.chars().count() <= WIDTH;
        if !empty && !fits {
            text.push_str(row.trim_end());
            text.push('\n');
            row = format!("{indent}  ");
            empty = true;
        }
        if !empty {
            row.push(' ');
        }
        row.push_str(word);
        empty = false;
    }
    text.push_str(row.trim_end());
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::wrap;

    #[test]
    fn long_lines_are_broken_at_blanks_and_indented() {
        let line = ["word"; 30].join(" ");
        let text = wrap("    ", &line);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert_eq!(text.split_whitespace().count(), 30);
        assert!(text.lines().nth(1).unwrap().starts_with("      word"));
        assert_eq!(wrap("  ", "  kept blanks"), "    kept blanks\n");
    }
}
