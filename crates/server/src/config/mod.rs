//! The configuration: every directive of redis.conf, its value, and how values change.
//!
//! `directives/` declares each directive once; `value.rs` and `special.rs` read and write values;
//! `file.rs` loads files and the command line's directives; `rewrite.rs` is CONFIG REWRITE;
//! [`Config`] holds the values, and answers typed getters (`getters.rs`), CONFIG GET and CONFIG SET.
//!
//! Invariants:
//! - Numbers are mirrored in atomics, so that a getter on the command path is one relaxed load.
//! - CONFIG SET changes all of its directives or none; writers exclude each other.
//! - No lock is held while the server applies a change, so an apply hook may read the configuration.
//! - The process never changes its working directory: `dir` is a value, and [`Config::resolve`] makes
//!   paths relative to it.

mod directive;
mod directives;
mod file;
mod getters;
mod oom_score;
mod rewrite;
mod rules;
mod special;
mod value;
pub mod words;

pub use directive::{
    AclPubsubDefault, AppendFsync, Directive, EndpointType, Group, Kind, Known, LogFormat, LogLevel,
    MaxmemoryPolicy, Mutability, ProtectedAction, Rule, SanitizeDumpPayload, ShutdownFlags, SlotMetrics,
    Standing, Supervised, TlsAuthClients, TlsAuthClientsUser, TlsMinVersion,
};
pub use directives::{DIRECTIVES, FILE_ONLY};
pub use file::{ConfigError, Loaded, Loader, Place, RenamedCommand, UserLine, Warning};
pub use rewrite::{RewriteError, UserText};
pub use rules::headers as http_headers;
pub use special::{CLIENT_CLASSES, ClientClass, OutputBufferLimit, SavePoint, keyspace_events};
pub use value::memory as parse_memory;
pub use words::{quote, split as split_words};

use crate::system::escape::up_to_zero;
use crate::system::glob;
use directives::COUNT;
use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use value::Value;

/// The values of all directives. Shared by every thread; see the module's invariants.
pub struct Config {
    /// Mirror of the numeric values, by slot.
    numbers: [AtomicI64; COUNT],
    /// Mirror of `client-output-buffer-limit`: hard bytes, soft bytes, soft seconds, by class.
    output_limits: [[AtomicU64; 3]; CLIENT_CLASSES],
    /// The values themselves, by slot.
    values: RwLock<Vec<Value>>,
    /// Held through a whole CONFIG SET or CONFIG REWRITE.
    writer: Mutex<()>,
    oom_score: oom_score::OomScore,
    /// Absolute path of the configuration file the server was started with.
    file: Option<PathBuf>,
}

/// What CONFIG SET must know about the client and the server to decide.
#[derive(Clone, Copy, Debug, Default)]
pub struct SetContext {
    /// The client is on this machine (loopback or unix socket): `enable-protected-configs local`.
    pub local_client: bool,
    /// A data set is being loaded.
    pub loading: bool,
}

/// Why CONFIG SET was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetError {
    /// No directive has this name.
    Unknown(Vec<u8>),
    /// A directive's value was not accepted, or could not be applied; nothing was changed.
    Failed {
        /// The directive, as the client wrote it or by its own name.
        argument: Vec<u8>,
        /// Why.
        reason: String,
    },
    /// A directive that cannot be changed while a data set is being loaded.
    Loading,
}

impl SetError {
    /// The error reply's text, with its code, without the leading `-`.
    pub fn reply(&self) -> Vec<u8> {
        let quoting = |before: &str, name: &[u8], after: &str| {
            [before.as_bytes(), up_to_zero(name), after.as_bytes()].concat()
        };
        match self {
            SetError::Unknown(name) => {
                quoting("ERR Unknown option or number of arguments for CONFIG SET - '", name, "'")
            }
            SetError::Failed { argument, reason } => quoting(
                "ERR CONFIG SET failed (possibly related to argument '",
                argument,
                &format!("') - {reason}"),
            ),
            SetError::Loading => b"LOADING Redis is loading the dataset in memory".to_vec(),
        }
    }
}

/// A change the server could not put into effect, answered by the hook of [`Config::set_many`].
#[derive(Clone, Debug)]
pub struct ApplyError {
    /// Name of the directive to blame.
    pub directive: &'static str,
    /// Why; the text after the dash in the reply.
    pub reason: String,
}

/// The hook of [`Config::set_many`]: puts the changed directives into effect.
pub type Apply<'a> = dyn FnMut(&Config, &[&'static Directive]) -> Result<(), ApplyError> + 'a;

