//! The comparison as Markdown tables.
use std::fmt::Write;

use crate::compare::{Cell, Comparison, PIPELINES};
use crate::contention::{LINE_NS, SIMULATED};
use crate::growth::Latency;
use crate::messages::SUBSCRIBERS;
use crate::release::Rest;
use crate::serialized::Serialized;
use crate::snapshot::Written;
use crate::statistics::{median, median_ratio};
use crate::throughput::Sample;

impl Cell {
    /// The medians of a figure, one per program.
    pub(crate) fn medians(&self, figure: impl Fn(&Sample) -> f64) -> Vec<f64> {
        self.columns(figure).iter().map(|column| median(column)).collect()
    }

    /// Our CPU per operation over that of the better peer; none without a peer.
    pub(crate) fn cpu_ratio(&self) -> Option<f64> {
        self.ratios(|sample| sample.cpu_us).reduce(f64::max)
    }

    /// The CPU that we and the better peer add to the floor, per operation; none without a peer.
    pub(crate) fn above_floor_us(&self, floor_us: f64) -> Option<[f64; 2]> {
        let medians = self.medians(|sample| sample.cpu_us);
        let peer = medians.iter().skip(1).copied().reduce(f64::min)?;
        Some([medians[0] - floor_us, peer - floor_us])
    }

    /// Our operations a second over those of the better peer; none without a peer.
    pub(crate) fn operations_ratio(&self) -> Option<f64> {
        self.ratios(|sample| sample.operations_s).reduce(f64::min)
    }

    /// The median of the ratios to each peer.
    fn ratios(&self, figure: impl Fn(&Sample) -> f64) -> impl Iterator<Item = f64> {
        let columns = self.columns(figure);
        let ours = columns[0].clone();
        columns.into_iter().skip(1).map(move |theirs| median_ratio(&ours, &theirs))
    }

    fn columns(&self, figure: impl Fn(&Sample) -> f64) -> Vec<Vec<f64>> {
        self.samples.iter().map(|samples| samples.iter().map(&figure).collect()).collect()
    }
}

impl Comparison {
    /// The tables of everything that was measured.
    pub fn to_markdown(&self) -> String {
        let mut text = self.head();
        if !self.throughput.is_empty() {
            text.push_str(
                "\n### One core: CPU per operation\n\nMicroseconds of server CPU per operation, medians.\n\n",
            );
            text.push_str(&self.cells(&self.throughput, |sample| sample.cpu_us, 2, Cell::cpu_ratio, true));
            text.push_str(&self.floor());
            text.push_str("\n### One core: ops/s\n\nThousands of operations a second, medians.\n\n");
            text.push_str(&self.cells(
                &self.throughput,
                |sample| sample.operations_s / 1e3,
                0,
                Cell::operations_ratio,
                false,
            ));
        }
        if !self.tls.is_empty() {
            text.push_str(
                "\n### Clients that speak TLS\n\nMicroseconds of server CPU per operation, medians; one core, TLS 1.3, the \
                 cipher that each server chooses.\n\n",
            );
            text.push_str(&self.cells(&self.tls, |sample| sample.cpu_us, 2, Cell::cpu_ratio, false));
        }
        if !self.two_threads.is_empty() {
            text.push_str(
                "\n### Two threads on two cores\n\nThousands of operations a second, medians. The generator runs two \
                 threads on\nthe same cores, unpinned; ours with `--threads 2`, the peers with `--io-threads 2`.\n\n",
            );
            text.push_str(&self.cells(
                &self.two_threads,
                |sample| sample.operations_s / 1e3,
                0,
                Cell::operations_ratio,
                false,
            ));
        }
        if !self.contention.is_empty() {
            text.push_str(&self.contention_table());
        }
        if !self.memory.is_empty() {
            text.push_str(&self.memory_table());
        }
        if !self.growth.is_empty() {
            text.push_str(&self.growth_table());
        }
        if !self.waiting.is_empty() {
            text.push_str(&self.waiting_table());
        }
        if !self.crowd.is_empty() {
            text.push_str(&self.crowd_table());
        }
        if !self.deliveries.is_empty() {
            text.push_str(&self.deliveries_table());
        }
        if !self.output.is_empty() {
            text.push_str(&self.output_table());
        }
        if !self.release.is_empty() {
            text.push_str(&self.release_table());
        }
        if !self.serialized.is_empty() {
            text.push_str(&self.serialized_table());
        }
        if !self.snapshot.is_empty() {
            text.push_str(&self.snapshot_table());
        }
        text
    }

