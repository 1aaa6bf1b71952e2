//! How a client begins and ends to listen to channels and patterns, and how it is told what others have to tell.
//!
//! What it is told is out of band, as messages are, even where it is the reply: a client that wants no replies is told all
//! the same. Inside a transaction the messages that have arrived wait until its reply is whole.

use std::sync::Arc;

use swytch_resp::{Protocol, Reply};

use super::rights;
use crate::acl::Context;
use crate::clients::channels::{Kind, Message};
use crate::clients::{ClientFlags, Subscriber};
use crate::command::Call;
use crate::server::Outbox;

/// Subscribes the call's client to the names that its arguments are.
pub fn begin(call: &mut Call<'_>, kind: Kind) {
    let subscriber = Arc::clone(call.client.shared.as_subscriber());
    Outbox::tell_now(call.server);
    for name in call.args.from(1) {
        call.server.channels.subscribe(&subscriber, kind, name);
        tell(call, kind, Some(name));
    }
    call.client.flags |= ClientFlags::PUBSUB;
    // Its rights may have changed since they were asked about, and whoever has changed them may have looked before it was
    // subscribed.
    if rights::check(call, call.command, call.args, Context::TopLevel).is_some() {
        call.close_after_reply();
    }
}

/// Ends the subscriptions of the call's client to the names that its arguments are, or to all of this kind.
pub fn end(call: &mut Call<'_>, kind: Kind) {
    let subscriber = call.client.shared.subscriber.get().cloned();
    Outbox::tell_now(call.server);
    if call.args.len() > 1 {
        for name in call.args.from(1) {
            end_one(call, subscriber.as_deref(), kind, name);
        }
    } else {
        let names = subscriber.as_deref().map(|subscriber| subscriber.names(kind)).unwrap_or_default();
        names.iter().for_each(|name| end_one(call, subscriber.as_deref(), kind, name));
        if names.is_empty() {
            tell(call, kind, None);
        }
    }
    if subscriber.is_none_or(|subscriber| subscriber.is_idle()) {
        call.client.flags -= ClientFlags::PUBSUB;
    }
}

/// Ends all subscriptions of the call's client without telling it.
pub fn end_all(call: &mut Call<'_>) {
    if let Some(subscriber) = call.client.shared.subscriber.get().cloned() {
        call.server.channels.leave(&subscriber, false);
        take_messages(call, &subscriber);
    }
    call.client.flags -= ClientFlags::PUBSUB;
}

fn end_one(call: &mut Call<'_>, subscriber: Option<&Subscriber>, kind: Kind, name: &[u8]) {
    if let Some(subscriber) = subscriber {
        call.server.channels.unsubscribe(subscriber, kind, name);
        take_messages(call, subscriber);
    }
    tell(call, kind, Some(name));
}

/// What was published before a subscription ended comes before the news of its end.
fn take_messages(call: &mut Call<'_>, subscriber: &Subscriber) {
    if call.origin.holds_locks() {
        return;
    }
    call.reply.out_of_band(|reply| {
        // If some were lost, the worker closes the connection.
        subscriber.take_messages(|| false, |message| write(reply, message, true));
    });
}

/// Writes what others have told a client, which may be subscribed to something.
pub fn write(reply: &mut Reply<'_>, message: &Message, is_subscribed: bool) {
    match message {
        Message::Published(message) => reply.message(message),
        Message::Several(part) => part.write(reply),
        Message::Stale { names, is_redirected } => {
            match reply.protocol() {
                Protocol::Resp3 => {
                    reply.push(2);
                    reply.bulk(b"invalidate");
                }
                Protocol::Resp2 if *is_redirected && is_subscribed => {
                    reply.push(3);
                    reply.bulk(b"message");
                    reply.bulk(b"__redis__:invalidate");
                }
                Protocol::Resp2 => return,
            }
            match names {
                Some(names) => {
                    reply.array(names.len());
                    names.iter().for_each(|name| reply.bulk(name));
                }
                None => reply.null(),
            }
        }
        Message::RedirectionEnded(client) if reply.protocol() == Protocol::Resp3 => {
            reply.push(2);
            reply.bulk(b"tracking-redir-broken");
            reply.integer(*client as i64);
        }
        Message::Moving { number, seconds, endpoint } if reply.protocol() == Protocol::Resp3 => {
            reply.push(4);
            reply.bulk(b"MOVING");
            reply.integer(*number as i64);
            reply.integer(*seconds as i64);
            reply.bulk_or_null(endpoint.as_deref());
        }
        Message::RedirectionEnded(_) | Message::Moving { .. } => {}
    }
}

/// `subscribe NAME COUNT`, or the like: the command's name, what it is about, and how many subscriptions are left.
fn tell(call: &mut Call<'_>, kind: Kind, name: Option<&[u8]>) {
    let counted: &[Kind] = match kind {
        Kind::Channel | Kind::Pattern => &[Kind::Channel, Kind::Pattern],
        Kind::ShardChannel => &[Kind::ShardChannel],
    };
    let subscriber = call.client.shared.subscriber.get();
    let count: u64 =
        subscriber.map_or(0, |subscriber| counted.iter().map(|kind| subscriber.count(*kind)).sum());
    let command = call.command.spec.name;
    call.reply.out_of_band(|reply| {
        reply.push(3);
        reply.bulk(command.as_bytes());
        reply.bulk_or_null(name);
        reply.integer(count as i64);
    });
}
