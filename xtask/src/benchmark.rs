//! `cargo xtask bench`: the comparison with Redis and Valkey, and its place in docs/performance.md.
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use swytch_bench::{Options, Part, Scale, compare};
use swytch_testkit::Program;

use crate::arguments::Arguments;
use crate::{server_option, setup, workspace};

const BEGIN: &str = "<!-- bench:begin -->\n";
const END: &str = "<!-- bench:end -->";
const PLOT: &str = "![speed and memory](performance.svg)\n\n";

/// Reads the command line, measures, prints, and with `--update` writes the document and the plot. What measures must not be
/// slow itself, so this program runs itself again, optimised.
pub(crate) fn run(mut arguments: Arguments) -> Result<()> {
    if cfg!(debug_assertions) {
        let mut command = workspace::cargo();
        command.current_dir(std::env::current_dir()?);
        command.args(["run", "--quiet", "--release", "--package", "xtask", "--"]);
        return workspace::run(command.args(std::env::args_os().skip(1)));
    }
    let update = arguments.flag("--update");
    let mut scale = if arguments.flag("--smoke") { Scale::SMOKE } else { Scale::FULL };
    if let Some(rounds) = arguments.number("--rounds")? {
        scale.rounds = u32::try_from(rounds)?.max(1);
    }
    if let Some(keys) = arguments.number("--snapshot-keys")? {
        scale.snapshot_keys = keys.max(1);
    }
    let server = server_option(&mut arguments)?.map_or_else(workspace::build_server, Ok)?;
    let peers = peers(&mut arguments)?;
    let generator = match arguments.value("--generator")? {
        Some(path) => std::path::absolute(path)?,
        None => benchmark_program()?,
    };
    let mut commands = Vec::new();
    while let Some(command) = arguments.value("--command")? {
        commands.push(command);
    }
    let parts = parts(&arguments.words()?)?;
    if update && !commands.is_empty() {
        bail!("--update needs all commands of its parts, so it does not go with --command");
    }
    let are_all = parts.len() == Part::ALL.len();
    let mut programs = vec![Program::at("swytch", &server)];
    programs.extend(peers);
    let comparison = compare(&Options { programs, floor: floor()?, generator, parts, commands, scale })?;
    let tables = comparison.to_markdown();
    println!("{tables}");
    if update {
        if are_all {
            fs::write(workspace::root().join("docs/performance.svg"), comparison.to_svg())?;
        }
        rewrite("docs/performance.md", |old| match are_all {
            true => Ok(format!("{PLOT}{tables}")),
            false => Ok(with_sections(old, &tables)),
        })?;
    }
    Ok(())
}

/// Plays traces through the keyspace of the server, through other caches, and through servers that run, optimised, and prints the
/// miss ratios.
pub(crate) fn eviction(mut arguments: Arguments) -> Result<()> {
    let update = arguments.flag("--update");
    let simulated_only = arguments.flag("--simulated");
    let mut command = workspace::cargo();
    command.args(["run", "--quiet", "--release", "--package", "swytch-bench", "--bin", "eviction", "--"]);
    if let Some(requests) = arguments.number("--requests")? {
        command.arg("--requests").arg(requests.to_string());
    }
    command.arg("--recorded").arg(setup::recorded_trace()?);
    if !simulated_only {
        let server = server_option(&mut arguments)?.map_or_else(workspace::build_server, Ok)?;
        command.arg("--ours").arg(server).arg("--redis").arg(setup::peer_build("redis")?);
        command.arg("--clock").arg(setup::hurried_clock()?);
    }
    command.args(arguments.words()?);
    match update {
        true => {
            command.arg("--plot").arg(workspace::root().join("docs/eviction.svg"));
            let tables = workspace::output_of(&mut command)?;
            rewrite("docs/eviction.md", |_| Ok(tables))
        }
        false => workspace::run(&mut command),
    }
}

/// Puts something else in the place of what stands between the markers of a document.
fn rewrite(document: &str, renew: impl FnOnce(&str) -> Result<String>) -> Result<()> {
    let path = workspace::root().join(document);
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    Ok(fs::write(&path, between_markers(&text, renew)?)?)
}

/// Runs every part once, small, against the Redis of the machine; the figures mean nothing and are not shown.
pub(crate) fn smoke() -> Result<()> {
    let ours = Program::at("swytch", &workspace::build_server()?);
    let redis = Program::at("redis", &setup::redis_server()?);
    let options = Options {
        programs: vec![ours, redis],
        floor: floor()?,
        generator: benchmark_program()?,
        parts: Part::ALL.to_vec(),
        commands: Vec::new(),
        scale: Scale::SMOKE,
    };
    let comparison = compare(&options)?;
    let (markdown, svg) = (comparison.to_markdown(), comparison.to_svg());
    for part in [
        "SET | 100",
        "LRANGE 100 | 1 ",
        "The floor",
        "speak TLS",
        "### Two threads",
        "with TTL",
        "growing",
        "without end",
        "2,000 clients",
        "### Messages",
        "Large replies",
        "DUMP, us",
        "full synchronisation",
    ] {
        if !markdown.contains(part) {
            bail!("{part:?} is missing:\n{markdown}");
        }
    }
    if !svg.ends_with("</svg>\n") {
        bail!("the plot is cut off");
    }
    Ok(())
}

