//! Random bytes in random cuts, given to two servers: the same replies and the same end.
//!
//! What is sent is made of whole requests, inline lines, broken heads and mutations of them, before and after AUTH, in
//! both protocols. Where a cut falls must not matter, so ours is given the same bytes twice, cut in other places. That
//! a server has seen what was sent is known from PINGs on a connection beside: both run their clients in turn, so
//! nothing here waits for a time to pass unless there is a difference, which is looked at again with patience.
//!
//! Zero bytes in inline requests are left out: Redis takes one for the end of the line and drops the rest without a
//! word, and ours does not.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind, Read};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::client::{Client, encode};
use crate::process::{Program, Server};
use crate::random::Random;
use crate::reply::Reply;

/// Pieces of one script.
const PIECES_MAX: usize = 6;
/// Cuts of one script.
const CUTS_MAX: usize = 4;
/// How long a server may take to notice that a client has come or gone.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a difference is waited for to go away.
const SECOND_LOOK: Duration = Duration::from_millis(300);

/// Two servers, each with and without a password.
#[derive(Debug)]
pub struct Laboratory {
    sides: [[Side; 2]; 2],
    meant: Meant,
}

/// What differences are meant depends on what the two servers are.
#[derive(Debug)]
struct Meant {
    /// How ours answers commands that only the peer has.
    unknown: Vec<Vec<u8>>,
    /// The peer is a Redis that came after 7.0.
    is_later: bool,
}

/// One server and the connection beside.
#[derive(Debug)]
struct Side {
    server: Server,
    beside: Client,
}

/// What a server made of the bytes.
#[derive(Debug)]
struct Outcome {
    /// Its replies.
    replies: Vec<u8>,
    /// Whether that was the end of the connection.
    is_over: bool,
    /// It ended with bytes of the client unread, so the system may have dropped replies that were on their way.
    is_reset: bool,
}

impl Outcome {
    /// Whether both are the same, as far as can be known.
    fn agrees(&self, other: &Outcome) -> bool {
        let may_be_start_of =
            |one: &Outcome, other: &Outcome| one.is_reset && other.replies.starts_with(&one.replies);
        let are_alike =
            self.replies == other.replies || may_be_start_of(self, other) || may_be_start_of(other, self);
        are_alike && self.is_over == other.is_over
    }
}

/// Bytes on which the two servers disagree.
#[derive(Debug)]
pub struct Finding {
    /// What was sent, shortened as far as the difference allows.
    pub script: Vec<u8>,
    /// Where it was cut for ours.
    pub cuts: Vec<usize>,
    /// Whether a password was wanted.
    pub has_password: bool,
    ours: Outcome,
    theirs: Outcome,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let end = |closed: bool| if closed { "closed" } else { "open" };
        let password = if self.has_password { " (password wanted)" } else { "" };
        writeln!(f, "    sent   {}{password}, cut at {:?}", shown(&self.script), self.cuts)?;
        writeln!(f, "    ours   {} {}", shown(&self.ours.replies), end(self.ours.is_over))?;
        write!(f, "    peer's {} {}", shown(&self.theirs.replies), end(self.theirs.is_over))
    }
}

/// The bytes with long runs of one byte as their length.
fn shown(bytes: &[u8]) -> String {
    const RUN_MAX: usize = 20;
    let runs = bytes.chunk_by(|one, other| one == other);
    runs.map(|run| match run {
        [byte, ..] if run.len() > RUN_MAX => format!("({} times {})", run.len(), byte.escape_ascii()),
        _ => run.escape_ascii().to_string(),
    })
    .collect()
}

