//! Scripts and functions, as all threads share them: sources by their names, and what runs for too long.
//!
//! Each thread compiles what it runs for itself; here is what it compiles. What is sent with EVAL goes again when much of
//! it has come, what is loaded stays.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
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
    is_evaluated: AtomicBool,
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

impl Library {
    fn bytes(&self) -> usize {
        self.source.len() + self.functions.len() * size_of::<Function>()
    }
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
    /// Its library is gone from the server.
    pub is_gone: AtomicBool,
}

/// All libraries at one moment.
#[derive(Clone, Debug, Default)]
pub struct Libraries {
    by_name: BTreeMap<String, Arc<Library>>,
    /// By the names of functions, as [`folded`].
    by_function: HashMap<Vec<u8>, (Arc<Library>, Arc<Function>)>,
    bytes: usize,
}

/// A name by which a function is found, in whatever case.
pub fn folded(name: &[u8]) -> Cow<'_, [u8]> {
    match name.iter().any(u8::is_ascii_uppercase) {
        true => Cow::Owned(name.to_ascii_lowercase()),
        false => Cow::Borrowed(name),
    }
}

impl Libraries {
    /// The library of this name.
    pub fn get(&self, name: &str) -> Option<&Arc<Library>> {
        self.by_name.get(name)
    }

    /// The library with the function of this name, in whatever case, and the function.
    pub fn function(&self, name: &[u8]) -> Option<&(Arc<Library>, Arc<Function>)> {
        self.by_function.get(&*folded(name))
    }

    /// Adds libraries, each in place of one of the same name.
    ///
    /// # Errors
    /// When one has a function whose name is that of another library's. Nothing has changed.
    pub fn add(&mut self, added: &[Arc<Library>]) -> Result<(), String> {
        for function in added.iter().flat_map(|library| &library.functions) {
            let stays = |library: &Library| added.iter().all(|one| one.name != library.name);
            if self.function(function.name.as_bytes()).is_some_and(|(library, _)| stays(library)) {
                return Err(format!("Function {} already exists", function.name));
            }
        }
        for library in added {
            self.remove(&library.name);
            for function in &library.functions {
                let found = (Arc::clone(library), Arc::clone(function));
                self.by_function.insert(folded(function.name.as_bytes()).into_owned(), found);
            }
            self.bytes += library.bytes();
            self.by_name.insert(library.name.clone(), Arc::clone(library));
        }
        Ok(())
    }

    /// Removes the library of this name; false when there is none.
    pub fn remove(&mut self, name: &str) -> bool {
        let Some(library) = self.by_name.remove(name) else { return false };
        for function in &library.functions {
            self.by_function.remove(&*folded(function.name.as_bytes()));
            function.is_gone.store(true, Ordering::Release);
        }
        self.bytes -= library.bytes();
        true
    }

    /// Removes all.
    pub fn clear(&mut self) {
        let gone = std::mem::take(self).by_function;
        gone.values().for_each(|(_, function)| function.is_gone.store(true, Ordering::Release));
    }

    /// All, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Library>> {
        self.by_name.values()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// How many functions they have.
    pub fn functions(&self) -> usize {
        self.by_function.len()
    }

    /// Bytes of their sources and of what is known of them.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// What is shared of scripts and functions.
#[derive(Debug, Default)]
pub struct Scripts {
    sources: RwLock<Sources>,
    libraries: RwLock<Arc<Libraries>>,
    /// Uses of scripts that came with EVAL.
    uses: AtomicU64,
    /// Raised when all scripts are gone: threads begin anew.
    pub flushes: AtomicU64,
    /// Raised when all functions are gone.
    pub function_flushes: AtomicU64,
    /// Raised when libraries change: threads look for what is gone.
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

/// Scripts by their names.
#[derive(Debug, Default)]
struct Sources {
    by_name: HashMap<String, Arc<Script>>,
    /// Those that may go, by a use of theirs that was the last when it was noted here. Using a script writes nothing here.
    evaluated: BTreeMap<u64, Arc<Script>>,
    bytes: usize,
}

impl Sources {
    fn add(&mut self, script: &Arc<Script>) {
        self.bytes += script.bytes();
        self.by_name.insert(script.name.clone(), Arc::clone(script));
        if script.is_evaluated.load(Ordering::Relaxed) {
            self.evaluated.insert(script.used.load(Ordering::Relaxed), Arc::clone(script));
        }
    }

    /// Makes room for one more that comes with EVAL; how many went that were not used for the longest time.
    fn make_room(&mut self) -> u64 {
        let mut removed = 0;
        while self.evaluated.len() >= EVALUATED_MAX {
            let Some((noted, script)) = self.evaluated.pop_first() else { break };
            let used = script.used.load(Ordering::Relaxed);
            if !script.is_evaluated.load(Ordering::Relaxed) {
                // It was loaded since.
            } else if used != noted {
                self.evaluated.insert(used, script);
            } else if let Some(script) = self.by_name.remove(&script.name) {
                self.bytes -= script.bytes();
                script.is_gone.store(true, Ordering::Release);
                removed += 1;
            }
        }
        removed
    }
}

impl Script {
    fn bytes(&self) -> usize {
        self.source.len() + 2 * self.name.len() + size_of::<Script>()
    }

    /// It was loaded: it stays until all are removed.
    pub fn keep(&self) {
        self.is_evaluated.store(false, Ordering::Relaxed);
    }
}

impl Scripts {
    /// The script of this name.
    pub fn get(&self, name: &str) -> Option<Arc<Script>> {
        self.sources.read().by_name.get(name).cloned()
    }

    /// Adds a script, unless it is there.
    pub fn add(&self, name: &str, source: &[u8], header: Header, is_evaluated: bool) -> Arc<Script> {
        let mut sources = self.sources.write();
        if let Some(script) = sources.by_name.get(name) {
            return Arc::clone(script);
        }
        if is_evaluated {
            self.evicted.fetch_add(sources.make_room(), Ordering::Relaxed);
        }
        let script = Arc::new(Script {
            name: name.to_owned(),
            source: source.into(),
            header,
            is_wide: AtomicBool::new(false),
            is_gone: AtomicBool::new(false),
            is_evaluated: AtomicBool::new(is_evaluated),
            used: AtomicU64::new(u64::MAX),
        });
        self.note_use(&script);
        sources.add(&script);
        script
    }

    /// A script is used.
    #[inline]
    pub fn note_use(&self, script: &Script) {
        // Of one that was the last to be used that is known: threads with the same script share no counter.
        if script.is_evaluated.load(Ordering::Relaxed)
            && script.used.load(Ordering::Relaxed) != self.uses.load(Ordering::Relaxed)
        {
            script.used.store(self.uses.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
        }
    }

    /// Removes all scripts.
    pub fn flush(&self) {
        let gone = std::mem::take(&mut *self.sources.write());
        gone.by_name.values().for_each(|script| script.is_gone.store(true, Ordering::Release));
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
        let sources = self.sources.read();
        (sources.by_name.len(), sources.bytes)
    }

    /// The libraries now.
    pub fn libraries(&self) -> Arc<Libraries> {
        Arc::clone(&self.libraries.read())
    }

    /// Changes the libraries as one step, of which `change` says whether it is one: nothing has changed where it fails.
    /// They are copied only while somebody else looks at them as they are.
    ///
    /// # Errors
    /// That of `change`.
    pub fn change_libraries<E>(&self, change: impl FnOnce(&mut Libraries) -> Result<(), E>) -> Result<(), E> {
        change(Arc::make_mut(&mut *self.libraries.write()))?;
        self.library_changes.fetch_add(1, Ordering::Release);
        Ok(())
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
