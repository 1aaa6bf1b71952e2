//! `struct`: values in binary, laid out by a format.
//!
//! Source: the documentation of the library "struct" by Roberto Ierusalimschy. Sizes are those of C on 64-bit machines.

use std::ffi::c_int;

use crate::lua::{Failure, Lua, Outcome, native};
use crate::sandbox::set_functions;

/// Pushes the library.
pub(crate) fn open(lua: Lua) {
    lua.table(0, 3);
    set_functions(lua, &[(c"pack", native(pack)), (c"unpack", native(unpack)), (c"size", native(size))]);
}

/// Largest integer, in bytes.
const INTEGER_BYTES_MAX: usize = 32;
/// Alignment that `!` stands for.
const ALIGNMENT: usize = 8;
/// Most values that one format yields.
const RESULTS_MAX: c_int = 7900;

/// What one letter of a format stands for.
#[derive(Clone, Copy, Debug)]
enum Item {
    Integer {
        bytes: usize,
        signed: bool,
    },
    Float,
    Double,
    Pad,
    /// Of this many bytes; 0 where the value says how many.
    Chars(usize),
    /// Up to a zero byte.
    Text,
    /// Says something of those that follow.
    Control,
}

/// Reads a format, with what it has said of byte order and alignment.
struct Format<'a> {
    rest: &'a [u8],
    big_endian: bool,
    alignment: usize,
}

impl<'a> Format<'a> {
    fn new(format: &'a [u8]) -> Self {
        let end = format.iter().position(|byte| *byte == 0).unwrap_or(format.len());
        Format { rest: &format[..end], big_endian: cfg!(target_endian = "big"), alignment: 1 }
    }

    fn number(&mut self, otherwise: usize) -> Result<usize, Failure> {
        if !self.rest.first().is_some_and(u8::is_ascii_digit) {
            return Ok(otherwise);
        }
        let mut number = 0_i32;
        while let Some(digit) = self.rest.first().filter(|byte| byte.is_ascii_digit()) {
            number = number
                .checked_mul(10)
                .and_then(|number| number.checked_add(i32::from(digit - b'0')))
                .ok_or_else(|| Failure::At("integral size overflow".to_owned()))?;
            self.rest = &self.rest[1..];
        }
        Ok(number as usize)
    }

    /// The next item, and how many bytes of padding come before it where so many bytes are already there.
    fn next(&mut self, len: usize) -> Result<Option<(Item, usize)>, Failure> {
        let Some((letter, rest)) = self.rest.split_first() else { return Ok(None) };
        self.rest = rest;
        let signed = letter.is_ascii_lowercase();
        let item = match letter.to_ascii_lowercase() {
            b'b' => Item::Integer { bytes: 1, signed },
            b'h' => Item::Integer { bytes: 2, signed },
            b'l' => Item::Integer { bytes: 8, signed },
            b'i' => {
                let bytes = self.number(4)?;
                if bytes > INTEGER_BYTES_MAX {
                    let text = format!("integral size {bytes} is larger than limit of {INTEGER_BYTES_MAX}");
                    return Err(Failure::At(text));
                }
                Item::Integer { bytes, signed }
            }
            _ => match letter {
                b'T' => Item::Integer { bytes: 8, signed: false },
                b'f' => Item::Float,
                b'd' => Item::Double,
                b'x' => Item::Pad,
                b'c' => Item::Chars(self.number(1)?),
                b's' => Item::Text,
                other => {
                    self.control(*other)?;
                    Item::Control
                }
            },
        };
        let aligned = match item {
            Item::Integer { bytes, .. } => bytes,
            Item::Float => 4,
            Item::Double => 8,
            Item::Pad => 1,
            Item::Chars(_) | Item::Text | Item::Control => 0,
        };
        let aligned = aligned.min(self.alignment);
        let padding =
            if aligned == 0 { 0 } else { aligned.wrapping_sub(len & (aligned - 1)) & (aligned - 1) };
        Ok(Some((item, padding)))
    }

    fn control(&mut self, letter: u8) -> Result<(), Failure> {
        match letter {
            b' ' => {}
            b'>' => self.big_endian = true,
            b'<' => self.big_endian = false,
            b'!' => {
                let alignment = self.number(ALIGNMENT)?;
                if !alignment.is_power_of_two() {
                    return Err(Failure::At(format!("alignment {alignment} is not a power of 2")));
                }
                self.alignment = alignment;
            }
            other => {
                let text = format!("invalid format option '{}'", char::from(other));
                return Err(Failure::Argument(1, text));
            }
        }
        Ok(())
    }

    /// Bytes in this order, from or to the machine's.
    fn ordered<const N: usize>(&self, mut little: [u8; N]) -> [u8; N] {
        if self.big_endian {
            little.reverse();
        }
        little
    }
}

