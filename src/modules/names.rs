//! Finds the names that an expression uses and the context does not have.
//!
//! Tera 2 fails on `{{ typo }}` but takes the else branch of `{% if options.typo %}` in silence, so every tag is looked
//! through before rendering. Names that a template binds itself (`for`, `set`) are known; what they hold is followed
//! where it is plain. A name may be missing where that is asked for: `is defined`, `is undefined`, `| default`, `?.`.

use serde_json::Value as Json;
use std::collections::HashMap;

/// A name that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The whole path as written: `options.sorce`.
    pub path: String,
    /// The part of it that is not there.
    pub part: String,
    /// What would have been there.
    pub known: Vec<String>,
    /// The line in the template, from 1.
    pub line: usize,
    /// The column in the line, from 0, in characters.
    pub column: usize,
}

#[derive(Debug, Clone, PartialEq)]
enum Token<'a> {
    Name(&'a str),
    Text(&'a str),
    Sign(&'a str),
}

/// A token and its byte offset in the template.
type Placed<'a> = (Token<'a>, usize);

const WORDS: [&str; 15] =
    ["and", "or", "not", "in", "is", "if", "elif", "else", "true", "false", "none", "null", "True", "False", "None"];

/// Every missing name in the tags of a template.
pub fn missing(template: &str, context: &Json) -> Vec<Missing> {
    let mut locals = HashMap::new();
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(offset) = template[at..].find('{') {
        let open = at + offset;
        let rest = &template[open..];
        let (close, is_tag) = match rest.as_bytes().get(1) {
            Some(b'{') => ("}}", false),
            Some(b'%') => ("%}", true),
            Some(b'#') => ("#}", false),
            _ => {
                at = open + 1;
                continue;
            }
        };
        if close == "#}" {
            at = rest.find(close).map_or(template.len(), |end| open + end + 2);
            continue;
        }
        // `{%-` and `{{-` take the blanks before them away.
        let trims = usize::from(rest.as_bytes().get(2) == Some(&b'-'));
        let (tokens, end) = tokens(template, open + 2 + trims, close);
        at = end;
        if is_tag && tokens.first().is_some_and(|(t, _)| *t == Token::Name("raw")) {
            at = template[end..].find("endraw").map_or(template.len(), |n| end + n);
            continue;
        }
        check_tag(template, &tokens, is_tag, context, &mut locals, &mut found);
    }
    found
}

/// Every missing name of a bare expression.
pub fn missing_in_expression(expression: &str, context: &Json) -> Vec<Missing> {
    let (tokens, _) = tokens(expression, 0, "\0");
    let mut found = Vec::new();
    check(expression, &tokens, context, &HashMap::new(), &mut found);
    found
}

fn check_tag<'a>(
    template: &'a str,
    tokens: &[Placed<'a>],
    is_tag: bool,
    context: &Json,
    locals: &mut HashMap<&'a str, Option<Json>>,
    found: &mut Vec<Missing>,
) {
    let statement = match tokens.first() {
        Some((Token::Name(name), _)) if is_tag => *name,
        _ => return check(template, tokens, context, locals, found),
    };
    let tokens = &tokens[1..];
    match statement {
        "if" | "elif" | "filter" => check(template, tokens, context, locals, found),
        "for" => {
            let Some(split) = tokens.iter().position(|(t, _)| *t == Token::Name("in")) else {
                return;
            };
            check(template, &tokens[split + 1..], context, locals, found);
            let list = plain_path(&tokens[split + 1..]).and_then(|path| look_up(&path, context, locals));
            let first = list.and_then(|list| list.as_array().and_then(|all| all.first().cloned()));
            let names: Vec<&str> = tokens[..split].iter().filter_map(|(t, _)| name(t)).collect();
            for bound in &names {
                locals.insert(bound, if names.len() == 1 { first.clone() } else { None });
            }
        }
        "set" | "set_global" => {
            if let Some((Token::Name(bound), _)) = tokens.first() {
                let value = tokens.get(2..).unwrap_or(&[]);
                check(template, value, context, locals, found);
                let held = plain_path(value).and_then(|path| look_up(&path, context, locals));
                locals.insert(bound, held);
            }
        }
        _ => {}
    }
}

fn check(
    template: &str,
    tokens: &[Placed<'_>],
    context: &Json,
    locals: &HashMap<&str, Option<Json>>,
    found: &mut Vec<Missing>,
) {
    let mut at = 0;
    while at < tokens.len() {
        let (Token::Name(root), offset) = tokens[at] else {
            at += 1;
            continue;
        };
        let before = at.checked_sub(1).map(|n| &tokens[n].0);
        let after = tokens.get(at + 1).map(|(t, _)| t);
        let is_filter_or_test = matches!(before, Some(Token::Sign("|") | Token::Name("is")))
            || (before == Some(&Token::Name("not")) && at > 1 && tokens[at - 2].0 == Token::Name("is"));
        let is_call_or_argument = matches!(after, Some(Token::Sign("(" | "=")));
        if root == "loop" {
            at = path_at(tokens, at).1;
            continue;
        }
        if WORDS.contains(&root) || is_filter_or_test || is_call_or_argument {
            at += 1;
            continue;
        }
        let (path, next, optional) = path_at(tokens, at);
        if !optional
            && !may_be_missing(&tokens[next..])
            && let Some((part, known)) = walk(&path, context, locals)
        {
            let line_start = template[..offset].rfind('\n').map_or(0, |n| n + 1);
            found.push(Missing {
                path: path.join("."),
                part,
                known,
                line: template[..offset].matches('\n').count() + 1,
                column: template[line_start..offset].chars().count(),
            });
        }
        at = next;
    }
}

/// The dotted path that begins at a token, the token after it, and whether it has a `?.`.
fn path_at<'a>(tokens: &[Placed<'a>], start: usize) -> (Vec<&'a str>, usize, bool) {
    let mut path: Vec<&str> = tokens.get(start).and_then(|(t, _)| name(t)).into_iter().collect();
    let mut at = start + 1;
    let mut optional = false;
    let token = |n: usize| tokens.get(n).map(|(t, _)| t);
    loop {
        match (token(at), token(at + 1), token(at + 2)) {
            (Some(Token::Sign(dot @ ("." | "?."))), Some(Token::Name(part)), _) => {
                optional |= *dot == "?.";
                path.push(part);
                at += 2;
            }
            (Some(Token::Sign("[")), Some(Token::Text(part)), Some(Token::Sign("]"))) => {
                path.push(part);
                at += 3;
            }
            _ => return (path, at, optional),
        }
    }
}

