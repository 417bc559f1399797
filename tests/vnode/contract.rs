//! Side by side with the Go ModuleController V2: it plays the nodes of our vPods, and we take over the nodes of its own.
//!
//! What it writes is what one was seen to write (2.2.0, HTTP tunnel): only the labels of its code, `kubernetes.io/hostname`
//! after the host, statuses without `hostIP`.

use std::net::IpAddr;

use k8s_openapi::api::{coordination::v1::Lease, core::v1::Node};
use kube::{Api, api::PostParams};
use rig::{
    arklet_sim::State,
    cluster::{
        BasePod, Kind, SOON, World, condition, is_ready, is_vpod, module, scenario_without_operator, text, vpod,
    },
};
use serde_json::{Value, json};

use crate::tunnel::Announcer;

const IDENTITY: &str = "2ce92dca-032e-4956-bc91-27b43406dad2";

fn name(world: &World) -> String {
    format!("vnode.{IDENTITY}.{}", world.env())
}

/// A VNode as the Go V2 writes it.
async fn go_node(world: &World, ip: IpAddr) {
    let taint = |key: &str, value: &str| json!({ "key": format!("schedule.koupleless.io/{key}"), "value": value, "effect": "NoExecute" });
    let condition = |type_: &str, status: &str| json!({ "type": type_, "status": status });
    let quiet = ["MemoryPressure", "DiskPressure", "PIDPressure", "NetworkUnavailable"];
    let conditions: Vec<Value> =
        quiet.iter().map(|type_| condition(type_, "False")).chain([condition("Ready", "True")]).collect();
    let resources = |memory: &str| json!({ "memory": memory, "pods": "65535" });
    let node = json!({
        "metadata": { "name": name(world), "labels": {
            "base.koupleless.io/cluster-name": "default", "base.koupleless.io/host-name": "base-0",
            "base.koupleless.io/name": "base", "base.koupleless.io/tunnel-port": "1238",
            "base.koupleless.io/version": "1.0.0", "kubernetes.io/hostname": "base-0", "kubernetes.io/role": "agent",
            "type": "virtual-kubelet", "virtual-kubelet.koupleless.io/component": "vnode",
            "virtual-kubelet.koupleless.io/env": world.env(),
        } },
        "spec": { "taints": [taint("virtual-node", "True"), taint("node-env", world.env())] },
        "status": {
            "addresses": [{ "type": "InternalIP", "address": ip }, { "type": "Hostname", "address": "base-0" }],
            "capacity": resources("134217728"), "allocatable": resources("85262336"), "conditions": conditions,
        },
    });
    let node: Node = serde_json::from_value(node).expect("a Node");
    Api::<Node>::all(world.client()).create(&PostParams::default(), &node).await.expect("created");
}

/// The status of a vPod whose module the Go V2 sees as ACTIVATED.
fn running(pod: &Value, ip: IpAddr) -> Value {
    let image = text(pod, "/spec/containers/0/image");
    let is = |type_: &str| json!({ "type": type_, "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z" });
    let container = text(pod, "/spec/containers/0/name");
    json!({
        "phase": "Running", "podIP": ip, "podIPs": [{ "ip": ip }],
        "conditions": [{ "type": "PodScheduled", "status": "True" }, is("Ready"), is("ContainersReady")],
        "containerStatuses": [{
            "name": container, "containerID": container, "image": image, "imageID": image, "started": true,
            "ready": true, "restartCount": 0, "state": { "running": { "startedAt": "2026-01-01T00:00:00Z" } },
        }],
    })
}

async fn bound(world: &World) -> Value {
    let look = || async {
        let pods = world.list(Kind::Pod).await;
        let on_it = |pod: &&Value| is_vpod(pod) && text(pod, "/spec/nodeName") == name(world);
        pods.iter().find(on_it).cloned().ok_or_else(|| format!("{} pods", pods.len()))
    };
    world.eventually(SOON, "a vPod is scheduled onto the VNode of the Go V2", look).await
}

