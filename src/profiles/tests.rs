//! Tests of the layers from raw texts to a checked configuration.

use super::answers::Answers;
use super::configuration::Configuration;
use super::create::{NewProfile, create};
use super::input::Inputs;
use super::merge::{check, validate};
use super::profile::Profiles;
use super::questions::questions;
use super::settings::Recovery;
use super::{change, schema};
use crate::base::paths::{CONFIG, LOCAL_CONFIG, PROFILE_CONFIG};
use crate::base::yaml::{Collector, Source, parse};
use crate::modules::{Catalogue, ModuleSource};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::PathBuf;

const DOCKER: &str = "name: docker
summary: Containers
depends_on: [system]
options:
  source: {type: choice, choices: [debian, docker], default: debian, help: Where from}
  version: {type: string, pattern: '[0-9.]*', default: '', help: A version}
  tag: {type: string, pattern: '[a-z0-9]*', means: 'a tag: v1', default: '', help: A tag}
  log: {size_mb: {type: integer, min: 1, max: 100, default: 10, help: Log size}}
  people:
    type: list
    default: []
    help: Who
    items: {type: map, fields: {name: {type: string}, shell: {type: string, default: /bin/bash}}}
";

fn catalogue() -> Catalogue {
    let module = |name: &str, text: String| ModuleSource {
        dir: PathBuf::from(format!("/m/{name}")),
        builtin: true,
        manifest: Source::new(format!("/m/{name}/module.yaml"), text),
        files: BTreeMap::new(),
    };
    let small = |name: &str, rest: &str| module(name, format!("name: {name}\nsummary: a test\n{rest}"));
    Catalogue::new(vec![
        module("docker", DOCKER.to_owned()),
        small("system", "priority: 10\n"),
        small("git", "depends_on: [system]\n"),
        small("podman", "conflicts_with: [docker]\n"),
    ])
    .unwrap()
}

fn profile(name: &str, rest: &str) -> (Source, bool) {
    let file = format!("/usr/share/vps-configurator/profiles/{name}.yaml");
    (Source::new(file, format!("name: {name}\ntitle: T\nsummary: S\n{rest}")), true)
}

fn inputs() -> Inputs {
    Inputs {
        defaults: Some(Source::new("defaults.yaml", "apply: {workers: 2}\nmodules: {docker: {version: '1'}}\n")),
        profiles: vec![
            profile("beginner", "modules:\n  git:\n  docker:\n    log: {size_mb: 20}\n"),
            profile("advanced", "extends: beginner\nestimate: {minutes: 5}\nmodules:\n  docker: {version: '27.0'}\n"),
        ],
        config: vec![
            Source::new(CONFIG, "# nothing set\n"),
            Source::new("/etc/vps-configurator/conf.d/00-profile.yaml", "profile: advanced\n"),
            Source::new(LOCAL_CONFIG, "# ägare: jag\nmodules:\n  docker:\n    source: docker   # en kommentar\n"),
        ],
        ..Inputs::default()
    }
}

fn with(change: impl FnOnce(&mut Inputs)) -> Inputs {
    let mut inputs = inputs();
    change(&mut inputs);
    inputs
}

fn good(inputs: &Inputs) -> Configuration {
    check(&catalogue(), inputs).unwrap_or_else(|problems| panic!("{problems}"))
}

fn told(inputs: &Inputs) -> String {
    check(&catalogue(), inputs).unwrap_err().to_string()
}

fn origin(configuration: &Configuration, key: &str) -> String {
    let shown = configuration.show(Some(key)).unwrap();
    format!("{} from {}", shown[0].value, shown[0].origin)
}

