//! HSETEX

use swytch_store::{Absent, Editor, Elements, Event, FieldValue, Hash, KeyspaceMut, UnixMs};

use super::change;
use super::options::{ExOptions, NewExpiry};
use super::set::DATA;
use crate::command::KeySpec;
use crate::command::prelude::*;
use crate::commands::string::options::EXPIRATIONS;

pub static HSETEX: CommandSpec = CommandSpec {
    name: "hsetex",
    summary: "Gives fields of a hash their values and sets when they expire; with a condition all or none, and returns which.",
    since: "8.0.0",
    group: Group::Hash,
    complexity: "O(N) for N given fields.",
    arity: -6,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
    categories: Categories::HASH,
    key_specs: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))],
    arguments: &[
        Arg::key("key"),
        Arg::one_of("condition", &[Arg::flag("fnx", "FNX"), Arg::flag("fxx", "FXX")]).optional(),
        Arg::one_of("expiration", &EXPIRATIONS).optional(),
        Arg::block("fields", &[Arg::integer("numfields"), DATA]).token("FIELDS"),
    ],
    reply: ReplyShape::Flag,
    handler: Handler::Write(hsetex),
    ..CommandSpec::DEFAULT
};

fn hsetex(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let options = ExOptions::parse(call, 2)?;
    let fields = options.pairs();
    let names: Vec<&[u8]> = fields.iter().map(|[name, _]| *name).collect();
    let names = Elements::Many(&names);
    let absent = if options.all_there == Some(true) { Absent::Leave } else { Absent::Create };
    let now_ms = keyspace.visible_ms();
    let is_set = change(call, keyspace, absent, names, |hash| {
        let is_met = options
            .all_there
            .is_none_or(|all_there| fields.iter().all(|[name, _]| hash.find(name).is_some() == all_there));
        if is_met {
            set(hash, &fields, options.expiry, now_ms);
        }
        is_met
    })?;
    call.reply.integer(is_set.unwrap_or(false).into());
    Ok(())
}

fn set(hash: &mut Editor<'_, Hash>, fields: &[FieldValue<'_>], expiry: NewExpiry, now_ms: UnixMs) {
    let event = Event::hash("hset");
    let NewExpiry::At(at_ms) = expiry else {
        _ = hash.set_for(fields, expiry == NewExpiry::Keep, event);
        return;
    };
    if at_ms > now_ms {
        hash.set_for(fields, true, event);
        let names: Vec<&[u8]> = fields.iter().map(|[name, _]| *name).collect();
        hash.expire(Elements::Many(&names), Some(at_ms));
    } else {
        // One by one, as they go: the hash is never larger than without them. Listeners hear of all as one.
        for field in fields {
            hash.set_for(&[*field], true, Event::SILENT);
            hash.remove_for(Elements::One(field[0]), Event::SILENT);
        }
        hash.tell(event);
        hash.tell(Event::hash("hdel"));
    }
    hash.make_room_for_deadlines();
}
