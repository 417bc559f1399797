//! An observer who asks every base all the time what it has, and remembers each change.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use module_controller::arklet::client::{Bounds, Client, Endpoint};
use tokio::task::JoinHandle;

use crate::{base::words, stage::Stage};

/// Between two looks at one base.
const PAUSE: Duration = Duration::from_millis(20);
/// A look that hangs, as every fourth does during an install, is given up and begun again.
const QUERY: Duration = Duration::from_millis(300);

/// A base's list, from some moment on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sight {
    /// Which base, counted from 0.
    pub base: usize,
    /// What it has, as `name version STATE` in order.
    pub list: Vec<String>,
}

impl Sight {
    /// Whether this version is there in this state; without a state, whether it is there at all.
    pub fn has(&self, version: &str, state: Option<&str>) -> bool {
        self.list.iter().any(|biz| {
            let mut words = biz.split(' ').skip(1);
            words.next() == Some(version) && state.is_none_or(|state| words.next() == Some(state))
        })
    }
}

/// The observer.
pub struct Watch {
    seen: Arc<Mutex<Vec<Sight>>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Watch {
    /// Begins to look at all bases.
    pub fn start(stage: &Stage) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let look = |(base, at)| tokio::spawn(look(base, at, Arc::clone(&seen)));
        let tasks = stage.bases.iter().map(|base| base.at).enumerate().map(look).collect();
        Self { seen, tasks }
    }

    /// Ends it; every change that was seen, in the order of time.
    pub fn stop(self) -> Vec<Sight> {
        for task in &self.tasks {
            task.abort();
        }
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn look(base: usize, at: Endpoint, seen: Arc<Mutex<Vec<Sight>>>) {
    let client = Client::new(Bounds { query: QUERY, ..Bounds::default() }).expect("a client");
    let mut last = None;
    loop {
        if let Ok(list) = client.query_all(at).await {
            let sight = Sight { base, list: words(&list) };
            if last.as_ref() != Some(&sight) {
                last = Some(sight.clone());
                seen.lock().unwrap_or_else(PoisonError::into_inner).push(sight);
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}
