//! The VNode providers of a scenario. Each has an environment of its own, so that scenarios don't see each other's VNodes.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use k8s_openapi::api::{coordination::v1::Lease, core::v1::Node};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams},
};
use module_controller::{
    arklet::client::{Bounds, Client as Arklet},
    domain::vnode::{keep::Times, lease::Periods},
    runtime::{flags::TunnelTrust, health::Readiness, metrics::Metrics, ops::Ops},
    vnode::{
        self,
        provider::{Ground, Settings},
        tunnel::{
            Tunnels, http,
            mqtt::{self, commands::Commands, link::Address, topics::Topics},
        },
    },
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::{BasePod, Kind, SOON, World, rights::Install, shared, text};

/// How long a provider may take to stop.
const STOPPING: Duration = Duration::from_secs(20);
/// The label that says what belongs to a scenario.
const ENV: &str = "virtual-kubelet.koupleless.io/env";

/// Where bases announce themselves: an address of this machine inside the rig, which no pod has.
const TUNNEL: &str = "10.200.255.3:0";

/// A running provider.
pub struct Provider {
    /// Its name in Leases.
    pub name: String,
    task: JoinHandle<()>,
    stop: CancellationToken,
    metrics: Arc<Metrics>,
}

/// Times in which a scenario can see what takes minutes otherwise.
pub fn hasty() -> Times {
    Times {
        lease: Periods { duration: 6_000, renew: 1_000, deadline: 4_000 },
        unreachable: 3_000,
        dead: 8_000,
        report: 300_000,
    }
}

/// How long a base may take to find back to a broker (milliseconds).
const RETURNING: i64 = 10_000;

/// How long agents may take in scenarios.
pub(super) fn bounds() -> Bounds {
    Bounds {
        connect: Duration::from_secs(1),
        query: Duration::from_secs(1),
        install: Duration::from_secs(30),
        uninstall: Duration::from_secs(5),
        switch: Duration::from_secs(5),
        ..Bounds::default()
    }
}

/// No tunnel at all.
fn closed() -> Tunnels {
    Tunnels { http: None, mqtt: None, trust: TunnelTrust::Pod }
}

/// The manifest of a base Deployment that says its name and version by labels, as VNodes want it.
pub fn labelled_base(name: &str, replicas: u32, version: &str) -> Value {
    let mut manifest = super::base_deployment(name, replicas);
    let labels = &mut manifest["spec"]["template"]["metadata"]["labels"];
    labels["role"] = json!("base");
    labels["base.koupleless.io/name"] = json!(name);
    labels["base.koupleless.io/version"] = json!(version);
    manifest
}

impl World {
    /// The environment of this scenario's VNodes.
    pub fn env(&self) -> &str {
        self.inner.env.get().map_or(self.namespace(), String::as_str)
    }

    /// Takes a fixed environment, before anything is started. Only one scenario at a time may have it.
    pub fn use_env(&self, env: &str) {
        assert!(self.inner.env.set(env.to_owned()).is_ok(), "the environment is chosen once");
    }

    /// Starts a VNode provider that discovers the pods labelled `role=base`. It has the rights that `config/vnode` gives it, and
    /// no others.
    pub async fn start_provider(&self, name: &str) {
        self.start_provider_with(name, |_| {}).await;
    }

    /// As [`World::start_provider`], with other settings.
    pub async fn start_provider_with(&self, name: &str, change: impl FnOnce(&mut Settings)) {
        self.start(name, self.client_of(Install::Provider).await, closed(), change).await;
    }

    /// Starts a VNode provider with the rights of a user, and with other settings.
    pub async fn start_provider_as(&self, user: &str, name: &str, change: impl FnOnce(&mut Settings)) {
        self.start(name, shared::client_as(user).await, closed(), change).await;
    }

    /// Starts a VNode provider that finds bases only by what they announce over HTTP; gives the tunnel's address.
    pub async fn start_provider_with_tunnel(&self, name: &str, token_file: Option<PathBuf>) -> SocketAddr {
        let listener = TcpListener::bind(TUNNEL).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let tunnels = Tunnels { http: Some(http::Open { listener, token_file }), ..closed() };
        self.start(name, self.client_of(Install::Provider).await, tunnels, |settings| settings.discover = None).await;
        address
    }

    /// Starts a VNode provider that finds bases only by what they announce at an MQTT broker; gives its end of the tunnel.
    pub async fn start_provider_over_mqtt(&self, name: &str, address: Address) -> Arc<Commands> {
        let commands = Arc::new(Commands::new(Topics::new(self.env()), bounds(), RETURNING));
        let open = mqtt::Open { address, commands: Arc::clone(&commands) };
        let tunnels = Tunnels { mqtt: Some(open), ..closed() };
        self.start(name, self.client_of(Install::Provider).await, tunnels, |settings| settings.discover = None).await;
        commands
    }

    async fn start(&self, name: &str, client: Client, tunnels: Tunnels, change: impl FnOnce(&mut Settings)) {
        let metrics = Arc::new(Metrics::new());
        let ground = Ground {
            ops: Ops::new(client, 32, Arc::clone(&metrics), name.to_owned()),
            agents: Arc::new(Arklet::new(bounds()).expect("an HTTP client")),
            metrics: Arc::clone(&metrics),
            readiness: Arc::new(Readiness::new()),
        };
        let mut settings = Settings {
            env: self.env().to_owned(),
            client_id: name.to_owned(),
            namespaces: vec![self.namespace().to_owned()],
            discover: Some("role=base".to_owned()),
            times: hasty(),
            health_interval: Duration::from_secs(1),
            biz_interval: Duration::from_secs(1),
            drain: Duration::ZERO,
            watch_seconds: 60,
        };
        change(&mut settings);
        let stop = CancellationToken::new();
        let task = tokio::spawn(vnode::run(ground, settings, tunnels, stop.clone()));
        self.inner.providers.lock().await.push(Provider { name: name.to_owned(), task, stop, metrics });
    }

    async fn take_provider(&self, name: &str) -> Provider {
        let mut providers = self.inner.providers.lock().await;
        let position = providers.iter().position(|provider| provider.name == name);
        providers.remove(position.unwrap_or_else(|| panic!("no provider {name} runs")))
    }

    /// What a scrape of a provider shows.
    pub async fn provider_metrics(&self, name: &str) -> String {
        let providers = self.inner.providers.lock().await;
        let provider = providers.iter().find(|provider| provider.name == name);
        provider.unwrap_or_else(|| panic!("no provider {name} runs")).metrics.encode().expect("metrics")
    }

    /// What a provider has written to the API server so far, in its own words: `update leases` and how often.
    pub async fn provider_writes(&self, name: &str) -> BTreeMap<String, u64> {
        let text = self.provider_metrics(name).await;
        let mut writes = BTreeMap::new();
        for line in text.lines().filter(|line| line.starts_with("module_controller_api_writes_total{")) {
            let label = |key: &str| line.split_once(&format!("{key}=\"")).and_then(|(_, rest)| rest.split('"').next());
            let count = line.rsplit(' ').next().and_then(|count| count.parse::<u64>().ok());
            let (Some(verb), Some(resource), Some(count)) = (label("verb"), label("resource"), count) else {
                panic!("not a count of writes: {line}")
            };
            *writes.entry(format!("{verb} {resource}")).or_default() += count;
        }
        writes
    }

    /// Stops a provider in good order.
    pub async fn stop_provider(&self, name: &str) {
        let provider = self.take_provider(name).await;
        provider.stop.cancel();
        let ended = tokio::time::timeout(STOPPING, provider.task).await;
        assert!(ended.is_ok(), "the provider did not stop within {STOPPING:?}");
    }

    /// Ends a provider in the middle of whatever it does: nothing is given back.
    pub async fn kill_provider(&self, name: &str) {
        let provider = self.take_provider(name).await;
        provider.task.abort();
        // Only the abort's own error can come.
        let _ = provider.task.await;
        provider.stop.cancel();
    }

    /// Ends all providers that still run.
    pub(super) async fn stop_providers(&self) {
        let providers = std::mem::take(&mut *self.inner.providers.lock().await);
        for provider in providers {
            provider.stop.cancel();
            let _ = tokio::time::timeout(STOPPING, provider.task).await;
        }
    }

    /// Takes away what stands outside the namespace, and the vPods, which have no kubelet any more.
    pub(super) async fn take_vnodes_away(&self) {
        let ours = ListParams::default().labels(&format!("{ENV}={}", self.env()));
        let now = DeleteParams::default().grace_period(0);
        let _ = Api::<Node>::all(self.client()).delete_collection(&now, &ours).await;
        let _ = Api::<Lease>::namespaced(self.client(), "kube-node-lease").delete_collection(&now, &ours).await;
        let pods: Api<k8s_openapi::api::core::v1::Pod> = Api::namespaced(self.client(), self.namespace());
        for pod in pods.list(&ListParams::default()).await.map(|list| list.items).unwrap_or_default() {
            let bound = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap_or_default();
            if bound.starts_with("vnode.") {
                let _ = pods.delete(&pod.name_any(), &now).await;
            }
        }
    }

    /// The VNodes of this scenario, by name.
    pub async fn vnodes(&self) -> Vec<Value> {
        let ours = ListParams::default().labels(&format!("{ENV}={}", self.env()));
        let listed = Api::<Node>::all(self.client()).list(&ours).await.expect("Nodes");
        let mut nodes: Vec<Value> = listed.items.iter().map(|node| serde_json::to_value(node).expect("JSON")).collect();
        nodes.sort_by_key(|node| text(node, "/metadata/name").to_owned());
        nodes
    }

    /// The VNode of a base; `None` while there is none.
    pub async fn vnode(&self, base: &BasePod) -> Option<Value> {
        let name = vnode_name(self, base);
        self.vnodes().await.into_iter().find(|node| text(node, "/metadata/name") == name)
    }

    /// The Lease of a VNode.
    pub async fn vnode_lease(&self, base: &BasePod) -> Option<Value> {
        self.lease_of(&vnode_name(self, base)).await
    }

    /// The Lease of a VNode, by its name.
    pub async fn lease_of(&self, vnode: &str) -> Option<Value> {
        let leases: Api<Lease> = Api::namespaced(self.client(), "kube-node-lease");
        let found = leases.get_opt(vnode).await.expect("a Lease or none");
        found.map(|lease| serde_json::to_value(lease).expect("JSON"))
    }

    /// Waits until a base's VNode has no Lease any more: nothing is left of it then.
    pub async fn until_no_lease(&self, base: &BasePod) {
        let look = || async { self.vnode_lease(base).await.map_or(Ok(()), |lease| Err(format!("{}", lease["spec"]))) };
        self.eventually(SOON, "its Lease is gone", look).await;
    }

    /// Waits until exactly so many VNodes are Ready and there are no others.
    pub async fn until_vnodes(&self, count: usize) -> Vec<Value> {
        let look = || async {
            let nodes = self.vnodes().await;
            let ready = nodes.iter().filter(|node| is_ready(node)).count();
            if ready == count && nodes.len() == count { Ok(nodes) } else { Err(format!("{ready} of {}", nodes.len())) }
        };
        self.eventually(SOON, &format!("{count} Ready VNodes"), look).await
    }

    /// The vPods of this scenario, oldest first.
    pub async fn vpods(&self) -> Vec<Value> {
        let mut pods = self.list(Kind::Pod).await;
        pods.retain(is_vpod);
        pods
    }

    /// Waits until `accept` is content with the vPods.
    pub async fn until_vpods(&self, what: &str, accept: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let look = || async {
            let pods = self.vpods().await;
            if accept(&pods) {
                return Ok(pods);
            }
            Err(pods.iter().map(shown).collect::<Vec<_>>().join("; "))
        };
        self.eventually(SOON, what, look).await
    }

    /// Waits until there are exactly so many vPods, all Ready.
    pub async fn until_ready_vpods(&self, count: usize) -> Vec<Value> {
        let all_ready = |pods: &[Value]| pods.len() == count && pods.iter().all(is_ready);
        self.until_vpods(&format!("{count} Ready vPods and no others"), all_ready).await
    }
}

/// The name of the VNode of a base.
pub fn vnode_name(world: &World, base: &BasePod) -> String {
    format!("vnode.{}.{}", base.uid, world.env())
}

/// Whether a pod, or a node, is Ready.
pub fn is_ready(object: &Value) -> bool {
    super::condition(object, "Ready").is_some_and(|ready| ready["status"] == "True")
}

/// Whether a pod stands for a module.
pub fn is_vpod(pod: &Value) -> bool {
    let labels = &pod["metadata"]["labels"];
    let keys = ["virtual-kubelet.koupleless.io/component", "module-controller.koupleless.io/component"];
    keys.iter().any(|key| labels[*key] == "module")
}

/// A vPod in one line.
fn shown(pod: &Value) -> String {
    format!(
        "{} on {} {} {} {}",
        text(pod, "/metadata/name"),
        text(pod, "/spec/nodeName"),
        if pod["metadata"]["deletionTimestamp"].is_null() { "" } else { "(ending)" },
        pod["status"]["phase"],
        pod["status"]["containerStatuses"]
    )
}
