//! Scripts and functions: found, compiled for this thread, and run.
//!
//! - `host`: what a script wants of the server, and when it takes too long
//! - `threads`: the interpreters of this thread and what they have compiled
//! - `libraries`: libraries of functions: loaded, joined with others, saved
//!
//! Sources and libraries are in `server::scripts`; a thread compiles what it runs. The language is the affair of
//! `crates/script` alone.

mod host;
pub mod libraries;
mod threads;

use std::sync::atomic::{AtomicBool, Ordering};

use swytch_resp::{Output, Reply};
use swytch_script::{Compiled, Ended, Header, Interpreter, ScriptFlags};
use swytch_store::KeyspaceMut;

use crate::command::{
    Args, Call, Command, CommandError, CommandResult, CountedSlot, Flags, FoundScript, Origin,
};
use crate::dispatch::inner::{self, Rules};
use crate::dispatch::{SlotRule, show_script};
use crate::server::scripts::Script;
use crate::server::{Conditions, Server};
use crate::system::slot;
use host::ScriptHost;
use threads::Buffers;

pub use threads::forget_removed;

/// How a script is named by its command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// By its source.
    BySource,
    /// By the SHA-1 of its source.
    BySha,
}

/// Whether a command lets its script write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It does.
    Write,
    /// It does not.
    Read,
}

const NO_SCRIPT: &str = "NOSCRIPT No matching script. Please use EVAL.";

/// Finds what EVAL or EVALSHA is to run.
///
/// # Errors
/// Why it does not run.
pub fn find_script(call: &Call<'_>, named: Named) -> Result<FoundScript, CommandError> {
    if named == Named::BySha && call.args.get(1).len() != SHA_LEN {
        return Err(CommandError::text(NO_SCRIPT));
    }
    let keys = key_count(call, None)?;
    let (at, is_wide) = threads::find_script(call.server, call.args.get(1), named)?;
    Ok(FoundScript { at, keys, is_wide })
}

/// Runs a script that was found.
pub fn run_script(
    call: &mut Call<'_>,
    keyspace: &mut KeyspaceMut<'_, '_>,
    found: FoundScript,
    access: Access,
) -> CommandResult {
    show_script(call);
    threads::with_script(call.server, found.at, |(interpreter, compiled, script, buffers)| {
        call.server.scripts.note_use(script);
        let rules = rules_of(call, script.header.flags, access)?;
        let runnable = Runnable { name: &script.name, is_wide: &script.is_wide, is_function: false };
        runnable.run(call, keyspace, (interpreter, compiled), buffers, rules, found.keys)
    })
}

/// Finds what FCALL is to run.
///
/// # Errors
/// Why it does not run.
pub fn find_function(call: &Call<'_>) -> Result<FoundScript, CommandError> {
    let (at, is_wide) = threads::find_function(call.server, call.args.get(1))?;
    let keys = key_count(call, Some("ERR Bad number of keys provided"))?;
    Ok(FoundScript { at, keys, is_wide })
}

/// Runs a function that was found.
pub fn run_function(
    call: &mut Call<'_>,
    keyspace: &mut KeyspaceMut<'_, '_>,
    found: FoundScript,
    access: Access,
) -> CommandResult {
    show_script(call);
    threads::with_function(call.server, found.at, |(interpreter, compiled, function, buffers)| {
        let rules = rules_of(call, Some(function.flags), access)?;
        let runnable = Runnable { name: &function.name, is_wide: &function.is_wide, is_function: true };
        runnable.run(call, keyspace, (interpreter, compiled), buffers, rules, found.keys)
    })
}

/// A script or function, as far as running it goes.
struct Runnable<'s> {
    name: &'s str,
    is_wide: &'s AtomicBool,
    is_function: bool,
}

impl Runnable<'_> {
    /// Runs it with the call's arguments, of which so many are keys, and answers the call.
    fn run(
        &self,
        call: &mut Call<'_>,
        keyspace: &mut KeyspaceMut<'_, '_>,
        (interpreter, compiled): (&mut Interpreter, &Compiled),
        buffers: &mut Buffers,
        rules: Rules,
        keys: usize,
    ) -> CommandResult {
        if call.origin != Origin::Transaction {
            call.freeze_time();
        }
        let mut output = std::mem::take(&mut buffers.result);
        let mut reply = Reply::new(&mut output, call.reply.protocol());
        let (keys_of, arguments_of) = (call.args.from(3).take(keys), call.args.from(3 + keys));
        let db = call.client.db;
        let mut host =
            ScriptHost::new(call, keyspace, &mut buffers.commands, rules, self.name, self.is_function);
        let ended = interpreter.run(compiled, self.name, keys_of, arguments_of, &mut host, &mut reply);
        drop(host);
        call.client.db = db;
        if matches!(ended, Ended::Again) {
            self.is_wide.store(true, Ordering::Relaxed);
        }
        let result = answer(call, ended, &mut output);
        buffers.result = output;
        result
    }
}

/// SCRIPT LOAD: the script's name.
///
/// # Errors
/// What is wrong with the source.
pub fn load(call: &Call<'_>, source: &[u8]) -> Result<String, CommandError> {
    threads::load(call.server, source)
}

/// Digits of a SHA-1.
const SHA_LEN: usize = 40;

/// How many keys follow.
fn key_count(call: &Call<'_>, not_a_number: Option<&'static str>) -> Result<usize, CommandError> {
    let count = match not_a_number {
        None => call.args.integer(2)?,
        Some(text) => call.args.integer(2).map_err(|_| CommandError::text(text))?,
    };
    if count > call.args.len() as i64 - 3 {
        return Err(CommandError::text("ERR Number of keys can't be greater than number of args"));
    }
    usize::try_from(count).map_err(|_| CommandError::text("ERR Number of keys can't be negative"))
}