fn pack(lua: Lua) -> Outcome {
    let mut format = Format::new(lua.want_bytes(1)?);
    let (mut made, mut argument) = (Vec::new(), 2);
    while let Some((item, padding)) = format.next(made.len())? {
        lua.shared().step()?;
        made.resize(made.len() + padding, 0);
        let at = argument;
        argument += c_int::from(!matches!(item, Item::Pad | Item::Control));
        match item {
            Item::Integer { bytes, .. } => {
                let number = lua.want_number(at)?;
                let value = if number < 0.0 { number as i64 as u64 } else { number as u64 };
                let little = value.to_le_bytes();
                // Beyond 64 bits there is nothing to tell.
                let digits = (0..bytes).map(|index| little.get(index).copied().unwrap_or(0));
                if format.big_endian { made.extend(digits.rev()) } else { made.extend(digits) }
            }
            Item::Float => made.extend(format.ordered((lua.want_number(at)? as f32).to_le_bytes())),
            Item::Double => made.extend(format.ordered(lua.want_number(at)?.to_le_bytes())),
            Item::Pad => made.push(0),
            Item::Chars(0) => made.extend_from_slice(lua.want_bytes(at)?),
            Item::Chars(bytes) => {
                let text = lua.want_bytes(at)?;
                lua.want(text.len() >= bytes, argument, "string too short")?;
                made.extend_from_slice(&text[..bytes]);
            }
            Item::Text => {
                made.extend_from_slice(lua.want_bytes(at)?);
                made.push(0);
            }
            Item::Control => {}
        }
        if made.len() > lua.shared().memory.left() {
            return Err(Failure::Plain("not enough memory"));
        }
    }
    lua.push_bytes(&made);
    Ok(1)
}

fn unpack(lua: Lua) -> Outcome {
    let mut format = Format::new(lua.want_bytes(1)?);
    let data = lua.want_bytes(2)?;
    let offset = lua.integer_or(3, 1)?;
    lua.want(offset > 0, 3, "offset must be 1 or greater")?;
    let mut at = offset as usize - 1;
    let mut results = 0;
    while let Some((item, padding)) = format.next(at)? {
        lua.shared().step()?;
        at = at.saturating_add(padding);
        let bytes = match item {
            Item::Integer { bytes, .. } | Item::Chars(bytes) => bytes,
            Item::Float => 4,
            Item::Double => 8,
            Item::Pad => 1,
            Item::Text | Item::Control => 0,
        };
        let part = |bytes: usize| at.checked_add(bytes).and_then(|end| data.get(at..end));
        let short = || Failure::Argument(2, "data string too short".to_owned());
        let mut taken = part(bytes).ok_or_else(short)?;
        if results > RESULTS_MAX || !lua.room(2) {
            return Err(Failure::At("stack overflow (too many results)".to_owned()));
        }
        match item {
            Item::Integer { signed, .. } => lua.push_number(integer(taken, format.big_endian, signed)),
            Item::Float => {
                let little = format.ordered(taken.try_into().unwrap_or_default());
                lua.push_number(f64::from(f32::from_le_bytes(little)));
            }
            Item::Double => {
                let little = format.ordered(taken.try_into().unwrap_or_default());
                lua.push_number(f64::from_le_bytes(little));
            }
            Item::Chars(0) => {
                let previous = if results > 0 { lua.number(-1) } else { None };
                let Some(bytes) = previous else {
                    return Err(Failure::At("format 'c0' needs a previous size".to_owned()));
                };
                lua.pop(1);
                results -= 1;
                taken = part(bytes as usize).ok_or_else(short)?;
                lua.push_bytes(taken);
            }
            Item::Chars(_) => lua.push_bytes(taken),
            Item::Text => {
                let rest = &data[at..];
                let Some(end) = rest.iter().position(|byte| *byte == 0) else {
                    return Err(Failure::At("unfinished string in data".to_owned()));
                };
                lua.push_bytes(&rest[..end]);
                taken = &rest[..=end];
            }
            Item::Pad | Item::Control => {}
        }
        results += c_int::from(!matches!(item, Item::Pad | Item::Control));
        at += taken.len();
    }
    lua.push_number((at + 1) as f64);
    Ok(results + 1)
}

fn integer(bytes: &[u8], big_endian: bool, signed: bool) -> f64 {
    let fold = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
    let value = if big_endian { bytes.iter().fold(0, fold) } else { bytes.iter().rev().fold(0, fold) };
    if !signed || bytes.is_empty() {
        return value as f64;
    }
    let unused = 64 - 8 * bytes.len().min(8) as u32;
    ((value << unused) as i64 >> unused) as f64
}

fn size(lua: Lua) -> Outcome {
    let mut format = Format::new(lua.want_bytes(1)?);
    let mut len = 0_usize;
    while let Some((item, padding)) = format.next(len)? {
        let bytes = match item {
            Item::Integer { bytes, .. } => bytes,
            Item::Float => 4,
            Item::Double => 8,
            Item::Pad => 1,
            Item::Text => return Err(Failure::Argument(1, "option 's' has no fixed size".to_owned())),
            Item::Chars(0) => return Err(Failure::Argument(1, "option 'c0' has no fixed size".to_owned())),
            Item::Chars(bytes) => bytes,
            Item::Control => 0,
        };
        len = len.saturating_add(padding + bytes);
    }
    lua.push_number(len as f64);
    Ok(1)
}
