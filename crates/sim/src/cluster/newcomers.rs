//! Hosts whose nodes have no number yet: they greet each other by address until they are in a cluster.
//!
//! A host's uid is one that asks for the number that the host has here. Hosts that are there from the start name each other;
//! those that join later name these.

use std::sync::OnceLock;

use swytch_cluster::{
    Blob, Contact, Envelope, Forming, Greeting, Input, Newcomer, Node, NodeId, Pledge, Start, Time, Timers,
    Uid,
};

use super::store::Store;
use super::world::{Event, World};

/// Most hosts of a run.
const HOSTS_MAX: usize = 16;

fn address(host: usize) -> Blob {
    Blob::new(&[host as u8])
}

/// Who a host is, and where.
pub(super) fn contact(host: usize) -> Contact {
    static UIDS: OnceLock<Vec<Uid>> = OnceLock::new();
    let uids = UIDS.get_or_init(|| (0..HOSTS_MAX as u8).map(uid_of).collect());
    Contact { uid: uids[host], address: address(host) }
}

/// A uid whose node gets this number if nobody else has it.
fn uid_of(number: u8) -> Uid {
    let forms = |uid: &Uid| {
        let contact = Contact { uid: *uid, address: Blob::default() };
        let mut alone = Newcomer::new(contact, 1, Timers::default(), Pledge::default());
        let mut out = Vec::new();
        (0..20).for_each(|second| alone.tick(Time { mono_ms: 1_000 * second, wall_ms: 0 }, &mut out));
        out.iter().any(|step| matches!(step, Forming::Start(start) if start.id == NodeId(number)))
    };
    (1..).map(Uid).find(forms).unwrap_or_default()
}

impl World {
    /// Starts a node that has no number.
    pub(super) fn start_without_number(&mut self, host: usize) {
        let state = &mut self.hosts[host];
        let pledge = state.pledge.clone();
        let newcomer = Newcomer::new(contact(host), state.life, self.profile.timers, pledge);
        let mut newcomer = newcomer.with_mutant(self.mutant());
        newcomer.name((0..self.profile.initial).map(address));
        self.hosts[host].newcomer = Some(Box::new(newcomer));
        self.tell(|| format!("host {host} starts without a number"));
    }

    pub(super) fn newcomer_tick(&mut self, host: usize) {
        let (time, mut out) = (self.time_of(host), Vec::new());
        if let Some(newcomer) = &mut self.hosts[host].newcomer {
            newcomer.tick(time, &mut out);
        }
        self.form(host, out);
    }

    /// Says something to an address.
    pub(super) fn greet(&mut self, from: usize, to: &Blob, greeting: Box<Greeting>) {
        let to = to.bytes().first().map_or(usize::MAX, |host| usize::from(*host));
        if to < self.hosts.len() && self.nemesis.passes(from, to) {
            self.transmit(from, to, Event::Greet { from, to, greeting });
        }
    }

    pub(super) fn greeted(&mut self, from: usize, to: usize, greeting: Greeting) {
        let paused = self.hosts[to].paused_until_us;
        if paused > self.now_us {
            return self.at(paused, Event::Greet { from, to, greeting: Box::new(greeting) });
        }
        if self.is_up(to) {
            return self.input(to, Input::Greeting(Box::new(greeting)));
        }
        let (time, mut out) = (self.time_of(to), Vec::new());
        if let Some(newcomer) = &mut self.hosts[to].newcomer {
            newcomer.on_greeting(time, greeting, &mut out);
        }
        self.form(to, out);
    }

    fn form(&mut self, host: usize, out: Vec<Forming>) {
        for step in out {
            match step {
                Forming::Greet { to, greeting } => self.greet(host, &to, greeting),
                Forming::Persist(pledge) => self.hosts[host].pledge = *pledge,
                Forming::Start(start) => self.begin(host, *start),
            }
        }
    }

    /// A node has got its number.
    fn begin(&mut self, host: usize, start: Start) {
        if usize::from(start.id.0) != host {
            self.violate("a number is another host's", format!("{:?} at host {host}", start.id));
            return;
        }
        let config = self.config_of(host, start.incarnation);
        let values = Store::new(self.profile.store, self.payloads.clone());
        let contact = contact(host);
        let node = if start.founds() {
            Node::found(config, values, contact, start.base.clone(), self.time_of(host))
        } else {
            Node::named(config, values, contact)
        };
        let life = (start.incarnation.0 >> 16) as u32;
        if life > self.hosts[host].life {
            self.hosts[host].life = life;
            self.after(0, Event::Tick { host, life });
        }
        self.install(host, node);
        let time = self.time_of(host);
        for (peer, contact) in &start.base.contacts {
            if let Some(node) = &mut self.hosts[host].node {
                // Its own number is its own.
                let _ = node.admit(time, *peer, contact);
            }
            self.input(host, Input::Peer(*peer));
        }
    }

    /// Whether a node takes the message of another one.
    pub(super) fn admits(&mut self, host: usize, envelope: &Envelope) -> bool {
        if !self.profile.named {
            return true;
        }
        let (time, from) = (self.time_of(host), contact(usize::from(envelope.from.0)));
        let Some(node) = &mut self.hosts[host].node else { return false };
        match node.admit(time, envelope.from, &from) {
            Ok(()) => true,
            Err(greeting) => {
                self.greet(host, &from.address, greeting);
                false
            }
        }
    }
}
