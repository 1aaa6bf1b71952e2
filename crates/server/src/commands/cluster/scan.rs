//! CLUSTERSCAN
//!
//! A walk through the keys of a whole cluster, slot by slot, that any client can route: a cursor says in a hash tag which node
//! it is for. The cursor is `<walk>-{<tag>}-<place>`. The place is one of SCAN, and means something as long as this process
//! runs; `<walk>` says whose it is. With another one, as in a cursor that begins a slot, the walk begins anew.
//!
//! This node has all slots and does not divide its keyspace by them, so one walk shows all keys of the slots from the tag's on.
//!
//! Source: <https://valkey.io/commands/clusterscan/>

use swytch_store::ScanCursor;

use super::must_be_enabled;
use crate::command::prelude::*;
use crate::command::scan::{ScanOptions, Walk, reply_step, step_over_keys};
use crate::command::{KeySpec, ShardSteps};
use crate::system::slot;

pub(super) static CLUSTERSCAN: CommandSpec = CommandSpec {
    name: "clusterscan",
    summary: "Walks through the keys of a cluster in steps: each call returns a few keys and the cursor for the next call, which says by its hash tag to which node.",
    since: "9.1.0",
    group: Group::Cluster,
    complexity: "O(1) for each call, O(N) for a whole walk over N keys.",
    arity: -2,
    flags: Flags::READONLY,
    categories: Categories::KEYSPACE,
    key_specs: &[KeySpec::one(1, KeyFlags::NOT_KEY)],
    arguments: &[
        Arg::string("cursor"),
        Arg::new("match-pattern", ArgKind::Pattern).token("MATCH").optional(),
        Arg::integer("count").token("COUNT").optional(),
        Arg::string("type").token("TYPE").optional(),
        Arg::integer("slot").token("SLOT").optional(),
    ],
    tips: &["nondeterministic_output", "request_policy:special", "response_policy:special"],
    reply: ReplyShape::Tuple(&[ReplyShape::Text, ReplyShape::TEXTS]),
    differs: "With SLOT, or a pattern with a hash tag, all keys are walked through.",
    handler: Handler::Steps(scan),
    ..CommandSpec::DEFAULT
};

/// What a cursor has for a walk that has not begun.
const BEGINNING: &str = "0";

/// Characters that tell walks of this process from others.
const WALK_LEN: usize = 6;

fn scan(call: &mut Call<'_>, steps: &mut ShardSteps<'_>) -> CommandResult {
    must_be_enabled(call)?;
    let options = ScanOptions::parse(call.args.cursor(2), Walk::Slots)?;
    let (of_option, of_pattern) = (options.slot, options.slot_of_pattern());
    let walk = &call.server.run_id[..WALK_LEN];
    let beginning = |slot: u16| format!("{BEGINNING}-{{{}}}-0", slot::tag_of(slot));
    let jump = |call: &mut Call<'_>, to: Option<u16>| {
        let shows_nothing = of_option.zip(of_pattern).is_some_and(|(one, other)| one != other);
        reply_step(call, to.filter(|_| !shows_nothing).map(beginning), &[]);
        Ok(())
    };
    if call.args.get(1) == b"0" {
        return jump(call, Some(of_option.or(of_pattern).unwrap_or(0)));
    }
    let (slot, place) = parse_cursor(call.args.get(1), walk)?;
    if of_option.is_some_and(|of_option| of_option != slot) {
        return Err(CommandError::text("ERR Cursor slot mismatch with SLOT argument"));
    }
    if let Some(of_pattern) = of_pattern.filter(|of_pattern| *of_pattern != slot) {
        return jump(call, Some(of_pattern).filter(|of_pattern| *of_pattern > slot));
    }
    let is_one = of_option.or(of_pattern).is_some();
    let cursor = ScanCursor::from_number(place, call.server.shards.count());
    let (next, found) = step_over_keys(call, steps, cursor, &options, |key| {
        let of_key = slot::of(key);
        if is_one { of_key == slot } else { of_key >= slot }
    });
    let next = next.map(|next| format!("{walk}-{{{}}}-{}", slot::tag_of(slot), next.to_number()));
    reply_step(call, next, &found);
    Ok(())
}

/// The slot of a cursor, and its place in a walk.
fn parse_cursor(text: &[u8], walk: &str) -> Result<(u16, u64), CommandError> {
    let mut parts = text.splitn(3, |byte| *byte == b'-');
    let (of, tag, place) = (parts.next(), parts.next(), parts.next());
    let place = place.and_then(|place| str::from_utf8(place).ok()).and_then(|place| place.parse().ok());
    match (of, tag, place) {
        (Some(of), Some(tag), Some(place)) => {
            Ok((slot::of(tag), if of == walk.as_bytes() { place } else { 0 }))
        }
        _ => Err(CommandError::text("ERR Invalid cursor")),
    }
}
