//! The manifests and commands of the V2's documentation, as somebody who comes from there has them.
//!
//! The manifests are in `tests/fixtures/v2-manifests`, with `JARS` for where the jars are; the Deployment's pods carry the label
//! that its selector asks for, without which no API server takes it.

use rig::cluster::{
    BasePod, Kind, World, condition, is_ready, labelled_base, scenario_without_operator, text, vnode_name,
};
use serde_json::{Value, json};

const NAME: &str = "test-module-deployment";

/// A manifest with the jars of this scenario.
fn manifest(world: &World, file: &str) -> String {
    let path = format!("{}/tests/fixtures/v2-manifests/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    text.replace("JARS", &format!("file:///{}", world.namespace()))
}

async fn apply(world: &World, file: &str) {
    let text =
        manifest(world, file).replacen("metadata:", &format!("metadata:\n  namespace: {}", world.namespace()), 1);
    world.apply_anywhere(&text).await;
}

/// A base called `base` of version 1.1.1, beside the one of version 1.0.0.
fn newer_base() -> Value {
    let mut manifest = labelled_base("newer", 1, "1.1.1");
    manifest["spec"]["template"]["metadata"]["labels"]["base.koupleless.io/name"] = json!("base");
    manifest
}

/// The Deployment's pods.
async fn until_pods(world: &World, what: &str, accept: impl Fn(&[&Value]) -> bool) {
    let of_it = |pod: &&Value| pod["metadata"]["labels"]["app"] == NAME;
    world.until_vpods(what, |pods| accept(&pods.iter().filter(of_it).collect::<Vec<_>>())).await;
}

async fn until_serves(world: &World, base: &BasePod, count: usize, version: &str) {
    until_pods(world, &format!("{count} of {version}"), |pods| {
        let of = |pod: &&Value| is_ready(pod) && text(pod, "/spec/containers/0/env/0/value") == version;
        pods.len() == count && pods.iter().all(of)
    })
    .await;
    assert_eq!(world.base(base).serving("biz1").as_deref(), Some(version));
}

#[test]
fn the_documented_manifests_and_commands_work() {
    scenario_without_operator("documented", |world| async move {
        world.use_env("test");
        world.start_provider("p").await;
        let old = world.bases_of(labelled_base("base", 1, "1.0.0")).await.remove(0);
        let new = world.bases_of(newer_base()).await.remove(0);
        world.until_vnodes(2).await;

        apply(&world, "pod.yaml").await;
        world.until_ready_vpods(1).await;
        assert_eq!(world.base(&old).serving("biz1").as_deref(), Some("0.0.1-SNAPSHOT"));

        // It tolerates one taint of two, with which no V2 gets it onto a VNode: the scheduler says so.
        apply(&world, "deployment.yaml").await;
        until_pods(&world, "it waits for a node whose taints it tolerates", |pods| {
            let why = |pod: &Value| condition(pod, "PodScheduled").unwrap_or_default()["message"].to_string();
            pods.iter().any(|pod| why(pod).contains("untolerated taint"))
        })
        .await;
        let env = json!([{ "op": "add", "path": "/spec/template/spec/tolerations/-", "value":
            { "key": "schedule.koupleless.io/node-env", "operator": "Equal", "value": "test", "effect": "NoExecute" } }]);
        world.kubectl(&["patch", "deployment", NAME, "--type=json", "-p", &env.to_string()]).await;
        until_serves(&world, &new, 1, "0.0.1-SNAPSHOT").await;

        // Which modules are on a base: by its address, and by its node.
        for (selector, of_base) in
            [(format!("status.podIP={}", new.ip), true), (format!("spec.nodeName={}", vnode_name(&world, &new)), false)]
        {
            let shown = world.kubectl(&["get", "pod", "-o", "name", "--field-selector", &selector]).await;
            let names: Vec<&str> = shown.lines().collect();
            assert!(names.iter().any(|name| name.starts_with("pod/test-module-deployment-")), "{selector}: {shown}");
            assert_eq!(names.contains(&format!("pod/{}", new.name).as_str()), of_base, "{selector}: {shown}");
            assert!(!names.contains(&"pod/test-single-module-biz1"), "{selector}: {shown}");
        }

        world.kubectl(&["scale", "deployments/test-module-deployment", "--replicas=3"]).await;
        until_serves(&world, &new, 3, "0.0.1-SNAPSHOT").await;
        assert_eq!(world.installs(&new, "biz1"), 1);

        // The next version, and back to the one before by its number.
        let before = revision(&world).await;
        let next = json!({ "spec": { "template": { "spec": { "containers": [{
            "name": "biz1", "image": format!("file:///{}/biz1-web-single-host-0.0.2-SNAPSHOT-ark-biz.jar", world.namespace()),
            "env": [{ "name": "BIZ_VERSION", "value": "0.0.2-SNAPSHOT" }] }] } } } });
        world.kubectl(&["patch", "deployment", NAME, "-p", &next.to_string()]).await;
        until_serves(&world, &new, 3, "0.0.2-SNAPSHOT").await;
        let history = world.kubectl(&["rollout", "history", "deployment", NAME]).await;
        assert!(history.lines().any(|line| line.starts_with(&format!("{before} "))), "{history}");
        world.kubectl(&["rollout", "undo", "deployment", NAME, &format!("--to-revision={before}")]).await;
        until_serves(&world, &new, 3, "0.0.1-SNAPSHOT").await;

        world.kubectl(&["delete", "deployment", NAME]).await;
        until_pods(&world, "none", |pods| pods.is_empty()).await;
        assert!(world.base(&new).list().is_empty());
        assert_eq!(world.base(&old).serving("biz1").as_deref(), Some("0.0.1-SNAPSHOT"), "another base");
    });
}

/// The number of the Deployment's present revision.
async fn revision(world: &World) -> String {
    let deployment = world.get(Kind::Deployment, NAME).await;
    text(&deployment, "/metadata/annotations/deployment.kubernetes.io~1revision").to_owned()
}
