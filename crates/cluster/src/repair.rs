//! Repair: where the base wants two copies, keys that have one holder are given a second.
//!
//! In a new view each partition looks through its keys, some with every tick. A key whose only holder in the base this node
//! is waits, is touched if nobody owns it yet, and is given a keeper (`keeper`) by its owner, who is this node then. As long
//! as another holder is in the base, out of reach or not, the key is left alone: it is back in most cases before it is
//! dropped, and until then whatever is written goes to a keeper as well.
//!
//! Records may say that somebody holds a key who was about to when the view ended, and does not. Whoever owned such a key
//! brings its copies together first, and who was to hold it asks for it again.
//!
//! Invariant: no step looks at more keys than have a bound, and so many are on their way at a time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::directory::Touches;
use crate::ids::NodeSet;
use crate::key::{Key, Mark};
use crate::mutant::Mutant;
use crate::tally::Rule;
use crate::turn::Turn;
use crate::values::Values;

/// Keys of a partition that are given a second holder at the same time.
const UNDER_WAY_MAX: usize = 64;

/// The walk goes on when fewer wait.
const WAITING_MAX: usize = 65_536;

/// What a partition has to repair.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Repair {
    /// Where the walk through all keys goes on, if it is not over.
    next: Option<Mark>,
    /// Keys found to have one holder; of some that is not sure.
    waiting: VecDeque<Lone>,
    /// Those of them that are being looked after, and since when.
    under_way: BTreeMap<Key, (u64, bool)>,
    /// Keys of which somebody out of the view may or may not be a holder: for the next view.
    unsure: BTreeSet<Key>,
    /// What was under way about who holds a key when its view ended.
    cut_short: VecDeque<CutShort>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum CutShort {
    /// Somebody was about to hold these keys of this node, or to hold them no more.
    Owned(BTreeSet<Key>),
    /// This node was about to hold them.
    Touched(Touches),
}

/// A key, and whether its record may say that others hold it although they do not.
type Lone = (Key, bool);

/// How far the repair of a node is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Repairs {
    /// Keys that are known to have one copy.
    pub alone: usize,
    /// Whether all keys were looked at since the last view.
    pub all_seen: bool,
}

impl Repair {
    pub(crate) fn so_far(&self) -> Repairs {
        let alone = self.waiting.len() + self.under_way.len();
        Repairs { alone, all_seen: self.next.is_none() && self.cut_short.is_empty() }
    }

    /// Those that may not have the holders that their records say are looked at first.
    fn start(&mut self) {
        self.next = Some(Mark::FIRST);
        if !self.unsure.is_empty() {
            self.cut_short.push_back(CutShort::Owned(std::mem::take(&mut self.unsure)));
        }
    }

    fn is_over(&self) -> bool {
        self.so_far() == Repairs { alone: 0, all_seen: true } && self.unsure.is_empty()
    }
}

