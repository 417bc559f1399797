//! What all stories of this binary are played on: a namespace with two base pods, a JVM for each, and the operator. It is
//! made by the first story and ends with the process.

use std::{
    collections::BTreeSet,
    net::{IpAddr, TcpListener},
    panic::{AssertUnwindSafe, resume_unwind},
    path::{Path, PathBuf},
    sync::{LazyLock, Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures::{FutureExt, future::join_all};
use k8s_openapi::api::{
    core::v1::{Namespace, Service},
    discovery::v1::EndpointSlice,
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
    core::NamespaceResourceScope,
};
use module_controller::api::{Module, ModuleDeployment};
use serde_json::{Value, json};
use tokio::{process::Command, runtime::Runtime};

use crate::{base::Base, client::ready_addresses, operator::Operator, pods};

/// How long a condition may take to come true. The slowest one here, an install of eight seconds on one base after the
/// other, takes about 20 s on two busy cores.
pub const DEADLINE: Duration = Duration::from_secs(90);
/// How many bases there are, unless a story has added one.
pub const BASES: usize = 2;

/// Threads that live as long as the process.
pub static LASTING: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
});
static STAGE: Mutex<State> = Mutex::new(State::Bare);

enum State {
    Bare,
    Set(Box<Stage>),
    Broken,
}

/// The stage.
pub struct Stage {
    pub client: Client,
    pub namespace: String,
    pub bases: Vec<Base>,
    operator: Operator,
    /// The environment of the virtual nodes that a story has the operator play.
    vnodes: Option<&'static str>,
}

/// Plays one story, alone on the stage; whatever comes of it, the stage is cleared after it.
pub fn play(name: &str, story: impl AsyncFnOnce(&mut Stage)) {
    let mut state = STAGE.lock().unwrap_or_else(PoisonError::into_inner);
    if matches!(*state, State::Bare) {
        *state = State::Broken;
        *state = State::Set(Box::new(LASTING.block_on(Stage::set())));
    }
    let State::Set(stage) = &mut *state else {
        panic!("the bases or the operator didn't start; the first test that failed says why");
    };
    let begin = Instant::now();
    LASTING.block_on(async {
        let result = AssertUnwindSafe(story(stage)).catch_unwind().await;
        if result.is_err() {
            stage.dump().await;
        }
        stage.clear().await;
        if let Err(panic) = result {
            resume_unwind(panic);
        }
    });
    println!("{name}: {:.1} s", begin.elapsed().as_secs_f64());
}

/// A ModuleDeployment of these tests.
#[derive(Clone)]
pub struct Deployment {
    pub module: String,
    pub version: String,
    policy: &'static str,
    service: bool,
    replicas: i32,
    drain: i32,
    delivery: &'static str,
}

impl Deployment {
    /// Two instances of a module of `samples/java`, upgraded in the way that a web module needs.
    pub fn of(module: &str, version: &str) -> Self {
        let (module, version) = (module.to_owned(), version.to_owned());
        let policy = "uninstall_then_install";
        Self { module, version, policy, service: false, replicas: 2, drain: 1, delivery: "Arklet" }
    }

    /// The same with another version.
    pub fn version(&self, version: &str) -> Self {
        Self { version: version.to_owned(), ..self.clone() }
    }

    /// The same with another upgrade policy.
    pub fn policy(self, policy: &'static str) -> Self {
        Self { policy, ..self }
    }

    /// The same with a Service.
    pub fn with_service(self) -> Self {
        Self { service: true, ..self }
    }

    /// The same with this many instances.
    pub fn replicas(&self, replicas: i32) -> Self {
        Self { replicas, ..self.clone() }
    }

    /// The same with this many seconds between the end of the traffic and the uninstall.
    pub fn drain(self, drain: i32) -> Self {
        Self { drain, ..self }
    }

    /// The same as pods on virtual nodes.
    pub fn virtual_pods(self) -> Self {
        Self { delivery: "VirtualPod", ..self }
    }

    fn object(&self) -> Value {
        let mut strategy = json!({ "upgradePolicy": self.policy, "maxUnavailable": 1 });
        if self.service {
            strategy["serviceStrategy"] =
                json!({ "enableModuleService": true, "port": 80, "targetPort": 8080, "drainSeconds": self.drain });
        }
        json!({
            "apiVersion": "koupleless.io/v1alpha1",
            "kind": "ModuleDeployment",
            "metadata": { "name": self.module },
            "spec": {
                "baseDeploymentName": "base",
                "replicas": self.replicas,
                "delivery": self.delivery,
                "operationStrategy": strategy,
                "template": { "spec": { "module": {
                    "name": self.module, "version": self.version, "url": jar(&self.module, &self.version),
                } } },
            },
        })
    }
}

/// Where the jar of a module's version lies.
pub fn jar(module: &str, version: &str) -> String {
    format!("file://{}", samples().join(format!("{module}-{version}-ark-biz.jar")).display())
}

fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/samples")
}

/// Where the bases and the operator write.
fn work() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("jvm")
}

fn require_parts() {
    assert!(
        std::env::var_os("KUBECONFIG").is_some() && TcpListener::bind("10.200.254.254:0").is_ok(),
        "these tests run beside a control plane of their own: run `make test-jvm`, or \
         `tests/control-plane/with-cluster -- cargo test --test jvm`"
    );
    for jar in ["base.jar", "hello-2.0.0-ark-biz.jar", "slow-1.0.0-ark-biz.jar", "misnamed-1.0.0-ark-biz.jar"] {
        let jar = samples().join(jar);
        assert!(jar.exists(), "there is no {}: run `make samples`, which needs a JDK 17 and Maven", jar.display());
    }
    let java = std::process::Command::new("java").arg("-version").output();
    assert!(
        java.is_ok_and(|java| java.status.success()),
        "there is no Java: install a JDK 17, on Debian with `apt-get install openjdk-17-jdk-headless`"
    );
}

impl Stage {
    async fn set() -> Self {
        require_parts();
        let client = module_controller::runtime::client::connect(None).await.expect("KUBECONFIG names a cluster");
        install_kinds().await;
        let namespace = format!("jvm-{}", std::process::id());
        let object: Namespace = serde_json::from_value(json!({ "metadata": { "name": namespace } })).expect("one");
        Api::all(client.clone()).create(&PostParams::default(), &object).await.expect("a namespace");
        let work = work();
        std::fs::create_dir_all(&work).expect("a folder");
        let mut bases = pods::create(&client, &namespace, &work).await;
        for base in &mut bases {
            base.start(LASTING.handle()).await;
        }
        join_all(bases.iter_mut().map(Base::ready)).await;
        let operator = Operator::start(&namespace, &work, LASTING.handle()).await;
        Self { client, namespace, bases, operator, vnodes: None }
    }

    /// The objects of a kind in the namespace.
    pub fn api<K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Creates or changes a ModuleDeployment, as `kubectl apply` does.
    pub async fn apply(&self, deployment: &Deployment) {
        let params = PatchParams::apply("user").force();
        let api: Api<ModuleDeployment> = self.api();
        api.patch(&deployment.module, &params, &Patch::Apply(deployment.object())).await.expect("applied");
    }

    /// Lets the operator play the virtual nodes of this environment too, one for each base, until the story ends. It needs to
    /// read nodes, so it is the whole cluster's for that time.
    pub async fn with_vnodes(&mut self, env: &'static str) {
        self.vnodes = Some(env);
        let env = format!("--vnode-env={env}");
        let args = ["--enable-vnode", "--discover-bases=app=base", "--vnode-drain=1s", &env];
        self.operator.replace(&args, &work(), LASTING.handle()).await;
    }

    /// Ends that, and takes the virtual nodes away.
    async fn without_vnodes(&mut self, env: &str) {
        let namespace = format!("--namespace={}", self.namespace);
        self.operator.replace(&[&namespace], &work(), LASTING.handle()).await;
        let of_env = format!("--selector=virtual-kubelet.koupleless.io/env={env}");
        kubectl(&["delete", "nodes", &of_env]).await;
        kubectl(&["delete", "leases", "-n", "kube-node-lease", &of_env]).await;
    }

    /// One base more, which is ready; it goes when the story ends.
    pub async fn add_base(&mut self) {
        let mut base = pods::add(&self.client, &self.namespace, &work(), &self.bases).await;
        base.start(LASTING.handle()).await;
        base.ready().await;
        self.bases.push(base);
    }

    /// Waits until the release of this version is complete on as many bases as it wants.
    pub async fn released(&self, wanted: &Deployment) {
        let api: Api<ModuleDeployment> = self.api();
        self.eventually(&format!("{} {} is released", wanted.module, wanted.version), async || {
            let found = api.get(&wanted.module).await.expect("it is there");
            let version = found.module().map(|module| module.version.clone());
            let status = found.status?;
            let complete = found.metadata.generation == status.observed_generation
                && status.release_status?.progress.as_deref() == Some("Completed")
                && (status.updated_available_replicas, status.replicas)
                    == (Some(wanted.replicas), Some(wanted.replicas))
                && version.as_deref() == Some(&wanted.version);
            complete.then_some(())
        })
        .await;
    }

    /// The Modules of a module name.
    pub async fn modules(&self, name: &str) -> Vec<Module> {
        let api: Api<Module> = self.api();
        let list = api.list(&ListParams::default()).await.expect("a list").items;
        list.into_iter().filter(|found| found.spec.module.as_ref().is_some_and(|info| info.name == name)).collect()
    }

