//! Order and conditions between threads.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use swytch_testkit::Reply;

use super::{Attack, Limit, serve};

pub(super) const ATTACKS: &[Attack] = &[
    Attack {
        name: "monitor-order",
        what: "four clients push 1,000 marked elements each to one list; MONITOR and LRANGE are compared",
        unit: "places where the order differs",
        limit: Limit::None,
        has_peer: true,
        is_for_ci: true,
        act: |program| {
            const EACH: usize = 1000;
            let server = serve(program, 4, &[])?;
            let mut monitor = server.connect();
            monitor.ask(&["MONITOR"])?;
            std::thread::scope(|scope| {
                for client in 0..4 {
                    let mut connection = server.connect();
                    scope.spawn(move || {
                        for number in 0..EACH {
                            connection.send(&["RPUSH", "l", &format!("{client}:{number}")]);
                        }
                        (0..EACH).for_each(|_| _ = connection.receive());
                    });
                }
            });
            let mut shown = Vec::new();
            while shown.len() < 4 * EACH {
                let line = monitor.receive()?.text();
                let word = line.rsplit(' ').next().unwrap_or_default().trim_matches('"').to_owned();
                if line.contains("\"RPUSH\"") {
                    shown.push(word);
                }
            }
            let list = server.connect().say("LRANGE l 0 -1");
            Ok(
                list.elements()
                    .iter()
                    .zip(&shown)
                    .filter(|(element, shown)| element.text() != **shown)
                    .count() as f64,
            )
        },
    },
    Attack {
        name: "pause-leak",
        what: "CLIENT PAUSE WRITE, 200 times, beside four clients that pipeline INCR",
        unit: "times that a write came after its OK",
        limit: Limit::None,
        has_peer: true,
        is_for_ci: true,
        act: |program| {
            let mut server = serve(program, 4, &[])?;
            let stop = AtomicBool::new(false);
            std::thread::scope(|scope| {
                for key in 0..4 {
                    let (mut connection, stop) = (server.connect(), &stop);
                    let requests = format!("INCR n:{key}\r\n").repeat(50);
                    scope.spawn(move || {
                        while !stop.load(Ordering::Relaxed)
                            && connection.send_raw(requests.as_bytes()).is_ok()
                        {
                            if (0..50).any(|_| connection.receive().is_err()) {
                                return;
                            }
                        }
                    });
                }
                let leaks = leaks(&mut server.client);
                stop.store(true, Ordering::Relaxed);
                let _ = server.client.ask(&["CLIENT", "UNPAUSE"]);
                leaks
            })
        },
    },
    Attack {
        name: "killed-writer",
        what: "CLIENT KILL, 100 times, of a client that pipelines INCR",
        unit: "times that it wrote after the kill was answered",
        limit: Limit::None,
        has_peer: true,
        is_for_ci: true,
        act: |program| {
            let mut server = serve(program, 4, &[])?;
            let mut late = 0;
            for _ in 0..100 {
                let mut writer = server.connect();
                let id = writer.say("CLIENT ID").text();
                writer.socket().set_write_timeout(Some(Duration::from_millis(100)))?;
                let _ = writer.send_raw(&b"INCR n\r\n".repeat(3000));
                server.client.ask(&["CLIENT", "KILL", "ID", &id])?;
                let first = server.say("GET n");
                std::thread::sleep(Duration::from_millis(2));
                late += u32::from(server.say("GET n") != first);
            }
            Ok(f64::from(late))
        },
    },
];

fn leaks(client: &mut swytch_testkit::Client) -> io::Result<f64> {
    let counts = |client: &mut swytch_testkit::Client| -> io::Result<BTreeMap<usize, Reply>> {
        (0..4).map(|key| Ok((key, client.ask(&["GET", &format!("n:{key}")])?))).collect()
    };
    let mut leaks = 0;
    for _ in 0..200 {
        client.ask(&["CLIENT", "PAUSE", "10000", "WRITE"])?;
        let first = counts(client)?;
        std::thread::sleep(Duration::from_millis(3));
        leaks += u32::from(counts(client)? != first);
        client.ask(&["CLIENT", "UNPAUSE"])?;
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(f64::from(leaks))
}
