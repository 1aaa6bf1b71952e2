//! Strict serializability of list-append transactions, by cycle search (the method of Elle).
//!
//! Every appended element is unique, and a read returns the whole list, so a read gives away the order of all writes
//! before it. From the reads follow three kinds of edges between transactions (ww: next writer of a list, wr: writer
//! to reader, rw: reader to the writer of the next element) and from the clock a fourth (rt: one returned before the
//! other began). A cycle refutes strict serializability; the edges it needs name the anomaly. Reads that cannot belong
//! to any order (of aborted, intermediate, foreign or doubled elements, or of two lists that are not prefixes of one
//! another) are found before.
//!
//! A transaction with an open outcome counts as committed once any of its elements was read.
//!
//! Sources: Kingsbury and Alvaro, "Elle", VLDB 2020; Adya, "Weak consistency", 1999 (the names G0 to G2).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

/// One request of a transaction with its reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// RPUSH key element. Elements are unique per key over the history.
    Append {
        /// The list.
        key: u64,
        /// The element.
        element: u64,
    },
    /// LRANGE key 0 -1. `None` where the reply is not known (the transaction did not commit).
    Read {
        /// The list.
        key: u64,
        /// The list as seen.
        seen: Option<Vec<u64>>,
    },
}

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Acknowledged at this moment.
    Committed {
        /// Moment of the reply.
        returned: u64,
    },
    /// A clean error, or a WATCH that failed: nothing was applied.
    Aborted,
    /// Open: it may or may not have happened.
    Open,
}

/// One transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// Who asked; for reports.
    pub client: u32,
    /// Requests in their order.
    pub accesses: Vec<Access>,
    /// Moment of the request.
    pub invoked: u64,
    /// How it ended.
    pub ending: Ending,
}

/// The kinds of edges between transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Edge {
    /// Write after write: the target appended right after the source.
    WriteWrite,
    /// The target read what the source appended last.
    WriteRead,
    /// Anti-dependency: the target appended what the source's read did not see yet.
    ReadWrite,
    /// The source returned before the target was invoked.
    RealTime,
}

/// Names of cycles, from bad to less bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cycle {
    /// Only ww edges.
    G0,
    /// ww and wr edges.
    G1c,
    /// Exactly one rw edge.
    GSingle,
    /// Two or more rw edges.
    G2,
}

/// One broken promise. Numbers are indexes into the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Anomaly {
    /// A read saw an element of an aborted transaction.
    G1aAbortedRead {
        /// Who read.
        reader: usize,
        /// Who had aborted.
        writer: usize,
        /// The list.
        key: u64,
    },
    /// A read ended in the middle of another transaction's appends.
    G1bIntermediateRead {
        /// Who read.
        reader: usize,
        /// Whose appends were half seen.
        writer: usize,
        /// The list.
        key: u64,
    },
    /// A read saw an element that nobody appended.
    Garbage {
        /// Who read.
        reader: usize,
        /// The list.
        key: u64,
        /// The element.
        element: u64,
    },
    /// A read saw an element twice.
    Duplicate {
        /// Who read.
        reader: usize,
        /// The list.
        key: u64,
        /// The element.
        element: u64,
    },
    /// Two reads of a list are not prefixes of one another.
    IncompatibleOrder {
        /// Two readers.
        readers: (usize, usize),
        /// The list.
        key: u64,
    },
    /// A transaction's read contradicts its own earlier reads and appends.
    Internal {
        /// The transaction.
        transaction: usize,
        /// The list.
        key: u64,
    },
    /// The dependencies go round.
    Cycle {
        /// Its name.
        kind: Cycle,
        /// Whether it needs the real-time order; without it the history is not even serializable.
        real_time: bool,
        /// Each transaction with the edge that leads from it to the next (the last leads to the first).
        path: Vec<(usize, Edge)>,
    },
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Anomaly::Cycle { kind, real_time, path } => {
                write!(f, "{kind:?}{}:", if *real_time { "-realtime" } else { "" })?;
                path.iter().try_for_each(|(transaction, edge)| write!(f, " T{transaction} -{edge:?}->"))?;
                write!(f, " T{}", path[0].0)
            }
            other => write!(f, "{other:?}"),
        }
    }
}

/// Checks a history.
///
/// # Errors
/// Every unexplainable read; if there is none, the shortest cycle of each strongly connected part, with the worst
/// name that fits.
pub fn check(history: &[Transaction]) -> Result<(), Vec<Anomaly>> {
    let mut analysis = Analysis::new(history);
    analysis.check_reads();
    if !analysis.anomalies.is_empty() {
        return Err(analysis.anomalies);
    }
    let graph = analysis.graph();
    let cycles = graph.cycles(history.len());
    if cycles.is_empty() { Ok(()) } else { Err(cycles) }
}

