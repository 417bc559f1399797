//! What there is once in the process.

use std::{
    collections::HashMap,
    net::IpAddr,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, Config, ResourceExt,
    config::{KubeConfigOptions, Kubeconfig},
    runtime::{WatchStreamExt, watcher},
};
use tokio::runtime::Runtime;

use crate::arklet_sim::Sim;

/// The port of every agent.
const PORT: u16 = 1238;
/// Labels that send traffic to a base.
const TRAFFIC: &str = "module.koupleless.io/";

/// One look at a base pod, as the watch brought it.
#[derive(Clone, Debug)]
pub struct Sighting {
    /// By the simulator's clock.
    pub at: Duration,
    /// The pod.
    pub pod: String,
    /// Its UID.
    pub uid: String,
    /// The modules that it gets traffic for.
    pub traffic: Vec<String>,
    /// Whether it is gone.
    pub gone: bool,
}

pub(super) struct Shared {
    pub(super) runtime: Runtime,
    pub(super) sim: Sim,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    /// The UID of the pod that has an address.
    holders: HashMap<IpAddr, String>,
    /// By namespace.
    sightings: HashMap<String, Vec<Sighting>>,
}

/// The process's rig, made by the first test that needs it.
pub(super) fn shared() -> &'static Shared {
    static SHARED: LazyLock<Shared> = LazyLock::new(Shared::start);
    &SHARED
}

/// A client with connections of its own.
pub(super) async fn client() -> Client {
    module_controller::runtime::client::connect(None).await.expect("KUBECONFIG names a cluster")
}

/// A client with connections of its own that has a user's rights and no others. In the rig the audit log tells its requests.
pub(super) async fn client_as(user: &str) -> Client {
    let config = Config::from_custom_kubeconfig(kubeconfig_as(user), &KubeConfigOptions::default()).await;
    module_controller::runtime::client::build(config.expect("KUBECONFIG names a cluster")).expect("a client")
}

/// What [`client_as`] is made of.
pub(super) fn kubeconfig_as(user: &str) -> Kubeconfig {
    let read = match std::env::var_os("RIG_OPERATOR_KUBECONFIG") {
        Some(file) => Kubeconfig::read_from(file),
        None => Kubeconfig::read(),
    };
    let mut kubeconfig = read.expect("KUBECONFIG names a cluster");
    for known in kubeconfig.auth_infos.iter_mut().filter_map(|named| named.auth_info.as_mut()) {
        known.impersonate = Some(user.to_owned());
    }
    kubeconfig
}

/// The repository.
pub(super) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

impl Shared {
    fn start() -> Self {
        assert!(
            std::env::var_os("KUBECONFIG").is_some(),
            "KUBECONFIG is not set: run `make test`, or `tests/control-plane/with-cluster -- cargo test --test scenarios`"
        );
        install_kinds();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().expect("a runtime");
        let seen = Arc::new(Mutex::new(Seen::default()));
        let sim = runtime.block_on(async {
            let sim = Sim::start(PORT).await.expect("the port of the agents is free");
            sim.configure(|config| config.log_questions = false);
            sim
        });
        runtime.spawn(watch(Arc::clone(&seen)));
        Self { runtime, sim, seen }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the watch has seen that this pod has this address.
    pub(super) fn knows(&self, ip: IpAddr, uid: &str) -> bool {
        self.seen().holders.get(&ip).is_some_and(|holder| holder == uid)
    }

    /// Everything seen of the pods of a namespace, oldest first.
    pub(super) fn sightings(&self, namespace: &str) -> Vec<Sighting> {
        self.seen().sightings.get(namespace).cloned().unwrap_or_default()
    }
}

/// Server-side apply, so that several processes may do it at once.
fn install_kinds() {
    let run = |args: &[&str]| {
        let output = Command::new("kubectl").args(args).current_dir(repository()).output().expect("kubectl is in PATH");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "kubectl {}: {said}", args.join(" "));
    };
    run(&["apply", "--server-side", "--force-conflicts", "-k", "crds"]);
    let kinds =
        ["moduledeployments", "modulereplicasets", "modules"].map(|plural| format!("crd/{plural}.koupleless.io"));
    let mut wait = vec!["wait", "--for=condition=Established", "--timeout=60s"];
    wait.extend(kinds.iter().map(String::as_str));
    run(&wait);
    // The first that lists a new kind is told to come again while its storage is made; kubectl does.
    run(&["get", "moduledeployments,modulereplicasets,modules", "--all-namespaces"]);
}

/// Follows all pods of the cluster: a pod that is gone takes what its base held along.
async fn watch(seen: Arc<Mutex<Seen>>) {
    let api: Api<Pod> = Api::all(client().await);
    let mut events = std::pin::pin!(watcher(api, watcher::Config::default()).default_backoff());
    while let Some(event) = events.next().await {
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Ok(watcher::Event::Apply(pod) | watcher::Event::InitApply(pod)) => seen.note(&pod, false),
            Ok(watcher::Event::Delete(pod)) => seen.note(&pod, true),
            Ok(watcher::Event::Init | watcher::Event::InitDone) => {}
            Err(error) => eprintln!("the rig's watch of pods failed: {error}"),
        }
    }
}

impl Seen {
    fn note(&mut self, pod: &Pod, gone: bool) {
        let uid = pod.uid().unwrap_or_default();
        let address = pod.status.as_ref().and_then(|status| status.pod_ip.as_ref());
        // A vPod has the address of its base, and is none.
        let on = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or_default();
        let address = address.filter(|_| !on.starts_with("vnode."));
        if let Some(ip) = address.and_then(|ip| ip.parse().ok()) {
            self.holds(ip, &uid, gone);
        }
        let traffic = pod.labels().iter().filter(|(_, value)| *value == "true");
        let traffic = traffic.filter_map(|(key, _)| key.strip_prefix(TRAFFIC));
        let sighting = Sighting {
            at: shared().sim.elapsed(),
            pod: pod.name_any(),
            uid,
            traffic: traffic.map(str::to_owned).collect(),
            gone,
        };
        let namespace = pod.namespace().unwrap_or_default();
        self.sightings.entry(namespace).or_default().push(sighting);
    }

    /// A freed address is given to another pod soon, and the operator may hear of that pod before this watch does: so the
    /// base is emptied when the old pod goes, and when a new one comes only if the end of the old one was missed.
    fn holds(&mut self, ip: IpAddr, uid: &str, gone: bool) {
        let holder = self.holders.get(&ip).cloned();
        let same = holder.as_deref() == Some(uid);
        if gone && same {
            self.holders.remove(&ip);
            shared().sim.reset(ip);
        } else if !gone && !same {
            self.holders.insert(ip, uid.to_owned());
            if holder.is_some() {
                shared().sim.reset(ip);
            }
        }
    }
}
