//! The command line: `swytch redis [CONFIG-FILE] [--directive value ...]`, `swytch check-rdb FILE`,
//! `swytch check-aof PATH`, `swytch manual`, `swytch completions SHELL`, `swytch version`, `swytch help`.
//!
//! After `redis` the arguments follow redis-server's own rules (the loop over `argv` in the `main` of Redis's
//! `src/server.c`): each `--name` starts a line of configuration, the arguments after it are its words.
//! So everything the file can say, the command line can say, with the same checks and errors. Written by
//! hand, because those rules are not what an option parser offers.
//!
//! Neighbours: `config::Loader` reads the lines; `help.rs`, `manual.rs` and `completions.rs` write
//! their texts from the list of directives.

mod check_aof;
mod check_rdb;
mod completions;
mod help;
mod manual;

use crate::SWYTCH_VERSION;
use crate::config::{ConfigError, Loaded, Loader, quote, split_words};
use std::ffi::OsString;
use std::fmt;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::process::ExitCode;

pub use check_aof::CheckAof;
pub use check_rdb::CheckRdb;
pub use completions::Shell;

/// Exit code when the configuration is wrong or the server failed.
const FAILURE: u8 = 1;
/// Exit code when the command line was not understood.
const USAGE: u8 = 2;

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Invocation {
    /// Run the server.
    Redis(RedisArguments),
    /// Look into an RDB file.
    CheckRdb(CheckRdb),
    /// Say what `swytch check-rdb` takes.
    CheckRdbHelp,
    /// Look into an append-only log.
    CheckAof(CheckAof),
    /// Say what `swytch check-aof` takes.
    CheckAofHelp,
    /// Write the manual page.
    Manual,
    /// Write what completes the command line.
    Completions(Shell),
    /// Say the version.
    Version,
    /// Say what `swytch` can do.
    Help,
    /// Say what `swytch redis` takes.
    RedisHelp,
}

/// The arguments after `swytch redis`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct RedisArguments {
    /// The configuration file.
    pub config_file: Option<PathBuf>,
    /// `-` was given: standard input holds configuration, too.
    pub read_standard_input: bool,
    /// The other arguments as lines of configuration.
    pub lines: Vec<u8>,
}

/// The command line was not understood.
#[derive(Debug, PartialEq, Eq)]
pub struct UsageError(String);

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\nTry 'swytch help'.", self.0)
    }
}

impl std::error::Error for UsageError {}

impl RedisArguments {
    /// Loads the file, then standard input, then the other arguments; the last one counts.
    pub fn load(&self, standard_input: &mut dyn Read) -> Result<Loaded, ConfigError> {
        let mut loader = Loader::new();
        if let Some(path) = &self.config_file {
            loader.main_file(path)?;
        }
        if self.read_standard_input {
            loader.standard_input(standard_input)?;
        }
        loader.command_line(&self.lines)?;
        loader.finish()
    }
}

/// The whole program: understands `arguments` (the first is the program's name), and calls `serve` with
/// the configuration to run the server. Messages go to standard error, answers to standard output.
pub fn run(
    arguments: impl IntoIterator<Item = OsString>,
    serve: impl FnOnce(Loaded) -> ExitCode,
) -> ExitCode {
    let arguments = match parse(arguments.into_iter().skip(1)) {
        Ok(Invocation::Redis(arguments)) => arguments,
        Ok(Invocation::CheckRdb(wanted)) => return check_rdb::run(&wanted),
        Ok(Invocation::CheckRdbHelp) => return print(check_rdb::USAGE),
        Ok(Invocation::CheckAof(wanted)) => return check_aof::run(&wanted),
        Ok(Invocation::CheckAofHelp) => return print(check_aof::USAGE),
        Ok(Invocation::Manual) => return print(&manual::page()),
        Ok(Invocation::Completions(shell)) => return print(&completions::text(shell)),
        Ok(Invocation::Version) => return print(&format!("{}\n", version())),
        Ok(Invocation::Help) => return print(&help::overview()),
        Ok(Invocation::RedisHelp) => return print(&help::redis()),
        Err(error) => {
            eprintln!("swytch: {error}");
            return ExitCode::from(USAGE);
        }
    };
    match arguments.load(&mut io::stdin().lock()) {
        Ok(loaded) if loaded.refusals.is_empty() => serve(loaded),
        Ok(loaded) => {
            loaded.refusals.iter().for_each(|refusal| eprintln!("swytch: {refusal}"));
            ExitCode::from(FAILURE)
        }
        Err(error) => {
            eprintln!("swytch: {error}");
            ExitCode::from(FAILURE)
        }
    }
}

