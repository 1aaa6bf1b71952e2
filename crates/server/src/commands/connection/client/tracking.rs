//! CLIENT TRACKING, CACHING, GETREDIR, TRACKINGINFO: whether and how the calling connection is told of what is no longer true.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::SUB;
use crate::clients::tracking::{Modes, Tracker};
use crate::clients::{ClientFlags, ClientShared};
use crate::command::prelude::*;
use crate::dispatch::tracking;

pub(super) static TRACKING: CommandSpec = CommandSpec {
    name: "tracking",
    summary: "Turns the messages on or off that tell this connection, or another, which keys have changed that it keeps values of.",
    since: "6.0.0",
    complexity: "O(N) for N prefixes.",
    arity: -3,
    arguments: &[
        Arg::one_of("status", &[Arg::flag("on", "ON"), Arg::flag("off", "OFF")]),
        Arg::integer("client-id").token("REDIRECT").optional(),
        Arg::string("prefix").token("PREFIX").optional().multiple().multiple_token(),
        Arg::flag("bcast", "BCAST").optional(),
        Arg::flag("optin", "OPTIN").optional(),
        Arg::flag("optout", "OPTOUT").optional(),
        Arg::flag("noloop", "NOLOOP").optional(),
    ],
    reply: ReplyShape::OK,
    differs: "SWAPDB is told of as FLUSHDB is, and in mode BCAST nobody is told of keys that it may not read.",
    handler: Handler::Session(set_tracking),
    ..SUB
};

pub(super) static CACHING: CommandSpec = CommandSpec {
    name: "caching",
    summary: "Chooses whether the keys that the next command reads are tracked for client-side caching.",
    since: "6.0.0",
    arity: 3,
    arguments: &[Arg::one_of("mode", &[Arg::flag("yes", "YES"), Arg::flag("no", "NO")])],
    reply: ReplyShape::OK,
    handler: Handler::Session(caching),
    ..SUB
};

pub(super) static GETREDIR: CommandSpec = CommandSpec {
    name: "getredir",
    summary: "Returns the number of the connection that receives this one's invalidation messages, 0 for itself, or -1 while tracking is off.",
    since: "6.0.0",
    reply: ReplyShape::Integer,
    handler: Handler::Session(getredir),
    ..SUB
};

pub(super) static TRACKINGINFO: CommandSpec = CommandSpec {
    name: "trackinginfo",
    summary: "Describes how this connection uses client-side caching.",
    since: "6.2.0",
    reply: ReplyShape::Map(&ReplyShape::Text, &ReplyShape::Any),
    handler: Handler::Session(trackinginfo),
    ..SUB
};

/// What the options of CLIENT TRACKING say.
#[derive(Default)]
struct Options<'a> {
    modes: Modes,
    redirection: Option<Arc<ClientShared>>,
    prefixes: Vec<&'a [u8]>,
}

fn set_tracking(call: &mut Call<'_>) -> CommandResult {
    let options = options(call)?;
    let mut status = call.args.cursor(2);
    if status.word("ON") {
        check(call, &options)?;
        let client = Arc::clone(&call.client.shared);
        let prefixes = prefixes(call, &options);
        tracking::begin(call, Tracker::new(client, options.modes, options.redirection, prefixes));
    } else if status.word("OFF") {
        tracking::end(call);
    } else {
        return Err(CommandError::Syntax);
    }
    call.reply.ok();
    Ok(())
}

fn options<'a>(call: &Call<'a>) -> Result<Options<'a>, CommandError> {
    let mut options = Options::default();
    let mut arguments = call.args.cursor(3);
    while arguments.remaining() > 0 {
        if arguments.remaining() >= 2 && arguments.word("REDIRECT") {
            if options.redirection.is_some() {
                return Err(CommandError::text("ERR A client can only redirect to a single other client"));
            }
            let id = arguments.integer()?;
            let client = u64::try_from(id).ok().and_then(|id| call.server.clients.get(id));
            let client = client
                .ok_or_else(|| CommandError::text("ERR The client ID you want redirect to does not exist"))?;
            options.redirection = Some(client);
        } else if arguments.word("BCAST") {
            options.modes |= Modes::BROADCAST;
        } else if arguments.word("OPTIN") {
            options.modes |= Modes::OPT_IN;
        } else if arguments.word("OPTOUT") {
            options.modes |= Modes::OPT_OUT;
        } else if arguments.word("NOLOOP") {
            options.modes |= Modes::NO_LOOP;
        } else if arguments.remaining() >= 2 && arguments.word("PREFIX") {
            options.prefixes.push(arguments.expect()?);
        } else {
            return Err(CommandError::Syntax);
        }
    }
    Ok(options)
}

