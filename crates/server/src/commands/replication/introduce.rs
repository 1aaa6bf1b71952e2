//! REPLCONF: what a replica says of itself before it follows, and how far it is when it does.

use crate::clients::ClientFlags;
use crate::clients::introduction::{DataPart, Introduction};
use crate::command::prelude::*;

pub static REPLCONF: CommandSpec = CommandSpec {
    name: "replconf",
    summary: "Tells the server what a replica listens on and understands, and how far it is.",
    since: "3.0.0",
    group: Group::Server,
    arity: -1,
    flags: Flags::ADMIN
        .union(Flags::NOSCRIPT)
        .union(Flags::LOADING)
        .union(Flags::STALE)
        .union(Flags::ALLOW_BUSY)
        .union(Flags::SYSTEM),
    reply: ReplyShape::OK,
    differs: "Channels of their own for the data, which Redis 8 and Valkey 8 know, are not offered; replicas do without.",
    handler: Handler::Session(replconf),
    ..CommandSpec::DEFAULT
};

/// Longest address.
const ADDRESS_BYTES_MAX: usize = 255;

fn replconf(call: &mut Call<'_>) -> CommandResult {
    if call.args.len().is_multiple_of(2) {
        return Err(CommandError::Syntax);
    }
    let mut arguments = call.args.cursor(1);
    while arguments.remaining() > 0 {
        if arguments.word("ACK") {
            acknowledge(call, arguments);
            return Ok(());
        }
        if arguments.word("GETACK") {
            // To a replica it says that an answer is due; this server is none.
            return Ok(());
        }
        let option = arguments.expect()?;
        let introduction = call.client.introduction.get_or_insert_default();
        introduce(introduction, option, &mut arguments)?;
    }
    call.reply.ok();
    Ok(())
}

/// There is no reply to this.
fn acknowledge(call: &mut Call<'_>, mut arguments: ArgCursor<'_>) {
    if !call.client.flags.contains(ClientFlags::FOLLOWER) {
        return;
    }
    let Some(follower) = call.server.replication.follower(call.client.id()) else { return };
    let offset = |arguments: &mut ArgCursor<'_>| u64::try_from(arguments.integer().ok()?).ok();
    if let Some(offset) = offset(&mut arguments) {
        follower.acknowledge(offset);
    }
    if arguments.word("FACK")
        && let Some(offset) = offset(&mut arguments)
    {
        follower.acknowledge_log(offset);
    }
    // Some may have waited for that.
    call.server.wake_holders();
}

fn introduce(
    introduction: &mut Introduction,
    option: &[u8],
    arguments: &mut ArgCursor<'_>,
) -> Result<(), CommandError> {
    match &*option.to_ascii_lowercase() {
        b"listening-port" => {
            // Only shown: one that is no port is none.
            introduction.port = u16::try_from(arguments.integer()?).unwrap_or(0);
        }
        b"ip-address" => {
            let address = arguments.expect()?;
            if address.len() > ADDRESS_BYTES_MAX {
                let text = format!(
                    "ERR REPLCONF ip-address provided by replica instance is too long: {} bytes",
                    address.len()
                );
                return Err(CommandError::owned(text));
            }
            introduction.address = Some(String::from_utf8_lossy(address).into_owned());
        }
        b"capa" => match &*arguments.expect()?.to_ascii_lowercase() {
            b"eof" => introduction.finds_mark = true,
            b"psync2" => introduction.knows_names = true,
            // What else it could do is not wanted of it.
            _ => {}
        },
        b"version" => {
            let version = arguments.expect()?;
            let parsed = parse_version(version);
            introduction.version =
                Some(parsed.ok_or_else(|| {
                    CommandError::quoting("ERR Unrecognized version format: ", version, "")
                })?);
        }
        b"rdb-only" => introduction.data_only = parse_switch(arguments)?,
        b"rdb-no-compress" => introduction.uncompressed = parse_switch(arguments)?,
        b"rdb-filter-only" => {
            introduction.part = DataPart::None;
            let words = arguments.expect()?;
            for word in words.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()) {
                if !word.eq_ignore_ascii_case(b"functions") {
                    return Err(CommandError::quoting("ERR Unsupported rdb-filter-only option: ", word, ""));
                }
                introduction.part = DataPart::Functions;
            }
        }
        _ => return Err(CommandError::quoting("ERR Unrecognized REPLCONF option: ", option, "")),
    }
    Ok(())
}

fn parse_switch(arguments: &mut ArgCursor<'_>) -> Result<bool, CommandError> {
    match arguments.integer()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(CommandError::text("ERR value is out of range, value must between 0 and 1")),
    }
}

/// Major, minor and patch, a byte each.
fn parse_version(text: &[u8]) -> Option<u32> {
    let parts = text.split(|byte| *byte == b'.').map(swytch_decimal::parse_i64);
    let parts: Option<Vec<u32>> =
        parts.map(|part| part.and_then(|part| u8::try_from(part).ok()).map(u32::from)).collect();
    match parts?[..] {
        [major, minor, patch] => Some(major << 16 | minor << 8 | patch),
        _ => None,
    }
}
