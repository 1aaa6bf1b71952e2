//! PUBLISH, SPUBLISH

use crate::clients::channels::Kind;
use crate::command::KeySpec;
use crate::command::prelude::*;
use crate::dispatch::changes;
use crate::server::Outbox;

const FLAGS: Flags = Flags::PUBSUB
    .union(Flags::LOADING)
    .union(Flags::STALE)
    .union(Flags::FAST)
    .union(Flags::MAY_REPLICATE)
    .union(Flags::FORWARDED);

pub static PUBLISH: CommandSpec = CommandSpec {
    name: "publish",
    summary: "Sends a message to whoever is subscribed to the channel or to a pattern that matches its name, and tells how often it was received.",
    since: "2.0.0",
    group: Group::PubSub,
    complexity: "O(N+M) for N receivers of the channel and M patterns of all clients.",
    arity: 3,
    flags: FLAGS,
    channels: ChannelSpec::One,
    arguments: &[Arg::string("channel"), Arg::string("message")],
    reply: ReplyShape::Count,
    handler: Handler::Session(publish),
    ..CommandSpec::DEFAULT
};

pub static SPUBLISH: CommandSpec = CommandSpec {
    name: "spublish",
    summary: "Sends a message to whoever is subscribed to the shard channel, and tells how many receive it.",
    since: "7.0.0",
    group: Group::PubSub,
    complexity: "O(N) for N receivers of the shard channel.",
    arity: 3,
    flags: FLAGS,
    key_specs: &[KeySpec::one(1, KeyFlags::NOT_KEY)],
    channels: ChannelSpec::One,
    arguments: &[Arg::string("shardchannel"), Arg::string("message")],
    reply: ReplyShape::Count,
    handler: Handler::Session(publish_to_shard),
    ..CommandSpec::DEFAULT
};

fn publish(call: &mut Call<'_>) -> CommandResult {
    publish_to(call, Kind::Channel)
}

fn publish_to_shard(call: &mut Call<'_>) -> CommandResult {
    publish_to(call, Kind::ShardChannel)
}

fn publish_to(call: &mut Call<'_>, kind: Kind) -> CommandResult {
    let (server, channel, message) = (call.server, call.args.get(1), call.args.get(2));
    let given = match call.origin.holds_locks() {
        // It was forwarded as a part of the group.
        true => Outbox::publish(server, kind, channel, message),
        false => server.publish(kind, channel, message, || changes::forward(call)),
    };
    call.reply.count(given);
    Ok(())
}
