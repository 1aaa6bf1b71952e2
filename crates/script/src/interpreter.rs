//! An interpreter: it compiles sources, runs them, and keeps what it has compiled.
//!
//! The file is unsafe because it makes the interpreter and closes it.

use std::cell::Cell;
use std::ffi::{CStr, c_int};
use std::panic::{AssertUnwindSafe, catch_unwind};

use mlua_sys::lua51 as ffi;
use swytch_resp::Reply;

use crate::code::may_set_globals;
use crate::convert::{Told, read_error, write_value};
use crate::functions::{Loading, Registered, show_globals};
use crate::host::Host;
use crate::lua::{Ending, Lua, Outcome, PANICKED, Shared, State, TABLE, native};
use crate::sandbox;

/// What an interpreter is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Scripts, each of which finds its keys and arguments in globals.
    Scripts,
    /// Functions of libraries, which are called with their keys and arguments.
    Functions,
}

impl Kind {
    /// What places in its sources are called.
    fn source_name(self) -> &'static [u8] {
        match self {
            Kind::Scripts => b"@user_script",
            Kind::Functions => b"@user_function",
        }
    }
}

/// An interpreter. It belongs to the thread that made it.
#[derive(Debug)]
pub struct Interpreter {
    lua: Lua,
    shared: Box<Shared>,
    kind: Kind,
    /// Where the shared globals are kept, and what errors go through.
    globals: c_int,
    handler: c_int,
    keys: List,
    arguments: List,
    /// Sources compiled since the last look for what their compilation has left.
    compiled: Cell<u32>,
}

/// A list of words in a global. A table that the script before has left as it was is filled again: a new one costs more
/// than the rest of a short script.
#[derive(Debug)]
struct List {
    name: &'static CStr,
    /// The table, if it is kept, and how many words are in it.
    kept: Cell<Option<(c_int, usize)>>,
}

impl List {
    fn named(name: &'static CStr) -> List {
        List { name, kept: Cell::new(None) }
    }
}

/// Words of a list whose table is kept.
const WORDS_KEPT_MAX: usize = 8;

/// What an interpreter has compiled.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Compiled(c_int);

/// How a script has ended.
#[derive(Debug)]
pub enum Ended {
    /// Its result is written.
    Written,
    /// With an error.
    Failed(ScriptError),
    /// The host wants it to run again: [`crate::Called::Again`].
    Again,
}

/// The error of a script.
#[derive(Debug, PartialEq, Eq)]
pub struct ScriptError {
    /// Its text, with its code.
    pub text: Vec<u8>,
    /// It came from a command, where it was counted.
    pub is_counted: bool,
}

/// Instructions between two looks at the host.
const INSTRUCTIONS: c_int = 50_000;

impl Interpreter {
    /// A new interpreter that takes so much memory at most; `seed` is where its random numbers begin.
    pub fn new(kind: Kind, bytes_max: usize, seed: u64) -> Interpreter {
        let shared = Box::new(Shared::new(bytes_max));
        shared.random.set(seed & 0xffff_ffff_ffff);
        shared.memory.enter();
        let memory = (&raw const *shared).cast_mut().cast();
        // SAFETY: the allocator is given what it expects, and the box outlives the state.
        let state = unsafe { ffi::lua_newstate(crate::memory::allocate, memory) };
        assert!(!state.is_null(), "memory is not refused while an interpreter is made");
        let lua = Lua(state);
        sandbox::open(lua, kind);
        // The shared globals are left on the stack.
        let globals = lua.keep();
        lua.push_function(native(place_error), 0);
        let handler = lua.keep();
        lua.set_top(0);
        // SAFETY: the hook may throw, as hooks may.
        unsafe { ffi::lua_sethook(state, Some(look), ffi::LUA_MASKCOUNT, INSTRUCTIONS) };
        shared.memory.leave();
        let (keys, arguments) = (List::named(c"KEYS"), List::named(c"ARGV"));
        Interpreter { lua, shared, kind, globals, handler, keys, arguments, compiled: Cell::new(0) }
    }

    /// Bytes that it takes.
    pub fn used_bytes(&self) -> usize {
        self.shared.memory.used()
    }

