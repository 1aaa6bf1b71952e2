//! A stream: listpacks of items that share their first item's field names, marks, consumer groups and what is pending.
//!
//! Source: Redis's `t_stream.c` (the layout of a listpack) and `rdb.c`.

use std::collections::BTreeSet;
use std::io::BufRead;

use swytch_decimal::Digits;

use crate::input::Input;
use crate::packed::{Checked, Entry, Listpack};
use crate::{Fault, FaultKind, Part};

/// The place of an item.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    /// Unix milliseconds.
    pub ms: u64,
    /// Which of that millisecond's.
    pub sequence: u64,
}

/// A part of a stream, in this order: items, marks, then each group with what is pending in it and its consumers.
#[derive(Clone, Copy, Debug)]
pub enum StreamPart<'a> {
    /// An item: fields and values in turn.
    Item {
        /// Its place.
        id: StreamId,
        /// Field, value, field, value.
        fields: &'a [&'a [u8]],
    },
    /// What the stream remembers of itself.
    Marks {
        /// Items in it.
        len: u64,
        /// The last that was ever added.
        last: StreamId,
        /// The first that is there, and the greatest that was deleted, and how many were ever added; old versions do
        /// not say.
        history: Option<(StreamId, StreamId, u64)>,
    },
    /// A consumer group.
    Group {
        /// Its name.
        name: &'a [u8],
        /// The last item that it has delivered.
        delivered: StreamId,
        /// How many it has read; old versions do not say, and `u64::MAX` says that it is not known.
        read: Option<u64>,
    },
    /// An item that the last group has delivered and nobody has acknowledged.
    Pending {
        /// Which.
        id: StreamId,
        /// When it was delivered, in Unix milliseconds.
        delivered_ms: i64,
        /// How often.
        count: u64,
    },
    /// A consumer of the last group.
    Consumer {
        /// Its name.
        name: &'a [u8],
        /// When it was last heard of, in Unix milliseconds.
        seen_ms: i64,
        /// When it last got something, in Unix milliseconds; old versions do not say.
        active_ms: Option<i64>,
    },
    /// A pending item of the last group that the last consumer has.
    Held(StreamId),
    /// How long and how many names of idempotent additions are remembered.
    Idempotency {
        /// For how long, as the producer wrote it.
        duration: u64,
        /// Most names of one producer.
        entries_max: u64,
    },
    /// A name of an idempotent addition.
    Addition {
        /// Who added.
        producer: &'a [u8],
        /// Under which name.
        name: &'a [u8],
        /// What.
        id: StreamId,
    },
    /// How many idempotent additions there were, and how many of them were repetitions.
    Additions {
        /// All.
        added: u64,
        /// Repetitions.
        duplicates: u64,
    },
}

/// Which of the four layouts; each has what the ones before it have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layout {
    /// Redis 5.
    First,
    /// Redis 7.0: what was deleted, and how many a group has read.
    History,
    /// Redis 7.2: when a consumer was active.
    Active,
    /// Redis 8.6: idempotent additions.
    Idempotent,
}

/// Who is told of the parts of a value; an error is why a part cannot be taken.
pub(crate) type Told<'t> = dyn FnMut(Part<'_>) -> Result<(), String> + 't;

/// Reads a stream's parts.
pub(crate) fn read<R: BufRead>(
    input: &mut Input<R>,
    layout: Layout,
    told: &mut Told<'_>,
) -> Result<(), Fault> {
    let (mut name, mut inner) = (Vec::new(), Vec::new());
    let nodes = input.length()?;
    let mut items = 0;
    for _ in 0..nodes {
        input.string(&mut name)?;
        let master = stream_id(&name).ok_or_else(|| input.malformed("a stream's node has no place"))?;
        input.string(&mut inner)?;
        items += read_items(input, master, &inner, told)?;
    }
    let len = input.length()?;
    if items != len {
        return Err(input.malformed("a stream has not as many items as it says"));
    }
    let last = read_id(input)?;
    let history = match layout {
        Layout::First => None,
        _ => Some((read_id(input)?, read_id(input)?, input.length()?)),
    };
    tell(input, told, StreamPart::Marks { len, last, history })?;
    for _ in 0..input.length()? {
        input.string(&mut name)?;
        let delivered = read_id(input)?;
        let read = if layout >= Layout::History { Some(input.length()?) } else { None };
        tell(input, told, StreamPart::Group { name: &name, delivered, read })?;
        for _ in 0..input.length()? {
            let id = read_raw_id(input)?;
            let delivered_ms = input.time_ms()?;
            let count = input.length()?;
            tell(input, told, StreamPart::Pending { id, delivered_ms, count })?;
        }
        for _ in 0..input.length()? {
            input.string(&mut name)?;
            let seen_ms = input.time_ms()?;
            let active_ms = if layout >= Layout::Active { Some(input.time_ms()?) } else { None };
            tell(input, told, StreamPart::Consumer { name: &name, seen_ms, active_ms })?;
            for _ in 0..input.length()? {
                let id = read_raw_id(input)?;
                tell(input, told, StreamPart::Held(id))?;
            }
        }
    }
    if layout < Layout::Idempotent {
        return Ok(());
    }
    let (duration, entries_max) = (input.length()?, input.length()?);
    if !(1..=DURATION_MAX_S).contains(&duration) || !(1..=IDENTIFIERS_MAX).contains(&entries_max) {
        return Err(input.malformed("a stream remembers producers for a time that nobody can set"));
    }
    tell(input, told, StreamPart::Idempotency { duration, entries_max })?;
    let mut producers = BTreeSet::new();
    for _ in 0..input.length()? {
        input.string(&mut name)?;
        if !producers.insert(name.clone()) {
            return Err(input.malformed("a stream has a producer twice"));
        }
        for _ in 0..input.length()? {
            input.string(&mut inner)?;
            let id = read_id(input)?;
            tell(input, told, StreamPart::Addition { producer: &name, name: &inner, id })?;
        }
    }
    let (added, duplicates) = (input.length()?, input.length()?);
    tell(input, told, StreamPart::Additions { added, duplicates })
}

