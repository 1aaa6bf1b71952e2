//! The effects of one command, transaction or script, in the form in which they are kept: as Redis commands.

use std::cell::{Cell, RefCell};

use swytch_store::{At, Effect, EffectUndo, Event, KeyspaceOp, Sink, Wants};

use super::forms::{Commands, encode};

/// What a command of a group is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// It changes this database.
    Database(u32),
    /// It changes what is in no database.
    Server,
    /// It is a message, sent by who had this database selected, and changes nothing.
    Message(u32),
}

/// Collects the effects of one group, and the messages among them.
#[derive(Debug, Default)]
pub struct Recorder {
    pub(super) bytes: Vec<u8>,
    /// What each is about, and where its bytes end.
    pub(super) effects: Vec<(Subject, usize)>,
    /// Commands that they are.
    pub(super) commands: u32,
}

/// Memory that a recorder keeps for the next group.
const KEPT_BYTES_MAX: usize = 64 << 10;

thread_local! {
    /// A recorder that this thread does not use, for the memory that it has.
    static SPARE: Cell<Option<Box<Recorder>>> = const { Cell::new(None) };
}

impl Recorder {
    /// An empty recorder for the next group of this thread. It stays where it is until it is given back: to move what was written
    /// a moment ago costs more than to write it.
    #[inline]
    pub fn of_thread() -> Box<Recorder> {
        SPARE.take().unwrap_or_default()
    }

    /// Keeps the memory for the next group.
    #[inline]
    pub(super) fn give_back(mut self: Box<Self>) {
        self.clear();
        SPARE.set(Some(self));
    }

    /// True when nothing was changed.
    pub fn is_empty(&self) -> bool {
        self.effects.is_empty()
    }

    /// Adds a command that changes what is no key.
    pub fn command(&mut self, words: &[&[u8]]) {
        self.push(Subject::Server, words);
    }

    fn push(&mut self, subject: Subject, words: &[&[u8]]) {
        Commands::new(&mut self.bytes).push(words);
        self.commands += 1;
        self.effects.push((subject, self.bytes.len()));
    }

    fn clear(&mut self) {
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
        self.commands += commands as u32;
        // FLUSHALL is in the database where it was said, as Redis has it.
        let subject = match effect.at {
            At::Keyspace(KeyspaceOp::SwapDb { .. }) => Subject::Server,
            _ => Subject::Database(effect.db),
        };
        self.effects.push((subject, self.bytes.len()));
    }

    fn event(&mut self, _: u32, _: Event, _: &[u8]) {}

    fn message(&mut self, db: u32, words: &[&[u8]]) {
        self.push(Subject::Message(db), words);
    }
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

    fn message(&mut self, db: u32, words: &[&[u8]]) {
        if let Some(group) = &mut *self.0.borrow_mut() {
            group.message(db, words);
        }
    }
}

/// What consumers are told at once.
#[derive(Clone, Copy, Debug)]
pub enum Told<'a> {
    /// Groups that follow one another, of a command each, which change the same database.
    Commands {
        /// The database.
        db: u32,
        /// The commands.
        bytes: &'a [u8],
    },
    /// One group.
    Group(Group<'a>),
}

/// A group as consumers are told it.
#[derive(Clone, Copy, Debug)]
pub struct Group<'a> {
    /// Commands that its effects are.
    pub commands: u32,
    pub(super) first_byte: usize,
    pub(super) bytes: &'a [u8],
    pub(super) effects: &'a [(Subject, usize)],
}

impl<'a> Group<'a> {
    /// Its effects and messages: what each is about, and its commands.
    pub fn effects(&self) -> impl Iterator<Item = (Subject, &'a [u8])> {
        let (mut start, bytes) = (self.first_byte, self.bytes);
        let part = move |&(subject, end)| (subject, &bytes[std::mem::replace(&mut start, end)..end]);
        self.effects.iter().map(part)
    }

    fn messages(&self) -> u32 {
        self.effects.iter().filter(|(subject, _)| matches!(subject, Subject::Message(_))).count() as u32
    }
}

/// Groups as one stream of commands: SELECT where the database changes, MULTI and EXEC around a group of several. It is one of
/// changes, unless it is to have messages, too.
#[derive(Debug, Default)]
pub struct CommandStream {
    db: Option<u32>,
    has_messages: bool,
}

impl CommandStream {
    /// One with messages.
    pub fn with_messages() -> CommandStream {
        CommandStream { db: None, has_messages: true }
    }

    /// From here on somebody reads who knows of no database that was selected before.
    pub fn begin_anew(&mut self) {
        self.db = None;
    }

    /// Appends what is told.
    pub fn append(&mut self, told: Told<'_>, out: &mut Vec<u8>) {
        match told {
            Told::Commands { db, bytes } => {
                self.select(db, out);
                out.extend_from_slice(bytes);
            }
            Told::Group(group) => self.append_group(group, out),
        }
    }

    fn select(&mut self, db: u32, out: &mut Vec<u8>) {
        if self.db.replace(db) != Some(db) {
            Commands::new(out).push(&[b"SELECT", db.to_string().as_bytes()]);
        }
    }

    fn append_group(&mut self, group: Group<'_>, out: &mut Vec<u8>) {
        let has_messages = self.has_messages;
        let left_out = if has_messages { 0 } else { group.messages() };
        let is_atomic = group.commands - left_out > 1;
        let told =
            group.effects().filter(|(subject, _)| has_messages || !matches!(subject, Subject::Message(_)));
        for (index, (subject, commands)) in told.enumerate() {
            match subject {
                Subject::Database(db) | Subject::Message(db) => self.select(db, out),
                Subject::Server => {}
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

#[cfg(test)]
mod tests {
    use swytch_store::{KeyOp, Op};

    use super::*;

    fn told(mut stream: CommandStream, group: &Recorder) -> String {
        let Recorder { bytes, effects, commands } = group;
        let mut out = Vec::new();
        stream.append(Told::Group(Group { commands: *commands, first_byte: 0, bytes, effects }), &mut out);
        let text = String::from_utf8(out).expect("it is text");
        let words = text.split("\r\n").filter(|word| !word.is_empty() && !word.starts_with('$'));
        words.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn messages_are_told_in_their_place_and_to_those_alone_who_want_them() {
        let mut group = Recorder::default();
        group.message(2, &[b"publish", b"before", b"1"]);
        group.changed(&Effect { db: 3, at: At::Key { key: b"key", op: Op::Key(KeyOp::Delete) } }, None);
        group.message(3, &[b"publish", b"behind", b"2"]);
        assert_eq!(told(CommandStream::default(), &group), "*2 SELECT 3 *2 DEL key");
        assert_eq!(
            told(CommandStream::with_messages(), &group),
            "*2 SELECT 2 *1 MULTI *3 publish before 1 *2 SELECT 3 *2 DEL key *3 publish behind 2 *1 EXEC"
        );
        let mut stream = CommandStream::with_messages();
        let mut out = Vec::new();
        for (db, bytes) in [(1, b"a"), (1, b"b"), (0, b"c")] {
            stream.append(Told::Commands { db, bytes }, &mut out);
        }
        let select = |db| format!("*2\r\n$6\r\nSELECT\r\n$1\r\n{db}\r\n");
        assert_eq!(out, format!("{}ab{}c", select(1), select(0)).into_bytes());
        group.clear();
        group.message(0, &[b"publish", b"alone", b"3"]);
        assert_eq!(told(CommandStream::default(), &group), "");
        assert_eq!(told(CommandStream::with_messages(), &group), "*2 SELECT 0 *3 publish alone 3");
    }
}
