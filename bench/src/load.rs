//! Filling a server with exactly the keys a measurement needs, through one pipelined connection.
use anyhow::{Result, bail};

use crate::client::{Client, Reply, encode};

/// Commands per write. Small enough that neither side ever waits for the other's full socket buffer.
const BATCH: u64 = 500;

/// Sends `count` commands, number `n` made by `command(n)`, and checks every reply for an error.
pub(crate) fn fill(client: &mut Client, count: u64, command: impl Fn(u64) -> Vec<String>) -> Result<()> {
    let mut requests = Vec::new();
    let mut next = 0;
    while next < count {
        let end = count.min(next + BATCH);
        requests.clear();
        for number in next..end {
            encode(&mut requests, &command(number));
        }
        client.send(&requests)?;
        for number in next..end {
            if let Reply::Error(text) = client.receive()? {
                bail!("{} answered: {text}", command(number).join(" "));
            }
        }
        next = end;
    }
    Ok(())
}

/// Words of a command line as owned strings.
pub(crate) fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}
