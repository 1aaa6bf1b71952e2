//! Replies of commands as values of a script, and a script's result as a reply.
//!
//! Source: "Data type conversion" in Redis's documentation of scripts.

use std::ffi::{CStr, c_int};

use swytch_resp::Reply;

use crate::lua::{BOOLEAN, Failure, Lua, NIL, NUMBER, STRING, TABLE};

/// Deepest nesting of a result.
const DEPTH_MAX: u32 = 1000;

/// A value that a reply has no room for.
const STACK: &str = "ERR reached lua stack limit";

/// Pushes what a reply means, and returns what is behind it. Replies are the server's own, so they are well formed.
pub(crate) fn push_reply(lua: Lua, reply: &[u8]) -> &[u8] {
    // No line has a carriage return in it but at its end.
    let Some(line_end) = reply.iter().position(|byte| *byte == b'\r') else {
        lua.push_nil();
        return &[];
    };
    let (line, rest) = (&reply[1..line_end], &reply[line_end + 2..]);
    if !lua.room(8) {
        lua.push_nil();
        return &[];
    }
    let count = || swytch_decimal::parse_i64(line).unwrap_or(0);
    match reply[0] {
        b'+' => push_field(lua, c"ok", line),
        b'-' => {
            push_error(lua, &reply[..line_end]);
            count_no_more(lua);
        }
        b':' => lua.push_number(count() as f64),
        b'$' | b'*' if count() < 0 => lua.push_bool(false),
        b'$' => {
            let len = count() as usize;
            lua.push_bytes(&rest[..len]);
            return &rest[len + 2..];
        }
        b'*' | b'>' => {
            let count = count() as usize;
            lua.table(count, 0);
            let mut rest = rest;
            for index in 1..=count {
                rest = push_reply(lua, rest);
                lua.raw_set_at(-2, index as c_int);
            }
            return rest;
        }
        b'|' => {
            // Attributes say something of the reply behind them, which scripts do not see.
            let mut rest = rest;
            for _ in 0..2 * count() {
                rest = push_reply(lua, rest);
                lua.pop(1);
            }
            return push_reply(lua, rest);
        }
        b'%' => {
            lua.table(0, 1);
            lua.table(0, count() as usize);
            let mut rest = rest;
            for _ in 0..count() {
                rest = push_reply(lua, rest);
                rest = push_reply(lua, rest);
                lua.raw_set(-3);
            }
            lua.set_field(-2, c"map");
            return rest;
        }
        b'~' => {
            lua.table(0, 1);
            lua.table(0, count() as usize);
            let mut rest = rest;
            for _ in 0..count() {
                rest = push_reply(lua, rest);
                lua.push_bool(true);
                lua.raw_set(-3);
            }
            lua.set_field(-2, c"set");
            return rest;
        }
        b'_' => lua.push_nil(),
        b'#' => lua.push_bool(line == b"t"),
        b',' => {
            lua.table(0, 1);
            lua.push_number(double(line));
            lua.set_field(-2, c"double");
        }
        b'(' => push_field(lua, c"big_number", line),
        b'=' => {
            let len = count() as usize;
            let (format, text) = rest[..len].split_at(len.min(4));
            lua.table(0, 1);
            push_field(lua, c"string", text);
            lua.push_bytes(&format[..format.len().min(3)]);
            lua.set_field(-2, c"format");
            lua.set_field(-2, c"verbatim_string");
            return &rest[len + 2..];
        }
        _ => lua.push_nil(),
    }
    rest
}

fn double(text: &[u8]) -> f64 {
    match text {
        b"inf" => f64::INFINITY,
        b"-inf" => f64::NEG_INFINITY,
        b"nan" => f64::NAN,
        _ => std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).unwrap_or(0.0),
    }
}

/// Pushes a table with one field.
fn push_field(lua: Lua, name: &CStr, text: &[u8]) {
    lua.table(0, 1);
    lua.push_bytes(name.to_bytes());
    lua.push_bytes(text);
    lua.raw_set(-3);
}

/// Pushes the table that an error is to a script. A minus in front says that its code comes first; what has none gets
/// the general one.
pub(crate) fn push_error(lua: Lua, text: &[u8]) {
    let (code, message) = match text.strip_prefix(b"-") {
        None => (&b"ERR"[..], text),
        Some(text) => match text.iter().position(|byte| *byte == b' ') {
            None => (&b"ERR"[..], text),
            Some(space) => (&text[..space], &text[space + 1..]),
        },
    };
    let message = message.split(|byte| *byte == 0).next().unwrap_or_default();
    push_field(lua, c"err", &[code, b" ", trimmed(message)].concat());
}

fn trimmed(mut text: &[u8]) -> &[u8] {
    while let [rest @ .., b'\r' | b'\n'] = text {
        text = rest;
    }
    while let [b'\r' | b'\n', rest @ ..] = text {
        text = rest;
    }
    text
}

/// Says of the error on top of the stack that it was counted when it came about.
pub(crate) fn count_no_more(lua: Lua) {
    lua.push_bool(true);
    lua.set_field(-2, COUNTED);
}

const COUNTED: &CStr = c"ignore_error_stats_update";

/// An error as it is on the stack, and how it is told.
pub(crate) struct Told {
    pub(crate) text: Vec<u8>,
    /// The source and line it came from.
    pub(crate) place: Option<(Vec<u8>, Vec<u8>)>,
    /// It is in the statistics already.
    pub(crate) is_counted: bool,
}

