//! Commands, keys, channels and databases that are allowed together.

use std::collections::{BTreeMap, BTreeSet};

use bitflags::bitflags;

use super::rule::{NamedCommand, Names, RuleError, has_spaces};
use crate::system::glob;

bitflags! {
    /// What is done to a key.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct KeyAccess: u8 {
        /// Its value is told.
        const READ = 1 << 0;
        /// It is changed.
        const WRITE = 1 << 1;
    }
}

/// Keys whose names match, and what may be done to them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct KeyPattern {
    pattern: Vec<u8>,
    access: KeyAccess,
}

impl KeyPattern {
    /// As a rule.
    fn describe(&self) -> Vec<u8> {
        let sign: &[u8] = match self.access {
            KeyAccess::READ => b"%R~",
            KeyAccess::WRITE => b"%W~",
            _ => b"~",
        };
        [sign, &self.pattern].concat()
    }
}

/// See the file's head.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    /// A bit for each command.
    commands: Vec<u64>,
    /// All commands, none of them taken back.
    allows_all_commands: bool,
    /// It began with all commands: those that come with a later version are among them.
    begins_with_all: bool,
    /// First arguments with which commands are allowed that are not, by the commands' indexes.
    first_words: BTreeMap<usize, Vec<Vec<u8>>>,
    /// The rules about commands behind the first one, which still mean something, in their order.
    command_rules: Vec<String>,
    allows_all_keys: bool,
    keys: Vec<KeyPattern>,
    allows_all_channels: bool,
    channels: Vec<Vec<u8>>,
    /// The databases, if not all: Valkey's rules `db=`.
    databases: Option<BTreeSet<u32>>,
}

/// Whether two words are the same but for their case.
fn is(word: &[u8], known: &str) -> bool {
    word.eq_ignore_ascii_case(known.as_bytes())
}

impl Selector {
    /// Follows a rule.
    ///
    /// # Errors
    /// What is wrong with it; nothing has changed then.
    pub fn apply(&mut self, rule: &[u8], names: &dyn Names) -> Result<(), RuleError> {
        match rule {
            _ if is(rule, "allkeys") || rule == b"~*" => {
                self.allows_all_keys = true;
                self.keys.clear();
            }
            _ if is(rule, "resetkeys") => {
                self.allows_all_keys = false;
                self.keys.clear();
            }
            _ if is(rule, "allchannels") || rule == b"&*" => {
                self.allows_all_channels = true;
                self.channels.clear();
            }
            _ if is(rule, "resetchannels") => {
                self.allows_all_channels = false;
                self.channels.clear();
            }
            _ if is(rule, "alldbs") => self.databases = None,
            _ if is(rule, "resetdbs") => self.databases = Some(BTreeSet::new()),
            [d, b, b'=', numbers @ ..] if is(&[*d, *b], "db") => {
                self.databases = Some(parse_databases(numbers)?);
            }
            _ if is(rule, "allcommands") || is(rule, "+@all") => self.begin_with(true, names),
            _ if is(rule, "nocommands") || is(rule, "-@all") => self.begin_with(false, names),
            [b'~', pattern @ ..] => self.add_keys(pattern, KeyAccess::all())?,
            [b'%', ..] if self.allows_all_keys => return Err(RuleError::BehindAllKeys),
            [b'%', rest @ ..] => {
                let (access, pattern) = parse_access(rest).ok_or(RuleError::Syntax)?;
                self.add_keys(pattern, access)?;
            }
            [b'&', pattern @ ..] => self.add_channels(pattern)?,
            [sign @ (b'+' | b'-'), b'@', category @ ..] => {
                let is_allowed = *sign == b'+';
                let commands = names.in_category(category).ok_or(RuleError::Unknown)?;
                self.keep_rule(&[b"@", category].concat(), is_allowed);
                commands.iter().for_each(|command| self.set(command, is_allowed));
            }
            [b'+' | b'-', command @ ..] if names.is_elsewhere(command) => {
                self.keep_rule(command, rule[0] == b'+');
            }
            [b'+', command @ ..] => self.allow(command, names)?,
            [b'-', command @ ..] => {
                let command = names.find(command).ok_or(RuleError::Unknown)?;
                self.set(&command, false);
                self.keep_rule(command.full_name.as_bytes(), false);
            }
            _ => return Err(RuleError::Syntax),
        }
        Ok(())
    }

