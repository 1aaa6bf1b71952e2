//! `cmsgpack`: values as MessagePack and back.
//!
//! Source: the MessagePack specification, and the documentation of lua-cmsgpack 0.4 for which value becomes what.

use std::ffi::c_int;

use crate::lua::{BOOLEAN, Failure, Lua, NUMBER, Outcome, STRING, Shared, TABLE, native};
use crate::sandbox::{set_functions, set_text};

/// Tables nested more deeply are written as nil.
const NESTING_MAX: u32 = 16;
/// Deepest nesting that is read.
const READ_NESTING_MAX: u32 = 1000;

/// Pushes the library.
pub(crate) fn open(lua: Lua) {
    lua.table(0, 8);
    set_functions(
        lua,
        &[
            (c"pack", native(pack)),
            (c"unpack", native(unpack)),
            (c"unpack_one", native(unpack_one)),
            (c"unpack_limit", native(unpack_limit)),
        ],
    );
    set_text(lua, c"_NAME", "cmsgpack");
    set_text(lua, c"_VERSION", "lua-cmsgpack 0.4.0");
    set_text(lua, c"_COPYRIGHT", "Copyright (C) 2012, Salvatore Sanfilippo");
    set_text(lua, c"_DESCRIPTION", "MessagePack C implementation for Lua");
}

fn pack(lua: Lua) -> Outcome {
    let count = lua.top();
    if count == 0 {
        return Err(Failure::Argument(0, "MessagePack pack needs input.".to_owned()));
    }
    let mut packer = Packer { lua, shared: lua.shared(), made: Vec::with_capacity(64) };
    for at in 1..=count {
        if !lua.room(1) {
            return Err(Failure::Argument(0, "Too many arguments for MessagePack pack.".to_owned()));
        }
        lua.copy(at);
        packer.value(0)?;
        lua.pop(1);
    }
    lua.push_bytes(&packer.made);
    Ok(1)
}

struct Packer<'a> {
    lua: Lua,
    shared: &'a Shared,
    made: Vec<u8>,
}

