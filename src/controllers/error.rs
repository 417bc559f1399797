//! Why a reconcile failed, and when it is tried again.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
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

/// Failures in a row by object: nothing is built into the controller runtime.
#[derive(Default)]
pub struct Failures(Mutex<HashMap<String, u32>>);

impl Failures {
    /// The object was reconciled.
    pub fn forget(&self, key: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    /// The object could not be reconciled: when to try again. A conflict is a newer truth on its way, not trouble.
    pub fn next_try(&self, key: &str, error: &Error) -> Action {
        if let Error::Api(error) = error
            && (error.is_conflict() || error.is_not_found())
        {
            return Action::requeue(Duration::from_millis(200));
        }
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failures.entry(key.to_owned()).or_default();
        *count = count.saturating_add(1);
        Action::requeue(backoff::after(*count, key))
    }
}
