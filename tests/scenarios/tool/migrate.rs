//! Objects of V1's former group on bases that really run what they say: converted and taken over, and no base hears of it.

use std::process::Stdio;

use kube::{
    Api,
    api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams},
    core::GroupVersionKind,
};
use rig::{
    arklet_sim::State,
    cluster::{BasePod, Kind, SOON, World, scenario_without_operator, text},
};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};

use super::{
    done,
    rights::{bind, until_allowed, user},
    run, tool,
};

const OLD: &str = "serverless.alipay.com";
const KINDS: [&str; 3] = ["ModuleDeployment", "ModuleReplicaSet", "Module"];
/// A scenario beside this one runs a controller.
const APPLY: [&str; 4] = ["migrate", "apply", "--yes", "--controllers-are-stopped"];

/// The former group in one namespace.
struct Former<'a> {
    world: &'a World,
}

impl<'a> Former<'a> {
    async fn installed(world: &'a World) -> Self {
        world.apply_anywhere(include_str!("../../fixtures/old-group/crds.yaml")).await;
        for plural in ["moduledeployments", "modulereplicasets", "modules"] {
            let name = format!("crd/{plural}.{OLD}");
            world.kubectl(&["wait", "--for=condition=Established", "--timeout=30s", &name]).await;
        }
        let former = Self { world };
        // Established is said before it is served everywhere.
        let served =
            || async { former.api("Module").list(&ListParams::default()).await.map(|_| ()).map_err(|e| e.to_string()) };
        world.eventually(SOON, "the former group is served", served).await;
        former
    }

