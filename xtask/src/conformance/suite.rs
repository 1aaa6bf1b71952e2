//! Running one file of the suite against one server binary, in one of the two ways.
//!
//! `external`: the server is started first and the suite connects to it; tests that need a server of their own
//! are left out by the suite. `own`: the suite starts `src/redis-server` itself, which in our copy of the suite
//! is a script that calls the server under test, so those tests run too.
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
use super::replay::Recording;
use crate::workspace::{find_program, output_of, target_directory};

/// Tests with these tags are left out everywhere: the slow ones for time, replication because it is measured apart.
const TAGS: &str = "-slow -needs:repl";
/// A file whose tests are all tagged slow would say nothing without them; this one takes 15 s.
const SLOW_FILE: (&str, &str) = ("unit/type/list-2", "-needs:repl");
/// The directives a server needs so that the suite may use DEBUG and protected settings.
const EXTERNAL_DIRECTIVES: [&str; 6] =
    ["--enable-debug-command", "yes", "--enable-protected-configs", "yes", "--save", ""];
/// Seconds without a finished test after which the suite itself gives up.
const STALL_LIMIT_SECONDS: &str = "120";

/// What our copy of the suite has otherwise: a file, what stands there, and what stands there instead. Neither
/// changes a verdict; both keep one missing feature from failing tests that do not need it.
const ADAPTATIONS: [(&str, &str, &str); 2] = [
    // Before each block of tests the functions are emptied; a server without functions has nothing to empty.
    ("tests/support/server.tcl", "    r function flush\n", "    catch {r function flush}\n"),
    // A test that fails between MULTI and EXEC would leave its transaction open for the tests behind it. A client
    // that reads raw replies itself is left alone.
    (
        "tests/support/test.tcl",
        "        set assertion [string match \"assertion:*\" $error]\n",
        "        set assertion [string match \"assertion:*\" $error]\n        catch {\n            regexp {\\d+$} [srv 0 client] id\n            \
         if {!$::redis::deferred($id) && !$::redis::readraw($id)} {r discard}\n        }\n",
    ),
];

/// What our copy has otherwise when the server under test is ours. It refuses to start with what it does not serve: the
/// tests that need it fail one by one instead, and the others in the file are judged. And its encodings are those of
/// Redis 8, where small lists and sets are a `listpack` since 7.2.
const OURS: [(&str, &str, &str); 18] = [
    (
        "tests/support/test.tcl",
        "    set val [r object encoding $key]\n",
        "    set val [r object encoding $key]\n    if {$val eq {listpack} && $enc in {quicklist hashtable}} {return}\n",
    ),
    ("tests/assets/default.conf", "notify-keyspace-events KEA\n", ""),
    // What two connections send without waiting has no order where they are served by different threads.
    (
        "tests/unit/type/list.tcl",
        "        $rd1 brpoplpush blist{t} target1{t} 0\n",
        "        $rd1 brpoplpush blist{t} target1{t} 0\n        wait_for_blocked_clients_count 1\n",
    ),
    (
        "tests/unit/type/list.tcl",
        "        # Blocked BLPOPLPUSH may create problems, unblock it.\n        r lpush srclist{t} element\n        set res \
         [$watching_client read]\n",
        "        set res [$watching_client read]\n        r lpush srclist{t} element\n",
    ),
    // What Redis has given up of the language is not served at all.
    ("tests/unit/scripting.tcl", " overrides {lua-enable-deprecated-api $enabled}", ""),
    ("tests/unit/scripting.tcl", "overrides {appendonly yes aof-use-rdb-preamble no}", "overrides {}"),
    (
        "tests/unit/scripting.tcl",
        "        # enable AOF to also expose an assertion if the bug would happen\n        r flushall\n        r config set \
         appendonly yes\n",
        "        r flushall\n",
    ),
    // There is no debugger, which is no reason to end the file.
    (
        "tests/unit/scripting.tcl",
        "    r script debug sync\n    r eval {return 'hello'} 0\n    r eval {return 'hello'} 0\n}\n",
        "}\n",
    ),
    // A script that is busy keeps those waiting who need its keys, so it names one, and they do.
    ("tests/unit/scripting.tcl", "catch {r ping} e", "catch {r dbsize} e"),
    ("tests/unit/scripting.tcl", "{while true do end} 0", "{while true do end} 1 x"),
    ("tests/unit/scripting.tcl", "while 1 do pcall(f) end} 0", "while 1 do pcall(f) end} 1 x"),
    (
        "tests/unit/scripting.tcl",
        r"*3\r\n\$4\r\neval\r\n\$33\r\nwhile 1 do redis.call('ping') end\r\n\$1\r\n0",
        r"*4\r\n\$4\r\neval\r\n\$33\r\nwhile 1 do redis.call('ping') end\r\n\$1\r\n1\r\n\$1\r\nx",
    ),
    (
        "tests/unit/scripting.tcl",
        r"*3\r\n\$5\r\nfcall\r\n\$4\r\ntest\r\n\$1\r\n0",
        r"*4\r\n\$5\r\nfcall\r\n\$4\r\ntest\r\n\$1\r\n1\r\n\$1\r\nx",
    ),
    ("tests/unit/functions.tcl", "catch {r ping} e", "catch {r dbsize} e"),
    (
        "tests/unit/functions.tcl",
        "$rd fcall test 0\n        after 200",
        "$rd fcall test 1 x\n        after 200",
    ),
    (
        "tests/unit/functions.tcl",
        "command {fcall test 0} duration_ms",
        "command {fcall test 1 x} duration_ms",
    ),
    (
        "tests/unit/functions.tcl",
        "$rd eval {local a = 1 while true do a = a + 1 end} 0",
        "$rd eval {local a = 1 while true do a = a + 1 end} 1 x",
    ),
    ("tests/unit/multi.tcl", "$rd1 eval {while true do end} 0", "$rd1 eval {while true do end} 1 xx"),
];