#[test]
fn a_go_v2_can_play_the_nodes_of_our_vpods() {
    scenario_without_operator("a_go_v2_plays", |world| async move {
        let base = world.bases(1).await.remove(0);
        world.start_operator_with_nodes().await;
        go_node(&world, base.ip).await;
        world.deploy(&module("shop").field("delivery", json!("VirtualPod")).service(80)).await;

        let pod = bound(&world).await;
        let (key, container) =
            ("/metadata/labels/virtual-kubelet.koupleless.io~1component", &pod["spec"]["containers"]);
        assert_eq!(text(&pod, key), "module");
        let url = world.url("shop", "1.0.0");
        let env = json!([{ "name": "BIZ_VERSION", "value": "1.0.0" }]);
        assert_eq!(
            (&container[0]["name"], &container[0]["image"], &container[0]["env"]),
            (&json!("shop"), &json!(url), &env)
        );
        let tolerated: Vec<(&str, &str)> = pod["spec"]["tolerations"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|one| (text(one, "/key"), text(one, "/value")))
            .filter(|(key, _)| key.starts_with("schedule."))
            .collect();
        let own = [("schedule.koupleless.io/virtual-node", "True"), ("schedule.koupleless.io/node-env", world.env())];
        assert_eq!(tolerated, own);

        // It says what it does, in its own words, and last that the module is active.
        let (vpod, said) = (text(&pod, "/metadata/name").to_owned(), text(&pod, "/metadata/uid").to_owned());
        let broken = json!({ "phase": "Pending", "podIP": base.ip, "containerStatuses": [{ "name": "shop", "image": url,
            "imageID": url, "ready": false, "restartCount": 0,
            "state": { "waiting": { "reason": "BROKEN", "message": "no bean of that name" } } }] });
        world.patch_status(Kind::Pod, &vpod, broken).await;
        let failure = world.until_condition("shop", "ReplicaFailure", "True", "InstallFailed").await;
        assert!(text(&failure, "/message").contains("no bean of that name"), "{failure}");
        world.patch_status(Kind::Pod, &vpod, running(&pod, base.ip)).await;
        world.completed("shop").await;
        world.until_traffic(&[&base], "shop").await;
        assert_eq!(world.get(Kind::Pod, &vpod).await["metadata"]["uid"], said.as_str());

        // It ends the pod when the module is uninstalled; until then the ModuleDeployment stays.
        world.delete(Kind::ModuleDeployment, "shop").await;
        let ending = || async {
            let pod = world.get(Kind::Pod, &vpod).await;
            if pod["metadata"]["deletionTimestamp"].is_null() { Err("it stays".to_owned()) } else { Ok(()) }
        };
        world.eventually(SOON, "the vPod is told to end", ending).await;
        assert!(!world.has_traffic(&base, "shop"), "out of the Service before");
        assert!(world.find(Kind::ModuleDeployment, "shop").await.is_some());
        world.kubectl(&["delete", "pod", &vpod, "--grace-period=0", "--force"]).await;
        world.gone(Kind::ModuleDeployment, "shop").await;
    });
}

/// A Lease as a Go V2 that died a moment ago has left it; shorter than its 40 s, so that nobody has to wait for them.
async fn go_lease(world: &World) {
    let lease: Lease = serde_json::from_value(json!({
        "metadata": { "name": name(world), "namespace": "kube-node-lease", "labels": {
            "virtual-kubelet.koupleless.io/component": "vnode-lease", "virtual-kubelet.koupleless.io/env": world.env(),
        } },
        "spec": { "holderIdentity": "go-client", "leaseDurationSeconds": 4, "renewTime": "2026-01-01T00:00:00.000000Z" },
    }))
    .expect("a Lease");
    let leases: Api<Lease> = Api::namespaced(world.client(), "kube-node-lease");
    leases.create(&PostParams::default(), &lease).await.expect("created");
}

/// Whether the VNode is ours and has what the Go V2 didn't write.
async fn taken_over(world: &World, base: &BasePod) -> Result<(), String> {
    let lease = world.lease_of(&name(world)).await.unwrap_or_default();
    let holder = text(&lease, "/spec/holderIdentity").to_owned();
    let nodes = world.vnodes().await;
    let [node] = &nodes[..] else { return Err(format!("{} VNodes", nodes.len())) };
    let labels = &node["metadata"]["labels"];
    let both = ["base.koupleless.io/version", "vnode.koupleless.io/version"].map(|key| labels[key] == "1.0.0");
    let address = text(node, "/status/addresses/0/address") == base.ip.to_string();
    let ready = condition(node, "Ready").unwrap_or_default();
    let fine = holder == "p" && both == [true, true] && address && ready["reason"] == "BaseReady";
    if fine { Ok(()) } else { Err(format!("{holder} {labels} {ready}")) }
}

#[test]
fn the_vnodes_of_a_go_v2_are_taken_over_with_what_is_on_them() {
    scenario_without_operator("a_go_v2_is_replaced", |world| async move {
        let base = world.bases(1).await.remove(0);
        go_node(&world, base.ip).await;
        go_lease(&world).await;
        world.create(Kind::Deployment, vpod("shop").controller(&world)).await;
        let pod = bound(&world).await;
        let vpod = text(&pod, "/metadata/name").to_owned();
        world.base(&base).put("shop", "1.0.0", State::Activated);
        world.patch_status(Kind::Pod, &vpod, running(&pod, base.ip)).await;

        let tunnel = world.start_provider_with_tunnel("p", None).await;
        let _announcer = Announcer::start_as(|_| IDENTITY.to_owned(), &base, tunnel, None);
        world.eventually(SOON, "the VNode is ours", || taken_over(&world, &base)).await;

        world.kubectl(&["scale", "deployment/shop", "--replicas=2"]).await;
        let vpods = world.until_ready_vpods(2).await;
        assert!(
            vpods.iter().any(|pod| text(pod, "/metadata/name") == vpod && is_ready(pod)),
            "the old one is one of them"
        );
        assert_eq!((world.installs(&base, "shop"), world.uninstalls(&base, "shop")), (0, 0));
        world.delete(Kind::Deployment, "shop").await;
        world.until_vpods("none", |pods| pods.is_empty()).await;
        assert_eq!((world.base(&base).list().len(), world.uninstalls(&base, "shop")), (0, 1));
    });
}