impl Config {
    /// The defaults, with `dir` at the process's working directory.
    pub fn new() -> Config {
        let start = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
        Config::in_directory(&start)
    }

    /// The defaults, with `dir` at `directory`.
    pub fn in_directory(directory: &Path) -> Config {
        let values = DIRECTIVES.iter().map(|directive| value::default(directive, directory)).collect();
        let config = Config {
            numbers: [const { AtomicI64::new(0) }; COUNT],
            output_limits: [const { [const { AtomicU64::new(0) }; 3] }; CLIENT_CLASSES],
            values: RwLock::new(values),
            writer: Mutex::new(()),
            oom_score: oom_score::OomScore::new(),
            file: None,
        };
        for slot in 0..COUNT {
            config.mirror(slot, &config.values()[slot]);
        }
        config
    }

    /// The configuration file the server was started with, absolute.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Makes `path` absolute: a relative one is relative to `dir`.
    pub fn resolve(&self, path: impl AsRef<Path>) -> PathBuf {
        self.directory().join(path)
    }

    /// CONFIG GET: the names that match any of the patterns, and their values; each name once.
    ///
    /// As in Redis, a pattern without wildcards is looked up in any case and answered as it was
    /// written, and finds hidden directives; aliases are answered beside the primary names.
    pub fn get_matching(&self, patterns: &[&[u8]]) -> Vec<(Cow<'static, [u8]>, Vec<u8>)> {
        let values = self.values();
        let mut found: Vec<(Cow<'static, [u8]>, Vec<u8>)> = Vec::new();
        for pattern in patterns {
            if !glob::has_wildcard(pattern) {
                let already = found.iter().any(|(name, _)| name.eq_ignore_ascii_case(pattern));
                if let (false, Some((slot, directive))) = (already, directives::find(pattern)) {
                    let text = value::format(directive, &values[slot]);
                    found.push((Cow::Owned(pattern.to_vec()), text));
                }
                continue;
            }
            for (slot, directive) in DIRECTIVES.iter().enumerate() {
                if directive.hidden {
                    continue;
                }
                for name in std::iter::once(directive.name).chain(directive.alias) {
                    let name = name.as_bytes();
                    let already = found.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
                    if !already && glob::matches(pattern, name, true) {
                        let text = value::format(directive, &values[slot]);
                        found.push((Cow::Borrowed(name), text));
                    }
                }
            }
        }
        found
    }

    /// Whether `name` is a directive whose value must not be shown in SLOWLOG, MONITOR or logs.
    pub fn is_sensitive(name: &[u8]) -> bool {
        directives::find(name).is_some_and(|(_, directive)| directive.sensitive)
    }

    /// Why the present value of a directive changes nothing in this server, if it does not.
    pub fn without_meaning(&self, directive: &Directive) -> Option<&'static str> {
        let (slot, directive) = directives::find(directive.name.as_bytes())?;
        directive.without_meaning(&self.values()[slot])
    }

