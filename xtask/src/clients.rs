//! `cargo xtask clients`: real client libraries, and task queues made of them, against the server.
//!
//! Each has a script under `tests/clients/` that prints `ok NAME` or `FAIL NAME: why` per check; here
//! they are started against a fresh server and counted.
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use swytch_bench::server::Server;
use swytch_testkit::Program;

use crate::conformance::Summary;
use crate::{setup, workspace};

/// Runs every client's checks against the server binary, or a fresh build of ours.
pub(crate) fn run(server: Option<PathBuf>) -> Result<Summary> {
    let path = server.map_or_else(workspace::build_server, Ok)?;
    let directives = ["--enable-debug-command", "yes", "--save", ""];
    let server = Server::start(&Program::at("server", &path), &directives, None)?;
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
    let all = [
        ("redis-py", python("smoke.py")),
        ("RQ and Celery", python("jobs.py")),
        ("ioredis", node("smoke.js")),
        ("node-redis", node("node-redis.js")),
        ("BullMQ", node("bullmq.js")),
        ("redis-rs", rust),
    ];

    let mut summary = Summary::default();
    for (name, mut command) in all {
        command.args(["127.0.0.1", &server.port().to_string()]).stdin(Stdio::null()).stderr(Stdio::inherit());
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
