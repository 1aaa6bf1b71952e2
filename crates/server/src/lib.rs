//! The swytch server: the only crate with threads, sockets and clocks.