#[test]
fn every_value_has_its_origin_across_all_layers() {
    let got = good(&with(|i| i.sets = vec!["apply.lock_wait=5".into()]));
    let profiles = "/usr/share/vps-configurator/profiles";
    assert_eq!(origin(&got, "profile"), "\"advanced\" from /etc/vps-configurator/conf.d/00-profile.yaml:1:10");
    assert_eq!(origin(&got, "apply.workers"), "2 from defaults.yaml:1:18");
    assert_eq!(origin(&got, "apply.recovery"), "\"finish\" from default");
    assert_eq!(origin(&got, "apply.lock_wait"), "5 from --set");
    assert_eq!(origin(&got, "modules.docker.log.size_mb"), format!("20 from {profiles}/beginner.yaml:7:20"));
    assert_eq!(origin(&got, "modules.docker.version"), format!("\"27.0\" from {profiles}/advanced.yaml:7:21"));
    assert_eq!(origin(&got, "modules.docker.source"), format!("\"docker\" from {LOCAL_CONFIG}:4:13"));
    assert_eq!(origin(&got, "modules.docker.people"), "[] from default");
    assert_eq!(origin(&got, "modules.docker.enabled"), format!("true from {profiles}/advanced.yaml:7:3"));
    assert_eq!(origin(&got, "modules.system.enabled"), "true from needed by docker");
    assert_eq!(origin(&got, "modules.podman.enabled"), "false from default");
    assert_eq!(got.chain, ["beginner", "advanced"]);
    assert_eq!(got.order(), ["system", "docker", "git"]);
    assert_eq!(
        (got.settings.workers, got.settings.lock_wait.as_secs(), got.settings.recovery),
        (2, 5, Recovery::Finish)
    );
    assert_eq!(got.option_values()["docker"]["log.size_mb"], json!(20));
    assert!(got.show(None).unwrap().iter().all(|shown| !shown.key.starts_with("modules.podman")));
    assert!(
        got.show(Some("modules.dokcer.source"))
            .unwrap_err()
            .marked()
            .contains("did you mean \"modules.docker.source\"?")
    );
}

#[test]
fn everything_wrong_in_a_file_is_told_at_once_with_its_mark() {
    let text = "# åäö
proflie: beginner
apply: {workers: 40, recovery: undoo}
modules:
  dokcer: {}
  docker:
    source: dockre
    sorce: x
    version: 27.0
    log: {size: 1}
    people: [{nmae: å}, {name: a, shell: 1}]
";
    let expected = "\
/etc/vps-configurator/config.yaml:2:1: unknown key \"proflie\" in the configuration
  | proflie: beginner
  | ^^^^^^^
  hint: did you mean \"profile\"?
/etc/vps-configurator/config.yaml:3:18: 40 must be between 1 and 16
  | apply: {workers: 40, recovery: undoo}
  |                  ^^
/etc/vps-configurator/config.yaml:3:32: \"undoo\" is none of finish, undo
  | apply: {workers: 40, recovery: undoo}
  |                                ^^^^^
  hint: did you mean \"undo\"?
/etc/vps-configurator/config.yaml:5:3: the module \"dokcer\" does not exist
  |   dokcer: {}
  |   ^^^^^^
  hint: did you mean \"docker\"?
/etc/vps-configurator/config.yaml:7:13: \"dockre\" is none of debian, docker
  |     source: dockre
  |             ^^^^^^
  hint: did you mean \"docker\"?
/etc/vps-configurator/config.yaml:8:5: unknown key \"sorce\" in modules.docker
  |     sorce: x
  |     ^^^^^
  hint: did you mean \"source\"?
/etc/vps-configurator/config.yaml:9:14: wanted text, found the number 27.0
  |     version: 27.0
  |              ^^^^
  hint: write it in quotes: \"27.0\"
/etc/vps-configurator/config.yaml:10:11: unknown key \"size\" in modules.docker.log
  |     log: {size: 1}
  |           ^^^^
  hint: did you mean \"size_mb\"?
/etc/vps-configurator/config.yaml:11:15: the key \"name\" is missing in this item
  |     people: [{nmae: å}, {name: a, shell: 1}]
  |               ^^^^
/etc/vps-configurator/config.yaml:11:15: unknown key \"nmae\" in this item
  |     people: [{nmae: å}, {name: a, shell: 1}]
  |               ^^^^
  hint: did you mean \"name\"?
/etc/vps-configurator/config.yaml:11:42: wanted text, found the number 1
  |     people: [{nmae: å}, {name: a, shell: 1}]
  |                                          ^
  hint: write it in quotes: \"1\"";
    assert_eq!(told(&with(|i| i.config[0] = Source::new(CONFIG, text))), expected);
}

