//! Keys that have just come, in their order.
//!
//! Of many keys a few are looked at for one that goes, so that a share of what is there would always be keys that have come
//! for nothing. So each is looked at once by itself, when it has been there for a while.

use std::cell::RefCell;
use std::collections::VecDeque;

/// A key by its database and hash.
pub(crate) type Newcomer = (u32, u64);

/// Keys that have just come.
#[derive(Debug, Default)]
pub(crate) struct Newcomers(RefCell<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    young: VecDeque<Newcomer>,
    /// Those to be looked at.
    due: Vec<Newcomer>,
}

/// One key of so many is young.
pub(super) const YOUNG_PART: usize = 128;
/// Where nothing goes nobody looks at them.
const DUE_MAX: usize = 4;

impl Newcomers {
    /// A key comes to where there are so many.
    pub(super) fn add(&self, newcomer: Newcomer, keys: usize) {
        let Waiting { young, due } = &mut *self.0.borrow_mut();
        young.push_back(newcomer);
        while young.len() > keys / YOUNG_PART {
            let oldest = young.pop_front();
            if due.len() < DUE_MAX {
                due.extend(oldest);
            }
        }
    }

    /// The keys that are to be looked at, once each.
    pub(crate) fn due(&self) -> impl Iterator<Item = Newcomer> + use<> {
        std::mem::take(&mut self.0.borrow_mut().due).into_iter()
    }
}
