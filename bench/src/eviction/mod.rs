//! How often a key that is wanted has been evicted: the server's policies beside those of others and the optimum.
//!
//! `traces` are made of seeds, or `recorded`; `rivals` are written after their papers, and `ours` drives the keyspace of the
//! server itself. Whoever looks for a key that is not there puts it there, as an application before a database does.
//! `servers` asks the same of servers that run, ours and Redis.

use std::fmt::Write;

use anyhow::Result;
use swytch_store::{Order, Usage};

use crate::plot::{self, Group, Panel};

mod order;
mod ours;
mod recorded;
mod rivals;
mod servers;
mod traces;

use ours::Ours;
use rivals::{Belady, S3Fifo, Sampled, Sieve, WTinyLfu};
use servers::Played;
pub use servers::Servers;
use traces::Trace;
pub use traces::Traces;

/// How fast time goes by, for those who count in seconds or minutes.
const REQUESTS_PER_MINUTE: u64 = 60_000;

/// What a cache may hold, in thousandths of what all keys of a trace take.
const ROOMS: [u64; 4] = [10, 30, 100, 300];

/// What holds some of the keys.
trait Cache {
    /// A key is wanted: true if it is there. Otherwise it is put there.
    fn access(&mut self, key: u32) -> bool;
}

type Make = for<'t> fn(&'t Trace, u64) -> Box<dyn Cache + 't>;

/// Who decides what goes, the optimum first, then others, then ours.
const POLICIES: [(&str, Make); 9] = [
    ("optimum", |trace, limit| Box::new(Belady::new(&trace.requests, &trace.sizes, limit))),
    ("Redis LRU", |trace, limit| Box::new(Sampled::new(rivals::Order::Idle, &trace.sizes, limit))),
    ("Redis LFU", |trace, limit| Box::new(Sampled::new(rivals::Order::Frequency, &trace.sizes, limit))),
    ("S3-FIFO", |trace, limit| Box::new(S3Fifo::new(&trace.sizes, limit))),
    ("SIEVE", |trace, limit| Box::new(Sieve::new(&trace.sizes, limit))),
    ("W-TinyLFU", |trace, limit| Box::new(WTinyLfu::new(&trace.sizes, limit))),
    ("allkeys-lru", |trace, limit| Box::new(Ours::new(Order::Idle, Usage::Accessed, &trace.sizes, limit))),
    ("allkeys-lfu", |trace, limit| {
        Box::new(Ours::new(Order::Frequency, Usage::Counted, &trace.sizes, limit))
    }),
    ("allkeys-adaptive", |trace, limit| {
        Box::new(Ours::new(Order::Worth, Usage::Weighed, &trace.sizes, limit))
    }),
];
/// Where the optimum is, and where the policies of others are.
const OPTIMUM: usize = 0;
const RIVALS: std::ops::Range<usize> = 1..6;
/// Ours that is to be no worse than any of them.
const ADAPTIVE: usize = 8;

/// What came of a trace with so much room.
struct Row {
    trace: &'static str,
    thousandths: u64,
    /// Of each policy, the share of requests whose key was not there.
    miss_ratios: Vec<f64>,
}

/// The shares of requests that found nothing: of each trace with each room and policy, and of the servers that were played with.
pub struct MissRatios {
    rows: Vec<Row>,
    played: Vec<Played>,
}

impl MissRatios {
    /// Plays traces, and some of them, made anew, with servers.
    ///
    /// # Errors
    /// When a server does not do its part.
    pub fn measure(traces: &Traces, with_servers: Option<(&Servers, &Traces)>) -> Result<MissRatios> {
        let mut rows = Vec::new();
        for trace in &traces.0 {
            for thousandths in ROOMS {
                let limit = (trace.footprint() * thousandths / 1000).max(1);
                let miss_ratios =
                    POLICIES.iter().map(|(_, make)| miss_ratio(trace, make(trace, limit))).collect();
                rows.push(Row { trace: trace.name, thousandths, miss_ratios });
            }
        }
        let played = with_servers.map(|(servers, traces)| servers::play(traces, servers)).transpose()?;
        let played = played.unwrap_or_default();
        Ok(MissRatios { rows, played })
    }

