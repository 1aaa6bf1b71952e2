//! Bugs made on purpose, to show that the checkers of concurrent histories find them.
//!
//! They exist only in builds with debug assertions, where the environment variable [`VARIABLE`] names one; in
//! release builds every question is answered `false` at compile time. Neighbours: `dispatch`, which asks, and
//! `tests/linearizability.rs`, which expects to see each of them found.

/// A bug that can be switched on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// MGET releases its locks between two keys.
    TornRead,
    /// EXEC runs although a watched key has changed.
    BlindExec,
    /// The client that waits second is served before the first.
    UnfairQueue,
}

/// The environment variable that names a bug.
pub const VARIABLE: &str = "SWYTCH_SEEDED_BUG";

impl Bug {
    /// Its name in the environment.
    pub fn name(self) -> &'static str {
        match self {
            Bug::TornRead => "torn-read",
            Bug::BlindExec => "blind-exec",
            Bug::UnfairQueue => "unfair-queue",
        }
    }
}

/// True when a bug is switched on.
#[cfg(debug_assertions)]
pub fn is_on(bug: Bug) -> bool {
    static NAME: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    NAME.get_or_init(|| std::env::var(VARIABLE).ok()).as_deref() == Some(bug.name())
}

/// True when a bug is switched on: never in this build.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn is_on(_: Bug) -> bool {
    false
}
