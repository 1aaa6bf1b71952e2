//! Pub/sub as transcripts of several connections, the same from swytch and from a real Redis; and what a slow or departed
//! subscriber leaves.

#[path = "support/shapes.rs"]
mod shapes;

use shapes::ours;
use swytch_testkit::transcript::play;
use swytch_testkit::{Client, Program, Reply, Server};

const FILE: &str = "threads 4\nsave \"\"\n";
/// The same for a server that knows no threads.
const REDIS_FILE: &str = "save \"\"\n";

/// Plays transcripts to swytch and to Redis.
fn check(transcripts: &[&str]) {
    let servers = [Some(ours().start("pubsub", FILE)), Server::redis("pubsub-redis", REDIS_FILE)];
    for server in servers.iter().flatten() {
        transcripts.iter().for_each(|transcript| play(server, transcript));
    }
}

/// Redis 7.0 pushes to oneself in front of the reply, and counts no clients that are subscribed.
fn newer_redis() -> Option<Server> {
    Program::redis_since("8.0").map(|redis| redis.start("pubsub-redis", REDIS_FILE))
}

#[test]
fn whoever_is_subscribed_receives_and_is_counted() {
    check(&[
        "p: PUBLISH c hello = :0
         a: SUBSCRIBE c = [subscribe, c, :1]\nb: SUBSCRIBE c = [subscribe, c, :1]\np: PUBLISH c hello = :2
         a< [message, c, hello]\nb< [message, c, hello]
         a: UNSUBSCRIBE c = [unsubscribe, c, :0]\np: PUBLISH c again = :1\nb< [message, c, again]\na silent",
        // Several names, one told after the other; a name twice counts once.
        "a> SUBSCRIBE c d c\na< [subscribe, c, :1]\na< [subscribe, d, :2]\na< [subscribe, c, :2]
         p: PUBLISH c x = :1\na< [message, c, x]
         a> UNSUBSCRIBE d nosuch c c\na< [unsubscribe, d, :1]\na< [unsubscribe, nosuch, :1]\na< [unsubscribe, c, :0]
         a< [unsubscribe, c, :0]\np: PUBLISH c x = :0",
        // Of nothing at all.
        "a: UNSUBSCRIBE = [unsubscribe, null, :0]\na: PUNSUBSCRIBE = [punsubscribe, null, :0]
         a: SUNSUBSCRIBE = [sunsubscribe, null, :0]\na: UNSUBSCRIBE x = [unsubscribe, x, :0]\na: PING = PONG",
        // Patterns, and both.
        "a> PSUBSCRIBE n* *s x*\na< [psubscribe, n*, :1]\na< [psubscribe, *s, :2]\na< [psubscribe, x*, :3]
         b: PSUBSCRIBE n?w[a-z] = [psubscribe, n?w[a-z], :1]\nb: SUBSCRIBE news = [subscribe, news, :2]
         p: PUBLISH news 1 = :4\nb< [message, news, 1]\nb< [pmessage, n?w[a-z], news, 1]\nb silent",
        "a: PSUBSCRIBE n* = [psubscribe, n*, :1]\na: SUBSCRIBE news = [subscribe, news, :2]
         p: PUBLISH news 1 = :2\na< [message, news, 1]\na< [pmessage, n*, news, 1]
         p: PUBLISH next 2 = :1\na< [pmessage, n*, next, 2]\np: PUBLISH other 3 = :0
         a: UNSUBSCRIBE = [unsubscribe, news, :1]\na: PUNSUBSCRIBE = [punsubscribe, n*, :0]\na: ECHO x = x",
        // Shard channels are a world of their own, with a count of their own.
        "a: SUBSCRIBE c = [subscribe, c, :1]\na: SSUBSCRIBE c = [ssubscribe, c, :1]\na: PSUBSCRIBE * = [psubscribe, *, :2]
         p: SPUBLISH c x = :1\na< [smessage, c, x]\na silent\np: PUBLISH c y = :2\na< [message, c, y]\na< [pmessage, *, c, y]
         a> SSUBSCRIBE d e\na< [ssubscribe, d, :2]\na< [ssubscribe, e, :3]
         a: SUNSUBSCRIBE e = [sunsubscribe, e, :2]\na: UNSUBSCRIBE = [unsubscribe, c, :1]
         a: SUNSUBSCRIBE c d = [sunsubscribe, c, :1]\na< [sunsubscribe, d, :0]\na: SUNSUBSCRIBE = [sunsubscribe, null, :0]",
        // Messages and names are bytes.
        "a: SUBSCRIBE ü = [subscribe, ü, :1]\np: PUBLISH ü  = :1\na< [message, ü, ]",
    ]);
}

