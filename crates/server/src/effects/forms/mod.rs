//! Effects as Redis commands in RESP: the form of the append-only log and of the replication stream. Each type has the
//! forms of its ops in a file of its own.

mod hash;
mod key;
mod list;
mod set;
mod sorted_set;
mod stream;
mod string;

use swytch_decimal::Digits;
use swytch_store::{At, Effect, KeyspaceOp, Op, UnixMs, Value};

/// Commands in RESP, one behind the other.
#[derive(Debug)]
pub struct Commands<'o> {
    out: &'o mut Vec<u8>,
    count: usize,
}

impl<'o> Commands<'o> {
    /// Commands behind what is there.
    pub fn new(out: &'o mut Vec<u8>) -> Self {
        Commands { out, count: 0 }
    }

    /// Appends a command.
    pub fn push(&mut self, words: &[&[u8]]) {
        self.begin(words.len());
        words.iter().for_each(|word| self.word(word));
    }

    /// Begins a command of this many words.
    #[inline]
    fn begin(&mut self, words: usize) {
        self.count += 1;
        self.header(b'*', words);
    }

    /// Appends a word to the command that has begun.
    #[inline]
    fn word(&mut self, word: &[u8]) {
        self.header(b'$', word.len());
        self.out.extend_from_slice(word);
        self.out.extend_from_slice(b"\r\n");
    }

    /// Appends how many there are of something: nearly always few, which are written at once.
    #[inline]
    fn header(&mut self, mark: u8, count: usize) {
        let digit = |number: usize| b'0' + (number % 10) as u8;
        match count {
            0..10 => self.out.extend_from_slice(&[mark, digit(count), b'\r', b'\n']),
            10..100 => {
                self.out.extend_from_slice(&[mark, digit(count / 10), digit(count), b'\r', b'\n']);
            }
            _ => self.long_header(mark, count),
        }
    }

    #[inline(never)]
    fn long_header(&mut self, mark: u8, count: usize) {
        self.out.push(mark);
        swytch_decimal::push_i64(self.out, count as i64);
        self.out.extend_from_slice(b"\r\n");
    }

    /// Appends a command whose words behind the key are an integer and others.
    fn push_number(&mut self, name: &[u8], key: &[u8], number: i64, rest: &[&[u8]]) {
        self.begin(3 + rest.len());
        self.word(name);
        self.word(key);
        self.number(number);
        rest.iter().for_each(|word| self.word(word));
    }

    /// Appends a number to the command that has begun.
    fn number(&mut self, number: i64) {
        self.word(&Digits::of(number));
    }
}

/// Appends the commands, nearly always one, that have exactly this effect, and returns how many they are.
pub fn encode(effect: &Effect<'_>, out: &mut Vec<u8>) -> usize {
    let mut commands = Commands::new(out);
    match effect.at {
        At::Key { key, op: Op::Key(op) } => key::form(&mut commands, key, op),
        At::Key { key, op: Op::String(op) } => string::form(&mut commands, key, op),
        At::Key { key, op: Op::List(op) } => list::form(&mut commands, key, op),
        At::Key { key, op: Op::Set(op) } => set::form(&mut commands, key, op),
        At::Key { key, op: Op::Hash(op) } => hash::form(&mut commands, key, op),
        At::Key { key, op: Op::SortedSet(op) } => sorted_set::form(&mut commands, key, op),
        At::Key { key, op: Op::Stream(op) } => stream::form(&mut commands, key, op),
        At::Transfer { from, taken: Op::List(taken), to, given: Op::List(given) } => {
            list::transfer(&mut commands, (from, taken), (to, given));
        }
        At::Transfer { .. } => unreachable!("no other type's elements are moved from key to key"),
        At::Keyspace(op) => keyspace_form(&mut commands, op),
    }
    commands.count
}

/// Appends the commands that make a key where there is none.
pub fn rebuild(key: &[u8], value: Value<'_>, expire_at_ms: Option<UnixMs>, out: &mut Vec<u8>) {
    key::rebuild(&mut Commands::new(out), key, value, expire_at_ms);
}

fn keyspace_form(commands: &mut Commands<'_>, op: KeyspaceOp<'_>) {
    match op {
        KeyspaceOp::Rename { from, to } => commands.push(&[b"RENAME", from, to]),
        KeyspaceOp::Move { key, to_db } => commands.push_number(b"MOVE", key, i64::from(to_db), &[]),
        KeyspaceOp::Copy { from, to, to_db } => {
            let db = Digits::of(i64::from(to_db));
            commands.push(&[b"COPY", from, to, b"DB", &db, b"REPLACE"]);
        }
        KeyspaceOp::FlushDb => commands.push(&[b"FLUSHDB"]),
        KeyspaceOp::FlushAll => commands.push(&[b"FLUSHALL"]),
        KeyspaceOp::SwapDb { first, second } => {
            commands.begin(3);
            commands.word(b"SWAPDB");
            commands.number(i64::from(first));
            commands.number(i64::from(second));
        }
    }
}
