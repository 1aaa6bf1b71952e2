//! `redis.*`: what scripts want of the server.
//!
//! Source: Redis's "Lua API reference".

use std::ffi::{CStr, c_int};

use swytch_resp::Protocol;

use crate::REDIS_VERSION;
use crate::convert::{count_no_more, push_error, push_reply};
use crate::host::Called;
use crate::interpreter::Kind;
use crate::lua::{Ending, Failure, Lua, NUMBER, Outcome, STRING, native};
use crate::sandbox::{set_functions, set_text};

/// `redis.REPL_*`.
const TO_FILE: c_int = 1;
const TO_REPLICAS: c_int = 2;

/// Pushes the library.
pub(crate) fn open(lua: Lua, kind: Kind) {
    lua.table(0, 28);
    set_functions(
        lua,
        &[
            (c"call", native(|lua: Lua| call(lua, true))),
            (c"pcall", native(|lua: Lua| call(lua, false))),
            (c"setresp", native(set_resp)),
            (c"sha1hex", native(sha1_hex)),
            (c"error_reply", native(error_reply)),
            (c"status_reply", native(status_reply)),
            (c"set_repl", native(set_replication)),
            (c"acl_check_cmd", native(acl_check_command)),
        ],
    );
    open_log_and_version(lua);
    for (name, value) in [
        (c"REPL_NONE", 0),
        (c"REPL_AOF", TO_FILE),
        (c"REPL_SLAVE", TO_REPLICAS),
        (c"REPL_REPLICA", TO_REPLICAS),
        (c"REPL_ALL", TO_FILE | TO_REPLICAS),
    ] {
        lua.push_number(f64::from(value));
        lua.set_field(-2, name);
    }
    if kind == Kind::Scripts {
        set_functions(
            lua,
            &[
                // There is no debugger, so no breakpoint is ever reached and nothing is shown.
                (c"breakpoint", native(|lua: Lua| answer_bool(lua, false))),
                (c"debug", native(|_: Lua| Ok(0))),
                // Effects are replicated, always.
                (c"replicate_commands", native(|lua: Lua| answer_bool(lua, true))),
            ],
        );
    }
}

/// What code has that loads a library, too.
pub(crate) fn open_log_and_version(lua: Lua) {
    set_functions(lua, &[(c"log", native(log))]);
    for (level, name) in [c"LOG_DEBUG", c"LOG_VERBOSE", c"LOG_NOTICE", c"LOG_WARNING"].into_iter().enumerate()
    {
        lua.push_number(level as f64);
        lua.set_field(-2, name);
    }
    // A byte for each of its parts.
    let parts = REDIS_VERSION.split('.').map(|part| part.parse().unwrap_or(0.0));
    lua.push_number(parts.fold(0.0, |number: f64, part: f64| number * 256.0 + part));
    lua.set_field(-2, c"REDIS_VERSION_NUM");
    set_text(lua, c"REDIS_VERSION", REDIS_VERSION);
}

fn answer_bool(lua: Lua, value: bool) -> Outcome {
    lua.push_bool(value);
    Ok(1)
}

/// An error that is a table, as those of commands are.
pub(crate) fn fail(lua: Lua, text: &str) -> Failure {
    push_error(lua, text.as_bytes());
    Failure::Value
}

/// So many words need no list of their own, and leave room on the stack.
const FEW: usize = 8;

/// The words of a command, from the stack.
fn words<R>(lua: Lua, act: impl FnOnce(&[&[u8]]) -> R) -> Result<R, &'static str> {
    let count = lua.top() as usize;
    if count == 0 {
        return Err("Please specify at least one argument for this redis lib call");
    }
    let (mut few, mut many);
    let words = if count <= FEW {
        few = [&b""[..]; FEW];
        &mut few[..count]
    } else {
        many = vec![&b""[..]; count];
        &mut many[..]
    };
    for (at, word) in words.iter_mut().enumerate() {
        let at = at as c_int + 1;
        match lua.kind(at) {
            STRING => {}
            NUMBER => {
                // A negative zero is none.
                let number = lua.number(at).unwrap_or(0.0) + 0.0;
                match swytch_decimal::double_as_integer(number) {
                    Some(integer) => {
                        let mut digits = [0; swytch_decimal::INTEGER_DIGITS_MAX];
                        lua.push_bytes(swytch_decimal::format_i64(&mut digits, integer));
                    }
                    None => lua.push_bytes(swytch_decimal::shortest_double(number).as_bytes()),
                }
                lua.replace(at);
            }
            _ => return Err("Lua redis lib command arguments must be strings or integers"),
        }
        *word = lua.bytes(at).unwrap_or_default();
    }
    Ok(act(words))
}

