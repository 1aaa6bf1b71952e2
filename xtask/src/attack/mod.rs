//! `cargo xtask attack`: what has once brought a server of this kind down, held against ours and a live Redis.
//!
//! An attack is a function that starts a server, does its worst and answers one figure, small being good: what was
//! lost, how long others waited, how much memory stayed. The figure is judged by itself or beside the peer's. They are
//! grouped by what they attack; `TABLE` holds them all, and docs/attacks.md their outcome.

mod buffers;
mod fairness;
mod introspection;
mod memory;
mod operation;
mod order;
mod protocol;

use std::fs;
use std::io;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use swytch_testkit::{Client, Program, Server};

use crate::arguments::Arguments;
use crate::conformance::Summary;
use crate::{server_option, setup, workspace};

/// One attack.
struct Attack {
    /// The word that runs it alone.
    name: &'static str,
    /// What is done.
    what: &'static str,
    /// What the figure counts.
    unit: &'static str,
    /// What the figure may be.
    limit: Limit,
    /// Whether a real Redis has what is attacked.
    has_peer: bool,
    /// Whether it runs for every change: quick, and its figure is the same however busy the machine is.
    is_for_ci: bool,
    act: fn(&Program) -> io::Result<f64>,
}

/// What a figure may be.
#[derive(Clone, Copy)]
enum Limit {
    /// Nothing may be lost or forgotten.
    None,
    /// At most this much.
    AtMost(f64),
    /// At most this multiple of the peer's, or this much where the peer's is less.
    OfPeer(f64, f64),
}

impl Limit {
    fn allows(self, figure: f64, peer: Option<f64>) -> bool {
        match self {
            Limit::None => figure == 0.0,
            Limit::AtMost(most) => figure <= most,
            Limit::OfPeer(multiple, least) => figure <= least.max(multiple * peer.unwrap_or(f64::MAX)),
        }
    }

    fn shown(self) -> String {
        match self {
            Limit::None => "0".to_owned(),
            Limit::AtMost(most) => most.to_string(),
            Limit::OfPeer(multiple, least) => format!("{multiple} of Redis's, or {least}"),
        }
    }
}

/// All of them, the severe ones first.
fn table() -> impl Iterator<Item = &'static Attack> {
    [
        protocol::ATTACKS,
        fairness::ATTACKS,
        buffers::ATTACKS,
        memory::ATTACKS,
        operation::ATTACKS,
        order::ATTACKS,
        introspection::ATTACKS,
    ]
    .into_iter()
    .flatten()
}

/// Reads the command line and runs the attacks whose names contain one of the words, or all.
pub(crate) fn run(mut arguments: Arguments) -> Result<Summary> {
    let update = arguments.flag("--update");
    let ours = server_option(&mut arguments)?.map_or_else(workspace::build_server, Ok)?;
    let mut peers = Vec::new();
    while let Some(peer) = arguments.value("--peer")? {
        let (name, path) = peer.split_once('=').context("--peer needs NAME=PATH")?;
        peers.push(Program::at(name, std::path::absolute(path)?));
    }
    if peers.is_empty() {
        peers.push(Program::at("redis", setup::redis_server()?));
    }
    let words = arguments.words()?;
    let is_wanted =
        |attack: &&Attack| words.is_empty() || words.iter().any(|word| attack.name.contains(word.as_str()));
    let (lines, summary) = judge(&Program::at("swytch", ours), &peers, table().filter(is_wanted));
    if update {
        let document = workspace::root().join("docs/attacks.md");
        fs::write(&document, format!("{HEAD}{}", lines.join("\n") + "\n"))
            .with_context(|| format!("writing {}", document.display()))?;
    }
    Ok(summary)
}

/// Those that run for every change.
pub(crate) fn run_some() -> Result<Summary> {
    let ours = Program::at("swytch", workspace::build_server()?);
    let peers = [Program::at("redis", setup::redis_server()?)];
    Ok(judge(&ours, &peers, table().filter(|attack| attack.is_for_ci)).1)
}

const HEAD: &str = "\
# Attacks

What has brought servers of this kind down: each line is done to a live Redis and to swytch by `cargo xtask attack`,
which writes this table with `--update`. A figure is what was lost, forgotten or left over, how long others waited, or
how much memory stayed: small is good. *holds* says that ours is within the limit.

";

