//! Watches that are counted as their events come, so that waiting costs next to nothing.

use std::fmt::{Debug, Display};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use futures::StreamExt;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::Notify;

use super::{DEADLINE, Result};

struct Shared<S> {
    seen: Mutex<S>,
    changed: Notify,
}

impl<S> Shared<S> {
    fn seen(&self) -> MutexGuard<'_, S> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What several watches have seen together. It says of itself how far it is.
pub struct Watch<S> {
    shared: Arc<Shared<S>>,
}

impl<S: Default> Default for Watch<S> {
    fn default() -> Self {
        Self { shared: Arc::new(Shared { seen: Mutex::default(), changed: Notify::new() }) }
    }
}

impl<S: Display + Send + 'static> Watch<S> {
    /// Begins to watch one more kind: what takes note of an object, and of the end of the one with this name.
    pub fn follow<K>(&self, api: Api<K>, config: watcher::Config, applied: fn(&mut S, &K), deleted: fn(&mut S, &str))
    where
        K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
    {
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move {
            let mut events = std::pin::pin!(watcher::watcher(api, config));
            while let Some(event) = events.next().await {
                match event {
                    // A second list of the same objects can't hide a deletion: it comes only when a watch was lost for
                    // minutes.
                    Ok(Event::Apply(object) | Event::InitApply(object)) => applied(&mut shared.seen(), &object),
                    Ok(Event::Delete(object)) => deleted(&mut shared.seen(), &object.name_any()),
                    Ok(Event::Init | Event::InitDone) => {}
                    Err(error) => eprintln!("watch: {error}"),
                }
                shared.changed.notify_one();
            }
        });
    }

    /// Waits until `done`.
    pub async fn until(&self, what: &str, done: impl Fn(&S) -> bool) -> Result<()> {
        let began = Instant::now();
        loop {
            let changed = self.shared.changed.notified();
            if done(&self.seen()) {
                return Ok(());
            }
            let left = DEADLINE.saturating_sub(began.elapsed());
            if tokio::time::timeout(left, changed).await.is_err() {
                return Err(format!("in {} s not all {what}: {}", DEADLINE.as_secs(), self.seen()).into());
            }
        }
    }

    /// What was seen so far.
    pub fn seen(&self) -> MutexGuard<'_, S> {
        self.shared.seen()
    }
}
