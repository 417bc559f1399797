//! A dry run: the operator's own controllers, over an API server and agents that are asked and never told.
//!
//! ```text
//! controllers --write--> api (a store over the real cluster) --told as if it had happened--> watches --> controllers
//! sessions ----command--> agents (noted, taken to succeed)
//! ```
//!
//! So what is printed is what would be done, and no second opinion on it. It ends when nothing has happened for a while;
//! what waits longer than that (a gray time, a long soak) is beyond it. Every command to a base is taken to succeed. Must not:
//! send anything but a question; [`api`] and [`agents`] have one place each from which anything is sent.

mod agents;
mod api;
mod findings;
mod store;
mod table;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use kube::Client;
use tokio_util::sync::CancellationToken;

pub use self::table::Report;
use self::{agents::Rehearsed, api::Book, findings::Cluster};
use crate::{
    arklet::agents::Agents,
    controllers::{
        census::Census,
        context::Settings,
        run::{self, Scope},
    },
    runtime::{health::Readiness, metrics::Metrics, ops::Ops},
};

/// When nothing has happened for this long, nothing more will: longer than a drain (5 s) and than all paces of writing.
const QUIET: Duration = Duration::from_secs(7);
/// How long it may take until everything is listed.
const LISTED: Duration = Duration::from_secs(60);
/// The longest rehearsal, shorter than a watch lives.
const LONGEST: Duration = Duration::from_secs(180);
/// Lifetime of a watch (seconds).
const WATCH_SECONDS: u32 = 290;
/// Between two looks whether it is over.
const POLL: Duration = Duration::from_millis(100);

/// Why there is nothing to show.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The cluster can't be read.
    #[error("the cluster can't be read: {0}")]
    Unreadable(String),
    /// It goes on and on.
    #[error("it doesn't come to an end within {} s; something else is changing the cluster meanwhile", LONGEST.as_secs())]
    Endless,
}

/// What to rehearse.
pub struct Plan {
    /// The way to the cluster.
    pub client: Client,
    /// The way to the agents.
    pub agents: Arc<dyn Agents>,
    /// The namespaces; none for the whole cluster.
    pub namespaces: Vec<String>,
    /// Settings of the operator.
    pub settings: Settings,
}

/// Plays through what the operator would do, and tells it.
pub async fn rehearse(plan: Plan) -> Result<Report, Error> {
    let cluster = Cluster::read(&plan.client, &plan.namespaces).await.map_err(Error::Unreadable)?;
    let book = Book::new();
    let agents = Arc::new(Rehearsed::new(Arc::clone(&plan.agents), Arc::clone(&book)));
    let (metrics, readiness) = (Arc::new(Metrics::new()), Arc::new(Readiness::new()));
    let (census, stop) = (Arc::new(Census::default()), CancellationToken::new());
    let ops = Ops::new(book.client(&plan.client), 32, Arc::clone(&metrics), "rehearsal".to_owned());
    let settings = Settings { watch_seconds: WATCH_SECONDS, ..plan.settings };
    let scope = |namespace: Option<String>| Scope {
        nodes: namespace.is_none(),
        namespace,
        ops: ops.clone(),
        arklet: Arc::clone(&agents) as Arc<dyn Agents>,
        metrics: Arc::clone(&metrics),
        readiness: Arc::clone(&readiness),
        settings: settings.clone(),
        census: Arc::clone(&census),
    };
    let scopes: Vec<Scope> = match plan.namespaces.as_slice() {
        [] => vec![scope(None)],
        some => some.iter().cloned().map(Some).map(scope).collect(),
    };
    let mut running = tokio::task::JoinSet::new();
    for scope in scopes {
        running.spawn(run::run(scope, stop.clone()));
    }
    let ended = until_quiet(&book, &agents, &readiness).await;
    stop.cancel();
    running.shutdown().await;
    ended?;
    let notes = agents.notes();
    Ok(book.read(|store, events| Report::of(&cluster, store, events, &notes)))
}

/// Waits until everything is listed and nothing has happened for a while.
async fn until_quiet(book: &Book, agents: &Rehearsed, readiness: &Readiness) -> Result<(), Error> {
    let began = Instant::now();
    let mut listed = None;
    loop {
        tokio::time::sleep(POLL).await;
        if let Some(trouble) = book.trouble() {
            return Err(Error::Unreadable(trouble));
        }
        if listed.is_none() {
            let missing = readiness.failing(Instant::now());
            if missing.is_empty() && began.elapsed() > POLL * 5 {
                listed = Some(Instant::now());
            } else if began.elapsed() > LISTED {
                return Err(Error::Unreadable(missing.join("; ")));
            }
            continue;
        }
        let last = book.last().max(listed);
        if agents.notes().asking == 0 && last.is_some_and(|last| last.elapsed() > QUIET) {
            return Ok(());
        }
        if began.elapsed() > LONGEST {
            return Err(Error::Endless);
        }
    }
}