    /// Compiles a source without its header.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn compile(&mut self, source: &[u8]) -> Result<Compiled, Vec<u8>> {
        self.native(|this| {
            let lua = this.lua;
            if lua.compile(source, this.kind.source_name()) {
                if !may_set_globals(&lua.code()) {
                    this.show_shared_globals();
                }
                return Ok(Compiled(lua.keep()));
            }
            let text = lua.bytes(-1).unwrap_or_default().to_vec();
            lua.pop(1);
            Err(text)
        })
        .inspect(|_| self.collect_some())
    }

    /// Collects a part of what compiling leaves, now and then. The collector's own pace is that of scripts, of which nothing
    /// stays: what stays of these would let it wait for as much again.
    fn collect_some(&self) {
        const ROUND: u32 = 50;
        const KILOBYTES: c_int = 50;
        self.compiled.set((self.compiled.get() + 1) % ROUND);
        if self.compiled.get() == 0 {
            // SAFETY: nothing that is collected runs code.
            unsafe { ffi::lua_gc(self.lua.0, ffi::LUA_GCSTEP, KILOBYTES) };
        }
    }

    /// Forgets something compiled.
    pub fn forget(&mut self, compiled: Compiled) {
        self.native(|this| this.lua.forget(compiled.0));
    }

    /// Runs the code of a library, which registers functions.
    ///
    /// # Errors
    /// What is wrong with the code, or what it has failed with.
    pub fn load(&mut self, code: &[u8], host: &mut dyn Host) -> Result<Vec<(Registered, Compiled)>, Vec<u8>> {
        self.native(|this| {
            let lua = this.lua;
            show_globals(lua, true);
            let result = this.load_shown(code, host);
            show_globals(lua, false);
            lua.set_top(0);
            result
        })
        .inspect(|_| self.collect_some())
    }

    fn load_shown(&self, code: &[u8], host: &mut dyn Host) -> Result<Vec<(Registered, Compiled)>, Vec<u8>> {
        let lua = self.lua;
        if !lua.compile(code, self.kind.source_name()) {
            let text = lua.bytes(-1).unwrap_or_default();
            return Err([b"Error compiling function: ", text].concat());
        }
        let sets_globals = may_set_globals(&lua.code());
        self.shared.begin();
        self.shared.loading.replace(Some(Loading::default()));
        let called = self.shared.hosted(host, || lua.call(0, 0, 0));
        let Loading(functions) = self.shared.loading.take().unwrap_or_default();
        if !sets_globals {
            for (_, kept) in &functions {
                lua.raw_get_at(crate::lua::REGISTRY, *kept);
                self.show_shared_globals();
                lua.pop(1);
            }
        }
        let functions = functions.into_iter().map(|(registered, kept)| (registered, Compiled(kept)));
        if called.is_ok() {
            return Ok(functions.collect());
        }
        functions.for_each(|(_, Compiled(kept))| lua.forget(kept));
        Err([b"Error registering functions: ", &self.told().text[..]].concat())
    }

    /// Runs something compiled, under a name that errors tell, with keys and arguments.
    pub fn run<'a>(
        &mut self,
        compiled: &Compiled,
        name: &str,
        keys: impl ExactSizeIterator<Item = &'a [u8]>,
        arguments: impl ExactSizeIterator<Item = &'a [u8]>,
        host: &mut dyn Host,
        reply: &mut Reply<'_>,
    ) -> Ended {
        self.native(|this| {
            let (lua, shared) = (this.lua, &*this.shared);
            shared.begin();
            lua.raw_get_at(crate::lua::REGISTRY, this.handler);
            match this.kind {
                Kind::Scripts => {
                    this.show_list(&this.keys, keys);
                    this.show_list(&this.arguments, arguments);
                    lua.raw_get_at(crate::lua::REGISTRY, compiled.0);
                }
                Kind::Functions => {
                    lua.raw_get_at(crate::lua::REGISTRY, compiled.0);
                    push_list(lua, keys, 0);
                    push_list(lua, arguments, 0);
                }
            }
            let given = lua.top() - 2;
            let ended = shared.hosted(host, || match lua.call(given, 1, 1) {
                Err(_) => this.failed(name),
                Ok(()) if shared.ending.get() == Some(Ending::Again) => Ended::Again,
                Ok(()) => this.write_result(reply, name),
            });
            lua.set_top(0);
            if shared.collector_changed.take() {
                this.reset_collector();
            }
            if shared.memory.left() < shared.memory.used() {
                // What is left of a big script must not be what the next one lacks.
                // SAFETY: nothing that is collected runs code.
                unsafe { ffi::lua_gc(lua.0, ffi::LUA_GCCOLLECT, 0) };
            }
            ended
        })
    }

    /// Gives the function on top of the stack, which sets none, the shared globals.
    fn show_shared_globals(&self) {
        self.lua.raw_get_at(crate::lua::REGISTRY, self.globals);
        self.lua.set_globals();
    }

    /// Makes a list the value of its global.
    fn show_list<'a>(&self, list: &List, items: impl ExactSizeIterator<Item = &'a [u8]>) {
        let (lua, len) = (self.lua, items.len());
        match list.kept.take() {
            Some((kept, len_before)) if len <= WORDS_KEPT_MAX => {
                lua.raw_get_at(crate::lua::REGISTRY, kept);
                put_items(lua, items);
                for index in len + 1..=len_before {
                    lua.push_nil();
                    lua.raw_set_at(-2, index as c_int);
                }
                if has_just(lua, len) {
                    list.kept.set(Some((kept, len)));
                    return lua.pop(1);
                }
                lua.forget(kept);
                lua.table(len.max(WORDS_KEPT_MAX), 0);
                for index in 1..=len as c_int {
                    lua.raw_get_at(-2, index);
                    lua.raw_set_at(-2, index);
                }
                lua.remove(-2);
            }
            before => {
                if let Some((kept, _)) = before {
                    lua.forget(kept);
                }
                push_list(lua, items, WORDS_KEPT_MAX);
            }
        }
        if len <= WORDS_KEPT_MAX {
            lua.copy(-1);
            list.kept.set(Some((lua.keep(), len)));
        }
        lua.raw_get_at(crate::lua::REGISTRY, self.globals);
        lua.insert(-2);
        lua.set_field(-2, list.name);
        lua.pop(1);
    }

    /// The result is on top of the stack.
    fn write_result(&self, reply: &mut Reply<'_>, name: &str) -> Ended {
        let lua = self.lua;
        if lua.kind(-1) == TABLE && lua.field(-1, c"err") == crate::lua::STRING {
            lua.pop(1);
            let told = read_error(lua);
            return Ended::Failed(ScriptError { text: told.text, is_counted: told.is_counted });
        }
        lua.set_top(2);
        if write_value(lua, reply, 0).is_err() {
            reply.restart();
            lua.push_ending();
            return self.failed(name);
        }
        Ended::Written
    }

    /// The error is on top of the stack.
    fn failed(&self, name: &str) -> Ended {
        if self.shared.ending.get() == Some(Ending::Again) {
            return Ended::Again;
        }
        if self.lua.kind(-1) != TABLE {
            let error = self.lua.bytes(-1).unwrap_or(b"execution failure");
            let error = &error[..error.len().min(100)];
            let text = [b"ERR Error running script ", name.as_bytes(), b", ", error].concat();
            return Ended::Failed(ScriptError { text, is_counted: false });
        }
        let Told { mut text, place, is_counted } = read_error(self.lua);
        if let Some((source, line)) = place {
            for part in [b" script: ", name.as_bytes(), b", on ", &source, b":", &line, b"."] {
                text.extend_from_slice(part);
            }
        }
        Ended::Failed(ScriptError { text, is_counted })
    }

    /// The error on top of the stack of code without a name.
    fn told(&self) -> Told {
        if self.lua.kind(-1) == TABLE {
            return read_error(self.lua);
        }
        let text = [b"ERR ", self.lua.bytes(-1).unwrap_or(b"unknown error")].concat();
        Told { text, place: None, is_counted: false }
    }

    /// Collects as a new interpreter does, whatever a script has asked for.
    fn reset_collector(&self) {
        const DEFAULT_PERCENT: c_int = 200;
        for (what, value) in [
            (ffi::LUA_GCRESTART, 0),
            (ffi::LUA_GCSETPAUSE, DEFAULT_PERCENT),
            (ffi::LUA_GCSETSTEPMUL, DEFAULT_PERCENT),
        ] {
            // SAFETY: it collects at most, and nothing that is collected runs code.
            unsafe { ffi::lua_gc(self.lua.0, what, value) };
        }
    }

    /// Runs what is not refused memory.
    fn native<R>(&mut self, act: impl FnOnce(&Interpreter) -> R) -> R {
        struct Leave<'a>(&'a Shared);
        impl Drop for Leave<'_> {
            fn drop(&mut self) {
                self.0.memory.leave();
            }
        }
        self.shared.memory.enter();
        let _leave = Leave(&self.shared);
        act(self)
    }
}

