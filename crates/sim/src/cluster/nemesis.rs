//! Faults: cuts of all shapes, crashes (at any moment, and at chosen protocol points), pauses, clock jumps,
//! departures, evictions, flushes; and the end of all faults.

use std::collections::BTreeMap;

use swytch_cluster::{Change, Input, Key, Message, NodeId, NodeSet};

use super::coverage;
use super::profile::{DatabaseUse, Profile};
use super::world::{Event, World};
use crate::rng::Rng;

/// Messages around which a crash is most telling.
const CRASH_POINTS: &[&str] = &[
    "Prep",
    "Ack",
    "Commit",
    "Decided",
    "Abort",
    "Inv",
    "Val",
    "Grant",
    "GrantAck",
    "Align",
    "AlignAck",
    "Create",
    "SettleOrder",
    "SettleState",
    "ForkLog",
    "ForkMerged",
    "RegroupState",
    "Promise",
    "Propose",
    "Accept",
    "Install",
    "MayDrop",
    "Dropped",
    "Join",
    "Close",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    Cut,
    Grey,
    Crash,
    Pause,
    ClockJump,
    Leave,
    Evict,
    Flush,
    Change,
}

/// The steps of an exile, after which two creations of one key meet that both have trimmed their logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exile {
    /// A host is cut off, until it has long been expired.
    Begin,
    /// Another one starts anew and has forgotten that the exile may come back.
    Forget { exile: usize, forgetful: usize },
    /// All but the exile drop what they hold, and what is asked for is created anew, mostly by the forgetful host.
    Drop { exile: usize, forgetful: usize },
}

/// The state of all faults.
pub(super) struct Nemesis {
    pub(super) rng: Rng,
    faults: Vec<(Fault, u64)>,
    /// Directed links that are cut, by the number of the cut.
    cuts: BTreeMap<u64, Vec<(usize, usize)>>,
    /// Those that only heartbeats pass.
    grey: BTreeMap<u64, Vec<(usize, usize)>>,
    grey_rng: Rng,
    next_cut: u64,
    crash_point: &'static str,
}

impl Nemesis {
    pub(super) fn new(mut rng: Rng, profile: &Profile) -> Self {
        let seed = profile.seed;
        let mut crash_point = rng.pick(CRASH_POINTS);
        if profile.one_by_one && Rng::named(seed, "crashes where a key is kept").chance(1, 2) {
            crash_point = &"Keep";
        }
        Self {
            rng,
            faults: Vec::new(),
            cuts: BTreeMap::new(),
            grey: BTreeMap::new(),
            grey_rng: Rng::named(seed, "which links are grey"),
            next_cut: 0,
            crash_point,
        }
    }

    /// Schedules the first strike of each kind of fault.
    pub(super) fn plan(world: &mut World, start_us: u64) {
        let faults = world.profile.faults;
        let all = [
            (Fault::Cut, faults.cut_every_ms),
            (Fault::Crash, faults.crash_every_ms),
            (Fault::Pause, faults.pause_every_ms),
            (Fault::ClockJump, faults.clock_jump_every_ms),
            (Fault::Leave, faults.leave_every_ms),
            (Fault::Evict, faults.evict_every_ms),
            (Fault::Flush, faults.flush_every_ms),
            (Fault::Change, faults.change_every_ms),
            (Fault::Grey, faults.grey_every_ms),
        ];
        for (fault, every_ms) in all.into_iter().filter(|(_, every_ms)| *every_ms > 0) {
            let number = world.nemesis.faults.len();
            world.nemesis.faults.push((fault, every_ms));
            let first = world.nemesis.rng.below(every_ms * 1_000);
            world.at(start_us + first, Event::Nemesis { number });
        }
        if faults.exile {
            world.at(start_us + 2_000_000, Event::Exile(Exile::Begin));
        }
    }

    /// One step of an exile; the next is scheduled.
    pub(super) fn exile(world: &mut World, step: Exile) {
        world.tell(|| format!("{step:?}"));
        match step {
            Exile::Begin => {
                let mut hosts = world.up_hosts();
                world.nemesis.rng.shuffle(&mut hosts);
                let [exile, forgetful, ..] = hosts[..] else { return };
                let links = hosts[1..].iter().flat_map(|&other| [(exile, other), (other, exile)]);
                Self::cut_links(world, links.collect(), 75_000);
                world.after(38_000_000, Event::Exile(Exile::Forget { exile, forgetful }));
                world.after(58_000_000, Event::Exile(Exile::Drop { exile, forgetful }));
            }
            Exile::Forget { forgetful, .. } => {
                if world.is_up(forgetful) && Self::may_crash(world, forgetful) {
                    world.crash(forgetful);
                }
            }
            Exile::Drop { exile, forgetful } => {
                for host in world.up_hosts().into_iter().filter(|host| *host != exile) {
                    if host != forgetful {
                        world.disconnect(host);
                    }
                    let keys = world.hosts[host].node.as_ref().map(|node| node.keys()).unwrap_or_default();
                    for key in keys {
                        world.input(host, Input::Evict(key));
                    }
                }
            }
        }
    }

