//! What every test of a running server stands on: one launcher of processes, one client, one source of random
//! choices with one seed variable, transcripts, and the loop that compares two servers.
//!
//! It knows servers as programs with a socket, never as code: the same functions judge ours and a real Redis. Only
//! tests, `xtask`, `bench` and the checkers use it; nothing of the product does. A fault of the server's own parser
//! cannot hide here, because nothing is shared with it.
pub mod chaos;
pub mod client;
pub mod commands;
pub mod crash;
pub mod differential;
pub mod following;
pub mod grammar;
pub mod http;
mod operation;
pub mod process;
pub mod random;
pub mod replay;
pub mod reply;
pub mod transcript;
pub mod wire;

pub use client::Client;
pub use http::http_get;
pub use process::{Launch, PATIENCE, Program, Server, free_port, own_address, scratch};
pub use random::Random;
pub use reply::Reply;

/// Our server, as the tests of its crate have built it.
#[macro_export]
macro_rules! ours {
    () => {
        $crate::Program::at("swytch", env!("CARGO_BIN_EXE_swytch"))
    };
}
