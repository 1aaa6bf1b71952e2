//! ACL SETUSER, DELUSER, LOAD, SAVE.

use std::sync::Arc;

use super::ADMIN;
use crate::acl::{self, Rights, User};
use crate::clients::ClientShared;
use crate::clients::channels::Kind;
use crate::command::prelude::*;
use crate::dispatch::conditions;
use crate::observe::logging::limited;

pub(super) static SETUSER: CommandSpec = CommandSpec {
    name: "setuser",
    summary: "Adds a user, or changes how one logs in as it and what it may do.",
    complexity: "O(N) for N rules.",
    arity: -3,
    history: &[
        ("6.2.0", "Rules about channels."),
        ("7.0.0", "Selectors, and rules about what is done to keys."),
    ],
    tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
    arguments: &[Arg::string("username"), Arg::string("rule").optional().multiple()],
    reply: ReplyShape::OK,
    differs: "Valkey's rules about databases are known, too.",
    handler: Handler::Session(set_user),
    ..ADMIN
};

pub(super) static DELUSER: CommandSpec = CommandSpec {
    name: "deluser",
    summary: "Removes users, and ends the connections that are logged in as them.",
    complexity: "O(N) for N connections.",
    arity: -3,
    tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
    arguments: &[Arg::string("username").multiple()],
    reply: ReplyShape::Count,
    handler: Handler::Session(delete_users),
    ..ADMIN
};

pub(super) static LOAD: CommandSpec = CommandSpec {
    name: "load",
    summary: "Replaces all users by those in the file of `aclfile`.",
    complexity: "O(N) for N users.",
    reply: ReplyShape::OK,
    handler: Handler::Session(load),
    ..ADMIN
};

pub(super) static SAVE: CommandSpec = CommandSpec {
    name: "save",
    summary: "Writes all users into the file of `aclfile`.",
    complexity: "O(N) for N users.",
    tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
    reply: ReplyShape::OK,
    handler: Handler::Session(save),
    ..ADMIN
};

fn set_user(call: &mut Call<'_>) -> CommandResult {
    let name = call.args.get(2);
    if !acl::is_name(name) {
        return Err(CommandError::text("ERR Usernames can't contain spaces or null characters"));
    }
    let rules: Vec<&[u8]> = call.args.from(3).collect();
    let server = call.server;
    let user = server
        .users
        .set(name, &rules, acl::allows_channels(&server.config))
        .map_err(|error| CommandError::owned([b"ERR ", &error[..]].concat()))?;
    let rights = user.rights();
    conditions::kill_all(call, |client| is_user(client, &user) && !may_listen(client, &rights));
    conditions::changed(call);
    call.reply.ok();
    Ok(())
}

fn delete_users(call: &mut Call<'_>) -> CommandResult {
    if call.args.from(2).any(|name| name == acl::DEFAULT_USER) {
        return Err(CommandError::text("ERR The 'default' user cannot be removed"));
    }
    let gone: Vec<Arc<User>> = call.args.from(2).filter_map(|name| call.server.users.remove(name)).collect();
    conditions::kill_all(call, |client| gone.iter().any(|user| is_user(client, user)));
    call.reply.count(gone.len());
    Ok(())
}

fn load(call: &mut Call<'_>) -> CommandResult {
    has_file(call)?;
    let server = call.server;
    let gone = acl::load_file(&server.users, &server.config)
        .map_err(|error| CommandError::owned([b"ERR ", &error[..]].concat()))?;
    conditions::kill_all(call, |client| {
        let rights = client.user.lock().rights();
        gone.iter().any(|user| is_user(client, user)) || !may_listen(client, &rights)
    });
    conditions::changed(call);
    call.reply.ok();
    Ok(())
}

fn save(call: &mut Call<'_>) -> CommandResult {
    has_file(call)?;
    acl::save_file(&call.server.users, &call.server.config).map_err(|error| {
        limited!(warn, "failures to save users", %error, "ACL SAVE failed");
        CommandError::text(
            "ERR There was an error trying to save the ACLs. Please check the server logs for more information",
        )
    })?;
    call.reply.ok();
    Ok(())
}

fn has_file(call: &Call<'_>) -> CommandResult {
    if call.server.config.aclfile().is_some_and(|name| !name.is_empty()) {
        return Ok(());
    }
    Err(CommandError::text(
        "ERR This Redis instance is not configured to use an ACL file. You may want to specify users via the ACL \
         SETUSER command and then issue a CONFIG REWRITE (assuming you have a Redis configuration file set) in order \
         to store users in the Redis configuration.",
    ))
}

fn is_user(client: &ClientShared, user: &Arc<User>) -> bool {
    Arc::ptr_eq(&client.user.lock(), user)
}

/// Whether the rights allow all that a client is subscribed to.
fn may_listen(client: &ClientShared, rights: &Rights) -> bool {
    let Some(subscriber) = client.subscriber.get() else { return true };
    [Kind::Channel, Kind::Pattern, Kind::ShardChannel].into_iter().all(|kind| {
        let names = subscriber.names(kind);
        names.iter().all(|name| rights.allows_channel(name, kind == Kind::Pattern))
    })
}
