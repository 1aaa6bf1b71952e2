//! Loading the configuration: files in redis.conf syntax, standard input, and the command line.
//!
//! Every source is lines of words; a later line overrides an earlier one, but for `save`, whose lines add
//! up. An error names the place, shows the line, and hints at the nearest known name; nothing after it
//! is read. Directives without a meaning here end in one [`Warning`] each, and those that are not served and would cost
//! something to ignore in one refusal each, so that one start shows all of them.
//!
//! Bounds: [`FILE_BYTES_MAX`], [`LINE_BYTES_MAX`], [`INCLUDE_DEPTH_MAX`], [`FILES_MAX`].
//! Neighbours: `words.rs` splits lines; `cli/` turns arguments into lines.

use super::directive::Special;
use super::directives::{COUNT, DIRECTIVES, RETIRED, find, nearest, slot};
use super::{Config, Kind, value, words};
use crate::system::{files, glob};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

/// Most bytes of one configuration file. Redis's own, comments and all, has about 110 kB.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// Most bytes of one line: far above the longest list of an ACL user's rules.
const LINE_BYTES_MAX: usize = 1 << 20;
/// Most files that include each other in a chain; a file that includes itself ends here.
const INCLUDE_DEPTH_MAX: usize = 16;
/// Most files read for one configuration.
const FILES_MAX: usize = 1000;

/// Where a line stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A line of a file, counted from 1.
    File(PathBuf, usize),
    /// A line of standard input, counted from 1.
    StandardInput(usize),
    /// The command line.
    CommandLine,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File(path, line) => write!(f, "line {line} of {}", path.display()),
            Place::StandardInput(line) => write!(f, "line {line} of standard input"),
            Place::CommandLine => write!(f, "the command line"),
        }
    }
}

/// Why the configuration could not be loaded.
#[derive(Clone, Debug)]
pub struct ConfigError {
    /// Where; `None` when a file given as such could not be read.
    pub place: Option<Place>,
    /// The line as written; secrets are left out.
    pub line: String,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "configuration error on {place}\n>>> '{}'\n{}", self.line, self.message),
            None => write!(f, "configuration error: {}", self.message),
        }
    }
}

impl std::error::Error for ConfigError {}

/// A directive that was accepted although it changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Where it was last given.
    pub place: Place,
    /// Its name as in the list of directives.
    pub name: String,
    /// Why it changes nothing.
    pub reason: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}' on {} has no effect: {}", self.name, self.place, self.reason)
    }
}

/// A `rename-command` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenamedCommand {
    /// The command's own name.
    pub from: Vec<u8>,
    /// Its new name; empty for a command that cannot be called at all.
    pub to: Vec<u8>,
    /// Where the line stands, for an error about a name that does not exist or is taken.
    pub place: Place,
}

/// A `user` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserLine {
    /// Its name.
    pub name: Vec<u8>,
    /// What it may do.
    pub rules: Vec<Vec<u8>>,
    /// Where the line stands, for an error about a rule.
    pub place: Place,
}

impl UserLine {
    /// An error about it; its rules may hold passwords, and are left out.
    pub fn error(&self, message: String) -> ConfigError {
        let line = [b"user ", &self.name[..], b" ..."].concat();
        ConfigError { place: Some(self.place.clone()), line: shown(&line), message }
    }
}

/// A configuration that is ready for use.
pub struct Loaded {
    /// The values.
    pub config: Config,
    /// What was accepted without effect, in the order given.
    pub warnings: Vec<Warning>,
    /// What is well-formed and not served, in the order given: the server does not start with any.
    pub refusals: Vec<ConfigError>,
    /// `rename-command` lines in the order given.
    pub renamed_commands: Vec<RenamedCommand>,
    /// `user` lines in the order given, one for each name.
    pub users: Vec<UserLine>,
}

/// Loads one configuration from several sources, in their order.
pub struct Loader {
    config: Config,
    /// Where each directive was last given, by slot, with the order of the first time.
    mentioned: Vec<Option<Place>>,
    order: Vec<usize>,
    warnings: Vec<Warning>,
    renamed_commands: Vec<RenamedCommand>,
    users: Vec<UserLine>,
    /// `save` was given: the defaults are gone, and further lines add up.
    save_given: bool,
    files: usize,
}

impl Loader {
    /// Starts with the defaults.
    pub fn new() -> Loader {
        Loader::starting_from(Config::new())
    }

    /// Starts with `config`.
    pub fn starting_from(config: Config) -> Loader {
        Loader {
            config,
            mentioned: vec![None; COUNT],
            order: Vec::new(),
            warnings: Vec::new(),
            renamed_commands: Vec::new(),
            users: Vec::new(),
            save_given: false,
            files: 0,
        }
    }

