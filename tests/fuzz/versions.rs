//! Debian's order of versions: as dpkg has it.

use super::draw::check;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use std::cmp::Ordering;
use std::io::Write;
use std::process::{Command, Stdio};
use vps_configurator::base::version::compare;

/// How many pairs dpkg is asked about.
const PAIRS: usize = 10_000;

/// Valid versions (deb-version(7)) out of the pieces that make comparing hard.
fn version() -> impl Strategy<Value = String> {
    let piece = || {
        prop::sample::select(vec![
            "0",
            "1",
            "2",
            "9",
            "10",
            "00",
            "007",
            "99999999999999999999",
            "~",
            "~~",
            "+",
            ".",
            "a",
            "b",
            "Z",
            "zz",
            "rc",
            "+b1",
            "~bpo12+1",
            "+deb12u1",
            "dfsg",
            "A~",
            "~1",
            ".0",
            "a+",
            "1a",
        ])
    };
    let epoch = prop::sample::select(vec!["", "", "", "0:", "1:", "01:", "12:"]);
    let part = move |most: usize| prop::collection::vec(piece(), 0..most).prop_map(|pieces| pieces.concat());
    let revision = prop_oneof![
        Just(String::new()),
        ("[0-9]", part(3)).prop_map(|(first, rest)| format!("-{first}{rest}")),
        part(2).prop_map(|rest| format!("-x-0{rest}")),
    ];
    (epoch, 0..12_u32, part(5), revision)
        .prop_map(|(epoch, first, rest, revision)| format!("{epoch}{first}{rest}{revision}"))
}

/// A pair that has something in common: the ends are what differs, as among real versions.
fn pair() -> impl Strategy<Value = (String, String)> {
    let end =
        prop::sample::select(vec!["", "~", "0", "a", "+", ".", "~~", "-0", "-1", "-0~", "A", "1", "~1", ".0", "00"]);
    prop_oneof![
        (version(), version()),
        (version(), end.clone(), end).prop_map(|(version, a, b)| (format!("{version}{a}"), format!("{version}{b}"))),
    ]
}

fn word(order: Ordering) -> &'static str {
    match order {
        Ordering::Less => "lt",
        Ordering::Equal => "eq",
        Ordering::Greater => "gt",
    }
}

#[test]
fn dpkg_says_the_same_of_ten_thousand_pairs() {
    assert!(Command::new("dpkg").arg("--version").output().is_ok_and(|out| out.status.success()), "dpkg is not here");
    let seed = std::env::var("FUZZ_SEED").ok().and_then(|text| text.parse::<u64>().ok()).unwrap_or(1);
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let strategy = pair();
    let mut input = String::new();
    for _ in 0..PAIRS {
        let (a, b) = strategy.new_tree(&mut runner).unwrap().current();
        input.push_str(&format!("{a} {} {b}\n", word(compare(&a, &b))));
    }
    // One shell for all; what dpkg does not say, or warns of, is written out, and the count at the end.
    let script = "n=0; while read -r a op b; do n=$((n + 1)); \
                  said=$(dpkg --compare-versions \"$a\" \"$op\" \"$b\" 2>&1) || echo \"no: $a $op $b\"; \
                  [ -z \"$said\" ] || echo \"warns: $a $b: $said\"; done; echo \"$n pairs\"";
    let mut child =
        Command::new("sh").args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let out = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert_eq!(String::from_utf8(out.stdout).unwrap(), format!("{PAIRS} pairs\n"), "FUZZ_SEED={seed}");
}

#[test]
fn texts_that_are_no_versions_are_ordered_too() {
    check(20_000, &(any::<String>(), any::<String>(), any::<String>()), |(a, b, c)| {
        prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
        if compare(&a, &b).is_le() && compare(&b, &c).is_le() {
            prop_assert!(compare(&a, &c).is_le());
        }
        Ok(())
    });
}
