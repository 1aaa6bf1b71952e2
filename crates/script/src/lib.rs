//! Scripts: the interpreter, what they may call, and what they may not reach.
//!
//! The interpreter is Lua 5.1, through bindings to its C code, and is named nowhere outside this crate. A server makes an
//! [`Interpreter`] for each of its threads, compiles sources into it and runs them; whatever a script wants of the server
//! it wants of a [`Host`]. No sockets, no keyspace and no clock here.
//!
//! - `interpreter`: compiling and running; `host`: what a script wants of the server
//! - `lua`: the one layer over the bindings; `memory`: how much an interpreter may take
//! - `sandbox`: what scripts see, and that none changes what another sees; `code`: which code sees it at once; `base`, `strings`: functions that replace
//!   those of the interpreter where these could be made to run for ever or to break something
//! - `api`: `redis.*`; `convert`: replies as values and values as replies; `functions`: libraries that register functions
//! - `json`, `msgpack`, `structs`, `bits`: the libraries that scripts find beside those of the language
//! - `header`: the first line of a script, and the flags in it; it knows no interpreter
//!
//! Source: the scripting API of Redis 8 as its documentation says it and a running one shows it, and the Lua 5.1 manual.

mod api;
mod base;
mod bits;
mod code;
mod convert;
mod functions;
pub mod header;
mod host;
mod interpreter;
mod json;
mod lua;
mod memory;
mod msgpack;
mod number;
mod pattern;
mod sandbox;
mod strings;
mod structs;

pub use functions::Registered;
pub use header::{Header, ScriptFlags};
pub use host::{Called, Host, Verdict};
pub use interpreter::{Compiled, Ended, Interpreter, Kind, ScriptError};

/// The version of Redis whose commands and behaviour clients and scripts are promised.
///
/// It is the release the command table is compared with. Client libraries switch features on by this
/// number, and scanners look for known defects by it, so the patch level is a current one.
pub const REDIS_VERSION: &str = "8.6.3";

/// The SHA-1 of a source in hexadecimal, which is the name of a script.
pub fn sha1_hex(source: &[u8]) -> String {
    sha1_smol::Sha1::from(source).digest().to_string()
}

#[cfg(test)]
mod tests;
