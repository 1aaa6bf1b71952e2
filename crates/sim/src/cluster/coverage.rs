//! What a run exercised: every kind of message delivered, every transition rule used.

use std::collections::BTreeMap;

use swytch_cluster::Message;
use swytch_cluster::tally::{Rule, Tally};

macro_rules! messages {
    ($($name:ident)*) => {
        /// The kinds of messages, by name.
        pub const ALL_MESSAGES: &[&str] = &[$(stringify!($name)),*];

        /// The kind of a message.
        pub fn name(message: &Message) -> &'static str {
            match message {
                $(Message::$name { .. } => stringify!($name),)*
            }
        }
    };
}

messages! {
    Keep Heartbeat Collect Promise Refuse Propose Accept Install Over Probe Probed Report Reported Touch Query Holding Create
    Absent Own Join NotJoining Owned NotOwned News Noted Recall Recalled OwnerIs RegroupAsk RegroupState Align AlignAck AlignDone SettleAsk SettleState SettleOrder
    SettleAck Close Inv Prep Ack Val Commit Decided Abort Ask Forward Answered Redirect TokenRequest
    Grant GrantAck WaitFor WaitOver Wake LeaveKey MayDrop Dropped Invite Fade ForkLog ForkMerged
}

/// Counts by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Messages delivered.
    pub messages: BTreeMap<&'static str, u64>,
    /// Rules used.
    pub rules: BTreeMap<String, u64>,
}

impl Coverage {
    /// Adds the rules a node used.
    pub fn add_tally(&mut self, tally: &Tally) {
        for rule in Rule::ALL {
            *self.rules.entry(format!("{rule:?}")).or_default() += tally.of(*rule);
        }
    }

    /// Adds another run's counts.
    pub fn add(&mut self, other: &Self) {
        for (name, count) in &other.messages {
            *self.messages.entry(name).or_default() += count;
        }
        for (name, count) in &other.rules {
            *self.rules.entry(name.clone()).or_default() += count;
        }
    }

    /// Names of messages and rules that were never seen.
    pub fn missing(&self) -> Vec<String> {
        let messages =
            ALL_MESSAGES.iter().filter(|name| self.messages.get(*name).is_none_or(|count| *count == 0));
        let rules = Rule::ALL.iter().map(|rule| format!("{rule:?}"));
        let rules = rules.filter(|name| self.rules.get(name).is_none_or(|count| *count == 0));
        messages
            .map(|name| format!("message {name}"))
            .chain(rules.map(|name| format!("rule {name}")))
            .collect()
    }
}
