//! Commands that a script calls, under the script's locks.
//!
//! What can refuse one of them, in Redis's order, is here and not in `admit`: the script was admitted, and once it has
//! written nothing but the command itself refuses a write. A key that the script has not named may lie in a shard that is
//! not locked. That lock is taken where nobody has it; where somebody does, waiting for it could be waiting for each
//! other, so the script is taken back and runs again under all locks. What cannot be taken back, because others hear of
//! it at once, runs under all locks only.
//!
//! Source: `scriptCall` in Redis's `src/script.c`.

use swytch_resp::{ArgRange, Output, Protocol, Query, Reply};
use swytch_store::KeyspaceMut;

use super::admit::{OUT_OF_MEMORY, SlotRule, are_across_slots, unwritable};
pub use super::admit::{lacks_followers, refuses_writes};
use super::{count, guard, locks, lookup, park, rights, show};
use crate::acl::Context;
use crate::command::{Args, Call, Command, Flags, Handler, Origin};
use crate::server::Conditions;
use crate::system::clock::Ticks;
use crate::system::slot;

/// What a script may do, and what it has done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules {
    /// It must not write.
    pub is_read_only: bool,
    /// It may use memory when there is none left.
    pub allows_oom: bool,
    /// Memory was over its limit when it began.
    pub is_out_of_memory: bool,
    /// It has called a command that writes.
    pub has_written: bool,
    /// What it means that it touches keys in several slots.
    pub slot_rule: SlotRule,
    /// All that it touches is to be in one slot, and not only what each command touches.
    pub keeps_to_slot: bool,
    /// That slot, once it is known.
    pub slot: Option<u16>,
}

/// What has become of a command.
#[derive(Debug)]
pub enum Called {
    /// It is answered.
    Answered,
    /// It was refused, with this text; one that begins with a minus has a code of its own.
    Refused(String),
    /// The script must run again under all locks.
    Again,
}

/// Memory that the commands of a script share.
#[derive(Debug, Default)]
pub struct Buffers {
    query: Query,
    ranges: Vec<ArgRange>,
    output: Output,
}

impl Buffers {
    /// Puts words where arguments are read from.
    fn fill(&mut self, words: &[&[u8]]) {
        self.query.bytes.clear();
        self.ranges.clear();
        for word in words {
            self.ranges.push(ArgRange::new(self.query.bytes.len(), word.len()));
            self.query.bytes.extend_from_slice(word);
        }
    }

    /// Lets `take` have what was answered, and forgets it.
    fn drain(&mut self, take: &mut dyn FnMut(&[u8])) {
        match self.output.only_slice() {
            Some(bytes) => {
                take(bytes);
                self.output.rewind(0);
            }
            None => take(&std::mem::take(&mut self.output).to_vec()),
        }
    }
}

/// Memory that a reply leaves behind for the next one.
pub const REPLY_BYTES_KEPT: usize = 64 * 1024;

/// The error of a script that was killed.
pub const KILLED: &str = "Script killed by user with SCRIPT KILL...";

/// Bytes of words that one command may have, so that their places can be told.
const WORDS_BYTES_MAX: usize = u32::MAX as usize;

/// The command that words name, if a script may call it.
///
/// # Errors
/// Why it may not.
fn find(
    call: &Call<'_>,
    args: &Args<'_>,
) -> Result<&'static Command, (Option<&'static Command>, &'static str)> {
    let command =
        lookup::lookup(call.commands, args).ok_or((None, "Unknown Redis command called from script"))?;
    if !command.accepts_arity(args.len()) {
        return Err((Some(command), "Wrong number of args calling Redis command from script"));
    }
    let allows_all = || call.server.scripts.allow_all.load(std::sync::atomic::Ordering::Relaxed);
    if command.is(Flags::NOSCRIPT) && !allows_all() {
        return Err((Some(command), "This Redis command is not allowed from script"));
    }
    Ok(command)
}

/// Why the user of the script's caller may not do this, if it may not.
fn denied(call: &mut Call<'_>, command: &'static Command, args: &Args<'_>) -> Option<String> {
    let denied = rights::check(call, command, *args, Context::Script)?;
    let text = denied.text(&call.client.user, command, args, false);
    Some(format!("ACL failure in script: {}", String::from_utf8_lossy(&text)))
}

/// Why a script's rules refuse a command, if they do.
fn refusal(call: &Call<'_>, command: &Command, rules: &Rules) -> Option<String> {
    let flags = command.spec.flags;
    if rules.is_read_only && flags.intersects(Flags::WRITE | Flags::MAY_REPLICATE) {
        return Some("Write commands are not allowed from read-only scripts.".to_owned());
    }
    if rules.has_written {
        return None;
    }
    if let Some(fault) = unwritable(call.server, flags & Flags::WRITE) {
        return Some(format!("-{fault}"));
    }
    if rules.is_out_of_memory && !rules.allows_oom && flags.contains(Flags::DENYOOM) {
        return Some(format!("-{OUT_OF_MEMORY}"));
    }
    None
}

/// Why a command may not touch what it names, where keys must be in one slot. Where that is counted, a script counts once.
fn across_slots(
    call: &Call<'_>,
    command: &'static Command,
    args: &Args<'_>,
    rules: &mut Rules,
) -> Option<&'static str> {
    if rules.slot_rule == SlotRule::None {
        return None;
    }
    let fault = slot_fault(call, command, args, rules)?;
    if rules.slot_rule == SlotRule::Kept {
        return Some(fault);
    }
    std::mem::replace(&mut rules.slot_rule, SlotRule::None).note(call);
    None
}

