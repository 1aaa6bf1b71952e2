//! `cargo xtask mutants`: bugs made on purpose, each a patch, and the tests that must notice them.
//!
//! A checker that was never seen to find anything proves nothing. `tests/mutants/NAME.patch` puts one bug into a copy of
//! the tree below the build folder; the tests that its first lines name must then fail. The server itself knows nothing
//! of this. That every patch still applies is a test, which `cargo test` runs.
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use crate::arguments::Arguments;
use crate::workspace;

/// How often the tests of a mutant are run before it counts as unnoticed: what shows itself by chance may take its time.
const ATTEMPTS: u32 = 5;

/// A patch and what its first lines say.
struct Mutant {
    name: String,
    path: PathBuf,
    /// `Bug:`, one sentence.
    bug: String,
    /// `Noticed by:`, a test file of the server and words of its tests' names; `store:lib` is the unit tests of `crates/store`.
    noticed_by: Vec<String>,
}

/// Where the tests are that notice a mutant.
struct Tests<'m> {
    /// The folder of their crate.
    folder: &'m str,
    /// Their file, if they are no unit tests.
    file: Option<&'m str>,
}

impl Mutant {
    fn tests(&self) -> Tests<'_> {
        let (folder, file) = self.noticed_by[0].split_once(':').unwrap_or(("server", &self.noticed_by[0]));
        Tests { folder, file: (file != "lib").then_some(file) }
    }
}

/// Runs all mutants or those named, and prints, or with `--update` writes, a table; the rows of others stay as they are.
///
/// # Errors
/// When a mutant does not build or nobody notices it.
pub(crate) fn run(mut arguments: Arguments) -> Result<()> {
    let update = arguments.flag("--update");
    let names = arguments.words()?;
    let copy = copy_of_tree()?;
    let page = workspace::root().join("docs/mutants.md");
    let before = fs::read_to_string(&page).context("reading docs/mutants.md")?;
    let mut table = String::from("| mutant | the bug | noticed by | attempt |\n|---|---|---|---|\n");
    let mut unnoticed = Vec::new();
    for mutant in mutants()? {
        if !names.is_empty() && !names.contains(&mutant.name) {
            let start = format!("| {} |", mutant.name);
            table.extend(before.lines().filter(|row| row.starts_with(&start)).flat_map(|row| [row, "\n"]));
            continue;
        }
        let started = Instant::now();
        apply(&copy, &mutant, &[])?;
        let attempt = noticed(&copy, &mutant);
        apply(&copy, &mutant, &["--reverse"])?;
        let attempt = attempt?;
        let shown = attempt.map_or_else(|| "never".to_owned(), |attempt| attempt.to_string());
        println!("{}: {shown}, {} s", mutant.name, started.elapsed().as_secs());
        table +=
            &format!("| {} | {} | `{}` | {shown} |\n", mutant.name, mutant.bug, mutant.noticed_by.join(" "));
        unnoticed.extend(attempt.is_none().then_some(mutant.name));
    }
    println!("\n{table}");
    if update {
        fs::write(page, format!("{HEAD}{table}"))?;
    }
    ensure!(unnoticed.is_empty(), "nobody notices {}", unnoticed.join(", "));
    Ok(())
}

const HEAD: &str = "# Bugs made on purpose, and the tests that notice them\n\nWritten by `cargo xtask mutants --update`. \
Each is a patch in `tests/mutants`, applied to a copy of the tree; the tests named are\nrun until they fail. The number is \
the run in which they did.\n\n";

/// The attempt in which the tests fail.
fn noticed(copy: &Path, mutant: &Mutant) -> Result<Option<u32>> {
    let Tests { folder, file } = mutant.tests();
    let package = if folder == "server" { "swytch".to_owned() } else { format!("swytch-{folder}") };
    let tests = |more: &[&str]| -> Result<bool> {
        let mut command = workspace::cargo();
        command
            .current_dir(copy)
            .env("CARGO_TARGET_DIR", copy.with_file_name("build"))
            .args(["test", "--quiet", "--package", &package])
            .args(file.map_or(vec!["--lib"], |file| vec!["--test", file]))
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Ok(command.status().context("running cargo test")?.success())
    };
    ensure!(tests(&["--no-run"])?, "{} does not build", mutant.name);
    let words: Vec<&str> = mutant.noticed_by[1..].iter().map(String::as_str).collect();
    for attempt in 1..=ATTEMPTS {
        if !tests(&[&["--"], &words[..]].concat())? {
            return Ok(Some(attempt));
        }
    }
    Ok(None)
}

/// Brings the copy to the state of the checkout; what has not changed keeps its time, so that it is not built again.
fn copy_of_tree() -> Result<PathBuf> {
    let copy = workspace::target_directory().join("mutants/tree");
    for file in workspace::tracked_files()? {
        let (from, to) = (workspace::root().join(&file), copy.join(&file));
        let content = fs::read(&from).with_context(|| format!("reading {file}"))?;
        if fs::read(&to).is_ok_and(|present| present == content) {
            continue;
        }
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&to, content)?;
    }
    Ok(copy)
}

fn apply(tree: &Path, mutant: &Mutant, options: &[&str]) -> Result<()> {
    let mut command = Command::new("git");
    // The copy lies inside the checkout, but is no part of it.
    command.env("GIT_CEILING_DIRECTORIES", tree.parent().unwrap_or(tree));
    command.args(["apply"]).args(options).arg(&mutant.path).current_dir(tree);
    workspace::output_of(&mut command).map(drop)
}

fn mutants() -> Result<Vec<Mutant>> {
    let folder = workspace::root().join("tests/mutants");
    let mut paths =
        fs::read_dir(&folder)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<PathBuf>>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "patch"));
    paths.sort();
    paths.into_iter().map(read).collect()
}

fn read(path: PathBuf) -> Result<Mutant> {
    let text = fs::read_to_string(&path)?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let said =
        |what: &str| text.lines().find_map(|line| line.strip_prefix(what)).map(|rest| rest.trim().to_owned());
    let (Some(bug), Some(noticed_by)) = (said("Bug:"), said("Noticed by:")) else {
        bail!("{name} does not say what it is (`Bug:`) and who notices it (`Noticed by:`)");
    };
    let noticed_by: Vec<String> = noticed_by.split_whitespace().map(str::to_owned).collect();
    ensure!(!noticed_by.is_empty(), "{name} is noticed by nobody");
    Ok(Mutant { name, path, bug, noticed_by })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_patch_applies_and_names_a_test() {
        let mutants = mutants().expect("the patches are readable");
        assert!(!mutants.is_empty());
        for mutant in mutants {
            let Tests { folder, file } = mutant.tests();
            let file = file.map_or("src/lib.rs".to_owned(), |file| format!("tests/{file}.rs"));
            let test = format!("crates/{folder}/{file}");
            assert!(workspace::root().join(&test).is_file(), "{}: there is no {test}", mutant.name);
            apply(workspace::root(), &mutant, &["--check"])
                .unwrap_or_else(|error| panic!("{}: {error:#}", mutant.name));
        }
    }
}
