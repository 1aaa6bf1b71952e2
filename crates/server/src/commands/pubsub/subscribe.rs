//! SUBSCRIBE, PSUBSCRIBE, SSUBSCRIBE and the commands that take them back.

use crate::clients::channels::Kind;
use crate::command::KeySpec;
use crate::command::prelude::*;
use crate::dispatch::subscriptions;

const ENDS: Flags = Flags::PUBSUB
    .union(Flags::NOSCRIPT)
    .union(Flags::LOADING)
    .union(Flags::STALE)
    .union(Flags::WHILE_LISTENING);
const BEGINS: Flags = ENDS.union(Flags::DENYOOM);

/// Shard channels are placed like keys.
const SHARD_CHANNELS: &[KeySpec] = &[KeySpec::range(1, -1, 1, KeyFlags::NOT_KEY)];

/// What the client is told of one name, or of none, and how many subscriptions it has then.
const TOLD: ReplyShape = ReplyShape::Tuple(&[
    ReplyShape::Text,
    ReplyShape::OneOf(&[ReplyShape::Text, ReplyShape::Null]),
    ReplyShape::Count,
]);

const DEFAULT: CommandSpec = CommandSpec { group: Group::PubSub, reply: TOLD, ..CommandSpec::DEFAULT };

pub static SUBSCRIBE: CommandSpec = CommandSpec {
    name: "subscribe",
    summary: "Has this connection receive what is published to the channels from now on.",
    since: "2.0.0",
    complexity: "O(N) for N channels.",
    arity: -2,
    flags: BEGINS,
    channels: ChannelSpec::All,
    arguments: &[Arg::string("channel").multiple()],
    handler: Handler::Session(|call| begin(call, Kind::Channel)),
    ..DEFAULT
};

pub static PSUBSCRIBE: CommandSpec = CommandSpec {
    name: "psubscribe",
    summary: "Has this connection receive what is published to channels whose names match one of the patterns.",
    since: "2.0.0",
    complexity: "O(N) for N patterns.",
    arity: -2,
    flags: BEGINS,
    channels: ChannelSpec::AllPatterns,
    arguments: &[Arg::new("pattern", ArgKind::Pattern).multiple()],
    handler: Handler::Session(|call| begin(call, Kind::Pattern)),
    ..DEFAULT
};

pub static SSUBSCRIBE: CommandSpec = CommandSpec {
    name: "ssubscribe",
    summary: "Has this connection receive what is published to the shard channels from now on.",
    since: "7.0.0",
    complexity: "O(N) for N shard channels.",
    arity: -2,
    flags: BEGINS,
    key_specs: SHARD_CHANNELS,
    channels: ChannelSpec::All,
    arguments: &[Arg::string("shardchannel").multiple()],
    handler: Handler::Session(ssubscribe),
    ..DEFAULT
};

pub static UNSUBSCRIBE: CommandSpec = CommandSpec {
    name: "unsubscribe",
    summary: "Ends this connection's subscriptions to the channels, or to all.",
    since: "2.0.0",
    complexity: "O(N) for N channels.",
    arity: -1,
    flags: ENDS,
    arguments: &[Arg::string("channel").optional().multiple()],
    handler: Handler::Session(|call| end(call, Kind::Channel)),
    ..DEFAULT
};

pub static PUNSUBSCRIBE: CommandSpec = CommandSpec {
    name: "punsubscribe",
    summary: "Ends this connection's subscriptions to the patterns, or to all.",
    since: "2.0.0",
    complexity: "O(N) for N patterns.",
    arity: -1,
    flags: ENDS,
    arguments: &[Arg::new("pattern", ArgKind::Pattern).optional().multiple()],
    handler: Handler::Session(|call| end(call, Kind::Pattern)),
    ..DEFAULT
};

pub static SUNSUBSCRIBE: CommandSpec = CommandSpec {
    name: "sunsubscribe",
    summary: "Ends this connection's subscriptions to the shard channels, or to all.",
    since: "7.0.0",
    complexity: "O(N) for N shard channels.",
    arity: -1,
    flags: ENDS,
    key_specs: SHARD_CHANNELS,
    arguments: &[Arg::string("shardchannel").optional().multiple()],
    handler: Handler::Session(|call| end(call, Kind::ShardChannel)),
    ..DEFAULT
};

fn begin(call: &mut Call<'_>, kind: Kind) -> CommandResult {
    subscriptions::begin(call, kind);
    Ok(())
}

/// In a transaction every command has one reply, of which the older commands know nothing.
fn ssubscribe(call: &mut Call<'_>) -> CommandResult {
    if !call.origin.may_block() {
        return Err(CommandError::text("ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client"));
    }
    begin(call, Kind::ShardChannel)
}

fn end(call: &mut Call<'_>, kind: Kind) -> CommandResult {
    subscriptions::end(call, kind);
    Ok(())
}
