//! Those who leave a shard whose keys they have observed, while a script has the shard for too long: nobody waits for
//! them to be gone, so they leave it later.

use parking_lot::Mutex;
use swytch_store::{Observers, Shards};

/// Takes somebody out of a shard's observers.
type Departure = Box<dyn FnOnce(&mut Observers) + Send>;

/// Who is still to leave which shard.
#[derive(Default)]
pub struct Departures(Mutex<Vec<(u16, Departure)>>);

impl std::fmt::Debug for Departures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Departures").finish_non_exhaustive()
    }
}

impl Departures {
    /// Somebody leaves a shard when that is possible.
    pub fn add(&self, shard: u16, departure: impl FnOnce(&mut Observers) + Send + 'static) {
        self.0.lock().push((shard, Box::new(departure)));
    }

    /// Lets all leave who can. The caller holds no locks. To be called now and then.
    pub fn go(&self, shards: &Shards) {
        let waiting = std::mem::take(&mut *self.0.lock());
        for (shard, departure) in waiting {
            match shards.lock_one_in_time(shard) {
                Some(mut locked) => locked.with_observers(shard, departure),
                None => self.0.lock().push((shard, departure)),
            }
        }
    }
}
