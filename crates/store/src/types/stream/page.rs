//! A page of a stream: entries one behind the other, which leave out what they have in common.
//!
//! ```text
//! names of the fields of the first entry | entry | entry | ...
//! entry: flags, what its identifier has more than the one before, [number of fields], [name] value [name] value ...
//! ```
//!
//! An entry with the same fields as the page's first one has no names, one whose identifier is the next in line takes no
//! byte for it, and an integer is one in binary. A deleted entry stays, with a flag, until the page is made of such by
//! half.
//!
//! Where a page ends is visible (XINFO STREAM, `XTRIM ~`), so it is decided by what Redis's listpack of the same entries
//! would take.

use swytch_decimal::{INTEGER_DIGITS_MAX, format_i64, parse_i64};

use super::StreamId;
use crate::types::limits::StreamNodeLimit;

/// Most bytes of a page of several entries, whatever the limit says.
const PAGE_BYTES_MAX: usize = 64 << 10;
/// Deleted entries from which on it pays to take them out.
const DEAD_MIN: u32 = 16;

/// The entry is deleted.
const DEAD: u8 = 1 << 0;
/// The entry has names of fields of its own.
const OWN_FIELDS: u8 = 1 << 1;
/// The identifier's sequence follows.
const SEQUENCE: u8 = 1 << 2;
/// Where the milliseconds since the entry before begin.
const MS_SHIFT: u32 = 3;
/// They follow.
const MS_FOLLOWS: u8 = 31;

/// Texts of at most this length begin with it.
const SHORT_MAX: usize = 0x6f;
/// An integer of one byte; up to eight.
const INTEGER: u8 = 0x70;
/// A length follows.
const LONG: u8 = 0x78;
/// An integer from 0 to 127 in the tag itself.
const TINY: u8 = 0x80;

/// Entries of a stream.
#[derive(Clone, Debug)]
pub(super) struct Page {
    bytes: Vec<u8>,
    /// Where the entries begin.
    head: u32,
    /// Number of the names before them.
    names: u32,
    live: u32,
    dead: u32,
    first: StreamId,
    /// Of the last entry, deleted or not.
    last: StreamId,
    /// What a listpack would take, without its counters.
    listpack_bytes: usize,
}

/// Room for the words of an entry.
#[derive(Debug, Default)]
pub(super) struct Words {
    bytes: Vec<u8>,
    /// Where each ends.
    ends: Vec<usize>,
}

/// An entry.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Its identifier.
    pub id: StreamId,
    page: &'a Page,
    at: usize,
    /// Where its values, or names and values, begin.
    content: usize,
    flags: u8,
}

impl<'a> Entry<'a> {
    /// Number of its fields.
    pub fn fields(&self) -> usize {
        if self.flags & OWN_FIELDS == 0 {
            return self.page.names as usize;
        }
        number(&self.page.bytes[self.content..]).0 as usize
    }

    /// Shows its fields with their values.
    #[inline]
    pub fn for_each(&self, mut show: impl FnMut(&[u8], &[u8])) {
        let bytes = &self.page.bytes;
        let mut show = |name: Word<'_>, value: Word<'_>| {
            let (mut one, mut other) = ([0; INTEGER_DIGITS_MAX], [0; INTEGER_DIGITS_MAX]);
            show(name.text(&mut one), value.text(&mut other));
        };
        let mut at = self.content;
        if self.flags & OWN_FIELDS == 0 {
            let mut name_at = 0;
            for _ in 0..self.page.names {
                let (name, name_end) = word(bytes, name_at);
                let (value, end) = word(bytes, at);
                show(name, value);
                (name_at, at) = (name_end, end);
            }
        } else {
            let (count, head) = number(&bytes[at..]);
            at += head;
            for _ in 0..count {
                let (name, end) = word(bytes, at);
                let (value, end) = word(bytes, end);
                show(name, value);
                at = end;
            }
        }
    }

    /// Its fields and values, one behind the other.
    pub fn to_vec(&self) -> Vec<Vec<u8>> {
        let mut all = Vec::with_capacity(2 * self.fields());
        self.for_each(|name, value| all.extend([name.to_vec(), value.to_vec()]));
        all
    }

