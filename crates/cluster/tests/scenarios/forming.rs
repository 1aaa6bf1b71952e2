//! Nodes that have no number at first: hosts with addresses, which find each other by what discovery names.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use swytch_cluster::wire::Stored;
use swytch_cluster::*;

use super::support::{Words, config, key};

/// What is on its way.
enum Sent {
    Greeting(Box<Greeting>),
    Message(Box<Envelope>),
}

/// What runs at an address.
enum Runs {
    Nothing,
    Newcomer(Box<Newcomer>),
    Node(Box<Node<Words>>),
}

struct Host {
    contact: Contact,
    life: u32,
    pledge: Pledge,
    durable: Option<(NodeId, Durable)>,
    runs: Runs,
}

/// Hosts by their place, and the network that connects them.
struct Town {
    hosts: Vec<Host>,
    now: u64,
    wire: VecDeque<(usize, usize, Sent)>,
    cut: BTreeSet<(usize, usize)>,
    replies: BTreeMap<u64, Result<Answer, ClientError>>,
    ticket: u64,
}

fn address(host: usize) -> Blob {
    format!("host{host}").as_str().into()
}

fn newcomer(contact: &Contact, life: u32, pledge: Pledge) -> Newcomer {
    let config = config(0);
    Newcomer::new(contact.clone(), life, config.timers, pledge).with_mutant(config.mutant)
}

/// Some uid whose node gets this number if it can.
fn uid_of(number: u8, further: usize) -> Uid {
    let forms = |uid: &Uid| {
        let contact = Contact { uid: *uid, address: address(0) };
        let mut alone = newcomer(&contact, 1, Pledge::default());
        let mut out = Vec::new();
        (0..200).for_each(|step| alone.tick(Time { mono_ms: 50 * step, wall_ms: 0 }, &mut out));
        out.iter().any(|step| matches!(step, Forming::Start(start) if start.id == NodeId(number)))
    };
    (1..).map(Uid).filter(forms).nth(further).expect("one in 64 is")
}

impl Town {
    /// Hosts with these uids, all named to each other.
    fn new(uids: &[Uid]) -> Self {
        let contact = |(host, uid): (usize, &Uid)| Contact { uid: *uid, address: address(host) };
        let host = |contact| Host {
            contact,
            life: 0,
            pledge: Pledge::default(),
            durable: None,
            runs: Runs::Nothing,
        };
        Self {
            hosts: uids.iter().enumerate().map(contact).map(host).collect(),
            now: 100_000,
            wire: VecDeque::new(),
            cut: BTreeSet::new(),
            replies: BTreeMap::new(),
            ticket: 0,
        }
    }

    fn of(count: u128) -> Self {
        Self::new(&(1..=count).map(Uid).collect::<Vec<_>>())
    }

    fn time(&self) -> Time {
        Time { mono_ms: self.now, wall_ms: self.now }
    }

    /// Starts it; discovery names these hosts, itself among them.
    fn start(&mut self, host: usize, named: &[usize]) {
        let now = self.time();
        let state = &mut self.hosts[host];
        state.life += 1;
        let (contact, incarnation) = (state.contact.clone(), Incarnation::of_life(state.life));
        state.runs = match &state.durable {
            Some((id, durable)) => {
                let config = Config { incarnation, ..config(id.0) };
                let node = Node::restore(config, Words::default(), durable.clone(), now).at(contact);
                Runs::Node(Box::new(node))
            }
            None => {
                let pledge = Pledge::decode(&state.pledge.encode()).expect("it was written just now");
                let mut newcomer = newcomer(&contact, state.life, pledge);
                newcomer.name(named.iter().map(|host| address(*host)));
                Runs::Newcomer(Box::new(newcomer))
            }
        };
    }

    fn start_all(&mut self) {
        let all: Vec<usize> = (0..self.hosts.len()).collect();
        all.iter().for_each(|host| self.start(*host, &all));
    }

