//! One value by itself, as DUMP gives it and RESTORE takes it.
//!
//! `type | value | version u16 | checksum u64`; the version says whose dialect the value is in, and the checksum is over
//! all before it.
//!
//! Source: `createDumpPayload` and `verifyDumpPayload` in Redis's `cluster.c`.

use crate::file::opcode;
use crate::input::{CRC, Input};
use crate::object::{self, Kind, Part, Shape};
use crate::output::Output;
use crate::write::{self, Value, WriteOptions};
use crate::{Fault, FaultKind, Writer};

/// Bytes of version and checksum.
const FOOTER_BYTES: usize = 10;
/// Bytes of the checksum at a payload's end.
pub const CHECKSUM_BYTES: usize = 8;

/// Bytes of a payload beside its value: type and footer.
pub const PAYLOAD_FRAME_BYTES: usize = 1 + FOOTER_BYTES;

/// Writes a value as DUMP does.
pub fn write_payload(value: &Value<'_>, options: WriteOptions) -> Vec<u8> {
    let version = options.version.max(value.version_min());
    let mut output = Output::new(Vec::new(), true, options.compress);
    write::write(&mut output, version, value, |_| ());
    output.bytes(&(version as u16).to_le_bytes());
    let (bytes, _) = output.finish().expect("a vector takes everything");
    bytes
}

/// Writes libraries of functions as FUNCTION DUMP does: their sources, each behind its mark, and a footer.
pub fn write_functions<'s>(sources: impl Iterator<Item = &'s [u8]>, options: WriteOptions) -> Vec<u8> {
    let mut output = Output::new(Vec::new(), true, options.compress);
    for source in sources {
        output.byte(opcode::FUNCTION);
        output.string(source);
    }
    output.bytes(&(options.version as u16).to_le_bytes());
    let (bytes, _) = output.finish().expect("a vector takes everything");
    bytes
}

/// The sources of libraries that FUNCTION DUMP has written.
///
/// # Errors
/// [`FaultKind::Version`] and [`FaultKind::Checksum`] are faults of the footer; others say that it is no such payload.
pub fn read_functions(payload: &[u8]) -> Result<Vec<Vec<u8>>, Fault> {
    let (body, _) = open(payload)?;
    let mut input = Input::unsummed(body, 0);
    let mut sources = Vec::new();
    while (input.offset() as usize) < body.len() {
        match input.byte()? {
            opcode::FUNCTION => {
                let mut source = Vec::new();
                input.string(&mut source)?;
                sources.push(source);
            }
            number => return Err(input.fault(FaultKind::Type(number))),
        }
    }
    Ok(sources)
}

/// What is in front of a sound footer, and whose dialect that is. A checksum of zero is none, as in Redis.
fn open(bytes: &[u8]) -> Result<(&[u8], Writer), Fault> {
    let footer_at = bytes.len().checked_sub(FOOTER_BYTES);
    let no_footer = || Fault { offset: 0, kind: FaultKind::Version(0) };
    let (body, footer) = bytes.split_at(footer_at.ok_or_else(no_footer)?);
    let (version, stated) = footer.split_at(FOOTER_BYTES - CHECKSUM_BYTES);
    let version = u32::from(version[0]) | u32::from(version[1]) << 8;
    let fault = |kind| Fault { offset: body.len() as u64, kind };
    let writer = Writer::of_version(version).ok_or_else(|| fault(FaultKind::Version(version)))?;
    let stated = stated.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    if stated != 0 {
        let computed = CRC.checksum(&bytes[..bytes.len() - CHECKSUM_BYTES]);
        if stated != computed {
            return Err(fault(FaultKind::Checksum { stated, computed }));
        }
    }
    Ok((body, writer))
}

/// A payload whose footer is sound, and whose type is one.
pub struct Payload<'a> {
    input: Input<&'a [u8]>,
    kind: Kind,
    shape: Shape,
}

impl std::fmt::Debug for Payload<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Payload")
            .field("kind", &self.kind)
            .field("shape", &self.shape)
            .finish_non_exhaustive()
    }
}

impl<'a> Payload<'a> {
    /// Looks at footer and type.
    ///
    /// # Errors
    /// [`FaultKind::Version`] and [`FaultKind::Checksum`] are faults of the footer, others of the type.
    pub fn open(bytes: &'a [u8]) -> Result<Payload<'a>, Fault> {
        let (body, writer) = open(bytes)?;
        let mut input = Input::unsummed(body, 0);
        let mut number = input.byte()?;
        if (number, writer) == (opcode::KEY_REMARKS, Writer::Redis) {
            object::skip_key_remarks(&mut input)?;
            number = input.byte()?;
        }
        let (kind, shape) =
            object::meaning(number, writer).ok_or_else(|| input.fault(FaultKind::Type(number)))?;
        Ok(Payload { input, kind, shape })
    }

    /// What the value is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// How it is written.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Tells the parts of the value. What stands behind it is not looked at, as in Redis.
    ///
    /// # Errors
    /// At the first thing that is wrong; what was told before is true.
    pub fn parts(mut self, told: &mut dyn FnMut(Part<'_>) -> Result<(), String>) -> Result<(), Fault> {
        object::read(&mut self.input, self.kind, self.shape, told)
    }
}

impl Fault {
    /// Whether it is one of a payload's footer.
    pub fn is_of_footer(&self) -> bool {
        matches!(self.kind, FaultKind::Version(_) | FaultKind::Checksum { .. })
    }
}
