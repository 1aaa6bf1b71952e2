//! Traces for a collector of OpenTelemetry: the commands that are in SLOWLOG, and so many of a million others.
//!
//! Each is a span, and a trace of its own: clients of Redis do not tell which trace they are part of. Whoever has run a command
//! puts its span into a queue and goes on. `export.rs` sends what is there from a thread of its own, in the form of `otlp.rs`.
//!
//! Invariants: nobody waits for the collector, and a collector that does not answer takes no more memory than
//! [`QUEUE_MAX`] spans. What finds no place, or is not taken, is counted. What clients send is not part of a span, but for the
//! name of the command.

mod export;
mod otlp;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

pub use export::Exporter;

/// Spans that wait; as many as the specification of the batching span processor proposes.
const QUEUE_MAX: usize = 2048;
/// Spans sent together.
const BATCH_MAX: usize = 512;

/// A command that has run.
#[derive(Clone, Debug)]
pub struct Span {
    /// As in COMMAND DOCS: `get`, `config|set`.
    pub command: &'static str,
    /// Arguments, with the command's name.
    pub arguments: usize,
    /// When it ended, in Unix microseconds.
    pub ended_us: u64,
    /// How long it took.
    pub took_ns: u64,
    /// The database of its client.
    pub db: u32,
    /// The client's address, and its name if it has one.
    pub address: String,
    /// See `address`.
    pub client: Vec<u8>,
    /// The code of the error that was answered: `WRONGTYPE`.
    pub error: Option<String>,
    /// Whether SLOWLOG has it as well.
    pub is_slow: bool,
}

/// The spans on their way.
#[derive(Debug, Default)]
pub struct Traces {
    is_on: AtomicBool,
    queue: Mutex<Queue>,
    changed: Condvar,
    sent: AtomicU64,
    missing: AtomicU64,
}

#[derive(Debug, Default)]
struct Queue {
    spans: Vec<Span>,
    is_ending: bool,
}

impl Traces {
    /// Whether somebody takes spans.
    pub fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    /// Spans that the collector has taken, and those that it has not.
    pub fn counts(&self) -> (u64, u64) {
        (self.sent.load(Ordering::Relaxed), self.missing.load(Ordering::Relaxed))
    }

    /// Takes a span, if there is room for it.
    pub fn push(&self, span: Span) {
        let mut queue = self.queue.lock();
        if queue.spans.len() >= QUEUE_MAX {
            self.missing.fetch_add(1, Ordering::Relaxed);
            return;
        }
        queue.spans.push(span);
        if queue.spans.len() == BATCH_MAX {
            self.changed.notify_one();
        }
    }

    /// The spans to be sent next: as soon as there are enough for a batch, it is time, or all ends; and whether that is so.
    fn next(&self, until: Instant) -> (Vec<Span>, bool) {
        let mut queue = self.queue.lock();
        while queue.spans.len() < BATCH_MAX
            && !queue.is_ending
            && !self.changed.wait_until(&mut queue, until).timed_out()
        {}
        let count = queue.spans.len().min(BATCH_MAX);
        (queue.spans.drain(..count).collect(), queue.is_ending)
    }

    /// Waits; false as soon as all ends.
    fn wait(&self, until: Instant) -> bool {
        let mut queue = self.queue.lock();
        while !queue.is_ending && !self.changed.wait_until(&mut queue, until).timed_out() {}
        !queue.is_ending
    }

    fn end(&self) {
        self.queue.lock().is_ending = true;
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_that_nobody_empties_is_bounded() {
        let traces = Traces::default();
        (0..QUEUE_MAX + 10).for_each(|_| traces.push(otlp::tests::span()));
        assert_eq!(traces.counts(), (0, 10));
        let long_ago = Instant::now();
        assert_eq!(traces.next(long_ago).0.len(), BATCH_MAX);
        traces.end();
        let left: usize = (0..QUEUE_MAX / BATCH_MAX).map(|_| traces.next(long_ago).0.len()).sum();
        assert_eq!(left, QUEUE_MAX - BATCH_MAX);
        assert!(!traces.wait(long_ago));
    }
}