/// Runs them and gives the lines of the table.
fn judge<'a>(
    ours: &Program,
    peers: &[Program],
    attacks: impl Iterator<Item = &'a Attack>,
) -> (Vec<String>, Summary) {
    let names: Vec<String> = std::iter::once(ours)
        .chain(peers)
        .map(|program| format!("{} {}", program.name, program.version()))
        .collect();
    let mut lines = vec![
        format!("| attack | figure | limit | {} | verdict |", names.join(" | ")),
        format!("|---|---|---|{}---|", "---|".repeat(names.len())),
    ];
    println!("{}", lines.join("\n"));
    let mut summary = Summary::default();
    let mut short = Vec::new();
    for attack in attacks {
        let of_peers: Vec<io::Result<f64>> = match attack.has_peer {
            true => peers.iter().map(attack.act).collect(),
            false => Vec::new(),
        };
        let best = of_peers.iter().filter_map(|figure| figure.as_ref().ok().copied()).reduce(f64::min);
        let figure = (attack.act)(ours);
        let holds = figure.as_ref().is_ok_and(|figure| attack.limit.allows(*figure, best));
        let cells: Vec<String> = std::iter::once(shown(&figure))
            .chain((0..peers.len()).map(|peer| of_peers.get(peer).map_or_else(|| "-".to_owned(), shown)))
            .collect();
        let line = format!(
            "| {} | {} | {} | {} | {} |",
            attack.what,
            attack.unit,
            attack.limit.shown(),
            cells.join(" | "),
            if holds { "holds" } else { "**falls short**" }
        );
        println!("{line}");
        if holds {
            summary.passed += 1;
        } else {
            summary.failed += 1;
            short.push(line.clone());
        }
        lines.push(line);
    }
    // Again at the end, which is what CI shows of a step.
    short.iter().for_each(|line| println!("{line}"));
    (lines, summary)
}

fn shown(figure: &io::Result<f64>) -> String {
    match figure {
        Ok(figure) if figure.fract() == 0.0 => format!("{figure:.0}"),
        Ok(figure) if *figure < 10.0 => format!("{figure:.2}"),
        Ok(figure) => format!("{figure:.0}"),
        Err(error) => {
            const SHOWN_MAX: usize = 60;
            let text = error.to_string();
            let from = text.find(" answered: ").map_or(0, |at| at + 1);
            text[from..].lines().next().unwrap_or_default().chars().take(SHOWN_MAX).collect()
        }
    }
}

/// A server with this many threads (a peer has one for commands) and these directives.
fn serve(program: &Program, threads: u32, directives: &[&str]) -> io::Result<Server> {
    let threads = threads.to_string();
    let mut launch = program.launch("attack").arguments(&["--save", "", "--enable-debug-command", "yes"]);
    if program.is_swytch() {
        launch = launch.arguments(&["--threads", &threads]);
    }
    launch.arguments(directives).run()
}

/// RPUSH of this many elements of 1 kB to the list `l`.
fn push_kilobytes(client: &mut Client, elements: usize) -> io::Result<()> {
    let element = "e".repeat(1000);
    let words: Vec<&str> = ["RPUSH", "l"].into_iter().chain((0..elements).map(|_| &element[..])).collect();
    client.ask(&words).map(drop)
}

/// The program under another one that then becomes it: `prlimit --nofile=64`, say.
fn under(program: &Program, path: &str, arguments: &[&str]) -> Program {
    let mut leading: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    leading.push(program.path.display().to_string());
    leading.extend(program.leading_arguments.iter().cloned());
    Program { path: path.into(), leading_arguments: leading, ..program.clone() }
}

/// The figure when it is nothing, or has not become less for so long: a busy machine makes it late, not worse.
fn settled(patience: Duration, mut figure: impl FnMut() -> io::Result<f64>) -> io::Result<f64> {
    let mut least = figure()?;
    let mut since = Instant::now();
    while least > 0.0 && since.elapsed() < patience {
        std::thread::sleep(Duration::from_millis(100));
        let now = figure()?;
        if now < least {
            (least, since) = (now, Instant::now());
        }
    }
    Ok(least)
}

/// How long a figure must not have changed to be the last one.
const QUIET: Duration = Duration::from_secs(8);

/// How long a server may take for what it does at once on an idle machine.
const PATIENCE: Duration = Duration::from_secs(15);

/// One where something must not be, none where it is not.
fn fault(is_there: bool) -> f64 {
    f64::from(u8::from(is_there))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_given_once_and_figures_are_judged_beside_the_peers() {
        let mut names: Vec<_> = table().map(|attack| attack.name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(Limit::OfPeer(1.5, 10.0).allows(9.0, Some(1.0)));
        assert!(Limit::OfPeer(1.5, 10.0).allows(30.0, Some(20.0)));
        assert!(!Limit::OfPeer(1.5, 10.0).allows(31.0, Some(20.0)));
        assert!(!Limit::None.allows(1.0, Some(1.0)));
    }
}