/// Whether the options go with one another and with how the client tracks already.
fn check(call: &Call<'_>, options: &Options<'_>) -> CommandResult {
    let modes = options.modes;
    let before = call.client.tracker.as_ref().map(|tracker| tracker.modes);
    let broadcasts = modes.contains(Modes::BROADCAST);
    let switches =
        |from: Modes, to: Modes| before.is_some_and(|before| before.contains(from)) && modes.contains(to);
    if !broadcasts && !options.prefixes.is_empty() {
        return Err(CommandError::text("ERR PREFIX option requires BCAST mode to be enabled"));
    }
    if before.is_some_and(|before| before.contains(Modes::BROADCAST) != broadcasts) {
        return Err(CommandError::text(
            "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it \
             with a different mode.",
        ));
    }
    if broadcasts && modes.intersects(Modes::OPT_IN | Modes::OPT_OUT) {
        return Err(CommandError::text("ERR OPTIN and OPTOUT are not compatible with BCAST"));
    }
    if modes.contains(Modes::OPT_IN | Modes::OPT_OUT) {
        return Err(CommandError::text("ERR You can't specify both OPTIN mode and OPTOUT mode"));
    }
    if switches(Modes::OPT_IN, Modes::OPT_OUT) || switches(Modes::OPT_OUT, Modes::OPT_IN) {
        return Err(CommandError::text(
            "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it \
             with a different mode.",
        ));
    }
    if broadcasts { check_prefixes(call, &options.prefixes) } else { Ok(()) }
}

/// No name may begin with two prefixes of one client.
fn check_prefixes(call: &Call<'_>, prefixes: &[&[u8]]) -> CommandResult {
    let overlap = |one: &[u8], other: &[u8]| one.starts_with(other) || other.starts_with(one);
    let refused = |prefix: &[u8], what: &str, other: &[u8]| {
        let text = [
            b"ERR Prefix '",
            prefix,
            b"' overlaps with ",
            what.as_bytes(),
            b" prefix '",
            other,
            b"'. Prefixes for a single client must not overlap.",
        ];
        Err(CommandError::owned(text.concat()))
    };
    let existing = call.client.tracker.as_ref().map(|tracker| &tracker.prefixes);
    for (at, prefix) in prefixes.iter().enumerate() {
        if let Some(other) = existing.into_iter().flatten().find(|other| overlap(other, prefix)) {
            return refused(prefix, "an existing", other);
        }
        if let Some(other) = prefixes[at + 1..].iter().find(|other| overlap(other, prefix)) {
            return refused(prefix, "another provided", other);
        }
    }
    Ok(())
}

/// What the names are to begin with: what they had to before, and these prefixes, or anything.
fn prefixes(call: &Call<'_>, options: &Options<'_>) -> BTreeSet<Box<[u8]>> {
    let mut prefixes = BTreeSet::new();
    if options.modes.contains(Modes::BROADCAST) {
        let before = call.client.tracker.as_ref().map(|tracker| tracker.prefixes.clone());
        prefixes.extend(before.unwrap_or_default());
        prefixes.extend(options.prefixes.iter().map(|prefix| Box::from(*prefix)));
        if options.prefixes.is_empty() {
            prefixes.insert(Box::default());
        }
    }
    prefixes
}

fn caching(call: &mut Call<'_>) -> CommandResult {
    let Some(tracker) = &call.client.tracker else {
        return Err(CommandError::text(
            "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode \
             enabled",
        ));
    };
    let modes = tracker.modes;
    let mut arguments = call.args.cursor(2);
    if arguments.word("YES") {
        if !modes.contains(Modes::OPT_IN) {
            return Err(CommandError::text(
                "ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.",
            ));
        }
    } else if arguments.word("NO") {
        if !modes.contains(Modes::OPT_OUT) {
            return Err(CommandError::text(
                "ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.",
            ));
        }
    } else {
        return Err(CommandError::Syntax);
    }
    tracking::speak_of_next(call.client, true);
    call.reply.ok();
    Ok(())
}

/// The number of the client that is told instead of this one, or -1 while tracking is off.
fn redirection(call: &Call<'_>) -> i64 {
    call.client.tracker.as_ref().map_or(-1, |tracker| tracker.redirection_id() as i64)
}

fn getredir(call: &mut Call<'_>) -> CommandResult {
    call.reply.integer(redirection(call));
    Ok(())
}

fn trackinginfo(call: &mut Call<'_>) -> CommandResult {
    let redirection = redirection(call);
    let said = call.client.flags.contains(ClientFlags::CACHING);
    let tracker = call.client.tracker.as_deref();
    let modes = tracker.map_or(Modes::empty(), |tracker| tracker.modes);
    let has = |mode: Modes| modes.contains(mode);
    let flags = [
        (tracker.is_none(), "off"),
        (tracker.is_some(), "on"),
        (has(Modes::BROADCAST), "bcast"),
        (has(Modes::OPT_IN), "optin"),
        (has(Modes::OPT_IN) && said, "caching-yes"),
        (has(Modes::OPT_OUT), "optout"),
        (has(Modes::OPT_OUT) && said, "caching-no"),
        (has(Modes::NO_LOOP), "noloop"),
        (tracker.is_some_and(Tracker::is_broken), "broken_redirect"),
    ];
    let shown = || flags.iter().filter(|(holds, _)| *holds).map(|(_, flag)| flag.as_bytes());
    let reply = &mut call.reply;
    reply.map(3);
    reply.bulk(b"flags");
    reply.set(shown().count());
    shown().for_each(|flag| reply.bulk(flag));
    reply.bulk(b"redirect");
    reply.integer(redirection);
    reply.bulk(b"prefixes");
    reply.array(tracker.map_or(0, |tracker| tracker.prefixes.len()));
    tracker.iter().flat_map(|tracker| &tracker.prefixes).for_each(|prefix| reply.bulk(prefix));
    Ok(())
}
