//! Entries: a key, its value and its metadata in one allocation.
//!
//! ```text
//! header (8 bytes): kind, flags, key length, access clock (24 bits), embedded length
//! [expiry  u64]     when flags has EXPIRES
//! [word    u64]     when the value lives elsewhere: a long string's pointer, a collection's handle
//! [length  u32]     when the key has 255 bytes or more
//! key bytes
//! embedded value    short string, or an integer in 1, 2, 4 or 8 bytes
//! ```
//!
//! The size of an entry follows from its header alone, so nothing else is stored about it. Collections are entered in
//! `types`: an entry holds any of them by its handle, which is a word.
//! `unsafe` is confined to this file and `table`; an entry is reached only under its shard's lock.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::sync::Arc;

use crate::UnixMs;
use crate::raw_string::RawString;
use crate::types::collection::Row;
use crate::types::content::Value;
use crate::types::{Encoding, Kind, Type};

/// Longest string that is stored inside its entry.
pub const EMBEDDED_BYTES_MAX: usize = 1024;
/// Longest string, together with its key, whose encoding is called `embstr` (Redis 8: `kvobjSet`).
pub const EMBSTR_BYTES_MAX: usize = 41;

/// Values of this many allocations, or bytes of a string, are freed in the background.
const COSTLY_ALLOCATIONS: usize = 64;
const COSTLY_STRING_BYTES: usize = 1 << 20;

/// A value of more bytes stays where it is when its entry moves: it has most of its memory pages to itself.
const MOVED_BYTES_MAX: usize = 256 << 10;

/// What lies before the bytes of a long string: its sharers' counts and its `Vec`.
const SHARED_HEADER_BYTES: usize = 2 * size_of::<usize>() + size_of::<Vec<u8>>();

const KEY_LEN_LONG: u8 = 255;
const FLAG_EXPIRES: u8 = 1;
/// It has come to be, or changed, since the moment of a cut that is read.
const FLAG_NEW: u8 = 2;

#[repr(C, align(8))]
struct Header {
    kind: Kind,
    flags: u8,
    key_len: u8,
    clock: [u8; 3],
    embedded_len: u16,
}

const HEADER_BYTES: usize = size_of::<Header>();

impl Kind {
    #[inline]
    fn has_word(self) -> bool {
        !matches!(self, Kind::Integer | Kind::Embedded)
    }
}

/// A string as a new entry takes it.
#[derive(Debug)]
pub enum NewValue<'a> {
    /// Stored as an integer when it is a canonical one, embedded when short, else on its own.
    String(&'a [u8]),
    /// As a string, but never stored as an integer.
    Text(&'a [u8]),
    /// An integer.
    Integer(i64),
    /// A string in an allocation of its own, whatever its length. Others may hold it, too.
    Raw(Arc<Vec<u8>>),
}

/// What a table counts of an entry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    pub(crate) expire_at_ms: Option<UnixMs>,
    pub(crate) data_type: Type,
    /// Bytes of a string, elements of a collection; of an integer another number of the same class.
    pub(crate) len: usize,
    /// A time before which no part of the value expires, if any does.
    pub(crate) part_due_ms: Option<UnixMs>,
}

impl Mark {
    /// A time before which neither the key nor a part of its value expires.
    pub(crate) fn due_ms(self) -> Option<UnixMs> {
        self.expire_at_ms.into_iter().chain(self.part_due_ms).min()
    }

    /// True if another counts as this one does.
    #[inline(always)]
    pub(crate) fn counts_as(self, other: Mark) -> bool {
        self.expire_at_ms == other.expire_at_ms
            && self.data_type == other.data_type
            && are_alike(self.len, other.len)
            && self.part_due_ms == other.part_due_ms
    }
}

/// True if two lengths are of one class, which is from one power of two up to the next: if they have their highest bit in
/// common.
#[inline(always)]
pub(crate) fn are_alike(len: usize, other: usize) -> bool {
    len ^ other <= len & other
}

/// A value that an entry is too small or too large for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unfit;

/// An owned entry. It frees its value when dropped.
#[derive(Debug)]
pub struct Entry(NonNull<Header>);

