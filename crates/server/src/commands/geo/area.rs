//! What is searched for members: a circle or a box around a point, what lies in it, and which cells cover it.
//!
//! The earth is a sphere. All of it is bit for bit what Redis computes (`src/geohash_helper.c`), whose results clients see
//! in digits and stores as scores.

use std::f64::consts::{FRAC_PI_2, PI};

use super::cell::{Cell, Edges, Point, STEPS_MAX};

/// The mean radius of the earth in metres, by the World Geodetic System of 1984.
const EARTH_RADIUS_M: f64 = 6_372_797.560_856;
/// From the middle of Mercator's map to its edge, in metres.
const MERCATOR_MAX_M: f64 = 20_037_726.37;

#[inline]
fn radians(degrees: f64) -> f64 {
    degrees * (PI / 180.0)
}

fn degrees(radians: f64) -> f64 {
    radians / (PI / 180.0)
}

/// A point with what its distances to many others take.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Origin {
    longitude: f64,
    latitude: f64,
    latitude_cosine: f64,
}

impl Origin {
    fn of(Point { longitude, latitude }: Point) -> Origin {
        let (longitude, latitude) = (radians(longitude), radians(latitude));
        Origin { longitude, latitude, latitude_cosine: latitude.cos() }
    }

    /// To another point along a great circle, in metres: the haversine formula.
    #[inline]
    fn distance_m(&self, to: Point) -> f64 {
        let half_way_east = ((radians(to.longitude) - self.longitude) / 2.0).sin();
        let latitude = radians(to.latitude);
        if half_way_east == 0.0 {
            return EARTH_RADIUS_M * (latitude - self.latitude).abs();
        }
        let half_way_north = ((latitude - self.latitude) / 2.0).sin();
        let squared = half_way_north * half_way_north
            + self.latitude_cosine * latitude.cos() * half_way_east * half_way_east;
        2.0 * EARTH_RADIUS_M * squared.sqrt().asin()
    }
}

/// From one point to another, in metres.
pub(super) fn distance_m(from: Point, to: Point) -> f64 {
    Origin::of(from).distance_m(to)
}

/// How far an area reaches, in its own unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Extent {
    Circle { radius: f64 },
    Box { width: f64, height: f64 },
}

/// What lies around a point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Area {
    centre: Point,
    extent: Extent,
    /// Metres in one unit.
    pub(super) unit_m: f64,
    origin: Origin,
    /// Whatever is more degrees of longitude or of latitude away is not in it, which costs less to see than a distance.
    degrees_max: (f64, f64),
}

impl Area {
    pub(super) fn new(centre: Point, extent: Extent, unit_m: f64) -> Area {
        /// A little more, so that rounding decides nothing here.
        fn ample(radians: f64) -> f64 {
            degrees(radians) * 1.000_001 + 1e-9
        }
        /// All the way around where there is no such angle.
        fn angle(sine: f64) -> f64 {
            if sine < 1.0 { sine.asin() } else { PI }
        }
        let origin = Origin::of(centre);
        let (columns, rows) = match extent {
            Extent::Circle { radius } => {
                let reach = radius * unit_m / EARTH_RADIUS_M;
                let sine = if reach < FRAC_PI_2 { reach.sin() } else { 1.0 };
                (angle(sine / origin.latitude_cosine), reach)
            }
            Extent::Box { width, height } => {
                let reach = height * unit_m / EARTH_RADIUS_M / 2.0;
                let quarter = width * unit_m / EARTH_RADIUS_M / 4.0;
                let sine = if quarter < FRAC_PI_2 { quarter.sin() } else { 1.0 };
                let widest = (origin.latitude.abs() + reach).min(FRAC_PI_2);
                (2.0 * angle(sine / widest.cos()), reach)
            }
        };
        Area { centre, extent, unit_m, origin, degrees_max: (ample(columns), ample(rows)) }
    }

    /// True for what is not in it by longitude or latitude alone; what is not far may still not be in it.
    #[inline]
    fn is_far(&self, point: Point) -> bool {
        let columns = (point.longitude - self.centre.longitude).abs();
        let rows = (point.latitude - self.centre.latitude).abs();
        rows > self.degrees_max.1 || columns.min(360.0 - columns) > self.degrees_max.0
    }

    /// How far a point in it is from its centre, in metres; `None` for one that is not in it.
    #[inline]
    pub(super) fn distance_within_m(&self, point: Point) -> Option<f64> {
        if self.is_far(point) { None } else { self.exact_distance_within_m(point) }
    }

