//! Starts the watches and controllers of one scope and keeps them running until told to stop.

use std::{future::Future, sync::Arc, time::Instant};

use futures::{FutureExt, StreamExt, future::BoxFuture, stream};
use k8s_openapi::api::core::v1::Service;
use kube::{
    Api, Client, Resource, ResourceExt,
    core::{ClusterResourceScope, NamespaceResourceScope},
    runtime::{
        Controller,
        controller::{self, Action},
        reflector::{ObjectRef, Store, store::Writer},
        watcher,
    },
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{
    RECONCILE_TIMEOUT, base,
    census::Census,
    context::{Caches, Context, Settings},
    error::{Error, Failures},
    module, module_deployment, module_replica_set,
    queues::Queue,
    service,
};
use crate::{
    api::{Module, keys::annotation},
    arklet::agents::Agents,
    runtime::{
        cache::{self, Cache, Change, Kind},
        health::Readiness,
        kinds::{BaseNode, ModulePod},
        metrics::{self, Metrics, ReconcileResult},
        ops::Ops,
        watch_health::WatchHealth,
    },
};

/// What one scope is made of.
pub struct Scope {
    /// The namespace; `None` for the whole cluster.
    pub namespace: Option<String>,
    /// Whether nodes may be read, as a role in one namespace doesn't allow. Without them cordoned ones aren't known.
    pub nodes: bool,
    /// Writes.
    pub ops: Ops,
    /// The way to the agents.
    pub arklet: Arc<dyn Agents>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Readiness of the process.
    pub readiness: Arc<Readiness>,
    /// Settings.
    pub settings: Settings,
    /// Where the scope is counted.
    pub census: Arc<Census>,
}

/// Runs the controllers of one scope until `stop`; then finishes what is under way, within the runtime's bounds.
pub async fn run(scope: Scope, stop: CancellationToken) {
    let (deployments, deployments_writer) = Cache::new(strip_annotations);
    let (sets, sets_writer) = Cache::new(strip_annotations);
    let (modules, modules_writer) = Cache::new(strip_module);
    let (services, services_writer) = Cache::<Service>::new(strip_service);
    let (nodes, nodes_writer) = Cache::new(BaseNode::strip);
    let (vpods, vpods_writer) = Cache::new(ModulePod::strip);
    let caches = Caches {
        deployments: Arc::clone(&deployments),
        sets: Arc::clone(&sets),
        modules: Arc::clone(&modules),
        services: Arc::clone(&services),
        nodes: Arc::clone(&nodes),
        vpods: Arc::clone(&vpods),
    };
    let context = Context::new(
        scope.ops.clone(),
        Arc::clone(&scope.arklet),
        caches,
        Arc::clone(&scope.metrics),
        scope.settings.clone(),
        stop.child_token(),
    );
    let mut tasks = JoinSet::new();
    let watches = Watches { scope: &scope, context: &context, stop: &stop };
    watches.start(&mut tasks, deployments, deployments_writer, Context::changed_deployment);
    watches.start(&mut tasks, sets, sets_writer, Context::changed_set);
    watches.start(&mut tasks, modules, modules_writer, Context::changed_module);
    watches.start(&mut tasks, services, services_writer, changed_service);
    if scope.nodes {
        watches.start_nodes(&mut tasks, nodes, nodes_writer);
    }
    watches.start_vpods(&mut tasks, vpods, vpods_writer);
    // From here on the process's readiness knows this scope's watches.
    scope.census.add(&context);
    let synced = async {
        context.deployments.completed().await;
        context.sets.cache.completed().await;
        context.modules.cache.completed().await;
        context.services.completed().await;
        context.vpods.completed().await;
        if scope.nodes {
            context.nodes.completed().await;
        }
    };
    tokio::select! {
        () = stop.cancelled() => return,
        () = synced => {}
    }
    tracing::info!(namespace = scope.namespace.as_deref().unwrap_or("*"), "caches are complete, controllers begin");
    let runner = Runner { context: &context, stop: &stop };
    let queues = &context.queues;
    let controllers: Vec<BoxFuture<'static, ()>> = vec![
        runner.run(
            metrics::Controller::ModuleDeployment,
            context.deployments.store(),
            &queues.deployments,
            module_deployment::reconcile,
        ),
        runner.run(
            metrics::Controller::ModuleReplicaSet,
            context.sets.cache.store(),
            &queues.sets,
            module_replica_set::reconcile,
        ),
        runner.run(metrics::Controller::Module, context.modules.cache.store(), &queues.modules, module::reconcile),
        runner.run(metrics::Controller::Service, context.deployments.store(), &queues.services, service::reconcile),
        runner.run(metrics::Controller::Base, context.bases.store(), &queues.pods, base::reconcile),
    ];
    futures::future::join_all(controllers).await;
    tasks.shutdown().await;
}

