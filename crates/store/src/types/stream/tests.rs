//! The stream against a list from the standard library, and its pages against where those of Redis 8.6.3 were seen to end.

use super::*;
use crate::types::tests::{Random, Sample, bytes};

const LIMIT: StreamNodeLimit = StreamNodeLimit { bytes: 4096, entries: 10 };

fn id(ms: u64, sequence: u64) -> StreamId {
    StreamId { ms, sequence }
}

/// What is in a stream, as a list.
type Model = Vec<(StreamId, Vec<Vec<u8>>)>;

fn content(stream: &Stream) -> Model {
    stream.iter().map(|entry| (entry.id, entry.to_vec())).collect()
}

fn word(random: &mut Random) -> Vec<u8> {
    match random.below(12) {
        0 => Vec::new(),
        1 => b"-0".to_vec(),
        2 => b"007".to_vec(),
        3 => i64::MIN.to_string().into_bytes(),
        4 => i64::MAX.to_string().into_bytes(),
        5 => vec![b'l'; random.below(300)],
        6..9 => ((random.next() >> random.below(64_u64)) as i64).to_string().into_bytes(),
        _ => vec![b'a' + random.below(3_u8); 1 + random.below(3_usize)],
    }
}

#[test]
fn agrees_with_a_list_through_all_that_can_happen() {
    for seed in 0..200 {
        let mut random = Random::new(seed);
        let (mut stream, mut model, mut last) = (Stream::default(), Model::new(), StreamId::MIN);
        let mut copies: Vec<(Stream, Model)> = Vec::new();
        for _ in 0..120 {
            match random.below(10) {
                0..6 => {
                    last = match random.below(4) {
                        0 => last.next().expect("far from the end"),
                        1 => id(last.ms, last.sequence + 1 + random.below(9_u64)),
                        2 => id(last.ms + 1 + random.below(500_u64), 0),
                        _ => id(last.ms + random.below(50_u64) + 1, random.below(400_u64)),
                    };
                    let names = [&b"a"[..], b"b"];
                    let mut fields = Vec::new();
                    for name in names.iter().take(1 + random.below(2_usize)) {
                        let name = if random.once_in(4) { word(&mut random) } else { name.to_vec() };
                        fields.extend([name, word(&mut random)]);
                    }
                    stream.append(last, &fields.iter().map(Vec::as_slice).collect::<Vec<_>>(), LIMIT);
                    model.push((last, fields));
                }
                6 | 7 if !model.is_empty() => {
                    let at = random.below(model.len());
                    let (id, _) = model.remove(at);
                    assert!(stream.remove(id) && !stream.remove(id), "seed {seed}");
                }
                8 if random.once_in(4) => {
                    let len = random.below(model.len() + 1);
                    let gone = model.len() - len;
                    assert_eq!(stream.trim_to(len, References::Keep), gone);
                    model.drain(..gone);
                }
                _ => copies.push((stream.clone(), model.clone())),
            }
            assert_eq!(content(&stream), model, "seed {seed}");
            assert_eq!(stream.len(), model.len());
            let ends = (model.first().map(|entry| entry.0), model.last().map(|entry| entry.0));
            assert_eq!(
                (stream.first_id(), stream.top_id()),
                (ends.0.unwrap_or_default(), ends.1.unwrap_or_default())
            );
            let (from, to) = (id(random.below(last.ms + 2), 0), id(random.below(last.ms + 2), 5));
            let within: Vec<StreamId> =
                model.iter().map(|entry| entry.0).filter(|id| (from..=to).contains(id)).collect();
            assert!(stream.range(from, to).map(|entry| entry.id).eq(within.iter().copied()), "seed {seed}");
            assert!(stream.range_back(from, to).map(|entry| entry.id).eq(within.iter().rev().copied()));
            assert!(model.iter().all(|(id, _)| stream.get(*id).is_some_and(|entry| entry.id == *id)));
        }
        for (copy, model) in copies {
            assert_eq!(content(&copy), model, "seed {seed}: a copy has changed");
        }
    }
}

#[test]
fn what_is_sorted_agrees_with_a_set() {
    for seed in 0..60 {
        let mut random = Random::new(seed);
        let (mut sorted, mut model) = (sorted::Sorted::default(), std::collections::BTreeSet::new());
        for _ in 0..1_500 {
            let item = id(random.below(400_u64), 0);
            if random.below(5) > 1 {
                assert_eq!(sorted.insert(item), model.insert(item));
            } else {
                assert_eq!(sorted.remove(item).is_some(), model.remove(&item));
            }
            let from = id(random.below(400_u64), 0);
            assert!(sorted.from(from).take(5).eq(model.range(from..).take(5)));
        }
        assert!(sorted.iter().eq(model.iter()));
        assert_eq!(sorted.len(), model.len());
    }
}