#[test]
fn under_resp2_a_subscribed_client_may_only_listen() {
    let refused = |name: &str| {
        format!(
            "-ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in \
             this context"
        )
    };
    let (get, client_id, hello) = (refused("get"), refused("client|id"), refused("hello"));
    let exec = refused("exec").replace("-ERR", "-EXECABORT Transaction discarded because of:");
    check(&[
        &format!(
            "a: SUBSCRIBE c = [subscribe, c, :1]\na: GET k = {get}\na: CLIENT ID = {client_id}\na: HELLO 3 = {hello}
             a: PING = [pong, ]\na: PING hi = [pong, hi]\na: PING a b = -ERR wrong number of arguments for 'ping' command
             a: GET = -ERR wrong number of arguments for 'get' command
             a: SUBSCRIBE = -ERR wrong number of arguments for 'subscribe' command
             p: PUBLISH c x = :1\na< [message, c, x]
             a: UNSUBSCRIBE = [unsubscribe, c, :0]\na: GET k = null\na: PING = PONG"
        ),
        &format!("a: PSUBSCRIBE c = [psubscribe, c, :1]\na: GET k = {get}\na: PUNSUBSCRIBE c = [punsubscribe, c, :0]\na: GET k = null"),
        &format!("a: SSUBSCRIBE c = [ssubscribe, c, :1]\na: GET k = {get}\na: SUNSUBSCRIBE c = [sunsubscribe, c, :0]\na: GET k = null"),
        // All at once, so that the client is not plain from the first command on.
        &format!("a>> SUBSCRIBE c; GET k; PING; UNSUBSCRIBE; GET k\na< [subscribe, c, :1]\na< {get}\na< [pong, ]\na< [unsubscribe, c, :0]\na< null"),
        // A transaction that subscribes runs to its end.
        &format!(
            "a: MULTI = OK\na: SUBSCRIBE c = QUEUED\na: GET k = QUEUED\na: EXEC = [[subscribe, c, :1], null]\na: EXEC = {exec}
             a: RESET = RESET\na: PING = PONG\np: PUBLISH c x = :0"
        ),
        "a: SUBSCRIBE c = [subscribe, c, :1]\na: QUIT = OK\np: PUBLISH c x = :0",
        "a: SUBSCRIBE c = [subscribe, c, :1]\na: PSUBSCRIBE p* = [psubscribe, p*, :2]\na: SSUBSCRIBE s = [ssubscribe, s, :1]
         a: RESET = RESET\np: PUBLISH c x = :0\np: SPUBLISH s x = :0\np: PUBLISH pp x = :0\np: PUBSUB NUMPAT = :0\na silent\na: GET k = null",
    ]);
}

