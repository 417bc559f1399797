//! The time that plans are given.

use std::time::Duration;

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use tokio::time::Instant;

/// Milliseconds since the epoch that never jump: the wall clock is read once, at the start, and goes on with the
/// monotonic clock. So a corrected wall clock neither ends a wait early nor keeps one for ever.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: Instant,
    epoch: i64,
}

impl Clock {
    /// A clock that begins now.
    pub fn start() -> Self {
        Self { started: Instant::now(), epoch: Timestamp::now().as_millisecond() }
    }

    /// Milliseconds since the epoch.
    pub fn now(&self) -> i64 {
        let passed = i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX);
        self.epoch.saturating_add(passed)
    }

    /// How long until `at`; zero where that is past.
    pub fn until(&self, at: i64) -> Duration {
        Duration::from_millis(u64::try_from(at.saturating_sub(self.now())).unwrap_or(0))
    }
}

/// Milliseconds since the epoch of an object's timestamp.
pub fn millis(time: &Time) -> i64 {
    time.0.as_millisecond()
}

/// An object's timestamp, in whole seconds as the API server stores it.
pub fn timestamp(millis: i64) -> Time {
    Time(Timestamp::from_second(millis.div_euclid(1000)).unwrap_or(Timestamp::UNIX_EPOCH))
}
