//! Section Replication: a primary without replicas.

use super::{Facts, Visitor};

/// The id of a history that does not exist.
const NO_HISTORY: &str = "0000000000000000000000000000000000000000";

pub(super) fn replication(info: &mut dyn Visitor, facts: &Facts<'_>) {
    info.section("Replication");
    info.fields(&[
        ("role", &"master"),
        ("connected_slaves", &0),
        ("master_failover_state", &"no-failover"),
        ("master_replid", &facts.server.run_id),
        ("master_replid2", &NO_HISTORY),
        ("master_repl_offset", &0),
        ("second_repl_offset", &-1),
        ("repl_backlog_active", &0),
        ("repl_backlog_size", &1_048_576),
        ("repl_backlog_first_byte_offset", &0),
        ("repl_backlog_histlen", &0),
    ]);
}
