//! Two servers are given the same commands and must answer, count and hold the same.
//!
//! A difference is shrunk before it is shown: commands are left out, on emptied servers, for as long as the same
//! comparison still fails.

use std::fmt;
use std::time::{Duration, Instant};

use crate::client::{Client, field_of, shown};
use crate::grammar::Grammar;
use crate::process::{Program, Server};
use crate::random::Random;
use crate::reply::Reply;

/// How long a key whose time is over may be there, and count in a digest, until either server has come round to it.
const EXPIRY_MAX: Duration = Duration::from_secs(2);
/// How long shrinking may take.
const SHRINKING_MAX: Duration = Duration::from_secs(60);

/// One command, and how its replies are compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Name and arguments.
    pub words: Vec<Vec<u8>>,
    /// What makes two replies alike.
    pub compare: Compare,
}

/// How two replies are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    /// Byte for byte.
    Exact,
    /// The order of an array says nothing.
    Sorted,
    /// All keys of a full scan, whatever the steps.
    Scan,
    /// A key that exists, or none.
    Exists,
    /// Times in units of this many milliseconds, which differ by the time between the two servers.
    Time {
        /// Milliseconds in one.
        unit_ms: u64,
    },
    /// As a stream is described: times in it may differ somewhat, and how it is kept in any way.
    Times,
    /// Both are errors or neither is.
    Any,
}

impl Step {
    /// A command from words separated by spaces, compared byte for byte.
    pub fn line(line: &str) -> Step {
        let words = line.split(' ').map(|word| word.as_bytes().to_vec()).collect();
        Step { words, compare: Compare::Exact }
    }

    /// Whether it is this command, or this command and subcommand (`config|set`).
    pub fn is(&self, name: &str) -> bool {
        name.split('|')
            .zip(self.words.iter().map(Some).chain(std::iter::repeat(None)))
            .all(|(part, word)| word.is_some_and(|word| word.eq_ignore_ascii_case(part.as_bytes())))
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.words))
    }
}

/// A difference that is meant.
#[derive(Clone, Copy, Debug)]
pub struct Explained {
    /// Why it is.
    pub reason: &'static str,
    /// What the versions of the peers begin with that differ so.
    pub versions: &'static str,
    /// Whether it is this one: the command, our reply, the peer's.
    pub holds: fn(&Step, &[u8], &[u8]) -> bool,
}

/// Redis 7.0 has one encoding of lists, later ones two.
pub const ENCODING_OF_LISTS: Explained = Explained {
    reason: "Redis 7.0 has one encoding of lists",
    versions: "7.0.",
    holds: |step, ours, theirs| {
        step.is("object") && ours == b"$8\r\nlistpack\r\n" && theirs == b"$9\r\nquicklist\r\n"
    },
};

/// Small sets are a `listpack` since Redis 7.2.
pub const ENCODING_OF_SETS: Explained = Explained {
    reason: "Redis 7.0 has no packed sets",
    versions: "7.0.",
    holds: |step, ours, theirs| {
        step.is("object") && ours == b"$8\r\nlistpack\r\n" && theirs == b"$9\r\nhashtable\r\n"
    },
};

/// A double has the fewest digits that read back as the same number since Redis 7.2.
pub const DOUBLES: Explained = Explained {
    reason: "Redis 7.0 writes doubles with 17 digits",
    versions: "7.0.",
    holds: |_, ours, theirs| agree_but_for_doubles(ours, theirs, |one, other| one == other),
};

/// Whether two replies are alike but for words that are doubles which agree.
pub fn agree_but_for_doubles(ours: &[u8], theirs: &[u8], agree: fn(f64, f64) -> bool) -> bool {
    let words = |reply: &[u8]| -> Vec<String> {
        let text = String::from_utf8_lossy(reply).into_owned();
        let words = text.split("\r\n").filter(|word| !word.starts_with('$'));
        words.map(|word| word.trim_start_matches(',').to_owned()).collect()
    };
    let (ours, theirs) = (words(ours), words(theirs));
    let are_alike = |one: &String, other: &String| {
        one == other || one.parse().is_ok_and(|one| other.parse().is_ok_and(|other| agree(one, other)))
    };
    ours.len() == theirs.len() && ours.iter().zip(&theirs).all(|(one, other)| are_alike(one, other))
}