#[test]
fn under_resp3_messages_are_pushed_between_replies() {
    // What HELLO says of the server differs, so it is read and forgotten.
    let transcripts = [
        "a: SUBSCRIBE c = >[subscribe, c, :1]\na: GET k = null\na: PING = PONG\np: PUBLISH c x = :1\na< >[message, c, x]
         a: SET k v = OK\na: UNSUBSCRIBE nosuch = >[unsubscribe, nosuch, :1]\na: UNSUBSCRIBE = >[unsubscribe, c, :0]
         a: UNSUBSCRIBE = >[unsubscribe, null, :0]",
        "a: PSUBSCRIBE c* = >[psubscribe, c*, :1]\na: SSUBSCRIBE s = >[ssubscribe, s, :1]\np: PUBLISH c1 x = :1
         p: SPUBLISH s y = :1\na< >[pmessage, c*, c1, x]\na< >[smessage, s, y]",
        // A message to oneself comes behind the reply, and before the next one.
        "a: SUBSCRIBE c = >[subscribe, c, :1]\na>> PUBLISH c x; ECHO after\na< :1\na< >[message, c, x]\na< after",
        "a: SUBSCRIBE c = >[subscribe, c, :1]\na: MULTI = OK\na: PUBLISH c x = QUEUED\na: PING = QUEUED\na: PUBLISH c y = QUEUED
         a>> EXEC; ECHO after\na< [:1, PONG, :1]\na< >[message, c, x]\na< >[message, c, y]\na< after",
        // A blocked client hears too.
        "a: SUBSCRIBE c = >[subscribe, c, :1]\na> BLPOP k 0\nblocked 1\np: PUBLISH c x = :1\na< >[message, c, x]
         p: RPUSH k v = :1\na< [k, v]",
        // What the client was not to be answered, it is told all the same.
        "a> CLIENT REPLY OFF\na> SUBSCRIBE c d\na< >[subscribe, c, :1]\na< >[subscribe, d, :2]\na> PING\np: PUBLISH c x = :1
         a< >[message, c, x]\na> UNSUBSCRIBE c\na< >[unsubscribe, c, :1]\na: CLIENT REPLY ON = OK",
        "a: SUBSCRIBE c = >[subscribe, c, :1]\na> CLIENT REPLY SKIP\na> PUBLISH c x\na< >[message, c, x]\na: PING = PONG",
        "a> CLIENT REPLY SKIP\na> SUBSCRIBE c\na< >[subscribe, c, :1]\na: PING = PONG",
        // Back to the older protocol, with its limits.
        "a: SUBSCRIBE c = >[subscribe, c, :1]\na> HELLO 2\na< *\np: PUBLISH c x = :1\na< [message, c, x]\na: PING = [pong, ]",
    ];
    let servers = [Some(ours().start("pubsub", FILE)), newer_redis()];
    for server in servers.iter().flatten() {
        for transcript in transcripts {
            play(server, &format!("a> HELLO 3\na< *\n{transcript}"));
        }
    }
}

#[test]
fn a_transaction_publishes_when_it_runs_and_subscribes_in_its_place() {
    let transcripts = [
        "a: SUBSCRIBE c = [subscribe, c, :1]\np: MULTI = OK\np: PUBLISH c x = QUEUED\na silent\np: PUBLISH c y = QUEUED
         p: EXEC = [:1, :1]\na< [message, c, x]\na< [message, c, y]",
        "a: MULTI = OK\na: SUBSCRIBE c d = QUEUED\na: PING = QUEUED\na> EXEC\na< [[subscribe, c, :1], [subscribe, d, :2]]\na< [pong, ]",
        "a: MULTI = OK\na: SSUBSCRIBE c = QUEUED\na: PING = QUEUED
         a: EXEC = [-ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client, PONG]",
        "a: MULTI = OK\na: PUBLISH c x = QUEUED\na: DISCARD = OK",
        // Whoever subscribes behind a message does not receive it.
        "b: SUBSCRIBE c = [subscribe, c, :1]\na: MULTI = OK\na: PUBLISH c x = QUEUED\na: SUBSCRIBE c = QUEUED
         a: EXEC = [:1, [subscribe, c, :1]]\nb< [message, c, x]\na silent",
    ];
    check(&transcripts);
    // The same where what a transaction tells waits until it has its place in the log.
    let logs = ours().start("pubsub-log", &format!("{FILE}appendonly yes\n"));
    transcripts.iter().for_each(|transcript| play(&logs, transcript));
}

