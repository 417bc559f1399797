//! A whole cluster of V1, with all twelve of its ModuleDeployments, taken over at once.

use std::collections::BTreeMap;
use std::time::Duration;

use rig::{
    arklet_sim::Behaviour,
    cluster::{Kind, World, condition, text},
};
use serde_json::{Value, json};

use crate::{dump::Dump, stories::assert_clean, v1::story};

/// What each ModuleDeployment comes to when nobody confirms anything: progress, desired and available.
const ENDS: [(&str, &str, i64, i64); 10] = [
    ("doubled", "Completed", 2, 2),
    ("everywhere", "Completed", 5, 5),
    ("finished", "Completed", 2, 2),
    ("grown", "Completed", 3, 3),
    ("halfgrown", "WaitingForConfirmation", 3, 2),
    ("misspelt", "Completed", 1, 1),
    ("moved", "Completed", 1, 1),
    ("plain", "Completed", 1, 1),
    ("resting", "Completed", 2, 2),
    ("waiting", "WaitingForConfirmation", 3, 1),
];

/// Waits until the take-over has come to its end.
pub async fn settled(world: &World) {
    for (name, progress, desired, available) in ENDS {
        let end = |now: &Value| {
            let status = &now["status"];
            status["releaseStatus"]["progress"] == progress
                && now["spec"]["replicas"] == desired
                && status["availableReplicas"].as_i64().unwrap_or(0) == available
        };
        world.until(name, &format!("{progress}, {available} of {desired} available"), end).await;
    }
    world.until_condition("broken", "ReplicaFailure", "True", "InstallFailed").await;
    world.gone(Kind::ModuleDeployment, "stuck").await;
}

/// The calls that a take-over needs, and no others. What found no base under V1 may get any that is free of it.
fn assert_calls(dump: &Dump, world: &World) {
    let mut calls = dump.calls(world);
    // Fails wherever it is tried, and is tried again.
    calls.retain(|(_, what), _| !what.contains("broken:"));
    let mut take_free = |what: &str, never: &[char]| {
        let found: Vec<(char, String)> = calls.keys().filter(|(_, call)| call == what).cloned().collect();
        assert_eq!(found.len(), 1, "{what}: {calls:#?}");
        assert!(!never.contains(&found[0].0), "{what} on {}", found[0].0);
        assert_eq!(calls.remove(&found[0]), Some(1), "{what}");
    };
    take_free("Install finished:1.0.0", &['c']);
    take_free("Install resting:1.0.0", &['c']);
    let rest = [
        (('a', "Install everywhere:1.0.0".to_owned()), 1),
        (('a', "Uninstall stuck:1.0.0".to_owned()), 1),
        (('c', "Uninstall doubled:1.0.0".to_owned()), 1),
        (('e', "Uninstall doubled:1.0.0".to_owned()), 1),
    ];
    assert_eq!(calls, BTreeMap::from(rest));
}

/// What stands on the bases afterwards, in how many of them.
fn assert_bases(dump: &Dump, world: &World) {
    let mut found: BTreeMap<String, usize> = BTreeMap::new();
    for pod in dump.pods.values() {
        for biz in world.base(pod).list() {
            assert_eq!(world.base(pod).serving(&biz.name), Some(biz.version.clone()), "{biz:?}");
            *found.entry(format!("{}:{}", biz.name, biz.version)).or_insert(0) += 1;
            assert!(world.has_traffic(pod, &biz.name), "{} gets no traffic for {}", pod.name, biz.name);
        }
    }
    let expected = [
        ("doubled:2.0.0", 2),
        ("everywhere:1.0.0", 5),
        ("finished:1.0.0", 2),
        ("grown:1.0.0", 3),
        ("halfgrown:1.0.0", 2),
        ("misspelt:1.0.0", 1),
        ("moved:2.0.0", 1),
        ("plain:1.0.0", 1),
        ("resting:1.0.0", 2),
        ("waiting:1.0.0", 1),
    ];
    assert_eq!(found, expected.map(|(biz, count)| (biz.to_owned(), count)).into());
}