impl<V: Values> Turn<'_, V> {
    /// A view is over in which this was under way. It is given back if there is nothing to repair.
    pub(crate) fn repair_later(&mut self, owned: BTreeSet<Key>, touched: Touches) -> Option<Touches> {
        if !self.fence.keepers || self.config.without(Mutant::ForgetWhoWasToHold) {
            return Some(touched);
        }
        let repair = self.part.repair.get_or_insert_default();
        repair.cut_short.push_back(CutShort::Owned(owned));
        repair.cut_short.push_back(CutShort::Touched(touched));
        None
    }

    /// In a new view others may be gone that held what this node holds.
    pub(crate) fn restart_repair(&mut self) {
        if self.fence.keepers && !self.config.without(Mutant::LeaveAlone) {
            self.part.repair.get_or_insert_default().start();
        } else {
            self.part.repair = None;
        }
    }

    pub(crate) fn repair_tick(&mut self) {
        let Some(mut repair) = self.part.repair.take() else { return };
        let (now, retry) = (self.now.mono_ms, self.config.timers.retry_ms);
        let walk_max = self.config.limits.walk_max.max(1);
        for (key, (since_ms, unsure)) in std::mem::take(&mut repair.under_way) {
            if now < since_ms + retry {
                repair.under_way.insert(key, (since_ms, unsure));
            } else {
                repair.waiting.push_front((key, unsure));
            }
        }
        for _ in 0..walk_max {
            match repair.cut_short.front_mut() {
                None => break,
                Some(CutShort::Owned(keys)) if !keys.is_empty() => {
                    repair.waiting.extend(keys.pop_first().map(|key| (key, true)));
                }
                Some(CutShort::Touched(touches)) if touches.len() > 0 => {
                    for (key, _) in touches.pop_first().into_iter().flatten() {
                        if !self.is_held(&key) {
                            self.touch_to_read(&key);
                        }
                    }
                }
                Some(_) => drop(repair.cut_short.pop_front()),
            }
        }
        if let Some(next) = repair.next.filter(|_| repair.waiting.len() < WAITING_MAX) {
            let (keys, next) = self.keys_of_step(next, walk_max, &|_| true);
            repair.next = next;
            for key in keys {
                self.count(Rule::Walked);
                if self.has_one_holder(&key, false) {
                    repair.waiting.push_back((key, false));
                }
            }
        }
        self.repair_some(&mut repair);
        self.part.repair = Some(repair).filter(|repair| !repair.is_over());
    }

    /// A key has a second holder.
    pub(crate) fn repaired(&mut self, key: &Key) {
        let Some(mut repair) = self.part.repair.take() else { return };
        if repair.under_way.remove(key).is_some() {
            self.count(Rule::Repaired);
            self.repair_some(&mut repair);
        }
        self.part.repair = Some(repair);
    }

    /// Looks after as many keys as may be on their way.
    fn repair_some(&mut self, repair: &mut Repair) {
        let mut looks = self.config.limits.walk_max.max(1);
        while repair.under_way.len() < UNDER_WAY_MAX
            && looks > 0
            && let Some((key, unsure)) = repair.waiting.pop_front()
        {
            looks -= 1;
            if !self.has_one_holder(&key, unsure) {
                if unsure && self.is_held_out_of_sight(&key) {
                    repair.unsure.insert(key);
                }
                continue;
            }
            match self.owner_of(&key) {
                None => self.touch(&key),
                Some(_) => drop(self.enlist(&key)),
            }
            repair.under_way.insert(key, (self.now.mono_ms, unsure));
        }
    }

    /// Somebody does not hold the key who was taken for a holder.
    pub(crate) fn list_lone(&mut self, key: &Key) {
        if self.fence.keepers && !self.config.without(Mutant::LeaveAlone) {
            self.part.repair.get_or_insert_default().waiting.push_back((key.clone(), false));
        }
    }

    /// Whether the record has holders that are in the base and not in the view.
    fn is_held_out_of_sight(&self, key: &Key) -> bool {
        let members = self.installed.view.members;
        self.part.copies.get(key).is_some_and(|copy| !copy.meta.subscribers.is_subset(members))
    }

    /// Whether nobody else of the base holds the key, as far as this node knows, and whoever owns it does not see to that.
    pub(crate) fn has_one_holder(&mut self, key: &Key, unsure: bool) -> bool {
        let (view, base, me) = (self.installed.view.id, self.installed.view.base.nodes(), self.config.id);
        if !self.values.holds(key) || self.is_waste(key) {
            return false;
        }
        let Some(copy) = self.copy_now(key) else { return true };
        let is_alone = copy.meta.subscribers & base == NodeSet::only(me);
        // Others may lack what was written while they were out of reach, or what is in doubt.
        let is_open = !copy.log.entries.is_empty() || copy.log.overflow || copy.prepared.is_some();
        match copy.owner(view, me) {
            Some(owner) => owner == me && (is_alone || self.is_on_its_way(key)),
            None => is_alone || unsure || is_open && !self.config.without(Mutant::LeaveOpen),
        }
    }
}
