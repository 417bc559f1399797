//! Looks out for a V1 that runs: two operators would undo each other's work.
//!
//! Before this process acts it waits until no V1 is to be seen ([`Lookout::wait`]); while it acts it goes on looking
//! ([`Lookout::watch`]). What tells of a V1, [`plan`] knows. Where pods may not be listed that is said once, and the rest
//! is looked at; where they can't be at the moment, nothing begins. Must not: end or change the V1; whoever runs it decides that.

pub mod plan;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use k8s_openapi::api::{
    coordination::v1::Lease,
    core::v1::{ObjectReference, Pod},
};
use kube::{Api, Client, Resource, ResourceExt};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::plan::{Held, LeaseSight, Own};
use super::{health::Readiness, lease::plan::Record, ops::Ops};
use crate::api::{Reason, keys::LEASE_NAME};

/// Between two looks before this process acts.
const BEFORE: Duration = Duration::from_secs(2);
/// Between two looks while it acts.
const WHILE: Duration = Duration::from_secs(10);
/// The name of the check in `/readyz`.
const CHECK: &str = "predecessor";

/// Where to look, and as whom.
pub struct Lookout {
    client: Client,
    /// The namespaces whose pods are looked at; none for all.
    namespaces: BTreeSet<String>,
    /// Where the Lease is, unless this process stands for election on it itself: then the election keeps both apart.
    lease: Option<String>,
    sight: Mutex<LeaseSight>,
    own: Own,
    /// What was said last of pods that can't be looked at.
    blind: Mutex<String>,
}

/// The namespaces of this process.
pub struct Home {
    /// Where the Lease is.
    pub lease: String,
    /// Where its pod is.
    pub pod: String,
}

/// A V1 that was seen.
#[derive(Clone, Debug)]
pub struct Sighting {
    /// One sentence.
    pub sentence: String,
    /// What was seen.
    object: ObjectReference,
    /// It is a pod of the workload that this process belongs to, and goes by itself.
    goes: bool,
}

impl Lookout {
    /// Looks for pods in `namespaces` and those of `home`, or everywhere if `namespaces` is empty; at the Lease, unless this
    /// process was `elected` by it.
    pub async fn new(client: Client, namespaces: &[String], home: Home, elected: bool) -> Self {
        let mut places: BTreeSet<String> = namespaces.iter().cloned().collect();
        if !places.is_empty() {
            places.extend([home.lease.clone(), home.pod.clone()]);
        }
        let own = own(&client, &home, elected).await;
        let lease = (!elected).then_some(home.lease);
        Self { client, namespaces: places, lease, sight: Mutex::default(), own, blind: Mutex::default() }
    }

    /// Waits until no V1 is to be seen, or `stop`; says so in the log, in an Event and, unless the V1 is about to go, by not
    /// being ready. Tells whether to begin.
    pub async fn wait(&self, ops: &Ops, readiness: &Readiness, stop: &CancellationToken) -> bool {
        let told: Arc<Mutex<Option<String>>> = Arc::default();
        let shown = Arc::clone(&told);
        readiness
            .check(CHECK, move |_| shown.lock().unwrap_or_else(PoisonError::into_inner).clone().map_or(Ok(()), Err));
        let mut last = String::new();
        loop {
            let (seen, undecided) = self.look().await;
            let sentence = seen.as_ref().map_or_else(String::new, |seen| seen.sentence.clone());
            let unready = seen.as_ref().filter(|seen| !seen.goes).map(|seen| seen.sentence.clone());
            *told.lock().unwrap_or_else(PoisonError::into_inner) = unready;
            match &seen {
                None if !undecided => {
                    if !last.is_empty() {
                        tracing::info!("no V1 runs any more: beginning");
                    }
                    readiness.remove(CHECK);
                    return true;
                }
                Some(seen) if sentence != last => {
                    tracing::error!("{sentence}");
                    ops.publish(&seen.object, true, Reason::PredecessorRuns, "Wait", seen.sentence.clone()).await;
                    last = sentence;
                }
                _ => {}
            }
            if stop.run_until_cancelled(tokio::time::sleep(BEFORE)).await.is_none() {
                return false;
            }
        }
    }

    /// Looks until a V1 is seen, or `stop`.
    pub async fn watch(&self, stop: &CancellationToken) -> Option<Sighting> {
        loop {
            stop.run_until_cancelled(tokio::time::sleep(WHILE)).await?;
            if let (Some(seen), _) = self.look().await {
                return Some(seen);
            }
        }
    }