    /// All commands or none.
    fn begin_with(&mut self, all: bool, names: &dyn Names) {
        self.commands = vec![if all { u64::MAX } else { 0 }; names.count().div_ceil(64)];
        (self.allows_all_commands, self.begins_with_all) = (all, all);
        self.first_words.clear();
        self.command_rules.clear();
    }

    fn add_keys(&mut self, pattern: &[u8], access: KeyAccess) -> Result<(), RuleError> {
        if self.allows_all_keys {
            return Err(RuleError::BehindAllKeys);
        }
        if has_spaces(pattern) {
            return Err(RuleError::Syntax);
        }
        match self.keys.iter_mut().find(|known| known.pattern == pattern) {
            Some(known) => known.access |= access,
            None => self.keys.push(KeyPattern { pattern: pattern.to_vec(), access }),
        }
        Ok(())
    }

    fn add_channels(&mut self, pattern: &[u8]) -> Result<(), RuleError> {
        if self.allows_all_channels {
            return Err(RuleError::BehindAllChannels);
        }
        if has_spaces(pattern) {
            return Err(RuleError::Syntax);
        }
        if !self.channels.iter().any(|known| known == pattern) {
            self.channels.push(pattern.to_vec());
        }
        Ok(())
    }

    /// Allows a command, a subcommand, or a command with a first argument.
    fn allow(&mut self, name: &[u8], names: &dyn Names) -> Result<(), RuleError> {
        let Some(bar) = name.iter().rposition(|byte| *byte == b'|') else {
            let command = names.find(name).ok_or(RuleError::Unknown)?;
            self.set(&command, true);
            self.keep_rule(command.full_name.as_bytes(), true);
            return Ok(());
        };
        let command = names.find(&name[..bar]).ok_or(RuleError::Unknown)?;
        let word = &name[bar + 1..];
        if command.is_subcommand {
            return Err(RuleError::FirstWordOfSubcommand);
        }
        if word.is_empty() {
            return Err(RuleError::Syntax);
        }
        if command.subcommands.is_empty() {
            let words = self.first_words.entry(command.index).or_default();
            if !words.iter().any(|known| known.eq_ignore_ascii_case(word)) {
                words.push(word.to_vec());
            }
        } else {
            self.set(&names.find(name).ok_or(RuleError::Unknown)?, true);
        }
        self.keep_rule(name, true);
        Ok(())
    }

    fn set(&mut self, command: &NamedCommand, is_allowed: bool) {
        self.first_words.remove(&command.index);
        self.allows_all_commands &= is_allowed;
        for index in std::iter::once(command.index).chain(command.subcommands.iter().copied()) {
            if self.commands.len() <= index / 64 {
                self.commands.resize(index / 64 + 1, 0);
            }
            let bit = 1 << (index % 64);
            self.commands[index / 64] = self.commands[index / 64] & !bit | if is_allowed { bit } else { 0 };
        }
    }

