//! Writes on several keys that go for each key by itself ([`MultiKey::Each`]).
//!
//! Whoever takes a client's request divides it before anything else sees it; each share is an ordinary write of one key.
//!
//! Invariants: the client is answered once, when all shares are; an error that says that nothing was applied is given only
//! if that is so for all of them.

use std::collections::BTreeMap;

use crate::config::{Config, MultiKey};
use crate::ids::Blob;
use crate::interface::{Action, Answer, Class, ClientError, Request};
use crate::mutant::Mutant;
use crate::values::Values;

/// Tickets from here on name shares; those of callers are below.
pub(crate) const SHARES_FROM: u64 = 1 << 63;

/// Keys of one request that goes so; one with more goes at once.
const KEYS_MAX: usize = 1 << 16;

/// Requests whose shares are not all answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Shared {
    requests: BTreeMap<u64, Gathering>,
    next: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Gathering {
    ticket: u64,
    command: Blob,
    results: Vec<Option<Result<Blob, ClientError>>>,
}

impl Shared {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.requests.len()
    }

    /// The shares of a request, if it goes for each of its keys by itself.
    pub(crate) fn divide(
        &mut self,
        request: &Request,
        config: &Config,
        values: &impl Values,
    ) -> Option<Vec<Request>> {
        let keys = request.keys.len();
        let divides = config.multi_key == MultiKey::Each
            && request.class == Class::W
            && request.watches.is_empty()
            && (2..=KEYS_MAX).contains(&keys)
            && self.len() < config.limits.ops_max;
        if !divides {
            return None;
        }
        let first = SHARES_FROM | (self.next % (1 << 47)) << 16;
        let share = |index: usize| {
            let command = values.share(&request.command, index)?;
            let keys = vec![request.keys[index].clone()];
            Some(Request { ticket: first | index as u64, keys, command, ..request.clone() })
        };
        let shares: Vec<Request> = (0..keys).map(share).collect::<Option<_>>()?;
        self.next += 1;
        let command = request.command.clone();
        self.requests.insert(first, Gathering { ticket: request.ticket, command, results: vec![None; keys] });
        Some(shares)
    }

    /// Puts the answers to requests in the place of those to their shares.
    pub(crate) fn gather(&mut self, actions: &mut Vec<Action>, config: &Config, values: &impl Values) {
        if self.requests.is_empty() {
            return;
        }
        let gathered = std::mem::take(actions).into_iter().filter_map(|action| match action {
            Action::Reply { ticket, result } if ticket >= SHARES_FROM => {
                self.note(ticket, result.map(|answer| answer.reply), config, values)
            }
            action => Some(action),
        });
        actions.extend(gathered);
    }

    fn note(
        &mut self,
        ticket: u64,
        result: Result<Blob, ClientError>,
        config: &Config,
        values: &impl Values,
    ) -> Option<Action> {
        let (first, index) = (ticket & !(KEYS_MAX as u64 - 1), ticket as usize % KEYS_MAX);
        let gathering = self.requests.get_mut(&first)?;
        *gathering.results.get_mut(index)? = Some(result);
        let is_over =
            gathering.results.iter().all(Option::is_some) || config.without(Mutant::AnswerFirstShare);
        if !is_over {
            return None;
        }
        let Gathering { ticket, command, results } = self.requests.remove(&first)?;
        let results: Vec<Result<Blob, ClientError>> = results.into_iter().flatten().collect();
        let applied = results.iter().any(Result::is_ok) && !config.without(Mutant::OverlookAppliedShares);
        let error = |error: &ClientError| if applied { ClientError::InDoubt } else { *error };
        let worst =
            results.iter().filter_map(|result| result.as_ref().err()).max_by_key(|error| !error.is_clean());
        let result = match worst {
            Some(worst) => Err(error(worst)),
            None => {
                let reply = values.join(&command, results.into_iter().flatten().collect());
                Ok(Answer { reply, watches: Vec::new() })
            }
        };
        Some(Action::Reply { ticket, result })
    }
}
