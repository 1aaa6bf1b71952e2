//! The interpreters of this thread, made when they are first needed, and what they have compiled.
//!
//! A thread notices by counters of `server::scripts` that all scripts or functions were removed: with them goes the
//! interpreter. One that is gone by itself is forgotten when it is next met, or at a tick.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use swytch_resp::Output;
use swytch_script::{Compiled, Header, Interpreter, Kind, Registered, sha1_hex};

use super::host::LoadingHost;
use super::{INTERPRETER_BYTES_MAX, NO_SCRIPT, Named, SHA_LEN};
use crate::command::{CommandError, CommandResult};
use crate::dispatch::inner;
use crate::dispatch::scope::busy;
use crate::server::scripts::{Function, Library, Script, folded};
use crate::server::{Conditions, Server};

/// Memory that the runs of a thread share.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    /// Of the commands that a script calls.
    pub(super) commands: inner::Buffers,
    /// Of what a script returns.
    pub(super) result: Output,
}

/// An interpreter with the bytes of it that are counted.
struct Counted {
    interpreter: Interpreter,
    kind: Kind,
    bytes: i64,
}

impl Counted {
    fn new(kind: Kind) -> Counted {
        let mut seed = [0; 8];
        // Without random numbers of the system scripts draw those of a fixed beginning.
        let _ = getrandom::fill(&mut seed);
        let interpreter = Interpreter::new(kind, INTERPRETER_BYTES_MAX, u64::from_le_bytes(seed));
        Counted { interpreter, kind, bytes: 0 }
    }

    /// Counts its memory.
    fn count(&mut self, server: &Server) {
        let bytes = self.interpreter.used_bytes() as i64;
        if bytes != self.bytes {
            server.scripts.count_interpreter(self.kind == Kind::Functions, bytes - self.bytes);
        }
        self.bytes = bytes;
    }

    /// Counts it no more.
    fn discount(&self, server: &Server) {
        server.scripts.count_interpreter(self.kind == Kind::Functions, -self.bytes);
    }
}

/// Things with places that they keep.
struct Places<T> {
    things: Vec<Option<T>>,
    free: Vec<usize>,
}

impl<T> Default for Places<T> {
    fn default() -> Self {
        Places { things: Vec::new(), free: Vec::new() }
    }
}

impl<T> Places<T> {
    fn put(&mut self, thing: T) -> usize {
        let at = self.free.pop().unwrap_or(self.things.len());
        if at == self.things.len() {
            self.things.push(None);
        }
        self.things[at] = Some(thing);
        at
    }

    fn get(&self, at: usize) -> Option<&T> {
        self.things.get(at)?.as_ref()
    }

    fn take(&mut self, at: usize) -> Option<T> {
        let thing = self.things.get_mut(at)?.take()?;
        self.free.push(at);
        Some(thing)
    }
}

/// A script or function that is compiled here.
type Entry<T> = (Arc<T>, Compiled);

/// The name of a script: a SHA-1 in hexadecimal.
type Name = [u8; SHA_LEN];

/// Hashes names of scripts, which are hashes: only those of sources that somebody has sent are kept, and none can be
/// chosen.
#[derive(Clone, Copy, Debug, Default)]
struct NameHasher(u64);

impl Hasher for NameHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        // Sixteen digits, of which four bits each differ.
        if let Some((first, rest)) = bytes.split_first_chunk::<8>() {
            let next = rest.first_chunk::<8>().map_or(0, |next| u64::from_le_bytes(*next));
            self.0 = (u64::from_le_bytes(*first) ^ next.rotate_left(4)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
    }
}

/// Scripts of this thread.
#[derive(Default)]
struct Scripts {
    counted: Option<Counted>,
    entries: Places<Entry<Script>>,
    by_name: HashMap<Name, usize, BuildHasherDefault<NameHasher>>,
    /// Names by sources: no SHA-1 is computed of one that was sent before.
    names: HashMap<Arc<[u8]>, Name>,
    flushes: u64,
    buffers: Buffers,
}

/// Functions of this thread.
#[derive(Default)]
struct Functions {
    counted: Option<Counted>,
    entries: Places<Entry<Function>>,
    /// By their names in lower case.
    by_name: HashMap<Vec<u8>, usize>,
    flushes: u64,
    changes: u64,
    buffers: Buffers,
}

