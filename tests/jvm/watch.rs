//! An observer who asks every base all the time what it has, and remembers each change.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
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

/// How much one can conclude from the sights.
#[derive(Clone, Copy, Debug, Default)]
pub struct Looks {
    /// Lists that came.
    pub answered: usize,
    /// Looks that were given up, and begun again.
    pub hung: usize,
    /// The longest time between two lists of one base: what was shorter may have been missed.
    pub longest_gap: Duration,
}

/// The observer.
pub struct Watch {
    seen: Arc<Mutex<Vec<Sight>>>,
    looks: Arc<Mutex<Looks>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Watch {
    /// Begins to look at all bases.
    pub fn start(stage: &Stage) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let looks = Arc::new(Mutex::new(Looks::default()));
        let look = |(base, at)| tokio::spawn(look(base, at, Arc::clone(&seen), Arc::clone(&looks)));
        let tasks = stage.bases.iter().map(|base| base.at).enumerate().map(look).collect();
        Self { seen, looks, tasks }
    }

    /// How often it has looked.
    pub fn looks(&self) -> Looks {
        *self.looks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends it; every change that was seen, in the order of time.
    pub fn stop(self) -> Vec<Sight> {
        for task in &self.tasks {
            task.abort();
        }
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn look(base: usize, at: Endpoint, seen: Arc<Mutex<Vec<Sight>>>, looks: Arc<Mutex<Looks>>) {
    let client = Client::new(Bounds { query: QUERY, ..Bounds::default() }).expect("a client");
    let mut last = None;
    let mut previous = Instant::now();
    loop {
        let answer = client.query_all(at).await;
        {
            let mut looks = looks.lock().unwrap_or_else(PoisonError::into_inner);
            if answer.is_ok() {
                looks.answered += 1;
                looks.longest_gap = looks.longest_gap.max(previous.elapsed());
                previous = Instant::now();
            } else {
                looks.hung += 1;
            }
        }
        if let Ok(list) = answer {
            let sight = Sight { base, list: words(&list) };
            if last.as_ref() != Some(&sight) {
                last = Some(sight.clone());
                seen.lock().unwrap_or_else(PoisonError::into_inner).push(sight);
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}
