//! The one layer over the bindings: values on the interpreter's stack, native functions, and errors.
//!
//! The file is unsafe because the interpreter is C. What makes its use sound:
//!
//! - A [`Lua`] is only handed to native functions, and by `interpreter` to code that runs while no script does; it never
//!   leaves the thread.
//! - The interpreter throws errors by jumping over frames. A native function therefore never throws from its middle: it
//!   returns a [`Failure`], which [`native`] throws once nothing is left to be dropped, and while it runs, memory is not
//!   refused (`memory`). Functions that call the interpreter's own throwing ones are written against the bindings, and
//!   hold nothing that would have to be dropped.
//! - Bytes of a string are borrowed from the stack: a function that has taken it off, or runs a script, keeps none.
//! - What is pushed is room that was asked for: every native function begins with 20 slots (LUA_MINSTACK), and whoever nests or
//!   loops over values that stay asks [`Lua::room`] for more.

use std::cell::{Cell, RefCell};
use std::ffi::{CStr, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;

use mlua_sys::lua51 as ffi;

use crate::functions::Loading;
use crate::host::{Host, Verdict};
use crate::json::Settings;
use crate::memory::Memory;

pub(crate) use ffi::{
    LUA_TBOOLEAN as BOOLEAN, LUA_TFUNCTION as FUNCTION, LUA_TLIGHTUSERDATA as POINTER, LUA_TNIL as NIL,
    LUA_TNONE as NONE, LUA_TNUMBER as NUMBER, LUA_TSTRING as STRING, LUA_TTABLE as TABLE,
    lua_CFunction as Function, lua_State as State,
};

/// The interpreter's functions live in this pseudo-table.
pub(crate) const REGISTRY: c_int = ffi::LUA_REGISTRYINDEX;
/// The globals of the code that is compiled.
pub(crate) const GLOBALS: c_int = ffi::LUA_GLOBALSINDEX;

/// What an interpreter shares with its native functions. The first field is what its allocator is given.
#[repr(C)]
pub(crate) struct Shared {
    pub(crate) memory: Memory,
    /// The server, while a script runs.
    host: Cell<Option<NonNull<dyn Host>>>,
    /// Why the script has to end, whatever it does.
    pub(crate) ending: Cell<Option<Ending>>,
    /// Looks at the host that native functions have left out since the last one.
    steps: Cell<u32>,
    /// Replies of commands come in the third protocol.
    pub(crate) resp3: Cell<bool>,
    /// A script has changed how memory is collected.
    pub(crate) collector_changed: Cell<bool>,
    /// State of `math.random`.
    pub(crate) random: Cell<u64>,
    /// Settings of `cjson`.
    pub(crate) json: RefCell<Settings>,
    /// A script has changed them.
    pub(crate) json_changed: Cell<bool>,
    /// The library that is being loaded.
    pub(crate) loading: RefCell<Option<Loading>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("memory", &self.memory).finish_non_exhaustive()
    }
}

/// Why a script has to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The host wants it to run again.
    Again,
    /// The host wants it to end, with this error.
    Error(&'static str),
}

impl Shared {
    pub(crate) fn new(bytes_max: usize) -> Shared {
        Shared {
            memory: Memory::new(bytes_max),
            host: Cell::new(None),
            ending: Cell::new(None),
            steps: Cell::new(0),
            resp3: Cell::new(false),
            collector_changed: Cell::new(false),
            random: Cell::new(0x330e),
            json: RefCell::default(),
            json_changed: Cell::new(false),
            loading: RefCell::default(),
        }
    }

