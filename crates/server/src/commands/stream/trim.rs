//! XTRIM, and the options that it has in common with XADD

use swytch_store::{Absent, KeyspaceMut, References, Stream, StreamId, Trim, TrimTo};

use super::{CONDITION, DELETED_FROM, id};
use crate::command::KeySpec;
use crate::command::prelude::*;

/// What is trimmed, and how.
pub(super) const STRATEGY: [Arg; 4] = [
    Arg::one_of("strategy", &[Arg::flag("maxlen", "MAXLEN"), Arg::flag("minid", "MINID").since("6.2.0")]),
    Arg::one_of("operator", &[Arg::flag("equal", "="), Arg::flag("approximately", "~")]).optional(),
    Arg::string("threshold"),
    Arg::integer("count").token("LIMIT").optional().since("6.2.0"),
];

pub static XTRIM: CommandSpec = CommandSpec {
    name: "xtrim",
    summary: "Removes the oldest entries of a stream and returns how many went; 0 for an absent one.",
    since: "5.0.0",
    group: Group::Stream,
    complexity: "O(N) for N entries removed.",
    arity: -4,
    flags: Flags::WRITE,
    categories: Categories::STREAM,
    key_specs: &[KeySpec::one(1, DELETED_FROM)],
    arguments: &[
        Arg::key("key"),
        Arg::block(
            "trim",
            &[STRATEGY[0], STRATEGY[1], STRATEGY[2], STRATEGY[3], CONDITION.optional().since("8.2.0")],
        ),
    ],
    tips: &["nondeterministic_output"],
    history: &[("6.2.0", "MINID and LIMIT were added."), ("8.2.0", "KEEPREF, DELREF and ACKED were added.")],
    reply: ReplyShape::Count,
    handler: Handler::Write(xtrim),
    ..CommandSpec::DEFAULT
};

/// Entries that a trim by pages looks at where nothing else is said.
const LIMIT_PAGES: u64 = 100;
const LIMIT_UNBOUNDED: u64 = 10_000;
const LIMIT_MAX: u64 = 1_000_000;

/// The options as they are read.
#[derive(Debug, Default)]
pub(super) struct TrimOptions {
    to: Option<TrimTo>,
    by_pages: bool,
    limit: Option<u64>,
    references: Option<References>,
}

impl TrimOptions {
    /// Reads an option if one of these is next.
    pub(super) fn read(&mut self, arguments: &mut ArgCursor<'_>) -> Result<bool, CommandError> {
        let has_value = arguments.remaining() > 1;
        if has_value && arguments.word("MAXLEN") {
            self.begin(arguments)?;
            let len = arguments.integer()?;
            let len = u64::try_from(len)
                .map_err(|_| CommandError::text("ERR The MAXLEN argument must be >= 0."))?;
            self.to = Some(TrimTo::Len(len));
        } else if has_value && arguments.word("MINID") {
            self.begin(arguments)?;
            self.to = Some(TrimTo::Id(id::strict(arguments.expect()?)?));
        } else if has_value && arguments.word("LIMIT") {
            let limit = arguments.integer()?;
            let limit = u64::try_from(limit)
                .map_err(|_| CommandError::text("ERR The LIMIT argument must be >= 0."))?;
            self.limit = Some(limit);
        } else if self.references.is_none() {
            self.references = read_references(arguments);
            return Ok(self.references.is_some());
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    fn begin(&mut self, arguments: &mut ArgCursor<'_>) -> CommandResult {
        if self.to.is_some() {
            return Err(CommandError::text(
                "ERR syntax error, MAXLEN and MINID options at the same time are not compatible",
            ));
        }
        self.by_pages = false;
        if arguments.remaining() > 1 {
            self.by_pages = arguments.word("~");
            if !self.by_pages {
                arguments.word("=");
            }
        }
        Ok(())
    }

    /// What they mean together.
    pub(super) fn finish(self, call: &Call<'_>, is_needed: bool) -> Result<Option<Trim>, CommandError> {
        if self.to.is_none() && self.limit.is_some_and(|limit| limit > 0) {
            return Err(CommandError::text(
                "ERR syntax error, LIMIT cannot be used without specifying a trimming strategy",
            ));
        }
        if self.to.is_none() && is_needed {
            return Err(CommandError::text(
                "ERR syntax error, XTRIM must be called with a trimming strategy",
            ));
        }
        if self.limit.is_some() && !self.by_pages {
            return Err(CommandError::text(
                "ERR syntax error, LIMIT cannot be used without the special ~ option",
            ));
        }
        let limit = self.limit.unwrap_or_else(|| match call.server.config.stream_node_max_entries() {
            0 => LIMIT_UNBOUNDED,
            entries => entries.saturating_mul(LIMIT_PAGES).min(LIMIT_MAX),
        });
        let by_pages = self.by_pages.then(|| usize::try_from(limit).unwrap_or(usize::MAX));
        let references = self.references.unwrap_or_default();
        Ok(self.to.map(|to| Trim { to, by_pages, references }))
    }
}

/// Reads what becomes of references, if that is next.
pub(super) fn read_references(arguments: &mut ArgCursor<'_>) -> Option<References> {
    if arguments.word("KEEPREF") {
        Some(References::Keep)
    } else if arguments.word("DELREF") {
        Some(References::Delete)
    } else if arguments.word("ACKED") {
        Some(References::Respect)
    } else {
        None
    }
}

fn xtrim(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let mut options = TrimOptions::default();
    let mut arguments = call.args.cursor(2);
    while arguments.remaining() > 0 {
        if !options.read(&mut arguments)? {
            return Err(CommandError::Syntax);
        }
    }
    let trim = options.finish(call, true)?.unwrap_or(Trim {
        to: TrimTo::Id(StreamId::MIN),
        by_pages: None,
        references: References::Keep,
    });
    let key = call.key(1);
    let gone = keyspace.change::<Stream, _>(&key, Absent::Leave, |stream| stream.trim(trim))?;
    call.reply.count(gone.unwrap_or(0));
    Ok(())
}
