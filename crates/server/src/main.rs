//! The `swytch` binary.
fn main() {}
