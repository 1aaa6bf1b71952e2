//! `cargo xtask clients`: real client libraries, and task queues made of them, against the server, one of them with TLS too.
//!
//! Each has a script under `tests/clients/` that prints `ok NAME` or `FAIL NAME: why` per check; here
//! they are started against a fresh server and counted.
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use swytch_bench::server::{Secret, Server};
use swytch_testkit::{Program, free_port};

use crate::conformance::Summary;
use crate::{setup, workspace};

/// Runs every client's checks against the server binary, or a fresh build of ours.
pub(crate) fn run(server: Option<PathBuf>) -> Result<Summary> {
    let path = server.map_or_else(workspace::build_server, Ok)?;
    let secret = Secret::new()?;
    let directives = ["--enable-debug-command", "yes", "--save", ""];
    let server = Server::start_secured(&Program::at("server", &path), &directives, None, &secret)?;
    let tls_port = server.tls_port().context("a port")?.to_string();
    let certificate = secret.certificate().display().to_string();
    let scripts = workspace::root().join("tests/clients");

    let (python, node) = (setup::python_environment()?, setup::node_modules()?.join("node_modules"));
    let python = |script: &str| {
        let mut command = Command::new(&python);
        command.arg(scripts.join("python").join(script));
        command
    };
    let node = |script: &str| {
        let mut command = Command::new("node");
        command.env("NODE_PATH", &node).arg(scripts.join("node").join(script));
        command
    };
    let mut rust = workspace::cargo();
    rust.args(["run", "--quiet", "--package", "client-smoke", "--"]);
    let mut secured = python("smoke.py");
    secured.args(["127.0.0.1", &tls_port, &certificate]);
    // These start servers of their own.
    let starting = |mut command: Command| {
        command.args(["127.0.0.1", &free_port().to_string()]).arg(&path);
        command
    };
    let moving = |library: &str| {
        let mut command = starting(node("move.js"));
        command.arg(library);
        command
    };
    let all = [
        ("redis-py over TLS", secured),
        ("redis-py", python("smoke.py")),
        ("redis-py, whose server ends", starting(python("move.py"))),
        ("node-redis 5, whose server ends", moving("redis")),
        ("node-redis 6, whose server ends", moving("redis-6")),
        ("OpenTelemetry", starting(python("traces.py"))),
        ("RQ and Celery", python("jobs.py")),
        ("ioredis", node("smoke.js")),
        ("node-redis", node("node-redis.js")),
        ("BullMQ", node("bullmq.js")),
        ("redis-rs", rust),
    ];

    let mut summary = Summary::default();
    for (name, mut command) in all {
        // Those that know where to go have been told.
        if command.get_args().all(|argument| argument != "127.0.0.1") {
            command.args(["127.0.0.1", &server.port().to_string()]);
        }
        command.stdin(Stdio::null()).stderr(Stdio::inherit());
        let output = command.output().with_context(|| format!("running the {name} checks"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let passed = text.lines().filter(|line| line.starts_with("ok ")).count();
        let failed =
            text.lines().filter(|line| line.starts_with("FAIL ")).inspect(|line| println!("{line}")).count();
        if passed + failed == 0 || output.status.success() != (failed == 0) {
            bail!("the {name} checks broke off ({}):\n{text}\n{}", output.status, server.log_tail(20));
        }
        println!("{name}: {passed} checks passed, {failed} failed");
        summary.passed += passed;
        summary.failed += failed;
    }
    Ok(summary)
}