    /// Lets `act` have its fields and values, one behind the other; `words` has the memory for that.
    #[inline]
    pub(super) fn with_words<R>(&self, words: &mut Words, act: impl FnOnce(&[&[u8]]) -> R) -> R {
        let Words { bytes, ends } = words;
        bytes.clear();
        ends.clear();
        self.for_each(|name, value| {
            for word in [name, value] {
                bytes.extend_from_slice(word);
                ends.push(bytes.len());
            }
        });
        let mut begin = 0;
        let word = |end: &usize| &bytes[std::mem::replace(&mut begin, *end)..*end];
        act(&ends.iter().map(word).collect::<Vec<_>>())
    }

    /// Where it ends.
    #[inline]
    fn end(&self) -> usize {
        let bytes = &self.page.bytes;
        let (count, mut at) = if self.flags & OWN_FIELDS == 0 {
            (u64::from(self.page.names), self.content)
        } else {
            let (count, head) = number(&bytes[self.content..]);
            (2 * count, self.content + head)
        };
        for _ in 0..count {
            at = skip_word(bytes, at);
        }
        at
    }
}

impl Page {
    /// A page that begins with an entry.
    pub(super) fn of(id: StreamId, fields: &[&[u8]]) -> Page {
        let mut bytes = Vec::with_capacity(fields.iter().map(|word| word.len() + 2).sum());
        fields.iter().step_by(2).for_each(|name| put_word(name, &mut bytes));
        let names = fields.len() / 2;
        let listpack_names = fields.iter().step_by(2).map(|name| listpack::text_bytes(name));
        let mut page = Page {
            head: bytes.len() as u32,
            bytes,
            names: names as u32,
            live: 0,
            dead: 0,
            first: id,
            last: before_first(id),
            listpack_bytes: listpack::FRAME_BYTES
                + listpack::integer_bytes(names as i64)
                + listpack_names.sum::<usize>()
                + listpack::integer_bytes(0),
        };
        page.push(id, fields);
        page
    }

    /// True if an entry more is within the limit (Redis: `streamAppendItem`).
    pub(super) fn takes(&self, fields: &[&[u8]], limit: StreamNodeLimit) -> bool {
        let bytes: usize = fields.iter().map(|word| word.len()).sum();
        let counters = listpack::integer_bytes(self.live.into()) + listpack::integer_bytes(self.dead.into());
        self.listpack_bytes + counters + bytes < limit.bytes()
            && self.bytes.len() + bytes < PAGE_BYTES_MAX
            && self.live + self.dead < limit.entries()
    }

    /// Adds an entry, whose identifier is above all.
    pub(super) fn push(&mut self, id: StreamId, fields: &[&[u8]]) {
        let own_fields = !self.has_names(fields);
        let ms = id.ms - self.last.ms;
        let in_line = if ms == 0 { self.last.sequence.wrapping_add(1) } else { 0 };
        let mut flags = if own_fields { OWN_FIELDS } else { 0 };
        if id.sequence != in_line {
            flags |= SEQUENCE;
        }
        let short_ms = ms.min(MS_FOLLOWS.into()) as u8;
        self.bytes.push(flags | short_ms << MS_SHIFT);
        if short_ms == MS_FOLLOWS {
            put_number(ms, &mut self.bytes);
        }
        if flags & SEQUENCE != 0 {
            put_number(id.sequence, &mut self.bytes);
        }
        let mut listpack_bytes = 0;
        if own_fields {
            put_number(fields.len() as u64 / 2, &mut self.bytes);
            listpack_bytes += listpack::integer_bytes(fields.len() as i64 / 2);
        }
        for (index, word) in fields.iter().enumerate() {
            if own_fields || index % 2 == 1 {
                put_word(word, &mut self.bytes);
                listpack_bytes += listpack::text_bytes(word);
            }
        }
        let elements = if own_fields { fields.len() + 1 } else { fields.len() / 2 } + 3;
        self.listpack_bytes += listpack_bytes
            + listpack::integer_bytes(flags.into())
            + listpack::integer_bytes(id.ms.wrapping_sub(self.first.ms) as i64)
            + listpack::integer_bytes(id.sequence.wrapping_sub(self.first.sequence) as i64)
            + listpack::integer_bytes(elements as i64);
        self.last = id;
        self.live += 1;
    }

