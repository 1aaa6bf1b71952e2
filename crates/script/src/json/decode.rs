//! JSON as values.

use std::ffi::c_int;

use super::{DEPTH_MAX, Settings, array_meta_table, settings};
use crate::lua::{Failure, Lua, Outcome, REGISTRY, Shared};

pub(super) fn decode(lua: Lua) -> Outcome {
    lua.want(lua.top() == 1, 1, "expected 1 argument")?;
    let text = lua.want_bytes(1)?;
    if text.len() >= 2 && (text[0] == 0 || text[1] == 0) {
        return Err(Failure::At("JSON parser does not support UTF-16 or UTF-32".to_owned()));
    }
    let shared = lua.shared();
    let mut decoder =
        Decoder { lua, shared, settings: &settings(lua).borrow(), text, at: 0, depth: 0, string: Vec::new() };
    let token = decoder.token();
    decoder.value(token)?;
    match decoder.token() {
        Found { token: Token::End, .. } => Ok(1),
        found => decoder.unexpected("the end", found),
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Token<'a> {
    ObjectBegin,
    ObjectEnd,
    ArrayBegin,
    ArrayEnd,
    /// A string without escapes.
    Plain(&'a [u8]),
    /// It is in [`Decoder::string`], where its escapes were read.
    String,
    Number(f64),
    Boolean(bool),
    Null,
    Colon,
    Comma,
    End,
    Error(&'static str),
}

/// A token and where it begins.
#[derive(Clone, Copy, Debug)]
struct Found<'a> {
    token: Token<'a>,
    at: usize,
}

struct Decoder<'a> {
    lua: Lua,
    shared: &'a Shared,
    settings: &'a Settings,
    text: &'a [u8],
    at: usize,
    depth: c_int,
    string: Vec<u8>,
}

impl<'a> Decoder<'a> {
    fn unexpected<T>(&self, expected: &str, found: Found<'a>) -> Result<T, Failure> {
        let name = match found.token {
            Token::Error(what) => what,
            Token::ObjectBegin => "T_OBJ_BEGIN",
            Token::ObjectEnd => "T_OBJ_END",
            Token::ArrayBegin => "T_ARR_BEGIN",
            Token::ArrayEnd => "T_ARR_END",
            Token::Plain(..) | Token::String => "T_STRING",
            Token::Number(_) => "T_NUMBER",
            Token::Boolean(_) => "T_BOOLEAN",
            Token::Null => "T_NULL",
            Token::Colon => "T_COLON",
            Token::Comma => "T_COMMA",
            Token::End => "T_END",
        };
        let text = format!("Expected {expected} but found {name} at character {}", found.at + 1);
        Err(Failure::At(text))
    }

    fn byte(&self, at: usize) -> u8 {
        self.text.get(at).copied().unwrap_or(0)
    }

    fn token(&mut self) -> Found<'a> {
        while matches!(self.byte(self.at), b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
        let at = self.at;
        let single = |token| (token, 1);
        let (token, len) = match self.byte(at) {
            b'{' => single(Token::ObjectBegin),
            b'}' => single(Token::ObjectEnd),
            b'[' => single(Token::ArrayBegin),
            b']' => single(Token::ArrayEnd),
            b',' => single(Token::Comma),
            b':' => single(Token::Colon),
            0 => (Token::End, 0),
            b'"' => return self.string_token(),
            b'-' | b'0'..=b'9' => return self.number_token(),
            b't' if self.text[at..].starts_with(b"true") => (Token::Boolean(true), 4),
            b'f' if self.text[at..].starts_with(b"false") => (Token::Boolean(false), 5),
            b'n' if self.text[at..].starts_with(b"null") => (Token::Null, 4),
            b'+' | b'i' | b'I' | b'n' | b'N' if self.settings.decode_invalid && self.is_invalid_number() => {
                return self.number_token();
            }
            _ => (Token::Error("invalid token"), 0),
        };
        self.at += len;
        Found { token, at }
    }

    /// Whether what is here may be a number, but none of JSON's.
    fn is_invalid_number(&self) -> bool {
        if self.byte(self.at) == b'+' {
            return true;
        }
        let at = self.at + usize::from(self.byte(self.at) == b'-');
        let first = self.byte(at);
        if first == b'0' {
            let second = self.byte(at + 1);
            return second | 0x20 == b'x' || second.is_ascii_digit();
        }
        let word = &self.text[at.min(self.text.len())..];
        let is = |name: &[u8]| word.get(..3).is_some_and(|word| word.eq_ignore_ascii_case(name));
        first > b'9' && (is(b"inf") || is(b"nan"))
    }

    fn number_token(&mut self) -> Found<'a> {
        let at = self.at;
        if !self.settings.decode_invalid && self.is_invalid_number() {
            return Found { token: Token::Error("invalid number"), at };
        }
        match read_number(&self.text[at..]) {
            Some((number, len)) => {
                self.at += len;
                Found { token: Token::Number(number), at }
            }
            None => Found { token: Token::Error("invalid number"), at },
        }
    }

    fn string_token(&mut self) -> Found<'a> {
        let start = self.at;
        let fault = |at, what| Found { token: Token::Error(what), at };
        self.at += 1;
        self.string.clear();
        let mut is_plain = true;
        loop {
            let from = self.at;
            let rest = &self.text[from.min(self.text.len())..];
            self.at += rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0)).unwrap_or(rest.len());
            let (run, end) = (&self.text[from..self.at], self.byte(self.at));
            if end == b'"' {
                self.at += 1;
                if is_plain {
                    return Found { token: Token::Plain(run), at: start };
                }
                self.string.extend_from_slice(run);
                return Found { token: Token::String, at: start };
            }
            if end != b'\\' {
                return fault(self.at, "unexpected end of string");
            }
            self.string.extend_from_slice(run);
            is_plain = false;
            let escaped = match self.byte(self.at + 1) {
                byte @ (b'"' | b'\\' | b'/') => byte,
                b'b' => 8,
                b't' => 9,
                b'n' => 10,
                b'f' => 12,
                b'r' => 13,
                b'u' => match self.unicode() {
                    Some((character, len)) => {
                        let mut bytes = [0; 4];
                        self.string.extend_from_slice(encoded(character, &mut bytes));
                        self.at += len;
                        continue;
                    }
                    None => return fault(self.at, "invalid unicode escape code"),
                },
                _ => return fault(self.at, "invalid escape code"),
            };
            self.string.push(escaped);
            self.at += 2;
        }
    }

    /// A character in an escape, with its length: one of two halves takes two.
    fn unicode(&self) -> Option<(u32, usize)> {
        let unit = |at: usize| {
            let digits = self.text.get(at..at + 4)?;
            digits.iter().try_fold(0, |value, digit| Some(value << 4 | char::from(*digit).to_digit(16)?))
        };
        let first = unit(self.at + 2)?;
        if first & 0xf800 != 0xd800 {
            return Some((first, 6));
        }
        if first & 0x400 != 0 || self.byte(self.at + 6) != b'\\' || self.byte(self.at + 7) != b'u' {
            return None;
        }
        let second = unit(self.at + 8).filter(|unit| unit & 0xfc00 == 0xdc00)?;
        Some((((first & 0x3ff) << 10 | second & 0x3ff) + 0x10000, 12))
    }

    /// Pushes the value that begins with a token.
    fn value(&mut self, found: Found<'a>) -> Result<(), Failure> {
        self.shared.step()?;
        match found.token {
            Token::Plain(bytes) => self.lua.push_bytes(bytes),
            Token::String => self.lua.push_bytes(&self.string),
            Token::Number(number) => self.lua.push_number(number),
            Token::Boolean(value) => self.lua.push_bool(value),
            Token::Null => self.lua.push_pointer(std::ptr::null()),
            Token::ObjectBegin => self.object()?,
            Token::ArrayBegin => self.array()?,
            _ => return self.unexpected("value", found),
        }
        Ok(())
    }

    fn descend(&mut self) -> Result<(), Failure> {
        self.depth += 1;
        if self.depth > self.settings.decode_depth_max.min(DEPTH_MAX) || !self.lua.room(6) {
            let text =
                format!("Found too many nested data structures ({}) at character {}", self.depth, self.at);
            return Err(Failure::At(text));
        }
        Ok(())
    }

    fn object(&mut self) -> Result<(), Failure> {
        self.descend()?;
        self.lua.table(0, 0);
        let mut found = self.token();
        if found.token != Token::ObjectEnd {
            loop {
                match found.token {
                    Token::Plain(name) => self.lua.push_bytes(name),
                    Token::String => self.lua.push_bytes(&self.string),
                    _ => return self.unexpected("object key string", found),
                }
                let colon = self.token();
                if colon.token != Token::Colon {
                    return self.unexpected("colon", colon);
                }
                let value = self.token();
                self.value(value)?;
                self.lua.raw_set(-3);
                let behind = self.token();
                match behind.token {
                    Token::ObjectEnd => break,
                    Token::Comma => found = self.token(),
                    _ => return self.unexpected("comma or object end", behind),
                }
            }
        }
        self.depth -= 1;
        Ok(())
    }

    fn array(&mut self) -> Result<(), Failure> {
        self.descend()?;
        self.lua.table(0, 0);
        if self.settings.array_meta_table {
            self.lua.push_pointer(array_meta_table());
            self.lua.raw_get(REGISTRY);
            self.lua.set_meta_table(-2);
        }
        let mut found = self.token();
        if found.token != Token::ArrayEnd {
            for index in 1.. {
                self.value(found)?;
                self.lua.raw_set_at(-2, index);
                let behind = self.token();
                match behind.token {
                    Token::ArrayEnd => break,
                    Token::Comma => found = self.token(),
                    _ => return self.unexpected("comma or array end", behind),
                }
            }
        }
        self.depth -= 1;
        Ok(())
    }
}

