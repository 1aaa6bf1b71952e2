//! CLIENT ID, GETNAME, SETNAME, SETINFO, REPLY, NO-EVICT, NO-TOUCH, IMPORT-SOURCE: the calling connection itself.

use super::{OTHERS, SUB};
use crate::clients::ClientFlags;
use crate::command::prelude::*;

const ON_OFF: &[Arg] = &[Arg::one_of("enabled", &[Arg::flag("on", "ON"), Arg::flag("off", "OFF")])];

const EVERY_NODE: &[&str] = &["request_policy:all_nodes", "response_policy:all_succeeded"];

pub(super) static ID: CommandSpec = CommandSpec {
    name: "id",
    summary: "Returns the number of this connection, which the server gives to no other one.",
    since: "5.0.0",
    reply: ReplyShape::Count,
    handler: Handler::Session(id),
    ..SUB
};

pub(super) static GETNAME: CommandSpec = CommandSpec {
    name: "getname",
    summary: "Returns the name that CLIENT SETNAME gave this connection, or null.",
    since: "2.6.9",
    reply: ReplyShape::TEXT_OR_NULL,
    handler: Handler::Session(getname),
    ..SUB
};

pub(super) static SETNAME: CommandSpec = CommandSpec {
    name: "setname",
    summary: "Names this connection, so that CLIENT LIST shows who it is.",
    since: "2.6.9",
    arity: 3,
    tips: EVERY_NODE,
    arguments: &[Arg::string("connection-name")],
    reply: ReplyShape::OK,
    handler: Handler::Session(setname),
    ..SUB
};

pub(super) static SETINFO: CommandSpec = CommandSpec {
    name: "setinfo",
    summary: "Tells the server the name or version of the client's library, for CLIENT LIST to show.",
    since: "7.2.0",
    arity: 4,
    tips: EVERY_NODE,
    arguments: &[Arg::one_of(
        "attr",
        &[Arg::string("libname").token("LIB-NAME"), Arg::string("libver").token("LIB-VER")],
    )],
    reply: ReplyShape::OK,
    handler: Handler::Session(setinfo),
    ..SUB
};

pub(super) static REPLY: CommandSpec = CommandSpec {
    name: "reply",
    summary: "Turns replies to this connection off or on, or off for the next command only.",
    since: "3.2.0",
    arity: 3,
    arguments: &[Arg::one_of(
        "action",
        &[Arg::flag("on", "ON"), Arg::flag("off", "OFF"), Arg::flag("skip", "SKIP")],
    )],
    reply: ReplyShape::OK,
    handler: Handler::Session(reply),
    ..SUB
};

pub(super) static NO_EVICT: CommandSpec = CommandSpec {
    name: "no-evict",
    summary: "Exempts this connection from being closed when clients use too much memory.",
    since: "7.0.0",
    arity: 3,
    flags: OTHERS,
    arguments: ON_OFF,
    reply: ReplyShape::OK,
    handler: Handler::Session(|call| switch(call, ClientFlags::NO_EVICT)),
    ..SUB
};

pub(super) static CAPA: CommandSpec = CommandSpec {
    name: "capa",
    summary: "Takes note of what a client is capable of, of which nothing matters to a server that accepts every write.",
    since: "8.0.0",
    arity: -3,
    arguments: &[Arg::string("capability").multiple()],
    reply: ReplyShape::OK,
    handler: Handler::Session(|call| {
        // `redirect`: a replica may send the client to its primary. Others are ignored, as Valkey does.
        call.reply.ok();
        Ok(())
    }),
    ..SUB
};

pub(super) static IMPORT_SOURCE: CommandSpec = CommandSpec {
    name: "import-source",
    summary: "Says that this connection brings data over: in import mode it sees keys whose time is over, and says itself which go.",
    since: "8.1.0",
    arity: 3,
    flags: OTHERS,
    arguments: ON_OFF,
    reply: ReplyShape::OK,
    handler: Handler::Session(import_source),
    ..SUB
};

pub(super) static NO_TOUCH: CommandSpec = CommandSpec {
    name: "no-touch",
    summary: "Chooses whether commands of this connection count as uses of their keys.",
    since: "7.2.0",
    arity: 3,
    arguments: ON_OFF,
    reply: ReplyShape::OK,
    handler: Handler::Session(|call| switch(call, ClientFlags::NO_TOUCH)),
    ..SUB
};

fn import_source(call: &mut Call<'_>) -> CommandResult {
    if call.args.cursor(2).word("ON") && !call.server.config.import_mode() {
        return Err(CommandError::text("ERR Server is not in import mode"));
    }
    switch(call, ClientFlags::IMPORT_SOURCE)
}

/// A name must not break the lines of CLIENT LIST.
pub fn validate_name(name: &[u8]) -> CommandResult {
    if is_printable_word(name) {
        return Ok(());
    }
    Err(CommandError::text("ERR Client names cannot contain spaces, newlines or special characters."))
}

fn is_printable_word(text: &[u8]) -> bool {
    text.iter().all(|byte| (b'!'..=b'~').contains(byte))
}

fn id(call: &mut Call<'_>) -> CommandResult {
    call.reply.integer(call.client.id() as i64);
    Ok(())
}

fn getname(call: &mut Call<'_>) -> CommandResult {
    let names = call.client.shared.names.lock();
    call.reply.bulk_or_null(Some(names.name.as_slice()).filter(|name| !name.is_empty()));
    Ok(())
}

fn setname(call: &mut Call<'_>) -> CommandResult {
    let name = call.args.get(2);
    validate_name(name)?;
    call.client.shared.names.lock().name = name.to_vec();
    call.reply.ok();
    Ok(())
}

fn setinfo(call: &mut Call<'_>) -> CommandResult {
    let (attribute, value) = (call.args.get(2), call.args.get(3));
    let is_name = attribute.eq_ignore_ascii_case(b"lib-name");
    if !is_name && !attribute.eq_ignore_ascii_case(b"lib-ver") {
        return Err(CommandError::quoting("ERR Unrecognized option '", attribute, "'"));
    }
    if !is_printable_word(value) {
        let why = " cannot contain spaces, newlines or special characters.";
        return Err(CommandError::quoting("ERR ", attribute, why));
    }
    let mut names = call.client.shared.names.lock();
    let place = if is_name { &mut names.library_name } else { &mut names.library_version };
    *place = value.to_vec();
    drop(names);
    call.reply.ok();
    Ok(())
}

/// The worker takes the replies back while one of these flags is set.
fn reply(call: &mut Call<'_>) -> CommandResult {
    let flags = &mut call.client.flags;
    let mut arguments = call.args.cursor(2);
    if arguments.word("ON") {
        *flags &= !(ClientFlags::REPLY_OFF | ClientFlags::REPLY_SKIP | ClientFlags::REPLY_SKIP_NEXT);
        call.reply.ok();
    } else if arguments.word("OFF") {
        *flags |= ClientFlags::REPLY_OFF;
    } else if arguments.word("SKIP") {
        if !flags.contains(ClientFlags::REPLY_OFF) {
            *flags |= ClientFlags::REPLY_SKIP_NEXT;
        }
    } else {
        return Err(CommandError::Syntax);
    }
    Ok(())
}

fn switch(call: &mut Call<'_>, flag: ClientFlags) -> CommandResult {
    let mut arguments = call.args.cursor(2);
    let on = arguments.word("ON");
    if !on && !arguments.word("OFF") {
        return Err(CommandError::Syntax);
    }
    call.client.flags.set(flag, on);
    call.reply.ok();
    Ok(())
}
