//! The bytes of a HyperLogLog: a string that clients may GET, SET and keep, so they are Redis's to the last bit.
//!
//! A header of 16 bytes (`HYLL`, the form, three bytes of nothing, the last estimate) and 16,384 registers. Dense: six
//! bits each, from the lowest bit of each byte. Sparse: runs of registers that are equal, `00llllll` for up to 64 of
//! rank 0, `01llllll llllllll` for up to 16,384 of them, `1rrrrrll` for up to 4 of a rank up to 32; lengths and ranks
//! less one. Nothing in the bytes is believed: anybody can write them with SET.
//!
//! Source: the head of `src/hyperloglog.c` of Redis 2.8.9 to 7.2.

use super::estimate::{self, Histogram};

/// Registers of a HyperLogLog.
pub(super) const REGISTERS: usize = 1 << 14;

const MAGIC: &[u8; 4] = b"HYLL";
const FORM_AT: usize = 4;
const ESTIMATE_AT: usize = 8;
/// The highest byte of the estimate; its highest bit says that the registers have changed since.
const STALE_AT: usize = 15;
const STALE_BIT: u8 = 0x80;
const HEADER_BYTES: usize = 16;
const DENSE_BYTES: usize = HEADER_BYTES + REGISTERS / 4 * 3;

/// Longest run of rank 0 in one byte.
const ZEROS_MAX: usize = 64;
/// Longest run of another rank.
const RUN_MAX: usize = 4;
/// Highest rank of a run.
const RUN_RANK_MAX: u8 = 32;
/// Runs looked at behind a change, for neighbours that can be one.
const MERGED_MAX: usize = 5;

/// What is wrong with bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// They do not begin as a HyperLogLog does.
    NotOne,
    /// Their runs are not of 16,384 registers.
    Corrupted,
}

/// How registers lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// All of them.
    Dense = 0,
    /// As runs.
    Sparse = 1,
}

/// The form of a HyperLogLog.
pub(super) fn form_of(bytes: &[u8]) -> Result<Form, Fault> {
    match bytes.get(FORM_AT) {
        Some(0) if bytes.starts_with(MAGIC) && bytes.len() == DENSE_BYTES => Ok(Form::Dense),
        Some(1) if bytes.starts_with(MAGIC) && bytes.len() >= HEADER_BYTES => Ok(Form::Sparse),
        _ => Err(Fault::NotOne),
    }
}

/// One without elements.
pub(super) fn empty() -> Vec<u8> {
    let mut bytes = with_header(Form::Sparse, HEADER_BYTES + 2);
    push_zeros(&mut bytes, REGISTERS);
    bytes
}

fn with_header(form: Form, capacity: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(capacity);
    bytes.extend_from_slice(MAGIC);
    bytes.resize(HEADER_BYTES, 0);
    bytes[FORM_AT] = form as u8;
    bytes
}

/// The last estimate, unless registers have changed since.
pub(super) fn last_estimate(bytes: &[u8]) -> Option<u64> {
    let (estimate, _) = bytes[ESTIMATE_AT..].split_first_chunk::<8>()?;
    (bytes[STALE_AT] & STALE_BIT == 0).then(|| u64::from_le_bytes(*estimate))
}

/// A piece to be written over some bytes: where, and what.
pub(super) type Piece<const BYTES: usize> = (usize, [u8; BYTES]);

/// What makes this the last estimate.
pub(super) fn estimate_piece(estimate: u64) -> Piece<8> {
    (ESTIMATE_AT, estimate.to_le_bytes())
}

/// What makes the last estimate an old one.
pub(super) fn stale_piece(bytes: &[u8]) -> Piece<1> {
    (STALE_AT, [bytes[STALE_AT] | STALE_BIT])
}

/// Makes the last estimate an old one.
pub(super) fn make_stale(bytes: &mut [u8]) {
    bytes[STALE_AT] |= STALE_BIT;
}