impl Laboratory {
    /// Starts four servers.
    ///
    /// # Errors
    /// When one does not start.
    pub fn open(ours: &Program, theirs: &Program) -> io::Result<Laboratory> {
        let side = |program: &Program, password: &str| -> io::Result<Side> {
            let threads: &[&str] = if program.is_swytch() { &["--threads", "1"] } else { &[] };
            let arguments = ["--save", "", "--requirepass", password, "--proto-max-bulk-len", "1mb"];
            let server = program.launch("wire").arguments(threads).arguments(&arguments).run()?;
            let mut beside = server.connect();
            if !password.is_empty() {
                beside.ask(&["AUTH", password])?;
            }
            Ok(Side { server, beside })
        };
        let both = |program: &Program| Ok::<_, io::Error>([side(program, "")?, side(program, "secret")?]);
        let mut sides = [both(ours)?, both(theirs)?];
        let [[ours, _], [theirs, _]] = &mut sides;
        let meant = Meant::between(&mut ours.beside, &mut theirs.beside)?;
        Ok(Laboratory { sides, meant })
    }

    /// Tries one random script; what differs, if anything does.
    ///
    /// # Errors
    /// When a server is gone.
    pub fn try_one(&mut self, random: &mut Random) -> io::Result<Option<Finding>> {
        let has_password = random.once_in(3);
        let script = script(random, has_password);
        for cuts in [cuts(random, script.len()), cuts(random, script.len())] {
            if let Some(finding) = self.difference(&script, &cuts, has_password)? {
                return self.shorten(finding).map(Some);
            }
        }
        Ok(None)
    }

    /// Compares the two servers on these bytes; the peer is given them whole.
    ///
    /// # Errors
    /// When a server is gone.
    pub fn difference(
        &mut self,
        script: &[u8],
        cuts: &[usize],
        has_password: bool,
    ) -> io::Result<Option<Finding>> {
        let [ours, theirs] = &mut self.sides;
        let (ours, theirs) = (&mut ours[usize::from(has_password)], &mut theirs[usize::from(has_password)]);
        for patience in [Duration::ZERO, SECOND_LOOK] {
            let outcomes = (ours.outcome(script, cuts, patience)?, theirs.outcome(script, &[], patience)?);
            if outcomes.0.agrees(&outcomes.1) || self.meant.covers(script, &outcomes.0, &outcomes.1) {
                return Ok(None);
            }
            if patience > Duration::ZERO {
                let (script, cuts) = (script.to_vec(), cuts.to_vec());
                return Ok(Some(Finding {
                    script,
                    cuts,
                    has_password,
                    ours: outcomes.0,
                    theirs: outcomes.1,
                }));
            }
        }
        Ok(None)
    }

    /// Leaves out bytes that the difference does not need.
    fn shorten(&mut self, mut best: Finding) -> io::Result<Finding> {
        const ATTEMPTS: usize = 80;
        let (mut attempts, mut chunk) = (0, best.script.len() / 2);
        while chunk > 0 && attempts < ATTEMPTS {
            let mut from = 0;
            while from + chunk <= best.script.len() && attempts < ATTEMPTS {
                attempts += 1;
                let mut fewer = best.script.clone();
                fewer.drain(from..from + chunk);
                let cuts = if best.cuts.is_empty() { Vec::new() } else { vec![fewer.len() / 2] };
                match self.difference(&fewer, &cuts, best.has_password)? {
                    Some(finding) => best = finding,
                    None => from += chunk,
                }
            }
            chunk /= 2;
        }
        Ok(best)
    }
}

impl Meant {
    fn between(ours: &mut Client, theirs: &mut Client) -> io::Result<Meant> {
        let names = |client: &mut Client| -> io::Result<BTreeSet<String>> {
            Ok(client.ask(&["COMMAND", "LIST"])?.elements().iter().map(Reply::text).collect())
        };
        let (known, all) = (names(ours)?, names(theirs)?);
        let unknown =
            all.difference(&known).map(|name| format!("-err unknown command '{name}'").into_bytes());
        let is_later = !theirs.info("server").contains("redis_version:7.0");
        Ok(Meant { unknown: unknown.collect(), is_later })
    }

    fn covers(&self, script: &[u8], ours: &Outcome, theirs: &Outcome) -> bool {
        let text = script.to_ascii_lowercase();
        // Where something that looks like HTTP comes, Redis goes without the replies that it still had.
        let is_web = contains(&text, b"post") || contains(&text, b"host:");
        let goes = is_web && ours.is_over && theirs.is_over && ours.replies.starts_with(&theirs.replies);
        let replies = ours.replies.to_ascii_lowercase();
        // Of a transaction in which CLIENT REPLY is, Redis sends an array that lacks elements, and ours none at all.
        let is_half = [&b"multi"[..], b"exec", b"reply"].iter().all(|word| contains(&text, word));
        let is_unknown = self.unknown.iter().any(|error| contains(&replies, error));
        goes || is_half || is_unknown || (self.is_later && is_fault_of_later(ours, theirs))
    }
}