/// Passes a stream. Only lengths are looked at.
pub(crate) fn skip<R: BufRead>(input: &mut Input<R>, layout: Layout) -> Result<(), Fault> {
    for _ in 0..input.length()? {
        input.skip_string()?;
        input.skip_string()?;
    }
    input.length()?;
    read_id(input)?;
    if layout >= Layout::History {
        read_id(input)?;
        read_id(input)?;
        input.length()?;
    }
    for _ in 0..input.length()? {
        input.skip_string()?;
        read_id(input)?;
        if layout >= Layout::History {
            input.length()?;
        }
        for _ in 0..input.length()? {
            read_raw_id(input)?;
            input.time_ms()?;
            input.length()?;
        }
        for _ in 0..input.length()? {
            input.skip_string()?;
            input.time_ms()?;
            if layout >= Layout::Active {
                input.time_ms()?;
            }
            for _ in 0..input.length()? {
                read_raw_id(input)?;
            }
        }
    }
    if layout < Layout::Idempotent {
        return Ok(());
    }
    let (_duration, _entries_max) = (input.length()?, input.length()?);
    for _ in 0..input.length()? {
        input.skip_string()?;
        for _ in 0..input.length()? {
            input.skip_string()?;
            read_id(input)?;
        }
    }
    let (_added, _duplicates) = (input.length()?, input.length()?);
    Ok(())
}

fn tell<R: BufRead>(input: &Input<R>, told: &mut Told<'_>, part: StreamPart<'_>) -> Result<(), Fault> {
    told(Part::Stream(part)).map_err(|why| input.fault(FaultKind::Refused(why)))
}

/// For how many seconds, and how many, identifiers of a producer can be remembered (Redis: `CONFIG_STREAM_IDMP_MAX_*`).
const DURATION_MAX_S: u64 = 86_400;
const IDENTIFIERS_MAX: u64 = 10_000;

/// Deleted items keep their place until their node goes.
const FLAG_DELETED: i64 = 1;
/// The item has the field names of the node's first.
const FLAG_SAME_FIELDS: i64 = 2;

/// Tells the items of one node and gives their number.
///
/// The listpack: `count | deleted | fields n | n names | 0`, then for each item `flags | ms and sequence as distances
/// from the master's`, with the same fields `n values | entries before`, else `n | n names and values | entries before`.
fn read_items<R: BufRead>(
    input: &Input<R>,
    master: StreamId,
    bytes: &[u8],
    told: &mut Told<'_>,
) -> Result<u64, Fault> {
    let malformed = |what| input.malformed(what);
    let mut node = Node(Listpack::new(bytes).map_err(malformed)?);
    let (valid, deleted) = (node.count().map_err(malformed)?, node.count().map_err(malformed)?);
    let (mut names, mut texts) = (Vec::new(), Vec::new());
    node.texts(bytes.len(), &mut names).map_err(malformed)?;
    if node.count() != Ok(0) {
        return Err(malformed("the names of a stream's node have no end"));
    }
    let names_bytes: usize = names.iter().map(|name| name.len()).sum();
    let (mut seen_valid, mut seen_deleted, mut shared_bytes) = (0, 0, 0);
    let mut before = None;
    while let Some(flags) = node.0.next() {
        let flags = flags.and_then(|flags| flags.integer().ok_or(NOT_A_NUMBER)).map_err(malformed)?;
        let id = node.id(master).map_err(malformed)?;
        if before.replace(id).is_some_and(|before| before >= id) {
            return Err(malformed("the items of a stream do not ascend"));
        }
        let mut fields: Vec<&[u8]>;
        if flags & FLAG_SAME_FIELDS != 0 {
            shared_bytes += names_bytes;
            if shared_bytes / SHARED_MAX > bytes.len() {
                return Err(malformed("a stream's node repeats its fields' names too often"));
            }
            node.some_texts(names.len(), bytes.len(), &mut texts).map_err(malformed)?;
            fields = Vec::with_capacity(2 * names.len());
            for (name, value) in names.iter().zip(&texts) {
                fields.extend([&name[..], value]);
            }
        } else {
            node.pairs(bytes.len(), &mut texts).map_err(malformed)?;
            fields = texts.iter().map(|text| &text[..]).collect();
        }
        // Flags and the two halves of the place, and where the item has its own names their number and they.
        let before_count = if flags & FLAG_SAME_FIELDS != 0 { 3 + names.len() } else { 4 + texts.len() };
        if node.count() != Ok(before_count as u64) {
            return Err(malformed("an item of a stream has not as many entries as it says"));
        }
        if flags & FLAG_DELETED != 0 {
            seen_deleted += 1;
        } else {
            seen_valid += 1;
            tell(input, told, StreamPart::Item { id, fields: &fields })?;
        }
    }
    if (seen_valid, seen_deleted) != (valid, deleted) {
        return Err(malformed("a stream's node has not as many items as it says"));
    }
    Ok(valid)
}