thread_local! {
    static SCRIPTS: RefCell<Scripts> = RefCell::default();
    static FUNCTIONS: RefCell<Functions> = RefCell::default();
}

/// The answer to a script that wants to run a script.
const NESTED: &str = "ERR a script can not run another one";

/// The error where this thread runs a script already: by that script, or by another client while it runs for too long.
fn occupied(server: &Server) -> CommandError {
    if server.conditions().contains(Conditions::OVERDUE) { busy(server) } else { CommandError::text(NESTED) }
}

/// The place of a script, compiled here; it is added to the server's where it is sent for the first time.
///
/// # Errors
/// Why there is none.
pub(super) fn find_script(
    server: &Server,
    argument: &[u8],
    named: Named,
) -> Result<(usize, bool), CommandError> {
    SCRIPTS.with(|scripts| {
        let mut scripts = scripts.try_borrow_mut().map_err(|_| occupied(server))?;
        scripts.notice_flush(server);
        let at = scripts.find(server, argument, named)?;
        let is_wide = |(script, _): &Entry<Script>| script.is_wide.load(Ordering::Relaxed);
        Ok((at, scripts.entries.get(at).is_some_and(is_wide)))
    })
}

/// The place of a function, loaded here.
///
/// # Errors
/// Why there is none.
pub(super) fn find_function(server: &Server, name: &[u8]) -> Result<(usize, bool), CommandError> {
    FUNCTIONS.with(|functions| {
        let mut functions = functions.try_borrow_mut().map_err(|_| occupied(server))?;
        functions.notice_flush(server);
        let at = functions.find(server, name)?;
        let is_wide = |(function, _): &Entry<Function>| function.is_wide.load(Ordering::Relaxed);
        Ok((at, functions.entries.get(at).is_some_and(is_wide)))
    })
}

/// A script or function with its interpreter, to be run.
pub(super) type Ready<'f, T> = (&'f mut Interpreter, &'f Compiled, &'f Arc<T>, &'f mut Buffers);