    fn crash(&mut self, host: usize) {
        self.hosts[host].runs = Runs::Nothing;
    }

    fn greets(&mut self, host: usize, to: Blob, greeting: Box<Greeting>) {
        let mut bytes = Vec::new();
        wire::encode(&*greeting, &mut bytes);
        assert_eq!(wire::decode::<Greeting>(&bytes).as_ref(), Ok(&*greeting));
        let to = (0..self.hosts.len()).find(|other| address(*other) == to).expect("an address");
        self.wire.push_back((host, to, Sent::Greeting(greeting)));
    }

    fn do_forming(&mut self, host: usize, out: Vec<Forming>) {
        for step in out {
            match step {
                Forming::Greet { to, greeting } => self.greets(host, to, greeting),
                Forming::Persist(pledge) => self.hosts[host].pledge = *pledge,
                Forming::Start(start) => {
                    let (founds, contact) = (start.founds(), self.hosts[host].contact.clone());
                    let Start { id, incarnation, base } = *start;
                    let config = Config { incarnation, ..config(id.0) };
                    let mut node = if founds {
                        Node::found(config, Words::default(), contact, base.clone(), self.time())
                    } else {
                        Node::named(config, Words::default(), contact)
                    };
                    for (peer, contact) in &base.contacts {
                        // Its own number is not somebody else's.
                        let _ = node.admit(self.time(), *peer, contact);
                    }
                    self.hosts[host].durable = Some((id, node.durable()));
                    self.hosts[host].runs = Runs::Node(Box::new(node));
                    base.nodes().iter().for_each(|peer| self.input(host, Input::Peer(peer)));
                }
            }
        }
    }

    fn input(&mut self, host: usize, input: Input) {
        let time = self.time();
        let Runs::Node(node) = &mut self.hosts[host].runs else { return };
        let mut out = Vec::new();
        node.handle(time, input, &mut out);
        let id = node.config().id;
        for action in out {
            match action {
                Action::Send(envelope) => {
                    let Runs::Node(node) = &self.hosts[host].runs else { return };
                    let contact = node.contact_of(envelope.to).map(|contact| contact.address.clone());
                    let to = (0..self.hosts.len()).find(|other| Some(address(*other)) == contact);
                    self.wire.extend(to.map(|to| (host, to, Sent::Message(envelope))));
                }
                Action::Greet { to, greeting } => self.greets(host, to, greeting),
                Action::Persist(durable) => self.hosts[host].durable = Some((id, *durable)),
                Action::Nameless => {
                    self.hosts[host].durable = None;
                    self.start(host, &[0, 1, 2, 3]);
                    return;
                }
                Action::Reply { ticket, result } => {
                    self.replies.insert(ticket, result);
                }
                _ => {}
            }
        }
    }

    fn deliver(&mut self, from: usize, to: usize, sent: Sent) {
        let (time, contact) = (self.time(), self.hosts[from].contact.clone());
        match (&mut self.hosts[to].runs, sent) {
            (Runs::Newcomer(newcomer), Sent::Greeting(greeting)) => {
                let mut out = Vec::new();
                newcomer.on_greeting(time, *greeting, &mut out);
                self.do_forming(to, out);
            }
            (Runs::Node(_), Sent::Greeting(greeting)) => self.input(to, Input::Greeting(greeting)),
            (Runs::Node(node), Sent::Message(envelope)) if node.config().id == envelope.to => {
                match node.admit(time, envelope.from, &contact) {
                    Ok(()) => self.input(to, Input::Message(envelope)),
                    Err(greeting) => self.greets(to, contact.address, greeting),
                }
            }
            _ => {}
        }
    }

