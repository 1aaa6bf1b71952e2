//! Whatever commands a client sends, each gets one well-formed reply, none is a failure of the server, and the
//! connection goes on.
//!
//! The input is read as decisions along the commands' argument trees (`swytch::command::spec`), so most of what is
//! sent gets past the checks of arity and syntax; now and then an argument is damaged. The server runs in this
//! process, with its threads, behind a Unix socket: what is fuzzed is the whole path from the socket and back.
#![no_main]
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use swytch::command::{Arg, ArgKind, Command, CommandTable};
use swytch::config::Loader;

/// Most commands of one input.
const COMMANDS_MAX: usize = 24;
/// Most repetitions of an argument that may be repeated.
const REPETITIONS_MAX: u8 = 4;
/// How long replies may take before a parked client is woken, and before the server counts as hung.
const PARKED_AFTER: Duration = Duration::from_millis(10);
const HUNG_AFTER: Duration = Duration::from_secs(60);

/// Left out: they end or delay the server or the connection, silence replies, or change the settings that the
/// other commands' results depend on. Who follows has no replies any more. Subscribing answers once for each
/// channel.
const LEFT_OUT: [&str; 25] = [
    "acl",
    "bgrewriteaof",
    "bgsave",
    "client|kill",
    "client|pause",
    "client|reply",
    "config|rewrite",
    "config|set",
    "debug",
    "failover",
    "monitor",
    "psubscribe",
    "psync",
    "punsubscribe",
    "quit",
    "replconf",
    "replicaof",
    "save",
    "shutdown",
    "slaveof",
    "ssubscribe",
    "subscribe",
    "sunsubscribe",
    "sync",
    "unsubscribe",
];

const KEYS: [&str; 6] = ["a", "b", "c", "list", "{tag}1", "{tag}2"];
const INTEGERS: [&str; 16] = [
    "0",
    "1",
    "2",
    "-1",
    "-2",
    "7",
    "10",
    "100",
    "255",
    "4096",
    "-100",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "1700000000",
    "99999999999999",
];
const DOUBLES: [&str; 8] = ["0", "0.01", "-1", "1.5", "inf", "-inf", "nan", "1e308"];
const STRINGS: [&str; 12] = [
    "",
    "x",
    "value",
    "10",
    "-5",
    "3.25",
    "u8",
    "i64",
    "#1",
    "\r\n",
    "\0",
    "a longer value, past forty-four bytes of text",
];
const PATTERNS: [&str; 5] = ["*", "a*", "[a-c]", "?", "{tag}?"];

/// The two connections: one sends the input, the other wakes it when it is parked.
struct Session {
    subject: Connection,
    subject_id: String,
    helper: Connection,
}

struct Connection {
    reader: BufReader<UnixStream>,
}

static SESSION: Mutex<Option<Session>> = Mutex::new(None);

fuzz_target!(|data: &[u8]| {
    let mut decisions = Decisions { bytes: data };
    let mut requests = Vec::new();
    let mut sent = Vec::new();
    while sent.len() < COMMANDS_MAX && !decisions.bytes.is_empty() {
        let arguments = command_line(&mut decisions);
        encode(&mut requests, &arguments);
        sent.push(arguments);
    }
    let mut session = SESSION.lock().unwrap_or_else(PoisonError::into_inner);
    let session = session.get_or_insert_with(Session::open);
    session.run(&requests, &sent);
});

impl Session {
    fn open() -> Session {
        let path = socket_path();
        let mut subject = Connection::open(path);
        let mut identity = Vec::new();
        encode(&mut identity, &words("CLIENT ID"));
        subject.write(&identity);
        let subject_id = subject.reply().text.trim_start_matches(':').to_owned();
        Session { subject, subject_id, helper: Connection::open(path) }
    }

    /// Sends everything at once, as a pipelining client does, and looks at every reply.
    fn run(&mut self, requests: &[u8], sent: &[Vec<Vec<u8>>]) {
        let mut all = Vec::new();
        encode(&mut all, &words("RESET"));
        encode(&mut all, &words("FLUSHALL"));
        all.extend_from_slice(requests);
        encode(&mut all, &words("DISCARD"));
        encode(&mut all, &words("ECHO end"));
        self.subject.write(&all);
        for name in ["RESET", "FLUSHALL"] {
            assert!(!self.reply(name).is_error(), "{name} failed");
        }
        for arguments in sent {
            let shown = show(arguments);
            let reply = self.reply(&shown);
            assert!(!reply.text.contains("internal error"), "{shown} was answered {}", reply.text);
        }
        self.reply("DISCARD");
        assert_eq!(self.reply("ECHO").text, "end", "replies and requests do not match: {}", describe(sent));
    }

