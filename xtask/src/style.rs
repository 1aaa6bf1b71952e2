//! `cargo xtask style`: the rules of STYLE.md that a program can check.
//!
//! A rule looks at one file and names its faults. Faults that were there when a rule came are counted per file
//! in `xtask/data/style-ratchet.txt`; a count may fall and never rise. What rustfmt, rustc and clippy check
//! (layout, `unwrap`, SAFETY comments) is left to them. `floors` looks at all files together and knows no ratchet.
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::{floors, workspace};

/// Past this many lines a file must say in its header why it is long.
const FILE_LINES_MAX: usize = 800;
/// The line of a header that says why a file is long begins so.
const LENGTH_REASON: &str = "//! Length:";

/// One file as the rules see it.
struct Source<'text> {
    path: &'text str,
    text: &'text str,
}

/// A rule: its name in STYLE.md and in the ratchet, and the faults it finds.
struct Rule {
    name: &'static str,
    faults: fn(&Source<'_>) -> Vec<String>,
}

const RULES: [Rule; 7] = [
    Rule { name: "header", faults: header },
    Rule { name: "length", faults: length },
    Rule { name: "unfinished", faults: unfinished },
    Rule { name: "unsafe", faults: unsafe_code },
    Rule { name: "allow", faults: allow },
    Rule { name: "place", faults: place },
    Rule { name: "special-case", faults: special_case },
];

/// Checks every file under version control and gives the number of files.
///
/// # Errors
/// Names each fault that the ratchet does not cover, and each ratchet entry that could be lower.
pub(crate) fn check() -> Result<usize> {
    let mut known = parse_ratchet(&fs::read_to_string(ratchet_path()).unwrap_or_default())?;
    let mut complaints = Vec::new();
    let files = workspace::tracked_files()?;
    let mut checked = 0;
    for path in &files {
        let Ok(text) = fs::read_to_string(workspace::root().join(path)) else { continue };
        checked += 1;
        for rule in &RULES {
            let faults = (rule.faults)(&Source { path, text: &text });
            let allowed = known.remove(&(rule.name.to_owned(), path.clone())).unwrap_or(0);
            if faults.len() > allowed {
                complaints.extend(faults.iter().map(|fault| format!("{path}: {}: {fault}", rule.name)));
            } else if faults.len() < allowed {
                complaints.push(format!(
                    "{path}: {}: the ratchet says {allowed}, lower it to {}",
                    rule.name,
                    faults.len()
                ));
            }
        }
    }
    complaints.extend(floors::survey()?.faults.into_iter().map(|fault| format!("floors: {fault}")));
    complaints.extend(
        known.keys().map(|(rule, path)| format!("{path}: {rule}: the ratchet names a file that is gone")),
    );
    if !complaints.is_empty() {
        bail!("see STYLE.md for the rules and their reasons\n  {}", complaints.join("\n  "));
    }
    Ok(checked)
}

/// Every Rust file opens with what it is for.
fn header(source: &Source<'_>) -> Vec<String> {
    if !is_rust(source) || source.text.starts_with("//! ") {
        return Vec::new();
    }
    vec!["the first line is no `//! purpose`".to_owned()]
}

/// A long file is one idea too many, unless it says why not.
fn length(source: &Source<'_>) -> Vec<String> {
    let lines = source.text.lines().count();
    let has_reason = source.text.lines().any(|line| line.starts_with(LENGTH_REASON));
    if !is_rust(source) || lines <= FILE_LINES_MAX || has_reason {
        return Vec::new();
    }
    vec![format!("{lines} lines, and no `{LENGTH_REASON} reason` in the header")]
}

/// What is in the repository works; what does not is not there.
fn unfinished(source: &Source<'_>) -> Vec<String> {
    let marks = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
        concat!("#[ign", "ore"),
    ];
    if !is_rust(source) && !is_script(source) {
        return Vec::new();
    }
    lines_with(source, |line| marks.iter().any(|mark| line.contains(mark)))
}

/// A file that steps outside the checked language says so at its head.
fn unsafe_code(source: &Source<'_>) -> Vec<String> {
    let says_so =
        source.text.lines().take_while(|line| line.starts_with("//!")).any(|line| line.contains("unsafe"));
    if !is_rust(source) || says_so {
        return Vec::new();
    }
    let marks = ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"];
    let lines = lines_with(source, |line| {
        let code = line.split("//").next().unwrap_or_default();
        !code.contains('"') && marks.iter().any(|mark| code.contains(mark))
    });
    lines.into_iter().take(1).map(|first| format!("the header does not say why; {first}")).collect()
}

/// A lint is switched off with a reason.
fn allow(source: &Source<'_>) -> Vec<String> {
    if !is_rust(source) {
        return Vec::new();
    }
    lines_with(source, |line| {
        let line = line.trim_start();
        let switches_off =
            ["#[allow(", "#![allow(", "#[expect(", "#![expect("].iter().any(|mark| line.starts_with(mark));
        switches_off && !line.contains("reason")
    })
}

/// The repository works wherever it is cloned to.
fn place(source: &Source<'_>) -> Vec<String> {
    let marks = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];
    lines_with(source, |line| marks.iter().any(|mark| line.contains(mark)))
}

