//! `cargo xtask clients`: real client libraries, and task queues made of them, against the server, one of them with TLS too.
//!
//! Each has a script under `tests/clients/` that prints `ok NAME` or `FAIL NAME: why` per check; here
//! they are started against a fresh server and counted.
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use swytch_bench::server::Server;
use swytch_testkit::{Program, free_port, scratch};

use crate::conformance::Summary;
use crate::{setup, workspace};

/// Runs every client's checks against the server binary, or a fresh build of ours.
pub(crate) fn run(server: Option<PathBuf>) -> Result<Summary> {
    let path = server.map_or_else(workspace::build_server, Ok)?;
    let (tls_port, folder) = (free_port().to_string(), scratch("clients-tls"));
    std::fs::create_dir_all(&folder)?;
    let [certificate, key] = ["certificate", "key"].map(|name| folder.join(name));
    // Who is its own authority.
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()])?;
    std::fs::write(&certificate, made.cert.pem())?;
    std::fs::write(&key, made.signing_key.serialize_pem())?;
    let [certificate, key] = [certificate, key].map(|path| path.display().to_string());
    let mut directives = vec!["--enable-debug-command", "yes", "--save", ""];
    directives.extend(["--tls-port", &tls_port, "--tls-auth-clients", "no"]);
    directives.extend(["--tls-cert-file", &certificate, "--tls-key-file", &key]);
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
    let mut secured = python("smoke.py");
    secured.args(["127.0.0.1", &tls_port, &certificate]);
    let mut moving = python("move.py");
    moving.args(["127.0.0.1", &free_port().to_string()]).arg(&path);
    let mut tracing = python("traces.py");
    tracing.args(["127.0.0.1", &free_port().to_string()]).arg(&path);
    let all = [
        ("redis-py over TLS", secured),
        ("redis-py", python("smoke.py")),
        ("redis-py, whose server ends", moving),
        ("OpenTelemetry", tracing),
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
    std::fs::remove_dir_all(folder)?;
    Ok(summary)
}
