//! What nobody needs any more and is too much to be given back at once.

use std::collections::{BTreeMap, BTreeSet};

use crate::copies::Copies;
use crate::directory::{DirEntry, Touches};
use crate::ids::{FlightId, OpId};
use crate::key::{Key, Mark};
use crate::table::Table;
use crate::write::Flight;

/// What is given back at once: dropping it takes less than most steps.
const SMALL: usize = 256;

/// Something that is not needed any more.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Litter<U> {
    Copies(Copies),
    Touches(Touches),
    Parked(BTreeMap<Key, BTreeSet<OpId>>),
    Entries(Table<DirEntry>),
    Flights(Table<Flight<U>, FlightId>),
}

impl<U> Litter<U> {
    fn len(&self) -> usize {
        match self {
            Self::Copies(copies) => copies.len(),
            Self::Touches(touches) => touches.len(),
            Self::Parked(parked) => parked.len(),
            Self::Entries(entries) => entries.len(),
            Self::Flights(flights) => flights.len(),
        }
    }

    /// Gives some of it back, of a table about as much.
    fn shrink(&mut self, count: usize) {
        match self {
            Self::Copies(copies) => {
                for key in copies.some_from(Mark::FIRST, count) {
                    copies.remove(&key);
                }
            }
            Self::Touches(touches) => (0..count).for_each(|_| drop(touches.pop_first())),
            Self::Parked(parked) => (0..count).for_each(|_| drop(parked.pop_first())),
            Self::Entries(entries) => entries.drop_bucket(),
            Self::Flights(flights) => flights.drop_bucket(),
        }
    }
}

/// See the module; `U` are undos.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Rubbish<U>(Vec<Litter<U>>);

impl<U> Default for Rubbish<U> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<U> Rubbish<U> {
    pub(crate) fn throw(&mut self, litter: Litter<U>) {
        if litter.len() > SMALL {
            self.0.push(litter);
        }
    }

    /// Gives some memory back.
    pub(crate) fn shrink(&mut self, count: usize) {
        if let Some(litter) = self.0.last_mut() {
            litter.shrink(count);
            if litter.len() == 0 {
                self.0.pop();
            }
        }
    }
}