    /// The key whose copy is to be dropped after this message.
    pub(super) fn evicts_at(world: &mut World, message: &Message) -> Option<Key> {
        let permille = world.profile.faults.evict_at_write_permille;
        let (Message::Inv { parts, .. } | Message::Prep { parts, .. }) = message else { return None };
        let strikes = permille > 0 && !world.healing && world.nemesis.rng.below(1_000) < permille;
        parts.first().filter(|_| strikes).map(|part| part.key.clone())
    }

    pub(super) fn is_cut(&self, from: usize, to: usize, message: &Message) -> bool {
        let has = |links: &BTreeMap<u64, Vec<_>>| links.values().any(|links| links.contains(&(from, to)));
        has(&self.cuts) || has(&self.grey) && !matches!(message, Message::Heartbeat { .. })
    }

    /// Whether what has no number of its own passes from one host to another.
    pub(super) fn passes(&self, from: usize, to: usize) -> bool {
        !self.cuts.values().chain(self.grey.values()).any(|links| links.contains(&(from, to)))
    }

    pub(super) fn mend(&mut self, cut: u64) {
        self.cuts.remove(&cut);
        self.grey.remove(&cut);
    }

    /// Nothing but heartbeats passes a link for a while, in one direction or in both.
    fn grey(world: &mut World) {
        let rng = &mut world.nemesis.grey_rng;
        let mut order: Vec<usize> = (0..world.hosts.len()).collect();
        rng.shuffle(&mut order);
        let [one, other, ..] = order[..] else { return };
        let links = if rng.chance(1, 2) { vec![(one, other)] } else { vec![(one, other), (other, one)] };
        let length_ms = rng.between(1_000, 15_000);
        world.nemesis.next_cut += 1;
        let cut = world.nemesis.next_cut;
        world.tell(|| format!("grey {cut} for {length_ms} ms: {links:?}"));
        world.nemesis.grey.insert(cut, links);
        world.after(length_ms * 1_000, Event::Mend { cut });
    }

    /// One fault happens, and the next of its kind is scheduled.
    pub(super) fn strike(world: &mut World, number: usize) {
        if world.healing {
            return;
        }
        let (fault, every_ms) = world.nemesis.faults[number];
        world.note(("fault", number));
        world.tell(|| format!("fault {fault:?}"));
        match fault {
            Fault::Cut => Self::cut(world),
            Fault::Grey => Self::grey(world),
            Fault::Crash => Self::crash(world),
            Fault::Pause => Self::pause(world),
            Fault::ClockJump => {
                let host = world.nemesis.rng.below(world.hosts.len() as u64) as usize;
                world.hosts[host].wall_offset_ms = world.nemesis.rng.below(120_000) as i64 - 60_000;
            }
            Fault::Leave => Self::leave(world),
            Fault::Evict => {
                if let Some(host) = Self::some_host(world) {
                    let keys = world.hosts[host].node.as_ref().map(|node| node.keys()).unwrap_or_default();
                    if !keys.is_empty() {
                        let key = world.nemesis.rng.pick(&keys).clone();
                        world.input(host, Input::Evict(key));
                    }
                }
            }
            Fault::Flush => world.change(Change::FlushAll),
            Fault::Change if world.profile.databases == DatabaseUse::Swapped => {
                world.change(Change::SwapDb(0, 1));
            }
            Fault::Change => world.change(Change::FlushDb(1)),
        }
        let next = every_ms * 1_000 / 2 + world.nemesis.rng.below(every_ms * 1_000);
        world.after(next, Event::Nemesis { number });
    }

    /// All faults end; what is down comes back.
    pub(super) fn heal(world: &mut World) {
        world.healing = true;
        world.nemesis.cuts.clear();
        world.nemesis.grey.clear();
        for host in 0..world.hosts.len() {
            world.hosts[host].paused_until_us = 0;
            if !world.is_up(host) {
                let delay = world.rng.below(2_000_000);
                world.after(delay, Event::Restart { host });
            }
        }
    }

    /// Whether the host crashes while it sends this.
    pub(super) fn crashes_at(world: &mut World, host: usize, message: &Message) -> bool {
        let permille = world.profile.faults.crash_at_message_permille;
        permille > 0
            && !world.healing
            && coverage::name(message) == world.nemesis.crash_point
            && world.nemesis.rng.below(1_000) < permille
            && world.is_up(host)
            && Self::may_crash(world, host)
    }