/// A code point in UTF-8; half of a pair too, as scripts have always got it.
fn encoded(character: u32, bytes: &mut [u8; 4]) -> &[u8] {
    let part = |shift: u32| (character >> shift & 0x3f) as u8 | 0x80;
    let len = match character {
        0..=0x7f => {
            bytes[0] = character as u8;
            1
        }
        0x80..=0x7ff => {
            bytes[..2].copy_from_slice(&[(character >> 6) as u8 | 0xc0, part(0)]);
            2
        }
        0x800..=0xffff => {
            bytes[..3].copy_from_slice(&[(character >> 12) as u8 | 0xe0, part(6), part(0)]);
            3
        }
        _ => {
            bytes.copy_from_slice(&[(character >> 18) as u8 | 0xf0, part(12), part(6), part(0)]);
            4
        }
    };
    &bytes[..len]
}

/// The number that a text begins with, and its length, as C's `strtod` reads it: hexadecimal, infinity and NaN included.
fn read_number(text: &[u8]) -> Option<(f64, usize)> {
    let sign = usize::from(matches!(text.first(), Some(b'-' | b'+')));
    let negative = text.first() == Some(&b'-');
    let signed = |number: f64| if negative { -number } else { number };
    let body = &text[sign..];
    let starts = |word: &[u8]| body.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    if starts(b"infinity") {
        return Some((signed(f64::INFINITY), sign + 8));
    }
    if starts(b"inf") {
        return Some((signed(f64::INFINITY), sign + 3));
    }
    if starts(b"nan") {
        return Some((signed(f64::NAN), sign + 3));
    }
    let digits =
        |from: usize| body[from.min(body.len())..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    if starts(b"0x") {
        let is_part = |byte: &&u8| byte.is_ascii_hexdigit() || matches!(byte, b'.' | b'p' | b'P');
        let len = 2 + body[2..].iter().take_while(is_part).count();
        if let Some(number) = swytch_decimal::parse_double(&body[..len]) {
            return Some((signed(number), sign + len));
        }
    }
    let mut len = digits(0);
    let mut count = len;
    if body.get(len) == Some(&b'.') {
        let decimals = digits(len + 1);
        count += decimals;
        len += 1 + decimals;
    }
    if count == 0 {
        return None;
    }
    if matches!(body.get(len), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(body.get(len + 1), Some(b'-' | b'+')));
        let exponent = digits(len + 1 + sign);
        if exponent > 0 {
            len += 1 + sign + exponent;
        }
    }
    // Most numbers are short integers.
    if len < 16 && len == digits(0) {
        let integer = body[..len].iter().fold(0_i64, |value, digit| value * 10 + i64::from(digit - b'0'));
        return Some((signed(integer as f64), sign + len));
    }
    let number: f64 = std::str::from_utf8(&body[..len]).ok()?.parse().ok()?;
    Some((signed(number), sign + len))
}