/// Reads the error table on top of the stack.
pub(crate) fn read_error(lua: Lua) -> Told {
    let text = |name: &CStr| {
        lua.field(-1, name);
        let text = lua.bytes(-1).map(<[u8]>::to_vec);
        lua.pop(1);
        text
    };
    let place = text(c"source").zip(text(c"line"));
    let message = text(c"err").unwrap_or_else(|| b"ERR unknown error".to_vec());
    let is_counted = lua.field(-1, COUNTED) == BOOLEAN && lua.boolean(-1);
    lua.pop(1);
    Told { text: up_to_zero(message), place, is_counted }
}

fn up_to_zero(mut text: Vec<u8>) -> Vec<u8> {
    if let Some(end) = text.iter().position(|byte| *byte == 0) {
        text.truncate(end);
    }
    text
}

/// Writes the value on top of the stack as a reply and takes it off.
///
/// # Errors
/// When the script has to end although it has returned: a value can be without end.
pub(crate) fn write_value(lua: Lua, reply: &mut Reply<'_>, depth: u32) -> Result<(), Failure> {
    lua.shared().step()?;
    if depth > DEPTH_MAX || !lua.room(6) {
        reply.error(STACK.as_bytes());
        lua.pop(1);
        return Ok(());
    }
    match lua.kind(-1) {
        STRING => reply.bulk(lua.bytes(-1).unwrap_or_default()),
        BOOLEAN if lua.shared().resp3.get() => reply.boolean(lua.boolean(-1)),
        BOOLEAN if lua.boolean(-1) => reply.integer(1),
        NUMBER => reply.integer(lua.number(-1).unwrap_or(0.0) as i64),
        TABLE => return write_table(lua, reply, depth),
        _ => reply.null(),
    }
    lua.pop(1);
    Ok(())
}

fn write_table(lua: Lua, reply: &mut Reply<'_>, depth: u32) -> Result<(), Failure> {
    if lua.field(-1, c"err") == STRING {
        lua.pop(1);
        reply.error(&read_error(lua).text);
        lua.pop(1);
        return Ok(());
    }
    lua.pop(1);
    if lua.field(-1, c"ok") == STRING {
        let text = lua.bytes(-1).unwrap_or_default();
        let line: Vec<u8> = up_to_zero(text.to_vec()).into_iter().map(without_end).collect();
        reply.raw(b"+");
        reply.raw(&line);
        reply.raw(b"\r\n");
        lua.pop(2);
        return Ok(());
    }
    lua.pop(1);
    if lua.field(-1, c"double") == NUMBER {
        reply.double(lua.number(-1).unwrap_or(0.0));
        lua.pop(2);
        return Ok(());
    }
    lua.pop(1);
    if lua.field(-1, c"big_number") == STRING {
        let digits: Vec<u8> = lua.bytes(-1).unwrap_or_default().iter().copied().map(without_end).collect();
        reply.big_number(&digits);
        lua.pop(2);
        return Ok(());
    }
    lua.pop(1);
    if lua.field(-1, c"verbatim_string") == TABLE {
        let format = lua.field(-1, c"format");
        let text = lua.field(-2, c"string");
        if format == STRING && text == STRING {
            // The format has three bytes, whatever the script says.
            let given = lua.bytes(-2).unwrap_or_default();
            let mut format = [b' '; 3];
            format.iter_mut().zip(given).for_each(|(to, from)| *to = without_end(*from));
            reply.verbatim(format, lua.bytes(-1).unwrap_or_default());
            lua.pop(4);
            return Ok(());
        }
        lua.pop(2);
    }
    lua.pop(1);
    if lua.field(-1, c"map") == TABLE {
        reply.map(pairs_of(lua)?);
        lua.push_nil();
        while lua.next(-2) {
            lua.copy(-2);
            write_value(lua, reply, depth + 1)?;
            write_value(lua, reply, depth + 1)?;
        }
        lua.pop(2);
        return Ok(());
    }
    lua.pop(1);
    if lua.field(-1, c"set") == TABLE {
        reply.set(pairs_of(lua)?);
        lua.push_nil();
        while lua.next(-2) {
            lua.pop(1);
            lua.copy(-1);
            write_value(lua, reply, depth + 1)?;
        }
        lua.pop(2);
        return Ok(());
    }
    lua.pop(1);
    let mut count = 0;
    while lua.raw_get_at(-1, count + 1) != NIL {
        lua.pop(1);
        lua.shared().step()?;
        count += 1;
    }
    lua.pop(1);
    reply.array(count as usize);
    for index in 1..=count {
        lua.raw_get_at(-1, index);
        write_value(lua, reply, depth + 1)?;
    }
    lua.pop(1);
    Ok(())
}

/// Pairs of the table on top of the stack.
fn pairs_of(lua: Lua) -> Result<usize, Failure> {
    let mut count = 0;
    lua.push_nil();
    while lua.next(-2) {
        lua.pop(1);
        lua.shared().step()?;
        count += 1;
    }
    Ok(count)
}

/// A byte of a line, in which no line ends.
fn without_end(byte: u8) -> u8 {
    if matches!(byte, b'\r' | b'\n') { b' ' } else { byte }
}
