//! A file that is written: head, remarks, databases with their keys, end. The mirror of `file`.

use std::io::{self, Write};

use crate::KeyFacts;
use crate::file::opcode;
use crate::output::Output;
use crate::write::{self, VERSION_VALKEY, Value, WriteOptions};

/// A file that is being written.
pub struct FileWriter<W> {
    output: Output<W>,
    version: u32,
    /// The version that what was written needs.
    needed: u32,
}

impl<W> std::fmt::Debug for FileWriter<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileWriter").field("version", &self.version).finish_non_exhaustive()
    }
}

impl<W: Write> FileWriter<W> {
    /// Begins a file. Without a checksum its place is left empty.
    pub fn new(target: W, options: WriteOptions, checksum: bool) -> FileWriter<W> {
        let WriteOptions { version, compress } = options;
        let mut output = Output::new(target, checksum, compress);
        let head = match version {
            VERSION_VALKEY => format!("VALKEY{version:03}"),
            _ => format!("REDIS{version:04}"),
        };
        output.bytes(head.as_bytes());
        FileWriter { output, version, needed: 0 }
    }

    /// Something that the writer says of itself.
    pub fn remark(&mut self, name: &str, value: &str) {
        self.output.byte(opcode::REMARK);
        self.output.string(name.as_bytes());
        self.output.string(value.as_bytes());
    }

    /// The source of a library of functions.
    pub fn function(&mut self, source: &[u8]) {
        self.output.byte(opcode::FUNCTION);
        self.output.string(source);
    }

    /// The keys that follow are of this database, which has so many, and so many that expire.
    pub fn database(&mut self, index: u64, keys: u64, expiring: u64) {
        self.output.byte(opcode::DATABASE);
        self.output.length(index);
        self.output.byte(opcode::SIZES);
        self.output.length(keys);
        self.output.length(expiring);
    }

    /// The keys that follow are of this database, of which some were written before.
    pub fn database_again(&mut self, index: u64) {
        self.output.byte(opcode::DATABASE);
        self.output.length(index);
    }

    /// A key with its value.
    ///
    /// # Errors
    /// With the version that the value needs, if the file's does not say it. Nothing was written.
    pub fn key(&mut self, key: &[u8], facts: KeyFacts, value: &Value<'_>) -> Result<(), u32> {
        let needed = value.version_min();
        if !write::version_says(self.version, needed) {
            return Err(needed);
        }
        self.needed = self.needed.max(needed);
        if let Some(at_ms) = facts.expires_ms {
            self.output.byte(opcode::EXPIRES_MS);
            self.output.bytes(&at_ms.to_le_bytes());
        }
        if let Some(idle_s) = facts.idle_s {
            self.output.byte(opcode::IDLE);
            self.output.length(idle_s);
        }
        if let Some(frequency) = facts.frequency {
            self.output.bytes(&[opcode::FREQUENCY, frequency]);
        }
        write::write(&mut self.output, self.version, value, |output| output.string(key));
        Ok(())
    }

    /// The version that the values need.
    pub fn version_needed(&self) -> u32 {
        self.needed
    }

    /// Whether the target has failed; [`FileWriter::finish`] says how.
    pub fn has_failed(&self) -> bool {
        self.output.has_failed()
    }

    /// Ends the file; the target, and how many bytes it was given.
    ///
    /// # Errors
    /// The first failure of the target.
    pub fn finish(mut self) -> io::Result<(W, u64)> {
        self.output.byte(opcode::END);
        self.output.finish()
    }
}
