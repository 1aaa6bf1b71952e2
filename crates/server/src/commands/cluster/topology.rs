//! The cluster that this node is all of, in the forms in which clients ask for it.
//!
//! The node is where `cluster-announce-*` says, or else where the client has reached it.

use std::net::SocketAddr;

use super::{CHANGING, SUB, must_be_enabled};
use crate::command::prelude::*;
use crate::config::EndpointType;
use crate::system::slot::SLOTS as SLOT_COUNT;

pub(super) static INFO: CommandSpec = CommandSpec {
    name: "info",
    summary: "Returns the state of the cluster as lines of names and values.",
    tips: CHANGING,
    reply: ReplyShape::Report,
    handler: Handler::Session(info),
    ..SUB
};

pub(super) static MYID: CommandSpec = CommandSpec {
    name: "myid",
    summary: "Returns the id of this node.",
    reply: ReplyShape::Text,
    differs: "The id lasts as long as the process.",
    handler: Handler::Session(my_id),
    ..SUB
};

pub(super) static MYSHARDID: CommandSpec = CommandSpec {
    name: "myshardid",
    summary: "Returns the id of the shard that this node serves.",
    since: "7.2.0",
    tips: CHANGING,
    reply: ReplyShape::Text,
    differs: "The id lasts as long as the process.",
    handler: Handler::Session(my_shard_id),
    ..SUB
};

pub(super) static NODES: CommandSpec = CommandSpec {
    name: "nodes",
    summary: "Returns a line for each node, with its slots.",
    complexity: "O(1), there is one node.",
    tips: CHANGING,
    reply: ReplyShape::Report,
    handler: Handler::Session(nodes),
    ..SUB
};

pub(super) static SLOTS: CommandSpec = CommandSpec {
    name: "slots",
    summary: "Returns which nodes have which slots.",
    complexity: "O(1), there is one node.",
    flags: Flags::LOADING.union(Flags::STALE),
    tips: CHANGING,
    history: &[("4.0.0", "Shows the ids of nodes."), ("7.0.0", "Shows other addresses of nodes.")],
    deprecated: Some(("7.0.0", "`CLUSTER SHARDS`")),
    reply: ReplyShape::List(&ReplyShape::Any),
    handler: Handler::Session(slots),
    ..SUB
};

pub(super) static SHARDS: CommandSpec = CommandSpec {
    name: "shards",
    summary: "Returns the shards, each with its slots and its nodes.",
    since: "7.0.0",
    complexity: "O(1), there is one node.",
    flags: Flags::LOADING.union(Flags::STALE),
    tips: CHANGING,
    reply: ReplyShape::List(&ReplyShape::Map(&ReplyShape::Text, &ReplyShape::Any)),
    handler: Handler::Session(shards),
    ..SUB
};

pub(super) static LINKS: CommandSpec = CommandSpec {
    name: "links",
    summary: "Returns the connections to other nodes, of which there are none.",
    since: "7.0.0",
    complexity: "O(1), there is one node.",
    tips: CHANGING,
    reply: ReplyShape::List(&ReplyShape::Any),
    handler: Handler::Session(links),
    ..SUB
};

const OF_A_NODE: CommandSpec = CommandSpec {
    arity: 3,
    flags: Flags::ADMIN.union(Flags::STALE),
    tips: CHANGING,
    arguments: &[Arg::string("node-id")],
    ..SUB
};

pub(super) static COUNT_FAILURE_REPORTS: CommandSpec = CommandSpec {
    name: "count-failure-reports",
    summary: "Counts the failures that other nodes have reported of a node, of which there are none.",
    reply: ReplyShape::Count,
    handler: Handler::Session(count_failure_reports),
    ..OF_A_NODE
};

pub(super) static REPLICAS: CommandSpec = CommandSpec {
    name: "replicas",
    summary: "Returns the replicas of a node, of which there are none.",
    since: "5.0.0",
    reply: ReplyShape::List(&ReplyShape::Any),
    handler: Handler::Session(replicas),
    ..OF_A_NODE
};

