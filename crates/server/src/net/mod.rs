//! Sockets: who listens, who owns a connection, and how threads send each other mail.
//!
//! The main thread accepts and hands each connection to the worker with the fewest. A worker runs every
//! command of its connections to completion; nothing crosses threads but [`Mail`](crate::server::Mail).

mod arrivals;
mod batch;
mod connection;
mod expiry;
mod held;
mod listen;
mod stream;
mod transport;
mod waits;
mod worker;

pub use arrivals::Arrivals;
pub use listen::{Listeners, is_refused_by_protected_mode, listen, open_tcp};
pub use stream::Stream;
pub use worker::Worker;
