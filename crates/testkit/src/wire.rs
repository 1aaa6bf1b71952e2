//! Random bytes in random cuts, given to two servers: the same replies and the same end.
//!
//! What is sent is made of whole requests, inline lines, broken heads and mutations of them, before and after AUTH, in
//! both protocols. Where a cut falls must not matter, so ours is given the same bytes twice, cut in other places. That
//! a server has seen what was sent is known from PINGs on a connection beside: both run their clients in turn, so
//! nothing here waits for a time to pass unless there is a difference, which is looked at again with patience.
//!
//! Zero bytes in inline requests are left out: Redis takes one for the end of the line and drops the rest without a
//! word, and ours does not.

use std::io::{self, ErrorKind, Read};
use std::time::Duration;

use crate::client::{Client, encode};
use crate::process::{Program, Server};
use crate::random::Random;
use crate::reply::Reply;

/// Pieces of one script.
const PIECES_MAX: usize = 6;
/// Cuts of one script.
const CUTS_MAX: usize = 4;
/// How long a difference is waited for to go away.
const SECOND_LOOK: Duration = Duration::from_millis(300);

/// Two servers, each with and without a password.
#[derive(Debug)]
pub struct Laboratory {
    sides: [[Side; 2]; 2],
}

/// One server and the connection beside.
#[derive(Debug)]
struct Side {
    server: Server,
    beside: Client,
}

/// What a server made of the bytes: its replies, and whether it closed the connection.
type Outcome = (Vec<u8>, bool);

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
        writeln!(f, "    sent   {}{password}, cut at {:?}", self.script.escape_ascii(), self.cuts)?;
        writeln!(f, "    ours   {} {}", self.ours.0.escape_ascii(), end(self.ours.1))?;
        write!(f, "    peer's {} {}", self.theirs.0.escape_ascii(), end(self.theirs.1))
    }
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
        Ok(Laboratory { sides: [both(ours)?, both(theirs)?] })
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
            if outcomes.0 == outcomes.1 || is_meant(script, &outcomes.0, &outcomes.1) {
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

/// Differences that are meant.
fn is_meant(script: &[u8], ours: &Outcome, theirs: &Outcome) -> bool {
    let text = String::from_utf8_lossy(script).to_lowercase();
    // Where something that looks like HTTP comes, Redis goes without the replies that it still had.
    let is_web = text.contains("post") || text.contains("host:");
    let is_web_alike = is_web && ours.1 && theirs.1 && ours.0.starts_with(&theirs.0);
    // A line that begins wrongly is refused before its end has come; Redis waits for it.
    let error = ours.0.strip_prefix(&theirs.0[..]).unwrap_or_default();
    let is_early = script.ends_with(b"\r") && !theirs.1 && error.starts_with(b"-ERR Protocol error");
    // Behind CLIENT REPLY OFF or SKIP Redis neither says the protocol error nor ends the connection.
    let is_silenced = text.contains("reply") && ours.1 && error.starts_with(b"-ERR Protocol error");
    // Without AUTH every command is refused for want of it; Redis says first that DEBUG is protected.
    let is_debug = text.contains("debug") && contains(&theirs.0, b"-ERR DEBUG command not allowed");
    is_web_alike || is_early || is_silenced || is_debug
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

impl Side {
    fn outcome(&mut self, script: &[u8], cuts: &[usize], patience: Duration) -> io::Result<Outcome> {
        self.beside.ask(&["FLUSHALL"])?;
        let mut client = Client::connect(self.server.port)?;
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
        let (bytes, closed) = arrived(&mut client)?;
        Ok((comparable(&bytes), closed))
    }

    /// Waits until the server has gone round all of its clients.
    fn settle(&mut self) -> io::Result<()> {
        (0..3).try_for_each(|_| self.beside.ask(&["PING"]).map(drop))
    }
}

/// What has arrived by now, and whether the connection was closed.
fn arrived(client: &mut Client) -> io::Result<Outcome> {
    let mut socket = client.socket();
    socket.set_nonblocking(true)?;
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match socket.read(&mut buffer) {
            Ok(0) => return Ok((bytes, true)),
            Ok(length) => bytes.extend_from_slice(&buffer[..length]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok((bytes, false)),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // A reset: it was closed with bytes unread.
            Err(_) => return Ok((bytes, true)),
        }
    }
}

/// The replies without what names the server.
fn comparable(mut bytes: &[u8]) -> Vec<u8> {
    let mut kept = Vec::new();
    while !bytes.is_empty() {
        let before = bytes;
        match Reply::read(&mut bytes) {
            Ok(Reply::Map(parts) | Reply::Array(parts)) if parts.first() == Some(&Reply::bulk("server")) => {
                kept.extend_from_slice(format!("(HELLO {})", before[0] as char).as_bytes());
            }
            // Redis 7.0 names one argument less.
            Ok(Reply::Error(text)) => {
                kept.extend_from_slice(
                    format!("-{}\r\n", text.replace("HELLO <proto> AUTH", "HELLO AUTH")).as_bytes(),
                );
            }
            Ok(_) => kept.extend_from_slice(&before[..before.len() - bytes.len()]),
            Err(_) => {
                kept.extend_from_slice(before);
                break;
            }
        }
    }
    kept
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
    "CONFIG GET hz x y z w v",
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
    script
}

fn piece(random: &mut Random) -> Vec<u8> {
    // Below and above the limit of a line; how much above depends for Redis on how it was read.
    let long = [60_000, 200_000][random.below(2_usize)];
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
        18 => {
            const ALPHABET: &[u8] = b"*$+\r\n 015aP-:";
            (0..random.below(12)).map(|_| ALPHABET[random.below(ALPHABET.len())]).collect()
        }
        _ => match random.below(4) {
            0 => [&b"PING "[..], &vec![b'a'; long], b"\r\n"].concat(),
            1 => [&b"*"[..], &vec![b'1'; long]].concat(),
            2 => [&b"*1\r\n$"[..], &vec![b'1'; long]].concat(),
            _ => encode(&["SET", "k", &"v".repeat(random.below(40_000))]),
        },
    }
}

fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    let at = random.below(bytes.len());
    const OTHERS: &[u8] = b"\r\n*$0129- x";
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
