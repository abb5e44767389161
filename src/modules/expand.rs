//! From manifests, options and facts to what the host should have. Pure, but for the files of enabled modules.

use super::catalogue::Catalogue;
use super::declaration::{Declaration, is_mode};
use super::edges;
use super::facts::Facts;
use super::manifest::{Manifest, file_of};
use super::option::Options;
use super::probe::{Probe, ProbeTest};
use super::template::{Place, Renderer, Scope};
use crate::base::ids::ResourceId;
use crate::base::yaml::{Collector, Node, Problem, Problems, Source, Value};
use crate::engine::{Debt, DebtKind};
use crate::host::Host;
use crate::resources::Spec;
use crate::resources::schema::{FieldType, KINDS, PackageOrder};
use serde::Serialize;
use serde_json::{Map, Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};

/// Everything that the enabled modules ask for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Expansion {
    /// The resources, in load order, with implicit edges.
    pub specs: Vec<Spec>,
    /// The probes.
    pub probes: Vec<Probe>,
    /// Lines for the person after an install.
    pub next_steps: Vec<NextStep>,
    /// Ports on which nobody else may listen.
    pub ports: Vec<PortNeed>,
}

/// A port on which nobody but a module's own program may listen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PortNeed {
    /// The module.
    pub module: String,
    /// The port.
    pub port: u16,
    /// `tcp` or `udp`.
    pub protocol: String,
    /// The module's own programs, as `/proc/<pid>/comm` names them; `kernel` for a socket that no process has.
    pub holders: Vec<String>,
}

impl PortNeed {
    /// Whether it is the module's own that listens; `program` as [`sockets::holders`](crate::host::sockets::holders)
    /// names it.
    pub fn is_own(&self, program: &str) -> bool {
        let name = if program == crate::host::sockets::UNSEEN { "kernel" } else { program };
        self.holders.iter().any(|holder| holder == name)
    }
}

/// A line for the person after an install.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NextStep {
    /// The module that says it.
    pub module: String,
    /// What it says.
    pub text: String,
}

/// Option values by module and path.
pub type OptionValues = BTreeMap<String, BTreeMap<String, Json>>;

/// The options that must be set on this host: module and path.
///
/// # Errors
/// What is wrong with templates that name them.
pub fn needed_options(
    host: &dyn Host,
    catalogue: &Catalogue,
    enabled: &[String],
    options: &OptionValues,
    facts: &Facts,
) -> Result<Vec<(String, String)>, Problems> {
    let (collector, renderer) = (Collector::default(), Renderer::default());
    let (modules, facts) = context(enabled, options, facts);
    let mut needed = Vec::new();
    for name in enabled {
        let Some(module) = catalogue.get(name) else { continue };
        let scope = Scope::new(json!({"options": modules[name], "modules": modules, "facts": facts}));
        let one =
            One { host, module, renderer: &renderer, collector: &collector, priority: 0, wanted: &mut Vec::new() };
        for node in &module.requires.options {
            let text = one.text(node, &scope).unwrap_or_default();
            // A template may say it once for each thing that needs it.
            let options: BTreeSet<&str> = text.split_whitespace().collect();
            needed.extend(options.into_iter().map(|option| (name.clone(), option.to_owned())));
        }
    }
    collector.finish(needed)
}

/// What templates see beside their own module's options: all options, and the facts.
fn context(enabled: &[String], options: &OptionValues, facts: &Facts) -> (Map<String, Json>, Json) {
    let nested = |name: &String| options.get(name).map_or_else(|| json!({}), Options::nested);
    let modules = enabled.iter().map(|name| (name.clone(), nested(name))).collect();
    (modules, serde_json::to_value(facts).unwrap_or(Json::Null))
}

/// Expands the enabled modules, given in load order.
///
/// # Errors
/// Everything that is wrong with their templates and with what these give, each at its place; a file of theirs that can't
/// be read.
pub fn expand(
    host: &dyn Host,
    catalogue: &Catalogue,
    enabled: &[String],
    options: &OptionValues,
    facts: &Facts,
) -> Result<Expansion, Problems> {
    let collector = Collector::default();
    let renderer = Renderer::default();
    let (modules, facts) = context(enabled, options, facts);
    let mut out = Expansion::default();
    let mut wanted = Vec::new();
    for (place, name) in enabled.iter().enumerate() {
        let Some(module) = catalogue.get(name) else {
            continue;
        };
        let scope = Scope::new(json!({"options": modules[name], "modules": modules, "facts": facts}));
        let priority = i32::try_from(place).unwrap_or(i32::MAX);
        let mut one = One { host, module, renderer: &renderer, collector: &collector, priority, wanted: &mut wanted };
        for declaration in &module.resources {
            one.each(declaration, &scope, &mut |one, scope| one.resource(declaration, scope, &mut out.specs));
        }
        for declaration in &module.verify {
            one.each(declaration, &scope, &mut |one, scope| out.probes.extend(one.probe(declaration, scope)));
        }
        for node in &module.requires.ports {
            out.ports.extend(one.port(node, &scope));
        }
        for node in &module.next_steps {
            let text = one.text(node, &scope).unwrap_or_default();
            out.next_steps.extend(
                text.lines()
                    .filter(|line| !line.trim().is_empty())
                    .map(|line| NextStep { module: name.clone(), text: line.trim_end().to_owned() }),
            );
        }
    }
    dangling(&out.specs, wanted, &collector);
    edges::add(&mut out.specs);
    collector.finish(out)
}

