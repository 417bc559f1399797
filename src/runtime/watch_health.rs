//! Whether a watch can be trusted to be up to date.
//!
//! The watcher says nothing while nothing happens, but it tells every failure, and tries again within half a minute.
//! So a watch is stale where failures have followed each other for a while and nothing good came in between.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Failures further apart than this belong to different troubles; the watcher's own longest wait is 30 s.
const SAME_TROUBLE: Duration = Duration::from_secs(75);
/// Trouble of this length makes a watch stale.
const STALE_AFTER: Duration = Duration::from_secs(20);

/// The health of one watch; clones share it.
#[derive(Clone, Debug, Default)]
pub struct WatchHealth(Arc<Mutex<Trouble>>);

#[derive(Debug, Default)]
struct Trouble {
    began: Option<Instant>,
    last: Option<Instant>,
}

impl WatchHealth {
    /// An event came.
    pub fn succeeded(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Trouble::default();
    }

    /// A failure came.
    pub fn failed(&self) {
        self.failed_at(Instant::now());
    }

    fn failed_at(&self, now: Instant) {
        let mut trouble = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if trouble.last.is_none_or(|last| now.duration_since(last) > SAME_TROUBLE) {
            trouble.began = Some(now);
        }
        trouble.last = Some(now);
    }

    /// For how long the watch has been in trouble, where that is too long.
    pub fn stale_for(&self, now: Instant) -> Option<Duration> {
        let trouble = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (began, last) = (trouble.began?, trouble.last?);
        let lasting = now.saturating_duration_since(began);
        (now.saturating_duration_since(last) <= SAME_TROUBLE && lasting >= STALE_AFTER).then_some(lasting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lasting_trouble_makes_it_stale_and_an_event_ends_it() {
        let health = WatchHealth::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(health.stale_for(at(100)), None);
        health.failed_at(at(0));
        assert_eq!(health.stale_for(at(19)), None);
        health.failed_at(at(19));
        assert_eq!(health.stale_for(at(30)), Some(Duration::from_secs(30)));
        // A watch that was set up again and sees nothing happen says nothing.
        assert_eq!(health.stale_for(at(95)), None);
        health.failed_at(at(200));
        assert_eq!(health.stale_for(at(205)), None);
        health.failed_at(at(225));
        health.succeeded();
        assert_eq!(health.stale_for(at(226)), None);
    }
}