    fn api(&self, kind: &str) -> Api<DynamicObject> {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(OLD, "v1alpha1", kind));
        Api::namespaced_with(self.world.client(), self.world.namespace(), &resource)
    }

    async fn create(&self, kind: &str, mut object: Value, status: Value) -> Value {
        object["apiVersion"] = json!(format!("{OLD}/v1alpha1"));
        object["kind"] = json!(kind);
        let typed = serde_json::from_value(object).expect("an object");
        let made = self.api(kind).create(&PostParams::default(), &typed).await.expect("it is created");
        let name = made.metadata.name.clone().expect("a name");
        let patch = Patch::Merge(json!({ "status": status }));
        let made = self.api(kind).patch_status(&name, &PatchParams::default(), &patch).await.expect("its status");
        serde_json::to_value(made).expect("JSON")
    }

    /// How many objects there are.
    async fn count(&self) -> usize {
        let mut count = 0;
        for kind in KINDS {
            count += self.api(kind).list(&ListParams::default()).await.expect("a list").items.len();
        }
        count
    }

    /// A finished deployment of `version` on these bases, which run it, and with the Service that V1 made for it.
    async fn finished(&self, name: &str, version: &str, pods: &[BasePod]) {
        let module = json!({ "name": name, "version": version, "url": self.world.url(name, version) });
        let template = json!({ "metadata": {}, "spec": { "selector": {}, "module": module } });
        let service = json!({ "enableModuleService": true, "port": 80, "targetPort": 8080 });
        let strategy = json!({ "batchCount": 1, "upgradePolicy": "installThenUninstall", "serviceStrategy": service });
        let status = json!({ "releaseStatus": { "progress": "Completed", "batchProgress": "Completed", "currentBatch": 1, "realBatchCount": 1 } });
        let deployment = self
            .create(
                "ModuleDeployment",
                json!({
                    "metadata": { "name": name, "finalizers": [format!("{OLD}/module-replicaset-existed"), format!("{OLD}/module-existed")] },
                    "spec": { "baseDeploymentName": "base", "replicas": pods.len(), "operationStrategy": strategy, "template": template },
                }),
                status,
            )
            .await;
        let set = format!("{name}-replicas-1");
        let labels = json!({
            format!("{OLD}/module-name"): name, format!("{OLD}/module-deployment"): name, format!("{OLD}/deployment-name"): "base",
            format!("{OLD}/module-replicaset-revision"): "1", format!("{OLD}/module-scheduling-strategy"): "scatter",
        });
        let owner = json!({
            "apiVersion": format!("{OLD}/v1alpha1"), "kind": "ModuleDeployment", "name": name,
            "uid": deployment["metadata"]["uid"], "controller": true,
        });
        let spec = json!({ "selector": { "matchLabels": { "app": "base" } }, "replicas": pods.len(), "operationStrategy": strategy, "template": template });
        let metadata = json!({ "name": set, "labels": labels, "finalizers": [format!("{OLD}/module-existed")], "ownerReferences": [owner] });
        let counts = json!({ "replicas": pods.len(), "currentReplicas": pods.len() });
        self.create("ModuleReplicaSet", json!({ "metadata": metadata, "spec": spec }), counts).await;
        for pod in pods {
            self.module(name, version, &set, &labels, &module, pod).await;
        }
        let spec = json!({
            "type": "NodePort", "selector": { format!("module.{OLD}/{name}"): "true" },
            "ports": [{ "name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080 }],
        });
        self.world
            .create(Kind::Service, json!({ "metadata": { "name": format!("{name}-service") }, "spec": spec }))
            .await;
    }

    async fn module(&self, name: &str, version: &str, set: &str, labels: &Value, module: &Value, pod: &BasePod) {
        let mut labels = labels.clone();
        for (key, value) in [
            ("module-replicaset", set),
            ("module-version", version),
            ("base-instance-name", &pod.name),
            ("base-instance-ip", &pod.ip.to_string()),
        ] {
            labels[format!("{OLD}/{key}")] = json!(value);
        }
        let owner = json!({ "apiVersion": "v1", "kind": "Pod", "name": pod.name, "uid": pod.uid });
        let metadata = json!({
            "generateName": format!("{set}-{name}-"), "labels": labels,
            "finalizers": [format!("{OLD}/allocate-pod")], "ownerReferences": [owner],
        });
        let status = json!({ "status": "Available", "last_transition_time": "2023-11-20T18:30:52Z" });
        self.create("Module", json!({ "metadata": metadata, "spec": { "module": module } }), status).await;
        let traffic = json!({ format!("module.{OLD}/{name}"): "true", format!("{OLD}/module-instance-count"): "1" });
        self.world.patch(Kind::Pod, &pod.name, json!({ "metadata": { "labels": traffic } })).await;
        self.world.base(pod).put(name, version, State::Activated);
    }
}

/// Converted, taken over, and neither base nor client noticed: no command, and endpoints all the time.
async fn assert_taken_over(world: &World, former: &Former<'_>, pods: &[BasePod], name: &str) {
    assert_eq!(former.count().await, 0, "nothing of the former group is left");
    world.start_operator().await;
    world.completed(name).await;
    for pod in pods {
        let calls = (world.installs(pod, name), world.uninstalls(pod, name));
        assert_eq!(calls, (0, 0), "{name} on {}", pod.name);
        assert_eq!(world.base(pod).list().len(), 1);
    }
    let modules = world.modules(name).await;
    assert_eq!(modules.len(), pods.len());
    assert_eq!(world.list(Kind::ModuleReplicaSet).await.len(), 1, "no revision is begun");
    for pod in world.list(Kind::Pod).await {
        let labels = pod["metadata"]["labels"].to_string();
        assert!(!labels.contains(OLD), "{labels}");
    }
}

#[test]
fn a_deployment_of_the_former_group_is_converted_and_its_modules_stay_where_they_are() {
    scenario_without_operator("migrate_whole", |world| async move {
        let pods = world.bases(3).await;
        let former = Former::installed(&world).await;
        former.finished("hello", "1.0.0", &pods[..2]).await;
        let endpoints = world.follow_endpoints("hello-service", 2).await;

        let plan = done(&world, &["migrate", "plan"]).await;
        assert!(plan.contains("serverless.alipay.com with 1 replica set and 2 Modules"), "{plan}");
        assert!(plan.contains("upgradePolicy installThenUninstall is written install_then_uninstall"), "{plan}");
        assert_eq!(former.count().await, 4, "a plan changes nothing");
        let unasked = run(&world, &["migrate", "apply", "--controllers-are-stopped"]).await;
        assert!(!unasked.status.success() && String::from_utf8_lossy(&unasked.stderr).contains("add --yes"));

        // With the role that is for it, and no other.
        world.apply_anywhere(include_str!("../../../config/users/migrator.yaml")).await;
        bind(&world, "movers", ("ClusterRole", "module-migrator"), &user("mover")).await;
        until_allowed(&world, "mover", None, ("patch", "services")).await;
        done(&world, &[&APPLY[..], &["--as", "mover"]].concat()).await;
        assert_taken_over(&world, &former, &pods[..2], "hello").await;

        assert!(world.base(&pods[2]).list().is_empty(), "nothing came onto the free base");
        assert!(endpoints.counts().iter().all(|ready| *ready == 2), "{:?}", endpoints.counts());
        let service = world.get(Kind::Service, "hello-service").await;
        assert_eq!(service["spec"]["selector"], json!({ "module.koupleless.io/hello": "true" }));
        assert_eq!(text(&service, "/metadata/ownerReferences/0/kind"), "ModuleDeployment");
        let again = done(&world, &APPLY).await;
        assert_eq!(again, "", "nothing is left to do");
        let began = world.now();
        world.release("hello", "2.0.0").await;
        world.completed("hello").await;
        assert!(world.timeline(&pods[..2], "hello").never_interrupted(began));
    });
}

#[test]
fn a_conversion_that_is_killed_again_and_again_ends_as_one_that_is_not() {
    scenario_without_operator("migrate_killed", |world| async move {
        let pods = world.bases(2).await;
        let former = Former::installed(&world).await;
        former.finished("hello", "1.0.0", &pods).await;

        // Each run is killed with its next write under way.
        let mut kills = 0;
        loop {
            let mut child = tool(&world, &APPLY).stdout(Stdio::piped()).spawn().expect("it runs");
            let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
            if lines.next_line().await.expect("its output").is_none() {
                assert!(child.wait().await.expect("its end").success());
                break;
            }
            child.kill().await.expect("it is killed");
            kills += 1;
            assert!(kills < 60, "it never ends");
        }
        assert!(kills > 5, "{kills}");
        assert_taken_over(&world, &former, &pods, "hello").await;
    });
}

#[test]
fn nothing_is_converted_while_a_controller_runs() {
    scenario_without_operator("migrate_running", |world| async move {
        let pods = world.bases(1).await;
        let former = Former::installed(&world).await;
        former.finished("hello", "1.0.0", &pods).await;
        let controller = json!({
            "metadata": { "name": "module-deployment-controller-manager" },
            "spec": {
                "replicas": 1, "selector": { "matchLabels": { "control-plane": "controller-manager" } },
                "template": {
                    "metadata": { "labels": { "control-plane": "controller-manager" } },
                    "spec": { "containers": [{ "name": "manager", "image": "example/module-controller:1.0.0" }] },
                },
            },
        });
        world.create(Kind::Deployment, controller).await;

        let refused = run(&world, &["migrate", "apply", "--yes"]).await;

        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success(), "{said}");
        let name = format!("the controller {}/module-deployment-controller-manager runs", world.namespace());
        assert!(said.contains(&name) && said.contains("--replicas=0"), "{said}");
        assert_eq!(former.count().await, 3);
        assert!(world.list(Kind::ModuleDeployment).await.is_empty());
        let gone = DeleteParams::foreground();
        let deployments: Api<k8s_openapi::api::apps::v1::Deployment> =
            Api::namespaced(world.client(), world.namespace());
        deployments.delete("module-deployment-controller-manager", &gone).await.expect("it is deleted");
        world.gone(Kind::Deployment, "module-deployment-controller-manager").await;
        done(&world, &["migrate", "apply", "--yes"]).await;
        assert_taken_over(&world, &former, &pods, "hello").await;
    });
}