    fn exact_distance_within_m(&self, point: Point) -> Option<f64> {
        match self.extent {
            Extent::Circle { radius } => {
                let far_m = self.origin.distance_m(point);
                // What cannot be compared lies in it, as in Redis.
                let is_outside = far_m > radius * self.unit_m;
                (!is_outside).then_some(far_m)
            }
            Extent::Box { width, height } => {
                let north_m = EARTH_RADIUS_M * (self.origin.latitude - radians(point.latitude)).abs();
                let beside = Point { longitude: self.centre.longitude, ..point };
                let is_outside = north_m > height * self.unit_m / 2.0
                    || distance_m(point, beside) > width * self.unit_m / 2.0;
                (!is_outside).then(|| self.origin.distance_m(point))
            }
        }
    }

    /// The edges of a box around it. It is wider on the side that is nearer to a pole, where a degree is shorter.
    fn edges(&self) -> Edges {
        let (east, north) = match self.extent {
            Extent::Circle { radius } => (radius, radius),
            Extent::Box { width, height } => (width / 2.0, height / 2.0),
        };
        let (east_m, north_m) = (self.unit_m * east, self.unit_m * north);
        let Point { longitude, latitude } = self.centre;
        let rows = degrees(north_m / EARTH_RADIUS_M);
        let widest = if latitude < 0.0 { latitude - rows } else { latitude + rows };
        let columns = degrees(east_m / EARTH_RADIUS_M / radians(widest).cos());
        Edges {
            west: longitude - columns,
            south: latitude - rows,
            east: longitude + columns,
            north: latitude + rows,
        }
    }

    /// How fine the grid may be whose cells cover the area when there are nine of them, roughly.
    fn steps(&self) -> u32 {
        let reach = match self.extent {
            Extent::Circle { radius } => radius,
            Extent::Box { width, height } => {
                ((width / 2.0) * (width / 2.0) + (height / 2.0) * (height / 2.0)).sqrt()
            }
        };
        let mut reach_m = reach * self.unit_m;
        if reach_m == 0.0 {
            return STEPS_MAX;
        }
        // One less than it takes, and one more off for being wider than a cell in unlucky places.
        let mut steps = -1_i32;
        while reach_m < MERCATOR_MAX_M {
            reach_m *= 2.0;
            steps += 1;
        }
        // Towards the poles cells are narrower.
        let latitude = self.centre.latitude.abs();
        steps -= i32::from(latitude > 66.0) + i32::from(latitude > 80.0);
        steps.clamp(1, STEPS_MAX as i32) as u32
    }

