//! `cjson`: values as JSON and back.
//!
//! - `encode`, `decode`: the two directions
//!
//! Source: the manual of lua-cjson 2.1, whose texts of errors scripts match on, and Redis's `decode_array_with_array_mt`.

mod decode;
mod encode;

use std::cell::RefCell;
use std::ffi::{CStr, c_int};

use crate::lua::{Failure, Lua, NIL, Outcome, kept, native};
use crate::sandbox::{hide, set_text};

/// What `cjson.encode_*` and `cjson.decode_*` set, for the rest of the script.
#[derive(Debug)]
pub(crate) struct Settings {
    sparse_convert: bool,
    sparse_ratio: c_int,
    sparse_safe: c_int,
    encode_depth_max: c_int,
    decode_depth_max: c_int,
    precision: c_int,
    keep_buffer: bool,
    encode_invalid: Invalid,
    decode_invalid: bool,
    array_meta_table: bool,
}

/// What becomes of numbers that JSON does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Invalid {
    Refused,
    Written,
    Null,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            sparse_convert: false,
            sparse_ratio: 2,
            sparse_safe: 10,
            encode_depth_max: 1000,
            decode_depth_max: 1000,
            precision: 14,
            keep_buffer: true,
            encode_invalid: Invalid::Refused,
            decode_invalid: true,
            array_meta_table: false,
        }
    }
}

/// Deepest nesting, whatever is set: each level takes some of the thread's stack.
const DEPTH_MAX: c_int = 4000;

/// The field of a metatable that makes a table an array, though it has no elements.
const IS_ARRAY: &CStr = c"__is_cjson_array";

/// Pushes the library.
pub(crate) fn open(lua: Lua) {
    push_library(lua, false);
    // The metatable of arrays, which scripts see from behind.
    lua.table(0, 1);
    lua.push_bool(true);
    lua.set_field(-2, IS_ARRAY);
    hide(lua);
    lua.table(0, 2);
    lua.push_bool(true);
    lua.set_field(-2, IS_ARRAY);
    lua.insert(-2);
    lua.set_field(-2, c"__metatable");
    lua.push_pointer(array_meta_table());
    lua.insert(-2);
    lua.raw_set(crate::lua::REGISTRY);
}

/// Pushes the functions, with settings of their own or with those of the script.
fn push_library(lua: Lua, own_settings: bool) {
    lua.table(0, 16);
    for (name, function) in [
        (c"new", native(new_library)),
        (c"encode", native(encode::encode)),
        (c"decode", native(decode::decode)),
        (c"decode_array_with_array_mt", native(decode_array_with_array_mt)),
        (c"encode_sparse_array", native(encode_sparse_array)),
        (c"encode_max_depth", native(encode_max_depth)),
        (c"decode_max_depth", native(decode_max_depth)),
        (c"encode_number_precision", native(encode_number_precision)),
        (c"encode_keep_buffer", native(encode_keep_buffer)),
        (c"encode_invalid_numbers", native(encode_invalid_numbers)),
        (c"decode_invalid_numbers", native(decode_invalid_numbers)),
    ] {
        if own_settings {
            lua.copy(-2);
        }
        lua.push_function(function, own_settings.into());
        lua.set_field(-2, name);
    }
    lua.push_pointer(std::ptr::null());
    lua.set_field(-2, c"null");
    set_text(lua, c"_NAME", "cjson");
    set_text(lua, c"_VERSION", "2.1.0");
}

/// `cjson.new`: the library with settings of its own, which its functions keep.
fn new_library(lua: Lua) -> Outcome {
    lua.push_block(RefCell::new(Settings::default()));
    push_library(lua, true);
    Ok(1)
}

/// The settings that the function under way keeps, or those of the script.
fn settings<'a>(lua: Lua) -> &'a RefCell<Settings> {
    lua.block(kept(1)).unwrap_or(&lua.shared().json)
}

/// The key of the metatable of arrays in the registry.
fn array_meta_table() -> *const std::ffi::c_void {
    static ARRAYS: u8 = 0;
    (&raw const ARRAYS).cast()
}

