//! CLIENT KILL, in the old form (an address) and the new one (filters that must all match).

use super::list::ClientType;
use super::{OTHERS, SUB};
use crate::clients::ClientShared;
use crate::command::prelude::*;
use crate::dispatch::conditions;
use crate::system::clock::MonotonicMs;

pub(super) static KILL: CommandSpec = CommandSpec {
    name: "kill",
    summary: "Closes the connections that match an address or a set of filters, and tells how many.",
    since: "2.4.0",
    complexity: "O(N) for N open connections.",
    arity: -3,
    flags: OTHERS,
    history: &[
        ("2.8.12", "Filters with names beside the plain address."),
        ("2.8.12", "The filter ID."),
        ("3.2.0", "TYPE knows `master`."),
        ("5.0.0", "TYPE knows `replica`; `slave` means the same."),
        ("6.2.0", "The filter LADDR."),
        ("7.4.0", "The filter MAXAGE."),
    ],
    arguments: &[Arg::one_of(
        "filter",
        &[
            Arg::string("old-format").display("ip:port").deprecated("2.8.12"),
            Arg::one_of(
                "new-format",
                &[
                    Arg::integer("client-id").token("ID").optional().since("2.8.12"),
                    Arg::one_of(
                        "client-type",
                        &[
                            Arg::flag("normal", "NORMAL"),
                            Arg::flag("master", "MASTER").since("3.2.0"),
                            Arg::flag("slave", "SLAVE"),
                            Arg::flag("replica", "REPLICA").since("5.0.0"),
                            Arg::flag("pubsub", "PUBSUB"),
                        ],
                    )
                    .token("TYPE")
                    .optional()
                    .since("2.8.12"),
                    Arg::string("username").token("USER").optional(),
                    Arg::string("addr").display("ip:port").token("ADDR").optional(),
                    Arg::string("laddr").display("ip:port").token("LADDR").optional().since("6.2.0"),
                    Arg::one_of("skipme", &[Arg::flag("yes", "YES"), Arg::flag("no", "NO")])
                        .token("SKIPME")
                        .optional(),
                    Arg::integer("maxage").token("MAXAGE").optional().since("7.4.0"),
                ],
            )
            .multiple(),
        ],
    )],
    reply: ReplyShape::OneOf(&[ReplyShape::OK, ReplyShape::Count]),
    handler: Handler::Session(kill),
    ..SUB
};

/// The conditions that a connection to be closed meets.
#[derive(Default)]
struct Filter<'a> {
    id: Option<u64>,
    address: Option<&'a [u8]>,
    local_address: Option<&'a [u8]>,
    kind: Option<ClientType>,
    user: Option<&'a [u8]>,
    age_min_s: Option<u64>,
    spare_caller: bool,
}

fn kill(call: &mut Call<'_>) -> CommandResult {
    let old_form = call.args.len() == 3;
    let filter =
        if old_form { Filter { address: Some(call.args.get(2)), ..Filter::default() } } else { parse(call)? };
    call.client.publish();
    let (own_id, now) = (call.client.id(), MonotonicMs::now());
    let killed = conditions::kill_all(call, |client| {
        filter.matches(client, now) && !(client.id == own_id && filter.spare_caller)
    });
    if !old_form {
        call.reply.count(killed);
    } else if killed == 0 {
        return Err(CommandError::text("ERR No such client"));
    } else {
        call.reply.ok();
    }
    Ok(())
}

fn parse<'a>(call: &Call<'a>) -> Result<Filter<'a>, CommandError> {
    let mut filter = Filter { spare_caller: true, ..Filter::default() };
    let mut arguments = call.args.cursor(2);
    while arguments.remaining() >= 2 {
        if arguments.word("ID") {
            let id = swytch_decimal::parse_i64(arguments.expect()?).filter(|id| *id >= 1);
            let id = id.ok_or_else(|| CommandError::text("ERR client-id should be greater than 0"))?;
            filter.id = Some(id as u64);
        } else if arguments.word("MAXAGE") {
            let age = swytch_decimal::parse_i64(arguments.expect()?)
                .ok_or_else(|| CommandError::text("ERR maxage is not an integer or out of range"))?;
            if age <= 0 {
                return Err(CommandError::text("ERR maxage should be greater than 0"));
            }
            filter.age_min_s = Some(age as u64);
        } else if arguments.word("TYPE") {
            filter.kind = Some(ClientType::parse(arguments.expect()?)?);
        } else if arguments.word("ADDR") {
            filter.address = Some(arguments.expect()?);
        } else if arguments.word("LADDR") {
            filter.local_address = Some(arguments.expect()?);
        } else if arguments.word("USER") {
            let user = arguments.expect()?;
            if call.server.users.get(user).is_none() {
                return Err(CommandError::quoting("ERR No such user '", user, "'"));
            }
            filter.user = Some(user);
        } else if arguments.word("SKIPME") {
            filter.spare_caller = arguments.word("YES");
            if !filter.spare_caller && !arguments.word("NO") {
                return Err(CommandError::Syntax);
            }
        } else {
            return Err(CommandError::Syntax);
        }
    }
    arguments.end()?;
    Ok(filter)
}

impl Filter<'_> {
    fn matches(&self, client: &ClientShared, now: MonotonicMs) -> bool {
        let age_s = now.since(client.created) / 1000;
        self.id.is_none_or(|id| client.id == id)
            && self.address.is_none_or(|address| client.address.as_bytes() == address)
            && self.local_address.is_none_or(|address| client.local_address.as_bytes() == address)
            && self.kind.is_none_or(|kind| ClientType::of(client) == kind)
            && self.user.is_none_or(|user| client.user.lock().name() == user)
            && self.age_min_s.is_none_or(|age_min_s| age_s >= age_min_s)
    }
}
