//! Bases that are reached through an MQTT broker.

use std::time::Duration;

use module_controller::vnode::tunnel::mqtt::{link::Address, packets::Version, tls};
use rig::{
    arklet_sim::{Behaviour, Command, Fault},
    cluster::{
        BasePod, Broker, Kind, MqttBase, SOON, World, envelope, heartbeat, is_ready, labelled_base, now,
        scenario_without_operator, text, vpod,
    },
};
use serde_json::{Value, json};

async fn bases(world: &World, count: u32) -> Vec<BasePod> {
    let pods = world.bases_of(labelled_base("base", count, "1.0.0")).await;
    for pod in &pods {
        world.base(pod).configure(|config| config.activate_new = true);
    }
    pods
}

/// One base, connected, and a provider that knows it.
async fn one_base(world: &World, broker: &Broker, version: Version) -> (BasePod, MqttBase) {
    let commands = world.start_provider_over_mqtt("p", broker.address("p", version)).await;
    let pods = bases(world, 1).await;
    let base = MqttBase::start(world, broker, &pods[0], "device-0");
    world.until_vnodes(1).await;
    assert_eq!(commands.is_open(), Ok(()));
    (pods[0].clone(), base)
}

async fn until_empty(world: &World, pod: &BasePod) {
    let look = || async {
        let left = world.base(pod).list();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    };
    world.eventually(SOON, "nothing is left in the base", look).await;
}

/// Announced, installed, updated, deleted; and the broker has kept nothing of it.
async fn a_whole_life(world: World, version: Version) {
    let broker = Broker::start(&world).await;
    let (pod, _base) = one_base(&world, &broker, version).await;
    let nodes = world.vnodes().await;
    let labels = &nodes[0]["metadata"]["labels"];
    assert_eq!(labels["vnode.koupleless.io/tunnel"], "mqtt_tunnel_provider");
    assert_eq!(text(&nodes[0], "/metadata/name"), format!("vnode.device-0.{}", world.env()));

    let shop = vpod("shop").rolling(1, 0);
    world.create(Kind::Deployment, shop.controller(&world)).await;
    world.until_ready_vpods(1).await;
    assert_eq!(world.base(&pod).serving("shop").as_deref(), Some("1.0.0"));

    world.release_vpods(&shop.version("2.0.0")).await;
    world.until_serving(std::slice::from_ref(&pod), "shop", "2.0.0", 1).await;
    let only_new = |pods: &[Value]| {
        pods.len() == 1 && is_ready(&pods[0]) && text(&pods[0], "/spec/containers/0/env/0/value") == "2.0.0"
    };
    world.until_vpods("the new version alone", only_new).await;

    world.delete(Kind::Deployment, "shop").await;
    world.until_vpods("none is left", <[Value]>::is_empty).await;
    until_empty(&world, &pod).await;
    assert_eq!((world.installs(&pod, "shop"), world.uninstalls(&pod, "shop")), (2, 2));
    assert_eq!(broker.retained().await, Vec::<String>::new());
}

#[test]
fn a_whole_life_over_mqtt_3_1_1() {
    scenario_without_operator("mqtt_3_1_1", |world| a_whole_life(world, Version::V4));
}

#[test]
fn a_whole_life_over_mqtt_5() {
    scenario_without_operator("mqtt_5", |world| a_whole_life(world, Version::V5));
}

#[test]
fn a_broker_restarted_in_mid_install_costs_no_second_install() {
    scenario_without_operator("mqtt_broker_restarted", |world| async move {
        let mut broker = Broker::start(&world).await;
        let (pod, _base) = one_base(&world, &broker, Version::V4).await;
        world.jar("shop", "1.0.0", Behaviour::start_hangs());
        world.create(Kind::Deployment, vpod("shop").controller(&world)).await;
        let asked = || async { if world.installs(&pod, "shop") == 1 { Ok(()) } else { Err(String::new()) } };
        world.eventually(SOON, "the install has begun", asked).await;

        broker.stop().await;
        // Longer than a base may be silent: it isn't the base that is gone.
        let there = || async {
            let nodes = world.vnodes().await;
            if nodes.len() == 1 && is_ready(&nodes[0]) { Ok(()) } else { Err(format!("{nodes:?}")) }
        };
        world.always(Duration::from_secs(9), "its VNode stays Ready", there).await;
        world.jar("shop", "1.0.0", Behaviour::ok());
        broker.start_again().await;

        world.until_ready_vpods(1).await;
        there().await.expect("its VNode stays Ready");
        assert_eq!((world.installs(&pod, "shop"), world.uninstalls(&pod, "shop")), (1, 0));
    });
}

