//! `string.find`, `match`, `gmatch`, `gsub` and `rep`: as the language's, over a matcher that can be stopped.
//!
//! Source: the Lua 5.1 manual, and `lstrlib.c` where it leaves something open.

use std::ffi::c_int;

use crate::lua::{FUNCTION, Failure, GLOBALS, Lua, NIL, NUMBER, Outcome, STRING, TABLE, native};
use crate::pattern::{CAPTURES_MAX, Capture, Matcher};
use crate::sandbox::set_functions;

/// Bytes that make a text a pattern.
const SPECIAL: &[u8] = b"^$*+?.([%-";

/// Replaces the functions in the globals of a new interpreter.
pub(crate) fn replace(lua: Lua) {
    lua.field(GLOBALS, c"string");
    set_functions(
        lua,
        &[
            (c"find", native(find)),
            (c"match", native(match_first)),
            (c"gmatch", native(match_each)),
            (c"gfind", native(match_each)),
            (c"gsub", native(substitute)),
            (c"rep", native(repeat)),
        ],
    );
    lua.pop(1);
}

fn find(lua: Lua) -> Outcome {
    search(lua, true)
}

fn match_first(lua: Lua) -> Outcome {
    search(lua, false)
}

fn search(lua: Lua, find: bool) -> Outcome {
    let (subject, pattern) = (lua.want_bytes(1)?, lua.want_bytes(2)?);
    let start = start_of(lua, 3, subject.len())?;
    let text = &pattern[..pattern.iter().position(|byte| *byte == 0).unwrap_or(pattern.len())];
    if find && (lua.boolean(4) || !text.iter().any(|byte| SPECIAL.contains(byte))) {
        match plain(&subject[start..], pattern) {
            Some(at) => {
                lua.push_number((start + at + 1) as f64);
                lua.push_number((start + at + pattern.len()) as f64);
                return Ok(2);
            }
            None => lua.push_nil(),
        }
        return Ok(1);
    }
    let anchored = pattern.first() == Some(&b'^');
    let shared = lua.shared();
    let mut matcher = Matcher::new(subject, pattern, || shared.step());
    for at in start..=subject.len() {
        if let Some(end) = matcher.match_at(at, usize::from(anchored))? {
            let mut results = 0;
            if find {
                lua.push_number((at + 1) as f64);
                lua.push_number(end as f64);
                results = 2;
            }
            return Ok(results + push_captures(lua, subject, matcher.captures(), at, end, !find)?);
        }
        if anchored {
            break;
        }
    }
    lua.push_nil();
    Ok(1)
}

/// Where a search begins: an argument that counts from 1, or from the end backwards.
fn start_of(lua: Lua, at: c_int, len: usize) -> Result<usize, Failure> {
    let position = lua.integer_or(at, 1)?;
    let position = if position < 0 { position.saturating_add(len as i64 + 1) } else { position };
    Ok(position.saturating_sub(1).clamp(0, len as i64) as usize)
}

/// Where a text is in another.
fn plain(subject: &[u8], text: &[u8]) -> Option<usize> {
    let Some((first, rest)) = text.split_first() else { return Some(0) };
    let last = subject.len().checked_sub(text.len())?;
    let mut at = 0;
    while at <= last {
        at += subject[at..=last].iter().position(|byte| byte == first)?;
        if subject[at + 1..].starts_with(rest) {
            return Some(at);
        }
        at += 1;
    }
    None
}

/// Pushes what was captured; the whole match if `whole` and nothing was.
fn push_captures(
    lua: Lua,
    subject: &[u8],
    captures: &[Capture],
    start: usize,
    end: usize,
    whole: bool,
) -> Result<c_int, Failure> {
    if !lua.room(CAPTURES_MAX as c_int) {
        return Err(Failure::At("stack overflow (too many captures)".to_owned()));
    }
    if captures.is_empty() && whole {
        lua.push_bytes(&subject[start..end]);
        return Ok(1);
    }
    for capture in captures {
        push_capture(lua, subject, *capture)?;
    }
    Ok(captures.len() as c_int)
}

fn push_capture(lua: Lua, subject: &[u8], capture: Capture) -> Result<(), Failure> {
    match capture {
        Capture::Bytes(start, end) => lua.push_bytes(&subject[start..end]),
        Capture::Position(at) => lua.push_number((at + 1) as f64),
        Capture::Open(_) => return Err(Failure::At("unfinished capture".to_owned())),
    }
    Ok(())
}

/// The iterator keeps the subject, the pattern and, in a table, where it goes on.
fn match_each(lua: Lua) -> Outcome {
    lua.want_bytes(1)?;
    lua.want_bytes(2)?;
    lua.set_top(2);
    lua.table(1, 0);
    lua.push_number(0.0);
    lua.raw_set_at(-2, 1);
    lua.push_function(native(match_next), 3);
    Ok(1)
}

