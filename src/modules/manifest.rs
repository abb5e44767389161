//! A module's manifest, `module.yaml`, read and checked. The format is `docs/reference/manifest.md`.

use super::declaration::{Declaration, is_template};
use super::option::Options;
use super::probe::PROBES;
use super::source::{Content, ModuleSource};
use crate::base::yaml::{Collector, Node, Reader, Source, Span, parse};
use crate::host::{self, Host};
use crate::resources::schema::{FieldType, KINDS};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A module, checked.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// Its name, the folder's.
    pub name: String,
    /// What it is for, one line.
    pub summary: String,
    /// 0–100; smaller goes first where nothing else decides.
    pub priority: i32,
    /// A failure takes the whole run back.
    pub mandatory: bool,
    /// Modules that are enabled with it.
    pub depends_on: Vec<Reference>,
    /// Modules that can't be enabled with it.
    pub conflicts_with: Vec<Reference>,
    /// What the host must have.
    pub requires: Requires,
    /// What may be set.
    pub options: Options,
    /// What it wants, before templates.
    pub resources: Vec<Declaration>,
    /// What proves it, before templates.
    pub verify: Vec<Declaration>,
    /// Lines shown after an install, before templates.
    pub next_steps: Vec<Node>,
    /// The manifest's text.
    pub source: Source,
    /// The module's folder.
    pub dir: PathBuf,
    /// Whether it came with the package.
    pub builtin: bool,
    /// The folder's other files.
    pub files: BTreeMap<String, Content>,
}

/// A name and where it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The name.
    pub name: String,
    /// The place in the manifest.
    pub span: Span,
}

/// What a module needs of the host before anything is touched.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Requires {
    /// About how much room on / its packages and files take, in MB: for people. A plan weighs its packages exactly.
    pub disk_mb: Option<u64>,
    /// Memory in MB.
    pub memory_mb: Option<u64>,
    /// dpkg architectures; empty: any.
    pub architectures: Vec<String>,
    /// Ports on which nobody else may listen, before templates: `80/tcp caddy`.
    pub ports: Vec<Node>,
    /// Options that have no good default and must be set, before templates: of a template that gives nothing, none.
    pub options: Vec<Node>,
}

impl Manifest {
    /// Reads a module; what is wrong is told to the collector, and `None` when it is no mapping at all.
    pub fn read(module: ModuleSource, collector: &Collector) -> Option<Manifest> {
        let ModuleSource { dir, builtin, manifest: source, files } = module;
        let root = match parse(&source) {
            Ok(root) => root,
            Err(problem) => {
                collector.add(problem);
                return None;
            }
        };
        let reader = Reader::new(&source, collector);
        let folder = dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let mut fields = reader.map(&root, "a module's manifest")?;
        if let Some(node) = fields.require("name") {
            good_name(reader, node, &folder);
        }
        let summary = fields.require("summary").and_then(|node| reader.text(node)).unwrap_or("").to_owned();
        let priority = fields.integer("priority", Some(0), Some(100)).unwrap_or(50);
        let mandatory = fields.boolean("mandatory").unwrap_or(false);
        let depends_on = references(fields.texts("depends_on"));
        let conflicts_with = references(fields.texts("conflicts_with"));
        let requires = fields.take("requires").map(|node| Requires::read(reader, node)).unwrap_or_default();
        let options = fields.take("options").map(|node| Options::read(reader, node)).unwrap_or_default();
        let resources = fields.take("resources").and_then(|node| reader.list(node)).unwrap_or(&[]);
        let verify = fields.take("verify").and_then(|node| reader.list(node)).unwrap_or(&[]);
        let next_steps = fields.texts("next_steps").into_iter().cloned().collect();
        fields.finish();
        let resources: Vec<Declaration> =
            resources.iter().filter_map(|node| Declaration::resource(reader, node, KINDS)).collect();
        let verify: Vec<Declaration> =
            verify.iter().filter_map(|node| Declaration::probe(reader, node, PROBES)).collect();
        for needed in &requires.options {
            let Some(name) = needed.as_text().filter(|name| !is_template(name)) else { continue };
            if options.find(name).is_none() {
                let problem = reader.at(needed.span, "option-name", format!("the module has no option \"{name}\""));
                reader.tell(problem.instead_of(name, options.0.iter().map(|option| option.path.as_str())));
            }
        }
        for declaration in &resources {
            files_are_there(reader, declaration, &files);
        }
        Some(Manifest {
            name: folder,
            summary,
            priority: i32::try_from(priority).unwrap_or(50),
            mandatory,
            depends_on,
            conflicts_with,
            requires,
            options,
            resources,
            verify,
            next_steps,
            source,
            dir,
            builtin,
            files,
        })
    }

    /// What is in one of its files, named by its path in the folder; `None` when it has none of that name.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn content(&self, host: &dyn Host, file: &str) -> host::Result<Option<Cow<'_, [u8]>>> {
        Ok(match self.files.get(file) {
            None => None,
            Some(Content::Held(content)) => Some(Cow::Borrowed(content)),
            Some(Content::At(path)) => Some(Cow::Owned(host.read(path)?)),
        })
    }
}

impl Requires {
    fn read<'a>(reader: Reader<'a>, node: &'a Node) -> Self {
        let Some(mut fields) = reader.map(node, "requires") else {
            return Requires::default();
        };
        let mut size = |key| fields.integer(key, Some(0), None).and_then(|n| u64::try_from(n).ok());
        let (disk_mb, memory_mb) = (size("disk_mb"), size("memory_mb"));
        let architectures = references(fields.texts("architectures")).into_iter().map(|r| r.name).collect();
        let ports = fields.texts("ports").into_iter().cloned().collect();
        let options = fields.texts("options").into_iter().cloned().collect();
        fields.finish();
        Requires { disk_mb, memory_mb, architectures, ports, options }
    }
}

/// The path in a module's folder of a file that a field names.
pub fn file_of(kind: FieldType, text: &str) -> String {
    if kind == FieldType::Template { format!("templates/{text}") } else { text.to_owned() }
}

fn references(nodes: Vec<&Node>) -> Vec<Reference> {
    let named = |node: &Node| node.as_text().map(|name| Reference { name: name.to_owned(), span: node.span });
    nodes.into_iter().filter_map(named).collect()
}

fn good_name(reader: Reader<'_>, node: &Node, folder: &str) {
    let Some(name) = node.as_text() else {
        reader.wrong::<()>(node, "text");
        return;
    };
    let good = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if !good {
        let message = format!("\"{name}\" is no good name: lower-case letters, digits and _, a letter first");
        reader.problem(node.span, "module-name", message);
    } else if name != folder {
        reader.problem(
            node.span,
            "module-name",
            format!("the module is called \"{name}\", but its folder \"{folder}\""),
        );
    }
}

fn files_are_there(reader: Reader<'_>, declaration: &Declaration, files: &BTreeMap<String, Content>) {
    for (field, node) in &declaration.fields {
        let (FieldType::Template | FieldType::ModuleFile, Some(text)) = (field.kind, node.as_text()) else {
            continue;
        };
        if !is_template(text) && !files.contains_key(&file_of(field.kind, text)) {
            let prefix = file_of(field.kind, "");
            let known = files.keys().filter_map(|name| name.strip_prefix(&prefix));
            let problem = reader.at(node.span, "template-missing", format!("the module has no file {prefix}{text}"));
            reader.tell(problem.instead_of(text, known));
        }
    }
}