#[test]
fn a_certificate_and_a_password_are_asked_for_and_may_change() {
    scenario_without_operator("mqtt_tls", |world| async move {
        let broker = Broker::start(&world).await;
        let ca = broker.file("trusted.crt");
        std::fs::copy(broker.file("stranger.crt"), &ca).expect("a file");
        let password = broker.file("password");
        std::fs::write(&password, "wrong\n").expect("a file");
        let mut address = broker.address("p", Version::V5);
        if let Some(files) = &mut address.tls {
            files.ca = Some(ca.clone());
        }
        let address = Address { username: Some("user".into()), password_file: Some(password.clone()), ..address };
        let commands = world.start_provider_over_mqtt("p", address).await;
        let said = |part: &'static str| {
            let commands = &commands;
            move || async move {
                let why = commands.is_open().err().unwrap_or_default();
                if why.contains(part) { Ok(why) } else { Err(why) }
            }
        };
        let why = world.eventually(SOON, "the certificate isn't trusted", said("UnknownIssuer")).await;
        assert!(why.starts_with("no TLS with the broker: ") && why.contains("--mqtt-ca-file"), "{why}");

        std::fs::copy(broker.file("ca.crt"), &ca).expect("a file");
        let why = world.eventually(SOON, "the password isn't right", said("refuses this client")).await;
        assert!(why.contains("--mqtt-password-file"), "{why}");

        std::fs::write(&password, "password\n").expect("a file");
        world.eventually(SOON, "it is connected", || async { commands.is_open() }).await;
    });
}

#[test]
fn a_broker_that_asks_for_a_certificate_says_so_and_takes_a_new_one() {
    scenario_without_operator("mqtt_client_certificate", |world| async move {
        let broker = Broker::start_asking_for_certificates(&world).await;
        let own = |ending: &str| broker.file(&format!("own.{ending}"));
        let bring = |name: &str| {
            for ending in ["crt", "key"] {
                std::fs::copy(broker.file(&format!("{name}.{ending}")), own(ending)).expect("a file");
            }
        };
        let with = |client_id: &str, client| Address {
            tls: Some(tls::Files { ca: Some(broker.file("ca.crt")), client }),
            ..broker.address(client_id, Version::V5)
        };
        let bare = world.start_provider_over_mqtt("bare", with("bare", None)).await;
        let refused = || async {
            let why = bare.is_open().err().unwrap_or_default();
            if why.contains("--mqtt-client-cert-file") { Ok(why) } else { Err(why) }
        };
        let why = world.eventually(SOON, "the provider says what is missing", refused).await;
        assert!(why.starts_with("no TLS with the broker: "), "{why}");

        bring("foe");
        let commands = world.start_provider_over_mqtt("p", with("p", Some((own("crt"), own("key"))))).await;
        let refused = || async {
            let why = commands.is_open().err().unwrap_or_default();
            if why.starts_with("no TLS with the broker: ") { Ok(()) } else { Err(why) }
        };
        world.eventually(SOON, "a certificate of another authority is refused", refused).await;

        bring("friend");
        world.eventually(SOON, "the renewed one is let in", || async { commands.is_open() }).await;
    });
}

