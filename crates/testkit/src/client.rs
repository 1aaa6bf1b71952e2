//! One connection to a server, blocking: requests as words or as bytes, replies as values or as bytes.
//!
//! What ends in a panic says what was sent, because that is all a test wants; the functions that answer `Result` are
//! for programs that go on.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use crate::process::PATIENCE;
use crate::reply::Reply;

/// Says what is wrong with a reply to a command in a protocol, 2 or 3.
pub type Judge = fn(&[Vec<u8>], u8, &Reply) -> Result<(), String>;

/// A connection.
#[derive(Debug)]
pub struct Client(BufReader<Recorder>, Option<Judged>);

/// What a judge must know of a connection. It is given up where replies no longer follow requests one by one.
#[derive(Debug)]
struct Judged {
    judge: Judge,
    protocol: u8,
    /// Requests without a reply so far.
    waiting: VecDeque<Vec<Vec<u8>>>,
    /// Requests that EXEC will answer.
    queued: Vec<Vec<Vec<u8>>>,
}

impl Client {
    /// Connects to a port of this machine, once.
    ///
    /// # Errors
    /// Those of the system.
    pub fn connect(port: u16) -> io::Result<Client> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Client(BufReader::new(Recorder { stream, kept: None }), None))
    }

    /// Has every reply judged from now on; one that is wrong is a panic.
    pub fn judged_by(&mut self, judge: Option<Judge>) {
        self.1 =
            judge.map(|judge| Judged { judge, protocol: 2, waiting: VecDeque::new(), queued: Vec::new() });
    }

    /// Like [`Client::connect`], for tests.
    ///
    /// # Panics
    /// When nobody listens.
    #[track_caller]
    pub fn open(port: u16) -> Client {
        Client::connect(port).unwrap_or_else(|error| panic!("connecting to port {port}: {error}"))
    }

    /// Sends a command without waiting for its reply.
    #[track_caller]
    pub fn send<W: AsRef<[u8]>>(&mut self, words: &[W]) {
        self.write(std::slice::from_ref(&words))
            .unwrap_or_else(|error| panic!("sending {}: {error}", shown(words)));
    }

    /// Sends commands in one write.
    #[track_caller]
    pub fn send_all<W: AsRef<[u8]>>(&mut self, commands: &[Vec<W>]) {
        self.write(commands).unwrap_or_else(|error| panic!("sending: {error}"));
    }

    /// Sends bytes as they are. What is answered from here on is not judged.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.1 = None;
        self.0.get_mut().stream.write_all(bytes)
    }

    fn write<W: AsRef<[u8]>>(&mut self, commands: &[impl AsRef<[W]>]) -> io::Result<()> {
        for words in commands {
            let Some(judged) = &mut self.1 else { break };
            let words: Vec<Vec<u8>> = words.as_ref().iter().map(|word| word.as_ref().to_vec()).collect();
            if answers_once(&words) {
                judged.waiting.push_back(words);
            } else {
                self.1 = None;
            }
        }
        let requests: Vec<u8> = commands.iter().flat_map(|words| encode(words.as_ref())).collect();
        self.0.get_mut().stream.write_all(&requests)
    }

    /// The next reply.
    ///
    /// # Errors
    /// When the connection ends, or the reply does not come within [`PATIENCE`].
    #[track_caller]
    pub fn receive(&mut self) -> io::Result<Reply> {
        let reply = Reply::read(&mut self.0)?;
        self.judge(&reply);
        Ok(reply)
    }

    #[track_caller]
    fn judge(&mut self, reply: &Reply) {
        let Some(judged) = &mut self.1 else { return };
        if matches!(reply, Reply::Push(_)) {
            return;
        }
        match judged.waiting.pop_front() {
            Some(words) => judged.take(&words, reply),
            None => self.1 = None,
        }
    }

    /// The next reply, for tests.
    ///
    /// # Panics
    /// When none comes.
    #[track_caller]
    pub fn reply(&mut self) -> Reply {
        self.receive().unwrap_or_else(|error| panic!("no reply: {error}"))
    }

    /// The very bytes of the next reply.
    ///
    /// # Errors
    /// As [`Client::receive`].
    #[track_caller]
    pub fn receive_exact(&mut self) -> io::Result<Vec<u8>> {
        let ahead = self.0.buffer().to_vec();
        self.0.get_mut().kept = Some(ahead);
        let read = Reply::read(&mut self.0);
        let mut bytes = self.0.get_mut().kept.take().unwrap_or_default();
        self.judge(&read?);
        bytes.truncate(bytes.len() - self.0.buffer().len());
        Ok(bytes)
    }

    /// Everything that comes until the server closes the connection or nothing comes for `silence`; and whether it
    /// was closed.
    pub fn receive_all(&mut self, silence: Duration) -> (Vec<u8>, bool) {
        let mut bytes = Vec::new();
        self.set_patience(silence);
        let closed = loop {
            match self.0.fill_buf() {
                Ok([]) => break true,
                Ok(ready) => {
                    let length = ready.len();
                    bytes.extend_from_slice(ready);
                    self.0.consume(length);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break !is_timeout(&error),
            }
        };
        self.set_patience(PATIENCE);
        (bytes, closed)
    }

    /// Sends a command and answers its reply.
    #[track_caller]
    pub fn call<W: AsRef<[u8]>>(&mut self, words: &[W]) -> Reply {
        self.send(words);
        self.receive().unwrap_or_else(|error| panic!("{}: {error}", shown(words)))
    }

    /// Like [`Client::call`], for words separated by spaces.
    #[track_caller]
    pub fn say(&mut self, line: &str) -> Reply {
        self.call(&line.split(' ').collect::<Vec<_>>())
    }

    /// Like [`Client::call`], with the reply's very bytes.
    #[track_caller]
    pub fn call_exact<W: AsRef<[u8]>>(&mut self, words: &[W]) -> Vec<u8> {
        self.send(words);
        self.receive_exact().unwrap_or_else(|error| panic!("{}: {error}", shown(words)))
    }

    /// Like [`Client::call`], where an error is the caller's, one that the server answers included.
    ///
    /// # Errors
    /// Those of the connection, and the server's.
    pub fn ask<W: AsRef<[u8]>>(&mut self, words: &[W]) -> io::Result<Reply> {
        self.write(std::slice::from_ref(&words))?;
        match self.receive()? {
            Reply::Error(text) => Err(io::Error::other(format!("{} answered: {text}", shown(words)))),
            reply => Ok(reply),
        }
    }

    /// Waits until the server has closed the connection; false when it answers something instead.
    pub fn is_closed(&mut self) -> bool {
        matches!(self.0.fill_buf(), Ok([])) || matches!(self.receive(), Err(error) if !is_timeout(&error))
    }

    /// Whether a reply, or the end, arrives within a time.
    pub fn hears_within(&mut self, time: Duration) -> bool {
        self.set_patience(time);
        let heard = self.0.fill_buf().is_ok();
        self.set_patience(PATIENCE);
        heard
    }

    /// How long a reply may take from now on.
    pub fn set_patience(&mut self, time: Duration) {
        self.0.get_ref().stream.set_read_timeout(Some(time)).expect("a timeout is not zero");
    }

    /// Sends nothing more, but still reads.
    pub fn shut_down_sending(&mut self) {
        // The server may have closed it meanwhile, which is as good.
        let _ = self.0.get_ref().stream.shutdown(Shutdown::Write);
    }

    /// Ends the connection with a reset instead of an orderly end.
    pub fn reset(self) {
        // Where it fails the connection ends in the orderly way.
        let _ = rustix::net::sockopt::set_socket_linger(&self.0.get_ref().stream, Some(Duration::ZERO));
    }

    /// The socket, for what has no function here.
    pub fn socket(&self) -> &TcpStream {
        &self.0.get_ref().stream
    }

    /// INFO's text, of some sections.
    #[track_caller]
    pub fn info(&mut self, sections: &str) -> String {
        self.say(format!("INFO {sections}").trim_end()).text()
    }

    /// A field of INFO; none when it is not there.
    #[track_caller]
    pub fn info_field(&mut self, field: &str) -> Option<String> {
        field_of(&self.info("everything"), field)
    }

    /// A field of INFO that is a whole number.
    ///
    /// # Panics
    /// When it is not there.
    #[track_caller]
    pub fn info_number(&mut self, field: &str) -> i64 {
        let value = self.info_field(field);
        value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("INFO has no number {field}"))
    }

    /// CONFIG GET of all directives.
    #[track_caller]
    pub fn get_all(&mut self) -> BTreeMap<String, Vec<u8>> {
        let reply = self.say("CONFIG GET *");
        let pair = |pair: &[Reply]| match pair {
            [name, Reply::Bulk(value)] => (name.text(), value.clone()),
            other => panic!("{other:?}"),
        };
        reply.elements().chunks_exact(2).map(pair).collect()
    }

    /// CONFIG GET of one directive.
    #[track_caller]
    pub fn get(&mut self, name: &str) -> Vec<u8> {
        match self.call(&["CONFIG", "GET", name]).elements() {
            [_, Reply::Bulk(value)] => value.clone(),
            other => panic!("{name}: {other:?}"),
        }
    }

    /// CONFIG SET; the error, or `None` for OK.
    #[track_caller]
    pub fn set(&mut self, name: &str, value: impl AsRef<[u8]>) -> Option<String> {
        match self.call(&["CONFIG".as_bytes(), b"SET", name.as_bytes(), value.as_ref()]) {
            Reply::Error(text) => Some(text),
            _ => None,
        }
    }

    /// Asks a number of times until `wanted` holds of what `ask` answers, for at most [`PATIENCE`].
    ///
    /// # Panics
    /// When it never does.
    #[track_caller]
    pub fn until<T: std::fmt::Debug>(
        &mut self,
        what: &str,
        mut ask: impl FnMut(&mut Client) -> T,
        mut wanted: impl FnMut(&T) -> bool,
    ) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = ask(self);
            if wanted(&answer) {
                return answer;
            }
            assert!(Instant::now() < deadline, "{what}: {answer:?}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits until this many clients wait in blocking commands.
    #[track_caller]
    pub fn await_blocked(&mut self, wanted: usize) {
        let blocked = |client: &mut Client| client.info_number("blocked_clients");
        self.until(&format!("{wanted} clients wait"), blocked, |found| *found == wanted as i64);
    }
}