    /// The floor at a pipeline depth, where it was measured.
    pub(crate) fn floor_us(&self, pipeline: u32) -> Option<f64> {
        PIPELINES.iter().zip(&self.floor_us).find(|(depth, _)| **depth == pipeline).map(|(_, us)| *us)
    }

    /// What a share of the better peer's CPU is to be read against.
    fn floor(&self) -> String {
        let figures: Vec<String> = PIPELINES
            .iter()
            .zip(&self.floor_us)
            .map(|(pipeline, us)| format!("{us:.2} at pipeline {pipeline}"))
            .collect();
        if figures.is_empty() {
            return String::new();
        }
        format!(
            "\nThe floor, a loop that reads and answers `+OK` without looking at a request: {}. *above the floor* is what \
             we and\nthe better peer add to it.\n",
            figures.join(", ")
        )
    }

    fn head(&self) -> String {
        let scale = self.scale.map_or_else(String::new, |scale| {
            format!(
                "{} keys, values of 32 bytes, 50 connections, {} rounds there and back",
                thousands(scale.keys),
                scale.rounds
            )
        });
        format!("{}, {} cores. {}: {scale}.\n", self.processor, self.cores, self.programs.join(", "))
    }

    fn cells(
        &self,
        cells: &[Cell],
        figure: impl Fn(&Sample) -> f64,
        decimals: usize,
        ratio: impl Fn(&Cell) -> Option<f64>,
        with_floor: bool,
    ) -> String {
        let mut head = vec!["command".to_owned(), "pipeline".to_owned()];
        head.extend(self.programs.iter().cloned());
        head.push("ratio".to_owned());
        if with_floor {
            head.push("above the floor".to_owned());
        }
        let mut text = table_head(&head);
        for cell in cells {
            let mut row = vec![cell.command.to_owned(), cell.pipeline.to_string()];
            row.extend(cell.medians(&figure).iter().map(|value| format!("{value:.decimals$}")));
            row.push(ratio(cell).map_or_else(String::new, |ratio| format!("{ratio:.2}")));
            if with_floor {
                let above = self.floor_us(cell.pipeline).and_then(|floor_us| cell.above_floor_us(floor_us));
                row.push(above.map_or_else(String::new, |[ours, peer]| format!("{ours:.2} / {peer:.2}")));
            }
            text.push_str(&table_row(&row));
        }
        text
    }

    fn contention_table(&self) -> String {
        let mut text = format!(
            "\n### Threads of ours beside each other\n\nMicroseconds of the workers per command at pipeline 16, with one thread \
             and with two; what two do, each with a core of its own;\nhow often a shard's lock was found taken, and how long \
             commands took that hold theirs at most as long. Then the log reads what\nis written (`appendfsync everysec`): its \
             thread's time comes on top. The last columns are a simulation of {SIMULATED} threads with what\none takes, 32 \
             shards each, and {LINE_NS} ns for a cache line that another core wrote last: a lock's, and with the log that \
             of\nthe one counter that gives places.\n\n"
        );
        let head = [
            "load",
            "log",
            "one, us",
            "two, us",
            "two do",
            "waits per million",
            "50 / 99 / 99.9 %, us",
            "log's thread, us",
        ];
        let mut head = head.map(str::to_owned).to_vec();
        head.extend([format!("{SIMULATED} do"), format!("waits per million of {SIMULATED}")]);
        text.push_str(&table_head(&head));
        for row in &self.contention {
            let many = row.simulated(SIMULATED);
            let [one, two] = row.worker_us;
            text.push_str(&table_row(&[
                row.load.to_owned(),
                if row.is_logged { "yes" } else { "no" }.to_owned(),
                format!("{one:.2}"),
                format!("{two:.2}"),
                format!("{:.2} times", row.doubled()),
                format!("{:.0}", row.waits_per_million),
                row.percentiles_us.join(" / "),
                if row.is_logged { format!("{:.2}", row.log_us) } else { String::new() },
                format!("{:.1} times", many.times),
                format!("{:.0}", many.waits_per_million),
            ]));
        }
        text
    }