/// What makes a register of a dense one this rank, if it is lower.
pub(super) fn dense_piece(bytes: &[u8], register: u16, rank: u8) -> Option<Piece<3>> {
    let at = HEADER_BYTES + usize::from(register) / 4 * 3;
    let (four, shift) = (four_of(&bytes[at..]), u32::from(register) % 4 * 6);
    if (four >> shift & 63) as u8 >= rank {
        return None;
    }
    let [first, second, third, _] = (four & !(63 << shift) | u32::from(rank) << shift).to_le_bytes();
    Some((at, [first, second, third]))
}

/// Four registers of six bits in three bytes.
fn four_of(bytes: &[u8]) -> u32 {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], 0])
}

/// Shows the runs of registers: the first one, how many, their rank.
fn runs(bytes: &[u8], mut see: impl FnMut(usize, usize, u8)) -> Result<(), Fault> {
    if form_of(bytes)? == Form::Dense {
        let (fours, _) = bytes[HEADER_BYTES..].as_chunks::<3>();
        for (index, four) in fours.iter().enumerate() {
            let four = four_of(four);
            (0..4).for_each(|place| see(index * 4 + place, 1, (four >> (place * 6) & 63) as u8));
        }
        return Ok(());
    }
    let (mut at, mut first) = (HEADER_BYTES, 0);
    while at < bytes.len() {
        let run = Run::read(bytes, at).filter(|run| first + run.len <= REGISTERS).ok_or(Fault::Corrupted)?;
        see(first, run.len, run.rank);
        (at, first) = (at + run.bytes, first + run.len);
    }
    if first == REGISTERS { Ok(()) } else { Err(Fault::Corrupted) }
}

/// How many registers have each rank.
pub(super) fn histogram(bytes: &[u8]) -> Result<Histogram, Fault> {
    let mut histogram = [0; 64];
    runs(bytes, |_, len, rank| histogram[usize::from(rank)] += len as u32)?;
    Ok(histogram)
}

/// Registers in the open, to take several HyperLogLogs together.
#[derive(Debug)]
pub(super) struct Union(Box<[u8; REGISTERS]>);

impl Union {
    pub(super) fn new() -> Union {
        Union(Box::new([0; REGISTERS]))
    }

    /// Takes another one in: each register is the higher of both.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        runs(bytes, |first, len, rank| {
            self.0[first..first + len].iter_mut().for_each(|register| *register = rank.max(*register));
        })
    }

    /// Every register's rank.
    pub(super) fn ranks(&self) -> &[u8; REGISTERS] {
        &self.0
    }

    pub(super) fn cardinality(&self) -> u64 {
        let mut histogram = [0; 64];
        self.0.iter().for_each(|rank| histogram[usize::from(*rank)] += 1);
        estimate::cardinality(&histogram)
    }
}

/// The same registers in the dense form.
pub(super) fn to_dense(bytes: &[u8]) -> Result<Vec<u8>, Fault> {
    let mut dense = with_header(Form::Dense, DENSE_BYTES);
    dense.resize(DENSE_BYTES, 0);
    let behind_form = FORM_AT + 1..HEADER_BYTES;
    dense[behind_form.clone()].copy_from_slice(bytes.get(behind_form).ok_or(Fault::NotOne)?);
    runs(bytes, |first, len, rank| {
        (first..first + len)
            .filter(|_| rank > 0)
            .for_each(|register| write_dense(&mut dense, register, rank));
    })?;
    Ok(dense)
}

fn write_dense(bytes: &mut [u8], register: usize, rank: u8) {
    if let Some((at, piece)) = dense_piece(bytes, register as u16, rank) {
        bytes[at..at + 3].copy_from_slice(&piece);
    }
}

