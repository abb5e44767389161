//! The modules for programming languages, all at once: each builds or runs something of its own, and all go again.

use super::Scenario;
use super::modules::there_and_back;
use crate::harness::Machine;

/// Half a gigabyte to fetch and two on disk.
pub const LONG: &[Scenario] = &[Scenario {
    name: "go, cargo, javac and mvn, php and composer, node and npm work, and all of them go without a trace",
    run: languages,
}];

const PROFILE: &str = "\
title: Languages
summary: Every language
modules:
  system: {enabled: true, build_tools: false}
  golang: {enabled: true}
  java: {enabled: true}
  nodejs: {enabled: true}
  php: {enabled: true, fpm: true, memory_limit_mb: 256}
  rust: {enabled: true}
";

fn languages() {
    there_and_back("languages", PROFILE, |machine| {
        go(machine);
        rust(machine);
        java(machine);
        php(machine);
        node(machine);
    });
}

/// Runs a script in an empty folder that a reboot forgets, with a home there, as a login would find its PATH.
#[track_caller]
fn inside(machine: &Machine, name: &str, script: &str) -> String {
    machine.ok(&format!(
        "set -e; mkdir -p /run/home /run/of-{name}; export HOME=/run/home; cd /run/of-{name}; . /etc/profile; {script}\ncd /; rm -rf /run/of-{name}"
    ))
}

fn go(machine: &Machine) {
    let said = inside(
        machine,
        "go",
        "export GOPROXY=off GOFLAGS=-mod=mod GOCACHE=/run/home/gocache\n\
         go mod init example.org/answer\n\
         printf 'package main\\nimport (\"fmt\"; \"net\")\\nfunc main() { fmt.Println(6*7, net.IPv4len) }\\n' > main.go\n\
         go build -o answer . && ./answer && go vet . && echo $PATH",
    );
    assert!(said.starts_with("42 4\n") && said.contains("/run/home/go/bin"), "{said}");
}

fn rust(machine: &Machine) {
    let said = inside(
        machine,
        "rust",
        "cargo new --quiet --vcs none answer && cd answer\n\
         echo 'fn main() { println!(\"{}\", 6 * 7); }' > src/main.rs\n\
         cargo build --quiet --offline && target/debug/answer\n\
         cargo clippy --quiet --offline -- -D warnings && cargo fmt && cargo fmt --check && rust-analyzer --version",
    );
    assert!(said.starts_with("42\nrust-analyzer "), "{said}");
}

fn java(machine: &Machine) {
    let said = inside(
        machine,
        "java",
        "echo 'class Answer { public static void main(String[] a) { System.out.println(6 * 7); } }' > Answer.java\n\
         javac Answer.java && java Answer && test -x $JAVA_HOME/bin/javac\n\
         echo '<project><modelVersion>4.0.0</modelVersion><groupId>a</groupId><artifactId>b</artifactId>\
         <version>1</version><packaging>pom</packaging></project>' > pom.xml\n\
         MAVEN_OPTS=-Duser.home=$HOME mvn -o -q validate && echo validated",
    );
    assert_eq!(said, "42\nvalidated\n");
}

fn php(machine: &Machine) {
    let said = inside(
        machine,
        "php",
        "export COMPOSER_ALLOW_SUPERUSER=1 COMPOSER_DISABLE_NETWORK=1\n\
         echo '{\"name\": \"a/b\", \"autoload\": {\"psr-4\": {\"A\\\\\\\\\": \"src/\"}}}' > composer.json\n\
         mkdir src && echo '<?php namespace A; class B { static function c() { return 6 * 7; } }' > src/B.php\n\
         composer --quiet --no-interaction install\n\
         php -r 'require \"vendor/autoload.php\"; echo A\\B::c(), \" \", ini_get(\"memory_limit\"), \"\\n\";'",
    );
    assert_eq!(said, "42 256M\n");
    let serves = machine.sh("systemctl is-active php8.4-fpm && test -S /run/php/php8.4-fpm.sock");
    let more = || machine.sh("systemctl status php8.4-fpm; journalctl -q -u php8.4-fpm; ls -la /run/php").stdout;
    assert!(serves.success(), "{serves:?}\n{}", more());
}

fn node(machine: &Machine) {
    let said = inside(
        machine,
        "node",
        "mkdir dependency && echo '{\"name\": \"dependency\", \"version\": \"1.0.0\"}' > dependency/package.json\n\
         echo 'module.exports = 6 * 7' > dependency/index.js && npm init --yes > /dev/null\n\
         npm install --silent --offline ./dependency && node -p 'require(\"dependency\")'",
    );
    assert_eq!(said, "42\n");
}
