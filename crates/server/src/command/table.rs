//! The command table: finds a command by its name and knows what the dispatcher needs of it.

use super::Args;
use super::names::NameTable;
use super::spec::{BeginSearch, Categories, CommandSpec, FindKeys, Flags, Handler};
use crate::acl::{NamedCommand, Names};
use crate::clients::QueuedCommand;
use crate::config::RenamedCommand;

/// A command or subcommand, ready to run.
#[derive(Debug)]
pub struct Command {
    /// Its declaration.
    pub spec: &'static CommandSpec,
    /// Index in the table, for counters.
    pub index: usize,
    /// Name in lower case; of a subcommand `container|sub`.
    pub full_name: String,
    /// Fewest and most arguments, name included, with which it runs without a further question: none at all for a
    /// container and for what a directive guards.
    runs_with: (usize, usize),
    /// Where its only key is, when it has one at a fixed place.
    pub single_key: Option<usize>,
    /// Where it says how many keys a script has that it runs. They follow.
    script_keys_counted_at: Option<usize>,
    /// See [`CommandSpec::member`].
    pub member: Option<usize>,
    /// Its subcommands.
    pub subcommands: Vec<&'static Command>,
    /// The container of a subcommand.
    pub container: Option<&'static str>,
}

impl Command {
    /// True when the number of arguments, name included, is acceptable.
    pub fn accepts_arity(&self, len: usize) -> bool {
        let (fewest, most) = arity_range(self.spec);
        (fewest..=most).contains(&len)
    }

    /// True when it runs with this many arguments, unless the server or its client has a reason against it.
    #[inline]
    pub fn runs_with(&self, len: usize) -> bool {
        self.runs_with.0 <= len && len <= self.runs_with.1
    }

    /// As rules about users name it.
    fn named(&'static self) -> NamedCommand {
        NamedCommand {
            index: self.index,
            full_name: &self.full_name,
            is_subcommand: self.container.is_some(),
            subcommands: self.subcommands.iter().map(|command| command.index).collect(),
        }
    }

    /// True when it has a property.
    #[inline]
    pub fn is(&self, flags: Flags) -> bool {
        self.spec.flags.contains(flags)
    }

    /// The subcommand with this name.
    pub fn subcommand(&self, name: &[u8]) -> Option<&'static Command> {
        self.subcommands
            .iter()
            .copied()
            .find(|command| command.spec.name.as_bytes().eq_ignore_ascii_case(name))
    }

    /// Positions of all keys with what is done to them; `None` when the arguments contradict a key spec and the command has
    /// no way of its own to find them.
    ///
    /// Source: `getKeysFromCommandWithSpecs` in Redis's `src/db.c`.
    pub fn keys_with_flags(&self, args: &Args<'_>) -> Option<Vec<(usize, super::KeyFlags)>> {
        let used = self.spec.keys.map(|keys| keys(args).named);
        let Some(mut keys) = self.keys_of_specs(args) else { return used };
        if let Some(used) = used {
            // A spec finds an option's first key; where the option is given again the last one is used, and for the same.
            let flags_of = |position| keys.iter().find(|(known, _)| *known == position).or(keys.last());
            keys =
                used.into_iter().filter_map(|(at, _)| flags_of(at).map(|(_, flags)| (at, *flags))).collect();
        }
        if let Some(flags_of) = self.spec.key_flags {
            let open = keys.iter_mut().filter(|(_, flags)| flags.contains(super::KeyFlags::VARIABLE_FLAGS));
            open.for_each(|(_, flags)| *flags = flags_of(args));
        }
        Some(keys)
    }

    fn keys_of_specs(&self, args: &Args<'_>) -> Option<Vec<(usize, super::KeyFlags)>> {
        let mut keys = Vec::new();
        for spec in self.spec.key_specs {
            if spec.flags.contains(super::KeyFlags::NOT_KEY) {
                continue;
            }
            if spec.begin == BeginSearch::Unknown || spec.flags.contains(super::KeyFlags::INCOMPLETE) {
                return None;
            }
            let Some(begin) = spec.begin_in(args) else { continue };
            let (first, last, step) = spec.bounds(begin, args)?;
            if first > last || last >= args.len() {
                return None;
            }
            keys.extend((first..=last).step_by(step).map(|position| (position, spec.flags)));
        }
        Some(keys)
    }

    /// Positions of all that belongs to a slot: keys, and channels of shards.
    pub fn slot_positions(&self, args: &Args<'_>) -> Vec<usize> {
        let mut positions = self.key_positions(args);
        for spec in self.spec.key_specs {
            if spec.flags.contains(super::spec::KeyFlags::NOT_KEY) {
                key_positions_of(spec, args, &mut positions);
            }
        }
        positions
    }

    /// True if the values of the keys that a request names lead to others, which may be anywhere.
    pub fn reaches_any(&self, args: &Args<'_>) -> bool {
        self.spec.keys.is_some_and(|keys| keys(args).reaches_any)
    }

    /// Position of the key that is prefetched and whose hash `Call::key_hash` is: the only one, or the first of a script.
    #[inline(always)]
    pub fn hashed_key(&self, args: &Args<'_>) -> Option<usize> {
        if self.single_key.is_some() {
            return self.single_key;
        }
        let count_at = self.script_keys_counted_at?;
        args.try_get(count_at).is_some_and(|count| count != b"0").then_some(count_at + 1)
    }

    /// Positions of all keys among the arguments; an argument that makes a key spec unreadable ends it.
    pub fn key_positions(&self, args: &Args<'_>) -> Vec<usize> {
        if let Some(keys) = self.spec.keys {
            return keys(args).named.into_iter().map(|(position, _)| position).collect();
        }
        let mut positions = Vec::new();
        for spec in self.spec.key_specs {
            if !spec.flags.contains(super::spec::KeyFlags::NOT_KEY) {
                key_positions_of(spec, args, &mut positions);
            }
        }
        positions
    }
}

