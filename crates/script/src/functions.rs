//! Libraries: code that registers functions when it is loaded.
//!
//! While a library is loaded its globals are a `redis` of their own, that registers and logs and calls nothing.
//!
//! Source: Redis's documentation of functions.

use std::ffi::c_int;

use crate::api::{self, LIBRARY, fail};
use crate::header::{BAD_NAME, ScriptFlags, is_name};
use crate::lua::{FUNCTION, GLOBALS, Lua, NIL, Outcome, REGISTRY, TABLE, native};
use crate::sandbox::{behind, hide, refuse_absent, set_functions};

/// A function that a library has registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// Its name.
    pub name: String,
    /// What is said of it.
    pub description: Option<Vec<u8>>,
    /// Its flags.
    pub flags: ScriptFlags,
}

/// A library while it is loaded: what it has registered, each with the place where its function is kept.
#[derive(Debug, Default)]
pub(crate) struct Loading(pub(crate) Vec<(Registered, c_int)>);

/// Keys of the registry: what code sees that loads a library, and what functions see.
fn while_loading() -> *const std::ffi::c_void {
    static KEY: u8 = 0;
    (&raw const KEY).cast()
}

fn while_running() -> *const std::ffi::c_void {
    static KEY: u8 = 0;
    (&raw const KEY).cast()
}

/// Prepares an interpreter of functions, whose shared globals are at an index.
pub(crate) fn open(lua: Lua, shared: c_int) {
    lua.push_pointer(while_running());
    lua.copy(shared);
    lua.raw_set(REGISTRY);
    lua.push_pointer(while_loading());
    lua.table(0, 1);
    lua.table(0, 8);
    set_functions(lua, &[(c"register_function", native(register))]);
    api::open_log_and_version(lua);
    refuse_absent(lua, lua.top());
    hide(lua);
    lua.set_field(-2, LIBRARY);
    refuse_absent(lua, lua.top());
    lua.raw_set(REGISTRY);
}

/// Makes the globals those of code that loads a library, or of functions.
pub(crate) fn show_globals(lua: Lua, loading: bool) {
    lua.copy(GLOBALS);
    lua.meta_table(-1);
    for name in [None, Some(c"__index")] {
        match name {
            None => lua.push_pointer(behind()),
            Some(name) => lua.push_bytes(name.to_bytes()),
        }
        lua.push_pointer(if loading { while_loading() } else { while_running() });
        lua.raw_get(REGISTRY);
        lua.raw_set(-3);
    }
    lua.pop(2);
}

/// `redis.register_function`.
fn register(lua: Lua) -> Outcome {
    let shared = lua.shared();
    if shared.loading.borrow().is_none() {
        return Err(fail(lua, "redis.register_function can only be called on FUNCTION LOAD command"));
    }
    let registered = match lua.top() {
        1 => by_name(lua),
        2 => by_position(lua),
        _ => Err("wrong number of arguments to redis.register_function"),
    };
    let registered = registered.map_err(|text| fail(lua, text))?;
    if !is_name(registered.name.as_bytes()) {
        return Err(fail(lua, BAD_NAME));
    }
    let mut loading = shared.loading.borrow_mut();
    let Some(Loading(functions)) = loading.as_mut() else { return Ok(0) };
    if functions.iter().any(|(other, _)| other.name.eq_ignore_ascii_case(&registered.name)) {
        return Err(fail(lua, "Function already exists in the library"));
    }
    // Its function is on top of the stack.
    let kept = lua.keep();
    functions.push((registered, kept));
    Ok(0)
}

type Read = Result<Registered, &'static str>;

/// The name of a function, and the function, which is left on top of the stack.
fn by_position(lua: Lua) -> Read {
    let name = lua.bytes(1).ok_or("first argument to redis.register_function must be a string")?;
    if lua.kind(2) != FUNCTION {
        return Err("second argument to redis.register_function must be a function");
    }
    Ok(Registered { name: text(name), description: None, flags: ScriptFlags::default() })
}

/// A table of named arguments; the function is left on top of the stack.
fn by_name(lua: Lua) -> Read {
    if lua.kind(1) != TABLE {
        return Err(
            "calling redis.register_function with a single argument is only applicable to Lua table (representing \
             named arguments).",
        );
    }
    let (mut name, mut description, mut flags, mut has_function) =
        (None, None, ScriptFlags::default(), false);
    // The place of the function.
    lua.push_nil();
    lua.push_nil();
    while lua.next(1) {
        if lua.kind(-2) != crate::lua::STRING && lua.kind(-2) != crate::lua::NUMBER {
            return Err("named argument key given to redis.register_function is not a string");
        }
        // A number must stay one, or the walk could not go on.
        lua.copy(-2);
        let key = lua.bytes(-1).unwrap_or_default().to_ascii_lowercase();
        lua.pop(1);
        match &key[..] {
            b"function_name" => {
                let given = lua.bytes(-1);
                let given = given
                    .ok_or("function_name argument given to redis.register_function must be a string")?;
                name = Some(text(given));
            }
            b"description" => {
                let given = lua.bytes(-1);
                let given =
                    given.ok_or("description argument given to redis.register_function must be a string")?;
                description = Some(given.to_vec());
            }
            b"callback" => {
                if lua.kind(-1) != FUNCTION {
                    return Err("callback argument given to redis.register_function must be a function");
                }
                lua.copy(-1);
                lua.replace(2);
                has_function = true;
            }
            b"flags" => {
                if lua.kind(-1) != TABLE {
                    return Err(
                        "flags argument to redis.register_function must be a table representing function flags",
                    );
                }
                flags = read_flags(lua).ok_or("unknown flag given")?;
            }
            _ => return Err("unknown argument given to redis.register_function"),
        }
        lua.pop(1);
    }
    let name = name.ok_or("redis.register_function must get a function name argument")?;
    if !has_function {
        return Err("redis.register_function must get a callback argument");
    }
    Ok(Registered { name, description, flags })
}

/// The flags that the table on top of the stack lists.
fn read_flags(lua: Lua) -> Option<ScriptFlags> {
    let mut flags = ScriptFlags::default();
    for index in 1.. {
        if lua.raw_get_at(-1, index) == NIL {
            lua.pop(1);
            break;
        }
        let flag = lua.bytes(-1).map(<[u8]>::to_ascii_lowercase);
        lua.pop(1);
        flags = flags.with(ScriptFlags::named(&flag?)?);
    }
    Some(flags)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
