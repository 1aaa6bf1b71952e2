//! Each anomaly by its smallest history, right histories, and random serial executions with seeded faults.

use super::*;
use crate::rng::Rng;

fn append(key: u64, element: u64) -> Access {
    Access::Append { key, element }
}

fn read(key: u64, seen: &[u64]) -> Access {
    Access::Read { key, seen: Some(seen.to_vec()) }
}

fn committed(accesses: Vec<Access>, invoked: u64, returned: u64) -> Transaction {
    Transaction { client: 0, accesses, invoked, ending: Ending::Committed { returned } }
}

/// All concurrent: no real-time order.
fn concurrent(all: Vec<Vec<Access>>) -> Vec<Transaction> {
    all.into_iter().map(|accesses| committed(accesses, 0, 100)).collect()
}

#[track_caller]
fn cycle(history: &[Transaction], expected: Cycle, expected_real_time: bool) {
    let anomalies = check(history).expect_err("a cycle");
    match &anomalies[0] {
        Anomaly::Cycle { kind, real_time, path } => {
            assert_eq!((*kind, *real_time), (expected, expected_real_time), "{path:?}");
            assert!(path.len() >= 2, "{path:?}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_serial_history_is_right() {
    let history = [
        committed(vec![append(1, 1), append(2, 1)], 0, 1),
        committed(vec![read(1, &[1]), append(1, 2), append(1, 3), read(1, &[1, 2, 3])], 2, 3),
        committed(vec![read(1, &[1, 2, 3]), read(2, &[1])], 4, 5),
    ];
    assert_eq!(check(&history), Ok(()));
}

#[test]
fn g0_dirty_write() {
    let history = concurrent(vec![
        vec![append(1, 1), append(2, 1)],
        vec![append(1, 2), append(2, 2)],
        vec![read(1, &[1, 2])],
        vec![read(2, &[2, 1])],
    ]);
    cycle(&history, Cycle::G0, false);
}

#[test]
fn g1a_aborted_read() {
    let mut history = concurrent(vec![vec![append(1, 1)], vec![read(1, &[1])]]);
    assert_eq!(check(&history), Ok(()));
    history[0].ending = Ending::Aborted;
    assert_eq!(check(&history), Err(vec![Anomaly::G1aAbortedRead { reader: 1, writer: 0, key: 1 }]));
}

#[test]
fn g1b_intermediate_read() {
    let history = concurrent(vec![vec![append(1, 1), append(1, 2)], vec![read(1, &[1])]]);
    assert_eq!(check(&history), Err(vec![Anomaly::G1bIntermediateRead { reader: 1, writer: 0, key: 1 }]));
    let torn =
        concurrent(vec![vec![append(1, 1), append(1, 2)], vec![append(1, 3)], vec![read(1, &[1, 3, 2])]]);
    assert_eq!(check(&torn), Err(vec![Anomaly::G1bIntermediateRead { reader: 2, writer: 0, key: 1 }]));
}

#[test]
fn g1c_circular_information_flow() {
    let history = concurrent(vec![vec![append(1, 1), read(2, &[2])], vec![append(2, 2), read(1, &[1])]]);
    cycle(&history, Cycle::G1c, false);
}

#[test]
fn g_single_read_skew() {
    let history = concurrent(vec![vec![append(1, 1), append(2, 1)], vec![read(1, &[]), read(2, &[1])]]);
    cycle(&history, Cycle::GSingle, false);
}

#[test]
fn g_single_lost_update() {
    let history = concurrent(vec![
        vec![read(1, &[]), append(1, 1)],
        vec![read(1, &[]), append(1, 2)],
        vec![read(1, &[1, 2])],
    ]);
    cycle(&history, Cycle::GSingle, false);
}

#[test]
fn g2_write_skew() {
    let history = concurrent(vec![
        vec![read(1, &[]), append(2, 1)],
        vec![read(2, &[]), append(1, 2)],
        vec![read(1, &[2]), read(2, &[1])],
    ]);
    cycle(&history, Cycle::G2, false);
}

#[test]
fn a_stale_read_breaks_only_the_real_time_order() {
    let history = [
        committed(vec![append(1, 1)], 0, 1),
        committed(vec![read(1, &[])], 2, 3),
        committed(vec![read(1, &[1])], 4, 5),
    ];
    cycle(&history, Cycle::GSingle, true);
    let overlapping = [
        committed(vec![append(1, 1)], 0, 3),
        committed(vec![read(1, &[])], 2, 3),
        committed(vec![read(1, &[1])], 4, 5),
    ];
    assert_eq!(check(&overlapping), Ok(()));
}

#[test]
fn a_lost_acknowledged_append_is_refuted() {
    let history = [committed(vec![append(1, 1)], 0, 1), committed(vec![read(1, &[])], 2, 3)];
    cycle(&history, Cycle::GSingle, true);
}

#[test]
fn writes_in_the_wrong_real_time_order_are_refuted() {
    let history = [
        committed(vec![append(1, 1)], 0, 1),
        committed(vec![append(1, 2)], 2, 3),
        committed(vec![read(1, &[2, 1])], 4, 5),
    ];
    cycle(&history, Cycle::G0, true);
}

#[test]
fn an_open_transaction_may_be_seen_or_not_but_not_halfway() {
    let open = Transaction {
        client: 0,
        accesses: vec![append(1, 1), append(2, 1)],
        invoked: 0,
        ending: Ending::Open,
    };
    let seen = |one: &[u64], two: &[u64]| committed(vec![read(1, one), read(2, two)], 10, 11);
    assert_eq!(check(&[open.clone(), seen(&[], &[])]), Ok(()));
    assert_eq!(check(&[open.clone(), seen(&[1], &[1])]), Ok(()));
    cycle(&[open, seen(&[1], &[])], Cycle::GSingle, false);
}

#[test]
fn impossible_reads_are_named() {
    let garbage = concurrent(vec![vec![read(1, &[7])]]);
    assert_eq!(check(&garbage), Err(vec![Anomaly::Garbage { reader: 0, key: 1, element: 7 }]));
    let double = concurrent(vec![vec![append(1, 1)], vec![read(1, &[1, 1])]]);
    assert_eq!(check(&double), Err(vec![Anomaly::Duplicate { reader: 1, key: 1, element: 1 }]));
    let forked =
        concurrent(vec![vec![append(1, 1)], vec![append(1, 2)], vec![read(1, &[1])], vec![read(1, &[2])]]);
    assert_eq!(check(&forked), Err(vec![Anomaly::IncompatibleOrder { readers: (2, 3), key: 1 }]));
    let own = concurrent(vec![vec![append(1, 1), read(1, &[])]]);
    assert_eq!(check(&own), Err(vec![Anomaly::Internal { transaction: 0, key: 1 }]));
}

/// A serial execution with overlapping intervals around the points of execution.
fn serial(rng: &mut Rng, count: usize) -> Vec<Transaction> {
    let mut lists: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    let mut element = 0;
    (0..count as u64)
        .map(|point| {
            let accesses = (0..rng.between(1, 4))
                .map(|_| {
                    let key = rng.below(4);
                    let list = lists.entry(key).or_default();
                    if rng.chance(1, 2) {
                        element += 1;
                        list.push(element);
                        append(key, element)
                    } else {
                        read(key, list)
                    }
                })
                .collect();
            let at = 100 * point + 1000;
            committed(accesses, at - rng.below(500), at + rng.below(500))
        })
        .collect()
}

#[test]
fn serial_executions_pass_and_a_truncated_read_is_caught() {
    let (mut caught, mut tried) = (0, 0);
    for seed in 0..200 {
        let mut rng = Rng::new(seed);
        let mut history = serial(&mut rng, 60);
        assert_eq!(check(&history), Ok(()), "seed {seed}");
        // One read loses its tail by more than what is concurrent with it.
        let victim = 50 + rng.below(10) as usize;
        for access in &mut history[victim].accesses {
            if let Access::Read { seen: Some(seen), .. } = access
                && seen.len() > 8
            {
                seen.truncate(1);
                tried += 1;
                caught += u32::from(check(&history).is_err());
                break;
            }
        }
    }
    assert!(tried > 50, "{tried}");
    assert_eq!(caught, tried);
}
