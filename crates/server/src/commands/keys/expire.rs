//! EXPIRE, PEXPIRE, EXPIREAT, PEXPIREAT
//!
//! All four come down to one effect, the absolute time in milliseconds; a time already past deletes the key at
//! once, as DEL does.

use bitflags::bitflags;
use swytch_store::KeyspaceMut;

use crate::command::KeySpec;
use crate::command::prelude::*;

const CONDITION: Arg = Arg::one_of(
    "condition",
    &[Arg::flag("nx", "NX"), Arg::flag("xx", "XX"), Arg::flag("gt", "GT"), Arg::flag("lt", "LT")],
)
.optional()
.since("7.0.0");

const BASE: CommandSpec = CommandSpec {
    group: Group::Generic,
    arity: -3,
    flags: Flags::WRITE.union(Flags::FAST),
    categories: Categories::KEYSPACE,
    key_specs: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))],
    history: &[("7.0.0", "NX, XX, GT and LT set a condition.")],
    reply: ReplyShape::Flag,
    ..CommandSpec::DEFAULT
};

pub static EXPIRE: CommandSpec = CommandSpec {
    name: "expire",
    summary: "Makes a key expire after a number of seconds.",
    since: "1.0.0",
    arguments: &[Arg::key("key"), Arg::integer("seconds"), CONDITION],
    handler: Handler::Write(|call, keyspace| expire(call, keyspace, "expire", true, true)),
    ..BASE
};

pub static PEXPIRE: CommandSpec = CommandSpec {
    name: "pexpire",
    summary: "Makes a key expire after a number of milliseconds.",
    since: "2.6.0",
    arguments: &[Arg::key("key"), Arg::integer("milliseconds"), CONDITION],
    handler: Handler::Write(|call, keyspace| expire(call, keyspace, "pexpire", false, true)),
    ..BASE
};

pub static EXPIREAT: CommandSpec = CommandSpec {
    name: "expireat",
    summary: "Makes a key expire at a Unix time in seconds.",
    since: "1.2.0",
    arguments: &[Arg::key("key"), Arg::new("unix-time-seconds", ArgKind::UnixTime), CONDITION],
    handler: Handler::Write(|call, keyspace| expire(call, keyspace, "expireat", true, false)),
    ..BASE
};

pub static PEXPIREAT: CommandSpec = CommandSpec {
    name: "pexpireat",
    summary: "Makes a key expire at a Unix time in milliseconds.",
    since: "2.6.0",
    arguments: &[Arg::key("key"), Arg::new("unix-time-milliseconds", ArgKind::UnixTime), CONDITION],
    handler: Handler::Write(|call, keyspace| expire(call, keyspace, "pexpireat", false, false)),
    ..BASE
};

bitflags! {
    /// When the new expiry applies.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Condition: u8 {
        /// The key does not expire yet.
        const NX = 1;
        /// The key already expires.
        const XX = 2;
        /// Later than now set; a key that does not expire counts as never.
        const GT = 4;
        /// Earlier than now set, likewise.
        const LT = 8;
    }
}

impl Condition {
    fn parse(call: &Call<'_>) -> Result<Condition, CommandError> {
        let mut conditions = Condition::empty();
        let mut arguments = call.args.cursor(3);
        while let Some(word) = arguments.next() {
            conditions |= match word.to_ascii_lowercase().as_slice() {
                b"nx" => Condition::NX,
                b"xx" => Condition::XX,
                b"gt" => Condition::GT,
                b"lt" => Condition::LT,
                _ => return Err(CommandError::quoting("ERR Unsupported option ", word, "")),
            };
        }
        if conditions.contains(Condition::NX) && conditions != Condition::NX {
            return Err(CommandError::text(
                "ERR NX and XX, GT or LT options at the same time are not compatible",
            ));
        }
        if conditions.contains(Condition::GT | Condition::LT) {
            return Err(CommandError::text("ERR GT and LT options at the same time are not compatible"));
        }
        Ok(conditions)
    }

    /// Whether an expiry at `at_ms` may replace `current`.
    fn allows(self, current: Option<u64>, at_ms: i64) -> bool {
        // The farthest expiry that can be set is i64::MAX, so the conversion is exact.
        let current = current.map(|current_ms| current_ms as i64);
        !(self.contains(Condition::NX) && current.is_some()
            || self.contains(Condition::XX) && current.is_none()
            || self.contains(Condition::GT) && current.is_none_or(|current_ms| at_ms <= current_ms)
            || self.contains(Condition::LT) && current.is_some_and(|current_ms| at_ms >= current_ms))
    }
}

fn expire(
    call: &mut Call<'_>,
    keyspace: &mut KeyspaceMut<'_, '_>,
    name: &'static str,
    seconds: bool,
    relative: bool,
) -> CommandResult {
    let condition = Condition::parse(call)?;
    let amount = call.args.integer(2)?;
    let invalid = || CommandError::invalid_expire(name);
    let amount_ms = if seconds { amount.checked_mul(1000).ok_or_else(invalid)? } else { amount };
    let base_ms = if relative { call.now_ms as i64 } else { 0 };
    let at_ms = amount_ms.checked_add(base_ms).ok_or_else(invalid)?;
    let key = call.key(1);
    let Some(current) = keyspace.live_entry(&key).map(|entry| entry.expire_at_ms()) else {
        call.reply.integer(0);
        return Ok(());
    };
    if !condition.allows(current, at_ms) {
        call.reply.integer(0);
        return Ok(());
    }
    let past = at_ms <= keyspace.now_ms() as i64;
    if past && !keyspace.ignores_expiry() {
        keyspace.delete(&key);
    } else {
        keyspace.expire_at(&key, at_ms.max(0) as u64);
    }
    call.reply.integer(1);
    Ok(())
}
