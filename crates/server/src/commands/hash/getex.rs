//! HGETDEL, HGETEX

use std::collections::BTreeSet;

use swytch_store::{Absent, Editor, Elements, Hash, KeyspaceMut};

use super::change;
use super::options::{ExOptions, FIELDS, NewExpiry, only_fields};
use crate::command::KeySpec;
use crate::command::prelude::*;
use crate::commands::string::options::EXPIRATIONS;

const GET: CommandSpec = CommandSpec {
    since: "8.0.0",
    group: Group::Hash,
    complexity: "O(N) for N given fields.",
    arity: -5,
    flags: Flags::WRITE.union(Flags::FAST),
    categories: Categories::HASH,
    reply: ReplyShape::List(&ReplyShape::TEXT_OR_NULL),
    ..CommandSpec::DEFAULT
};

pub static HGETDEL: CommandSpec = CommandSpec {
    name: "hgetdel",
    summary: "Returns the values of fields, null for each that is not there, and takes them out; a hash left empty is deleted.",
    key_specs: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE))],
    arguments: &[Arg::key("key"), FIELDS],
    handler: Handler::Write(hgetdel),
    ..GET
};

pub static HGETEX: CommandSpec = CommandSpec {
    name: "hgetex",
    summary: "Returns the values of fields, null for each that is not there, and may set when they expire or that they never do.",
    key_specs: &[KeySpec {
        notes: "writes the times at which fields expire",
        ..KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE))
    }],
    arguments: &[
        Arg::key("key"),
        Arg::one_of(
            "expiration",
            &[
                EXPIRATIONS[0],
                EXPIRATIONS[1],
                EXPIRATIONS[2],
                EXPIRATIONS[3],
                Arg::flag("persist", "PERSIST"),
            ],
        )
        .optional(),
        FIELDS,
    ],
    handler: Handler::Write(hgetex),
    ..GET
};

fn hgetdel(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    keyspace.check::<Hash>(&call.key(1))?;
    let fields = only_fields(call)?;
    let removed = change(call, keyspace, Absent::Leave, Elements::Many(&fields), |hash| {
        let values = values(hash, &fields, true);
        hash.remove(Elements::Many(&fields));
        values
    })?;
    answer(call, fields.len(), removed);
    Ok(())
}

fn hgetex(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    keyspace.check::<Hash>(&call.key(1))?;
    let options = ExOptions::parse(call, 1)?;
    let fields = &options.words;
    let now_ms = keyspace.visible_ms();
    let values = change(call, keyspace, Absent::Leave, Elements::Many(fields), |hash| {
        let is_past = matches!(options.expiry, NewExpiry::At(at_ms) if at_ms <= now_ms);
        let values = values(hash, fields, is_past);
        if options.expiry != NewExpiry::Unsaid {
            hash.make_room_for_deadlines();
        }
        match options.expiry {
            NewExpiry::At(_) if is_past => _ = hash.remove(Elements::Many(fields)),
            NewExpiry::At(at_ms) => hash.expire(Elements::Many(fields), Some(at_ms)),
            NewExpiry::Never => hash.expire(Elements::Many(fields), None),
            NewExpiry::Keep | NewExpiry::Unsaid => {}
        }
        values
    })?;
    answer(call, fields.len(), values);
    Ok(())
}

/// The values of fields that are there; one that is to go is not there the second time.
fn values(hash: &Editor<'_, Hash>, fields: &[&[u8]], are_to_go: bool) -> Vec<Option<Vec<u8>>> {
    let mut gone = BTreeSet::new();
    let there = |name| {
        let is_there = !are_to_go || gone.insert(name);
        hash.find(name).filter(|_| is_there).map(|field| field.value.to_vec())
    };
    fields.iter().copied().map(there).collect()
}

/// Answers with as many values, all null where there is no hash.
fn answer(call: &mut Call<'_>, count: usize, values: Option<Vec<Option<Vec<u8>>>>) {
    let values = values.unwrap_or_else(|| vec![None; count]);
    call.reply.array(values.len());
    values.iter().for_each(|value| call.reply.bulk_or_null(value.as_deref()));
}
