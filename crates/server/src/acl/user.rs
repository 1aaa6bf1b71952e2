//! A user: its name, and what it may do at present.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use super::rule::{Names, RuleError};
use super::selector::Selector;

/// The SHA-256 of a password.
pub(super) type Hash = [u8; 32];

pub(super) fn hash_of(password: &[u8]) -> Hash {
    Sha256::digest(password).into()
}

/// How one logs in as a user, and what it may do then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rights {
    /// One can log in as it.
    pub is_on: bool,
    /// Whoever asks is let in, whatever the password.
    pub is_open: bool,
    /// RESTORE need not look at payloads. It does all the same.
    skips_sanitizing: bool,
    passwords: Vec<Hash>,
    /// The first is the user's own, the others are those in parentheses.
    selectors: Vec<Selector>,
}

impl Rights {
    /// Those of a new user: none, but for channels where `acl-pubsub-default` says so.
    pub fn none(allows_channels: bool, names: &dyn Names) -> Rights {
        let mut own = Selector::default();
        own.apply(b"-@all", names).expect("it is a rule");
        if allows_channels {
            own.apply(b"allchannels", names).expect("it is a rule");
        }
        Rights {
            is_on: false,
            is_open: false,
            skips_sanitizing: false,
            passwords: Vec::new(),
            selectors: vec![own],
        }
    }

    /// Those of the default user, if nobody has said otherwise: all.
    pub fn all(names: &dyn Names) -> Rights {
        let mut rights = Rights::none(true, names);
        for rule in ["+@all", "~*", "on", "nopass"] {
            rights.apply(rule.as_bytes(), true, names).expect("they are rules");
        }
        rights
    }

    /// Follows a rule. `allows_channels` is what `reset` makes of channels.
    ///
    /// # Errors
    /// What is wrong with it; nothing has changed then.
    pub fn apply(&mut self, rule: &[u8], allows_channels: bool, names: &dyn Names) -> Result<(), RuleError> {
        match rule {
            [] => {}
            _ if rule.eq_ignore_ascii_case(b"on") => self.is_on = true,
            _ if rule.eq_ignore_ascii_case(b"off") => self.is_on = false,
            _ if rule.eq_ignore_ascii_case(b"skip-sanitize-payload") => self.skips_sanitizing = true,
            _ if rule.eq_ignore_ascii_case(b"sanitize-payload") => self.skips_sanitizing = false,
            _ if rule.eq_ignore_ascii_case(b"nopass") => self.set_password(None),
            _ if rule.eq_ignore_ascii_case(b"resetpass") => {
                self.is_open = false;
                self.passwords.clear();
            }
            _ if rule.eq_ignore_ascii_case(b"clearselectors") => self.selectors.truncate(1),
            _ if rule.eq_ignore_ascii_case(b"reset") => *self = Rights::none(allows_channels, names),
            [b'>', password @ ..] => self.add_password(hash_of(password)),
            [b'#', digits @ ..] => self.add_password(parse_hash(digits)?),
            [b'<', password @ ..] => self.remove_password(hash_of(password))?,
            [b'!', digits @ ..] => self.remove_password(parse_hash(digits)?)?,
            [b'(', rules @ .., b')'] => {
                let mut selector = Selector::default();
                selector.apply(b"-@all", names)?;
                for rule in rules.split(u8::is_ascii_whitespace).filter(|rule| !rule.is_empty()) {
                    selector.apply(rule, names)?;
                }
                self.selectors.push(selector);
            }
            _ => self.selectors[0].apply(rule, names)?,
        }
        Ok(())
    }

    /// Replaces all passwords, as `requirepass` does; without one everybody is let in.
    pub fn set_password(&mut self, password: Option<&[u8]>) {
        self.passwords = password.map(hash_of).into_iter().collect();
        self.is_open = password.is_none();
    }

    fn add_password(&mut self, hash: Hash) {
        self.is_open = false;
        if !self.passwords.contains(&hash) {
            self.passwords.push(hash);
        }
    }

    fn remove_password(&mut self, hash: Hash) -> Result<(), RuleError> {
        let at = self.passwords.iter().position(|known| *known == hash).ok_or(RuleError::NoSuchPassword)?;
        self.passwords.remove(at);
        Ok(())
    }