    fn memory_table(&self) -> String {
        let items = self.scale.map_or_else(String::new, |scale| thousands(scale.keys));
        let mut text = format!(
            "\n### Memory\n\nResident bytes of the whole process divided by the items ({items}), a fresh process per \
             row and nothing\nsubtracted; *floor* is key, value and expiry with nothing around them; the last row is the process before its \
             first\nitem, in MB.\n\n"
        );
        let mut head = vec!["data".to_owned()];
        head.extend(self.programs.iter().cloned());
        head.extend(["ratio".to_owned(), "floor".to_owned()]);
        text.push_str(&table_head(&head));
        for row in &self.memory {
            let bytes: Vec<f64> = row.footprints.iter().map(|footprint| footprint.bytes_per_item).collect();
            let mut line = vec![row.name.to_owned()];
            line.extend(bytes.iter().map(|bytes| format!("{bytes:.1}")));
            let best = bytes.iter().skip(1).copied().reduce(f64::min);
            line.push(best.map_or_else(String::new, |best| format!("{:.2}", bytes[0] / best)));
            line.push(row.floor_bytes.to_string());
            text.push_str(&table_row(&line));
        }
        if let Some(row) = self.memory.first() {
            let mut line = vec!["empty process, MB".to_owned()];
            line.extend(
                row.footprints.iter().map(|footprint| format!("{:.1}", footprint.empty_bytes as f64 / 1e6)),
            );
            line.extend([String::new(), String::new()]);
            text.push_str(&table_row(&line));
        }
        text
    }

    fn growth_table(&self) -> String {
        let keys = self.scale.map_or_else(String::new, |scale| thousands(scale.growth_keys));
        let mut text = format!(
            "\n### Latency while growing from 0 to {keys} keys\n\nRound trips of 16 SETs on one connection; a fifth as \
             many over keys that are there already (*steady*)\nshow what the machine itself adds.\n\n"
        );
        let head = ["server", "load", "worst, ms", "99.99 %, ms", "over 1 ms"].map(str::to_owned);
        text.push_str(&table_head(&head));
        for (program, growth) in self.programs.iter().zip(&self.growth) {
            for (load, latency) in [("growing", &growth.growing), ("steady", &growth.steady)] {
                text.push_str(&latency_row(program, load, latency));
            }
        }
        text
    }

    fn output_table(&self) -> String {
        let mut text = String::from(
            "\n### Large replies\n\nHighest resident memory of the whole process while it sends a reply that is read as \
             fast as it comes, what was\nresident before, and the time to the last byte; a fresh process each.\n\n",
        );
        text.push_str(&self.figures_head("reply"));
        let megabytes = |bytes: u64| bytes as f64 / 1e6;
        for (load, sendings) in &self.output {
            let peaks = sendings.iter().map(|sending| megabytes(sending.peak_bytes));
            text.push_str(&figures_row(load, "peak, MB", peaks));
            let before = sendings.iter().map(|sending| megabytes(sending.before_bytes));
            text.push_str(&figures_row(load, "before, MB", before));
            let times = sendings.iter().map(|sending| sending.time.as_secs_f64() * 1e3);
            text.push_str(&figures_row(load, "time, ms", times));
        }
        text
    }

    fn release_table(&self) -> String {
        let mut text = String::from(
            "\n### Memory given back\n\nResident memory of the whole process when it holds keys of 1 kB, and five seconds \
             after most of them are gone.\n\n",
        );
        text.push_str(&self.figures_head("what becomes of the keys"));
        for (release, rests) in &self.release {
            let mut row = |name: &str, figure: fn(&Rest) -> f64| {
                text.push_str(&figures_row(release.name(), name, rests.iter().map(figure)));
            };
            row("before, MB", |rest| rest.full_bytes as f64 / 1e6);
            row("after, MB", |rest| rest.resident_bytes as f64 / 1e6);
            row("used then, MB", |rest| rest.used_bytes as f64 / 1e6);
        }
        text
    }

    fn serialized_table(&self) -> String {
        let elements = self.scale.map_or_else(String::new, |scale| thousands(scale.keys));
        let mut text = format!(
            "\n### Values as bytes\n\n{elements} elements in keys of one type: microseconds of server CPU for a DUMP and a RESTORE, one server \
             thread; and\nmegabytes a second that are restored through four connections, or read from a file at a start, with two \
             server\nthreads as above and everything on the same two cores. The same payloads and the same file for all; \
             medians.\n\n"
        );
        text.push_str(&self.figures_head("values"));
        for (name, row) in &self.serialized {
            let mut figure = |title: &str, decimals: usize, worse, of: fn(&Serialized) -> &Vec<f64>| {
                let head = vec![(*name).to_owned(), title.to_owned()];
                text.push_str(&turns_row(head, decimals, worse, row.iter().map(of)));
            };
            figure("DUMP, us", 2, f64::max, |figures| &figures.dump_us);
            figure("RESTORE, us", 2, f64::max, |figures| &figures.restore_us);
            figure("RESTORE, MB/s", 0, f64::min, |figures| &figures.restore_mbs);
            figure("reading a file, MB/s", 0, f64::min, |figures| &figures.load_mbs);
        }
        text
    }

