//! Every kind of resource by itself, and several that hang together.

use crate::cases::{WISHES, Wish};
use crate::composed;
use crate::ground::{Ground, Known};
use crate::points::{Case, play_all};
use vps_configurator::resources::schema::KINDS;

/// `CRASH_CASE=user` plays only the cases with that in their names.
fn chosen(cases: Vec<Case>) -> Vec<Case> {
    let part = std::env::var("CRASH_CASE").unwrap_or_default();
    cases.into_iter().filter(|case| case.name.contains(&part)).collect()
}

#[test]
fn every_kind_survives_every_kill_point() {
    play_all("kinds", &chosen(WISHES.iter().map(Wish::case).collect()));
}

#[test]
fn every_kind_has_a_case() {
    for kind in KINDS {
        let start = format!("{}: ", kind.name);
        assert!(WISHES.iter().any(|wish| wish.name.starts_with(&start)), "{} has none", kind.name);
    }
}

#[test]
fn composed_plans_survive_every_kill_point() {
    play_all("composed plans", &chosen(composed::cases()));
}

#[test]
fn a_crash_is_recovered_from_also_where_the_configuration_cannot_be_read() {
    let case = composed::cases().remove(0);
    let base = Ground::new((case.tree)(&case.name));
    let (before, newest) = (base.tree.listing(), base.newest());
    let ground = base.twin();
    let points = ground.watch(&case.install, &Known::default()).points;
    let cut_off: Vec<Ground> = points.into_iter().map(|point| point.ground).filter(Ground::is_cut_off).collect();
    assert!(cut_off.len() > 10);
    for (number, ground) in cut_off.into_iter().enumerate() {
        let when = format!("cut-off state {number}");
        let broken = ["/etc/vps-configurator/config.yaml", "/etc/vps-configurator/modules.d/case/module.yaml"];
        let path = broken[number % 2];
        let text = ground.tree.has(path).then(|| ground.tree.text(path));
        ground.tree.put(path, "modules: [\n");
        ground.run("recover").must_be_done(&when);
        match text {
            Some(text) => ground.tree.put(path, text),
            None => ground.tree.remove(path),
        }
        ground.tree.must_be(&before, &when);
        ground.must_be_settled(&when);
        assert_eq!(ground.standing_since(newest), 0, "{when}");
    }
}

#[test]
fn a_rollback_after_a_crash_takes_back_what_was_cut_off_and_no_more() {
    let [first, second] = ["file: create", "file: update"].map(|name| {
        let wish = WISHES.iter().find(|wish| wish.name == name).unwrap().case();
        (wish.tree)(name)
    });
    let second = second.text("/etc/vps-configurator/modules.d/case/module.yaml");
    let ground = Ground::new(first);
    let install = WISHES[0].case().install;
    ground.tree.put("/etc/theirs.conf", "theirs\n");
    ground.run(&install).must_be_done("the first");
    let done = ground.tree.listing();
    let more = second.replace("name: case\n", "name: more\n");
    ground.tree.put("/etc/vps-configurator/modules.d/more/module.yaml", &more);
    let line = "install --profile small --module more --set modules.more.enabled=true --yes";
    let mut played = 0;
    for point in ground.twin().watch(line, &Known::default()).points {
        let stood = point.ground.journal().unwrap().standing().unwrap();
        if !point.ground.is_cut_off() || !stood.iter().any(|step| step.tx.0 == 2) {
            continue;
        }
        point.ground.run("rollback --yes").must_be_done(&point.what);
        point.ground.tree.remove("/etc/vps-configurator/modules.d/more/module.yaml");
        std::fs::remove_dir(point.ground.tree.at("/etc/vps-configurator/modules.d/more")).unwrap();
        point.ground.tree.must_be(&done, &point.what);
        played += 1;
    }
    assert!(played > 2);
}
