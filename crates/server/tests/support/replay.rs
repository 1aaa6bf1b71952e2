//! Sends a recording of effects (DEBUG RECORD-EFFECTS) to an empty server and counts what it did not accept.
//!
//! Nothing but the standard library, because the development commands use this file too.

use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

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

/// How long one command may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Errors kept.
const ERRORS_MAX: usize = 20;

/// Sends the file to the server at `port` of this machine, whose own expiry is switched off before.
///
/// # Errors
/// When the file cannot be read or the connection fails.
pub fn replay(file: &Path, port: u16) -> io::Result<Replayed> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut replies = BufReader::new(stream.try_clone()?);
    let mut replayed = Replayed::default();
    let mut requests = BufWriter::new(stream);
    for line in ["DEBUG SET-ACTIVE-EXPIRE 0\r\n", "DEBUG REPLAY ON\r\n"] {
        requests.write_all(line.as_bytes())?;
        requests.flush()?;
        read(&mut replies, &mut replayed)?;
    }
    let mut recording = std::fs::File::open(file)?;
    std::thread::scope(|scope| {
        // Replies are read meanwhile, or both sides would wait for each other with full buffers.
        let writer = scope.spawn(move || {
            io::copy(&mut recording, &mut requests)?;
            requests.write_all(format!("DEBUG ERROR {END}\r\nDEBUG DIGEST\r\n").as_bytes())?;
            requests.flush()
        });
        while read(&mut replies, &mut replayed)?.get(1..) != Some(END) {}
        replayed.digest = read(&mut replies, &mut replayed)?.split_off(1);
        writer.join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into()))
    })?;
    Ok(replayed)
}

/// The error that is provoked behind the last command, to know its reply.
const END: &str = "END-OF-REPLAY";

/// Reads one reply and everything in it; answers its first line.
fn read(replies: &mut impl BufRead, replayed: &mut Replayed) -> io::Result<String> {
    let mut line = String::new();
    if replies.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    line.truncate(line.trim_end().len());
    let length = line.get(1..).and_then(|digits| digits.parse::<i64>().ok()).unwrap_or(-1);
    match line.as_bytes().first() {
        Some(b'-') if replayed.errors.len() < ERRORS_MAX && line[1..] != *END => {
            replayed.errors.push(line.clone())
        }
        Some(b'$') if length >= 0 => skip(replies, length as usize + 2)?,
        Some(b'*') => {
            for _ in 0..length {
                read(replies, replayed)?;
            }
        }
        _ => {}
    }
    replayed.replies += 1;
    Ok(line)
}

fn skip(replies: &mut impl BufRead, mut bytes: usize) -> io::Result<()> {
    while bytes > 0 {
        let ready = replies.fill_buf()?.len();
        if ready == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let taken = ready.min(bytes);
        replies.consume(taken);
        bytes -= taken;
    }
    Ok(())
}