    /// Loads the main configuration file; CONFIG REWRITE will write to it.
    pub fn main_file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
        self.config.file = Some(absolute);
        self.file(path, 1).map_err(|error| match error {
            FileError::Unreadable(message) => ConfigError { place: None, line: String::new(), message },
            FileError::Config(error) => error,
        })
    }

    /// Loads what standard input holds.
    pub fn standard_input(&mut self, input: &mut dyn Read) -> Result<(), ConfigError> {
        let text = read_bounded(input).map_err(|message| ConfigError {
            place: None,
            line: String::new(),
            message: format!("cannot read standard input: {message}"),
        })?;
        self.text(&text, 1, Place::StandardInput)
    }

    /// Loads lines made from the command line.
    pub fn command_line(&mut self, text: &[u8]) -> Result<(), ConfigError> {
        self.text(text, 1, |_| Place::CommandLine)
    }

    /// Ends loading: checks what only the whole can tell.
    pub fn finish(mut self) -> Result<Loaded, ConfigError> {
        let mut refusals = Vec::new();
        for &at in &self.order {
            let directive = &DIRECTIVES[at];
            let Some(place) = self.mentioned[at].clone() else {
                continue;
            };
            let value = self.config.values()[at].clone();
            if let Some(reason) = directive.refusal(&value) {
                let text = value::format(directive, &value);
                let line = [directive.name.as_bytes(), b" ", &text].concat();
                let message = format!("'{}' is refused: {reason}", directive.name);
                refusals.push(ConfigError { line: shown(&line), message, place: Some(place) });
                continue;
            }
            let Some(reason) = directive.without_meaning(&value) else { continue };
            self.warnings.push(Warning { place, name: directive.name.to_owned(), reason: reason.to_owned() });
        }
        if self.config.cluster_enabled() {
            // Clients of a cluster know of one database.
            self.config.load(slot("databases"), &[b"1"], false).expect("it is a number of databases");
        }
        Ok(Loaded {
            config: self.config,
            warnings: self.warnings,
            refusals,
            renamed_commands: self.renamed_commands,
            users: self.users,
        })
    }

    fn file(&mut self, path: &Path, depth: usize) -> Result<(), FileError> {
        self.files += 1;
        if self.files > FILES_MAX {
            return Err(FileError::Unreadable(format!("more than {FILES_MAX} configuration files")));
        }
        let unreadable = |message| {
            FileError::Unreadable(format!("can't open config file '{}': {message}", path.display()))
        };
        let mut file = File::open(path).map_err(|error| unreadable(files::error_text(&error)))?;
        let text = read_bounded(&mut file).map_err(unreadable)?;
        self.text(&text, depth, |line| Place::File(path.to_path_buf(), line)).map_err(FileError::Config)
    }

    fn text(
        &mut self,
        text: &[u8],
        depth: usize,
        place_of: impl Fn(usize) -> Place,
    ) -> Result<(), ConfigError> {
        for (index, line) in text.split(|&byte| byte == b'\n').enumerate() {
            let line = line.trim_ascii();
            if line.is_empty() || line[0] == b'#' {
                continue;
            }
            let place = place_of(index + 1);
            self.line(line, depth, &place).map_err(|error| match error {
                LineError::Here(message) => ConfigError { line: shown(line), message, place: Some(place) },
                LineError::Included(error) => error,
            })?;
        }
        Ok(())
    }

    fn line(&mut self, line: &[u8], depth: usize, place: &Place) -> Result<(), LineError> {
        if line.len() > LINE_BYTES_MAX {
            return Err(here(&format!("the line is longer than {LINE_BYTES_MAX} bytes")));
        }
        let mut words = words::split(line).ok_or_else(|| here("Unbalanced quotes in configuration line"))?;
        if words.is_empty() {
            return Ok(());
        }
        let name = words.remove(0).to_ascii_lowercase();
        if let Some((slot, _)) = find(&name) {
            return self.directive(slot, &words, place);
        }
        let retired = RETIRED.iter().find(|(known, _)| known.as_bytes() == name);
        if let (Some((name, reason)), [_]) = (retired, words.as_slice()) {
            self.warn(place, name, reason);
            return Ok(());
        }
        match (name.as_slice(), words.as_slice()) {
            (b"include", [pattern]) => self.include(pattern, depth),
            (b"rename-command", [from, to]) => {
                self.renamed_commands.push(RenamedCommand {
                    from: from.clone(),
                    to: to.clone(),
                    place: place.clone(),
                });
                Ok(())
            }
            (b"user", [name, rules @ ..]) => {
                if self.users.iter().any(|user| user.name == *name) {
                    return Err(here(
                        "Duplicate user found. A user can only be defined once in config files",
                    ));
                }
                self.users.push(UserLine { name: name.clone(), rules: rules.to_vec(), place: place.clone() });
                Ok(())
            }
            (b"loadmodule", [module, ..]) => Err(LineError::Here(format!(
                "'loadmodule' is refused: modules are not served by this build, and the commands of {} would be missing",
                String::from_utf8_lossy(module)
            ))),
            (b"sentinel", _) => Err(here("sentinel directive while not in sentinel mode")),
            (b"include" | b"rename-command" | b"user" | b"loadmodule", _) => {
                Err(here("wrong number of arguments"))
            }
            _ => Err(here(&unknown(&name))),
        }
    }

    fn directive(&mut self, slot: usize, words: &[Vec<u8>], place: &Place) -> Result<(), LineError> {
        let directive = &DIRECTIVES[slot];
        // "a b c" in one word stands for three words where several are taken.
        let resplit = match words {
            [word] if directive.several_words && !word.is_empty() => {
                Some(words::split(word).ok_or_else(|| here("Unbalanced quotes in configuration line"))?)
            }
            _ => None,
        };
        let words: Vec<&[u8]> = resplit.as_deref().unwrap_or(words).iter().map(Vec::as_slice).collect();
        if !directive.several_words && words.len() != 1 {
            return Err(here("wrong number of arguments"));
        }
        let is_save = matches!(directive.kind, Kind::Special(Special::Save));
        let accumulate = is_save && self.save_given;
        self.save_given |= is_save;
        self.config.load(slot, &words, accumulate).map_err(|reason| here(&reason))?;
        if self.mentioned[slot].replace(place.clone()).is_none() {
            self.order.push(slot);
        }
        Ok(())
    }

    /// Loads the file or, with wildcards, the files: then there may be none.
    fn include(&mut self, pattern: &[u8], depth: usize) -> Result<(), LineError> {
        if depth >= INCLUDE_DEPTH_MAX {
            return Err(here(&format!("more than {INCLUDE_DEPTH_MAX} files include each other")));
        }
        let pattern = self.config.resolve(OsStr::from_bytes(pattern));
        let paths =
            if glob::has_wildcard(pattern.as_os_str().as_bytes()) { expand(&pattern) } else { vec![pattern] };
        for path in paths {
            self.file(&path, depth + 1).map_err(|error| match error {
                FileError::Unreadable(message) => LineError::Here(message),
                FileError::Config(error) => LineError::Included(error),
            })?;
        }
        Ok(())
    }

    fn warn(&mut self, place: &Place, name: &str, reason: &str) {
        self.warnings.push(Warning {
            place: place.clone(),
            name: name.to_owned(),
            reason: reason.to_owned(),
        });
    }
}