/// What Redis has answered less well since 7.0: it says that a password is wrong only where it owes no other reply, and
/// 8.6 forgets an error in a request that it has read in two parts, and stays open and deaf.
fn is_fault_of_later(ours: &Outcome, theirs: &Outcome) -> bool {
    let without = |outcome: &Outcome| {
        let lines = outcome.replies.split_inclusive(|byte| *byte == b'\n');
        lines.filter(|line| !line.starts_with(b"-WRONGPASS")).flatten().copied().collect::<Vec<u8>>()
    };
    let (ours_said, theirs_said) = (without(ours), without(theirs));
    let Some(more) = ours_said.strip_prefix(&theirs_said[..]) else { return false };
    let forgets =
        ours.is_over && !theirs.is_over && (more.is_empty() || more.starts_with(b"-ERR Protocol error"));
    forgets || (ours.is_over == theirs.is_over && more.is_empty())
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

impl Side {
    fn outcome(&mut self, script: &[u8], cuts: &[usize], patience: Duration) -> io::Result<Outcome> {
        self.beside.ask(&["FLUSHALL"])?;
        let mut client = Client::connect(self.server.port)?;
        let address = client.socket().local_addr()?;
        self.wait_for(|side| Ok(side.flags_of(address)?.is_some()))?;
        let mut from = 0;
        for to in cuts.iter().copied().chain([script.len()]) {
            if client.send_raw(&script[from..to]).is_err() {
                break;
            }
            from = to;
            self.settle()?;
        }
        std::thread::sleep(patience);
        self.settle()?;
        let (bytes, end) = arrived(&mut client)?;
        // Redis closes a connection that has come to its end when it has written the last reply; one that ends in silence
        // (CLIENT REPLY OFF and SKIP) it marks, and keeps it until the client goes.
        let is_over = end != End::Open || self.flags_of(address)?.is_none_or(|flags| flags.contains('c'));
        // What it has sent and was not looked at in time must not run within the next script.
        drop(client);
        self.wait_for(|side| Ok(side.flags_of(address)?.is_none()))?;
        let is_reset = end == End::Reset;
        Ok(Outcome { replies: comparable(&bytes, is_reset), is_over, is_reset })
    }

    /// What CLIENT LIST says of the client at this address, if the server has it.
    fn flags_of(&mut self, address: SocketAddr) -> io::Result<Option<String>> {
        let list = self.beside.ask(&["CLIENT", "LIST"])?.text();
        let line = list.lines().find(|line| line.contains(&format!(" addr={address} ")));
        let flags = line.and_then(|line| line.split(" flags=").nth(1)?.split(' ').next());
        Ok(flags.map(str::to_owned))
    }

    /// Waits until something holds, which a loaded machine may take its time for.
    fn wait_for(&mut self, mut holds: impl FnMut(&mut Side) -> io::Result<bool>) -> io::Result<()> {
        let begin = Instant::now();
        while !holds(self)? {
            if begin.elapsed() > PATIENCE {
                return Err(ErrorKind::TimedOut.into());
            }
            std::thread::yield_now();
        }
        Ok(())
    }

    /// Waits until the server has gone round all of its clients.
    fn settle(&mut self) -> io::Result<()> {
        (0..3).try_for_each(|_| self.beside.ask(&["PING"]).map(drop))
    }
}

/// How a connection stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Open,
    Closed,
    /// Closed with bytes unread.
    Reset,
}

/// What has arrived by now, and how the connection stands.
fn arrived(client: &mut Client) -> io::Result<(Vec<u8>, End)> {
    let mut socket = client.socket();
    socket.set_nonblocking(true)?;
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match socket.read(&mut buffer) {
            Ok(0) => return Ok((bytes, End::Closed)),
            Ok(length) => bytes.extend_from_slice(&buffer[..length]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok((bytes, End::Open)),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return Ok((bytes, End::Reset)),
        }
    }
}

