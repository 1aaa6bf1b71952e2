//! The order of effects as a stream of bytes, in which a place of the order is a position.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Follower, Replication};
use crate::effects::forms::Commands;
use crate::effects::group::Told;
use crate::effects::order::{Consumer, Held, Order};
use crate::effects::{CommandStream, Place};

/// So many bytes are appended at once, but for a group that has more.
const PIECE_BYTES: usize = 64 << 10;

/// Who reads the order of effects for all followers.
#[derive(Debug)]
pub struct Reader {
    order: Arc<Order>,
    consumer: Consumer,
    stream: CommandStream,
    bytes: Vec<u8>,
    held: Held,
    /// The place behind the last group that is in the stream.
    reached: Place,
}

impl Reader {
    /// Of what comes from now on. The caller holds all shards' locks.
    pub fn new(order: &Arc<Order>) -> Reader {
        Reader {
            consumer: order.join(),
            reached: order.next(),
            order: Arc::clone(order),
            stream: CommandStream::with_messages(),
            bytes: Vec::new(),
            held: order.hold(0),
        }
    }

    /// As what it reads the order of effects.
    pub fn consumer(&self) -> Consumer {
        self.consumer
    }

    /// The place behind the last group that is in the stream.
    pub fn reached(&self) -> Place {
        self.reached
    }

    /// Reads what has come into the stream; true if there was anything. Where somebody waits for acknowledgements these are
    /// requested.
    pub fn advance(&mut self, replication: &Replication, bytes_min: u64, wake: impl Fn(&Follower)) -> bool {
        // Whoever waits has published before, so what it waits for is read now.
        let is_awaited = replication.wants_acknowledgements.swap(false, Ordering::SeqCst);
        let rounds = self.order.read(self.consumer);
        self.look_for_moment(replication, bytes_min, &wake);
        for round in &rounds {
            round.each(|group| {
                self.stream.append(group, &mut self.bytes);
                if self.bytes.len() >= PIECE_BYTES {
                    replication.append(&self.bytes, bytes_min, &wake);
                    self.bytes.clear();
                    self.bytes.shrink_to(2 * PIECE_BYTES);
                    self.held.set(self.bytes.capacity());
                }
            });
            self.reached = round.until();
            replication.append(&self.bytes, bytes_min, &wake);
            self.bytes.clear();
            self.held.set(self.bytes.capacity());
            self.look_for_moment(replication, bytes_min, &wake);
        }
        replication.reach(self.reached);
        if is_awaited {
            self.tell(replication, bytes_min, &[b"REPLCONF", b"GETACK", b"*"], &wake);
        }
        let has_read = !rounds.is_empty();
        self.order.give_back(rounds);
        has_read
    }

    /// Appends a command that is no effect, unless the stream is to end.
    pub fn tell(
        &mut self,
        replication: &Replication,
        bytes_min: u64,
        words: &[&[u8]],
        wake: impl Fn(&Follower),
    ) {
        if replication.is_silent.load(Ordering::SeqCst) {
            return;
        }
        Commands::new(&mut self.bytes).push(words);
        replication.append(&self.bytes, bytes_min, wake);
        self.bytes.clear();
    }

    /// Appends that a key has gone of which no effect tells.
    pub fn tell_gone(&mut self, replication: &Replication, bytes_min: u64, db: u32, key: &[u8]) {
        let mut command = Vec::new();
        Commands::new(&mut command).push(&[b"DEL", key]);
        self.stream.append(Told::Commands { db, bytes: &command }, &mut self.bytes);
        replication.append(&self.bytes, bytes_min, |_| ());
        self.bytes.clear();
    }

    /// If the data is to be sent as it was at this place, its position is told.
    fn look_for_moment(&mut self, replication: &Replication, bytes_min: u64, wake: &impl Fn(&Follower)) {
        // Looked at behind the rounds: who has marked a place has done so before anything came that is behind it.
        let Some(transfer) = replication.take_moment(self.reached) else { return };
        self.stream.begin_anew();
        let position = replication.append(&[], bytes_min, wake);
        transfer.go_on_at(&replication.facts().name, position, wake);
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.order.leave(self.consumer);
    }
}
