//! Running one file of the suite against one server binary, in one of three ways.
//!
//! `external`: the server is started first and the suite connects to it; tests that need a server of their own
//! are left out by the suite. `own`: the suite starts `src/redis-server` itself, which in our copy of the suite
//! is a script that calls the server under test, so those tests run too. `tls`: the same, and all of its clients
//! speak TLS with certificates that the suite makes itself. In files where servers follow one another those that follow are the
//! release's own, and the server under test is whom they follow.
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use swytch_bench::server::Server;
use swytch_testkit::Program;

use super::output::{self, Outcome};
use super::release::{Adaptation, Release};
use super::replay::Recording;
use crate::workspace::{find_program, output_of, target_directory};

/// Tests with these tags are left out everywhere, for time.
const TAGS: &str = "-slow";
/// A file whose tests are all tagged slow would say nothing without them; this one takes 15 s.
const SLOW_FILE: &str = "unit/type/list-2";
/// The directives a server needs so that the suite may use DEBUG and protected settings.
const EXTERNAL_DIRECTIVES: [&str; 6] =
    ["--enable-debug-command", "yes", "--enable-protected-configs", "yes", "--save", ""];
/// Seconds without a finished test after which the suite itself gives up.
const STALL_LIMIT_SECONDS: &str = "120";

/// What the configuration of a server says that follows another one.
const FOLLOWS: &str = "# follows";
/// The servers that a file starts are marked in their order, again and again.
const MARKS_FOLLOWERS: Adaptation = (
    "tests/support/server.tcl",
    "    set config_file [tmpfile redis.conf]\n",
    "    set config_file [tmpfile redis.conf]\n    if {[info exists ::env(SUITE_FOLLOWERS)]} {\n        set which [string index \
     $::env(SUITE_FOLLOWERS) [expr {([incr ::suite_servers] - 1) % [string length $::env(SUITE_FOLLOWERS)]}]]\n        if {$which eq \
     {F}} {lappend config_lines {#} follows}\n    }\n",
);

/// Which side starts the server, and how its clients speak to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Mode {
    /// We start it, the suite connects.
    External,
    /// The suite starts it.
    Own,
    /// The suite starts it and connects over TLS.
    Tls,
}

impl Mode {
    /// All, in the order of the table's columns.
    pub(crate) const ALL: [Mode; 3] = [Mode::External, Mode::Own, Mode::Tls];
    /// The usual ones.
    pub(crate) const BOTH: [Mode; 2] = [Mode::External, Mode::Own];

    /// The word on the command line and in files.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Mode::External => "external",
            Mode::Own => "own",
            Mode::Tls => "tls",
        }
    }
}

/// A copy of the suite with a wrapper for the server under test.
#[derive(Debug)]
pub(crate) struct Suite {
    program: Program,
    directory: PathBuf,
    logs: PathBuf,
    time_limit: Duration,
    release: &'static Release,
    /// The first of the ports for the suite's own servers.
    base_port: u32,
}

