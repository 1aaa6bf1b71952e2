//! Holds a run of the suite to the promise that every change of the keyspace is an effect: what our server did is
//! recorded, and the recording alone must give an empty server the same keyspace.
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use swytch_bench::client::Reply;
use swytch_bench::server::Server;
use swytch_testkit::Program;
use swytch_testkit::replay::replay;

/// A recording in progress.
#[derive(Debug)]
pub(crate) struct Recording {
    file: PathBuf,
}

impl Recording {
    /// Lets the server record from now on, while it is still empty.
    pub(crate) fn begin(server: &Server, directory: &Path) -> Result<Recording> {
        let file = directory.join("effects.resp");
        if file.exists() {
            std::fs::remove_file(&file)?;
        }
        let path = file.display().to_string();
        server.connect()?.call(&["DEBUG", "RECORD-EFFECTS", &path]).context("recording the effects")?;
        Ok(Recording { file })
    }

    /// Ends the recording, replays it into another server and compares the fingerprints of both.
    ///
    /// # Errors
    /// When they differ, or a command of the recording was answered with an error.
    pub(crate) fn prove(self, server: &Server, program: &Program, directives: &[&str]) -> Result<()> {
        let mut client = server.connect()?;
        // The fingerprint is taken in the same moment: afterwards keys go on expiring.
        client.call(&["MULTI"])?;
        client.call(&["DEBUG", "RECORD-EFFECTS", "STOP"])?;
        client.call(&["DEBUG", "DIGEST"])?;
        let Reply::Array(Some(replies)) = client.call(&["EXEC"])? else { bail!("EXEC answers an array") };
        let [_, digest @ Reply::Simple(_)] = &replies[..] else { bail!("EXEC answered {replies:?}") };
        let other = Server::start(program, directives, None)?;
        let replayed = replay(&self.file, other.port())?;
        ensure!(replayed.errors.is_empty(), "the replay was answered {:?}", replayed.errors);
        ensure!(
            replayed.digest == digest.text(),
            "{} replayed commands gave the digest {}, not {}",
            replayed.replies,
            replayed.digest,
            digest.text()
        );
        std::fs::remove_file(&self.file)?;
        Ok(())
    }
}
