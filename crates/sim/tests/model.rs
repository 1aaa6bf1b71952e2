//! Walks of the model that once broke a promise, by scope and seed. A change of a scope or of the model's choices moves
//! what a seed walks; the description says what to look for then.

use swytch_sim::model::{replay, walk_scopes};

#[track_caller]
fn walk(name: &str, seed: u64) {
    let scope = walk_scopes().into_iter().find(|scope| scope.name == name).expect("a scope of that name");
    if let Err((violation, trace)) = replay(&scope, seed) {
        panic!("{name} {seed:#x}: {violation:?}\n{}", trace.join("\n"));
    }
}

/// The COMMIT of a transaction had reached one participant, or the one that settled it, and not the others.
#[test]
fn a_transaction_is_whole_wherever_its_commit_was_heard() {
    walk("transactions in doubt, 3 nodes", 0xe7af_3b93_096f_911b);
    walk("transactions in doubt, 3 nodes", 0x8502_1a22_459f_b027);
}

/// One of the keys of a transaction had gone with its only holder when its origin was told OK.
#[test]
fn a_transaction_that_has_lost_a_key_is_in_doubt() {
    walk("overlapping keys, 3 nodes", 0x8f2a_9879_a6cc_a24a);
}

/// A node outside the base tried to get in faster than its members came to try among themselves; and when it gave them
/// time after every view of its own, it never tried again.
#[test]
fn a_node_outside_the_base_gives_its_members_time() {
    walk("overlapping keys, time, 4 nodes", 0x1a91_f740_17c2_ab35);
    walk("partitions, 3 nodes", 0x59fe_daa1_cea0_4d5a);
    walk("X in doubt, 3 nodes", 0x282a_e1d2_e8fd_f362);
}

/// A fork and a newer copy beside it, which was dropped: what only the copy had went with its owner.
#[test]
fn a_fork_is_not_the_copy_that_was_dropped() {
    walk("reads in partitions, 3 nodes", 0x9342_4cc1_fb31_154f);
}

/// A node had collected the state of a key to own it, and was expired: the one that had sent it knew of no other holder.
#[test]
fn a_key_is_not_forgotten_while_any_expired_node_may_come_back() {
    walk("deletions and leases, 2 nodes", 0x51e1_2a7a_df1e_c077);
}

/// A node had voted for a base that nobody else had, and waited to be taken in by those who waited for it to go on from there.
#[test]
fn a_node_with_the_newest_vote_goes_on_from_the_base_before() {
    walk("voters come back, 3 nodes", 0xc6c8_4c3a_a951_22b1);
}
