//! COMMAND LIST, with its filters.

use crate::command::Command;
use crate::command::prelude::*;
use crate::system::glob;

pub(super) fn list(call: &mut Call<'_>) -> CommandResult {
    let all = call.commands.iter_all();
    let mut arguments = call.args.cursor(2);
    let names: Vec<&Command> = if arguments.remaining() == 0 {
        all.collect()
    } else if arguments.remaining() == 3 && arguments.word("FILTERBY") {
        if arguments.word("MODULE") {
            // No command comes from a module.
            Vec::new()
        } else if arguments.word("ACLCAT") {
            let category = Categories::named(arguments.expect()?);
            all.filter(|command| category.is_some_and(|wanted| command.spec.categories().contains(wanted)))
                .collect()
        } else if arguments.word("PATTERN") {
            let pattern = arguments.expect()?;
            all.filter(|command| glob::matches(pattern, command.full_name.as_bytes(), true)).collect()
        } else {
            return Err(CommandError::Syntax);
        }
    } else {
        return Err(CommandError::Syntax);
    };
    call.reply.array(names.len());
    names.iter().for_each(|command| call.reply.bulk(command.full_name.as_bytes()));
    Ok(())
}
