//! Everything nodes say to each other.
//!
//! Invariants: a message of the key, directory and heal groups counts only while sender and receiver have installed
//! the same view; every message may be lost, doubled or overtaken, so each is
//! idempotent and whoever needs an answer repeats the question.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::copy::{CopyState, Done, Log, Meta};
use crate::databases::Databases;
use crate::ids::{
    Blob, Contact, FlightId, Generation, Incarnation, NodeId, NodeSet, OpId, Uid, Version, ViewId,
};
use crate::interface::{Class, ClientError, Watch};
use crate::key::{Key, Slot, Space};
use crate::participants::Participants;
use crate::values::Entry;

/// A message and its address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Envelope {
    /// Sender.
    pub from: NodeId,
    /// Which life of the sender.
    pub incarnation: Incarnation,
    /// Receiver.
    pub to: NodeId,
    /// The view the sender has installed.
    pub view: ViewId,
    /// The receiving partition; 0 for what is about membership.
    pub part: u8,
    /// The sending partition; another one only where a batch takes part in several.
    pub from_part: u8,
    /// What it says.
    pub message: Message,
}

/// Which base, without its members.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BaseTag {
    /// Number of the base.
    pub generation: Generation,
    /// The view that created it.
    pub born: ViewId,
    /// The cluster it belongs to.
    pub cluster: u64,
}

/// The nodes whose absence matters: nobody else can hold a current copy.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Base {
    /// Which base.
    pub tag: BaseTag,
    /// FLUSHALLs so far.
    pub flush: u64,
    /// Which space of keys each database has.
    pub databases: Arc<Databases>,
    /// How many members are to hold each key; 0 as long as nobody has said.
    pub copies: u8,
    /// Its members and which life of each.
    pub members: BTreeMap<NodeId, Incarnation>,
    /// The generation that took each member in; differs when a member was dropped and came back.
    pub since: BTreeMap<NodeId, Generation>,
    /// Who the members are, and where; of those that are known by their number only, nothing.
    pub contacts: BTreeMap<NodeId, Contact>,
    /// Numbers of nodes that were members.
    pub former: BTreeMap<NodeId, Former>,
}

/// Who had a number last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Former {
    /// Who, if that is known.
    pub uid: Uid,
    /// In which life: whoever gets the number begins after that.
    pub life: Incarnation,
    /// It was only silent and may come back with forks. Who is taken in after that has not seen it go.
    pub is_awaited: bool,
}

/// By name: a base is made once, by one proposal, and its tag tells which.
impl Hash for Base {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.tag, self.members.len()).hash(state);
    }
}

impl Base {
    /// The members without their incarnations.
    pub fn nodes(&self) -> NodeSet {
        self.members.keys().copied().collect()
    }

    /// Whether each key is to have a second holder, and there is somebody to be it.
    pub(crate) fn wants_keepers(&self) -> bool {
        self.copies > 1 && self.members.len() > 1
    }

    /// Members that have been in all bases from `earlier` to this one.
    pub fn kept_from(&self, earlier: &Self) -> NodeSet {
        let same = |node: &&NodeId| {
            self.members.get(node) == earlier.members.get(node)
                && self.since.get(node) == earlier.since.get(node)
        };
        self.members.keys().filter(same).copied().collect()
    }

    /// All who were members and all who are, as a base without them names them.
    pub(crate) fn all_so_far(&self) -> impl Iterator<Item = (NodeId, Former)> {
        let leaves = move |(node, life): (&NodeId, &Incarnation)| {
            let uid = self.contacts.get(node).map(|contact| contact.uid).unwrap_or_default();
            (*node, Former { uid, life: *life, is_awaited: true })
        };
        let former = self.former.iter().map(|(node, former)| (*node, *former));
        former.chain(self.members.iter().map(leaves))
    }

    /// The number of the member that this is.
    pub(crate) fn number_of(&self, uid: Uid) -> Option<NodeId> {
        self.contacts.iter().find(|(_, contact)| contact.uid == uid).map(|(node, _)| *node)
    }

    /// Whether the number is this node's, as far as the base says.
    pub(crate) fn agrees_with(&self, node: NodeId, uid: Uid) -> bool {
        self.contacts.get(&node).is_none_or(|contact| contact.uid == uid)
    }

