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

/// Reads the command line, measures, prints, and with `--update` writes the document and the plot.
pub(crate) fn run(mut arguments: Arguments) -> Result<()> {
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
    let mut programs = vec![Program::at("swytch", &server)];
    programs.extend(peers);
    let comparison = compare(&Options { programs, floor: floor()?, generator, parts, commands, scale })?;
    println!("{}", comparison.to_markdown());
    if update {
        let tables = format!("![speed and memory](performance.svg)\n\n{}", comparison.to_markdown());
        rewrite("docs/performance.md", &tables)?;
        fs::write(workspace::root().join("docs/performance.svg"), comparison.to_svg())?;
    }
    Ok(())
}

/// Plays traces through the keyspace of the server and through other caches, optimised, and prints the miss ratios.
pub(crate) fn eviction(mut arguments: Arguments) -> Result<()> {
    let update = arguments.flag("--update");
    let mut command = workspace::cargo();
    command.args(["run", "--quiet", "--release", "--package", "swytch-bench", "--bin", "eviction", "--"]);
    if let Some(requests) = arguments.number("--requests")? {
        command.arg("--requests").arg(requests.to_string());
    }
    command.args(arguments.words()?);
    match update {
        true => rewrite("docs/eviction.md", &workspace::output_of(&mut command)?),
        false => workspace::run(&mut command),
    }
}

/// Puts something between the markers of a document.
fn rewrite(document: &str, content: &str) -> Result<()> {
    let path = workspace::root().join(document);
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    Ok(fs::write(&path, between_markers(&text, content)?)?)
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
        "### Two threads",
        "with TTL",
        "growing",
        "without end",
        "2,000 clients",
        "### Messages",
        "Large replies",
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
fn between_markers(document: &str, tables: &str) -> Result<String> {
    let (before, rest) = document.split_once(BEGIN).context("the document has no begin marker")?;
    let (_, after) = rest.split_once(END).context("the document has no end marker")?;
    Ok(format!("{before}{BEGIN}\n{tables}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_middle_of_the_document_changes() {
        let document = format!("head\n{BEGIN}old\n{END}\ntail\n");
        let changed = between_markers(&document, "new").expect("it has markers");
        assert_eq!(changed, format!("head\n{BEGIN}\nnew\n{END}\ntail\n"));
        assert!(between_markers("no markers", "new").is_err());
    }

    #[test]
    fn the_committed_document_has_its_markers() {
        let document =
            fs::read_to_string(workspace::root().join("docs/performance.md")).expect("it is committed");
        assert!(between_markers(&document, "new").is_ok());
    }
}