/// Understands the arguments after the program's name.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Invocation, UsageError> {
    let mut arguments = arguments.into_iter().map(OsString::into_vec);
    let Some(command) = arguments.next() else {
        return Ok(Invocation::Help);
    };
    let rest: Vec<Vec<u8>> = arguments.collect();
    match command.as_slice() {
        b"redis" => Ok(parse_redis(&rest)),
        b"check-rdb" => {
            let wanted = check_rdb::parse(rest.into_iter().map(OsString::from_vec).collect())?;
            Ok(wanted.map_or(Invocation::CheckRdbHelp, Invocation::CheckRdb))
        }
        b"check-aof" => {
            let wanted = check_aof::parse(rest.into_iter().map(OsString::from_vec).collect())?;
            Ok(wanted.map_or(Invocation::CheckAofHelp, Invocation::CheckAof))
        }
        b"help" if rest.first().is_some_and(|topic| topic == b"check-aof") => Ok(Invocation::CheckAofHelp),
        b"help" if rest.first().is_some_and(|topic| topic == b"check-rdb") => Ok(Invocation::CheckRdbHelp),
        b"help" if rest.first().is_some_and(|topic| topic == b"redis") => Ok(Invocation::RedisHelp),
        b"help" | b"--help" | b"-h" => Ok(Invocation::Help),
        b"manual" => Ok(Invocation::Manual),
        b"completions" => completions::parse(&rest).map(Invocation::Completions),
        b"version" | b"--version" | b"-v" | b"-V" => Ok(Invocation::Version),
        other => {
            let other = String::from_utf8_lossy(other);
            let hint =
                if other.starts_with("--") { "; options of the server follow 'swytch redis'" } else { "" };
            Err(UsageError(format!("unknown command '{other}'{hint}")))
        }
    }
}

/// The version as `swytch version` prints it.
pub fn version() -> String {
    format!("swytch {} {} {}", SWYTCH_VERSION, std::env::consts::OS, std::env::consts::ARCH)
}

fn parse_redis(arguments: &[Vec<u8>]) -> Invocation {
    match arguments.first().map(Vec::as_slice) {
        Some(b"--help" | b"-h") => return Invocation::RedisHelp,
        Some(b"--version" | b"-v") => return Invocation::Version,
        _ => {}
    }
    let mut parsed = RedisArguments::default();
    let mut rest = arguments;
    if let Some((first, tail)) = arguments.split_first()
        && !first.starts_with(b"-")
        && !first.is_empty()
    {
        parsed.config_file = Some(PathBuf::from(OsString::from_vec(first.clone())));
        rest = tail;
    }
    // Whether the last --name has had its first word: until then even "--x" is a word.
    let mut complete = true;
    for (index, argument) in rest.iter().enumerate() {
        let last = index + 1 == rest.len();
        // Redis looks for "-" as its very first or very last argument; a file may stand before it.
        let first = index == 0 && rest.len() == arguments.len();
        if argument == b"-" && (first || last) {
            parsed.read_standard_input = true;
        } else if complete && argument.starts_with(b"--") {
            if !parsed.lines.is_empty() {
                parsed.lines.push(b'\n');
            }
            parsed.lines.extend_from_slice(&argument[2..]);
            parsed.lines.push(b' ');
            // "--port 6380" in one argument has its word already.
            complete = split_words(argument).is_none_or(|words| words.len() != 1);
            let next_is_name = rest.get(index + 1).is_some_and(|next| next.starts_with(b"--"));
            if argument.eq_ignore_ascii_case(b"--save") && (last || next_is_name) {
                // Scripts that build "--save" with an empty list of save points mean an empty list.
                parsed.lines.extend_from_slice(b"\"\"");
                complete = true;
            }
        } else {
            parsed.lines.extend(quote(argument));
            parsed.lines.push(b' ');
            complete = true;
        }
    }
    Invocation::Redis(parsed)
}

/// Prints an answer; a reader that has gone away (`swytch help | head -1`) is no failure.
fn print(text: &str) -> ExitCode {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => ExitCode::from(FAILURE),
        _ => ExitCode::SUCCESS,
    }
}

#[cfg(test)]
mod tests;
