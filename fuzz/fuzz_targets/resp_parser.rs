//! The request parser sees the same requests and the same error however the bytes are cut into pieces.
//!
//! The first bytes of the input choose the pieces, the rest is what a client sends. After each piece the front
//! of the buffer that the parser no longer needs is dropped, as a connection does.
#![no_main]
use libfuzzer_sys::fuzz_target;
use swytch_decimal::{parse_i64, push_i64};
use swytch_resp::{Limits, Parsed, Parser, ProtocolError, Query};

/// How many of the first bytes are lengths of pieces.
const PIECE_BYTES: usize = 4;

type Requests = Vec<Vec<Vec<u8>>>;

fuzz_target!(|data: &[u8]| {
    if data.len() < PIECE_BYTES {
        return;
    }
    let (pieces, sent) = data.split_at(PIECE_BYTES);
    let limits =
        Limits { bulk_bytes_max: 1 << 20, authenticated: pieces[0] & 1 == 1, long_argument_bytes_min: 8 };
    let whole = feed(&limits, std::iter::once(sent));
    let cut = feed(&limits, Cuts { lengths: pieces.iter().cycle(), rest: sent });
    assert_eq!(whole, cut, "the pieces changed what was parsed");

    for argument in whole.0.iter().flatten() {
        if let Some(number) = parse_i64(argument) {
            let mut written = Vec::new();
            push_i64(&mut written, number);
            assert_eq!(&written, argument, "a number has one spelling");
        }
    }
});

/// Feeds the pieces one by one and collects the requests, and the error that ended them.
fn feed<'data>(
    limits: &Limits,
    pieces: impl Iterator<Item = &'data [u8]>,
) -> (Requests, Option<ProtocolError>) {
    let (mut parser, mut query) = (Parser::default(), Query::default());
    let mut requests = Requests::new();
    for piece in pieces {
        parser.receive(&mut query, piece);
        loop {
            let mut arguments = Vec::new();
            match parser.next(&mut query, limits, &mut arguments) {
                Err(error) => return (requests, Some(error)),
                Ok(Parsed::Incomplete) => {
                    assert!(arguments.is_empty(), "an incomplete request hands out no arguments");
                    break;
                }
                Ok(Parsed::Request) => {
                    requests.push(arguments.iter().map(|range| range.of(&query).to_vec()).collect());
                }
            }
        }
        let keep = parser.keep_from();
        assert!(keep <= query.bytes.len());
        query.bytes.drain(..keep);
        parser.rebase(keep);
    }
    (requests, None)
}

/// Cuts of one to 256 bytes, the lengths taken in turn.
struct Cuts<'data, Lengths> {
    lengths: Lengths,
    rest: &'data [u8],
}

impl<'data, Lengths: Iterator<Item = &'data u8>> Iterator for Cuts<'data, Lengths> {
    type Item = &'data [u8];

    fn next(&mut self) -> Option<&'data [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let length = usize::from(*self.lengths.next()?) + 1;
        let (piece, rest) = self.rest.split_at(length.min(self.rest.len()));
        self.rest = rest;
        Some(piece)
    }
}
