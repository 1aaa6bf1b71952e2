//! What must hold for every command's declaration.

use std::collections::BTreeSet;

use super::{
    Arg, ArgKind, Categories, Command, CommandTable, FindKeys, Flags, Handler, KeyFlags, ReplyShape,
};

fn all() -> impl Iterator<Item = &'static Command> {
    CommandTable::new(crate::commands::SPECS, &[]).expect("names of one command each").iter_all()
}

#[test]
fn names_are_unique_and_lower_case() {
    let mut names = BTreeSet::new();
    for command in all() {
        let name = &command.full_name;
        assert!(names.insert(name.clone()), "{name} is declared twice");
        assert!(
            name.bytes().all(|byte| byte.is_ascii_lowercase() || b"-_|0123456789".contains(&byte)),
            "{name}"
        );
        assert_eq!(
            name.bytes().filter(|byte| *byte == b'|').count(),
            usize::from(command.container.is_some())
        );
    }
}

#[test]
fn every_command_is_found_by_its_name_and_index() {
    let table = CommandTable::new(crate::commands::SPECS, &[]).expect("names of one command each");
    for command in all() {
        let name = command.full_name.as_bytes();
        let upper = name.to_ascii_uppercase();
        for spelling in [name, &upper] {
            let found = table.find_full(spelling).map(|found| found.index);
            assert_eq!(found, Some(command.index), "{}", command.full_name);
        }
        let by_index = table.by_index(command.index).map(|found| &found.full_name);
        assert_eq!(by_index, Some(&command.full_name));
    }
    assert!(table.find(b"nosuchcommand").is_none() && table.find_full(b"get|nosuchsub").is_none());
}

#[test]
fn every_reply_has_a_shape() {
    for command in all() {
        let runs = !matches!(command.spec.handler, Handler::Container);
        assert_eq!(command.spec.reply != ReplyShape::Never, runs, "{}", command.full_name);
    }
}

/// Fewest words that an argument list takes; optional ones may be left out.
fn words_min(arguments: &[Arg]) -> usize {
    arguments
        .iter()
        .filter(|argument| !argument.optional)
        .map(|argument| {
            let token = usize::from(argument.token.is_some() && argument.kind != ArgKind::PureToken);
            token
                + match argument.kind {
                    ArgKind::OneOf(of) => {
                        of.iter().map(|one| words_min(&[Arg { optional: false, ..*one }])).min().unwrap_or(0)
                    }
                    ArgKind::Block(of) => words_min(of),
                    _ => 1,
                }
        })
        .sum()
}

/// True when the list always takes the same number of words.
fn is_fixed(arguments: &[Arg]) -> bool {
    arguments.iter().all(|argument| {
        !argument.optional
            && !argument.multiple
            && match argument.kind {
                ArgKind::Block(of) => is_fixed(of),
                ArgKind::OneOf(of) => {
                    let mut sizes = of.iter().map(|one| words_min(std::slice::from_ref(one)));
                    let first = sizes.next();
                    of.iter().all(|one| is_fixed(std::slice::from_ref(one)))
                        && sizes.all(|size| Some(size) == first)
                }
                _ => true,
            }
    })
}

/// Commands whose arguments are not documented, as in Redis: QUIT ignores any, DEBUG's are nobody's business, and PSYNC and REPLCONF
/// are for servers.
const LOOSE: &[&str] = &["quit", "debug", "psync", "replconf"];

#[test]
fn arity_agrees_with_the_arguments() {
    for command in all() {
        let spec = command.spec;
        let name_words = 1 + usize::from(command.container.is_some());
        if matches!(spec.handler, Handler::Container) {
            assert_eq!((spec.arity, spec.arguments.len()), (-2, 0), "{}", command.full_name);
            continue;
        }
        if !command.subcommands.is_empty() || LOOSE.contains(&spec.name) {
            continue;
        }
        let words = name_words + words_min(spec.arguments);
        if is_fixed(spec.arguments) {
            assert_eq!(spec.arity, words as i32, "{}: its arguments are {words} words", command.full_name);
        } else {
            // The check comes before the syntax is looked at: it may let more pass, but never too few words be needed.
            assert!(
                spec.arity < 0 && spec.arity.unsigned_abs() as usize <= words,
                "{}: arity {} but at least {words} words",
                command.full_name,
                spec.arity
            );
        }
    }
}

#[test]
fn key_arguments_and_key_specs_agree() {
    fn visit(arguments: &[Arg], used: &mut BTreeSet<usize>) {
        for argument in arguments {
            match argument.kind {
                ArgKind::Key(spec) | ArgKind::KeyPattern(spec) => drop(used.insert(usize::from(spec))),
                ArgKind::OneOf(of) | ArgKind::Block(of) => visit(of, used),
                _ => {}
            }
        }
    }
    for command in all() {
        let mut used = BTreeSet::new();
        visit(command.spec.arguments, &mut used);
        let specs = command.spec.key_specs;
        assert!(used.iter().all(|spec| *spec < specs.len()), "{}: {used:?}", command.full_name);
        for spec in specs {
            let access = KeyFlags::RO | KeyFlags::RW | KeyFlags::OW | KeyFlags::RM;
            let accesses = spec.flags.intersection(access).bits().count_ones();
            let wanted = u32::from(!spec.flags.contains(KeyFlags::NOT_KEY));
            assert_eq!(accesses, wanted, "{}: a key is accessed in one of four ways", command.full_name);
            let step = match spec.find {
                FindKeys::Range { step, .. } | FindKeys::KeyNum { step, .. } => step,
                FindKeys::Unknown => continue,
            };
            assert!(step > 0, "{}", command.full_name);
            let writes = !spec.flags.intersects(KeyFlags::RO | KeyFlags::NOT_KEY);
            let may_write = command.is(Flags::WRITE) || command.is(Flags::MAY_REPLICATE);
            assert!(!writes || may_write, "{}: writes a key but is not a write command", command.full_name);
        }
    }
}

#[test]
fn flags_and_handlers_agree() {
    for command in all() {
        let (spec, name) = (command.spec, &command.full_name);
        assert!(!(command.is(Flags::WRITE) && command.is(Flags::READONLY)), "{name}");
        match spec.handler {
            // DEBUG may change everything and PFCOUNT keeps its estimate; neither is a write command, as in Redis.
            Handler::Write(_) | Handler::WriteAll(_) => {
                let may = [Flags::WRITE, Flags::SYSTEM, Flags::MAY_REPLICATE];
                assert!(may.into_iter().any(|flag| command.is(flag)), "{name} writes");
            }
            Handler::Read(_) => assert!(!command.is(Flags::WRITE), "{name} cannot write"),
            Handler::Session(_) => {
                let is_held_back = command.is(Flags::MAY_REPLICATE);
                assert!(is_held_back || !command.is(Flags::FORWARDED), "{name} would not wait for followers");
            }
            Handler::Container => assert!(!spec.subcommands.is_empty(), "{name} has no subcommands"),
            _ => {}
        }
        // What a client is subscribed to takes memory too.
        let fills = command.is(Flags::WRITE) || command.is(Flags::PUBSUB);
        assert!(!command.is(Flags::DENYOOM) || fills, "{name} needs no memory");
        let speed = spec.categories() & (Categories::FAST | Categories::SLOW);
        assert_eq!(speed.bits().count_ones(), 1, "{name}");
        assert!(!spec.summary.is_empty() && !spec.since.is_empty(), "{name}");
    }
}
