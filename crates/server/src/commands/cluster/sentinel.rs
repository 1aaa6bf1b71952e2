//! SENTINEL: what clients that look for a primary ask. There is one name, `sentinel-master-name` (none where that is empty), and its primary is this
//! server, where the client has reached it. Nobody else watches it, and nothing fails over.
//!
//! Source: the Redis Sentinel documentation, "Sentinel API" and the guidelines for clients.

use super::topology::address;
use crate::command::help::reply_help;
use crate::command::prelude::*;

pub(super) static SENTINEL: CommandSpec = CommandSpec {
    name: "sentinel",
    summary: "Groups what clients ask a Sentinel for: this server says that it is the primary.",
    since: "2.8.4",
    group: Group::Cluster,
    subcommands: &[&GET_MASTER_ADDR_BY_NAME, &HELP, &MASTER, &MASTERS, &REPLICAS, &SENTINELS, &SLAVES],
    ..CommandSpec::CONTAINER
};

static HELP: CommandSpec = CommandSpec {
    since: "6.2.0",
    group: Group::Cluster,
    handler: Handler::Session(help),
    ..CommandSpec::HELP
};

const SUB: CommandSpec = CommandSpec {
    since: "2.8.4",
    group: Group::Cluster,
    complexity: "O(1)",
    arity: 3,
    flags: Flags::ADMIN.union(Flags::LOADING).union(Flags::STALE),
    arguments: &[Arg::string("master-name")],
    ..CommandSpec::DEFAULT
};

static GET_MASTER_ADDR_BY_NAME: CommandSpec = CommandSpec {
    name: "get-master-addr-by-name",
    summary: "Returns address and port of the primary, which is this server.",
    reply: ReplyShape::OneOf(&[
        ReplyShape::Tuple(&[ReplyShape::Text, ReplyShape::Text]),
        ReplyShape::NullArray,
    ]),
    handler: Handler::Session(get_address),
    ..SUB
};

const STATE: ReplyShape = ReplyShape::Map(&ReplyShape::Text, &ReplyShape::Text);

static MASTER: CommandSpec = CommandSpec {
    name: "master",
    summary: "Returns the state of the primary, which is this server.",
    reply: STATE,
    handler: Handler::Session(|call| {
        must_be_named(call)?;
        let name = call.args.get(2);
        tell_state(call, name);
        Ok(())
    }),
    ..SUB
};

static MASTERS: CommandSpec = CommandSpec {
    name: "masters",
    summary: "Returns the states of all primaries: that of this server.",
    arity: 2,
    arguments: &[],
    reply: ReplyShape::List(&STATE),
    handler: Handler::Session(|call| {
        let name = name(call);
        call.reply.array(usize::from(name.is_some()));
        name.iter().for_each(|name| tell_state(call, name));
        Ok(())
    }),
    ..SUB
};

/// Nobody else is told of.
const OTHERS: CommandSpec = CommandSpec {
    reply: ReplyShape::List(&STATE),
    handler: Handler::Session(|call| {
        must_be_named(call)?;
        call.reply.array(0);
        Ok(())
    }),
    ..SUB
};

static REPLICAS: CommandSpec = CommandSpec {
    name: "replicas",
    summary: "Returns replicas that clients may read from, of which there are none.",
    since: "5.0.0",
    ..OTHERS
};

static SLAVES: CommandSpec = CommandSpec {
    name: "slaves",
    summary: "Another name of SENTINEL REPLICAS.",
    deprecated: Some(("5.0.0", "`SENTINEL REPLICAS`")),
    ..OTHERS
};

static SENTINELS: CommandSpec = CommandSpec {
    name: "sentinels",
    summary: "Returns the other Sentinels, of which there are none.",
    ..OTHERS
};

/// The one there is, if any.
fn name(call: &Call<'_>) -> Option<Vec<u8>> {
    call.server.config.sentinel_master_name().filter(|name| !name.is_empty())
}

fn is_named(call: &Call<'_>) -> bool {
    name(call).is_some_and(|name| name == call.args.get(2))
}

fn must_be_named(call: &Call<'_>) -> CommandResult {
    match is_named(call) {
        true => Ok(()),
        false => Err(CommandError::text("ERR No such master with that name")),
    }
}

/// Address and port. Whoever comes over a unix socket is on this machine.
fn reached(call: &Call<'_>) -> [Vec<u8>; 2] {
    let address = address(call);
    let ip = if address.ip.is_empty() { b"127.0.0.1".to_vec() } else { address.ip };
    [ip, address.port.to_string().into_bytes()]
}

fn get_address(call: &mut Call<'_>) -> CommandResult {
    if !is_named(call) {
        call.reply.null_array();
        return Ok(());
    }
    let parts = reached(call);
    call.reply.array(parts.len());
    parts.iter().for_each(|part| call.reply.bulk(part));
    Ok(())
}

fn tell_state(call: &mut Call<'_>, name: &[u8]) {
    let ([ip, port], id) = (reached(call), call.server.run_id.clone());
    let fields: [(&str, &[u8]); 20] = [
        ("name", name),
        ("ip", &ip),
        ("port", &port),
        ("runid", id.as_bytes()),
        ("flags", b"master"),
        ("link-pending-commands", b"0"),
        ("link-refcount", b"1"),
        ("last-ping-sent", b"0"),
        ("last-ok-ping-reply", b"0"),
        ("last-ping-reply", b"0"),
        ("down-after-milliseconds", b"30000"),
        ("info-refresh", b"0"),
        ("role-reported", b"master"),
        ("role-reported-time", b"0"),
        ("config-epoch", b"0"),
        ("num-slaves", b"0"),
        ("num-other-sentinels", b"0"),
        ("quorum", b"1"),
        ("failover-timeout", b"180000"),
        ("parallel-syncs", b"1"),
    ];
    call.reply.map(fields.len());
    for (name, value) in fields {
        call.reply.bulk(name.as_bytes());
        call.reply.bulk(value);
    }
}

fn help(call: &mut Call<'_>) -> CommandResult {
    reply_help(
        call,
        &[
            "GET-MASTER-ADDR-BY-NAME <master-name>",
            "    Address and port of this server.",
            "MASTER <master-name>",
            "    State of this server, as that of a primary.",
            "MASTERS",
            "    The same, without a name.",
            "REPLICAS <master-name>",
            "    Replicas to read from: none.",
            "SENTINELS <master-name>",
            "    Other Sentinels: none.",
        ],
    );
    Ok(())
}
