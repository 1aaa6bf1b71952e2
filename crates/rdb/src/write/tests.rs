//! What is written is read again, in every version and form.

use super::*;
use crate::input::Input;
use crate::{
    FaultKind, FileWriter, KeyFacts, Payload, Shape, Sink, StreamId, StreamPart, Writer, read_file,
    write_payload,
};

fn texts(payload: &[u8]) -> Vec<Vec<u8>> {
    let mut texts = Vec::new();
    let payload = Payload::open(payload).expect("a payload");
    payload
        .parts(&mut |part| {
            texts.push(text(&part).to_vec());
            Ok(())
        })
        .expect("parts");
    texts
}

fn elements(kind: Kind, form: Form, texts: &[Vec<u8>], act: impl FnOnce(&Value<'_>)) {
    let parts = |visit: &mut dyn FnMut(Part<'_>)| texts.iter().for_each(|text| visit(Part::Element(text)));
    act(&Value { kind, form, len: texts.len(), may_expire: true, has_producers: false, parts: &parts });
}

#[test]
fn values_come_back_in_every_version() {
    let words: Vec<Vec<u8>> = (0..3000).map(|at| format!("element {at} of many").into_bytes()).collect();
    let mixed: Vec<Vec<u8>> =
        [&b""[..], b"7", b"-70000", &[b'x'; 9000], b"y", &[b'z'; 8000], b"07"].map(<[u8]>::to_vec).to_vec();
    let numbers: Vec<Vec<u8>> = (-9..400).map(|at: i64| (at * 99).to_string().into_bytes()).collect();
    for version in VERSIONS {
        for compress in [false, true] {
            let options = WriteOptions { version, compress };
            for (kind, form, all) in [
                (Kind::List, Form::Open, &words),
                (Kind::List, Form::Packed, &mixed),
                (Kind::Set, Form::Open, &words),
                (Kind::Set, Form::Packed, &mixed),
                (Kind::Set, Form::Integers, &numbers),
            ] {
                elements(kind, form, all, |value| {
                    let payload = write_payload(value, options);
                    assert!(texts(&payload) == *all, "version {version}: {value:?}");
                });
            }
            let text = |visit: &mut dyn FnMut(Part<'_>)| visit(Part::Text(b"a string"));
            let value = Value {
                kind: Kind::String,
                form: Form::Open,
                len: 1,
                may_expire: true,
                has_producers: false,
                parts: &text,
            };
            assert_eq!(texts(&write_payload(&value, options)), [b"a string"]);
        }
    }
}

#[test]
fn fields_and_scores_come_back_in_every_version() {
    let scores =
        [0.0, 1.0, -7.0, 0.1, 1e300, f64::INFINITY, f64::NEG_INFINITY, 1e17, 4_503_599_627_370_497.0, -1e-9];
    let shown = |part: Part<'_>| match part {
        Part::Field { field, value, expires_ms: None } => {
            format!("{} {}", field.escape_ascii(), value.escape_ascii())
        }
        Part::Scored { member, score } => format!("{} {score:?}", member.escape_ascii()),
        other => panic!("{other:?}"),
    };
    for version in VERSIONS {
        for (kind, form) in [Kind::Hash, Kind::SortedSet]
            .iter()
            .flat_map(|kind| [Form::Packed, Form::Open].map(|form| (*kind, form)))
        {
            let parts = |visit: &mut dyn FnMut(Part<'_>)| {
                for (at, score) in scores.into_iter().enumerate() {
                    let (name, value) = (format!("name {at}"), (at * 999).to_string());
                    visit(match kind {
                        Kind::Hash => {
                            Part::Field { field: name.as_bytes(), value: value.as_bytes(), expires_ms: None }
                        }
                        _ => Part::Scored { member: name.as_bytes(), score },
                    });
                }
            };
            let value = Value {
                kind,
                form,
                len: scores.len(),
                may_expire: true,
                has_producers: false,
                parts: &parts,
            };
            let payload = write_payload(&value, WriteOptions { version, compress: version % 2 == 0 });
            let (mut expected, mut found) = (Vec::new(), Vec::new());
            parts(&mut |part| expected.push(shown(part)));
            let tell = &mut |part: Part<'_>| {
                found.push(shown(part));
                Ok(())
            };
            Payload::open(&payload).expect("a payload").parts(tell).expect("parts");
            assert_eq!(found, expected, "version {version}: {value:?}");
        }
    }
}

/// A hash of which fields expire is written in the version that has them, whatever version was wanted, and a file of an
/// older version does not take it.
#[test]
fn fields_that_expire_come_back_in_the_version_that_has_them() {
    let fields = [("a", None), ("b", Some(2_000_000_000_000)), ("c", Some(1_999_999_999_999)), ("d", None)];
    for form in [Form::Packed, Form::Open] {
        let parts = |visit: &mut dyn FnMut(Part<'_>)| {
            for (field, expires_ms) in fields {
                visit(Part::Field { field: field.as_bytes(), value: b"7", expires_ms });
            }
        };
        let value = Value {
            kind: Kind::Hash,
            form,
            len: fields.len(),
            may_expire: true,
            has_producers: false,
            parts: &parts,
        };
        for version in VERSIONS {
            let payload = write_payload(&value, WriteOptions { version, compress: false });
            assert_eq!(u32::from(payload[payload.len() - 10]), version.max(12));
            let mut found = Vec::new();
            let tell = &mut |part: Part<'_>| {
                let Part::Field { field, expires_ms, .. } = part else { panic!("{part:?}") };
                found.push((String::from_utf8_lossy(field).into_owned(), expires_ms));
                Ok(())
            };
            Payload::open(&payload).expect("a payload").parts(tell).expect("parts");
            found.sort();
            let expected = fields.map(|(field, expires_ms)| (field.to_owned(), expires_ms));
            assert_eq!(found, expected, "version {version}: {value:?}");
            let mut writer = FileWriter::new(Vec::new(), WriteOptions { version, compress: false }, true);
            let needed = writer.key(b"key", KeyFacts::default(), &value);
            assert_eq!(needed, if version < 12 { Err(12) } else { Ok(()) });
        }
    }
}