    /// Cells that cover it, the middle one first: up to nine.
    pub(super) fn cells(&self) -> Vec<Cell> {
        /// Columns to the east and rows to the north of the middle.
        const AROUND: [(i32, i32); 9] =
            [(0, 0), (0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1)];
        let (wanted, mut steps) = (self.edges(), self.steps());
        let mut middle = Cell::of(self.centre, steps);
        let reached = |columns, rows| middle.beside(columns, rows).edges();
        let falls_short = reached(0, 1).north < wanted.north
            || reached(0, -1).south > wanted.south
            || reached(1, 0).east < wanted.east
            || reached(-1, 0).west > wanted.west;
        if falls_short && steps > 1 {
            steps -= 1;
            middle = Cell::of(self.centre, steps);
        }
        let covered = middle.edges();
        let is_needless = |(columns, rows): (i32, i32)| {
            steps >= 2
                && (rows < 0 && covered.south < wanted.south
                    || rows > 0 && covered.north > wanted.north
                    || columns < 0 && covered.west < wanted.west
                    || columns > 0 && covered.east > wanted.east)
        };
        let around = AROUND.into_iter().filter(|beside| !is_needless(*beside));
        let mut cells: Vec<Cell> = around.map(|(columns, rows)| middle.beside(columns, rows)).collect();
        // On the coarsest grid the cells on both sides are the same.
        cells.dedup();
        cells
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(longitude: f64, latitude: f64) -> Point {
        Point::new(longitude, latitude).expect("it is in the world")
    }

    /// The distance that Redis's documentation gives for its two cities.
    #[test]
    fn distances_are_those_that_are_known() {
        let read = |longitude, latitude| Point::of_score(point(longitude, latitude).score());
        let (palermo, catania) = (read(13.361389, 38.115556), read(15.087269, 37.502669));
        assert_eq!(format!("{:.4}", distance_m(palermo, catania)), "166274.1516");
        assert_eq!(distance_m(palermo, catania), distance_m(catania, palermo));
        assert_eq!(distance_m(palermo, palermo), 0.0);
        let (south, north) = (point(0.0, -10.0), point(0.0, 10.0));
        assert_eq!(format!("{:.4}", distance_m(south, north)), "2224526.0000");
    }

    #[test]
    fn a_box_has_corners_and_a_circle_has_none() {
        let of = |extent| Area::new(point(10.0, 50.0), extent, 1000.0);
        let circle = of(Extent::Circle { radius: 100.0 });
        let square = of(Extent::Box { width: 200.0, height: 200.0 });
        let corner = point(11.3, 50.8);
        assert_eq!(circle.distance_within_m(corner), None);
        assert_eq!(square.distance_within_m(corner), Some(distance_m(square.centre, corner)));
        let (north, far) = (point(10.0, 50.89), point(10.0, 50.91));
        assert!(circle.distance_within_m(north).is_some() && square.distance_within_m(north).is_some());
        assert!(circle.distance_within_m(far).is_none() && square.distance_within_m(far).is_none());
    }

    /// Nearly everywhere, with areas from a metre to a thousand kilometres: what lies in an area lies in one of its cells,
    /// cells do not overlap, or a member would be found twice, and what is far by degrees is not in the area.
    #[test]
    fn the_cells_of_an_area_hold_what_is_in_it_once() {
        let mut random = swytch_testkit::Random::new(7);
        let mut between = |from: f64, to: f64| from + (to - from) * random.below(1_000_001) as f64 / 1e6;
        for round in 0..20_000 {
            let centre = point(between(-180.0, 180.0), between(-60.0, 60.0));
            let reach = 10_f64.powf(between(0.0, 6.0));
            let extent = match round % 2 {
                0 => Extent::Circle { radius: reach },
                _ => Extent::Box { width: reach * between(0.1, 2.0), height: reach },
            };
            let area = Area::new(centre, extent, 1.0);
            let cells = area.cells();
            let Edges { west, south, east, north } = area.edges();
            for _ in 0..20 {
                let Some(there) = Point::new(between(west, east), between(south, north)) else { continue };
                let holds = |cell: &&Cell| {
                    let (from, below) = cell.scores();
                    (from..below).contains(&there.score())
                };
                let found = cells.iter().filter(holds).count();
                assert!(found <= 1, "{area:?} {there:?}");
                if area.exact_distance_within_m(there).is_some() {
                    assert_eq!(found, 1, "{area:?} {there:?} {cells:?}");
                    assert!(!area.is_far(there), "{area:?} {there:?}");
                }
            }
        }
    }

    /// The same without cells, at any latitude and across the edge of the map.
    #[test]
    fn what_is_far_by_degrees_is_not_in_the_area() {
        let mut random = swytch_testkit::Random::new(8);
        let mut between = |from: f64, to: f64| from + (to - from) * random.below(1_000_001) as f64 / 1e6;
        let mut inside = 0;
        for round in 0..200_000 {
            let centre = point(between(-180.0, 180.0), between(-85.0, 85.0));
            let reach = 10_f64.powf(between(2.0, 7.5));
            let extent = match round % 2 {
                0 => Extent::Circle { radius: reach },
                _ => Extent::Box { width: reach * between(0.1, 2.0), height: reach },
            };
            let area = Area::new(centre, extent, 1.0);
            let there = point(between(-180.0, 180.0), between(-85.0, 85.0));
            if area.exact_distance_within_m(there).is_some() {
                inside += 1;
                assert!(!area.is_far(there), "{area:?} {there:?}");
            }
        }
        assert!(inside > 10_000, "{inside}");
    }

    #[test]
    fn areas_without_an_end_are_the_world() {
        for reach in [f64::INFINITY, 1e300, 3e7] {
            for extent in [Extent::Circle { radius: reach }, Extent::Box { width: reach, height: reach }] {
                let area = Area::new(point(100.0, -70.0), extent, 1609.34);
                assert_eq!(area.cells().len(), 4, "{extent:?}");
                assert!(area.distance_within_m(point(-80.0, 70.0)).is_some(), "{extent:?}");
            }
        }
        let nothing = Area::new(point(0.0, 0.0), Extent::Circle { radius: 0.0 }, 1.0);
        assert_eq!(nothing.distance_within_m(point(0.0, 0.0)), Some(0.0));
    }
}
