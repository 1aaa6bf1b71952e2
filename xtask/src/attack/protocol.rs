//! Bytes that are no requests, and requests that are larger than allowed.

use std::io;
use std::time::Duration;

use swytch_testkit::{Client, Program, Reply};

use super::{Attack, Limit, fault, serve};

pub(super) const ATTACKS: &[Attack] = &[
    Attack {
        name: "smuggle-bulk",
        what: "a value longer than proto-max-bulk-len, behind a PING, has commands in it",
        unit: "whether anything but the error and the end came",
        limit: Limit::None,
        has_peer: true,
        is_for_ci: true,
        act: |program| {
            let value = b"\r\n*1\r\n$8\r\nFLUSHALL\r\n".repeat(100_000);
            let head = format!("PING\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${}\r\n", value.len());
            let end = "+PONG\r\n-ERR Protocol error: invalid bulk length\r\n";
            smuggled(program, &[head.as_bytes(), &value].concat(), end)
        },
    },
    Attack {
        name: "smuggle-count",
        what: "a count of arguments that is too large, behind a PING, is followed by a command",
        unit: "whether anything but the error and the end came",
        limit: Limit::None,
        has_peer: true,
        is_for_ci: true,
        act: |program| {
            let end = "+PONG\r\n-ERR Protocol error: invalid multibulk length\r\n";
            smuggled(program, b"PING\r\n*2147483648\r\nDEL canary\r\n", end)
        },
    },
    Attack {
        name: "smuggle-in-transaction",
        what: "the same inside MULTI, and behind a command that fails",
        unit: "whether anything but the error and the end came",
        limit: Limit::None,
        has_peer: true,
        is_for_ci: true,
        act: |program| {
            let end = "+OK\r\n-ERR wrong number of arguments for 'get' command\r\n\
                       -ERR Protocol error: expected '$', got 'D'\r\n";
            smuggled(program, b"MULTI\r\nGET\r\n*2\r\nDEL canary\r\nDEL canary\r\n", end)
        },
    },
    Attack {
        name: "large-request",
        what: "MSET of twice 700 kB where client-query-buffer-limit is 1 MB",
        unit: "whether it was refused",
        limit: Limit::None,
        has_peer: true,
        is_for_ci: true,
        act: |program| {
            let server = serve(program, 1, &["--client-query-buffer-limit", "1mb"])?;
            let value = "v".repeat(700_000);
            let mut client = server.connect();
            let reply = client.ask(&["MSET", "a", &value, "b", &value]);
            Ok(fault(reply.ok() != Some(Reply::ok())))
        },
    },
    Attack {
        name: "transaction-queue",
        what: "30 times SET of 100 kB inside MULTI where client-query-buffer-limit is 1 MB",
        unit: "commands that were queued beyond the tenth",
        limit: Limit::None,
        has_peer: true,
        is_for_ci: true,
        act: |program| {
            let server = serve(program, 1, &["--client-query-buffer-limit", "1mb"])?;
            let value = "v".repeat(100_000);
            let mut client = server.connect();
            client.ask(&["MULTI"])?;
            let queued = (0..30).take_while(|_| client.ask(&["SET", "k", &value]).is_ok()).count();
            Ok(queued.saturating_sub(10) as f64)
        },
    },
    Attack {
        name: "inline-zero",
        what: "an inline SET whose value holds a zero byte",
        unit: "whether a cut value was stored without an error",
        limit: Limit::None,
        has_peer: false,
        is_for_ci: true,
        act: |program| {
            let server = serve(program, 1, &[])?;
            let mut client = server.connect();
            client.send_raw(b"SET k a\0b\r\n")?;
            let accepted = client.receive().is_ok_and(|reply| !reply.is_error());
            Ok(fault(accepted && server.connect().say("GET k") != Reply::bulk("a\0b")))
        },
    },
    Attack {
        name: "shrinking-list-of-keys",
        what: "20,000 pipelined WATCH of one key each",
        unit: "seconds of the server's CPU",
        limit: Limit::OfPeer(1.5, 0.5),
        has_peer: true,
        is_for_ci: false,
        act: |program| {
            const KEYS: usize = 20_000;
            let server = serve(program, 1, &[])?;
            let mut client = server.connect();
            let requests: String = (0..KEYS).map(|key| format!("WATCH key:{key}\r\n")).collect();
            let before = cpu(&server)?;
            client.send_raw(requests.as_bytes())?;
            (0..KEYS).try_for_each(|_| client.receive().map(drop))?;
            Ok(cpu(&server)? - before)
        },
    },
];

fn cpu(server: &swytch_testkit::Server) -> io::Result<f64> {
    swytch_bench::process::cpu_time(server.pid())
        .map(|time| time.as_secs_f64())
        .map_err(|error| io::Error::other(error.to_string()))
}

/// Sends the bytes; whether anything but the expected replies and the end came, or a key is missing.
fn smuggled(program: &Program, bytes: &[u8], expected: &str) -> io::Result<f64> {
    let server = serve(program, 1, &["--proto-max-bulk-len", "1mb"])?;
    let mut other = server.connect();
    other.ask(&["SET", "canary", "alive"])?;
    let mut client: Client = server.connect();
    // The server may close before it has read everything.
    let _ = client.send_raw(bytes);
    let (heard, closed) = client.receive_all(Duration::from_secs(2));
    // A reset that follows unread bytes may overtake the replies, so they may be cut.
    let as_expected = closed && expected.as_bytes().starts_with(&heard);
    Ok(fault(!as_expected || other.say("GET canary") != Reply::bulk("alive")))
}