#[test]
fn a_profile_that_does_not_exist_shows_near_names_and_the_list() {
    assert_eq!(
        told(&with(|i| i.config[1].text = "profile: advansed\n".into())),
        "/etc/vps-configurator/conf.d/00-profile.yaml:1:10: the profile \"advansed\" does not exist
  | profile: advansed
  |          ^^^^^^^^
  hint: did you mean \"advanced\"? there are: advanced, beginner"
    );
    assert_eq!(
        told(&with(|i| i.profile = Some("xyz".into()))),
        "the profile \"xyz\" does not exist\n  hint: there are: advanced, beginner"
    );
}

#[test]
fn profiles_that_extend_each_other_are_refused_with_the_whole_path() {
    let circle = with(|i| {
        i.profiles.push(profile("a", "extends: b\n"));
        i.profiles.push(profile("b", "extends: a\n"));
        i.profile = Some("a".into());
    });
    assert!(told(&circle).starts_with(
        "/usr/share/vps-configurator/profiles/b.yaml:4:10: profiles extend each other: a -> b -> a\n  | extends: a"
    ));
    let twice = with(|i| {
        i.profiles
            .push((Source::new("/etc/vps-configurator/profiles.d/beginner.yaml", i.profiles[0].0.text.clone()), false))
    });
    assert!(told(&twice).contains("one that comes with the package can't be replaced"));
}

#[test]
fn the_command_line_is_marked_like_a_file_and_takes_text_without_quotes() {
    assert_eq!(
        told(&with(|i| i.sets = vec!["modules.docker.source=dokcer".into()])),
        "--set:1:23: \"dokcer\" is none of debian, docker
  | modules.docker.source=dokcer
  |                       ^^^^^^
  hint: did you mean \"docker\"?"
    );
    let got = good(&with(|i| i.sets = vec!["modules.docker.version=27.10".into(), "modules.git.enabled=false".into()]));
    assert_eq!(origin(&got, "modules.docker.version"), "\"27.10\" from --set");
    assert_eq!(origin(&got, "modules.git.enabled"), "false from --set");
    assert_eq!(got.order(), ["system", "docker"]);
    assert!(
        told(&with(|i| i.sets = vec!["modules.docker.version=new".into()]))
            .contains("does not match the pattern [0-9.]*")
    );
    let wrong = with(|i| i.sets = vec!["modules.docker.tag=A".into()]);
    assert!(told(&wrong).contains("\"A\" is not a tag: v1\n"), "{}", told(&wrong));
}

#[test]
fn modules_can_be_picked_and_skipped_but_not_what_others_need() {
    let picked = good(&with(|i| i.only = vec!["git".into()]));
    assert_eq!(picked.order(), ["system", "git"]);
    assert_eq!(picked.enabled[1].origin.to_string(), "--module");
    assert_eq!(good(&with(|i| i.skip = vec!["docker".into()])).order(), ["system", "git"]);
    assert_eq!(
        told(&with(|i| i.skip = vec!["system".into()])),
        "--skip system: docker depends on it\n  hint: skip docker too: --skip docker"
    );
    assert!(told(&with(|i| i.skip = vec!["dokcer".into()])).contains("did you mean \"docker\"?"));
    assert!(
        told(&with(|i| i.sets = vec!["modules.system.enabled=false".into()]))
            .starts_with("docker depends on system, which is switched off at --set")
    );
    assert!(
        told(&with(|i| i.sets = vec!["modules.podman.enabled=true".into()]))
            .starts_with("podman and docker can't be enabled together")
    );
}

#[test]
fn bad_bytes_in_a_fragment_are_refused_with_the_offset() {
    let bad = Source::from_bytes("/etc/vps-configurator/conf.d/10-x.yaml", b"modules:\n  \xff\n");
    assert!(
        told(&with(|i| i.config.push(bad)))
            .starts_with("/etc/vps-configurator/conf.d/10-x.yaml:2:3: not UTF-8: the byte at offset 11")
    );
}