#[test]
fn what_is_told_of_subscriptions() {
    let wrong = "-ERR unknown subcommand or wrong number of arguments for";
    check(&[
        &format!(
            "p: PUBSUB CHANNELS = []\na: SUBSCRIBE news = [subscribe, news, :1]\nb: SUBSCRIBE news = [subscribe, news, :1]
             a: PSUBSCRIBE n* = [psubscribe, n*, :2]\nb: PSUBSCRIBE n* = [psubscribe, n*, :2]\na: SSUBSCRIBE s = [ssubscribe, s, :1]
             p: PUBSUB CHANNELS = [news]\np: PUBSUB CHANNELS n* = [news]\np: PUBSUB CHANNELS x* = []\np: PUBSUB NUMPAT = :1
             p: PUBSUB NUMSUB = []\np: PUBSUB NUMSUB news none news = [news, :2, none, :0, news, :2]
             p: PUBSUB SHARDCHANNELS = [s]\np: PUBSUB SHARDCHANNELS x = []\np: PUBSUB SHARDNUMSUB s news = [s, :1, news, :0]
             p: PUBSUB CHANNELS a b = {wrong} 'CHANNELS'. Try PUBSUB HELP.
             p: PUBSUB SHARDCHANNELS a b = {wrong} 'SHARDCHANNELS'. Try PUBSUB HELP.
             p: PUBSUB NUMPAT x = -ERR wrong number of arguments for 'pubsub|numpat' command
             p: PUBSUB = -ERR wrong number of arguments for 'pubsub' command
             p: PUBSUB NOSUCH = -ERR unknown subcommand 'NOSUCH'. Try PUBSUB HELP.
             p: CLIENT KILL TYPE pubsub = :2\np: PUBSUB CHANNELS = []\np: PUBSUB NUMPAT = :0\np: PUBLISH news x = :0"
        ),
        "p: COMMAND GETKEYS SSUBSCRIBE c = -ERR The command has no key arguments
         p: COMMAND GETKEYS PUBLISH c m = -ERR The command has no key arguments",
    ]);
    let servers = [Some(ours().start("pubsub", FILE)), newer_redis()];
    for server in servers.iter().flatten() {
        let (mut listens, mut asks) = (server.connect(), server.connect());
        listens.say("HELLO 3");
        for line in ["SUBSCRIBE a", "PSUBSCRIBE b*", "PSUBSCRIBE c*", "SSUBSCRIBE d"] {
            listens.say(line);
        }
        assert!(listens.say("CLIENT INFO").text().contains(" flags=P db=0 sub=1 psub=2 ssub=1 multi=-1 "));
        assert_eq!(
            asks.say("CLIENT LIST TYPE normal").text().lines().filter(|line| line.contains("sub=1")).count(),
            0
        );
        assert!(asks.say("CLIENT LIST TYPE pubsub").text().contains(" sub=1 psub=2 ssub=1 "));
        for (field, count) in [
            ("pubsub_clients", 1),
            ("pubsub_channels", 1),
            ("pubsub_patterns", 2),
            ("pubsubshard_channels", 1),
        ] {
            assert_eq!(asks.info_number(field), count, "{field}");
        }
        drop(listens);
        for field in ["pubsub_clients", "pubsub_channels", "pubsub_patterns", "pubsubshard_channels"] {
            asks.until(field, |asks| asks.info_number(field), |count| *count == 0);
        }
    }
}

#[test]
fn messages_of_one_publisher_arrive_in_their_order_and_before_what_follows_from_them() {
    const MESSAGES: usize = 3000;
    let server = ours().start("pubsub", FILE);
    let mut subscribers: Vec<Client> = (0..8).map(|_| server.connect()).collect();
    for subscriber in &mut subscribers {
        subscriber.say("SUBSCRIBE c");
        subscriber.say("PSUBSCRIBE c*");
    }
    let mut publisher = server.connect();
    let commands: Vec<Vec<String>> =
        (0..MESSAGES).map(|number| vec!["PUBLISH".into(), "c".into(), number.to_string()]).collect();
    publisher.send_all(&commands);
    (0..MESSAGES).for_each(|_| assert_eq!(publisher.reply(), Reply::Integer(16)));
    for subscriber in &mut subscribers {
        for number in 0..MESSAGES {
            assert_eq!(subscriber.reply().to_string(), format!("[message, c, {number}]"));
            assert_eq!(subscriber.reply().to_string(), format!("[pmessage, c*, c, {number}]"));
        }
    }
    // Whoever has seen the publisher's reply and asks then, has the message before the answer.
    for round in 0..300 {
        publisher.call(&["PUBLISH", "c", "last"]);
        let asks = &mut subscribers[round % 8];
        asks.send(&["PING"]);
        assert_eq!(asks.reply().to_string(), "[message, c, last]");
        assert_eq!(asks.reply().to_string(), "[pmessage, c*, c, last]");
        assert_eq!(asks.reply().to_string(), "[pong, ]");
        for (number, other) in subscribers.iter_mut().enumerate().filter(|(number, _)| *number != round % 8) {
            assert_eq!(other.reply().to_string(), "[message, c, last]", "subscriber {number}");
            other.reply();
        }
    }
}

