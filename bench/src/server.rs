//! A server that is measured: started by the testkit, on cores of its own if wanted, and stopped when dropped.
use std::time::Duration;

use anyhow::{Context, Result};
use swytch_testkit::Program;

use crate::client::Client;
use crate::process;

/// A running server.
#[derive(Debug)]
pub struct Server(swytch_testkit::Server);

impl Server {
    /// Starts the program with the given directives (`["--save", ""]`) and waits until it answers.
    /// `cores` pins every thread of the server to these cores.
    ///
    /// # Errors
    /// When the binary cannot be started, ends at once, or does not answer; the error carries the end of the
    /// server's log.
    pub fn start(program: &Program, directives: &[&str], cores: Option<&[usize]>) -> Result<Server> {
        let launch = program.launch("measured").arguments(&["--bind", "127.0.0.1"]).arguments(directives);
        let started = launch.cores(cores.unwrap_or_default()).run();
        Ok(Server(started.with_context(|| format!("{} did not start", program.name))?))
    }

    /// Kills the process and starts it again where it was.
    ///
    /// # Errors
    /// When it does not start.
    pub fn restart(&mut self) -> Result<()> {
        self.0.kill();
        self.0.start_again().context("starting it again")
    }

    /// The TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.0.port
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.0.pid()
    }

    /// A new connection.
    pub fn connect(&self) -> Result<Client> {
        Client::connect(self.port())
    }

    /// CPU time used so far, see [`process::cpu_time`].
    pub fn cpu_time(&self) -> Result<Duration> {
        process::cpu_time(self.pid())
    }

    /// Resident memory now, see [`process::resident_bytes`].
    pub fn resident_bytes(&self) -> Result<u64> {
        process::resident_bytes(self.pid())
    }

    /// Whether the process still runs.
    pub fn is_running(&mut self) -> bool {
        self.0.is_running()
    }

    /// The end of what the server wrote to standard output and standard error, at most `lines` lines.
    pub fn log_tail(&self, lines: usize) -> String {
        self.0.log_tail(lines)
    }
}
