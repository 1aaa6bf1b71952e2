//! Values as the parts of RDB, and back: what a type has to say of itself to be in a file or payload.
//!
//! Redis's format and the store have a value as a row of parts each. A new type adds its line to the matches here, which
//! do not compile without it, and a sample of its parts to the tests, which then write and read it.

use std::ops::ControlFlow;

use swytch_rdb::{Form, Kind, Shape, Value};
use swytch_store::{Builder, Encoding, EncodingLimits, EntryRef, OwnedValue, Part, Stream, Text, Type};

use super::stream;

/// A type by the name that it has in files.
fn kind_of(data_type: Type) -> Kind {
    match data_type {
        Type::String => Kind::String,
        Type::List => Kind::List,
        Type::Set => Kind::Set,
        Type::Hash => Kind::Hash,
        Type::SortedSet => Kind::SortedSet,
        Type::Stream => Kind::Stream,
    }
}

/// The form in which a reader is to have what is encoded so.
fn form_of(encoding: Encoding) -> Form {
    match encoding {
        Encoding::Listpack | Encoding::Listpackex | Encoding::Ziplist => Form::Packed,
        Encoding::Intset => Form::Integers,
        Encoding::Int | Encoding::Embstr | Encoding::Raw => Form::Open,
        Encoding::Quicklist | Encoding::Hashtable | Encoding::Skiplist | Encoding::Stream => Form::Open,
    }
}