    /// Runs `act` while native functions reach this host.
    pub(crate) fn hosted<R>(&self, host: &mut dyn Host, act: impl FnOnce() -> R) -> R {
        struct Leave<'a>(&'a Shared);
        impl Drop for Leave<'_> {
            fn drop(&mut self) {
                self.0.host.set(None);
            }
        }
        // SAFETY: the pointer is forgotten before the borrow ends.
        let host =
            unsafe { std::mem::transmute::<NonNull<dyn Host + '_>, NonNull<dyn Host>>(NonNull::from(host)) };
        self.host.set(Some(host));
        let _leave = Leave(self);
        act()
    }

    /// Lets `act` speak to the host, if there is one.
    pub(crate) fn with_host<R>(&self, act: impl FnOnce(&mut dyn Host) -> R) -> Option<R> {
        let mut host = self.host.take()?;
        // SAFETY: `hosted` lends it for as long as it is set, and it is taken while it is used.
        let result = act(unsafe { host.as_mut() });
        self.host.set(Some(host));
        Some(result)
    }

    /// Asks the host whether the script goes on.
    pub(crate) fn tick(&self) -> Result<(), Failure> {
        if self.ending.get().is_none()
            && let Some(Verdict::End(error)) = self.with_host(|host| host.tick())
        {
            self.ending.set(Some(Ending::Error(error)));
        }
        match self.ending.get() {
            None => Ok(()),
            Some(_) => Err(Failure::Ending),
        }
    }

    /// One step of a loop in a native function: asks the host every few thousand.
    #[inline]
    pub(crate) fn step(&self) -> Result<(), Failure> {
        const STEPS: u32 = 8192;
        let steps = self.steps.get() + 1;
        if steps < STEPS {
            self.steps.set(steps);
            return Ok(());
        }
        self.steps.set(0);
        if self.memory.left() == 0 {
            return Err(Failure::Plain("not enough memory"));
        }
        self.tick()
    }
}

/// Why a native function fails.
#[derive(Debug)]
pub(crate) enum Failure {
    /// With this text, behind the place in the script that called it.
    At(String),
    /// With this text as it is.
    Plain(&'static str),
    /// Because of an argument.
    Argument(c_int, String),
    /// Because an argument has another type than this.
    Type(c_int, &'static str),
    /// With the value on top of the stack.
    Value,
    /// Because the script has to end.
    Ending,
}

/// The error of a script in which something of ours panicked.
pub(crate) const PANICKED: &str = "internal error: the server's log says where";

/// What a native function returns: how many of the values on top of the stack are its results.
pub(crate) type Outcome = Result<c_int, Failure>;

/// An interpreter, or a coroutine of one, at work.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lua(pub(crate) *mut State);

/// The C function that runs a native one.
pub(crate) fn native<F: Fn(Lua) -> Outcome + Copy + 'static>(_: F) -> Function {
    const { assert!(size_of::<F>() == 0, "a C function has no place for what a closure holds") };
    unsafe extern "C-unwind" fn enter<F: Fn(Lua) -> Outcome + Copy + 'static>(state: *mut State) -> c_int {
        let lua = Lua(state);
        // SAFETY: a type without size has one value, and `native` was given it.
        let function: F = unsafe { NonNull::<F>::dangling().as_ptr().read() };
        let memory = &lua.shared().memory;
        memory.enter();
        let outcome = catch_unwind(AssertUnwindSafe(|| function(lua)));
        let results = match outcome {
            Ok(Ok(results)) => results,
            Ok(Err(failure)) => lua.prepare(failure),
            Err(_) => lua.prepare(Failure::Plain(PANICKED)),
        };
        memory.leave();
        if results >= 0 {
            return results;
        }
        // SAFETY: the error, or the text of one, is on the stack, and nothing is left to be dropped.
        unsafe { throw(state, results) }
    }
    enter::<F>
}

/// The index of a value that a native function keeps.
pub(crate) const fn kept(number: c_int) -> c_int {
    ffi::lua_upvalueindex(number)
}

/// Looks a key up in a value as the language does, by metamethods too: a function of two arguments.
pub(crate) unsafe extern "C-unwind" fn index(state: *mut State) -> c_int {
    // SAFETY: it may throw, and holds nothing.
    unsafe { ffi::lua_gettable_(state, 1) };
    1
}

/// Marks of what is to be thrown, in place of a number of results; below them is the number of an argument.
const THROW: c_int = -1;
const THROW_ARGUMENT: c_int = -1000;

/// Throws what [`Lua::prepare`] has left on the stack.
unsafe fn throw(state: *mut State, mark: c_int) -> c_int {
    // SAFETY: by the contract of `enter`.
    unsafe {
        if mark > THROW_ARGUMENT {
            ffi::lua_error(state);
        }
        let text = ffi::lua_tolstring(state, -1, std::ptr::null_mut());
        ffi::luaL_argerror(state, THROW_ARGUMENT - mark, text)
    }
}

