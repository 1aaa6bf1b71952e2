//! What rules are made of: the words of SETUSER, of files and of `user` lines.

use std::borrow::Cow;

/// A command as rules name it.
#[derive(Clone, Debug)]
pub struct NamedCommand {
    /// Its index.
    pub index: usize,
    /// `name`, or `container|name`.
    pub full_name: &'static str,
    /// It belongs to a container.
    pub is_subcommand: bool,
    /// The subcommands of a container, by their indexes.
    pub subcommands: Vec<usize>,
}

/// The commands that rules may name, whatever `rename-command` has made of them.
pub trait Names: std::fmt::Debug + Send + Sync {
    /// How many indexes there are.
    fn count(&self) -> usize;
    /// The command or subcommand of this full name, in any case.
    fn find(&self, full_name: &[u8]) -> Option<NamedCommand>;
    /// Whether Redis has a command or subcommand of this full name that is not here: a rule about it is none that anybody
    /// could break.
    fn is_elsewhere(&self, full_name: &[u8]) -> bool;
    /// All commands of a category, or `None` if there is no such category.
    fn in_category(&self, category: &[u8]) -> Option<Vec<NamedCommand>>;
}

/// What is wrong with a rule, in Redis's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleError {
    /// It names a command or category that does not exist.
    Unknown,
    /// It is no rule.
    Syntax,
    /// All keys are allowed already.
    BehindAllKeys,
    /// All channels are allowed already.
    BehindAllChannels,
    /// There is no such password to remove.
    NoSuchPassword,
    /// A hash that is none.
    BadHash,
    /// A subcommand has no first argument to allow.
    FirstWordOfSubcommand,
    /// A database has no such number.
    OutOfRange,
}

impl std::fmt::Display for RuleError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            RuleError::Unknown => "Unknown command or category name in ACL",
            RuleError::Syntax => "Syntax error",
            RuleError::BehindAllKeys => {
                "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any \
                 effect. Try 'resetkeys' to start with an empty list of patterns"
            }
            RuleError::BehindAllChannels => {
                "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have any \
                 effect. Try 'resetchannels' to start with an empty list of channels"
            }
            RuleError::NoSuchPassword => {
                "The password you are trying to remove from the user does not exist"
            }
            RuleError::BadHash => {
                "The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters"
            }
            RuleError::FirstWordOfSubcommand => "Allowing first-arg of a subcommand is not supported",
            RuleError::OutOfRange => "The provided database ID is out of range",
        })
    }
}

/// Whether a word has what would not be read back as one.
pub(super) fn has_spaces(word: &[u8]) -> bool {
    word.iter().any(|byte| byte.is_ascii_whitespace() || matches!(byte, 0 | 0x0b))
}

/// The rules that words are: a selector in parentheses may be several words.
///
/// # Errors
/// The word that opens a parenthesis which is not closed.
pub fn merge_words<'a>(words: &[&'a [u8]]) -> Result<Vec<Cow<'a, [u8]>>, &'a [u8]> {
    let mut rules = Vec::new();
    let mut open: Option<(&[u8], Vec<u8>)> = None;
    for word in words {
        match &mut open {
            Some((_, selector)) => {
                selector.push(b' ');
                selector.extend_from_slice(word);
                if word.ends_with(b")") {
                    rules.extend(open.take().map(|(_, selector)| Cow::Owned(selector)));
                }
            }
            None if word.starts_with(b"(") && !word.ends_with(b")") => open = Some((word, word.to_vec())),
            None => rules.push(Cow::Borrowed(*word)),
        }
    }
    open.map_or(Ok(rules), |(first, _)| Err(first))
}
