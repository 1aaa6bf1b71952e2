//! Functions of the language that scripts are given in other words: those that would look behind hidden tables, catch what
//! must not be caught, load compiled code, or run for ever outside of the script.
//!
//! The file is unsafe because most of them are written against the interpreter's own throwing functions: they hold nothing
//! that would have to be dropped.
//!
//! Source: `lbaselib.c`, `ltablib.c` and `lmathlib.c` of Lua 5.1 for what they answer, Redis's `math.random` and `pcall`.

use std::ffi::{CStr, c_int};
use std::ptr;

use mlua_sys::lua51 as ffi;

use crate::lua::{FUNCTION, Failure, GLOBALS, Lua, NIL, Outcome, State, TABLE, native};
use crate::sandbox::{READ_ONLY, behind, set_functions, shown};

/// Replaces the functions in the globals of a new interpreter.
pub(crate) fn replace(lua: Lua) {
    lua.copy(GLOBALS);
    set_functions(
        lua,
        &[
            (c"pcall", pcall),
            (c"xpcall", xpcall),
            (c"next", next),
            (c"rawget", raw_get),
            (c"rawset", raw_set),
            (c"getmetatable", get_meta_table),
            (c"setmetatable", set_meta_table),
            (c"unpack", unpack),
            (c"collectgarbage", collect_garbage),
            (c"load", native(load)),
            (c"loadstring", native(load_string)),
        ],
    );
    lua.push_function(next, 0);
    lua.push_function(pairs, 1);
    lua.set_field(-2, c"pairs");
    lua.field(-1, c"coroutine");
    lua.field(-1, c"resume");
    lua.push_function(resume, 1);
    lua.set_field(-2, c"resume");
    lua.pop(1);
    lua.field(-1, c"table");
    set_functions(lua, &[(c"insert", insert)]);
    lua.pop(1);
    lua.field(-1, c"math");
    set_functions(lua, &[(c"random", native(random)), (c"randomseed", native(random_seed))]);
    lua.pop(2);
}

/// Most bytes of a source that is put together in a script.
const SOURCE_BYTES_MAX: usize = 1 << 26;

/// Throws a text without a place.
///
/// # Safety
/// The caller holds nothing that has to be dropped.
unsafe fn throw(state: *mut State, text: &str) -> c_int {
    Lua(state).push_bytes(text.as_bytes());
    // SAFETY: by the contract.
    unsafe { ffi::lua_error(state) }
}

/// Throws on where the script has to end, with the error on the stack: nothing catches that.
unsafe fn end_if_ending(state: *mut State) {
    if Lua(state).shared().ending.get().is_some() {
        // SAFETY: by the contract of the callers, which hold nothing.
        unsafe { ffi::lua_error(state) }
    }
}

/// Pushes the table behind the table at an index, if it is a hidden one.
unsafe fn push_behind(state: *mut State, at: c_int) -> bool {
    // SAFETY: plain access without metamethods.
    unsafe {
        if ffi::lua_getmetatable(state, at) == 0 {
            return false;
        }
        ffi::lua_pushlightuserdata(state, behind().cast_mut());
        ffi::lua_rawget_(state, -2);
        ffi::lua_remove(state, -2);
        if ffi::lua_type(state, -1) == TABLE {
            return true;
        }
        ffi::lua_settop(state, -2);
        false
    }
}

// SAFETY of the functions below: each checks its arguments by the interpreter's own means, which throw, and holds nothing
// that would have to be dropped.

unsafe extern "C-unwind" fn pcall(state: *mut State) -> c_int {
    // SAFETY: see above.
    unsafe {
        ffi::luaL_checkany(state, 1);
        let arguments = ffi::lua_gettop(state) - 1;
        ffi::lua_pushboolean(state, 1);
        ffi::lua_insert(state, 1);
        if ffi::lua_pcall(state, arguments, ffi::LUA_MULTRET, 0) == 0 {
            return ffi::lua_gettop(state);
        }
        end_if_ending(state);
        // The error of a command is a table, and what scripts have always got is its text.
        if ffi::lua_type(state, -1) == TABLE {
            Lua(state).field(-1, c"err");
            if ffi::lua_isstring(state, -1) == 0 {
                ffi::lua_settop(state, -2);
            }
        }
        ffi::lua_pushboolean(state, 0);
        ffi::lua_insert(state, -2);
        2
    }
}

