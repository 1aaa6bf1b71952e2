//! A server that is measured: started by the testkit, on cores of its own if wanted, and stopped when dropped.
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use swytch_testkit::{Program, free_port, scratch};

use crate::client::Client;
use crate::process;

/// How long a server may read its data, and how often it is asked whether it has.
const PATIENCE: Duration = Duration::from_secs(600);
const LOOK: Duration = Duration::from_millis(2);
/// Directives of a server with an append-only log, which is rewritten when it is told to.
pub(crate) const LOGGED: [&str; 4] = ["--appendonly", "yes", "--auto-aof-rewrite-percentage", "0"];

/// A running server.
#[derive(Debug)]
pub struct Server {
    process: swytch_testkit::Server,
    tls_port: Option<u16>,
}

/// A certificate that is its own authority, and its key, in files.
#[derive(Debug)]
pub struct Secret {
    folder: PathBuf,
}

impl Secret {
    /// Makes one.
    ///
    /// # Errors
    /// When it cannot be made or written.
    pub fn new() -> Result<Secret> {
        let folder = scratch("certificate");
        fs::create_dir_all(&folder)?;
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()])?;
        let secret = Secret { folder };
        fs::write(secret.certificate(), made.cert.pem())?;
        fs::write(secret.key(), made.signing_key.serialize_pem())?;
        Ok(secret)
    }

    /// The file of the certificate.
    pub fn certificate(&self) -> PathBuf {
        self.folder.join("certificate")
    }

    fn key(&self) -> PathBuf {
        self.folder.join("key")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        // What is left is in a folder for such things.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

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
        let process = started.with_context(|| format!("{} did not start", program.name))?;
        Ok(Server { process, tls_port: None })
    }

    /// Starts a server that speaks TLS on a port of its own, too.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn start_secured(
        program: &Program,
        directives: &[&str],
        cores: Option<&[usize]>,
        secret: &Secret,
    ) -> Result<Server> {
        let port = free_port();
        let [number, certificate, key] = [
            port.to_string(),
            secret.certificate().display().to_string(),
            secret.key().display().to_string(),
        ];
        let mut directives = directives.to_vec();
        directives.extend(["--tls-port", &number, "--tls-auth-clients", "no"]);
        directives.extend(["--tls-cert-file", &certificate, "--tls-key-file", &key]);
        let server = Server::start(program, &directives, cores)?;
        Ok(Server { tls_port: Some(port), ..server })
    }

    /// The port on 127.0.0.1 that speaks TLS, if one does.
    pub fn tls_port(&self) -> Option<u16> {
        self.tls_port
    }

    /// Kills the process and starts it again where it was; how long it takes until it answers with its data.
    ///
    /// # Errors
    /// When it does not start, or does not read its data within ten minutes.
    pub fn load_again(&mut self) -> Result<Duration> {
        let began = Instant::now();
        self.process.kill();
        self.process.start_again().context("starting it again")?;
        let mut client = self.connect()?;
        // Refused until the data is there.
        while client.call(&["EXISTS", "key"]).is_err() {
            ensure!(began.elapsed() < PATIENCE, "the data is not read to its end");
            std::thread::sleep(LOOK);
        }
        Ok(began.elapsed())
    }

    /// The TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.process.port
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
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
        self.process.is_running()
    }

    /// The end of what the server wrote to standard output and standard error, at most `lines` lines.
    pub fn log_tail(&self, lines: usize) -> String {
        self.process.log_tail(lines)
    }
}