/// Which side starts the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Mode {
    /// We start it, the suite connects.
    External,
    /// The suite starts it.
    Own,
}

impl Mode {
    /// Both, in the order of the table's columns.
    pub(crate) const BOTH: [Mode; 2] = [Mode::External, Mode::Own];

    /// The word on the command line and in files.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Mode::External => "external",
            Mode::Own => "own",
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
    /// The first of the ports for the suite's own servers.
    base_port: u32,
}

impl Suite {
    /// Copies the suite from the unpacked source package, once for each lane in which it is to run. The copy is removed
    /// when dropped; the logs stay.
    pub(crate) fn prepare(
        source: &Path,
        program: Program,
        time_limit: Duration,
        lane: usize,
    ) -> Result<Suite> {
        let parent = target_directory().join("conformance");
        let directory = parent.join(format!("run-{}-{lane}", std::process::id()));
        let logs = parent.join(format!("logs-{}", program.name));
        fs::create_dir_all(directory.join("src"))?;
        fs::create_dir_all(&logs)?;
        for part in ["tests", "runtest", "utils", "redis.conf", "sentinel.conf"] {
            output_of(Command::new("cp").arg("-r").arg(source.join(part)).arg(&directory))?;
        }
        let ours = OURS.iter().filter(|_| program.is_swytch());
        for (file, stands, instead) in ADAPTATIONS.iter().chain(ours) {
            let text = fs::read_to_string(directory.join(file))?;
            ensure!(text.contains(*stands), "{file} of the suite is not as expected");
            fs::write(directory.join(file), text.replace(stands, instead))?;
        }
        let call: Vec<String> = std::iter::once(program.path.display().to_string())
            .chain(program.leading_arguments.iter().cloned())
            .map(|word| format!("'{word}'"))
            .collect();
        let wrapper = directory.join("src/redis-server");
        fs::write(&wrapper, format!("#!/bin/sh\nexec {} \"$@\"\n", call.join(" ")))?;
        fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755))?;
        for tool in ["redis-cli", "redis-benchmark", "redis-check-aof", "redis-check-rdb"] {
            symlink(
                find_program(tool).with_context(|| format!("no {tool}"))?,
                directory.join("src").join(tool),
            )?;
        }
        Ok(Suite { program, directory, logs, time_limit, base_port: base_port(lane) })
    }

    /// The folder with the suite's full output per file.
    pub(crate) fn logs(&self) -> &Path {
        &self.logs
    }

    /// Runs one file (`unit/scan`). A failing test is no error; not being able to run the file at all is.
    /// `progress` hears each line the suite prints.
    pub(crate) fn run(&self, file: &str, mode: Mode, progress: &dyn Fn(&str)) -> Result<Outcome> {
        let mut command = Command::new("./runtest");
        let tags = if file == SLOW_FILE.0 { SLOW_FILE.1 } else { TAGS };
        command.args(["--single", file, "--tags", tags, "--clients", "1", "--durable"]);
        command.args(["--timeout", STALL_LIMIT_SECONDS]);
        command.current_dir(&self.directory).env("TERM", "dumb").stdin(Stdio::null());
        let mut server = match mode {
            Mode::External => Some(Server::start(&self.program, &EXTERNAL_DIRECTIVES, None)?),
            Mode::Own => None,
        };
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
    12_000 + (std::process::id() * 131 + lane as u32 * 90) % 180 * 100
}