/// At most so many arguments of a function that sets something; those left out are nil.
fn arguments(lua: Lua, count: c_int) -> Result<(), Failure> {
    lua.want(lua.top() <= count, count + 1, "found too many arguments")?;
    lua.set_top(count);
    lua.shared().json_changed.set(true);
    Ok(())
}

/// A whole number, if it is given; pushes what holds then.
fn number(lua: Lua, at: c_int, setting: &mut c_int, least: c_int, most: c_int) -> Result<(), Failure> {
    if lua.kind(at) != NIL {
        let value = lua.want_int(at)?;
        let text = format!("expected integer between {least} and {most}");
        lua.want((least..=most).contains(&value), 1, &text)?;
        *setting = value;
    }
    lua.push_number(f64::from(*setting));
    Ok(())
}

/// The index of an argument among words.
fn word(lua: Lua, at: c_int, words: &[&str]) -> Result<usize, Failure> {
    let given = lua.want_bytes(at)?;
    let found = words.iter().position(|word| word.as_bytes() == given);
    found.ok_or_else(|| Failure::Argument(at, format!("invalid option '{}'", String::from_utf8_lossy(given))))
}

/// A switch, if it is given; pushes what holds then.
fn switch(lua: Lua, at: c_int, setting: &mut bool) -> Result<(), Failure> {
    match lua.kind(at) {
        NIL => {}
        crate::lua::BOOLEAN => *setting = lua.boolean(at),
        _ => *setting = word(lua, at, &["off", "on"])? == 1,
    }
    lua.push_bool(*setting);
    Ok(())
}

fn encode_sparse_array(lua: Lua) -> Outcome {
    arguments(lua, 3)?;
    let settings = &mut *settings(lua).borrow_mut();
    switch(lua, 1, &mut settings.sparse_convert)?;
    number(lua, 2, &mut settings.sparse_ratio, 0, c_int::MAX)?;
    number(lua, 3, &mut settings.sparse_safe, 0, c_int::MAX)?;
    Ok(3)
}

fn encode_max_depth(lua: Lua) -> Outcome {
    arguments(lua, 1)?;
    number(lua, 1, &mut settings(lua).borrow_mut().encode_depth_max, 1, c_int::MAX)?;
    Ok(1)
}

fn decode_max_depth(lua: Lua) -> Outcome {
    arguments(lua, 1)?;
    number(lua, 1, &mut settings(lua).borrow_mut().decode_depth_max, 1, c_int::MAX)?;
    Ok(1)
}

fn encode_number_precision(lua: Lua) -> Outcome {
    arguments(lua, 1)?;
    number(lua, 1, &mut settings(lua).borrow_mut().precision, 1, 14)?;
    Ok(1)
}

fn decode_array_with_array_mt(lua: Lua) -> Outcome {
    arguments(lua, 1)?;
    switch(lua, 1, &mut settings(lua).borrow_mut().array_meta_table)?;
    Ok(1)
}

/// What is kept between two calls is the interpreter's affair here; the switch remembers its position.
fn encode_keep_buffer(lua: Lua) -> Outcome {
    arguments(lua, 1)?;
    switch(lua, 1, &mut settings(lua).borrow_mut().keep_buffer)?;
    Ok(1)
}

fn decode_invalid_numbers(lua: Lua) -> Outcome {
    arguments(lua, 1)?;
    switch(lua, 1, &mut settings(lua).borrow_mut().decode_invalid)?;
    Ok(1)
}

fn encode_invalid_numbers(lua: Lua) -> Outcome {
    arguments(lua, 1)?;
    let setting = &mut settings(lua).borrow_mut().encode_invalid;
    match lua.kind(1) {
        NIL => {}
        crate::lua::BOOLEAN if lua.boolean(1) => *setting = Invalid::Written,
        crate::lua::BOOLEAN => *setting = Invalid::Refused,
        _ => {
            *setting =
                [Invalid::Refused, Invalid::Written, Invalid::Null][word(lua, 1, &["off", "on", "null"])?];
        }
    }
    match *setting {
        Invalid::Null => lua.push_bytes(b"null"),
        other => lua.push_bool(other == Invalid::Written),
    }
    Ok(1)
}