    /// Lets time pass. What is `lost` of the greetings does not arrive.
    fn run_but(&mut self, ms: u64, lost: impl Fn(&Says) -> bool) {
        for _ in 0..ms / 50 {
            self.now += 50;
            for host in 0..self.hosts.len() {
                let time = self.time();
                if let Runs::Newcomer(newcomer) = &mut self.hosts[host].runs {
                    let mut out = Vec::new();
                    newcomer.tick(time, &mut out);
                    self.do_forming(host, out);
                }
                self.input(host, Input::Tick);
            }
            while let Some((from, to, sent)) = self.wire.pop_front() {
                let is_lost = matches!(&sent, Sent::Greeting(greeting) if lost(&greeting.says));
                if !self.cut.contains(&(from, to)) && !is_lost {
                    self.deliver(from, to, sent);
                }
            }
        }
    }

    fn run(&mut self, ms: u64) {
        self.run_but(ms, |_| false);
    }

    /// No link between one side and the other passes anything.
    fn part(&mut self, one: &[usize], other: &[usize]) {
        let both = one.iter().flat_map(|a| other.iter().flat_map(move |b| [(*a, *b), (*b, *a)]));
        self.cut = both.collect();
    }

    fn node(&self, host: usize) -> Option<&Node<Words>> {
        match &self.hosts[host].runs {
            Runs::Node(node) => Some(node),
            _ => None,
        }
    }

    fn is_serving(&self, host: usize) -> bool {
        self.node(host).is_some_and(Node::is_serving)
    }

    /// The clusters that nodes are in.
    fn clusters(&self) -> BTreeSet<u64> {
        let nodes = (0..self.hosts.len()).filter_map(|host| self.node(host));
        nodes.filter(|node| node.is_serving()).map(|node| node.view().base.tag.cluster).collect()
    }

    /// All these hosts are in one view of a base of just them, which says who and where they are.
    #[track_caller]
    fn assert_together(&mut self, hosts: &[usize]) {
        for host in hosts {
            let node = self.node(*host).unwrap_or_else(|| panic!("host {host} has no number"));
            let view = node.view();
            assert!(node.is_serving() && view.missing().is_empty(), "host {host}: {view:?}");
            assert_eq!(view.members.len() as usize, hosts.len(), "host {host}: {view:?}");
            let mut contacts: Vec<&Contact> = view.base.contacts.values().collect();
            let mut expected: Vec<&Contact> = hosts.iter().map(|host| &self.hosts[*host].contact).collect();
            contacts.sort();
            expected.sort();
            assert_eq!(contacts, expected, "at host {host}");
        }
        for host in hosts {
            let name = format!("new{}", self.ticket);
            assert_eq!(self.op(*host, Class::X, &name, "swap word"), Ok(String::new()), "at {host}");
        }
    }

    fn op(&mut self, host: usize, class: Class, name: &str, command: &str) -> Result<String, ClientError> {
        self.ticket += 1;
        let (ticket, keys) = (self.ticket, vec![key(name)]);
        let command = command.into();
        let request = Request {
            ticket,
            class,
            keys,
            command,
            watches: vec![],
            local_read: false,
            watch: false,
            claims: None,
        };
        self.input(host, Input::Client(request));
        for _ in 0..200 {
            if let Some(result) = self.replies.get(&ticket) {
                let text = |answer: Answer| String::from_utf8(answer.reply.bytes().to_vec()).expect("text");
                return result.clone().map(text);
            }
            self.run(50);
        }
        panic!("{command:?} at {host} was never answered", command = name);
    }
}

#[test]
pub(crate) fn nodes_that_find_each_other_form_a_cluster() {
    for count in 1..6 {
        let mut town = Town::of(count);
        town.start_all();
        town.run(2_000);
        if count == 1 {
            assert_eq!(town.clusters(), [].into(), "somebody may still be named");
            town.run(4_000);
        }
        town.assert_together(&(0..count as usize).collect::<Vec<_>>());
    }
}