/// Lets `act` have the script at a place.
pub(super) fn with_script(
    server: &Server,
    at: usize,
    act: impl FnOnce(Ready<'_, Script>) -> CommandResult,
) -> CommandResult {
    SCRIPTS.with(|scripts| {
        let mut scripts = scripts.try_borrow_mut().map_err(|_| occupied(server))?;
        let Scripts { counted, entries, buffers, .. } = &mut *scripts;
        with(server, counted, entries.get(at), buffers, act)
            .unwrap_or_else(|| Err(CommandError::text(NO_SCRIPT)))
    })
}

/// Lets `act` have the function at a place.
pub(super) fn with_function(
    server: &Server,
    at: usize,
    act: impl FnOnce(Ready<'_, Function>) -> CommandResult,
) -> CommandResult {
    FUNCTIONS.with(|functions| {
        let mut functions = functions.try_borrow_mut().map_err(|_| occupied(server))?;
        let Functions { counted, entries, buffers, .. } = &mut *functions;
        with(server, counted, entries.get(at), buffers, act)
            .unwrap_or_else(|| Err(CommandError::text(NO_FUNCTION)))
    })
}

fn with<T>(
    server: &Server,
    counted: &mut Option<Counted>,
    entry: Option<&Entry<T>>,
    buffers: &mut Buffers,
    act: impl FnOnce(Ready<'_, T>) -> CommandResult,
) -> Option<CommandResult> {
    let (counted, (runs, compiled)) = (counted.as_mut()?, entry?);
    let result = act((&mut counted.interpreter, compiled, runs, buffers));
    counted.count(server);
    Some(result)
}

/// Adds a script to the server's, to stay; its name.
///
/// # Errors
/// What is wrong with it.
pub(super) fn load(server: &Server, source: &[u8]) -> Result<String, CommandError> {
    SCRIPTS.with(|scripts| {
        let mut scripts = scripts.try_borrow_mut().map_err(|_| occupied(server))?;
        scripts.notice_flush(server);
        let name = name_of(source);
        match server.scripts.get(text(&name)) {
            Some(script) => script.keep(),
            None => {
                scripts.compile(server, &name, source, false)?;
                if let Some(counted) = &mut scripts.counted {
                    counted.count(server);
                }
            }
        }
        Ok(text(&name).to_owned())
    })
}

impl Scripts {
    /// Begins anew where all scripts were removed.
    fn notice_flush(&mut self, server: &Server) {
        let flushes = server.scripts.flushes.load(Ordering::Acquire);
        if flushes != self.flushes {
            if let Some(counted) = &self.counted {
                counted.discount(server);
            }
            *self = Scripts { flushes, ..Scripts::default() };
        }
    }

    /// The place of a script that is compiled here.
    fn find(&mut self, server: &Server, argument: &[u8], named: Named) -> Result<usize, CommandError> {
        let name = match named {
            Named::BySource => self.names.get(argument).copied().unwrap_or_else(|| name_of(argument)),
            Named::BySha => {
                let mut name = Name::try_from(argument).map_err(|_| CommandError::text(NO_SCRIPT))?;
                name.make_ascii_lowercase();
                name
            }
        };
        if let Some(&at) = self.by_name.get(&name) {
            if self.entries.get(at).is_some_and(|(script, _)| !script.is_gone.load(Ordering::Acquire)) {
                return Ok(at);
            }
            self.forget(at);
        }
        match named {
            Named::BySource => self.compile(server, &name, argument, true),
            Named::BySha => {
                let script = server.scripts.get(text(&name)).ok_or_else(|| CommandError::text(NO_SCRIPT))?;
                self.compile(server, &name, &script.source, true)
            }
        }
    }

    fn forget(&mut self, at: usize) {
        if let Some((script, compiled)) = self.entries.take(at) {
            self.by_name.remove(script.name.as_bytes());
            self.names.remove(&script.source);
            if let Some(counted) = &mut self.counted {
                counted.interpreter.forget(compiled);
            }
        }
    }

    /// Compiles a source and adds it to the server's scripts, unless it is there; its place.
    fn compile(
        &mut self,
        server: &Server,
        name: &Name,
        source: &[u8],
        is_evaluated: bool,
    ) -> Result<usize, CommandError> {
        let header = Header::of_script(source).map_err(|text| CommandError::owned(format!("ERR {text}")))?;
        let counted = self.counted.get_or_insert_with(|| Counted::new(Kind::Scripts));
        let compiled = counted.interpreter.compile(&source[header.len..]).map_err(|text| {
            CommandError::owned([b"ERR Error compiling script (new function): ", &text[..]].concat())
        })?;
        let script = server.scripts.add(text(name), source, header, is_evaluated);
        self.drop_those_gone();
        self.names.insert(Arc::clone(&script.source), *name);
        let at = self.entries.put((script, compiled));
        self.by_name.insert(*name, at);
        Ok(at)
    }

    /// Now and then forgets scripts that are gone, so that a thread keeps no more than the server.
    fn drop_those_gone(&mut self) {
        const ROUND: usize = 256;
        if self.by_name.len() % ROUND != ROUND - 1 {
            return;
        }
        for at in 0..self.entries.things.len() {
            if self.entries.get(at).is_some_and(|(script, _)| script.is_gone.load(Ordering::Acquire)) {
                self.forget(at);
            }
        }
    }
}

fn name_of(source: &[u8]) -> Name {
    Name::try_from(sha1_hex(source).as_bytes()).expect("a SHA-1 has this many digits")
}

fn text(name: &Name) -> &str {
    // What is no text is the name of nothing.
    std::str::from_utf8(name).unwrap_or_default()
}

const NO_FUNCTION: &str = "ERR Function not found";

/// What a library registers when it is loaded: here, now. `keep` makes the library of it, or has a reason against it.
///
/// # Errors
/// What is wrong with its code, and that reason.
pub(super) fn load_library(
    server: &Server,
    code: &[u8],
    keep: impl FnOnce(Vec<Registered>) -> Result<Option<Arc<Library>>, String>,
) -> Result<(), String> {
    FUNCTIONS.with(|functions| {
        let mut functions = functions.try_borrow_mut().map_err(|_| NESTED.to_owned())?;
        functions.notice_flush(server);
        let registered = functions.run(code)?;
        let kept = keep(registered.iter().map(|(registered, _)| registered.clone()).collect());
        match &kept {
            Ok(Some(library)) => functions.insert(library, registered),
            _ => functions.forget_all(registered.into_iter().map(|(_, compiled)| compiled)),
        }
        if let Some(counted) = &mut functions.counted {
            counted.count(server);
        }
        kept.map(drop)
    })
}

impl Functions {
    /// Begins anew where all functions were removed.
    fn notice_flush(&mut self, server: &Server) {
        let flushes = server.scripts.function_flushes.load(Ordering::Acquire);
        if flushes != self.flushes {
            if let Some(counted) = &self.counted {
                counted.discount(server);
            }
            *self = Functions { flushes, ..Functions::default() };
        }
    }

    /// Forgets functions that are gone.
    fn drop_those_gone(&mut self, server: &Server) {
        let changes = server.scripts.library_changes.load(Ordering::Acquire);
        if changes == self.changes {
            return;
        }
        self.changes = changes;
        for at in 0..self.entries.things.len() {
            if self.entries.get(at).is_some_and(|(function, _)| function.is_gone.load(Ordering::Acquire)) {
                self.forget(at);
            }
        }
    }

    fn forget(&mut self, at: usize) {
        if let Some((function, compiled)) = self.entries.take(at) {
            let name = folded(function.name.as_bytes());
            // Another library may have a function of that name meanwhile.
            if self.by_name.get(&*name) == Some(&at) {
                self.by_name.remove(&*name);
            }
            self.forget_all(std::iter::once(compiled));
        }
    }

    fn forget_all(&mut self, compiled: impl Iterator<Item = Compiled>) {
        if let Some(counted) = &mut self.counted {
            compiled.for_each(|compiled| counted.interpreter.forget(compiled));
        }
    }

    /// The place of a function, loaded here.
    fn find(&mut self, server: &Server, name: &[u8]) -> Result<usize, CommandError> {
        let name = &*folded(name);
        if let Some(&at) = self.by_name.get(name) {
            if self.entries.get(at).is_some_and(|(function, _)| !function.is_gone.load(Ordering::Acquire)) {
                return Ok(at);
            }
            self.forget(at);
        }
        let libraries = server.scripts.libraries();
        let (library, _) = libraries.function(name).ok_or_else(|| CommandError::text(NO_FUNCTION))?;
        let code = &library.source[library.header_bytes..];
        let registered = self.run(code).map_err(|text| CommandError::owned(format!("ERR {text}")))?;
        self.insert(library, registered);
        self.by_name.get(name).copied().ok_or_else(|| CommandError::text(NO_FUNCTION))
    }

    fn run(&mut self, code: &[u8]) -> Result<Vec<(Registered, Compiled)>, String> {
        let counted = self.counted.get_or_insert_with(|| Counted::new(Kind::Functions));
        let loaded = counted.interpreter.load(code, &mut LoadingHost::new());
        loaded.map_err(|text| String::from_utf8_lossy(&text).into_owned())
    }

    fn insert(&mut self, library: &Arc<Library>, registered: Vec<(Registered, Compiled)>) {
        for (registered, compiled) in registered {
            match library.functions.iter().find(|function| function.name == registered.name) {
                Some(function) => {
                    let at = self.entries.put((Arc::clone(function), compiled));
                    let name = registered.name.to_ascii_lowercase().into_bytes();
                    if let Some(gone) = self.by_name.insert(name, at) {
                        self.forget(gone);
                    }
                }
                None => self.forget_all(std::iter::once(compiled)),
            }
        }
    }
}

/// Gives the memory back that this thread has of what was removed. To be called now and then.
pub fn forget_removed(server: &Server) {
    SCRIPTS.with(|scripts| {
        if let Ok(mut scripts) = scripts.try_borrow_mut() {
            scripts.notice_flush(server);
        }
    });
    FUNCTIONS.with(|functions| {
        if let Ok(mut functions) = functions.try_borrow_mut() {
            functions.notice_flush(server);
            functions.drop_those_gone(server);
        }
    });
}
