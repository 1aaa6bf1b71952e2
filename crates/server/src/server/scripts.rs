//! Scripts and functions, as all threads share them: sources by their names, and what runs for too long.
//!
//! Each thread compiles what it runs for itself; here is what it compiles. What is sent with EVAL goes again when much of
//! it has come, what is loaded stays.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use swytch_script::{Header, ScriptFlags};

use crate::request::OwnedArgs;
use crate::system::clock::MonotonicMs;

/// Scripts kept of those that came with EVAL (Redis: LRU_LIST_LENGTH).
const EVALUATED_MAX: usize = 500;

/// A script.
#[derive(Debug)]
pub struct Script {
    /// Its SHA-1 in hexadecimal.
    pub name: String,
    /// Its source.
    pub source: Arc<[u8]>,
    /// What its first line says.
    pub header: Header,
    /// It has touched keys that it had not named, which were others' at that moment: it begins under all locks.
    pub is_wide: AtomicBool,
    /// It is gone from the server.
    pub is_gone: AtomicBool,
    /// It came with EVAL and was not loaded.
    is_evaluated: bool,
    /// When it was used last, in the order of uses; a number that none has before its first.
    used: AtomicU64,
}

/// A library of functions.
#[derive(Debug)]
pub struct Library {
    /// Its name.
    pub name: String,
    /// Its source, header included.
    pub source: Arc<[u8]>,
    /// Bytes of the header.
    pub header_bytes: usize,
    /// Its functions, in the order of their names.
    pub functions: Vec<Arc<Function>>,
}

/// A function.
#[derive(Debug)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// What is said of it.
    pub description: Option<Vec<u8>>,
    /// Its flags.
    pub flags: ScriptFlags,
    /// See [`Script::is_wide`].
    pub is_wide: AtomicBool,
}

/// All libraries at one moment.
#[derive(Clone, Debug, Default)]
pub struct Libraries(HashMap<String, Arc<Library>>);

impl Libraries {
    /// The library of this name.
    pub fn get(&self, name: &str) -> Option<&Arc<Library>> {
        self.0.get(name)
    }

    /// The library with the function of this name, in whatever case, and the function.
    pub fn function(&self, name: &[u8]) -> Option<(&Arc<Library>, &Arc<Function>)> {
        self.0.values().find_map(|library| {
            let is_named = |function: &&Arc<Function>| function.name.as_bytes().eq_ignore_ascii_case(name);
            let found = library.functions.iter().find(is_named)?;
            Some((library, found))
        })
    }

    /// Adds a library, in place of one of the same name.
    pub fn insert(&mut self, library: Arc<Library>) {
        self.0.insert(library.name.clone(), library);
    }

    /// Removes the library of this name; false when there is none.
    pub fn remove(&mut self, name: &str) -> bool {
        self.0.remove(name).is_some()
    }

    /// All, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Library>> {
        let mut all: Vec<_> = self.0.values().collect();
        all.sort_by(|one, other| one.name.cmp(&other.name));
        all.into_iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many functions they have.
    pub fn functions(&self) -> usize {
        self.0.values().map(|library| library.functions.len()).sum()
    }

    /// Bytes of their sources and of what is known of them.
    pub fn bytes(&self) -> usize {
        self.0
            .values()
            .map(|library| library.source.len() + library.functions.len() * size_of::<Function>())
            .sum()
    }
}

/// What is shared of scripts and functions.
#[derive(Debug, Default)]
pub struct Scripts {
    by_name: RwLock<HashMap<String, Arc<Script>>>,
    libraries: RwLock<Arc<Libraries>>,
    /// Uses of scripts that came with EVAL.
    uses: AtomicU64,
    /// Raised when all scripts are gone: threads begin anew.
    pub flushes: AtomicU64,
    /// Raised when all functions are gone.
    pub function_flushes: AtomicU64,
    /// Raised when libraries change: threads look again.
    pub library_changes: AtomicU64,
    /// Scripts that went to make room.
    pub evicted: AtomicU64,
    /// Bytes of the interpreters for scripts, and of those for functions.
    interpreter_bytes: [AtomicI64; 2],
    /// DEBUG SET-DISABLE-DENY-SCRIPTS: scripts may call anything.
    pub allow_all: AtomicBool,
    /// How many run for too long.
    overdue: Mutex<usize>,
}

impl Scripts {
    /// The script of this name.
    pub fn get(&self, name: &str) -> Option<Arc<Script>> {
        self.by_name.read().get(name).cloned()
    }

    /// Adds a script, unless it is there.
    pub fn add(&self, name: &str, source: &[u8], header: Header, is_evaluated: bool) -> Arc<Script> {
        let mut by_name = self.by_name.write();
        if let Some(script) = by_name.get(name) {
            return Arc::clone(script);
        }
        if is_evaluated {
            self.make_room(&mut by_name);
        }
        let script = Arc::new(Script {
            name: name.to_owned(),
            source: source.into(),
            header,
            is_wide: AtomicBool::new(false),
            is_gone: AtomicBool::new(false),
            is_evaluated,
            used: AtomicU64::new(u64::MAX),
        });
        self.note_use(&script);
        by_name.insert(name.to_owned(), Arc::clone(&script));
        script
    }

