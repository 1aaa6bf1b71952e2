//! One value as DUMP gives it and RESTORE takes it.

use swytch_rdb::{Fault, FaultKind, Payload, WriteOptions, write_payload};
use swytch_store::{EncodingLimits, EntryRef, OwnedValue};

use super::value::{self, Read, Reader};
use crate::config::Config;

/// How values are written, by the directives about it.
pub fn write_options(config: &Config) -> WriteOptions {
    WriteOptions { version: config.rdb_version(), compress: config.rdbcompression() }
}

/// The payload of an entry's value.
pub fn dump(entry: EntryRef<'_>, options: WriteOptions) -> Vec<u8> {
    value::with_written(entry, |value| write_payload(value, options))
}

/// Bytes of the value alone in its payload.
pub fn value_bytes(entry: EntryRef<'_>, config: &Config) -> usize {
    dump(entry, write_options(config)).len() - swytch_rdb::PAYLOAD_FRAME_BYTES
}

/// The value of a payload.
///
/// # Errors
/// What is wrong with it: with its footer, or else with the value.
pub fn restore(payload: &[u8], limits: EncodingLimits) -> Result<OwnedValue, Fault> {
    let refused = |why| Fault { offset: 0, kind: FaultKind::Refused(why) };
    let payload = Payload::open(payload)?;
    let mut reader = Reader::new(payload.kind(), payload.shape(), limits).map_err(refused)?;
    payload.parts(&mut |part| reader.part(part))?;
    match reader.finish().map_err(refused)? {
        Read::Value(value) => Ok(value),
        Read::Empty => Err(refused("a value without members".into())),
    }
}