    /// Whether it differs from an earlier one in what its keys are.
    pub(crate) fn changes_keys_of(&self, earlier: &Self) -> bool {
        self.flush > earlier.flush || self.databases != earlier.databases
    }

    /// Whether exactly this life of the node is a member.
    pub fn has(&self, node: NodeId, incarnation: Incarnation) -> bool {
        self.members.get(&node) == Some(&incarnation)
    }
}

/// A base that a node has accepted and not installed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vote {
    /// The view in which it was accepted last.
    pub view: ViewId,
    /// The base.
    pub base: Base,
    /// Bases that nobody has a lease on any more, as the proposal said.
    pub settled: BTreeSet<BaseTag>,
}

/// One key's part of a batch.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Part {
    /// The key.
    pub key: Key,
    /// The version before.
    pub prior: Version,
    /// At least one.
    pub entries: Vec<Entry>,
    /// Subscribers from here on.
    pub subscribers: NodeSet,
}

/// What a holder tells the home of its copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Held {
    /// The last entry applied.
    pub version: Version,
    /// The owner, when the key is already regrouped in this view.
    pub owner: Option<NodeId>,
}

/// What a home does not hear otherwise.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct News {
    /// The key.
    pub key: Key,
    /// Not held any more; else created under a lease.
    pub gone: bool,
}

/// What a node knows of a batch of class X.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// Never prepared here.
    Unknown,
    /// Prepared here, undecided.
    Prepared,
    /// Committed.
    Committed,
    /// Aborted.
    Aborted,
}

/// How an [`Message::Align`] brings a copy up to date.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Alignment {
    /// The copy is a prefix: these entries follow.
    Tail(Vec<Entry>),
    /// The copy is replaced.
    Whole {
        /// The value; `None` when the key is absent.
        value: Option<Blob>,
        /// Entries not yet known to be everywhere.
        log: Log,
        /// Answered operations.
        done: Done,
    },
}

/// A client operation on its way to an owner.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Forwarded {
    /// Its name.
    pub op: OpId,
    /// All operations of that node below this counter are answered.
    pub floor: u64,
    /// It was sent to an owner in an earlier view as well, and may have been applied there.
    pub exposed: bool,
    /// The creation of its first key that it is for.
    pub birth: FlightId,
    /// Its class.
    pub class: Class,
    /// Its keys.
    pub keys: Vec<Key>,
    /// The command.
    pub command: Blob,
    /// Watched versions.
    pub watches: Vec<(Key, Watch)>,
    /// The wait of its node that was woken for it.
    pub claims: Option<u64>,
    /// Owners it has been passed through.
    pub hops: u8,
}

/// What the owner of a key hands to the next.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token {
    /// How often the token moved in this view.
    pub tenure: u64,
    /// The version the token is for.
    pub version: Version,
    /// Held by all subscribers up to here.
    pub stable: Version,
    /// The subscribers.
    pub subscribers: NodeSet,
    /// Who is waiting for the key: (node, its ticket).
    pub waiters: Vec<(NodeId, u64)>,
    /// Answers given in this view to operations that left no entry.
    pub answers: BTreeMap<OpId, Result<Blob, ClientError>>,
    /// Per node and partition, an operation before which all are answered: a request for one is a stray duplicate.
    pub floors: Vec<OpId>,
    /// A batch on the key is left in doubt in this view: no X until another view has settled it.
    pub doubtful: bool,
}

