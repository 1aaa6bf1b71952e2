//! A history: operations with the moments of their invocation and of their reply.
//!
//! Invariant: moments are totally ordered by whoever records them (virtual time, or one atomic counter). Two
//! operations are ordered in real time only if one's reply moment is strictly below the other's invocation moment.
//! Neighbours: every checker reads histories, [`Recorder`] lets threads write one.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// One operation of one client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation<I, O> {
    /// Who asked. Only used in reports: a client with several outstanding operations is allowed.
    pub client: u32,
    /// What was asked.
    pub input: I,
    /// What was answered; `None` if no reply came, or one that leaves the outcome open (`-INDOUBT`, a lost
    /// connection). Such an operation may take effect at any later moment, or never.
    pub output: Option<O>,
    /// Moment before the request was sent.
    pub invoked: u64,
    /// Moment after the reply was read. Ignored if `output` is `None`.
    pub returned: u64,
}

impl<I, O> Operation<I, O> {
    /// An operation that was answered.
    pub fn completed(client: u32, input: I, output: O, invoked: u64, returned: u64) -> Self {
        assert!(invoked <= returned, "a reply precedes its request");
        Self { client, input, output: Some(output), invoked, returned }
    }

    /// The same operation of another model.
    pub fn map<J, P>(self, input: impl FnOnce(I) -> J, output: impl FnOnce(O) -> P) -> Operation<J, P> {
        let Self { client, invoked, returned, .. } = self;
        Operation { client, input: input(self.input), output: self.output.map(output), invoked, returned }
    }

    /// An operation whose outcome is open.
    pub fn indeterminate(client: u32, input: I, invoked: u64) -> Self {
        Self { client, input, output: None, invoked, returned: u64::MAX }
    }
}

/// Records a history from several threads: moments come from one counter, so they respect real time.
///
/// ```
/// use swytch_sim::check::{Recorder, Limits, check, model::{Register, RegisterInput, RegisterOutput}};
/// let recorder = Recorder::new();
/// let started = recorder.invoke();
/// // ... send SET, read +OK ...
/// recorder.complete(0, started, RegisterInput::Write(1), RegisterOutput::Written);
/// assert!(check(&Register::default(), &recorder.into_history(), Limits::default()).is_ok());
/// ```
#[derive(Debug)]
pub struct Recorder<I, O> {
    moment: AtomicU64,
    operations: Mutex<Vec<Operation<I, O>>>,
}

impl<I, O> Default for Recorder<I, O> {
    fn default() -> Self {
        Self { moment: AtomicU64::new(0), operations: Mutex::new(Vec::new()) }
    }
}

impl<I, O> Recorder<I, O> {
    /// An empty history.
    pub fn new() -> Self {
        Self::default()
    }

    /// Call right before sending a request; hand the result back to [`Self::complete`] or [`Self::lose`].
    pub fn invoke(&self) -> u64 {
        self.moment.fetch_add(1, Ordering::SeqCst)
    }

    /// Call right after reading the reply.
    pub fn complete(&self, client: u32, invoked: u64, input: I, output: O) {
        let returned = self.moment.fetch_add(1, Ordering::SeqCst);
        self.push(Operation::completed(client, input, output, invoked, returned));
    }

    /// Call when no reply will come, or it left the outcome open.
    pub fn lose(&self, client: u32, invoked: u64, input: I) {
        self.push(Operation::indeterminate(client, input, invoked));
    }

    /// Everything recorded, in order of invocation.
    pub fn into_history(self) -> Vec<Operation<I, O>> {
        let mut operations = self.operations.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
        operations.sort_by_key(|operation| operation.invoked);
        operations
    }

    fn push(&self, operation: Operation<I, O>) {
        self.operations.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(operation);
    }
}