/// Appends the positions that one key spec yields.
pub fn key_positions_of(spec: &super::KeySpec, args: &Args<'_>, positions: &mut Vec<usize>) {
    let len = args.len();
    let Some(begin) = spec.begin_in(args).filter(|begin| *begin < len) else { return };
    match spec.find {
        FindKeys::Range { last, step, limit } => {
            let last = if last >= 0 {
                begin + last as usize
            } else if limit <= 1 {
                (len as i64 + i64::from(last)).max(0) as usize
            } else {
                begin + ((len - begin) / limit).saturating_sub((-last) as usize)
            };
            positions.extend((begin..=last.min(len - 1)).step_by(step));
        }
        FindKeys::KeyNum { count_at, first, step } => {
            let Some(count) = args.try_get(begin + count_at).and_then(swytch_decimal::parse_i64) else {
                return;
            };
            let count = count.clamp(0, len as i64) as usize;
            let first = begin + first;
            positions.extend((0..count).map(|index| first + index * step).filter(|at| *at < len));
        }
        FindKeys::Unknown => {}
    }
}

impl super::KeySpec {
    /// Where its keys begin; `None` when its keyword is not there with something behind it, and where nobody can tell.
    fn begin_in(&self, args: &Args<'_>) -> Option<usize> {
        let len = args.len();
        match self.begin {
            BeginSearch::Index(index) => Some(index),
            BeginSearch::Keyword(word, from) => {
                let is_word = |at: &usize| args.get(*at).eq_ignore_ascii_case(word.as_bytes());
                let found = if from >= 0 {
                    (from as usize..len.saturating_sub(1)).find(is_word)
                } else {
                    (1..=(len as i64 + i64::from(from)).max(0) as usize).rev().find(is_word)
                };
                found.map(|at| at + 1)
            }
            BeginSearch::Unknown => None,
        }
    }

    /// First and last position and distance of the keys that begin here, unchecked against the number of arguments at
    /// their end; `None` when the arguments contradict the spec.
    fn bounds(&self, begin: usize, args: &Args<'_>) -> Option<(usize, usize, usize)> {
        let (begin, len) = (begin as i64, args.len() as i64);
        let (first, last, step) = match self.find {
            FindKeys::Range { last, step, limit } => {
                let last = i64::from(last);
                let end = match limit {
                    _ if last >= 0 => begin + last,
                    0 | 1 => len + last,
                    limit => begin + (len - begin) / limit as i64 + last,
                };
                (begin, end, step)
            }
            FindKeys::KeyNum { count_at, first, step } => {
                let count = args.try_get(usize::try_from(begin).ok()? + count_at)?;
                let count = swytch_decimal::parse_i64(count).filter(|count| (0..=len).contains(count))?;
                let first = begin + first as i64;
                (first, first + (count - 1) * step as i64, step)
            }
            FindKeys::Unknown => return None,
        };
        Some((usize::try_from(first).ok()?, usize::try_from(last).ok()?, step))
    }
}

