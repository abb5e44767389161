//! The expressions and templates of shipped modules resolve, whatever a person switches; what their options take is told.

use super::documents::root;
use serde_json::{Value, json};
use std::path::Path;
use tempfile::TempDir;
use vps_configurator::base::paths::MODULES_D;
use vps_configurator::host::RealHost;
use vps_configurator::modules::OptionType;
use vps_configurator::modules::catalogue::Catalogue;
use vps_configurator::modules::expand::{OptionValues, expand};
use vps_configurator::modules::facts::Facts;

/// Hosts that templates may meet: a fresh one, and one with people on it.
fn hosts() -> [Facts; 2] {
    let fresh = Facts { ssh_port: 22, ssh_ports: vec![22], ..Facts::default() };
    let used = Facts {
        users: vec!["anna".to_owned()],
        admins: vec!["anna".to_owned()],
        login_user: "anna".to_owned(),
        container: true,
        ..fresh.clone()
    };
    [fresh, used]
}

/// The other values that an option can be switched to: a boolean's other one, each word of a choice.
fn switches(default: &Value, kind: &OptionType) -> Vec<Value> {
    match kind {
        OptionType::Boolean => vec![json!(default != &json!(true))],
        OptionType::Choice(words) => words.iter().map(|word| json!(word)).filter(|word| word != default).collect(),
        _ => Vec::new(),
    }
}

/// The patterns of a type that don't say what they stand for.
fn wordless<'t>(kind: &'t OptionType, found: &mut Vec<&'t str>) {
    match kind {
        OptionType::Text(Some(pattern)) if pattern.means.is_none() => found.push(&pattern.text),
        OptionType::List(items) => wordless(items, found),
        OptionType::Map(keys) => keys.iter().for_each(|key| wordless(&key.kind, found)),
        _ => {}
    }
}

#[test]
fn every_pattern_of_an_option_says_in_words_what_it_stands_for() {
    let (_root, _, catalogue) = shipped();
    let mut found = Vec::new();
    catalogue.iter().flat_map(|module| &module.options.0).for_each(|option| wordless(&option.kind, &mut found));
    assert!(found.is_empty(), "{found:#?}");
}

/// The shipped modules, with the host that they lie on for as long as the folder is kept.
fn shipped() -> (TempDir, RealHost, Catalogue) {
    let root = root();
    let host = RealHost::new(root.path().to_owned());
    let modules = Path::new("/usr/share/vps-configurator/modules");
    let catalogue = Catalogue::load(&host, modules, Path::new(MODULES_D)).unwrap();
    (root, host, catalogue)
}

#[test]
fn every_template_resolves_by_default_and_with_each_switch_turned() {
    let (_root, host, catalogue) = shipped();
    let order = catalogue.order(catalogue.names());
    let defaults: OptionValues = catalogue.iter().map(|m| (m.name.clone(), m.options.defaults())).collect();
    let mut tried = vec![("every default".to_owned(), defaults.clone())];
    let mut all = defaults.clone();
    for module in catalogue.iter() {
        for option in &module.options.0 {
            let default = option.default.clone().unwrap_or(Value::Null);
            for value in switches(&default, &option.kind) {
                let mut options = defaults.clone();
                options.get_mut(&module.name).unwrap().insert(option.path.clone(), value.clone());
                tried.push((format!("modules.{}.{}={value}", module.name, option.path), options));
                all.get_mut(&module.name).unwrap().insert(option.path.clone(), value);
            }
        }
    }
    tried.push(("every switch turned".to_owned(), all));
    assert!(tried.len() > 20, "{} combinations", tried.len());
    let mut failures = Vec::new();
    for (what, options) in &tried {
        for facts in hosts() {
            if let Err(problems) = expand(&host, &catalogue, &order, options, &facts) {
                failures.push(format!("{what}: {problems}"));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// What a module asks for on a fresh host with these options, and its probes, as one text.
fn asked(module: &str, options: &[(&str, Value)]) -> String {
    let (_root, host, catalogue) = shipped();
    let mut values: OptionValues = catalogue.iter().map(|m| (m.name.clone(), m.options.defaults())).collect();
    for (name, value) in options {
        values.get_mut(module).unwrap().insert((*name).to_owned(), value.clone());
    }
    let order = catalogue.order(catalogue.names());
    let expansion =
        expand(&host, &catalogue, &order, &values, &hosts()[0]).unwrap_or_else(|problems| panic!("{problems}"));
    let specs = expansion.specs.iter().filter(|spec| spec.module == module);
    let specs = specs.map(|spec| format!("{}: {} {}", spec.kind, spec.name, Value::Object(spec.fields.clone())));
    let probes = expansion.probes.iter().filter(|probe| probe.module == module).map(|probe| format!("{probe:?}"));
    specs.chain(probes).collect::<Vec<_>>().join("\n")
}

#[test]
fn an_empty_time_zone_or_language_keeps_that_of_the_host() {
    let usual = asked("system", &[]);
    assert!(usual.contains("timezone: UTC") && usual.contains("locale: en_US.UTF-8"), "{usual}");
    let kept = asked("system", &[("timezone", json!("")), ("locale", json!(""))]);
    for word in ["timezone:", "locale:", "/etc/localtime", "\"-a\""] {
        assert!(!kept.contains(word), "{word}: {kept}");
    }
}

#[test]
fn addresses_are_written_as_those_who_read_them_want_them() {
    let netdata = asked("netdata", &[("address", json!("fd00::7"))]);
    assert!(netdata.contains("bind to = [fd00::7]:19999") && netdata.contains("http://[fd00::7]:19999/"), "{netdata}");
    assert!(asked("netdata", &[("address", json!("::"))]).contains("http://[::1]:19999/"));
    assert!(asked("netdata", &[]).contains("bind to = 127.0.0.1:19999"));
    let site = |address: &str, tls: &str| {
        asked(
            "caddy",
            &[("sites", json!([{"address": address, "root": "", "proxy": "", "tls": tls, "headers": true}]))],
        )
    };
    for address in ["a.example", "http://a.example", "https://a.example"] {
        assert!(site(address, "off").contains("\\nhttp://a.example {"), "{}", site(address, "off"));
    }
    assert!(site("https://a.example", "auto").contains("\\nhttps://a.example {"));
    let peer = json!([{"name": "phone", "address": "10.8.0.2", "public_key": ""}]);
    let client = asked("wireguard", &[("peers", peer.clone())]);
    assert!(client.contains("AllowedIPs = 0.0.0.0/0, ::/0\\n"), "no way past the tunnel: {client}");
    assert!(asked("wireguard", &[("peers", peer), ("forward", json!(false))]).contains("AllowedIPs = 10.8.0.1/24\\n"));
}
