//! Seeded faults: each [`Mutant`] removes one rule of the protocol, to prove that the model and the simulator notice.
//!
//! Without the feature `mutants` the switch is a constant `false`, so a product build carries none of it.

macro_rules! mutants {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// One removed rule.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Mutant {
            $($(#[$doc])* $name),*
        }

        impl Mutant {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];
        }
    };
}

mutants! {
    /// X goes on although the lease is over.
    NoFence,
    /// X goes on although a subscriber is unreachable.
    XWithoutAllSubscribers,
    /// A view builds on the installed instead of the accepted base.
    BuildOnInstalledBase,
    /// A node accepts a base that drops a peer it has just heard.
    ExpireWithoutSilence,
    /// Any half of the base may expire nodes.
    ExpireByHalf,
    /// Data messages of another view are taken.
    AcceptOtherViews,
    /// An in-doubt X is settled although a participant is missing.
    SettleWithoutParticipants,
    /// An in-doubt X is settled as committed though a participant never prepared it.
    SettleCommitWithoutAll,
    /// A clean error is given at once instead of after every participant has acknowledged the abort.
    AbortWithoutAcks,
    /// X commits on the first acknowledgement instead of on all.
    CommitOnFirstAck,
    /// W is answered before the subscribers have acknowledged.
    AnswerWithoutAcks,
    /// Retried operations are executed again.
    NoDedupe,
    /// The token is kept by the old owner when it grants it.
    KeepTokenOnGrant,
    /// The owner of the old view stays owner in the new one without a regroup.
    TokenSurvivesView,
    /// A joiner gets its snapshot before the other subscribers know it.
    SnapshotBeforeJoin,
    /// A copy is dropped without asking the owner.
    DropWithoutLeave,
    /// A key created while part of the base is missing counts as known to be new.
    CreateWithoutDoubt,
    /// The home answers "absent" before every member has reported.
    AbsentBeforeReports,
    /// The lowest instead of the highest version survives a regroup.
    LowestSurvives,
    /// The loser's fork is dropped instead of merged.
    DropForks,
    /// A flush does not clear the copies of nodes that missed it.
    FlushKeepsStragglers,
    /// EXEC does not check its watched versions.
    IgnoreWatches,
    /// EXEC prepares at the subscribers of its first key only.
    PrepareFirstKeyOnly,
    /// A read does not wait for a pending write.
    ReadPending,
    /// Records of decided batches are forgotten before every participant has decided.
    CloseEarly,
    /// Entries are trimmed from the log though a subscriber is missing.
    TrimEarly,
    /// The lease counts peers whose base is another one.
    LeaseAcrossBases,
    /// Entries are folded that not all subscribers hold.
    FoldUnvalidated,
    /// Entries of operations that may run, or may have run, in another view as well are folded.
    FoldOpenOperations,
    /// A node goes on creating keys of a slot after its creation lease was recalled.
    KeepCreatingAfterRecall,
    /// A home answers touches of a leased slot while the lease is being recalled.
    AnswerBeforeRecall,
    /// A creation lease counts although its recall came before it.
    HonourRecalledLease,
    /// What was created under a lease and not acknowledged is left out of the report after a view change.
    ForgetUnreportedCreations,
    /// One partition of a node acknowledges a batch for all of them.
    AckForAllPartitions,
    /// A partition that learns that a batch is committed does not tell its siblings.
    KeepOutcomeFromSiblings,
    /// A batch that is closed is forgotten though an operation here waits for its outcome.
    ForgetAwaitedBatch,
    /// A view change leaves what was executed in the coordinator's other partitions as it is.
    GuestsStayExecuted,
    /// A write on the fast path leaves the key's stamp as it was.
    FastPathWithoutStamp,
    /// That nobody holds a key answers reads that came after the question as well.
    AbsentForLaterReads,
    /// The owner of a key without a value forgets it although others hold it.
    ForgetSharedKeys,
    /// A copy is dropped although an operation of its node's own clients on the key is at another node.
    LeaveWhileEngaged,
    /// An operation that was sent for one creation of a key is run on another.
    RunForAnotherCreation,
    /// A home takes news that it has heard before.
    NewsTwice,
    /// A key is touched before its home has heard that it was dropped.
    TouchBeforeNews,
    /// A snapshot that is not waited for is not answered.
    IgnoreUnwantedSnapshots,
    /// Numbers of messages are believed however far they are ahead.
    BelieveAnyNumber,
    /// Logs are kept for an expired node although the life that was expired is over.
    AwaitTheOver,
    /// Half of the base expires nobody, not even with its lowest member.
    HalfIsLess,
    /// Any half of the base gives a lease.
    LeaseOfAnyHalf,
    /// A key without a value is forgotten though an expired node nobody knows for a holder may come back with it.
    ForgetTheAwaited,
    /// FLUSHALL is answered as soon as it is installed here.
    AnswerFlushWhenInstalled,
    /// A node that has said that it does not hold a key takes the answer to its earlier touch.
    KeepVoidedTouch,
    /// EXEC compares versions of watched keys, and not which creation they are of.
    WatchVersionsOnly,
    /// The first part of a report counts for all of it.
    CountFirstPart,
    /// The end of a leave ends whatever leave of that node is under way.
    EndAnyLeave,
    /// The token does not say below which numbers all operations are answered.
    LeaveFloorsBehind,
    /// When a holder is dropped, nobody else is taken for one that it may have taken in.
    LoseHoldersOnly,
    /// A copy forgets what it contains of epochs that its log leads through.
    ForgetWhatTheLogNeeds,
    /// A fork is merged although it is forgotten what the copy contains of it.
    MergeTheForgotten,
    /// A fork from before the start of the log counts as if it had come after it.
    LateForksOnTop,
    /// Logs of new keys are kept as long for nodes that were expired before as for others.
    AwaitAlikeForNewKeys,
    /// A node counts as reachable as long as its heartbeats are heard.
    HeartbeatsSuffice,
    /// A node that is about to leave hands nothing over.
    LeaveWithTheOnlyCopy,
    /// It does not bring its copies together with those of others.
    LeaveUnmerged,
    /// Records of aborted batches are kept as long as the view lasts.
    RememberAborts,
    /// Waits are registered again and again in the shortest interval.
    RegisterWithoutPause,
    /// An owner takes any number of operations from another node.
    TakeAnyNumber,
    /// Solo keys keep their owner when members of another view come in.
    SoloTokensSurvive,
    /// Writes on solo keys are not recorded though part of the base is missing.
    SoloWritesWithoutTheRest,
    /// Reports leave out what has no record.
    ReportRecordsOnly,
    /// Each birth of a key counts its versions from the start.
    RepeatVersions,
    /// A record goes although a client watches the key.
    DropWatchedRecords,
    /// A home is not told that a solo key is gone.
    LeaveNamesOfSolos,
    /// Keys without a record are written on the fast path before it is known who owns them.
    FastPathBeforeOwning,
    /// A node says that it holds nothing of a key though it holds a twin of it.
    DenyTwins,
    /// It says so though it has asked for a twin.
    DenyTouchedTwins,
    /// A home takes a node's word that it holds nothing, given before it was entered.
    CountStaleAnswers,
    /// It does so if that word came before the node was entered, too.
    CountEarlierAnswers,
    /// A scan is not told of copies that were just dropped.
    ForgetWhatLeft,
    /// Clients do not see what was set aside until it is brought back.
    OverlookTheAttic,
    /// A report is over with the first step of the walk.
    ReportFirstStep,
    /// What comes to be held by a leaving node only after it has looked at its keys is not handed over.
    LeaveWithTheFresh,
    /// Only those are doubted to be holders that could not be asked when the key was created.
    NarrowDoubt,
    /// What a node has promised and accepted is not written down.
    ForgetVotes,
    /// A node that comes back counts everybody as silent whom it has not heard yet.
    ForgetSilence,
    /// A node that has come back and accepted a base in this life has no vote of an earlier one.
    HeirsForgetAtOnce,
    /// Half of a base goes on because the rest has restarted without its memory.
    HalfOutlives,
    /// Half of those that discovery names form a cluster.
    FormByHalf,
    /// A first base that was accepted is forgotten when another one is proposed.
    ForgetDrafts,
    /// Messages of a number are taken of any node.
    AdmitAnybody,
    /// Numbers of former members are given like any other.
    GiveNumbersAgain,
    /// A node that starts empty brings none of its solo keys back.
    LoseSolosAtRebirth,
    /// A node that is taken in waits for the forks of nobody who was expired before.
    NewcomersAwaitNobody,
    /// A base that takes in members of another cluster does not name who else was in that one.
    MeetNoneButMembers,
    /// A write that may have been applied ends in doubt as soon as an X would.
    EndWritesInDoubt,
    /// Operations that are left over from an earlier view count as answered.
    OverlookTheLeftOver,
    /// Writes are decided once where their commands ask for it, whatever their keys do.
    DecideByCommandOnly,
    /// What has expired is deleted on each side of a partition, of keys as well whose writes are decided once.
    ExpireOnEachSide,
    /// What was applied before most of the base went out of reach is answered without it, where nothing else is.
    AnswerInMinority,
    /// A node that is not to answer without most of the base does so at the end of an operation's time, if it finds it done.
    RecallInMinority,
    /// A space is given out again whoever still holds something of it.
    ReuseSpacesAtOnce,
    /// Who comes back brings what it has written in databases that were flushed since.
    KeepForksOfFlushed,
    /// Nodes of another cluster bring the keys of a space, whatever its number is called there.
    MeetBySpaces,
    /// FLUSHALLs of two clusters that meet are counted together.
    MeetByFlushes,
    /// Operations that a view leaves over go to the keys that their names meant before.
    OperationsKeepSpaces,
    /// So do those that other nodes may have run.
    RunMovedOperations,
    /// Clients wait for the key that its name meant when they began.
    WaitsKeepSpaces,
    /// What was flushed is never dropped.
    KeepFlushed,
    /// Records of batches keep their parts for keys that were flushed.
    KeepFlushedParts,
    /// A write that goes for each of its keys by itself is answered when one of them has it.
    AnswerFirstShare,
    /// Such a write that was applied to some of its keys ends as it did for the others.
    OverlookAppliedShares,
    /// Where two copies are wanted, the first write of a key is answered without a second holder.
    WriteAlone,
    /// What turns out to be done already is answered although only this node holds it.
    AnswerWhatOneHolds,
    /// What only this node holds needs no record although others could hold it as well.
    SoloAmongOthers,
    /// A home is not told whom it gives a key to keep.
    KeepUnnoticed,
    /// A value to be kept is taken again when it comes again.
    KeepAgain,
    /// What may have run on another side as well is known by its reply only, and forgotten with that.
    ForgetWhatRanElsewhere,
    /// A value to be kept is taken before its home has heard that an earlier copy is gone.
    KeepBeforeNews,
    /// A home that has entered a keeper takes news of an earlier copy for the last word.
    EnterKeepersOnce,
    /// A creation lease goes on though a copy of its slot was dropped that others hold.
    KeepLeaseOfWhatIsLeft,
    /// A copy is evicted although only one other is left.
    EvictBelowTwo,
    /// Who was about to hold a key when a view ended counts as a holder.
    ForgetWhoWasToHold,
    /// What others may lack of a key waits until somebody asks for it.
    LeaveOpen,
    /// Keys that have come to have one holder are left alone.
    LeaveAlone,
    /// What is asked for comes before the claim of a client that was woken.
    WakeWithoutReserving,
    /// Of those who wait for a key the one that came last is woken first.
    WakeTheLatest,
    /// Those who wait for a key do not go with its token.
    LeaveTheLine,
    /// A key stays reserved for a client that is gone.
    ReserveForTheGone,
}
