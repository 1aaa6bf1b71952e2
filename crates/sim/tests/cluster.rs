//! Runs of the whole-cluster simulator: replay, a share of the campaign, and each found bug as a named scenario.

use swytch_sim::cluster::{Coverage, Outcome, Profile, run, run_profile};

#[track_caller]
fn holds(outcome: &Outcome) {
    let found: Vec<String> = outcome.violations.iter().map(ToString::to_string).collect();
    assert!(found.is_empty(), "seed {}: {found:#?}", outcome.seed);
}

#[test]
fn a_seed_replays_bit_for_bit() {
    for seed in 0..12 {
        let (first, second) = (run(seed, None), run(seed, None));
        assert_eq!(first.trace, second.trace, "seed {seed}");
        assert_eq!((first.operations, first.events), (second.operations, second.events), "seed {seed}");
        assert_eq!(first.coverage, second.coverage, "seed {seed}");
        assert_ne!(first.trace, run(seed + 1_000, None).trace, "the trace does not depend on the seed");
    }
}

/// Without faults everything is linearizable, reads included, and every operation succeeds.
#[test]
fn a_calm_cluster_is_linearizable_for_all_operations() {
    for seed in 0..20 {
        let mut profile = Profile::of_seed(seed);
        profile.faults = Default::default();
        profile.initial = profile.hosts;
        profile.loss_permille = 0;
        profile.drift = false;
        profile.disturbed_ms = 15_000;
        let outcome = run_profile(profile, None, None);
        holds(&outcome);
        assert!(outcome.operations > 100, "seed {seed}: only {} operations succeeded", outcome.operations);
    }
}

/// Seeds that showed a bug once, before there were creation leases; played as they were then and as they are now. A
/// change of the profiles' random choices moves what a seed plays; the description says what to look for then.
#[track_caller]
fn scenario(seeds: &[u64]) {
    for &seed in seeds {
        holds(&run_profile(Profile::without_leases(seed), None, None));
        holds(&run(seed, None));
    }
}

/// Each key has two holders, whatever happens; and where hosts crash one by one, each when what the last one held has been
/// repaired, nothing that was acknowledged is lost.
#[test]
fn what_two_hosts_hold_outlives_each_of_them() {
    for seed in 0..24 {
        holds(&run_profile(Profile::of_two_copies(seed), None, None));
    }
}

/// A W was forwarded and executed; the view changed before the answer; its origin executed it again on its side.
/// The merge added both, because a local operation's entry did not say which operation it was.
#[test]
fn an_operation_executed_on_both_sides_of_a_fork_counts_once() {
    scenario(&[12, 27, 104, 109, 134]);
}

/// The winner's log began one entry before the loser's: the loser seemed to have removed what it had only trimmed.
#[test]
fn both_logs_of_a_merge_start_at_the_same_point() {
    scenario(&[110]);
}

/// The toucher gave its touch a new name while the owner was still answering the old one, and each insisted on its
/// own for ever: the key could not be used any more, without any fault.
#[test]
fn a_touch_that_was_renamed_is_answered() {
    scenario(&[40, 159, 254]);
}

/// An X was committed and answered while a participant held only the PREP; in the next view that participant took a
/// new subscriber in, which outranked the coordinator later and knew nothing of the X.
#[test]
fn a_decision_survives_a_join_that_never_heard_of_it() {
    scenario(&[64, 286, 376]);
}

/// A key was created in doubt while another side held it; both sides had trimmed their logs, so one of two whole
/// values had to go.
#[test]
fn a_key_created_in_doubt_keeps_its_log() {
    scenario(&[9, 80]);
}

/// Two lineages met, of which parts had met before: what one already contained was added again.
#[test]
fn lineages_that_met_before_are_not_added_twice() {
    scenario(&[1054, 1062]);
}

/// A key was created in doubt on one side, held on another and forked on a third. A merge left one opaque entry,
/// relative to the state it was computed from; the third lineage was then added to it a second time, or an old value
/// came back over a newer one.
#[test]
fn a_key_in_three_lineages_is_merged_once() {
    scenario(&[20032, 20346, 20403, 20508, 20518, 20583, 20601, 20643, 20673, 20695]);
}

/// The holders of a key were expired together. Every subscriber was there, so they kept no log; the key was created
/// anew before they came back with their forks.
#[test]
fn a_key_created_anew_takes_in_what_expired_holders_settled() {
    scenario(&[286]);
}

/// A fork came back with the subscribers of its own time, one of which had left the base meanwhile: the key waited
/// for it for ever.
#[test]
fn a_fork_does_not_bring_old_subscribers_back() {
    scenario(&[36152]);
}

/// A home had been expired and started empty; members that came from the same view as it reported moved slots only.
/// It called a key absent that four members held.
#[test]
fn a_home_that_starts_empty_asks_for_full_reports() {
    scenario(&[721, 20669]);
}

/// A base of two was proposed, and accepted by its proposer alone. As one half of it, the proposer gave itself a
/// lease, while the other members agreed on another base.
#[test]
fn a_base_that_was_only_proposed_gives_no_lease() {
    scenario(&[23774]);
}

/// A change of the base had been accepted by some. Whoever met them had to find out what became of it: completed by
/// those who would accept it, dropped when it could not have been agreed, or left alone.
#[test]
fn a_change_of_the_base_that_stood_still_goes_on() {
    scenario(&[20236, 20332, 20500, 21044, 22997]);
}

/// A home appointed an owner on behalf of a node that had come back with a fork. The message was lost, the owner's clients
/// did not use the key, and the home repeated the fork's touch only: it was never merged.
#[test]
fn an_appointment_that_was_lost_is_repeated() {
    scenario(&[23525, 300013]);
}

