//! COMMAND GETKEYS and GETKEYSANDFLAGS: the keys of a request, found by the key specs.

use crate::command::prelude::*;
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
    Ok(keys)
}
