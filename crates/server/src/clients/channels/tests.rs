//! A registry by itself: who is given what, and that nothing stays of those who have left.

use super::*;

/// What the registry keeps of everybody must be nothing once everybody has left.
fn assert_empty(channels: &Channels) {
    for kind in KINDS {
        assert_eq!((channels.count(kind), channels.names(kind, None)), (0, Vec::new()), "{kind:?}");
    }
    assert_eq!(channels.subscribers(), 0);
}

fn messages(subscriber: &Subscriber) -> usize {
    let mut count = 0;
    subscriber.take_messages(|| false, |_| count += 1);
    count
}

#[test]
fn a_message_is_given_once_for_its_channel_and_once_for_each_pattern_that_matches() {
    let channels = Channels::default();
    let (one, two) = (Arc::new(Subscriber::new(1, 0)), Arc::new(Subscriber::new(2, 1)));
    for subscriber in [&one, &two] {
        channels.subscribe(subscriber, Kind::Channel, b"news");
        channels.subscribe(subscriber, Kind::Channel, b"news");
    }
    channels.subscribe(&one, Kind::Pattern, b"n*");
    channels.subscribe(&one, Kind::Pattern, b"*s");
    channels.subscribe(&one, Kind::Pattern, b"x*");
    channels.subscribe(&two, Kind::ShardChannel, b"news");
    let mut woken = Vec::new();
    let publish = |kind, channel: &[u8], wake: &mut dyn FnMut(&Subscriber)| {
        let would_be_given = channels.receivers_of(kind, channel);
        let given = channels.publish(kind, channel, b"m", usize::MAX, || (), wake);
        assert_eq!(given, would_be_given);
        given
    };
    let given = publish(Kind::Channel, b"news", &mut |to| woken.push((to.client, to.worker)));
    assert_eq!((given, woken), (4, vec![(1, 0), (2, 1)]), "each is woken once");
    assert_eq!((messages(&one), messages(&two)), (3, 1));
    assert_eq!(publish(Kind::ShardChannel, b"news", &mut |_| ()), 1);
    assert_eq!(publish(Kind::Channel, b"old", &mut |_| ()), 0);
    assert_eq!((channels.subscribers(), channels.subscribers_of(Kind::Channel, b"news")), (2, 2));
    channels.leave(&one, false);
    channels.leave(&two, true);
    assert_empty(&channels);
    channels.subscribe(&two, Kind::Channel, b"news");
    assert_empty(&channels);
    assert!(two.is_idle() && two.memory_bytes() > 0);
}

#[test]
fn an_inbox_that_would_hold_too_much_holds_nothing_and_says_so() {
    let channels = Channels::default();
    let slow = Arc::new(Subscriber::new(1, 0));
    channels.subscribe(&slow, Kind::Channel, b"c");
    let mut woken = 0;
    for _ in 0..100 {
        channels.publish(Kind::Channel, b"c", &[b'x'; 100], 1000, || (), &mut |_| woken += 1);
        assert!(slow.inbox_bytes() <= 1000);
    }
    assert!(!slow.take_messages(|| false, |_| panic!("it holds nothing")));
    assert_eq!(woken, 1);
}

#[test]
fn whoever_leaves_on_one_thread_while_it_subscribes_on_another_leaves_nothing() {
    for _ in 0..200 {
        let channels = Channels::default();
        let subscriber = Arc::new(Subscriber::new(1, 0));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for name in [b"a", b"b", b"c", b"d"] {
                    channels.subscribe(&subscriber, Kind::Channel, name);
                    channels.subscribe(&subscriber, Kind::Pattern, name);
                }
            });
            scope.spawn(|| channels.leave(&subscriber, true));
        });
        assert_empty(&channels);
    }
}
