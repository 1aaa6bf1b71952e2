//! A whole file: its head, what it says of itself, its keys, and the checksum at its end.

use std::io::BufRead;

use crate::input::Input;
use crate::object::{self, Kind, Part, Shape};
use crate::{Fault, FaultKind, Writer};

/// The first version with a checksum at its end.
const CHECKSUM_VERSION_MIN: u32 = 5;

/// What is no type of a value: the bytes that other things in a file begin with.
///
/// Source: `RDB_OPCODE_*` in Redis's and Valkey's `rdb.h`.
pub(crate) mod opcode {
    pub(crate) const END: u8 = 255;
    pub(crate) const DATABASE: u8 = 254;
    pub(crate) const EXPIRES_S: u8 = 253;
    pub(crate) const EXPIRES_MS: u8 = 252;
    pub(crate) const SIZES: u8 = 251;
    pub(crate) const REMARK: u8 = 250;
    pub(crate) const FREQUENCY: u8 = 249;
    pub(crate) const IDLE: u8 = 248;
    pub(crate) const MODULE: u8 = 247;
    pub(crate) const FUNCTION: u8 = 245;
    pub(crate) const SLOT: u8 = 244;
    /// Of Redis's.
    pub(crate) const KEY_REMARKS: u8 = 243;
    /// Of Valkey's.
    pub(crate) const SLOT_IMPORT: u8 = 243;
}

/// What stands before a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyFacts {
    /// When it expires, in Unix milliseconds.
    pub expires_ms: Option<u64>,
    /// For how long nobody had used it, in seconds.
    pub idle_s: Option<u64>,
    /// How often it was used, as Redis's LFU counts.
    pub frequency: Option<u8>,
}

/// A value as it stands in a file.
#[derive(Clone, Copy, Debug)]
pub struct Unread<'a> {
    /// What it is.
    pub kind: Kind,
    /// How it is written.
    pub shape: Shape,
    /// Its first byte's place in the file.
    pub offset: u64,
    /// It.
    pub bytes: &'a [u8],
}

impl Unread<'_> {
    /// Tells its parts.
    ///
    /// # Errors
    /// At the first thing that is wrong, with its place in the file; what was told before is true.
    pub fn parts(&self, told: &mut dyn FnMut(Part<'_>) -> Result<(), String>) -> Result<(), Fault> {
        object::read(&mut Input::unsummed(self.bytes, self.offset), self.kind, self.shape, told)
    }
}

/// Who is told what a file holds, in the file's order. An error ends the reading and becomes the fault's text.
pub trait Sink {
    /// The file's version and dialect.
    fn head(&mut self, _version: u32, _writer: Writer) {}

    /// Something that the writer says of itself: `redis-ver`, `ctime`, `used-mem`.
    fn remark(&mut self, _name: &[u8], _value: &[u8]) {}

    /// The keys that follow are of this database.
    ///
    /// # Errors
    /// If there is no such database.
    fn database(&mut self, _index: u64) -> Result<(), String> {
        Ok(())
    }

    /// About how many keys the database has, and how many of them expire.
    fn sizes(&mut self, _keys: u64, _expiring: u64) {}

    /// The code of a library of functions.
    ///
    /// # Errors
    /// If it cannot be taken.
    fn function(&mut self, _code: &[u8]) -> Result<(), String> {
        Ok(())
    }

    /// A key; the parts of its value follow, then [`Sink::end`].
    ///
    /// # Errors
    /// If it cannot be taken.
    fn begin(&mut self, key: &[u8], facts: KeyFacts, kind: Kind, shape: Shape) -> Result<(), String>;

    /// False if the value is wanted as it stands, for who looks into it later and elsewhere.
    fn wants_parts(&self) -> bool {
        true
    }

    /// The key's value where its parts are not wanted.
    ///
    /// # Errors
    /// What is wrong with it.
    fn unread(&mut self, _value: Unread<'_>) -> Result<(), Fault> {
        Ok(())
    }

