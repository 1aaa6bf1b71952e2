//! Measuring the server against its peers: real processes, real sockets, the same load in turns.
//!
//! The crate starts servers (`server`), speaks to them (`client`), loads them and reads what the kernel says
//! about them (`process`). The measured comparisons stand on these, and so do the conformance and
//! client-library runs in `xtask`. Rivals are started as binaries and never linked.
pub mod client;
pub mod process;
pub mod progress;
pub mod server;