/// An id that a manifest names in `needs`, and the problem that it is if nothing declares it.
type Wanted = (ResourceId, Problem);

/// One module at work.
struct One<'a, 'w> {
    host: &'a dyn Host,
    module: &'a Manifest,
    renderer: &'a Renderer,
    collector: &'a Collector,
    priority: i32,
    wanted: &'w mut Vec<Wanted>,
}

impl<'a, 'w> One<'a, 'w> {
    /// Does `act` for each time that a declaration stands for, by its `for_each` and `when`.
    fn each(&mut self, declaration: &Declaration, scope: &Scope, act: &mut dyn FnMut(&mut Self, &Scope)) {
        let Some(for_each) = &declaration.for_each else {
            if self.holds(declaration, scope) {
                act(self, scope);
            }
            return;
        };
        match self.told(self.renderer.value(expression(for_each), scope, self.place(for_each))) {
            Some(Json::Array(items)) => {
                for item in &items {
                    let scope = scope.with_item(item);
                    if self.holds(declaration, &scope) {
                        act(self, &scope);
                    }
                }
            }
            Some(_) => self.problem(for_each, "type-wrong", "for_each must give a list"),
            None => {}
        }
    }

    fn holds(&self, declaration: &Declaration, scope: &Scope) -> bool {
        let Some(when) = &declaration.when else {
            return true;
        };
        self.told(self.renderer.truth(expression(when), scope, self.place(when))).unwrap_or(false)
    }

    fn resource(&mut self, declaration: &Declaration, scope: &Scope, specs: &mut Vec<Spec>) {
        let subject = self.value(&declaration.subject, declaration.kind.subject, scope);
        let fields = self.fields(declaration, scope);
        let needs = self.needs(declaration, scope);
        let notify = self.notify(declaration, scope);
        let access = declaration.access.as_ref().and_then(|node| self.value(node, FieldType::Boolean, scope));
        let (Some(subject), Some(mut fields), Some(needs), Some(notify)) = (subject, fields, needs, notify) else {
            return;
        };
        let packages = match fields.shift_remove("before_packages") {
            Some(Json::Bool(true)) => PackageOrder::Before,
            _ => declaration.kind.packages,
        };
        let names: Vec<String> = match subject {
            Json::Array(names) => names.into_iter().filter_map(|n| n.as_str().map(str::to_owned)).collect(),
            other => vec![other.as_str().map_or_else(|| other.to_string(), str::to_owned)],
        };
        for name in names {
            if name.trim().is_empty() {
                self.problem(&declaration.subject, "name-empty", "the name is empty");
                continue;
            }
            specs.push(Spec {
                kind: declaration.kind.name,
                name: whole_name(declaration.kind.name, &name),
                fields: fields.clone(),
                needs: needs.clone(),
                notify: notify.clone(),
                access: access.as_ref().and_then(Json::as_bool),
                packages,
                module: self.module.name.clone(),
                priority: self.priority,
                origin: format!("{}:{}", self.module.source.name, declaration.line),
                dir: self.module.dir.clone(),
            });
        }
    }

    fn probe(&mut self, declaration: &Declaration, scope: &Scope) -> Option<Probe> {
        let subject = self.value(&declaration.subject, declaration.kind.subject, scope);
        let mut fields = self.fields(declaration, scope)?;
        let name = fields.shift_remove("name").and_then(|name| name.as_str().map(str::to_owned));
        let timeout = fields.shift_remove("timeout").and_then(|n| n.as_u64()).unwrap_or(10);
        match ProbeTest::new(declaration.kind.name, &subject?, &fields) {
            Ok(test) => Some(Probe {
                module: self.module.name.clone(),
                name: name.unwrap_or_else(|| test.described()),
                timeout,
                origin: format!("{}:{}", self.module.source.name, declaration.line),
                test,
            }),
            Err(why) => {
                self.problem(&declaration.subject, "type-wrong", &why);
                None
            }
        }
    }

