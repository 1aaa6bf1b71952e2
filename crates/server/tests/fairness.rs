//! However much one client asks for, others have their turn; and what concerns the whole server waits for no client.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use swytch_testkit::client::encode;
use swytch_testkit::{Client, Program, Server, ours};

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