/// Raises a register to a rank, in a form of at most `sparse_max` bytes or else the dense one. True if it was lower.
pub(super) fn raise(bytes: &mut Vec<u8>, register: u16, rank: u8, sparse_max: usize) -> Result<bool, Fault> {
    if form_of(bytes)? == Form::Sparse {
        match raise_sparse(bytes, usize::from(register), rank, sparse_max)? {
            Raised::Yes => return Ok(true),
            Raised::No => return Ok(false),
            Raised::Impossible => *bytes = to_dense(bytes)?,
        }
    }
    let piece = dense_piece(bytes, register, rank);
    if let Some((at, piece)) = piece {
        bytes[at..at + 3].copy_from_slice(&piece);
    }
    Ok(piece.is_some())
}

/// One run of the sparse form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    len: usize,
    rank: u8,
    /// Bytes that it takes.
    bytes: usize,
}

impl Run {
    fn read(bytes: &[u8], at: usize) -> Option<Run> {
        let first = *bytes.get(at)?;
        let low = usize::from(first & 63);
        match first >> 6 {
            0 => Some(Run { len: low + 1, rank: 0, bytes: 1 }),
            1 => {
                let second = usize::from(*bytes.get(at + 1)?);
                Some(Run { len: (low << 8 | second) + 1, rank: 0, bytes: 2 })
            }
            _ => Some(Run { len: usize::from(first & 3) + 1, rank: (first >> 2 & 31) + 1, bytes: 1 }),
        }
    }
}

fn push_zeros(bytes: &mut Vec<u8>, len: usize) {
    match len.checked_sub(1) {
        None => {}
        Some(less) if len <= ZEROS_MAX => bytes.push(less as u8),
        Some(less) => bytes.extend_from_slice(&[0x40 | (less >> 8) as u8, less as u8]),
    }
}

/// The byte of a run of 1 to 4 registers with a rank of 1 to 32.
fn ranked(len: usize, rank: u8) -> u8 {
    0x80 | (rank - 1) << 2 | (len - 1) as u8
}

/// What came of raising a register of the sparse form.
enum Raised {
    Yes,
    No,
    /// The form has no room for it.
    Impossible,
}

/// Replaces the run with the register by up to three, and lets neighbours grow together as Redis does: only those that
/// the change has put side by side, and ranks alone.
fn raise_sparse(bytes: &mut Vec<u8>, register: usize, rank: u8, sparse_max: usize) -> Result<Raised, Fault> {
    if rank > RUN_RANK_MAX {
        return Ok(Raised::Impossible);
    }
    let (mut at, mut first, mut before) = (HEADER_BYTES, 0, None);
    let run = loop {
        let run = Run::read(bytes, at).ok_or(Fault::Corrupted)?;
        if register < first + run.len {
            break run;
        }
        before = Some(at);
        (at, first) = (at + run.bytes, first + run.len);
    };
    if run.rank >= rank {
        return Ok(Raised::No);
    }
    let (left, right) = (register - first, first + run.len - register - 1);
    let mut instead = Vec::with_capacity(5);
    let same = |instead: &mut Vec<u8>, len| match (run.rank, len) {
        (0, len) => push_zeros(instead, len),
        (_, 0) => {}
        (same, len) => instead.push(ranked(len, same)),
    };
    same(&mut instead, left);
    instead.push(ranked(1, rank));
    same(&mut instead, right);
    if instead.len() > run.bytes && bytes.len() + instead.len() - run.bytes > sparse_max {
        return Ok(Raised::Impossible);
    }
    bytes.splice(at..at + run.bytes, instead);
    merge_from(bytes, before.unwrap_or(HEADER_BYTES));
    Ok(Raised::Yes)
}

/// Lets runs of one rank grow together, where there are some among the next few.
fn merge_from(bytes: &mut Vec<u8>, mut at: usize) {
    for _ in 0..MERGED_MAX {
        let Some(run) = Run::read(bytes, at) else { return };
        let next = Run::read(bytes, at + run.bytes);
        match next {
            Some(next) if run.rank > 0 && next.rank == run.rank && run.len + next.len <= RUN_MAX => {
                bytes[at] = ranked(run.len + next.len, run.rank);
                bytes.remove(at + 1);
            }
            _ => at += run.bytes,
        }
    }
}