    fn snapshot_table(&self) -> String {
        let keys = self.scale.map_or_else(String::new, |scale| thousands(scale.snapshot_keys));
        let mut text = format!(
            "\n### While the data is written\n\n{keys} keys, 50 clients that make 50 000 SETs a second together, ten at a time each, before and \
             while the data is written; two server\nthreads as above, everything on the same two cores. Medians of the rounds, \
             the worst of them all.\n\n"
        );
        text.push_str(&self.figures_head("what is written"));
        for (writing, turns) in &self.snapshot {
            let mut row =
                |name: &str, decimals: usize, of: fn(&[f64]) -> f64, figure: fn(&Written) -> f64| {
                    let values = turns.iter().map(|turns| of(&turns.iter().map(figure).collect::<Vec<_>>()));
                    text.push_str(&precise_row(writing.name(), name, decimals, values));
                };
            let worst = |values: &[f64]| values.iter().copied().fold(0.0, f64::max);
            row("median before, ms", 3, median, |written| written.before_ms[0]);
            row("median meanwhile, ms", 3, median, |written| written.during_ms[0]);
            row("99.9 % before, ms", 2, median, |written| written.before_ms[1]);
            row("99.9 % meanwhile, ms", 2, median, |written| written.during_ms[1]);
            row("worst before, ms", 2, worst, |written| written.before_ms[2]);
            row("worst meanwhile, ms", 2, worst, |written| written.during_ms[2]);
            row("time, s", 2, median, |written| written.time.as_secs_f64());
            row("memory on top, %", 1, median, |written| written.growth * 100.0);
            if turns.iter().flatten().any(|written| written.loading.is_some()) {
                row("reading it at a start, s", 2, median, |written| {
                    written.loading.map_or(f64::NAN, |time| time.as_secs_f64())
                });
            }
        }
        text
    }

    /// The head of a table with a line for each figure.
    fn figures_head(&self, what: &str) -> String {
        let mut head = vec![what.to_owned(), "figure".to_owned()];
        head.extend(self.programs.iter().cloned());
        head.push("ratio".to_owned());
        table_head(&head)
    }
}

/// A figure of each program, and ours beside the best of the peers'.
fn figures_row(what: &str, name: &str, values: impl Iterator<Item = f64>) -> String {
    precise_row(what, name, 0, values)
}

fn precise_row(what: &str, name: &str, decimals: usize, values: impl Iterator<Item = f64>) -> String {
    let values: Vec<f64> = values.collect();
    let mut line = vec![what.to_owned(), name.to_owned()];
    line.extend(values.iter().map(|value| format!("{value:.decimals$}")));
    let best = values.iter().skip(1).copied().reduce(f64::min);
    line.push(best.map_or_else(String::new, |best| format!("{:.2}", values[0] / best)));
    table_row(&line)
}

/// Behind the first cells the medians of a figure that was taken once per turn, and the worst, as `worse` says, of our ratios
/// to the peers.
fn turns_row<'a>(
    mut line: Vec<String>,
    decimals: usize,
    worse: fn(f64, f64) -> f64,
    turns: impl Iterator<Item = &'a Vec<f64>>,
) -> String {
    let turns: Vec<&Vec<f64>> = turns.collect();
    line.extend(turns.iter().map(|turns| format!("{:.decimals$}", median(turns))));
    let ratios = turns[1..].iter().map(|theirs| median_ratio(turns[0], theirs));
    line.push(ratios.reduce(worse).map_or_else(String::new, |ratio| format!("{ratio:.2}")));
    table_row(&line)
}

impl Comparison {
    fn deliveries_table(&self) -> String {
        let mut text = format!(
            "\n### Messages\n\nPUBLISH of 64 bytes to {} subscribers, one server thread: nanoseconds of server CPU per \
             delivery, medians.\n\n",
            thousands(SUBSCRIBERS as u64)
        );
        let mut head = vec!["pipeline".to_owned()];
        head.extend(self.programs.iter().cloned());
        head.push("ratio".to_owned());
        text.push_str(&table_head(&head));
        for row in &self.deliveries {
            text.push_str(&turns_row(vec![row.pipeline.to_string()], 0, f64::max, row.turns_ns.iter()));
        }
        text
    }

