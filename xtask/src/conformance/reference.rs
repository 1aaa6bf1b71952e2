//! What a real server passes of its own suite, measured once by the same runner and kept in a data file for each release.
//!
//! One line per test: `MODES <tab> FILE <tab> STATE <tab> NAME`, a test that ran twice under one name stands
//! twice. `STATE` is `ok` or `err`; a line with the state `ignored` has a count for a name. What is not measured over
//! TLS is what it is without.
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::output::Outcome;
use super::release::Release;
use super::suite::Mode;
use crate::workspace::root;

/// Figures of a real Redis by file and mode.
#[derive(Debug, Default)]
pub(crate) struct Reference {
    runs: BTreeMap<(String, Mode), ReferenceRun>,
}

/// One file in one mode.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ReferenceRun {
    /// Passed tests, sorted.
    pub(crate) ok: Vec<String>,
    /// Failed tests, sorted.
    pub(crate) err: Vec<String>,
    /// Left out by tags.
    pub(crate) ignored: usize,
}

impl Reference {
    /// Reads the committed data file.
    pub(crate) fn load(release: &Release) -> Result<Reference> {
        let path = path(release);
        let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        Reference::parse(&text)
    }

    /// The figures of one file, none where it was never measured.
    pub(crate) fn get(&self, file: &str, mode: Mode) -> Option<&ReferenceRun> {
        let measured = |mode| self.runs.get(&(file.to_owned(), mode));
        measured(mode).or_else(|| if mode == Mode::Tls { measured(Mode::Own) } else { None })
    }

    /// Takes up a measured run in place of an older one.
    pub(crate) fn set(&mut self, file: &str, mode: Mode, outcome: &Outcome) {
        let mut run = ReferenceRun { ok: outcome.ok.clone(), err: Vec::new(), ignored: outcome.ignored };
        run.err.extend(outcome.failed.iter().map(|failed| failed.name.clone()));
        run.ok.sort();
        run.err.sort();
        self.runs.insert((file.to_owned(), mode), run);
    }

    /// Writes the data file.
    pub(crate) fn save(&self, release: &Release) -> Result<()> {
        let head =
            format!("# What {} gives over its own test suite; see xtask/src/conformance.\n", release.title());
        let path = path(release);
        fs::write(&path, head + &self.to_text()).with_context(|| format!("writing {}", path.display()))
    }

    fn parse(text: &str) -> Result<Reference> {
        let mut reference = Reference::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let fields: Vec<&str> = line.splitn(4, '\t').collect();
            let [modes, file, state, name] = fields[..] else { anyhow::bail!("malformed line: {line}") };
            let both = modes == "both";
            for mode in
                Mode::ALL.into_iter().filter(|&mode| modes == mode.name() || both && mode != Mode::Tls)
            {
                let run = reference.runs.entry((file.to_owned(), mode)).or_default();
                match state {
                    "ok" => run.ok.push(name.to_owned()),
                    "err" => run.err.push(name.to_owned()),
                    _ => run.ignored = name.parse().with_context(|| format!("malformed line: {line}"))?,
                }
            }
        }
        Ok(reference)
    }

    fn to_text(&self) -> String {
        let mut text = String::new();
        let mut files: Vec<&String> = self.runs.keys().map(|(file, _)| file).collect();
        files.dedup();
        for file in files {
            let lines =
                Mode::ALL.map(|mode| self.runs.get(&(file.clone(), mode)).map(lines_of).unwrap_or_default());
            let [external, own, tls] = &lines;
            let names: BTreeMap<&String, ()> =
                external.keys().chain(own.keys()).chain(tls.keys()).map(|line| (line, ())).collect();
            for line in names.into_keys() {
                let count = |of: &BTreeMap<String, usize>| of.get(line).copied().unwrap_or_default();
                let both = count(external).min(count(own));
                let parts = [
                    ("both", both),
                    ("external", count(external) - both),
                    ("own", count(own) - both),
                    ("tls", count(tls)),
                ];
                for (modes, count) in parts {
                    for _ in 0..count {
                        text.push_str(&format!("{modes}\t{file}\t{line}\n"));
                    }
                }
            }
        }
        text
    }
}

/// `STATE <tab> NAME` with how often it stands.
fn lines_of(run: &ReferenceRun) -> BTreeMap<String, usize> {
    let mut lines = BTreeMap::new();
    for (state, names) in [("ok", &run.ok), ("err", &run.err)] {
        for name in names {
            *lines.entry(format!("{state}\t{name}")).or_default() += 1;
        }
    }
    lines.insert(format!("ignored\t{}", run.ignored), 1);
    lines
}

fn path(release: &Release) -> PathBuf {
    root().join(format!("xtask/data/{}-{}-suite.tsv", release.product.package(), release.version))
}

#[cfg(test)]
mod tests {
    use super::super::output::Failed;
    use super::*;

    #[test]
    fn figures_survive_the_file() {
        let failed = |name: &str| Failed { name: name.to_owned(), detail: String::new() };
        let outcome = |ok: &[&str], ignored| Outcome {
            ok: ok.iter().map(|&name| name.to_owned()).collect(),
            failed: vec![failed("bad")],
            ignored,
            ..Outcome::default()
        };
        let mut reference = Reference::default();
        reference.set("unit/scan", Mode::External, &outcome(&["a", "a"], 3));
        reference.set("unit/scan", Mode::Own, &outcome(&["a", "b"], 0));
        reference.set("unit/tls", Mode::Tls, &outcome(&["c"], 0));
        let text = reference.to_text();
        let read = Reference::parse(&text).expect("what was written can be read");
        assert_eq!(read.runs, reference.runs);
        assert_eq!(text.matches("both\tunit/scan\tok\ta\n").count(), 1);
        assert_eq!(text.matches("external\tunit/scan\tok\ta\n").count(), 1);
        assert_eq!(read.get("unit/scan", Mode::Tls), read.get("unit/scan", Mode::Own));
    }
}
