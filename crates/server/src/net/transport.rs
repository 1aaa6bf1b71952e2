//! How a connection's bytes travel: as they are, or with TLS. Nothing above this knows the difference.
//!
//! Without TLS bytes go from and to the buffers of the connection in one call of the system. With it they are read into a
//! buffer that the thread lends, so that a connection that says nothing holds none, and written through records that the
//! session keeps until the socket takes them.

use std::cell::RefCell;
use std::io::{BufRead as _, IoSlice, Write as _};

use mio::event::Source;
use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustls::ServerConnection;
use rustls::pki_types::CertificateDer;
use swytch_resp::Output;

use super::stream::Stream;
use crate::tls::common_name;

/// Bytes of records read at a time.
const RECORDS_BYTES: usize = 64 * 1024;
/// Most slices written at a time.
const SLICES_MAX: usize = 64;
/// What the first record of a TLS client begins with: a handshake, and the first byte of every version.
const CLIENT_HELLO: [u8; 2] = [0x16, 0x03];

/// How a connection's bytes travel.
#[derive(Debug)]
pub(super) enum Transport {
    /// As they are.
    Plain(Stream),
    /// In the records of a session.
    Secure(Box<Secure>),
}

/// What was read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrived {
    /// Bytes; 0 at the end.
    pub(super) bytes: usize,
    /// There is nothing more for now.
    pub(super) is_all: bool,
}

impl Transport {
    /// A connection's, with TLS if there is a session.
    pub(super) fn new(stream: Stream, session: Option<ServerConnection>) -> Transport {
        match session {
            None => Transport::Plain(stream),
            Some(session) => Transport::Secure(Box::new(Secure::new(stream, session))),
        }
    }

    /// The socket.
    pub(super) fn stream(&self) -> &Stream {
        match self {
            Transport::Plain(stream) => stream,
            Transport::Secure(secure) => &secure.stream,
        }
    }

    /// The socket as the event loop registers it.
    pub(super) fn source(&mut self) -> &mut dyn Source {
        match self {
            Transport::Plain(stream) => stream,
            Transport::Secure(secure) => &mut secure.stream,
        }
    }

    /// The session, if there is one.
    pub(super) fn secure(&mut self) -> Option<&mut Secure> {
        match self {
            Transport::Plain(_) => None,
            Transport::Secure(secure) => Some(secure),
        }
    }

    /// True until the peer and the server have agreed on how to talk.
    pub(super) fn is_handshaking(&self) -> bool {
        matches!(self, Transport::Secure(secure) if secure.session.is_handshaking())
    }

    /// Whether these bytes, the first that a connection has sent, are those of a TLS client that has come to the wrong port.
    pub(super) fn is_mistaken(&self, first: &[u8]) -> bool {
        matches!(self, Transport::Plain(_)) && first.starts_with(&CLIENT_HELLO)
    }

    /// Reads once, no more than fits.
    ///
    /// # Errors
    /// `AGAIN` when nothing has arrived, and others when the connection is broken.
    #[inline]
    pub(super) fn read(&mut self, buffer: &mut Vec<u8>) -> rustix::io::Result<Arrived> {
        match self {
            Transport::Plain(stream) => {
                let room = buffer.capacity() - buffer.len();
                let bytes = retry(|| rustix::io::read(&*stream, spare_capacity(buffer)))?;
                Ok(Arrived { bytes, is_all: bytes < room })
            }
            Transport::Secure(secure) => secure.read(buffer),
        }
    }

    /// Writes once, up to `free` bytes of an output: how many were taken.
    ///
    /// # Errors
    /// `AGAIN` when nothing is taken now, and others when the connection is broken.
    #[inline]
    pub(super) fn write(&mut self, output: &Output, free: usize) -> rustix::io::Result<usize> {
        match self {
            Transport::Plain(stream) => match output.only_slice() {
                Some(bytes) => retry(|| rustix::io::write(&*stream, &bytes[..bytes.len().min(free)])),
                None => write_several(stream, output, free),
            },
            Transport::Secure(secure) => secure.write(output, free),
        }
    }

    /// True while something was taken that has not left.
    #[inline]
    pub(super) fn has_unsent(&self) -> bool {
        matches!(self, Transport::Secure(secure) if secure.session.wants_write())
    }