    /// Removes those that came with EVAL and were not used for the longest time, until there is room for one more.
    fn make_room(&self, by_name: &mut HashMap<String, Arc<Script>>) {
        let evaluated = || by_name.values().filter(|script| script.is_evaluated);
        if evaluated().count() < EVALUATED_MAX {
            return;
        }
        let oldest = evaluated().min_by_key(|script| script.used.load(Ordering::Relaxed));
        let Some(oldest) = oldest.map(|script| script.name.clone()) else { return };
        if let Some(script) = by_name.remove(&oldest) {
            script.is_gone.store(true, Ordering::Release);
            self.evicted.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A script is used.
    #[inline]
    pub fn note_use(&self, script: &Script) {
        // Of one that was the last to be used that is known: threads with the same script share no counter.
        if script.is_evaluated && script.used.load(Ordering::Relaxed) != self.uses.load(Ordering::Relaxed) {
            script.used.store(self.uses.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
        }
    }

    /// Removes all scripts.
    pub fn flush(&self) {
        let gone = std::mem::take(&mut *self.by_name.write());
        gone.values().for_each(|script| script.is_gone.store(true, Ordering::Release));
        self.flushes.fetch_add(1, Ordering::Release);
    }

    /// Bytes of the interpreters for scripts, and of those for functions.
    pub fn interpreter_bytes(&self) -> [u64; 2] {
        // One thread's share may be counted while another's is taken away.
        [0, 1].map(|kind: usize| self.interpreter_bytes[kind].load(Ordering::Relaxed).max(0) as u64)
    }

    /// An interpreter of scripts, or of functions, has grown by this many bytes.
    pub fn count_interpreter(&self, of_functions: bool, bytes: i64) {
        self.interpreter_bytes[usize::from(of_functions)].fetch_add(bytes, Ordering::Relaxed);
    }

    /// A script runs for too long from now on, or no longer; `set_condition` is told whether one does.
    pub fn count_overdue(&self, more: bool, set_condition: impl FnOnce(bool)) {
        let mut overdue = self.overdue.lock();
        *overdue = if more { *overdue + 1 } else { *overdue - 1 };
        set_condition(*overdue > 0);
    }

    /// How many scripts there are, and the bytes of their sources and of what is known of them.
    pub fn figures(&self) -> (usize, usize) {
        let by_name = self.by_name.read();
        let bytes = |script: &Arc<Script>| script.source.len() + 2 * script.name.len() + size_of::<Script>();
        (by_name.len(), by_name.values().map(bytes).sum())
    }

    /// The libraries now.
    pub fn libraries(&self) -> Arc<Libraries> {
        Arc::clone(&self.libraries.read())
    }

    /// Changes the libraries as one step. Nothing has changed where `change` fails.
    ///
    /// # Errors
    /// That of `change`.
    pub fn change_libraries<R, E>(
        &self,
        change: impl FnOnce(&mut Libraries) -> Result<R, E>,
    ) -> Result<R, E> {
        let mut libraries = self.libraries.write();
        let mut changed = Libraries::clone(&libraries);
        let result = change(&mut changed)?;
        *libraries = Arc::new(changed);
        self.library_changes.fetch_add(1, Ordering::Release);
        Ok(result)
    }
}

/// What a worker runs: a script that takes long, if one does.
#[derive(Debug, Default)]
pub struct Running {
    state: AtomicU8,
    details: Mutex<Option<Details>>,
}

/// What others may know of a script that takes long.
#[derive(Clone, Debug)]
pub struct Details {
    /// Its name.
    pub name: String,
    /// The command that runs it.
    pub command: OwnedArgs,
    /// When it began.
    pub began: MonotonicMs,
}

impl Running {
    const OVERDUE: u8 = 1;
    const KILLED: u8 = 2;
    const HAS_WRITTEN: u8 = 4;
    const IS_FUNCTION: u8 = 8;

    fn has(&self, flag: u8) -> bool {
        self.state.load(Ordering::SeqCst) & flag != 0
    }

    /// A script takes too long.
    pub fn begin_overdue(&self, details: Details, is_function: bool, has_written: bool) {
        *self.details.lock() = Some(details);
        let mut state = Running::OVERDUE;
        state |= if is_function { Running::IS_FUNCTION } else { 0 };
        state |= if has_written { Running::HAS_WRITTEN } else { 0 };
        self.state.store(state, Ordering::SeqCst);
    }

    /// It has ended.
    pub fn end_overdue(&self) {
        self.state.store(0, Ordering::SeqCst);
        *self.details.lock() = None;
    }

    /// It writes, so it is not to be killed any more; false when it was killed before.
    pub fn note_write(&self) -> bool {
        let before = self.state.fetch_or(Running::HAS_WRITTEN, Ordering::SeqCst);
        before & Running::KILLED == 0
    }

    /// Whether it takes too long.
    pub fn is_overdue(&self) -> bool {
        self.has(Running::OVERDUE)
    }

    /// Whether it is a function.
    pub fn is_function(&self) -> bool {
        self.has(Running::IS_FUNCTION)
    }

    /// Whether it was killed.
    pub fn is_killed(&self) -> bool {
        self.has(Running::KILLED)
    }

    /// Kills it; false when it has written, or has ended meanwhile.
    pub fn kill(&self) -> bool {
        let kill = |state: u8| {
            let may = state & Running::OVERDUE != 0 && state & Running::HAS_WRITTEN == 0;
            may.then_some(state | Running::KILLED)
        };
        self.state.fetch_update(Ordering::SeqCst, Ordering::SeqCst, kill).is_ok()
    }

    /// What is known of it.
    pub fn details(&self) -> Option<Details> {
        self.details.lock().clone()
    }
}
