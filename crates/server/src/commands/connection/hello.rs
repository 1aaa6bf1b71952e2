//! AUTH, HELLO

use swytch_resp::Protocol;

use super::ANY_TIME;
use crate::acl::Reason;
use crate::command::prelude::*;
use crate::dispatch::rights;

pub static AUTH: CommandSpec = CommandSpec {
    name: "auth",
    summary: "Logs the connection in with a password, as the default user or as a named one.",
    since: "1.0.0",
    group: Group::Connection,
    complexity: "O(N) for a user with N passwords.",
    arity: -2,
    flags: ANY_TIME,
    categories: Categories::CONNECTION,
    history: &[("6.0.0", "A user's name may come before the password.")],
    arguments: &[Arg::string("username").optional().since("6.0.0"), Arg::string("password")],
    reply: ReplyShape::OK,
    handler: Handler::Session(auth),
    ..CommandSpec::DEFAULT
};

pub static HELLO: CommandSpec = CommandSpec {
    name: "hello",
    summary: "Describes the server and this connection, after choosing the protocol, logging in or naming the connection in the same step.",
    since: "6.0.0",
    group: Group::Connection,
    arity: -1,
    flags: ANY_TIME,
    categories: Categories::CONNECTION,
    history: &[("6.2.0", "Without a protocol version it only describes.")],
    arguments: &[Arg::block(
        "arguments",
        &[
            Arg::integer("protover"),
            Arg::block("auth", &[Arg::string("username"), Arg::string("password")]).token("AUTH").optional(),
            Arg::string("clientname").token("SETNAME").optional(),
        ],
    )
    .optional()],
    reply: ReplyShape::Map(&ReplyShape::Text, &ReplyShape::Any),
    handler: Handler::Session(hello),
    ..CommandSpec::DEFAULT
};

fn auth(call: &mut Call<'_>) -> CommandResult {
    let (user, password): (&[u8], &[u8]) = match call.args.len() {
        2 => (b"default", call.args.get(1)),
        3 => (call.args.get(1), call.args.get(2)),
        _ => return Err(CommandError::Syntax),
    };
    if call.args.len() == 2 && call.server.users.default().rights().is_open {
        return Err(CommandError::text(
            "ERR AUTH <password> called without any password configured for the default user. Are you sure \
             your configuration is correct?",
        ));
    }
    authenticate(call, user, password)?;
    call.reply.ok();
    Ok(())
}

/// Logs the call's client in, or says that it may not.
fn authenticate(call: &mut Call<'_>, user: &[u8], password: &[u8]) -> CommandResult {
    let server = call.server;
    let client = &mut *call.client;
    if server.users.log_in(user, password, |user| client.become_user(user, true)) {
        return Ok(());
    }
    rights::note(call, (Reason::Login, rights::context_of(call)), call.args.get(0), user);
    Err(CommandError::text("WRONGPASS invalid username-password pair or user is disabled."))
}

fn hello(call: &mut Call<'_>) -> CommandResult {
    let mut arguments = call.args.cursor(1);
    let mut protocol = None;
    if let Some(version) = arguments.next() {
        protocol = Some(match swytch_decimal::parse_i64(version) {
            Some(2) => Protocol::Resp2,
            Some(3) => Protocol::Resp3,
            Some(_) => return Err(CommandError::text("NOPROTO unsupported protocol version")),
            None => return Err(CommandError::text("ERR Protocol version is not an integer or out of range")),
        });
    }
    let mut credentials = None;
    let mut name = None;
    while arguments.remaining() > 0 {
        if arguments.remaining() >= 3 && arguments.word("AUTH") {
            credentials = Some((arguments.expect()?, arguments.expect()?));
        } else if arguments.remaining() >= 2 && arguments.word("SETNAME") {
            let wanted = arguments.expect()?;
            super::client::validate_name(wanted)?;
            name = Some(wanted);
        } else {
            let option = arguments.expect()?;
            return Err(CommandError::quoting("ERR Syntax error in HELLO option '", option, "'"));
        }
    }
    if let Some((user, password)) = credentials {
        authenticate(call, user, password)?;
    }
    if !call.client.authenticated && !call.server.users.lets_everybody_in() {
        return Err(CommandError::text(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> \
             AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol \
             version at the same time",
        ));
    }
    if let Some(name) = name {
        call.client.shared.names.lock().name = name.to_vec();
    }
    if let Some(protocol) = protocol {
        call.client.protocol = protocol;
        call.reply.set_protocol(protocol);
    }
    describe(call);
    Ok(())
}

fn describe(call: &mut Call<'_>) {
    let id = call.client.id() as i64;
    let version = if call.client.protocol == Protocol::Resp3 { 3 } else { 2 };
    let reply = &mut call.reply;
    reply.map(7);
    reply.bulk(b"server");
    reply.bulk(b"redis");
    reply.bulk(b"version");
    reply.bulk(crate::REDIS_VERSION.as_bytes());
    reply.bulk(b"proto");
    reply.integer(version);
    reply.bulk(b"id");
    reply.integer(id);
    reply.bulk(b"mode");
    reply.bulk(call.server.config.mode().as_bytes());
    reply.bulk(b"role");
    reply.bulk(b"master");
    reply.bulk(b"modules");
    reply.array(0);
}
