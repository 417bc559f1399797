//! The controllers: thin shells around the plans in [`crate::domain`].
//!
//! Each kind has a folder: observe, apply, status; its plan is in the domain. Watches fan out into queues
//! ([`wake`]), one runner a kind reconciles what is queued. Deletes are fanned out too, and every object is looked
//! at after each (re)list.

mod base;
pub mod census;
pub mod context;
mod delivery;
mod error;
mod fleet;
mod module;
mod module_deployment;
mod module_replica_set;
mod ordering;
mod queues;
pub mod run;
mod service;
mod session_world;
#[cfg(test)]
mod testing;
mod wake;
#[cfg(test)]
mod world_tests;

use std::time::Duration;

use kube::runtime::controller::Action;

use self::context::Context;

/// Longest reconcile: several API calls of 15 s each, and no agent call.
pub(crate) const RECONCILE_TIMEOUT: Duration = Duration::from_secs(60);

/// What waits is looked at so often without news (milliseconds).
const LOOK_AGAIN: i64 = 60_000;

/// Look again when what is waited for comes, and wakes the object. A net is under that waking: should nothing do so, nobody
/// waits for ever.
fn await_news() -> Action {
    Action::requeue(Duration::from_millis(LOOK_AGAIN.unsigned_abs()))
}

/// Look again at a time in milliseconds, or when something changes.
fn until(context: &Context, at: Option<i64>) -> Action {
    match at {
        Some(at) => Action::requeue(context.clock.until(at)),
        None => Action::await_change(),
    }
}
