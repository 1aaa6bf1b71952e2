//! Servers that follow ours while many clients write, through links that are cut, and killed as ours is.
//!
//! Each client alters keys of its own, as in [`crash`](crate::crash), and waits now and then for followers (WAIT). So what any
//! server has of a client is the state after the first n of its operations, for some n, or something was lost in the middle, done
//! by halves, or done twice. Beyond that:
//!
//! - when ours is killed in the middle of it, of so many followers as WAIT has answered each has all that was written before;
//! - when the clients have ended, or ours is back, all follow again and have the same data, by its digest.
//!
//! No time is judged. Ours keeps an append-only log, so that it is not empty when it is back.
//!
//! - `link`: what is between a follower and ours

mod link;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use self::link::Link;
use crate::client::Client;
use crate::operation::{Operation, State};
use crate::process::{PATIENCE, Program, Server};
use crate::random::Random;
use crate::reply::Reply;

/// Clients that write.
const CLIENTS: usize = 4;
/// Requests that one of them sends at a time, at most.
const PIPELINE_MAX: usize = 8;
/// How long one of them waits for followers, at most.
const WAIT_MS: u64 = 200;
/// Between two things that happen to followers, at most.
const REST_MS: u64 = 150;
/// Things that happen to them in a round, at most.
const FAULTS_MAX: u64 = 5;
/// How many bytes of ours a link passes on before it is cut, at most.
const BYTES_MAX: u64 = 200_000;
/// Lines of a follower's log that are shown where it has other data.
const LOG_LINES: usize = 60;
/// Keys that nobody touches, in a database of their own, so that the data takes some time on its way.
const KEPT_KEYS: usize = 2_000;

/// What came of it.
#[derive(Debug, Default)]
pub struct Report {
    /// Times that all was compared.
    pub rounds: usize,
    /// Times that ours was killed.
    pub kills: usize,
    /// Times that a follower was.
    pub follower_kills: usize,
    /// Times that a link was cut, or a follower stood still.
    pub cuts: usize,
    /// Times that a follower was sent the data.
    pub full: i64,
    /// Times that a follower went on where it was.
    pub partial: i64,
    /// Operations that ours has acknowledged.
    pub acknowledged: usize,
    /// Those of them that a follower at least had, by what WAIT has answered.
    pub awaited: usize,
    /// What must not be.
    pub findings: Vec<String>,
    /// What ours has told of the two since it was started.
    told: [i64; 2],
}

/// A server that follows ours.
struct Follower {
    name: String,
    server: Server,
    link: Link,
}

/// A client, over all rounds.
struct Writer {
    number: usize,
    random: Random,
    /// Operations it has sent in all rounds.
    operations: u64,
    /// What it has found at the end of the last one.
    state: State,
}

/// What a client did in a round.
#[derive(Default)]
struct History {
    sent: Vec<Operation>,
    /// How many of them, from the first on, were acknowledged.
    acknowledged: usize,
    /// So many of them were acknowledged when WAIT has told so many followers.
    awaited: Vec<(usize, usize)>,
}

/// Has `followers` follow a server of `program`, through this many rounds, unless there is a finding.
///
/// # Errors
/// When a server does not start, or answers an error.
pub fn run(
    program: &Program,
    followers: &[(String, Program)],
    rounds: usize,
    random: &mut Random,
) -> io::Result<Report> {
    let mut server = program.launch("followed").file(&file(random)).run()?;
    keep(&mut server)?;
    let mut followers = followers
        .iter()
        .map(|(name, program)| Follower::start(name, program, server.port))
        .collect::<io::Result<Vec<Follower>>>()?;
    let mut report = Report::default();
    let mut writers: Vec<Writer> = (0..CLIENTS)
        .map(|number| Writer { number, random: random.fork(), operations: 0, state: State::default() })
        .collect();
    report.compare(&mut server, &mut followers)?;
    while report.rounds < rounds && report.findings.is_empty() {
        let is_killed = random.once_in(2);
        let histories =
            write_under_faults(&mut server, &mut followers, &mut writers, is_killed, random, &mut report)?;
        report.count(&histories);
        if is_killed {
            for follower in &mut followers {
                follower.await_rest()?;
            }
            report.judge_followers(&mut followers, &writers, &histories)?;
            std::fs::write(server.file(), format!("port {}\n{}", server.port, file(random)))?;
            server.start_again()?;
            report.told = [0, 0];
            await_load(&mut server)?;
        }
        report.judge_server(&mut server, &mut writers, &histories, is_killed)?;
        report.compare(&mut server, &mut followers)?;
        report.rounds += 1;
    }
    Ok(report)
}

/// How ours is set between two kills.
fn file(random: &mut Random) -> String {
    let sync = random.pick(&["always", "everysec"]);
    // One that forgets soon, and one that does not.
    let backlog = random.pick(&["16kb", "16mb"]);
    let diskless = random.pick(&["yes", "no"]);
    format!(
        "save \"\"\nenable-debug-command yes\nthreads 3\nappendonly yes\nappendfsync {sync}\nrepl-backlog-size {backlog}\n\
         repl-diskless-sync {diskless}\nrepl-diskless-sync-delay 0\n"
    )
}