// SAFETY: an entry owns everything it points to, and every value type is Send.
unsafe impl Send for Entry {}

/// A borrowed entry.
#[derive(Clone, Copy, Debug)]
pub struct EntryRef<'a> {
    header: NonNull<Header>,
    borrow: PhantomData<&'a Header>,
}

/// Where the parts of an entry lie.
struct Parts {
    key_at: usize,
    value_at: usize,
    bytes: usize,
}

impl Parts {
    fn new(kind: Kind, expires: bool, key_len: usize, embedded_len: usize) -> Self {
        let mut at = HEADER_BYTES;
        at += if expires { 8 } else { 0 };
        at += if kind.has_word() { 8 } else { 0 };
        at += if key_len >= usize::from(KEY_LEN_LONG) { 4 } else { 0 };
        let value_at = at + key_len;
        Parts { key_at: at, value_at, bytes: (value_at + embedded_len).next_multiple_of(8) }
    }

    fn layout(&self) -> Layout {
        Layout::from_size_align(self.bytes, align_of::<Header>())
            .expect("an entry is far smaller than isize::MAX")
    }
}

/// The integer a string stands for, if storing it as one loses nothing.
#[inline]
fn as_integer(text: &[u8]) -> Option<i64> {
    match text {
        [] | [_, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, ..] => None,
        [b'0'..=b'9' | b'-', ..] => swytch_decimal::parse_i64(text),
        _ => None,
    }
}

/// The greatest power of two of characters that an integer has at least.
#[inline(always)]
fn digits_class(number: i64) -> usize {
    // A sign counts as a digit.
    let sized = if number < 0 { number.unsigned_abs().saturating_mul(10) } else { number as u64 };
    let reached = [10, 1_000, 10_000_000, 1_000_000_000_000_000].map(|least| u8::from(sized >= least));
    1 << reached.into_iter().sum::<u8>()
}

/// Bytes an integer is stored in.
fn integer_width(value: i64) -> usize {
    match value {
        -0x80..=0x7f => 1,
        -0x8000..=0x7fff => 2,
        -0x8000_0000..=0x7fff_ffff => 4,
        _ => 8,
    }
}

impl Entry {
    /// A new entry.
    pub fn new(key: &[u8], value: NewValue<'_>, expire_at_ms: Option<UnixMs>, clock: u32) -> Entry {
        let expires = expire_at_ms.is_some();
        let entry = match value {
            NewValue::String(text) => match as_integer(text) {
                Some(number) => Self::with_integer(key, number, expires),
                None => Self::with_text(key, text, expires),
            },
            NewValue::Text(text) => Self::with_text(key, text, expires),
            NewValue::Integer(number) => Self::with_integer(key, number, expires),
            NewValue::Raw(bytes) => Self::with_raw(key, bytes, expires),
        };
        entry.dated(expire_at_ms, clock)
    }

    /// A new entry that holds a collection.
    pub fn holding<C: Row>(key: &[u8], value: C, expire_at_ms: Option<UnixMs>, clock: u32) -> Entry {
        let entry = Self::allocate(C::KIND, key, expire_at_ms.is_some(), Some(0), &[]);
        // SAFETY: an entry of this kind has a word, which is as large as the collection's handle, by `Row`.
        unsafe { entry.as_ref().word().cast::<C>().write(value) };
        entry.dated(expire_at_ms, clock)
    }

    fn dated(self, expire_at_ms: Option<UnixMs>, clock: u32) -> Entry {
        if let Some(at_ms) = expire_at_ms {
            self.as_ref().set_expire_in_place(at_ms);
        }
        self.as_ref().set_clock(clock);
        self
    }

    fn with_integer(key: &[u8], number: i64, expires: bool) -> Entry {
        let width = integer_width(number);
        Self::allocate(Kind::Integer, key, expires, None, &number.to_le_bytes()[..width])
    }

    fn with_text(key: &[u8], text: &[u8], expires: bool) -> Entry {
        if text.len() <= EMBEDDED_BYTES_MAX {
            return Self::allocate(Kind::Embedded, key, expires, None, text);
        }
        Self::with_raw(key, text.to_vec().into(), expires)
    }