fn match_next(lua: Lua) -> Outcome {
    let kept = crate::lua::kept;
    let (Some(subject), Some(pattern)) = (lua.bytes(kept(1)), lua.bytes(kept(2))) else { return Ok(0) };
    lua.raw_get_at(kept(3), 1);
    let start = lua.number(-1).unwrap_or(0.0) as usize;
    lua.pop(1);
    let shared = lua.shared();
    let mut matcher = Matcher::new(subject, pattern, || shared.step());
    for at in start..=subject.len() {
        if let Some(end) = matcher.match_at(at, 0)? {
            // Behind an empty match it goes on at the next byte.
            lua.push_number((end + usize::from(end == at)) as f64);
            lua.raw_set_at(kept(3), 1);
            return push_captures(lua, subject, matcher.captures(), at, end, true);
        }
    }
    Ok(0)
}

fn substitute(lua: Lua) -> Outcome {
    let (subject, pattern) = (lua.want_bytes(1)?, lua.want_bytes(2)?);
    if !matches!(lua.kind(3), NUMBER | STRING | FUNCTION | TABLE) {
        return Err(Failure::Argument(3, "string/function/table expected".to_owned()));
    }
    let most = lua.integer_or(4, subject.len() as i64 + 1)?;
    let anchored = pattern.first() == Some(&b'^');
    let shared = lua.shared();
    let mut matcher = Matcher::new(subject, pattern, || shared.step());
    let (mut made, mut at, mut count) = (Vec::new(), 0, 0);
    while count < most {
        let matched = matcher.match_at(at, usize::from(anchored))?;
        if let Some(end) = matched {
            count += 1;
            push_replacement(lua, subject, matcher.captures(), at, end, &mut made)?;
            if made.len() > shared.memory.left() {
                return Err(Failure::Plain("not enough memory"));
            }
        }
        match matched {
            Some(end) if end > at => at = end,
            _ if at < subject.len() => {
                made.push(subject[at]);
                at += 1;
            }
            _ => break,
        }
        if anchored {
            break;
        }
    }
    made.extend_from_slice(&subject[at..]);
    lua.push_bytes(&made);
    lua.push_number(count as f64);
    Ok(2)
}

/// Appends what takes the place of a match.
fn push_replacement(
    lua: Lua,
    subject: &[u8],
    captures: &[Capture],
    start: usize,
    end: usize,
    made: &mut Vec<u8>,
) -> Result<(), Failure> {
    match lua.kind(3) {
        FUNCTION => {
            lua.copy(3);
            let arguments = push_captures(lua, subject, captures, start, end, true)?;
            if lua.call(arguments, 1, 0).is_err() {
                return Err(Failure::Value);
            }
        }
        TABLE => {
            match captures.first() {
                Some(capture) => push_capture(lua, subject, *capture)?,
                None => lua.push_bytes(&subject[start..end]),
            }
            // A metamethod may answer, so the language looks it up.
            lua.push_function(crate::lua::index, 0);
            lua.copy(3);
            lua.copy(-3);
            if lua.call(2, 1, 0).is_err() {
                return Err(Failure::Value);
            }
            lua.remove(-2);
        }
        _ => {
            let replacement = lua.want_bytes(3)?;
            let mut bytes = replacement.iter();
            while let Some(byte) = bytes.next() {
                if *byte != b'%' {
                    made.push(*byte);
                    continue;
                }
                match bytes.next() {
                    Some(b'0') => made.extend_from_slice(&subject[start..end]),
                    Some(digit @ b'1'..=b'9') => {
                        let index = usize::from(digit - b'1');
                        match captures.get(index) {
                            Some(Capture::Bytes(from, to)) => made.extend_from_slice(&subject[*from..*to]),
                            Some(Capture::Position(at)) => {
                                made.extend_from_slice((at + 1).to_string().as_bytes())
                            }
                            Some(Capture::Open(_)) => {
                                return Err(Failure::At("unfinished capture".to_owned()));
                            }
                            None if index == 0 => made.extend_from_slice(&subject[start..end]),
                            None => return Err(Failure::At("invalid capture index".to_owned())),
                        }
                    }
                    Some(other) => made.push(*other),
                    None => made.push(0),
                }
            }
            return Ok(());
        }
    }
    // The result of a function, or what a table has: nothing keeps the match as it is.
    match lua.kind(-1) {
        NIL => made.extend_from_slice(&subject[start..end]),
        crate::lua::BOOLEAN if !lua.boolean(-1) => made.extend_from_slice(&subject[start..end]),
        _ => match lua.bytes(-1) {
            Some(bytes) => made.extend_from_slice(bytes),
            None => {
                let text = format!("invalid replacement value (a {})", lua.kind_name(-1));
                return Err(Failure::At(text));
            }
        },
    }
    lua.pop(1);
    Ok(())
}

fn repeat(lua: Lua) -> Outcome {
    let text = lua.want_bytes(1)?;
    let count = usize::try_from(lua.want_int(2)?).unwrap_or(0);
    let fits = text.len().checked_mul(count).filter(|bytes| *bytes <= lua.shared().memory.left());
    if fits.is_none() {
        return Err(Failure::Plain("not enough memory"));
    }
    lua.push_bytes(&text.repeat(count));
    Ok(1)
}
