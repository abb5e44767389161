//! The course of a run, told without a clock.

use super::*;

fn id(text: &str) -> ResourceId {
    ResourceId::parse(text).unwrap()
}

fn ahead(text: &str, modules: &[&str], weight: usize, seconds: Option<f64>) -> Ahead {
    Ahead { id: id(text), modules: modules.iter().map(|name| (*name).to_owned()).collect(), weight, seconds }
}

fn begins(course: &mut Course, text: &str, module: &str, at: f64) {
    course.on(&Event::StepBegins { id: &id(text), module, summary: "make" }, at);
}

fn done(course: &mut Course, text: &str, module: &str, at: f64) -> Vec<Line> {
    course.on(&Event::StepDone { id: &id(text), module }, at)
}

fn within(course: &mut Course, percent: f64, bytes: Option<u64>, done: Option<f64>, at: f64) -> Vec<Line> {
    course.on(&Event::Within { what: "x", percent: Some(percent), bytes, done }, at)
}

#[test]
fn a_long_step_has_a_line_for_each_tenth_of_each_of_its_parts() {
    let mut course = Course::default();
    begins(&mut course, "package:all", "a", 0.0);
    let mut lines = |bytes: Option<u64>, at: f64| -> usize {
        (0..=400).map(|n| within(&mut course, f64::from(n) / 4.0, bytes, None, at + f64::from(n)).len()).sum()
    };
    assert_eq!(lines(Some(1000), 0.0), 10, "fetching");
    assert_eq!(lines(None, 500.0), 10, "putting in place, after it");
    assert_eq!(lines(None, 1000.0), 10, "a second call");
}

#[test]
fn a_download_is_told_in_bytes_with_its_rate_and_what_is_left() {
    let mut course = Course::default();
    begins(&mut course, "package:all", "a", 0.0);
    within(&mut course, 0.0, Some(100_000_000), None, 0.0);
    assert_eq!(course.now(), "x, 0 B of 100.0 MB (0 %)", "too early for a rate");
    within(&mut course, 10.0, Some(100_000_000), None, 2.0);
    assert_eq!(course.now(), "x, 10.0 MB of 100.0 MB, 5.0 MB/s, 20 s left (10 %)");
    within(&mut course, 12.0, Some(100_000_000), None, 30.0);
    assert_eq!(course.bytes_per_second().map(f64::round), Some(71429.0), "what was fast long ago no longer counts");
    within(&mut course, 1.0, None, Some(0.01), 31.0);
    assert_eq!((course.now(), course.bytes_per_second()), ("x (1 %)", None));
}

#[test]
fn the_whole_is_measured_by_work_and_its_rest_by_what_is_known() {
    let mut course = Course::default();
    course.expect(vec![ahead("package:all", &["a", "b"], 98, Some(100.0)), ahead("file:/x", &["a"], 2, Some(3.0))]);
    course.on(&Event::Begin { total: 2 }, 0.0);
    assert_eq!(course.whole(0.0), "0 %, 2 min left");
    begins(&mut course, "package:all", "a", 0.0);
    within(&mut course, 50.0, Some(10), Some(0.0), 10.0);
    assert_eq!((course.percent(), course.left(10.0)), (Some(0), Some(93.0)), "the download is part of the time");
    within(&mut course, 50.0, None, Some(0.5), 20.0);
    assert_eq!((course.percent(), course.left(20.0)), (Some(49), Some(43.0)));
    within(&mut course, 10.0, None, Some(0.2), 21.0);
    assert_eq!(course.percent(), Some(49), "it never goes back");
    done(&mut course, "package:all", "a", 60.0);
    assert_eq!(course.status(), "step 2/2, 98 %, all: package:all done");
    begins(&mut course, "file:/x", "a", 60.0);
    assert_eq!(course.left(70.0), Some(0.0), "late is not less than nothing");
    done(&mut course, "file:/x", "a", 71.0);
    assert_eq!(course.percent(), Some(100));
}

#[test]
fn one_step_of_unknown_length_makes_the_rest_unknown() {
    let mut course = Course::default();
    course.expect(vec![ahead("package:all", &["a"], 9, None), ahead("file:/x", &["a"], 1, Some(3.0))]);
    assert_eq!((course.left(0.0), course.whole(0.0)), (None, "0 %".to_owned()));
    begins(&mut course, "package:all", "a", 0.0);
    done(&mut course, "package:all", "a", 9.0);
    assert_eq!(course.left(9.0), Some(3.0), "until it is made");
    assert_eq!(Course::default().whole(0.0), "", "and where nothing is expected nothing is said");
}

#[test]
fn a_module_is_done_with_the_last_of_its_steps_and_not_when_one_failed() {
    let mut course = Course::default();
    course.expect(vec![
        ahead("package:all", &["a", "b"], 1, None),
        ahead("file:/a", &["a"], 1, None),
        ahead("file:/b", &["b"], 1, None),
        ahead("file:/c", &["c"], 1, None),
    ]);
    course.on(&Event::Begin { total: 4 }, 0.0);
    begins(&mut course, "file:/a", "a", 0.0);
    assert_eq!(course.modules(), "0 of 3 modules done; now a");
    assert_eq!(done(&mut course, "file:/a", "a", 0.0), [], "its packages are still to come");
    begins(&mut course, "package:all", "a", 0.0);
    let lines = done(&mut course, "package:all", "a", 1.0);
    assert_eq!(lines.iter().map(Line::text).collect::<Vec<_>>(), ["  a: 2 changes made"]);
    begins(&mut course, "file:/b", "b", 0.0);
    course.on(&Event::StepFailed { id: &id("file:/b"), module: "b", error: "no\nroom" }, 2.0);
    assert_eq!(course.modules(), "1 of 3 modules done; failed b");
    begins(&mut course, "file:/c", "c", 0.0);
    assert_eq!(course.modules(), "1 of 3 modules done; failed b; now c");
}

#[test]
fn waiting_has_a_line_each_half_minute() {
    let mut course = Course::default();
    let mut lines = |at: f64| course.on(&Event::Waiting { what: "for apt" }, at).len();
    assert_eq!([0.0, 1.0, 29.0, 30.0, 45.0, 61.0].map(&mut lines), [1, 0, 0, 1, 0, 1]);
    course.on(&Event::Note { line: "it is gone" }, 62.0);
    assert_eq!((course.notes(), course.status().as_str()), (&["it is gone".to_owned()][..], "waiting: for apt"));
}