struct Analysis<'a> {
    history: &'a [Transaction],
    /// (key, element) to the transaction that appended it.
    writers: BTreeMap<(u64, u64), usize>,
    /// The longest read of each list and its reader.
    orders: BTreeMap<u64, (&'a [u64], usize)>,
    anomalies: Vec<Anomaly>,
}

impl<'a> Analysis<'a> {
    fn new(history: &'a [Transaction]) -> Self {
        let mut writers = BTreeMap::new();
        for (index, transaction) in history.iter().enumerate() {
            for access in &transaction.accesses {
                if let Access::Append { key, element } = access {
                    let known = writers.insert((*key, *element), index);
                    assert!(known.is_none(), "the workload appended {element} to {key} twice");
                }
            }
        }
        Self { history, writers, orders: BTreeMap::new(), anomalies: Vec::new() }
    }

    /// Reads of committed transactions; those of others promise nothing.
    fn reads(&self) -> Vec<(usize, u64, &'a [u64])> {
        let committed = |t: &&(usize, &'a Transaction)| matches!(t.1.ending, Ending::Committed { .. });
        let transactions: Vec<_> = self.history.iter().enumerate().collect();
        transactions
            .iter()
            .filter(committed)
            .flat_map(|(index, transaction)| {
                transaction.accesses.iter().filter_map(|access| match access {
                    Access::Read { key, seen: Some(seen) } => Some((*index, *key, seen.as_slice())),
                    _ => None,
                })
            })
            .collect()
    }

    fn check_reads(&mut self) {
        for (reader, key, seen) in self.reads() {
            self.check_elements(reader, key, seen);
            match self.orders.get(&key) {
                Some((order, _)) if order.starts_with(seen) => {}
                Some((order, _)) if seen.starts_with(order) => {
                    self.orders.insert(key, (seen, reader));
                }
                Some((_, other)) => {
                    let readers = (*other, reader);
                    self.anomalies.push(Anomaly::IncompatibleOrder { readers, key });
                }
                None => {
                    self.orders.insert(key, (seen, reader));
                }
            }
        }
        for index in 0..self.history.len() {
            if matches!(self.history[index].ending, Ending::Committed { .. }) {
                self.check_internal(index);
            }
        }
    }

    fn check_elements(&mut self, reader: usize, key: u64, seen: &[u64]) {
        let mut known = BTreeSet::new();
        for &element in seen {
            if !known.insert(element) {
                self.anomalies.push(Anomaly::Duplicate { reader, key, element });
            }
            match self.writers.get(&(key, element)) {
                None => self.anomalies.push(Anomaly::Garbage { reader, key, element }),
                Some(&writer) if self.history[writer].ending == Ending::Aborted => {
                    self.anomalies.push(Anomaly::G1aAbortedRead { reader, writer, key });
                }
                Some(_) => {}
            }
        }
        // The last element of a read must be the last one of its (foreign) writer; and every foreign writer's
        // elements must stand together, which the same rule finds in some longer or shorter read.
        let mut appended: Vec<u64> = Vec::new();
        for window in seen.iter().enumerate() {
            let (position, element) = window;
            let Some(&writer) = self.writers.get(&(key, *element)) else { continue };
            let next = seen.get(position + 1).and_then(|element| self.writers.get(&(key, *element)));
            if writer == reader || next == Some(&writer) {
                continue;
            }
            appended.clear();
            appended.extend(self.history[writer].accesses.iter().filter_map(|access| match access {
                Access::Append { key: of, element } if *of == key => Some(*element),
                _ => None,
            }));
            if appended.last() != Some(element) {
                self.anomalies.push(Anomaly::G1bIntermediateRead { reader, writer, key });
            }
        }
    }

    /// Within a transaction, a list is what was first read plus what was appended since.
    fn check_internal(&mut self, index: usize) {
        let mut expected: BTreeMap<u64, (Option<Vec<u64>>, Vec<u64>)> = BTreeMap::new();
        for access in &self.history[index].accesses {
            match access {
                Access::Append { key, element } => expected.entry(*key).or_default().1.push(*element),
                Access::Read { key, seen: Some(seen) } => {
                    let (base, appended) = expected.entry(*key).or_default();
                    let fits = match base {
                        Some(base) => {
                            seen.len() == base.len() + appended.len()
                                && seen.starts_with(base)
                                && seen.ends_with(appended)
                        }
                        None => seen.ends_with(appended),
                    };
                    if !fits {
                        self.anomalies.push(Anomaly::Internal { transaction: index, key: *key });
                        return;
                    }
                    *base = Some(seen[..seen.len() - appended.len()].to_vec());
                }
                Access::Read { .. } => {}
            }
        }
    }

    fn graph(&self) -> Graph {
        let mut graph = Graph::default();
        let counted = self.counted();
        // The order of each list: what the longest read shows, then what nobody saw (in no known order).
        for (&key, &(order, _)) in &self.orders {
            for pair in order.windows(2) {
                graph.add(self.writer(key, pair[0]), self.writer(key, pair[1]), Edge::WriteWrite);
            }
        }
        let seen: BTreeSet<(u64, u64)> = self
            .orders
            .iter()
            .flat_map(|(key, (order, _))| order.iter().map(|element| (*key, *element)))
            .collect();
        let mut unseen: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        for (&(key, element), &writer) in &self.writers {
            if counted.contains(&writer) && !seen.contains(&(key, element)) {
                unseen.entry(key).or_default().push(writer);
            }
        }
        for (key, writers) in &unseen {
            if let Some(last) = self.orders.get(key).and_then(|(order, _)| order.last()) {
                for &writer in writers {
                    graph.add(self.writer(*key, *last), writer, Edge::WriteWrite);
                }
            }
        }
        for (reader, key, seen) in self.reads() {
            // What the reader itself appended is no dependency: go back to the last foreign element.
            let foreign = seen.iter().rposition(|&element| self.writer(key, element) != reader);
            if let Some(position) = foreign {
                graph.add(self.writer(key, seen[position]), reader, Edge::WriteRead);
            }
            let (order, _) = self.orders[&key];
            match order[seen.len()..].iter().map(|&element| self.writer(key, element)).find(|&w| w != reader)
            {
                Some(next) => graph.add(reader, next, Edge::ReadWrite),
                None => {
                    for &writer in unseen.get(&key).into_iter().flatten() {
                        graph.add(reader, writer, Edge::ReadWrite);
                    }
                }
            }
        }
        self.add_real_time(&mut graph, &counted);
        graph
    }

    /// Committed transactions, and open ones of which some element was read.
    fn counted(&self) -> BTreeSet<usize> {
        let mut counted: BTreeSet<usize> = (0..self.history.len())
            .filter(|&index| matches!(self.history[index].ending, Ending::Committed { .. }))
            .collect();
        for (&key, &(order, _)) in &self.orders {
            counted.extend(order.iter().map(|&element| self.writer(key, element)));
        }
        counted
    }

    fn writer(&self, key: u64, element: u64) -> usize {
        self.writers[&(key, element)]
    }

    /// The real-time order through a chain of auxiliary vertices, one for each reply: a transaction leads to the
    /// vertex of its reply, vertices lead to later vertices, and the latest vertex before an invocation leads to the
    /// transaction. That is linear where the order itself is quadratic.
    fn add_real_time(&self, graph: &mut Graph, counted: &BTreeSet<usize>) {
        let mut replies: Vec<(u64, usize)> = counted
            .iter()
            .filter_map(|&index| match self.history[index].ending {
                Ending::Committed { returned } => Some((returned, index)),
                _ => None,
            })
            .collect();
        replies.sort_unstable();
        let first = self.history.len();
        for (position, &(_, index)) in replies.iter().enumerate() {
            graph.add(index, first + position, Edge::RealTime);
            if position > 0 {
                graph.add(first + position - 1, first + position, Edge::RealTime);
            }
        }
        for &index in counted {
            let before = replies.partition_point(|&(returned, _)| returned < self.history[index].invoked);
            if before > 0 {
                graph.add(first + before - 1, index, Edge::RealTime);
            }
        }
    }
}

#[derive(Default)]
struct Graph {
    edges: BTreeMap<usize, BTreeSet<(usize, Edge)>>,
}

impl Graph {
    fn add(&mut self, from: usize, to: usize, edge: Edge) {
        if from != to {
            self.edges.entry(from).or_default().insert((to, edge));
        }
    }