    /// Waits for a Module of this version whose status has a message that contains `part`; gives the message.
    pub async fn message_with(&self, wanted: &Deployment, part: &str) -> String {
        self.eventually(&format!("a message with {part:?}"), async || {
            let modules = self.modules(&wanted.module).await;
            modules.iter().filter(|found| version_of(found) == wanted.version).find_map(|found| {
                let message = found.status.as_ref()?.message.clone()?;
                message.contains(part).then_some(message)
            })
        })
        .await
    }

    /// Deletes a ModuleDeployment, waits until nothing of it exists, and looks whether the bases are empty of it.
    pub async fn delete(&self, deployment: &Deployment) {
        let api: Api<ModuleDeployment> = self.api();
        api.delete(&deployment.module, &DeleteParams::default()).await.expect("deleted");
        self.eventually("it is gone", async || {
            api.get_opt(&deployment.module).await.expect("read").is_none().then_some(())
        })
        .await;
        assert_eq!(self.modules(&deployment.module).await.len(), 0, "no Module outlives its deployment");
        for base in &self.bases {
            let of_it: Vec<String> =
                base.list().await.into_iter().filter(|biz| biz.starts_with(&deployment.module)).collect();
            assert!(of_it.is_empty(), "{} still has {of_it:?}", base.pod);
        }
    }

    /// Waits until a Service sends traffic to these addresses and no others.
    pub async fn endpoints_are(&self, service: &str, wanted: &BTreeSet<IpAddr>) {
        let api: Api<EndpointSlice> = self.api();
        let of_service = ListParams::default().labels(&format!("kubernetes.io/service-name={service}"));
        self.eventually(&format!("the endpoints of {service} are {wanted:?}"), async || {
            let slices = api.list(&of_service).await.expect("a list");
            let found: BTreeSet<IpAddr> = slices.iter().flat_map(ready_addresses).collect();
            (found == *wanted).then_some(())
        })
        .await;
    }

    /// Waits until there is no such Service: its owner's end takes it along.
    pub async fn service_is_gone(&self, service: &str) {
        let api: Api<Service> = self.api();
        self.eventually("the Service is gone", async || {
            api.get_opt(service).await.expect("read").is_none().then_some(())
        })
        .await;
    }

    /// Tries until there is a value; fails at the deadline.
    pub async fn eventually<T>(&self, what: &str, mut attempt: impl AsyncFnMut() -> Option<T>) -> T {
        let begin = Instant::now();
        loop {
            if let Some(value) = attempt().await {
                return value;
            }
            assert!(begin.elapsed() < DEADLINE, "not within {DEADLINE:?}: {what}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// What there was when a story failed.
    async fn dump(&self) {
        let kinds = "moduledeployments,modulereplicasets,modules,pods,services,events";
        let found = kubectl(&["-n", &self.namespace, "get", kinds, "-o", "yaml"]).await;
        eprintln!("--- in namespace {}:\n{found}", self.namespace);
        for base in &self.bases {
            eprintln!("--- on {} at {}: {:?}", base.pod, base.at, base.list().await);
        }
        eprintln!("--- the operator's last lines:\n{}", self.operator.said());
    }

    /// Deletes what a failed story has left, of which a good one leaves nothing, and what a story added: a base, virtual nodes.
    async fn clear(&mut self) {
        let api: Api<ModuleDeployment> = self.api();
        let gone = async {
            loop {
                let left = api.list(&ListParams::default()).await.expect("a list").items;
                if left.is_empty() {
                    return;
                }
                for deployment in left.iter().filter(|left| left.metadata.deletion_timestamp.is_none()) {
                    let _ = api.delete(&deployment.name_any(), &DeleteParams::default()).await;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        if tokio::time::timeout(DEADLINE, gone).await.is_err() {
            eprintln!("what the story left doesn't go away");
        }
        if let Some(env) = self.vnodes.take() {
            self.without_vnodes(env).await;
        }
        join_all(self.bases.iter().map(Base::empty)).await;
        if self.bases.len() > BASES {
            pods::take_back(&self.client, &self.namespace, &mut self.bases).await;
        }
    }
}

/// The version that a Module is about.
pub fn version_of(module: &Module) -> &str {
    module.spec.module.as_ref().map_or("", |info| &info.version)
}

/// A Module's phase.
pub fn phase_of(module: &Module) -> &str {
    module.status.as_ref().and_then(|status| status.status.as_deref()).unwrap_or("")
}

async fn install_kinds() {
    kubectl(&["apply", "--server-side", "--force-conflicts", "-k", "crds"]).await;
    kubectl(&["wait", "--for=condition=Established", "--timeout=60s", "crd", "--all"]).await;
}

async fn kubectl(args: &[&str]) -> String {
    let output = Command::new("kubectl").args(args).current_dir(env!("CARGO_MANIFEST_DIR")).output().await;
    let output = output.expect("kubectl is in PATH");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "kubectl {}: {said}", args.join(" "));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