pub(super) static SLAVES: CommandSpec = CommandSpec {
    name: "slaves",
    summary: "Another name of CLUSTER REPLICAS.",
    since: "3.0.0",
    deprecated: Some(("5.0.0", "`CLUSTER REPLICAS`")),
    ..REPLICAS
};

/// Where clients find this node.
pub(super) struct Address {
    /// Empty where only the client knows it, whose connection comes over a unix socket.
    pub(super) ip: Vec<u8>,
    /// The port that the client is to use.
    pub(super) port: u16,
    /// Both ports.
    plain_port: u16,
    tls_port: u16,
    host_name: Vec<u8>,
}

pub(super) fn address(call: &Call<'_>) -> Address {
    let config = &call.server.config;
    // A unix socket has a path.
    let reached = call.client.shared.local_address.parse::<SocketAddr>().ok();
    let ip = reached.map(|address| address.ip().to_canonical().to_string()).unwrap_or_default();
    let reached_port = reached.map_or(config.port(), |address| address.port());
    let announced = |announced: u16, port: u16| if announced == 0 { port } else { announced };
    let plain_port = announced(config.cluster_announce_port(), config.port());
    let tls_port = announced(config.cluster_announce_tls_port(), config.tls_port());
    let uses_tls = config.tls_port() != 0 && (reached_port == config.tls_port() || config.port() == 0);
    Address {
        ip: config.cluster_announce_ip().unwrap_or(ip.into_bytes()),
        port: if uses_tls { tls_port } else { plain_port },
        plain_port,
        tls_port,
        host_name: config.cluster_announce_hostname().unwrap_or_default(),
    }
}

impl Address {
    /// What clients are to connect to; nothing for where they are connected to.
    fn endpoint(&self, wanted: EndpointType) -> Option<&[u8]> {
        match wanted {
            EndpointType::Ip => Some(&self.ip),
            EndpointType::HostName if self.host_name.is_empty() => Some(b"?"),
            EndpointType::HostName => Some(&self.host_name),
            EndpointType::Unknown => None,
        }
    }
}

/// The ids of the node and of its shard: the run's, and what comes of it when it is read backwards.
fn ids(call: &Call<'_>) -> [String; 2] {
    let id = call.server.run_id.clone();
    let shard = id.chars().rev().collect();
    [id, shard]
}