/// ZRANK and ZREVRANK take no word behind the member before Redis 7.2.
pub const WITHSCORE: Explained = Explained {
    reason: "WITHSCORE came with Redis 7.2",
    versions: "7.0.",
    holds: |step, _, theirs| {
        (step.is("zrank") || step.is("zrevrank")) && theirs.starts_with(b"-ERR wrong number of arguments")
    },
};

/// Redis 8 counts the key among the bytes of a string that are stored together, earlier ones do not.
pub const ENCODING_OF_SHORT_STRINGS: Explained = Explained {
    reason: "Redis 7.0 calls a string of 44 bytes embstr whatever its key",
    versions: "7.0.",
    holds: |step, ours, theirs| {
        step.is("object") && ours == b"$3\r\nraw\r\n" && theirs == b"$6\r\nembstr\r\n"
    },
};

/// What is compared, and how often.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// Steps between two comparisons of DEBUG DIGEST; none where it is 0.
    pub steps_per_digest: usize,
    /// Steps between two changes of the protocol; none where it is 0.
    pub steps_per_protocol: usize,
    /// Steps between turning keyspace events on and off, which are compared while they are on; none where it is 0, and
    /// where the peer is not of the version whose events ours are.
    pub steps_per_events: usize,
    /// Whether changes, hits and misses that INFO counts are compared for a step that both answered without an error.
    pub counted: Option<fn(&Step) -> bool>,
    /// Differences that are meant.
    pub explained: &'a [Explained],
}

impl Default for Options<'_> {
    fn default() -> Self {
        Options {
            steps_per_digest: 40,
            steps_per_protocol: 500,
            steps_per_events: 700,
            counted: None,
            explained: &[],
        }
    }
}

/// Two servers side by side.
#[derive(Debug)]
pub struct Pair {
    /// Ours.
    pub ours: Server,
    /// The peer.
    pub theirs: Server,
    /// Its version.
    version: String,
    /// The longest time between the two for one command so far.
    apart_ms: u64,
    /// What hears the keyspace events of each.
    events: Option<[Events; 2]>,
}

/// The versions of the peer whose events ours are.
const EVENTS_OF: &str = "8.6.";
/// Every class of events.
const EVENTS: &str = "CONFIG SET notify-keyspace-events KEAmnoc";
const NO_EVENTS: &str = "CONFIG SET notify-keyspace-events";

/// Hears the keyspace events of a server.
#[derive(Debug)]
struct Events {
    listens: Client,
    /// Publishes a sign behind the events of a command.
    marks: Client,
}

impl Events {
    const MARK: &'static str = "__keyspace@mark__:";

    fn of(server: &Server) -> Events {
        let mut listens = server.connect();
        listens.say("PSUBSCRIBE __key*__:*");
        Events { listens, marks: server.connect() }
    }

    /// The events since the last time: channel and message. What expires does so when either server comes round to it, and
    /// is left out, together with the end of a key whose last parts have expired.
    fn heard(&mut self) -> Vec<String> {
        self.marks.call(&["PUBLISH", Events::MARK, ""]);
        let mut all = Vec::new();
        loop {
            let message = self.listens.reply();
            let [_, _, channel, text] = message.elements() else { panic!("{message}") };
            if channel.text() == Events::MARK {
                break;
            }
            all.push(format!("{} {}", channel.text(), text.text()));
        }
        let expired: Vec<String> = all
            .iter()
            .filter_map(|event| {
                event.strip_prefix("__keyspace")?.strip_suffix(" hexpired").map(str::to_owned)
            })
            .collect();
        let by_time = |event: &String| {
            let deleted = |key: &String| *event == format!("__keyspace{key} del");
            event.contains("expired") || expired.iter().any(deleted)
        };
        if !expired.is_empty() {
            all.retain(|event| !event.starts_with("__keyevent"));
        }
        all.retain(|event| !by_time(event));
        all
    }
}