/// Everything nodes say to each other. What is seldom sent and large is boxed, because every message is moved several
/// times on its way. The comments name sender -> receiver.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Message {
    // Membership.
    /// Any -> any: I am here and hear these.
    Heartbeat {
        /// The sender's monotonic clock.
        sent_ms: u64,
        /// The receiver's clock in its newest heartbeat the sender has.
        echo_ms: Option<u64>,
        /// Whom the sender hears.
        reach: NodeSet,
        /// The base the sender stands on: installed, or accepted later.
        base: BaseTag,
        /// The highest view the sender promised.
        promised: ViewId,
        /// It remembers what its earlier lives have agreed to.
        is_heir: bool,
    },
    /// Proposer -> candidates: promise to leave older views.
    Collect {
        /// The view to be.
        view: ViewId,
    },
    /// Candidate -> proposer.
    Promise {
        /// The view promised.
        view: ViewId,
        /// The base of the view installed last.
        base: Box<Base>,
        /// A later base that was accepted and may have been installed elsewhere.
        vote: Option<Box<Vote>>,
        /// The view installed last.
        from: ViewId,
        /// It remembers what its earlier lives have agreed to.
        is_heir: bool,
        /// Who the candidate is, and where.
        contact: Contact,
        /// Spaces of which it may hold what no database has any more.
        waste: BTreeSet<Space>,
        /// How many members are to hold each key, as far as it is concerned.
        copies: u8,
    },
    /// Candidate -> proposer: something higher is promised, or the base cannot be accepted.
    Refuse {
        /// The view refused.
        view: ViewId,
        /// The highest promise.
        promised: ViewId,
    },
    /// Proposer -> members.
    Propose {
        /// The view.
        view: ViewId,
        /// Its members.
        members: NodeSet,
        /// The new base.
        base: Box<Base>,
        /// The base it builds on: who is not in both starts empty.
        previous: Box<Base>,
        /// Bases that nobody has a lease on any more.
        settled: BTreeSet<BaseTag>,
        /// Lives known to be over.
        dead: Vec<(NodeId, Incarnation)>,
        /// The view that all members that do not start empty come from, if it is the same.
        from: ViewId,
    },
    /// Member -> proposer.
    Accept {
        /// The view.
        view: ViewId,
    },
    /// Proposer -> members: everyone accepted.
    Install {
        /// The view.
        view: ViewId,
    },
    /// Any -> any: these lives are over (a clean leave, or the operator's FORGET).
    Over {
        /// Who.
        dead: Vec<(NodeId, Incarnation)>,
    },

    /// Any -> a partition, on the way that data takes and in whatever view it is: does this arrive?
    Probe {
        /// The sender's monotonic clock.
        sent_ms: u64,
    },
    /// The partition -> the sender of the probe, on the way that data takes.
    Probed {
        /// The clock in the probe.
        sent_ms: u64,
    },

    // Directory.
    /// Member -> home: which keys of the home's slots the member holds.
    Report {
        /// The view the member had installed before this one.
        previous: ViewId,
        /// All keys, not only those of moved slots.
        full: bool,
        /// Part number.
        part: u32,
        /// Number of parts in the last one, 0 in the others.
        parts: u32,
        /// Names.
        keys: Vec<Key>,
    },
    /// Home -> member: have this part, or `full` is needed.
    Reported {
        /// The part.
        part: u32,
        /// Report again, everything.
        again: bool,
    },
    /// Member -> home: I need this key's owner, or to become a subscriber.
    Touch {
        /// The key.
        key: Key,
        /// Names the touch; an answer to an earlier one does not count.
        nonce: u64,
        /// Only if somebody holds it: it is to be read.
        reads: bool,
    },
    /// Home -> member: do you hold this key?
    Query {
        /// The key.
        key: Key,
        /// Names the question.
        round: u64,
    },
    /// Member -> home.
    Holding {
        /// The key.
        key: Key,
        /// The question answered.
        round: u64,
        /// The copy, when there is one.
        held: Option<Held>,
        /// There is none, but the member holds or has asked for a key that the home does not tell from this one.
        twin: bool,
    },
    /// Home -> toucher: nobody holds it, you own it.
    Create {
        /// The key.
        key: Key,
        /// Members of the base that could not be asked.
        doubt: NodeSet,
        /// The touch answered.
        nonce: u64,
        /// With it comes the creation lease of this number for the key's slot.
        lease: Option<u64>,
    },
    /// Home -> toucher that only reads: nobody holds it.
    Absent {
        /// The key.
        key: Key,
        /// The touch answered.
        nonce: u64,
    },
    /// Home -> holder: you own it; bring these together.
    Own {
        /// The key.
        key: Key,
        /// Who reported a copy.
        holders: NodeSet,
    },
    /// Home -> owner: this node wants to subscribe.
    Join {
        /// The key.
        key: Key,
        /// Who.
        joiner: NodeId,
        /// Its touch.
        nonce: u64,
    },
    /// Joiner -> owner: this snapshot was not asked for, or not any more.
    NotJoining {
        /// The key.
        key: Key,
        /// The touch that the snapshot names.
        nonce: u64,
    },
    /// Owner -> home: I own it now; or nobody holds it any more.
    Owned {
        /// The key.
        key: Key,
        /// Its last copy was deleted.
        gone: bool,
    },
    /// Holder -> home: I do not own it, as far as I know.
    NotOwned {
        /// The key.
        key: Key,
    },
    /// Member -> home: I created these, or hold these no more, in this order.
    News {
        /// How many news of this view there were for this home before these.
        after: u64,
        /// The news.
        news: Vec<News>,
    },
    /// Home -> member: I know as many of your news.
    Noted {
        /// How many, without a gap.
        known: u64,
    },
    /// Home -> lessee: somebody else has touched the slot, create no more.
    Recall {
        /// The slot.
        slot: Slot,
        /// The lease.
        lease: u64,
    },
    /// Lessee -> home: I create no more.
    Recalled {
        /// The slot.
        slot: Slot,
        /// The lease.
        lease: u64,
        /// How many news of this view there were for this home so far.
        told: u64,
    },

    // Regrouping.
    /// New owner -> holder: send me your state.
    RegroupAsk {
        /// The key.
        key: Key,
        /// Birth of the owner's copy: a copy born elsewhere sends its whole value.
        birth: FlightId,
        /// The owner's log is incomplete: send the whole value in any case.
        whole: bool,
    },
    /// Holder -> new owner.
    RegroupState {
        /// The key.
        key: Key,
        /// The state; `None` when there is no copy.
        state: Option<Box<CopyState>>,
    },
    /// Owner -> subscriber: this is the state now.
    Align {
        /// The key.
        key: Key,
        /// Names this alignment.
        round: u64,
        /// The metadata after it.
        meta: Box<Meta>,
        /// How to get there.
        body: Box<Alignment>,
    },
    /// Subscriber -> owner.
    AlignAck {
        /// The key.
        key: Key,
        /// The alignment.
        round: u64,
    },
    /// Owner -> subscriber: everyone is aligned, reads may go on.
    AlignDone {
        /// The key.
        key: Key,
        /// The alignment.
        round: u64,
        /// Held by all subscribers up to here.
        stable: Version,
    },

    // Settling batches left in doubt.
    /// Settler -> participant.
    SettleAsk {
        /// The batch.
        flight: FlightId,
    },
    /// Participant -> settler.
    SettleState {
        /// The batch.
        flight: FlightId,
        /// What this participant knows.
        outcome: Outcome,
    },
    /// Settler -> participant.
    SettleOrder {
        /// The batch.
        flight: FlightId,
        /// Commit or abort.
        commit: bool,
    },
    /// Participant -> settler.
    SettleAck {
        /// The batch.
        flight: FlightId,
    },
    /// Coordinator or settler -> participant: every participant has decided.
    Close {
        /// The batch.
        flight: FlightId,
        /// Held by all subscribers up to here, per key.
        stable: Vec<(Key, Version)>,
        /// All batches below this number are over that the coordinating partition has begun in this view; 0: not said.
        over: u64,
    },

    // Writing.
    /// Owner -> subscriber: apply; not yet readable.
    Inv {
        /// The batch.
        flight: FlightId,
        /// Its parts at this subscriber.
        parts: Vec<Part>,
    },
    /// Owner -> keeper: apply, like an INV, to what you do not hold yet.
    Keep {
        /// The batch.
        flight: FlightId,
        /// All batches of this kind below this number are over that the partition has begun in this view.
        over: u64,
        /// The key.
        key: Key,
        /// Versions and subscribers, the keeper included.
        meta: Box<Meta>,
        /// The whole value.
        body: Box<Alignment>,
    },
    /// Owner -> subscriber: keep this for a decision.
    Prep {
        /// The batch.
        flight: FlightId,
        /// All its participants.
        participants: Participants,
        /// Its parts at this subscriber.
        parts: Vec<Part>,
    },
    /// Subscriber -> owner: held.
    Ack {
        /// The batch.
        flight: FlightId,
    },
    /// Owner -> subscriber: everyone has it, reads may go on.
    Val {
        /// The batch.
        flight: FlightId,
        /// Held by all subscribers up to here, per key.
        stable: Vec<(Key, Version)>,
    },
    /// Owner -> subscriber: decided, apply.
    Commit {
        /// The batch.
        flight: FlightId,
    },
    /// Subscriber -> owner: the decision is taken over.
    Decided {
        /// The batch.
        flight: FlightId,
    },
    /// Owner -> subscriber: forget it.
    Abort {
        /// The batch.
        flight: FlightId,
    },
    /// Subscriber -> owner: what became of this batch? Repeated by the owner's answer to the phase it is in.
    Ask {
        /// The batch.
        flight: FlightId,
        /// The key that waits for it, if one does: an owner that has forgotten the batch does not know it any more.
        key: Option<Key>,
    },

    // Operations and tokens.
    /// Any -> owner.
    Forward(Box<Forwarded>),
    /// Owner -> origin.
    Answered {
        /// The operation.
        op: OpId,
        /// Its outcome.
        result: Result<Blob, ClientError>,
    },
    /// Not an owner -> origin: find the owner again.
    Redirect {
        /// The operation.
        op: OpId,
        /// One of its keys is owned there, as far as the sender knows.
        owner: Option<(Key, NodeId)>,
    },
    /// Not the owner -> whoever took it for the owner.
    OwnerIs {
        /// The key.
        key: Key,
        /// The owner, as far as the sender knows.
        owner: NodeId,
    },
    /// Any subscriber -> owner: I need this token.
    TokenRequest {
        /// The key.
        key: Key,
        /// Who needs it (the request may be passed on).
        to: NodeId,
    },
    /// Owner -> subscriber: the token.
    Grant {
        /// The key.
        key: Key,
        /// What comes with it.
        token: Box<Token>,
    },
    /// New owner -> old owner.
    GrantAck {
        /// The key.
        key: Key,
        /// The move.
        tenure: u64,
    },

    // Waiting and leaving.
    /// Subscriber -> owner: a client blocks on this key.
    WaitFor {
        /// The key.
        key: Key,
        /// Who waits.
        node: NodeId,
        /// The waiter's ticket there.
        ticket: u64,
    },
    /// Subscriber -> owner: it no longer does.
    WaitOver {
        /// The key.
        key: Key,
        /// Who waited.
        node: NodeId,
        /// The ticket.
        ticket: u64,
    },
    /// Owner -> waiter: try now.
    Wake {
        /// The key.
        key: Key,
        /// The ticket.
        ticket: u64,
    },
    /// Subscriber -> owner: I want to drop my copy.
    LeaveKey {
        /// The key.
        key: Key,
        /// Names the leave.
        leave: u64,
    },
    /// Owner -> subscriber: drop it.
    MayDrop {
        /// The key.
        key: Key,
        /// The leave.
        leave: u64,
        /// The version the copy must have.
        version: Version,
    },
    /// Subscriber -> owner: dropped.
    Dropped {
        /// The key.
        key: Key,
        /// The leave.
        leave: u64,
        /// The owner's version when it allowed the leave.
        version: Version,
        /// False: it stays after all.
        gone: bool,
    },

    /// A node that is about to leave -> a member: hold this key as well.
    Invite {
        /// The key.
        key: Key,
    },
    /// Owner -> subscriber: the key has no value, leave it.
    Fade {
        /// The key.
        key: Key,
    },

    // Healing.
    /// Returned node -> owner: what I did while I was out of the base.
    ForkLog {
        /// The key.
        key: Key,
        /// The creation of the key that it is to be merged into.
        birth: FlightId,
        /// The fork.
        fork: Box<CopyState>,
    },
    /// Owner -> returned node: merged, and every subscriber has it.
    ForkMerged {
        /// The key.
        key: Key,
        /// The fork's last version.
        version: Version,
    },
}

impl Message {
    /// Whether it counts whatever view the sender is in, and is for no partition.
    pub fn is_membership(&self) -> bool {
        matches!(
            self,
            Self::Heartbeat { .. }
                | Self::Collect { .. }
                | Self::Promise { .. }
                | Self::Refuse { .. }
                | Self::Propose { .. }
                | Self::Accept { .. }
                | Self::Install { .. }
                | Self::Over { .. }
                | Self::Probed { .. }
        )
    }
}