unsafe extern "C-unwind" fn xpcall(state: *mut State) -> c_int {
    // SAFETY: see above.
    unsafe {
        ffi::luaL_checkany(state, 2);
        ffi::lua_settop(state, 2);
        ffi::lua_pushcclosure(state, handle_error, 1);
        ffi::lua_insert(state, 1);
        let status = ffi::lua_pcall(state, 0, ffi::LUA_MULTRET, 1);
        if status != 0 {
            end_if_ending(state);
        }
        ffi::lua_pushboolean(state, (status == 0).into());
        ffi::lua_replace(state, 1);
        ffi::lua_gettop(state)
    }
}

/// Lets a script's handler of errors, which is kept, look at an error: not at the one that ends the script, because no
/// hook runs until a handler returns.
unsafe extern "C-unwind" fn handle_error(state: *mut State) -> c_int {
    // SAFETY: see above.
    unsafe {
        if Lua(state).shared().ending.get().is_none() {
            ffi::lua_settop(state, 1);
            ffi::lua_pushvalue(state, ffi::lua_upvalueindex(1));
            ffi::lua_insert(state, 1);
            ffi::lua_call(state, 1, 1);
        }
        1
    }
}

/// `coroutine.resume`, which is kept: an error that ends the script does not end with a coroutine.
unsafe extern "C-unwind" fn resume(state: *mut State) -> c_int {
    // SAFETY: see above.
    unsafe {
        let arguments = ffi::lua_gettop(state);
        ffi::lua_pushvalue(state, ffi::lua_upvalueindex(1));
        ffi::lua_insert(state, 1);
        ffi::lua_call(state, arguments, ffi::LUA_MULTRET);
        if Lua(state).shared().ending.get().is_some() {
            Lua(state).push_ending();
            ffi::lua_error(state);
        }
        ffi::lua_gettop(state)
    }
}

unsafe extern "C-unwind" fn next(state: *mut State) -> c_int {
    // SAFETY: see above.
    unsafe {
        ffi::luaL_checktype(state, 1, TABLE);
        ffi::lua_settop(state, 2);
        if push_behind(state, 1) {
            ffi::lua_replace(state, 1);
        }
        if ffi::lua_next(state, 1) != 0 {
            return 2;
        }
        ffi::lua_pushnil(state);
        1
    }
}

unsafe extern "C-unwind" fn pairs(state: *mut State) -> c_int {
    // SAFETY: see above; the function that goes on is kept.
    unsafe {
        ffi::luaL_checktype(state, 1, TABLE);
        ffi::lua_pushvalue(state, ffi::lua_upvalueindex(1));
        ffi::lua_pushvalue(state, 1);
        ffi::lua_pushnil(state);
        3
    }
}

unsafe extern "C-unwind" fn raw_get(state: *mut State) -> c_int {
    // SAFETY: see above.
    unsafe {
        ffi::luaL_checktype(state, 1, TABLE);
        ffi::luaL_checkany(state, 2);
        ffi::lua_settop(state, 2);
        if push_behind(state, 1) {
            ffi::lua_replace(state, 1);
        }
        ffi::lua_rawget_(state, 1);
        1
    }
}

unsafe extern "C-unwind" fn raw_set(state: *mut State) -> c_int {
    // SAFETY: see above.
    unsafe {
        ffi::luaL_checktype(state, 1, TABLE);
        ffi::luaL_checkany(state, 2);
        ffi::luaL_checkany(state, 3);
        ffi::lua_settop(state, 3);
        if push_behind(state, 1) {
            return throw(state, READ_ONLY);
        }
        ffi::lua_rawset(state, 1);
        1
    }
}