    /// The next reply; a client that is parked is woken.
    fn reply(&mut self, to: &str) -> Reply {
        let begin = Instant::now();
        while !self.subject.has_data() {
            assert!(begin.elapsed() < HUNG_AFTER, "no reply to {to}");
            if begin.elapsed() > PARKED_AFTER {
                let mut unblock = Vec::new();
                encode(&mut unblock, &words(&format!("CLIENT UNBLOCK {}", self.subject_id)));
                self.helper.write(&unblock);
                self.helper.reply();
            }
        }
        loop {
            let reply = self.subject.reply();
            // Pushed data answers nothing.
            if !reply.is_push {
                return reply;
            }
        }
    }
}

/// What a reply begins with: enough to judge it.
struct Reply {
    text: String,
    is_push: bool,
}

impl Reply {
    fn is_error(&self) -> bool {
        self.text.starts_with('-')
    }
}

impl Connection {
    fn open(path: &str) -> Connection {
        let begin = Instant::now();
        loop {
            match UnixStream::connect(path) {
                Ok(stream) => return Connection { reader: BufReader::new(stream) },
                Err(error) => assert!(begin.elapsed() < HUNG_AFTER, "the server does not listen: {error}"),
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        self.reader.get_mut().write_all(bytes).expect("the server reads");
    }

    /// Whether something has arrived, or arrives within a moment.
    fn has_data(&mut self) -> bool {
        let wait = Some(Duration::from_millis(2));
        self.reader.get_ref().set_read_timeout(wait).expect("a timeout can be set");
        let arrived = match self.reader.fill_buf() {
            Ok(bytes) => {
                assert!(!bytes.is_empty(), "the server closed the connection");
                true
            }
            Err(_) => false,
        };
        self.reader.get_ref().set_read_timeout(Some(HUNG_AFTER)).expect("a timeout can be set");
        arrived
    }

    /// Reads one whole reply of either protocol.
    fn reply(&mut self) -> Reply {
        let mut line = Vec::new();
        self.reader.read_until(b'\n', &mut line).expect("a reply arrives in time");
        let line = line.strip_suffix(b"\r\n").expect("a reply line ends with CR LF");
        let (&kind, rest) = line.split_first().expect("a reply line has a kind");
        let rest = std::str::from_utf8(rest).map(str::to_owned).unwrap_or_default();
        let mut text = format!("{}{rest}", char::from(kind));
        let count = || rest.parse::<i64>().unwrap_or_else(|_| panic!("no length in {text:?}"));
        match kind {
            b'+' | b'-' | b':' | b',' | b'#' | b'(' | b'_' => {}
            b'$' | b'=' | b'!' => {
                if let Ok(length) = usize::try_from(count()) {
                    let mut bytes = vec![0; length + 2];
                    self.reader.read_exact(&mut bytes).expect("the bulk is as long as announced");
                    assert!(bytes.ends_with(b"\r\n"), "a bulk ends with CR LF");
                    text = String::from_utf8_lossy(&bytes[..length]).into_owned();
                }
            }
            b'*' | b'~' | b'>' => (0..count()).for_each(|_| drop(self.reply())),
            b'%' => (0..count() * 2).for_each(|_| drop(self.reply())),
            b'|' => {
                (0..count() * 2).for_each(|_| drop(self.reply()));
                return self.reply();
            }
            other => panic!("a reply begins with {:?}", char::from(other)),
        }
        Reply { text, is_push: kind == b'>' }
    }
}

/// Starts the server once per process and gives its socket.
fn socket_path() -> &'static str {
    static PATH: OnceLock<String> = OnceLock::new();
    PATH.get_or_init(|| {
        let directory = std::env::temp_dir().join(format!("swytch-fuzz-{}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a directory for the socket");
        let path = directory.join("socket").display().to_string();
        // One worker, so that an input repeats as it was; short bulks, so that memory stays bounded.
        let lines = format!(
            "port 0\nunixsocket {path}\nthreads 1\nsave \"\"\nloglevel warning\nproto-max-bulk-len 1mb\nmaxmemory 512mb\n"
        );
        let mut loader = Loader::new();
        loader.command_line(lines.as_bytes()).expect("the directives are valid");
        let loaded = loader.finish().expect("the configuration is valid");
        std::thread::spawn(|| swytch::start::serve(loaded));
        path
    })
}

/// The input as a row of small decisions; past its end every decision is zero.
struct Decisions<'data> {
    bytes: &'data [u8],
}

impl Decisions<'_> {
    fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.bytes.split_first() else { return 0 };
        self.bytes = rest;
        first
    }

    fn pick<'list>(&mut self, list: &[&'list str]) -> &'list str {
        list[usize::from(self.byte()) % list.len()]
    }
}