impl Drop for Interpreter {
    fn drop(&mut self) {
        // SAFETY: it is not used again.
        unsafe { ffi::lua_close(self.lua.0) };
    }
}

impl Shared {
    /// Forgets what a script before has left.
    fn begin(&self) {
        self.ending.set(None);
        self.resp3.set(false);
        if self.json_changed.replace(false) {
            *self.json.borrow_mut() = Default::default();
        }
    }
}

/// Pushes a list with room for so many words at least.
fn push_list<'a>(lua: Lua, items: impl ExactSizeIterator<Item = &'a [u8]>, room: usize) {
    lua.table(items.len().max(room), 0);
    put_items(lua, items);
}

fn put_items<'a>(lua: Lua, items: impl Iterator<Item = &'a [u8]>) {
    for (index, item) in items.enumerate() {
        lua.push_bytes(item);
        lua.raw_set_at(-2, index as c_int + 1);
    }
}

/// Whether the table on top of the stack is like a new one with so many elements: has no metatable, and these, in their
/// order, and nothing else.
fn has_just(lua: Lua, len: usize) -> bool {
    if lua.meta_table(-1) {
        lua.pop(1);
        return false;
    }
    let mut count = 0;
    lua.push_nil();
    while lua.next(-2) {
        lua.pop(1);
        count += 1;
        if lua.kind(-1) != crate::lua::NUMBER || lua.number(-1) != Some(count as f64) {
            lua.pop(1);
            return false;
        }
    }
    count == len
}

