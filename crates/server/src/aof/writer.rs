//! Who writes the log: it reads the order of effects, appends them to the files as commands, and forces them to the disk when
//! that is due. It has no clock of its own, so that a test may let years pass.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Turn;
use super::files::Files;
use super::manifest::BaseForm;
use crate::config::AppendFsync;
use crate::effects::order::{Consumer, Held, Order, Round};
use crate::effects::{CommandStream, Place};
use crate::system::disk::DiskFile;

/// Commands that may wait for the disk; with more, effects are left where they wait.
const PENDING_BYTES_MAX: usize = 64 << 20;
/// `everysec`: how old the oldest byte may become before it is forced to the disk. The rest of the second is for doing so.
const SYNC_AFTER: Duration = Duration::from_millis(900);
/// Commands whose memory is kept for the next round.
const KEPT_BYTES_MAX: usize = 4 << 20;
/// Between two rounds where the log need not be on the disk before replies: what a killed process may lose; and where much comes, so
/// that what is read and written is still near the processor.
const NAP: Duration = Duration::from_millis(10);
const NAP_MIN: Duration = Duration::from_millis(1);
/// Bytes that a round is to have.
const ROUND_BYTES: u64 = 256 << 10;
/// Longest time between two rounds.
const PATIENCE: Duration = Duration::from_millis(100);

/// The line of a log that says when what follows was written, in Unix seconds.
pub fn annotation(now_s: u64) -> String {
    format!("#TS:{now_s}\r\n")
}

/// When a log is forced to the disk, what is written into it beside effects, and what time it is.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// When it is forced to the disk.
    pub sync: AppendFsync,
    /// The time is written into it, in Unix seconds.
    pub annotate_s: Option<u64>,
    /// Now.
    pub now: Instant,
}

/// What is to be done between two rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// Nothing, for so long.
    For(Duration),
    /// Nothing before something is published, for so long at most.
    UntilNews(Duration),
}

/// The writer of a log.
#[derive(Debug)]
pub struct Writer {
    files: Files,
    order: Arc<Order>,
    consumer: Consumer,
    stream: CommandStream,
    annotated_s: u64,
    /// Commands that are not written yet.
    pending: Vec<u8>,
    held: Held,
    /// Rounds that belong to the increment that is to begin.
    later: VecDeque<Arc<Round>>,
    /// Where that is, and where the last one has begun.
    turn: Arc<Turn>,
    turned_at: Option<Place>,
    /// The places behind the last group that was read, written, and forced to the disk.
    read_until: Place,
    written_until: Place,
    safe_until: Place,
    unsynced_since: Option<Instant>,
    unsynced_bytes: u64,
    /// Bytes that were written in the last round, and how long to wait for the next one.
    round_bytes: u64,
    nap: Duration,
}

impl Writer {
    /// The writer of a log whose files have begun, for what comes from now on. Where they have begun aside a moment of the data is
    /// taken now. The caller holds all shards' locks.
    pub fn new(files: Files, order: &Arc<Order>, turn: &Arc<Turn>) -> Writer {
        turn.give_up();
        let consumer = order.join();
        let from = order.next();
        // Nothing is safe yet.
        let (turned_at, safe_until) = if files.is_aside() { (Some(from), 0) } else { (None, from) };
        Writer {
            files,
            order: Arc::clone(order),
            consumer,
            stream: CommandStream::default(),
            annotated_s: 0,
            pending: Vec::new(),
            held: order.hold(0),
            later: VecDeque::new(),
            turn: Arc::clone(turn),
            turned_at,
            read_until: from,
            written_until: from,
            safe_until,
            unsynced_since: None,
            unsynced_bytes: 0,
            round_bytes: 0,
            nap: NAP,
        }
    }

    /// Writes what there is, and forces it to the disk if that is due; true if there was anything.
    ///
    /// # Errors
    /// If one of them fails. What was read is kept and written the next time.
    pub fn round(&mut self, policy: Policy) -> io::Result<bool> {
        // Where there is nothing to be written, too: no write is to be accepted before there is another base.
        self.files.ensure_whole()?;
        self.round_bytes = 0;
        let mut has_read = self.read(policy);
        self.write(policy)?;
        if self.is_at_turn() {
            self.turn()?;
            has_read |= self.read(policy);
            self.write(policy)?;
        }
        if self.round_bytes > 0 {
            // As long as it takes for so much to come, if it comes as before.
            let share = ROUND_BYTES as f64 / self.round_bytes as f64;
            self.nap = self.nap.mul_f64(share.min(10.0)).clamp(NAP_MIN, NAP);
        }
        let is_due = match policy.sync {
            AppendFsync::Always => true,
            AppendFsync::Everysec => self.due_in(policy.now).is_some_and(|due_in| due_in.is_zero()),
            AppendFsync::No => false,
        };
        if is_due {
            self.sync()?;
        }
        Ok(has_read)
    }

    /// Writes everything and forces it to the disk.
    ///
    /// # Errors
    /// If one of them fails.
    pub fn finish(&mut self, policy: Policy) -> io::Result<()> {
        self.turn.give_up();
        self.write(policy)?;
        while self.read(policy) {
            self.write(policy)?;
        }
        self.write(policy)?;
        self.sync()
    }

    /// Replies may leave that tell of groups before this place.
    pub fn acknowledged(&self, policy: Policy) -> Place {
        let waits = policy.sync == AppendFsync::Always && !self.files.is_aside();
        if waits { self.safe_until } else { self.written_until }
    }