impl Judged {
    #[track_caller]
    fn take(&mut self, words: &[Vec<u8>], reply: &Reply) {
        let is = |name: &str| words.first().is_some_and(|word| word.eq_ignore_ascii_case(name.as_bytes()));
        if reply.is_error() {
            return;
        }
        if *reply == Reply::simple("QUEUED") {
            self.queued.push(words.to_vec());
            return;
        }
        match words.get(1).map(Vec::as_slice) {
            Some(b"2") if is("HELLO") => self.protocol = 2,
            Some(b"3") if is("HELLO") => self.protocol = 3,
            _ if is("RESET") => self.protocol = 2,
            _ => {}
        }
        if is("EXEC") || is("DISCARD") || is("RESET") {
            let queued = std::mem::take(&mut self.queued);
            if let (true, Reply::Array(replies)) = (is("EXEC"), reply) {
                queued.iter().zip(replies).for_each(|(words, reply)| self.take(words, reply));
            }
        }
        if let Err(wrong) = (self.judge)(words, self.protocol, reply) {
            panic!("{} answered {reply}: {wrong}", shown(words));
        }
    }
}

/// Whether a request has one reply and leaves it so for those behind it.
fn answers_once(words: &[Vec<u8>]) -> bool {
    let is =
        |at: usize, name: &str| words.get(at).is_some_and(|word| word.eq_ignore_ascii_case(name.as_bytes()));
    let silences = is(0, "CLIENT") && is(1, "REPLY");
    let subscribes = words.first().is_some_and(|word| word.to_ascii_lowercase().ends_with(b"subscribe"));
    !words.is_empty() && !silences && !subscribes && !is(0, "MONITOR")
}

