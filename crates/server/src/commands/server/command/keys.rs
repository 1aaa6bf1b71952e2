//! COMMAND GETKEYS and GETKEYSANDFLAGS: the keys of a request, found by the key specs.

use crate::command::Command;
use crate::command::prelude::*;
use crate::commands::string::condition::Condition;
use crate::dispatch::lookup;

pub(super) fn getkeys(call: &mut Call<'_>) -> CommandResult {
    let keys = keys_of_request(call)?;
    call.reply.array(keys.len());
    for (position, _) in keys {
        call.reply.bulk(call.args.get(position + 2));
    }
    Ok(())
}

pub(super) fn getkeysandflags(call: &mut Call<'_>) -> CommandResult {
    let keys = keys_of_request(call)?;
    call.reply.array(keys.len());
    for (position, flags) in keys {
        call.reply.array(2);
        call.reply.bulk(call.args.get(position + 2));
        super::describe::key_flags(&mut call.reply, flags);
    }
    Ok(())
}

/// Positions of the keys in the request that begins at argument 2, with what is done to each.
fn keys_of_request(call: &Call<'_>) -> Result<Vec<(usize, KeyFlags)>, CommandError> {
    let request = call.args.tail(2);
    let command = lookup::lookup(call.commands, &request)
        .ok_or_else(|| CommandError::text("ERR Invalid command specified"))?;
    let has_keys = command.spec.key_specs.iter().any(|spec| !spec.flags.contains(KeyFlags::NOT_KEY));
    if !has_keys {
        return Err(CommandError::text("ERR The command has no key arguments"));
    }
    if !command.accepts_arity(request.len()) {
        return Err(CommandError::text("ERR Invalid number of arguments specified for command"));
    }
    let keys = command.keys_with_flags(&request).unwrap_or_default();
    if keys.is_empty() && !command.is(Flags::NO_MANDATORY_KEYS) {
        return Err(CommandError::text("ERR Invalid arguments specified for command"));
    }
    Ok(keys.into_iter().map(|(position, flags)| (position, exact_flags(command, &request, flags))).collect())
}

/// What this request does to its key, for the commands whose key spec leaves it open.
///
/// Source: `setGetKeys`, `delexGetKeys` and `bitfieldGetKeys` in Redis's `src/db.c`.
fn exact_flags(command: &Command, request: &Args<'_>, flags: KeyFlags) -> KeyFlags {
    if !flags.contains(KeyFlags::VARIABLE_FLAGS) {
        return flags;
    }
    let reads_and_updates = KeyFlags::RW | KeyFlags::ACCESS | KeyFlags::UPDATE;
    match command.spec.name {
        "set" if request.from(3).any(|word| word.eq_ignore_ascii_case(b"GET")) => reads_and_updates,
        "set" if (3..request.len()).any(|index| compares(request, index)) => KeyFlags::RW | KeyFlags::UPDATE,
        "set" => KeyFlags::OW | KeyFlags::UPDATE,
        "delex" if compares(request, 2) => KeyFlags::RW | KeyFlags::DELETE,
        "delex" => KeyFlags::RM | KeyFlags::DELETE,
        "bitfield" if only_reads_bits(request) => KeyFlags::RO | KeyFlags::ACCESS,
        "bitfield" => reads_and_updates,
        _ => flags.difference(KeyFlags::VARIABLE_FLAGS),
    }
}

/// True when an argument is the word of a comparison, which may be incomplete.
fn compares(request: &Args<'_>, index: usize) -> bool {
    !matches!(Condition::comparison(&mut request.cursor(index)), Ok(None))
}

/// True when a BITFIELD request has only GET operations.
fn only_reads_bits(request: &Args<'_>) -> bool {
    let mut arguments = request.cursor(2);
    while arguments.remaining() > 0 {
        let operands = if arguments.word("GET") {
            2
        } else if arguments.word("OVERFLOW") {
            1
        } else {
            return false;
        };
        for _ in 0..operands {
            if arguments.next().is_none() {
                return false;
            }
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::OwnedArgs;

    #[test]
    fn a_bitfield_of_gets_only_reads() {
        let reads = |line: &str| {
            let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
            only_reads_bits(&OwnedArgs::from_words(&words).as_args())
        };
        assert!(reads("bitfield k get u8 0 GET i4 #1"));
        assert!(!reads("bitfield k get u8 0 set u8 0 1"));
        assert!(!reads("bitfield k overflow sat incrby u8 0 1"));
        assert!(!reads("bitfield k get u8"));
    }
}
