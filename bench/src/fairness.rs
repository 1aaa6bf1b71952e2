//! What other clients wait while some send without end, and how very many clients are served that send one request at
//! a time.
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::client::encode;
use crate::generator::{Latencies, flood, one_at_a_time};
use crate::load::{fill, words};
use crate::server::Server;

/// The commands that are sent without end.
const FLOODS: [&str; 3] = ["GET key", "SET key value", "LRANGE list 0 99"];
/// How many clients send them.
const FLOODERS: [usize; 3] = [1, 10, 50];
/// Connections that ask in turn, so that no placement among threads is lucky.
const OTHERS: usize = 4;
/// Between two questions of the others.
const PAUSE: Duration = Duration::from_micros(500);

/// Clients of the second measurement.
const CROWD: usize = 2000;
/// Bytes of its values.
const CROWD_VALUE: usize = 1024;

/// What the others waited.
#[derive(Clone, Debug)]
pub(crate) struct Waiting {
    /// What was sent without end.
    pub(crate) command: &'static str,
    /// By how many.
    pub(crate) clients: usize,
    /// Median, 99.9 % and worst in milliseconds, for each server.
    pub(crate) figures_ms: Vec<[f64; 3]>,
}

/// How a crowd was served.
#[derive(Clone, Debug)]
pub(crate) struct Crowd {
    /// What each of them sends.
    pub(crate) command: &'static str,
    /// Operations a second and 99 % in milliseconds, for each server, one entry per turn.
    pub(crate) turns: Vec<Vec<(f64, f64)>>,
}

/// The PINGs of others beside clients that pipeline without end, for each server in turn.
///
/// # Errors
/// When a server ends or closes a connection.
pub(crate) fn waiting(servers: &[Server], time: Duration) -> Result<Vec<Waiting>> {
    for server in servers {
        let mut client = server.connect()?;
        fill(&mut client, 1, |_| words("SET key value"))?;
        fill(&mut client, 100, |_| words("RPUSH list 0123456789abcdef0123456789abcdef"))?;
    }
    let mut rows = Vec::new();
    for command in FLOODS {
        for clients in FLOODERS {
            println!("fairness: {clients} clients send {command}");
            let figures = servers.iter().map(|server| others(server, command, clients, time));
            rows.push(Waiting { command, clients, figures_ms: figures.collect::<Result<_>>()? });
        }
    }
    Ok(rows)
}

fn others(server: &Server, command: &str, clients: usize, time: Duration) -> Result<[f64; 3]> {
    let mut request = Vec::new();
    encode(&mut request, &words(command));
    let (requests, over) = (request.repeat(500), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let flooding = scope.spawn(|| flood(server.port(), clients, &requests, &over));
        let asked = ask_others(server, time);
        over.store(true, Ordering::Relaxed);
        flooding.join().expect("the generator does not panic")?;
        asked
    })
}

fn ask_others(server: &Server, time: Duration) -> Result<[f64; 3]> {
    let mut others = (0..OTHERS).map(|_| server.connect()).collect::<Result<Vec<_>>>()?;
    let mut latencies = Latencies::new();
    let begin = Instant::now();
    while begin.elapsed() < time {
        for other in &mut others {
            let asked = Instant::now();
            other.call(&["PING"])?;
            latencies.add(asked.elapsed());
            std::thread::sleep(PAUSE);
        }
    }
    Ok([latencies.at(0.5), latencies.at(0.999), latencies.worst_ms()])
}

/// Very many clients without a pipeline, servers in turns there and back.
///
/// # Errors
/// When a server ends or answers with an error.
pub(crate) fn crowd(servers: &[Server], keys: u64, rounds: u32, time: Duration) -> Result<Vec<Crowd>> {
    let value = "v".repeat(CROWD_VALUE);
    let key = |number: u64| format!("key:{number:012}");
    for server in servers {
        let mut client = server.connect()?;
        client.call(&["FLUSHALL"])?;
        fill(&mut client, keys, |number| vec!["SET".to_owned(), key(number), value.clone()])?;
    }
    let made = |words: &[&str]| {
        let mut request = Vec::new();
        encode(&mut request, words);
        request
    };
    // Strides of a large prime visit keys all over the table.
    let names: Vec<String> =
        (0..10_000_u64).map(|number| key(number.wrapping_mul(1_000_003) % keys)).collect();
    let loads: [(&str, Vec<Vec<u8>>, usize); 2] = [
        ("SET", names.iter().map(|name| made(&["SET", name, &value])).collect(), "+OK\r\n".len()),
        ("GET", names.iter().map(|name| made(&["GET", name])).collect(), CROWD_VALUE + "$1024\r\n\r\n".len()),
    ];
    let mut rows = Vec::new();
    for (command, requests, reply_bytes) in loads {
        println!("fairness: {CROWD} clients send {command} one at a time");
        let mut turns = vec![Vec::new(); servers.len()];
        for _ in 0..rounds {
            for turn in (0..servers.len()).chain((0..servers.len()).rev()) {
                let served = one_at_a_time(servers[turn].port(), CROWD, &requests, reply_bytes, time)?;
                turns[turn].push((served.operations_s, served.latencies.at(0.99)));
            }
        }
        rows.push(Crowd { command, turns });
    }
    Ok(rows)
}