    /// Has what was taken leave as far as the socket takes it.
    ///
    /// # Errors
    /// When the connection is broken.
    #[inline]
    pub(super) fn flush(&mut self) -> rustix::io::Result<()> {
        match self {
            Transport::Plain(_) => Ok(()),
            Transport::Secure(secure) => secure.flush(),
        }
    }

    /// Says that nothing more comes, if the peer still listens.
    pub(super) fn say_end(&mut self) {
        if let Transport::Secure(secure) = self {
            secure.session.send_close_notify();
            // It ends in any case.
            let _ = secure.flush();
        }
    }
}

#[cold]
fn write_several(stream: &Stream, output: &Output, free: usize) -> rustix::io::Result<usize> {
    let mut slices = [IoSlice::new(&[]); SLICES_MAX];
    match free_slices(output, &mut slices, free) {
        0 => retry(|| rustix::io::write(stream, &slices[0][..free])),
        count => retry(|| rustix::io::writev(stream, &slices[..count])),
    }
}

/// The first slices of an output, and how many of them are whole within `free` bytes.
fn free_slices<'a>(output: &'a Output, slices: &mut [IoSlice<'a>], free: usize) -> usize {
    let count = output.slices(slices);
    let mut left = free;
    let fits = |slice: &&IoSlice<'a>| {
        let fits = slice.len() <= left;
        left = left.saturating_sub(slice.len());
        fits
    };
    slices[..count].iter().take_while(fits).count()
}

