//! Whatever stands in an RDB file, reading it ends, and what is told of it keeps its promises.
//!
//! The checksum comes last, so it hides nothing of what stands before it.
#![no_main]
use libfuzzer_sys::fuzz_target;
use swytch_rdb::{KeyFacts, Kind, Part, Shape, Sink, StreamPart, read_file};

/// Whether a key has begun and not ended.
#[derive(Default)]
struct Listener {
    in_key: bool,
}

impl Sink for Listener {
    fn begin(&mut self, _: &[u8], _: KeyFacts, _: Kind, _: Shape) -> Result<(), String> {
        assert!(!std::mem::replace(&mut self.in_key, true));
        Ok(())
    }

    fn part(&mut self, part: Part<'_>) -> Result<(), String> {
        assert!(self.in_key);
        match part {
            Part::Scored { score, .. } => assert!(!score.is_nan()),
            Part::Stream(StreamPart::Item { fields, .. }) => assert_eq!(fields.len() % 2, 0),
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, bytes: u64) -> Result<(), String> {
        assert!(std::mem::replace(&mut self.in_key, false));
        assert!(bytes > 0);
        Ok(())
    }
}

fuzz_target!(|data: &[u8]| {
    let mut listener = Listener::default();
    if read_file(data, &mut listener).is_ok() {
        assert!(!listener.in_key);
    }
});