/// A part as it is written.
fn written(part: Part<'_>) -> swytch_rdb::Part<'_> {
    match part {
        Part::Element(bytes) | Part::Member(bytes) => swytch_rdb::Part::Element(bytes),
        Part::Field { field, value, expire_at_ms } => {
            swytch_rdb::Part::Field { field, value, expires_ms: expire_at_ms }
        }
        Part::Scored { member, score } => swytch_rdb::Part::Scored { member, score },
        Part::Stream(_) => unreachable!("streams show their parts themselves"),
    }
}

/// A part as it was read; nothing for one that belongs to none of the types there are.
fn read(data_type: Type, part: swytch_rdb::Part<'_>) -> Option<Part<'_>> {
    match (part, data_type) {
        (swytch_rdb::Part::Element(bytes), Type::List) => Some(Part::Element(bytes)),
        (swytch_rdb::Part::Element(bytes), Type::Set) => Some(Part::Member(bytes)),
        (swytch_rdb::Part::Field { field, value, expires_ms }, Type::Hash) => {
            Some(Part::Field { field, value, expire_at_ms: expires_ms })
        }
        (swytch_rdb::Part::Scored { member, score }, Type::SortedSet) => Some(Part::Scored { member, score }),
        _ => None,
    }
}

/// Whether the order of a value's parts is part of what is written, beyond that of a list.
fn is_in_order(data_type: Type) -> bool {
    match data_type {
        Type::List | Type::SortedSet => true,
        Type::String | Type::Set | Type::Hash | Type::Stream => false,
    }
}

/// Lets `act` have the value of an entry as it is to be written.
pub fn with_written<R>(entry: EntryRef<'_>, act: impl FnOnce(&Value<'_>) -> R) -> R {
    let (data_type, value) = (entry.data_type(), entry.value());
    let kind = kind_of(data_type);
    match (Text::of(value), value) {
        (None, swytch_store::Value::Collection(face)) => {
            let parts = |visit: &mut dyn FnMut(swytch_rdb::Part<'_>)| {
                if data_type == Type::Stream {
                    return stream::show(face, &mut |part| visit(swytch_rdb::Part::Stream(part)));
                }
                let mut show = |part: Part<'_>| {
                    visit(written(part));
                    ControlFlow::Continue(())
                };
                let _ =
                    if is_in_order(data_type) { face.content(&mut show) } else { face.any_order(&mut show) };
            };
            let (form, len) = (form_of(entry.encoding()), face.len());
            let may_expire = face.due_ms().is_some();
            let has_producers = entry.collection::<Stream>().is_some_and(Stream::has_producers);
            act(&Value { kind, form, len, may_expire, has_producers, parts: &parts })
        }
        (text, _) => {
            let text = text.as_deref().unwrap_or_default();
            let parts = |visit: &mut dyn FnMut(swytch_rdb::Part<'_>)| visit(swytch_rdb::Part::Text(text));
            act(&Value {
                kind,
                form: Form::Open,
                len: 1,
                may_expire: false,
                has_producers: false,
                parts: &parts,
            })
        }
    }
}

/// A value that is read part by part.
#[derive(Debug)]
pub struct Reader {
    data_type: Type,
    value: Reading,
    parts: usize,
}

#[derive(Debug)]
enum Reading {
    Text(Vec<u8>),
    Stream(Builder, stream::Reader),
    Collection(Builder),
}

/// What came of a value that was read.
#[derive(Debug)]
pub enum Read {
    /// It.
    Value(OwnedValue),
    /// Nothing: a collection without members, which no key can have.
    Empty,
}

impl Reader {
    /// A value that begins.
    ///
    /// # Errors
    /// If there is no such type here.
    pub fn new(kind: Kind, shape: Shape, limits: EncodingLimits) -> Result<Reader, String> {
        let data_type = Type::ALL.iter().copied().find(|data_type| kind_of(*data_type) == kind);
        let data_type = data_type.ok_or_else(|| format!("values of type {} are not served", kind.name()))?;
        let value = match data_type {
            Type::String => Reading::Text(Vec::new()),
            Type::Stream => Reading::Stream(Builder::new(data_type, limits), stream::Reader::default()),
            _ if shape.is_plain() => Reading::Collection(Builder::of_many(data_type, limits)),
            _ => Reading::Collection(Builder::new(data_type, limits)),
        };
        Ok(Reader { data_type, value, parts: 0 })
    }

    /// The next part.
    ///
    /// # Errors
    /// If the value cannot have it.
    #[inline]
    pub fn part(&mut self, part: swytch_rdb::Part<'_>) -> Result<(), String> {
        self.parts += 1;
        match (&mut self.value, part) {
            (Reading::Text(text), swytch_rdb::Part::Text(bytes)) => {
                *text = bytes.to_vec();
                Ok(())
            }
            (Reading::Stream(builder, reader), swytch_rdb::Part::Stream(part)) => reader.part(part, builder),
            (Reading::Collection(builder), part) => {
                let added = read(self.data_type, part).map(|part| builder.add(part));
                added.and_then(Result::ok).ok_or_else(|| self.misfit())
            }
            _ => Err(self.misfit()),
        }
    }

    fn misfit(&self) -> String {
        format!("a {} has a part that is not served", self.data_type.name())
    }

    /// The value.
    ///
    /// # Errors
    /// If two parts are the same and may not be.
    pub fn finish(self) -> Result<Read, String> {
        match self.value {
            Reading::Text(text) => Ok(Read::Value(OwnedValue::String(text))),
            Reading::Stream(builder, reader) => {
                reader.end_of_group()?;
                Ok(Read::Value(builder.finish()))
            }
            Reading::Collection(builder) => {
                let value = builder.finish();
                match swytch_store::Value::of(&value) {
                    swytch_store::Value::Collection(face) if face.len() < self.parts => {
                        Err(format!("a {} has a member twice", self.data_type.name()))
                    }
                    swytch_store::Value::Collection(face) if face.is_empty() => Ok(Read::Empty),
                    _ => Ok(Read::Value(value)),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use swytch_rdb::WriteOptions;
    use swytch_store::{HashSeed, Keyspace, KeyspaceMut, LockScope, Shards};

    use super::*;
    use crate::persistence::payload;

    /// A part of a type; parts of different texts are different.
    fn part(data_type: Type, text: &[u8]) -> Part<'_> {
        match data_type {
            Type::Set => Part::Member(text),
            // Of a name of an even length it expires.
            Type::Hash => {
                let expire_at_ms = text.len().is_multiple_of(2).then(|| 1 << (20 + text.len()));
                Part::Field { field: text, value: text, expire_at_ms }
            }
            Type::SortedSet => Part::Scored { member: text, score: text.len() as f64 / 3.0 },
            Type::String | Type::List => Part::Element(text),
            Type::Stream => unreachable!("its parts are no texts"),
        }
    }

    /// A value of every type, small and large, is written and read again in every version.
    #[test]
    fn every_type_is_written_and_read() {
        let limits = EncodingLimits::default();
        for data_type in Type::ALL.iter().copied() {
            for count in [1, 5, 2000] {
                let texts: Vec<Vec<u8>> = (0..count).map(|at| format!("part {at}").into_bytes()).collect();
                let value = match data_type {
                    Type::String => OwnedValue::String(texts.concat()),
                    _ => {
                        let mut builder = Builder::new(data_type, limits);
                        for text in texts.iter().filter(|_| data_type != Type::Stream) {
                            builder.add(part(data_type, text)).expect("a part of the type");
                        }
                        if data_type == Type::Stream {
                            crate::persistence::stream::tests::sample(&texts, &mut builder);
                        }
                        builder.finish()
                    }
                };
                let shards = Shards::new(1, 1, HashSeed::new([1, 2, 3]));
                let mut keyspace = KeyspaceMut::new(Keyspace::new(shards.lock(LockScope::All), 0), None);
                let key = keyspace.key(0, b"key");
                keyspace.replace(&key, value.clone(), None, swytch_store::Event::generic("restore"));
                for version in swytch_rdb::VERSIONS {
                    let options = WriteOptions { version, compress: version % 2 == 0 };
                    let dumped = payload::dump(keyspace.stored(&key).expect("it was put there"), options);
                    let restored = payload::restore(&dumped, limits);
                    let restored = restored.unwrap_or_else(|fault| panic!("{data_type:?}: {fault}"));
                    assert!(restored == value, "{data_type:?} of {count} parts in version {version}");
                }
            }
        }
    }
}
