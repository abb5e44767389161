//! Times for people and programs, in UTC: an administrator of many hosts compares them.

use jiff::Timestamp;

fn stamp(nanoseconds: i64) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(nanoseconds)).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// `2026-11-23 18:05Z`.
pub fn minute(nanoseconds: i64) -> String {
    stamp(nanoseconds).strftime("%Y-%m-%d %H:%MZ").to_string()
}

/// `2026-11-23 18:05:07Z`.
pub fn second(nanoseconds: i64) -> String {
    stamp(nanoseconds).strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// RFC 3339 with milliseconds, for programs.
pub fn rfc3339(nanoseconds: i64) -> String {
    format!("{:.3}", stamp(nanoseconds))
}

/// A length of time: `7 s`, `2 min 05 s`.
pub fn length(seconds: f64) -> String {
    let whole = seconds.max(0.0) as u64;
    match whole {
        0..=9 => format!("{seconds:.1} s"),
        10..=119 => format!("{whole} s"),
        _ => format!("{} min {:02} s", whole / 60, whole % 60),
    }
}

/// A length of time that is not known to the second: `7 s`, `50 s`, `3 min`.
pub fn rough(seconds: f64) -> String {
    match seconds.max(0.0).ceil() as u64 {
        whole @ 0..=10 => format!("{whole} s"),
        whole @ 11..=90 => format!("{} s", whole.div_ceil(10) * 10),
        whole => format!("{} min", whole.div_ceil(60)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc_and_lengths_are_short() {
        assert_eq!(minute(0), "1970-01-01 00:00Z");
        assert_eq!(rfc3339(1_500_000_000), "1970-01-01T00:00:01.500Z");
        assert_eq!([length(0.25), length(61.0), length(125.0)], ["0.2 s", "61 s", "2 min 05 s"]);
        assert_eq!([rough(0.1), rough(43.0), rough(91.0)], ["1 s", "50 s", "2 min"]);
    }
}