#[test]
fn who_is_told_that_a_subscription_has_ended_has_heard_all_that_was_counted() {
    let server = ours().start("pubsub", FILE);
    let mut publisher = server.connect();
    let mut listens = server.connect();
    for round in 0..300 {
        listens.say("SUBSCRIBE c");
        let words = |number: usize| vec!["PUBLISH".to_owned(), "c".to_owned(), number.to_string()];
        publisher.send_all(&(0..20).map(words).collect::<Vec<_>>());
        listens.send(&["UNSUBSCRIBE", "c"]);
        let counted = (0..20).filter(|_| publisher.reply() == Reply::Integer(1)).count();
        for number in 0..counted {
            assert_eq!(listens.reply().to_string(), format!("[message, c, {number}]"), "round {round}");
        }
        assert_eq!(listens.reply().to_string(), "[unsubscribe, c, :0]", "round {round}");
    }
}

#[test]
fn a_subscriber_that_does_not_read_is_cut_off_at_its_limit() {
    // A socket takes some megabytes before anything waits in the server.
    let message = "m".repeat(100_000);
    for limit in ["pubsub 1mb 0 0", "pubsub 0 100kb 1"] {
        let server = ours().start("pubsub", &format!("{FILE}client-output-buffer-limit {limit}\n"));
        let (mut slow, mut publisher) = (server.connect(), server.connect());
        slow.say("SUBSCRIBE c");
        let mut most = 0;
        let publish = |publisher: &mut Client| {
            let received = publisher.call(&["PUBLISH", "c", &message]).number();
            most = most.max(publisher.info_number("mem_clients_normal"));
            received
        };
        publisher.until(limit, publish, |received| *received == Some(0));
        assert!(most > 100_000, "{limit}: at most {most} bytes were counted");
        assert_eq!(publisher.info_number("client_output_buffer_limit_disconnections"), 1, "{limit}");
        publisher.until(limit, |asks| asks.info_number("pubsub_clients"), |count| *count == 0);
        assert_eq!(publisher.say("PUBSUB CHANNELS").to_string(), "[]");
    }
}

#[test]
fn what_a_connection_held_goes_with_it_whatever_way_it_goes() {
    let server = ours().start("pubsub", FILE);
    let mut admin = server.connect();
    let ends: [fn(Client, &mut Client); 5] = [
        |client, _| drop(client),
        |client, _| client.reset(),
        |mut client, _| _ = client.say("QUIT"),
        |mut client, admin| {
            let id = client.say("CLIENT ID").text();
            assert_eq!(admin.call(&["CLIENT", "KILL", "ID", &id]), Reply::Integer(1));
            // From now on nobody counts it.
            assert_eq!(admin.say("PUBLISH c x"), Reply::Integer(0));
        },
        |mut client, _| {
            client.send_raw(b"*1\r\n$x\r\n").expect("it is read");
            assert!(client.is_closed() || client.is_closed());
        },
    ];
    for (number, end) in ends.into_iter().enumerate() {
        let mut client = server.connect();
        client.say("HELLO 3");
        for line in ["SUBSCRIBE c", "PSUBSCRIBE c*", "SSUBSCRIBE c"] {
            client.say(line);
        }
        end(client, &mut admin);
        for field in ["pubsub_clients", "pubsub_channels", "pubsub_patterns", "pubsubshard_channels"] {
            admin.until(
                &format!("end {number}: {field}"),
                |admin| admin.info_number(field),
                |count| *count == 0,
            );
        }
    }
}