#[test]
fn config_set_edits_the_local_fragment_and_keeps_its_comments() {
    let (catalogue, inputs) = (catalogue(), inputs());
    let set = |key: &str, value: &str| change::set(&catalogue, &inputs, key, value);
    assert_eq!(
        set("modules.docker.source", "debian").unwrap(),
        "# ägare: jag\nmodules:\n  docker:\n    source: debian   # en kommentar\n"
    );
    assert_eq!(
        set("modules.docker.log.size_mb", "30").unwrap(),
        "# ägare: jag\nmodules:\n  docker:\n    source: docker   # en kommentar\n    log:\n      size_mb: 30\n"
    );
    assert!(set("modules.docker.version", "27.10").unwrap().contains("version: \"27.10\"\n"));
    assert!(set("profile", "beginner").unwrap().ends_with("profile: beginner\n"));
    assert!(set("profile", "begginer").unwrap_err().to_string().contains("did you mean \"beginner\"?"));
    assert!(
        set("modules.docker.log.size_mb", "300").unwrap_err().to_string().contains("300 must be between 1 and 100")
    );
    assert!(
        set("modules.docker.sorce", "x").unwrap_err().to_string().contains("did you mean \"modules.docker.source\"?")
    );
    assert_eq!(change::unset(&catalogue, &inputs, "modules.docker.source").unwrap(), "# ägare: jag\n");
    assert!(change::unset(&catalogue, &inputs, "apply.workers").unwrap_err().to_string().contains("is not set in"));
}

#[test]
fn a_profile_asks_what_it_or_the_nearest_that_it_extends_says_and_only_of_enabled_modules() {
    let asking = |name: &str, ask: &str| {
        let inputs = with(|i| {
            i.profiles.push(profile("asks", "extends: beginner\nask: [modules.docker.version]\n"));
            i.profiles.push(profile("heir", &format!("extends: asks\n{ask}")));
            i.profile = Some(name.to_owned());
        });
        let configuration = good(&inputs);
        let profiles = Profiles::read(&inputs, &Collector::default());
        let all = questions(&catalogue(), &profiles, &configuration);
        all.into_iter().map(|question| (question.key, question.value)).collect::<Vec<_>>()
    };
    assert_eq!(asking("advanced", ""), []);
    let version = ("modules.docker.version".to_owned(), json!("1"));
    assert_eq!(asking("asks", ""), std::slice::from_ref(&version));
    assert_eq!(asking("heir", ""), [version]);
    let size = ("modules.docker.log.size_mb".to_owned(), json!(20));
    assert_eq!(asking("heir", "ask: [modules.docker.log.size_mb]\n"), [size]);
    assert_eq!(asking("heir", "ask: []\nmodules: {docker: {enabled: false}}\n"), []);
    let off = "ask: [modules.docker.version]\nmodules: {docker: {enabled: false}}\n";
    assert_eq!(asking("heir", off), []);
}

#[test]
fn what_a_profile_asks_for_and_does_not_exist_is_marked() {
    let asks = |ask: &str| with(|i| i.profiles.push(profile("asks", &format!("ask: {ask}\n"))));
    let told = |ask: &str| validate(&catalogue(), &asks(ask)).unwrap_err().to_string();
    let said = told("[modules.docker.sorce]");
    assert!(said.contains("profiles/asks.yaml:4:7: there is no option \"modules.docker.sorce\" to ask for"), "{said}");
    assert!(said.contains("did you mean \"modules.docker.source\"?"), "{said}");
    assert!(told("[docker]").contains("there is no option") && told("docker").contains("wanted a list"));
    validate(&catalogue(), &asks("[modules.docker.source]")).unwrap();
}

