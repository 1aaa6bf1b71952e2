//! Recording the effect stream to a file (DEBUG RECORD-EFFECTS).
//!
//! The file is a list of commands in RESP. Sent to an empty server over a connection that replays (DEBUG REPLAY
//! ON) it gives the same keyspace, which is the proof that every change is an effect. A listener may not wait
//! for a disk under the shards' locks, so it queues what it is given and a thread writes.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use parking_lot::Mutex;

use super::{EffectHub, EffectListener};

/// Groups of effects that may wait for the disk; a writer beyond them waits too.
const QUEUED_GROUPS_MAX: usize = 65_536;

/// The recording in progress, if there is one.
#[derive(Debug, Default)]
pub struct Recording(Mutex<Option<Running>>);

#[derive(Debug)]
struct Running {
    listener: Arc<FileListener>,
    writer: JoinHandle<std::io::Result<()>>,
}

#[derive(Debug)]
struct FileListener(Mutex<Option<SyncSender<Vec<u8>>>>);

impl EffectListener for FileListener {
    fn effects(&self, commands: &[u8]) {
        if let Some(queue) = &*self.0.lock() {
            // The writer ends early only when the disk fails, which `stop` reports.
            let _ = queue.send(commands.to_vec());
        }
    }
}

impl Recording {
    /// Begins to record into a new file. The caller holds all shards' locks.
    ///
    /// # Errors
    /// When a recording is in progress, or the file exists or cannot be made.
    pub fn start(&self, effects: &EffectHub, path: &str) -> std::io::Result<()> {
        let mut recording = self.0.lock();
        if recording.is_some() {
            return Err(std::io::Error::other("effects are being recorded already"));
        }
        let file = File::create_new(path)?;
        let (queue, groups) = sync_channel(QUEUED_GROUPS_MAX);
        let writer =
            std::thread::Builder::new().name("swytch-record".into()).spawn(move || write(file, &groups))?;
        let listener = Arc::new(FileListener(Mutex::new(Some(queue))));
        effects.listen(Arc::clone(&listener) as Arc<dyn EffectListener>);
        *recording = Some(Running { listener, writer });
        Ok(())
    }

    /// Ends the recording; the file is complete when this returns. The caller holds all shards' locks.
    ///
    /// # Errors
    /// When none is in progress, or writing the file has failed.
    pub fn stop(&self, effects: &EffectHub) -> std::io::Result<()> {
        let Some(Running { listener, writer }) = self.0.lock().take() else {
            return Err(std::io::Error::other("no effects are being recorded"));
        };
        effects.forget(&(Arc::clone(&listener) as Arc<dyn EffectListener>));
        listener.0.lock().take();
        writer.join().unwrap_or_else(|_| Err(std::io::Error::other("the thread that writes them has failed")))
    }
}

fn write(file: File, groups: &Receiver<Vec<u8>>) -> std::io::Result<()> {
    let mut file = BufWriter::new(file);
    for group in groups {
        file.write_all(&group)?;
    }
    file.flush()
}