/// The commands that may be sent.
fn commands() -> &'static [&'static Command] {
    static COMMANDS: OnceLock<Vec<&'static Command>> = OnceLock::new();
    COMMANDS.get_or_init(|| {
        let is_left_out = |name: &str| {
            LEFT_OUT
                .iter()
                .any(|out| name == *out || name.strip_prefix(out).is_some_and(|rest| rest.starts_with('|')))
        };
        CommandTable::new(swytch::commands::SPECS, &[])
            .expect("names of one command each")
            .iter_all()
            .filter(|command| !is_left_out(&command.full_name))
            .collect()
    })
}

fn command_line(decisions: &mut Decisions<'_>) -> Vec<Vec<u8>> {
    let command = commands()[usize::from(decisions.byte()) % commands().len()];
    let mut line: Vec<Vec<u8>> = command.full_name.split('|').map(|word| word.as_bytes().to_vec()).collect();
    for argument in command.spec.arguments {
        push_argument(&mut line, argument, decisions);
    }
    damage(&mut line, decisions);
    line
}

fn push_argument(line: &mut Vec<Vec<u8>>, argument: &Arg, decisions: &mut Decisions<'_>) {
    if argument.optional && decisions.byte() & 1 == 0 {
        return;
    }
    let repetitions = if argument.multiple { decisions.byte() % REPETITIONS_MAX + 1 } else { 1 };
    for repetition in 0..repetitions {
        if let Some(token) = argument.token
            && (repetition == 0 || argument.multiple_token)
        {
            line.push(token.as_bytes().to_vec());
        }
        push_value(line, argument, decisions);
    }
}

fn push_value(line: &mut Vec<Vec<u8>>, argument: &Arg, decisions: &mut Decisions<'_>) {
    let word = match argument.kind {
        ArgKind::PureToken => return,
        ArgKind::OneOf(of) => {
            let chosen = &of[usize::from(decisions.byte()) % of.len()];
            return push_argument(line, &Arg { optional: false, ..*chosen }, decisions);
        }
        ArgKind::Block(of) => return of.iter().for_each(|inner| push_argument(line, inner, decisions)),
        ArgKind::Key(_) => decisions.pick(&KEYS),
        ArgKind::Integer | ArgKind::UnixTime => decisions.pick(&INTEGERS),
        ArgKind::Double => decisions.pick(&DOUBLES),
        ArgKind::Pattern | ArgKind::KeyPattern(_) => decisions.pick(&PATTERNS),
        ArgKind::String => decisions.pick(&STRINGS),
    };
    line.push(word.as_bytes().to_vec());
}

/// One command in eight is not as its tree says.
fn damage(line: &mut Vec<Vec<u8>>, decisions: &mut Decisions<'_>) {
    let at = usize::from(decisions.byte()) % line.len();
    match decisions.byte() {
        0..=223 => {}
        224..=231 => drop(line.pop()),
        232..=239 => line.insert(at.max(1), decisions.pick(&INTEGERS).as_bytes().to_vec()),
        240..=247 => line.push(decisions.pick(&STRINGS).as_bytes().to_vec()),
        248..=251 => line[at].make_ascii_uppercase(),
        252..=255 => line[at] = vec![decisions.byte(); usize::from(decisions.byte())],
    }
    if line.is_empty() {
        line.push(b"PING".to_vec());
    }
}

fn words(line: &str) -> Vec<Vec<u8>> {
    line.split(' ').map(|word| word.as_bytes().to_vec()).collect()
}

fn encode(out: &mut Vec<u8>, arguments: &[Vec<u8>]) {
    out.extend_from_slice(format!("*{}\r\n", arguments.len()).as_bytes());
    for argument in arguments {
        out.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
        out.extend_from_slice(argument);
        out.extend_from_slice(b"\r\n");
    }
}

fn describe(sent: &[Vec<Vec<u8>>]) -> String {
    sent.iter().map(|arguments| format!("\n  {}", show(arguments))).collect()
}

fn show(arguments: &[Vec<u8>]) -> String {
    arguments.iter().map(|argument| argument.escape_ascii().to_string()).collect::<Vec<_>>().join(" ")
}
