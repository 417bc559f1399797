//! Everything that can make a vPod, and everything a vPod can be.

use std::time::Duration;

use rig::{
    arklet_sim::{Metaspace, State},
    cluster::{BasePod, Kind, SOON, World, condition, is_ready, labelled_base, scenario_without_operator, text, vpod},
};
use serde_json::{Value, json};

async fn bases(world: &World, count: u32) -> Vec<BasePod> {
    world.start_provider("p").await;
    let pods = world.bases_of(labelled_base("base", count, "1.0.0")).await;
    world.until_vnodes(pods.len()).await;
    pods
}

#[test]
fn a_bare_pod_with_two_modules_and_the_documentations_keys() {
    scenario_without_operator("a_bare_pod", |world| async move {
        let pods = bases(&world, 1).await;
        let both = vpod("both").modules(&[("shop", "1.0.0"), ("till", "2.0.0")]).older_keys();
        world.create(Kind::Pod, both.pod(&world)).await;
        let vpods = world.until_ready_vpods(1).await;

        let states = ["shop", "till"].map(|name| world.base(&pods[0]).serving(name));
        assert_eq!(states, [Some("1.0.0".to_owned()), Some("2.0.0".to_owned())]);
        let containers = vpods[0]["status"]["containerStatuses"].as_array().map(Vec::len);
        assert_eq!(containers, Some(2));

        world.base(&pods[0]).set_state("till", "2.0.0", State::Broken);
        world.until_vpods("not Ready", |pods| !is_ready(&pods[0]) && pods[0]["status"]["phase"] == "Running").await;
        world.until_ready_vpods(1).await;

        world.delete(Kind::Pod, "both").await;
        world.gone(Kind::Pod, "both").await;
        assert!(world.base(&pods[0]).list().is_empty());
    });
}

#[test]
fn an_image_patched_in_place_replaces_the_module() {
    scenario_without_operator("an_image_patched", |world| async move {
        let pods = bases(&world, 1).await;
        world.create(Kind::Pod, vpod("shop").pod(&world)).await;
        world.until_ready_vpods(1).await;

        let moved = format!("{}?mirror", world.url("shop", "1.0.0"));
        let patch = json!([{ "op": "replace", "path": "/spec/containers/0/image", "value": moved }]);
        world.kubectl(&["patch", "pod", "shop", "--type=json", "-p", &patch.to_string()]).await;

        world
            .until_vpods("Ready with the new image", |pods| {
                let container = &pods[0]["status"]["containerStatuses"][0];
                is_ready(&pods[0]) && container["imageID"] == moved.as_str() && container["restartCount"] == 1
            })
            .await;
        assert_eq!((world.installs(&pods[0], "shop"), world.uninstalls(&pods[0], "shop")), (2, 1));
    });
}

#[test]
fn two_pods_of_one_module_on_one_base_share_it() {
    scenario_without_operator("two_pods_of_one_module", |world| async move {
        let pods = bases(&world, 1).await;
        world.create(Kind::Deployment, vpod("shop").replicas(2).controller(&world)).await;
        world.until_ready_vpods(2).await;
        assert_eq!(world.installs(&pods[0], "shop"), 1);

        world.kubectl(&["scale", "deployment/shop", "--replicas=1"]).await;
        world.until_ready_vpods(1).await;
        assert_eq!((world.uninstalls(&pods[0], "shop"), world.serving(&pods, "shop", "1.0.0").len()), (0, 1));

        // Another version by hand: the younger pod wins, and when it goes the older one serves again.
        let mut newer = vpod("shop").version("2.0.0").pod(&world);
        newer["metadata"]["name"] = json!("newer");
        newer["metadata"]["labels"]["app"] = json!("newer");
        world.create(Kind::Pod, newer).await;
        let of = |pods: &[Value], name: &str| {
            pods.iter().any(|pod| is_ready(pod) && text(pod, "/metadata/name").starts_with(name))
        };
        world.until_vpods("only the younger one is Ready", |pods| of(pods, "newer") && !of(pods, "shop")).await;
        world.delete(Kind::Pod, "newer").await;
        world.until_ready_vpods(1).await;
        assert_eq!(world.base(&pods[0]).serving("shop").as_deref(), Some("1.0.0"));
    });
}

