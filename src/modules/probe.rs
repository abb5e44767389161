//! Probes: what proves that a module does its work. Read like resources, rendered the same way.

use crate::resources::schema::{FieldSchema, FieldType, KindSchema, PackageOrder};
use serde::Serialize;
use serde_json::{Map, Value};

/// One probe, ready to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Probe {
    /// The module that it proves.
    pub module: String,
    /// What it proves, one sentence.
    pub name: String,
    /// How long it may take, in seconds.
    pub timeout: u64,
    /// Where it is written: `file:line`.
    pub origin: String,
    /// What is looked at.
    pub test: ProbeTest,
}

/// What a probe looks at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbeTest {
    /// A program ends as expected.
    Command {
        /// The argument vector.
        run: Vec<String>,
        /// Text that it must write.
        contains: Option<String>,
        /// Its exit code.
        exit: i32,
        /// Who runs it; root when empty.
        user: Option<String>,
    },
    /// A unit is active, and enabled or not when that is asked for.
    Unit {
        /// The unit.
        unit: String,
        /// Whether it must be started at boot.
        enabled: Option<bool>,
    },
    /// Something listens.
    Port {
        /// The port.
        port: u16,
        /// The address that is tried.
        address: String,
        /// `tcp` or `udp`.
        protocol: String,
    },
    /// A web server answers.
    Http {
        /// The URL.
        url: String,
        /// The status that it must answer.
        status: u16,
        /// Text that the answer must hold.
        contains: Option<String>,
    },
    /// A file is there.
    File {
        /// Its path.
        path: String,
        /// Text that it must hold.
        contains: Option<String>,
    },
    /// `sshd -T` says so.
    EffectiveSshd {
        /// The keyword, lower case.
        keyword: String,
        /// Its value.
        value: String,
    },
    /// The kernel says so.
    EffectiveSysctl {
        /// The key.
        key: String,
        /// Its value.
        value: String,
    },
}

const NAME: FieldSchema = field("name", FieldType::Text, "what it proves, one sentence");
const TIMEOUT: FieldSchema = field("timeout", FieldType::Integer, "seconds; default 10");
const CONTAINS: FieldSchema = field("contains", FieldType::Text, "text that must be in it");
const VALUE: FieldSchema =
    FieldSchema { name: "value", kind: FieldType::Text, required: true, help: "what it must be" };

/// All kinds of probes.
pub const PROBES: &[KindSchema] = &[
    probe(
        "command",
        FieldType::List,
        "argv that ends with `exit`",
        &[
            CONTAINS,
            field("exit", FieldType::Integer, "exit code; default 0"),
            field("user", FieldType::Text, "who runs it; default root"),
            NAME,
            TIMEOUT,
        ],
    ),
    probe(
        "unit",
        FieldType::Text,
        "a unit that is active",
        &[field("enabled", FieldType::Boolean, "started at boot, or not; left out: not looked at"), NAME, TIMEOUT],
    ),
    probe(
        "port",
        FieldType::Integer,
        "a port that something listens on",
        &[
            field("address", FieldType::Text, "default 127.0.0.1"),
            field("protocol", FieldType::Choice(&["tcp", "udp"]), "default tcp"),
            NAME,
            TIMEOUT,
        ],
    ),
    probe(
        "http",
        FieldType::Text,
        "a URL that answers",
        &[field("status", FieldType::Integer, "default 200"), CONTAINS, NAME, TIMEOUT],
    ),
    probe("file", FieldType::Path, "a file that is there", &[CONTAINS, NAME, TIMEOUT]),
    probe("effective_sshd", FieldType::Text, "a keyword of `sshd -T`", &[VALUE, NAME, TIMEOUT]),
    probe("effective_sysctl", FieldType::Text, "a kernel setting in force", &[VALUE, NAME, TIMEOUT]),
];

const fn field(name: &'static str, kind: FieldType, help: &'static str) -> FieldSchema {
    FieldSchema { name, kind, required: false, help }
}

const fn probe(
    name: &'static str,
    subject: FieldType,
    help: &'static str,
    fields: &'static [FieldSchema],
) -> KindSchema {
    KindSchema { name, subject, help, fields, packages: PackageOrder::After }
}

impl ProbeTest {
    /// The test of a kind from its rendered subject and fields; the reason why not when they don't fit.
    pub fn new(kind: &str, subject: &Value, fields: &Map<String, Value>) -> Result<ProbeTest, String> {
        let text = |name: &str| fields.get(name).and_then(Value::as_str).map(str::to_owned);
        let number = |name: &str, default: i64| fields.get(name).and_then(Value::as_i64).unwrap_or(default);
        let named = subject.as_str().unwrap_or("").to_owned();
        Ok(match kind {
            "command" => {
                let run: Vec<String> =
                    subject.as_array().into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect();
                if run.is_empty() {
                    return Err("the command is empty".to_owned());
                }
                let exit = i32::try_from(number("exit", 0)).map_err(|_| "exit is no exit code")?;
                ProbeTest::Command { run, contains: text("contains"), exit, user: text("user") }
            }
            "unit" => ProbeTest::Unit {
                unit: super::edges::unit_name(&named),
                enabled: fields.get("enabled").and_then(Value::as_bool),
            },
            "port" => ProbeTest::Port {
                port: subject
                    .as_i64()
                    .and_then(|n| u16::try_from(n).ok())
                    .filter(|n| *n > 0)
                    .ok_or("no port number: 1 to 65535")?,
                address: text("address").unwrap_or_else(|| "127.0.0.1".to_owned()),
                protocol: text("protocol").unwrap_or_else(|| "tcp".to_owned()),
            },
            "http" => ProbeTest::Http {
                url: named,
                status: u16::try_from(number("status", 200)).map_err(|_| "status is no HTTP status")?,
                contains: text("contains"),
            },
            "file" => ProbeTest::File { path: named, contains: text("contains") },
            "effective_sshd" => ProbeTest::EffectiveSshd {
                keyword: named.to_ascii_lowercase(),
                value: text("value").unwrap_or_default(),
            },
            _ => ProbeTest::EffectiveSysctl { key: named, value: text("value").unwrap_or_default() },
        })
    }

    /// What it proves, when the manifest gives no sentence.
    pub fn described(&self) -> String {
        match self {
            ProbeTest::Command { run, .. } => format!("{} works", run.join(" ")),
            ProbeTest::Unit { unit, enabled: Some(true) } => format!("{unit} is active and enabled"),
            ProbeTest::Unit { unit, .. } => format!("{unit} is active"),
            ProbeTest::Port { port, protocol, .. } => format!("port {port}/{protocol} answers"),
            ProbeTest::Http { url, status, .. } => format!("{url} answers {status}"),
            ProbeTest::File { path, .. } => format!("{path} is there"),
            ProbeTest::EffectiveSshd { keyword, value } => format!("sshd has {keyword} {value}"),
            ProbeTest::EffectiveSysctl { key, value } => format!("{key} is {value}"),
        }
    }
}
