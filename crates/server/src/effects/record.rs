//! Recording the effect stream to a file (DEBUG RECORD-EFFECTS).
//!
//! The file is a list of commands in RESP. Sent to an empty server over a connection that replays (DEBUG REPLAY
//! ON) it gives the same keyspace, which is the proof that every change is an effect.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;

use super::CommandStream;
use super::order::{Consumer, Order};

/// Longest wait for something to write.
const PATIENCE: Duration = Duration::from_millis(100);

/// The recording in progress, if there is one.
#[derive(Debug, Default)]
pub struct Recording(Mutex<Option<Running>>);

#[derive(Debug)]
struct Running {
    ends: Arc<AtomicBool>,
    writer: JoinHandle<std::io::Result<()>>,
}

impl Recording {
    /// Begins to record into a new file. The caller holds all shards' locks.
    ///
    /// # Errors
    /// When a recording is in progress, or the file exists or cannot be made.
    pub fn start(&self, order: &Arc<Order>, path: &str) -> std::io::Result<()> {
        let mut recording = self.0.lock();
        if recording.is_some() {
            return Err(std::io::Error::other("effects are being recorded already"));
        }
        let file = File::create_new(path)?;
        let ends = Arc::new(AtomicBool::new(false));
        let (order, consumer, ending) = (Arc::clone(order), order.join(), Arc::clone(&ends));
        let run = move || {
            let written = write(file, &order, consumer, &ending);
            // Also when it has failed, which `stop` reports: nobody is to be held back because of it.
            order.leave(consumer);
            written
        };
        let writer = std::thread::Builder::new().name("swytch-record".into()).spawn(run)?;
        *recording = Some(Running { ends, writer });
        Ok(())
    }

    /// Ends the recording; the file is complete when this returns. The caller holds all shards' locks.
    ///
    /// # Errors
    /// When none is in progress, or writing the file has failed.
    pub fn stop(&self, order: &Order) -> std::io::Result<()> {
        let Some(Running { ends, writer }) = self.0.lock().take() else {
            return Err(std::io::Error::other("no effects are being recorded"));
        };
        ends.store(true, Ordering::SeqCst);
        order.ring();
        writer.join().unwrap_or_else(|_| Err(std::io::Error::other("the thread that writes them has failed")))
    }
}

/// Bytes of commands that are written at a time: a round may be long where this thread seldom has the processor.
const PIECE_BYTES: usize = 64 << 10;

fn write(file: File, order: &Order, consumer: Consumer, ends: &AtomicBool) -> std::io::Result<()> {
    let (mut file, mut stream, mut commands) = (BufWriter::new(file), CommandStream::default(), Vec::new());
    loop {
        // Looked at first: what was published before it was set is read below.
        let is_last = ends.load(Ordering::SeqCst);
        let rounds = order.read(consumer);
        for round in &rounds {
            let mut written = Ok(());
            round.each(|group| {
                stream.append(group, &mut commands);
                if commands.len() >= PIECE_BYTES && written.is_ok() {
                    written = file.write_all(&commands);
                    commands.clear();
                }
            });
            written.and_then(|()| file.write_all(&commands))?;
            commands.clear();
        }
        if is_last && rounds.is_empty() {
            return file.flush();
        }
        if rounds.is_empty() {
            order.wait(consumer, PATIENCE);
        }
    }
}