unsafe extern "C-unwind" fn get_meta_table(state: *mut State) -> c_int {
    // SAFETY: see above.
    unsafe {
        ffi::luaL_checkany(state, 1);
        if push_behind(state, 1) {
            ffi::lua_settop(state, -2);
            ffi::lua_getmetatable(state, 1);
            ffi::lua_pushlightuserdata(state, shown().cast_mut());
            ffi::lua_rawget_(state, -2);
            return 1;
        }
        if ffi::lua_getmetatable(state, 1) == 0 {
            ffi::lua_pushnil(state);
            return 1;
        }
        if Lua(state).field(-1, c"__metatable") == NIL {
            ffi::lua_settop(state, -2);
        }
        1
    }
}

unsafe extern "C-unwind" fn set_meta_table(state: *mut State) -> c_int {
    // SAFETY: see above.
    unsafe {
        let kind = ffi::lua_type(state, 2);
        ffi::luaL_checktype(state, 1, TABLE);
        if kind != NIL && kind != TABLE {
            return ffi::luaL_argerror(state, 2, c"nil or table expected".as_ptr());
        }
        if push_behind(state, 1) {
            return throw(state, READ_ONLY);
        }
        if ffi::lua_getmetatable(state, 1) != 0 {
            // A metatable of ours that shows a hidden one protects itself, not its owner.
            if Lua(state).field(-1, c"__metatable") != NIL && !push_behind(state, -1) {
                return ffi::luaL_error(state, c"cannot change a protected metatable".as_ptr());
            }
        }
        ffi::lua_settop(state, 2);
        ffi::lua_setmetatable(state, 1);
        1
    }
}

unsafe extern "C-unwind" fn unpack(state: *mut State) -> c_int {
    // SAFETY: see above. The number of results is worked out in 64 bits, where it cannot overflow.
    unsafe {
        ffi::luaL_checktype(state, 1, TABLE);
        let first = ffi::luaL_optinteger(state, 2, 1);
        let last = if ffi::lua_type(state, 3) <= NIL {
            ffi::lua_objlen(state, 1) as i64
        } else {
            ffi::luaL_checkinteger(state, 3)
        };
        if first > last {
            return 0;
        }
        let (from, to) = (first as c_int, last as c_int);
        let count =
            last.checked_sub(first).and_then(|count| c_int::try_from(count).ok()).unwrap_or(c_int::MAX);
        let fits = i64::from(from) == first && i64::from(to) == last && count < c_int::MAX - 1;
        if !fits || ffi::lua_checkstack(state, count + 1) == 0 {
            return ffi::luaL_error(state, c"too many results to unpack".as_ptr());
        }
        for offset in 0..=count {
            ffi::lua_rawgeti_(state, 1, from + offset);
        }
        count + 1
    }
}

unsafe extern "C-unwind" fn insert(state: *mut State) -> c_int {
    // SAFETY: see above.
    unsafe {
        ffi::luaL_checktype(state, 1, TABLE);
        let mut end = (ffi::lua_objlen(state, 1) as c_int).wrapping_add(1);
        let position = match ffi::lua_gettop(state) {
            2 => end,
            3 => ffi::luaL_checkinteger(state, 2) as c_int,
            _ => return ffi::luaL_error(state, c"wrong number of arguments to 'insert'".as_ptr()),
        };
        if push_behind(state, 1) {
            return throw(state, READ_ONLY);
        }
        end = end.max(position);
        let mut at = end;
        while at > position {
            if let Err(failure) = Lua(state).shared().step() {
                drop(failure);
                return throw(state, "too many elements to move");
            }
            ffi::lua_rawgeti_(state, 1, at - 1);
            ffi::lua_rawseti_(state, 1, at);
            at -= 1;
        }
        ffi::lua_rawseti_(state, 1, position);
        0
    }
}