/// Wakes the deployments that may be concerned by a Service.
fn changed_service(context: &Context, change: &Change<Service>) {
    let (Change::Applied(service) | Change::Deleted(service)) = change;
    for deployment in context.deployments.all() {
        let named = deployment.namespace() == service.namespace()
            && deployment
                .module()
                .is_some_and(|module| crate::domain::names::service(&module.name) == service.name_any());
        if named {
            context.queues.services.push(ObjectRef::from_obj(&*deployment));
        }
    }
}

/// What was last seen of a node.
#[derive(Clone, Default, PartialEq)]
struct Known {
    cordoned: bool,
    /// The address of the base that it stands for, and whether it is ready.
    vnode: Option<(String, bool)>,
}

/// Starts watches.
struct Watches<'a> {
    scope: &'a Scope,
    context: &'a Arc<Context>,
    stop: &'a CancellationToken,
}

impl Watches<'_> {
    fn config(&self) -> watcher::Config {
        watcher::Config::default().timeout(self.scope.settings.watch_seconds)
    }

    fn start<K>(
        &self,
        tasks: &mut JoinSet<()>,
        cache: Arc<Cache<K>>,
        writer: Writer<K>,
        on_change: impl Fn(&Context, &Change<K>) + Send + Sync + 'static,
    ) where
        K: Kind + Resource<Scope = NamespaceResourceScope>,
    {
        let client: Client = self.scope.ops.client();
        let api: Api<K> = match &self.scope.namespace {
            Some(namespace) => Api::namespaced(client, namespace),
            None => Api::all(client),
        };
        self.follow(tasks, watcher::watcher(api, self.config()), cache, writer, on_change);
    }

    fn start_nodes(&self, tasks: &mut JoinSet<()>, cache: Arc<Cache<BaseNode>>, writer: Writer<BaseNode>)
    where
        BaseNode: Resource<Scope = ClusterResourceScope>,
    {
        let api: Api<BaseNode> = Api::all(self.scope.ops.client());
        let known: std::sync::Mutex<std::collections::HashMap<String, Known>> = std::sync::Mutex::default();
        let on_change = move |context: &Context, change: &Change<BaseNode>| {
            let (Change::Applied(node) | Change::Deleted(node)) = change;
            let ip = context.vnodes.note(node, matches!(change, Change::Deleted(_)));
            let ready = node.ready().is_some_and(|ready| ready.status == "True");
            let now = Known { cordoned: node.spec.unschedulable, vnode: ip.clone().map(|ip| (ip, ready)) };
            let mut known = known.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let before = match change {
                Change::Applied(_) => known.insert(node.name_any(), now.clone()),
                Change::Deleted(_) => known.remove(&node.name_any()).map(|_| Known::default()),
            };
            if before.as_ref().map(|before| before.cordoned) != Some(now.cordoned) {
                context.changed_node();
            }
            if let Some(ip) = ip.filter(|_| before.is_none_or(|before| before.vnode != now.vnode)) {
                context.changed_vnode(&ip);
            }
        };
        self.follow(tasks, watcher::watcher(api, self.config()), cache, writer, on_change);
    }

    /// The Modules that are pods.
    fn start_vpods(&self, tasks: &mut JoinSet<()>, cache: Arc<Cache<ModulePod>>, writer: Writer<ModulePod>) {
        let client = self.scope.ops.client();
        let api: Api<ModulePod> = match &self.scope.namespace {
            Some(namespace) => Api::namespaced(client, namespace),
            None => Api::all(client),
        };
        let events = watcher::watcher(api, self.config().labels(&ModulePod::selector()));
        self.follow(tasks, events, cache, writer, Context::changed_vpod);
    }

    fn follow<K: Kind>(
        &self,
        tasks: &mut JoinSet<()>,
        events: impl stream::Stream<Item = watcher::Result<watcher::Event<K>>> + Send + 'static,
        cache: Arc<Cache<K>>,
        writer: Writer<K>,
        on_change: impl Fn(&Context, &Change<K>) + Send + Sync + 'static,
    ) {
        let health = WatchHealth::default();
        let plural = K::plural(&()).into_owned();
        let (listed, checked) = (Arc::clone(&cache), health.clone());
        let check = move |now: Instant| match (listed.is_complete(), checked.stale_for(now)) {
            (false, _) => Err("the first list isn't complete".to_owned()),
            (true, Some(trouble)) => Err(format!("the watch has been failing for {} s", trouble.as_secs())),
            (true, None) => Ok(()),
        };
        let name = self.scope.namespace.as_ref().map_or(plural.clone(), |namespace| format!("{namespace}/{plural}"));
        self.scope.readiness.check(&name, check);
        let context = Arc::clone(self.context);
        let follow = cache::follow(events, cache, writer, health, move |change| on_change(&context, &change));
        let stop = self.stop.clone();
        tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = follow => {}
            }
        });
    }
}

