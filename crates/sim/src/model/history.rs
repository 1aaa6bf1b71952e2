//! What clients have asked for and were told, and what has become of copies: the history that promises are about.
//!
//! Nothing here acts on a node; `state` tells of every answer, installed view and dropped copy, at the moment a node
//! speaks of it.

use std::sync::Arc;

use swytch_cluster::{
    Answer, Change, Class, ClientError, Generation, Incarnation, Key, NodeId, NodeSet, Space, ViewId, Watch,
};

use super::answers::{Known, check_shown};
use super::config::{KEYS_MAX, NODES_MAX, Scope};
use super::invariants::{Violation, check_answer};
use super::state::{KeyMask, State, indexes, mask_of};

/// What became of an operation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Outcome {
    /// Its class.
    pub(super) class: Class,
    /// Its keys.
    pub(super) keys: KeyMask,
    /// Where it was asked for, and in which life of that node.
    pub(super) node: (NodeId, Incarnation),
    /// The view of that node then.
    pub(super) view: ViewId,
    /// What clients had been told by then.
    pub(super) known: Arc<Known>,
    /// The read whose versions it watches.
    pub(super) watched: Option<u8>,
    /// For a read: the versions it has shown.
    pub(super) versions: Vec<(Key, Watch)>,
    /// The answer, once there is one.
    pub(super) answer: Option<Result<Vec<u8>, ClientError>>,
    /// For a change of all keys: which.
    pub(super) change: Option<Change>,
    /// The space of its first key when it was asked for, and how many swaps had been asked for by then, if none was under
    /// way. Once it is answered: whether that was so all the time.
    pub(super) placed: Option<(Space, u8, bool)>,
    /// For a FLUSHALL: the operations that had been acknowledged when it was asked for.
    pub(super) before: u64,
    /// For a FLUSHALL that was acknowledged: FLUSHALLs of the base it was acknowledged in. For another change: which base that
    /// was.
    pub(super) flush: u64,
    /// Lives of the nodes whose value has contained it last, for good, by key and node.
    pub(super) held: [[Incarnation; NODES_MAX]; KEYS_MAX],
}

impl State {
    /// These nodes are no holders any more: they have crashed, or what they held is a fork.
    pub(super) fn note_gone(&mut self, gone: NodeSet) {
        self.stayed = self.stayed - gone;
        self.kept.iter_mut().for_each(|kept| *kept = *kept - gone);
    }

    /// The space of the first of these keys at a node.
    pub(super) fn place_of(&self, scope: &Scope, at: NodeId, keys: KeyMask) -> Option<Space> {
        let first = indexes(keys).next()?;
        Some(self.node(at)?.key_of(&scope.keys[first]).space())
    }

    /// The number of a key in the scope, as it is called at a node.
    fn index_of(&self, scope: &Scope, at: NodeId, key: &Key) -> Option<usize> {
        let name = self.node(at)?.name_of(key)?;
        scope.keys.iter().position(|other| *other == name)
    }

    /// The newest read answered at this life of a node.
    pub(super) fn last_read(&self, node: (NodeId, Incarnation)) -> Option<u8> {
        let read = |outcome: &Outcome| {
            outcome.class == Class::Read && outcome.node == node && matches!(outcome.answer, Some(Ok(_)))
        };
        self.outcomes.iter().rposition(read).map(|tag| tag as u8)
    }

    /// A client was answered.
    pub(super) fn note_answer(
        &mut self,
        scope: &Scope,
        at: NodeId,
        tag: usize,
        result: Result<Answer, ClientError>,
    ) {
        if tag >= self.outcomes.len() {
            return;
        }
        let good = result.is_ok();
        let (now, flush) =
            self.node(at).map(|node| (node.view().id, node.view().base.flush)).unwrap_or_default();
        let generation = self.node(at).map_or(0, |node| node.view().base.tag.generation.0);
        let certain = !matches!(result, Err(ClientError::InDoubt));
        let (open, asked) = self.swaps;
        let space = self.place_of(scope, at, self.outcomes[tag].keys);
        let outcome = &mut self.outcomes_mut()[tag];
        outcome.flush = if outcome.change.is_some() { generation } else { flush };
        let stayed = |(then, swaps, _)| (then, swaps, open == 0 && swaps == asked && Some(then) == space);
        outcome.placed = outcome.placed.map(stayed);
        if matches!(outcome.change, Some(Change::SwapDb(..))) && certain {
            self.swaps.0 -= 1;
        }
        let outcome = &mut self.outcomes_mut()[tag];
        outcome.answer = Some(result.map(|answer| {
            outcome.versions = answer.watches;
            answer.reply.bytes().to_vec()
        }));
        if !good || self.violation.is_some() {
            return;
        }
        // Between an answer and what the node looks like now it may have installed another view.
        let view = self.views[usize::from(at.0)];
        let shown = || if view == now { check_shown(self, scope, at, tag) } else { Ok(()) };
        let found = check_answer(self, scope, at, tag).and_then(|()| shown());
        self.violation = found.err().map(Arc::new);
        let outcome = &self.outcomes[tag];
        // A write that was applied in an earlier view may be answered when a FLUSHALL has taken it.
        let may_be_flushed = self.flushes_from > 0 && outcome.class != Class::Read && outcome.view != view;
        if may_be_flushed {
            return;
        }
        let own = u64::from(outcome.class != Class::Read) << tag;
        let mut known = (*self.known).clone();
        for (key, list) in outcome.shown().filter(|(key, _)| !self.holds_another(scope, at, *key, tag)) {
            known.learn(view, key, mask_of(list) | own);
        }
        self.known = Arc::new(known);
    }