    /// A base of which not most survives cannot be continued by anyone (nobody could tell whether the others
    /// went on somewhere), unless the others come back as voters: the design leaves that to the operator, so it does not
    /// happen here.
    pub(super) fn may_crash(world: &World, host: usize) -> bool {
        if world.profile.one_by_one {
            return world.is_whole();
        }
        let nodes =
            world.hosts.iter().enumerate().filter_map(|(index, state)| Some((index, state.node.as_ref()?)));
        let nodes: Vec<_> = nodes.collect();
        let bases = nodes.iter().flat_map(|(_, node)| [node.accepted_base(), &node.view().base]);
        let mut kept = bases.filter(|base| !base.members.is_empty()).all(|base| {
            if world.profile.remembers {
                // All but those that have left come back as voters.
                let leaves = world.hosts[host].leaving.then_some(host);
                let stay = |node: &&NodeId| {
                    let index = usize::from(node.0);
                    !world.hosts[index].left && leaves != Some(index)
                };
                return 2 * base.members.keys().filter(stay).count() > base.members.len();
            }
            let alive: NodeSet = nodes
                .iter()
                .filter(|(index, node)| *index != host && base.has(node.config().id, node.incarnation()))
                // Who was taken in without having heard of it yet cannot continue anything.
                .filter(|(_, node)| node.view().base.has(node.config().id, node.incarnation()))
                .map(|(_, node)| node.config().id)
                .collect();
            base.is_most(alive, base.members.len())
        });
        kept &= nodes.len() > 1 || world.profile.remembers;
        kept
    }

    fn some_host(world: &mut World) -> Option<usize> {
        let up = world.up_hosts();
        (!up.is_empty()).then(|| *world.nemesis.rng.pick(&up))
    }

    fn crash(world: &mut World) {
        if let Some(host) = Self::some_host(world)
            && Self::may_crash(world, host)
        {
            world.crash(host);
        }
    }

    fn pause(world: &mut World) {
        if let Some(host) = Self::some_host(world) {
            let length = world.nemesis.rng.between(200_000, 15_000_000);
            world.hosts[host].paused_until_us = world.now_us + length;
            world.after(length, Event::Resume { host });
        }
    }

    fn leave(world: &mut World) {
        if let Some(host) = Self::some_host(world) {
            world.hosts[host].leaving = true;
            if Self::may_crash(world, host) {
                world.input(host, Input::Evacuate);
            } else {
                world.hosts[host].leaving = false;
            }
        }
    }

    fn cut(world: &mut World) {
        let hosts = world.hosts.len();
        let rng = &mut world.nemesis.rng;
        let mut order: Vec<usize> = (0..hosts).collect();
        rng.shuffle(&mut order);
        let both = |a: usize, b: usize| [(a, b), (b, a)];
        let links: Vec<(usize, usize)> = match rng.below(6) {
            // Two sides.
            0 | 1 => {
                let split = rng.between(1, hosts as u64 - 1) as usize;
                let (left, right) = order.split_at(split);
                left.iter().flat_map(|&a| right.iter().flat_map(move |&b| both(a, b))).collect()
            }
            // One host alone.
            2 => order[1..].iter().flat_map(|&other| both(order[0], other)).collect(),
            // One direction between two sides.
            3 => {
                let split = rng.between(1, hosts as u64 - 1) as usize;
                let (left, right) = order.split_at(split);
                left.iter().flat_map(|&a| right.iter().map(move |&b| (a, b))).collect()
            }
            // One link: the views must become cliques.
            4 => both(order[0], order[1]).to_vec(),
            // Three sides.
            _ => {
                let side: Vec<u64> = (0..hosts).map(|_| rng.below(3)).collect();
                (0..hosts)
                    .flat_map(|a| (0..hosts).map(move |b| (a, b)))
                    .filter(|&(a, b)| side[a] != side[b])
                    .collect()
            }
        };
        let length_ms = match rng.below(if world.profile.faults.long_cuts { 4 } else { 3 }) {
            // Flapping: shorter than the suspicion, again and again.
            0 => rng.between(100, 1_800),
            1 => rng.between(1_800, 9_000),
            2 => rng.between(9_000, 29_000),
            // Longer than the expiry, also on a slow clock.
            _ => rng.between(33_000, 75_000),
        };
        Self::cut_links(world, links, length_ms);
    }

    fn cut_links(world: &mut World, links: Vec<(usize, usize)>, length_ms: u64) {
        world.nemesis.next_cut += 1;
        let cut = world.nemesis.next_cut;
        world.tell(|| format!("cut {cut} for {length_ms} ms: {links:?}"));
        world.nemesis.cuts.insert(cut, links);
        world.after(length_ms * 1_000, Event::Mend { cut });
    }
}