impl Packer<'_> {
    /// Appends the value on top of the stack.
    fn value(&mut self, level: u32) -> Result<(), Failure> {
        self.shared.step()?;
        if self.made.len() > self.shared.memory.left() {
            return Err(Failure::Plain("not enough memory"));
        }
        match self.lua.kind(-1) {
            STRING => {
                let bytes = self.lua.bytes(-1).unwrap_or_default();
                match bytes.len() {
                    len @ 0..32 => self.made.push(0xa0 | len as u8),
                    len @ 32..=0xff => self.made.extend_from_slice(&[0xd9, len as u8]),
                    len => self.count(len, 0xda),
                }
                self.made.extend_from_slice(bytes);
            }
            BOOLEAN => self.made.push(if self.lua.boolean(-1) { 0xc3 } else { 0xc2 }),
            NUMBER => self.number(self.lua.number(-1).unwrap_or(0.0)),
            TABLE if level < NESTING_MAX => self.table(level + 1)?,
            _ => self.made.push(0xc0),
        }
        Ok(())
    }

    /// A count in two bytes behind a code, or in four behind the next one.
    fn count(&mut self, count: usize, code: u8) {
        match u16::try_from(count) {
            Ok(count) => {
                self.made.push(code);
                self.made.extend_from_slice(&count.to_be_bytes());
            }
            Err(_) => {
                self.made.push(code + 1);
                self.made.extend_from_slice(&(count as u32).to_be_bytes());
            }
        }
    }

    fn number(&mut self, number: f64) {
        let integer = number as i64;
        // The largest integer is what all larger numbers become.
        if integer as f64 == number && integer != i64::MAX {
            return self.integer(integer);
        }
        let short = number as f32;
        if f64::from(short) == number {
            self.made.push(0xca);
            self.made.extend_from_slice(&short.to_be_bytes());
        } else {
            self.made.push(0xcb);
            self.made.extend_from_slice(&number.to_be_bytes());
        }
    }

    fn integer(&mut self, integer: i64) {
        let bytes = integer.to_be_bytes();
        let (code, len) = match integer {
            -32..=127 => return self.made.push(integer as u8),
            128..=0xff => (0xcc, 1),
            0x100..=0xffff => (0xcd, 2),
            0x1_0000..=0xffff_ffff => (0xce, 4),
            0x1_0000_0000.. => (0xcf, 8),
            -128..-32 => (0xd0, 1),
            -32768..-128 => (0xd1, 2),
            -2_147_483_648..-32768 => (0xd2, 4),
            _ => (0xd3, 8),
        };
        self.made.push(code);
        self.made.extend_from_slice(&bytes[8 - len..]);
    }

    fn table(&mut self, level: u32) -> Result<(), Failure> {
        if !self.lua.room(6) {
            return Err(Failure::At("stack overflow (in function mp_encode_lua_table_as_map)".to_owned()));
        }
        let (count, is_array) = self.elements()?;
        if is_array {
            match count {
                0..=15 => self.made.push(0x90 | count as u8),
                _ => self.count(count, 0xdc),
            }
            for index in 1..=count {
                self.lua.raw_get_at(-1, index as c_int);
                self.value(level)?;
                self.lua.pop(1);
            }
            return Ok(());
        }
        match count {
            0..=15 => self.made.push(0x80 | count as u8),
            _ => self.count(count, 0xde),
        }
        self.lua.push_nil();
        while self.lua.next(-2) {
            self.lua.copy(-2);
            self.value(level)?;
            self.lua.pop(1);
            self.value(level)?;
            self.lua.pop(1);
        }
        Ok(())
    }

    /// Elements of the table on top of the stack, and whether it has nothing but those from 1 on.
    fn elements(&self) -> Result<(usize, bool), Failure> {
        let (mut count, mut most, mut indices) = (0, 0, true);
        self.lua.push_nil();
        while self.lua.next(-2) {
            self.shared.step()?;
            self.lua.pop(1);
            count += 1;
            let index = if self.lua.kind(-1) == NUMBER { self.lua.number(-1).unwrap_or(0.0) } else { 0.0 };
            if index >= 1.0 && index <= f64::from(c_int::MAX) && index.floor() == index {
                most = most.max(index as usize);
            } else {
                indices = false;
            }
        }
        Ok((count, indices && most == count))
    }
}

fn unpack(lua: Lua) -> Outcome {
    unpack_some(lua, None)
}

fn unpack_one(lua: Lua) -> Outcome {
    let offset = lua.integer_or(2, 0)?;
    unpack_some(lua, Some((1, offset)))
}

fn unpack_limit(lua: Lua) -> Outcome {
    let limit = lua.want_integer(2)?;
    let offset = lua.integer_or(3, 0)?;
    unpack_some(lua, Some((limit, offset)))
}

/// Reads so many values from an offset on, or all there are.
fn unpack_some(lua: Lua, part: Option<(i64, i64)>) -> Outcome {
    let text = lua.want_bytes(1)?;
    let (limit, offset) = part.unwrap_or((0, 0));
    if limit < 0 || offset < 0 {
        let text = format!(
            "Invalid request to unpack with offset of {} and limit of {}.",
            offset as c_int,
            text.len() as c_int
        );
        return Err(Failure::At(text));
    }
    if offset as usize > text.len() {
        let text =
            format!("Start offset {} greater than input length {}.", offset as c_int, text.len() as c_int);
        return Err(Failure::At(text));
    }
    let is_all = limit == 0 && offset == 0;
    let limit = if is_all { i64::from(c_int::MAX) } else { limit };
    let mut reader = Reader { lua, shared: lua.shared(), rest: &text[offset as usize..], level: 0 };
    lua.set_top(1);
    let mut count = 0;
    while !reader.rest.is_empty() && i64::from(count) < limit {
        reader.value()?;
        count += 1;
    }
    if is_all {
        return Ok(count);
    }
    let next = if reader.rest.is_empty() { -1.0 } else { (text.len() - reader.rest.len()) as f64 };
    lua.push_number(next);
    lua.insert(2);
    Ok(count + 1)
}

