//! BITFIELD, BITFIELD_RO
//!
//! All operations are read before the first one runs, and the string is made long enough for all of them at once.

use swytch_store::{Event, Keyspace, KeyspaceMut, StringEdit};

use super::bit_offset;
use super::field::{FIELD_BYTES_MAX, FieldType, Overflow};
use crate::command::KeySpec;
use crate::command::prelude::*;

const GET_BLOCK: Arg =
    Arg::block("get-block", &[Arg::string("encoding"), Arg::integer("offset")]).token("GET");

pub static BITFIELD: CommandSpec = CommandSpec {
    name: "bitfield",
    summary: "Treats a string as an array of integers of any width up to 64 bits, and gets, sets or adds to several of them in one atomic step.",
    since: "3.2.0",
    group: Group::Bitmap,
    complexity: "O(N) for N operations.",
    arity: -2,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    categories: Categories::BITMAP,
    key_specs: &[KeySpec {
        notes: "reads with GET, writes with SET and INCRBY",
        ..KeySpec::one(
            1,
            KeyFlags::RW.union(KeyFlags::UPDATE).union(KeyFlags::ACCESS).union(KeyFlags::VARIABLE_FLAGS),
        )
    }],
    key_flags: Some(|args| {
        if only_reads_bits(args) {
            KeyFlags::RO | KeyFlags::ACCESS
        } else {
            KeyFlags::RW | KeyFlags::ACCESS | KeyFlags::UPDATE
        }
    }),
    arguments: &[
        Arg::key("key"),
        Arg::one_of(
            "operation",
            &[
                GET_BLOCK,
                Arg::block(
                    "write",
                    &[
                        Arg::one_of(
                            "overflow-block",
                            &[Arg::flag("wrap", "WRAP"), Arg::flag("sat", "SAT"), Arg::flag("fail", "FAIL")],
                        )
                        .token("OVERFLOW")
                        .optional(),
                        Arg::one_of(
                            "write-operation",
                            &[
                                Arg::block(
                                    "set-block",
                                    &[Arg::string("encoding"), Arg::integer("offset"), Arg::integer("value")],
                                )
                                .token("SET"),
                                Arg::block(
                                    "incrby-block",
                                    &[
                                        Arg::string("encoding"),
                                        Arg::integer("offset"),
                                        Arg::integer("increment"),
                                    ],
                                )
                                .token("INCRBY"),
                            ],
                        ),
                    ],
                ),
            ],
        )
        .multiple()
        .optional(),
    ],
    reply: ReplyShape::List(&ReplyShape::OneOf(&[ReplyShape::Integer, ReplyShape::Null])),
    handler: Handler::Write(bitfield),
    ..CommandSpec::DEFAULT
};

pub static BITFIELD_RO: CommandSpec = CommandSpec {
    name: "bitfield_ro",
    summary: "Gets integers of any width out of a string, like BITFIELD without its writing operations.",
    since: "6.0.0",
    group: Group::Bitmap,
    complexity: "O(N) for N operations.",
    arity: -2,
    flags: Flags::READONLY.union(Flags::FAST),
    categories: Categories::BITMAP,
    key_specs: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    arguments: &[Arg::key("key"), GET_BLOCK.optional().multiple_token()],
    reply: ReplyShape::List(&ReplyShape::Integer),
    handler: Handler::Read(bitfield_ro),
    ..CommandSpec::DEFAULT
};

struct Operation {
    field: FieldType,
    offset: u64,
    action: Action,
}

#[derive(Clone, Copy)]
enum Action {
    Get,
    Set(i64, Overflow),
    Increment(i64, Overflow),
}

fn bitfield(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let operations = parse(call)?;
    let writes = operations.iter().filter(|operation| operation.writes());
    let Some(len_min) = writes.map(|operation| operation.field.bytes(operation.offset).end).max() else {
        return answer_gets(call, keyspace, &operations);
    };
    let (key, reply) = (call.key(1), &mut call.reply);
    keyspace.edit_string(&key, len_min, Event::string("setbit"), |string| {
        reply.array(operations.len());
        for operation in &operations {
            match operation.run(string) {
                Some(value) => reply.integer(value),
                None => reply.null(),
            }
        }
    })?;
    Ok(())
}

