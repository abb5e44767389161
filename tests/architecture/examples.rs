//! What the documents tell people to type exists: commands parse, settings and files of configuration are good, codes of
//! errors are given by the program, links lead somewhere.

use super::documents::root;
use super::sources::{Source, below, top};
use clap::CommandFactory;
use clap::error::ErrorKind;
use std::fs;
use std::path::Path;
use std::process::Command;
use vps_configurator::cli::args::Args;

/// Documents that are written by hand. What `make reference` writes comes from the program itself.
fn pages() -> Vec<Source> {
    let mut pages = below("docs", "md");
    let generated = ["docs/reference/commands.md", "docs/reference/kinds.md", "docs/reference/modules/"];
    pages.retain(|page| !generated.iter().any(|path| page.path.to_string_lossy().starts_with(path)));
    let readme = fs::read_to_string(top().join("README.md")).unwrap();
    pages.push(Source { path: "README.md".into(), text: readme });
    pages
}

/// The fenced parts of a page, each with the word behind its fence, and the rest.
fn parts(text: &str) -> (Vec<(&str, String)>, String) {
    let (mut fenced, mut prose, mut open) = (Vec::<(&str, String)>::new(), String::new(), false);
    for line in text.lines() {
        if let Some(word) = line.trim_start().strip_prefix("```") {
            open = !open;
            if open {
                fenced.push((word, String::new()));
            }
        } else {
            let into = if open { &mut fenced.last_mut().unwrap().1 } else { &mut prose };
            into.push_str(line);
            into.push('\n');
        }
    }
    (fenced, prose)
}

/// Simple commands of a shell script, each as its words: quotes and comments as sh has them, no expansions.
fn commands(script: &str) -> Vec<Vec<String>> {
    let mut all = vec![Vec::new()];
    let (mut word, mut quote) = (None::<String>, None);
    let mut letters = script.chars().peekable();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (Some(mark), _) if letter == mark => quote = None,
            (Some(_), _) => word.get_or_insert_default().push(letter),
            (None, '\'' | '"') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, '\\') => match letters.next() {
                Some('\n') | None => {}
                Some(plain) => word.get_or_insert_default().push(plain),
            },
            (None, '#') if word.is_none() => while letters.next_if(|next| *next != '\n').is_some() {},
            (None, ' ' | '\t') => all.last_mut().unwrap().extend(word.take()),
            // A descriptor before its redirection.
            (None, '>' | '<') if word.as_ref().is_some_and(|word| word.bytes().all(|b| b.is_ascii_digit())) => {
                word = None;
                all.push(Vec::new());
            }
            (None, '\n' | ';' | '&' | '|' | '(' | ')' | '>' | '<') => {
                all.last_mut().unwrap().extend(word.take());
                all.push(Vec::new());
            }
            (None, _) => word.get_or_insert_default().push(letter),
        }
    }
    all.last_mut().unwrap().extend(word);
    all.retain(|words| !words.is_empty());
    all
}

/// The program's words in a command that runs it, also by `sudo`, `ssh` or in a container.
fn of_the_program(words: &[String]) -> Option<&[String]> {
    let at = words.iter().position(|word| word == "vps-configurator")?;
    let runs = match words[0].as_str() {
        "vps-configurator" => true,
        "sudo" => at == 1,
        "ssh" => true,
        "docker" => words[1] == "run",
        _ => false,
    };
    runs.then(|| &words[at..])
}

/// What a page tells people to run: in scripts whole; in the running text a flag or value may be left out.
fn told(page: &Source) -> Vec<(bool, Vec<String>)> {
    let (fenced, prose) = parts(&page.text);
    let names: Vec<String> = Args::command().get_subcommands().map(|inner| inner.get_name().to_owned()).collect();
    let scripts = fenced.iter().filter(|(word, _)| *word == "sh").flat_map(|(_, script)| commands(script));
    let whole = scripts.filter_map(|words| Some((true, of_the_program(&words)?.to_vec())));
    let spans: Vec<&str> = prose.split('`').skip(1).step_by(2).collect();
    let partial = spans.into_iter().flat_map(commands).filter_map(|words| {
        // In the text `config set KEY` stands for the whole command.
        let short = words.len() > 1 && names.contains(&words[0]);
        let whole =
            if short { [vec!["vps-configurator".into()], words].concat() } else { of_the_program(&words)?.to_vec() };
        Some((false, whole))
    });
    whole.chain(partial).collect()
}