/// The judge had counted on what was never promised: a host left with unmerged forks, the last reads came before a
/// fork did, a FLUSHALL in doubt came late, a decided batch went with the last host that held it, hosts that had not
/// heard of their base were to continue it, creations at the home itself went unseen, a member that was left out while
/// the cluster came together was no disturbance, a session relied on a copy that was dropped before its write was
/// answered, whoever permitted an eviction crashed before it was carried out, a key without a
/// value was held elsewhere when it was created, a batch in doubt went with the last host that held it on one of its
/// keys, an expired host wrote after a FLUSHALL of the others.
#[test]
fn the_judge_counts_on_promises_only() {
    // The record of a key that was there before the other side created it counted as a later creation.
    holds(&run(30_368, None));
    scenario(&[
        909, 20051, 23174, 23525, 23667, 24644, 31192, 31621, 201729, 204091, 213850, 218537, 314668, 503751,
        704130, 704834, 714646, 721801,
    ]);
}

/// A host had accepted the base that was to take it in, and nobody else had. On its own it took that base for the one
/// there was, and the others could not agree with it any more.
#[test]
fn a_base_that_was_to_take_a_host_in_is_no_base() {
    scenario(&[1020]);
}

/// A batch in doubt was settled when the log it belonged on top of was full and dropped.
#[test]
fn a_settled_batch_finds_a_full_log() {
    scenario(&[232, 1922]);
}

/// A member accepted a FLUSHALL and was cut off before it learned that all had. On its own it went on in the old base
/// and acknowledged writes, while the others told the client that the store was empty; when it returned, what it had
/// acknowledged after that answer was gone.
#[test]
fn a_flush_is_answered_when_all_have_emptied_their_stores() {
    scenario(&[214971, 219580]);
}

/// Some members had gone on to a base without a node, and with one more that was dead then. A member of both bases
/// that had heard that node again refused every later base for its sake, and no other could be made.
#[test]
fn who_was_left_behind_by_an_installed_base_holds_nobody_up() {
    scenario(&[504818, 805064]);
}

/// Two votes for bases that take different hosts in: one had been shown never to have been made, but the host that had
/// given it refused the other for the sake of the host that only its own vote had.
#[test]
fn a_vote_for_a_base_that_was_never_made_holds_nobody_up() {
    scenario(&[706433, 1127729, 2028131]);
}

/// A host that was to be taken in, and whose vote could not be completed, tried for ever to bring a view about that did
/// not contain it, and froze the only member each time.
#[test]
fn a_host_outside_the_base_leaves_its_members_alone() {
    scenario(&[289]);
}

/// A log was trimmed to a state that an entry behind it, taken in by a merge, had not seen; or a copy whose log started
/// there was sent such entries. On top of that state they came out otherwise than when they were merged.
#[test]
fn what_a_merge_took_in_keeps_its_place_when_logs_are_trimmed() {
    scenario(&[2026310]);
}

/// A participant of a batch in doubt kept a longer log than the others. A merge with another creation of the key, whose
/// writes had seen nothing of where a log starts, came out otherwise by its log than by theirs.
#[test]
fn a_batch_in_doubt_keeps_no_more_of_the_log_than_it_needs() {
    scenario(&[906769]);
}

/// A FLUSHALL found no time and was refused; the attempt at a view that it had begun went on and emptied all stores.
#[test]
fn a_flush_that_was_refused_does_not_happen() {
    scenario(&[1102976, 1120502]);
}

/// A host is expired with copies whose logs are trimmed; keys are created anew by one that was restarted since, knows of
/// nobody who may come back, and trims its logs as well.
#[test]
fn creations_that_both_trimmed_their_logs_are_united() {
    let mut seen = Coverage::default();
    for seed in [6, 81, 106] {
        let outcome = run(seed, None);
        holds(&outcome);
        seen.add(&outcome.coverage);
    }
    assert!(seen.rules["UnitedCreations"] > 0, "{seen:?}");
}

/// A node dropped its copy and subscribed again; a duplicate of its wish to leave had the owner take it off the list.
#[test]
fn a_leave_ends_no_later_subscription() {
    scenario(&[4024181, 4033506]);
}

/// A pop was in doubt while so much was pushed that the log was full. When it was settled, it took the element that
/// stood in the place of the popped one by then.
#[test]
fn a_pop_settled_late_takes_what_it_took() {
    scenario(&[4037499]);
}

/// A node subscribed while a batch was in doubt, and who had held the batch from the beginning crashed after it had
/// been settled: it is gone, as promised.
#[test]
fn a_settled_batch_goes_with_those_who_held_it_first() {
    scenario(&[4021475]);
}

/// A host that had come back with its votes aimed at a base that it had only accepted, again and again,
/// and froze the others each time; or it never tried again when it had failed once.
#[test]
fn a_voter_that_comes_back_tries_now_and_then() {
    for seed in [30_071, 30_167] {
        holds(&run(seed, None));
    }
}

/// A host was expired; another one started anew, knew nothing of that, was left with the only copy of a counter, and let
/// its log go. What the first had added meanwhile was lost when it came back.
#[test]
fn a_host_that_starts_anew_knows_who_may_come_back() {
    holds(&run_profile(Profile::of_seed(40_056).on_real_store(), None, None));
}

/// A transaction changed keys of one name in two databases: the server's keyspace took both for the first.
#[test]
fn a_transaction_changes_keys_of_one_name_in_two_databases() {
    holds(&run_profile(Profile::of_seed(5_014).on_real_store(), None, None));
}
