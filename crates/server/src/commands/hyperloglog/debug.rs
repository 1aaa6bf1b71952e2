//! PFDEBUG, PFSELFTEST

use swytch_store::{Event, KeyspaceMut};

use super::registers::{self, Form, REGISTERS, Union};
use super::{HYPERLOGLOG, estimate, put, stored};
use crate::command::KeySpec;
use crate::command::prelude::*;

pub(super) static PFDEBUG: CommandSpec = CommandSpec {
    name: "pfdebug",
    summary: "Shows a HyperLogLog's registers, its form or its runs, or makes it dense.",
    complexity: "O(N) for N registers.",
    arity: 3,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::ADMIN).union(Flags::SYSTEM),
    key_specs: &[KeySpec::one(2, KeyFlags::RW.union(KeyFlags::ACCESS))],
    arguments: &[Arg::string("subcommand"), Arg::key("key")],
    differs: "There is no SIMD ON or OFF: the vector instructions of the processor are always used.",
    reply: ReplyShape::OneOf(&[
        ReplyShape::Text,
        ReplyShape::Line,
        ReplyShape::Flag,
        ReplyShape::List(&ReplyShape::Count),
    ]),
    handler: Handler::Write(pfdebug),
    ..HYPERLOGLOG
};

pub(super) static PFSELFTEST: CommandSpec = CommandSpec {
    name: "pfselftest",
    summary: "Counts elements in HyperLogLogs of both forms and compares them and their estimates.",
    complexity: "O(N) for N elements, of which there are a hundred thousand.",
    arity: 1,
    flags: Flags::ADMIN.union(Flags::SYSTEM),
    reply: ReplyShape::OK,
    handler: Handler::Session(pfselftest),
    ..HYPERLOGLOG
};

fn pfdebug(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let key = call.key(2);
    let Some((text, form)) = stored(keyspace, &key)? else {
        return Err(CommandError::text("ERR The specified key does not exist"));
    };
    let bytes = text.to_vec();
    let is = |word: &str| call.args.get(1).eq_ignore_ascii_case(word.as_bytes());
    if is("ENCODING") {
        call.reply.simple(if form == Form::Dense { "dense" } else { "sparse" });
    } else if is("DECODE") {
        if form == Form::Dense {
            return Err(CommandError::text("ERR HLL encoding is not sparse"));
        }
        call.reply.bulk(registers::describe(&bytes)?.as_bytes());
    } else if is("TODENSE") {
        let changes = form == Form::Sparse;
        if changes {
            put(keyspace, &key, registers::to_dense(&bytes)?, Event::SILENT);
        }
        call.reply.integer(i64::from(changes));
    } else if is("GETREG") {
        let mut union = Union::new();
        union.take(&bytes)?;
        // As in Redis, who looks at registers makes them dense.
        if form == Form::Sparse {
            put(keyspace, &key, registers::to_dense(&bytes)?, Event::SILENT);
        }
        call.reply.array(REGISTERS);
        union.ranks().iter().for_each(|rank| call.reply.integer(i64::from(*rank)));
    } else {
        return Err(CommandError::quoting("ERR Unknown PFDEBUG subcommand '", call.args.get(1), "'"));
    }
    Ok(())
}

/// Elements that the self-test counts.
const TEST_ELEMENTS: u64 = 100_000;
/// Standard errors of the estimate, 1.04 / sqrt(registers), that it may be off by.
const TEST_ERRORS_MAX: f64 = 4.0;

fn pfselftest(call: &mut Call<'_>) -> CommandResult {
    let failed = |what: &str, count: u64| {
        Err(CommandError::owned(format!("ERR TESTFAILED {what} after {count} elements")))
    };
    let (mut sparse, mut dense) = (registers::empty(), registers::to_dense(&registers::empty())?);
    let mut checked = 10;
    for count in 1..=TEST_ELEMENTS {
        let (register, rank) = estimate::register_of(&count.to_le_bytes());
        for bytes in [&mut sparse, &mut dense] {
            registers::raise(bytes, register, rank, 3000)?;
        }
        if count == checked {
            checked *= 10;
            let histogram = registers::histogram(&dense)?;
            if histogram != registers::histogram(&sparse)? {
                return failed("the sparse and the dense form differ", count);
            }
            let error = estimate::cardinality(&histogram).abs_diff(count) as f64 / count as f64;
            let standard = 1.04 / (REGISTERS as f64).sqrt();
            if error > (TEST_ERRORS_MAX * standard).max(1.0 / count as f64) {
                return failed("the estimate is too far off", count);
            }
        }
    }
    call.reply.ok();
    Ok(())
}