/// Annotations that `kubectl apply` writes repeat the whole object.
fn strip_annotations<K: Resource<DynamicType = ()>>(object: &mut K) {
    if let Some(annotations) = &mut object.meta_mut().annotations {
        annotations.remove(annotation::LAST_APPLIED);
    }
}

/// The selector in a Module is V1's; nothing reads it.
fn strip_module(module: &mut Module) {
    strip_annotations(module);
    module.spec.selector = None;
}

fn strip_service(service: &mut Service) {
    strip_annotations(service);
    service.status = None;
}

/// Starts controllers.
struct Runner<'a> {
    context: &'a Arc<Context>,
    stop: &'a CancellationToken,
}

impl Runner<'_> {
    /// One controller: reconciles what is queued, a few objects at a time, each at most once at a time.
    fn run<K, F, R>(
        &self,
        name: metrics::Controller,
        store: Store<K>,
        queue: &Queue<K>,
        reconcile: R,
    ) -> BoxFuture<'static, ()>
    where
        K: Kind,
        R: Fn(Arc<K>, Arc<Context>) -> F + Send + Sync + 'static,
        F: Future<Output = Result<Action, Error>> + Send + 'static,
    {
        let Some(mut keys) = queue.take() else {
            return Box::pin(std::future::ready(()));
        };
        let keys = stream::poll_fn(move |waker| keys.poll_recv(waker));
        let failures = Arc::new(Failures::default());
        let counters = Arc::new(self.context.metrics.reconcile(name));
        let settled = Arc::clone(&failures);
        let reconcile = move |object: Arc<K>, context: Arc<Context>| {
            let (settled, counters) = (Arc::clone(&settled), Arc::clone(&counters));
            let key = key_of(&*object);
            let work = reconcile(object, context);
            async move {
                let began = Instant::now();
                let result = match tokio::time::timeout(RECONCILE_TIMEOUT, work).await {
                    Ok(result) => result,
                    Err(_) => Err(Error::Timeout),
                };
                counters.observe(word(&result), began.elapsed());
                if result.is_ok() {
                    settled.forget(&key);
                }
                result
            }
        };
        let on_error = move |object: Arc<K>, error: &Error, _: Arc<Context>| {
            let key = key_of(&*object);
            tracing::warn!(controller = name.as_str(), object = key, %error, "reconcile failed, trying again");
            failures.next_try(&key, error, Instant::now())
        };
        Controller::for_stream(stream::pending(), store)
            .with_config(controller::Config::default().concurrency(self.context.settings.concurrency))
            .reconcile_on(keys)
            .graceful_shutdown_on(self.stop.clone().cancelled_owned())
            .run(reconcile, on_error, Arc::clone(self.context))
            .for_each(|_| std::future::ready(()))
            .boxed()
    }
}

fn key_of<K: Resource<DynamicType = ()>>(object: &K) -> String {
    format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any())
}

fn word(result: &Result<Action, Error>) -> ReconcileResult {
    match result {
        Ok(action) if *action == Action::await_change() => ReconcileResult::Settled,
        Ok(_) => ReconcileResult::Waiting,
        Err(Error::Timeout) => ReconcileResult::Timeout,
        Err(Error::Api(error)) if error.is_refused() => ReconcileResult::Rejected,
        Err(Error::Api(_)) => ReconcileResult::Retry,
    }
}
