//! The result of an install as a page for a browser: whole in itself, without a script, made of the same document that
//! `--json` prints.

use super::time;
use crate::base::size;
use serde_json::Value;

/// How it looks.
const STYLE: &str = "body{font:16px/1.5 sans-serif;margin:2em auto;max-width:60em;padding:0 1em;color:#222;background:#fff}\
    table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;padding:.2em .8em .2em 0;\
    border-bottom:1px solid #ddd;overflow-wrap:anywhere}td.n{text-align:right;white-space:nowrap}\
    @media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}td,th{border-color:#444}}";

/// The page of `report`.
pub fn page(report: &Value) -> String {
    let text = |key: &str| words(&report[key]);
    let title = format!("{}: profile {}, transaction {}", text("status"), text("profile"), text("transaction"));
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{0}</title><style>{STYLE}</style></head><body>\n\
         <h1>{0}</h1>\n<p>{1}, {2} UTC, {3}; {4} changes, {5} resources were as wanted already.",
        escape(&title),
        escape(&text("hostname")),
        escape(text("ended").trim_end_matches('Z')),
        time::length(report["duration_seconds"].as_f64().unwrap_or(0.0)),
        escape(&text("changes")),
        escape(&text("unchanged")),
    );
    if let Some(packages) = report["packages"].as_object() {
        let number = |key: &str| packages.get(key).and_then(Value::as_u64).unwrap_or(0);
        page.push_str(&format!(
            " {} packages came, {} were upgraded: {} to download, {} on the disk.",
            number("new"),
            number("upgraded"),
            size::bytes(number("download_bytes")),
            size::bytes(number("installed_bytes")),
        ));
    }
    page.push_str("</p>\n");
    if let Some(what) = report["error_message"].as_str() {
        let details = &report["error_details"];
        page.push_str(&format!("<h2>What went wrong</h2>\n<p>{}</p>\n", escape(what)));
        list(&mut page, "", &[Value::from(words(&report["host_state"])), details["why"].clone()]);
        list(&mut page, "How to mend it", details["how"].as_array().map_or(&[], Vec::as_slice));
    }
    let lines = |key: &str| report[key].as_array().map_or(&[][..], Vec::as_slice);
    list(&mut page, "What is next", lines("next_steps"));
    list(&mut page, "A reboot is needed", lines("reboot"));
    modules(&mut page, &report["summary"], lines("steps"));
    steps(&mut page, lines("steps"));
    for (key, heading) in [
        ("deviations", "Not as the plan had promised"),
        ("kept", "Kept"),
        ("edited", "Files that somebody had edited"),
        ("owed", "Owed"),
        ("notes", "Notes"),
    ] {
        list(&mut page, heading, lines(key));
    }
    page.push_str("</body></html>\n");
    page
}

fn list(page: &mut String, heading: &str, lines: &[Value]) {
    let items: String = lines.iter().map(words).filter(|line| !line.is_empty()).map(|line| item(&line)).collect();
    if items.is_empty() {
        return;
    }
    if !heading.is_empty() {
        page.push_str(&format!("<h2>{heading}</h2>\n"));
    }
    page.push_str(&format!("<ul>\n{items}</ul>\n"));
}

fn item(line: &str) -> String {
    format!("<li>{}</li>\n", escape(line))
}

/// The modules, the slowest first.
fn modules(page: &mut String, summary: &Value, steps: &[Value]) {
    let Some(modules) = summary.as_object() else { return };
    let seconds = |of: &Value| of["duration"].as_f64().unwrap_or(0.0);
    let mut all: Vec<(&String, &Value)> = modules.iter().collect();
    all.sort_by(|a, b| seconds(b.1).total_cmp(&seconds(a.1)));
    page.push_str("<h2>Modules</h2>\n<table><tr><th>Module</th><th>State</th><th>Time</th></tr>\n");
    let of_packages = |step: &&Value| step["resource"].as_str().is_some_and(|id| id.starts_with("package:"));
    for step in steps.iter().filter(of_packages) {
        let time = time::length(step["seconds"].as_f64().unwrap_or(0.0));
        page.push_str(&format!("<tr><td>packages of all modules</td><td></td><td class=\"n\">{time}</td></tr>\n"));
    }
    for (name, of) in all {
        let (state, time) = (escape(&words(&of["status"])), time::length(seconds(of)));
        page.push_str(&format!("<tr><td>{}</td><td>{state}</td><td class=\"n\">{time}</td></tr>\n", escape(name)));
    }
    page.push_str("</table>\n");
}

/// The changes, in the order in which they were made.
fn steps(page: &mut String, steps: &[Value]) {
    if steps.is_empty() {
        return;
    }
    page.push_str("<h2>Changes</h2>\n<table><tr><th>Resource</th><th>Module</th><th>What</th><th>Time</th></tr>\n");
    for step in steps {
        let [resource, module, what] = ["resource", "module", "summary"].map(|key| escape(&words(&step[key])));
        let time = time::length(step["seconds"].as_f64().unwrap_or(0.0));
        page.push_str(&format!(
            "<tr><td>{resource}</td><td>{module}</td><td>{what}</td><td class=\"n\">{time}</td></tr>\n"
        ));
    }
    page.push_str("</table>\n");
}

/// A value without quotation marks.
fn words(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Text as HTML, in an element or an attribute; control characters are left out.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c if c.is_control() && c != '\n' => {}
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nothing_that_a_host_says_becomes_part_of_the_page() {
        let evil = "</td><script>alert(\"1\")</script>&'\u{1b}[31m\u{0}";
        let page = page(&json!({
            "status": evil, "profile": evil, "transaction": 7, "hostname": evil, "ended": evil,
            "error_message": evil, "error_details": {"why": evil, "how": [evil]}, "host_state": evil,
            "summary": {evil: {"status": evil, "duration": 1.0}},
            "steps": [{"resource": evil, "module": evil, "summary": evil, "seconds": 2.0}],
            "next_steps": [evil], "deviations": [evil], "kept": [evil], "notes": [evil],
        }));
        assert!(!page.contains("<script") && !page.contains('\u{1b}') && !page.contains('\u{0}'), "{page}");
        assert!(page.contains("&lt;/td&gt;&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;&#39;[31m"), "{page}");
    }

    #[test]
    fn the_slowest_module_comes_first_and_what_is_empty_has_no_heading() {
        let page = page(&json!({
            "status": "success", "profile": "small", "transaction": 1, "duration_seconds": 61.0,
            "packages": {"new": 3, "upgraded": 0, "download_bytes": 3000, "installed_bytes": 12_300},
            "summary": {"a": {"status": "success", "duration": 1.0}, "b": {"status": "success", "duration": 60.0}},
            "steps": [], "kept": [], "next_steps": ["go on"],
        }));
        assert!(page.find("<td>b</td>").unwrap() < page.find("<td>a</td>").unwrap());
        assert!(page.contains("3 packages came, 0 were upgraded: 3.0 kB to download, 12.3 kB on the disk."));
        assert!(page.contains("<li>go on</li>") && !page.contains("Kept") && !page.contains("Changes"));
        assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>\n"));
    }
}