async fn assert_objects(dump: &Dump, world: &World, modules_before: &BTreeMap<String, String>) {
    let service = world.get(Kind::Service, "finished-service").await;
    assert_eq!(service["spec"], dump.service["spec"], "node port and cluster IP stay");
    assert_eq!(service["metadata"]["uid"], dump.service["metadata"]["uid"]);
    for deployment in world.list(Kind::ModuleDeployment).await {
        assert_clean(&deployment);
    }
    let broken = world.deployment("broken").await;
    assert_eq!(condition(&broken, "Available").expect("Available")["status"], "False");
    let after = uids(world, Kind::Module).await;
    let kept = |name: &str| !name.starts_with("stuck-") && !name.starts_with("doubled-replicas-1-");
    for (name, uid) in modules_before.iter().filter(|(name, _)| kept(name)) {
        assert_eq!(after.get(name), Some(uid), "{name} is the same object");
    }
    let sets = world.list(Kind::ModuleReplicaSet).await;
    assert_eq!(sets.len(), 13, "those of V1 but the one of the deployment that is gone");
}

async fn uids(world: &World, kind: Kind) -> BTreeMap<String, String> {
    let pair = |one: &Value| (text(one, "/metadata/name").to_owned(), text(one, "/metadata/uid").to_owned());
    world.list(kind).await.iter().map(pair).collect()
}

#[test]
fn a_whole_cluster_is_taken_over() {
    story("a_whole_cluster", |world| async move {
        world.sim().jar("file:///jars/broken-9.9.9.jar", Behaviour::fails("java.lang.Error: no such bean"));
        let dump = Dump::load(&world).await;
        let modules = uids(&world, Kind::Module).await;
        let began = world.now();

        world.start_operator().await;
        settled(&world).await;
        world.no_writes_for(Duration::from_secs(3)).await;

        assert_calls(&dump, &world);
        assert_bases(&dump, &world);
        assert_objects(&dump, &world, &modules).await;
        let all = dump.all();
        for name in ["grown", "moved", "plain", "misspelt", "waiting", "halfgrown"] {
            assert!(all.iter().all(|pod| world.traffic_ended(pod, name).is_none()), "{name} loses no traffic");
        }
        assert!(world.timeline(&all, "doubled").least_serving(began) >= 2);

        // What V1 had paused goes on when it is confirmed, as V1's users confirm it.
        world.change("halfgrown", json!({ "confirmBatchNum": 1 })).await;
        world.completed("halfgrown").await;
        world.change("waiting", json!({ "confirmBatchNum": 2 })).await;
        world.until_serving(&all, "waiting", "1.0.0", 3).await;
    });
}

/// The operator dies before its first write, and in several places further on; each time a new one goes on.
#[test]
fn a_take_over_that_is_cut_short_is_finished_by_the_next_process() {
    story("a_cut_take_over", |world| async move {
        world.sim().jar("file:///jars/broken-9.9.9.jar", Behaviour::fails("java.lang.Error: no such bean"));
        let dump = Dump::load(&world).await;
        let modules = uids(&world, Kind::Module).await;
        let began = world.now();

        for write in [1, 4, 9, 15] {
            world.run_operator_until_write(write).await;
        }
        world.start_operator().await;
        settled(&world).await;
        world.no_writes_for(Duration::from_secs(3)).await;

        assert_bases(&dump, &world);
        assert_objects(&dump, &world, &modules).await;
        let kept = ["grown", "moved", "plain", "misspelt", "waiting", "halfgrown"];
        let asked = dump.calls(&world);
        assert!(
            asked.keys().all(|(_, what)| kept.iter().all(|name| !what.contains(&format!(" {name}:")))),
            "{asked:#?}"
        );
        assert!(world.timeline(&dump.all(), "doubled").least_serving(began) >= 2);
    });
}
