//! Short messages that many receivers of a channel are given one after the other.
//!
//! They lie one behind the other, encoded once, and each inbox holds the part that its client has not been given: a message more
//! makes that part longer, and however many there are, the client is given them at once.

use std::ops::Range;
use std::sync::Arc;

use parking_lot::Mutex;
use swytch_resp::{MessageRow, PushMessage, Reply};

/// Bytes of a run: more are copied as slowly as several runs are.
const BYTES_MAX: usize = 16 * 1024;

/// Messages of a channel, which grow for as long as anybody has to be given one.
#[derive(Debug, Default)]
pub struct Run(Mutex<MessageRow>);

/// Those messages of a run that a client has not been given.
#[derive(Clone, Debug)]
pub struct Part {
    run: Arc<Run>,
    bytes: Range<u32>,
}

impl Part {
    /// A message, behind the others of a run if it has room.
    pub fn of(message: &PushMessage, run: Option<Arc<Run>>) -> Part {
        let has_room = |run: &Arc<Run>| run.0.lock().bytes() + message.bytes() <= BYTES_MAX;
        let run = run.filter(has_room).unwrap_or_default();
        let mut row = run.0.lock();
        let begin = row.bytes() as u32;
        row.push(message);
        let bytes = begin..row.bytes() as u32;
        drop(row);
        Part { run, bytes }
    }

    /// True for what a run can be made of.
    pub fn fits(message: &PushMessage) -> bool {
        message.bytes() <= BYTES_MAX
    }

    pub fn run(&self) -> &Arc<Run> {
        &self.run
    }

    /// How many bytes they are.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Takes in the messages that follow in the same run; false if these are others.
    pub fn grow(&mut self, next: &Part) -> bool {
        let follows = self.bytes.end == next.bytes.start && Arc::ptr_eq(&self.run, &next.run);
        if follows {
            self.bytes.end = next.bytes.end;
        }
        follows
    }

    /// Gives a client its messages.
    pub fn write(&self, reply: &mut Reply<'_>) {
        reply.messages(&self.run.0.lock(), self.bytes.start as usize..self.bytes.end as usize);
    }
}
