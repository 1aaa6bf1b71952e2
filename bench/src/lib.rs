//! Measuring the server against its peers: real processes, real sockets, the same load in turns.
//!
//! `server`, `client`, `process` and `load` start servers, speak to them, fill them and read what the kernel says
//! about them; the conformance and client-library runs in `xtask` stand on them as well. `throughput`, `memory`,
//! `contention`, `fairness` and `messages` (with `generator`), `growth`, `output`, `release`, `serialized` and `snapshot` are the
//! measurements, `floor` what a server cannot get below, `report` and `plot` their presentation, and [`compare()`] runs them all.
//! Rivals are started as binaries and never linked. [`eviction`] plays traces, and of all that needs a server at most.
pub mod client;
mod compare;
mod contention;
pub mod eviction;
mod fairness;
pub mod floor;
mod generator;
mod growth;
mod load;
mod memory;
mod messages;
mod output;
mod plot;
pub mod process;
pub mod progress;
mod release;
mod report;
mod serialized;
pub mod server;
mod snapshot;
mod statistics;
mod throughput;

pub use compare::{Comparison, Options, Part, Scale, compare};