/// Hosts 0 and 1, whose uids are lower, are named host 2, which is named nobody.
#[test]
pub(crate) fn nodes_that_are_named_to_some_only_form_a_cluster() {
    let mut town = Town::of(3);
    town.start(2, &[2]);
    town.run(1_000);
    (0..2).for_each(|host| town.start(host, &[2, host]));
    town.run(12_000);
    town.assert_together(&[0, 1, 2]);
}

/// Two of four on each side hear each other only.
#[test]
pub(crate) fn half_of_those_that_are_named_form_nothing() {
    let mut town = Town::of(4);
    town.start_all();
    town.part(&[0, 1], &[2, 3]);
    town.run(20_000);
    assert_eq!(town.clusters(), [].into());
    if let Runs::Newcomer(newcomer) = &town.hosts[0].runs {
        assert_eq!(newcomer.silent(town.time()), [address(2), address(3)]);
    }
    town.cut.clear();
    town.run(3_000);
    town.assert_together(&[0, 1, 2, 3]);
}

/// Hosts 0 and 1 have made the first base, and only host 0 has heard that it is.
fn half_formed() -> Town {
    let mut town = Town::of(3);
    town.start_all();
    town.part(&[0, 1], &[2]);
    town.run_but(2_000, |says| matches!(says, Says::Number { .. }));
    town
}

/// No second cluster is formed as long as they do not meet, and all are together when they do.
fn assert_heals(mut town: Town) {
    town.run(20_000);
    assert_eq!(town.clusters().len(), 1, "one has been formed");
    town.cut.clear();
    town.run(10_000);
    town.assert_together(&[0, 1, 2]);
}

/// The first base is made by hosts 0 and 1, of which only host 0 hears that it is; then 0 is out of sight, and 1 and 2 find
/// each other.
#[test]
pub(crate) fn what_may_have_been_formed_is_not_formed_anew() {
    let mut town = half_formed();
    assert!(town.is_serving(0) && !town.is_serving(1));
    town.part(&[0], &[1, 2]);
    assert_heals(town);
}

/// The same when host 1 starts again in between.
#[test]
pub(crate) fn what_was_accepted_as_a_first_base_is_remembered() {
    let mut town = half_formed();
    town.crash(1);
    town.part(&[0], &[1, 2]);
    town.start(1, &[0, 1, 2]);
    assert_heals(town);
}

/// Host 3 knows host 2 only, which gives no numbers; it starts again at another place.
#[test]
pub(crate) fn a_node_is_taken_in_under_a_number_of_its_own() {
    let mut town = Town::of(4);
    (0..3).for_each(|host| town.start(host, &[0, 1, 2]));
    town.run(3_000);
    town.assert_together(&[0, 1, 2]);
    town.start(3, &[2, 3]);
    town.run(3_000);
    town.assert_together(&[0, 1, 2, 3]);
    let number = town.node(3).map(|node| node.config().id);
    town.crash(3);
    // What it has written down is lost, and it is at the address of a fifth.
    town.hosts[3].durable = None;
    let contact = Contact { address: address(4), ..town.hosts[3].contact.clone() };
    let life = town.hosts[3].life;
    town.hosts.push(Host { contact, life, pledge: Pledge::default(), durable: None, runs: Runs::Nothing });
    town.start(4, &[0, 4]);
    town.run(5_000);
    town.assert_together(&[0, 1, 2, 4]);
    assert_eq!(town.node(4).map(|node| node.config().id), number, "it is known by its uid");
}