/// `XINFO STREAM` of Redis 8.6.3 after so many `XADD s <n>-0 field <value>`, with `stream-node-max-entries 0`.
#[test]
fn pages_end_where_those_of_redis_do() {
    for (value, entries, pages) in [("1", 2_000, 6), ("value", 2_000, 8), ("12345", 2_000, 7)] {
        let mut stream = Stream::default();
        for ms in 1..=entries {
            let limit = StreamNodeLimit { bytes: 4096, entries: 0 };
            stream.append(id(ms, 0), &[b"field", value.as_bytes()], limit);
        }
        assert_eq!(stream.pages(), pages, "{value}");
    }
}

#[test]
fn an_entry_takes_a_byte_beside_its_values() {
    let mut stream = Stream::default();
    for ms in 1..=10_000 {
        stream.append(
            id(ms, 0),
            &[b"name", b"abcdefgh", b"count", b"1000"],
            EncodingLimits::default().stream_node,
        );
    }
    let bytes = stream.memory_bytes() as f64 / 10_000.0;
    // 1 + (1 + 8) + (1 + 2).
    assert!((13.0..16.0).contains(&bytes), "{bytes}");
}

#[test]
fn a_trim_goes_as_far_as_it_is_let() {
    let mut stream = Stream::default();
    (1..=35).for_each(|ms| stream.append(id(ms, 0), &[b"f", b"v"], LIMIT));
    let trimmed = |to, by_pages| stream.trimmed(Trim { to, by_pages, references: References::Keep });
    assert_eq!(trimmed(TrimTo::Len(7), None), 28);
    assert_eq!(trimmed(TrimTo::Len(7), Some(0)), 20);
    assert_eq!(trimmed(TrimTo::Len(7), Some(15)), 10);
    assert_eq!(trimmed(TrimTo::Len(0), Some(0)), 35);
    assert_eq!(trimmed(TrimTo::Id(id(25, 0)), None), 24);
    assert_eq!(trimmed(TrimTo::Id(id(25, 0)), Some(0)), 20);
    assert_eq!(trimmed(TrimTo::Id(StreamId::MAX), None), 35);
}

const NAMES: [&[u8]; 2] = [b"g", b"h"];

impl Sample for Stream {
    const TAGS: &'static [u8] = &op::tag::ALL;

    fn sample(random: &mut Random, len: usize, act: &mut dyn FnMut(StreamOp<'_>)) {
        let mut some_id = || id(random.below(12_u64), random.below(3_u64));
        let (one, ids) = (some_id(), [some_id(), some_id(), some_id()]);
        let (field, value) = (bytes(random), bytes(random));
        let fields: [&[u8]; 4] = [&field, &value, b"f", b"v"];
        let (group, consumer) = (NAMES[random.below(2_usize)], NAMES[random.below(2_usize)]);
        let entries_read = random.once_in(2).then_some(random.below(9_u64));
        let references = [References::Keep, References::Delete, References::Respect][random.below(3_usize)];
        let entries = ids.map(|id| (id, random.below(3_u64)));
        let identifier = [b'0' + random.below(4_u8)];
        let parts = [
            StreamPart::Marks(Marks { last_id: one, max_deleted_id: ids[1], entries_added: 5 }),
            StreamPart::Group { name: group, last_id: one, entries_read },
            StreamPart::Consumer { group, name: consumer, seen_ms: 3, active_ms: None },
        ];
        act(match random.below(22) {
            0..5 => StreamOp::Append { id: one, fields: &fields[..2 * random.below(3_usize)] },
            5 => StreamOp::Remove { ids: &ids, references: random.once_in(2) },
            6 => StreamOp::Trim { len: random.below(len as u64 + 2), references },
            7 => StreamOp::Mark(Marks { last_id: one, max_deleted_id: ids[0], entries_added: 9 }),
            8 | 9 => StreamOp::CreateGroup { group, last_id: one, entries_read },
            10 => StreamOp::DropGroup { group },
            11 => StreamOp::SetGroup { group, last_id: one, entries_read },
            12 => StreamOp::AddConsumer { group, consumer, seen_ms: random.below(9_u64) },
            13 => StreamOp::DropConsumer { group, consumer },
            14 | 15 => StreamOp::Deliver {
                group,
                consumer,
                active_ms: random.once_in(2).then_some(4),
                delivered_ms: random.below(9_u64),
                entries: &entries,
            },
            16 => StreamOp::Acknowledge { group, ids: &ids },
            17 => StreamOp::Record { producer: consumer, identifier: &identifier, id: one, size_max: 2 },
            19 => StreamOp::TakeOut { ids: &ids },
            20 => StreamOp::Restore { parts: &parts[..1 + random.below(3_usize)] },
            18 => StreamOp::Forget { until_ms: random.below(12_u64) },
            _ => StreamOp::Configure { duration_s: Some(3), size_max: None },
        });
    }
}
