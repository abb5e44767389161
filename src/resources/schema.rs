//! What each kind of resource may be given, as data: manifests are checked against it, and the reference
//! (`docs/reference/manifest.md`, "Kinds") is generated from it. No code reads a field that is not named here.

/// What a field holds, once its templates are rendered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldType {
    /// Text. A whole number written plainly counts as its digits.
    Text,
    /// An absolute path.
    Path,
    /// Permission bits: four octal digits in quotes, `"0644"`.
    Mode,
    /// `true` or `false`.
    Boolean,
    /// A whole number.
    Integer,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A list of texts.
    List,
    /// A mapping from names to texts.
    Map,
    /// A template under the module's `templates/`; the rendered text becomes the field `content`.
    Template,
    /// A file of the module, taken as it is; its text becomes the field's value.
    ModuleFile,
}

/// One field of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldSchema {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub kind: FieldType,
    /// Whether it must be given.
    pub required: bool,
    /// One line for the reference, with the default.
    pub help: &'static str,
}

/// One kind of resource (or of probe).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KindSchema {
    /// The word in manifests, and the first part of resource ids.
    pub name: &'static str,
    /// What the name after it is: text, a path, a list of names.
    pub subject: FieldType,
    /// What the name means, for the reference.
    pub help: &'static str,
    /// Its fields, without those that all kinds have (`when`, `for_each`, `needs`, `notify`, `access`).
    pub fields: &'static [FieldSchema],
    /// How it stands to the package transaction, when `before_packages` does not say otherwise.
    pub packages: PackageOrder,
}

/// How a resource stands to the one package transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PackageOrder {
    /// The packages wait for it.
    Before,
    /// Neither waits for the other.
    Either,
    /// It waits for the packages.
    After,
}

impl KindSchema {
    /// The field of that name.
    pub fn field(&self, name: &str) -> Option<&'static FieldSchema> {
        self.fields.iter().find(|field| field.name == name)
    }
}

/// The kind of that name.
pub fn kind(name: &str) -> Option<&'static KindSchema> {
    KINDS.iter().find(|kind| kind.name == name)
}

const fn field(name: &'static str, kind: FieldType, help: &'static str) -> FieldSchema {
    FieldSchema { name, kind, required: false, help }
}

const fn required(name: &'static str, kind: FieldType, help: &'static str) -> FieldSchema {
    FieldSchema { name, kind, required: true, help }
}

const MODE: FieldSchema = field("mode", Mode, "permission bits in quotes; default \"0644\"");
const OWNER: FieldSchema = field("owner", Text, "user; default root");
const GROUP: FieldSchema = field("group", Text, "group; default root");
const TEMPLATE: FieldSchema = field("template", Template, "a file under the module's templates/");
const CONTENT: FieldSchema = field("content", Text, "the text itself, in place of a template");
const CHECK: FieldSchema = field(
    "check",
    List,
    "argv that must succeed before the switch, in a view with all files of its group in place; \"{path}\" is the file",
);
const BEFORE_PACKAGES: FieldSchema =
    field("before_packages", Boolean, "in place before the package transaction; default false");

use FieldType::{Boolean, Choice, Integer, List, Map, Mode, ModuleFile, Path, Template, Text};
use PackageOrder::{After, Before, Either};