fn bitfield_ro(call: &mut Call<'_>, keyspace: &Keyspace<'_>) -> CommandResult {
    let operations = parse(call)?;
    if operations.iter().any(Operation::writes) {
        return Err(CommandError::text("ERR BITFIELD_RO only supports the GET subcommand"));
    }
    answer_gets(call, keyspace, &operations)
}

fn answer_gets(call: &mut Call<'_>, keyspace: &Keyspace<'_>, operations: &[Operation]) -> CommandResult {
    let text = keyspace.string(&call.key(1))?;
    let bytes = text.as_deref().unwrap_or_default();
    call.reply.array(operations.len());
    for operation in operations {
        call.reply.integer(operation.field.read(bytes, operation.offset));
    }
    Ok(())
}

fn parse(call: &Call<'_>) -> Result<Vec<Operation>, CommandError> {
    let mut operations = Vec::new();
    let mut overflow = Overflow::default();
    let mut arguments = call.args.cursor(2);
    while let Some(word) = arguments.next() {
        let left = arguments.remaining();
        if word.eq_ignore_ascii_case(b"GET") && left >= 2 {
            operations.push(Operation::parse(call, &mut arguments, |_| Ok(Action::Get))?);
        } else if word.eq_ignore_ascii_case(b"SET") && left >= 3 {
            operations.push(Operation::parse(call, &mut arguments, |rest| {
                Ok(Action::Set(rest.integer()?, overflow))
            })?);
        } else if word.eq_ignore_ascii_case(b"INCRBY") && left >= 3 {
            operations.push(Operation::parse(call, &mut arguments, |rest| {
                Ok(Action::Increment(rest.integer()?, overflow))
            })?);
        } else if word.eq_ignore_ascii_case(b"OVERFLOW") && left >= 1 {
            overflow = parse_overflow(&mut arguments)?;
        } else {
            return Err(CommandError::Syntax);
        }
    }
    Ok(operations)
}

fn parse_overflow(arguments: &mut ArgCursor<'_>) -> Result<Overflow, CommandError> {
    [("WRAP", Overflow::Wrap), ("SAT", Overflow::Saturate), ("FAIL", Overflow::Fail)]
        .into_iter()
        .find(|(word, _)| arguments.word(word))
        .map(|(_, overflow)| overflow)
        .ok_or_else(|| CommandError::text("ERR Invalid OVERFLOW type specified"))
}

impl Operation {
    fn parse<'a>(
        call: &Call<'_>,
        arguments: &mut ArgCursor<'a>,
        action: impl FnOnce(&mut ArgCursor<'a>) -> Result<Action, CommandError>,
    ) -> Result<Operation, CommandError> {
        let field = FieldType::parse(arguments.expect()?).ok_or_else(|| CommandError::text(
            "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.",
        ))?;
        let offset = bit_offset(call, arguments.expect()?, Some(field.bits))?;
        Ok(Operation { field, offset, action: action(arguments)? })
    }

    fn writes(&self) -> bool {
        !matches!(self.action, Action::Get)
    }

    /// Runs the operation on a string that is long enough for its write; `None` when it failed on overflow.
    fn run(&self, string: &mut StringEdit<'_>) -> Option<i64> {
        let old = self.field.read(string.bytes(), self.offset);
        let (new, answers_old) = match self.action {
            Action::Get => return Some(old),
            // A value for an unsigned field is one of 64 bits: a negative one is too big, not too small.
            Action::Set(value, overflow) if !self.field.signed => {
                (self.field.fit(i128::from(value as u64), overflow)?, true)
            }
            Action::Set(value, overflow) => (self.field.fit(i128::from(value), overflow)?, true),
            Action::Increment(by, overflow) => {
                (self.field.fit(i128::from(old) + i128::from(by), overflow)?, false)
            }
        };
        let range = self.field.bytes(self.offset);
        let mut buffer = [0; FIELD_BYTES_MAX];
        let touched = &mut buffer[..range.len()];
        touched.copy_from_slice(&string.bytes()[range.clone()]);
        self.field.write(touched, self.offset, new);
        string.write(range.start, touched);
        Some(if answers_old { old } else { new })
    }
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