/// The number that host 3 would get was that of host 2, which was expired and has a fork.
#[test]
pub(crate) fn a_number_of_a_former_member_is_not_given_to_another_node() {
    let uids = [uid_of(1, 0), uid_of(2, 0), uid_of(3, 0), uid_of(3, 1)];
    let mut town = Town::new(&uids);
    (0..3).for_each(|host| town.start(host, &[0, 1, 2]));
    town.run(3_000);
    town.assert_together(&[0, 1, 2]);
    for host in 0..3 {
        town.op(host, Class::W, "k", &format!("add h{host}")).expect("add");
    }
    town.part(&[2], &[0, 1, 3]);
    town.run(2_000);
    town.op(2, Class::W, "k", "add alone").expect("add");
    town.run(40_000);
    town.start(3, &[0, 1, 3]);
    town.run(5_000);
    town.assert_together(&[0, 1, 3]);
    assert_ne!(town.node(3).map(|node| node.config().id), Some(NodeId(3)));
    town.cut.clear();
    town.run(10_000);
    town.assert_together(&[0, 1, 2, 3]);
    assert_eq!(town.op(3, Class::Read, "k", "list"), Ok("alone h0 h1 h2".into()));
}

/// Each of two sides gives the number that its joiner asks for.
#[test]
pub(crate) fn a_number_has_one_node() {
    let uids = [uid_of(1, 0), uid_of(2, 0), uid_of(9, 0), uid_of(9, 1)];
    let mut town = Town::new(&uids);
    (0..2).for_each(|host| town.start(host, &[0, 1]));
    town.run(3_000);
    town.part(&[0, 2], &[1, 3]);
    town.run(3_000);
    town.start(2, &[0, 2]);
    town.start(3, &[1, 3]);
    town.run(3_000);
    let number = |town: &Town, host| town.node(host).map(|node| node.config().id);
    assert_eq!((number(&town, 2), number(&town, 3)), (Some(NodeId(9)), Some(NodeId(9))));
    town.cut.clear();
    town.run(10_000);
    town.assert_together(&[0, 1, 2, 3]);
    assert_ne!(number(&town, 2), number(&town, 3));
}

/// Discovery has named others to each side; then it names all.
#[test]
pub(crate) fn two_clusters_that_meet_become_one() {
    let mut town = Town::of(4);
    (0..2).for_each(|host| town.start(host, &[0, 1]));
    (2..4).for_each(|host| town.start(host, &[2, 3]));
    town.run(3_000);
    assert_eq!(town.clusters().len(), 2);
    for host in 0..4 {
        town.op(host, Class::W, "k", &format!("add h{host}")).expect("add");
    }
    let greeting = town.node(3).expect("a node").greeting();
    town.greets(3, address(0), Box::new(greeting));
    town.run(15_000);
    town.assert_together(&[0, 1, 2, 3]);
    for host in 0..4 {
        assert_eq!(town.op(host, Class::Read, "k", "list"), Ok("h0 h1 h2 h3".into()), "at {host}");
    }
    let met = (0..4).filter_map(|host| town.node(host)).map(|node| node.tally().of(Rule::MetCluster));
    assert!(met.sum::<u64>() > 0, "it is counted");
}

/// One of two clusters has swapped two databases before they meet: keys stay where clients find them.
#[test]
pub(crate) fn clusters_that_meet_have_the_same_databases() {
    let mut town = Town::of(4);
    (0..2).for_each(|host| town.start(host, &[0, 1]));
    (2..4).for_each(|host| town.start(host, &[2, 3]));
    town.run(3_000);
    for (host, change) in [(0, Change::SwapDb(0, 1)), (2, Change::FlushDb(0))] {
        town.input(host, Input::Change { ticket: 1_000 + host as u64, change });
        town.run(3_000);
        assert!(matches!(town.replies.get(&(1_000 + host as u64)), Some(Ok(_))), "at {host}");
    }
    for host in 0..4 {
        town.op(host, Class::W, "k", &format!("add h{host}")).expect("add");
        town.op(host, Class::W, "1:k", &format!("add i{host}")).expect("add");
    }
    let greeting = town.node(3).expect("a node").greeting();
    town.greets(3, address(0), Box::new(greeting));
    town.run(15_000);
    town.assert_together(&[0, 1, 2, 3]);
    for host in 0..4 {
        assert_eq!(town.op(host, Class::Read, "k", "list"), Ok("h0 h1 h2 h3".into()), "at {host}");
        assert_eq!(town.op(host, Class::Read, "1:k", "list"), Ok("i0 i1 i2 i3".into()), "at {host}");
    }
}

