//! What scripts see, and that none of them changes what another one sees.
//!
//! A table that scripts share is hidden behind a table without content: reads go to the shared one, writes are refused,
//! and the functions that would look past a metatable (`rawset`, `next`, `getmetatable`, ...) know such tables by an entry
//! of their metatable that no script can make (`base`).
//!
//! ```text
//! globals (empty) ──reads──► shared globals ──absent──► "nonexistent global variable"
//!        │                      redis, cjson, string, ... : each hidden in the same way
//!      writes ──► "Attempt to modify a readonly table"
//! ```
//!
//! The file is unsafe because it opens the libraries of the interpreter.

use std::ffi::{CStr, c_int, c_void};

use mlua_sys::lua51 as ffi;

use crate::interpreter::Kind;
use crate::lua::{Failure, Function, GLOBALS, Lua, Outcome, STRING, TABLE, native};
use crate::{api, base, bits, functions, json, msgpack, strings, structs};

/// What a write to a shared table is answered.
pub(crate) const READ_ONLY: &str = "Attempt to modify a readonly table";

/// Globals of the language that scripts keep. Not among them: what reads files or writes to the terminal, and what looks
/// at or changes the surroundings of functions.
const GLOBALS_KEPT: &[&CStr] = &[
    c"xpcall",
    c"tostring",
    c"setmetatable",
    c"next",
    c"assert",
    c"tonumber",
    c"rawequal",
    c"collectgarbage",
    c"getmetatable",
    c"rawset",
    c"pcall",
    c"type",
    c"select",
    c"unpack",
    c"gcinfo",
    c"pairs",
    c"rawget",
    c"loadstring",
    c"ipairs",
    c"_VERSION",
    c"load",
    c"error",
];

/// In the metatable of a hidden table: the table behind it.
static BEHIND: u8 = 0;
/// In the metatable of a hidden table: the metatable that scripts see, if any.
static SHOWN: u8 = 0;

/// The key of the table behind a hidden one.
pub(crate) fn behind() -> *const c_void {
    (&raw const BEHIND).cast()
}

/// The key of the metatable that a hidden table shows.
pub(crate) fn shown() -> *const c_void {
    (&raw const SHOWN).cast()
}

/// Fills the globals of a new interpreter; the shared ones are left on the stack.
pub(crate) fn open(lua: Lua, kind: Kind) {
    // The tables of the language, opened into the globals that the interpreter was made with.
    // SAFETY: memory is not refused while an interpreter is made, and these fail for no other reason.
    unsafe {
        for open in
            [ffi::luaopen_base, ffi::luaopen_table, ffi::luaopen_string, ffi::luaopen_math, ffi::luaopen_os]
        {
            lua.push_function(open, 0);
            lua.push_bytes(b"");
            ffi::lua_call(lua.0, 1, 0);
        }
    }
    base::replace(lua);
    strings::replace(lua);
    // The shared globals.
    lua.table(0, 48);
    let shared = lua.top();
    for name in GLOBALS_KEPT {
        lua.field(GLOBALS, name);
        lua.set_field(shared, name);
    }
    for name in [c"string", c"table", c"math", c"coroutine"] {
        lua.field(GLOBALS, name);
        hide(lua);
        lua.set_field(shared, name);
    }
    lua.table(0, 1);
    lua.field(GLOBALS, c"os");
    lua.field(-1, c"clock");
    lua.remove(-2);
    lua.set_field(-2, c"clock");
    share(lua, shared, c"os");
    protect_strings(lua, shared);
    for (name, open) in [
        (c"cjson", json::open as fn(Lua)),
        (c"cmsgpack", msgpack::open),
        (c"bit", bits::open),
        (c"struct", structs::open),
    ] {
        open(lua);
        share(lua, shared, name);
    }
    api::open(lua, kind);
    share(lua, shared, c"redis");
    refuse_absent(lua, shared);
    // The globals that scripts have: nothing of their own.
    lua.copy(shared);
    lua.table(0, 1);
    lua.push_function(native(absent_global), 0);
    lua.set_field(-2, c"__index");
    hide(lua);
    hide_as(lua);
    lua.copy(-1);
    lua.set_field(shared, c"_G");
    lua.replace(GLOBALS);
    if kind == Kind::Functions {
        functions::open(lua, shared);
    }
    lua.set_top(shared);
}

/// Hides the table on top of the stack and makes it a shared global.
fn share(lua: Lua, shared: c_int, name: &CStr) {
    hide(lua);
    lua.set_field(shared, name);
}

/// Replaces the table on top of the stack by one that hides it.
pub(crate) fn hide(lua: Lua) {
    lua.push_nil();
    hide_as(lua);
}

/// As [`hide`], with the metatable that scripts see, or nil, on top of the table.
fn hide_as(lua: Lua) {
    let (table, seen) = (lua.top() - 1, lua.top());
    lua.table(0, 0);
    lua.table(0, 4);
    lua.push_pointer(behind());
    lua.copy(table);
    lua.raw_set(-3);
    lua.push_pointer(shown());
    lua.copy(seen);
    lua.raw_set(-3);
    lua.copy(table);
    lua.set_field(-2, c"__index");
    lua.push_function(native(refuse), 0);
    lua.set_field(-2, c"__newindex");
    lua.set_meta_table(-2);
    lua.insert(table);
    lua.set_top(table);
}

/// Makes what is absent in a table an error.
pub(crate) fn refuse_absent(lua: Lua, table: c_int) {
    lua.table(0, 1);
    lua.push_function(native(absent_global), 0);
    lua.set_field(-2, c"__index");
    lua.copy(table);
    lua.insert(-2);
    lua.set_meta_table(-2);
    lua.pop(1);
}

/// The metatable of strings leads to the functions, and shows a hidden table.
fn protect_strings(lua: Lua, shared: c_int) {
    lua.push_bytes(b"");
    let has = lua.meta_table(-1);
    debug_assert!(has, "strings have a metatable");
    lua.table(0, 1);
    lua.field(shared, c"string");
    lua.set_field(-2, c"__index");
    hide(lua);
    lua.set_field(-2, c"__metatable");
    lua.pop(2);
}

fn refuse(_: Lua) -> Outcome {
    Err(Failure::At(READ_ONLY.to_owned()))
}

fn absent_global(lua: Lua) -> Outcome {
    if lua.top() != 2 {
        return Err(Failure::At("Wrong number of arguments to luaProtectedTableError".to_owned()));
    }
    let Some(name) = lua.bytes(2) else {
        let text = "Second argument to luaProtectedTableError must be a string or number";
        return Err(Failure::At(text.to_owned()));
    };
    let name = String::from_utf8_lossy(name.split(|byte| *byte == 0).next().unwrap_or_default());
    Err(Failure::At(format!("Script attempted to access nonexistent global variable '{name}'")))
}

/// Sets the functions of a library whose table is on top of the stack.
pub(crate) fn set_functions(lua: Lua, functions: &[(&CStr, Function)]) {
    debug_assert_eq!(lua.kind(-1), TABLE, "a library is a table");
    for (name, function) in functions {
        lua.push_function(*function, 0);
        lua.set_field(-2, name);
    }
}

/// Sets a text of a library whose table is on top of the stack.
pub(crate) fn set_text(lua: Lua, name: &CStr, text: &str) {
    lua.push_bytes(text.as_bytes());
    debug_assert_eq!(lua.kind(-1), STRING, "it was just pushed");
    lua.set_field(-2, name);
}