    /// Whether one may log in with a password of this hash. The time it takes tells nothing of the passwords.
    pub(super) fn admits(&self, hash: &Hash) -> bool {
        let is_known = self.passwords.iter().fold(false, |known, password| {
            let difference = password.iter().zip(hash).fold(0, |all, (one, other)| all | (one ^ other));
            known | (std::hint::black_box(difference) == 0)
        });
        self.is_on && (self.is_open | is_known)
    }

    /// Its own selector, and those in parentheses.
    pub fn selectors(&self) -> &[Selector] {
        &self.selectors
    }

    /// Whether it may do everything.
    pub fn is_free(&self) -> bool {
        self.selectors[0].is_free()
    }

    /// Whether one of the selectors allows a channel or a pattern of channels.
    pub fn allows_channel(&self, name: &[u8], is_pattern: bool) -> bool {
        self.selectors.iter().any(|selector| selector.allows_channel(name, is_pattern))
    }

    /// The words for how one logs in.
    pub fn flags(&self) -> Vec<&'static str> {
        let mut flags = vec![if self.is_on { "on" } else { "off" }];
        if self.is_open {
            flags.push("nopass");
        }
        flags.push(if self.skips_sanitizing { "skip-sanitize-payload" } else { "sanitize-payload" });
        flags
    }

    /// The hashes of its passwords, in hexadecimal digits.
    pub fn passwords(&self) -> impl ExactSizeIterator<Item = String> {
        self.passwords.iter().map(|hash| hash.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// All rules that make them.
    pub fn describe(&self) -> Vec<u8> {
        let mut text = self.flags().join(" ").into_bytes();
        for password in self.passwords() {
            text.extend_from_slice(format!(" #{password}").as_bytes());
        }
        for (at, selector) in self.selectors.iter().enumerate() {
            let (open, close): (&[u8], &[u8]) = if at == 0 { (b" ", b"") } else { (b" (", b")") };
            text.extend_from_slice(&[open, &selector.describe(), close].concat());
        }
        text
    }
}

fn parse_hash(digits: &[u8]) -> Result<Hash, RuleError> {
    let is_digit = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
    if digits.len() != 64 || !digits.iter().all(is_digit) {
        return Err(RuleError::BadHash);
    }
    let mut hash = [0; 32];
    for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |digit: u8| if digit <= b'9' { digit - b'0' } else { digit - b'a' + 10 };
        *byte = digit(pair[0]) << 4 | digit(pair[1]);
    }
    Ok(hash)
}

/// A user, as connections know it.
#[derive(Debug)]
pub struct User {
    name: Box<[u8]>,
    /// It may do everything.
    is_free: AtomicBool,
    /// Counts changes.
    version: AtomicU64,
    rights: Mutex<Arc<Rights>>,
}

impl User {
    pub(super) fn new(name: &[u8], rights: Rights) -> Arc<User> {
        Arc::new(User {
            name: name.into(),
            is_free: AtomicBool::new(rights.is_free()),
            version: AtomicU64::new(0),
            rights: Mutex::new(Arc::new(rights)),
        })
    }

    /// Its name.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// Whether it may do everything at present.
    #[inline(always)]
    pub fn is_free(&self) -> bool {
        self.is_free.load(Ordering::Relaxed)
    }

    /// What it may do at present.
    pub fn rights(&self) -> Arc<Rights> {
        Arc::clone(&self.rights.lock())
    }

    /// What it may do at present; `seen` is what was found the last time, so that nobody waits where nothing has changed.
    pub fn look<'s>(&self, seen: &'s mut Seen) -> &'s Arc<Rights> {
        let version = self.version.load(Ordering::Acquire);
        if seen.0.as_ref().is_none_or(|(known, _)| *known != version) {
            seen.0 = Some((version, self.rights()));
        }
        &seen.0.as_ref().expect("it was just filled").1
    }

    pub(super) fn set(&self, rights: Rights) {
        let mut present = self.rights.lock();
        self.is_free.store(rights.is_free(), Ordering::SeqCst);
        *present = Arc::new(rights);
        self.version.fetch_add(1, Ordering::SeqCst);
    }
}

/// What a user might do when somebody last looked, and as of which change.
#[derive(Clone, Debug, Default)]
pub struct Seen(Option<(u64, Arc<Rights>)>);
