//! Where the log of a key starts: the state that a merge replays its entries from.
//!
//! Nearly always a log is a batch that is on its way to the subscribers, and nobody wants its start. So what
//! is kept at first are the changes since, each with its undo, and the state is worked out when it is wanted. Only when
//! the undos have grown as large as the value itself, in a partition, is the state kept instead.

use swytch_cluster::Blob;
use swytch_store::{OwnedEntry, Undo};

/// Bytes of undos below which nobody asks how large the value is.
const UNDO_BYTES_MIN: usize = 16 << 10;

/// The start of one key's log.
#[derive(Clone, Debug)]
pub(crate) struct Start {
    kept: Kept,
    /// Bytes of undos from which the state may be the smaller.
    compare_at: usize,
}

#[derive(Clone, Debug)]
enum Kept {
    /// The changes since, with what takes each back.
    Steps { steps: Vec<(Blob, Vec<Undo>)>, bytes: usize },
    /// The state itself.
    State(Option<OwnedEntry>),
}

impl Default for Start {
    /// The log starts here.
    fn default() -> Self {
        Self { kept: Kept::Steps { steps: Vec::new(), bytes: 0 }, compare_at: UNDO_BYTES_MIN }
    }
}

impl Start {
    /// The log starts at this state.
    pub(crate) fn at(state: Option<OwnedEntry>) -> Self {
        Self { kept: Kept::State(state), compare_at: 0 }
    }

    /// The key has changed.
    pub(crate) fn step(&mut self, change: &Blob, undos: Vec<Undo>) {
        if let Kept::Steps { steps, bytes } = &mut self.kept {
            *bytes += undos.iter().map(Undo::size_bytes).sum::<usize>();
            steps.push((change.clone(), undos));
        }
    }

    /// The undos may have become larger than the value.
    pub(crate) fn is_to_compare(&self) -> bool {
        matches!(self.kept, Kept::Steps { bytes, .. } if bytes >= self.compare_at)
    }

    /// Whether the undos take more than a value of this many bytes. If not, they are compared again when they have doubled.
    pub(crate) fn outgrows(&mut self, value_bytes: usize) -> bool {
        let Kept::Steps { bytes, .. } = self.kept else { return false };
        self.compare_at = bytes.saturating_mul(2);
        bytes >= value_bytes
    }

    /// The last change was taken back. True: nothing is left since the log started.
    pub(crate) fn step_back(&mut self, undo: &Undo) -> bool {
        let Kept::Steps { steps, bytes } = &mut self.kept else { return false };
        if let Some((_, undos)) = steps.last_mut() {
            debug_assert_eq!(undos.last(), Some(undo), "undos come in the reverse order");
            undos.pop();
            *bytes = bytes.saturating_sub(undo.size_bytes());
            if undos.is_empty() {
                steps.pop();
            }
        }
        steps.is_empty()
    }

    /// The state, given that of now.
    pub(crate) fn state(&self, now: Option<OwnedEntry>) -> Option<OwnedEntry> {
        match &self.kept {
            Kept::State(state) => state.clone(),
            Kept::Steps { steps, .. } => {
                let mut state = now;
                let undos = steps.iter().flat_map(|(_, undos)| undos);
                undos.rev().for_each(|undo| undo.roll_back(&mut state));
                state
            }
        }
    }

    /// The log starts behind these changes now, if they are the first, and these others the rest.
    pub(crate) fn advance<'b>(
        &mut self,
        settled: impl Iterator<Item = &'b Blob>,
        rest: impl Iterator<Item = &'b Blob>,
    ) -> bool {
        let Kept::Steps { steps, bytes } = &mut self.kept else { return false };
        let settled: Vec<&Blob> = settled.collect();
        let all = settled.iter().copied().chain(rest);
        if !steps.iter().map(|(change, _)| change).eq(all) {
            return false;
        }
        let gone = steps.drain(..settled.len()).flat_map(|(_, undos)| undos);
        *bytes -= gone.map(|undo| undo.size_bytes()).sum::<usize>();
        true
    }
}
