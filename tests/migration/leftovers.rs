//! States that V1 leaves seldom, or only after something went wrong.

use std::time::Duration;

use rig::{
    arklet_sim::State,
    cluster::{Kind, text},
};
use serde_json::json;

use crate::v1::{Old, completed, conditions, story, strategy};

#[test]
fn a_biz_that_v1_forgot_to_uninstall_goes_and_one_of_nobody_stays() {
    story("takeover_leaked", |world| async move {
        let pods = world.bases(2).await;
        let old = Old::deployment(&world, "leaky", "2.0.0", 1, completed(1, 2)).await;
        old.set(1, "1.0.0", 0).await;
        old.set(2, "2.0.0", 1).await;
        old.module(2, "2.0.0", &pods[0]).await;
        for pod in &pods {
            // An uninstall that failed, and that V1 took for done.
            world.base(pod).put("leaky", "1.0.0", State::Deactivated);
            world.base(pod).put("static", "0.1", State::Activated);
        }

        world.start_operator().await;
        world.completed("leaky").await;
        world
            .eventually(Duration::from_secs(30), "the leak goes", || async {
                let list = world.base(&pods[0]).list();
                if list.iter().all(|biz| biz.version != "1.0.0") { Ok(()) } else { Err(format!("{list:?}")) }
            })
            .await;
        assert_eq!(world.installs(&pods[0], "leaky"), 0);

        world.kubectl(&["scale", "mddeploy/leaky", "--replicas=2"]).await;
        world.until_serving(&pods, "leaky", "2.0.0", 2).await;
        world.completed("leaky").await;
        for pod in &pods {
            let list = world.base(pod).list();
            let left: Vec<String> = list.iter().map(|biz| format!("{}:{}", biz.name, biz.version)).collect();
            assert!(!left.contains(&"leaky:1.0.0".to_owned()), "{left:?}");
            assert!(left.contains(&"static:0.1".to_owned()), "{left:?}");
            assert_eq!(world.uninstalls(pod, "static"), 0);
        }
    });
}

#[test]
fn labels_that_drifted_are_put_right_and_nothing_is_installed_for_it() {
    story("takeover_drifted", |world| async move {
        let pods = world.bases(1).await;
        let old = Old::deployment(&world, "drift", "1.0.0", 1, completed(1, 1)).await;
        old.set(1, "1.0.0", 1).await;
        let module = old.module(1, "1.0.0", &pods[0]).await;
        let wrong = json!({ "koupleless.io/base-instance-ip": "10.9.9.9" });
        world.patch(Kind::Module, text(&module, "/metadata/name"), json!({ "metadata": { "labels": wrong } })).await;
        let wrong = json!({
            "module.koupleless.io/drift": null, "module.koupleless.io/gone": "true", "koupleless.io/module-instance-count": "7",
        });
        world.patch(Kind::Pod, &pods[0].name, json!({ "metadata": { "labels": wrong } })).await;

        world.start_operator().await;
        world.completed("drift").await;
        world.no_writes_for(Duration::from_secs(2)).await;

        let labels = world.get(Kind::Pod, &pods[0].name).await["metadata"]["labels"].clone();
        assert_eq!(labels["module.koupleless.io/drift"], "true");
        assert!(labels["module.koupleless.io/gone"].is_null(), "no traffic for what isn't there: {labels}");
        assert_eq!(labels["koupleless.io/module-instance-count"], "1");
        assert_eq!((world.installs(&pods[0], "drift"), world.uninstalls(&pods[0], "drift")), (0, 0));
    });
}

#[test]
fn a_release_that_v1_was_in_the_middle_of_is_finished() {
    story("takeover_midway", |world| async move {
        let pods = world.bases(3).await;
        let mut strategy = strategy();
        strategy["batchCount"] = json!(2);
        let status = json!({
            "conditions": conditions(1),
            "releaseStatus": {
                "batchProgress": "Executing", "currentBatch": 1, "lastTransitionTime": crate::v1::V1_TIME,
                "originalDeltaReplicas": 2, "progress": "Executing", "realBatchCount": 2,
            },
        });
        let old = Old::with(&world, "midway", "2.0.0", 2, strategy, status).await;
        old.set(1, "1.0.0", 1).await;
        old.set(2, "2.0.0", 1).await;
        old.module(1, "1.0.0", &pods[0]).await;
        old.module(2, "2.0.0", &pods[1]).await;
        let began = world.now();

        world.start_operator().await;
        world.completed("midway").await;

        world.until_serving(&pods, "midway", "2.0.0", 2).await;
        world.until_serving(&pods, "midway", "1.0.0", 0).await;
        assert_eq!(world.installs(&pods[1], "midway"), 0);
        assert!(world.timeline(&pods, "midway").least_serving(began) >= 2);
        assert_eq!(world.list(Kind::ModuleReplicaSet).await.len(), 2, "V1's revisions, and none beside them");
    });
}

#[test]
fn a_peer_deployment_that_v1_overwrote_is_one_again_once_minus_one_is_applied() {
    story("takeover_peer", |world| async move {
        let pods = world.bases(3).await;
        let old = Old::deployment(&world, "peer", "1.0.0", 2, completed(2, 1)).await;
        old.set(1, "1.0.0", 2).await;
        for pod in &pods[..2] {
            old.module(1, "1.0.0", pod).await;
        }
        world.start_operator().await;
        world.completed("peer").await;
        world.no_writes_for(Duration::from_secs(2)).await;
        assert_eq!(world.deployment("peer").await["spec"]["replicas"], 2, "nobody guesses");

        world.change("peer", json!({ "replicas": -1 })).await;
        world.until_serving(&pods, "peer", "1.0.0", 3).await;
        world.completed("peer").await;
        assert_eq!(world.deployment("peer").await["spec"]["replicas"], -1);
        assert!(pods[..2].iter().all(|pod| world.installs(pod, "peer") == 0));
    });
}