    /// Why the server does not take the present value of a directive, if it does not.
    pub fn refusal(&self, directive: &Directive) -> Option<&'static str> {
        let (slot, directive) = directives::find(directive.name.as_bytes())?;
        directive.refusal(&self.values()[slot])
    }

    /// CONFIG SET: checks every pair, changes all directives, and calls `apply` with those whose value
    /// differs from before. When anything fails, nothing is changed; when `apply` fails, it is called
    /// again after the old values are back, so that the server returns to them.
    ///
    /// Answers the changed directives.
    pub fn set_many(
        &self,
        pairs: &[(&[u8], &[u8])],
        context: SetContext,
        apply: &mut Apply<'_>,
    ) -> Result<Vec<&'static Directive>, SetError> {
        let _writer = self.lock_writer();
        let slots = self.find_settable(pairs, context)?;
        let before = self.values().clone();
        let mut after = before.clone();
        for (&(slot, name), &(_, text)) in slots.iter().zip(pairs) {
            let directive = &DIRECTIVES[slot];
            let parsed = parse_single(directive, text, &after[slot]);
            let unchanged_only = directive.mutability == Mutability::StartOnly;
            match parsed {
                Ok(value) if unchanged_only && value != before[slot] => {
                    return Err(failed(name.as_bytes(), IMMUTABLE));
                }
                Ok(value) => after[slot] = value,
                Err(reason) => return Err(failed(name.as_bytes(), &reason)),
            }
        }
        let changed: Vec<usize> = (0..COUNT).filter(|&slot| before[slot] != after[slot]).collect();
        let directives: Vec<&'static Directive> = changed.iter().map(|&slot| &DIRECTIVES[slot]).collect();
        if changed.is_empty() {
            return Ok(directives);
        }
        self.commit(&changed, &after);
        if let Err(error) = apply(self, &directives) {
            self.commit(&changed, &before);
            // The old values were in effect a moment ago; there is nothing better to fall back to.
            let _ = apply(self, &directives);
            return Err(failed(error.directive.as_bytes(), &error.reason));
        }
        Ok(directives)
    }

    /// Finds the slots of all pairs' directives and checks that each may be set.
    ///
    /// The first thing wrong decides the reply, but for LOADING, which clients treat differently.
    fn find_settable(
        &self,
        pairs: &[(&[u8], &[u8])],
        context: SetContext,
    ) -> Result<Vec<(usize, &'static str)>, SetError> {
        let mut slots: Vec<(usize, &'static str)> = Vec::with_capacity(pairs.len());
        for (name, _) in pairs {
            let (slot, directive) = directives::find(name).ok_or_else(|| SetError::Unknown(name.to_vec()))?;
            let own_name = match directive.alias {
                Some(alias) if name.eq_ignore_ascii_case(alias.as_bytes()) => alias,
                _ => directive.name,
            };
            let allowed = match self.enable_protected_configs() {
                ProtectedAction::No => false,
                ProtectedAction::Local => context.local_client,
                ProtectedAction::Yes => true,
            };
            match directive.mutability {
                Mutability::Immutable => return Err(failed(name, IMMUTABLE)),
                Mutability::Protected if !allowed => {
                    return Err(failed(name, "can't set protected config"));
                }
                _ => {}
            }
            if context.loading && directive.denied_while_loading {
                return Err(SetError::Loading);
            }
            if slots.contains(&(slot, own_name)) {
                return Err(failed(name, "duplicate parameter"));
            }
            slots.push((slot, own_name));
        }
        Ok(slots)
    }

    /// Sets one directive from a file or the command line, before the server runs.
    fn load(&self, slot: usize, words: &[&[u8]], accumulate: bool) -> Result<(), value::Reason> {
        let parsed = {
            let values = self.values();
            value::parse(&DIRECTIVES[slot], words, &values[slot], accumulate)?
        };
        self.mirror(slot, &parsed);
        self.values_mut()[slot] = parsed;
        Ok(())
    }

    /// Puts the values of `slots` into effect.
    fn commit(&self, slots: &[usize], values: &[Value]) {
        let mut current = self.values_mut();
        for &slot in slots {
            self.mirror(slot, &values[slot]);
            current[slot] = values[slot].clone();
        }
    }

    fn mirror(&self, slot: usize, value: &Value) {
        match value {
            Value::Number(number) => self.numbers[slot].store(*number, Ordering::Relaxed),
            Value::OutputBufferLimits(limits) => {
                for (mirror, limit) in self.output_limits.iter().zip(limits) {
                    mirror[0].store(limit.hard_bytes, Ordering::Relaxed);
                    mirror[1].store(limit.soft_bytes, Ordering::Relaxed);
                    mirror[2].store(limit.soft_seconds, Ordering::Relaxed);
                }
            }
            _ => {}
        }
    }

    // A value is replaced whole, so what a panicking thread left behind is sound: poison is ignored.

    fn values(&self) -> RwLockReadGuard<'_, Vec<Value>> {
        self.values.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn values_mut(&self) -> std::sync::RwLockWriteGuard<'_, Vec<Value>> {
        self.values.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_writer(&self) -> MutexGuard<'_, ()> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Config {
    fn default() -> Config {
        Config::new()
    }
}

const IMMUTABLE: &str = "can't set immutable config";

fn failed(argument: &[u8], reason: &str) -> SetError {
    SetError::Failed { argument: argument.to_vec(), reason: reason.to_owned() }
}

/// Reads a value given as one argument, as CONFIG SET does: several words are split at single spaces.
fn parse_single(directive: &Directive, text: &[u8], current: &Value) -> Result<Value, value::Reason> {
    let words: Vec<&[u8]> = match (directive.several_words, text) {
        (false, _) => vec![text],
        (true, b"") => Vec::new(),
        (true, _) => text.split(|&byte| byte == b' ').collect(),
    };
    value::parse(directive, &words, current, false)
}

#[cfg(test)]
mod tests;
