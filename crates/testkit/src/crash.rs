//! A server that is killed in the middle of what many clients write, and what it has when it is back.
//!
//! Each connection alters keys of its own, one operation after the other: a command, a transaction or a script. So what it finds
//! after the kill is the state after the first n of its operations, for some n, or something was lost in the middle, done
//! by halves, or done twice. Beyond that:
//!
//! - with `appendfsync always` n is no less than the number of operations that were acknowledged;
//! - in any case what is there is a beginning of what happened: of two operations, of which one was acknowledged before
//!   the other was sent, the later one is not there without the earlier one, whoever has sent them.
//!
//! No time is judged. How long before the kill the first operation was acknowledged that is not there is measured and told.

use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::operation::{Operation, State};
use crate::process::{PATIENCE, Program, Server};
use crate::random::Random;

/// Connections that write.
const CONNECTIONS: usize = 6;
/// Requests that one of them sends at a time, at most.
const PIPELINE_MAX: usize = 8;
/// How long they write before the server is killed, at most.
const WRITING_MS: u64 = 120;
/// Rewrites and saves that are begun meanwhile, at most.
const TASKS_MAX: u64 = 4;
/// Keys that nobody touches, in a database of their own, so that a rewrite takes some time.
const KEPT_KEYS: usize = 4_000;

/// What came of it.
#[derive(Debug, Default)]
pub struct Report {
    /// Times that the server was killed.
    pub rounds: usize,
    /// Operations that it has acknowledged.
    pub acknowledged: usize,
    /// Those of them, under `everysec`, that were not there afterwards.
    pub lost: usize,
    /// The longest time between the acknowledgement of one of these and the kill.
    pub lost_for: Duration,
    /// What must not be.
    pub findings: Vec<String>,
}

/// How the log is forced to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sync {
    Always,
    Everysec,
}

/// How a server is set between two kills.
#[derive(Clone, Copy, Debug)]
struct Setting {
    sync: Sync,
    preamble: &'static str,
}

/// A connection, over all rounds.
#[derive(Debug)]
struct Writer {
    number: usize,
    random: Random,
    /// Operations it has sent in all rounds.
    operations: u64,
    /// What it has found after the last kill.
    state: State,
}

/// An operation that was sent.
#[derive(Debug)]
struct Sent {
    operation: Operation,
    /// When, by the clock that only orders.
    at: u64,
    /// When the reply had arrived, by the same clock and by the other one.
    acknowledged: Option<(u64, Instant)>,
}

/// Kills a server and looks at it this many times, unless there is a finding.
///
/// # Errors
/// When the server does not start, or answers an error.
pub fn run(program: &Program, rounds: usize, random: &mut Random) -> io::Result<Report> {
    let mut next = Setting { sync: Sync::Always, preamble: "yes" };
    let mut server = program.launch("crash").file(&next.file(None)).run()?;
    keep(&mut server)?;
    let mut report = Report::default();
    let mut writers: Vec<Writer> = (0..CONNECTIONS)
        .map(|number| Writer { number, random: random.fork(), operations: 0, state: State::default() })
        .collect();
    while report.rounds < rounds && report.findings.is_empty() {
        let (histories, killed) = write_and_kill(&mut server, &mut writers, random)?;
        let round = Round { sync: next.sync, histories, killed };
        next = Setting::any(random);
        std::fs::write(server.file(), next.file(Some(server.port)))?;
        server.start_again()?;
        await_data(&mut server)?;
        round.judge(&mut server, &mut writers, &mut report)?;
        report.rounds += 1;
    }
    Ok(report)
}

impl Setting {
    fn any(random: &mut Random) -> Setting {
        let sync = if random.once_in(2) { Sync::Always } else { Sync::Everysec };
        Setting { sync, preamble: if random.once_in(2) { "yes" } else { "no" } }
    }

    fn file(self, port: Option<u16>) -> String {
        let port = port.map(|port| format!("port {port}\n")).unwrap_or_default();
        let sync = if self.sync == Sync::Always { "always" } else { "everysec" };
        let preamble = self.preamble;
        format!(
            "{port}save \"\"\nappendonly yes\nappendfsync {sync}\naof-use-rdb-preamble {preamble}\nthreads 3\n"
        )
    }
}

/// Stores what nobody touches.
fn keep(server: &mut Server) -> io::Result<()> {
    server.client.ask(&["SELECT", "1"])?;
    let pairs = (0..KEPT_KEYS).flat_map(|number| [format!("kept:{number}"), "value".to_owned()]);
    server.client.ask(&std::iter::once("MSET".to_owned()).chain(pairs).collect::<Vec<_>>()).map(drop)
}