struct Reader<'a> {
    lua: Lua,
    shared: &'a Shared,
    rest: &'a [u8],
    level: u32,
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], Failure> {
        let Some((taken, rest)) = self.rest.split_at_checked(len) else {
            return Err(Failure::At("Missing bytes in input.".to_owned()));
        };
        self.rest = rest;
        Ok(taken)
    }

    /// An integer without a sign, in so many bytes.
    fn unsigned(&mut self, len: usize) -> Result<u64, Failure> {
        Ok(self.take(len)?.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    fn signed(&mut self, len: usize) -> Result<f64, Failure> {
        let unused = 64 - 8 * len as u32;
        Ok(((self.unsigned(len)? << unused) as i64 >> unused) as f64)
    }

    /// Pushes the next value.
    fn value(&mut self) -> Result<(), Failure> {
        self.shared.step()?;
        if !self.lua.room(4) {
            let text =
                "stack overflow (too many return values at once; use unpack_one or unpack_limit instead.)";
            return Err(Failure::At(text.to_owned()));
        }
        let code = self.take(1)?[0];
        match code {
            0x00..=0x7f => self.lua.push_number(f64::from(code)),
            0xe0..=0xff => self.lua.push_number(f64::from(code as i8)),
            0xcc..=0xce => {
                let number = self.unsigned(1 << (code - 0xcc))?;
                self.lua.push_number(number as f64);
            }
            // The interpreter's integers have a sign.
            0xcf => {
                let number = self.unsigned(8)?;
                self.lua.push_number(number as i64 as f64);
            }
            0xd0..=0xd3 => {
                let number = self.signed(1 << (code - 0xd0))?;
                self.lua.push_number(number);
            }
            0xca => {
                let number = f32::from_bits(self.unsigned(4)? as u32);
                self.lua.push_number(f64::from(number));
            }
            0xcb => {
                let number = f64::from_bits(self.unsigned(8)?);
                self.lua.push_number(number);
            }
            0xc0 => self.lua.push_nil(),
            0xc2 | 0xc3 => self.lua.push_bool(code == 0xc3),
            0xa0..=0xbf => self.bytes(usize::from(code & 0x1f))?,
            0xd9..=0xdb => {
                let len = self.unsigned(1 << (code - 0xd9))? as usize;
                self.bytes(len)?;
            }
            0x90..=0x9f => self.array(usize::from(code & 0xf))?,
            0xdc | 0xdd => {
                let len = self.unsigned(2 << (code - 0xdc))? as usize;
                self.array(len)?;
            }
            0x80..=0x8f => self.map(usize::from(code & 0xf))?,
            0xde | 0xdf => {
                let len = self.unsigned(2 << (code - 0xde))? as usize;
                self.map(len)?;
            }
            _ => return Err(Failure::At("Bad data format in input.".to_owned())),
        }
        Ok(())
    }

    fn bytes(&mut self, len: usize) -> Result<(), Failure> {
        let bytes = self.take(len)?;
        self.lua.push_bytes(bytes);
        Ok(())
    }

    fn descend(&mut self) -> Result<(), Failure> {
        self.level += 1;
        if self.level > READ_NESTING_MAX {
            return Err(Failure::At("Bad data format in input.".to_owned()));
        }
        self.lua.table(0, 0);
        Ok(())
    }

    fn array(&mut self, len: usize) -> Result<(), Failure> {
        self.descend()?;
        for index in 1..=len {
            self.value()?;
            self.lua.raw_set_at(-2, index as c_int);
        }
        self.level -= 1;
        Ok(())
    }

    fn map(&mut self, len: usize) -> Result<(), Failure> {
        self.descend()?;
        for _ in 0..len {
            self.value()?;
            // The interpreter throws where a key is none.
            if self.lua.kind(-1) == crate::lua::NIL {
                return Err(Failure::Plain("table index is nil"));
            }
            if self.lua.kind(-1) == NUMBER && self.lua.number(-1).is_some_and(f64::is_nan) {
                return Err(Failure::Plain("table index is NaN"));
            }
            self.value()?;
            self.lua.raw_set(-3);
        }
        self.level -= 1;
        Ok(())
    }
}