    fn has_names(&self, fields: &[&[u8]]) -> bool {
        let mut at = 0;
        fields.len() / 2 == self.names as usize
            && fields.iter().step_by(2).all(|name| {
                let mut digits = [0; INTEGER_DIGITS_MAX];
                let (word, end) = word(&self.bytes, at);
                at = end;
                word.text(&mut digits) == *name
            })
    }

    /// Entries that are not deleted.
    pub(super) fn live(&self) -> usize {
        self.live as usize
    }

    /// The identifier of the last entry, deleted or not.
    pub(super) fn last(&self) -> StreamId {
        self.last
    }

    /// Gives back the room for more entries.
    pub(super) fn seal(&mut self) {
        self.bytes.shrink_to_fit();
    }

    /// Bytes of its own allocation.
    pub(super) fn memory_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    #[inline]
    fn entry_at(&self, at: usize, before: StreamId) -> Entry<'_> {
        let flags = self.bytes[at];
        let mut content = at + 1;
        let mut ms = u64::from(flags >> MS_SHIFT);
        if ms == MS_FOLLOWS.into() {
            let (given, bytes) = number(&self.bytes[content..]);
            (ms, content) = (given, content + bytes);
        }
        let mut sequence = if ms == 0 { before.sequence.wrapping_add(1) } else { 0 };
        if flags & SEQUENCE != 0 {
            let (given, bytes) = number(&self.bytes[content..]);
            (sequence, content) = (given, content + bytes);
        }
        Entry { id: StreamId { ms: before.ms + ms, sequence }, page: self, at, content, flags }
    }

    /// Entries, deleted ones too.
    #[inline]
    fn all(&self) -> impl Iterator<Item = Entry<'_>> {
        let (mut at, mut before) = (self.head as usize, before_first(self.first));
        std::iter::from_fn(move || {
            if at == self.bytes.len() {
                return None;
            }
            let entry = self.entry_at(at, before);
            (at, before) = (entry.end(), entry.id);
            Some(entry)
        })
    }

    /// The entries.
    #[inline]
    pub(super) fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        self.all().filter(|entry| entry.flags & DEAD == 0)
    }

    /// An entry.
    pub(super) fn get(&self, id: StreamId) -> Option<Entry<'_>> {
        if id > self.last {
            return None;
        }
        self.entries().take_while(|entry| entry.id <= id).find(|entry| entry.id == id)
    }

    /// Deletes an entry; false if there is none.
    pub(super) fn delete(&mut self, id: StreamId) -> bool {
        let Some(Entry { at, .. }) = self.get(id) else { return false };
        self.delete_at(at);
        self.compact();
        true
    }

    /// Deletes the first entries.
    pub(super) fn delete_first(&mut self, count: usize) {
        let doomed: Vec<usize> = self.entries().take(count).map(|entry| entry.at).collect();
        doomed.iter().for_each(|at| self.delete_at(*at));
        self.compact();
    }

    fn delete_at(&mut self, at: usize) {
        self.bytes[at] |= DEAD;
        self.live -= 1;
        self.dead += 1;
    }

    /// Takes deleted entries out if they are the most. They count on, as they do in Redis.
    fn compact(&mut self) {
        if self.dead < DEAD_MIN || self.dead < self.live || self.live == 0 {
            return;
        }
        let mut rest = Page { bytes: self.bytes[..self.head as usize].to_vec(), live: 0, ..*self };
        rest.last = before_first(self.first);
        let mut words = Words::default();
        self.entries().for_each(|entry| entry.with_words(&mut words, |fields| rest.push(entry.id, fields)));
        // The next entry is told by what it has more than the last one that is there.
        if rest.last == self.last {
            rest.listpack_bytes = self.listpack_bytes;
            rest.seal();
            *self = rest;
        }
    }

    /// Takes the last entry out, deleted or not, as if it had never been.
    pub(super) fn forget_last(&mut self) {
        let mut entries: Vec<(StreamId, usize, u8)> =
            self.all().map(|entry| (entry.id, entry.at, entry.flags)).collect();
        let Some((_, at, flags)) = entries.pop() else { return };
        let last = entries.last().map_or_else(|| before_first(self.first), |(id, ..)| *id);
        self.bytes.truncate(at);
        self.last = last;
        if flags & DEAD == 0 { self.live -= 1 } else { self.dead -= 1 }
    }
}