    /// A line `80/tcp caddy`; nothing when the template gives nothing.
    fn port(&self, node: &Node, scope: &Scope) -> Option<PortNeed> {
        let text = self.text(node, scope)?;
        let words: Vec<&str> = text.split_whitespace().collect();
        let (wanted, holders) = match words.as_slice() {
            [] => return None,
            [wanted, holders @ ..] if !holders.is_empty() => {
                (*wanted, holders.iter().map(|name| (*name).to_owned()).collect())
            }
            _ => return self.wrong(node, "a port and its program, such as 80/tcp caddy", &text),
        };
        match wanted.split_once('/').and_then(|(port, protocol)| Some((port.parse().ok()?, protocol))) {
            Some((port, protocol @ ("tcp" | "udp"))) if port > 0 => {
                Some(PortNeed { module: self.module.name.clone(), port, protocol: protocol.to_owned(), holders })
            }
            _ => self.wrong(node, "a port and its program, such as 80/tcp caddy", &text),
        }
    }

    fn fields(&mut self, declaration: &Declaration, scope: &Scope) -> Option<Map<String, Json>> {
        let mut fields = Map::new();
        let mut good = true;
        for (field, node) in &declaration.fields {
            let value = match field.kind {
                FieldType::Template => self.file(node, field.kind, scope).map(|text| ("content", json!(text))),
                FieldType::ModuleFile => self.file(node, field.kind, scope).map(|text| (field.name, json!(text))),
                kind => self.value(node, kind, scope).map(|value| (field.name, value)),
            };
            good &= value.is_some();
            fields.extend(value.map(|(name, value)| (name.to_owned(), value)));
        }
        good.then_some(fields)
    }

    /// The text of a file of the module; a template is rendered.
    fn file(&mut self, node: &Node, kind: FieldType, scope: &Scope) -> Option<String> {
        let name = self.text(node, scope)?;
        let inner = file_of(kind, &name);
        let content = match self.module.content(self.host, &inner) {
            Ok(content) => content,
            Err(error) => {
                self.problem(node, "modules-unreadable", &error.to_string());
                return None;
            }
        };
        let Some(bytes) = content else {
            let prefix = file_of(kind, "");
            let known = self.module.files.keys().filter_map(|file| file.strip_prefix(&prefix));
            let problem = self.at(node, "template-missing", &format!("the module has no file {inner}"));
            self.collector.add(problem.instead_of(&name, known));
            return None;
        };
        let source = Source::from_bytes(self.module.dir.join(&inner).display().to_string(), &bytes);
        if let Some(offset) = source.bad_byte {
            self.problem(node, "template-not-utf8", &format!("{inner} is not UTF-8 (byte {offset})"));
            return None;
        }
        match kind {
            FieldType::Template => self.told(self.renderer.text(&source.text, scope, Place::File(&source))),
            _ => Some(source.text),
        }
    }

    /// The value of a node as a field of that type; what does not fit is told.
    fn value(&self, node: &Node, kind: FieldType, scope: &Scope) -> Option<Json> {
        match kind {
            FieldType::List => self.list(node, scope).map(Json::Array),
            FieldType::Map => {
                let mut map = Map::new();
                for entry in node.as_map().unwrap_or(&[]) {
                    map.insert(entry.key.clone(), json!(self.text(&entry.value, scope)?));
                }
                Some(Json::Object(map))
            }
            FieldType::Boolean => match (&node.value, self.text(node, scope)?.trim()) {
                (Value::Boolean(value), _) => Some(json!(value)),
                (_, "true") => Some(json!(true)),
                (_, "false") => Some(json!(false)),
                (_, text) => self.wrong(node, "true or false", text),
            },
            FieldType::Integer => {
                if let Value::Integer(number) = node.value {
                    return Some(json!(number));
                }
                let text = self.text(node, scope)?;
                match text.trim().parse::<i64>() {
                    Ok(number) => Some(json!(number)),
                    Err(_) => self.wrong(node, "a whole number", text.trim()),
                }
            }
            _ => {
                let text = self.text(node, scope)?;
                match kind {
                    FieldType::Mode if !is_mode(&text) => self.wrong(node, "four octal digits", &text),
                    FieldType::Path if !text.starts_with('/') => self.wrong(node, "an absolute path", &text),
                    FieldType::Choice(choices) if !choices.contains(&text.as_str()) => {
                        self.wrong(node, &format!("one of {}", choices.join(", ")), &text)
                    }
                    _ => Some(json!(text)),
                }
            }
        }
    }