#[test]
fn answers_become_fragments_that_say_no_more_than_is_new() {
    let (catalogue, inputs) = (catalogue(), inputs());
    let fragments = |profile: Option<&str>, values: &[(&str, serde_json::Value)]| {
        let values = values.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
        let answers = Answers { profile: profile.map(str::to_owned), values };
        let again = Answers::read(&catalogue, &inputs, Source::new("a.yaml", answers.text().unwrap()))?;
        assert_eq!((&again.profile, again.values.len()), (&answers.profile, answers.values.len()));
        answers.fragments(&catalogue, &inputs)
    };
    let source = ("modules.docker.source", json!("docker"));
    assert_eq!(fragments(Some("advanced"), std::slice::from_ref(&source)).unwrap(), [], "all of it is so already");
    let text = "profile: beginner\n".to_owned();
    assert_eq!(fragments(Some("beginner"), &[source]).unwrap(), [(PROFILE_CONFIG, text.clone())]);
    let changed = fragments(Some("beginner"), &[("modules.docker.log.size_mb", json!(30))]).unwrap();
    assert_eq!(changed[1], (PROFILE_CONFIG, text));
    assert!(changed[0].0 == LOCAL_CONFIG && changed[0].1.ends_with("    log:\n      size_mb: 30\n"), "{changed:?}");
    let bad = fragments(None, &[("modules.system.enabled", json!(false))]).unwrap_err().to_string();
    assert!(bad.contains("docker depends on system"), "{bad}");
}

#[test]
fn validate_looks_at_every_profile_too() {
    let broken = with(|i| i.profiles.push(profile("other", "modules: {dokcer: {}}\n")));
    assert!(check(&catalogue(), &broken).is_ok());
    assert!(
        validate(&catalogue(), &broken)
            .unwrap_err()
            .to_string()
            .contains("profiles/other.yaml:4:11: the module \"dokcer\"")
    );
    validate(&catalogue(), &inputs()).unwrap();
}

#[test]
fn the_schema_has_every_option_and_setting() {
    let schema = schema(&catalogue());
    let docker = &schema["$defs"]["modules"]["properties"]["docker"];
    assert_eq!(docker["properties"]["source"]["enum"], json!(["debian", "docker"]));
    assert_eq!(docker["properties"]["log"]["properties"]["size_mb"]["maximum"], json!(100));
    assert_eq!(docker["properties"]["people"]["items"]["required"], json!(["name"]));
    assert_eq!(schema["$defs"]["config"]["properties"]["apply"]["properties"]["workers"]["default"], json!(4));
}

#[test]
fn a_new_profile_can_be_used_at_once_and_also_with_its_comments_taken_away() {
    let (catalogue, mut inputs) = (catalogue(), inputs());
    let profiles = Profiles::read(&inputs, &Collector::default());
    let new = NewProfile { name: "mine".into(), extends: Some("beginner".into()), modules: vec!["docker".into()] };
    let text = create(&catalogue, &profiles, &new).unwrap();
    for text in [text.clone(), text.replace("    # ", "    ")] {
        let source = Source::new("/etc/vps-configurator/profiles.d/mine.yaml", text);
        parse(&source).unwrap();
        inputs.profiles.truncate(2);
        inputs.profiles.push((source, false));
        inputs.profile = Some("mine".into());
        assert_eq!(good(&inputs).chain, ["beginner", "mine"]);
    }
    let taken = NewProfile { name: "beginner".into(), ..NewProfile::default() };
    assert!(create(&catalogue, &profiles, &taken).is_err());
}

#[test]
fn the_files_are_read_from_where_they_belong() {
    let root = tempfile::tempdir().unwrap();
    let put = |path: &str, text: &str| {
        let path = root.path().join(path.trim_start_matches('/'));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    put("/etc/vps-configurator/conf.d/20-b.yaml", "profile: b\n");
    put("/etc/vps-configurator/conf.d/00-profile.yaml", "profile: a\n");
    put("/etc/vps-configurator/conf.d/.hidden.yaml", "x");
    put("/etc/vps-configurator/conf.d/30-c.yaml.dpkg-old", "x");
    put(CONFIG, "{}\n");
    put("/etc/vps-configurator/profiles.d/mine.yaml", "name: mine\n");
    let inputs = Inputs::load(&crate::host::RealHost::new(root.path().to_owned())).unwrap();
    let names: Vec<&str> = inputs.config.iter().map(|source| source.name.as_str()).collect();
    assert_eq!(
        names,
        [CONFIG, "/etc/vps-configurator/conf.d/00-profile.yaml", "/etc/vps-configurator/conf.d/20-b.yaml"]
    );
    assert_eq!(inputs.profiles.len(), 1);
    assert!(inputs.defaults.is_none());
}
