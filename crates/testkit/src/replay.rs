//! Sends a recording of effects (DEBUG RECORD-EFFECTS) to an empty server and counts what it did not accept.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use crate::client::Client;
use crate::reply::Reply;

/// What came of a replay.
#[derive(Debug, Default)]
pub struct Replayed {
    /// Replies to the commands of the file.
    pub replies: u64,
    /// The first errors among them; there is none where the recording is true.
    pub errors: Vec<String>,
    /// The fingerprint of the keyspace afterwards.
    pub digest: String,
}

/// Errors kept.
const ERRORS_MAX: usize = 20;

/// The error that is sent for behind the last command, to know its reply.
const END: &str = "END-OF-REPLAY";

/// Sends the file to the server at `port` of this machine, whose own expiry is switched off before.
///
/// # Errors
/// When the file cannot be read or the connection fails.
pub fn replay(file: &Path, port: u16) -> io::Result<Replayed> {
    let mut client = Client::connect(port)?;
    client.ask(&["DEBUG", "SET-ACTIVE-EXPIRE", "0"])?;
    client.ask(&["DEBUG", "REPLAY", "ON"])?;
    let mut recording = std::fs::File::open(file)?;
    let mut requests = BufWriter::new(client.socket().try_clone()?);
    let mut replayed = Replayed::default();
    std::thread::scope(|scope| {
        // Replies are read meanwhile, or both sides would wait for each other with full buffers.
        let writer = scope.spawn(move || {
            io::copy(&mut recording, &mut requests)?;
            requests.write_all(format!("DEBUG ERROR {END}\r\nDEBUG DIGEST\r\n").as_bytes())?;
            requests.flush()
        });
        loop {
            match client.receive()? {
                Reply::Error(text) if text == END => break,
                reply => replayed.count(&reply),
            }
        }
        replayed.digest = client.receive()?.text();
        writer.join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into()))
    })?;
    Ok(replayed)
}

impl Replayed {
    fn count(&mut self, reply: &Reply) {
        self.replies += 1;
        match reply {
            Reply::Error(text) if self.errors.len() < ERRORS_MAX => self.errors.push(text.clone()),
            Reply::Array(elements) => elements.iter().for_each(|element| self.count(element)),
            _ => {}
        }
    }
}
