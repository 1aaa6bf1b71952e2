//! What a script wants of the server that runs it.

use swytch_resp::Protocol;

/// The server, to a script that runs.
pub trait Host {
    /// Runs a command; `take` is given its reply once, whole.
    fn call(&mut self, words: &[&[u8]], protocol: Protocol, take: &mut dyn FnMut(&[u8])) -> Called;

    /// Whether the script's client may run a command.
    ///
    /// # Errors
    /// A text when there is no such command.
    fn may_run(&mut self, words: &[&[u8]]) -> Result<bool, &'static str>;

    /// Writes a line to the server's log. Levels are those of `redis.LOG_*`.
    fn log(&mut self, level: u8, line: &[u8]);

    /// Is asked every now and then while a script runs.
    fn tick(&mut self) -> Verdict;
}

/// What has become of a command that a script has called.
#[derive(Debug)]
pub enum Called {
    /// It is answered.
    Answered,
    /// It was refused with this error, which is counted already.
    Refused(Vec<u8>),
    /// The script has to be taken back and run again: it ends here, and nothing in it can keep it from ending.
    Again,
}

/// Whether a script goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It does.
    GoOn,
    /// It ends with this error.
    End(&'static str),
}