impl Default for Loader {
    fn default() -> Loader {
        Loader::new()
    }
}

enum LineError {
    /// The line itself is wrong.
    Here(String),
    /// A line of a file it includes is wrong.
    Included(ConfigError),
}

enum FileError {
    Unreadable(String),
    Config(ConfigError),
}

fn here(message: &str) -> LineError {
    LineError::Here(message.to_owned())
}

fn unknown(name: &[u8]) -> String {
    let hint = match nearest(name) {
        Some(known) => format!("; did you mean '{known}'?"),
        None => String::new(),
    };
    format!(
        "Bad directive or wrong number of arguments: '{}' is unknown{hint}",
        String::from_utf8_lossy(name)
    )
}

/// The line as an error shows it: without secrets, and not endless.
fn shown(line: &[u8]) -> String {
    const SHOWN_MAX: usize = 200;
    let end = line.iter().position(u8::is_ascii_whitespace).unwrap_or(line.len());
    let name = String::from_utf8_lossy(&line[..end]);
    if Config::is_sensitive(&line[..end]) || line[..end].eq_ignore_ascii_case(b"user") {
        return format!("{name} (value not shown)");
    }
    match line.len() {
        0..=SHOWN_MAX => String::from_utf8_lossy(line).into_owned(),
        _ => format!("{}...", String::from_utf8_lossy(&line[..SHOWN_MAX])),
    }
}

fn read_bounded(input: &mut dyn Read) -> Result<Vec<u8>, String> {
    let mut text = Vec::new();
    input.take(FILE_BYTES_MAX + 1).read_to_end(&mut text).map_err(|error| files::error_text(&error))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("more than {FILE_BYTES_MAX} bytes"));
    }
    Ok(text)
}

/// Expands wildcards in the components of an absolute path, sorted; as in a shell, a wildcard does not
/// match a leading dot. Directories that cannot be read match nothing.
fn expand(pattern: &Path) -> Vec<PathBuf> {
    let mut paths = vec![PathBuf::new()];
    for component in pattern.components() {
        let name = component.as_os_str();
        let wild = matches!(component, Component::Normal(_)) && glob::has_wildcard(name.as_bytes());
        paths = if wild {
            paths.iter().flat_map(|path| entries(path, name.as_bytes())).collect()
        } else {
            paths.into_iter().map(|path| path.join(name)).collect()
        };
        paths.truncate(FILES_MAX + 1);
    }
    paths.retain(|path| path.exists());
    paths
}

fn entries(directory: &Path, pattern: &[u8]) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return Vec::new();
    };
    let mut names: Vec<Vec<u8>> = entries
        .filter_map(|entry| Some(entry.ok()?.file_name().into_vec()))
        .filter(|name| name[0] != b'.' || pattern[0] == b'.')
        .filter(|name| glob::matches(pattern, name, false))
        .collect();
    names.sort();
    names.into_iter().map(|name| directory.join(OsString::from_vec(name))).collect()
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