/// What was found.
#[derive(Debug)]
pub struct Difference {
    /// The shortest sequence found that shows it, the last command being the one that shows it.
    pub steps: Vec<Step>,
    /// What differs.
    pub what: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.steps.iter().try_for_each(|step| writeln!(f, "    {step}"))?;
        write!(f, "{}", self.what)
    }
}

/// Gives random commands of a grammar to our server and to a real Redis, where there is one.
///
/// # Panics
/// When they differ; with the shortest sequence found that shows it.
#[track_caller]
pub fn compare(ours: &Program, name: &str, file: &str, grammar: &str, count: usize, options: &Options<'_>) {
    let Some(redis) = Program::redis() else { return };
    let grammar = Grammar::read(grammar);
    let mut random = Random::from_environment();
    let mut pair = Pair::start(ours, &redis, name, file);
    let compared = pair.run(&mut random, count, options, |random| grammar.step(random));
    compared.unwrap_or_else(|difference| panic!("{name} differ:\n{difference}"));
}

impl Pair {
    /// Starts both with the same configuration.
    #[track_caller]
    pub fn start(ours: &Program, theirs: &Program, name: &str, file: &str) -> Pair {
        let version = theirs.version();
        let (ours, theirs) = (ours.start(name, file), theirs.start(name, file));
        let events = version.starts_with(EVENTS_OF).then(|| [Events::of(&ours), Events::of(&theirs)]);
        Pair { ours, theirs, version, apart_ms: 0, events }
    }

    /// Gives both `count` commands.
    ///
    /// # Errors
    /// The first difference, shrunk.
    pub fn run(
        &mut self,
        random: &mut Random,
        count: usize,
        options: &Options<'_>,
        mut next: impl FnMut(&mut Random) -> Step,
    ) -> Result<(), Difference> {
        let mut steps: Vec<Step> = Vec::new();
        self.empty();
        for number in 1..=count {
            if options.steps_per_protocol > 0 && number % options.steps_per_protocol == 0 {
                let version = 2 + random.below(2);
                steps.push(Step { compare: Compare::Any, ..Step::line(&format!("HELLO {version}")) });
            } else if self.events.is_some()
                && options.steps_per_events > 0
                && number % options.steps_per_events == 0
            {
                let mut step =
                    Step::line(if number / options.steps_per_events % 2 == 1 { EVENTS } else { NO_EVENTS });
                // The empty word has no place in a line.
                step.words.extend((step.words.len() == 3).then(Vec::new));
                steps.push(Step { compare: Compare::Any, ..step });
            } else {
                steps.push(next(random));
            }
            let with_digest = options.steps_per_digest > 0 && number % options.steps_per_digest == 0;
            let step = steps.last().expect("one was just pushed").clone();
            if let Err(what) = self.take(&step, options, with_digest) {
                // An answer too many shows itself at the next command, and ever after.
                let before = steps.len().checked_sub(2).map(|at| steps[at].clone());
                let mut difference = self.shrink(steps, options, what);
                if let ([_], Some(before)) = (&difference.steps[..], before) {
                    difference.what += &format!("\nfirst seen right after {before}");
                }
                return Err(difference);
            }
        }
        Ok(())
    }