/// A request in RESP form.
pub fn encode<W: AsRef<[u8]>>(words: &[W]) -> Vec<u8> {
    let mut request = format!("*{}\r\n", words.len()).into_bytes();
    for word in words.iter().map(AsRef::as_ref) {
        request.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        request.extend_from_slice(word);
        request.extend_from_slice(b"\r\n");
    }
    request
}

/// The value of a line `field:value`.
pub fn field_of(text: &str, field: &str) -> Option<String> {
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.map(|value| value.trim().to_owned())
}

/// Words as a person would type them, long ones cut.
pub fn shown<W: AsRef<[u8]>>(words: &[W]) -> String {
    const WORD_MAX: usize = 60;
    const WORDS_MAX: usize = 40;
    let word = |word: &W| {
        let bytes = word.as_ref();
        let start = bytes[..bytes.len().min(WORD_MAX)].escape_ascii().to_string();
        match bytes.len() {
            0 => "''".to_owned(),
            length if length > WORD_MAX => format!("{start}...({length} bytes)"),
            _ => start.replace(' ', "\\x20"),
        }
    };
    let mut line = words.iter().take(WORDS_MAX).map(word).collect::<Vec<_>>().join(" ");
    if words.len() > WORDS_MAX {
        line.push_str(&format!(" ...({} words)", words.len()));
    }
    line
}