/// The commands of Redis and Valkey, a line each that begins with the full name.
const PEER_COMMANDS: &str = include_str!("peer_commands.tsv");

/// All commands.
#[derive(Debug)]
pub struct CommandTable {
    commands: Vec<&'static Command>,
    by_name: NameTable<&'static Command>,
    /// Commands and subcommands, each at its index; without those that cannot be called.
    by_index: Vec<Option<&'static Command>>,
    /// All commands, whatever `rename-command` has made of them, without their subcommands.
    declared: Vec<&'static Command>,
}

/// A command under the name it is called by: its own, but for `rename-command`.
#[derive(Clone, Copy, Debug)]
struct Named {
    name: &'static str,
    command: &'static Command,
}

impl CommandTable {
    /// The table of these declarations, with the names that `rename-command` lines give; it lives as long as the
    /// process.
    ///
    /// # Errors
    /// Redis's text, with the place of the line, when a command does not exist or a name is taken.
    pub fn new(
        groups: &[&[&'static CommandSpec]],
        renamed: &[RenamedCommand],
    ) -> Result<&'static CommandTable, String> {
        let (mut named, len) = named(groups);
        let declared = named.iter().map(|named| named.command).collect();
        renamed.iter().try_for_each(|line| rename(&mut named, line))?;
        named.sort_by_key(|named| named.command.index);
        let by_name = NameTable::new(named.iter().map(|named| (named.name, named.command)));
        let commands = named.iter().map(|named| named.command).collect();
        let mut table = CommandTable { commands, by_name, by_index: vec![None; len], declared };
        for command in table.iter_all().collect::<Vec<_>>() {
            table.by_index[command.index] = Some(command);
        }
        Ok(Box::leak(Box::new(table)))
    }

    /// The command with this name, in any case.
    #[inline]
    pub fn find(&self, name: &[u8]) -> Option<&'static Command> {
        self.by_name.find(name)
    }

    /// The command or, with a bar or a second word, subcommand of this name.
    pub fn find_full(&self, name: &[u8]) -> Option<&'static Command> {
        match name.iter().position(|&byte| byte == b'|') {
            None => self.find(name),
            Some(bar) => self.find(&name[..bar])?.subcommand(&name[bar + 1..]),
        }
    }

    /// The command or subcommand with this [`Command::index`].
    pub fn by_index(&self, index: usize) -> Option<&'static Command> {
        self.by_index.get(index).copied().flatten()
    }

    /// The command that was queued.
    pub fn queued(&self, queued: &QueuedCommand) -> &'static Command {
        self.by_index(queued.command).expect("it was found here before it was queued")
    }

    /// All commands that can be called, without their subcommands.
    pub fn iter(&self) -> impl Iterator<Item = &'static Command> + '_ {
        self.commands.iter().copied()
    }

    /// All commands, each followed by its subcommands.
    pub fn iter_all(&self) -> impl Iterator<Item = &'static Command> + '_ {
        with_subcommands(&self.commands)
    }

    /// Number of commands and subcommands; every [`Command::index`] is smaller.
    pub fn len(&self) -> usize {
        self.by_index.len()
    }

    /// Never true; for symmetry with `len`.
    pub fn is_empty(&self) -> bool {
        self.by_index.is_empty()
    }
}

impl Names for CommandTable {
    fn count(&self) -> usize {
        self.by_index.len()
    }

    fn find(&self, full_name: &[u8]) -> Option<NamedCommand> {
        with_subcommands(&self.declared)
            .find(|command| command.full_name.as_bytes().eq_ignore_ascii_case(full_name))
            .map(Command::named)
    }

