//! Names of fields that many small hashes have in common, in the order in which they have them: kept once, for as long as
//! the process runs.
//!
//! There is nothing to configure. Names are kept when the same ones have come [`TIMES`] times, so that those of one hash
//! alone do not take the place; there are at most [`SCHEMAS`] of them, of [`NAMES_BYTES_MAX`] bytes each, which is a
//! megabyte. Whoever finds no place has its names beside its values as before. That none is ever given up is what lets
//! every thread read them without a lock and a hash refer to them without counting.

use std::collections::BTreeSet;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::hash::HashSeed;
use crate::types::packed::split_value;

/// Most schemas.
const SCHEMAS: usize = 1024;
/// Places where one may lie.
const PROBES: usize = 4;
/// Most bytes of the names of one, with their lengths.
const NAMES_BYTES_MAX: usize = 1024;
/// Hashes with the same names, from which on these are kept.
const TIMES: u32 = 32;
/// The bits of a note that count; the others are those of the names' hash.
const TIMES_BITS: u32 = 8;

static KEPT: [OnceLock<Schema>; SCHEMAS] = [const { OnceLock::new() }; SCHEMAS];

/// How often the names that were seen last have come, by their hash.
static SEEN: [AtomicU32; SCHEMAS] = [const { AtomicU32::new(0) }; SCHEMAS];

/// The names of a hash's fields.
#[derive(Debug)]
pub(super) struct Schema {
    id: usize,
    hash: u64,
    count: usize,
    /// Each behind its length, as a record has its values.
    names: Box<[u8]>,
}

impl Schema {
    /// What these names are kept as, if they are.
    pub(super) fn of<'n>(names: impl Iterator<Item = &'n [u8]> + Clone) -> Option<&'static Schema> {
        let seed = HashSeed::of_process();
        let hash = names.clone().fold(0_u64, |sum, name| {
            (sum ^ seed.hash(name)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
        });
        for probe in 0..PROBES {
            let id = (hash as usize).wrapping_add(probe) % SCHEMAS;
            match KEPT[id].get() {
                Some(schema) if schema.hash == hash && schema.names().eq(names.clone()) => {
                    return Some(schema);
                }
                Some(_) => {}
                None => return Schema::note(id, hash, names),
            }
        }
        None
    }

    /// Counts names that are not kept, and keeps them when they have come often enough.
    #[cold]
    fn note<'n>(id: usize, hash: u64, names: impl Iterator<Item = &'n [u8]>) -> Option<&'static Schema> {
        let seen = &SEEN[(hash >> 32) as usize % SCHEMAS];
        let (note, mark) = (seen.load(Ordering::Relaxed), (hash >> 32) as u32 >> TIMES_BITS << TIMES_BITS);
        let times = if note & !0 << TIMES_BITS == mark { note - mark + 1 } else { 1 };
        // Of two threads that count at once one may not be seen, and the names come a little later.
        if times < TIMES {
            seen.store(mark | times, Ordering::Relaxed);
            return None;
        }
        seen.store(0, Ordering::Relaxed);
        let (mut kept, mut distinct, mut count) = (Vec::new(), BTreeSet::new(), 0);
        for name in names {
            let short = u8::try_from(name.len()).ok().filter(|len| *len < 0x80)?;
            kept.push(short);
            kept.extend_from_slice(name);
            count += 1;
            if kept.len() > NAMES_BYTES_MAX || !distinct.insert(name) {
                return None;
            }
        }
        let names: Box<[u8]> = kept.into();
        let schema = KEPT[id].get_or_init(|| Schema { id, hash, count, names: names.clone() });
        // Another thread may have kept others there.
        (schema.names == names).then_some(schema)
    }

    /// The one of this number, which [`Schema::id`] has given.
    #[inline(always)]
    pub(super) fn numbered(id: usize) -> &'static Schema {
        KEPT[id].get().expect("a schema that a hash refers to stays")
    }

    /// Its number.
    pub(super) fn id(&self) -> usize {
        self.id
    }

    /// How many names it has.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Its names.
    #[inline]
    pub(super) fn names(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &self.names[..];
        std::iter::from_fn(move || {
            let (name, behind) = (!rest.is_empty()).then(|| split_value(rest))?;
            rest = behind;
            Some(name)
        })
    }
}
