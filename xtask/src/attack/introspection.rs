//! What the server says about itself.

use swytch_testkit::Reply;

use super::{Attack, Limit, fault, serve};

pub(super) const ATTACKS: &[Attack] = &[
    Attack {
        name: "keyspace-figures",
        what: "keys that expire and lists are there",
        unit: "figures among avg_ttl and keysizes that are missing",
        limit: Limit::None,
        has_peer: false,
        is_for_ci: true,
        act: |program| {
            let mut server = serve(program, 1, &[])?;
            server.client.ask(&["SET", "k", "v", "EX", "1000"])?;
            server.client.ask(&["RPUSH", "l", "a", "b"])?;
            let known = |info: &str| info.contains("avg_ttl=") && !info.contains("avg_ttl=0");
            // It is an average of samples, so it may take a moment.
            let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
            while !known(&server.client.info("keyspace")) && std::time::Instant::now() < deadline {
                std::thread::sleep(std::time::Duration::from_millis(100));
            }
            let has_sizes = server.client.info("keysizes").contains("distrib_");
            Ok(fault(!known(&server.client.info("keyspace"))) + fault(!has_sizes))
        },
    },
    Attack {
        name: "encodings",
        what: "OBJECT ENCODING of a small list, and of a sum of floats",
        unit: "answers that are not those of Redis 8",
        limit: Limit::None,
        has_peer: false,
        is_for_ci: true,
        act: |program| {
            let mut server = serve(program, 1, &[])?;
            server.client.ask(&["RPUSH", "l", "a", "b"])?;
            server.client.ask(&["INCRBYFLOAT", "f", "3"])?;
            let list = server.say("OBJECT ENCODING l") == Reply::bulk("listpack");
            let float = server.say("OBJECT ENCODING f") == Reply::bulk("embstr");
            Ok(fault(!list) + fault(!float))
        },
    },
    Attack {
        name: "writing-monitor",
        what: "a client that sees MONITOR's lines writes",
        unit: "whether it may",
        limit: Limit::None,
        has_peer: true,
        is_for_ci: true,
        act: |program| {
            let mut server = serve(program, 1, &[])?;
            let mut monitor = server.connect();
            monitor.ask(&["MONITOR"])?;
            monitor.send(&["SET", "k", "v"]);
            let _ = monitor.receive();
            Ok(fault(server.say("EXISTS k") != Reply::Integer(0)))
        },
    },
];
