//! The effects of one command, transaction or script, in the form in which they are kept: as Redis commands.

use std::cell::RefCell;

use swytch_store::{At, Effect, EffectUndo, Event, KeyspaceOp, Sink, Wants};

use super::forms::{Commands, encode};

/// Collects the effects of one group.
#[derive(Debug, Default)]
pub struct Recorder {
    pub(super) bytes: Vec<u8>,
    /// Database of each effect, if it is in one, and where its bytes end.
    pub(super) effects: Vec<(Option<u32>, usize)>,
    /// Commands that they are.
    pub(super) commands: usize,
}

/// Memory that a recorder keeps for the next group.
const KEPT_BYTES_MAX: usize = 64 << 10;

impl Recorder {
    /// True when nothing was changed.
    pub fn is_empty(&self) -> bool {
        self.effects.is_empty()
    }

    /// Adds a command that changes what is no key.
    pub fn command(&mut self, words: &[&[u8]]) {
        Commands::new(&mut self.bytes).push(words);
        self.commands += 1;
        self.effects.push((None, self.bytes.len()));
    }

    pub(super) fn clear(&mut self) {
        if self.bytes.capacity() > KEPT_BYTES_MAX {
            *self = Recorder::default();
        }
        self.bytes.clear();
        self.effects.clear();
        self.commands = 0;
    }
}

impl Sink for Recorder {
    #[inline]
    fn wants(&self) -> Wants {
        Wants::OPS
    }

    fn changed(&mut self, effect: &Effect<'_>, _: Option<EffectUndo>) {
        let commands = encode(effect, &mut self.bytes);
        if commands == 0 {
            return;
        }
        self.commands += commands;
        // FLUSHALL is in the database where it was said, as Redis has it.
        let is_in_one = !matches!(effect.at, At::Keyspace(KeyspaceOp::SwapDb { .. }));
        self.effects.push((is_in_one.then_some(effect.db), self.bytes.len()));
    }

    fn event(&mut self, _: u32, _: Event, _: &[u8]) {}
}

/// A recorder that is taken out of a view which goes on.
#[derive(Debug)]
pub struct OpenGroup(RefCell<Option<Box<Recorder>>>);

impl OpenGroup {
    /// A group that records.
    #[inline]
    pub fn new(recorder: Box<Recorder>) -> OpenGroup {
        OpenGroup(RefCell::new(Some(recorder)))
    }

    /// What it has; from now on it records nothing.
    #[inline]
    pub fn take(&self) -> Box<Recorder> {
        self.0.take().unwrap_or_default()
    }
}

impl Sink for &OpenGroup {
    #[inline]
    fn wants(&self) -> Wants {
        Wants::OPS
    }

    fn changed(&mut self, effect: &Effect<'_>, undo: Option<EffectUndo>) {
        if let Some(group) = &mut *self.0.borrow_mut() {
            group.changed(effect, undo);
        }
    }

    fn event(&mut self, _: u32, _: Event, _: &[u8]) {}
}

/// A group as consumers are told it.
#[derive(Clone, Copy, Debug)]
pub struct Group<'a> {
    /// Commands that its effects are.
    pub commands: usize,
    pub(super) first_byte: usize,
    pub(super) bytes: &'a [u8],
    pub(super) effects: &'a [(Option<u32>, usize)],
}

impl<'a> Group<'a> {
    /// Its effects: the database of each, if it is in one, and its commands.
    pub fn effects(&self) -> impl Iterator<Item = (Option<u32>, &'a [u8])> {
        let (mut start, bytes) = (self.first_byte, self.bytes);
        self.effects.iter().map(move |&(db, end)| (db, &bytes[std::mem::replace(&mut start, end)..end]))
    }
}

/// Groups as one stream of commands: SELECT where the database changes, MULTI and EXEC around a group of several.
#[derive(Debug, Default)]
pub struct CommandStream {
    db: Option<u32>,
}

impl CommandStream {
    /// Appends a group.
    pub fn append(&mut self, group: Group<'_>, out: &mut Vec<u8>) {
        let is_atomic = group.commands > 1;
        for (index, (db, commands)) in group.effects().enumerate() {
            if let Some(db) = db.filter(|db| self.db != Some(*db)) {
                Commands::new(out).push(&[b"SELECT", db.to_string().as_bytes()]);
                self.db = Some(db);
            }
            if is_atomic && index == 0 {
                Commands::new(out).push(&[b"MULTI"]);
            }
            out.extend_from_slice(commands);
        }
        if is_atomic {
            Commands::new(out).push(&[b"EXEC"]);
        }
    }
}