/// The form in which Redis 7.0 does not name it.
const AUTH_AND_PROTOCOL: &str = "HELLO <proto> AUTH";
/// The end of an error about an unknown command without arguments.
const NO_ARGUMENTS: &[u8] = b", with args beginning with: \r\n";

/// The replies without what differs between versions of Redis, and without the beginning of one of which a reset has taken
/// the rest.
fn comparable(mut bytes: &[u8], is_reset: bool) -> Vec<u8> {
    let mut kept = Vec::new();
    while !bytes.is_empty() {
        let before = bytes;
        match Reply::read(&mut bytes) {
            Ok(reply) if names_server(&reply) => {
                kept.extend_from_slice(format!("(HELLO {})\r\n", before[0] as char).as_bytes());
            }
            // Redis 7.0 names one argument less, and later ones name no arguments where there are none.
            Ok(Reply::Error(text)) if text.contains(AUTH_AND_PROTOCOL) => {
                kept.extend_from_slice(
                    format!("-{}\r\n", text.replace(AUTH_AND_PROTOCOL, "HELLO AUTH")).as_bytes(),
                );
            }
            Ok(Reply::Error(_)) if before[..before.len() - bytes.len()].ends_with(NO_ARGUMENTS) => {
                let end = before.len() - bytes.len() - NO_ARGUMENTS.len();
                kept.extend_from_slice(&before[..end]);
                kept.extend_from_slice(b"\r\n");
            }
            Ok(_) => kept.extend_from_slice(&before[..before.len() - bytes.len()]),
            Err(_) => {
                if !is_reset {
                    kept.extend_from_slice(before);
                }
                break;
            }
        }
    }
    kept
}

/// Whether a reply to HELLO is in it, which EXEC's may have several of.
fn names_server(reply: &Reply) -> bool {
    match reply {
        Reply::Map(parts) | Reply::Array(parts) => {
            parts.first() == Some(&Reply::bulk("server")) || parts.iter().any(names_server)
        }
        _ => false,
    }
}

const COMMANDS: &[&str] = &[
    "PING",
    "PING x",
    "ECHO hello",
    "SET k v",
    "SET k 5 EX 100",
    "GET k",
    "GET",
    "INCR n",
    "RPUSH l a b c",
    "LRANGE l 0 -1",
    "LPOP l 2",
    "MULTI",
    "EXEC",
    "DISCARD",
    "WATCH k",
    "DEL k",
    "SELECT 1",
    "SELECT x",
    "RESET",
    "QUIT",
    "HELLO 3",
    "HELLO 2",
    "HELLO 9",
    "AUTH secret",
    "AUTH wrong",
    "AUTH default secret",
    "CLIENT REPLY OFF",
    "CLIENT REPLY SKIP",
    "CLIENT REPLY ON",
    "CLIENT GETNAME",
    "NOSUCH a b",
    "MGET k n l",
    "EXISTS k",
    "TYPE l",
    "DEBUG SLEEP x",
    "CLIENT SETNAME me",
    "EXPIRE k 100",
    "APPEND k x",
    "STRLEN k",
    "OBJECT NOPE",
    "get k",
    // Whatever a mutation makes of it names no second directive: their order is a hash table's in Redis.
    "CONFIG GET databases qq qq qq qq",
];