/// Makes a table of an error, and writes the place into it where it was raised.
fn place_error(lua: Lua) -> Outcome {
    lua.set_top(1);
    if lua.kind(1) != TABLE {
        let text = match lua.kind(1) {
            crate::lua::BOOLEAN if lua.boolean(1) => b"true",
            crate::lua::BOOLEAN => &b"false"[..],
            crate::lua::NIL => b"nil",
            _ => lua.bytes(1).unwrap_or_default(),
        };
        let text = match text {
            [] if lua.kind(1) != crate::lua::STRING => lua.kind_name(1).into_bytes(),
            text => text.to_vec(),
        };
        lua.table(0, 3);
        lua.push_bytes(&[b"ERR ", &text[..]].concat());
        lua.set_field(-2, c"err");
        lua.replace(1);
    }
    if let Some((source, line)) = place(lua) {
        lua.push_bytes(&source);
        lua.set_field(1, c"source");
        lua.push_number(f64::from(line));
        lua.set_field(1, c"line");
    }
    lua.set_top(1);
    Ok(1)
}

/// Source and line of what has raised an error; of its caller where that is a native function.
fn place(lua: Lua) -> Option<(Vec<u8>, c_int)> {
    let level = |level: c_int| {
        let mut about = std::mem::MaybeUninit::<ffi::lua_Debug>::zeroed();
        // SAFETY: the structure is filled where the level exists; texts live as long as the function they are about.
        unsafe {
            if ffi::lua_getstack(lua.0, level, about.as_mut_ptr()) == 0 {
                return None;
            }
            ffi::lua_getinfo(lua.0, c"Sl".as_ptr(), about.as_mut_ptr());
            let about = about.assume_init();
            let is_native = CStr::from_ptr(about.what).to_bytes() == b"C";
            Some((is_native, CStr::from_ptr(about.source).to_bytes().to_vec(), about.currentline))
        }
    };
    let (is_native, source, line) = level(1)?;
    if !is_native {
        return Some((source, line));
    }
    level(2).map(|(_, source, line)| (source, line))
}

/// Looks at the host every so many instructions.
unsafe extern "C-unwind" fn look(state: *mut State, _: *mut ffi::lua_Debug) {
    let lua = Lua(state);
    let shared = lua.shared();
    // A panic ends the script here: it must not go through the interpreter's frames.
    let goes_on = catch_unwind(AssertUnwindSafe(|| shared.tick().is_ok())).unwrap_or_else(|_| {
        shared.ending.set(Some(Ending::Error(PANICKED)));
        false
    });
    if !goes_on {
        lua.push_ending();
        // SAFETY: nothing is left to be dropped, and the error is on the stack.
        unsafe { ffi::lua_error(state) }
    }
}