    fn waiting_table(&self) -> String {
        let mut text =
            "\n### Others beside clients that send without end\n\nPING on four other connections, server \
                        with one thread: median, 99.9 % and worst, in milliseconds.\n\n"
                .to_owned();
        let mut head = vec!["sent without end".to_owned(), "by clients".to_owned()];
        head.extend(self.programs.iter().cloned());
        text.push_str(&table_head(&head));
        for row in &self.waiting {
            let mut line = vec![row.command.to_owned(), row.clients.to_string()];
            let shown = |[median, tail, worst]: &[f64; 3]| format!("{median:.2} / {tail:.1} / {worst:.1}");
            line.extend(row.figures_ms.iter().map(shown));
            text.push_str(&table_row(&line));
        }
        text
    }

    fn crowd_table(&self) -> String {
        let mut text = "\n### 2,000 clients without a pipeline\n\nValues of 1 KB, ours with `--threads 2`, the peers \
                        with `--io-threads 2`, the generator on the same two\ncores: thousands of operations a \
                        second, and 99 % of the round trips in milliseconds; medians.\n\n"
            .to_owned();
        let mut head = vec!["command".to_owned()];
        head.extend(self.programs.iter().cloned());
        head.extend(["ratio of ops/s".to_owned(), "ratio of 99 %".to_owned()]);
        text.push_str(&table_head(&head));
        for row in &self.crowd {
            let column = |pick: fn(&(f64, f64)) -> f64| -> Vec<Vec<f64>> {
                row.turns.iter().map(|turns| turns.iter().map(pick).collect()).collect()
            };
            let (operations, tails) = (column(|turn| turn.0), column(|turn| turn.1));
            let mut line = vec![row.command.to_owned()];
            line.extend(operations.iter().zip(&tails).map(|(operations, tails)| {
                format!("{:.0} / {:.1}", median(operations) / 1e3, median(tails))
            }));
            let ratios = |columns: &[Vec<f64>]| -> Vec<f64> {
                columns[1..].iter().map(|theirs| median_ratio(&columns[0], theirs)).collect()
            };
            let of_operations = ratios(&operations).into_iter().reduce(f64::min);
            let of_tails = ratios(&tails).into_iter().reduce(f64::max);
            let shown = |ratio: Option<f64>| ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}"));
            line.extend([shown(of_operations), shown(of_tails)]);
            text.push_str(&table_row(&line));
        }
        text
    }
}

fn latency_row(program: &str, load: &str, latency: &Latency) -> String {
    table_row(&[
        program.to_owned(),
        load.to_owned(),
        format!("{:.2}", latency.worst.as_secs_f64() * 1e3),
        format!("{:.3}", latency.p9999.as_secs_f64() * 1e3),
        latency.over_millisecond.to_string(),
    ])
}

fn table_head(cells: &[String]) -> String {
    table_row(cells) + "|" + &"---|".repeat(cells.len()) + "\n"
}

fn table_row(cells: &[String]) -> String {
    let mut row = String::from("|");
    for cell in cells {
        write!(row, " {cell} |").expect("a string takes every write");
    }
    row + "\n"
}

/// 1000000 as `1 000 000`.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(cpu: &[&[f64]]) -> Cell {
        let sample = |&cpu_us: &f64| Sample { cpu_us, operations_s: 1e6 / cpu_us };
        let samples = cpu.iter().map(|column| column.iter().map(sample).collect()).collect();
        Cell { command: "GET", pipeline: 16, samples }
    }

    #[test]
    fn the_ratio_is_to_the_better_peer() {
        let cell = cell(&[&[1.0, 1.0], &[4.0, 4.0], &[2.0, 2.0]]);
        assert_eq!(cell.cpu_ratio(), Some(0.5));
        assert_eq!(cell.operations_ratio(), Some(2.0));
    }

    #[test]
    fn tables_name_every_program_and_every_cell() {
        let comparison = Comparison {
            programs: vec!["swytch 0.1.0".to_owned(), "redis 8.0.6".to_owned()],
            throughput: vec![cell(&[&[0.5], &[1.0]])],
            floor_us: vec![5.0, 0.4, 0.1],
            ..Comparison::default()
        };
        let text = comparison.to_markdown();
        assert!(
            text.contains("| command | pipeline | swytch 0.1.0 | redis 8.0.6 | ratio | above the floor |"),
            "{text}"
        );
        assert!(text.contains("| GET | 16 | 0.50 | 1.00 | 0.50 | 0.10 / 0.60 |"), "{text}");
        assert!(text.contains("| GET | 16 | 2000 | 1000 | 2.00 |"), "{text}");
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(thousands(1_000_000), "1 000 000");
        assert_eq!(thousands(100), "100");
    }
}
