//! COPY, MOVE
//!
//! Both may name a second database. A key has the same shard in every database, so the locks that follow
//! from the keys cover it.

use swytch_store::{Keyspace, KeyspaceMut};

use crate::command::KeySpec;
use crate::command::prelude::*;

pub static COPY: CommandSpec = CommandSpec {
    name: "copy",
    summary: "Copies a value with its expiry to another key, in this database or another one.",
    since: "6.2.0",
    group: Group::Generic,
    complexity: "O(N) for a value of N elements; O(1) for a string.",
    arity: -3,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    categories: Categories::KEYSPACE,
    key_specs: &[
        KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS)),
        KeySpec::one(2, KeyFlags::OW.union(KeyFlags::UPDATE)),
    ],
    arguments: &[
        Arg::key("source"),
        Arg::new("destination", ArgKind::Key(1)),
        Arg::integer("destination-db").token("DB").optional(),
        Arg::flag("replace", "REPLACE").optional(),
    ],
    databases: DatabaseSpec::Behind(b"DB"),
    reply: ReplyShape::Flag,
    handler: Handler::Write(copy),
    ..CommandSpec::DEFAULT
};

pub static MOVE: CommandSpec = CommandSpec {
    name: "move",
    summary: "Moves a key to another database, unless that has a key of this name.",
    since: "1.0.0",
    group: Group::Generic,
    arity: 3,
    flags: Flags::WRITE.union(Flags::FAST),
    categories: Categories::KEYSPACE,
    key_specs: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE))],
    arguments: &[Arg::key("key"), Arg::integer("db")],
    databases: DatabaseSpec::At(&[2]),
    reply: ReplyShape::Flag,
    handler: Handler::Write(move_key),
    ..CommandSpec::DEFAULT
};

fn same_object() -> CommandError {
    CommandError::text("ERR source and destination objects are the same")
}

fn copy(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let (from, to) = (call.key(1), call.key(2));
    let from_db = call.client.db;
    let (mut to_db, mut replace) = (from_db, false);
    let mut arguments = call.args.cursor(3);
    while arguments.remaining() > 0 {
        if arguments.word("REPLACE") {
            replace = true;
        } else if arguments.word("DB") {
            to_db = call.db_index(arguments.expect()?)?;
        } else {
            return Err(CommandError::Syntax);
        }
    }
    if from_db == to_db && from.bytes == to.bytes {
        return Err(same_object());
    }
    if from_db != 0 || to_db != 0 {
        call.refused_in_cluster("ERR Copying to another database is not allowed in cluster mode")?;
        call.server.note_cluster_incompatible();
    }
    // The source is read and counted as such; only the destination is written.
    let copied = Keyspace::find(keyspace, &from).is_some() && {
        let to = to.in_db(to_db);
        let taken = keyspace.live_entry(&to).is_some();
        (replace || !taken) && keyspace.copy(&from, &to)
    };
    call.reply.count(usize::from(copied));
    Ok(())
}

fn move_key(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    call.refused_in_cluster("ERR MOVE is not allowed in cluster mode")?;
    let to_db = call.db_index(call.args.get(2))?;
    if to_db == call.client.db {
        return Err(same_object());
    }
    call.server.note_cluster_incompatible();
    let moved = keyspace.move_to(&call.key(1), to_db);
    call.reply.count(usize::from(moved));
    Ok(())
}
