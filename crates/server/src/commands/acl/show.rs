//! ACL CAT, DRYRUN, GENPASS, GETUSER, LIST, LOG, USERS, WHOAMI.

use super::{ADMIN, SUB};
use crate::acl::Selector;
use crate::command::prelude::*;
use crate::command::{Command, OwnedArgs};
use crate::dispatch::{lookup, rights};
use crate::request::start_of;
use crate::system::clock;

pub(super) static CAT: CommandSpec = CommandSpec {
    name: "cat",
    summary: "Lists the categories of commands, or the commands in one of them.",
    complexity: "O(1), the number of commands being fixed.",
    arity: -2,
    arguments: &[Arg::string("category").optional()],
    reply: ReplyShape::TEXTS,
    handler: Handler::Session(cat),
    ..SUB
};

pub(super) static DRYRUN: CommandSpec = CommandSpec {
    name: "dryrun",
    summary: "Says whether a user may run a command, without running it.",
    since: "7.0.0",
    complexity: "O(N) for N rules of the user.",
    arity: -4,
    arguments: &[Arg::string("username"), Arg::string("command"), Arg::string("arg").optional().multiple()],
    reply: ReplyShape::OneOf(&[ReplyShape::OK, ReplyShape::Text]),
    handler: Handler::Session(dry_run),
    ..ADMIN
};

pub(super) static GENPASS: CommandSpec = CommandSpec {
    name: "genpass",
    summary: "Makes up a password that cannot be guessed.",
    arity: -2,
    arguments: &[Arg::integer("bits").optional()],
    reply: ReplyShape::Text,
    handler: Handler::Session(generate_password),
    ..SUB
};

pub(super) static GETUSER: CommandSpec = CommandSpec {
    name: "getuser",
    summary: "Tells how one logs in as a user, and what it may do.",
    complexity: "O(N) for N rules of the user.",
    arity: 3,
    history: &[
        ("6.2.0", "Rules about channels."),
        ("7.0.0", "Selectors; keys and channels are told as rules and no longer as lists."),
    ],
    arguments: &[Arg::string("username")],
    reply: ReplyShape::OneOf(&[ReplyShape::Map(&ReplyShape::Text, &ReplyShape::Any), ReplyShape::Null]),
    handler: Handler::Session(get_user),
    ..ADMIN
};

pub(super) static LIST: CommandSpec = CommandSpec {
    name: "list",
    summary: "Lists all users with their rules, as lines of a file.",
    complexity: "O(N) for N users.",
    reply: ReplyShape::TEXTS,
    handler: Handler::Session(list),
    ..ADMIN
};

pub(super) static LOG: CommandSpec = CommandSpec {
    name: "log",
    summary: "Shows what was refused to whom, the latest first, or forgets it.",
    complexity: "O(N) for N entries shown.",
    arity: -2,
    history: &[("7.2.0", "Entries have a number, and the times when they were made and last changed.")],
    arguments: &[Arg::one_of("operation", &[Arg::integer("count"), Arg::flag("reset", "RESET")]).optional()],
    reply: ReplyShape::OneOf(&[
        ReplyShape::OK,
        ReplyShape::List(&ReplyShape::Map(&ReplyShape::Text, &ReplyShape::Any)),
    ]),
    handler: Handler::Session(log),
    ..ADMIN
};

pub(super) static USERS: CommandSpec = CommandSpec {
    name: "users",
    summary: "Lists the names of all users.",
    complexity: "O(N) for N users.",
    reply: ReplyShape::TEXTS,
    handler: Handler::Session(users),
    ..ADMIN
};

pub(super) static WHOAMI: CommandSpec = CommandSpec {
    name: "whoami",
    summary: "Names the user that this connection is logged in as.",
    reply: ReplyShape::Text,
    handler: Handler::Session(whoami),
    ..SUB
};

fn whoami(call: &mut Call<'_>) -> CommandResult {
    call.reply.bulk(call.client.user.name());
    Ok(())
}

fn users(call: &mut Call<'_>) -> CommandResult {
    let users = call.server.users.all();
    call.reply.array(users.len());
    users.iter().for_each(|user| call.reply.bulk(user.name()));
    Ok(())
}

fn list(call: &mut Call<'_>) -> CommandResult {
    let lines = call.server.users.lines();
    call.reply.array(lines.len());
    lines.iter().for_each(|line| call.reply.bulk(line));
    Ok(())
}

fn get_user(call: &mut Call<'_>) -> CommandResult {
    let Some(user) = call.server.users.get(call.args.get(2)) else {
        call.reply.null();
        return Ok(());
    };
    let rights = user.rights();
    let (flags, [own, others @ ..]) = (rights.flags(), rights.selectors()) else {
        unreachable!("a user has a selector of its own")
    };
    call.reply.map(3 + fields_of(own).len());
    call.reply.bulk(b"flags");
    call.reply.set(flags.len());
    flags.iter().for_each(|flag| call.reply.bulk(flag.as_bytes()));
    call.reply.bulk(b"passwords");
    let passwords = rights.passwords();
    call.reply.array(passwords.len());
    passwords.for_each(|password| call.reply.bulk(password.as_bytes()));
    show_selector(call, own);
    call.reply.bulk(b"selectors");
    call.reply.array(others.len());
    for selector in others {
        call.reply.map(fields_of(selector).len());
        show_selector(call, selector);
    }
    Ok(())
}

