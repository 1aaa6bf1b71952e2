//! Values as JSON.

use std::ffi::c_int;

use super::{DEPTH_MAX, IS_ARRAY, Invalid, Settings, settings};
use crate::lua::{BOOLEAN, Failure, Lua, NIL, NUMBER, Outcome, POINTER, STRING, Shared, TABLE};
use crate::number;

pub(super) fn encode(lua: Lua) -> Outcome {
    lua.want(lua.top() == 1, 1, "expected 1 argument")?;
    let shared = lua.shared();
    let mut encoder =
        Encoder { lua, shared, settings: &settings(lua).borrow(), made: Vec::with_capacity(64) };
    encoder.value(0)?;
    lua.push_bytes(&encoder.made);
    Ok(1)
}

struct Encoder<'a> {
    lua: Lua,
    shared: &'a Shared,
    settings: &'a Settings,
    made: Vec<u8>,
}

impl Encoder<'_> {
    fn refuse<T>(&self, at: c_int, reason: &str) -> Result<T, Failure> {
        Err(Failure::At(format!("Cannot serialise {}: {reason}", self.lua.kind_name(at))))
    }

    /// Appends the value on top of the stack.
    fn value(&mut self, depth: c_int) -> Result<(), Failure> {
        self.shared.step()?;
        if self.made.len() > self.shared.memory.left() {
            return Err(Failure::Plain("not enough memory"));
        }
        match self.lua.kind(-1) {
            STRING => self.string(-1),
            NUMBER => self.number(-1)?,
            BOOLEAN => self.made.extend_from_slice(if self.lua.boolean(-1) { b"true" } else { b"false" }),
            NIL => self.made.extend_from_slice(b"null"),
            POINTER if self.lua.pointer(-1).is_null() => self.made.extend_from_slice(b"null"),
            TABLE => self.table(depth + 1)?,
            _ => return self.refuse(-1, "type not supported"),
        }
        Ok(())
    }

    fn table(&mut self, depth: c_int) -> Result<(), Failure> {
        if depth > self.settings.encode_depth_max.min(DEPTH_MAX) || !self.lua.room(6) {
            return Err(Failure::At(format!("Cannot serialise, excessive nesting ({depth})")));
        }
        if self.lua.meta_table(-1) {
            self.lua.field(-1, IS_ARRAY);
            let is_array = self.lua.boolean(-1);
            self.lua.pop(2);
            if is_array {
                return self.array(self.lua.len(-1) as c_int, depth);
            }
        }
        match self.elements()? {
            Some(count @ 1..) => self.array(count, depth),
            _ => self.object(depth),
        }
    }

    /// How many elements the table on top of the stack has if it is an array.
    fn elements(&self) -> Result<Option<c_int>, Failure> {
        let lua = self.lua;
        let (mut most, mut count) = (0.0_f64, 0_i64);
        lua.push_nil();
        while lua.next(-2) {
            self.shared.step()?;
            let index = if lua.kind(-2) == NUMBER { lua.number(-2).unwrap_or(0.0) } else { 0.0 };
            if index < 1.0 || index.floor() != index {
                lua.pop(2);
                return Ok(None);
            }
            most = most.max(index);
            count += 1;
            lua.pop(1);
        }
        let most = most.min(f64::from(c_int::MAX)) as c_int;
        let Settings { sparse_ratio: ratio, sparse_safe: safe, .. } = *self.settings;
        if ratio > 0 && i64::from(most) > count.saturating_mul(ratio.into()) && most > safe {
            if !self.settings.sparse_convert {
                return self.refuse(-1, "excessively sparse array");
            }
            return Ok(None);
        }
        Ok(Some(most))
    }

    fn array(&mut self, count: c_int, depth: c_int) -> Result<(), Failure> {
        self.made.push(b'[');
        for index in 1..=count {
            if index > 1 {
                self.made.push(b',');
            }
            self.lua.raw_get_at(-1, index);
            self.value(depth)?;
            self.lua.pop(1);
        }
        self.made.push(b']');
        Ok(())
    }

    fn object(&mut self, depth: c_int) -> Result<(), Failure> {
        self.made.push(b'{');
        self.lua.push_nil();
        let mut is_first = true;
        while self.lua.next(-2) {
            if !std::mem::take(&mut is_first) {
                self.made.push(b',');
            }
            match self.lua.kind(-2) {
                NUMBER => {
                    self.made.push(b'"');
                    self.number(-2)?;
                    self.made.extend_from_slice(b"\":");
                }
                STRING => {
                    self.string(-2);
                    self.made.push(b':');
                }
                _ => return self.refuse(-2, "table key must be a number or string"),
            }
            self.value(depth)?;
            self.lua.pop(1);
        }
        self.made.push(b'}');
        Ok(())
    }

    fn number(&mut self, at: c_int) -> Result<(), Failure> {
        let number = self.lua.number(at).unwrap_or(0.0);
        if number.is_finite() {
            let integer = number as i64;
            if integer as f64 == number && integer.unsigned_abs() < 10_u64.pow(self.settings.precision as u32)
            {
                if integer == 0 && number.is_sign_negative() {
                    self.made.push(b'-');
                }
                swytch_decimal::push_i64(&mut self.made, integer);
            } else {
                let text = number::general(number, self.settings.precision as usize);
                self.made.extend_from_slice(text.as_bytes());
            }
            return Ok(());
        }
        let text = match self.settings.encode_invalid {
            Invalid::Refused => return self.refuse(at, "must not be NaN or Inf"),
            Invalid::Null => "null",
            Invalid::Written if number.is_nan() => "nan",
            Invalid::Written if number > 0.0 => "inf",
            Invalid::Written => "-inf",
        };
        self.made.extend_from_slice(text.as_bytes());
        Ok(())
    }

    fn string(&mut self, at: c_int) {
        let bytes = self.lua.bytes(at).unwrap_or_default();
        self.made.reserve(bytes.len() + 2);
        self.made.push(b'"');
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| is_escaped(*byte)) {
            self.made.extend_from_slice(&rest[..end]);
            self.escape(rest[end]);
            rest = &rest[end + 1..];
        }
        self.made.extend_from_slice(rest);
        self.made.push(b'"');
    }

    fn escape(&mut self, byte: u8) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let letter = match byte {
            b'"' | b'\\' | b'/' => byte,
            8 => b'b',
            9 => b't',
            10 => b'n',
            12 => b'f',
            13 => b'r',
            _ => {
                let digit = |value: u8| DIGITS[usize::from(value & 15)];
                let code = [b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte)];
                return self.made.extend_from_slice(&code);
            }
        };
        self.made.extend_from_slice(&[b'\\', letter]);
    }
}

/// Whether a byte is written as an escape; the slash is, as ever.
fn is_escaped(byte: u8) -> bool {
    byte < 0x20 || matches!(byte, b'"' | b'\\' | b'/' | 0x7f)
}