#[test]
fn a_footer_is_checked_byte_by_byte() {
    elements(Kind::List, Form::Open, &[b"one".to_vec(), b"two".to_vec()], |value| {
        let whole = write_payload(value, WriteOptions::default());
        for at in 0..whole.len() {
            for flip in 1..=u8::MAX {
                let mut bytes = whole.clone();
                bytes[at] ^= flip;
                let fault = Payload::open(&bytes).expect_err("a byte is another");
                assert!(fault.is_of_footer(), "byte {at} ^ {flip:#x}: {fault}");
            }
        }
        for len in 0..whole.len() {
            assert!(Payload::open(&whole[..len]).is_err_and(|fault| fault.is_of_footer()), "{len}");
        }
        // Versions: of Redis, of Valkey, of nobody. Zero is no checksum.
        let of_version = |version: u16| {
            let mut bytes = whole[..whole.len() - 10].to_vec();
            bytes.extend_from_slice(&version.to_le_bytes());
            bytes.extend_from_slice(&[0; 8]);
            Payload::open(&bytes).map(|payload| payload.kind())
        };
        for version in [1, 6, 9, 13, 80] {
            assert_eq!(of_version(version).expect("a known version"), Kind::List);
        }
        for version in [14, 79, 81, u16::MAX] {
            let fault = of_version(version).expect_err("a version of nobody");
            assert!(matches!(fault.kind, FaultKind::Version(stated) if stated == u32::from(version)));
        }
    });
}

#[derive(Default)]
struct Content(Vec<String>);

impl Sink for Content {
    fn head(&mut self, version: u32, writer: Writer) {
        self.0.push(format!("{version} of {writer:?}"));
    }

    fn remark(&mut self, name: &[u8], value: &[u8]) {
        self.0.push(format!("{} = {}", name.escape_ascii(), value.escape_ascii()));
    }

    fn database(&mut self, index: u64) -> Result<(), String> {
        self.0.push(format!("database {index}"));
        Ok(())
    }

    fn sizes(&mut self, keys: u64, expiring: u64) {
        self.0.push(format!("{keys} keys, {expiring} expiring"));
    }

    fn begin(&mut self, key: &[u8], facts: KeyFacts, kind: Kind, shape: Shape) -> Result<(), String> {
        self.0.push(format!("{}: {} as {}, {facts:?}", key.escape_ascii(), kind.name(), shape.name()));
        Ok(())
    }

    fn part(&mut self, part: Part<'_>) -> Result<(), String> {
        self.0.push(match part {
            Part::Field { field, expires_ms, .. } => format!("{} {expires_ms:?}", field.escape_ascii()),
            part => text(&part).escape_ascii().to_string(),
        });
        Ok(())
    }

    fn end(&mut self, _: u64) -> Result<(), String> {
        Ok(())
    }
}

#[test]
fn a_file_comes_back_with_and_without_a_checksum() {
    for checksum in [false, true] {
        let mut writer = FileWriter::new(Vec::new(), WriteOptions::default(), checksum);
        writer.remark("maker", "of this");
        writer.database(0, 2, 1);
        let facts = KeyFacts { expires_ms: Some(1 << 41), idle_s: Some(70), frequency: Some(3) };
        elements(Kind::Set, Form::Integers, &[b"1".to_vec(), b"2".to_vec()], |value| {
            writer.key(b"numbers", facts, value).expect("the version has it");
        });
        elements(Kind::List, Form::Packed, &[b"a".to_vec()], |value| {
            writer.key(b"list", KeyFacts::default(), value).expect("the version has it");
        });
        let (bytes, len) = writer.finish().expect("a vector takes everything");
        assert_eq!(len, bytes.len() as u64);
        assert_eq!(bytes.ends_with(&[0; 8]), !checksum);
        let mut content = Content::default();
        read_file(bytes.as_slice(), &mut content).expect("a sound file");
        let facts = [
            "expires_ms: Some(2199023255552), idle_s: Some(70), frequency: Some(3)",
            "expires_ms: None, idle_s: None, frequency: None",
        ];
        let expected = [
            "11 of Redis".to_owned(),
            "maker = of this".to_owned(),
            "database 0".to_owned(),
            "2 keys, 1 expiring".to_owned(),
            format!("numbers: set as intset, KeyFacts {{ {} }}", facts[0]),
            "1".to_owned(),
            "2".to_owned(),
            format!("list: list as quicklist, KeyFacts {{ {} }}", facts[1]),
            "a".to_owned(),
        ];
        assert_eq!(content.0, expected);
    }
}

