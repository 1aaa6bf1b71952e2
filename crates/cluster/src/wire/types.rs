//! The fields of everything that travels, in wire order. Adding, removing or reordering anything here is a new
//! [`WIRE_VERSION`](super::WIRE_VERSION).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Reader, Wire, WireError, put_bytes};
use crate::copy::{Answered, CopyState, Done, Log, Meta, PreparedPart, Replies, Reply, Whole};
use crate::databases::{Databases, Given, SPACES_MAX};
use crate::durable::Durable;
use crate::forming::{Ballot, Draft, Greeting, Pledge, Says};
use crate::ids::{
    Blob, COUNTER_MAX, Contact, FlightId, Generation, Incarnation, NODES_MAX, NodeId, NodeSet, OpId, Stamp,
    Uid, Version, ViewId,
};
use crate::interface::{Class, ClientError, Watch};
use crate::key::{Key, SLOTS, Slot, Space};
use crate::message::{
    Alignment, Base, BaseTag, Envelope, Former, Forwarded, Held, Message, News, Outcome, Part, Token, Vote,
};
use crate::participants::Participants;
use crate::values::{Entry, EntryOp, Step};

impl Wire for NodeId {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(self.0);
    }

    fn get(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        match u8::get(reader)? {
            id if id < NODES_MAX => Ok(Self(id)),
            _ => Err(WireError::Invalid),
        }
    }
}

impl Wire for ViewId {
    fn put(&self, out: &mut Vec<u8>) {
        self.counter().put(out);
        out.push(self.proposer().0);
    }

    fn get(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let counter = get_counter(reader)?;
        Ok(Self::new(counter, NodeId(u8::get(reader)?)))
    }
}

impl Wire for FlightId {
    fn put(&self, out: &mut Vec<u8>) {
        self.view.put(out);
        self.node().put(out);
        self.number().put(out);
    }

    fn get(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let (view, node) = (ViewId::get(reader)?, NodeId::get(reader)?);
        Ok(Self::new(view, node, get_counter(reader)?))
    }
}

/// A number that shares its word with a node.
fn get_counter(reader: &mut Reader<'_>) -> Result<u64, WireError> {
    let counter = u64::get(reader)?;
    if counter > COUNTER_MAX { Err(WireError::Invalid) } else { Ok(counter) }
}

impl Wire for Slot {
    fn put(&self, out: &mut Vec<u8>) {
        u64::from(self.0).put(out);
    }

    fn get(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        match u16::try_from(u64::get(reader)?) {
            Ok(slot) if slot < SLOTS => Ok(Self(slot)),
            _ => Err(WireError::Invalid),
        }
    }
}

impl Wire for Space {
    fn put(&self, out: &mut Vec<u8>) {
        u64::from(self.0).put(out);
    }

    fn get(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        match u16::try_from(u64::get(reader)?) {
            Ok(space) if space < SPACES_MAX => Ok(Self(space)),
            _ => Err(WireError::Invalid),
        }
    }
}

impl Wire for Key {
    fn put(&self, out: &mut Vec<u8>) {
        self.space().put(out);
        put_bytes(self.bytes(), out);
    }

    fn get(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let space = Space::get(reader)?;
        let key = reader.bytes().map(Self::new)?;
        Ok(if space == Space(0) { key } else { key.in_space(space) })
    }
}

impl Wire for Arc<Databases> {
    fn put(&self, out: &mut Vec<u8>) {
        let spaces = self.spaces.iter().map(|(database, space)| (Space(*database), *space));
        spaces.collect::<BTreeMap<_, _>>().put(out);
        self.given.put(out);
        self.made.put(out);
    }

    fn get(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let spaces: BTreeMap<Space, Space> = Wire::get(reader)?;
        let spaces = spaces.into_iter().map(|(database, space)| (database.0, space)).collect();
        let databases = Databases { spaces, given: Wire::get(reader)?, made: Wire::get(reader)? };
        if databases.is_sound() { Ok(Self::new(databases)) } else { Err(WireError::Invalid) }
    }
}

impl Wire for Blob {
    fn put(&self, out: &mut Vec<u8>) {
        put_bytes(self.bytes(), out);
    }

    fn get(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        reader.bytes().map(Self::new)
    }
}

impl Wire for Replies {
    fn put(&self, out: &mut Vec<u8>) {
        (self.0.len() as u64).put(out);
        self.0.iter().for_each(|reply| reply.put(out));
    }

    fn get(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let replies: Vec<(u64, Reply)> = Wire::get(reader)?;
        match replies.is_sorted_by(|(one, _), (other, _)| one < other) {
            true => Ok(Self(replies.into())),
            false => Err(WireError::Invalid),
        }
    }
}

/// One-field wrappers.
macro_rules! wrappers {
    ($($name:ident),*) => {$(
        impl Wire for $name {
            fn put(&self, out: &mut Vec<u8>) {
                self.0.put(out);
            }

            fn get(reader: &mut Reader<'_>) -> Result<Self, WireError> {
                Wire::get(reader).map(Self)
            }
        }
    )*};
}

/// Structs, field by field.
macro_rules! structs {
    ($($name:ident { $($field:ident),* })*) => {$(
        impl Wire for $name {
            fn put(&self, out: &mut Vec<u8>) {
                $(self.$field.put(out);)*
            }

            fn get(reader: &mut Reader<'_>) -> Result<Self, WireError> {
                Ok(Self { $($field: Wire::get(reader)?),* })
            }
        }
    )*};
}