    /// Whether the node has created a key anew, in doubt of nodes out of its sight that hold the operation: it had
    /// dropped its copy before the answer came, and with it what its clients could count on.
    pub(super) fn holds_another(&self, scope: &Scope, at: NodeId, key: usize, tag: usize) -> bool {
        let Some((node, outcome)) = self.node(at).zip(self.outcomes.get(tag)) else { return false };
        let own = node.key_of(&scope.keys[key]);
        let Some(copy) = node.copy_of(&own) else { return false };
        let absent = copy.meta.doubt - node.view().members;
        let holds = |id: NodeId| outcome.held[key][usize::from(id.0)] != Incarnation::default();
        !node.values().tags(&own).contains(&(tag as u8)) && absent.iter().any(holds)
    }

    /// A view was installed: whoever is not in its base, or is in it anew, was expired.
    pub(super) fn note_view(&mut self, scope: &Scope, at: NodeId, view: ViewId) {
        self.views[usize::from(at.0)] = view;
        let Some(base) = self.node(at).map(|node| &node.view().base) else { return };
        let first = Generation(1);
        let lives = (0..scope.nodes).map(NodeId).filter(|id| {
            base.has(*id, scope.config(*id, 1).incarnation) && base.since.get(id) == Some(&first)
        });
        let here: NodeSet = lives.collect();
        self.note_gone((0..scope.nodes).map(NodeId).collect::<NodeSet>() - here);
    }

    /// A last copy was deleted: then no member of the same view may hold another.
    pub(super) fn note_deletion(&mut self, scope: &Scope, at: NodeId, key: &Key) {
        let view = self.node(at).map(|node| node.view().id);
        let other = self.running().find(|(id, node)| {
            *id != at && Some(node.view().id) == view && !node.values().tags(key).is_empty()
        });
        if let Some((other, _)) = other {
            self.violation = Some(Arc::new(Violation {
                promise: "only a last copy is deleted by eviction",
                evidence: format!("{key:?} at {at:?}, but {other:?} holds it"),
            }));
        }
        let index = self.index_of(scope, at, key);
        if let (Some(index), Some(slot)) = (index, &self.nodes[usize::from(at.0)]) {
            self.deleted |= 1 << index;
            self.kept[index] = NodeSet::EMPTY;
            // What was executed since the last look is known to whoever was answered.
            self.deleted_tags |= slot.tags[index] | view.map_or(0, |view| self.known.within(view, index));
        }
    }

    /// A deleted key was forgotten, with all that was done to it.
    pub(super) fn note_forgotten(&mut self, view: ViewId, key: usize, tags: u64) {
        self.deleted |= 1 << key;
        self.kept[key] = NodeSet::EMPTY;
        self.forgotten[key] |= tags;
        self.deleted_tags |= tags | self.known.within(view, key);
    }

    /// A copy was dropped: its node no longer counts as a holder, and somebody else has to have what it held.
    pub(super) fn note_drop(&mut self, scope: &Scope, at: NodeId, key: &Key) {
        let Some(index) = self.index_of(scope, at, key) else { return };
        self.kept[index] = self.kept[index].without(at);
        // What it held when it was expired is in the fork still, and the copy that was dropped was a newer one.
        let in_fork = self.nodes[usize::from(at.0)].as_ref().and_then(|slot| slot.forked[index]).unwrap_or(0);
        let others = self.running().filter(|(id, _)| *id != at);
        let kept = others.fold(0, |mask, (_, node)| mask | mask_of(node.values().tags(key)));
        let may_be_gone = self.spent.crashes > 0 || self.flushes_from > 0 || self.deleted >> index & 1 == 1;
        let mut lost = None;
        for (tag, outcome) in self.outcomes_mut().iter_mut().enumerate() {
            if in_fork >> tag & 1 == 1 {
                continue;
            }
            let held = std::mem::take(&mut outcome.held[index][usize::from(at.0)]) != Incarnation::default();
            let acknowledged = matches!(outcome.answer, Some(Ok(_)));
            if held && acknowledged && kept >> tag & 1 == 0 && !may_be_gone {
                lost = Some(tag);
            }
        }
        if let (Some(tag), None) = (lost, &self.violation) {
            self.violation = Some(Arc::new(Violation {
                promise: "a dropped copy is not the last",
                evidence: format!("#{tag} of {key:?} was only at {at:?}"),
            }));
        }
    }
}