    fn is_elsewhere(&self, full_name: &[u8]) -> bool {
        let is_told = |line: &str| {
            let name = line.split('\t').next().unwrap_or_default();
            name.as_bytes().eq_ignore_ascii_case(full_name)
        };
        Names::find(self, full_name).is_none() && PEER_COMMANDS.lines().any(is_told)
    }

    fn in_category(&self, category: &[u8]) -> Option<Vec<NamedCommand>> {
        let category = Categories::named(category)?;
        let all = with_subcommands(&self.declared);
        Some(all.filter(|command| command.spec.categories().contains(category)).map(Command::named).collect())
    }
}

/// The commands, each followed by its subcommands.
fn with_subcommands(commands: &[&'static Command]) -> impl Iterator<Item = &'static Command> {
    commands.iter().flat_map(|command| std::iter::once(*command).chain(command.subcommands.iter().copied()))
}

/// The commands under their own names, and how many there are with their subcommands.
fn named(groups: &[&[&'static CommandSpec]]) -> (Vec<Named>, usize) {
    let mut commands = Vec::new();
    let mut len = 0;
    let mut next_index = || {
        len += 1;
        len - 1
    };
    for spec in groups.iter().copied().flatten().copied() {
        let subcommands: Vec<_> = spec
            .subcommands
            .iter()
            .map(|sub| {
                leak(Command {
                    spec: sub,
                    index: next_index(),
                    full_name: format!("{}|{}", spec.name, sub.name),
                    runs_with: plain_range(sub),
                    single_key: single_key(sub),
                    script_keys_counted_at: None,
                    member: sub.member,
                    subcommands: Vec::new(),
                    container: Some(spec.name),
                })
            })
            .collect();
        let command = leak(Command {
            spec,
            index: next_index(),
            full_name: spec.name.to_owned(),
            runs_with: plain_range(spec),
            single_key: single_key(spec),
            script_keys_counted_at: script_keys_counted_at(spec),
            member: spec.member,
            subcommands,
            container: None,
        });
        commands.push(Named { name: spec.name, command });
    }
    (commands, len)
}

fn leak(command: Command) -> &'static Command {
    Box::leak(Box::new(command))
}

/// Gives a command another name, or none.
fn rename(named: &mut Vec<Named>, line: &RenamedCommand) -> Result<(), String> {
    let error = |text: &str| format!("configuration error on {}: {text}", line.place);
    let at = named
        .iter()
        .position(|named| named.name.as_bytes().eq_ignore_ascii_case(&line.from))
        .ok_or_else(|| error("No such command in rename-command"))?;
    let Named { command, .. } = named.swap_remove(at);
    if line.to.is_empty() {
        return Ok(());
    }
    if named.iter().any(|named| named.name.as_bytes().eq_ignore_ascii_case(&line.to)) {
        return Err(error("Target command name already exists"));
    }
    let name = String::from_utf8(line.to.clone()).map_err(|_| error("The name is not UTF-8"))?;
    named.push(Named { name: name.leak(), command });
    Ok(())
}

/// See [`Command::runs_with`].
fn plain_range(spec: &CommandSpec) -> (usize, usize) {
    if spec.subcommands.is_empty() && spec.guard.is_none() { arity_range(spec) } else { (1, 0) }
}

fn arity_range(spec: &CommandSpec) -> (usize, usize) {
    let fewest = spec.arity.unsigned_abs() as usize;
    (fewest, if spec.arity < 0 { usize::MAX } else { fewest })
}

fn script_keys_counted_at(spec: &CommandSpec) -> Option<usize> {
    match (spec.handler, spec.key_specs) {
        (
            Handler::Script(_),
            [
                super::KeySpec {
                    begin: BeginSearch::Index(at),
                    find: FindKeys::KeyNum { count_at: 0, first: 1, .. },
                    ..
                },
            ],
        ) => Some(*at),
        _ => None,
    }
}

fn single_key(spec: &CommandSpec) -> Option<usize> {
    if matches!(spec.handler, Handler::Container) {
        return None;
    }
    match spec.key_specs {
        [
            super::KeySpec {
                begin: BeginSearch::Index(at),
                find: FindKeys::Range { last: 0, .. },
                flags,
                ..
            },
        ] if !flags.contains(super::KeyFlags::NOT_KEY) => Some(*at),
        _ => None,
    }
}
