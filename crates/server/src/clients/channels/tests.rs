//! A registry by itself: who is given what, and that nothing stays of those who have left.

use swytch_resp::{Output, Protocol, Reply};

use super::*;
use crate::dispatch::subscriptions;

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

/// Whoever comes in between, or has been given some, is given what came since, and nothing twice.
#[test]
fn what_many_are_given_one_after_the_other_is_given_at_once() {
    const COUNT: u64 = 2 * RUN_RECEIVERS_MIN as u64;
    let channels = Channels::default();
    let subscribers: Vec<_> = (0..=COUNT).map(|client| Arc::new(Subscriber::new(client, 0))).collect();
    let publish = |channel: &[u8], number: usize| {
        let text = format!("{number:04}");
        channels.publish(Kind::Channel, channel, text.as_bytes(), usize::MAX, || (), &mut |_| ());
    };
    let given = |subscriber: &Subscriber, protocol| {
        let (mut out, mut pieces) = (Output::default(), 0);
        subscriber.take_messages(
            || false,
            |message| {
                pieces += 1;
                subscriptions::write(&mut Reply::new(&mut out, protocol), message, true);
            },
        );
        (pieces, String::from_utf8(out.to_vec()).expect("text"))
    };
    let expected = |sign, channel: &str, numbers: std::ops::Range<usize>| -> String {
        let one = |number| format!("{sign}3\r\n$7\r\nmessage\r\n$1\r\n{channel}\r\n$4\r\n{number:04}\r\n");
        numbers.map(one).collect()
    };
    let (late, first) = subscribers.split_last().expect("there are some");
    for subscriber in first {
        channels.subscribe(subscriber, Kind::Channel, b"c");
        channels.subscribe(subscriber, Kind::Channel, b"d");
    }
    (0..10).for_each(|number| publish(b"c", number));
    assert_eq!(given(&first[0], Protocol::Resp2), (1, expected('*', "c", 0..10)));
    channels.subscribe(late, Kind::Channel, b"c");
    // More than a run takes.
    (10..1000).for_each(|number| publish(b"c", number));
    publish(b"d", 0);
    publish(b"c", 1000);
    for (subscriber, from) in [(&first[0], 10), (&first[1], 0), (late, 10)] {
        let (pieces, text) = given(subscriber, Protocol::Resp3);
        let of_d = if Arc::ptr_eq(subscriber, late) { String::new() } else { expected('>', "d", 0..1) };
        assert_eq!(text, expected('>', "c", from..1000) + &of_d + &expected('>', "c", 1000..1001));
        assert!(pieces < 10, "{pieces}");
        assert_eq!(subscriber.inbox_bytes(), 0);
    }
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