    fn out(&self, vertex: usize) -> impl Iterator<Item = (usize, Edge)> + '_ {
        self.edges.get(&vertex).into_iter().flatten().copied()
    }

    /// For each strongly connected part the worst cycle in it; `transactions` is the number of real vertices.
    fn cycles(&self, transactions: usize) -> Vec<Anomaly> {
        let parts = self.components();
        parts.iter().filter(|part| part.len() > 1).map(|part| self.worst_cycle(part, transactions)).collect()
    }

    fn worst_cycle(&self, part: &BTreeSet<usize>, transactions: usize) -> Anomaly {
        use Edge::{ReadWrite, RealTime, WriteRead, WriteWrite};
        let searches: [(Cycle, bool, &[Edge]); 8] = [
            (Cycle::G0, false, &[WriteWrite]),
            (Cycle::G1c, false, &[WriteWrite, WriteRead]),
            (Cycle::GSingle, false, &[WriteWrite, WriteRead]),
            (Cycle::G2, false, &[WriteWrite, WriteRead, ReadWrite]),
            (Cycle::G0, true, &[WriteWrite, RealTime]),
            (Cycle::G1c, true, &[WriteWrite, WriteRead, RealTime]),
            (Cycle::GSingle, true, &[WriteWrite, WriteRead, RealTime]),
            (Cycle::G2, true, &[WriteWrite, WriteRead, ReadWrite, RealTime]),
        ];
        for (kind, real_time, allowed) in searches {
            // A G-single cycle is one rw edge closed by a path without any.
            let starts = part.iter().flat_map(|&from| {
                self.out(from)
                    .filter(move |(to, edge)| {
                        part.contains(to)
                            && if kind == Cycle::GSingle {
                                *edge == ReadWrite
                            } else {
                                allowed.contains(edge)
                            }
                    })
                    .map(move |(to, edge)| (from, to, edge))
            });
            let shortest = starts
                .filter_map(|(from, to, edge)| {
                    let mut path = self.path(to, from, allowed, part)?;
                    path.insert(0, (from, edge));
                    Some(path)
                })
                .min_by_key(Vec::len);
            if let Some(path) = shortest {
                let path = path.into_iter().filter(|(vertex, _)| *vertex < transactions).collect();
                return Anomaly::Cycle { kind, real_time, path };
            }
        }
        unreachable!("a strongly connected part of two vertices has a cycle")
    }