    fn with_raw(key: &[u8], bytes: Arc<Vec<u8>>, expires: bool) -> Entry {
        Self::allocate(Kind::Raw, key, expires, Some(Arc::into_raw(bytes) as u64), &[])
    }

    #[inline]
    fn allocate(kind: Kind, key: &[u8], expires: bool, word: Option<u64>, embedded: &[u8]) -> Entry {
        let parts = Parts::new(kind, expires, key.len(), embedded.len());
        let layout = parts.layout();
        // SAFETY: the layout is never empty; every write below stays within `parts.bytes`, by `Parts::new`.
        unsafe {
            let base = alloc(layout);
            let Some(header) = NonNull::new(base.cast::<Header>()) else { handle_alloc_error(layout) };
            header.write(Header {
                kind,
                flags: if expires { FLAG_EXPIRES } else { 0 },
                key_len: key.len().min(usize::from(KEY_LEN_LONG)) as u8,
                clock: [0; 3],
                embedded_len: embedded.len() as u16,
            });
            if let Some(word) = word {
                base.add(HEADER_BYTES + if expires { 8 } else { 0 }).cast::<u64>().write(word);
            }
            if key.len() >= usize::from(KEY_LEN_LONG) {
                base.add(parts.key_at - 4).cast::<u32>().write_unaligned(key.len() as u32);
            }
            std::ptr::copy_nonoverlapping(key.as_ptr(), base.add(parts.key_at), key.len());
            std::ptr::copy_nonoverlapping(embedded.as_ptr(), base.add(parts.value_at), embedded.len());
            Entry(header)
        }
    }

    /// Gives up ownership; [`Entry::from_raw`] takes it back.
    pub(crate) fn into_raw(self) -> *mut u8 {
        let raw = self.0.as_ptr().cast::<u8>();
        std::mem::forget(self);
        raw
    }

    /// # Safety
    /// `raw` comes from [`Entry::into_raw`] and is owned by nobody else.
    pub(crate) unsafe fn from_raw(raw: *mut u8) -> Entry {
        // SAFETY: into_raw never returns null.
        Entry(unsafe { NonNull::new_unchecked(raw.cast()) })
    }

