//! What `docs/releases.md` shows: its commands, and its pictures, one release by each field, drawn from what the bases
//! really served.
//!
//! A picture has a line a base and a character each half second: the version that serves, `.` while one is being started,
//! `-` where there is none. `cargo test --test scenarios timelines -- --nocapture` prints them.

use std::time::Duration;

use rig::{
    arklet_sim::Behaviour,
    cluster::{BasePod, ModuleSpec, World, condition, module, scenario},
};
use serde_json::json;

const STEP: Duration = Duration::from_millis(500);
/// How long a module takes to start here.
const START: Duration = Duration::from_secs(1);

/// Begins a story: bases, and version 1 of a module on them.
async fn begin(world: &World, bases: u32, spec: &ModuleSpec, name: &str) -> (Vec<BasePod>, Duration) {
    let pods = world.bases(bases).await;
    world.deployed(spec).await;
    world.jar(name, "2.0.0", Behaviour::ok().slow(START));
    let began = world.now();
    (pods, began)
}

/// Prints the picture and gives how many bases served at the worst moment.
fn draw(world: &World, title: &str, pods: &[BasePod], name: &str, began: Duration) -> usize {
    let timeline = world.timeline(pods, name);
    // A little past the end, so that the last change is in the picture.
    let lanes = timeline.lanes(pods, began, world.now() + 2 * STEP, STEP);
    println!("{title}");
    for (number, lane) in lanes.iter().enumerate() {
        println!("    base {number}  {lane}");
    }
    timeline.least_serving(began)
}

#[test]
fn beside_each_other_in_three_batches_with_gray_time() {
    scenario("timeline_gray", |world| async move {
        let spec = module("gray").replicas(3).strategy("batchCount", json!(3));
        let spec = spec.strategy("grayTimeBetweenBatchSeconds", json!(2));
        let (pods, began) = begin(&world, 3, &spec, "gray").await;
        world.release("gray", "2.0.0").await;
        world.completed("gray").await;
        let title = "install_then_uninstall, batchCount: 3, grayTimeBetweenBatchSeconds: 2";
        assert_eq!(draw(&world, title, &pods, "gray", began), 3);
    });
}

#[test]
fn one_after_the_other_with_drain() {
    scenario("timeline_strict", |world| async move {
        let spec = module("strict").replicas(3).policy("uninstall_then_install").strategy(
            "serviceStrategy",
            json!({ "enableModuleService": true, "port": 80, "targetPort": 8080, "drainSeconds": 1 }),
        );
        let (pods, began) = begin(&world, 3, &spec, "strict").await;
        world.release("strict", "2.0.0").await;
        world.completed("strict").await;
        let title = "uninstall_then_install, maxUnavailable: 1 (default), drainSeconds: 1";
        assert_eq!(draw(&world, title, &pods, "strict", began), 2);
    });
}

#[test]
fn onto_free_bases() {
    scenario("timeline_surge", |world| async move {
        let spec = module("surge").replicas(2).policy("scaleup_then_scaledown");
        let (pods, began) = begin(&world, 4, &spec, "surge").await;
        world.release("surge", "2.0.0").await;
        world.completed("surge").await;
        assert_eq!(draw(&world, "scaleup_then_scaledown, 2 on 4 bases", &pods, "surge", began), 2);
    });
}

#[test]
fn a_beta_batch_waits_for_its_confirmation() {
    scenario("timeline_beta", |world| async move {
        let spec = module("beta").replicas(4).strategy("useBeta", json!(true));
        let (pods, began) = begin(&world, 4, &spec, "beta").await;
        world.release("beta", "2.0.0").await;
        world.progress("beta", "WaitingForConfirmation").await;
        world.always(Duration::from_secs(2), "it waits", || async { Ok(()) }).await;
        world.change("beta", json!({ "confirmBatchNum": 1 })).await;
        world.completed("beta").await;
        let title = "install_then_uninstall, useBeta: true, confirmed after two seconds of thought";
        assert_eq!(draw(&world, title, &pods, "beta", began), 4);
    });
}

#[test]
fn a_failed_release_goes_back() {
    scenario("timeline_back", |world| async move {
        let spec = module("back").replicas(2).policy("uninstall_then_install");
        let spec = spec.field("progressDeadlineSeconds", json!(4)).strategy("autoRollback", json!(true));
        let (pods, began) = begin(&world, 2, &spec, "back").await;
        world.jar("back", "2.0.0", Behaviour::fails("java.lang.Error: no"));
        world.release("back", "2.0.0").await;
        world.progress("back", "Aborted").await;
        world.until_serving(&pods, "back", "1.0.0", 2).await;
        let title = "uninstall_then_install, progressDeadlineSeconds: 4, autoRollback: true, a jar that doesn't start";
        assert_eq!(draw(&world, title, &pods, "back", began), 1);
    });
}

/// The words of a command line in which only single quotes quote.
fn words(line: &str) -> Vec<String> {
    let parts = line.split('\'').enumerate();
    let quoted = |(index, part): (usize, &str)| match index % 2 {
        1 => vec![part.to_owned()],
        _ => part.split_whitespace().map(str::to_owned).collect(),
    };
    parts.flat_map(quoted).collect()
}

#[test]
fn the_commands_of_the_document_do_what_it_says() {
    scenario("the_commands", |world| async move {
        world.bases(2).await;
        let spec = module("hello").replicas(2).strategy("batchCount", json!(2)).strategy("needConfirm", json!(true));
        world.deploy(&spec).await;
        world.progress("hello", "WaitingForConfirmation").await;

        let text = include_str!("../../docs/releases.md");
        let commands: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("kubectl ")).collect();
        let [confirm, restart] = commands[..] else { panic!("commands without a story: {commands:#?}") };

        let run = async |line: &str| {
            let words = words(line);
            world.kubectl(&words.iter().map(String::as_str).collect::<Vec<_>>()).await
        };
        run(confirm).await;
        world.completed("hello").await;
        run(restart).await;
        world.until_condition("hello", "Progressing", "True", "Restarting").await;
        world.until_condition("hello", "Progressing", "True", "NewReplicaSetAvailable").await;
        let now = world.deployment("hello").await;
        assert!(condition(&now, "ReplicaFailure").is_none());
    });
}
