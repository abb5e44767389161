//! YAML that people write: configuration, profiles, manifests.

use super::draw::{bytes, check, files, nearly, texts, top};
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use std::path::Path;
use vps_configurator::base::yaml::{Node, Problem, Problems, Source, Value, parse};
use vps_configurator::host::RealHost;
use vps_configurator::modules::{Catalogue, ModuleSource};
use vps_configurator::profiles::{Inputs, check as merged, set, unset, validate};

/// A complaint is about a place that is there.
fn is_placed(source: &Source, problem: &Problem) -> TestCaseResult {
    let lines = source.text.split(['\n', '\r']).count();
    prop_assert!((1..=lines).contains(&problem.line), "line {} of {lines}: {problem:?}", problem.line);
    let length = source.line(problem.line).chars().count();
    // Just behind the end may be marked: there something is missing.
    prop_assert!((1..=length + 2).contains(&problem.column), "column {} of {length}: {problem:?}", problem.column);
    prop_assert!(problem.end_column > problem.column && !problem.marked().is_empty(), "{problem:?}");
    Ok(())
}

fn are_placed(sources: &[&Source], problems: &Problems) -> TestCaseResult {
    prop_assert!(!problems.0.is_empty());
    for problem in &problems.0 {
        match sources.iter().find(|source| *source.name == *problem.file) {
            Some(source) => is_placed(source, problem)?,
            // A module that doesn't exist and the like is about no line.
            None => prop_assert!(problem.file.is_empty() || !problem.message.is_empty(), "{problem:?}"),
        }
    }
    Ok(())
}

/// Every value lies within the text, and within what it is a part of.
fn is_within(source: &Source, node: &Node) -> TestCaseResult {
    let span = node.span;
    prop_assert!(span.start <= span.end && source.text.get(span.start..span.end).is_some(), "{span:?}");
    prop_assert!(span.line >= 1 && span.line <= span.end_line, "{span:?}");
    match &node.value {
        Value::List(nodes) => nodes.iter().try_for_each(|node| is_within(source, node)),
        Value::Map(entries) => entries.iter().try_for_each(|entry| {
            prop_assert!(source.text.get(entry.span.start..entry.span.end).is_some(), "{:?}", entry.span);
            is_within(source, &entry.value)
        }),
        _ => Ok(()),
    }
}

fn reads(source: &Source) -> TestCaseResult {
    match parse(source) {
        Ok(root) => {
            is_within(source, &root)?;
            prop_assert!(!root.to_json().to_string().is_empty() && !root.described().is_empty());
            Ok(())
        }
        Err(problem) => is_placed(source, &problem),
    }
}

fn shipped() -> Catalogue {
    Catalogue::load(&RealHost::new(top().into()), Path::new("/config/modules"), Path::new("/none")).unwrap()
}

#[test]
fn bytes_are_a_tree_within_the_text_or_a_problem_at_a_place_in_it() {
    check(6000, &bytes(), |bytes| reads(&Source::from_bytes("x", &bytes)));
}

#[test]
fn nearly_right_files_are_a_tree_within_the_text_or_a_problem_at_a_place_in_it() {
    let all = [files("config", ".yaml"), files("tests/golden", ".yaml")].concat();
    check(1500, &nearly(texts(&all)), |text| reads(&Source::new("x", text)));
}

#[test]
fn a_nearly_right_manifest_is_a_module_or_has_problems_at_places_in_it() {
    let strategy = nearly(texts(&files("config/modules", "module.yaml")));
    check(600, &strategy, |text| {
        let source = Source::new("/m/x/module.yaml", text);
        let module =
            ModuleSource { dir: "/m/x".into(), builtin: false, manifest: source.clone(), files: Default::default() };
        match Catalogue::new(vec![module]) {
            Ok(catalogue) => prop_assert!(catalogue.get("x").is_some()),
            Err(problems) => are_placed(&[&source], &problems)?,
        }
        Ok(())
    });
}