/// `redis.call`, which raises errors, and `redis.pcall`, which returns them.
fn call(lua: Lua, raise: bool) -> Outcome {
    let shared = lua.shared();
    if shared.ending.get().is_some() {
        return Err(Failure::Ending);
    }
    let protocol = if shared.resp3.get() { Protocol::Resp3 } else { Protocol::Resp2 };
    let (mut is_error, mut waits) = (false, None);
    // It is pushed on top of the words, which must not be collected while they are borrowed, if there is room.
    let has_room = lua.top() as usize <= FEW;
    let mut take = |reply: &[u8]| {
        is_error = reply.first() == Some(&b'-');
        match has_room {
            true => drop(push_reply(lua, reply)),
            false => waits = Some(reply.to_vec()),
        }
    };
    let called = words(lua, |words| shared.with_host(|host| host.call(words, protocol, &mut take)));
    match called {
        Ok(Some(Called::Answered)) => {
            if let Some(reply) = waits {
                lua.set_top(0);
                push_reply(lua, &reply);
            }
        }
        Ok(Some(Called::Refused(text))) => {
            push_error(lua, &text);
            count_no_more(lua);
            is_error = true;
        }
        Ok(Some(Called::Again)) => {
            shared.ending.set(Some(Ending::Again));
            return Err(Failure::Ending);
        }
        Ok(None) => return Err(fail(lua, "redis.call/pcall can only be called inside a script invocation")),
        Err(text) => {
            push_error(lua, text.as_bytes());
            is_error = true;
        }
    }
    if is_error && raise { Err(Failure::Value) } else { Ok(1) }
}

fn acl_check_command(lua: Lua) -> Outcome {
    let shared = lua.shared();
    match words(lua, |words| shared.with_host(|host| host.may_run(words))) {
        Ok(Some(Ok(may))) => answer_bool(lua, may),
        Ok(Some(Err(text))) | Err(text) => Err(fail(lua, text)),
        Ok(None) => Err(fail(lua, "redis.acl_check_cmd can only be called inside a script invocation")),
    }
}

fn set_resp(lua: Lua) -> Outcome {
    if lua.top() != 1 {
        return Err(fail(lua, "redis.setresp() requires one argument."));
    }
    match lua.number(1).unwrap_or(0.0) as c_int {
        version @ (2 | 3) => lua.shared().resp3.set(version == 3),
        _ => return Err(fail(lua, "RESP version must be 2 or 3.")),
    }
    Ok(0)
}

fn sha1_hex(lua: Lua) -> Outcome {
    if lua.top() != 1 {
        return Err(fail(lua, "wrong number of arguments"));
    }
    lua.push_bytes(crate::sha1_hex(lua.bytes(1).unwrap_or_default()).as_bytes());
    Ok(1)
}

/// The one argument of a function that takes a text; without one it answers an error, which it does not raise.
fn one_text<'a>(lua: Lua) -> Option<&'a [u8]> {
    let text = if lua.top() == 1 { lua.string(1) } else { None };
    if text.is_none() {
        push_error(lua, b"wrong number or type of arguments");
    }
    text
}

fn error_reply(lua: Lua) -> Outcome {
    if let Some(text) = one_text(lua) {
        let dash: &[u8] = if text.starts_with(b"-") { b"" } else { b"-" };
        push_error(lua, &[dash, text].concat());
    }
    Ok(1)
}

fn status_reply(lua: Lua) -> Outcome {
    if one_text(lua).is_some() {
        lua.table(0, 1);
        lua.copy(1);
        lua.set_field(-2, c"ok");
    }
    Ok(1)
}

/// Whoever listens to changes hears all of them, whatever a script would rather have.
fn set_replication(lua: Lua) -> Outcome {
    if lua.top() != 1 {
        return Err(fail(lua, "redis.set_repl() requires one argument."));
    }
    let flags = lua.number(1).unwrap_or(0.0) as c_int;
    if flags & !(TO_FILE | TO_REPLICAS) != 0 {
        let text = "Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.";
        return Err(fail(lua, text));
    }
    Ok(0)
}

fn log(lua: Lua) -> Outcome {
    let count = lua.top();
    if count < 2 {
        return Err(fail(lua, "redis.log() requires two arguments or more."));
    }
    let Some(level) = lua.number(1) else {
        return Err(fail(lua, "First argument must be a number (log level)."));
    };
    let level = level as c_int;
    if !(0..=3).contains(&level) {
        return Err(fail(lua, "Invalid log level."));
    }
    let mut line = Vec::new();
    for at in 2..=count {
        let Some(bytes) = lua.bytes(at) else { continue };
        if at > 2 {
            line.push(b' ');
        }
        line.extend_from_slice(bytes);
    }
    lua.shared().with_host(|host| host.log(level as u8, &line));
    Ok(0)
}

/// The name under which the library is found.
pub(crate) const LIBRARY: &CStr = c"redis";