unsafe extern "C-unwind" fn collect_garbage(state: *mut State) -> c_int {
    const OPTIONS: [(&CStr, c_int); 7] = [
        (c"stop", ffi::LUA_GCSTOP),
        (c"restart", ffi::LUA_GCRESTART),
        (c"collect", ffi::LUA_GCCOLLECT),
        (c"count", ffi::LUA_GCCOUNT),
        (c"step", ffi::LUA_GCSTEP),
        (c"setpause", ffi::LUA_GCSETPAUSE),
        (c"setstepmul", ffi::LUA_GCSETSTEPMUL),
    ];
    let mut names = [ptr::null(); OPTIONS.len() + 1];
    for (name, (option, _)) in names.iter_mut().zip(OPTIONS) {
        *name = option.as_ptr();
    }
    // SAFETY: see above.
    unsafe {
        let option = ffi::luaL_checkoption(state, 1, c"collect".as_ptr(), names.as_ptr());
        let argument = ffi::luaL_optinteger(state, 2, 0) as c_int;
        let what = OPTIONS[option as usize].1;
        if !matches!(what, ffi::LUA_GCCOLLECT | ffi::LUA_GCCOUNT | ffi::LUA_GCSTEP) {
            Lua(state).shared().collector_changed.set(true);
        }
        let result = ffi::lua_gc(state, what, argument);
        match what {
            ffi::LUA_GCCOUNT => {
                let rest = ffi::lua_gc(state, ffi::LUA_GCCOUNTB, 0);
                ffi::lua_pushnumber(state, f64::from(result) + f64::from(rest) / 1024.0);
            }
            ffi::LUA_GCSTEP => ffi::lua_pushboolean(state, result),
            _ => ffi::lua_pushnumber(state, f64::from(result)),
        }
        1
    }
}

/// Answers what compiling has left: a function, or nil and a text.
fn loaded(lua: Lua, compiled: bool) -> Outcome {
    if compiled {
        return Ok(1);
    }
    lua.push_nil();
    lua.insert(-2);
    Ok(2)
}

fn load_string(lua: Lua) -> Outcome {
    let source = lua.want_bytes(1)?;
    let name = if lua.kind(2) <= NIL { source } else { lua.want_bytes(2)? };
    loaded(lua, lua.compile(source, name))
}

fn load(lua: Lua) -> Outcome {
    if lua.kind(1) != FUNCTION {
        return Err(Failure::Type(1, "function"));
    }
    let name = if lua.kind(2) <= NIL { &b"=(load)"[..] } else { lua.want_bytes(2)? };
    let mut source = Vec::new();
    loop {
        lua.shared().step()?;
        lua.copy(1);
        if lua.call(0, 1, 0).is_err() {
            return if lua.shared().ending.get().is_some() {
                Err(Failure::Ending)
            } else {
                loaded(lua, false)
            };
        }
        let piece = match lua.kind(-1) {
            NIL => break,
            _ => lua.bytes(-1),
        };
        match piece {
            None => {
                lua.push_bytes(b"reader function must return a string");
                return loaded(lua, false);
            }
            Some([]) => break,
            Some(piece) if source.len() + piece.len() > SOURCE_BYTES_MAX => {
                return Err(Failure::Plain("not enough memory"));
            }
            Some(piece) => source.extend_from_slice(piece),
        }
        lua.pop(1);
    }
    loaded(lua, lua.compile(&source, name))
}

/// The largest that the generator draws, plus one.
const RANDOM_RANGE: f64 = 2_147_483_647.0;

/// As Redis does, whose numbers are those of `drand48` for the same seed, everywhere.
fn random(lua: Lua) -> Outcome {
    let state = lua.shared().random.get().wrapping_mul(0x5_deec_e66d).wrapping_add(0xb) & 0xffff_ffff_ffff;
    lua.shared().random.set(state);
    let drawn = ((state >> 17) % 2_147_483_647) as f64 / RANDOM_RANGE;
    let number = match lua.top() {
        0 => drawn,
        1 => {
            let upper = lua.want_int(1)?;
            lua.want(upper >= 1, 1, "interval is empty")?;
            (drawn * f64::from(upper)).floor() + 1.0
        }
        2 => {
            let (lower, upper) = (lua.want_int(1)?, lua.want_int(2)?);
            lua.want(lower <= upper, 2, "interval is empty")?;
            (drawn * f64::from(upper.wrapping_sub(lower).wrapping_add(1))).floor() + f64::from(lower)
        }
        _ => return Err(Failure::At("wrong number of arguments".to_owned())),
    };
    lua.push_number(number);
    Ok(1)
}

fn random_seed(lua: Lua) -> Outcome {
    let seed = lua.want_int(1)?;
    lua.shared().random.set((u64::from(seed as u32) << 16) + 0x330e);
    Ok(0)
}