fn retry<T>(mut act: impl FnMut() -> rustix::io::Result<T>) -> rustix::io::Result<T> {
    loop {
        match act() {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}

/// A TLS session over a socket.
#[derive(Debug)]
pub(super) struct Secure {
    stream: Stream,
    session: ServerConnection,
    /// Records that were read and not yet looked at, from this place on.
    records: Vec<u8>,
    from: usize,
    /// Nothing more had arrived behind them when they were read, a moment ago.
    is_all: bool,
    has_read: bool,
    /// Why it ended, if it was not the peer's wish.
    fault: Option<Fault>,
    /// The peer has been looked at since it was known.
    is_greeted: bool,
}

/// Why a session ended.
#[derive(Debug)]
pub(super) enum Fault {
    /// The peer does not speak TLS.
    NotTls,
    /// It does, and there was no agreement, or a record is wrong.
    Session(rustls::Error),
}

thread_local! {
    /// Room for records, lent to the connection that reads.
    static RECORDS: RefCell<Vec<u8>> = RefCell::new(Vec::with_capacity(RECORDS_BYTES));
}

impl Secure {
    fn new(stream: Stream, session: ServerConnection) -> Secure {
        Secure {
            stream,
            session,
            records: Vec::new(),
            from: 0,
            is_all: false,
            has_read: false,
            fault: None,
            is_greeted: false,
        }
    }

    /// True when something is known that nobody was told.
    pub(super) fn has_news(&self) -> bool {
        self.fault.is_some() || !self.is_greeted && !self.session.is_handshaking()
    }

    /// Why it ended, said once.
    pub(super) fn take_fault(&mut self) -> Option<Fault> {
        self.fault.take()
    }

    /// The common name in the peer's certificate, or that there is none, once, when the peer is known.
    pub(super) fn greet(&mut self) -> Option<Option<Vec<u8>>> {
        if self.is_greeted || self.session.is_handshaking() {
            return None;
        }
        self.is_greeted = true;
        let certificate: Option<&CertificateDer<'_>> =
            self.session.peer_certificates().and_then(<[_]>::first);
        Some(certificate.and_then(common_name))
    }

    /// Reads what fits into the buffer.
    fn read(&mut self, buffer: &mut Vec<u8>) -> rustix::io::Result<Arrived> {
        let room = buffer.capacity() - buffer.len();
        let mut bytes = 0;
        // More may have come since the socket was read the last time, and the event that said so is forgotten after this.
        self.is_all = false;
        let result = loop {
            match self.take_plain(buffer, room - bytes) {
                Plain::Some(taken) => {
                    bytes += taken;
                    if bytes == room {
                        break Ok(false);
                    }
                }
                // The end is read by itself.
                Plain::End => break Ok(bytes == 0),
                Plain::None => match self.take_records(bytes > 0) {
                    Ok(true) => {}
                    Ok(false) => break Ok(self.is_all),
                    Err(Errno::AGAIN) if bytes > 0 => break Ok(true),
                    // What has arrived before is taken first.
                    Err(_) if bytes > 0 => break Ok(false),
                    Err(error) => break Err(error),
                },
            }
        };
        self.give_back();
        Ok(Arrived { bytes, is_all: result? })
    }

    /// Moves what the session has opened to the buffer.
    fn take_plain(&mut self, buffer: &mut Vec<u8>, room: usize) -> Plain {
        let mut reader = self.session.reader();
        match reader.fill_buf() {
            Ok([]) => Plain::End,
            Ok(opened) => {
                let count = opened.len().min(room);
                buffer.extend_from_slice(&opened[..count]);
                reader.consume(count);
                Plain::Some(count)
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Plain::None,
            // The connection has ended without the session's end being said.
            Err(_) => Plain::End,
        }
    }

    /// Gives the session the records that have arrived; false when that was no more than there already were. Reads from the
    /// socket if there are none, and not `has_some` of something else to do.
    fn take_records(&mut self, has_some: bool) -> rustix::io::Result<bool> {
        if self.from == self.records.len() {
            if has_some && self.is_all {
                return Ok(false);
            }
            self.read_records()?;
        }
        let mut left = &self.records[self.from..];
        // An end is given to the session as an empty read.
        let taken = self.session.read_tls(&mut left).map_err(|_| Errno::CONNRESET)?;
        self.from += taken;
        let is_first = !std::mem::replace(&mut self.has_read, true);
        let processed = self.session.process_new_packets();
        let flushed = self.flush();
        if let Err(error) = processed {
            let is_tls = !is_first || self.records.first() == Some(&CLIENT_HELLO[0]);
            self.fault = Some(if is_tls { Fault::Session(error) } else { Fault::NotTls });
            return Err(Errno::PROTO);
        }
        flushed?;
        Ok(true)
    }

    fn read_records(&mut self) -> rustix::io::Result<()> {
        if self.records.capacity() < RECORDS_BYTES {
            self.records = RECORDS.take();
            self.records.reserve(RECORDS_BYTES);
        }
        self.records.clear();
        self.from = 0;
        let room = self.records.capacity();
        let stream = &self.stream;
        let read = retry(|| rustix::io::read(stream, spare_capacity(&mut self.records)));
        self.is_all = match read {
            Ok(bytes) => bytes < room,
            Err(_) => true,
        };
        read.map(drop)
    }

    /// Returns the room for records that are all looked at; else they keep no more than they need.
    fn give_back(&mut self) {
        let left = &self.records[self.from..];
        if left.is_empty() || self.records.capacity() >= RECORDS_BYTES {
            let left = left.to_vec();
            let mut records = std::mem::replace(&mut self.records, left);
            self.from = 0;
            if records.capacity() >= RECORDS_BYTES {
                records.clear();
                RECORDS.set(records);
            }
        }
    }

    fn write(&mut self, output: &Output, free: usize) -> rustix::io::Result<usize> {
        self.flush()?;
        // Before the handshake the session would keep what is written, without a limit of ours.
        if self.session.wants_write() || self.session.is_handshaking() {
            return Err(Errno::AGAIN);
        }
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let count = free_slices(output, &mut slices, free);
        let mut writer = self.session.writer();
        let taken = match count {
            0 => writer.write(&slices[0][..slices[0].len().min(free)]),
            _ => writer.write_vectored(&slices[..count]),
        };
        let taken = taken.map_err(|_| Errno::CONNRESET)?;
        self.flush()?;
        if taken == 0 { Err(Errno::AGAIN) } else { Ok(taken) }
    }

    fn flush(&mut self) -> rustix::io::Result<()> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut Socket(&self.stream)) {
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(_) => return Err(Errno::CONNRESET),
            }
        }
        Ok(())
    }
}

/// What a session has for its reader.
enum Plain {
    Some(usize),
    None,
    End,
}

/// The socket as a session writes to it.
struct Socket<'a>(&'a Stream);

impl std::io::Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        Ok(retry(|| rustix::io::write(self.0, bytes))?)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> std::io::Result<usize> {
        Ok(retry(|| rustix::io::writev(self.0, slices))?)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
