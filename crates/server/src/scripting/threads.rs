//! The interpreters of this thread, made when they are first needed, and what they have compiled.
//!
//! A thread notices by counters of `server::scripts` that scripts or functions were removed: with all of them goes the
//! interpreter. One that is gone by itself is forgotten when it is next met.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use swytch_resp::Output;
use swytch_script::{Compiled, Header, Interpreter, Kind, Registered, sha1_hex};

use super::host::LoadingHost;
use super::{INTERPRETER_BYTES_MAX, NO_SCRIPT, Named, SHA_LEN};
use crate::command::CommandError;
use crate::dispatch::inner;
use crate::server::Server;
use crate::server::scripts::{Function, Library, Script};

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

/// A script that is compiled here.
struct Entry {
    script: Arc<Script>,
    compiled: Compiled,
}

/// Scripts of this thread.
#[derive(Default)]
struct Scripts {
    counted: Option<Counted>,
    entries: HashMap<String, Entry>,
    /// Names of scripts by their sources: no SHA-1 is computed of one that was sent before.
    names: HashMap<Arc<[u8]>, String>,
    flushes: u64,
    buffers: Buffers,
}

/// A library that is loaded here.
struct Loaded {
    library: Arc<Library>,
    functions: HashMap<String, (Arc<Function>, Compiled)>,
}

/// Functions of this thread.
#[derive(Default)]
struct Functions {
    counted: Option<Counted>,
    libraries: HashMap<String, Loaded>,
    /// Names of libraries by those of their functions.
    by_function: HashMap<Vec<u8>, String>,
    flushes: u64,
    changes: u64,
    buffers: Buffers,
}

thread_local! {
    static SCRIPTS: RefCell<Scripts> = RefCell::default();
    static FUNCTIONS: RefCell<Functions> = RefCell::default();
}

/// A script or function that was found, with its interpreter.
pub(super) type Found<'f, T> = Result<(&'f mut Interpreter, &'f Compiled, &'f Arc<T>), CommandError>;

/// The answer to a script that wants to run a script.
const NESTED: &str = "ERR a script can not run another one";

