//! The committed results of each suite: its table in docs/conformance.md and the list of tests that do not pass yet.
//!
//! Both only grow in our favour: a check compares a run with them and fails on any loss, an update rewrites
//! them. The list gives each test a reason; a reason nobody wrote reads `unexplained` and fails the check.
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use super::reference::Reference;
use super::release::{RELEASES, Release};
use super::suite::Mode;
use crate::workspace::root;

/// The reason of an entry that an update added.
pub(crate) const UNEXPLAINED: &str = "unexplained";

/// Our figures of one file in one mode.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Figures {
    pub(crate) ok: usize,
    pub(crate) err: usize,
    pub(crate) ignored: usize,
}

/// A release's table in docs/conformance.md.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Table {
    rows: BTreeMap<(String, Mode), Figures>,
}

impl Table {
    /// Reads the committed table; an absent document is an empty table.
    pub(crate) fn load(release: &Release) -> Table {
        let document = fs::read_to_string(document_path()).unwrap_or_default();
        let section = document.split("\n## ").find(|section| section.starts_with(&release.title()));
        Table::parse(section.unwrap_or_default())
    }

    /// The figures of one file.
    pub(crate) fn get(&self, file: &str, mode: Mode) -> Option<Figures> {
        self.rows.get(&(file.to_owned(), mode)).copied()
    }

    /// Replaces the figures of one file.
    pub(crate) fn set(&mut self, file: &str, mode: Mode, figures: Figures) {
        self.rows.insert((file.to_owned(), mode), figures);
    }

    /// The table alone, ours / Redis in each cell, with a line of sums.
    pub(crate) fn to_markdown(&self, reference: &Reference) -> String {
        let mut text = String::from(
            "| file | external: ok | err | ignored | own: ok | err | ignored | tls: ok | err | ignored |\n\
             |---|---|---|---|---|---|---|---|---|---|\n",
        );
        let files: BTreeSet<&String> = self.rows.keys().map(|(file, _)| file).collect();
        let mut sums = [(Figures::default(), Figures::default()); Mode::ALL.len()];
        for file in files {
            let mut row = format!("| {file} |");
            for (sum, mode) in sums.iter_mut().zip(Mode::ALL) {
                let Some(ours) = self.get(file, mode) else {
                    row.push_str(" | | |");
                    continue;
                };
                let theirs = reference.get(file, mode).map_or(Figures::default(), |run| Figures {
                    ok: run.ok.len(),
                    err: run.err.len(),
                    ignored: run.ignored,
                });
                row.push_str(&cells(ours, theirs));
                sum.0.add(ours);
                sum.1.add(theirs);
            }
            text.push_str(&row);
            text.push('\n');
        }
        text.push_str("| **all** |");
        for (ours, theirs) in sums {
            text.push_str(&cells(ours, theirs));
        }
        text.push('\n');
        text
    }

    /// Reads the rows back. Only our side of a cell counts, Redis's comes from the reference.
    fn parse(text: &str) -> Table {
        let mut table = Table::default();
        for line in
            text.lines().filter(|line| line.starts_with("| unit/") || line.starts_with("| integration/"))
        {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let ours = |index: usize| {
                cells.get(index).and_then(|cell| cell.split(" / ").next()?.parse::<usize>().ok())
            };
            for (mode, first) in Mode::ALL.into_iter().zip([1, 4, 7]) {
                if let (Some(ok), Some(err), Some(ignored)) = (ours(first), ours(first + 1), ours(first + 2))
                {
                    table.set(cells[0], mode, Figures { ok, err, ignored });
                }
            }
        }
        table
    }
}

impl Figures {
    fn add(&mut self, other: Figures) {
        self.ok += other.ok;
        self.err += other.err;
        self.ignored += other.ignored;
    }
}

fn cells(ours: Figures, theirs: Figures) -> String {
    format!(
        " {} / {} | {} / {} | {} / {} |",
        ours.ok, theirs.ok, ours.err, theirs.err, ours.ignored, theirs.ignored
    )
}

/// The list of tests that do not pass, each with its reason.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct NotPassed {
    /// `(file, test name)` to reason.
    entries: BTreeMap<(String, String), String>,
}

impl NotPassed {
    /// Reads the committed list; an absent one is empty.
    pub(crate) fn load(release: &Release) -> Result<NotPassed> {
        NotPassed::parse(&fs::read_to_string(list_path(release)).unwrap_or_default())
    }

    /// The reason given for a test, none where the list does not know it.
    pub(crate) fn reason(&self, file: &str, name: &str) -> Option<&str> {
        self.entries.get(&(file.to_owned(), name.to_owned())).map(String::as_str)
    }

    /// The file that a test of `file` in `mode` is listed under: what fails over TLS alone stands by itself.
    pub(crate) fn listed_as(file: &str, mode: Mode) -> String {
        if mode == Mode::Tls { format!("{file} over TLS") } else { file.to_owned() }
    }

    /// The reason given for a test in one mode.
    pub(crate) fn reason_in(&self, file: &str, mode: Mode, name: &str) -> Option<&str> {
        self.reason(file, name).or_else(|| self.reason(&NotPassed::listed_as(file, mode), name))
    }

    /// The tests listed for a file.
    pub(crate) fn of_file(&self, file: &str) -> impl Iterator<Item = &str> {
        self.entries.keys().filter(move |(entry_file, _)| entry_file == file).map(|(_, name)| name.as_str())
    }

