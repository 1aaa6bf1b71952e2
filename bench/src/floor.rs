//! The floor of the throughput part: a loop that waits for sockets, reads, and answers `+OK` as often as requests seem
//! to have arrived, without looking at one. What it costs is the kernel's share, which no server gets below.
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;

use anyhow::{Context, Result};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

/// The answer to everything.
const ANSWER: &[u8] = b"+OK\r\n";
/// Bytes read at a time.
const READ_BYTES: usize = 64 * 1024;

/// Serves on 127.0.0.1 until the process is ended.
///
/// # Errors
/// When the port is taken or waiting for events fails.
pub fn serve(port: u16) -> Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut listener =
        TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port))).context("binding the floor's port")?;
    poll.registry().register(&mut listener, Token(usize::MAX), Interest::READABLE)?;
    let mut streams: Vec<Option<TcpStream>> = Vec::new();
    let mut input = vec![0; READ_BYTES];
    let answers = ANSWER.repeat(READ_BYTES);
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            match streams.get_mut(event.token().0) {
                Some(stream) => {
                    if !answer(stream.as_mut(), &mut input, &answers) {
                        *stream = None;
                    }
                }
                None => accept(&listener, &poll, &mut streams)?,
            }
        }
    }
}

fn accept(listener: &TcpListener, poll: &Poll, streams: &mut Vec<Option<TcpStream>>) -> Result<()> {
    while let Ok((mut stream, _)) = listener.accept() {
        stream.set_nodelay(true)?;
        poll.registry().register(&mut stream, Token(streams.len()), Interest::READABLE)?;
        streams.push(Some(stream));
    }
    Ok(())
}

/// One read and one write; false when the peer is gone.
fn answer(stream: Option<&mut TcpStream>, input: &mut [u8], answers: &[u8]) -> bool {
    let Some(stream) = stream else { return true };
    match stream.read(input) {
        Ok(0) => false,
        Ok(read) => {
            // A request begins with an asterisk, and the load's arguments have none.
            let requests = input[..read].iter().filter(|&&byte| byte == b'*').count();
            stream.write_all(&answers[..requests * ANSWER.len()]).is_ok()
        }
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    }
}
