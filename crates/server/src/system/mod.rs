//! What the machine and the language do not give as it is needed: memory, time, descriptors, patterns, digests.
//!
//! The lowest floor: nothing here knows of the server.

pub mod allocator;
pub mod clock;
pub mod digest;
pub mod disk;
pub mod escape;
pub mod files;
pub mod glob;
pub mod huge_pages;
pub mod large_blocks;
pub mod open_files;
pub mod outbound;
pub mod process;
pub mod random;
pub mod scheduling;
pub mod slot;
#[cfg(test)]
pub(crate) mod torn_disk;
