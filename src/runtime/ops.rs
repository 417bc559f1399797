//! Every write to the API server goes through here: bounded in number and time, counted, and guarded by UID.
//!
//! Must not: retry. A failed write is the reconciler's to try again, from what is true then.

use std::{
    fmt::Debug,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::{ClusterResourceScope, NamespaceResourceScope};
use kube::{
    Api, Client, Resource,
    api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions},
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{
    clock::Clock,
    events::Recorder,
    metrics::{ApiResource, ApiResult, ApiVerb, Metrics},
    pace::Paces,
};

/// The field manager of every write, and the reporter of every Event.
pub const MANAGER: &str = "module-controller";
/// Calls about Leases at a time, beside all others: a Lease that waits behind a thousand statuses runs out.
const LEASES_AT_ONCE: usize = 16;
/// No call may take longer.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);

/// Why a call to the API server failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server, or the way to it, said no.
    #[error("{verb} of {kind} {name}: {source}")]
    Api {
        /// What was tried.
        verb: &'static str,
        /// On which kind.
        kind: String,
        /// On which object.
        name: String,
        /// What came back.
        #[source]
        source: Box<kube::Error>,
    },
    /// No answer in time.
    #[error("{verb} of {kind} {name}: no answer from the API server within {} s", CALL_TIMEOUT.as_secs())]
    Timeout {
        /// What was tried.
        verb: &'static str,
        /// On which kind.
        kind: String,
        /// On which object.
        name: String,
    },
}

impl Error {
    fn status(&self) -> Option<(u16, &str)> {
        match self {
            Self::Api { source, .. } => match &**source {
                kube::Error::Api(status) => Some((status.code, status.reason.as_str())),
                _ => None,
            },
            Self::Timeout { .. } => None,
        }
    }

    /// The object isn't there.
    pub fn is_not_found(&self) -> bool {
        self.status().is_some_and(|(code, _)| code == 404)
    }

    /// The object is another one than was thought (UID), or changed meanwhile.
    pub fn is_conflict(&self) -> bool {
        self.status().is_some_and(|(code, _)| code == 409)
    }

    /// An object of that name is there already.
    pub fn is_already_there(&self) -> bool {
        self.status() == Some((409, "AlreadyExists"))
    }

    /// The API server refuses the object or the caller: trying again changes nothing until somebody does. An admission
    /// webhook that names no code refuses with 400.
    pub fn is_refused(&self) -> bool {
        self.status().is_some_and(|(code, _)| matches!(code, 400 | 403 | 422))
    }

    /// What the API server says where it refuses to create an object: a quota, an admission policy, a role, or an
    /// admission webhook that must be asked and can't be reached.
    pub fn refused_creation(&self) -> Option<&str> {
        let Self::Api { verb, source, .. } = self else { return None };
        let kube::Error::Api(status) = &**source else { return None };
        // The one 500 that is no passing fault of the API server's; only its words tell it from the others.
        let unasked = status.code == 500 && status.message.contains("failed calling webhook");
        (*verb == ApiVerb::Create.as_str() && (self.is_refused() || unasked)).then_some(&status.message)
    }
}

/// How a kind of scope `S` is reached.
pub trait InScope<S>: Sized {
    /// The objects of a namespace; of the cluster, for a kind that has none.
    fn api(client: Client, namespace: &str) -> Api<Self>;
}
impl<K: Resource<DynamicType = (), Scope = NamespaceResourceScope>> InScope<NamespaceResourceScope> for K {
    fn api(client: Client, namespace: &str) -> Api<Self> {
        Api::namespaced(client, namespace)
    }
}
impl<K: Resource<DynamicType = (), Scope = ClusterResourceScope>> InScope<ClusterResourceScope> for K {
    fn api(client: Client, _namespace: &str) -> Api<Self> {
        Api::all(client)
    }
}

/// A kind that can be written: with static type information. The namespace of one that has none is the empty text.
pub trait Writable:
    Resource<DynamicType = ()> + InScope<<Self as Resource>::Scope> + Clone + Debug + Serialize + DeserializeOwned
{
}
impl<K> Writable for K where
    K: Resource<DynamicType = ()> + InScope<<K as Resource>::Scope> + Clone + Debug + Serialize + DeserializeOwned
{
}

/// The way to the API server.
#[derive(Clone)]
pub struct Ops {
    client: Client,
    permits: Arc<Semaphore>,
    lease_permits: Arc<Semaphore>,
    metrics: Arc<Metrics>,
    paces: Arc<Mutex<Paces>>,
    clock: Clock,
    pub(super) recorder: Arc<Recorder>,
}

