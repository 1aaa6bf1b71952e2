//! DUMP, RESTORE, RESTORE-ASKING

use std::borrow::Cow;
use std::sync::atomic::Ordering;

use swytch_rdb::CHECKSUM_BYTES;
use swytch_store::{Event, Keyspace, KeyspaceMut, Overwriting};

use crate::command::KeySpec;
use crate::command::prelude::*;
use crate::persistence::payload;

pub static DUMP: CommandSpec = CommandSpec {
    name: "dump",
    summary: "Returns a key's value in the form that RESTORE takes, or null when the key is absent.",
    since: "2.6.0",
    group: Group::Generic,
    complexity: "O(N) for a value of N bytes.",
    arity: 2,
    flags: Flags::READONLY,
    categories: Categories::KEYSPACE,
    tips: &["nondeterministic_output"],
    key_specs: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    arguments: &[Arg::key("key")],
    reply: ReplyShape::TEXT_OR_NULL,
    differs: "Written is the version that `rdb-version` says, which old servers read too, or the oldest that has the value.",
    handler: Handler::Read(dump),
    ..CommandSpec::DEFAULT
};

pub static RESTORE: CommandSpec = CommandSpec {
    name: "restore",
    summary: "Makes a key of what DUMP has returned, here or on another server.",
    since: "2.6.0",
    group: Group::Generic,
    complexity: "O(N) for a value of N bytes, O(N log N) where its members have an order.",
    arity: -4,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    categories: Categories::KEYSPACE.union(Categories::DANGEROUS),
    history: &[("3.0.0", "REPLACE."), ("5.0.0", "ABSTTL."), ("5.0.0", "IDLETIME and FREQ.")],
    key_specs: &[KeySpec::one(1, KeyFlags::OW.union(KeyFlags::UPDATE))],
    arguments: &[
        Arg::key("key"),
        Arg::integer("ttl"),
        Arg::string("serialized-value"),
        Arg::flag("replace", "REPLACE").optional().since("3.0.0"),
        Arg::flag("absttl", "ABSTTL").optional().since("5.0.0"),
        Arg::integer("seconds").token("IDLETIME").optional().since("5.0.0"),
        Arg::integer("frequency").token("FREQ").optional().since("5.0.0"),
    ],
    reply: ReplyShape::OK,
    handler: Handler::Write(restore),
    ..CommandSpec::DEFAULT
};

pub static RESTORE_ASKING: CommandSpec = CommandSpec {
    name: "restore-asking",
    summary: "Does what RESTORE does, for tools that move keys between the nodes of a Redis Cluster.",
    since: "3.0.0",
    group: Group::Server,
    flags: RESTORE.flags.union(Flags::ASKING).union(Flags::SYSTEM),
    ..RESTORE
};

fn dump(call: &mut Call<'_>, keyspace: &Keyspace<'_>) -> CommandResult {
    match keyspace.find(&call.key(1)) {
        Some(entry) => {
            call.reply.bulk(&payload::dump(entry, payload::write_options(&call.server.config)));
        }
        None => call.reply.null(),
    }
    Ok(())
}

/// What stands behind the payload.
#[derive(Default)]
struct Options {
    replace: bool,
    absolute: bool,
    idle_s: Option<u64>,
    frequency: Option<u8>,
}

impl Options {
    fn parse(call: &Call<'_>) -> Result<Options, CommandError> {
        let mut options = Options::default();
        let mut arguments = call.args.cursor(4);
        while arguments.remaining() > 0 {
            if arguments.word("REPLACE") {
                options.replace = true;
            } else if arguments.word("ABSTTL") {
                options.absolute = true;
            } else if options.frequency.is_none() && arguments.remaining() > 1 && arguments.word("IDLETIME") {
                let refused = || CommandError::text("ERR Invalid IDLETIME value, must be >= 0");
                options.idle_s = Some(u64::try_from(arguments.integer()?).map_err(|_| refused())?);
            } else if options.idle_s.is_none() && arguments.remaining() > 1 && arguments.word("FREQ") {
                let refused = || CommandError::text("ERR Invalid FREQ value, must be >= 0 and <= 255");
                options.frequency = Some(u8::try_from(arguments.integer()?).map_err(|_| refused())?);
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(options)
    }
}

fn restore(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let Options { replace, absolute, idle_s, frequency } = Options::parse(call)?;
    let key = call.key(1);
    if !replace && keyspace.live_entry(&key).is_some() {
        return Err(CommandError::text("BUSYKEY Target key name already exists."));
    }
    let ttl_ms = u64::try_from(call.args.integer(2)?);
    let ttl_ms = ttl_ms.map_err(|_| CommandError::text("ERR Invalid TTL value, must be >= 0"))?;
    let mut payload = Cow::Borrowed(call.args.get(3));
    if call.server.skips_checksums.load(Ordering::Relaxed) {
        // One of zeros is none.
        let len = payload.len();
        payload.to_mut()[len.saturating_sub(CHECKSUM_BYTES)..].fill(0);
    }
    let value = payload::restore(&payload, keyspace.limits()).map_err(|fault| {
        if fault.is_of_footer() {
            return CommandError::text("ERR DUMP payload version or checksum are wrong");
        }
        crate::observe::logging::limited!(warn, "refused payloads", %fault, "RESTORE: integrity check failed");
        CommandError::text("ERR Bad data format")
    })?;
    let now_ms = keyspace.now_ms();
    let expire_at_ms = match ttl_ms {
        0 => None,
        at_ms if absolute => Some(at_ms),
        ttl_ms => Some(ttl_ms.saturating_add(now_ms).min(i64::MAX as u64)),
    };
    if expire_at_ms.is_some_and(|at_ms| at_ms <= now_ms) && !keyspace.ignores_expiry() {
        keyspace.delete(&key);
        keyspace.changes_mut().expired += 1;
        call.reply.ok();
        return Ok(());
    }
    keyspace.replace(
        &key,
        value,
        expire_at_ms,
        Event::generic("restore").overwriting(Overwriting::ToldAfter),
    );
    keyspace.set_usage(&key, idle_s, frequency);
    call.reply.ok();
    Ok(())
}
