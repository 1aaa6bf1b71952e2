//! All users.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};

use super::log::{Entry, Log, Reason};
use super::rule::{Names, RuleError, has_spaces, merge_words};
use super::user::{Rights, User, hash_of};

/// The user that a connection is until it logs in as another.
pub const DEFAULT_USER: &[u8] = b"default";

/// See the file's head. Changes come one after the other.
#[derive(Debug)]
pub struct Users {
    names: &'static dyn Names,
    by_name: RwLock<BTreeMap<Box<[u8]>, Arc<User>>>,
    default: Arc<User>,
    own: Arc<User>,
    log: Mutex<Log>,
    /// How often something was refused, by [`Reason`].
    refused: [AtomicU64; 6],
}

impl Users {
    /// The default user alone, who may do everything.
    pub fn new(names: &'static dyn Names) -> Users {
        let default = User::new(DEFAULT_USER, Rights::all(names));
        Users {
            names,
            by_name: RwLock::new(BTreeMap::from([(DEFAULT_USER.into(), Arc::clone(&default))])),
            default,
            own: User::new(b"", Rights::all(names)),
            log: Mutex::default(),
            refused: Default::default(),
        }
    }

    /// What the default user may do where nobody has said anything.
    pub(super) fn rights_of_nobody_said(&self) -> Rights {
        Rights::all(self.names)
    }

    /// The default user.
    pub fn default(&self) -> &Arc<User> {
        &self.default
    }

    /// The server itself, which may do everything.
    pub fn own(&self) -> &Arc<User> {
        &self.own
    }

    /// Whether whoever connects is the default user at once.
    pub fn lets_everybody_in(&self) -> bool {
        let rights = self.default.rights();
        rights.is_open && rights.is_on
    }

    /// The user of this name.
    pub fn get(&self, name: &[u8]) -> Option<Arc<User>> {
        self.by_name.read().get(name).cloned()
    }

    /// All of them, in the order of their names.
    pub fn all(&self) -> Vec<Arc<User>> {
        self.by_name.read().values().cloned().collect()
    }

    /// The lines that describe all of them: `user NAME RULES`.
    pub fn lines(&self) -> Vec<Vec<u8>> {
        let line = |user: &Arc<User>| [b"user ", user.name(), b" ", &user.rights().describe()[..]].concat();
        self.all().iter().map(line).collect()
    }

    /// Lets somebody in as a user who gives its password; `enter` is told the user before it can be removed.
    /// False when nobody is let in so.
    pub fn log_in(&self, name: &[u8], password: &[u8], enter: impl FnOnce(&Arc<User>)) -> bool {
        // Also where nobody has that name: how long this takes shall not tell.
        let hash = hash_of(password);
        let users = self.by_name.read();
        match users.get(name).filter(|user| user.rights().admits(&hash)) {
            Some(user) => {
                enter(user);
                true
            }
            None => false,
        }
    }

    /// Lets somebody in as a user whose name something else has proved; `enter` is told the user before it can be removed. False
    /// when there is no such user, or it is off.
    pub fn let_in(&self, name: &[u8], enter: impl FnOnce(&Arc<User>)) -> bool {
        let users = self.by_name.read();
        let user = users.get(name).filter(|user| user.rights().is_on);
        user.map(enter).is_some()
    }

    /// Changes a user as the words say, or adds it. `allows_channels` is what a new user may listen to.
    ///
    /// # Errors
    /// Redis's text, if a word is no rule; nothing has changed then.
    pub fn set(&self, name: &[u8], words: &[&[u8]], allows_channels: bool) -> Result<Arc<User>, Vec<u8>> {
        let rules = merge_words(words)
            .map_err(|word| [b"Unmatched parenthesis in acl selector starting at '", word, b"'."].concat())?;
        let mut users = self.by_name.write();
        let user = users.get(name).cloned();
        let mut rights = match &user {
            Some(user) => Rights::clone(&user.rights()),
            None => Rights::none(allows_channels, self.names),
        };
        for rule in &rules {
            rights.apply(rule, allows_channels, self.names).map_err(|error| {
                [b"Error in ACL SETUSER modifier '", &rule[..], b"': ", error.to_string().as_bytes()].concat()
            })?;
        }
        Ok(match user {
            Some(user) => {
                user.set(rights);
                user
            }
            None => {
                let user = User::new(name, rights);
                users.insert(name.into(), Arc::clone(&user));
                user
            }
        })
    }

    /// Gives the default user the password of `requirepass`, or none.
    pub fn set_default_password(&self, password: Option<&[u8]>) {
        let _users = self.by_name.write();
        let mut rights = Rights::clone(&self.default.rights());
        rights.set_password(password);
        self.default.set(rights);
    }