    /// What is to be done behind a round, which has written something or has not.
    pub fn rest(&self, policy: Policy, has_written: bool) -> Rest {
        match policy.sync {
            AppendFsync::Always if has_written => Rest::For(Duration::ZERO),
            _ if has_written => Rest::For(self.nap),
            AppendFsync::Everysec => {
                let due_in = self.due_in(policy.now).unwrap_or(PATIENCE);
                Rest::UntilNews(due_in.clamp(NAP / 10, PATIENCE))
            }
            AppendFsync::Always | AppendFsync::No => Rest::UntilNews(PATIENCE),
        }
    }

    /// Reads what has come; false if nothing has, or there is no room for more.
    fn read(&mut self, policy: Policy) -> bool {
        let later_bytes: usize = self.later.iter().map(|round| round.bytes()).sum();
        if self.pending.len() + later_bytes <= PENDING_BYTES_MAX {
            self.later.extend(self.order.read(self.consumer));
        }
        // Looked at behind the rounds: who wants a turn has said so before anything came that is to be behind it.
        let turn_at = self.turn.place();
        let belongs = self.later.iter().take_while(|round| round.until() <= turn_at).count();
        let rounds: Vec<Arc<Round>> = self.later.drain(..belongs).collect();
        let begin = self.pending.len();
        for round in &rounds {
            round.each(|group| self.stream.append(group, &mut self.pending));
            self.held.set(self.pending.capacity());
            self.read_until = round.until();
        }
        if let Some(now_s) = policy.annotate_s.filter(|now_s| *now_s != self.annotated_s)
            && self.pending.len() > begin
        {
            drop(self.pending.splice(begin..begin, annotation(now_s).into_bytes()));
            self.annotated_s = now_s;
        }
        let has_read = !rounds.is_empty();
        self.order.give_back(rounds);
        has_read
    }

    /// Whether all is written that is to be before another increment begins.
    fn is_at_turn(&self) -> bool {
        self.turn.place() == self.written_until
    }

    /// Begins another increment.
    fn turn(&mut self) -> io::Result<()> {
        self.sync()?;
        self.files.turn(self.turn.offset())?;
        self.stream.begin_anew();
        self.annotated_s = 0;
        self.turned_at = Some(self.written_until);
        self.turn.give_up();
        Ok(())
    }

    /// Where the last increment has begun, if that was in this writer's time.
    pub fn turned_at(&self) -> Option<Place> {
        self.turned_at
    }

    fn write(&mut self, policy: Policy) -> io::Result<()> {
        if !self.pending.is_empty() {
            self.files.append(&self.pending)?;
            let bytes = self.pending.len() as u64;
            (self.unsynced_bytes, self.round_bytes) = (self.unsynced_bytes + bytes, self.round_bytes + bytes);
            self.unsynced_since.get_or_insert(policy.now);
            self.pending.clear();
            self.pending.shrink_to(KEPT_BYTES_MAX);
            self.held.set(self.pending.capacity());
        }
        self.written_until = self.read_until;
        if self.unsynced_since.is_none() && !self.files.is_aside() {
            // What was passed over needs no disk.
            self.safe_until = self.written_until;
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.unsynced_since.is_some() {
            self.files.sync()?;
            self.unsynced_since = None;
            self.unsynced_bytes = 0;
        }
        if !self.files.is_aside() {
            self.safe_until = self.written_until;
        }
        Ok(())
    }

    /// Puts a file, which is whole and safe and has all before the place where the last increment has begun, as the base before
    /// it.
    ///
    /// # Errors
    /// As [`Files::replace_before_last`].
    pub fn put_base(&mut self, temporary: &Path, form: BaseForm, keeps_history: bool) -> io::Result<()> {
        self.files.replace_before_last(temporary, form, keeps_history)?;
        if self.unsynced_since.is_none() {
            self.safe_until = self.written_until;
        }
        Ok(())
    }

    /// Puts a base in the place of everything there is, which `write_base` makes from the data, at its replication offset. The
    /// caller holds all shards' locks.
    ///
    /// # Errors
    /// If that fails. The log goes on as it was.
    pub fn begin_anew(
        &mut self,
        policy: Policy,
        form: BaseForm,
        keeps_history: bool,
        offset: u64,
        write_base: impl FnOnce(&mut dyn DiskFile) -> io::Result<u64>,
    ) -> io::Result<()> {
        self.turn.give_up();
        // All that was published is in the data; if it fails, it has still to be written.
        while self.read(policy) {}
        self.files.begin_anew(form, keeps_history, offset, write_base)?;
        let until = self.order.next();
        // What there was no room for is in the base as well.
        while !self.order.read(self.consumer).is_empty() {}
        self.pending.clear();
        self.later.clear();
        self.stream.begin_anew();
        self.annotated_s = 0;
        (self.read_until, self.written_until, self.safe_until) = (until, until, until);
        (self.unsynced_since, self.unsynced_bytes) = (None, 0);
        Ok(())
    }

    /// As what it reads the order of effects.
    pub fn consumer(&self) -> Consumer {
        self.consumer
    }

    /// Where it writes.
    pub fn files(&mut self) -> &mut Files {
        &mut self.files
    }

    /// The place behind the last group that is written, and behind the last one that is safe.
    pub fn reached(&self) -> (Place, Place) {
        (self.written_until, self.safe_until)
    }

    /// Bytes that are not safe, and since when.
    pub fn unsynced(&self) -> (u64, Option<Instant>) {
        (self.unsynced_bytes, self.unsynced_since)
    }

    /// How long until something is to be forced to the disk under `everysec`, if anything is.
    fn due_in(&self, now: Instant) -> Option<Duration> {
        self.unsynced_since.map(|since| SYNC_AFTER.saturating_sub(now.saturating_duration_since(since)))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.order.leave(self.consumer);
    }
}