/// Stores what nobody touches.
fn keep(server: &mut Server) -> io::Result<()> {
    server.client.ask(&["SELECT", "1"])?;
    let pairs = (0..KEPT_KEYS).flat_map(|number| [format!("kept:{number}"), "value ".repeat(20)]);
    server.client.ask(&std::iter::once("MSET".to_owned()).chain(pairs).collect::<Vec<_>>())?;
    server.client.ask(&["SELECT", "0"]).map(drop)
}

fn await_load(server: &mut Server) -> io::Result<()> {
    until(|| Ok(!server.client.ask(&["INFO", "persistence"])?.text().contains("\nloading:1")))
}

/// The first key in which two servers differ, and what each has there.
fn differing(ours: &mut Client, theirs: &mut Client) -> io::Result<String> {
    for db in ["0", "1"] {
        let mut keys = Vec::new();
        for client in [&mut *ours, &mut *theirs] {
            client.ask(&["SELECT", db])?;
            keys.extend(client.ask(&["KEYS", "*"])?.elements().iter().map(Reply::text));
        }
        for key in keys {
            let values =
                [&mut *ours, &mut *theirs].map(|client| client.ask(&["DEBUG", "DIGEST-VALUE", &key]));
            let [ours, theirs] = values;
            let (ours, theirs) = (ours?, theirs?);
            if ours != theirs {
                return Ok(format!("{key} is {theirs} instead of {ours}"));
            }
        }
    }
    Ok("no key".to_owned())
}

