//! Sessions that clients may resume, kept for as long, and as many of them, as the directives say.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::server::{NoServerSessionStorage, StoresServerSessions};

use crate::config::Config;
use crate::system::clock::MonotonicMs;

/// Has clients resume as the directives say.
pub(super) fn set(made: &mut ServerConfig, config: &Config) {
    if config.tls_session_caching() {
        // As with OpenSSL 0 is no limit of the user's.
        let wanted = Some(config.tls_session_cache_size()).filter(|count| *count > 0);
        let count_max = wanted.unwrap_or(SESSIONS_MAX).min(SESSIONS_MAX);
        let life_ms = config.tls_session_cache_timeout_seconds() * 1000;
        made.session_storage = Arc::new(Sessions { kept: Mutex::default(), count_max, life_ms });
    } else {
        made.session_storage = Arc::new(NoServerSessionStorage {});
        made.send_tls13_tickets = 0;
    }
}

/// Most sessions that are kept whatever the directive says.
const SESSIONS_MAX: usize = 1 << 20;

/// Sessions with the time from which on they are no longer good.
#[derive(Debug)]
struct Sessions {
    kept: Mutex<Kept>,
    count_max: usize,
    life_ms: u64,
}

#[derive(Debug, Default)]
struct Kept {
    by_key: HashMap<Vec<u8>, (MonotonicMs, Vec<u8>)>,
    /// Keys in the order in which they came, those included that are gone.
    order: VecDeque<Vec<u8>>,
}

impl StoresServerSessions for Sessions {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        let mut kept = self.kept.lock();
        kept.order.push_back(key.clone());
        kept.by_key.insert(key, (MonotonicMs::now().after(self.life_ms), value));
        while kept.order.len() > self.count_max {
            if let Some(oldest) = kept.order.pop_front() {
                kept.by_key.remove(&oldest);
            }
        }
        true
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        let kept = self.kept.lock();
        kept.by_key.get(key).filter(|(until, _)| *until > MonotonicMs::now()).map(|(_, value)| value.clone())
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        let taken = self.kept.lock().by_key.remove(key);
        taken.filter(|(until, _)| *until > MonotonicMs::now()).map(|(_, value)| value)
    }

    fn can_cache(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_sessions_make_room_and_none_is_good_for_ever() {
        let sessions = Sessions { kept: Mutex::default(), count_max: 2, life_ms: 60_000 };
        for key in [b"a", b"b", b"c"] {
            assert!(sessions.put(key.to_vec(), b"x".to_vec()));
        }
        assert_eq!(sessions.get(b"a"), None);
        assert_eq!(sessions.take(b"b"), Some(b"x".to_vec()));
        assert_eq!((sessions.take(b"b"), sessions.get(b"c")), (None, Some(b"x".to_vec())));
        let short = Sessions { kept: Mutex::default(), count_max: 2, life_ms: 0 };
        short.put(b"a".to_vec(), b"x".to_vec());
        assert_eq!((short.get(b"a"), short.take(b"a")), (None, None));
    }
}