/// How many times a node's bytes the names may be that its items have by saying that they are the first one's. Redis's own
/// nodes have a hundred items unless somebody wants more.
const SHARED_MAX: usize = 256;

const NOT_A_NUMBER: &str = "a number of a stream's node is none";

/// A text of a node, which has no bytes of its own where it is a number.
enum Text<'a> {
    Bytes(&'a [u8]),
    Digits(Digits),
}

impl std::ops::Deref for Text<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Text::Bytes(bytes) => bytes,
            Text::Digits(digits) => digits,
        }
    }
}

/// The entries of one node.
struct Node<'a>(Listpack<'a>);

impl<'a> Node<'a> {
    fn entry(&mut self) -> Checked<'a> {
        self.0.next().unwrap_or(Err("a stream's node ends within an item"))
    }

    fn count(&mut self) -> Result<u64, &'static str> {
        self.entry()?.integer().and_then(|number| u64::try_from(number).ok()).ok_or(NOT_A_NUMBER)
    }

    fn text(&mut self) -> Result<Text<'a>, &'static str> {
        Ok(match self.entry()? {
            Entry::Bytes(bytes) => Text::Bytes(bytes),
            Entry::Integer(number) => Text::Digits(Digits::of(number)),
        })
    }

    /// A count and as many texts; an entry takes two bytes at least, so `bytes` bounds them.
    fn texts(&mut self, bytes: usize, texts: &mut Vec<Text<'a>>) -> Result<(), &'static str> {
        let count = self.count()?;
        self.some_texts(usize::try_from(count).unwrap_or(usize::MAX), bytes, texts)
    }

    fn pairs(&mut self, bytes: usize, texts: &mut Vec<Text<'a>>) -> Result<(), &'static str> {
        let count = self.count()?;
        self.some_texts(usize::try_from(count).unwrap_or(usize::MAX).saturating_mul(2), bytes, texts)
    }

    fn some_texts(
        &mut self,
        count: usize,
        bytes: usize,
        texts: &mut Vec<Text<'a>>,
    ) -> Result<(), &'static str> {
        if count > bytes / 2 {
            return Err("a stream's node announces more fields than it has bytes");
        }
        texts.clear();
        for _ in 0..count {
            texts.push(self.text()?);
        }
        Ok(())
    }

    fn id(&mut self, master: StreamId) -> Result<StreamId, &'static str> {
        let mut distance = || self.entry()?.integer().ok_or(NOT_A_NUMBER);
        let (ms, sequence) = (distance()?, distance()?);
        // Distances wrap: a later millisecond may begin with a smaller sequence.
        let (ms, sequence) =
            (master.ms.wrapping_add_signed(ms), master.sequence.wrapping_add_signed(sequence));
        Ok(StreamId { ms, sequence })
    }
}

fn stream_id(bytes: &[u8]) -> Option<StreamId> {
    let (ms, sequence) = bytes.split_at_checked(8)?;
    let number = |bytes: &[u8]| bytes.try_into().ok().map(u64::from_be_bytes);
    Some(StreamId { ms: number(ms)?, sequence: number(sequence)? })
}

/// A place as two lengths.
fn read_id<R: BufRead>(input: &mut Input<R>) -> Result<StreamId, Fault> {
    Ok(StreamId { ms: input.length()?, sequence: input.length()? })
}

/// A place as sixteen bytes.
fn read_raw_id<R: BufRead>(input: &mut Input<R>) -> Result<StreamId, Fault> {
    let bytes = input.bytes::<16>()?;
    Ok(stream_id(&bytes).expect("sixteen bytes are a place"))
}