    /// Gives both one command.
    ///
    /// # Errors
    /// What differs.
    pub fn take(&mut self, step: &Step, options: &Options<'_>, with_digest: bool) -> Result<(), String> {
        let before = options.counted.map(|_| [counters(&mut self.ours), counters(&mut self.theirs)]);
        let began = Instant::now();
        let (ours, theirs) = (answer(&mut self.ours.client, step), answer(&mut self.theirs.client, step));
        self.apart_ms = self.apart_ms.max(began.elapsed().as_millis() as u64 + 1);
        if !self.agree(step.compare, &ours, &theirs)
            && !self.is_explained(options.explained, step, &ours, &theirs)
        {
            return Err(format!("ours    {}\npeer's  {}", escaped(&ours), escaped(&theirs)));
        }
        if let Some(events) = &mut self.events
            && options.steps_per_events > 0
        {
            let [ours, theirs] = events.each_mut().map(Events::heard);
            if ours != theirs {
                return Err(format!("events: {ours:?}\npeer's: {theirs:?}"));
            }
        }
        if let (Some(counted), Some(before)) = (options.counted, before)
            && counted(step)
            && !ours.starts_with(b"-")
        {
            let after = [counters(&mut self.ours), counters(&mut self.theirs)];
            let growth = |at: usize| [0, 1, 2].map(|field| after[at][field] - before[at][field]);
            if growth(0) != growth(1) {
                return Err(format!("changes, hits, misses: {:?}, peer's {:?}", growth(0), growth(1)));
            }
        }
        if with_digest {
            let begin = Instant::now();
            loop {
                let [ours, theirs] =
                    [&mut self.ours, &mut self.theirs].map(|server| server.say("DEBUG DIGEST").text());
                if ours == theirs {
                    break;
                }
                if begin.elapsed() > EXPIRY_MAX {
                    return Err(format!("DEBUG DIGEST: {ours}, peer's {theirs}"));
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        Ok(())
    }

    fn is_explained(&self, explained: &[Explained], step: &Step, ours: &[u8], theirs: &[u8]) -> bool {
        let mut of_peer = explained.iter().filter(|one| self.version.starts_with(one.versions));
        of_peer.any(|one| (one.holds)(step, ours, theirs))
    }

    fn agree(&self, compare: Compare, ours: &[u8], theirs: &[u8]) -> bool {
        let read = |mut bytes: &[u8]| Reply::read(&mut bytes).ok();
        match compare {
            Compare::Exact | Compare::Scan | Compare::Exists => ours == theirs,
            Compare::Any => ours.starts_with(b"-") == theirs.starts_with(b"-"),
            Compare::Times => match (read(ours), read(theirs)) {
                (Some(one), Some(other)) => are_alike_but_for_times(&one, &other),
                _ => ours == theirs,
            },
            Compare::Sorted => read(ours).map(Reply::sorted) == read(theirs).map(Reply::sorted),
            Compare::Time { unit_ms } => match (read(ours), read(theirs)) {
                // Apart when the time was set and again now; rounded on both sides.
                (Some(Reply::Integer(one)), Some(Reply::Integer(other))) if one >= 0 && other >= 0 => {
                    one.abs_diff(other) <= 2 * self.apart_ms / unit_ms + 1
                }
                (one, other) => one == other,
            },
        }
    }

    /// Both without keys, in the state of a new connection.
    fn empty(&mut self) {
        for server in [&mut self.ours, &mut self.theirs] {
            for line in ["RESET", "FLUSHALL", "CONFIG RESETSTAT"] {
                // A command that was renamed away is no difference.
                server.say(line);
            }
            server.call(&[b"CONFIG", b"SET", b"notify-keyspace-events", b""]);
        }
    }

    /// Leaves out what the difference does not need.
    fn shrink(&mut self, steps: Vec<Step>, options: &Options<'_>, what: String) -> Difference {
        let deadline = Instant::now() + SHRINKING_MAX;
        let mut best = Difference { steps, what };
        let mut chunk = best.steps.len().div_ceil(2);
        while chunk > 0 && Instant::now() < deadline {
            let mut removed = false;
            let mut from = 0;
            while from < best.steps.len() && Instant::now() < deadline {
                let mut fewer = best.steps.clone();
                fewer.drain(from..(from + chunk).min(fewer.len()));
                match self.first_difference(&fewer, options) {
                    Some(difference) => {
                        best = difference;
                        removed = true;
                    }
                    None => from += chunk,
                }
            }
            if !removed || chunk > best.steps.len() {
                chunk = if chunk == 1 && !removed { 0 } else { (chunk / 2).max(1) };
            }
        }
        best
    }

    fn first_difference(&mut self, steps: &[Step], options: &Options<'_>) -> Option<Difference> {
        self.empty();
        for (index, step) in steps.iter().enumerate() {
            let with_digest = options.steps_per_digest > 0 && index + 1 == steps.len();
            if let Err(what) = self.take(step, options, with_digest) {
                return Some(Difference { steps: steps[..=index].to_vec(), what });
            }
        }
        None
    }
}

/// Milliseconds by which two servers may differ that were told the same one after the other.
const TIMES_APART_MS: u64 = 5_000;

/// Whether two replies are alike but for times: those of consumers, and of entries that are pending.
fn are_alike_but_for_times(one: &Reply, other: &Reply) -> bool {
    const TIMES: [&[u8]; 4] = [b"idle", b"inactive", b"seen-time", b"active-time"];
    // A tree of pages, some of which stay when they are empty, and what is forgotten now and then.
    const FREE: [&[u8]; 4] = [b"radix-tree-keys", b"radix-tree-nodes", b"pids-tracked", b"iids-tracked"];
    let near = |one: &Reply, other: &Reply| match (one, other) {
        (Reply::Integer(one), Reply::Integer(other)) => {
            (*one < 0) == (*other < 0) && one.abs_diff(*other) < TIMES_APART_MS
        }
        _ => one == other,
    };
    let (one, other) = match (one, other) {
        (Reply::Array(one), Reply::Array(other)) | (Reply::Map(one), Reply::Map(other)) => (one, other),
        _ => return one == other,
    };
    // An entry that is pending: its identifier, who has it, since when, how often it was delivered.
    let time_at = match &one[..] {
        [Reply::Bulk(_), Reply::Bulk(_) | Reply::Array(_), Reply::Integer(_), Reply::Integer(_)] => Some(2),
        [Reply::Bulk(_), Reply::Integer(_), Reply::Integer(_)] => Some(1),
        _ => None,
    };
    let names = std::iter::once(None).chain(one.iter().map(Some));
    let alike = |(at, (name, (one, other))): (usize, (Option<&Reply>, (&Reply, &Reply)))| match name {
        Some(Reply::Bulk(name)) if TIMES.contains(&&name[..]) => near(one, other),
        Some(Reply::Bulk(name)) if FREE.contains(&&name[..]) => true,
        _ if Some(at) == time_at => near(one, other),
        _ => are_alike_but_for_times(one, other),
    };
    one.len() == other.len() && names.zip(one.iter().zip(other)).enumerate().all(alike)
}

/// The reply in a form that two servers can be compared by.
fn answer(client: &mut Client, step: &Step) -> Vec<u8> {
    let bytes = client.call_exact(&step.words);
    let reply = Reply::read(&mut &bytes[..]);
    match (step.compare, reply) {
        (Compare::Scan, Ok(Reply::Array(first))) => whole_scan(client, step, first),
        (Compare::Exists, Ok(Reply::Bulk(key))) => client.call_exact(&[b"EXISTS", &key[..]]),
        _ => bytes,
    }
}

/// The keys of a whole scan, each once and in order.
fn whole_scan(client: &mut Client, step: &Step, first: Vec<Reply>) -> Vec<u8> {
    let mut found = Vec::new();
    let mut parts = first;
    loop {
        let [Reply::Bulk(cursor), Reply::Array(keys)] = &parts[..] else { panic!("{parts:?}") };
        found.extend(keys.iter().map(ToString::to_string));
        if cursor == b"0" {
            break;
        }
        let mut words = step.words.clone();
        words[1].clone_from(cursor);
        let Reply::Array(next) = client.call(&words) else { panic!("{}", shown(&words)) };
        parts = next;
    }
    found.sort();
    found.dedup();
    found.join(" ").into_bytes()
}

/// Changes, keys found and keys not found so far.
fn counters(server: &mut Server) -> [i64; 3] {
    let info = server.client.info("persistence stats");
    ["rdb_changes_since_last_save", "keyspace_hits", "keyspace_misses"].map(|field| {
        let value = field_of(&info, field);
        value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("INFO has no {field}"))
    })
}

fn escaped(reply: &[u8]) -> String {
    const SHOWN_MAX: usize = 400;
    reply.escape_ascii().to_string().chars().take(SHOWN_MAX).collect()
}