    /// What is to be seen now, and whether that leaves it open.
    async fn look(&self) -> (Option<Sighting>, bool) {
        let held = self.lease_held().await;
        if let Held::By(holder) = &held {
            return (Some(self.of_lease(holder)), false);
        }
        let (pods, all) = self.candidates().await;
        (self.running_pod(pods), held == Held::Perhaps || !all)
    }

    async fn lease_held(&self) -> Held {
        let Some(namespace) = &self.lease else { return Held::No };
        let found = Api::<Lease>::namespaced(self.client.clone(), namespace).get_opt(LEASE_NAME).await;
        let mut sight = self.sight.lock().unwrap_or_else(PoisonError::into_inner);
        match found {
            Ok(lease) => sight.note(lease.as_ref().map(Record::of).as_ref(), Instant::now()),
            Err(error) => {
                tracing::debug!(%error, "could not look at the Lease");
                if is_forbidden(&error) { Held::No } else { Held::Perhaps }
            }
        }
    }

    fn of_lease(&self, holder: &str) -> Sighting {
        let namespace = self.lease.clone().unwrap_or_default();
        Sighting {
            sentence: format!(
                "another module controller, {holder}, renews the Lease {namespace}/{LEASE_NAME}: stop it (scale the Go V1 \
                 to zero), or run this one with --leader-elect; until then nothing is done"
            ),
            object: ObjectReference {
                api_version: Some("coordination.k8s.io/v1".to_owned()),
                kind: Some("Lease".to_owned()),
                name: Some(LEASE_NAME.to_owned()),
                namespace: Some(namespace),
                ..ObjectReference::default()
            },
            goes: false,
        }
    }

    /// The first V1 among the pods.
    fn running_pod(&self, pods: BTreeMap<(String, String), Pod>) -> Option<Sighting> {
        let found = pods.into_values().find(|pod| plan::is_v1(pod, &self.own))?;
        let (namespace, name) = (found.namespace().unwrap_or_default(), found.name_any());
        Some(Sighting {
            sentence: format!(
                "the Go ModuleController V1 runs in pod {namespace}/{name}: scale it to zero; until then nothing is done \
                 (--ignore-v1 if that pod is something else)"
            ),
            object: found.object_ref(&()),
            goes: plan::is_beside(&found, &self.own),
        })
    }

    /// Pods that may be a V1's, as the API server picks them out, and whether it answered all that may be asked.
    async fn candidates(&self) -> (BTreeMap<(String, String), Pod>, bool) {
        let queries = plan::queries();
        let apis: Vec<Api<Pod>> = if self.namespaces.is_empty() {
            vec![Api::all(self.client.clone())]
        } else {
            self.namespaces.iter().map(|namespace| Api::namespaced(self.client.clone(), namespace)).collect()
        };
        let (mut found, mut all) = (BTreeMap::new(), true);
        for api in apis {
            for query in &queries {
                // From the API server's own memory: this is asked again and again.
                match api.list(&query.clone().match_any()).await {
                    Ok(list) => {
                        let keyed = |pod: Pod| ((pod.namespace().unwrap_or_default(), pod.name_any()), pod);
                        found.extend(list.items.into_iter().map(keyed));
                    }
                    Err(error) => {
                        all &= is_forbidden(&error);
                        self.is_blind(&error);
                    }
                }
            }
        }
        (found, all)
    }

    fn is_blind(&self, error: &kube::Error) {
        let now = error.to_string();
        let mut said = self.blind.lock().unwrap_or_else(PoisonError::into_inner);
        if *said != now {
            let lasts = is_forbidden(error);
            tracing::warn!(%error, lasts, "pods can't be listed: a V1 that runs there is seen by its Lease only");
            *said = now;
        }
    }
}

/// Whether it will be so as long as the rights are what they are.
fn is_forbidden(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 403)
}

async fn own(client: &Client, home: &Home, elected: bool) -> Own {
    let elected_in = elected.then(|| home.lease.clone());
    let name = std::env::var("POD_NAME").or_else(|_| std::env::var("HOSTNAME")).unwrap_or_default();
    let name = name.trim();
    if name.is_empty() {
        return Own { elected_in, ..Own::default() };
    }
    let pods = Api::<Pod>::namespaced(client.clone(), &home.pod);
    let pod = pods.get_opt(name).await.unwrap_or_else(|error| {
        tracing::warn!(%error, name, "could not read this process's own pod");
        None
    });
    Own { named: Some((home.pod.clone(), name.to_owned())), pod, elected_in }
}
