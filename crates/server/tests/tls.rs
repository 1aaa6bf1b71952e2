//! TLS: who is let in, with what, and that nothing else about the server is different.

#[path = "support/tls.rs"]
mod tls;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Duration;

use pkcs8::PrivateKeyInfo;
use pkcs8::pkcs5::pbes2::Parameters;
use rustls::HandshakeKind;
use rustls::version::{TLS12, TLS13};
use swytch_testkit::random::{self, Random};
use swytch_testkit::{PATIENCE, Reply, Server, free_port, ours, own_address, scratch};
use tls::Authority;

/// A server with TLS beside its port, whose certificate is of an authority that also signs those of clients.
struct Secure {
    server: Server,
    authority: Authority,
    port: u16,
}

fn folder() -> PathBuf {
    let folder = scratch("tls-files");
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// Starts it, with these lines of configuration besides.
fn start(lines: &str) -> Secure {
    let authority = Authority::new(&folder(), "authority");
    authority.sign("server");
    authority.sign("alice");
    let port = free_port();
    let file = format!(
        "threads 2\nsave \"\"\ntls-port {port}\ntls-cert-file {}\ntls-key-file {}\ntls-ca-cert-file {}\n{lines}\n",
        authority.path("server.crt"),
        authority.path("server.key"),
        authority.path("authority.crt"),
    );
    Secure { server: ours!().start("tls", &file), authority, port }
}

impl Secure {
    fn set(&mut self, name: &str, value: &str) -> String {
        self.server.call(&[b"CONFIG", b"SET", name.as_bytes(), value.as_bytes()]).to_string()
    }

    /// Waits until the log has a line with these words.
    fn await_log(&self, words: &str) {
        let began = std::time::Instant::now();
        while !self.server.log_tail(200).contains(words) {
            assert!(began.elapsed() < PATIENCE, "{words}: {}", self.server.log_tail(20));
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Secure {
    fn drop(&mut self) {
        // What is left is only litter.
        let _ = std::fs::remove_dir_all(&self.authority.folder);
    }
}

#[test]
fn commands_and_replies_of_every_length_travel_in_both_versions() {
    let mut secure = start("tls-auth-clients no");
    for versions in [[&TLS12], [&TLS13]] {
        let mut client = secure.authority.client_of(None, &versions).call(secure.port);
        assert_eq!(client.say("PING"), "PONG");
        let mut random = Random::new(random::seed());
        for length in [0, 1, 100, 16_383, 16_384, 16_385, 70_000, 1 << 20, 9 << 20] {
            let value: Vec<u8> = (0..length).map(|_| random.below(256_u32) as u8).collect();
            client.send_raw(&swytch_testkit::client::encode(&[&b"SET"[..], b"k", &value])).expect("sent");
            assert_eq!(client.receive().expect("a reply"), Reply::ok());
            assert_eq!(client.ask("GET k").expect("a reply"), Reply::Bulk(value.clone()), "{length}");
            assert_eq!(secure.server.call(&[b"GET", b"k"]), Reply::Bulk(value), "{length}");
        }
        // Many at once, in pieces of any length.
        let pipeline: Vec<u8> = (0..5000)
            .flat_map(|at| swytch_testkit::client::encode(&["SET", "n", &format!("{at}")]))
            .collect();
        let mut rest = &pipeline[..];
        while !rest.is_empty() {
            let count = random.below(rest.len().min(30_000)) + 1;
            client.send_raw(&rest[..count]).expect("sent");
            rest = &rest[count..];
        }
        for _ in 0..5000 {
            assert_eq!(client.receive().expect("a reply"), Reply::ok());
        }
        assert_eq!(client.say("QUIT"), "OK");
        assert!(client.is_closed());
    }
    let info = secure.server.call(&[b"INFO", b"server"]).text();
    assert!(info.contains("name=tcp,") && info.contains("name=tls,"), "{info}");
}

#[test]
fn a_peer_that_reads_slowly_gets_everything_and_one_that_does_not_read_is_closed() {
    let mut secure = start("tls-auth-clients no\nclient-output-buffer-limit normal 50mb 0 0");
    secure.server.call(&[b"SET", b"big", &vec![b'x'; 1 << 20]]);
    let caller = secure.authority.client(None);
    let mut client = caller.call(secure.port);
    client.send_raw(&swytch_testkit::client::encode(&["GET", "big"]).repeat(30)).expect("sent");
    for _ in 0..30 {
        assert_eq!(client.receive().expect("a reply").text().len(), 1 << 20);
    }
    let mut deaf = caller.call(secure.port);
    assert_eq!(deaf.say("CLIENT SETNAME deaf"), "OK");
    // Its requests wait until it takes the replies; what is more than may wait runs and fills its output.
    let _ = deaf.socket().set_write_timeout(Some(Duration::from_millis(100)));
    let began = std::time::Instant::now();
    loop {
        match deaf.send_raw(&swytch_testkit::client::encode(&["GET", "big"]).repeat(1000)) {
            Err(error) if !swytch_testkit::client::is_timeout(&error) => break,
            _ => assert!(began.elapsed() < PATIENCE, "it was never closed"),
        }
    }
    let mut judge = secure.server.connect();
    judge.until("it is closed", |judge| judge.say("CLIENT LIST").text(), |list| !list.contains("name=deaf"));
}

#[test]
fn who_must_show_a_certificate_is_let_in_with_one_of_the_authority() {
    let mut secure = start("");
    let other = Authority::new(&folder(), "other");
    other.sign("mallory");
    let port = secure.port;
    let stranger = || {
        // It trusts the server's authority and shows what another one has signed.
        for file in ["mallory.crt", "mallory.key"] {
            std::fs::copy(other.path(file), secure.authority.path(file)).expect("a file");
        }
        secure.authority.client(Some("mallory"))
    };
    for versions in [[&TLS12], [&TLS13]] {
        assert_eq!(secure.authority.client_of(Some("alice"), &versions).call(port).say("PING"), "PONG");
        assert!(secure.authority.client_of(None, &versions).call(port).ask("PING").is_err());
    }
    assert!(stranger().call(port).ask("PING").is_err());
    assert_eq!(secure.set("tls-auth-clients", "optional"), "OK");
    assert_eq!(secure.authority.client(None).call(port).say("PING"), "PONG");
    let stranger = secure.authority.client(Some("mallory"));
    assert!(stranger.call(port).ask("PING").is_err());
    assert_eq!(secure.set("tls-auth-clients", "no"), "OK");
    assert_eq!(stranger.call(port).say("PING"), "PONG");
    assert_eq!(secure.set("tls-auth-clients", "yes"), "OK");
    assert!(secure.authority.client(None).call(port).ask("PING").is_err());
    assert!(secure.set("tls-ca-cert-file", "").contains("Unable to update TLS configuration"));
    let folder = secure.authority.folder.to_str().expect("text").to_owned();
    assert_eq!(secure.set("tls-ca-cert-dir", &folder), "OK");
    assert_eq!(secure.set("tls-ca-cert-file", ""), "OK");
    assert_eq!(secure.authority.client(Some("alice")).call(port).say("PING"), "PONG");
    std::fs::remove_dir_all(&other.folder).expect("there");
}

#[test]
fn a_certificate_logs_in_the_user_whom_it_names() {
    let mut secure = start("tls-auth-clients-user CN\ntls-auth-clients optional");
    let port = secure.port;
    secure.server.say("ACL SETUSER alice on >secret +@all ~*");
    assert_eq!(secure.authority.client(Some("alice")).call(port).say("ACL WHOAMI"), "alice");
    assert_eq!(secure.authority.client(None).call(port).say("ACL WHOAMI"), "default");
    for gone in ["ACL SETUSER alice off", "ACL DELUSER alice"] {
        secure.server.say("ACL LOG RESET");
        let before = secure.server.call(&[b"INFO", b"stats"]).text();
        secure.server.say(gone);
        let mut client = secure.authority.client(Some("alice")).call(port);
        assert_eq!(client.say("ACL WHOAMI"), "default");
        let log = secure.server.say("ACL LOG").to_string();
        assert!(log.contains("reason, tls-cert") && log.contains("username, alice"), "{log}");
        let count = |text: &str| {
            swytch_testkit::client::field_of(text, "acl_access_denied_tls_cert")
                .and_then(|one| one.parse::<u64>().ok())
        };
        let after = secure.server.call(&[b"INFO", b"stats"]).text();
        assert_eq!(count(&after), count(&before).map(|count| count + 1));
        secure.server.say("ACL SETUSER bob on >secret +@all ~*");
        assert_eq!(client.say("AUTH bob secret"), "OK");
    }
}

#[test]
fn a_new_certificate_is_shown_to_new_clients_and_a_bad_one_to_nobody() {
    let mut secure = start("tls-auth-clients no");
    let caller = secure.authority.client(None);
    let mut before = caller.call(secure.port);
    assert_eq!(before.say("PING"), "PONG");
    let shown = |client: &tls::Secured| client.session().peer_certificates().expect("one")[0].to_vec();
    let old = shown(&before);
    // The same files with other content: a renewal.
    secure.authority.sign("server");
    let renewed = std::fs::read(secure.authority.path("server.crt")).expect("a file");
    assert_eq!(secure.set("tls-auth-clients", "optional"), "OK");
    let mut after = caller.call(secure.port);
    assert_eq!(after.say("PING"), "PONG");
    assert_ne!(shown(&after), old);
    for (name, file) in
        [("tls-cert-file", "nosuch.crt"), ("tls-key-file", "alice.key"), ("tls-cert-file", "server.key")]
    {
        let path = secure.authority.path(file);
        let refused = secure.set(name, &path);
        assert!(refused.contains(&format!("'{name}') - Unable to update TLS configuration")), "{refused}");
        assert_eq!(
            shown(&{
                let mut client = caller.call(secure.port);
                client.say("PING");
                client
            }),
            shown(&after)
        );
    }
    secure.await_log("nosuch.crt");
    std::fs::write(secure.authority.path("server.crt"), renewed).expect("a file");
    assert_eq!(before.say("PING"), "PONG", "established connections stay");
}

#[test]
fn a_key_may_be_encrypted() {
    let mut secure = start("tls-auth-clients no");
    let (plain, sealed) = (secure.authority.path("server.key"), secure.authority.path("sealed.key"));
    let text = std::fs::read_to_string(plain).expect("a file");
    let (_, document) = pkcs8::SecretDocument::from_pem(&text).expect("a key");
    let parameters = Parameters::pbkdf2_sha256_aes256cbc(1000, b"saltsalt", &[7; 16]).expect("parameters");
    let key = PrivateKeyInfo::try_from(document.as_bytes()).expect("a key");
    let encrypted = key.encrypt_with_params(parameters, "1234").expect("encrypted");
    let pem = encrypted.to_pem("ENCRYPTED PRIVATE KEY", pkcs8::LineEnding::LF).expect("text");
    std::fs::write(&sealed, format!("a comment\n{}", &*pem)).expect("a file");
    for pass in [None, Some("4321")] {
        if let Some(pass) = pass {
            assert_eq!(secure.set("tls-key-file-pass", pass), "OK");
        }
        assert!(secure.set("tls-key-file", &sealed).contains("Unable to update TLS configuration"));
    }
    assert_eq!(secure.set("tls-key-file-pass", "1234"), "OK");
    assert_eq!(secure.set("tls-key-file", &sealed), "OK");
    assert_eq!(secure.authority.client(None).call(secure.port).say("PING"), "PONG");
    assert!(!secure.server.log_tail(200).contains("4321"));
}

#[test]
fn versions_and_ciphers_are_those_that_are_configured() {
    let mut secure = start("tls-auth-clients no\ntls-min-version 1.3");
    let port = secure.port;
    let speaks = |secure: &Secure, version| {
        secure.authority.client_of(None, &[version]).call(port).ask("PING").is_ok()
    };
    assert_eq!((speaks(&secure, &TLS12), speaks(&secure, &TLS13)), (false, true));
    secure.set("tls-min-version", "1.2");
    assert_eq!((speaks(&secure, &TLS12), speaks(&secure, &TLS13)), (true, true));
    secure.set("tls-protocols", "TLSv1.2");
    assert_eq!((speaks(&secure, &TLS12), speaks(&secure, &TLS13)), (true, false));
    secure.set("tls-ciphers", "ECDHE-ECDSA-CHACHA20-POLY1305");
    let mut client = secure.authority.client(None).call(port);
    client.say("PING");
    let suite = client.session().negotiated_cipher_suite().expect("agreed").suite();
    assert_eq!(suite, rustls::CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256);
    for (name, value) in
        [("tls-protocols", "TLSv1.1"), ("tls-ciphers", "AES128-SHA256"), ("tls-ciphersuites", "nosuch")]
    {
        assert!(secure.set(name, value).contains("Unable to update TLS configuration"), "{name}");
        secure.await_log(value);
    }
    assert!(secure.set("tls-dh-params-file", "/x").contains("elliptic curves"));
}

#[test]
fn sessions_are_resumed_unless_that_is_switched_off() {
    let mut secure = start("tls-auth-clients no");
    let kinds = |secure: &Secure| {
        let caller = secure.authority.client(None);
        let kind = || {
            let mut client = caller.call(secure.port);
            client.say("PING");
            client.session().handshake_kind()
        };
        [kind(), kind()]
    };
    assert_eq!(kinds(&secure), [Some(HandshakeKind::Full), Some(HandshakeKind::Resumed)]);
    assert_eq!(secure.set("tls-session-caching", "no"), "OK");
    assert_eq!(kinds(&secure), [Some(HandshakeKind::Full), Some(HandshakeKind::Full)]);
}

#[test]
fn ports_with_and_without_tls_come_go_and_change_places() {
    let mut secure = start("tls-auth-clients no");
    let caller = secure.authority.client(None);
    let (plain, port) = (secure.server.port, secure.port);
    assert_eq!(secure.set("tls-port", "0"), "OK");
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    let changed =
        secure.server.call(&[b"CONFIG", b"SET", b"port", b"0", b"tls-port", plain.to_string().as_bytes()]);
    assert_eq!(changed, Reply::ok(), "the port of one may be that of the other before");
    let mut client = caller.call(plain);
    assert_eq!(client.say("PING"), "PONG");
    assert_eq!(client.say(&format!("CONFIG SET port {plain} tls-port {port}")), "OK");
    assert_eq!(caller.call(port).say("PING"), "PONG");
    assert_eq!(secure.server.connect().say("PING").to_string(), "PONG");
}

#[test]
fn whoever_comes_to_the_wrong_port_is_closed_and_the_log_says_why() {
    let secure = start("tls-auth-clients no");
    let mut plain = swytch_testkit::Client::open(secure.port);
    plain.send(&["PING"]);
    // A TLS alert may come first.
    let (heard, closed) = plain.receive_all(Duration::from_secs(60));
    assert!(closed && !heard.starts_with(b"+PONG"), "{heard:?}");
    secure.await_log("a client that does not speak TLS to tls-port");
    assert!(secure.authority.client(None).call(secure.server.port).ask("PING").is_err());
    secure.await_log("a client that speaks TLS to a port without");
}

#[test]
fn a_handshake_that_does_not_end_is_ended_and_holds_nobody_up() {
    let mut secure = start("tls-auth-clients no");
    let mut halves: Vec<TcpStream> = (0..50)
        .map(|at| {
            let mut socket = TcpStream::connect(("127.0.0.1", secure.port)).expect("somebody listens");
            // Nothing, or the beginning of a record that promises more.
            socket.write_all(&[0x16, 3, 1, 0x40, 0, 1, 0, 0x3f, 0xfc, 3, 3][..at % 12]).expect("sent");
            socket
        })
        .collect();
    let mut client = secure.authority.client(None).call(secure.port);
    assert_eq!(client.say("PING"), "PONG");
    assert_eq!(secure.server.say("PING").to_string(), "PONG");
    for socket in &mut halves {
        socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
        // An end, or the alert before it.
        let _ = socket.read(&mut [0; 64]).expect("it ends in time");
    }
    assert_eq!(client.say("PING"), "PONG", "who has agreed may be silent for as long as others");
    secure.await_log("takes too long");
    let mut judge = secure.server.connect();
    judge.until("all have left", |judge| judge.info_number("connected_clients"), |count| *count <= 3);
}

#[test]
fn the_limit_of_clients_holds_for_those_with_tls() {
    let secure = start("tls-auth-clients no\nmaxclients 3");
    let caller = secure.authority.client(None);
    // Somebody who has started the server is connected.
    let mut inside: Vec<_> = (0..2).map(|_| caller.call(secure.port)).collect();
    assert!(inside.iter_mut().all(|client| client.say("PING") == "PONG"));
    let mut outside = caller.call(secure.port);
    assert!(outside.ask("PING").is_err());
    assert!(inside[0].say("INFO stats").contains("rejected_connections:1"));
}

#[test]
fn whom_protected_mode_keeps_out_is_told_why() {
    let Some(own) = own_address() else {
        println!("skipped: this machine has no address but the loopback's");
        return;
    };
    let mut secure = start("tls-auth-clients no");
    let caller = secure.authority.client(None);
    // What is sent runs nothing.
    let told = caller.call_at(own, secure.port).say("SET k v");
    assert!(told.contains("DENIED swytch is running in protected mode"), "{told}");
    let mut inside = caller.call(secure.port);
    assert_eq!(inside.say("EXISTS k"), ":0");
    assert!(inside.say("INFO stats").contains("rejected_connections:1"));
    assert_eq!(secure.set("protected-mode", "no"), "OK");
    assert_eq!(caller.call_at(own, secure.port).say("SET k v"), "OK");
}

#[test]
fn values_go_to_another_server_with_tls_where_tls_cluster_says_so() {
    let mut to = start("");
    let authority = &to.authority;
    authority.sign("bob");
    let stranger = Authority::new(&authority.folder, "stranger");
    stranger.sign("mallory");
    let mut from = ours!().start("tls-migrate", "save \"\"\n");
    let port = to.port.to_string();
    let set = |from: &mut Server, name: &str, file: &str| from.set(name, authority.path(file));
    // It is plain, and nobody is told of what goes where TLS is asked for and cannot be had.
    from.say("SET k v");
    let migrate =
        |from: &mut Server, port: &str| from.say(&format!("MIGRATE 127.0.0.1 {port} k 0 5000")).to_string();
    let refused = |told: &str| assert!(told.contains("IOERR error or timeout"), "{told}");
    refused(&migrate(&mut from, &port));
    from.set("tls-cluster", "yes");
    let told = migrate(&mut from, &port);
    assert!(
        told.contains("tls-ca-cert-file or tls-ca-cert-dir must be set where tls-cluster is yes"),
        "{told}"
    );
    set(&mut from, "tls-ca-cert-file", "authority.crt");
    // The other one wants to see a certificate, and one of its authority.
    refused(&migrate(&mut from, &port));
    set(&mut from, "tls-client-cert-file", "mallory.crt");
    set(&mut from, "tls-client-key-file", "mallory.key");
    refused(&migrate(&mut from, &port));
    set(&mut from, "tls-client-cert-file", "bob.crt");
    let told = migrate(&mut from, &port);
    assert!(told.contains("tls-client-cert-file and tls-client-key-file do not go together"), "{told}");
    set(&mut from, "tls-client-key-file", "bob.key");
    // And is one that this one trusts, not merely whoever is there.
    set(&mut from, "tls-ca-cert-file", "stranger.crt");
    refused(&migrate(&mut from, &port));
    set(&mut from, "tls-ca-cert-file", "authority.crt");
    refused(&migrate(&mut from, &to.server.port.to_string()));
    assert_eq!(
        (from.say("EXISTS k").to_string(), to.server.say("EXISTS k").to_string()),
        (":1".into(), ":0".into())
    );
    // It is called by its address, and its certificate names it otherwise.
    assert_eq!(migrate(&mut from, &port), "OK");
    assert_eq!(
        (from.say("EXISTS k").to_string(), to.server.say("GET k").to_string()),
        (":0".into(), "v".into())
    );
    // More than fits into a record, and by the connection that was kept, until that is to be plain.
    let big = "x".repeat(3 << 20);
    to.server.say("DEL k");
    from.call(&["SET".as_bytes(), b"k", big.as_bytes()]);
    assert_eq!(migrate(&mut from, &port), "OK");
    assert_eq!(to.server.say("STRLEN k").to_string(), format!(":{}", big.len()));
    assert!(from.client.info("stats").contains("migrate_cached_sockets:1"));
    from.say("SET k v");
    from.set("tls-cluster", "no");
    refused(&migrate(&mut from, &port));
}

#[test]
fn what_is_no_tls_ends_its_own_connection_and_nothing_else() {
    let mut secure = start("tls-auth-clients no");
    let seed = random::seed();
    let mut random = Random::new(seed);
    let mut client = secure.authority.client(None).call(secure.port);
    for _ in 0..300 {
        let mut socket = TcpStream::connect(("127.0.0.1", secure.port)).expect("somebody listens");
        let mut bytes: Vec<u8> = (0..random.below(3000_usize)).map(|_| random.below(256_u32) as u8).collect();
        if random.below(2) == 0 {
            // The header of a record.
            let header = [0x16, 3, random.below(5_u32) as u8, random.below(80_u32) as u8, 0, 1];
            bytes.splice(0..0, header);
        }
        // It may be closed already.
        let _ = socket.write_all(&bytes);
        if random.below(2) == 0 {
            let _ = socket.shutdown(std::net::Shutdown::Write);
        }
    }
    // In the middle of a session, too.
    for _ in 0..50 {
        let mut client = secure.authority.client(None).call(secure.port);
        client.say("PING");
        let bytes: Vec<u8> = (0..random.below(300_usize) + 20).map(|_| random.below(256_u32) as u8).collect();
        let _ = (&mut client.socket()).write_all(&bytes);
        let _ = client.socket().shutdown(std::net::Shutdown::Write);
        assert!(client.is_closed(), "seed {seed}");
    }
    assert_eq!(client.say("PING"), "PONG");
    assert!(secure.server.is_running());
}

#[test]
fn what_a_start_with_tls_needs_is_named_when_it_is_missing() {
    for (lines, named) in [
        ("", "tls-cert-file is not set"),
        ("tls-cert-file /nosuch.crt", "tls-ca-cert-file or tls-ca-cert-dir must be set"),
        ("tls-auth-clients no\ntls-cert-file /nosuch.crt", "tls-cert-file /nosuch.crt"),
        ("tls-auth-clients no\ntls-protocols TLSv1", "TLSv1 is not spoken"),
    ] {
        let file = format!("tls-port {}\n{lines}\n", free_port());
        let error = ours!().launch("tls-start").file(&file).run().expect_err("it does not start").to_string();
        assert!(error.contains(named) || lines.is_empty() && error.contains("must be set"), "{error}");
    }
}