fn info(call: &mut Call<'_>) -> CommandResult {
    must_be_enabled(call)?;
    let fields: [(&str, u16); 9] = [
        ("slots_assigned", SLOT_COUNT),
        ("slots_ok", SLOT_COUNT),
        ("slots_pfail", 0),
        ("slots_fail", 0),
        ("known_nodes", 1),
        ("size", 1),
        ("current_epoch", 0),
        ("my_epoch", 0),
        ("stats_messages_sent", 0),
    ];
    let mut text = "cluster_state:ok\r\n".to_owned();
    for (name, value) in fields {
        text.push_str(&format!("cluster_{name}:{value}\r\n"));
    }
    text.push_str("cluster_stats_messages_received:0\r\ntotal_cluster_links_buffer_limit_exceeded:0\r\n");
    call.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

fn my_id(call: &mut Call<'_>) -> CommandResult {
    must_be_enabled(call)?;
    let [id, _] = ids(call);
    call.reply.bulk(id.as_bytes());
    Ok(())
}

fn my_shard_id(call: &mut Call<'_>) -> CommandResult {
    must_be_enabled(call)?;
    let [_, shard] = ids(call);
    call.reply.bulk(shard.as_bytes());
    Ok(())
}

fn nodes(call: &mut Call<'_>) -> CommandResult {
    must_be_enabled(call)?;
    let address = address(call);
    let bus_port = call.server.config.cluster_announce_bus_port();
    let [id, _] = ids(call);
    let mut line = format!("{id} ").into_bytes();
    line.extend_from_slice(&address.ip);
    line.extend_from_slice(format!(":{}@{bus_port}", address.port).as_bytes());
    if !address.host_name.is_empty() {
        line.push(b',');
        line.extend_from_slice(&address.host_name);
    }
    line.extend_from_slice(format!(" myself,master - 0 0 0 connected 0-{}\n", SLOT_COUNT - 1).as_bytes());
    call.reply.verbatim("txt", &line);
    Ok(())
}

fn slots(call: &mut Call<'_>) -> CommandResult {
    must_be_enabled(call)?;
    let (address, wanted) = (address(call), call.server.config.cluster_preferred_endpoint_type());
    let [id, _] = ids(call);
    let reply = &mut call.reply;
    reply.array(1);
    reply.array(3);
    reply.integer(0);
    reply.integer(i64::from(SLOT_COUNT - 1));
    reply.array(4);
    match address.endpoint(wanted) {
        Some(endpoint) => reply.bulk(endpoint),
        None => reply.null(),
    }
    reply.integer(i64::from(address.port));
    reply.bulk(id.as_bytes());
    let others: Vec<(&[u8], &[u8])> = [
        (&b"ip"[..], address.ip.as_slice(), wanted != EndpointType::Ip),
        (b"hostname", &address.host_name, wanted != EndpointType::HostName && !address.host_name.is_empty()),
    ]
    .into_iter()
    .filter(|(.., is_shown)| *is_shown)
    .map(|(name, value, _)| (name, value))
    .collect();
    reply.map(others.len());
    for (name, value) in others {
        reply.bulk(name);
        reply.bulk(value);
    }
    Ok(())
}

fn shards(call: &mut Call<'_>) -> CommandResult {
    must_be_enabled(call)?;
    let (address, wanted) = (address(call), call.server.config.cluster_preferred_endpoint_type());
    let [id, _] = ids(call);
    let reply = &mut call.reply;
    reply.array(1);
    reply.map(2);
    reply.bulk(b"slots");
    reply.array(2);
    reply.integer(0);
    reply.integer(i64::from(SLOT_COUNT - 1));
    reply.bulk(b"nodes");
    reply.array(1);
    let ports = [(&b"port"[..], address.plain_port), (b"tls-port", address.tls_port)];
    let ports = ports.into_iter().filter(|(_, port)| *port != 0);
    reply.map(6 + ports.clone().count() + usize::from(!address.host_name.is_empty()));
    reply.bulk(b"id");
    reply.bulk(id.as_bytes());
    for (name, port) in ports {
        reply.bulk(name);
        reply.integer(i64::from(port));
    }
    reply.bulk(b"ip");
    reply.bulk(&address.ip);
    reply.bulk(b"endpoint");
    match address.endpoint(wanted) {
        Some(endpoint) => reply.bulk(endpoint),
        None => reply.null(),
    }
    if !address.host_name.is_empty() {
        reply.bulk(b"hostname");
        reply.bulk(&address.host_name);
    }
    for (name, value) in [("role", Some("master")), ("replication-offset", None), ("health", Some("online"))]
    {
        reply.bulk(name.as_bytes());
        match value {
            Some(value) => reply.bulk(value.as_bytes()),
            None => reply.integer(0),
        }
    }
    Ok(())
}

fn links(call: &mut Call<'_>) -> CommandResult {
    must_be_enabled(call)?;
    call.reply.array(0);
    Ok(())
}

/// The node that a command names must be this one.
fn must_be_known(call: &Call<'_>) -> CommandResult {
    must_be_enabled(call)?;
    let [id, _] = ids(call);
    let name = call.args.get(2);
    if name == id.as_bytes() {
        return Ok(());
    }
    Err(CommandError::owned([b"ERR Unknown node ", name].concat()))
}

fn count_failure_reports(call: &mut Call<'_>) -> CommandResult {
    must_be_known(call)?;
    call.reply.integer(0);
    Ok(())
}

fn replicas(call: &mut Call<'_>) -> CommandResult {
    must_be_known(call)?;
    call.reply.array(0);
    Ok(())
}
