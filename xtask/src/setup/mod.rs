//! Getting what the tests need: Debian packages, the Redis source package, client libraries.
//!
//! Every step looks first and does nothing where the thing is there already, so each command of xtask calls
//! the step it needs and nobody has to remember a setup. What is not a Debian package goes to `.tools/` in the
//! checkout; nothing of the machine's own configuration is changed.
use std::path::PathBuf;

use anyhow::Result;

use crate::conformance::{REDIS_7_0, REDIS_8_6};

mod clients;
mod debian;

pub(crate) use clients::{node_modules, python_environment};
pub(crate) use debian::{
    fuzz_toolchain, hurried_clock, package_tools, page_tools, peer_build, recorded_trace, redis_server,
    suite_source, suite_tls_tools, suite_tools,
};

/// What a step gets and where it lies.
type Step = (&'static str, fn() -> Result<PathBuf>);

/// Everything, for a machine that will later be without a network.
pub(crate) fn everything() -> Result<()> {
    let steps: [Step; 5] = [
        ("Redis server and tools", redis_server),
        ("Redis test suite", || {
            suite_tools().and_then(|()| suite_tls_tools()).and_then(|()| REDIS_7_0.source())
        }),
        ("fuzzing", || fuzz_toolchain().map(|()| PathBuf::from("c++"))),
        ("Python client", python_environment),
        ("Node client", node_modules),
    ];
    for (name, step) in steps {
        println!("{name}: {}", step()?.display());
    }
    // Its package moves on with the releases.
    match REDIS_8_6.source() {
        Ok(source) => println!("newest Redis test suite: {}", source.display()),
        Err(failure) => println!("no newest Redis test suite: {failure:#}"),
    }
    Ok(())
}