/// Both forms of a hash are the same one there, and a stream has no producers.
#[test]
fn a_file_of_valkeys_version_has_the_deadlines_of_fields() {
    let mut writer =
        FileWriter::new(Vec::new(), WriteOptions { version: VERSION_VALKEY, compress: false }, true);
    let parts = |visit: &mut dyn FnMut(Part<'_>)| {
        visit(Part::Field { field: b"a", value: b"7", expires_ms: None });
        visit(Part::Field { field: b"b", value: b"7", expires_ms: Some(2_000_000_000_000) });
    };
    for form in [Form::Packed, Form::Open] {
        let value =
            Value { kind: Kind::Hash, form, len: 2, may_expire: true, has_producers: false, parts: &parts };
        writer.key(b"hash", KeyFacts::default(), &value).expect("the version has it");
    }
    let none = |_: &mut dyn FnMut(Part<'_>)| {};
    let stream = Value {
        kind: Kind::Stream,
        form: Form::Open,
        len: 0,
        may_expire: true,
        has_producers: true,
        parts: &none,
    };
    assert_eq!(writer.key(b"stream", KeyFacts::default(), &stream), Err(13));
    let (bytes, _) = writer.finish().expect("a vector takes everything");
    let mut content = Content::default();
    read_file(bytes.as_slice(), &mut content).expect("a sound file");
    let facts = "expires_ms: None, idle_s: None, frequency: None";
    let key = format!("hash: hash as plain, with expiry, KeyFacts {{ {facts} }}");
    let fields = ["a None", "b Some(2000000000000)"];
    assert_eq!(content.0, ["80 of Valkey", &key, fields[0], fields[1], &key, fields[0], fields[1]]);
}

/// What is passed is what would be read, in every version: whoever finds where a value ends agrees with who reads it.
#[test]
fn a_stream_is_passed_up_to_where_it_is_read() {
    let at = |sequence| StreamId { ms: 7, sequence };
    let items = 250;
    let parts = |visit: &mut dyn FnMut(Part<'_>)| {
        let mut show = |part: StreamPart<'_>| visit(Part::Stream(part));
        for sequence in 0..items {
            let text = format!("value {sequence}");
            let own = if sequence % 7 == 0 { &b"own"[..] } else { b"name" };
            show(StreamPart::Item { id: at(sequence), fields: &[b"number", b"12", own, text.as_bytes()] });
        }
        let history = Some((at(0), at(1), items + 1));
        show(StreamPart::Marks { len: items, last: at(items), history });
        for name in [b"one", b"two"] {
            show(StreamPart::Group { name, delivered: at(5), read: Some(6) });
            (2..5).for_each(|id| show(StreamPart::Pending { id: at(id), delivered_ms: 900, count: 3 }));
            show(StreamPart::Consumer { name: b"who", seen_ms: 1000, active_ms: Some(-1) });
            (2..5).for_each(|id| show(StreamPart::Held(at(id))));
        }
        show(StreamPart::Idempotency { duration: 100, entries_max: 100 });
        show(StreamPart::Addition { producer: b"p", name: b"n", id: at(2) });
        show(StreamPart::Additions { added: 4, duplicates: 1 });
    };
    let len = items as usize;
    for version in VERSIONS {
        let value = Value {
            kind: Kind::Stream,
            form: Form::Open,
            len,
            may_expire: true,
            has_producers: version > 12,
            parts: &parts,
        };
        let payload = write_payload(&value, WriteOptions { version, compress: version % 2 == 0 });
        let (&number, body) = payload[..payload.len() - 10].split_first().expect("a type");
        let (kind, shape) = crate::object::meaning(number, Writer::Redis).expect("a type");
        let end_of = |act: &dyn Fn(&mut Input<&[u8]>)| {
            let mut input = Input::unsummed(body, 0);
            act(&mut input);
            input.offset()
        };
        let read =
            end_of(&|input| crate::object::read(input, kind, shape, &mut |_| Ok(())).expect("it reads"));
        let passed = end_of(&|input| crate::object::skip(input, kind, shape).expect("it passes"));
        assert_eq!((read, passed), (body.len() as u64, body.len() as u64), "version {version}");
    }
}