    /// Borrows the entry.
    pub fn as_ref(&self) -> EntryRef<'_> {
        EntryRef { header: self.0, borrow: PhantomData }
    }

    /// The growable string inside, when it is one and nobody shares it.
    pub fn raw_mut(&mut self) -> Option<&mut Vec<u8>> {
        let entry = self.as_ref();
        if entry.header().kind != Kind::Raw {
            return None;
        }
        // SAFETY: the pointer of a Raw entry comes from an Arc, and it is not dropped here.
        let mut shared =
            ManuallyDrop::new(unsafe { Arc::from_raw(entry.pointer().cast::<Vec<u8>>().cast_const()) });
        let bytes: *mut Vec<u8> = Arc::get_mut(&mut shared)?;
        // SAFETY: nobody else has the Arc, and `&mut self` makes us the entry's only user.
        Some(unsafe { &mut *bytes })
    }

    /// Overwrites the value in place when an entry of the same size holds the new one, which has an expiry as the old one
    /// has, or none as that. Gives what a table has counted before unless that is the same now.
    ///
    /// # Errors
    /// Where that cannot be; the entry is then as it was.
    #[inline(always)]
    pub(crate) fn overwrite(
        &mut self,
        value: &NewValue<'_>,
        expire_at_ms: Option<UnixMs>,
    ) -> Result<Option<Mark>, Unfit> {
        let entry = self.as_ref();
        if entry.expires() != expire_at_ms.is_some() || entry.header().kind.has_word() {
            return Err(Unfit);
        }
        let (number, text) = match *value {
            NewValue::String(text) => (as_integer(text), text),
            NewValue::Text(text) => (None, text),
            NewValue::Integer(_) | NewValue::Raw(_) => return Err(Unfit),
        };
        let number_bytes = number.unwrap_or(0).to_le_bytes();
        let (kind, bytes, len) = match number {
            Some(number) => (Kind::Integer, &number_bytes[..integer_width(number)], digits_class(number)),
            None => (Kind::Embedded, text, text.len()),
        };
        if bytes.len() > EMBEDDED_BYTES_MAX {
            return Err(Unfit);
        }
        let old = entry.parts();
        let new = Parts::new(kind, expire_at_ms.is_some(), entry.key().len(), bytes.len());
        if old.bytes != new.bytes {
            return Err(Unfit);
        }
        let old_len = match entry.header().kind {
            Kind::Integer => digits_class(entry.integer()),
            _ => usize::from(entry.header().embedded_len),
        };
        let counts_alike = are_alike(old_len, len) && entry.expire_at_ms() == expire_at_ms;
        let before = if counts_alike { None } else { Some(entry.mark()) };
        // SAFETY: both layouts are `new.bytes` long and the key stays where it is, since neither kind has a
        // pointer and the expiry's presence is unchanged. `value` cannot lie in this entry: `&mut self`.
        unsafe {
            let header = self.0.as_ptr();
            (*header).kind = kind;
            (*header).embedded_len = bytes.len() as u16;
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), header.cast::<u8>().add(new.value_at), bytes.len());
        }
        if let Some(at_ms) = expire_at_ms {
            self.as_ref().set_expire_in_place(at_ms);
        }
        Ok(before)
    }

    /// As [`Entry::overwrite`] puts an integer in the place of another, which is known.
    ///
    /// # Errors
    /// As there.
    #[inline(always)]
    pub(crate) fn overwrite_integer(&mut self, old: i64, number: i64) -> Result<Option<Mark>, Unfit> {
        let entry = self.as_ref();
        let width = integer_width(number);
        if entry.header().kind != Kind::Integer {
            return Err(Unfit);
        }
        let old_bytes = entry.parts().bytes;
        let new = Parts::new(Kind::Integer, entry.expires(), entry.key().len(), width);
        if old_bytes != new.bytes {
            return Err(Unfit);
        }
        // Among eight numbers from a multiple of eight on, beyond the first two of those, all are of one class.
        let counts_alike =
            (old ^ number) as u64 <= 7 && number >= 16 || digits_class(old) == digits_class(number);
        let before = if counts_alike { None } else { Some(entry.mark()) };
        // SAFETY: the entry has `new.bytes` bytes, which the integer ends within.
        unsafe {
            let header = self.0.as_ptr();
            (*header).embedded_len = width as u16;
            let bytes = number.to_le_bytes();
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), header.cast::<u8>().add(new.value_at), width);
        }
        Ok(before)
    }

    /// The same entry with another expiry, or under another key when `key` is given.
    pub fn rebuilt(self, key: Option<&[u8]>, expire_at_ms: Option<UnixMs>) -> Entry {
        let old = self.as_ref();
        let header = old.header();
        let expires = expire_at_ms.is_some();
        // SAFETY: a kind that has a word has one; it moves to the new entry, and the old one frees its shell alone.
        let word = header.kind.has_word().then(|| unsafe { old.word().read() });
        let new = Self::allocate(header.kind, key.unwrap_or(old.key()), expires, word, old.embedded());
        let new = new.dated(expire_at_ms, old.clock());
        self.free_shell();
        new
    }

    /// Says whether it is [new](EntryRef::is_new).
    pub(crate) fn set_new(&mut self, new: bool) {
        // SAFETY: `&mut self` makes this the only use of the entry.
        let flags = unsafe { &mut (*self.0.as_ptr()).flags };
        *flags = *flags & !FLAG_NEW | if new { FLAG_NEW } else { 0 };
    }

    /// The same entry in memory that is allocated now, and its value too, unless that is large or shared.
    pub fn moved(self) -> Entry {
        let old = self.as_ref();
        let (key, expire_at_ms, clock) = (old.key(), old.expire_at_ms(), old.clock());
        let is_new = old.is_new();
        let mut moved = match old.value() {
            Value::Collection(face) if face.memory_bytes() <= MOVED_BYTES_MAX => {
                face.to_owned_value().into_entry(key, expire_at_ms, clock)
            }
            Value::Raw(raw) if raw.bytes().len() <= MOVED_BYTES_MAX && !raw.is_shared() => {
                Self::with_raw(key, raw.copied(), expire_at_ms.is_some()).dated(expire_at_ms, clock)
            }
            _ => self.rebuilt(None, expire_at_ms),
        };
        moved.set_new(is_new);
        moved
    }

    /// A copy under another key, with its expiry. A long string is shared until one of both is written.
    pub fn duplicated(source: EntryRef<'_>, key: &[u8], clock: u32) -> Entry {
        let (kind, expire_at_ms) = (source.header().kind, source.expire_at_ms());
        let expires = expire_at_ms.is_some();
        match source.value() {
            Value::Collection(face) => face.to_owned_value().into_entry(key, expire_at_ms, clock),
            Value::Raw(raw) => Self::with_raw(key, raw.share(), expires).dated(expire_at_ms, clock),
            Value::Bytes(_) | Value::Integer(_) => {
                Self::allocate(kind, key, expires, None, source.embedded()).dated(expire_at_ms, clock)
            }
        }
    }

    /// Frees the entry but not the value behind its word.
    fn free_shell(self) {
        let layout = self.as_ref().parts().layout();
        // SAFETY: the entry was allocated with this layout, which its header still describes.
        unsafe { dealloc(self.0.as_ptr().cast(), layout) };
        std::mem::forget(self);
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let entry = self.as_ref();
        let kind = entry.header().kind;
        let layout = entry.parts().layout();
        // SAFETY: a word holds what the kind names; the shell was allocated with this layout; `drop` runs once.
        unsafe {
            if kind == Kind::Raw {
                drop(Arc::from_raw(entry.pointer().cast::<Vec<u8>>().cast_const()));
            } else if kind.has_word() {
                kind.drop_in_place(entry.word());
            }
            dealloc(self.0.as_ptr().cast(), layout);
        }
    }
}