#[test]
fn a_stateful_set_and_a_daemon_set_work_as_everywhere() {
    scenario_without_operator("a_stateful_set", |world| async move {
        let pods = bases(&world, 2).await;
        world.create(Kind::DaemonSet, vpod("every").daemon_set(&world)).await;
        world.until_ready_vpods(2).await;
        world.until_serving(&pods, "every", "1.0.0", 2).await;

        let more = world.scale_bases("base", 3).await;
        world.until_ready_vpods(3).await;
        world.until_serving(&more, "every", "1.0.0", 3).await;
        // It deletes before it creates: a base after the other is without the module for a moment.
        let began = world.now();
        world.release_vpods_of(Kind::DaemonSet, &vpod("every").version("2.0.0")).await;
        world.until_serving(&more, "every", "2.0.0", 3).await;
        world.until_ready_vpods(3).await;
        assert_eq!(world.timeline(&more, "every").least_serving(began), 2, "one base at a time");
        world.delete(Kind::DaemonSet, "every").await;
        world.until_vpods("none", |pods| pods.is_empty()).await;

        world.create(Kind::StatefulSet, vpod("ordered").replicas(2).controller(&world)).await;
        let vpods = world.until_ready_vpods(2).await;
        let names: Vec<&str> = vpods.iter().map(|pod| text(pod, "/metadata/name")).collect();
        assert_eq!(names, ["ordered-0", "ordered-1"]);
        let first = text(&vpods[1], "/metadata/uid").to_owned();
        // Another pod of that name comes at once; `kubectl delete` would wait for the end of that one.
        world.delete(Kind::Pod, "ordered-1").await;
        world
            .eventually(SOON, "another ordered-1 is ready", || async {
                let pod = world.find(Kind::Pod, "ordered-1").await.ok_or("none".to_owned())?;
                if text(&pod, "/metadata/uid") != first && is_ready(&pod) { Ok(()) } else { Err(pod.to_string()) }
            })
            .await;
        assert!(more.iter().all(|pod| world.base(pod).serving("every").is_none()));
    });
}

#[test]
fn a_full_metaspace_leaves_pods_pending_with_the_schedulers_reason() {
    scenario_without_operator("a_full_metaspace", |world| async move {
        let pods = bases(&world, 1).await;
        let space = |committed_mib: u64| {
            let metaspace = Metaspace { max: 128 << 20, committed: committed_mib << 20, used: 1 };
            world.base(&pods[0]).configure(|config| config.metaspace = Some(metaspace));
        };
        space(28);
        let shows = || async {
            let node = world.vnode(&pods[0]).await.unwrap_or_default();
            let memory = text(&node, "/status/allocatable/memory").to_owned();
            if memory == (100 << 20).to_string() { Ok(()) } else { Err(memory) }
        };
        world.eventually(SOON, "the metaspace is the VNode's memory", shows).await;
        world.create(Kind::Deployment, vpod("shop").replicas(2).memory("60Mi").controller(&world)).await;

        let waits = |pods: &[Value]| {
            let reason = |pod: &Value| condition(pod, "PodScheduled").unwrap_or_default()["message"].to_string();
            pods.iter().filter(|pod| is_ready(pod)).count() == 1
                && pods.iter().any(|pod| reason(pod).contains("Insufficient memory"))
        };
        world.until_vpods("one is Ready, one waits for memory", waits).await;
        space(0);
        world.until_ready_vpods(2).await;

        // Without a limit there is room for anything.
        let unlimited = Metaspace { max: -1, committed: 100 << 20, used: 1 };
        world.base(&pods[0]).configure(|config| config.metaspace = Some(unlimited));
        world.create(Kind::Deployment, vpod("giant").memory("64Gi").controller(&world)).await;
        world.until_ready_vpods(3).await;
    });
}