/// What is special about a command or a data type is said where it is declared.
fn special_case(source: &Source<'_>) -> Vec<String> {
    let server = source.path.strip_prefix("crates/server/src/").filter(|path| !path.starts_with("commands/"));
    let server = server.filter(|path| !path.ends_with("tests.rs"));
    let Some(path) = server.filter(|_| is_rust(source)) else { return Vec::new() };
    let knows_no_type =
        ["dispatch/", "net/", "clients/", "server/"].iter().any(|room| path.starts_with(room));
    let compared = ["spec.name == \"", "spec.name != \"", "full_name == \"", "full_name != \""];
    let types = ["String", "List", "Set", "Hash", "SortedSet", "Stream"];
    lines_with(source, |line| {
        let names = compared.iter().any(|mark| line.contains(mark))
            || (line.contains("matches!(") && line.contains("spec.name"));
        let knows = |of: &str| {
            types.iter().any(|name| {
                line.split(&format!(" {of}::{name}"))
                    .nth(1)
                    .is_some_and(|rest| !rest.starts_with(char::is_alphabetic))
            })
        };
        names || (knows_no_type && (knows("Type") || knows("Value")))
    })
}

fn is_rust(source: &Source<'_>) -> bool {
    source.path.ends_with(".rs")
}

fn is_script(source: &Source<'_>) -> bool {
    [".py", ".js", ".sh", ".toml", ".yml", ".yaml"].iter().any(|end| source.path.ends_with(end))
}

fn lines_with(source: &Source<'_>, is_fault: impl Fn(&str) -> bool) -> Vec<String> {
    let numbered = source.text.lines().enumerate().filter(|(_, line)| is_fault(line));
    numbered.map(|(index, line)| format!("line {}: {}", index + 1, line.trim())).collect()
}

/// Lines of `rule | file | count`.
fn parse_ratchet(text: &str) -> Result<BTreeMap<(String, String), usize>> {
    let mut known = BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let fields: Vec<&str> = line.split(" | ").collect();
        let [rule, path, count] = fields[..] else { bail!("malformed line in the ratchet: {line}") };
        if !RULES.iter().any(|known| known.name == rule) {
            bail!("the ratchet names a rule {rule:?} that does not exist");
        }
        let count = count.parse().with_context(|| format!("malformed line in the ratchet: {line}"))?;
        known.insert((rule.to_owned(), path.to_owned()), count);
    }
    Ok(known)
}

fn ratchet_path() -> PathBuf {
    workspace::root().join("xtask/data/style-ratchet.txt")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(rule: fn(&Source<'_>) -> Vec<String>, path: &str, text: &str) -> usize {
        rule(&Source { path, text }).len()
    }

    #[test]
    fn each_rule_finds_its_fault_and_lets_the_rest_pass() {
        assert_eq!(faults(header, "a.rs", "use x;\n"), 1);
        assert_eq!(faults(header, "a.rs", "//! Purpose.\n"), 0);
        assert_eq!(faults(header, "a.py", "import x\n"), 0);

        let long = "x\n".repeat(FILE_LINES_MAX + 1);
        assert_eq!(faults(length, "a.rs", &long), 1);
        assert_eq!(
            faults(length, "a.rs", &format!("//! A table.\n//! Length: one row per command.\n{long}")),
            0
        );

        assert_eq!(faults(unfinished, "a.rs", concat!("// TO", "DO: later\nfn f() { todo", "!() }\n")), 2);
        assert_eq!(faults(unfinished, "a.rs", "// done\n"), 0);

        assert_eq!(faults(unsafe_code, "a.rs", "//! Purpose.\nfn f() { unsafe { g() } }\n"), 1);
        assert_eq!(
            faults(unsafe_code, "a.rs", "//! One unsafe call, for speed.\nfn f() { unsafe { g() } }\n"),
            0
        );
        assert_eq!(faults(unsafe_code, "a.rs", "//! Purpose.\n// unsafe { is only named here\n"), 0);

        assert_eq!(faults(allow, "a.rs", "#[allow(dead_code)]\n"), 1);
        assert_eq!(faults(allow, "a.rs", "#[allow(dead_code, reason = \"for the model\")]\n"), 0);

        let dispatcher = "crates/server/src/dispatch/run.rs";
        assert_eq!(faults(special_case, dispatcher, concat!("if spec.na", "me == \"exec\" {\n")), 1);
        assert_eq!(faults(special_case, dispatcher, "entry.data_type() == Type::List\n"), 1);
        assert_eq!(faults(special_case, dispatcher, "entry.data_type() == waiter.kind\n"), 0);
        assert_eq!(faults(special_case, "crates/server/src/commands/list/pop.rs", "kind: Type::List\n"), 0);

        assert_eq!(faults(place, "a.md", concat!("see /ho", "me/me/file\n")), 1);
        assert_eq!(faults(place, "a.md", "see src/file\n"), 0);
    }

    #[test]
    fn style_md_explains_every_rule() {
        let text = fs::read_to_string(workspace::root().join("STYLE.md")).expect("STYLE.md exists");
        for rule in &RULES {
            assert!(text.contains(&format!("`{}`", rule.name)), "STYLE.md does not explain `{}`", rule.name);
        }
    }

    #[test]
    fn the_ratchet_knows_only_rules_that_exist() {
        assert!(parse_ratchet("# comment\nlength | a.rs | 1\n").is_ok());
        assert!(parse_ratchet("bogus | a.rs | 1\n").is_err());
        assert!(parse_ratchet("length | a.rs\n").is_err());
    }
}
