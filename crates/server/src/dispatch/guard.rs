//! What happens when a handler panics, also under locks: all of it is in this file.
//!
//! A panic is a bug of ours, and its client is told so; the panic hook has logged where it was. The locks it held are
//! not poisoned: every primitive of the store leaves its shard whole before it can panic, so what the handler had
//! changed until then is changed, and everything follows from it that follows from changes (`changes`): listeners hear
//! of it, those who wait are served, and only then the locks are released.
//!
//! Views are released without the code that would drop their parts ([`release`]), which a short command spends more
//! on than on its handler; a view that a panic tears out of a handler is dropped as usual.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use swytch_store::{Keyspace, KeyspaceMut};

use super::count;
use crate::command::{Call, CommandError, CommandResult};

/// Runs what answers a call. An error or a panic takes the place of whatever was written of the reply; true when there
/// was one.
#[inline(always)]
pub fn run(call: &mut Call<'_>, act: impl FnOnce(&mut Call<'_>) -> CommandResult) -> bool {
    // The handler's result is looked at where it was written: only a bit of it leaves the closure.
    let failed = catch_unwind(AssertUnwindSafe(|| match act(call) {
        Ok(()) => false,
        Err(error) => answer_error(call, &error),
    }));
    failed.unwrap_or_else(|_| answer_error(call, &panicked(call)))
}

/// Runs what changes the keyspace and keeps a panic until what follows from the changes is done.
#[inline(always)]
pub fn catch<R>(act: impl FnOnce() -> R) -> std::thread::Result<R> {
    catch_unwind(AssertUnwindSafe(act))
}

/// The result of [`catch`], or its panic.
#[inline(always)]
pub fn go_on<R>(result: std::thread::Result<R>) -> R {
    result.unwrap_or_else(|panic| resume_unwind(panic))
}

/// A view that can release its locks early.
pub trait Release {
    /// Releases the lock of one shard; true when nothing is left to be dropped.
    fn close(&mut self) -> bool;
}

impl Release for Keyspace<'_> {
    #[inline(always)]
    fn close(&mut self) -> bool {
        Keyspace::close(self)
    }
}

impl Release for KeyspaceMut<'_, '_> {
    #[inline(always)]
    fn close(&mut self) -> bool {
        KeyspaceMut::close(self)
    }
}

/// Releases the locks of a view from which nothing follows.
#[inline(always)]
pub fn release(mut view: impl Release) {
    if view.close() {
        // Nothing is left to be dropped.
        std::mem::forget(view);
    }
}

/// Replaces what was written of a reply by an error; true, because the command has failed.
#[cold]
fn answer_error(call: &mut Call<'_>, error: &CommandError) -> bool {
    call.reply.restart();
    let text = error.reply();
    if !matches!(error, CommandError::Counted(_)) {
        count::error(call.server, call.worker, text);
    }
    call.reply.error(text);
    // A command that has failed waits for nothing, and the call goes on to serve others.
    call.block = None;
    true
}

#[cold]
fn panicked(call: &Call<'_>) -> CommandError {
    crate::observe::logging::limited!(
        error,
        "failed commands",
        command = call.command.full_name,
        "a command panicked; its client was answered an error"
    );
    CommandError::text("ERR internal error: the command failed and the server's log says where")
}