/// Waits until the server has loaded what it has; the keys that nobody touches are among it.
fn await_data(server: &mut Server) -> io::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while server.client.ask(&["INFO", "persistence"])?.text().contains("\nloading:1") {
        if Instant::now() > deadline {
            return Err(io::Error::other("the data is not loaded"));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    server.client.ask(&["SELECT", "1"])?;
    let kept = server.client.ask(&["DBSIZE"])?.number();
    server.client.ask(&["SELECT", "0"])?;
    match kept == Some(KEPT_KEYS as u64) {
        true => Ok(()),
        false => Err(io::Error::other(format!("{kept:?} of {KEPT_KEYS} keys that nobody touches are there"))),
    }
}

/// All connections write, the log is rewritten and the data saved, and in the middle of it the server is killed. What each
/// connection has sent, and when the kill was.
fn write_and_kill(
    server: &mut Server,
    writers: &mut [Writer],
    random: &mut Random,
) -> io::Result<(Vec<Vec<Sent>>, Instant)> {
    let (port, clock) = (server.port, AtomicU64::new(0));
    let wrong = Mutex::new(None);
    let (histories, killed) = std::thread::scope(|scope| {
        let running: Vec<_> = writers
            .iter_mut()
            .map(|writer| {
                let (clock, wrong) = (&clock, &wrong);
                scope.spawn(move || {
                    let mut sent = Vec::new();
                    if let Err(error) = writer.write(port, clock, &mut sent)
                        && error.kind() == io::ErrorKind::Other
                    {
                        *wrong.lock().expect("nobody panics with it") = Some(error);
                    }
                    sent
                })
            })
            .collect();
        let tasks = random.below(TASKS_MAX + 1);
        let rest = |random: &mut Random| {
            std::thread::sleep(Duration::from_millis(random.below(WRITING_MS / (tasks + 1)) + 1));
        };
        for _ in 0..tasks {
            rest(random);
            // One at a time is written: the second of two is refused.
            let _ = server.client.ask(&[random.pick(&["BGREWRITEAOF", "BGSAVE"])]);
        }
        rest(random);
        let killed = Instant::now();
        server.kill();
        let histories = running.into_iter().map(|writer| writer.join().expect("it only writes")).collect();
        (histories, killed)
    });
    match wrong.into_inner().expect("nobody panics with it") {
        Some(error) => Err(error),
        None => Ok((histories, killed)),
    }
}

impl Writer {
    /// Sends operations until the connection ends.
    fn write(&mut self, port: u16, clock: &AtomicU64, sent: &mut Vec<Sent>) -> io::Result<()> {
        let mut client = Client::connect(port)?;
        loop {
            let first = sent.len();
            let mut requests = Vec::new();
            for _ in 0..1 + self.random.below(PIPELINE_MAX) {
                let operation = Operation::any(self.number, self.operations, &mut self.random);
                self.operations += 1;
                operation.request(&mut requests);
                sent.push(Sent { operation, at: clock.fetch_add(1, Ordering::SeqCst), acknowledged: None });
            }
            client.send_raw(&requests)?;
            for sent in &mut sent[first..] {
                sent.operation.receive(&mut client)?;
                sent.acknowledged = Some((clock.fetch_add(1, Ordering::SeqCst), Instant::now()));
            }
        }
    }
}

/// What was written before a kill.
struct Round {
    sync: Sync,
    histories: Vec<Vec<Sent>>,
    killed: Instant,
}

impl Round {
    /// Looks at what is there.
    fn judge(&self, server: &mut Server, writers: &mut [Writer], report: &mut Report) -> io::Result<()> {
        // The first operation that was acknowledged and is not there, and the last one that is there.
        let (mut first_lost, mut last_there) = (None::<u64>, None::<u64>);
        for (writer, sent) in writers.iter_mut().zip(&self.histories) {
            let acknowledged = sent.iter().take_while(|sent| sent.acknowledged.is_some()).count();
            report.acknowledged += acknowledged;
            let found = State::found(&mut server.client, writer.number)?;
            let before = std::mem::replace(&mut writer.state, found);
            let counts = before.counts_to(sent.iter().map(|sent| &sent.operation), &writer.state);
            let (Some(&least), Some(&most)) = (counts.first(), counts.last()) else {
                report.findings.push(format!(
                    "connection {} has what no number of its {} operations leads to ({acknowledged} were acknowledged): {:?}",
                    writer.number,
                    sent.len(),
                    writer.state
                ));
                continue;
            };
            if self.sync == Sync::Always && most < acknowledged {
                report.findings.push(format!(
                    "connection {} has {most} of {acknowledged} operations that were acknowledged under `always`",
                    writer.number
                ));
            }
            for lost in sent.iter().take(acknowledged).skip(most) {
                let Some((at, moment)) = lost.acknowledged else { break };
                report.lost += 1;
                report.lost_for = report.lost_for.max(self.killed.saturating_duration_since(moment));
                first_lost = Some(first_lost.map_or(at, |first| first.min(at)));
            }
            last_there = last_there.max(least.checked_sub(1).map(|last| sent[last].at));
        }
        if let (Some(lost), Some(there)) = (first_lost, last_there)
            && lost < there
        {
            report.findings.push(
                "an operation is there although one is not that was acknowledged before it was sent"
                    .to_owned(),
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_operations_is_told_by_what_is_there() {
        let mut random = Random::new(1);
        let operations: Vec<Operation> =
            (0..300).map(|number| Operation::any(0, number, &mut random)).collect();
        let before = State::default();
        for count in [0, 1, 150, 300] {
            let mut after = State::default();
            operations[..count].iter().for_each(|operation| after.apply(operation));
            assert!(before.clone().counts_to(operations.iter(), &after).contains(&count));
            // One that is left out is noticed, unless the others have covered it.
            let mut torn = State::default();
            operations[..count].iter().skip(1).for_each(|operation| torn.apply(operation));
            let told = before.clone().counts_to(operations.iter(), &torn);
            assert!(count < 2 || told.is_empty(), "{count}: {told:?}");
        }
    }
}