fn show_selector(call: &mut Call<'_>, selector: &Selector) {
    for (name, text) in fields_of(selector) {
        call.reply.bulk(name.as_bytes());
        call.reply.bulk(&text);
    }
}

/// A selector in the map of GETUSER. Redis knows of no databases, so they are shown where there is a rule about them.
fn fields_of(selector: &Selector) -> Vec<(&'static str, Vec<u8>)> {
    let mut fields = vec![
        ("commands", selector.describe_commands()),
        ("keys", selector.describe_keys()),
        ("channels", selector.describe_channels()),
    ];
    fields.extend(selector.describe_databases().map(|databases| ("databases", databases)));
    fields
}

fn cat(call: &mut Call<'_>) -> CommandResult {
    match call.args.len() {
        2 => {
            call.reply.array(Categories::NAMES.len());
            Categories::NAMES.iter().for_each(|(_, name)| call.reply.bulk(name.as_bytes()));
        }
        3 => {
            let name = call.args.get(2);
            let category = Categories::named(name)
                .ok_or_else(|| CommandError::quoting("ERR Unknown category '", start_of(name), "'"))?;
            let all = call.commands.iter_all();
            let commands: Vec<&Command> =
                all.filter(|command| command.spec.categories().contains(category)).collect();
            call.reply.array(commands.len());
            commands.iter().for_each(|command| call.reply.bulk(command.full_name.as_bytes()));
        }
        _ => return Err(call.subcommand_syntax()),
    }
    Ok(())
}

/// Most bits of a password.
const PASSWORD_BITS_MAX: i64 = 4096;

fn generate_password(call: &mut Call<'_>) -> CommandResult {
    let bits = match call.args.len() {
        2 => 256,
        3 => swytch_decimal::parse_i64(call.args.get(2)).ok_or(CommandError::NotAnInteger)?,
        _ => return Err(call.subcommand_syntax()),
    };
    if !(1..=PASSWORD_BITS_MAX).contains(&bits) {
        return Err(CommandError::owned(format!(
            "ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to \
             {PASSWORD_BITS_MAX}"
        )));
    }
    let digits = (bits as usize).div_ceil(4);
    let mut random = vec![0; digits.div_ceil(2)];
    getrandom::fill(&mut random)
        .map_err(|error| CommandError::owned(format!("ERR the system gives no random numbers: {error}")))?;
    let text: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    call.reply.bulk(&text.as_bytes()[..digits]);
    Ok(())
}

/// Entries that ACL LOG shows when it is not told how many.
const ENTRIES_DEFAULT: usize = 10;

fn log(call: &mut Call<'_>) -> CommandResult {
    let count = match call.args.len() {
        2 => ENTRIES_DEFAULT,
        3 if call.args.get(2).eq_ignore_ascii_case(b"RESET") => {
            call.server.users.with_log(|log| log.clear());
            call.reply.ok();
            return Ok(());
        }
        3 => {
            let count = swytch_decimal::parse_i64(call.args.get(2)).ok_or(CommandError::NotAnInteger)?;
            usize::try_from(count).unwrap_or(0)
        }
        _ => return Err(call.subcommand_syntax()),
    };
    let entries = call.server.users.with_log(|log| log.latest(count));
    let now_ms = clock::unix_ms();
    let reply = &mut call.reply;
    reply.array(entries.len());
    for entry in entries {
        let texts: [(&str, &[u8]); 5] = [
            ("reason", entry.reason.name().as_bytes()),
            ("context", entry.context.name().as_bytes()),
            ("object", &entry.object),
            ("username", &entry.user),
            ("client-info", &entry.client),
        ];
        reply.map(10);
        reply.bulk(b"count");
        reply.integer(entry.count as i64);
        for (name, text) in &texts[..4] {
            reply.bulk(name.as_bytes());
            reply.bulk(text);
        }
        reply.bulk(b"age-seconds");
        reply.double(now_ms.saturating_sub(entry.updated_ms) as f64 / 1000.0);
        let (name, text) = texts[4];
        reply.bulk(name.as_bytes());
        reply.bulk(text);
        for (name, number) in [
            ("entry-id", entry.id),
            ("timestamp-created", entry.created_ms),
            ("timestamp-last-updated", entry.updated_ms),
        ] {
            reply.bulk(name.as_bytes());
            reply.integer(number as i64);
        }
    }
    Ok(())
}

fn dry_run(call: &mut Call<'_>) -> CommandResult {
    let name = call.args.get(2);
    let Some(user) = call.server.users.get(name) else {
        return Err(CommandError::quoting("ERR User '", name, "' not found"));
    };
    let words: Vec<&[u8]> = call.args.from(3).collect();
    let words = OwnedArgs::from_words(&words);
    let args = words.as_args();
    let Some(command) = lookup::lookup(call.commands, &args) else {
        return Err(CommandError::quoting("ERR Command '", args.get(0), "' not found"));
    };
    if !command.accepts_arity(args.len()) {
        return Err(CommandError::wrong_arity(&command.full_name));
    }
    match rights::denied(&user.rights(), command, &args, rights::Place::of(call)) {
        Some(denied) => call.reply.bulk(&denied.text(&user, command, &args, true)),
        None => call.reply.ok(),
    }
    Ok(())
}