/// The command of this program that runs the floor's loop; not for people.
pub(crate) const FLOOR: &str = "bench-floor";

fn floor() -> Result<Program> {
    let floor = Program::at("floor", std::env::current_exe()?);
    Ok(Program { leading_arguments: vec![FLOOR.to_owned()], ..floor })
}

/// Runs the floor's loop.
pub(crate) fn serve_floor(mut arguments: Arguments) -> Result<()> {
    let port = arguments.number("--port")?.context("--port is missing")?;
    swytch_bench::floor::serve(u16::try_from(port)?)
}

/// The peers named with `--peer NAME=PATH`, those built with `--build-peers`, else the machine's Redis.
fn peers(arguments: &mut Arguments) -> Result<Vec<Program>> {
    let mut peers = Vec::new();
    while let Some(peer) = arguments.value("--peer")? {
        let (name, path) = peer.split_once('=').context("--peer needs NAME=PATH")?;
        peers.push(Program::at(name, &std::path::absolute(path)?));
    }
    if arguments.flag("--build-peers") {
        for package in ["redis", "valkey"] {
            peers.push(Program::at(package, &setup::peer_build(package)?));
        }
    }
    if peers.is_empty() {
        peers.push(Program::at("redis", &setup::redis_server()?));
    }
    if let Some(absent) = peers.iter().find(|peer| !Path::new(&peer.path).is_file()) {
        bail!("no server at {}", absent.path.display());
    }
    Ok(peers)
}

fn benchmark_program() -> Result<PathBuf> {
    setup::redis_server()?;
    workspace::find_program("redis-benchmark").context("redis-tools holds no redis-benchmark")
}

fn parts(words: &[String]) -> Result<Vec<Part>> {
    if words.is_empty() {
        return Ok(Part::ALL.to_vec());
    }
    let names = Part::ALL.map(Part::name);
    let find = |word: &String| {
        Part::ALL
            .into_iter()
            .find(|part| part.name() == word)
            .with_context(|| format!("no part {word:?}; there are: {}", names.join(", ")))
    };
    words.iter().map(find).collect()
}

/// Replaces what stands between the markers.
fn between_markers(document: &str, renew: impl FnOnce(&str) -> Result<String>) -> Result<String> {
    let (before, rest) = document.split_once(BEGIN).context("the document has no begin marker")?;
    let (old, after) = rest.split_once(END).context("the document has no end marker")?;
    Ok(format!("{before}{BEGIN}\n{}\n{END}{after}", renew(old.trim_matches('\n'))?))
}

/// The old tables with the sections of the new ones in the places of those of the same name, or behind all. A section that was
/// measured on another machine, at another scale or beside other peers than the head of the old ones names says so itself: its
/// ratios are of one run and hold, its absolute figures cannot be set beside those of others.
fn with_sections(old: &str, new: &str) -> String {
    fn sections(tables: &str) -> (&str, Vec<&str>) {
        let mut parts = tables.split("\n### ");
        (parts.next().unwrap_or_default().trim(), parts.map(str::trim).collect())
    }
    fn name(section: &str) -> Option<&str> {
        section.lines().next()
    }
    let ((head, mut kept), (new_head, measured)) = (sections(old), sections(new));
    let measured: Vec<String> = measured
        .into_iter()
        .map(|section| match section.split_once('\n') {
            Some((title, tables)) if !head.ends_with(new_head) => {
                format!("{title}\n\n*{new_head}*\n{tables}")
            }
            _ => section.to_owned(),
        })
        .collect();
    for section in &measured {
        match kept.iter_mut().find(|old| name(old) == name(section)) {
            Some(old) => *old = section,
            None => kept.push(section),
        }
    }
    kept.iter().fold(head.to_owned(), |text, section| format!("{text}\n\n### {section}")) + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_middle_of_the_document_changes() {
        let document = format!("head\n{BEGIN}old\n{END}\ntail\n");
        let changed =
            between_markers(&document, |old| Ok(format!("new, not {old}"))).expect("it has markers");
        assert_eq!(changed, format!("head\n{BEGIN}\nnew, not old\n{END}\ntail\n"));
        assert!(between_markers("no markers", |_| Ok(String::new())).is_err());
    }

    #[test]
    fn the_committed_document_has_its_markers() {
        let document =
            fs::read_to_string(workspace::root().join("docs/performance.md")).expect("it is committed");
        assert!(between_markers(&document, |_| Ok(String::new())).is_ok());
    }

    #[test]
    fn a_part_alone_takes_its_sections_place() {
        let old = format!("{PLOT}A machine.\n\n### Speed\n\n1\n\n### Memory\n\n2\n");
        let changed = with_sections(&old, "A machine.\n\n### Speed\n\n3\n\n### Growth\n\n4\n");
        assert_eq!(
            changed,
            format!("{PLOT}A machine.\n\n### Speed\n\n3\n\n### Memory\n\n2\n\n### Growth\n\n4\n")
        );
        assert_eq!(
            with_sections(&old, "Another machine.\n\n### Speed\n\n3\n"),
            format!("{PLOT}A machine.\n\n### Speed\n\n*Another machine.*\n\n3\n\n### Memory\n\n2\n")
        );
    }
}