    /// A panel for each trace, and in it the misses of the policies with each room, as multiples of what the best of others misses; and
    /// one for the servers.
    pub fn to_svg(&self) -> String {
        let shown = || std::iter::once(ADAPTIVE).chain(RIVALS);
        let group = |row: &Row| Group {
            name: format!("room for {} %", row.thousandths as f64 / 10.0),
            figures: shown().map(|at| row.miss_ratios[at] * 100.0).collect(),
            floor: Some(row.miss_ratios[OPTIMUM] * 100.0),
        };
        let panels = self.rows.chunk_by(|one, other| one.trace == other.trace).map(|rows| Panel {
            title: format!("{}: misses, % of requests", rows[0].trace),
            groups: rows.iter().map(group).collect(),
        });
        let of_servers = |played: &[Played]| Group {
            name: played[0].trace.to_owned(),
            figures: played.iter().take(servers::PLOTTED).map(|one| one.miss_ratio * 100.0).collect(),
            floor: Some(played[0].optimum * 100.0),
        };
        let groups: Vec<Group> = self.by_trace().map(of_servers).collect();
        let room = servers::ROOM as f64 / 10.0;
        let title = format!("Servers that run, room for {room} %: misses, % of requests");
        let panels = panels.chain((!groups.is_empty()).then_some(Panel { title, groups }));
        let names: Vec<&str> = shown().map(|at| POLICIES[at].0).collect();
        let title = "Less is better; 1 is the best of the others, the line is Belady's optimum.";
        plot::draw(title, &names, &panels.collect::<Vec<_>>())
    }

    /// Tables, in which the best of each row, or of each trace, is bold, the optimum aside.
    pub fn to_markdown(&self) -> String {
        let names: Vec<&str> = POLICIES.iter().map(|(name, _)| *name).collect();
        let mut table = format!(
            "| trace | room, % | {} |\n|---|---:|{}\n",
            names.join(" | "),
            "---:|".repeat(names.len())
        );
        for row in &self.rows {
            let best = least(row.miss_ratios[RIVALS].iter().copied());
            write!(table, "| {} | {} |", row.trace, row.thousandths as f64 / 10.0).expect(WRITES);
            for (at, ratio) in row.miss_ratios.iter().enumerate() {
                let is_good = at != OPTIMUM && *ratio <= best;
                write!(table, " {} |", percent(*ratio, is_good)).expect(WRITES);
            }
            table.push('\n');
        }
        if !self.played.is_empty() {
            table.push_str("\n### Servers that run\n\n");
            table.push_str("| trace | server | policy | held | misses | simulated | optimum |\n");
            table.push_str("|---|---|---|---:|---:|---:|---:|\n");
        }
        for rows in self.by_trace() {
            let others = rows.iter().filter(|row| row.server != servers::OURS);
            let best = least(others.map(|row| row.miss_ratio));
            for row in rows {
                let Played { trace, server, policy, held, miss_ratio, simulated, optimum } = row;
                let misses = percent(*miss_ratio, *miss_ratio <= best);
                let [simulated, optimum] = [simulated, optimum].map(|ratio| percent(*ratio, false));
                let cells =
                    format!("{trace} | {server} | {policy} | {held} | {misses} | {simulated} | {optimum}");
                writeln!(table, "| {cells} |").expect(WRITES);
            }
        }
        table
    }

    /// What came of the servers, those of a trace together.
    fn by_trace(&self) -> impl Iterator<Item = &[Played]> {
        self.played.chunk_by(|one, other| one.trace == other.trace)
    }
}

const WRITES: &str = "a string takes every write";

fn least(ratios: impl Iterator<Item = f64>) -> f64 {
    ratios.fold(f64::INFINITY, f64::min)
}

fn percent(ratio: f64, is_bold: bool) -> String {
    let mark = if is_bold { "**" } else { "" };
    format!("{mark}{:.2}{mark}", ratio * 100.0)
}

fn miss_ratio(trace: &Trace, mut cache: Box<dyn Cache + '_>) -> f64 {
    let misses = trace.requests.iter().filter(|key| !cache.access(**key)).count();
    misses as f64 / trace.requests.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_misses_less_than_the_optimum() {
        let traces = Traces::made(20_000).named(&["Zipf 0.99".to_owned()]);
        let ratios = MissRatios::measure(&traces, None).expect("no server is needed");
        assert_eq!(ratios.rows.len(), ROOMS.len());
        for row in &ratios.rows {
            let optimum = row.miss_ratios[0];
            for ((name, _), ratio) in POLICIES.iter().zip(&row.miss_ratios) {
                assert!(
                    (optimum..1.0).contains(ratio),
                    "{name}: {ratio} on {}, optimum {optimum}",
                    row.trace
                );
            }
        }
        assert_eq!(POLICIES[ADAPTIVE].0, "allkeys-adaptive");
        let (svg, bars) = (ratios.to_svg(), ROOMS.len() * (1 + RIVALS.len()));
        assert!(svg.matches("<rect").count() > bars, "{svg}");
        assert_eq!(ratios.to_markdown().lines().count(), ratios.rows.len() + 2);
    }
}
