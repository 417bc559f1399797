//! Operators that are killed in the middle of something.

use std::time::Duration;

use rig::{
    arklet_sim::Behaviour,
    cluster::{Kind, SOON, module, scenario, text},
};
use serde_json::Value;

#[test]
fn an_operator_killed_in_mid_install_repeats_nothing() {
    scenario("an_operator_killed", |world| async move {
        let pods = world.bases(2).await;
        world.jar("long", "1.0.0", Behaviour::ok().slow(Duration::from_secs(3)));
        world.deploy(&module("long").replicas(2)).await;
        world
            .eventually(SOON, "both installs are under way", || async {
                let begun = pods.iter().filter(|pod| world.installs(pod, "long") == 1).count();
                if begun == 2 { Ok(()) } else { Err(format!("{begun}")) }
            })
            .await;
        let uids = |modules: &[Value]| -> Vec<String> {
            modules.iter().map(|one| text(one, "/metadata/uid").to_owned()).collect()
        };
        let before = uids(&world.modules("long").await);

        world.restart_operator().await;
        world.completed("long").await;

        assert_eq!(uids(&world.modules("long").await), before);
        for pod in &pods {
            assert_eq!((world.installs(pod, "long"), world.uninstalls(pod, "long")), (1, 0), "{}", pod.name);
        }
        assert_eq!(world.list(Kind::ModuleReplicaSet).await.len(), 1);
    });
}

#[test]
fn an_operator_killed_in_mid_release_goes_on_where_it_was() {
    scenario("an_operator_killed_in_mid_release", |world| async move {
        let pods = world.bases(3).await;
        world.deployed(&module("keep").replicas(3).policy("uninstall_then_install")).await;
        world.jar("keep", "2.0.0", Behaviour::ok().slow(Duration::from_millis(700)));
        let began = world.now();
        world.release("keep", "2.0.0").await;
        for count in 1..=2 {
            world
                .eventually(SOON, "the next base is done", || async {
                    let done = world.serving(&pods, "keep", "2.0.0").len();
                    if done >= count { Ok(()) } else { Err(format!("{done}")) }
                })
                .await;
            world.restart_operator().await;
        }

        world.completed("keep").await;

        world.until_serving(&pods, "keep", "2.0.0", 3).await;
        let timeline = world.timeline(&pods, "keep");
        assert_eq!((timeline.least_serving(began), timeline.most_versions(began)), (2, 1), "{timeline:#?}");
        for pod in &pods {
            assert_eq!((world.installs(pod, "keep"), world.uninstalls(pod, "keep")), (2, 1), "{}", pod.name);
        }
    });
}

#[test]
fn an_operator_killed_in_mid_deletion_finishes_it() {
    scenario("an_operator_killed_in_mid_deletion", |world| async move {
        let pods = world.bases(3).await;
        for pod in &pods {
            world.base(pod).configure(|config| config.uninstall_delay = Duration::from_secs(1));
        }
        world.deployed(&module("ends").replicas(3).service(80)).await;
        world.delete(Kind::ModuleDeployment, "ends").await;
        world
            .eventually(SOON, "an uninstall is under way", || async {
                let begun = pods.iter().filter(|pod| world.uninstalls(pod, "ends") > 0).count();
                if begun > 0 { Ok(()) } else { Err(format!("{begun}")) }
            })
            .await;

        world.restart_operator().await;

        world.gone(Kind::ModuleDeployment, "ends").await;
        assert!(pods.iter().all(|pod| world.base(pod).list().is_empty()));
        assert!(world.list(Kind::Module).await.is_empty());
    });
}

#[test]
fn what_changes_while_no_operator_runs_is_found() {
    scenario("what_changes_while", |world| async move {
        let pods = world.bases(2).await;
        world.deployed(&module("away").replicas(2).service(80)).await;
        world.deployed(&module("bye")).await;
        world.until_traffic(&pods.iter().collect::<Vec<_>>(), "away").await;
        world.stop_operator().await;

        world.base(&pods[0]).empty();
        world.delete(Kind::ModuleDeployment, "bye").await;
        world.kubectl(&["delete", "service", "away-service"]).await;
        world.kubectl(&["scale", "mddeploy/away", "--replicas=1"]).await;
        world.start_operator().await;

        world.gone(Kind::ModuleDeployment, "bye").await;
        world.completed("away").await;
        world.until_serving(&pods, "away", "1.0.0", 1).await;
        world
            .eventually(SOON, "the Service is back", || async {
                world.find(Kind::Service, "away-service").await.map(|_| ()).ok_or("none".to_owned())
            })
            .await;
        let biz: usize = pods.iter().map(|pod| world.base(pod).list().len()).sum();
        assert_eq!(biz, 1);
    });
}

#[test]
fn a_module_whose_base_went_while_no_operator_ran_goes_too() {
    scenario("base_went_while_away", |world| async move {
        let pods = world.bases(2).await;
        world.deployed(&module("left").replicas(2)).await;
        let on = |modules: &[Value], pod: &str| {
            let of = modules.iter().find(|one| text(one, "/metadata/labels/koupleless.io~1base-instance-name") == pod);
            of.map(|one| text(one, "/metadata/name").to_owned())
        };
        let lost = on(&world.modules("left").await, &pods[0].name).expect("a Module on each base");
        world.stop_operator().await;

        world.delete(Kind::Pod, &pods[0].name).await;
        world.delete(Kind::Module, &lost).await;
        world.gone(Kind::Pod, &pods[0].name).await;
        world.start_operator().await;

        world.gone(Kind::Module, &lost).await;
        world.completed("left").await;
        let pods = world.running("base", 2).await;
        world.until_serving(&pods, "left", "1.0.0", 2).await;
    });
}
