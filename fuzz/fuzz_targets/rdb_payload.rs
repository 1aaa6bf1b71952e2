//! Whatever stands in a payload, RESTORE's path takes or refuses it; what it takes is written as a payload that gives the
//! same value again, and takes no more memory than its bytes account for.
//!
//! The input is a value as the writer makes it, from a few decisions, with damage done to its bytes: most inputs get past
//! the type and into the encodings. The footer is made anew, for the checksum would hide everything.
#![no_main]
use libfuzzer_sys::fuzz_target;
use swytch::persistence::payload::{dump, restore};
use swytch_rdb::{Form, Kind, Part, Value, WriteOptions, write_payload};
use swytch_store::{EncodingLimits, Event, HashSeed, Keyspace, KeyspaceMut, LockScope, Shards, Type};

/// Bytes behind the value: version and checksum.
const FOOTER_BYTES: usize = 10;
/// Most times that bytes are damaged.
const DAMAGES_MAX: u8 = 6;

fuzz_target!(|data: &[u8]| {
    let mut decisions = Decisions(data);
    let mut body = if decisions.byte() & 1 == 0 { decisions.rest() } else { made(&mut decisions) };
    let version = [9, 10, 11, 12, 13, 80, 6, 14][usize::from(decisions.byte() % 8)];
    body.extend_from_slice(&[version, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let limits = EncodingLimits::default();
    let Ok(value) = restore(&body, limits) else { return };
    let shards = Shards::new(1, 1, HashSeed::new([1, 2, 3]));
    let mut keyspace = KeyspaceMut::new(Keyspace::new(shards.lock(LockScope::All), 0), None);
    let key = keyspace.key(0, b"key");
    keyspace.replace(&key, value.clone(), None, Event::generic("restore"));
    let is_stream = swytch_store::Value::of(&value).data_type() == Type::Stream;
    // The layouts of streams before the last one leave something out.
    for version in swytch_rdb::VERSIONS.filter(|version| !is_stream || version == swytch_rdb::VERSIONS.end())
    {
        let options = WriteOptions { version, compress: version % 2 == 0 };
        let written = dump(keyspace.stored(&key).expect("it was put there"), options);
        let again = restore(&written, limits).expect("what is written is read");
        assert!(again == value, "version {version} gives another value");
    }
});

/// The input as a row of small decisions; past its end every decision is zero.
struct Decisions<'d>(&'d [u8]);

impl Decisions<'_> {
    fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    fn rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.0).to_vec()
    }

    fn text(&mut self) -> Vec<u8> {
        match self.byte() {
            kind @ 0..64 => (0..kind % 8).map(|_| self.byte()).collect(),
            kind @ 64..160 => {
                (i64::from(kind) - 100).pow(u32::from(self.byte() % 9)).to_string().into_bytes()
            }
            kind => vec![self.byte(); usize::from(kind) * 7],
        }
    }
}

/// A value in one of its forms, damaged.
fn made(decisions: &mut Decisions<'_>) -> Vec<u8> {
    let kind =
        [Kind::String, Kind::List, Kind::Set, Kind::Hash, Kind::SortedSet][usize::from(decisions.byte() % 5)];
    let form = [Form::Open, Form::Packed, Form::Integers][usize::from(decisions.byte() % 3)];
    let options =
        WriteOptions { version: 9 + u32::from(decisions.byte() % 5), compress: decisions.byte() & 1 == 0 };
    let texts: Vec<[Vec<u8>; 2]> =
        (0..decisions.byte() % 24).map(|_| [decisions.text(), decisions.text()]).collect();
    let parts = |visit: &mut dyn FnMut(Part<'_>)| {
        if kind == Kind::String {
            return visit(Part::Text(texts.first().map_or(b"", |[text, _]| text)));
        }
        for (at, [first, second]) in texts.iter().enumerate() {
            visit(match kind {
                Kind::Hash => Part::Field { field: first, value: second, expires_ms: None },
                Kind::SortedSet => Part::Scored { member: first, score: at as f64 / 2.0 },
                _ => Part::Element(first),
            });
        }
    };
    let mut body = write_payload(
        &Value { kind, form, len: texts.len(), may_expire: true, has_producers: false, parts: &parts },
        options,
    );
    body.truncate(body.len() - FOOTER_BYTES);
    for _ in 0..decisions.byte() % DAMAGES_MAX {
        let at = usize::from(u16::from_le_bytes([decisions.byte(), decisions.byte()])) % body.len();
        match decisions.byte() % 5 {
            0 => body[at] = decisions.byte(),
            1 => body[at] ^= 1 << (decisions.byte() % 8),
            2 => body.truncate(at.max(1)),
            3 if body.len() > 1 => drop(body.remove(at)),
            _ => body.insert(at, decisions.byte()),
        }
    }
    body
}
