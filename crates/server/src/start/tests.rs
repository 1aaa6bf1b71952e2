//! The whole server in this process, on a disk whose syncs stall: what it has answered by then.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use swytch_testkit::{Client, Reply, process};

use super::*;
use crate::config::Loader;
use crate::system::torn_disk::TornDisk;

/// How long something may take that happens at once.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server with one worker, so that what has come round has come round for everybody.
struct Running {
    server: Arc<Server>,
    port: u16,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Running {
    fn start(disk: &TornDisk, lines: &str) -> Running {
        let port = process::free_port();
        let mut loader = Loader::new();
        let text = format!("port {port}\nsave \"\"\nappendonly yes\n{lines}");
        loader.command_line(text.as_bytes()).expect("the lines are right");
        let config = loader.finish().expect("they fit one another").config;
        let commands = CommandTable::new(commands::SPECS, &[]).expect("names of one command each");
        let server = Server::new(config, 1, commands, Arc::new(disk.clone())).expect("a server");
        let own = Arc::clone(&server);
        let thread = Some(std::thread::spawn(move || run(commands, &own, |_| Ok(()))));
        Running { server, port, thread }
    }

    fn connect(&self) -> Client {
        let began = Instant::now();
        loop {
            match Client::connect(self.port) {
                Ok(client) => return client,
                Err(error) => assert!(began.elapsed() < PATIENCE, "nobody listens: {error}"),
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Commands that have run.
    fn commands(&self) -> u64 {
        self.server.workers[0].stats.commands_processed()
    }

    /// Lets the worker look twice whether there is anything to send.
    #[track_caller]
    fn come_round(&self) {
        let worker = &self.server.workers[0];
        let turns = worker.stats.turns.get();
        until(|| {
            worker.mailbox.send(Mail::Released);
            worker.stats.turns.get() >= turns + 2
        });
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.server.stop();
        let ended = self.thread.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            assert!(matches!(ended, Some(Ok(Ok(())))), "it has served: {ended:?}");
        }
    }
}

#[track_caller]
fn until(mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "it does not come to that");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The syncs of a disk go on when this is dropped, so that a server on it can end.
struct Stalled<'d>(&'d TornDisk);

impl Drop for Stalled<'_> {
    fn drop(&mut self) {
        self.0.set_sync_stalls(false);
    }
}

#[test]
fn no_reply_leaves_while_a_sync_stalls() {
    let disk = TornDisk::default();
    let running = Running::start(&disk, "appendfsync always\n");
    let [mut writer, mut reader, mut pusher, mut waiting] = [(); 4].map(|()| running.connect());
    assert_eq!(writer.say("SET key before"), Reply::Simple("OK".into()));
    waiting.send(&["BLPOP", "list", "0"]);
    until(|| running.server.parked_clients.load(Ordering::SeqCst) == 1);

    disk.set_sync_stalls(true);
    let stalled = Stalled(&disk);
    let had_run = running.commands();
    writer.send(&["SET", "key", "behind"]);
    disk.await_stalled_sync();
    // It tells of what is not safe.
    reader.send(&["GET", "key"]);
    until(|| running.commands() >= had_run + 2);
    pusher.send(&["RPUSH", "list", "element"]);
    until(|| running.server.parked_clients.load(Ordering::SeqCst) == 0);
    running.come_round();
    let clients =
        [("SET", &mut writer), ("GET", &mut reader), ("RPUSH", &mut pusher), ("BLPOP", &mut waiting)];
    for (command, client) in clients {
        assert!(!client.hears_within(Duration::from_millis(1)), "{command} was answered");
    }

    drop(stalled);
    assert_eq!(writer.reply(), Reply::Simple("OK".into()));
    assert_eq!(reader.reply().text(), "behind");
    assert_eq!(pusher.reply(), Reply::Integer(1));
    assert_eq!(waiting.reply().elements().len(), 2);
}
