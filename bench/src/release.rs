//! What stays resident of a gigabyte that is gone: flushed, or nine keys of ten deleted.
//!
//! A fresh process for each row. Servers that move what is left together when told to (`activedefrag`) are told to.
use std::time::Duration;

use anyhow::Result;
use swytch_testkit::Program;

use crate::load::fill;
use crate::server::Server;

/// Bytes of a value.
const VALUE_BYTES: usize = 1000;
/// Time to give memory back in.
const PATIENCE: Duration = Duration::from_secs(5);

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Release {
    /// FLUSHALL.
    Flushed,
    /// Every tenth key stays.
    Thinned,
}

/// What a process came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rest {
    /// Resident bytes when it was full.
    pub(crate) full_bytes: u64,
    /// And some seconds after most was gone.
    pub(crate) resident_bytes: u64,
    /// What it says that it uses then.
    pub(crate) used_bytes: u64,
}

impl Release {
    /// The rows.
    pub(crate) const ALL: [Release; 2] = [Release::Flushed, Release::Thinned];

    /// The name in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Release::Flushed => "FLUSHALL",
            Release::Thinned => "nine keys of ten deleted",
        }
    }

    /// Starts the program, fills it with `keys`, takes most of them away, and looks.
    ///
    /// # Errors
    /// When the server refuses something or does not say what it uses.
    pub(crate) fn measure(self, program: &Program, directives: &[&str], keys: u64) -> Result<Rest> {
        let server = Server::start(program, directives, None)?;
        let mut client = server.connect()?;
        // Builds without it answer an error.
        let _ = client.call(&["CONFIG", "SET", "activedefrag", "yes"]);
        let value = "v".repeat(VALUE_BYTES);
        let key = |number: u64| format!("k:{number:010}");
        fill(&mut client, keys, |number| vec!["SET".to_owned(), key(number), value.clone()])?;
        let full_bytes = server.resident_bytes()?;
        match self {
            Release::Flushed => _ = client.call(&["FLUSHALL"])?,
            Release::Thinned => {
                fill(&mut client, keys - keys / 10, |number| {
                    vec!["DEL".to_owned(), key(number / 9 * 10 + number % 9)]
                })?;
            }
        }
        std::thread::sleep(PATIENCE);
        let used_bytes = client.info_number("memory", "used_memory")?;
        Ok(Rest { full_bytes, resident_bytes: server.resident_bytes()?, used_bytes })
    }
}