/// All kinds of resources.
pub const KINDS: &[KindSchema] = &[
    KindSchema {
        name: "package",
        subject: List,
        help: "a package, or a list of them",
        packages: Either,
        fields: &[
            field("recommends", Boolean, "install recommended packages too; default false"),
            field("release", Text, "a target release such as `trixie-backports`; default none"),
        ],
    },
    KindSchema {
        name: "security_updates",
        subject: Choice(&["all"]),
        help: "upgrades what Debian-Security has newer than is installed; part of the one package transaction",
        packages: Either,
        fields: &[],
    },
    KindSchema {
        name: "apt_source",
        subject: Text,
        help: "short name: `/etc/apt/sources.list.d/<name>-vps-configurator.sources`",
        packages: Before,
        fields: &[
            required("uris", List, "where the repository is"),
            required("suites", List, "for example `trixie`"),
            field("components", List, "for example `main`; none for a suite that ends in /"),
            field("architectures", List, "default: all that dpkg has"),
            field("key", ModuleFile, "the armoured key, a file of the module"),
            field("key_text", Text, "the armoured key itself, in place of a file: what an option holds"),
            required(
                "fingerprint",
                Text,
                "40 hexadecimal digits, checked before the key is trusted; several with commas",
            ),
        ],
    },
    KindSchema {
        name: "file",
        subject: Path,
        help: "absolute path",
        packages: After,
        fields: &[
            TEMPLATE,
            CONTENT,
            MODE,
            OWNER,
            GROUP,
            CHECK,
            field("secret", Boolean, "content is never shown; default false"),
            BEFORE_PACKAGES,
            field("create_only", Boolean, "never touched once it is there; default false"),
            field(
                "inserts",
                Boolean,
                "`@{/path}` in the content stands for the text of that file, which is never shown; default false",
            ),
        ],
    },
    KindSchema {
        name: "generated",
        subject: Path,
        help: "absolute path of a file that a program makes once, such as a key; its content is never shown",
        packages: After,
        fields: &[
            required("run", List, "argv whose output becomes the content; no shell"),
            field("stdin", Path, "a file that it reads; the content is made anew when it follows from that no more"),
            field("mode", Mode, "permission bits in quotes; default \"0600\""),
            OWNER,
            GROUP,
        ],
    },
    KindSchema {
        name: "directory",
        subject: Path,
        help: "absolute path",
        packages: After,
        fields: &[field("mode", Mode, "permission bits in quotes; default \"0755\""), OWNER, GROUP, BEFORE_PACKAGES],
    },
    KindSchema {
        name: "symlink",
        subject: Path,
        help: "absolute path",
        packages: After,
        fields: &[required("target", Text, "where it points"), BEFORE_PACKAGES],
    },
    KindSchema {
        name: "block",
        subject: Path,
        help: "absolute path of a file that is not ours",
        packages: After,
        fields: &[
            required("marker", Text, "a word that names the block between its two marker lines"),
            TEMPLATE,
            CONTENT,
            field("at", Choice(&["end", "start"]), "where a new block goes; default end"),
            CHECK,
            BEFORE_PACKAGES,
        ],
    },
    KindSchema {
        name: "unit",
        subject: Text,
        help: "a systemd unit; `docker` is `docker.service`",
        packages: After,
        fields: &[
            field("enabled", Boolean, "started at boot; left out: not looked after"),
            field("active", Boolean, "runs now; left out: not looked after"),
            field("masked", Boolean, "can't be started; default false"),
            field(
                "healthy",
                Map,
                "when it is well after a start, restart or reload: `port` (something listens there), `stable` (seconds \
                 that it runs on; default 2), `within` (seconds that the port may take; default 15)",
            ),
        ],
    },
    KindSchema {
        name: "user",
        subject: Text,
        help: "login name",
        packages: After,
        fields: &[
            field("uid", Integer, "default: the next free one"),
            field("group", Text, "primary group; default: one of the same name"),
            field("home", Path, "home directory"),
            field("shell", Path, "login shell"),
            field("comment", Text, "full name"),
            field("system", Boolean, "a system account; default false"),
            field("locked", Boolean, "no password login; default false"),
        ],
    },
    KindSchema {
        name: "group",
        subject: Text,
        help: "name",
        packages: After,
        fields: &[
            field("gid", Integer, "default: the next free one"),
            field("system", Boolean, "a system group; default false"),
        ],
    },
    KindSchema { name: "member", subject: List, help: "`user/group`, or a list of them", packages: After, fields: &[] },
    KindSchema {
        name: "authorized_key",
        subject: Text,
        help: "login name",
        packages: After,
        fields: &[
            required("keys", List, "whole lines; other existing keys are kept"),
            field("marker", Text, "a word that names the managed block"),
        ],
    },
    KindSchema {
        name: "sysctl",
        subject: Text,
        help: "key; all go into `/etc/sysctl.d/60-vps-configurator-<module>.conf` and are set live",
        packages: Either,
        fields: &[
            required("value", Text, "the value"),
            field("at_least", Boolean, "only ever raise it; default false"),
        ],
    },
    KindSchema {
        name: "kernel_module",
        subject: Text,
        help: "name; loaded now and at boot",
        packages: After,
        fields: &[field("optional", Boolean, "not applicable where the kernel has no such module; default false")],
    },
    KindSchema {
        name: "hostname",
        subject: Text,
        help: "the name; with the managed line in /etc/hosts",
        packages: Either,
        fields: &[],
    },
    KindSchema {
        name: "timezone",
        subject: Text,
        help: "`Europe/Stockholm`: the `/etc/localtime` link and `/etc/timezone`",
        packages: Either,
        fields: &[],
    },
    KindSchema {
        name: "locale",
        subject: Text,
        help: "`en_US.UTF-8`; generated, and the default in `/etc/locale.conf`",
        packages: After,
        fields: &[],
    },
    KindSchema {
        name: "swap",
        subject: Path,
        help: "absolute path; made, formatted, switched on, and a line in fstab",
        packages: Either,
        fields: &[required("size_mb", Integer, "size; 0 means none")],
    },
    KindSchema {
        name: "firewall",
        subject: Choice(&["ufw"]),
        help: "`ufw`; the SSH port in use is always kept open",
        packages: After,
        fields: &[
            field("incoming", Choice(&["deny", "reject", "allow"]), "default deny"),
            field("outgoing", Choice(&["allow", "deny", "reject"]), "default allow"),
            field("routed", Choice(&["deny", "reject", "allow"]), "default deny"),
            field("rules", List, "lines `limit 22/tcp`, `allow 80/tcp # comment`"),
        ],
    },
    KindSchema {
        name: "firewall_rule",
        subject: Text,
        help: "one rule of ufw: `allow 80/tcp # comment`, `route allow in on wg0 out on eth0`; waits for the firewall",
        packages: After,
        fields: &[],
    },
    KindSchema {
        name: "command",
        subject: Text,
        help: "a short name",
        packages: After,
        fields: &[
            required("run", List, "argv; no shell"),
            field("creates", Text, "done when this path is there; `~/` is below the home of `user`"),
            field("unless", List, "done when this argv succeeds"),
            field("undo", List, "argv that takes it back"),
            field("irreversible", Boolean, "it can't be taken back; the plan says so; default false"),
            field("user", Text, "who runs it; default root"),
            field("timeout", Integer, "seconds; default 300"),
            field("directory", Text, "where it runs; `~` is the home of `user`; default /"),
            field("env", Map, "environment variables, beside a small fixed set"),
        ],
    },
    KindSchema {
        name: "download",
        subject: Path,
        help: "absolute path",
        packages: After,
        fields: &[
            required("url", Text, "where from"),
            required("sha256", Text, "64 hexadecimal digits, checked before the file is put in place"),
            MODE,
        ],
    },
];