fn may_be_missing(rest: &[Placed<'_>]) -> bool {
    let words: Vec<&Token<'_>> = rest.iter().take(3).map(|(t, _)| t).collect();
    matches!(
        words.as_slice(),
        [Token::Name("is"), Token::Name("defined" | "undefined"), ..]
            | [Token::Name("is"), Token::Name("not"), Token::Name("defined" | "undefined")]
            | [Token::Sign("|"), Token::Name("default"), ..]
    )
}

/// The first part of a path that is not there and the names that are; `None` when all is there or can't be known.
fn walk(path: &[&str], context: &Json, locals: &HashMap<&str, Option<Json>>) -> Option<(String, Vec<String>)> {
    let (mut at, parts) = match (locals.get(path[0]), path) {
        (Some(None), _) => return None,
        (Some(Some(held)), [_, parts @ ..]) => (held, parts),
        _ => (context, path),
    };
    for part in parts {
        match at {
            Json::Object(map) => match map.get(*part) {
                Some(inner) => at = inner,
                None => return Some(((*part).to_owned(), map.keys().cloned().collect())),
            },
            Json::Null | Json::Array(_) => return None,
            _ => return Some(((*part).to_owned(), Vec::new())),
        }
    }
    None
}

fn look_up(path: &[&str], context: &Json, locals: &HashMap<&str, Option<Json>>) -> Option<Json> {
    let (mut at, parts) = match (locals.get(path.first()?), path) {
        (Some(held), [_, parts @ ..]) => (held.as_ref()?, parts),
        _ => (context, path),
    };
    for part in parts {
        at = at.get(part)?;
    }
    Some(at.clone())
}

/// The path, when the tokens are nothing but one.
fn plain_path<'a>(tokens: &[Placed<'a>]) -> Option<Vec<&'a str>> {
    let (path, next, _) = path_at(tokens, 0);
    let end = tokens[next.min(tokens.len())..].iter().all(|(t, _)| *t == Token::Sign("-"));
    (end && !path.is_empty()).then_some(path)
}

fn name<'a>(token: &Token<'a>) -> Option<&'a str> {
    match token {
        Token::Name(name) => Some(name),
        _ => None,
    }
}

