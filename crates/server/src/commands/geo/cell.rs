//! Positions on the earth as scores: the world is cut into cells, halved by longitude and latitude in turn, and a score is
//! the number of a cell of the finest grid.
//!
//! A cell's number interleaves the bits of its column and its row, so all cells within a coarser one have numbers that
//! follow one another: what lies in it is a range of scores. Bit for bit what Redis stores and computes, the order of
//! operations on floats included (`src/geohash.c`, after the ardb project).

/// How often the finest grid halves the world in either direction.
pub(super) const STEPS_MAX: u32 = 26;
/// The longitude at the edge of the world.
const LONGITUDE_MAX: f64 = 180.0;
/// The latitude at the edge of the world, which is a square in Mercator's projection: the poles are not in it.
const LATITUDE_MAX: f64 = 85.051_128_78;
/// The latitude of a pole, where the grid of standard geohashes ends.
const POLE: f64 = 90.0;

/// A position in degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    pub(super) longitude: f64,
    pub(super) latitude: f64,
}

impl Point {
    /// A position, if it is in the world.
    pub(super) fn new(longitude: f64, latitude: f64) -> Option<Point> {
        let is_inside = longitude.abs() <= LONGITUDE_MAX && latitude.abs() <= LATITUDE_MAX;
        is_inside.then_some(Point { longitude, latitude })
    }

    /// The score of the member that is there.
    pub(super) fn score(self) -> f64 {
        Cell::of(self, STEPS_MAX).number() as f64
    }

    /// The middle of the cell that a score stands for; of any score, since a sorted set may have been filled otherwise.
    #[inline]
    pub(super) fn of_score(score: f64) -> Point {
        let number = unsigned(score);
        Cell { column: every_other_bit(number >> 1), row: every_other_bit(number), steps: STEPS_MAX }.middle()
    }

    /// The position as a standard geohash of eleven characters, whose grid reaches to the poles. The bits give ten, and the
    /// last says nothing.
    pub(super) fn geohash(self) -> [u8; 11] {
        const ALPHABET: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";
        let number = Cell::on_grid(self, POLE, STEPS_MAX).number();
        let mut text = [ALPHABET[0]; 11];
        for (at, character) in text[..10].iter_mut().enumerate() {
            *character = ALPHABET[(number >> (52 - (at + 1) * 5) & 31) as usize];
        }
        text
    }
}

/// A cell of a grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    column: u32,
    row: u32,
    steps: u32,
}

/// The edges of an area, in degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Edges {
    pub(super) west: f64,
    pub(super) south: f64,
    pub(super) east: f64,
    pub(super) north: f64,
}

impl Cell {
    /// The cell that a position is in, of the grid of so many steps.
    pub(super) fn of(point: Point, steps: u32) -> Cell {
        Cell::on_grid(point, LATITUDE_MAX, steps)
    }

    fn on_grid(point: Point, latitude_max: f64, steps: u32) -> Cell {
        let cells = (1_u64 << steps) as f64;
        let row = (point.latitude - -latitude_max) / (latitude_max - -latitude_max);
        let column = (point.longitude - -LONGITUDE_MAX) / (LONGITUDE_MAX - -LONGITUDE_MAX);
        Cell { column: (column * cells) as u32, row: (row * cells) as u32, steps }
    }

    /// The cell so many columns to the east and rows to the north, around the world where it ends.
    pub(super) fn beside(self, columns: i32, rows: i32) -> Cell {
        let moved = |at: u32, by: i32| match by {
            0 => at,
            by => at.wrapping_add_signed(by) & ((1 << self.steps) - 1),
        };
        Cell { column: moved(self.column, columns), row: moved(self.row, rows), ..self }
    }

    fn number(self) -> u64 {
        with_gaps(self.column) << 1 | with_gaps(self.row)
    }

    /// The scores of what lies in it: from the first on, and below the second.
    pub(super) fn scores(self) -> (f64, f64) {
        let below = (STEPS_MAX - self.steps) * 2;
        ((self.number() << below) as f64, ((self.number() + 1) << below) as f64)
    }

    pub(super) fn edges(self) -> Edges {
        let cells = (1_u64 << self.steps) as f64;
        let edge = |at: u32, max: f64| -max + (f64::from(at) / cells) * (max - -max);
        Edges {
            west: edge(self.column, LONGITUDE_MAX),
            south: edge(self.row, LATITUDE_MAX),
            east: edge(self.column.wrapping_add(1), LONGITUDE_MAX),
            north: edge(self.row.wrapping_add(1), LATITUDE_MAX),
        }
    }

    #[inline]
    fn middle(self) -> Point {
        let Edges { west, south, east, north } = self.edges();
        Point {
            longitude: ((west + east) / 2.0).clamp(-LONGITUDE_MAX, LONGITUDE_MAX),
            latitude: ((south + north) / 2.0).clamp(-LATITUDE_MAX, LATITUDE_MAX),
        }
    }
}

