//! Sizes in bytes, for people: `145.2 MB` (powers of 1000, as apt writes them).

/// `bytes` with a unit.
pub fn bytes(bytes: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", units[unit]) }
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn sizes_are_written_as_apt_writes_them() {
        assert_eq!([bytes(0), bytes(999), bytes(1500), bytes(145_200_000)], ["0 B", "999 B", "1.5 kB", "145.2 MB"]);
    }
}
