//! RENAME, RENAMENX

use swytch_store::KeyspaceMut;

use crate::command::KeySpec;
use crate::command::prelude::*;

const BASE: CommandSpec = CommandSpec {
    since: "1.0.0",
    group: Group::Generic,
    arity: 3,
    categories: Categories::KEYSPACE,
    arguments: &[Arg::key("key"), Arg::new("newkey", ArgKind::Key(1))],
    ..CommandSpec::DEFAULT
};

const SOURCE: KeySpec = KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE));

pub static RENAME: CommandSpec = CommandSpec {
    name: "rename",
    summary: "Gives a key another name, replacing the key that has it.",
    flags: Flags::WRITE,
    key_specs: &[SOURCE, KeySpec::one(2, KeyFlags::OW.union(KeyFlags::UPDATE))],
    reply: ReplyShape::OK,
    handler: Handler::Write(|call, keyspace| rename(call, keyspace, false)),
    ..BASE
};

pub static RENAMENX: CommandSpec = CommandSpec {
    name: "renamenx",
    summary: "Gives a key another name, but only if no key has it yet.",
    flags: Flags::WRITE.union(Flags::FAST),
    key_specs: &[SOURCE, KeySpec::one(2, KeyFlags::OW.union(KeyFlags::INSERT))],
    history: &[("3.2.0", "Answers 0 instead of an error when both names are the same.")],
    reply: ReplyShape::Flag,
    handler: Handler::Write(|call, keyspace| rename(call, keyspace, true)),
    ..BASE
};

fn rename(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>, only_if_free: bool) -> CommandResult {
    let (from, to) = (call.key(1), call.key(2));
    if keyspace.live_entry(&from).is_none() {
        return Err(CommandError::NoSuchKey);
    }
    let same = from.bytes == to.bytes;
    if only_if_free {
        let free = !same && keyspace.live_entry(&to).is_none();
        call.reply.count(usize::from(free && keyspace.rename(&from, &to)));
    } else {
        if !same {
            keyspace.rename(&from, &to);
        }
        call.reply.ok();
    }
    Ok(())
}
