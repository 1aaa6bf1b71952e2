//! How a command runs: one page. Everything that follows from it is a line here, or a line of the function named there.

use super::{count, guard, locks};
use crate::command::{Call, CommandResult, Outcome};
use crate::system::clock::Ticks;

/// Runs a command that nothing can refuse and nobody looks at, unless that has changed by the time it has its locks.
#[inline(always)]
pub fn run(call: &mut Call<'_>, clock: &mut Ticks) -> Outcome {
    run_with(call, clock, locks::handle)
}

/// Runs a command that was admitted, and that MONITOR may show.
pub fn run_shown(call: &mut Call<'_>, clock: &mut Ticks) -> Outcome {
    run_with(call, clock, locks::handle_shown)
}

#[inline(always)]
fn run_with(
    call: &mut Call<'_>,
    clock: &mut Ticks,
    handle: impl FnOnce(&mut Call<'_>) -> CommandResult,
) -> Outcome {
    // Locks, view, handler; changes are told, those who wait are served, locks are released. An error or a panic is
    // answered.
    let failed = guard::run(call, handle);
    if !matches!(call.outcome, Outcome::Done) {
        // Its client waits. It is counted when it is served, gives up, or is tried again.
        return std::mem::replace(&mut call.outcome, Outcome::Done);
    }
    let ended = Ticks::now();
    count::call(call, ended.since(*clock), failed);
    *clock = ended;
    Outcome::Done
}