impl Suite {
    /// Copies the suite from the unpacked source package, once for each lane in which it is to run. The copy is removed
    /// when dropped; the logs stay.
    pub(crate) fn prepare(
        release: &'static Release,
        source: &Path,
        program: Program,
        time_limit: Duration,
        lane: usize,
        follower: Option<&Path>,
    ) -> Result<Suite> {
        let parent = target_directory().join("conformance");
        let directory = parent.join(format!("run-{}-{lane}", std::process::id()));
        let logs = parent.join(format!("logs-{}-{}", release.name, program.name));
        fs::create_dir_all(directory.join("src"))?;
        fs::create_dir_all(&logs)?;
        let package = release.product.package();
        for part in ["tests", "runtest", "utils", &format!("{package}.conf"), "sentinel.conf"] {
            output_of(Command::new("cp").arg("-r").arg(source.join(part)).arg(&directory))?;
        }
        let ours = release.ours.iter().copied().flatten().filter(|_| program.is_swytch());
        let marks = follower.map(|_| &MARKS_FOLLOWERS);
        for (file, stands, instead) in release.adaptations.iter().chain(ours).chain(marks) {
            let text = fs::read_to_string(directory.join(file))?;
            ensure!(text.contains(*stands), "{file} of the suite is not as expected");
            fs::write(directory.join(file), text.replace(stands, instead))?;
        }
        let call: Vec<String> = std::iter::once(program.path.display().to_string())
            .chain(program.leading_arguments.iter().cloned())
            .map(|word| format!("'{word}'"))
            .collect();
        let wrapper = directory.join("src").join(format!("{package}-server"));
        // A server that follows is marked in its configuration.
        let follows = match follower {
            Some(path) => {
                format!("if grep -qs '^{FOLLOWS}$' \"$1\"; then exec '{}' \"$@\"; fi\n", path.display())
            }
            None => String::new(),
        };
        fs::write(&wrapper, format!("#!/bin/sh\n{follows}exec {} \"$@\"\n", call.join(" ")))?;
        fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755))?;
        for tool in ["cli", "benchmark", "check-aof", "check-rdb"] {
            // Those of the release itself, where it was built, or else the machine's.
            let (own, program) = (format!("{package}-{tool}"), format!("redis-{tool}"));
            let built = Some(source.join("src").join(&own)).filter(|path| path.is_file());
            let found = built.or_else(|| find_program(&program)).with_context(|| format!("no {program}"))?;
            symlink(found, directory.join("src").join(own))?;
        }
        Ok(Suite { program, release, directory, logs, time_limit, base_port: base_port(lane) })
    }

    /// Makes the certificates of the suite's servers and clients.
    pub(crate) fn make_certificates(&self) -> Result<()> {
        output_of(Command::new("utils/gen-test-certs.sh").current_dir(&self.directory)).map(drop)
    }

    /// The folder with the suite's full output per file.
    pub(crate) fn logs(&self) -> &Path {
        &self.logs
    }

    /// Runs one file (`unit/scan`). A failing test is no error; not being able to run the file at all is.
    /// `progress` hears each line the suite prints.
    pub(crate) fn run(&self, file: &str, mode: Mode, progress: &dyn Fn(&str)) -> Result<Outcome> {
        let mut command = Command::new("./runtest");
        let tags = if file == SLOW_FILE { "" } else { TAGS };
        command.args(["--single", file, "--tags", tags, "--clients", "1", "--durable"]);
        command.args(["--timeout", STALL_LIMIT_SECONDS]);
        command.current_dir(&self.directory).env("TERM", "dumb").stdin(Stdio::null());
        if let Some(which) = self.release.follows(file).filter(|_| self.program.is_swytch()) {
            command.env("SUITE_FOLLOWERS", which);
        }
        let mut server = match mode {
            Mode::External => Some(Server::start(&self.program, &EXTERNAL_DIRECTIVES, None)?),
            Mode::Own | Mode::Tls => None,
        };
        if mode == Mode::Tls {
            command.arg("--tls");
        }
        let recording = match &server {
            Some(server) if self.program.is_swytch() => Some(Recording::begin(server, &self.directory)?),
            _ => None,
        };
        command.args(["--baseport", &self.base_port.to_string(), "--portcount", "100"]);
        if let Some(server) = &server {
            command.args(["--host", "127.0.0.1", "--port", &server.port().to_string()]);
        }
        let (text, in_time) = self.run_bounded(command, progress)?;
        let mut outcome = output::parse(&text);
        if !in_time {
            outcome.broken_off = Some(format!("no end after {} s", self.time_limit.as_secs()));
        }
        let mut log = text;
        if let Some(server) = &mut server {
            if !server.is_running() {
                outcome.broken_off = Some("the server ended during the run".to_owned());
            } else if let Some(recording) = recording {
                let proof = recording.prove(server, &self.program, &EXTERNAL_DIRECTIVES);
                outcome.unfaithful = proof.err().map(|error| format!("{error:#}"));
            }
            log.push_str("\n--- end of the server's log\n");
            log.push_str(&server.log_tail(200));
        }
        fs::write(self.logs.join(format!("{}.{}.log", file.replace('/', "-"), mode.name())), log)?;
        Ok(outcome)
    }

    /// Runs the suite in a process group of its own, so that a run past its time ends with all of its servers.
    fn run_bounded(&self, mut command: Command, progress: &dyn Fn(&str)) -> Result<(String, bool)> {
        let errors = File::create(self.directory.join("errors"))?;
        command.process_group(0).stdout(Stdio::piped()).stderr(errors);
        let mut child = command.spawn().context("starting the Redis test suite")?;
        let stdout = child.stdout.take().context("the suite's output is piped")?;
        let (sender, receiver) = mpsc::channel();
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stdout).split(b'\n').map_while(|line| line.ok()) {
                if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    return;
                }
            }
        });
        let deadline = Instant::now() + self.time_limit;
        let mut text = String::new();
        let in_time = loop {
            match receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    progress(&line);
                    text.push_str(&line);
                    text.push('\n');
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => break true,
                Err(mpsc::RecvTimeoutError::Timeout) => break false,
            }
        };
        end_group(&mut child);
        drop(receiver);
        // After the group's end nothing holds the pipe open, so the reader ends too.
        reader.join().ok();
        text.push_str(&fs::read_to_string(self.directory.join("errors")).unwrap_or_default());
        Ok((text, in_time))
    }
}

impl Drop for Suite {
    fn drop(&mut self) {
        // What cannot be removed is only litter in the build folder.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Ends whatever is left of the suite's process group, servers included, and reaps the suite itself.
fn end_group(child: &mut Child) {
    let group = format!("-{}", child.id());
    let _ = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
    let _ = child.wait();
}

/// The first of 100 ports for the suite's own servers, below the range the system gives to outgoing connections
/// and apart for runs at the same time.
fn base_port(lane: usize) -> u32 {
    12_000 + (std::process::id() * 131 + lane as u32 * 60) % 180 * 100
}
