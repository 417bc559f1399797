//! Why a reconcile failed, and when it is tried again.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use kube::runtime::controller::Action;

use crate::{domain::backoff, runtime::ops};

/// Why a reconcile failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A call to the API server.
    #[error(transparent)]
    Api(#[from] ops::Error),
    /// It took too long.
    #[error("the reconcile was given up after {} s", super::RECONCILE_TIMEOUT.as_secs())]
    Timeout,
}

impl Error {
    /// What the API server says where it refuses to create an object.
    pub fn refused_creation(&self) -> Option<&str> {
        match self {
            Self::Api(error) => error.refused_creation(),
            Self::Timeout => None,
        }
    }
}

/// An object that was due to be tried again so long ago, and wasn't, is gone.
const FORGOTTEN: Duration = Duration::from_secs(3600);

/// How much sooner than after a failure it is tried again after a conflict.
const SOONER: u32 = 5;

/// Failures in a row by object: nothing is built into the controller runtime.
#[derive(Default)]
pub struct Failures {
    troubles: Series,
    /// Counted by themselves: who waits for minutes already is still told by a conflict that there is news.
    conflicts: Series,
}

impl Failures {
    /// The object was reconciled.
    pub fn forget(&self, key: &str) {
        self.troubles.forget(key);
        self.conflicts.forget(key);
    }

    /// The object could not be reconciled: when to try again. A conflict is mostly a newer truth on its way and no trouble;
    /// one that stays (somebody else's object has the name) is tried more and more seldom as everything is.
    pub fn next_try(&self, key: &str, error: &Error, now: Instant) -> Action {
        let is_conflict = matches!(error, Error::Api(error) if error.is_conflict() || error.is_not_found());
        let wait = if is_conflict { self.conflicts.next(key, now, SOONER) } else { self.troubles.next(key, now, 1) };
        Action::requeue(wait)
    }
}

/// What failed in a row.
#[derive(Default)]
struct Series(Mutex<HashMap<String, Failing>>);

struct Failing {
    /// How many tries in a row failed, each after the wait that the last one was given.
    count: u32,
    /// When to try again.
    due: Instant,
}

impl Series {
    fn forget(&self, key: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    /// The wait after a failure now, shortened to one part in `sooner`.
    ///
    /// A try before its time, because something else about the object changed, makes the wait no longer: an object with
    /// much news would soon be looked at every five minutes only.
    fn next(&self, key: &str, now: Instant, sooner: u32) -> Duration {
        let mut failing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // An object that is gone is never tried again, and nobody says so.
        failing.retain(|_, failing| now.saturating_duration_since(failing.due) < FORGOTTEN);
        let failing = failing.entry(key.to_owned()).or_insert(Failing { count: 0, due: now });
        if failing.due <= now {
            failing.count = failing.count.saturating_add(1);
            failing.due = now + backoff::after(failing.count, key) / sooner;
        }
        failing.due - now
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn news_in_the_meantime_makes_the_wait_no_longer() {
        let (failures, began) = (Failures::default(), Instant::now());
        let wait = |count| backoff::after(count, "a");
        let next = |after: Duration| failures.next_try("a", &Error::Timeout, began + after);
        assert_eq!(next(Duration::ZERO), Action::requeue(wait(1)));
        for early in [1, 10, 100].map(Duration::from_millis) {
            assert_eq!(next(early), Action::requeue(wait(1) - early));
        }
        assert_eq!(next(wait(1)), Action::requeue(wait(2)));
        failures.forget("a");
        assert_eq!(next(wait(1)), Action::requeue(wait(1)));
    }

    #[test]
    fn a_conflict_is_tried_again_soon_and_one_that_stays_more_and_more_seldom() {
        let (failures, mut now) = (Failures::default(), Instant::now());
        let status = Status { code: 409, reason: "AlreadyExists".to_owned(), ..Status::default() };
        let source = Box::new(kube::Error::Api(status.boxed()));
        let conflict =
            Error::Api(ops::Error::Api { verb: "create", kind: "Pod".to_owned(), name: "a".to_owned(), source });
        for count in 1..20 {
            let wait = backoff::after(count, "a") / SOONER;
            assert_eq!(failures.next_try("a", &conflict, now), Action::requeue(wait));
            now += wait;
        }
        assert!(backoff::after(1, "a") / SOONER < Duration::from_millis(300));
        assert!(backoff::after(20, "a") / SOONER >= Duration::from_secs(60));
        assert_eq!(failures.next_try("a", &Error::Timeout, now), Action::requeue(backoff::after(1, "a")));
        failures.forget("a");
        assert_eq!(failures.next_try("a", &conflict, now), Action::requeue(backoff::after(1, "a") / SOONER));
    }

    #[test]
    fn what_is_never_tried_again_is_forgotten() {
        let (failures, began) = (Failures::default(), Instant::now());
        failures.next_try("gone", &Error::Timeout, began);
        failures.next_try("there", &Error::Timeout, began + 2 * FORGOTTEN);
        let left = failures.troubles.0.lock().unwrap();
        assert_eq!(left.keys().collect::<Vec<_>>(), ["there"]);
    }
}