/// What is wrong with the slots of a command's keys. That of a script is the one of its first key, whether it has named it or
/// not.
fn slot_fault(
    call: &Call<'_>,
    command: &'static Command,
    args: &Args<'_>,
    rules: &mut Rules,
) -> Option<&'static str> {
    if are_across_slots(std::iter::once((command, *args))) {
        return Some("Script attempted to access a non local key in a cluster node");
    }
    let slot_of = |command: &Command, args: &Args<'_>| {
        command.slot_positions(args).first().map(|at| slot::of(args.get(*at)))
    };
    let touched = slot_of(command, args)?;
    let own = *rules.slot.get_or_insert_with(|| slot_of(call.command, &call.args).unwrap_or(touched));
    let is_other = rules.keeps_to_slot && own != touched;
    is_other.then_some("Script attempted to access keys that do not hash to the same slot")
}

/// Runs a command that the script of `call` calls; `take` is given its reply.
pub fn run(
    call: &mut Call<'_>,
    keyspace: &mut KeyspaceMut<'_, '_>,
    buffers: &mut Buffers,
    rules: &mut Rules,
    words: &[&[u8]],
    protocol: Protocol,
    take: &mut dyn FnMut(&[u8]),
) -> Called {
    if words.iter().map(|word| word.len()).sum::<usize>() > WORDS_BYTES_MAX {
        return Called::Refused("The arguments of the command are too long".to_owned());
    }
    buffers.fill(words);
    let args = Args::new(&buffers.query, &buffers.ranges);
    let refused = match find(call, &args) {
        Ok(command) => match denied(call, command, &args)
            .or_else(|| refusal(call, command, rules))
            .or_else(|| across_slots(call, command, &args, rules).map(str::to_owned))
        {
            Some(text) => Err((Some(command), text)),
            None => Ok(command),
        },
        Err((command, text)) => Err((command, text.to_owned())),
    };
    let command = match refused {
        Ok(command) => command,
        Err((command, text)) => {
            if let Some(command) = command {
                call.worker.stats.commands[command.index].rejected.add(1);
            }
            let counted = text.strip_prefix('-').map_or_else(|| format!("ERR {text}"), str::to_owned);
            count::error(call.server, call.worker, counted.as_bytes());
            return Called::Refused(text);
        }
    };
    let key_hash = command.single_key.and_then(|at| args.try_get(at)).map(|key| call.server.shards.hash(key));
    if !is_covered(call, keyspace, command, &args, key_hash) {
        return Called::Again;
    }
    if command.is(Flags::WRITE) && !rules.has_written {
        // From now on nobody can kill it; somebody may have done so a moment ago.
        if !call.worker.script.note_write() {
            return Called::Refused(KILLED.to_owned());
        }
        rules.has_written = true;
    }
    let started = Ticks::now();
    let reply_to = Reply::new(&mut buffers.output, protocol);
    let (commands, server, worker, now_ms) = (call.commands, call.server, call.worker, call.now_ms);
    let client = &mut *call.client;
    let mut inner =
        Call::new(commands, server, worker, client, command, args, reply_to, now_ms, Origin::Script);
    inner.key_hash = key_hash;
    show(&inner);
    let failed = guard::run(&mut inner, |call| locks::handle_within(call, keyspace));
    count::call(&mut inner, Ticks::now().since(started), failed);
    buffers.drain(take);
    Called::Answered
}

/// Whether the locks cover what a command needs, those included that nobody has.
fn is_covered(
    call: &Call<'_>,
    keyspace: &mut KeyspaceMut<'_, '_>,
    command: &Command,
    args: &Args<'_>,
    key_hash: Option<u64>,
) -> bool {
    if keyspace.locked().covers_all() {
        return true;
    }
    let shards = &call.server.shards;
    if let (Some(hash), Handler::Read(_) | Handler::Write(_) | Handler::Wait(_)) =
        (key_hash, command.spec.handler)
    {
        let shard = shards.shard_of_hash(hash);
        if !keyspace.locked().covers(shard) && !keyspace.try_add(shard) {
            return false;
        }
    } else {
        let is_heard_at_once = command.spec.flags.intersects(Flags::PUBSUB | Flags::MAY_REPLICATE);
        match command.spec.handler {
            Handler::Session(_) if !is_heard_at_once => return true,
            Handler::Read(_) | Handler::Write(_) | Handler::Wait(_) => {}
            _ => return false,
        }
        if command.reaches_any(args) {
            return false;
        }
        let mut keys = command.key_positions(args).into_iter();
        if !keys.all(|at| keyspace.try_add(shards.shard_of_name(args.get(at)))) {
            return false;
        }
    }
    // Whoever waits for one of the keys may need other shards to be served.
    if !command.is(Flags::WRITE) || !keyspace.locked().is_observed() {
        return true;
    }
    !park::concerns_wide_waiter(keyspace, command, args) || {
        let locked = keyspace.locked();
        let needed = |shard: u16| locked.observers(shard).shards_needed();
        locked.shard_indices().into_iter().flat_map(needed).all(|shard| locked.covers(shard))
    }
}

/// Whether memory is over its limit.
pub fn is_out_of_memory(call: &Call<'_>) -> bool {
    call.server.conditions().contains(Conditions::OUT_OF_MEMORY)
}