/// Whether nothing came for as long as was waited.
pub fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// A socket that keeps what is read from it, when that is wanted.
#[derive(Debug)]
struct Recorder {
    stream: TcpStream,
    kept: Option<Vec<u8>>,
}

impl Read for Recorder {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.stream.read(buffer)?;
        if let Some(kept) = &mut self.kept {
            kept.extend_from_slice(&buffer[..length]);
        }
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// A client of a peer that sends these bytes and goes.
    fn told(bytes: &'static [u8]) -> Client {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let answering = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("the client connects");
            stream.write_all(bytes).expect("the client reads");
        });
        let client = Client::open(port);
        answering.join().expect("the answering thread ends");
        client
    }

    #[test]
    fn the_bytes_of_a_reply_end_where_the_next_begins() {
        let mut client = told(b"*2\r\n$1\r\na\r\n:1\r\n+OK\r\n%1\r\n+k\r\n_\r\n");
        assert_eq!(client.receive_exact().ok().as_deref(), Some(&b"*2\r\n$1\r\na\r\n:1\r\n"[..]));
        assert_eq!(client.receive().ok(), Some(Reply::ok()));
        assert_eq!(client.receive_exact().ok().as_deref(), Some(&b"%1\r\n+k\r\n_\r\n"[..]));
        assert!(client.is_closed());
    }

    #[test]
    fn all_that_comes_is_told_with_its_end() {
        assert_eq!(told(b"+a\r\n").receive_all(PATIENCE), (b"+a\r\n".to_vec(), true));
    }

    /// A judge of one text.
    fn only_ok(_: &[Vec<u8>], _: u8, reply: &Reply) -> Result<(), String> {
        if *reply == Reply::ok() { Ok(()) } else { Err("no OK".to_owned()) }
    }

    /// A judged connection that has sent these lines.
    fn judged(lines: &[&str], replies: &'static [u8]) -> Client {
        let mut client = told(replies);
        client.judged_by(Some(only_ok));
        let words = |line: &&str| line.split(' ').map(|word| word.as_bytes().to_vec()).collect();
        client.1.as_mut().expect("it is judged").waiting = lines.iter().map(words).collect();
        client
    }

    #[test]
    fn errors_and_pushes_are_not_judged() {
        let mut client = judged(&["GET k", "SET k v"], b"-ERR x\r\n>1\r\n:1\r\n+OK\r\n:1\r\n");
        // The last reply belongs to no request: from there on nothing can be judged.
        (0..4).for_each(|_| drop(client.reply()));
    }

    #[test]
    #[should_panic(expected = "INCR k answered :2: no OK")]
    fn each_reply_is_judged_by_its_own_request() {
        let mut client = judged(&["SET k 1", "INCR k"], b"+OK\r\n:2\r\n");
        (0..2).for_each(|_| drop(client.reply()));
    }

    #[test]
    #[should_panic(expected = "INCR k answered :2: no OK")]
    fn replies_within_exec_are_judged() {
        let replies = b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n:2\r\n";
        let mut client = judged(&["MULTI", "SET k 1", "INCR k", "EXEC"], replies);
        (0..4).for_each(|_| drop(client.reply()));
    }

    #[test]
    fn requests_are_arrays_of_bulk_strings() {
        assert_eq!(encode(&["GET", "k"]), b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n");
        assert_eq!(shown(&["SET", "", "a b"]), "SET '' a\\x20b");
    }

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let text = "a:1\r\nab:2\r\n";
        let found = ["a", "ab", "b"].map(|field| field_of(text, field));
        assert_eq!(found, [Some("1".to_owned()), Some("2".to_owned()), None]);
    }
}