impl<'a> EntryRef<'a> {
    /// # Safety
    /// `raw` comes from [`Entry::into_raw`] and stays alive and unmoved for `'a`.
    #[inline]
    pub(crate) unsafe fn from_raw(raw: *mut u8) -> EntryRef<'a> {
        // SAFETY: into_raw never returns null.
        EntryRef { header: unsafe { NonNull::new_unchecked(raw.cast()) }, borrow: PhantomData }
    }

    #[inline]
    fn header(self) -> &'a Header {
        // SAFETY: the entry is alive for 'a. Only the clock changes behind a shared reference, and it is
        // read and written through `clock_bytes`.
        unsafe { self.header.as_ref() }
    }

    fn base(self) -> *mut u8 {
        self.header.as_ptr().cast()
    }

    #[inline]
    fn parts(self) -> Parts {
        let header = self.header();
        Parts::new(header.kind, self.expires(), self.key_len(), usize::from(header.embedded_len))
    }

    /// True when it has come to be, or changed, since the moment of a cut that has not been read to here.
    pub(crate) fn is_new(self) -> bool {
        self.header().flags & FLAG_NEW != 0
    }

    fn expires(self) -> bool {
        self.header().flags & FLAG_EXPIRES != 0
    }

    #[inline]
    fn key_len(self) -> usize {
        let header = self.header();
        if header.key_len < KEY_LEN_LONG {
            return usize::from(header.key_len);
        }
        // SAFETY: a key of 255 bytes or more has its length there.
        unsafe { self.base().add(self.name_at()).cast::<u32>().read_unaligned() as usize }
    }

    /// Where the word is, if there is one, and without one what follows.
    #[inline(always)]
    fn word_at(self) -> usize {
        HEADER_BYTES + if self.expires() { 8 } else { 0 }
    }

    /// Where a short key begins, and the length of a long one.
    #[inline(always)]
    fn name_at(self) -> usize {
        self.word_at() + if self.header().kind.has_word() { 8 } else { 0 }
    }

    /// Where the word is, behind header and expiry.
    #[inline]
    fn word(self) -> *mut u64 {
        debug_assert!(self.header().kind.has_word());
        // SAFETY: a kind that has a word has it there.
        unsafe { self.base().add(self.word_at()).cast() }
    }

    /// What the word of a long string points to.
    fn pointer(self) -> *mut u8 {
        // SAFETY: the word was written when the entry was made.
        unsafe { self.word().read() as *mut u8 }
    }

    /// True when it holds a collection of this type.
    #[inline(always)]
    pub(crate) fn holds<C: Row>(self) -> bool {
        self.header().kind == C::KIND
    }

    /// The collection inside, when it is of this type.
    #[inline(always)]
    pub fn collection<C: Row>(self) -> Option<&'a C> {
        // SAFETY: an entry of this kind holds the handle of this type in its word, by `Row`.
        self.holds::<C>().then(|| unsafe { &*self.word().cast::<C>() })
    }

    /// The collection inside, to change, when it is of this type.
    ///
    /// # Safety
    /// For `'a` nobody else reads or changes the entry's value.
    #[inline(always)]
    pub(crate) unsafe fn collection_mut<C: Row>(self) -> Option<&'a mut C> {
        // SAFETY: as in `collection`, and by the contract.
        self.holds::<C>().then(|| unsafe { &mut *self.word().cast::<C>() })
    }

    /// The key.
    #[inline]
    pub fn key(self) -> &'a [u8] {
        let len = self.key_len();
        let at = self.name_at() + if len >= usize::from(KEY_LEN_LONG) { 4 } else { 0 };
        // SAFETY: the key's bytes lie there, by `Parts::new`.
        unsafe { std::slice::from_raw_parts(self.base().add(at), len) }
    }

    /// True when this is the entry of a key.
    #[inline(always)]
    pub fn has_key(self, key: &[u8]) -> bool {
        let len = usize::from(self.header().key_len);
        if len != key.len() || len >= usize::from(KEY_LEN_LONG) {
            return len == usize::from(KEY_LEN_LONG) && key.len() >= len && self.key() == key;
        }
        // SAFETY: a key shorter than 255 bytes lies there, by `Parts::new`.
        let own = unsafe { std::slice::from_raw_parts(self.base().add(self.name_at()), len) };
        // Most keys are short: two words that may overlap compare faster than a call.
        match (own.first_chunk::<8>(), key.first_chunk::<8>()) {
            (Some(own_first), Some(first)) if len <= 16 => {
                own_first == first && own.last_chunk::<8>() == key.last_chunk::<8>()
            }
            (None, None) if len >= 4 => {
                own.first_chunk::<4>() == key.first_chunk::<4>()
                    && own.last_chunk::<4>() == key.last_chunk::<4>()
            }
            _ => own == key,
        }
    }

    #[inline]
    fn embedded(self) -> &'a [u8] {
        let len = usize::from(self.header().embedded_len);
        let key = self.key();
        // SAFETY: the embedded value follows the key.
        unsafe { std::slice::from_raw_parts(key.as_ptr().add(key.len()), len) }
    }

    /// The integer of an entry that has one.
    #[inline(always)]
    fn integer(self) -> i64 {
        let bytes = self.embedded();
        match *bytes {
            [a] => i64::from(a as i8),
            [a, b] => i64::from(i16::from_le_bytes([a, b])),
            [a, b, c, d] => i64::from(i32::from_le_bytes([a, b, c, d])),
            _ => i64::from_le_bytes(bytes.try_into().expect("an integer has 1, 2, 4 or 8 bytes")),
        }
    }

    /// The value.
    #[inline(always)]
    pub fn value(self) -> Value<'a> {
        match self.header().kind {
            Kind::Embedded => Value::Bytes(self.embedded()),
            Kind::Integer => Value::Integer(self.integer()),
            Kind::Raw => {
                // SAFETY: the word of a Raw entry comes from an Arc; the entry is borrowed.
                Value::Raw(unsafe { RawString::new(self.pointer().cast_const().cast()) })
            }
            // SAFETY: the word is the handle of a collection of this kind and stays one as long as the entry is borrowed.
            kind => unsafe { kind.face(self.word()) }.map_or(Value::Bytes(&[]), Value::Collection),
        }
    }

    /// The data type.
    pub fn data_type(self) -> Type {
        self.header().kind.data_type()
    }

    /// What a table counts.
    #[inline(never)]
    pub(crate) fn mark(self) -> Mark {
        let len = match self.value() {
            Value::Bytes(bytes) => bytes.len(),
            Value::Integer(number) => digits_class(number),
            Value::Raw(raw) => raw.bytes().len(),
            Value::Collection(face) => face.len(),
        };
        let (expire_at_ms, part_due_ms) = (self.expire_at_ms(), self.part_due_ms());
        Mark { expire_at_ms, data_type: self.data_type(), len, part_due_ms }
    }

    /// What OBJECT ENCODING answers.
    pub fn encoding(self) -> Encoding {
        match self.value() {
            Value::Integer(_) => Encoding::Int,
            Value::Bytes(bytes) if self.key_len() + bytes.len() <= EMBSTR_BYTES_MAX => Encoding::Embstr,
            Value::Bytes(_) | Value::Raw(_) => Encoding::Raw,
            Value::Collection(face) => face.encoding(),
        }
    }

    /// When the key expires.
    #[inline]
    pub fn expire_at_ms(self) -> Option<UnixMs> {
        if !self.expires() {
            return None;
        }
        // SAFETY: an entry that expires has its expiry behind the header.
        Some(unsafe { self.base().add(HEADER_BYTES).cast::<u64>().read() })
    }

    /// A time before which neither the key nor a part of its value expires; none where nothing does.
    pub(crate) fn due_ms(self) -> Option<UnixMs> {
        let parts = if self.header().kind.has_word() { self.part_due_ms() } else { None };
        self.expire_at_ms().into_iter().chain(parts).min()
    }

    /// A time before which no part of the value expires.
    pub(crate) fn part_due_ms(self) -> Option<UnixMs> {
        match self.value() {
            Value::Collection(face) => face.due_ms(),
            Value::Integer(_) | Value::Bytes(_) | Value::Raw(_) => None,
        }
    }

    /// Overwrites the expiry of an entry that has one.
    pub(crate) fn set_expire_in_place(self, at_ms: UnixMs) {
        debug_assert!(self.expires());
        // SAFETY: as above; the shard's lock keeps other readers away.
        unsafe { self.base().add(HEADER_BYTES).cast::<u64>().write(at_ms) };
    }

    fn clock_bytes(self) -> *mut [u8; 3] {
        // SAFETY: the header is alive; no reference to the clock is ever formed.
        unsafe { std::ptr::addr_of_mut!((*self.header.as_ptr()).clock) }
    }

    /// The access clock: 24 bits whose meaning the eviction policy sets.
    #[inline]
    pub fn clock(self) -> u32 {
        // SAFETY: the pointer is valid, see `clock_bytes`.
        let [a, b, c] = unsafe { self.clock_bytes().read() };
        u32::from_le_bytes([a, b, c, 0])
    }

    /// Sets the access clock.
    #[inline]
    pub fn set_clock(self, clock: u32) {
        let [a, b, c, _] = clock.to_le_bytes();
        // SAFETY: the pointer is valid; the shard's lock keeps other accesses away.
        unsafe { self.clock_bytes().write([a, b, c]) };
    }

    /// True when freeing the value takes long enough to delay others.
    pub(crate) fn is_costly_to_free(self) -> bool {
        match self.value() {
            Value::Integer(_) | Value::Bytes(_) => false,
            Value::Raw(raw) => raw.bytes().len() >= COSTLY_STRING_BYTES,
            Value::Collection(face) => face.allocations() >= COSTLY_ALLOCATIONS,
        }
    }

    /// Bytes the entry takes, its value included (MEMORY USAGE).
    pub fn memory_bytes(self) -> usize {
        let outside = match self.value() {
            Value::Integer(_) | Value::Bytes(_) => 0,
            Value::Raw(raw) => SHARED_HEADER_BYTES + raw.capacity(),
            Value::Collection(face) => face.memory_bytes(),
        };
        self.parts().bytes + outside
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(entry: &Entry) -> Vec<u8> {
        match entry.as_ref().value() {
            Value::Integer(number) => number.to_string().into_bytes(),
            Value::Bytes(bytes) => bytes.to_vec(),
            Value::Raw(raw) => raw.bytes().to_vec(),
            Value::Collection(_) => panic!("not a string"),
        }
    }

    #[test]
    fn a_shared_string_is_not_changed_under_its_sharers() {
        let mut entry = Entry::new(b"key", NewValue::Raw(vec![b'a'; 2000].into()), None, 0);
        let Value::Raw(raw) = entry.as_ref().value() else { panic!("not in an allocation of its own") };
        let shared = raw.share();
        assert!(entry.raw_mut().is_none());
        let copy = Entry::duplicated(entry.as_ref(), b"copy", 0);
        drop(entry);
        assert_eq!(*shared, vec![b'a'; 2000]);
        drop(shared);
        let mut copy = copy;
        copy.raw_mut().expect("nobody shares it any more").push(b'b');
        assert_eq!(text(&copy).len(), 2001);
    }

    #[test]
    fn keys_and_values_of_every_length_come_back() {
        for key_len in [0, 1, 7, 12, 254, 255, 256, 70_000] {
            for value_len in [0, 1, 32, 44, 45, 1024, 1025, 5000] {
                for expire in [None, Some(77)] {
                    let key = vec![b'k'; key_len];
                    let value = vec![b'v'; value_len];
                    let entry = Entry::new(&key, NewValue::String(&value), expire, 0x123456);
                    assert_eq!(entry.as_ref().key(), key);
                    assert_eq!(text(&entry), value);
                    assert_eq!(entry.as_ref().expire_at_ms(), expire);
                    assert_eq!(entry.as_ref().clock(), 0x123456);
                    let entry = entry.rebuilt(Some(b"other"), Some(5));
                    assert_eq!(entry.as_ref().key(), b"other");
                    assert_eq!(text(&entry), value);
                    assert_eq!(entry.as_ref().expire_at_ms(), Some(5));
                    assert_eq!(text(&Entry::duplicated(entry.as_ref(), b"copy", 0)), value);
                }
            }
        }
    }

    #[test]
    fn integers_are_stored_in_their_width() {
        for number in [0, 1, -1, 127, 128, -129, 40_000, -3_000_000_000, i64::MAX, i64::MIN] {
            let digits = number.to_string();
            let entry = Entry::new(b"counter", NewValue::String(digits.as_bytes()), None, 0);
            assert_eq!(entry.as_ref().encoding(), Encoding::Int);
            assert_eq!(text(&entry), digits.as_bytes());
        }
        for not_number in ["01", "1.0", "-0", "99999999999999999999"] {
            let entry = Entry::new(b"k", NewValue::String(not_number.as_bytes()), None, 0);
            assert_eq!(entry.as_ref().encoding(), Encoding::Embstr);
        }
    }

    #[test]
    fn overwriting_keeps_the_allocation_or_refuses() {
        let mut entry = Entry::new(b"key", NewValue::String(b"0123456789"), None, 0);
        let same = entry.overwrite(&NewValue::String(b"abcdefghij"), None);
        assert!(matches!(same, Ok(None)));
        assert_eq!(text(&entry), b"abcdefghij");
        let shorter = entry.overwrite(&NewValue::String(b"abcdef"), None);
        assert!(matches!(shorter, Ok(Some(Mark { len: 10, .. }))));
        assert!(entry.overwrite(&NewValue::String(&[b'x'; 40]), None).is_err());
        assert!(entry.overwrite(&NewValue::String(b"abcdefghij"), Some(1)).is_err());
        let mut entry = Entry::new(b"key", NewValue::Integer(100), None, 0);
        assert!(matches!(entry.overwrite_integer(100, 127), Ok(None)));
        assert_eq!(text(&entry), b"127");
        assert!(matches!(entry.overwrite_integer(127, 1000), Ok(Some(Mark { len: 2, .. }))));
        assert!(entry.overwrite_integer(1000, i64::MAX).is_err());
    }

    #[test]
    fn a_small_string_costs_its_bytes_and_eight_more() {
        let entry = Entry::new(&[b'k'; 12], NewValue::String(&[b'v'; 32]), None, 0);
        assert_eq!(entry.as_ref().memory_bytes(), 56);
    }
}