/// The table of kinds in Markdown, for the reference.
pub fn reference(kinds: &[KindSchema]) -> String {
    let mut out = String::from("| kind | name | fields |\n|---|---|---|\n");
    for kind in kinds {
        let field = |field: &FieldSchema| {
            let required = if field.required { ", required" } else { "" };
            format!("`{}` ({}{required}): {}", field.name, field.kind.name(), field.help)
        };
        let fields: Vec<String> = kind.fields.iter().map(field).collect();
        out.push_str(&format!("| `{}` | {} | {} |\n", kind.name, kind.help, fields.join("; ")));
    }
    out
}

impl FieldType {
    /// What the reference calls it.
    pub fn name(self) -> String {
        match self {
            Text => "text".to_owned(),
            Path => "absolute path".to_owned(),
            Mode => "mode".to_owned(),
            Boolean => "boolean".to_owned(),
            Integer => "number".to_owned(),
            Choice(words) => format!("one of {}", words.join(", ")),
            List => "list".to_owned(),
            Map => "mapping".to_owned(),
            Template => "template".to_owned(),
            ModuleFile => "file of the module".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_page_has_every_kind_and_every_field_and_no_other_kind() {
        let page = include_str!("../../docs/reference/manifest.md");
        let table = page.split("## Kinds").nth(1).and_then(|rest| rest.split("## ").next()).unwrap();
        let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| `")).collect();
        assert_eq!(rows.len(), KINDS.len());
        for kind in KINDS {
            let row = rows.iter().find(|row| row.starts_with(&format!("| `{}` |", kind.name))).unwrap();
            for field in kind.fields {
                assert!(row.contains(&format!("`{}", field.name)), "{} of {}", field.name, kind.name);
            }
            assert!(reference(KINDS).contains(&format!("| `{}` | {} |", kind.name, kind.help)));
        }
    }
}