    /// A shortest path as (vertex, edge out of it) pairs, ending before `to`.
    fn path(
        &self,
        from: usize,
        to: usize,
        allowed: &[Edge],
        part: &BTreeSet<usize>,
    ) -> Option<Vec<(usize, Edge)>> {
        let mut came: BTreeMap<usize, (usize, Edge)> = BTreeMap::new();
        let mut queue = VecDeque::from([from]);
        while let Some(vertex) = queue.pop_front() {
            if vertex == to {
                let mut path = Vec::new();
                let mut at = to;
                while at != from {
                    let (before, edge) = came[&at];
                    path.push((before, edge));
                    at = before;
                }
                path.reverse();
                return Some(path);
            }
            for (next, edge) in self.out(vertex) {
                if part.contains(&next)
                    && allowed.contains(&edge)
                    && next != from
                    && !came.contains_key(&next)
                {
                    came.insert(next, (vertex, edge));
                    queue.push_back(next);
                }
            }
        }
        None
    }

    /// Tarjan's algorithm with an explicit stack: histories are long and chains of real time are deep.
    fn components(&self) -> Vec<BTreeSet<usize>> {
        let mut vertices: BTreeSet<usize> = self.edges.keys().copied().collect();
        vertices.extend(self.edges.values().flatten().map(|(to, _)| *to));
        let mut index: BTreeMap<usize, usize> = BTreeMap::new();
        let mut low: BTreeMap<usize, usize> = BTreeMap::new();
        let mut on_stack = BTreeSet::new();
        let mut stack = Vec::new();
        let mut found = Vec::new();
        for &root in &vertices {
            if index.contains_key(&root) {
                continue;
            }
            let mut work: Vec<(usize, Vec<usize>)> = Vec::new();
            let mut enter = Some(root);
            loop {
                if let Some(vertex) = enter.take() {
                    index.insert(vertex, index.len());
                    low.insert(vertex, index[&vertex]);
                    stack.push(vertex);
                    on_stack.insert(vertex);
                    work.push((vertex, self.out(vertex).map(|(to, _)| to).collect()));
                }
                let Some((vertex, left)) = work.last_mut() else { break };
                let vertex = *vertex;
                if let Some(next) = left.pop() {
                    if !index.contains_key(&next) {
                        enter = Some(next);
                    } else if on_stack.contains(&next) {
                        low.insert(vertex, low[&vertex].min(index[&next]));
                    }
                    continue;
                }
                work.pop();
                if let Some((parent, _)) = work.last() {
                    low.insert(*parent, low[parent].min(low[&vertex]));
                }
                if low[&vertex] == index[&vertex] {
                    let mut part = BTreeSet::new();
                    while let Some(member) = stack.pop() {
                        on_stack.remove(&member);
                        part.insert(member);
                        if member == vertex {
                            break;
                        }
                    }
                    found.push(part);
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests;