/// Lets `act` have a script, compiled; it is added to the server's where it is sent for the first time.
pub(super) fn with_script<R>(
    server: &Server,
    argument: &[u8],
    named: Named,
    act: impl FnOnce(Found<'_, Script>, &mut Buffers) -> R,
) -> R {
    SCRIPTS.with(|scripts| {
        let Ok(mut scripts) = scripts.try_borrow_mut() else {
            return act(Err(CommandError::text(NESTED)), &mut Buffers::default());
        };
        let scripts = &mut *scripts;
        scripts.notice_flush(server);
        let found = scripts.find(server, argument, named);
        let Scripts { counted, entries, buffers, .. } = scripts;
        let result = match found {
            Ok(name) => match (counted.as_mut(), entries.get(&name)) {
                (Some(counted), Some(Entry { script, compiled })) => {
                    act(Ok((&mut counted.interpreter, compiled, script)), buffers)
                }
                _ => act(Err(CommandError::text(NO_SCRIPT)), buffers),
            },
            Err(error) => act(Err(error), buffers),
        };
        if let Some(counted) = counted {
            counted.count(server);
        }
        result
    })
}

/// Adds a script to the server's, to stay; its name.
///
/// # Errors
/// What is wrong with it.
pub(super) fn load(server: &Server, source: &[u8]) -> Result<String, CommandError> {
    SCRIPTS.with(|scripts| {
        let mut scripts = scripts.try_borrow_mut().map_err(|_| CommandError::text(NESTED))?;
        scripts.notice_flush(server);
        let name = sha1_hex(source);
        if server.scripts.get(&name).is_none() {
            scripts.compile(server, &name, source, false)?;
        }
        Ok(name)
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

    /// The name of a script that is compiled here.
    fn find(&mut self, server: &Server, argument: &[u8], named: Named) -> Result<String, CommandError> {
        let name = match named {
            Named::BySource => match self.names.get(argument) {
                Some(name) => name.clone(),
                None => sha1_hex(argument),
            },
            Named::BySha if argument.len() == SHA_LEN => {
                String::from_utf8_lossy(argument).to_ascii_lowercase()
            }
            Named::BySha => return Err(CommandError::text(NO_SCRIPT)),
        };
        if let Some(entry) = self.entries.get(&name) {
            if !entry.script.is_gone.load(Ordering::Acquire) {
                return Ok(name);
            }
            self.forget(&name);
        }
        match named {
            Named::BySource => self.compile(server, &name, argument, true)?,
            Named::BySha => {
                let script = server.scripts.get(&name).ok_or_else(|| CommandError::text(NO_SCRIPT))?;
                self.compile(server, &name, &script.source, true)?;
            }
        }
        Ok(name)
    }

    fn forget(&mut self, name: &str) {
        if let Some(Entry { script, compiled }) = self.entries.remove(name) {
            self.names.remove(&script.source);
            if let Some(counted) = &mut self.counted {
                counted.interpreter.forget(compiled);
            }
        }
    }

    /// Compiles a source and adds it to the server's scripts, unless it is there.
    fn compile(
        &mut self,
        server: &Server,
        name: &str,
        source: &[u8],
        is_evaluated: bool,
    ) -> Result<(), CommandError> {
        let header = Header::of_script(source).map_err(|text| CommandError::owned(format!("ERR {text}")))?;
        let counted = self.counted.get_or_insert_with(|| Counted::new(Kind::Scripts));
        let compiled = counted.interpreter.compile(&source[header.len..]).map_err(|text| {
            CommandError::owned([b"ERR Error compiling script (new function): ", &text[..]].concat())
        })?;
        let script = server.scripts.add(name, source, header, is_evaluated);
        self.drop_those_gone();
        self.names.insert(Arc::clone(&script.source), name.to_owned());
        self.entries.insert(name.to_owned(), Entry { script, compiled });
        Ok(())
    }

    /// Now and then forgets scripts that are gone, so that a thread keeps no more than the server.
    fn drop_those_gone(&mut self) {
        const ROUND: usize = 256;
        if self.entries.len() % ROUND != ROUND - 1 {
            return;
        }
        let is_gone = |entry: &Entry| entry.script.is_gone.load(Ordering::Acquire);
        let gone: Vec<String> =
            self.entries.iter().filter(|(_, entry)| is_gone(entry)).map(|(name, _)| name.clone()).collect();
        gone.iter().for_each(|name| self.forget(name));
    }
}

/// Lets `act` have a function, loaded here.
pub(super) fn with_function<R>(
    server: &Server,
    name: &[u8],
    act: impl FnOnce(Found<'_, Function>, &mut Buffers) -> R,
) -> R {
    FUNCTIONS.with(|functions| {
        let Ok(mut functions) = functions.try_borrow_mut() else {
            return act(Err(CommandError::text(NESTED)), &mut Buffers::default());
        };
        let functions = &mut *functions;
        functions.notice_changes(server);
        let library = functions.find(server, name);
        let Functions { counted, libraries, buffers, .. } = functions;
        let found = library.and_then(|library| {
            let function =
                std::str::from_utf8(name).ok().and_then(|name| libraries.get(&library)?.functions.get(name));
            match (counted.as_mut(), function) {
                (Some(counted), Some((function, compiled))) => {
                    Ok((&mut counted.interpreter, compiled, function))
                }
                _ => Err(CommandError::text(NO_FUNCTION)),
            }
        });
        let result = act(found, buffers);
        if let Some(counted) = counted {
            counted.count(server);
        }
        result
    })
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
        functions.notice_changes(server);
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
    /// Begins anew where all functions were removed, and forgets libraries that are others now.
    fn notice_changes(&mut self, server: &Server) {
        let flushes = server.scripts.function_flushes.load(Ordering::Acquire);
        if flushes != self.flushes {
            if let Some(counted) = &self.counted {
                counted.discount(server);
            }
            *self = Functions { flushes, ..Functions::default() };
        }
        let changes = server.scripts.library_changes.load(Ordering::Acquire);
        if changes == self.changes {
            return;
        }
        self.changes = changes;
        let now = server.scripts.libraries();
        let stays = |name: &str, loaded: &Loaded| {
            now.get(name).is_some_and(|library| Arc::ptr_eq(library, &loaded.library))
        };
        let changed: Vec<String> = self
            .libraries
            .iter()
            .filter(|(name, loaded)| !stays(name, loaded))
            .map(|(name, _)| name.clone())
            .collect();
        for name in changed {
            if let Some(loaded) = self.libraries.remove(&name) {
                self.forget_all(loaded.functions.into_values().map(|(_, compiled)| compiled));
            }
        }
        self.by_function.clear();
    }

    fn forget_all(&mut self, compiled: impl Iterator<Item = Compiled>) {
        if let Some(counted) = &mut self.counted {
            compiled.for_each(|compiled| counted.interpreter.forget(compiled));
        }
    }

    /// The library of a function, loaded here.
    fn find(&mut self, server: &Server, name: &[u8]) -> Result<String, CommandError> {
        if let Some(library) = self.by_function.get(name) {
            return Ok(library.clone());
        }
        let libraries = server.scripts.libraries();
        let (library, _) = libraries.function(name).ok_or_else(|| CommandError::text(NO_FUNCTION))?;
        if !self.libraries.contains_key(&library.name) {
            let code = &library.source[library.header_bytes..];
            let registered = self.run(code).map_err(|text| CommandError::owned(format!("ERR {text}")))?;
            self.insert(library, registered);
        }
        self.by_function.insert(name.to_vec(), library.name.clone());
        Ok(library.name.clone())
    }

    fn run(&mut self, code: &[u8]) -> Result<Vec<(Registered, Compiled)>, String> {
        let counted = self.counted.get_or_insert_with(|| Counted::new(Kind::Functions));
        let loaded = counted.interpreter.load(code, &mut LoadingHost::new());
        loaded.map_err(|text| String::from_utf8_lossy(&text).into_owned())
    }

    fn insert(&mut self, library: &Arc<Library>, registered: Vec<(Registered, Compiled)>) {
        let mut functions = HashMap::new();
        for (registered, compiled) in registered {
            let function = library.functions.iter().find(|function| function.name == registered.name);
            match function {
                Some(function) => {
                    functions.insert(registered.name, (Arc::clone(function), compiled));
                }
                None => self.forget_all(std::iter::once(compiled)),
            }
        }
        let loaded = Loaded { library: Arc::clone(library), functions };
        if let Some(before) = self.libraries.insert(library.name.clone(), loaded) {
            self.forget_all(before.functions.into_values().map(|(_, compiled)| compiled));
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
            functions.notice_changes(server);
        }
    });
}