// SAFETY of the calls below: see the head of this file.
#[allow(clippy::undocumented_unsafe_blocks, reason = "one for all of them, at the head of the file")]
impl Lua {
    /// What the interpreter shares with its native functions.
    #[inline]
    pub(crate) fn shared<'a>(self) -> &'a Shared {
        let mut shared: *mut c_void = std::ptr::null_mut();
        unsafe {
            ffi::lua_getallocf(self.0, &mut shared);
            &*shared.cast::<Shared>()
        }
    }

    /// Puts a failure on the stack; the mark for [`throw`].
    fn prepare(self, failure: Failure) -> c_int {
        match failure {
            Failure::Value => return THROW,
            Failure::Plain(text) => self.push_bytes(text.as_bytes()),
            Failure::At(text) => {
                unsafe { ffi::luaL_where(self.0, 1) };
                self.push_bytes(text.as_bytes());
                unsafe { ffi::lua_concat(self.0, 2) };
            }
            Failure::Argument(at, text) => {
                self.push_bytes(text.as_bytes());
                return THROW_ARGUMENT - at;
            }
            Failure::Type(at, expected) => {
                let text = format!("{expected} expected, got {}", self.kind_name(at));
                self.push_bytes(text.as_bytes());
                return THROW_ARGUMENT - at;
            }
            Failure::Ending => self.push_ending(),
        }
        THROW
    }

    /// Pushes the error of a script that has to end.
    pub(crate) fn push_ending(self) {
        let text = match self.shared().ending.get() {
            Some(Ending::Error(text)) => text,
            Some(Ending::Again) | None => "the script runs again",
        };
        self.table(0, 1);
        self.push_bytes(b"ERR ");
        self.push_bytes(text.as_bytes());
        unsafe { ffi::lua_concat(self.0, 2) };
        self.set_field(-2, c"err");
    }

    /// Room for this many more values; false when the stack cannot have it.
    pub(crate) fn room(self, slots: c_int) -> bool {
        unsafe { ffi::lua_checkstack(self.0, slots) != 0 }
    }

    pub(crate) fn top(self) -> c_int {
        unsafe { ffi::lua_gettop(self.0) }
    }

    pub(crate) fn set_top(self, top: c_int) {
        unsafe { ffi::lua_settop(self.0, top) }
    }

    pub(crate) fn pop(self, count: c_int) {
        self.set_top(-count - 1);
    }

    pub(crate) fn kind(self, at: c_int) -> c_int {
        unsafe { ffi::lua_type(self.0, at) }
    }

    pub(crate) fn kind_name(self, at: c_int) -> String {
        let name = unsafe { CStr::from_ptr(ffi::lua_typename(self.0, self.kind(at))) };
        name.to_string_lossy().into_owned()
    }

    pub(crate) fn copy(self, at: c_int) {
        unsafe { ffi::lua_pushvalue(self.0, at) }
    }

    pub(crate) fn insert(self, at: c_int) {
        unsafe { ffi::lua_insert(self.0, at) }
    }

    pub(crate) fn remove(self, at: c_int) {
        unsafe { ffi::lua_remove(self.0, at) }
    }

    /// Puts the value on top of the stack in place of another.
    pub(crate) fn replace(self, at: c_int) {
        unsafe { ffi::lua_replace(self.0, at) }
    }

    pub(crate) fn push_nil(self) {
        unsafe { ffi::lua_pushnil(self.0) }
    }

    pub(crate) fn push_bool(self, value: bool) {
        unsafe { ffi::lua_pushboolean(self.0, value.into()) }
    }

    pub(crate) fn push_number(self, value: f64) {
        unsafe { ffi::lua_pushnumber(self.0, value) }
    }

    pub(crate) fn push_bytes(self, bytes: &[u8]) {
        unsafe { ffi::lua_pushlstring_(self.0, bytes.as_ptr().cast(), bytes.len()) }
    }

    pub(crate) fn push_pointer(self, pointer: *const c_void) {
        unsafe { ffi::lua_pushlightuserdata(self.0, pointer.cast_mut()) }
    }