/// What the first entry of a page comes next to.
fn before_first(first: StreamId) -> StreamId {
    StreamId { sequence: first.sequence.wrapping_sub(1), ..first }
}

/// A name or a value.
enum Word<'a> {
    Text(&'a [u8]),
    Integer(i64),
}

impl<'a> Word<'a> {
    #[inline]
    fn text(&self, digits: &'a mut [u8; INTEGER_DIGITS_MAX]) -> &'a [u8] {
        match *self {
            Word::Text(text) => text,
            Word::Integer(number) => format_i64(digits, number),
        }
    }
}

/// The word at an offset, and where it ends.
#[inline]
fn word(bytes: &[u8], at: usize) -> (Word<'_>, usize) {
    let tag = bytes[at];
    let at = at + 1;
    match tag {
        TINY.. => (Word::Integer((tag - TINY).into()), at),
        LONG => {
            let (len, head) = number(&bytes[at..]);
            let end = at + head + len as usize;
            (Word::Text(&bytes[at + head..end]), end)
        }
        INTEGER..LONG => {
            let len = usize::from(tag - INTEGER) + 1;
            let mut all = [if bytes[at + len - 1] & 0x80 == 0 { 0 } else { 0xff }; 8];
            all[..len].copy_from_slice(&bytes[at..at + len]);
            (Word::Integer(i64::from_le_bytes(all)), at + len)
        }
        _ => {
            let end = at + usize::from(tag);
            (Word::Text(&bytes[at..end]), end)
        }
    }
}

#[inline]
fn skip_word(bytes: &[u8], at: usize) -> usize {
    let tag = bytes[at];
    match tag {
        TINY.. => at + 1,
        INTEGER..LONG => at + 2 + usize::from(tag - INTEGER),
        LONG => word(bytes, at).1,
        _ => at + 1 + usize::from(tag),
    }
}

fn put_word(text: &[u8], out: &mut Vec<u8>) {
    if let Some(number) = parse_i64(text) {
        if let tiny @ 0..=0x7f = number {
            return out.push(TINY + tiny as u8);
        }
        // As few bytes as keep its sign.
        let bits = 65 - if number < 0 { (!number).leading_zeros() } else { number.leading_zeros() };
        let len = bits.div_ceil(8) as usize;
        if len < text.len() {
            out.push(INTEGER + len as u8 - 1);
            return out.extend_from_slice(&number.to_le_bytes()[..len]);
        }
    }
    if text.len() <= SHORT_MAX {
        out.push(text.len() as u8);
    } else {
        out.push(LONG);
        put_number(text.len() as u64, out);
    }
    out.extend_from_slice(text);
}

/// Seven bits a byte, the lowest first.
fn put_number(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// The number at the beginning, and how many bytes it takes.
#[inline]
fn number(bytes: &[u8]) -> (u64, usize) {
    let (mut number, mut len) = (0, 0);
    for byte in bytes {
        number |= u64::from(byte & 0x7f) << (7 * len);
        len += 1;
        if *byte < 0x80 {
            break;
        }
    }
    (number, len)
}

/// How many bytes elements take in a listpack of Redis.
pub(super) mod listpack {
    use swytch_decimal::parse_i64;

    /// Header and end.
    pub(super) const FRAME_BYTES: usize = 7;

    pub(in super::super) fn integer_bytes(number: i64) -> usize {
        let bytes = match number {
            0..=127 => 1,
            -4096..=4095 => 2,
            -0x8000..=0x7fff => 3,
            -0x80_0000..=0x7f_ffff => 4,
            -0x8000_0000..=0x7fff_ffff => 5,
            _ => 9,
        };
        bytes + 1
    }

    pub(in super::super) fn text_bytes(text: &[u8]) -> usize {
        if let Some(number) = parse_i64(text) {
            return integer_bytes(number);
        }
        let bytes = text.len()
            + match text.len() {
                ..64 => 1,
                64..4096 => 2,
                _ => 5,
            };
        // The length once more, for who comes from behind.
        bytes
            + match bytes {
                ..=127 => 1,
                128..16_383 => 2,
                16_383..2_097_151 => 3,
                2_097_151..268_435_455 => 4,
                _ => 5,
            }
    }
}
