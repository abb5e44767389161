//! Every shipped profile, as a fresh server sees it before anything is done.

use super::Scenario;
use super::program::{installed, json};
use std::fs;
use std::path::Path;

pub const SCENARIOS: &[Scenario] = &[Scenario {
    name: "every shipped profile can be planned on a fresh server, and tells what it takes",
    run: planned,
}];

fn planned() {
    let machine = installed("profiles");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/profiles");
    let mut seen = 0;
    for file in fs::read_dir(folder).expect("profiles are there") {
        let path = file.expect("readable").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let plan = json(&machine, 4, &format!("plan --profile {name}"));
        let steps = plan["plan"]["steps"].as_array().expect("steps");
        let packages = steps.iter().find(|step| step["id"] == "package:all").expect("packages come with each");
        let bytes = |key: &str| packages["seen"]["solution"][key].as_u64().expect("a size");
        let shown = json(&machine, 0, &format!("profile show {name}"));
        for (key, unit) in [("download", "download_mb"), ("installed", "disk_mb")] {
            let (real, told) = (bytes(key) / 1_000_000, shown["estimate"][unit].as_u64().expect("an estimate"));
            assert!(told >= real * 9 / 10 && told <= real * 5 / 4 + 50, "{name}: {unit} says {told}, it takes {real}");
        }
        seen += 1;
    }
    assert!(seen > 5, "{seen} profiles");
}