    /// Pushes a block of memory with a value in it, which is forgotten with it and not dropped.
    pub(crate) fn push_block<T: 'static>(self, value: T) {
        const { assert!(!std::mem::needs_drop::<T>() && align_of::<T>() <= 8, "the block is plain memory") };
        unsafe { ffi::lua_newuserdata(self.0, size_of::<T>()).cast::<T>().write(value) }
    }

    /// What a block has in it that [`Lua::push_block`] has pushed, if it is one: scripts have none, so whoever keeps one
    /// knows what it is.
    pub(crate) fn block<'a, T: 'static>(self, at: c_int) -> Option<&'a T> {
        unsafe { ffi::lua_touserdata(self.0, at).cast::<T>().as_ref() }
    }

    /// Pushes a C function that keeps the topmost `kept` values.
    pub(crate) fn push_function(self, function: Function, kept: c_int) {
        unsafe { ffi::lua_pushcclosure(self.0, function, kept) }
    }

    /// Pushes a new table with room for so many elements and fields.
    pub(crate) fn table(self, elements: usize, fields: usize) {
        /// What is only announced gets no more room than this in advance.
        const ROOM_MAX: usize = 1 << 16;
        unsafe {
            ffi::lua_createtable(self.0, elements.min(ROOM_MAX) as c_int, fields.min(ROOM_MAX) as c_int)
        }
    }

    /// The value as a number, if it is one or a string that reads as one.
    pub(crate) fn number(self, at: c_int) -> Option<f64> {
        let value = unsafe { ffi::lua_tonumber(self.0, at) };
        (value != 0.0 || unsafe { ffi::lua_isnumber(self.0, at) != 0 }).then_some(value)
    }

    pub(crate) fn boolean(self, at: c_int) -> bool {
        unsafe { ffi::lua_toboolean(self.0, at) != 0 }
    }

    pub(crate) fn pointer(self, at: c_int) -> *const c_void {
        unsafe { ffi::lua_touserdata(self.0, at).cast_const() }
    }

    /// The bytes of a string, or of a number, which becomes one where it stands.
    pub(crate) fn bytes<'a>(self, at: c_int) -> Option<&'a [u8]> {
        let mut len = 0;
        unsafe {
            let bytes = ffi::lua_tolstring(self.0, at, &mut len);
            if bytes.is_null() { None } else { Some(std::slice::from_raw_parts(bytes.cast(), len)) }
        }
    }

    /// The bytes of a string and of nothing else.
    pub(crate) fn string<'a>(self, at: c_int) -> Option<&'a [u8]> {
        if self.kind(at) == STRING { self.bytes(at) } else { None }
    }

    pub(crate) fn len(self, at: c_int) -> usize {
        unsafe { ffi::lua_objlen(self.0, at) }
    }

    /// `table[key]`, with the key on the stack, which the value replaces; no metamethod is asked.
    pub(crate) fn raw_get(self, table: c_int) -> c_int {
        unsafe { ffi::lua_rawget_(self.0, table) };
        self.kind(-1)
    }

    pub(crate) fn raw_get_at(self, table: c_int, index: c_int) -> c_int {
        unsafe { ffi::lua_rawgeti_(self.0, table, index) };
        self.kind(-1)
    }

    /// `table[key] = value`, with both on the stack.
    pub(crate) fn raw_set(self, table: c_int) {
        unsafe { ffi::lua_rawset(self.0, table) }
    }

    /// `table[index] = value`, with the value on the stack.
    pub(crate) fn raw_set_at(self, table: c_int, index: c_int) {
        unsafe { ffi::lua_rawseti_(self.0, table, index) }
    }

    /// `table.name`, without metamethods.
    pub(crate) fn field(self, table: c_int, name: &CStr) -> c_int {
        let table = self.absolute(table);
        self.push_bytes(name.to_bytes());
        self.raw_get(table)
    }

    /// `table.name = value`, with the value on the stack, without metamethods.
    pub(crate) fn set_field(self, table: c_int, name: &CStr) {
        let table = self.absolute(table);
        self.push_bytes(name.to_bytes());
        self.insert(-2);
        self.raw_set(table);
    }

    /// The next pair of a table behind the key on the stack, which the pair replaces; false when there is none.
    pub(crate) fn next(self, table: c_int) -> bool {
        unsafe { ffi::lua_next(self.0, table) != 0 }
    }

    pub(crate) fn meta_table(self, at: c_int) -> bool {
        unsafe { ffi::lua_getmetatable(self.0, at) != 0 }
    }

    pub(crate) fn set_meta_table(self, at: c_int) {
        unsafe { ffi::lua_setmetatable(self.0, at) };
    }

    /// Keeps the value on top of the stack in the registry under a number.
    pub(crate) fn keep(self) -> c_int {
        unsafe { ffi::luaL_ref(self.0, REGISTRY) }
    }

    /// Forgets what was kept.
    pub(crate) fn forget(self, kept: c_int) {
        unsafe { ffi::luaL_unref(self.0, REGISTRY, kept) }
    }

    /// Calls the function below the topmost `arguments` values; the error is on the stack when it fails, and a handler
    /// of errors at `handler` has seen it.
    pub(crate) fn call(self, arguments: c_int, results: c_int, handler: c_int) -> Result<(), c_int> {
        let memory = &self.shared().memory;
        let natives = memory.suspend();
        let status = unsafe { ffi::lua_pcall(self.0, arguments, results, handler) };
        memory.resume(natives);
        if status == 0 { Ok(()) } else { Err(status) }
    }

    /// Compiles a source; the function, or the text of what is wrong, is on the stack.
    ///
    /// The name of the source is on the stack for as long as that takes: the compiler does not hold on to it.
    pub(crate) fn compile(self, source: &[u8], name: &[u8]) -> bool {
        self.push_bytes(name);
        let name = unsafe { ffi::lua_tolstring(self.0, -1, std::ptr::null_mut()) };
        let compiled = if source.first() == Some(&ffi::LUA_SIGNATURE[0]) {
            self.push_bytes(b"binary chunks are not loaded");
            false
        } else {
            let memory = &self.shared().memory;
            let natives = memory.suspend();
            let status = unsafe { ffi::luaL_loadbuffer(self.0, source.as_ptr().cast(), source.len(), name) };
            memory.resume(natives);
            status == 0
        };
        self.remove(-2);
        compiled
    }

    /// The code of the function on top of the stack, as the interpreter writes it down.
    pub(crate) fn code(self) -> Vec<u8> {
        unsafe extern "C-unwind" fn append(
            _: *mut State,
            bytes: *const c_void,
            len: usize,
            code: *mut c_void,
        ) -> c_int {
            // SAFETY: it is called with the list below, and with bytes of this length.
            unsafe {
                let code = &mut *code.cast::<Vec<u8>>();
                code.extend_from_slice(std::slice::from_raw_parts(bytes.cast(), len));
            }
            0
        }
        let mut code = Vec::new();
        unsafe { ffi::lua_dump(self.0, append, (&raw mut code).cast(), 0) };
        code
    }

    /// Gives the function below the top of the stack the globals on top, which are taken off.
    pub(crate) fn set_globals(self) {
        unsafe { ffi::lua_setfenv(self.0, -2) };
    }

    fn absolute(self, at: c_int) -> c_int {
        if at < 0 && at > REGISTRY { self.top() + 1 + at } else { at }
    }

    // What natives want of their arguments.

    /// The number of an argument.
    pub(crate) fn want_number(self, at: c_int) -> Result<f64, Failure> {
        self.number(at).ok_or(Failure::Type(at, "number"))
    }

    /// An argument as a 64-bit integer.
    pub(crate) fn want_integer(self, at: c_int) -> Result<i64, Failure> {
        self.want_number(at).map(|number| number as i64)
    }

    /// An argument as an integer of C, as its library reads it.
    pub(crate) fn want_int(self, at: c_int) -> Result<c_int, Failure> {
        self.want_integer(at).map(|number| number as c_int)
    }

    /// An argument that may be left out.
    pub(crate) fn integer_or(self, at: c_int, otherwise: i64) -> Result<i64, Failure> {
        if self.kind(at) <= NIL { Ok(otherwise) } else { self.want_integer(at) }
    }

    /// The string of an argument.
    pub(crate) fn want_bytes<'a>(self, at: c_int) -> Result<&'a [u8], Failure> {
        self.bytes(at).ok_or(Failure::Type(at, "string"))
    }

    /// Fails unless a condition about an argument holds.
    pub(crate) fn want(self, condition: bool, at: c_int, otherwise: &str) -> Result<(), Failure> {
        if condition { Ok(()) } else { Err(Failure::Argument(at, otherwise.to_owned())) }
    }
}
