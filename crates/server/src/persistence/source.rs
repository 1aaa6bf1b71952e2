//! Where a file of the whole data takes it from: what there is under locks that are held, or a moment that is read while the data
//! goes on changing.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use swytch_store::{EntryRef, Keyspace};

use crate::replication::Transfer;
use crate::server::background::{Moment, cancelled};
use crate::server::{Libraries, Server};

/// Time after which whoever reads a moment lets others have the processor.
const SHARE: Duration = Duration::from_micros(100);
/// It gives away so many times what it takes itself, at most: it comes to an end although others are never done.
const GIVEN_AWAY_MAX: u32 = 4;

/// The whole data.
#[derive(Debug)]
pub enum Source<'s> {
    /// Of a view that holds all locks.
    Held(&'s Keyspace<'s>),
    /// Of a moment. It is read once.
    Moment(&'s mut Moment),
}

impl Source<'_> {
    /// Keys of a database, and those of them that expire.
    pub fn sizes(&self, db: u32) -> (usize, usize) {
        match self {
            Source::Held(keyspace) => keyspace.sizes(db),
            Source::Moment(moment) => moment.cut.sizes(db),
        }
    }

    /// The libraries of functions.
    pub fn libraries(&self, server: &Server) -> Arc<Libraries> {
        match self {
            Source::Held(_) => server.scripts.libraries(),
            Source::Moment(moment) => Arc::clone(&moment.libraries),
        }
    }

    /// Shows every entry with its database, those whose time is over included.
    ///
    /// # Errors
    /// Those of `act`; if the file is of no use any more.
    pub fn each(
        &mut self,
        server: &Server,
        act: &mut dyn FnMut(u32, EntryRef<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        let moment = match self {
            Source::Held(keyspace) => {
                let mut entries = (0..keyspace.databases())
                    .flat_map(|db| keyspace.stored_entries(db).map(move |one| (db, one)));
                return entries.try_for_each(|(db, entry)| act(db, entry));
            }
            Source::Moment(moment) => moment,
        };
        let transfer = moment.transfer.clone();
        server.background.keys.store(0, Ordering::Relaxed);
        let mut courtesy = Courtesy::begin();
        while let Some(entries) = moment.cut.read(&server.shards) {
            for (number, shown) in entries.iter().enumerate() {
                // Who waits for it is looked at once for many.
                let transfer = transfer.as_deref().filter(|_| number == 0);
                if is_useless(server, transfer) {
                    return Err(cancelled());
                }
                act(shown.db, shown.entry())?;
            }
            server.background.keys.fetch_add(entries.len() as u64, Ordering::Relaxed);
            moment.retire(&server.reclaimer);
            courtesy.show();
        }
        Ok(())
    }
}

/// Whether nobody wants what is written of a moment any more.
pub(super) fn is_useless(server: &Server, transfer: Option<&Transfer>) -> bool {
    let stops = server.background.is_cancelled() || server.stopping.load(Ordering::Relaxed);
    stops || transfer.is_some_and(Transfer::is_left)
}

/// Whoever reads a moment computes without a pause, and the system lets it do so for milliseconds while a client's request
/// waits for the same core. So it lets others go first, again and again, where it has no lock.
#[derive(Debug)]
struct Courtesy {
    begun: Instant,
    shown: Instant,
    given_away: Duration,
}

impl Courtesy {
    fn begin() -> Courtesy {
        let now = Instant::now();
        Courtesy { begun: now, shown: now, given_away: Duration::ZERO }
    }

    fn show(&mut self) {
        let now = Instant::now();
        let taken = (now - self.begun).saturating_sub(self.given_away);
        if now - self.shown >= SHARE && self.given_away <= taken * GIVEN_AWAY_MAX {
            std::thread::yield_now();
            self.shown = Instant::now();
            self.given_away += self.shown - now;
        }
    }
}