/// What a script may do, and the reasons not to begin it that follow from its flags; one without a header has none.
///
/// Source: `scriptPrepareForRun` in Redis's `src/script.c`.
fn rules_of(call: &mut Call<'_>, flags: Option<ScriptFlags>, access: Access) -> Result<Rules, CommandError> {
    let is_out_of_memory = inner::is_out_of_memory(call);
    let has = |flag| flags.is_some_and(|flags| flags.contains(flag));
    let (no_writes, allows_oom) = (has(ScriptFlags::NO_WRITES), has(ScriptFlags::ALLOW_OOM));
    if flags.is_some() && !no_writes {
        if inner::refuses_writes(call.server) {
            return Err(CommandError::text(
                "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. \
                 Writable scripts are blocked. Use 'no-writes' flag for read only scripts.",
            ));
        }
        if let Some(text) = inner::lacks_followers(call.server) {
            return Err(CommandError::text(text));
        }
        if access == Access::Read {
            return Err(CommandError::text(
                "ERR Can not execute a script with write flag using *_ro command.",
            ));
        }
    }
    if flags.is_some() && is_out_of_memory && !allows_oom && !no_writes {
        return Err(CommandError::text(
            "OOM allow-oom flag is not set on the script, can not run it when used memory > 'maxmemory'",
        ));
    }
    if has(ScriptFlags::NO_CLUSTER) {
        call.refused_in_cluster("ERR Can not run script on cluster, 'no-cluster' flag is set.")?;
        call.server.note_cluster_incompatible();
    }
    let keeps_to_slot = flags.is_some() && !has(ScriptFlags::ALLOW_CROSS_SLOT_KEYS);
    if !keeps_to_slot && call.server.conditions().contains(Conditions::COUNTING_SLOTS) {
        call.counted_slot = CountedSlot::None;
    }
    Ok(Rules {
        is_read_only: access == Access::Read || no_writes,
        allows_oom,
        is_out_of_memory,
        has_written: false,
        slot_rule: slot_rule_of(call),
        keeps_to_slot,
        slot: None,
    })
}

/// What it means that a script touches keys in several slots. Where it names such keys itself, that was counted already.
fn slot_rule_of(call: &Call<'_>) -> SlotRule {
    let rule = SlotRule::of(call);
    let is_known = || {
        let named = call.command.slot_positions(&call.args);
        slot::are_several(named.into_iter().map(|at| call.args.get(at)))
    };
    if rule == SlotRule::Counted && is_known() { SlotRule::None } else { rule }
}

/// Answers what a script has come to.
fn answer(call: &mut Call<'_>, ended: Ended, output: &mut Output) -> CommandResult {
    match ended {
        Ended::Written => {
            match output.only_slice() {
                Some(bytes) => call.reply.raw(bytes),
                None => call.reply.raw(&output.to_vec()),
            }
            forget(output);
            Ok(())
        }
        Ended::Again => {
            forget(output);
            call.outcome = crate::command::Outcome::Again;
            Ok(())
        }
        Ended::Failed(error) => {
            forget(output);
            Err(match error.is_counted {
                true => CommandError::Counted(Box::new(error.text)),
                false => CommandError::owned(error.text),
            })
        }
    }
}

/// Forgets what was written; much of it gives its memory back.
fn forget(output: &mut Output) {
    if output.only_slice().is_some() && output.held_bytes() <= inner::REPLY_BYTES_KEPT {
        output.rewind(0);
    } else {
        *output = Output::default();
    }
}

/// The properties of a call of EVAL or EVALSHA: a script with a header says itself what it does.
pub fn flags_of_script(server: &Server, command: &Command, args: &Args<'_>, named: Named) -> Flags {
    let own = command.spec.flags;
    let Some(argument) = args.try_get(1) else { return own };
    let flags = match named {
        Named::BySource => Header::of_script(argument).ok().and_then(|header| header.flags),
        Named::BySha => script_named(server, argument).and_then(|script| script.header.flags),
    };
    flags.map_or(own, |flags| with_script_flags(own, flags))
}

fn script_named(server: &Server, name: &[u8]) -> Option<std::sync::Arc<Script>> {
    server.scripts.get(&std::str::from_utf8(name).ok()?.to_ascii_lowercase())
}

/// The properties of a call of FCALL.
pub fn flags_of_function(server: &Server, command: &Command, args: &Args<'_>) -> Flags {
    let own = command.spec.flags;
    let libraries = server.scripts.libraries();
    let function = args.try_get(1).and_then(|name| libraries.function(name));
    function.map_or(own, |(_, function)| with_script_flags(own, function.flags))
}

fn with_script_flags(own: Flags, script: ScriptFlags) -> Flags {
    let mut flags = own - (Flags::STALE | Flags::DENYOOM | Flags::WRITE | Flags::MAY_REPLICATE);
    let writes = !script.contains(ScriptFlags::NO_WRITES);
    flags.set(Flags::DENYOOM, writes && !script.contains(ScriptFlags::ALLOW_OOM));
    flags.set(Flags::WRITE, writes);
    flags.set(Flags::STALE, script.contains(ScriptFlags::ALLOW_STALE));
    flags
}

/// Most memory that the interpreters of one kind take on one thread.
const INTERPRETER_BYTES_MAX: usize = 256 << 20;