    /// A list: of a list, each element rendered (an empty outcome is left out, one that is a list is put in its
    /// place); of a text, the list that its one expression gives, or else its lines.
    fn list(&self, node: &Node, scope: &Scope) -> Option<Vec<Json>> {
        let mut all = Vec::new();
        let elements = match &node.value {
            Value::List(elements) => elements.as_slice(),
            _ => std::slice::from_ref(node),
        };
        let is_list = matches!(node.value, Value::List(_));
        for element in elements {
            let template = element.as_plain_text().unwrap_or("");
            match self.renderer.whole(template, scope, self.place(element)) {
                Some(Ok(Json::Array(inner))) => {
                    for value in inner {
                        match value {
                            Json::String(text) => all.push(json!(text)),
                            Json::Number(number) => all.push(json!(number.to_string())),
                            other => {
                                return self.wrong(element, "a list of texts", &other.to_string());
                            }
                        }
                    }
                }
                Some(Err(problems)) => return self.told(Err(problems)),
                _ => {
                    let text = self.text(element, scope)?;
                    let rendered = super::declaration::is_template(template);
                    match is_list {
                        true if rendered && text.trim().is_empty() => {}
                        true => all.push(json!(text)),
                        false => all.extend(text.lines().map(str::trim).filter(|l| !l.is_empty()).map(|l| json!(l))),
                    }
                }
            }
        }
        Some(all)
    }

    fn needs(&mut self, declaration: &Declaration, scope: &Scope) -> Option<Vec<ResourceId>> {
        let mut needs = Vec::new();
        for node in &declaration.needs {
            let text = self.text(node, scope)?;
            if text.trim().is_empty() {
                continue;
            }
            let id = match ResourceId::parse(text.trim()) {
                Some(id) if KINDS.iter().any(|kind| kind.name == id.kind()) => id,
                _ => {
                    let problem = self.at(node, "need-unknown", &format!("\"{text}\" is no resource: `kind:name`"));
                    self.collector.add(problem);
                    return None;
                }
            };
            let id = ResourceId::new(id.kind(), &whole_name(id.kind(), id.name()));
            self.wanted.push((id.clone(), self.at(node, "need-unknown", &format!("nothing declares {id}"))));
            needs.push(id);
        }
        Some(needs)
    }

    fn notify(&self, declaration: &Declaration, scope: &Scope) -> Option<Vec<Debt>> {
        let mut debts = Vec::new();
        for node in &declaration.notify {
            let text = self.text(node, scope)?;
            let words: Vec<&str> = text.split_whitespace().collect();
            let (kind, unit) = match words.as_slice() {
                [] => continue,
                ["daemon-reload"] => (DebtKind::DaemonReload, ""),
                ["restart", unit] => (DebtKind::Restart, *unit),
                ["reload", unit] => (DebtKind::Reload, *unit),
                _ => {
                    return self.wrong(node, "\"restart <unit>\", \"reload <unit>\" or \"daemon-reload\"", &text);
                }
            };
            debts.push(Debt::new(kind, edges::unit_name(unit)));
        }
        Some(debts)
    }

    fn text(&self, node: &Node, scope: &Scope) -> Option<String> {
        let template = node.as_text().unwrap_or(&node.raw);
        self.told(self.renderer.text(template, scope, self.place(node)))
    }

    fn place<'n>(&self, node: &'n Node) -> Place<'n>
    where
        'a: 'n,
    {
        Place::Node(&self.module.source, node)
    }

    fn told<T>(&self, outcome: Result<T, Vec<Problem>>) -> Option<T> {
        outcome.map_err(|problems| self.collector.extend(Problems(problems))).ok()
    }

    fn wrong<T>(&self, node: &Node, wanted: &str, found: &str) -> Option<T> {
        self.problem(node, "type-wrong", &format!("wanted {wanted}, the template gives \"{found}\""));
        None
    }

    fn at(&self, node: &Node, code: &'static str, message: &str) -> Problem {
        Problem::at(&self.module.source, node.span, code, message)
    }

    fn problem(&self, node: &Node, code: &'static str, message: &str) {
        self.collector.add(self.at(node, code, message));
    }
}

fn expression(node: &Node) -> &str {
    node.as_text().unwrap_or(&node.raw)
}

fn whole_name(kind: &str, name: &str) -> String {
    match kind {
        "unit" => edges::unit_name(name),
        _ if name.starts_with('/') && name.len() > 1 => name.trim_end_matches('/').to_owned(),
        _ => name.to_owned(),
    }
}

/// Tells every need that nothing declares.
fn dangling(specs: &[Spec], wanted: Vec<Wanted>, collector: &Collector) {
    let declared: BTreeSet<ResourceId> = specs.iter().map(Spec::id).collect();
    for (id, problem) in wanted {
        if !declared.contains(&id) {
            let near = crate::base::yaml::nearest(id.as_str(), declared.iter().map(ResourceId::as_str));
            collector.add(match near {
                Some(near) => problem.hint(format!("did you mean \"{near}\"?")),
                None => problem,
            });
        }
    }
}
