//! However much one client asks for, others have their turn; and what concerns the whole server waits for no client.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use swytch_testkit::client::encode;
use swytch_testkit::{Client, Program, Reply, Server, ours};

fn start(program: &Program, file: &str) -> Server {
    program.start("fairness", &format!("save \"\"\n{file}"))
}

/// Pipelines `request` for as long as `stop` is not set, in `clients` connections, and reads what comes.
fn flood(port: u16, clients: usize, request: &[u8], stop: &AtomicBool, act: impl FnOnce()) {
    std::thread::scope(|scope| {
        for _ in 0..clients {
            let client = Client::open(port);
            let mut sends = client.socket().try_clone().expect("a socket");
            let reads = client.socket().try_clone().expect("a socket");
            let bytes = request.repeat((64 << 10) / request.len());
            scope.spawn(move || {
                use std::io::Write;
                while !stop.load(Ordering::Relaxed) && sends.write_all(&bytes).is_ok() {}
                // So that the reader comes to its end.
                let _ = sends.shutdown(std::net::Shutdown::Both);
            });
            scope.spawn(move || {
                use std::io::Read;
                let (mut reads, mut buffer) = (reads, vec![0; 1 << 20]);
                while reads.read(&mut buffer).is_ok_and(|read| read > 0) {}
                drop(client);
            });
        }
        act();
        stop.store(true, Ordering::Relaxed);
    });
}

/// The worst of many PINGs while one client pipelines.
fn worst_ping(server: &Server, request: &[u8]) -> Duration {
    let mut client = server.connect();
    let stop = AtomicBool::new(false);
    let mut worst = Duration::ZERO;
    flood(server.port, 1, request, &stop, || {
        std::thread::sleep(Duration::from_millis(1500));
        let until = Instant::now() + Duration::from_secs(2);
        while Instant::now() < until {
            let began = Instant::now();
            client.call(&["PING"]);
            worst = worst.max(began.elapsed());
        }
    });
    worst
}

#[test]
fn others_are_answered_while_one_client_pipelines_without_end() {
    let redis = Program::redis().map(|program| start(&program, ""));
    let ours = start(&ours!(), "threads 1\n");
    for request in [encode(&["GET", "k"]), encode(&["LRANGE", "l", "0", "-1"])] {
        for server in std::iter::once(&ours).chain(&redis) {
            let mut words = vec!["RPUSH", "l"];
            words.resize(102, "element");
            server.connect().call(&["DEL", "l"]);
            server.connect().call(&words);
        }
        // Other work of the machine comes into it: some tries, and the best counts.
        let best = |server| (0..3).map(|_| worst_ping(server, &request)).min().expect("some tries");
        let (here, there) = (best(&ours), redis.as_ref().map(best));
        let allowed = there.unwrap_or_default() * 4 + Duration::from_millis(100);
        assert!(here < allowed, "worst PING {here:?}, of Redis {there:?}");
    }
}

/// Gives the first of two workers one command that takes seconds, and answers who waits for it, with others of both
/// workers. It holds one shard's lock.
fn keep_a_worker_busy(server: &Server) -> (Client, Vec<Client>) {
    let mut words = vec!["RPUSH", "l"];
    words.resize(20_002, "element");
    let mut others = vec![server.connect()];
    let mut busy = server.connect();
    busy.call(&words);
    others.extend((0..4).map(|_| server.connect()));
    busy.call(&["MULTI"]);
    let requests = vec![vec!["LPOS", "l", "missing"]; 50_000];
    busy.send_all(&requests);
    requests.iter().for_each(|_| assert_eq!(busy.reply().text(), "QUEUED"));
    busy.send(&["EXEC"]);
    std::thread::sleep(Duration::from_millis(100));
    for client in &mut others {
        client.set_patience(Duration::from_secs(2));
    }
    (busy, others)
}

/// The reply, which may be an error; nothing when none comes.
fn ask(client: &mut Client, words: &[&str]) -> Option<Reply> {
    client.send(words);
    client.receive().ok()
}

#[test]
fn a_full_server_refuses_although_a_worker_is_busy() {
    let server = start(&ours!(), "threads 2\nmaxmemory 64mb\n");
    let (mut busy, mut writers) = keep_a_worker_busy(&server);
    let value = "v".repeat(1 << 20);
    // Each has a key of its own, because one may share the busy shard; who shares the worker is not answered.
    let refused = writers.iter_mut().enumerate().any(|(at, client)| {
        let key = format!("key-{at}");
        let mut replies = (0..200).map_while(|_| ask(client, &["RPUSH", &key, &value]));
        replies.any(|reply| matches!(reply, Reply::Error(text) if text.starts_with("OOM")))
    });
    assert!(!busy.hears_within(Duration::from_millis(1)), "it was done too early to prove anything");
    assert!(refused, "200 MB were taken with a limit of 64 MB");
}

#[test]
fn values_are_freed_although_a_worker_is_busy() {
    let server = start(&ours!(), "threads 2\n");
    let value = "v".repeat(1 << 20);
    let mut admin = server.connect();
    for at in 0..100 {
        admin.call(&["RPUSH", &format!("key-{}", at % 5), &value]);
    }
    let (mut busy, mut others) = keep_a_worker_busy(&server);
    // INFO would wait for the busy shard: whether memory is free again shows in what is refused for want of it.
    let set_limit = |client: &mut Client| {
        let limit = (100 << 20).to_string();
        ask(client, &["CONFIG", "SET", "maxmemory", &limit]).is_some()
    };
    let freed = others.iter_mut().enumerate().any(|(at, client)| {
        // Who shares the busy worker, or whose key shares its shard, is not answered.
        let key = format!("new-{at}");
        let full = |client: &mut Client| matches!(ask(client, &["SET", &key, "1"]), Some(Reply::Error(_)));
        set_limit(client)
            && full(client)
            && ask(client, &["UNLINK", &format!("key-{at}")]).is_some()
            && (0..100).any(|_| {
                std::thread::sleep(Duration::from_millis(20));
                matches!(ask(client, &["SET", &key, "1"]), Some(Reply::Simple(_)))
            })
    });
    assert!(!busy.hears_within(Duration::from_millis(1)), "it was done too early to prove anything");
    assert!(freed, "a value of 20 MB was not freed");
}
