//! All scenarios again: with several partitions at each node, and with each seeded fault.

use std::panic::{AssertUnwindSafe, catch_unwind};

use swytch_cluster::Mutant;

use super::support::{Setup, with_setup};
use super::{
    absence, databases, forks, forming, keepers, members, operations, partitions, slots, solo, transactions,
    twins, voters,
};

/// A scenario by its name.
type Scenario = (&'static str, fn());

macro_rules! table {
    ($($module:ident { $($name:ident)* })*) => {
        const SCENARIOS: &[Scenario] = &[$($((stringify!($name), $module::$name as fn()),)*)*];
    };
}

table! {
    super {
        a_write_reaches_every_subscriber_before_its_answer
        a_pop_happens_once
        the_token_follows_the_work
        a_log_in_a_partition_grows_with_the_cells
        an_operation_that_may_be_asked_for_again_keeps_its_entry
        writes_go_on_in_a_partition_and_merge
        a_majority_goes_on_after_the_expiry_and_the_expired_node_comes_back_with_its_fork
        the_half_with_the_lowest_member_goes_on
        a_node_that_is_lost_for_good_costs_no_logs
        an_expired_node_does_not_disturb_a_base_that_cannot_take_it_in
        a_crashed_owner_loses_nothing_that_others_hold
        flushall_needs_everyone_and_leaves_nothing
        a_flush_is_not_over_before_every_member_has_heard_of_it
        evictions_hand_over_and_only_the_last_deletes
        waiters_are_woken_in_order
        only_the_owner_expires
        a_key_created_in_a_partition_takes_no_x_until_everyone_was_asked
        a_cluster_comes_together_from_nothing
        an_unshared_key_is_written_on_the_fast_path
        a_write_on_the_fast_path_is_stamped
        a_leave_that_was_asked_for_twice_ends_once
        the_end_of_a_former_leave_ends_no_other
    }
    absence {
        a_read_of_what_is_not_there_leaves_nothing
        a_read_sees_what_was_written_after_an_earlier_one_had_asked
        a_watch_of_what_is_not_there_fails_once_it_is
        a_home_does_not_take_an_old_answer_for_the_lessee
        a_home_does_not_take_its_own_answer_from_before_it_was_the_lessee
        a_home_does_not_take_an_old_answer_for_a_new_holder
        a_home_does_not_take_an_old_answer_for_the_creator_of_a_twin
        what_was_deleted_leaves_nothing
        what_was_deleted_before_a_view_change_is_forgotten_after_it
        a_key_that_others_hold_is_not_forgotten
        a_key_is_not_forgotten_while_a_retry_has_to_find_its_answer
        what_was_asked_for_one_creation_of_a_key_is_not_run_on_another
        a_key_is_touched_again_only_when_its_home_has_heard_that_it_was_dropped
        what_a_home_has_heard_before_is_no_news
        a_permission_to_create_is_void_once_its_node_has_said_that_it_holds_nothing
    }
    databases {
        keys_of_two_databases_are_apart
        flushdb_empties_one_database_and_leaves_nothing
        swapdb_exchanges_two_databases
        a_flushdb_is_not_over_before_every_member_has_heard_of_it
        what_was_flushed_does_not_come_back_with_its_space
        what_an_expired_node_writes_in_a_database_goes_when_that_is_flushed
        an_operation_that_comes_during_a_swap_means_the_database_of_then
        what_may_have_been_run_is_not_run_after_a_swap
        clients_wait_for_the_key_of_their_database
        a_batch_in_doubt_goes_on_without_what_was_flushed
        a_write_that_was_applied_comes_before_the_flush
    }
    forks {
        a_key_is_not_forgotten_while_one_that_was_expired_may_come_back_with_it
        a_log_is_kept_for_those_whom_a_lost_holder_may_have_taken_in
        a_fork_is_merged_once_after_any_number_of_views
        a_late_fork_overwrites_nothing_newer
        what_ran_on_both_sides_counts_once_however_late_a_fork_comes
        a_fork_that_is_forgotten_is_over
        new_keys_do_not_wait_long_for_a_node_that_was_expired_before
        a_node_that_is_taken_in_waits_for_those_who_were_expired_before
        a_node_that_is_taken_in_waits_for_nobody_who_is_gone
        a_node_that_was_forgotten_while_it_was_missing_costs_no_logs
        a_fork_that_is_not_merged_yet_goes_with_a_flush
        a_key_created_anew_is_united_with_that_of_expired_holders
        a_doubt_is_about_those_as_well_who_were_out_of_sight_since
    }
    forming {
        nodes_that_find_each_other_form_a_cluster
        half_of_those_that_are_named_form_nothing
        nodes_that_are_named_to_some_only_form_a_cluster
        what_may_have_been_formed_is_not_formed_anew
        what_was_accepted_as_a_first_base_is_remembered
        a_node_is_taken_in_under_a_number_of_its_own
        a_number_of_a_former_member_is_not_given_to_another_node
        a_number_has_one_node
        two_clusters_that_meet_become_one
        clusters_that_meet_have_the_same_databases
        clusters_that_meet_lose_nothing_by_earlier_flushes
        clusters_that_meet_wait_for_those_whom_either_has_expired
    }
    keepers {
        what_was_answered_outlives_its_owner
        a_keeper_costs_a_new_key_one_round_trip
        what_is_to_be_kept_is_taken_once
        an_eviction_leaves_two_holders
        what_has_come_to_have_one_holder_is_repaired
        who_was_about_to_hold_a_key_is_no_holder
        what_was_written_alone_is_repaired
        a_repair_goes_step_by_step
        a_solo_key_is_kept_when_somebody_could_hold_it_as_well
        what_turns_out_to_be_done_is_not_answered_by_one_holder
        a_lessee_that_has_left_a_key_to_others_creates_no_more
        a_home_knows_whom_it_has_given_a_key
        a_home_does_not_take_old_news_for_those_of_a_new_copy
        the_base_wants_as_many_copies_as_any_of_its_members
        a_leave_moves_nothing_that_has_another_holder
    }
    members {
        a_peer_whom_only_heartbeats_reach_is_suspected
        a_node_that_leaves_takes_nothing_with_it
        a_node_that_leaves_brings_back_what_it_has_written_alone
        a_node_leaves_when_somebody_is_there_to_take_over
        what_comes_into_being_while_its_node_leaves_is_handed_over
        a_member_that_hears_a_node_does_not_let_it_be_expired
        a_minority_serves_nobody_if_it_is_told_so
        a_minority_does_not_answer_what_it_finds_done
    }
    operations {
        an_operation_that_was_executed_is_not_refused_for_a_full_queue
        a_request_that_comes_after_the_refusal_is_not_executed
        a_duplicate_of_what_was_answered_before_the_token_moved_is_not_executed
        an_operation_out_of_time_without_its_first_token_is_in_doubt
        a_view_far_ahead_of_all_others_shuts_nobody_out
        a_request_far_ahead_of_its_node_does_not_end_the_others
        a_join_that_comes_again_after_its_node_has_left_stops_nothing
        what_was_aborted_is_forgotten_and_stays_aborted
        waits_are_registered_again_less_and_less_often
        an_owner_takes_a_share_of_operations_from_each_node
        what_was_not_taken_back_everywhere_is_in_doubt
        a_write_that_may_have_been_applied_waits_for_its_answer
        what_is_left_over_from_an_earlier_view_is_not_answered_yet
        writes_on_a_key_of_a_pattern_are_decided_once
        a_key_that_is_decided_once_is_not_expired_on_one_side
        a_write_on_several_keys_may_go_for_each_by_itself
        a_write_that_some_of_its_keys_have_is_not_refused_cleanly
        who_waits_is_served_before_who_comes_later
        a_line_goes_with_the_token
        who_is_gone_takes_nothing
    }
    partitions {
        each_partition_of_a_subscriber_prepares_its_part
        a_read_of_several_partitions_sees_a_transaction_on_all_of_them
        what_is_aborted_is_taken_back_in_all_partitions
        partitions_settle_a_batch_alike
        one_partition_that_has_committed_is_enough
        an_operation_that_waits_for_a_fork_looks_at_each_key_in_its_partition
        a_node_may_have_256_partitions
    }
    slots {
        a_new_key_costs_no_round_trip_under_a_creation_lease
        unreported_creations_survive_a_view_change
        touches_of_a_leased_slot_wait_for_a_lessee_that_is_gone_until_the_view_changes
        leases_and_unreported_names_are_bounded
        a_touch_waits_for_what_the_lessee_has_created
        a_scan_is_told_of_what_was_dropped_meanwhile
        a_home_waits_for_all_parts_of_a_report
        a_report_is_over_when_all_keys_were_looked_at
        a_lease_that_comes_after_its_recall_is_void
    }
    solo {
        a_key_that_only_one_node_holds_has_no_record
        a_solo_key_is_deleted_without_a_trace
        a_solo_key_keeps_its_owner_when_others_crash_and_start_again
        a_solo_key_is_brought_together_with_what_others_come_back_with
        a_solo_key_is_asked_for_when_a_member_comes_from_another_view
        solo_keys_of_an_earlier_view_get_their_records_little_by_little
        a_write_in_a_partition_counts_from_its_own_time
        reports_have_solo_keys_as_well
        versions_go_on_where_a_record_ended
        a_watched_key_keeps_its_record_for_a_while
        an_expired_node_comes_back_with_its_solo_keys
        a_flush_and_a_leave_see_solo_keys
        what_is_set_aside_is_seen_by_its_own_clients
    }
    transactions {
        one_participant_that_has_committed_is_enough
        a_copy_stays_while_its_transaction_is_under_way
        a_batch_that_is_settled_late_is_brought_in
        a_transaction_over_several_keys_sees_its_watches
        a_watch_does_not_take_a_new_creation_for_the_old_one
    }
    twins {
        twins_are_keys_of_their_own
        a_home_does_not_forget_a_key_when_its_twin_goes
        a_home_does_not_forget_a_key_when_it_asks_for_its_twin
        a_home_does_not_forget_who_may_create_a_twin
        a_home_does_not_forget_who_is_to_read_a_twin
    }
    voters {
        a_cluster_of_which_most_have_restarted_goes_on_by_itself
        a_cluster_of_which_all_have_restarted_goes_on_by_itself
        a_cluster_survives_its_attrition
        a_voter_tries_again
        most_voters_go_on_without_those_that_do_not_come_back
        a_voter_that_comes_back_knows_what_it_has_agreed_to
        a_voter_that_has_accepted_a_later_base_is_one_still
        a_voter_that_comes_back_has_heard_nobody_for_as_long_as_it_runs
        a_life_that_is_remembered_is_not_out_of_the_way
        half_does_not_go_on_because_the_rest_has_restarted
    }
}

/// The sources, to count what the table has to have.
const SOURCES: [&str; 14] = [
    include_str!("absence.rs"),
    include_str!("databases.rs"),
    include_str!("forks.rs"),
    include_str!("forming.rs"),
    include_str!("keepers.rs"),
    include_str!("members.rs"),
    include_str!("main.rs"),
    include_str!("operations.rs"),
    include_str!("partitions.rs"),
    include_str!("slots.rs"),
    include_str!("solo.rs"),
    include_str!("transactions.rs"),
    include_str!("twins.rs"),
    include_str!("voters.rs"),
];

#[test]
fn the_table_has_every_scenario() {
    let tests = |source: &&str| source.matches("#[test]\n").count();
    assert_eq!(SOURCES.iter().map(tests).sum::<usize>(), SCENARIOS.len());
}

#[test]
fn all_hold_with_several_partitions() {
    for parts in [2, 4] {
        for (name, scenario) in SCENARIOS {
            let setup = Setup { parts: Some(parts), mutant: None };
            let played = catch_unwind(AssertUnwindSafe(|| with_setup(setup, scenario)));
            assert!(played.is_ok(), "{name} with {parts} partitions");
        }
    }
}

/// Faults that no scenario shows: they need more luck with the order of messages than a scenario is given, and fall in
/// the model or the simulator (`docs/cluster-proof.md`, `docs/cluster-campaign.md`).
const LEFT_TO_SEARCHES: &[Mutant] = &[
    Mutant::BuildOnInstalledBase,
    Mutant::AcceptOtherViews,
    Mutant::LeaseAcrossBases,
    Mutant::FoldUnvalidated,
    Mutant::FoldOpenOperations,
];

/// A scenario that fails when a rule is left out.
const NOTICED_BY: &[(Mutant, &str)] = &[
    (Mutant::NoFence, "a_majority_goes_on_after_the_expiry_and_the_expired_node_comes_back_with_its_fork"),
    (Mutant::XWithoutAllSubscribers, "writes_go_on_in_a_partition_and_merge"),
    (Mutant::ExpireByHalf, "the_half_with_the_lowest_member_goes_on"),
    (Mutant::ExpireWithoutSilence, "a_member_that_hears_a_node_does_not_let_it_be_expired"),
    (Mutant::AbortWithoutAcks, "what_was_not_taken_back_everywhere_is_in_doubt"),
    (Mutant::FlushKeepsStragglers, "a_fork_that_is_not_merged_yet_goes_with_a_flush"),
    (Mutant::SettleWithoutParticipants, "a_batch_that_is_settled_late_is_brought_in"),
    (Mutant::SettleCommitWithoutAll, "partitions_settle_a_batch_alike"),
    (Mutant::CommitOnFirstAck, "each_partition_of_a_subscriber_prepares_its_part"),
    (Mutant::AnswerWithoutAcks, "an_owner_takes_a_share_of_operations_from_each_node"),
    (Mutant::NoDedupe, "an_operation_that_may_be_asked_for_again_keeps_its_entry"),
    (Mutant::KeepTokenOnGrant, "the_token_follows_the_work"),
    (Mutant::TokenSurvivesView, "a_log_in_a_partition_grows_with_the_cells"),
    (Mutant::SnapshotBeforeJoin, "a_write_reaches_every_subscriber_before_its_answer"),
    (Mutant::DropWithoutLeave, "evictions_hand_over_and_only_the_last_deletes"),
    (Mutant::CreateWithoutDoubt, "evictions_hand_over_and_only_the_last_deletes"),
    (Mutant::AbsentBeforeReports, "a_home_does_not_take_an_old_answer_for_the_lessee"),
    (Mutant::LowestSurvives, "a_log_in_a_partition_grows_with_the_cells"),
    (Mutant::DropForks, "a_log_in_a_partition_grows_with_the_cells"),
    (Mutant::IgnoreWatches, "a_watch_of_what_is_not_there_fails_once_it_is"),
    (Mutant::PrepareFirstKeyOnly, "each_partition_of_a_subscriber_prepares_its_part"),
    (Mutant::ReadPending, "a_read_of_several_partitions_sees_a_transaction_on_all_of_them"),
    (Mutant::CloseEarly, "a_read_of_several_partitions_sees_a_transaction_on_all_of_them"),
    (Mutant::TrimEarly, "a_log_in_a_partition_grows_with_the_cells"),
    (Mutant::KeepCreatingAfterRecall, "what_was_deleted_leaves_nothing"),
    (Mutant::AnswerBeforeRecall, "a_touch_waits_for_what_the_lessee_has_created"),
    (Mutant::HonourRecalledLease, "a_lease_that_comes_after_its_recall_is_void"),
    (Mutant::ForgetUnreportedCreations, "unreported_creations_survive_a_view_change"),
    (Mutant::AckForAllPartitions, "each_partition_of_a_subscriber_prepares_its_part"),
    (Mutant::KeepOutcomeFromSiblings, "a_batch_that_is_settled_late_is_brought_in"),
    (Mutant::ForgetAwaitedBatch, "partitions_settle_a_batch_alike"),
    (Mutant::GuestsStayExecuted, "partitions_settle_a_batch_alike"),
    (Mutant::FastPathWithoutStamp, "a_write_on_the_fast_path_is_stamped"),
    (Mutant::AbsentForLaterReads, "a_read_sees_what_was_written_after_an_earlier_one_had_asked"),
    (Mutant::ForgetSharedKeys, "what_was_deleted_leaves_nothing"),
    (Mutant::LeaveWhileEngaged, "a_copy_stays_while_its_transaction_is_under_way"),
    (Mutant::RunForAnotherCreation, "what_was_asked_for_one_creation_of_a_key_is_not_run_on_another"),
    (Mutant::NewsTwice, "what_a_home_has_heard_before_is_no_news"),
    (Mutant::TouchBeforeNews, "a_key_is_touched_again_only_when_its_home_has_heard_that_it_was_dropped"),
    (Mutant::IgnoreUnwantedSnapshots, "a_join_that_comes_again_after_its_node_has_left_stops_nothing"),
    (Mutant::BelieveAnyNumber, "a_view_far_ahead_of_all_others_shuts_nobody_out"),
    (Mutant::AwaitTheOver, "a_node_that_is_lost_for_good_costs_no_logs"),
    (Mutant::HalfIsLess, "the_half_with_the_lowest_member_goes_on"),
    (Mutant::LeaseOfAnyHalf, "the_half_with_the_lowest_member_goes_on"),
    (Mutant::ForgetTheAwaited, "a_key_is_not_forgotten_while_one_that_was_expired_may_come_back_with_it"),
    (Mutant::AnswerFlushWhenInstalled, "a_flush_is_not_over_before_every_member_has_heard_of_it"),
    (Mutant::KeepVoidedTouch, "a_permission_to_create_is_void_once_its_node_has_said_that_it_holds_nothing"),
    (Mutant::WatchVersionsOnly, "a_watch_does_not_take_a_new_creation_for_the_old_one"),
    (Mutant::CountFirstPart, "a_home_waits_for_all_parts_of_a_report"),
    (Mutant::EndAnyLeave, "a_leave_that_was_asked_for_twice_ends_once"),
    (Mutant::LeaveFloorsBehind, "a_duplicate_of_what_was_answered_before_the_token_moved_is_not_executed"),
    (Mutant::LoseHoldersOnly, "a_log_is_kept_for_those_whom_a_lost_holder_may_have_taken_in"),
    (Mutant::ForgetWhatTheLogNeeds, "a_fork_is_merged_once_after_any_number_of_views"),
    (Mutant::MergeTheForgotten, "a_fork_that_is_forgotten_is_over"),
    (Mutant::ForgetWhatRanElsewhere, "what_ran_on_both_sides_counts_once_however_late_a_fork_comes"),
    (Mutant::LateForksOnTop, "a_late_fork_overwrites_nothing_newer"),
    (Mutant::AwaitAlikeForNewKeys, "new_keys_do_not_wait_long_for_a_node_that_was_expired_before"),
    (Mutant::NewcomersAwaitNobody, "a_node_that_is_taken_in_waits_for_those_who_were_expired_before"),
    (Mutant::HeartbeatsSuffice, "a_peer_whom_only_heartbeats_reach_is_suspected"),
    (Mutant::LeaveUnmerged, "a_node_that_leaves_brings_back_what_it_has_written_alone"),
    (Mutant::LeaveWithTheOnlyCopy, "a_node_that_leaves_takes_nothing_with_it"),
    (Mutant::RememberAborts, "what_was_aborted_is_forgotten_and_stays_aborted"),
    (Mutant::RegisterWithoutPause, "waits_are_registered_again_less_and_less_often"),
    (Mutant::SoloTokensSurvive, "a_solo_key_is_brought_together_with_what_others_come_back_with"),
    (Mutant::SoloWritesWithoutTheRest, "a_write_in_a_partition_counts_from_its_own_time"),
    (Mutant::ReportRecordsOnly, "reports_have_solo_keys_as_well"),
    (Mutant::RepeatVersions, "versions_go_on_where_a_record_ended"),
    (Mutant::DropWatchedRecords, "a_watched_key_keeps_its_record_for_a_while"),
    (Mutant::LeaveNamesOfSolos, "a_solo_key_is_deleted_without_a_trace"),
    (Mutant::LoseSolosAtRebirth, "an_expired_node_comes_back_with_its_solo_keys"),
    (Mutant::FastPathBeforeOwning, "solo_keys_of_an_earlier_view_get_their_records_little_by_little"),
    (Mutant::DenyTwins, "a_home_does_not_forget_a_key_when_its_twin_goes"),
    (Mutant::DenyTwins, "a_home_does_not_forget_a_key_when_it_asks_for_its_twin"),
    (Mutant::DenyTouchedTwins, "a_home_does_not_forget_who_may_create_a_twin"),
    (Mutant::DenyTouchedTwins, "a_home_does_not_forget_who_is_to_read_a_twin"),
    (Mutant::CountStaleAnswers, "a_home_does_not_take_an_old_answer_for_a_new_holder"),
    (Mutant::CountStaleAnswers, "a_home_does_not_take_an_old_answer_for_the_creator_of_a_twin"),
    (Mutant::CountEarlierAnswers, "a_home_does_not_take_its_own_answer_from_before_it_was_the_lessee"),
    (Mutant::ForgetWhatLeft, "a_scan_is_told_of_what_was_dropped_meanwhile"),
    (Mutant::OverlookTheAttic, "what_is_set_aside_is_seen_by_its_own_clients"),
    (Mutant::ReportFirstStep, "a_report_is_over_when_all_keys_were_looked_at"),
    (Mutant::LeaveWithTheFresh, "what_comes_into_being_while_its_node_leaves_is_handed_over"),
    (Mutant::NarrowDoubt, "a_doubt_is_about_those_as_well_who_were_out_of_sight_since"),
    (Mutant::ForgetVotes, "a_voter_that_comes_back_knows_what_it_has_agreed_to"),
    (Mutant::ForgetSilence, "a_voter_that_comes_back_has_heard_nobody_for_as_long_as_it_runs"),
    (Mutant::HeirsForgetAtOnce, "a_voter_that_has_accepted_a_later_base_is_one_still"),
    (Mutant::HalfOutlives, "half_does_not_go_on_because_the_rest_has_restarted"),
    (Mutant::FormByHalf, "half_of_those_that_are_named_form_nothing"),
    (Mutant::ForgetDrafts, "what_may_have_been_formed_is_not_formed_anew"),
    (Mutant::AdmitAnybody, "a_number_has_one_node"),
    (Mutant::GiveNumbersAgain, "a_number_of_a_former_member_is_not_given_to_another_node"),
    (Mutant::MeetNoneButMembers, "clusters_that_meet_wait_for_those_whom_either_has_expired"),
    (Mutant::EndWritesInDoubt, "a_write_that_may_have_been_applied_waits_for_its_answer"),
    (Mutant::OverlookTheLeftOver, "what_is_left_over_from_an_earlier_view_is_not_answered_yet"),
    (Mutant::DecideByCommandOnly, "writes_on_a_key_of_a_pattern_are_decided_once"),
    (Mutant::ExpireOnEachSide, "a_key_that_is_decided_once_is_not_expired_on_one_side"),
    (Mutant::AnswerInMinority, "a_minority_serves_nobody_if_it_is_told_so"),
    (Mutant::RecallInMinority, "a_minority_does_not_answer_what_it_finds_done"),
    (Mutant::AnswerFlushWhenInstalled, "a_flushdb_is_not_over_before_every_member_has_heard_of_it"),
    (Mutant::KeepFlushed, "flushdb_empties_one_database_and_leaves_nothing"),
    (Mutant::ReuseSpacesAtOnce, "what_was_flushed_does_not_come_back_with_its_space"),
    (Mutant::KeepForksOfFlushed, "what_an_expired_node_writes_in_a_database_goes_when_that_is_flushed"),
    (Mutant::MeetBySpaces, "clusters_that_meet_have_the_same_databases"),
    (Mutant::MeetByFlushes, "clusters_that_meet_lose_nothing_by_earlier_flushes"),
    (Mutant::OperationsKeepSpaces, "an_operation_that_comes_during_a_swap_means_the_database_of_then"),
    (Mutant::RunMovedOperations, "what_may_have_been_run_is_not_run_after_a_swap"),
    (Mutant::WaitsKeepSpaces, "clients_wait_for_the_key_of_their_database"),
    (Mutant::KeepFlushedParts, "a_batch_in_doubt_goes_on_without_what_was_flushed"),
    (Mutant::AnswerFirstShare, "a_write_on_several_keys_may_go_for_each_by_itself"),
    (Mutant::OverlookAppliedShares, "a_write_that_some_of_its_keys_have_is_not_refused_cleanly"),
    (Mutant::WriteAlone, "what_was_answered_outlives_its_owner"),
    (Mutant::AnswerWhatOneHolds, "what_turns_out_to_be_done_is_not_answered_by_one_holder"),
    (Mutant::SoloAmongOthers, "a_solo_key_is_kept_when_somebody_could_hold_it_as_well"),
    (Mutant::KeepUnnoticed, "a_home_knows_whom_it_has_given_a_key"),
    (Mutant::KeepAgain, "what_is_to_be_kept_is_taken_once"),
    (Mutant::KeepBeforeNews, "a_home_does_not_take_old_news_for_those_of_a_new_copy"),
    (Mutant::EnterKeepersOnce, "a_home_does_not_take_old_news_for_those_of_a_new_copy"),
    (Mutant::KeepLeaseOfWhatIsLeft, "a_lessee_that_has_left_a_key_to_others_creates_no_more"),
    (Mutant::EvictBelowTwo, "an_eviction_leaves_two_holders"),
    (Mutant::ForgetWhoWasToHold, "who_was_about_to_hold_a_key_is_no_holder"),
    (Mutant::LeaveOpen, "what_was_written_alone_is_repaired"),
    (Mutant::LeaveAlone, "what_has_come_to_have_one_holder_is_repaired"),
    (Mutant::WakeWithoutReserving, "who_waits_is_served_before_who_comes_later"),
    (Mutant::WakeTheLatest, "waiters_are_woken_in_order"),
    (Mutant::LeaveTheLine, "a_line_goes_with_the_token"),
    (Mutant::ReserveForTheGone, "who_is_gone_takes_nothing"),
    (Mutant::TakeAnyNumber, "an_owner_takes_a_share_of_operations_from_each_node"),
];

#[test]
fn a_rule_that_is_left_out_is_noticed() {
    let this = std::thread::current().id();
    let default = std::panic::take_hook();
    // What is meant to fail is not to be printed.
    std::panic::set_hook(Box::new(move |panic| {
        if std::thread::current().id() != this {
            default(panic);
        }
    }));
    let unnoticed = |(mutant, name): &&(Mutant, &str)| {
        let (_, scenario) =
            SCENARIOS.iter().find(|(other, _)| other == name).expect("a scenario of that name");
        // Some rules are about partitions of one node.
        [None, Some(2)].into_iter().all(|parts| {
            let setup = Setup { parts, mutant: Some(*mutant) };
            catch_unwind(AssertUnwindSafe(|| with_setup(setup, scenario))).is_ok()
        })
    };
    let unnoticed: Vec<_> = NOTICED_BY.iter().filter(unnoticed).collect();
    drop(std::panic::take_hook());
    assert!(unnoticed.is_empty(), "{unnoticed:?}");
}

#[test]
fn each_rule_is_left_to_a_scenario_or_to_searches() {
    let noticed = NOTICED_BY.iter().map(|(mutant, _)| mutant);
    let mut found: Vec<Mutant> = noticed.chain(LEFT_TO_SEARCHES).copied().collect();
    found.sort_unstable();
    found.dedup();
    let mut all = Mutant::ALL.to_vec();
    all.sort_unstable();
    assert_eq!(found, all);
}
