//! COMMAND DOCS: summaries, history and argument trees.

use swytch_resp::Reply;

use crate::command::Command;
use crate::command::prelude::*;

/// COMMAND DOCS: a map from name to documentation; unknown names are left out.
pub(super) fn docs(call: &mut Call<'_>) -> CommandResult {
    let table = call.commands;
    let commands: Vec<&Command> = if call.args.len() == 2 {
        table.iter().collect()
    } else {
        call.args.from(2).filter_map(|name| table.find_full(name)).collect()
    };
    call.reply.map(commands.len());
    commands.into_iter().for_each(|command| named(&mut call.reply, command));
    Ok(())
}

fn named(reply: &mut Reply<'_>, command: &Command) {
    let spec = command.spec;
    reply.bulk(command.full_name.as_bytes());
    let doc_flags: Vec<&str> =
        [(spec.deprecated.is_some(), "deprecated"), (command.is(Flags::SYSTEM), "syscmd")]
            .into_iter()
            .filter(|(set, _)| *set)
            .map(|(_, name)| name)
            .collect();
    let optional = [
        !doc_flags.is_empty(),
        spec.deprecated.is_some(),
        spec.deprecated.is_some(),
        !spec.complexity.is_empty(),
        !spec.history.is_empty(),
        !spec.arguments.is_empty(),
        !command.subcommands.is_empty(),
    ];
    reply.map(3 + optional.iter().filter(|present| **present).count());
    pair(reply, "summary", spec.summary);
    pair(reply, "since", spec.since);
    pair(reply, "group", spec.group.name());
    if !spec.complexity.is_empty() {
        pair(reply, "complexity", spec.complexity);
    }
    if !doc_flags.is_empty() {
        reply.bulk(b"doc_flags");
        reply.set(doc_flags.len());
        doc_flags.iter().for_each(|flag| reply.simple(flag));
    }
    if let Some((since, replaced_by)) = spec.deprecated {
        pair(reply, "deprecated_since", since);
        pair(reply, "replaced_by", replaced_by);
    }
    if !spec.history.is_empty() {
        reply.bulk(b"history");
        reply.set(spec.history.len());
        for (version, change) in spec.history {
            reply.array(2);
            reply.bulk(version.as_bytes());
            reply.bulk(change.as_bytes());
        }
    }
    if !spec.arguments.is_empty() {
        reply.bulk(b"arguments");
        arguments(reply, spec.arguments);
    }
    if !command.subcommands.is_empty() {
        reply.bulk(b"subcommands");
        reply.map(command.subcommands.len());
        command.subcommands.iter().for_each(|sub| named(reply, sub));
    }
}

fn pair(reply: &mut Reply<'_>, name: &str, value: &str) {
    reply.bulk(name.as_bytes());
    reply.bulk(value.as_bytes());
}

fn arguments(reply: &mut Reply<'_>, list: &[Arg]) {
    reply.array(list.len());
    list.iter().for_each(|argument| one(reply, argument));
}

fn one(reply: &mut Reply<'_>, argument: &Arg) {
    let (kind, nested): (&str, &[Arg]) = match argument.kind {
        ArgKind::String => ("string", &[]),
        ArgKind::Integer => ("integer", &[]),
        ArgKind::Double => ("double", &[]),
        ArgKind::Key(_) => ("key", &[]),
        ArgKind::Pattern | ArgKind::KeyPattern(_) => ("pattern", &[]),
        ArgKind::UnixTime => ("unix-time", &[]),
        ArgKind::PureToken => ("pure-token", &[]),
        ArgKind::OneOf(of) => ("oneof", of),
        ArgKind::Block(of) => ("block", of),
    };
    let flags: Vec<&str> = [
        (argument.optional, "optional"),
        (argument.multiple, "multiple"),
        (argument.multiple_token, "multiple_token"),
    ]
    .into_iter()
    .filter(|(set, _)| *set)
    .map(|(_, name)| name)
    .collect();
    // A oneof or block is shown by its parts, anything else by a text.
    let mut pairs = 3 + usize::from(!flags.is_empty());
    pairs += usize::from(matches!(argument.kind, ArgKind::Key(_) | ArgKind::KeyPattern(_)));
    pairs += [argument.token, argument.since, argument.deprecated].iter().flatten().count();
    reply.map(pairs);
    pair(reply, "name", argument.name);
    pair(reply, "type", kind);
    if nested.is_empty() {
        pair(reply, "display_text", argument.display.unwrap_or(argument.name));
    }
    if let ArgKind::Key(spec) | ArgKind::KeyPattern(spec) = argument.kind {
        reply.bulk(b"key_spec_index");
        reply.integer(i64::from(spec));
    }
    if let Some(token) = argument.token {
        pair(reply, "token", token);
    }
    if let Some(since) = argument.since {
        pair(reply, "since", since);
    }
    if let Some(since) = argument.deprecated {
        pair(reply, "deprecated_since", since);
    }
    if !flags.is_empty() {
        reply.bulk(b"flags");
        reply.set(flags.len());
        flags.iter().for_each(|flag| reply.simple(flag));
    }
    if !nested.is_empty() {
        reply.bulk(b"arguments");
        arguments(reply, nested);
    }
}