#[test]
fn a_nearly_right_configuration_is_one_or_has_problems_at_places_in_it() {
    let catalogue = shipped();
    let mut wanted = texts(&files("config/profiles", ".yaml"));
    wanted.extend(texts(&files("tests/compat", "config.yaml")));
    wanted.push("profile: p\napply: {workers: 2}\nmodules:\n  docker: {enabled: true}\n  security: {ssh: {max_auth_tries: 4}}\n".into());
    check(800, &(nearly(wanted.clone()), nearly(wanted), bytes()), |(config, profile, key)| {
        let source = Source::new("/etc/vps-configurator/config.yaml", config);
        let own = Source::new("/etc/vps-configurator/profiles.d/p.yaml", profile);
        let inputs = Inputs {
            config: vec![source.clone()],
            profiles: vec![(own.clone(), false)],
            profile: Some("p".into()),
            ..Inputs::default()
        };
        for result in [merged(&catalogue, &inputs).map(drop), validate(&catalogue, &inputs)] {
            if let Err(problems) = result {
                are_placed(&[&source, &own], &problems)?;
            }
        }
        // Editing is done on what is there, whatever it is; what comes of it is read again.
        let key = String::from_utf8_lossy(&key).into_owned();
        for (key, value) in [("modules.docker.enabled", "false"), ("apply.workers", "3"), (key.as_str(), "x")] {
            for edited in [set(&catalogue, &inputs, key, value), unset(&catalogue, &inputs, key)].into_iter().flatten()
            {
                prop_assert!(parse(&Source::new("edited", edited.clone())).is_ok(), "{key}: {edited:?}");
            }
        }
        Ok(())
    });
}

#[test]
fn set_on_the_command_line_is_read_or_refused_whatever_it_is() {
    let catalogue = shipped();
    let wanted = vec![
        "modules.docker.enabled=true".to_owned(),
        "apply.workers=4".to_owned(),
        "drift.skip=[packages]".to_owned(),
    ];
    check(2000, &prop_oneof![nearly(wanted), bytes().prop_map(|b| String::from_utf8_lossy(&b).into_owned())], |word| {
        let inputs = Inputs { sets: vec![word], ..Inputs::default() };
        if let Err(problems) = merged(&catalogue, &inputs) {
            prop_assert!(problems.0.iter().all(|problem| !problem.marked().is_empty()));
        }
        Ok(())
    });
}

/// CPU time of this thread, in nanoseconds.
fn cpu() -> i64 {
    use nix::time::{ClockId, clock_gettime};
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap();
    time.tv_sec() * 1_000_000_000 + time.tv_nsec()
}

#[test]
fn a_text_eight_times_as_long_costs_about_eight_times_as_much_whatever_is_wrong_with_it() {
    let catalogue = shipped();
    let forms: [(&str, fn(usize) -> String); 9] = [
        ("unknown keys", |n| (0..n).map(|i| format!("key{i}: 1\n")).collect()),
        ("unknown keys of modules", |n| {
            format!("modules:\n{}", (0..n).map(|i| format!("  dockr{i}: {{}}\n")).collect::<String>())
        }),
        ("one long line of keys", |n| format!("{{{}}}", (0..n).map(|i| format!("k{i}: 1, ")).collect::<String>())),
        ("one long key", |n| format!("{}: 1\n", "docker".repeat(n))),
        ("a long value", |n| format!("profile: \"{}\"\n", "ab ".repeat(n))),
        ("brackets", |n| "[".repeat(n)),
        ("quotes", |n| "'".repeat(n)),
        ("aliases", |n| format!("a: &a [1, 2, 3]\nb: [{}]\n", "*a, ".repeat(n))),
        ("comments", |n| format!("a: 1 {}\n", "# x\n".repeat(n))),
    ];
    for (what, form) in forms {
        let cost = |n: usize| {
            let inputs = Inputs { config: vec![Source::new("x", form(n))], ..Inputs::default() };
            let run = || {
                let before = cpu();
                let _ = merged(&catalogue, &inputs);
                cpu() - before
            };
            // The least of three: others work on this machine, too.
            (0..3).map(|_| run()).min().unwrap().max(1_000_000)
        };
        let (small, large) = (cost(2_500), cost(20_000));
        assert!(large < 32 * small, "{what}: {small} ns become {large} ns");
    }
}
