//! XDEL, XDELEX, and the options that XDELEX has in common with XACKDEL

use swytch_store::{Absent, Editor, KeyspaceMut, References, Stream, StreamId};

use super::trim::read_references;
use super::{CONDITION, DELETED_FROM, id};
use crate::command::KeySpec;
use crate::command::prelude::*;

const REMOVE: CommandSpec = CommandSpec {
    group: Group::Stream,
    complexity: "O(N*log(M)) for N given identifiers and M entries.",
    flags: Flags::WRITE.union(Flags::FAST),
    categories: Categories::STREAM,
    key_specs: &[KeySpec::one(1, DELETED_FROM)],
    ..CommandSpec::DEFAULT
};

pub static XDEL: CommandSpec = CommandSpec {
    name: "xdel",
    summary: "Deletes entries of a stream and returns how many there were; the stream stays when it is empty.",
    since: "5.0.0",
    arity: -3,
    arguments: &[Arg::key("key"), Arg::string("id").multiple()],
    reply: ReplyShape::Count,
    handler: Handler::Write(|call, keyspace| {
        let key = call.key(1);
        let deleted = keyspace.change::<Stream, _>(&key, Absent::Leave, |stream| {
            let ids = id::all(call.args.from(2))?;
            Ok::<_, CommandError>(
                stream.remove(&ids, false).into_iter().filter(|was_there| *was_there).count(),
            )
        })?;
        call.reply.count(deleted.transpose()?.unwrap_or(0));
        Ok(())
    }),
    ..REMOVE
};

/// `IDS` and what becomes of references.
pub(super) const IDS: Arg =
    Arg::block("ids", &[Arg::integer("numids"), Arg::string("id").multiple()]).token("IDS");

/// Of each identifier: -1 when it is none, 1 when its entry is gone, 2 when that is still referred to.
pub(super) const OUTCOMES: ReplyShape = ReplyShape::List(&ReplyShape::Integer);

pub static XDELEX: CommandSpec = CommandSpec {
    name: "xdelex",
    summary: "Deletes entries of a stream, with or without what is pending of them, and says what became of each.",
    since: "8.2.0",
    arity: -5,
    arguments: &[Arg::key("key"), CONDITION.optional(), IDS],
    reply: OUTCOMES,
    handler: Handler::Write(xdelex),
    ..REMOVE
};

/// What became of an identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    NotThere = -1,
    Gone = 1,
    Referenced = 2,
}

/// The options of XDELEX and XACKDEL.
pub(super) struct Chosen<'a> {
    pub(super) references: References,
    ids: Vec<&'a [u8]>,
}

impl<'a> Chosen<'a> {
    pub(super) fn read(call: &Call<'a>, from: usize) -> Result<Chosen<'a>, CommandError> {
        let mut arguments = call.args.cursor(from);
        let (mut references, mut ids) = (None, None);
        while arguments.remaining() > 0 {
            if references.is_none() {
                references = read_references(&mut arguments);
                if references.is_some() {
                    continue;
                }
            }
            if arguments.remaining() < 2 || !arguments.word("IDS") {
                return Err(CommandError::Syntax);
            }
            let count = swytch_decimal::parse_i64(arguments.expect()?).filter(|count| *count > 0);
            let count = count
                .and_then(|count| usize::try_from(count).ok())
                .ok_or_else(|| CommandError::text("ERR Number of IDs must be a positive integer"))?;
            if count > arguments.remaining() {
                let text = "ERR The `numids` parameter must match the number of arguments";
                return Err(CommandError::text(text));
            }
            ids = Some((0..count).map(|_| arguments.expect()).collect::<Result<_, _>>()?);
        }
        let ids = ids.ok_or_else(|| CommandError::text("ERR IDS option is required"))?;
        Ok(Chosen { references: references.unwrap_or_default(), ids })
    }

    pub(super) fn ids(&self) -> Result<Vec<StreamId>, CommandError> {
        id::all(self.ids.iter().copied())
    }

    /// Answers what became of each; `None`: there was no stream, or no group.
    pub(super) fn reply(&self, call: &mut Call<'_>, outcomes: Option<Vec<Outcome>>) {
        let outcomes = outcomes.unwrap_or_else(|| vec![Outcome::NotThere; self.ids.len()]);
        call.reply.array(outcomes.len());
        outcomes.iter().for_each(|outcome| call.reply.integer(*outcome as i64));
    }
}

/// Deletes entries that nothing refers to any more, and says of each what became of it.
pub(super) fn delete(
    stream: &mut Editor<'_, Stream>,
    ids: &[StreamId],
    references: References,
) -> Vec<Outcome> {
    let stay = |id: &StreamId| references == References::Respect && stream.is_referenced(*id);
    let staying: Vec<bool> = ids.iter().map(stay).collect();
    let going: Vec<StreamId> =
        ids.iter().zip(&staying).filter(|(_, stays)| !**stays).map(|(id, _)| *id).collect();
    let mut deleted = stream.remove(&going, references == References::Delete).into_iter();
    let outcome = |stays: bool| match stays || deleted.next() == Some(true) {
        true if stays => Outcome::Referenced,
        true => Outcome::Gone,
        false => Outcome::NotThere,
    };
    staying.into_iter().map(outcome).collect()
}

fn xdelex(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let key = call.key(1);
    keyspace.check::<Stream>(&key)?;
    let chosen = Chosen::read(call, 2)?;
    let outcomes = keyspace.change::<Stream, _>(&key, Absent::Leave, |stream| {
        Ok::<_, CommandError>(delete(stream, &chosen.ids()?, chosen.references))
    })?;
    chosen.reply(call, outcomes.transpose()?);
    Ok(())
}
