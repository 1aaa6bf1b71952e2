//! Memory that does not come back, and memory that is taken for little.

use std::io;
use std::time::{Duration, Instant};

use swytch_testkit::{Program, Server};

use super::{Attack, Limit, QUIET, push_kilobytes, serve, settled};

pub(super) const ATTACKS: &[Attack] = &[
    Attack {
        name: "flushed-memory",
        what: "FLUSHALL of 300,000 keys of 1 kB, until nothing more is given back",
        unit: "resident MB of data",
        limit: Limit::OfPeer(1.0, 24.0),
        has_peer: true,
        is_for_ci: true,
        act: |program| {
            let mut server = serve(program, 1, &[])?;
            server.client.ask(&["DEBUG", "POPULATE", "300000", "key", "1000"])?;
            server.client.ask(&["FLUSHALL"])?;
            resident_after(&mut server)
        },
    },
    Attack {
        name: "thinned-memory",
        what: "nine of ten among 300,000 keys of 1 kB are deleted, until nothing more is given back",
        unit: "resident bytes of data for one used",
        limit: Limit::OfPeer(1.0, 1.6),
        has_peer: true,
        is_for_ci: false,
        act: |program| {
            let mut server = serve(program, 1, &[])?;
            server.client.ask(&["DEBUG", "POPULATE", "300000", "key", "1000"])?;
            for first in (0..300_000).step_by(1000) {
                let keys = (first..first + 1000).filter(|number| number % 10 != 0);
                let words: Vec<String> = std::iter::once("DEL".to_owned())
                    .chain(keys.map(|number| format!("key:{number}")))
                    .collect();
                server.client.ask(&words)?;
            }
            let resident = resident_after(&mut server)?;
            Ok(resident * 1e6 / server.client.info_number("used_memory") as f64)
        },
    },
    Attack {
        name: "deleted-value",
        what: "DEL of a list of 200 MB, until nothing more is given back",
        unit: "resident MB of data",
        limit: Limit::OfPeer(1.0, 24.0),
        has_peer: true,
        is_for_ci: false,
        act: |program| {
            let mut server = serve(program, 1, &[])?;
            (0..200).try_for_each(|_| push_kilobytes(&mut server.client, 1000))?;
            server.client.ask(&["DEL", "l"])?;
            resident_after(&mut server)
        },
    },
    Attack {
        name: "expired-memory",
        what: "100,000 keys of 1 kB expire, until nothing more is given back",
        unit: "resident MB of data",
        limit: Limit::OfPeer(1.0, 24.0),
        has_peer: true,
        is_for_ci: false,
        act: |program| {
            let mut server = serve(program, 1, &[])?;
            let value = "v".repeat(1000);
            for first in (0..100_000).step_by(1000) {
                let requests: Vec<Vec<String>> = (first..first + 1000)
                    .map(|number| {
                        ["SET", &format!("k:{number}"), &value, "PX", "4000"].map(str::to_owned).to_vec()
                    })
                    .collect();
                server.client.send_all(&requests);
                requests.iter().try_for_each(|_| server.client.receive().map(drop))?;
            }
            let deadline = Instant::now() + Duration::from_secs(30);
            while server.client.call(&["DBSIZE"]).number() != Some(0) && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(100));
            }
            resident_after(&mut server)
        },
    },
    Attack {
        name: "small-list",
        what: "a list of one element of 10 bytes",
        unit: "MEMORY USAGE, bytes",
        limit: Limit::OfPeer(1.0, 72.0),
        has_peer: true,
        is_for_ci: true,
        act: |program| list_usage(program, 1, 0),
    },
    Attack {
        name: "shrunken-list",
        what: "1,000 elements are pushed to a list and 995 popped",
        unit: "MEMORY USAGE, bytes",
        limit: Limit::OfPeer(1.0, 192.0),
        has_peer: true,
        is_for_ci: true,
        act: |program| list_usage(program, 1000, 995),
    },
    Attack {
        name: "many-small-lists",
        what: "100,000 lists of one element of 10 bytes",
        unit: "used bytes per list",
        limit: Limit::OfPeer(1.0, 96.0),
        has_peer: true,
        is_for_ci: false,
        act: |program| {
            const LISTS: i64 = 100_000;
            let mut server = serve(program, 1, &[])?;
            let before = server.client.info_number("used_memory");
            for first in (0..LISTS).step_by(1000) {
                let requests: Vec<Vec<String>> = (first..first + 1000)
                    .map(|number| {
                        ["RPUSH", &format!("list:{number}"), "0123456789"].map(str::to_owned).to_vec()
                    })
                    .collect();
                server.client.send_all(&requests);
                requests.iter().try_for_each(|_| server.client.receive().map(drop))?;
            }
            Ok((server.client.info_number("used_memory") - before) as f64 / LISTS as f64)
        },
    },
];

fn list_usage(program: &Program, pushed: usize, popped: usize) -> io::Result<f64> {
    let mut server = serve(program, 1, &[])?;
    let words: Vec<&str> = ["RPUSH", "l"].into_iter().chain((0..pushed).map(|_| "0123456789")).collect();
    server.client.ask(&words)?;
    for _ in 0..popped {
        server.client.ask(&["LPOP", "l"])?;
    }
    let usage = server.client.ask(&["MEMORY", "USAGE", "l", "SAMPLES", "0"])?;
    Ok(usage.number().unwrap_or(0) as f64)
}

/// Resident memory in MB, code left out, when it has not shrunk for a time in which clients ask for little.
fn resident_after(server: &mut Server) -> io::Result<f64> {
    settled(QUIET, || {
        server.client.ask(&["PING"])?;
        swytch_bench::process::private_bytes(server.pid())
            .map(|bytes| bytes as f64 / 1e6)
            .map_err(|error| io::Error::other(error.to_string()))
    })
}