/// Enums: a tag byte, then the fields.
macro_rules! enums {
    ($($name:ident { $($tag:literal $variant:ident $({ $($field:ident),* })? $(( $inner:ident ))?),* $(,)? })*) => {$(
        impl Wire for $name {
            fn put(&self, out: &mut Vec<u8>) {
                match self {
                    $(Self::$variant $({ $($field),* })? $(( $inner ))? => {
                        out.push($tag);
                        $($($field.put(out);)*)?
                        $($inner.put(out);)?
                    })*
                }
            }

            fn get(reader: &mut Reader<'_>) -> Result<Self, WireError> {
                match u8::get(reader)? {
                    $($tag => {
                        $($(let $field = Wire::get(reader)?;)*)?
                        $(let $inner = Wire::get(reader)?;)?
                        Ok(Self::$variant $({ $($field),* })? $(( $inner ))?)
                    })*
                    _ => Err(WireError::Invalid),
                }
            }
        }
    )*};
}

wrappers!(NodeSet, Incarnation, Generation, Done, Uid);

structs! {
    Version { generation, epoch, seq }
    OpId { node, counter }
    Stamp { wall_ms, logical, node }
    Watch { birth, version }
    BaseTag { generation, born, cluster }
    Base { tag, flush, databases, copies, members, since, contacts, former }
    Contact { uid, address }
    Former { uid, life, is_awaited }
    Ballot { counter, by }
    Draft { ballot, base }
    Pledge { promised, accepted }
    Durable { promised, base, vote }
    Greeting { contact, life, says }
    Vote { view, base, settled }
    Participants { part, nodes, rest }
    Token { tenure, version, stable, subscribers, waiters, answers, floors, doubtful }
    Entry { dot, prior, stamp, effects, origin, step }
    EntryOp { id, floor, exposed, reply, keys }
    Part { key, prior, entries, subscribers }
    PreparedPart { flight, participants, part, detached, committed }
    Meta { birth, version, stable, subscribers, doubt, lost, covers, forgotten, written }
    Log { entries, overflow, since }
    Answered { floor, replies, elsewhere }
    Reply { text, keys, exposed }
    Whole { snapshot }
    Held { version, owner }
    News { key, gone }
    CopyState { meta, log, done, prepared, value }
    Forwarded { op, floor, exposed, birth, class, keys, command, watches, claims, hops }
    Envelope { from, incarnation, to, view, part, from_part, message }
}

enums! {
    Says {
        0 Nameless,
        1 InCluster(base),
        2 Number { id, incarnation, base },
        3 Prepare(ballot),
        4 Promised { ballot, accepted },
        5 Accept(draft),
        6 Accepted(ballot),
        7 Outbid(ballot),
        8 Taken(id),
        9 Who(ids),
        10 These(contacts),
    }
    Class { 0 Read, 1 W, 2 X, 3 Flush }
    Given { 0 Out(generation), 1 Up(generation) }
    Step { 0 Write, 1 Merge(version), 2 Start }
    Outcome { 0 Unknown, 1 Prepared, 2 Committed, 3 Aborted }
    ClientError { 0 Unreachable, 1 TryAgain, 2 Aborted, 3 WatchFailed, 4 InDoubt, 5 NotServing }
    Alignment { 0 Tail(entries), 1 Whole { value, log, done } }
    Message {
        0 Heartbeat { sent_ms, echo_ms, reach, base, promised, is_heir },
        1 Collect { view },
        2 Promise { view, base, vote, from, is_heir, contact, waste, copies },
        3 Refuse { view, promised },
        4 Propose { view, members, base, previous, settled, dead, from },
        5 Accept { view },
        6 Install { view },
        7 Over { dead },
        8 Probe { sent_ms },
        9 Probed { sent_ms },
        10 Report { previous, full, part, parts, keys },
        11 Reported { part, again },
        12 Touch { key, nonce, reads },
        13 Query { key, round },
        14 Holding { key, round, held, twin },
        15 Create { key, doubt, nonce, lease },
        19 Absent { key, nonce },
        16 Own { key, holders },
        17 Join { key, joiner, nonce },
        18 Owned { key, gone },
        35 NotOwned { key },
        29 NotJoining { key, nonce },
        25 News { after, news },
        26 Noted { known },
        27 Recall { slot, lease },
        28 Recalled { slot, lease, told },
        20 RegroupAsk { key, birth, whole },
        21 RegroupState { key, state },
        22 Align { key, round, meta, body },
        23 AlignAck { key, round },
        24 AlignDone { key, round, stable },
        30 SettleAsk { flight },
        31 SettleState { flight, outcome },
        32 SettleOrder { flight, commit },
        33 SettleAck { flight },
        34 Close { flight, stable, over },
        40 Inv { flight, parts },
        43 Keep { flight, over, key, meta, body },
        41 Prep { flight, participants, parts },
        42 Ack { flight },
        44 Val { flight, stable },
        45 Commit { flight },
        46 Decided { flight },
        47 Abort { flight },
        48 Ask { flight, key },
        50 Forward(operation),
        51 Answered { op, result },
        52 Redirect { op, owner },
        56 OwnerIs { key, owner },
        53 TokenRequest { key, to },
        54 Grant { key, token },
        55 GrantAck { key, tenure },
        60 WaitFor { key, node, ticket },
        61 WaitOver { key, node, ticket },
        62 Wake { key, ticket },
        63 LeaveKey { key, leave },
        64 MayDrop { key, leave, version },
        65 Dropped { key, leave, version, gone },
        66 Fade { key },
        67 Invite { key },
        70 ForkLog { key, birth, fork },
        71 ForkMerged { key, version },
    }
}