#[test]
fn what_v1_spoilt_in_our_group_is_told_and_mended_only_where_that_is_asked_for() {
    scenario_without_operator("migrate_mend", |world| async move {
        world.bases(1).await;
        let applied = json!({ "spec": { "replicas": -1 } }).to_string();
        let spec = |policy: &str, replicas: i32| {
            let module = json!({ "name": "m", "version": "1.0.0", "url": "file:///m.jar" });
            json!({
                "baseDeploymentName": "base", "replicas": replicas, "operationStrategy": { "upgradePolicy": policy },
                "template": { "spec": { "module": module } },
            })
        };
        let peer =
            json!({ "name": "peer", "annotations": { "kubectl.kubernetes.io/last-applied-configuration": applied } });
        let deployment = |metadata: Value, spec: Value| json!({ "metadata": metadata, "spec": spec });
        world.create(Kind::ModuleDeployment, deployment(peer, spec("install_then_uninstall", 2))).await;
        world
            .create(Kind::ModuleDeployment, deployment(json!({ "name": "odd" }), spec("uninstallThenInstall", 0)))
            .await;

        let plan = done(&world, &["migrate", "plan"]).await;
        assert!(plan.contains("replicas 2, where -1 was applied; V1 overwrote it"), "{plan}");
        assert!(plan.contains("--mend policy writes uninstall_then_install"), "{plan}");
        done(&world, &APPLY).await;
        let replicas = |object: &Value| object["spec"]["replicas"].clone();
        assert_eq!(replicas(&world.deployment("peer").await), 2, "it wasn't asked for");
        done(&world, &[&APPLY[..], &["--mend", "peer,policy"]].concat()).await;

        assert_eq!(replicas(&world.deployment("peer").await), -1);
        let odd = world.deployment("odd").await;
        assert_eq!(text(&odd, "/spec/operationStrategy/upgradePolicy"), "uninstall_then_install");
    });
}