/// The runs of the sparse form in words, as PFDEBUG DECODE shows them.
pub(super) fn describe(bytes: &[u8]) -> Result<String, Fault> {
    histogram(bytes)?;
    let mut words = Vec::new();
    let mut at = HEADER_BYTES;
    while at < bytes.len() {
        let run = Run::read(bytes, at).ok_or(Fault::Corrupted)?;
        words.push(match (run.rank, run.bytes) {
            (0, 1) => format!("z:{}", run.len),
            (0, _) => format!("Z:{}", run.len),
            (rank, _) => format!("v:{rank},{}", run.len),
        });
        at += run.bytes;
    }
    Ok(words.join(" "))
}

#[cfg(test)]
mod tests {
    use swytch_testkit::Random;

    use super::*;

    const SPARSE_MAX: usize = 3000;

    fn ranks(bytes: &[u8]) -> Vec<u8> {
        let mut union = Union::new();
        union.take(bytes).expect("whole");
        union.ranks().to_vec()
    }

    #[test]
    fn both_forms_hold_the_ranks_that_were_raised() {
        let mut random = Random::from_environment();
        for spread in [3, 64, 500, REGISTERS] {
            let (mut bytes, mut expect) = (empty(), vec![0_u8; REGISTERS]);
            for _ in 0..3_000 {
                let (register, rank) = (random.below(spread), 1 + random.below(34) as u8);
                let raised = raise(&mut bytes, register as u16, rank, SPARSE_MAX).expect("whole");
                assert_eq!(raised, rank > expect[register]);
                expect[register] = rank.max(expect[register]);
            }
            assert_eq!(ranks(&bytes), expect);
            assert_eq!(ranks(&to_dense(&bytes).expect("whole")), expect);
            let histogram = histogram(&bytes).expect("whole");
            assert_eq!(histogram.iter().sum::<u32>() as usize, REGISTERS);
        }
    }

    #[test]
    fn a_form_beyond_its_limit_or_rank_becomes_dense() {
        let mut bytes = empty();
        raise(&mut bytes, 5, RUN_RANK_MAX, SPARSE_MAX).expect("whole");
        assert_eq!(form_of(&bytes), Ok(Form::Sparse));
        raise(&mut bytes, 5, RUN_RANK_MAX + 1, SPARSE_MAX).expect("whole");
        assert_eq!((form_of(&bytes), bytes.len()), (Ok(Form::Dense), DENSE_BYTES));
        let mut small = empty();
        raise(&mut small, 5, 1, HEADER_BYTES + 3).expect("whole");
        assert_eq!(form_of(&small), Ok(Form::Dense));
    }

    #[test]
    fn neighbours_of_one_rank_become_one_run() {
        let mut bytes = empty();
        for register in [10, 12, 11] {
            raise(&mut bytes, register, 3, SPARSE_MAX).expect("whole");
        }
        assert_eq!(describe(&bytes).expect("whole"), "z:10 v:3,3 Z:16371");
    }

    #[test]
    fn bytes_that_clients_made_up_are_faults_and_do_no_harm() {
        let mut random = Random::from_environment();
        let mut whole = empty();
        (0..200)
            .for_each(|register| _ = raise(&mut whole, register * 80, 1 + (register % 30) as u8, SPARSE_MAX));
        assert_eq!(form_of(b"HYLL"), Err(Fault::NotOne));
        assert_eq!(histogram(&whole[..whole.len() - 1]), Err(Fault::Corrupted));
        for _ in 0..20_000 {
            let mut bytes = whole.clone();
            for _ in 0..1 + random.below(4) {
                let at = random.below(bytes.len());
                match random.below(3) {
                    0 => bytes[at] = random.next() as u8,
                    1 => bytes.truncate(at.max(1)),
                    _ => bytes.insert(at, random.next() as u8),
                }
            }
            let _ = histogram(&bytes);
            let _ = to_dense(&bytes);
            let _ = raise(&mut bytes, random.below(REGISTERS) as u16, 7, SPARSE_MAX);
        }
    }
}
