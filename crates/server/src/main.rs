//! The `swytch` binary.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: swytch::system::allocator::CountingAllocator = swytch::system::allocator::CountingAllocator;

fn main() -> ExitCode {
    swytch::cli::run(std::env::args_os(), swytch::start::serve)
}
