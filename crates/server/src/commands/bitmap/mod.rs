//! Commands on strings as arrays of bits: bit 0 is the highest of the first byte.

pub mod bit;
pub mod bitcount;
pub mod bitfield;
pub mod bitop;
pub mod bitpos;
mod field;
mod range;
mod words;

use crate::command::prelude::*;

/// The commands of this group.
pub const SPECS: &[&CommandSpec] = &[
    &bit::GETBIT,
    &bit::SETBIT,
    &bitcount::BITCOUNT,
    &bitfield::BITFIELD,
    &bitfield::BITFIELD_RO,
    &bitop::BITOP,
    &bitpos::BITPOS,
];

/// Parses a bit's position. With `width`, the form `#5` means the fifth field of that many bits.
fn bit_offset(call: &Call<'_>, argument: &[u8], width: Option<u32>) -> Result<u64, CommandError> {
    let (number, factor) = match (argument, width) {
        ([b'#', number @ ..], Some(width)) => (number, i64::from(width)),
        _ => (argument, 1),
    };
    swytch_decimal::parse_i64(number)
        .and_then(|number| number.checked_mul(factor))
        .and_then(|offset| u64::try_from(offset).ok())
        .filter(|offset| offset >> 3 < call.string_bytes_max())
        .ok_or_else(|| CommandError::text("ERR bit offset is not an integer or out of range"))
}
