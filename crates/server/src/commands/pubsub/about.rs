//! PUBSUB: who listens to what.

use crate::clients::channels::Kind;
use crate::command::help::reply_help;
use crate::command::prelude::*;

const SUB: CommandSpec = CommandSpec {
    group: Group::PubSub,
    arity: -2,
    flags: Flags::PUBSUB.union(Flags::LOADING).union(Flags::STALE),
    ..CommandSpec::DEFAULT
};

pub static PUBSUB: CommandSpec = CommandSpec {
    name: "pubsub",
    summary: "Groups the commands that tell what clients are subscribed to.",
    since: "2.8.0",
    group: Group::PubSub,
    subcommands: &[&CHANNELS, &HELP, &NUMPAT, &NUMSUB, &SHARDCHANNELS, &SHARDNUMSUB],
    ..CommandSpec::CONTAINER
};

static CHANNELS: CommandSpec = CommandSpec {
    name: "channels",
    summary: "Lists the channels that a client is subscribed to by name, or those of them that match a pattern.",
    since: "2.8.0",
    complexity: "O(N) for N channels with a subscriber.",
    arguments: &[Arg::new("pattern", ArgKind::Pattern).optional()],
    reply: ReplyShape::TEXTS,
    handler: Handler::Session(|call| names(call, Kind::Channel)),
    ..SUB
};

static SHARDCHANNELS: CommandSpec = CommandSpec {
    name: "shardchannels",
    summary: "Lists the shard channels that a client is subscribed to, or those of them that match a pattern.",
    since: "7.0.0",
    complexity: "O(N) for N shard channels with a subscriber.",
    arguments: &[Arg::new("pattern", ArgKind::Pattern).optional()],
    reply: ReplyShape::TEXTS,
    handler: Handler::Session(|call| names(call, Kind::ShardChannel)),
    ..SUB
};

static NUMSUB: CommandSpec = CommandSpec {
    name: "numsub",
    summary: "Tells for each channel how many clients are subscribed to it by name.",
    since: "2.8.0",
    complexity: "O(N) for N channels.",
    arguments: &[Arg::string("channel").optional().multiple()],
    reply: COUNTS,
    handler: Handler::Session(|call| counts(call, Kind::Channel)),
    ..SUB
};

static SHARDNUMSUB: CommandSpec = CommandSpec {
    name: "shardnumsub",
    summary: "Tells for each shard channel how many clients are subscribed to it.",
    since: "7.0.0",
    complexity: "O(N) for N shard channels.",
    arguments: &[Arg::string("shardchannel").optional().multiple()],
    reply: COUNTS,
    handler: Handler::Session(|call| counts(call, Kind::ShardChannel)),
    ..SUB
};

static NUMPAT: CommandSpec = CommandSpec {
    name: "numpat",
    summary: "Tells how many different patterns clients are subscribed to.",
    since: "2.8.0",
    arity: 2,
    reply: ReplyShape::Count,
    handler: Handler::Session(numpat),
    ..SUB
};

static HELP: CommandSpec = CommandSpec {
    since: "6.2.0",
    group: Group::PubSub,
    handler: Handler::Session(help),
    ..CommandSpec::HELP
};

/// Names and numbers in turn.
const COUNTS: ReplyShape = ReplyShape::List(&ReplyShape::OneOf(&[ReplyShape::Text, ReplyShape::Count]));

fn names(call: &mut Call<'_>, kind: Kind) -> CommandResult {
    if call.args.len() > 3 {
        return Err(call.subcommand_syntax());
    }
    let names = call.server.channels.names(kind, call.args.try_get(2));
    call.reply.array(names.len());
    names.iter().for_each(|name| call.reply.bulk(name));
    Ok(())
}

fn counts(call: &mut Call<'_>, kind: Kind) -> CommandResult {
    let names = call.args.from(2);
    call.reply.array(names.len() * 2);
    for name in names {
        call.reply.bulk(name);
        call.reply.count(call.server.channels.subscribers_of(kind, name));
    }
    Ok(())
}

fn numpat(call: &mut Call<'_>) -> CommandResult {
    call.reply.count(call.server.channels.count(Kind::Pattern));
    Ok(())
}

fn help(call: &mut Call<'_>) -> CommandResult {
    reply_help(
        call,
        &[
            "CHANNELS [<pattern>]",
            "    Channels with a subscriber, all or those that match.",
            "NUMPAT",
            "    Number of different patterns that are subscribed to.",
            "NUMSUB [<channel> ...]",
            "    Number of subscribers of each channel, patterns aside.",
            "SHARDCHANNELS [<pattern>]",
            "    Shard channels with a subscriber, all or those that match.",
            "SHARDNUMSUB [<shardchannel> ...]",
            "    Number of subscribers of each shard channel.",
        ],
    );
    Ok(())
}