    /// Removes a user; the default one is never removed.
    pub fn remove(&self, name: &[u8]) -> Option<Arc<User>> {
        if name == DEFAULT_USER {
            return None;
        }
        self.by_name.write().remove(name)
    }

    /// Replaces all users by those that a text describes, a line each. Those that are no longer there are returned.
    ///
    /// # Errors
    /// What is wrong with which lines of which `file`; nothing has changed then.
    pub fn load(&self, text: &[u8], file: &str, allows_channels: bool) -> Result<Vec<Arc<User>>, Vec<u8>> {
        let mut loaded: BTreeMap<Box<[u8]>, Rights> = BTreeMap::new();
        let mut errors: Vec<u8> = Vec::new();
        for (at, line) in text.split(|byte| *byte == b'\n').enumerate() {
            let line = line.trim_ascii();
            if line.is_empty() {
                continue;
            }
            let place = format!("{file}:{}", at + 1);
            match self.read_line(line, &place, allows_channels) {
                Ok((name, rights)) => {
                    if loaded.insert(name.into(), rights).is_some() {
                        let (start, end) =
                            (b"WARNING: Duplicate user '", format!("' found on line {}. ", at + 1));
                        errors.extend_from_slice(&[start, name, end.as_bytes()].concat());
                    }
                }
                Err(error) => errors.extend_from_slice(&error),
            }
        }
        if !errors.is_empty() {
            errors.extend_from_slice(
                b"WARNING: ACL errors detected, no change to the previously active ACL rules was performed",
            );
            return Err(errors);
        }
        let mut users = self.by_name.write();
        loaded.entry(DEFAULT_USER.into()).or_insert_with(|| Rights::all(self.names));
        let gone: Vec<Arc<User>> = users
            .iter()
            .filter(|(name, _)| !loaded.contains_key(*name))
            .map(|(_, user)| Arc::clone(user))
            .collect();
        users.retain(|name, _| loaded.contains_key(name));
        for (name, rights) in loaded {
            match users.get(&name) {
                Some(user) => user.set(rights),
                None => {
                    let user = User::new(&name, rights);
                    users.insert(name, user);
                }
            }
        }
        Ok(gone)
    }

    /// `user NAME RULES`.
    fn read_line<'l>(
        &self,
        line: &'l [u8],
        place: &str,
        allows_channels: bool,
    ) -> Result<(&'l [u8], Rights), Vec<u8>> {
        let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').map(|word| word.trim_ascii()).collect();
        let (name, words) = match &words[..] {
            [b"user", name, words @ ..] => (*name, words),
            _ => {
                let text = format!("{place} should start with user keyword followed by the username. ");
                return Err(text.into_bytes());
            }
        };
        if has_spaces(name) || name.is_empty() {
            let end = b"' contains invalid characters. ";
            return Err([place.as_bytes(), b": username '", name, end].concat());
        }
        let rules = merge_words(words)
            .map_err(|_| format!("{place}: Unmatched parenthesis in selector definition. ").into_bytes())?;
        let mut rights = Rights::none(allows_channels, self.names);
        let mut errors = Vec::new();
        let mut is_broken = false;
        for rule in &rules {
            match rights.apply(rule, allows_channels, self.names) {
                Ok(()) => {}
                // A word may be a password, but not where it is the name of a command.
                Err(error @ RuleError::Unknown) => {
                    errors.extend_from_slice(format!("{place}: Error in applying operation '").as_bytes());
                    errors.extend_from_slice(rule);
                    errors.extend_from_slice(format!("': {error}. ").as_bytes());
                }
                // What follows may be wrong for no other reason.
                Err(error) => {
                    if !std::mem::replace(&mut is_broken, true) {
                        errors.extend_from_slice(format!("{place}: {error}. ").as_bytes());
                    }
                }
            }
        }
        if errors.is_empty() { Ok((name, rights)) } else { Err(errors) }
    }

    /// Counts something that was refused, and keeps it in the log, of which `len_max` entries are kept.
    pub fn note_refused(&self, entry: Entry, len_max: usize) {
        self.refused[entry.reason as usize].fetch_add(1, Ordering::Relaxed);
        self.log.lock().add(entry, len_max);
    }

    /// How often something was refused for this reason.
    pub fn refused(&self, reason: Reason) -> u64 {
        self.refused[reason as usize].load(Ordering::Relaxed)
    }

    /// Counts from nought.
    pub fn forget_counts(&self) {
        self.refused.iter().for_each(|count| count.store(0, Ordering::Relaxed));
    }

    /// The log.
    pub fn with_log<R>(&self, look: impl FnOnce(&mut Log) -> R) -> R {
        look(&mut self.log.lock())
    }
}

/// Whether a user may have this name.
pub fn is_name(name: &[u8]) -> bool {
    !has_spaces(name)
}