    /// Makes the entries of `file` exactly `names`, keeping known reasons.
    pub(crate) fn replace(&mut self, file: &str, names: &BTreeSet<String>) {
        let known: BTreeMap<String, String> = self
            .of_file(file)
            .map(|name| (name.to_owned(), self.reason(file, name).unwrap_or_default().to_owned()))
            .collect();
        self.entries.retain(|(entry_file, _), _| entry_file != file);
        for name in names {
            let reason = known.get(name).cloned().unwrap_or_else(|| UNEXPLAINED.to_owned());
            self.entries.insert((file.to_owned(), name.clone()), reason);
        }
    }

    /// Writes the list.
    pub(crate) fn save(&self, release: &Release) -> Result<()> {
        let head = format!(
            "# Tests of the {} suite that pass there and not here: test name | file | reason.\n\
             # `cargo xtask conformance --update` adds and removes entries; the reasons are written by hand.\n",
            release.title()
        );
        let path = list_path(release);
        fs::write(&path, head + &self.to_text()).with_context(|| format!("writing {}", path.display()))
    }

    #[cfg(test)]
    pub(crate) fn from_entry(file: &str, name: &str, reason: &str) -> NotPassed {
        NotPassed { entries: [((file.to_owned(), name.to_owned()), reason.to_owned())].into() }
    }

    fn parse(text: &str) -> Result<NotPassed> {
        let mut list = NotPassed::default();
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            // A test's name may hold the separator, a file and a reason may not.
            let fields: Vec<&str> = line.rsplitn(3, " | ").collect();
            let [reason, file, name] = fields[..] else { bail!("malformed line: {line}") };
            list.entries.insert((file.to_owned(), name.to_owned()), reason.to_owned());
        }
        Ok(list)
    }

    fn to_text(&self) -> String {
        let lines = self.entries.iter().map(|((file, name), reason)| format!("{name} | {file} | {reason}\n"));
        lines.collect()
    }

    fn to_markdown(&self) -> String {
        let mut text = String::new();
        let mut current = "";
        for ((file, name), reason) in &self.entries {
            if file != current {
                text.push_str(&format!("\n#### {file}\n\n"));
                current = file;
            }
            text.push_str(&format!("- `{}`: {reason}\n", name.replace('`', "'")));
        }
        if text.is_empty() {
            text.push_str("\nNone.\n");
        }
        text
    }
}

/// Writes docs/conformance.md with a new table of one release; the lists are those that are committed.
pub(crate) fn write_document(measured: &Release, table: &Table) -> Result<()> {
    let mut text = String::from(
        "# Conformance\n\n\
         The judges are the own test suites of two releases of Redis, and of one of Valkey, taken from Debian's source\n\
         packages. Each cell is ours / that release, both measured by `cargo xtask conformance`, file by file, with the tag\n\
         `-slow`, in three ways:\n\n\
         - *external*: the server runs already and the suite connects to it;\n\
         - *own*: the suite starts the server itself, with its own configuration files, so that the tests which\n  \
           need a server of their own run as well; where servers follow one another those that follow are real ones;\n\
         - *tls*: the same with all clients over TLS, held against what Redis passes without (`--mode tls`).\n\n\
         *ignored* counts tests and blocks that tags leave out. Where a script gives up early, the tests it never\n\
         came to are missing from *ok* and stand in the list below the table. What has no row is run and is held to no figure yet.\n",
    );
    for release in RELEASES {
        let (title, committed) = (release.title(), Table::load(release));
        text.push_str(&format!(
            "\n## {title}\n\n{}\n### Not passed here, passed by {title}\n{}",
            if release.version == measured.version { table } else { &committed }
                .to_markdown(&Reference::load(release)?),
            NotPassed::load(release)?.to_markdown(),
        ));
        text.push_str(&format!("\n### Files of the suite of {title} that are not run\n\n"));
        for (files, reason) in release.not_run {
            text.push_str(&format!("- {}: {reason}\n", files.join(", ")));
        }
    }
    fs::write(document_path(), text).with_context(|| format!("writing {}", document_path().display()))
}

fn document_path() -> PathBuf {
    root().join("docs/conformance.md")
}

fn list_path(release: &Release) -> PathBuf {
    root().join(format!("xtask/data/expected-failures-{}.txt", release.version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_can_be_read_back() {
        let mut table = Table::default();
        table.set("unit/scan", Mode::External, Figures { ok: 20, err: 1, ignored: 2 });
        table.set("unit/quit", Mode::Own, Figures { ok: 3, err: 0, ignored: 0 });
        table.set("unit/quit", Mode::Tls, Figures { ok: 2, err: 1, ignored: 0 });
        assert_eq!(Table::parse(&table.to_markdown(&Reference::default())), table);
    }

    #[test]
    fn reasons_survive_an_update() {
        let mut list =
            NotPassed::parse("a | b | unit/scan | needs sets\nold | unit/scan | x\nc | unit/quit | y\n")
                .expect("well-formed");
        assert_eq!(list.reason("unit/scan", "a | b"), Some("needs sets"));
        list.replace("unit/scan", &["a | b", "new"].map(str::to_owned).into());
        assert_eq!(list.reason("unit/scan", "a | b"), Some("needs sets"));
        assert_eq!(list.reason("unit/scan", "new"), Some(UNEXPLAINED));
        assert_eq!(list.reason("unit/scan", "old"), None);
        assert_eq!(list.reason("unit/quit", "c"), Some("y"));
        assert_eq!(NotPassed::parse(&list.to_text()).expect("well-formed"), list);
    }

    #[test]
    fn a_line_without_a_reason_is_refused() {
        assert!(NotPassed::parse("name | unit/scan").is_err());
    }
}
