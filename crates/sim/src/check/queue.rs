//! Exactly-once delivery through a queue (or any pool that is emptied by pops): an acknowledged push is popped once
//! or left over, nothing is popped twice, nothing comes from nowhere.
//!
//! Cheaper than linearizability (linear time, any length), and it still holds across a partition, where order does
//! not. An open pop may have taken as many elements as it asked for: those count as an allowance for lost elements.

use std::collections::{BTreeMap, BTreeSet};

/// One push or pop; elements are unique over the whole history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueueOperation {
    /// A push of one element.
    Push {
        /// The element.
        element: u64,
        /// How it ended.
        outcome: Outcome,
        /// Moment of the request.
        invoked: u64,
    },
    /// A pop that was answered with these elements (none: empty, or a timeout).
    Popped {
        /// The elements.
        elements: Vec<u64>,
        /// Moment of the reply.
        returned: u64,
    },
    /// A pop with an open outcome that asked for at most this many elements.
    OpenPop {
        /// Most elements it can have taken.
        count_max: u64,
    },
}

/// How a push ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Acknowledged.
    Acknowledged,
    /// Open: it may or may not have happened.
    Open,
    /// A clean error: it did not happen.
    Failed,
}

/// One broken promise.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum QueueAnomaly {
    /// Popped (or left over) more than once.
    Duplicate(u64),
    /// Popped or left over, but never pushed.
    FromNowhere(u64),
    /// Popped or left over, but its push failed cleanly.
    FailedPushTookEffect(u64),
    /// The reply of the pop precedes the request of the push.
    PoppedBeforePush(u64),
    /// More acknowledged elements are gone than open pops can have taken.
    Lost {
        /// Acknowledged, neither popped nor left over.
        missing: Vec<u64>,
        /// How many of them open pops explain.
        allowance: u64,
    },
}

/// Checks a history; `remaining` is what the queue held at its end.
///
/// # Errors
/// Every anomaly found.
pub fn check(history: &[QueueOperation], remaining: &[u64]) -> Result<(), Vec<QueueAnomaly>> {
    let mut pushes: BTreeMap<u64, (Outcome, u64)> = BTreeMap::new();
    let mut allowance = 0u64;
    for operation in history {
        match operation {
            QueueOperation::Push { element, outcome, invoked } => {
                let known = pushes.insert(*element, (*outcome, *invoked));
                assert!(known.is_none(), "the workload pushed {element} twice");
            }
            QueueOperation::OpenPop { count_max } => allowance += count_max,
            QueueOperation::Popped { .. } => {}
        }
    }
    let popped = history.iter().flat_map(|operation| match operation {
        QueueOperation::Popped { elements, returned } => {
            elements.iter().map(|element| (*element, *returned)).collect()
        }
        _ => Vec::new(),
    });
    let mut anomalies = BTreeSet::new();
    let mut seen = BTreeSet::new();
    for (element, returned) in popped.chain(remaining.iter().map(|element| (*element, u64::MAX))) {
        if !seen.insert(element) {
            anomalies.insert(QueueAnomaly::Duplicate(element));
        }
        match pushes.get(&element) {
            None => anomalies.insert(QueueAnomaly::FromNowhere(element)),
            Some((Outcome::Failed, _)) => anomalies.insert(QueueAnomaly::FailedPushTookEffect(element)),
            Some((_, invoked)) if returned < *invoked => {
                anomalies.insert(QueueAnomaly::PoppedBeforePush(element))
            }
            Some(_) => false,
        };
    }
    let missing: Vec<u64> = pushes
        .iter()
        .filter(|(element, (outcome, _))| *outcome == Outcome::Acknowledged && !seen.contains(element))
        .map(|(element, _)| *element)
        .collect();
    if missing.len() as u64 > allowance {
        anomalies.insert(QueueAnomaly::Lost { missing, allowance });
    }
    if anomalies.is_empty() { Ok(()) } else { Err(anomalies.into_iter().collect()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(element: u64, outcome: Outcome) -> QueueOperation {
        QueueOperation::Push { element, outcome, invoked: element }
    }

    fn pop(element: u64) -> QueueOperation {
        QueueOperation::Popped { elements: vec![element], returned: 100 + element }
    }

    #[test]
    fn popped_once_or_left_over_is_right() {
        let history = [
            push(1, Outcome::Acknowledged),
            push(2, Outcome::Acknowledged),
            push(3, Outcome::Open),
            push(4, Outcome::Open),
            push(5, Outcome::Failed),
            pop(1),
            pop(3),
            QueueOperation::Popped { elements: vec![], returned: 200 },
        ];
        assert_eq!(check(&history, &[2]), Ok(()));
    }

    #[test]
    fn an_element_popped_twice_is_refuted() {
        let history = [push(1, Outcome::Acknowledged), pop(1), pop(1)];
        assert_eq!(check(&history, &[]), Err(vec![QueueAnomaly::Duplicate(1)]));
    }

    #[test]
    fn an_element_popped_and_left_over_is_refuted() {
        let history = [push(1, Outcome::Acknowledged), pop(1)];
        assert_eq!(check(&history, &[1]), Err(vec![QueueAnomaly::Duplicate(1)]));
    }

    #[test]
    fn a_lost_acknowledged_push_is_refuted_unless_an_open_pop_explains_it() {
        let mut history = vec![push(1, Outcome::Acknowledged), push(2, Outcome::Acknowledged)];
        history.push(QueueOperation::OpenPop { count_max: 1 });
        assert_eq!(check(&history, &[2]), Ok(()));
        assert_eq!(check(&history, &[]), Err(vec![QueueAnomaly::Lost { missing: vec![1, 2], allowance: 1 }]));
    }

    #[test]
    fn a_push_that_failed_cleanly_must_not_appear() {
        let history = [push(1, Outcome::Failed), pop(1)];
        assert_eq!(check(&history, &[]), Err(vec![QueueAnomaly::FailedPushTookEffect(1)]));
        assert_eq!(check(&history[..1], &[1]), Err(vec![QueueAnomaly::FailedPushTookEffect(1)]));
    }

    #[test]
    fn elements_from_nowhere_or_from_the_future_are_refuted() {
        assert_eq!(check(&[pop(9)], &[]), Err(vec![QueueAnomaly::FromNowhere(9)]));
        let early = QueueOperation::Popped { elements: vec![50], returned: 3 };
        let history = [early, push(50, Outcome::Acknowledged)];
        assert_eq!(check(&history, &[]), Err(vec![QueueAnomaly::PoppedBeforePush(50)]));
    }
}
