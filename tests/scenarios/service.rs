//! The Service of a module.

use std::net::IpAddr;

use k8s_openapi::jiff::Timestamp;
use rig::{
    arklet_sim::Behaviour,
    cluster::{Kind, SOON, World, condition, module, scenario, text},
};
use serde_json::{Value, json};

async fn until_endpoints(world: &World, module: &str, what: &str, accept: impl Fn(&[IpAddr]) -> bool) {
    let look = || async {
        let now = world.endpoints(module).await;
        if accept(&now) { Ok(()) } else { Err(format!("{now:?}")) }
    };
    world.eventually(SOON, what, look).await;
}

async fn until_service(world: &World, name: &str, what: &str, accept: impl Fn(&Value) -> bool) -> Value {
    let look = || async {
        match world.find(Kind::Service, name).await {
            Some(now) if accept(&now) => Ok(now),
            now => Err(format!("{now:#?}")),
        }
    };
    world.eventually(SOON, what, look).await
}

#[test]
fn it_sends_traffic_where_the_module_is_available() {
    scenario("it_sends_traffic", |world| async move {
        let pods = world.bases(3).await;
        world.jar("shop", "1.0.0", Behaviour::ok());
        let deployment = world.deployed(&module("shop").replicas(2).service(80)).await;

        let service = world.get(Kind::Service, "shop-service").await;
        assert_eq!(service["spec"]["type"], "NodePort");
        assert_eq!(service["spec"]["selector"], json!({ "module.koupleless.io/shop": "true" }));
        let port = &service["spec"]["ports"][0];
        assert_eq!((&port["name"], &port["port"], &port["targetPort"]), (&json!("http"), &json!(80), &json!(8080)));
        let owner = &service["metadata"]["ownerReferences"][0];
        assert_eq!(owner["uid"], deployment["metadata"]["uid"]);
        assert_ne!(owner["controller"], true);
        let serving: Vec<IpAddr> = world.serving(&pods, "shop", "1.0.0").iter().map(|pod| pod.ip).collect();
        let mut serving = serving;
        serving.sort_unstable();
        until_endpoints(&world, "shop", "exactly the bases that serve", |now| now == serving).await;

        // A version that can't start gets no traffic, and takes none away.
        world.jar("shop", "2.0.0", Behaviour::fails("java.lang.Error: no"));
        world.release("shop", "2.0.0").await;
        world.until_condition("shop", "ReplicaFailure", "True", "InstallFailed").await;
        assert_eq!(world.endpoints("shop").await, serving);
    });
}

#[test]
fn it_is_not_open_before_the_module_is_active() {
    scenario("it_is_not_open", |world| async move {
        let pods = world.bases(1).await;
        world.jar("late", "1.0.0", Behaviour::ok().slow(std::time::Duration::from_secs(2)));
        world.deployed(&module("late").service(80)).await;
        world.until_traffic(&[&pods[0]], "late").await;

        let active = world.timeline(&pods, "late").entered(&pods[0], "1.0.0", Some(rig::arklet_sim::State::Activated));
        let labelled = world.sightings(&pods[0]).iter().find(|now| !now.traffic.is_empty()).map(|now| now.at);
        assert!(labelled > active, "{labelled:?} {active:?}");
    });
}

#[test]
fn it_follows_its_ports_and_keeps_what_was_allocated() {
    scenario("it_follows_its_ports", |world| async move {
        world.bases(1).await;
        world.deployed(&module("port").service(80)).await;
        let before = world.get(Kind::Service, "port-service").await;

        world
            .change("port", json!({ "operationStrategy": { "serviceStrategy": { "port": 81, "targetPort": "web" } } }))
            .await;
        let after =
            until_service(&world, "port-service", "the new port", |now| now["spec"]["ports"][0]["port"] == 81).await;
        assert_eq!(after["spec"]["ports"][0]["targetPort"], "web");
        for kept in ["/spec/ports/0/nodePort", "/spec/clusterIP", "/metadata/uid"] {
            assert_eq!(after.pointer(kept), before.pointer(kept), "{kept}");
        }

        // What others change in it or do to it is set right.
        let selector = json!({ "spec": { "selector": { "app": "nonsense" } } });
        world.patch(Kind::Service, "port-service", selector).await;
        until_service(&world, "port-service", "the selector", |now| {
            now["spec"]["selector"] == json!({ "module.koupleless.io/port": "true" })
        })
        .await;
        world.delete(Kind::Service, "port-service").await;
        until_service(&world, "port-service", "another one", |now| now["metadata"]["uid"] != before["metadata"]["uid"])
            .await;
    });
}

