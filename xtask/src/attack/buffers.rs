//! What connections hold: replies, requests, and what is left of them.

use std::io;
use std::time::Duration;

use swytch_testkit::{Client, Reply, Server};

use super::{Attack, Limit, PATIENCE, QUIET, fault, push_kilobytes, serve, settled};

pub(super) const ATTACKS: &[Attack] = &[
    Attack {
        name: "reply-beyond-limit",
        what: "MGET of 640 MB in all where client-output-buffer-limit is 12 MB",
        unit: "peak of resident memory beyond the data, MB",
        limit: Limit::OfPeer(1.2, 64.0),
        has_peer: true,
        is_for_ci: true,
        act: |program| {
            let mut server = serve(program, 1, &["--client-output-buffer-limit", "normal 12mb 0 0"])?;
            let value = "v".repeat(16 << 20);
            server.client.ask(&["SET", "big", &value])?;
            let before = peak(&server)?;
            let mut client = server.connect();
            let words: Vec<&str> = std::iter::once("MGET").chain((0..40).map(|_| "big")).collect();
            client.send(&words);
            client.set_patience(Duration::from_secs(20));
            let _ = client.is_closed();
            Ok(peak(&server)? - before)
        },
    },
    Attack {
        name: "large-replies",
        what: "300 MB of pipelined LRANGE, read slowly",
        unit: "peak of resident memory beyond the data, MB",
        limit: Limit::OfPeer(1.2, 64.0),
        has_peer: true,
        is_for_ci: false,
        act: |program| {
            let mut server = serve(program, 1, &[])?;
            push_kilobytes(&mut server.client, 10_000)?;
            let before = peak(&server)?;
            let mut client = server.connect();
            client.send_raw(&b"LRANGE l 0 -1\r\n".repeat(30))?;
            std::thread::sleep(Duration::from_secs(1));
            (0..30).try_for_each(|_| client.receive().map(drop))?;
            Ok(peak(&server)? - before)
        },
    },
    Attack {
        name: "slow-subscribers",
        what: "ten subscribers of which none reads, client-output-buffer-limit 1 MB, and 200 MB of messages of 4 kB",
        unit: "peak of resident memory beyond the start, MB",
        limit: Limit::OfPeer(1.2, 48.0),
        has_peer: true,
        is_for_ci: true,
        act: |program| {
            let mut server = serve(program, 2, &["--client-output-buffer-limit", "pubsub 1mb 0 0"])?;
            let mut silent: Vec<Client> = (0..10).map(|_| server.connect()).collect();
            silent.iter_mut().try_for_each(|client| client.ask(&["SUBSCRIBE", "c"]).map(drop))?;
            let before = peak(&server)?;
            let message = "m".repeat(4096);
            let requests = vec![vec!["PUBLISH", "c", &message]; 500];
            for _ in 0..100 {
                server.client.send_all(&requests);
                (0..500).try_for_each(|_| server.client.receive().map(drop))?;
            }
            Ok(peak(&server)? - before)
        },
    },
    Attack {
        name: "departed-waiters",
        what: "twenty clients wait in BLPOP for a key of 1 MB and go: closing, reset, killed",
        unit: "used_memory that stays, kB",
        limit: Limit::OfPeer(1.0, 300.0),
        has_peer: true,
        is_for_ci: true,
        act: |program| {
            let mut server = serve(program, 2, &[])?;
            let key = "k".repeat(1 << 20);
            // Once for what is made on first use.
            depart(&mut server, &key, 3);
            std::thread::sleep(Duration::from_secs(3));
            let before = server.client.info_number("used_memory");
            depart(&mut server, &key, 20);
            settled(QUIET, || Ok(((server.client.info_number("used_memory") - before) as f64 / 1e3).max(0.0)))
        },
    },
    Attack {
        name: "idle-buffers",
        what: "maxmemory 100mb; eight clients SET and DEL 10 MB each and then are idle",
        unit: "whether a small SET is refused",
        limit: Limit::None,
        has_peer: true,
        is_for_ci: true,
        act: |program| {
            let mut server = serve(program, 2, &["--maxmemory", "100mb"])?;
            let value = "v".repeat(10 << 20);
            let mut clients: Vec<_> = (0..8).map(|_| server.connect()).collect();
            for client in &mut clients {
                client.ask(&["SET", "k", &value])?;
                client.ask(&["DEL", "k"])?;
            }
            settled(PATIENCE, || Ok(fault(server.say("SET a b") != Reply::ok())))
        },
    },
    Attack {
        name: "idle-reply-buffers",
        what: "eight clients GET 10 MB each and then are idle",
        unit: "MB that they still hold",
        limit: Limit::OfPeer(1.0, 1.0),
        has_peer: true,
        is_for_ci: true,
        act: |program| {
            let mut server = serve(program, 2, &[])?;
            server.client.ask(&["SET", "k", &"v".repeat(10 << 20)])?;
            let mut clients: Vec<_> = (0..8).map(|_| server.connect()).collect();
            let before = server.client.info_number("used_memory");
            for client in &mut clients {
                client.ask(&["GET", "k"])?;
            }
            settled(QUIET, || Ok(((server.client.info_number("used_memory") - before) as f64 / 1e6).max(0.0)))
        },
    },
];

/// So many clients wait for the key and go in one of three ways.
fn depart(server: &mut Server, key: &str, count: usize) {
    for number in 0..count {
        let mut waiter = server.connect();
        let id = waiter.say("CLIENT ID").text();
        waiter.send(&["BLPOP", key, "0"]);
        server.client.await_blocked(1);
        match number % 3 {
            0 => drop(waiter),
            1 => waiter.reset(),
            _ => _ = server.client.call(&["CLIENT", "KILL", "ID", &id]),
        }
        server.client.await_blocked(0);
    }
}

/// The most resident memory so far, in MB.
fn peak(server: &Server) -> io::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kilobytes.map(|kilobytes| kilobytes / 1024.0).ok_or_else(|| io::Error::other("no VmHWM"))
}