    /// A part of the key's value.
    ///
    /// # Errors
    /// If it cannot be taken.
    fn part(&mut self, part: Part<'_>) -> Result<(), String>;

    /// The key's value is whole; key, value and what stood before them have taken this many bytes of the file.
    ///
    /// # Errors
    /// If it cannot be taken.
    fn end(&mut self, bytes: u64) -> Result<(), String>;
}

/// Reads a file, tells `sink` what is in it, and gives the bytes that it has. What follows its end is left in `source`.
///
/// # Errors
/// At the first thing that is wrong; what was told before is true.
pub fn read_file<R: BufRead>(source: R, sink: &mut dyn Sink) -> Result<u64, Fault> {
    let input = &mut Input::new(source);
    read_whole(input, sink)?;
    input.settle()?;
    Ok(input.offset())
}

fn read_whole<R: BufRead>(input: &mut Input<R>, sink: &mut dyn Sink) -> Result<(), Fault> {
    let (version, writer) = read_head(input)?;
    sink.head(version, writer);
    let (mut name, mut text) = (Vec::new(), Vec::new());
    let mut facts = KeyFacts::default();
    // Where the key that comes began, if something stands before it.
    let mut began = None;
    loop {
        let at = input.offset();
        let refused = |why| Fault { offset: at, kind: FaultKind::Refused(why) };
        match (input.byte()?, writer) {
            (opcode::END, _) => break,
            (opcode::DATABASE, _) => sink.database(input.length()?).map_err(refused)?,
            (opcode::EXPIRES_S, _) => {
                let seconds = i64::from(i32::from_le_bytes(input.bytes()?));
                facts.expires_ms = Some(seconds.saturating_mul(1000).max(0) as u64);
            }
            (opcode::EXPIRES_MS, _) => facts.expires_ms = Some(input.time_ms()?.max(0) as u64),
            (opcode::SIZES, _) => {
                let (keys, expiring) = (input.length()?, input.length()?);
                sink.sizes(keys, expiring);
            }
            (opcode::REMARK, _) => {
                input.string(&mut name)?;
                input.string(&mut text)?;
                sink.remark(&name, &text);
            }
            (opcode::FREQUENCY, _) => facts.frequency = Some(input.byte()?),
            (opcode::IDLE, _) => facts.idle_s = Some(input.length()?),
            (opcode::MODULE, _) => {
                // A module's own, outside of keys: its number, then items.
                input.length()?;
                object::skip_module(input)?;
            }
            (opcode::FUNCTION, _) => {
                input.string(&mut text)?;
                sink.function(&text).map_err(refused)?;
            }
            // How many keys a slot has: slot, keys, expiring.
            (opcode::SLOT, _) => drop([input.length()?, input.length()?, input.length()?]),
            (opcode::KEY_REMARKS, Writer::Redis) => object::skip_key_remarks(input)?,
            (opcode::SLOT_IMPORT, Writer::Valkey) => {
                // Slots that are being imported: a name, then ranges.
                input.string(&mut text)?;
                for _ in 0..input.length()? {
                    let _range = [input.length()?, input.length()?];
                }
            }
            (number, _) => {
                let unknown = || Fault { offset: at, kind: FaultKind::Type(number) };
                let (kind, shape) = object::meaning(number, writer).ok_or_else(unknown)?;
                input.string(&mut name)?;
                sink.begin(&name, std::mem::take(&mut facts), kind, shape).map_err(refused)?;
                if sink.wants_parts() {
                    object::read(input, kind, shape, &mut |part| sink.part(part))?;
                } else {
                    let offset = input.offset();
                    input.copied(&mut text, |input| object::skip(input, kind, shape))?;
                    sink.unread(Unread { kind, shape, offset, bytes: &text })?;
                }
                sink.end(input.offset() - began.unwrap_or(at)).map_err(refused)?;
            }
        }
        began = (facts != KeyFacts::default()).then_some(began.unwrap_or(at));
    }
    if version < CHECKSUM_VERSION_MIN {
        return Ok(());
    }
    let computed = input.checksum()?;
    let stated = u64::from_le_bytes(input.bytes()?);
    // Zero says that the writer was told to compute none.
    if stated != 0 && stated != computed {
        return Err(input.fault(FaultKind::Checksum { stated, computed }));
    }
    Ok(())
}

fn read_head<R: BufRead>(input: &mut Input<R>) -> Result<(u32, Writer), Fault> {
    let no_rdb = |offset| Fault { offset, kind: FaultKind::NoRdb };
    let head = input.bytes::<9>().map_err(|fault| match fault.kind {
        FaultKind::Truncated => no_rdb(0),
        _ => fault,
    })?;
    let (digits, writer) = match &head {
        [b'R', b'E', b'D', b'I', b'S', digits @ ..] => (&digits[..], Writer::Redis),
        [b'V', b'A', b'L', b'K', b'E', b'Y', digits @ ..] => (&digits[..], Writer::Valkey),
        _ => return Err(no_rdb(0)),
    };
    let version = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
    let version: u32 = version.ok_or_else(|| no_rdb(5))?;
    if version == 0 || Writer::of_version(version) != Some(writer) {
        return Err(input.fault(FaultKind::Version(version)));
    }
    Ok((version, writer))
}
