//! Two keys of one name in two databases, which are swapped now and then.

use crate::check::linearizable::Model;

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pair<M>(pub M);

/// A request of a pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PairInput<I> {
    /// On the first key, or on the second.
    On(bool, I),
    /// SWAPDB.
    Swap,
}

impl<M: Model> Model for Pair<M> {
    type State = [M::State; 2];
    type Input = PairInput<M::Input>;
    /// A SWAPDB has no reply.
    type Output = Option<M::Output>;
    type Key = ();

    fn initial(&self) -> Self::State {
        [self.0.initial(), self.0.initial()]
    }

    fn step(&self, state: &Self::State, input: &Self::Input, output: &Self::Output) -> Option<Self::State> {
        let mut next = state.clone();
        match (input, output) {
            (PairInput::On(second, input), Some(output)) => {
                let one = usize::from(*second);
                next[one] = self.0.step(&state[one], input, output)?;
            }
            (PairInput::Swap, None) => next.reverse(),
            _ => return None,
        }
        Some(next)
    }

    fn step_unknown(&self, state: &Self::State, input: &Self::Input) -> Vec<Self::State> {
        let mut swapped = state.clone();
        swapped.reverse();
        match input {
            PairInput::Swap => vec![swapped],
            PairInput::On(second, input) => {
                let one = usize::from(*second);
                let put = |value| {
                    let mut next = state.clone();
                    next[one] = value;
                    next
                };
                self.0.step_unknown(&state[one], input).into_iter().map(put).collect()
            }
        }
    }

    fn partition(&self, _: &Self::Input) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Operation;
    use crate::check::linearizable::{Limits, Verdict, check};
    use crate::check::model::{Register, RegisterInput, RegisterOutput};

    #[test]
    fn what_was_written_before_a_swap_is_at_the_other_key_after_it() {
        let limits = Limits { steps_max: 1_000, memo_max: 1_000 };
        let at = |second, now: u64| {
            let (write, read) = (RegisterInput::Write(7), RegisterInput::Read);
            let value = |value| Some(RegisterOutput::Value(value));
            let history = [
                Operation::completed(0, PairInput::On(false, write), Some(RegisterOutput::Written), 0, 1),
                Operation::completed(1, PairInput::Swap, None, 2, 3),
                Operation::completed(0, PairInput::On(second, read), value(Some(now)), 4, 5),
            ];
            matches!(check(&Pair(Register), &history, limits), Verdict::Violation { .. })
        };
        assert_eq!((at(true, 7), at(false, 7), at(true, 8)), (false, true, true));
    }
}