/// Waits until something holds.
fn until(mut holds: impl FnMut() -> io::Result<bool>) -> io::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !holds()? {
        if Instant::now() > deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

impl Follower {
    fn start(name: &str, program: &Program, port: u16) -> io::Result<Follower> {
        let link = Link::to(port)?;
        let file = format!("save \"\"\nenable-debug-command yes\nreplicaof 127.0.0.1 {}\n", link.port);
        let server = program.launch("follower").file(&file).run()?;
        std::fs::write(server.file(), format!("port {}\n{file}", server.port))?;
        Ok(Follower { name: name.to_owned(), server, link })
    }

    fn is_linked(&mut self) -> io::Result<bool> {
        Ok(self.server.client.ask(&["INFO", "replication"])?.text().contains("\nmaster_link_status:up"))
    }

    /// Waits until it has done what it was still sent: ours is gone.
    fn await_rest(&mut self) -> io::Result<()> {
        await_load(&mut self.server)?;
        until(|| Ok(!self.is_linked()?))
    }
}

/// All clients write while followers suffer, until ours is killed or they have done enough. What each client has done.
fn write_under_faults(
    server: &mut Server,
    followers: &mut [Follower],
    writers: &mut [Writer],
    is_killed: bool,
    random: &mut Random,
    report: &mut Report,
) -> io::Result<Vec<History>> {
    let (port, count, is_over) = (server.port, followers.len(), AtomicBool::new(false));
    let histories: Vec<io::Result<History>> = std::thread::scope(|scope| {
        let running: Vec<_> = writers
            .iter_mut()
            .map(|writer| {
                let is_over = &is_over;
                scope.spawn(move || writer.write(port, count, is_over))
            })
            .collect();
        let mut faults = Ok(());
        for _ in 0..random.below(FAULTS_MAX + 1) {
            std::thread::sleep(Duration::from_millis(random.below(REST_MS)));
            let follower = &mut followers[random.below(count)];
            faults = faults.and(suffer(server, follower, is_killed, random, report));
        }
        std::thread::sleep(Duration::from_millis(random.below(REST_MS)));
        if is_killed {
            server.kill();
            report.kills += 1;
        }
        is_over.store(true, Ordering::SeqCst);
        let ended = running.into_iter().map(|writer| writer.join().expect("it only writes"));
        faults.map_or_else(|error| vec![Err(error)], |()| ended.collect())
    });
    histories.into_iter().collect()
}

/// Something happens to a follower. One that is killed has nothing any more, so that is no time to kill ours as well.
fn suffer(
    server: &mut Server,
    follower: &mut Follower,
    ours_is_killed: bool,
    random: &mut Random,
    report: &mut Report,
) -> io::Result<()> {
    report.cuts += 1;
    match random.below(6) {
        0 => follower.link.cut(),
        1 | 2 => follower.link.cut_after(random.below(BYTES_MAX)),
        3 => drop(server.client.ask(&["CLIENT", "KILL", "TYPE", "replica"])?),
        4 if !ours_is_killed => {
            report.cuts -= 1;
            report.follower_kills += 1;
            follower.server.start_again()?;
        }
        _ => {
            follower.server.signal("STOP");
            std::thread::sleep(Duration::from_millis(random.below(REST_MS)));
            follower.server.signal("CONT");
        }
    }
    Ok(())
}

impl Writer {
    /// Sends operations, and waits for followers, until somebody says that it is over or the connection ends.
    fn write(&mut self, port: u16, followers: usize, is_over: &AtomicBool) -> io::Result<History> {
        let mut history = History::default();
        match self.write_into(&mut history, port, followers, is_over) {
            // What the server has answered is something else than its end.
            Err(error) if error.kind() == io::ErrorKind::Other => Err(error),
            _ => Ok(history),
        }
    }

    fn write_into(
        &mut self,
        history: &mut History,
        port: u16,
        followers: usize,
        is_over: &AtomicBool,
    ) -> io::Result<()> {
        let mut client = Client::connect(port)?;
        while !is_over.load(Ordering::SeqCst) {
            let first = history.sent.len();
            let mut requests = Vec::new();
            for _ in 0..1 + self.random.below(PIPELINE_MAX) {
                let operation = Operation::any(self.number, self.operations, &mut self.random);
                self.operations += 1;
                operation.request(&mut requests);
                history.sent.push(operation);
            }
            client.send_raw(&requests)?;
            for operation in &history.sent[first..] {
                operation.receive(&mut client)?;
                history.acknowledged += 1;
            }
            if self.random.once_in(4) {
                let wanted = 1 + self.random.below(followers);
                let reply = client.ask(&[
                    "WAIT".into(),
                    wanted.to_string(),
                    (1 + self.random.below(WAIT_MS)).to_string(),
                ])?;
                let told = reply.number().unwrap_or(0) as usize;
                history.awaited.push((history.acknowledged, told));
            }
        }
        Ok(())
    }
}

impl Report {
    fn count(&mut self, histories: &[History]) {
        for history in histories {
            self.acknowledged += history.acknowledged;
            let had = history.awaited.iter().filter(|(_, told)| *told > 0).map(|(count, _)| *count);
            self.awaited += had.max().unwrap_or(0);
        }
    }

    /// Ours is gone: its followers have what they have acknowledged.
    fn judge_followers(
        &mut self,
        followers: &mut [Follower],
        writers: &[Writer],
        histories: &[History],
    ) -> io::Result<()> {
        for (writer, history) in writers.iter().zip(histories) {
            let mut most = Vec::new();
            for follower in &mut *followers {
                let found = State::found(&mut follower.server.client, writer.number)?;
                let counts = writer.state.clone().counts_to(history.sent.iter(), &found);
                most.extend(counts.last().copied());
                if counts.is_empty() {
                    self.findings.push(format!(
                        "{} has of client {} what no number of its {} operations leads to: {found:?}",
                        follower.name,
                        writer.number,
                        history.sent.len()
                    ));
                }
            }
            for &(count, told) in &history.awaited {
                let have = most.iter().filter(|most| **most >= count).count();
                if have < told {
                    self.findings.push(format!(
                        "WAIT has told client {} that {told} followers have its first {count} operations, and {have} do: {most:?}",
                        writer.number
                    ));
                }
            }
        }
        Ok(())
    }

    /// Ours has all that was acknowledged, or a beginning of it where it was killed.
    fn judge_server(
        &mut self,
        server: &mut Server,
        writers: &mut [Writer],
        histories: &[History],
        is_killed: bool,
    ) -> io::Result<()> {
        for (writer, history) in writers.iter_mut().zip(histories) {
            let found = State::found(&mut server.client, writer.number)?;
            let before = std::mem::replace(&mut writer.state, found);
            let counts = before.counts_to(history.sent.iter(), &writer.state);
            let least = if is_killed { 0 } else { history.acknowledged };
            if counts.last().is_none_or(|most| *most < least) {
                self.findings.push(format!(
                    "ours has {counts:?} of {} operations of client {}",
                    history.acknowledged, writer.number
                ));
            }
        }
        Ok(())
    }

    /// Waits until all follow and have everything, and compares.
    fn compare(&mut self, server: &mut Server, followers: &mut [Follower]) -> io::Result<()> {
        let count = followers.len();
        let mut told = 0;
        let all = until(|| {
            server.client.ask(&["INCR", "compared"])?;
            told = server.client.ask(&["WAIT", &count.to_string(), "1000"])?.number().unwrap_or(0) as usize;
            Ok(told >= count)
        });
        if let Err(error) = all {
            let info = server.client.ask(&["INFO", "replication"])?.text();
            self.findings.push(format!("{told} of {count} follow ({error}):\n{info}"));
            return Ok(());
        }
        let told = ["sync_full", "sync_partial_ok"].map(|field| server.client.info_number(field));
        self.full += told[0] - self.told[0];
        self.partial += told[1] - self.told[1];
        self.told = told;
        let digest = server.client.ask(&["DEBUG", "DIGEST"])?.text();
        for follower in followers {
            let theirs = follower.server.client.ask(&["DEBUG", "DIGEST"])?.text();
            if theirs != digest {
                let differing = differing(&mut server.client, &mut follower.server.client)?;
                self.findings.push(format!(
                    "{} has other data: {differing}\n{}",
                    follower.name,
                    follower.server.log_tail(LOG_LINES)
                ));
            }
        }
        Ok(())
    }
}