#[test]
fn what_is_no_module_does_not_flood_the_cluster() {
    scenario_without_operator("what_is_no_module", |world| async move {
        let pods = bases(&world, 1).await;
        let mut strange = vpod("strange").controller(&world);
        strange["spec"]["template"]["spec"]["containers"][0]["image"] = json!("nginx");
        world.create(Kind::Deployment, strange).await;
        let mut nameless = vpod("nameless").pod(&world);
        nameless["spec"]["containers"][0]["env"] = json!([]);
        world.create(Kind::Pod, nameless).await;
        let mut ended = vpod("ended").pod(&world);
        ended["spec"]["containers"][0]["image"] = json!("nginx");
        world.create(Kind::Pod, ended).await;

        let reason = |pods: &[Value], name: &str| {
            let pod = pods.iter().find(|pod| text(pod, "/metadata/name").starts_with(name)).cloned();
            let pod = pod.unwrap_or_default();
            text(&pod, "/status/containerStatuses/0/state/waiting/reason").to_owned()
        };
        world
            .until_vpods("each says what it lacks", |pods| {
                reason(pods, "strange") == "NoModule"
                    && reason(pods, "nameless") == "InvalidModule"
                    && pods.iter().any(|pod| pod["status"]["phase"] == "Succeeded")
            })
            .await;
        let few = || async {
            let count = world.vpods().await.len();
            if count == 3 { Ok(()) } else { Err(format!("{count} pods")) }
        };
        world.always(Duration::from_secs(2), "no pod is replaced", few).await;
        assert!(world.base(&pods[0]).list().is_empty());
    });
}

#[test]
fn peer_deployments_follow_the_vnodes() {
    scenario_without_operator("peer_deployments", |world| async move {
        let pods = bases(&world, 2).await;
        let peer = vpod("peer")
            .label("virtual-kubelet.koupleless.io/strategy", "peer")
            .label("virtual-kubelet.koupleless.io/env", world.env())
            .apart();
        world.create(Kind::Deployment, peer.controller(&world)).await;
        let skipped = vpod("skipped")
            .label("virtual-kubelet.koupleless.io/strategy", "peer")
            .label("virtual-kubelet.koupleless.io/replicas-control", "true")
            .label("virtual-kubelet.koupleless.io/env", world.env())
            .replicas(0);
        world.create(Kind::Deployment, skipped.controller(&world)).await;
        world.until_ready_vpods(2).await;
        world.until_serving(&pods, "peer", "1.0.0", 2).await;

        let more = world.scale_bases("base", 3).await;
        world.until_ready_vpods(3).await;
        world.until_serving(&more, "peer", "1.0.0", 3).await;
        world.scale_bases("base", 1).await;
        world.until_ready_vpods(1).await;
        assert_eq!(world.get(Kind::Deployment, "skipped").await["spec"]["replicas"], 0);
    });
}

#[test]
fn base_and_module_of_versions_that_need_each_other_are_released_together() {
    scenario_without_operator("base_and_module", |world| async move {
        let pods = bases(&world, 1).await;
        world.create(Kind::Deployment, vpod("shop").controller(&world)).await;
        world.until_ready_vpods(1).await;

        let next = vpod("shop-next").modules(&[("shop", "2.0.0")]).on("base", "2.0.0");
        world.create(Kind::Deployment, next.controller(&world)).await;
        world
            .until_vpods("the next one waits", |pods| pods.iter().any(|pod| pod["status"]["phase"] == "Pending"))
            .await;
        let labels = json!({ "base.koupleless.io/version": "2.0.0" });
        let patch = json!({ "spec": { "template": { "metadata": { "labels": labels } } } });
        world.patch(Kind::Deployment, "base", patch).await;

        let now = world.replaced(&pods[0], 1).await;
        world.until_serving(&now, "shop", "2.0.0", 1).await;
        world
            .until_vpods("the next one is Ready, the old one waits for a base that never comes", |pods| {
                pods.len() == 2 && pods.iter().filter(|pod| is_ready(pod)).count() == 1
            })
            .await;
    });
}