/// What the processors on which Redis runs make of a double that is no unsigned integer, for which C has no rule: a
/// negative one counts from the other end, and what is too big in either direction is nothing but a sign.
#[inline]
fn unsigned(score: f64) -> u64 {
    const HALF: f64 = (1_u64 << 63) as f64;
    let signed = |value: f64| if (-HALF..HALF).contains(&value) { value as i64 } else { i64::MIN };
    if score < HALF { signed(score) as u64 } else { signed(score - HALF) as u64 ^ 1 << 63 }
}

/// Steps of spreading bits: a distance, and the bits that stay.
const SPREADING: [(u32, u64); 5] = [
    (16, 0x0000_ffff_0000_ffff),
    (8, 0x00ff_00ff_00ff_00ff),
    (4, 0x0f0f_0f0f_0f0f_0f0f),
    (2, 0x3333_3333_3333_3333),
    (1, 0x5555_5555_5555_5555),
];

/// The bits of a number with a gap before each.
#[inline]
fn with_gaps(number: u32) -> u64 {
    SPREADING.iter().fold(u64::from(number), |bits, (by, kept)| (bits | bits << by) & kept)
}

/// The lowest bit of a number, and every second one above it.
#[inline]
fn every_other_bit(number: u64) -> u32 {
    let lowest = number & SPREADING[4].1;
    let closed = SPREADING.windows(2).rev().fold(lowest, |bits, pair| (bits | bits >> pair[1].0) & pair[0].1);
    (closed | closed >> 16) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(longitude: f64, latitude: f64) -> Point {
        Point::new(longitude, latitude).expect("it is in the world")
    }

    #[test]
    fn bits_are_spread_and_gathered_again() {
        for number in [0, 1, 2, 0b1011, 0x8000_0000, 0xdead_beef, u32::MAX] {
            let spread = with_gaps(number);
            assert_eq!(spread & 0xaaaa_aaaa_aaaa_aaaa, 0);
            assert_eq!(every_other_bit(spread), number);
            assert_eq!(every_other_bit(spread << 1 | with_gaps(!number)), !number);
        }
        assert_eq!(with_gaps(0b1011), 0b100_0101);
    }

    /// The scores and texts are those that Redis's documentation gives for its two cities.
    #[test]
    fn positions_are_the_scores_and_geohashes_that_are_known() {
        for (longitude, latitude, score, text) in [
            (13.361389, 38.115556, 3_479_099_956_230_698.0, "sqc8b49rny0"),
            (15.087269, 37.502669, 3_479_447_370_796_909.0, "sqdtr74hyu0"),
        ] {
            let position = point(longitude, latitude);
            assert_eq!(position.score(), score);
            let read = Point::of_score(score);
            assert!((read.longitude - longitude).abs() < 1e-5 && (read.latitude - latitude).abs() < 1e-5);
            assert_eq!(read.score(), score);
            assert_eq!(read.geohash(), *text.as_bytes());
        }
    }

    #[test]
    fn the_edges_of_the_world_belong_to_it_and_nothing_beyond() {
        assert_eq!(Point::new(180.1, 0.0), None);
        assert_eq!(Point::new(0.0, -85.06), None);
        assert_eq!(Point::new(f64::INFINITY, 0.0), None);
        for (longitude, latitude) in [(180.0, LATITUDE_MAX), (-180.0, -LATITUDE_MAX)] {
            let read = Point::of_score(point(longitude, latitude).score());
            assert!((read.longitude - longitude).abs() < 1e-5 && (read.latitude - latitude).abs() < 1e-5);
        }
        assert_eq!(point(-180.0, -LATITUDE_MAX).score(), 0.0);
    }

    #[test]
    fn any_score_is_a_position_in_the_world() {
        for score in [-1.0, 1.5, 1e300, -1e300, f64::INFINITY, f64::NEG_INFINITY, 1.8e19, 9.3e18] {
            let Point { longitude, latitude } = Point::of_score(score);
            assert!(Point::new(longitude, latitude).is_some(), "{score}: {longitude} {latitude}");
        }
        assert_eq!(unsigned(-1.0), u64::MAX);
        assert_eq!(unsigned(1e19), 10_000_000_000_000_000_000);
        assert_eq!((unsigned(f64::INFINITY), unsigned(f64::NEG_INFINITY)), (0, 1 << 63));
    }

    #[test]
    fn a_cell_lies_between_its_neighbours_also_across_the_edge_of_the_world() {
        let cell = Cell::of(point(-179.9, 84.0), 4);
        assert_eq!(cell.beside(0, 0), cell);
        assert_eq!(cell.beside(1, 0).edges().west, cell.edges().east);
        assert_eq!(cell.beside(0, -1).edges().north, cell.edges().south);
        assert_eq!(cell.beside(-1, 0).edges().east, LONGITUDE_MAX);
        assert_eq!(cell.beside(-1, 1).beside(1, -1), cell);
    }

    #[test]
    fn what_is_in_a_cell_has_its_scores() {
        let here = point(2.35, 48.85);
        for steps in 1..=STEPS_MAX {
            let (from, below) = Cell::of(here, steps).scores();
            assert!((from..below).contains(&here.score()), "{steps}");
            let (from, below) = Cell::of(here, steps).beside(1, 0).scores();
            assert!(!(from..below).contains(&here.score()), "{steps}");
        }
    }
}
