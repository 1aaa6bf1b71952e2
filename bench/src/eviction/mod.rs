//! How often a key that is wanted has been evicted: the server's policies beside those of others and the optimum.
//!
//! No server is needed: `traces` are made of seeds, `rivals` are written after their papers, and `ours` drives the keyspace of
//! the server itself. Whoever looks for a key that is not there puts it there, as an application before a database does.

use std::fmt::Write;

use swytch_store::{Order, Usage};

use crate::plot::{self, Group, Panel};

mod order;
mod ours;
mod rivals;
mod traces;

use ours::Ours;
use rivals::{Belady, S3Fifo, Sampled, Sieve, WTinyLfu};
use traces::Trace;

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

/// The shares of requests that found nothing, of each trace with each room and policy.
pub struct MissRatios(Vec<Row>);

impl MissRatios {
    /// Plays traces of so many requests, those whose name contains one of these words, or all.
    pub fn measure(requests: usize, words: &[String]) -> MissRatios {
        let wanted =
            |trace: &Trace| words.is_empty() || words.iter().any(|word| trace.name.contains(&**word));
        let mut rows = Vec::new();
        for trace in Trace::all(requests).into_iter().filter(wanted) {
            for thousandths in ROOMS {
                let limit = (trace.footprint() * thousandths / 1000).max(1);
                let miss_ratios =
                    POLICIES.iter().map(|(_, make)| miss_ratio(&trace, make(&trace, limit))).collect();
                rows.push(Row { trace: trace.name, thousandths, miss_ratios });
            }
        }
        MissRatios(rows)
    }

    /// A panel for each trace, and in it the misses of the policies with each room, as multiples of what the best of others misses.
    pub fn to_svg(&self) -> String {
        let shown = || std::iter::once(ADAPTIVE).chain(RIVALS);
        let group = |row: &Row| Group {
            name: format!("room for {} %", row.thousandths as f64 / 10.0),
            figures: shown().map(|at| row.miss_ratios[at] * 100.0).collect(),
            floor: Some(row.miss_ratios[OPTIMUM] * 100.0),
        };
        let panels = self.0.chunk_by(|one, other| one.trace == other.trace).map(|rows| Panel {
            title: format!("{}: misses, % of requests", rows[0].trace),
            groups: rows.iter().map(group).collect(),
        });
        let names: Vec<&str> = shown().map(|at| POLICIES[at].0).collect();
        let title = "Less is better; 1 is the best of the others, the line is Belady's optimum.";
        plot::draw(title, &names, &panels.collect::<Vec<_>>())
    }

    /// A table, in which the best of each row is bold, the optimum aside.
    pub fn to_markdown(&self) -> String {
        let names: Vec<&str> = POLICIES.iter().map(|(name, _)| *name).collect();
        let mut table = format!(
            "| trace | room, % | {} |\n|---|---:|{}\n",
            names.join(" | "),
            "---:|".repeat(names.len())
        );
        for row in &self.0 {
            let best = row.miss_ratios[RIVALS].iter().copied().fold(f64::INFINITY, f64::min);
            write!(table, "| {} | {} |", row.trace, row.thousandths as f64 / 10.0)
                .expect("a string takes every write");
            for (at, ratio) in row.miss_ratios.iter().enumerate() {
                let percent = ratio * 100.0;
                let cell = match at != OPTIMUM && *ratio <= best {
                    true => format!(" **{percent:.2}** |"),
                    false => format!(" {percent:.2} |"),
                };
                table.push_str(&cell);
            }
            table.push('\n');
        }
        table
    }
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
        let ratios = MissRatios::measure(20_000, &["Zipf 0.99".to_owned()]);
        assert_eq!(ratios.0.len(), ROOMS.len());
        for row in &ratios.0 {
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
        assert_eq!(ratios.to_markdown().lines().count(), ratios.0.len() + 2);
    }
}