/// One of two clusters has flushed all keys more often than the other before they meet. The one with fewer changes is taken
/// in by the other.
#[test]
pub(crate) fn clusters_that_meet_lose_nothing_by_earlier_flushes() {
    let (flush, other) = (Change::FlushAll, Change::SwapDb(2, 3));
    for [first, second] in [[vec![flush; 2], vec![other; 4]], [vec![flush; 2], vec![]]] {
        let mut town = Town::of(4);
        (0..2).for_each(|host| town.start(host, &[0, 1]));
        (2..4).for_each(|host| town.start(host, &[2, 3]));
        town.run(3_000);
        let changes = first.iter().map(|change| (0, *change)).chain(second.iter().map(|change| (2, *change)));
        for (ticket, (host, change)) in (1_000..).zip(changes) {
            town.input(host, Input::Change { ticket, change });
            town.run(3_000);
            assert!(matches!(town.replies.get(&ticket), Some(Ok(_))), "at {host}");
        }
        for host in 0..4 {
            town.op(host, Class::W, "k", &format!("add h{host}")).expect("add");
            town.op(host, Class::W, &format!("own{host}"), "add word").expect("add");
        }
        let greeting = town.node(3).expect("a node").greeting();
        town.greets(3, address(0), Box::new(greeting));
        town.run(15_000);
        town.assert_together(&[0, 1, 2, 3]);
        for host in 0..4 {
            assert_eq!(
                town.op(host, Class::Read, "k", "list"),
                Ok("h0 h1 h2 h3".into()),
                "{second:?} at {host}"
            );
            let own = format!("own{}", (host + 2) % 4);
            assert_eq!(town.op(host, Class::Read, &own, "list"), Ok("word".into()), "{second:?} at {host}");
        }
    }
}

/// The smaller of two clusters has expired a node before it met the other, which comes back only after that.
#[test]
pub(crate) fn clusters_that_meet_wait_for_those_whom_either_has_expired() {
    let mut town = Town::of(5);
    (0..2).for_each(|host| town.start(host, &[0, 1]));
    (2..5).for_each(|host| town.start(host, &[2, 3, 4]));
    town.run(3_000);
    assert_eq!(town.clusters().len(), 2);
    for host in 0..5 {
        town.op(host, Class::W, "k", &format!("add h{host}")).expect("add");
    }
    town.part(&[0, 1, 2, 3], &[4]);
    town.run(45_000);
    assert_eq!(town.node(2).map(|node| node.view().base.nodes().len()), Some(2), "host 4 is expired");
    town.op(4, Class::W, "k", "add far").expect("add");
    // The base of the others is the higher one.
    for _ in 0..4 {
        town.crash(1);
        town.start(1, &[0, 1]);
        town.run(6_000);
    }
    let generation = |host: usize| town.node(host).map(|node| node.view().base.tag.generation);
    assert!(generation(0) > generation(2));
    let greeting = town.node(3).expect("a node").greeting();
    town.greets(3, address(0), Box::new(greeting));
    town.run(15_000);
    town.assert_together(&[0, 1, 2, 3]);
    town.op(0, Class::W, "k", "add late").expect("add");
    town.run(3_000);
    town.cut.clear();
    let greeting = town.node(4).expect("a node").greeting();
    town.greets(4, address(0), Box::new(greeting));
    town.run(15_000);
    for host in 0..5 {
        assert_eq!(
            town.op(host, Class::Read, "k", "list"),
            Ok("far h0 h1 h2 h3 h4 late".into()),
            "at {host}"
        );
        let late = town.node(host).map(|node| node.tally().of(Rule::MergedLate));
        assert_eq!(late, Some(0), "a log was kept for it at {host}");
    }
}