#[test]
fn every_command_of_the_program_in_a_document_parses() {
    let (mut count, mut wrong) = (0, Vec::new());
    for page in pages() {
        for (whole, words) in told(&page) {
            count += 1;
            if page.text.contains(&format!("{} &&", words.join(" "))) && words[1..] == ["plan"] {
                wrong.push(format!("{}: nothing comes after `plan &&`: it ends with 4", page.path.display()));
            }
            // They stand for a number.
            let typed = words.iter().map(|word| if word == "ID" || word == "N" { "1" } else { word });
            let Err(error) = Args::command().try_get_matches_from(typed) else { continue };
            let allowed = match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => true,
                ErrorKind::MissingRequiredArgument
                | ErrorKind::MissingSubcommand
                | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => !whole,
                // The flag without its value.
                ErrorKind::InvalidValue => !whole && error.to_string().contains("a value is required"),
                _ => false,
            };
            if !allowed {
                let why = error.to_string();
                wrong.push(format!(
                    "{}: {}: {}",
                    page.path.display(),
                    words.join(" "),
                    why.lines().next().unwrap_or("")
                ));
            }
        }
    }
    assert!(count > 80, "only {count} commands were found");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_setting_that_a_document_sets_is_taken() {
    let root = root();
    let (mut count, mut wrong) = (0, Vec::new());
    for page in pages() {
        for (_, words) in told(&page) {
            let [_, config, set, key, value] = words.as_slice() else { continue };
            // NAME stands for something, and `tree` is the module that a page makes.
            let stands_for = ["KEY", "NAME", "modules.tree"].iter().any(|name| key.contains(name));
            if (config.as_str(), set.as_str()) != ("config", "set") || stands_for || value == "--unset" {
                continue;
            }
            count += 1;
            let output = run(root.path(), &["config", "set", "--dry-run", key, value]);
            if !output.status.success() {
                wrong.push(format!("{}: {}", page.path.display(), String::from_utf8_lossy(&output.stderr)));
            }
        }
    }
    assert!(count > 5, "only {count} settings were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_file_of_configuration_in_a_document_is_good() {
    let mut count = 0;
    for page in pages() {
        for (_, text) in parts(&page.text).0.iter().filter(|(word, _)| *word == "yaml") {
            let Some(path) = text.lines().next().and_then(|line| line.strip_prefix("# /etc/vps-configurator/")) else {
                continue;
            };
            count += 1;
            let root = root();
            let file = root.path().join("etc/vps-configurator").join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, text).unwrap();
            let name = file.file_stem().unwrap().to_str().unwrap();
            let profile = if path.starts_with("profiles.d/") { name } else { "minimal" };
            let output = run(root.path(), &["config", "validate", "--profile", profile]);
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{}: {path}:\n{said}", page.path.display());
        }
    }
    assert!(count > 3, "only {count} files were found");
}

#[test]
fn every_code_of_an_error_in_a_document_is_explained() {
    let errors = fs::read_to_string(top().join("docs/reference/errors.md")).unwrap();
    let mut wrong = Vec::new();
    for page in pages().iter().filter(|page| !page.path.ends_with("errors.md")) {
        // As the program prints it, and as the text names it.
        let printed = page.text.lines().filter_map(|line| line.trim_start().strip_prefix("code:"));
        let named = page.text.split("(`").skip(1).filter_map(|rest| rest.split_once("`)")).map(|(word, _)| word);
        let codes = printed.filter_map(|rest| rest.split_whitespace().next()).chain(named.filter(|word| is_code(word)));
        wrong.extend(
            codes
                .filter(|code| !errors.contains(&format!("| `{code}` |")))
                .map(|code| format!("{}: {code}", page.path.display())),
        );
    }
    assert!(wrong.is_empty(), "not in docs/reference/errors.md: {wrong:?}");
}

/// Words of lower-case letters with a dash between them; none of them is a file or a package here.
fn is_code(word: &str) -> bool {
    word.contains('-') && word.chars().all(|c| c.is_ascii_lowercase() || c == '-') && !word.starts_with('-')
}

#[test]
fn every_link_of_a_document_leads_to_something() {
    let (mut count, mut wrong) = (0, Vec::new());
    for page in pages() {
        let folder = top().join(&page.path).parent().unwrap().to_owned();
        for link in page.text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") {
                continue;
            }
            count += 1;
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() { top().join(&page.path) } else { folder.join(path) };
            if !target.exists() || !anchor.is_empty() && !anchors(&target).iter().any(|found| found == anchor) {
                wrong.push(format!("{}: {link}", page.path.display()));
            }
        }
    }
    assert!(count > 50, "only {count} links were found");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What headings of a page are called in links to them.
fn anchors(page: &Path) -> Vec<String> {
    let text = fs::read_to_string(page).unwrap_or_default();
    let headings = text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let kept = |c: &char| c.is_alphanumeric() || *c == ' ' || *c == '-' || *c == '_';
    headings.map(|words| words.to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-")).collect()
}

#[test]
fn every_page_of_how_to_is_in_its_index() {
    let index = fs::read_to_string(top().join("docs/how-to/README.md")).unwrap();
    let missing: Vec<_> = below("docs/how-to", "md")
        .into_iter()
        .filter_map(|page| Some(page.path.file_name()?.to_str()?.to_owned()))
        .filter(|name| name != "README.md" && !index.contains(&format!("]({name})")))
        .collect();
    assert!(missing.is_empty(), "docs/how-to/README.md lacks {missing:?}");
}

fn run(root: &Path, words: &[&str]) -> std::process::Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_vps-configurator"));
    program.arg("--root").arg(root).args(words).output().unwrap()
}
