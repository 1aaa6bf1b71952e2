//! One connection to the metrics port: it reads a request, answers, and ends; each step has a time.
//!
//! The owner (`serve.rs`) calls [`Connection::advance`] when the socket has news, and closes what answers [`End`].

use std::io::{self, Read, Write};
use std::sync::Arc;

use mio::net::TcpStream;

use super::http::{self, Request, Response};
use crate::system::clock::MonotonicMs;

/// Time for the whole request to arrive.
const READ_MS: u64 = 2_000;
/// Time for the whole answer to be made and taken.
const WRITE_MS: u64 = 10_000;
/// Time and bytes for what a peer still sends once it has its answer: a connection closed with unread bytes in it is
/// reset, and the answer may be lost.
const LINGER_MS: u64 = 1_000;
const LINGER_BYTES_MAX: usize = 64 * 1024;

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) stream: TcpStream,
    state: State,
    deadline: MonotonicMs,
}

#[derive(Debug)]
enum State {
    Reading(Vec<u8>),
    /// For the page of metrics.
    Waiting {
        head_only: bool,
    },
    Writing {
        response: Arc<Response>,
        head_only: bool,
        written: usize,
    },
    Lingering {
        bytes: usize,
    },
}

/// The connection is to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End;

/// What a connection has come to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// It waits for its peer.
    Waits,
    /// It has a request; answer it with [`Connection::answer`] or [`Connection::promise_page`].
    Asked(Request),
}

impl Connection {
    pub(super) fn new(stream: TcpStream) -> Connection {
        let deadline = MonotonicMs::now().after(READ_MS);
        Connection { stream, state: State::Reading(Vec::new()), deadline }
    }

    /// Reads or writes what is possible now.
    pub(super) fn advance(&mut self) -> Result<Progress, End> {
        loop {
            match &mut self.state {
                State::Waiting { .. } => return Ok(Progress::Waits),
                State::Reading(arrived) => {
                    let mut part = [0; 1024];
                    match self.stream.read(&mut part) {
                        Ok(0) => return Err(End),
                        Ok(length) => arrived.extend_from_slice(&part[..length]),
                        Err(error) => return waits(&error),
                    }
                    match http::parse(arrived) {
                        None => {}
                        Some(Ok(request)) => return Ok(Progress::Asked(request)),
                        Some(Err(response)) => self.write(Arc::new(response), false),
                    }
                }
                State::Writing { response, head_only, written } => {
                    match self.stream.write(&response.bytes(*head_only)[*written..]) {
                        Ok(length) => *written += length,
                        Err(error) => return waits(&error),
                    }
                    if *written == response.bytes(*head_only).len() {
                        self.stream.shutdown(std::net::Shutdown::Write).map_err(|_| End)?;
                        self.state = State::Lingering { bytes: 0 };
                        self.deadline = MonotonicMs::now().after(LINGER_MS);
                    }
                }
                State::Lingering { bytes } => match self.stream.read(&mut [0; 1024]) {
                    Ok(0) => return Err(End),
                    Ok(length) if *bytes + length > LINGER_BYTES_MAX => return Err(End),
                    Ok(length) => *bytes += length,
                    Err(error) => return waits(&error),
                },
            }
        }
    }

    /// Answers the request and writes what is possible now.
    pub(super) fn answer(&mut self, response: Response, head_only: bool) -> Result<(), End> {
        self.write(Arc::new(response), head_only);
        self.advance().map(|_| ())
    }

    /// The request is answered by the next page.
    pub(super) fn promise_page(&mut self, head_only: bool) {
        self.state = State::Waiting { head_only };
        self.deadline = MonotonicMs::now().after(WRITE_MS);
    }

    /// Answers with the page, if it was promised.
    pub(super) fn give_page(&mut self, page: &Arc<Response>) -> Result<(), End> {
        let State::Waiting { head_only } = self.state else { return Ok(()) };
        self.write(Arc::clone(page), head_only);
        self.advance().map(|_| ())
    }

    /// The time of its present step is over: a peer that is still asking is told so, once.
    pub(super) fn expire(&mut self) -> Result<(), End> {
        if !matches!(self.state, State::Reading(_)) {
            return Err(End);
        }
        self.answer(Response::error(408), false)
    }

    pub(super) fn deadline(&self) -> MonotonicMs {
        self.deadline
    }

    fn write(&mut self, response: Arc<Response>, head_only: bool) {
        self.state = State::Writing { response, head_only, written: 0 };
        self.deadline = MonotonicMs::now().after(WRITE_MS);
    }
}

fn waits(error: &io::Error) -> Result<Progress, End> {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(Progress::Waits),
        _ => Err(End),
    }
}
