//! The graph of modules, in the forms that people and programs read. An edge goes from a module to what it needs.

use serde_json::{Value, json};

/// Modules with what they need.
type Edges = [(String, Vec<String>)];

/// A tree: below each module, those that need it. A module with several needs is drawn below the last of them.
pub fn tree(edges: &Edges) -> String {
    let known = |name: &String| edges.iter().any(|(other, _)| other == name);
    let parent = |needs: &[String]| needs.iter().rfind(|need| known(need)).cloned();
    let mut text = String::new();
    for (name, needs) in edges {
        if parent(needs).is_none() {
            text.push_str(&format!("{name}\n"));
            branch(edges, name, "", &parent, &mut text);
        }
    }
    text
}

fn branch(edges: &Edges, above: &str, indent: &str, parent: &dyn Fn(&[String]) -> Option<String>, text: &mut String) {
    let below: Vec<_> = edges.iter().filter(|(_, needs)| parent(needs).as_deref() == Some(above)).collect();
    for (at, (name, needs)) in below.iter().enumerate() {
        let last = at + 1 == below.len();
        let others: Vec<&str> = needs.iter().map(String::as_str).filter(|need| *need != above).collect();
        let note = if others.is_empty() { String::new() } else { format!(" (needs {} too)", others.join(", ")) };
        text.push_str(&format!("{indent}{} {name}{note}\n", if last { "`--" } else { "|--" }));
        branch(edges, name, &format!("{indent}{}", if last { "    " } else { "|   " }), parent, text);
    }
}

/// Mermaid's flowchart.
pub fn mermaid(edges: &Edges) -> String {
    let mut text = String::from("graph TD\n");
    for (name, needs) in edges {
        text.push_str(&format!("    {name}\n"));
        for need in needs {
            text.push_str(&format!("    {name} --> {need}\n"));
        }
    }
    text
}

/// Graphviz.
pub fn dot(edges: &Edges) -> String {
    let mut text = String::from("digraph modules {\n    rankdir=BT;\n");
    for (name, needs) in edges {
        text.push_str(&format!("    \"{name}\";\n"));
        for need in needs {
            text.push_str(&format!("    \"{name}\" -> \"{need}\";\n"));
        }
    }
    text + "}\n"
}

/// Nodes and edges.
pub fn json(edges: &Edges) -> Value {
    let all: Vec<Value> = edges
        .iter()
        .flat_map(|(name, needs)| needs.iter().map(move |need| json!({"from": name, "to": need})))
        .collect();
    json!({"nodes": edges.iter().map(|(name, _)| name).collect::<Vec<_>>(), "edges": all})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_module_is_drawn_once() {
        let edge = |name: &str, needs: &[&str]| (name.to_owned(), needs.iter().map(|n| (*n).to_owned()).collect());
        let edges = [
            edge("system", &[]),
            edge("security", &["system"]),
            edge("docker", &["system", "security"]),
            edge("git", &["system"]),
        ];
        assert_eq!(tree(&edges), "system\n|-- security\n|   `-- docker (needs system too)\n`-- git\n");
        assert!(dot(&edges).contains("\"docker\" -> \"security\";"));
    }
}