#[test]
fn what_is_old_or_kept_or_a_strangers_has_no_effect() {
    scenario_without_operator("mqtt_strangers", |world| async move {
        let broker = Broker::start(&world).await;
        let pods = bases(&world, 1).await;
        let topic = |device: &str, word: &str| format!("koupleless_{}/{device}/base/{word}", world.env());
        let (pod, nobody) = (pods[0].ip, "10.200.253.1".parse().expect("an address"));
        // Kept by the broker from before, fresh by its own word.
        broker.publish(&topic("kept", "heart"), envelope(now() + 60_000, heartbeat("kept", pod)), true).await;
        let commands = world.start_provider_over_mqtt("p", broker.address("p", Version::V4)).await;
        world.eventually(SOON, "it is connected", || async { commands.is_open() }).await;
        for (what, device, payload) in [
            ("an old one", "old", envelope(now() - 11_000, heartbeat("old", pod))),
            ("an address that no pod has", "nobody", envelope(now(), heartbeat("nobody", nobody))),
            ("no address", "lost", envelope(now(), json!({}))),
            ("no JSON", "garbage", "hello".to_owned()),
            ("much too long", "long", "x".repeat(2 << 20)),
        ] {
            broker.publish(&topic(device, "heart"), payload, false).await;
            assert!(world.vnodes().await.is_empty(), "{what}");
        }

        let base = MqttBase::start(&world, &broker, &pods[0], "device-0");
        let nodes = world.until_vnodes(1).await;
        assert_eq!(text(&nodes[0], "/metadata/name"), format!("vnode.device-0.{}", world.env()));
        // Somebody who takes this base for himself, and one who says that it has what it hasn't.
        broker.publish(&topic("thief", "heart"), envelope(now(), heartbeat("thief", pod)), false).await;
        world.base(&pods[0]).fault_once(Command::Query, Fault::Hang);
        let lie = json!([{ "name": "shop", "version": "1.0.0", "state": "ACTIVATED" }]);
        for published in [now() - 11_000, 0] {
            broker.publish(&topic(&base.device, "simpleBiz"), envelope(published, lie.clone()), false).await;
        }
        world.create(Kind::Deployment, vpod("shop").controller(&world)).await;
        world.until_ready_vpods(1).await;
        assert_eq!((world.installs(&pods[0], "shop"), world.vnodes().await.len()), (1, 1));
        // What was said to this base before isn't said again to whoever comes.
        assert_eq!(broker.retained().await, [topic("kept", "heart")]);
    });
}

#[test]
fn two_providers_share_a_base_and_one_speaks() {
    scenario_without_operator("mqtt_two_providers", |world| async move {
        let broker = Broker::start(&world).await;
        let (pod, base) = one_base(&world, &broker, Version::V4).await;
        world.start_provider_over_mqtt("q", broker.address("q", Version::V5)).await;
        world.create(Kind::Deployment, vpod("shop").controller(&world)).await;
        world.until_ready_vpods(1).await;
        world.kill_provider("p").await;
        let vnode = format!("vnode.{}.{}", base.device, world.env());
        let taken = || async {
            let lease = world.lease_of(&vnode).await.unwrap_or_default();
            if text(&lease, "/spec/holderIdentity") == "q" { Ok(()) } else { Err(format!("{}", lease["spec"])) }
        };
        world.eventually(SOON, "the other one takes over", taken).await;
        world.until_ready_vpods(1).await;
        assert_eq!((world.installs(&pod, "shop"), world.uninstalls(&pod, "shop")), (1, 0));

        // The base's container is restarted: it asks for its baseline, and gets its module again.
        drop(base);
        world.base(&pod).empty();
        let _base = MqttBase::start(&world, &broker, &pod, "device-0");
        world.until_serving(std::slice::from_ref(&pod), "shop", "1.0.0", 1).await;
        world.until_ready_vpods(1).await;
    });
}

#[test]
fn a_version_that_the_base_leaves_idle_says_what_to_do() {
    scenario_without_operator("mqtt_no_switch", |world| async move {
        let broker = Broker::start(&world).await;
        let (pod, _base) = one_base(&world, &broker, Version::V4).await;
        world.base(&pod).configure(|config| config.activate_new = false);
        let shop = vpod("shop").rolling(1, 0);
        world.create(Kind::Deployment, shop.controller(&world)).await;
        world.until_ready_vpods(1).await;
        world.release_vpods(&shop.clone().version("2.0.0")).await;
        let told =
            |pods: &[Value]| pods.iter().any(|pod| pod["status"].to_string().contains("-Dactivate.new.module=true"));
        let pods = world.until_vpods("the new pod says why it isn't ready", told).await;
        assert_eq!((pods.len(), world.base(&pod).serving("shop").as_deref()), (2, Some("1.0.0")), "the old one serves");

        // The old pod goes first now: the new version is installed again, and active.
        let strategy = json!({ "spec": { "strategy": { "type": "Recreate", "rollingUpdate": null } } });
        world.patch(Kind::Deployment, "shop", strategy).await;
        world.until_serving(std::slice::from_ref(&pod), "shop", "2.0.0", 1).await;
        world.until_ready_vpods(1).await;
    });
}
