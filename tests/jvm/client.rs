//! A client of a module's Service, as kube-proxy would make it: one new connection after the other, to the addresses that
//! the Service's EndpointSlices have at that moment.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::StreamExt;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::{
    Api, ResourceExt,
    runtime::{WatchStreamExt, watcher},
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{base::get, stage::Stage};

/// Between two requests.
const PAUSE: Duration = Duration::from_millis(10);

/// What came of the requests.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// How often each answer came.
    pub answers: BTreeMap<String, usize>,
    /// What went wrong, and where.
    pub failures: Vec<String>,
}

impl Tally {
    /// How many requests were answered.
    pub fn answered(&self) -> usize {
        self.answers.values().sum()
    }
}

/// A client at work.
pub struct ServiceClient {
    tally: Arc<Mutex<Tally>>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl ServiceClient {
    /// Begins to ask for `path`, and returns when the first answer is there.
    pub async fn start(stage: &Stage, service: &str, path: &str) -> Self {
        let api: Api<EndpointSlice> = stage.api();
        let of_service = watcher::Config::default().labels(&format!("kubernetes.io/service-name={service}"));
        let tally = Arc::new(Mutex::new(Tally::default()));
        let stop = CancellationToken::new();
        let task = tokio::spawn(ask(api, of_service, path.to_owned(), Arc::clone(&tally), stop.clone()));
        let client = Self { tally, stop, task };
        stage.eventually("the Service answers", async || (client.tally().answered() > 0).then_some(())).await;
        client
    }

    /// What came so far.
    pub fn tally(&self) -> Tally {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends it.
    pub async fn stop(self) -> Tally {
        self.stop.cancel();
        let _ = self.task.await;
        self.tally.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn ask(
    api: Api<EndpointSlice>,
    of_service: watcher::Config,
    path: String,
    tally: Arc<Mutex<Tally>>,
    stop: CancellationToken,
) {
    // What one connection is to kube-proxy is one request here.
    let web = reqwest::Client::builder().timeout(Duration::from_secs(5)).pool_max_idle_per_host(0).no_proxy();
    let web = web.build().expect("a client");
    let mut events = std::pin::pin!(watcher(api, of_service).default_backoff());
    let mut slices: BTreeMap<String, BTreeSet<IpAddr>> = BTreeMap::new();
    let mut turn = 0;
    let mut listed = false;
    loop {
        // All news first: a request goes only to an address that is in the slices now.
        let wait = if listed { PAUSE } else { Duration::from_secs(5) };
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            Some(event) = events.next() => {
                listed |= matches!(event, Ok(watcher::Event::InitDone));
                note(&mut slices, event);
                continue;
            }
            () = tokio::time::sleep(wait) => {}
        }
        let addresses: Vec<IpAddr> = slices.values().flatten().copied().collect();
        let answer = if addresses.is_empty() {
            Err("the Service has no address".to_owned())
        } else {
            let address = addresses[turn % addresses.len()];
            turn += 1;
            get(&web, &format!("http://{address}:8080{path}")).await.map_err(|why| format!("{address}: {why}"))
        };
        let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
        match answer {
            Ok(answer) => *tally.answers.entry(answer).or_default() += 1,
            // Before the first answer the Service may still be empty.
            Err(_) if tally.answers.is_empty() => {}
            Err(why) => tally.failures.push(why),
        }
    }
}

fn note(slices: &mut BTreeMap<String, BTreeSet<IpAddr>>, event: watcher::Result<watcher::Event<EndpointSlice>>) {
    match event {
        Ok(watcher::Event::Apply(slice) | watcher::Event::InitApply(slice)) => {
            slices.insert(slice.name_any(), ready_addresses(&slice));
        }
        Ok(watcher::Event::Delete(slice)) => {
            slices.remove(&slice.name_any());
        }
        Ok(watcher::Event::Init | watcher::Event::InitDone) | Err(_) => {}
    }
}

/// The addresses to which traffic is sent.
pub fn ready_addresses(slice: &EndpointSlice) -> BTreeSet<IpAddr> {
    let ready = slice.endpoints.iter().filter(|endpoint| {
        let conditions = endpoint.conditions.as_ref();
        conditions.and_then(|conditions| conditions.ready).unwrap_or(true)
    });
    ready.flat_map(|endpoint| &endpoint.addresses).filter_map(|address| address.parse().ok()).collect()
}
