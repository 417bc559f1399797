//! Modules as pods on virtual nodes, in real bases: made by the operator, and by a plain Deployment. The operator plays the
//! virtual nodes too (`--enable-vnode`).

use k8s_openapi::api::{
    apps::v1,
    core::v1::{Pod, Service},
};
use kube::{
    Api,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::{
    load::{DRAIN, SOME, addresses, asked, lossless, served},
    stage::{Deployment, Stage, jar, play},
};

/// The environment of these virtual nodes, and the name of the plain Deployment and its Service.
const ENV: &str = "jvm";
const PLAIN: &str = "plain";

/// Installed as pods, called over HTTP, upgraded in the only way that a web module knows while requests go on, removed.
#[test]
fn a_module_as_a_pod_is_installed_upgraded_and_removed() {
    play("vPods of a ModuleDeployment", async |stage| {
        stage.with_vnodes(ENV).await;
        let old = Deployment::of("hello", "1.0.0").with_service().drain(DRAIN).virtual_pods();
        let new = old.version("2.0.0");
        let crowd = served(stage, &old).await;
        assert_eq!(ready_vpods(stage, "hello", "1.0.0").await, 2);
        for base in &stage.bases {
            assert_eq!(base.get("/hello/").await, Ok("hello from 1.0.0".to_owned()), "{}", base.pod);
        }

        stage.apply(&new).await;
        stage.released(&new).await;
        stage.endpoints_are("hello-service", &addresses(stage)).await;
        crowd.answers(stage, SOME).await;
        let book = crowd.stop().await;
        println!("vPods, uninstall_then_install: {book}");
        lossless(stage, &book);
        assert_eq!(ready_vpods(stage, "hello", "2.0.0").await, 2);

        stage.delete(&new).await;
        assert_eq!(ready_vpods(stage, "hello", "2.0.0").await, 0);
    });
}

/// Base by base: an old pod goes, and the new one is kept off every base that still has an old one. Its Service never fails.
#[test]
fn a_deployment_of_vpods_is_rolled_without_losing_a_request() {
    play("vPods of a Deployment", async |stage| {
        stage.with_vnodes(ENV).await;
        let deployments: Api<v1::Deployment> = stage.api();
        let services: Api<Service> = stage.api();
        let params = PatchParams::apply("user").force();
        services.patch(PLAIN, &params, &Patch::Apply(service())).await.expect("a Service");
        deployments.patch(PLAIN, &params, &Patch::Apply(plain("1.0.0"))).await.expect("a Deployment");
        until_ready(stage, "1.0.0").await;
        stage.endpoints_are(PLAIN, &addresses(stage)).await;
        let crowd = asked(stage, PLAIN).await;

        deployments.patch(PLAIN, &params, &Patch::Apply(plain("2.0.0"))).await.expect("the next version");
        until_ready(stage, "2.0.0").await;
        stage.endpoints_are(PLAIN, &addresses(stage)).await;
        crowd.answers(stage, SOME).await;
        let book = crowd.stop().await;
        println!("vPods, a rolling update: {book}");
        lossless(stage, &book);
        for base in &stage.bases {
            assert_eq!(base.list().await, ["hello 2.0.0 ACTIVATED"], "{}", base.pod);
        }

        deployments.delete(PLAIN, &DeleteParams::background()).await.expect("deleted");
        stage
            .eventually("the bases are empty", async || {
                for base in &stage.bases {
                    if !base.list().await.is_empty() {
                        return None;
                    }
                }
                Some(())
            })
            .await;
        services.delete(PLAIN, &DeleteParams::default()).await.expect("deleted");
    });
}

fn service() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": PLAIN },
        "spec": { "selector": { "plain": "hello" }, "ports": [{ "port": 80, "targetPort": 8080 }] },
    })
}

/// The Deployment as `docs/v2.md` advises it for a web module: one pod less at a time, and no two pods on one base, of
/// whichever version.
fn plain(version: &str) -> Value {
    let equal = |key: &str, value: &str| json!({ "key": format!("schedule.koupleless.io/{key}"), "operator": "Equal", "value": value, "effect": "NoExecute" });
    let labels = json!({ "plain": "hello", "virtual-kubelet.koupleless.io/component": "module" });
    let apart =
        json!([{ "topologyKey": "kubernetes.io/hostname", "labelSelector": { "matchLabels": { "plain": "hello" } } }]);
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": PLAIN },
        "spec": {
            "replicas": 2,
            "selector": { "matchLabels": { "plain": "hello" } },
            "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxSurge": 0, "maxUnavailable": 1 } },
            "template": {
                "metadata": { "labels": labels },
                "spec": {
                    "containers": [{
                        "name": "hello", "image": jar("hello", version),
                        "env": [{ "name": "BIZ_VERSION", "value": version }],
                    }],
                    "affinity": { "podAntiAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": apart } },
                    "nodeSelector": { "virtual-kubelet.koupleless.io/component": "vnode" },
                    "tolerations": [equal("virtual-node", "True"), equal("node-env", ENV)],
                },
            },
        },
    })
}

/// How many vPods of a version of the module are Ready.
async fn ready_vpods(stage: &Stage, name: &str, version: &str) -> usize {
    let api: Api<Pod> = stage.api();
    let modules = ListParams::default().labels("virtual-kubelet.koupleless.io/component=module");
    let pods = api.list(&modules).await.expect("a list").items;
    let ready = |pod: &&Pod| {
        let pod = json!(pod);
        let container = &pod["spec"]["containers"][0];
        let conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
        container["name"] == name
            && container["env"][0]["value"] == version
            && conditions.iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
    };
    pods.iter().filter(ready).count()
}

async fn until_ready(stage: &Stage, version: &str) {
    let both = async || (ready_vpods(stage, "hello", version).await == 2).then_some(());
    stage.eventually(&format!("two Ready vPods of {version}"), both).await;
}