    /// Remembers a rule about commands, and forgets those that it makes void: about the same and about its subcommands.
    fn keep_rule(&mut self, about: &[u8], is_allowed: bool) {
        let about = String::from_utf8_lossy(about).to_lowercase();
        self.command_rules.retain(|rule| {
            let rest = rule[1..].strip_prefix(&about);
            !rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('|'))
        });
        self.command_rules.push(format!("{}{about}", if is_allowed { '+' } else { '-' }));
    }

    /// Whether it allows everything.
    pub fn is_free(&self) -> bool {
        self.allows_all_commands
            && self.allows_all_keys
            && self.allows_all_channels
            && self.databases.is_none()
    }

    /// Whether it allows all databases.
    pub fn allows_all_databases(&self) -> bool {
        self.databases.is_none()
    }

    /// Whether it allows the database with this number.
    pub fn allows_database(&self, database: u32) -> bool {
        self.databases.as_ref().is_none_or(|allowed| allowed.contains(&database))
    }

    /// Whether it allows all keys, whatever is done to them.
    pub fn allows_all_keys(&self) -> bool {
        self.allows_all_keys
    }

    /// Whether it allows all channels.
    pub fn allows_all_channels(&self) -> bool {
        self.allows_all_channels
    }

    /// Whether it allows the command with this index and first argument.
    pub fn allows_command(&self, index: usize, first_word: Option<&[u8]>) -> bool {
        self.allows_all_commands
            || self.commands.get(index / 64).is_some_and(|word| word & (1 << (index % 64)) != 0)
            || first_word.is_some_and(|word| {
                let allowed = self.first_words.get(&index);
                allowed.is_some_and(|words| words.iter().any(|known| known.eq_ignore_ascii_case(word)))
            })
    }

    /// Whether it allows this to be done to a key.
    pub fn allows_key(&self, key: &[u8], access: KeyAccess) -> bool {
        self.allows_all_keys
            || self
                .keys
                .iter()
                .any(|keys| keys.access.contains(access) && glob::matches(&keys.pattern, key, false))
    }

    /// Whether it allows this to be done to whatever key.
    pub fn allows_any_key(&self, access: KeyAccess) -> bool {
        self.allows_all_keys
            || self.keys.iter().any(|keys| keys.access.contains(access) && keys.pattern == b"*")
    }

    /// Whether it allows a channel, or a pattern of channels: that is no channel, and must be among its own as it is.
    pub fn allows_channel(&self, name: &[u8], is_pattern: bool) -> bool {
        self.allows_all_channels
            || self
                .channels
                .iter()
                .any(|allowed| if is_pattern { allowed == name } else { glob::matches(allowed, name, false) })
    }

    /// The rules about commands.
    pub fn describe_commands(&self) -> Vec<u8> {
        let first = if self.begins_with_all { "+@all" } else { "-@all" };
        let rules = std::iter::once(first).chain(self.command_rules.iter().map(String::as_str));
        rules.collect::<Vec<_>>().join(" ").into_bytes()
    }

    /// The rules about keys.
    pub fn describe_keys(&self) -> Vec<u8> {
        if self.allows_all_keys {
            return b"~*".to_vec();
        }
        self.keys.iter().map(KeyPattern::describe).collect::<Vec<_>>().join(&b' ')
    }

    /// The rules about channels.
    pub fn describe_channels(&self) -> Vec<u8> {
        if self.allows_all_channels {
            return b"&*".to_vec();
        }
        self.channels
            .iter()
            .map(|channel| [b"&", channel.as_slice()].concat())
            .collect::<Vec<_>>()
            .join(&b' ')
    }

    /// The rule about databases; none where all are allowed, as in a server that has no such rules.
    pub fn describe_databases(&self) -> Option<Vec<u8>> {
        let allowed = self.databases.as_ref()?;
        let numbers: Vec<String> = allowed.iter().map(u32::to_string).collect();
        Some(if numbers.is_empty() {
            b"resetdbs".to_vec()
        } else {
            format!("db={}", numbers.join(",")).into()
        })
    }

    /// All rules that make it, from nothing.
    pub fn describe(&self) -> Vec<u8> {
        let mut parts = vec![self.describe_keys()];
        if !self.allows_all_channels {
            parts.push(b"resetchannels".to_vec());
        }
        parts.push(self.describe_channels());
        parts.extend(self.describe_databases());
        parts.push(self.describe_commands());
        parts.retain(|part| !part.is_empty());
        parts.join(&b' ')
    }
}

/// Reads `0,1,15`.
fn parse_databases(numbers: &[u8]) -> Result<BTreeSet<u32>, RuleError> {
    let number = |digits: &[u8]| match swytch_decimal::parse_i64(digits) {
        Some(number) => i32::try_from(number)
            .ok()
            .and_then(|number| u32::try_from(number).ok())
            .ok_or(RuleError::OutOfRange),
        None => Err(RuleError::Syntax),
    };
    numbers.split(|byte| *byte == b',').map(number).collect()
}

/// Reads `RW~pattern` or the like.
fn parse_access(rule: &[u8]) -> Option<(KeyAccess, &[u8])> {
    let mut access = KeyAccess::empty();
    for (at, byte) in rule.iter().enumerate() {
        let more = match byte.to_ascii_uppercase() {
            b'R' => KeyAccess::READ,
            b'W' => KeyAccess::WRITE,
            b'~' if !access.is_empty() => return Some((access, &rule[at + 1..])),
            _ => return None,
        };
        if access.contains(more) {
            return None;
        }
        access |= more;
    }
    // Redis takes a rule without a tilde for one about the empty pattern.
    (!access.is_empty()).then_some((access, &[]))
}