impl Ops {
    /// At most `concurrency` calls at a time, and some about Leases. `instance` names this process in Events.
    pub fn new(client: Client, concurrency: usize, metrics: Arc<Metrics>, instance: String) -> Self {
        let recorder = Arc::new(Recorder::new(instance));
        let [permits, lease_permits] = [concurrency.max(1), LEASES_AT_ONCE].map(|most| Arc::new(Semaphore::new(most)));
        Self { client, permits, lease_permits, metrics, paces: Arc::default(), clock: Clock::start(), recorder }
    }

    /// The client, for watches.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    fn api<K: Writable>(&self, namespace: &str) -> Api<K> {
        K::api(self.client.clone(), namespace)
    }

    async fn call<K: Writable, T>(
        &self,
        verb: ApiVerb,
        (namespace, name): (&str, &str),
        call: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, Error> {
        self.pace::<K>(namespace, name).await;
        let _permit = self.permit::<K>().await;
        let outcome = tokio::time::timeout(CALL_TIMEOUT, call).await;
        let (verb_word, kind, name) = (verb.as_str(), K::kind(&()).into_owned(), name.to_owned());
        let result = match outcome {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(source)) => Err(Error::Api { verb: verb_word, kind, name, source: Box::new(source) }),
            Err(_) => Err(Error::Timeout { verb: verb_word, kind, name }),
        };
        if let Some(resource) = resource_label(&K::plural(&())) {
            self.metrics.api_write(resource, verb, result_label(&result));
        }
        result
    }

    /// Waits where somebody else undoes what is written as fast as it is.
    async fn pace<K: Writable>(&self, namespace: &str, name: &str) {
        let key = (K::plural(&()), namespace.to_owned(), name.to_owned());
        let held = self.paces.lock().unwrap_or_else(PoisonError::into_inner).take(key, self.clock.now());
        if held.tell {
            let kind = K::kind(&());
            tracing::warn!(%kind, namespace, name, "written so often that somebody else seems to undo it: held to two a second");
        }
        if let Ok(wait @ 1..) = u64::try_from(held.wait) {
            tokio::time::sleep(Duration::from_millis(wait)).await;
        }
    }

    /// A turn. The semaphores are never closed; without a permit a call would only be unbounded, not wrong.
    async fn permit<K: Writable>(&self) -> Option<SemaphorePermit<'_>> {
        let is_lease = K::plural(&()) == Lease::plural(&());
        let permits = if is_lease { &self.lease_permits } else { &self.permits };
        permits.acquire().await.ok()
    }

    /// Creates a Lease that was never stored, or replaces one if its resource version is still the one in `lease`. `leaves` is
    /// called when the request does, which may be long after it was asked for: from then on, and not from when it began to
    /// wait for its turn, the Lease is ours for sure.
    pub async fn claim(&self, lease: &Lease, leaves: impl FnOnce()) -> Result<Lease, Error> {
        let name = lease.metadata.name.as_deref().unwrap_or_default();
        let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        let namespace = lease.metadata.namespace.as_deref().unwrap_or_default();
        let api = self.api::<Lease>(namespace);
        let is_new = lease.metadata.resource_version.is_none();
        let call = async {
            leaves();
            if is_new { api.create(&params, lease).await } else { api.replace(name, &params, lease).await }
        };
        self.call::<Lease, Lease>(if is_new { ApiVerb::Create } else { ApiVerb::Update }, (namespace, name), call).await
    }

    /// Creates an object.
    pub async fn create<K: Writable>(&self, namespace: &str, object: &K) -> Result<K, Error> {
        let name = object.meta().name.clone().unwrap_or_default();
        let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        let api = self.api::<K>(namespace);
        self.call::<K, K>(ApiVerb::Create, (namespace, &name), api.create(&params, object)).await
    }

    /// Changes what `patch` names (JSON merge patch). With `metadata.uid` in it only the object meant is changed.
    pub async fn patch<K: Writable>(&self, namespace: &str, name: &str, patch: &serde_json::Value) -> Result<K, Error> {
        let api = self.api::<K>(namespace);
        self.call::<K, K>(ApiVerb::Patch, (namespace, name), api.patch(name, &params(), &Patch::Merge(patch))).await
    }

    /// Changes what `patch` names in the status subresource.
    pub async fn patch_status<K: Writable>(
        &self,
        namespace: &str,
        name: &str,
        patch: &serde_json::Value,
    ) -> Result<K, Error> {
        let api = self.api::<K>(namespace);
        self.call::<K, K>(ApiVerb::Status, (namespace, name), api.patch_status(name, &params(), &Patch::Merge(patch)))
            .await
    }

    /// As [`Ops::patch_status`], merging lists of conditions by their type: those of other writers stay.
    pub async fn merge_status<K: Writable>(
        &self,
        namespace: &str,
        name: &str,
        patch: &serde_json::Value,
    ) -> Result<K, Error> {
        let api = self.api::<K>(namespace);
        self.call::<K, K>(
            ApiVerb::Status,
            (namespace, name),
            api.patch_status(name, &params(), &Patch::Strategic(patch)),
        )
        .await
    }

    /// Replaces an object, if its resource version is still the one in `object`.
    pub async fn replace<K: Writable>(&self, namespace: &str, object: &K) -> Result<K, Error> {
        let name = object.meta().name.clone().unwrap_or_default();
        let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        let api = self.api::<K>(namespace);
        self.call::<K, K>(ApiVerb::Update, (namespace, &name), api.replace(&name, &params, object)).await
    }

    /// Sets the number of replicas of an object that can be scaled.
    pub async fn scale<K: Writable>(&self, namespace: &str, name: &str, replicas: i32) -> Result<(), Error> {
        let api = self.api::<K>(namespace);
        let patch = serde_json::json!({ "spec": { "replicas": replicas } });
        self.call::<K, _>(ApiVerb::Patch, (namespace, name), api.patch_scale(name, &params(), &Patch::Merge(&patch)))
            .await?;
        Ok(())
    }

    /// Deletes the object with this UID. Gives it as it is while finalizers hold it; one that is gone is gone.
    pub async fn delete<K: Writable>(&self, namespace: &str, name: &str, uid: &str) -> Result<Option<K>, Error> {
        self.delete_within::<K>(namespace, name, uid, None).await
    }

    /// As [`Ops::delete`], with a grace period in seconds; 0 ends a pod at once.
    pub async fn delete_within<K: Writable>(
        &self,
        namespace: &str,
        name: &str,
        uid: &str,
        grace: Option<u32>,
    ) -> Result<Option<K>, Error> {
        let preconditions = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
        let params = DeleteParams {
            preconditions: Some(preconditions),
            grace_period_seconds: grace,
            ..DeleteParams::background()
        };
        let api = self.api::<K>(namespace);
        match self.call::<K, _>(ApiVerb::Delete, (namespace, name), api.delete(name, &params)).await {
            Ok(deleted) => Ok(deleted.left()),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Takes `ours` off the finalizers of an object, if it has any of them; one that is gone is gone. Carries the UID
    /// and the resource version: a finalizer that somebody else added meanwhile must not be lost. Gives the object as it
    /// is then, or was at its end.
    pub async fn release<K: Writable>(&self, object: &K, ours: &[&str]) -> Result<Option<K>, Error> {
        let metadata = object.meta();
        let had = metadata.finalizers.as_deref().unwrap_or_default();
        let left: Vec<&String> = had.iter().filter(|name| !ours.contains(&name.as_str())).collect();
        if left.len() == had.len() {
            return Ok(None);
        }
        let patch = serde_json::json!({ "metadata": {
            "uid": metadata.uid, "resourceVersion": metadata.resource_version, "finalizers": left,
        } });
        let namespace = metadata.namespace.as_deref().unwrap_or_default();
        match self.patch::<K>(namespace, metadata.name.as_deref().unwrap_or_default(), &patch).await {
            Ok(released) => Ok(Some(released)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads an object straight from the API server.
    pub async fn read<K: Writable>(&self, namespace: &str, name: &str) -> Result<Option<K>, Error> {
        let api = self.api::<K>(namespace);
        let _permit = self.permit::<K>().await;
        let read = tokio::time::timeout(CALL_TIMEOUT, api.get_opt(name)).await;
        let (kind, name) = (K::kind(&()).into_owned(), name.to_owned());
        match read {
            Ok(Ok(object)) => Ok(object),
            Ok(Err(source)) => Err(Error::Api { verb: "get", kind, name, source: Box::new(source) }),
            Err(_) => Err(Error::Timeout { verb: "get", kind, name }),
        }
    }
}

fn params() -> PatchParams {
    PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() }
}

fn resource_label(plural: &str) -> Option<ApiResource> {
    ApiResource::ALL.into_iter().find(|resource| resource.as_str() == plural)
}

fn result_label<T>(result: &Result<T, Error>) -> ApiResult {
    let Err(error) = result else { return ApiResult::Ok };
    match error {
        Error::Timeout { .. } => ApiResult::Timeout,
        Error::Api { .. } => match error.status().map(|(code, _)| code) {
            Some(404) => ApiResult::NotFound,
            Some(409) => ApiResult::Conflict,
            Some(403) => ApiResult::Forbidden,
            Some(422) => ApiResult::Invalid,
            Some(429) => ApiResult::Throttled,
            _ => ApiResult::Error,
        },
    }
}

#[cfg(test)]
#[path = "ops_tests.rs"]
mod tests;
