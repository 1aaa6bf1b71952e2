//! PUBLISH to very many subscribers: CPU time of the server per delivery.
use std::time::Duration;

use anyhow::Result;

use crate::client::{Client, encode};
use crate::generator::Listeners;
use crate::server::Server;

/// Connections that are subscribed to the channel.
pub(crate) const SUBSCRIBERS: usize = 1000;
/// Messages that are sent at a time.
const PIPELINES: [usize; 3] = [1, 16, 100];
/// Bytes of a message.
const MESSAGE_BYTES: usize = 64;
const CHANNEL: &str = "news";

/// One row of the table.
#[derive(Clone, Debug)]
pub(crate) struct Deliveries {
    /// Messages sent at a time.
    pub(crate) pipeline: usize,
    /// Nanoseconds of CPU time for each server, one entry per turn.
    pub(crate) turns_ns: Vec<Vec<f64>>,
}

/// Each turn delivers about `deliveries` messages, servers in turns there and back.
///
/// # Errors
/// When a server ends or closes a connection.
pub(crate) fn measure(servers: &[Server], deliveries: u64, rounds: u32) -> Result<Vec<Deliveries>> {
    let mut subscribe = Vec::new();
    encode(&mut subscribe, &["SUBSCRIBE", CHANNEL]);
    let confirmation = format!("*3\r\n$9\r\nsubscribe\r\n${}\r\n{CHANNEL}\r\n:1\r\n", CHANNEL.len());
    let mut audiences = Vec::new();
    for server in servers {
        let mut listeners = Listeners::connect(server.port(), SUBSCRIBERS, &subscribe)?;
        listeners.receive(SUBSCRIBERS * confirmation.len())?;
        audiences.push((server, server.connect()?, listeners));
    }
    let mut rows = Vec::new();
    for pipeline in PIPELINES {
        println!("messages: PUBLISH to {SUBSCRIBERS} subscribers at pipeline {pipeline}");
        let batches = (deliveries as usize / SUBSCRIBERS / pipeline).max(1);
        let mut turns_ns = vec![Vec::new(); servers.len()];
        for _ in 0..rounds {
            for turn in (0..servers.len()).chain((0..servers.len()).rev()) {
                let (server, publisher, listeners) = &mut audiences[turn];
                let before = server.cpu_time()?;
                for _ in 0..batches {
                    publish(publisher, listeners, pipeline)?;
                }
                let used: Duration = server.cpu_time()? - before;
                turns_ns[turn].push(used.as_nanos() as f64 / (batches * pipeline * SUBSCRIBERS) as f64);
            }
        }
        rows.push(Deliveries { pipeline, turns_ns });
    }
    Ok(rows)
}

/// Sends a batch and waits until everybody has all of it.
fn publish(publisher: &mut Client, listeners: &mut Listeners, pipeline: usize) -> Result<()> {
    let text = "m".repeat(MESSAGE_BYTES);
    let mut request = Vec::new();
    encode(&mut request, &["PUBLISH", CHANNEL, &text]);
    let mut received = Vec::new();
    encode(&mut received, &["message", CHANNEL, &text]);
    publisher.send(&request.repeat(pipeline))?;
    (0..pipeline).try_for_each(|_| publisher.receive().map(drop))?;
    listeners.receive(received.len() * pipeline * SUBSCRIBERS)
}