/// The tokens from `start` to the closing mark, and the offset behind it.
fn tokens<'a>(template: &'a str, start: usize, close: &str) -> (Vec<Placed<'a>>, usize) {
    let mut tokens = Vec::new();
    let mut at = start;
    while at < template.len() {
        let rest = &template[at..];
        let Some(c) = rest.chars().next() else { break };
        if rest.starts_with(close) {
            return (tokens, at + close.len());
        }
        let (token, length) = if c == '"' || c == '\'' || c == '`' {
            let inner = rest[1..].find(c).unwrap_or(rest.len() - 1);
            (Some(Token::Text(&rest[1..1 + inner])), (inner + 2).min(rest.len()))
        } else if c.is_alphabetic() || c == '_' {
            let length = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            (Some(Token::Name(&rest[..length])), length)
        } else if c.is_ascii_digit() {
            let length = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
            (Some(Token::Sign(&rest[..length])), length)
        } else if c.is_whitespace() {
            (None, c.len_utf8())
        } else {
            let double = ["?.", "==", "!=", "<=", ">=", "//", "**"].iter().find(|sign| rest.starts_with(**sign));
            let length = double.map_or(c.len_utf8(), |sign| sign.len());
            (Some(Token::Sign(&rest[..length])), length)
        };
        tokens.extend(token.map(|token| (token, at)));
        at += length;
    }
    (tokens, template.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn paths(template: &str) -> Vec<String> {
        let context = json!({
            "options": {"size": 1, "ssh": {"port": 22}, "users": [{"name": "anna"}], "none": []},
            "facts": {"users": ["anna"]}, "modules": {"git": {}},
        });
        missing(template, &context).into_iter().map(|m| m.path).collect()
    }

    #[test]
    fn missing_names_are_found_in_every_kind_of_tag() {
        assert_eq!(
            paths("{{ options.sise }} {% if options.ssh.prot and not typo %}{% endif %}"),
            ["options.sise", "options.ssh.prot", "typo"]
        );
        assert_eq!(paths("{% for u in options.user %}{{ u }}{% endfor %}"), ["options.user"]);
        assert_eq!(paths("{% for u in options.users %}{% if u.nmae %}x{% endif %}{% endfor %}"), ["u.nmae"]);
        assert_eq!(paths("{% set a = options.ssh %}{% if a.prot %}{% endif %}"), ["a.prot"]);
        assert_eq!(paths("{{ options[\"sise\"] }}"), ["options.sise"]);
        assert_eq!(paths("{{ facts.users | join(sep=wrong.name) }}"), ["wrong.name"]);
        assert_eq!(paths("{%- if options.ssh -%} {{- typo -}} {%- endif -%} {%- raw %}{{ x }}{% endraw %}"), ["typo"]);
    }

    #[test]
    fn good_names_words_filters_calls_and_raw_text_are_let_through() {
        let good = "{{ options.size + 1 if options.size is odd else range(end=3) | length }}{# typo #}{% raw %}{{ typo }}{% endraw %}\
            {% for u in options.none %}{{ u.anything }}{{ loop.index }}{% endfor %}{% for k, v in options.ssh %}{{ k.x }}{% endfor %}\
            {{ 'typo.in.text' ~ \"more\" }} {not.a.tag} {% if true and \"x\" in facts.users and 1.5 > 1 %}{% endif %}";
        assert_eq!(paths(good), Vec::<String>::new());
        assert_eq!(
            paths("{% if modules.docker is defined %}{{ modules.nope | default(value=1) }}{{ a?.b }}{% endif %}"),
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_missing_name_has_its_place_and_what_is_known() {
        let context = json!({"options": {"size": 1}});
        let found = missing("å\n  åä {{ options.sise }}", &context);
        assert_eq!((found[0].line, found[0].column), (2, 8));
        assert_eq!((found[0].part.as_str(), &found[0].known), ("sise", &vec!["size".to_owned()]));
        assert_eq!(missing_in_expression("options.size > 0 or option.x", &context)[0].path, "option.x");
    }

    proptest::proptest! {
        #[test]
        fn no_template_makes_the_search_panic(template in "([a-z.|å ()'\"=\\[\\]%{}#?-]|if|for|in|set|\\{%|%\\}|\\{\\{|\\}\\}|raw){0,40}") {
            missing(&template, &json!({"a": 1}));
            missing_in_expression(&template, &json!({"a": 1}));
        }
    }
}