#[test]
fn it_goes_when_it_is_switched_off() {
    scenario("it_goes", |world| async move {
        let pods = world.bases(1).await;
        world.deployed(&module("off").service(80)).await;
        world.get(Kind::Service, "off-service").await;

        world
            .change("off", json!({ "operationStrategy": { "serviceStrategy": { "enableModuleService": false } } }))
            .await;

        world.gone(Kind::Service, "off-service").await;
        assert_eq!((world.installs(&pods[0], "off"), world.uninstalls(&pods[0], "off")), (1, 0));
        world
            .change("off", json!({ "operationStrategy": { "serviceStrategy": { "enableModuleService": true } } }))
            .await;
        until_service(&world, "off-service", "it is back", |_| true).await;
    });
}

#[test]
fn a_foreign_one_is_left_alone() {
    scenario("a_foreign_one", |world| async move {
        world.bases(1).await;
        let foreign = json!({
            "metadata": { "name": "bank-service" },
            "spec": { "selector": { "app": "bank" }, "ports": [{ "name": "tcp", "port": 9999 }] },
        });
        let foreign = world.create(Kind::Service, foreign).await;

        world.deploy(&module("bank").service(80)).await;
        let shown = world.until_condition("bank", "ServiceReady", "False", "ForeignService").await;
        assert!(text(&shown, "/message").contains("bank-service"), "{shown}");
        world.completed("bank").await;
        assert_eq!(world.get(Kind::Service, "bank-service").await["spec"], foreign["spec"]);

        world.delete(Kind::Service, "bank-service").await;
        until_service(&world, "bank-service", "ours", |now| now["spec"]["ports"][0]["port"] == 80).await;
        let clean = |now: &Value| condition(now, "ServiceReady").is_none_or(|c| c["status"] == "True");
        world.until("bank", "the condition is gone", clean).await;
        world.undeploy("bank").await;
        world.gone(Kind::Service, "bank-service").await;
    });
}

#[test]
fn a_foreign_one_survives_the_deployment() {
    scenario("a_foreign_one_survives", |world| async move {
        world.bases(1).await;
        let foreign = json!({
            "metadata": { "name": "bank-service" },
            "spec": { "selector": { "app": "bank" }, "ports": [{ "name": "tcp", "port": 9999 }] },
        });
        let foreign = world.create(Kind::Service, foreign).await;
        world.deployed(&module("bank").service(80)).await;

        world.undeploy("bank").await;

        let left = world.get(Kind::Service, "bank-service").await;
        assert_eq!(left["metadata"]["resourceVersion"], foreign["metadata"]["resourceVersion"]);
    });
}

/// Waits until what is created is younger than `older`: ages count in whole seconds.
async fn another_second_than(world: &World, older: &Value) {
    let born: Timestamp = text(older, "/metadata/creationTimestamp").parse().expect("a time");
    let later = || async {
        let now = Timestamp::now();
        if now.as_second() > born.as_second() { Ok(()) } else { Err(format!("{now}")) }
    };
    world.eventually(SOON, "another second", later).await;
}

#[test]
fn two_deployments_share_it_and_the_last_one_takes_it_along() {
    scenario("two_deployments_share", |world| async move {
        let pods = world.bases(2).await;
        let older = world.deployed(&module("a").of("both").service(80)).await;
        another_second_than(&world, &older).await;
        world.deployed(&module("b").of("both").version("2.0.0").service(81)).await;

        let both = until_service(&world, "both-service", "two owners", |now| {
            now["metadata"]["ownerReferences"].as_array().map(Vec::len) == Some(2)
        })
        .await;
        until_endpoints(&world, "both", "both bases", |now| now.len() == pods.len()).await;
        let clash = world.until_condition("b", "ServiceReady", "False", "PortClash").await;
        assert!(text(&clash, "/message").contains("use the same ports"), "{clash}");
        assert_eq!(both["spec"]["ports"][0]["port"], 80, "the older one decides");
        assert_eq!(condition(&world.deployment("a").await, "ServiceReady"), None);

        world.undeploy("a").await;
        let one = until_service(&world, "both-service", "one owner", |now| {
            now["metadata"]["ownerReferences"].as_array().map(Vec::len) == Some(1)
        })
        .await;
        assert_eq!(one["metadata"]["uid"], both["metadata"]["uid"]);
        until_service(&world, "both-service", "the port of who is left", |now| {
            now["spec"]["ports"][0]["port"] == 81
                && now.pointer("/spec/ports/0/nodePort") == both.pointer("/spec/ports/0/nodePort")
        })
        .await;
        world.until("b", "no clash", |now| condition(now, "ServiceReady").is_none()).await;
        until_endpoints(&world, "both", "one base", |now| now.len() == 1).await;

        world.undeploy("b").await;
        world.gone(Kind::Service, "both-service").await;
    });
}