const BROKEN: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b" \r\n",
    b"*0\r\n",
    b"*-1\r\n",
    b"*-5\r\n",
    b"*x\r\n",
    b"*\r\n",
    b"*2147483648\r\n",
    b"*1048577\r\n",
    b"*1\r\n$-1\r\n",
    b"*1\r\n$x\r\n",
    b"*1\r\n$\r\n",
    b"*1\r\nPING\r\n",
    b"*1\r\n:4\r\nPING\r\n",
    b"$4\r\nPING\r\n",
    b"*1\r\n$4\r\nPINGxx",
    b"*01\r\n$4\r\nPING\r\n",
    b"*+1\r\n$4\r\nPING\r\n",
    b"* 1\r\n",
    b"*1 \r\n$4\r\nPING\r\n",
    b"*1\n$4\nPING\n",
    b"*1\r\n$1048577\r\n",
    b"*1\r\n$2000000\r\n",
    b"*1\r\n$4\r\nPI",
    b"*2\r\n$4\r\nECHO\r\n",
    b"*1\r\n$0\r\n\r\n",
    b"*2\r\n$0\r\n\r\n$1\r\na\r\n",
    b"SET k \"unbalanced\r\n",
    b"SET k 'a'b\r\n",
    b"SET k \"\\x41\\n\"\r\n",
    b"  PING  \r\n",
    b"POST / HTTP/1.1\r\n",
    b"Host: localhost\r\n",
    b"\xff\xfe\r\n",
    b"*2\r\n$6\r\nNO\xffSCH\r\n$5\r\na\x80\r\nb\r\n",
    b"*2\r\n$6\r\nCLIENT\r\n$4\r\n\xc3\x28\x80x\r\n",
    b"*1\r\n\xff4\r\nPING\r\n",
    b"*1\r\n$9999999999999999999999\r\n",
    b"*99999999999999999999\r\n",
    b"*11\r\n",
    b"*2\r\n$3\r\nGET\r\n$20000\r\n",
    b"*1\r\n$04\r\nPING\r\n",
    b"*1\r\n$+4\r\nPING\r\n",
    b"+OK\r\n",
    b"*1\r\r\n",
    b"*1\rx$4\r\nPING\r\n",
    b"*1\r\n$4\rxPING\r\n",
];

fn script(random: &mut Random, has_password: bool) -> Vec<u8> {
    let mut script = Vec::new();
    if has_password && random.once_in(2) {
        script.extend(encode(&["AUTH", "secret"]));
    }
    for _ in 0..1 + random.below(PIECES_MAX) {
        script.extend(piece(random));
    }
    if random.once_in(10) {
        script.extend(long_line(random));
        script.extend(piece(random));
    }
    script
}

/// A line below or above the limit. What is not far above depends for Redis on how much it has read at once, so there is
/// one of them in a script.
fn long_line(random: &mut Random) -> Vec<u8> {
    let length = [60_000, 200_000][random.below(2_usize)];
    match random.below(3) {
        0 => [&b"PING "[..], &vec![b'a'; length], b"\r\n"].concat(),
        1 => [&b"*"[..], &vec![b'1'; length]].concat(),
        _ => [&b"*1\r\n$"[..], &vec![b'1'; length]].concat(),
    }
}

fn piece(random: &mut Random) -> Vec<u8> {
    let words = |random: &mut Random| random.pick(COMMANDS).split(' ').collect::<Vec<_>>();
    match random.below(20) {
        0..=7 => encode(&words(random)),
        8..=10 => format!("{}\r\n", words(random).join(" ")).into_bytes(),
        11..=14 => random.pick(BROKEN).to_vec(),
        15..=17 => {
            let mut bytes = encode(&words(random));
            for _ in 0..1 + random.below(2) {
                mutate(&mut bytes, random);
            }
            bytes
        }
        18 => encode(&["SET", "k", &"v".repeat(random.below(40_000))]),
        _ => {
            const ALPHABET: &[u8] = b"*$+\r\n 015aP-:";
            (0..random.below(12)).map(|_| ALPHABET[random.below(ALPHABET.len())]).collect()
        }
    }
}

fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    let at = random.below(bytes.len());
    const OTHERS: &[u8] = b"\r\n*$0129- x\xff";
    let other = OTHERS[random.below(OTHERS.len())];
    match random.below(4) {
        0 => bytes[at] = other,
        1 => bytes.insert(at, other),
        2 if bytes.len() > 1 => _ = bytes.remove(at),
        _ => bytes.truncate(at.max(1)),
    }
}

fn cuts(random: &mut Random, length: usize) -> Vec<usize> {
    let mut cuts: Vec<usize> = (0..random.below(CUTS_MAX + 1)).map(|_| random.below(length + 1)).collect();
    cuts.sort_unstable();
    cuts
}
