//! A user who changes his mind twenty times, at any moment: whatever he does, his last word comes true.
//!
//! Kubernetes has the test "iterative rollouts should eventually progress". Each walk is drawn from a seed, which its name
//! shows; what was done, and when, is printed where it fails. The guarantees are judged by what the bases served.

mod edits;

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use rig::{
    arklet_sim::Behaviour,
    cluster::{BasePod, Kind, SOON, World, module, scenario, text},
};
use serde_json::json;

use self::edits::{Dice, Edit, Settings, version};

/// How many edits a walk has.
const EDITS: u32 = 20;
/// Longest time between two of them (milliseconds).
const PAUSE: u32 = 1_200;
/// How long what was ordered under former settings may still be under way.
const UNDER_WAY: Duration = Duration::from_secs(6);
/// The module, in a name that the addresses of no other scenario have seen.
const NAME: &str = "walk";

/// A walk under way.
struct Walk {
    world: World,
    /// Every base pod that there was.
    pods: Vec<BasePod>,
    settings: Settings,
    /// Since when how many had to stay available.
    floors: Vec<(Duration, u32)>,
    /// When which base pods were deleted.
    deleted: Vec<(Duration, IpAddr)>,
}

impl Walk {
    async fn begin(world: World) -> Self {
        let pods = world.bases(4).await;
        let settings = Settings::new();
        let replicas = i32::try_from(settings.replicas).expect("few");
        world.deployed(&module(NAME).replicas(replicas).service(80)).await;
        let floors = vec![(world.now(), settings.floor())];
        Self { world, pods, settings, floors, deleted: Vec::new() }
    }

    async fn take(&mut self, edit: Edit) {
        println!("{} {:?} {edit:?}", self.world.namespace(), self.world.now());
        match edit {
            Edit::Spec(spec) => _ = self.world.change(NAME, spec).await,
            Edit::Version(version) => _ = self.world.release(NAME, &version).await,
            Edit::RestartModules => {
                let token = json!({ "koupleless.io/restartedAt": format!("{:?}", self.world.now()) });
                self.world.change(NAME, json!({ "template": { "metadata": { "annotations": token } } })).await;
            }
            Edit::DeleteBase(number) => {
                let pods = self.world.pods("base").await;
                if let Some(pod) = pods.get(number as usize % pods.len().max(1)) {
                    self.deleted.push((self.world.now(), pod.ip));
                    self.world.delete(Kind::Pod, &pod.name).await;
                }
            }
            Edit::RestartOperator => self.world.restart_operator().await,
        }
        self.floors.push((self.world.now(), self.settings.floor()));
    }

    /// Lets time pass and remembers the bases that come.
    async fn pass(&mut self, time: Duration) {
        self.world
            .always(time, "no base has a third version", || async {
                let pods = self.world.pods("base").await;
                let crowded = pods.iter().map(|pod| self.world.base(pod).list()).find(|list| list.len() > 2);
                crowded.map_or(Ok(()), |list| Err(format!("{list:?}")))
            })
            .await;
        for pod in self.world.pods("base").await {
            if !self.pods.contains(&pod) {
                self.pods.push(pod);
            }
        }
    }

    /// The user's last word, and whatever the release still asks of him.
    async fn finish(&mut self) {
        self.take(Edit::Version(version(self.settings.version + 1))).await;
        self.settings.version += 1;
        self.take(Edit::Spec(json!({ "paused": false }))).await;
        let scale = self.settings.scale(2);
        self.take(scale).await;
        let look = || async {
            let now = self.world.deployment(NAME).await;
            let release = &now["status"]["releaseStatus"];
            if now["status"]["observedGeneration"] != now["metadata"]["generation"] {
                return Err("not looked at yet".to_owned());
            }
            match text(release, "/progress") {
                "WaitingForConfirmation" => {
                    // A number that stands there from before counts only after it was another one.
                    let stands = now["spec"]["confirmBatchNum"] == release["currentBatch"];
                    let number = if stands { json!(0) } else { release["currentBatch"].clone() };
                    self.world.change(NAME, json!({ "confirmBatchNum": number })).await;
                    Err("confirmed".to_owned())
                }
                "Completed" if now["status"]["replicas"] == now["spec"]["scaleReplicas"] => Ok(()),
                other => Err(format!("{other}: {:#}", now["status"])),
            }
        };
        self.world.eventually(SOON, "the release is completed", look).await;
    }

    /// All that is there is what was asked for last.
    async fn assert_settled(&self) {
        let (last, replicas) = (version(self.settings.version), self.settings.replicas as usize);
        let pods = self.world.running("base", 4).await;
        self.world.completed(NAME).await;
        self.world.until_serving(&pods, NAME, &last, replicas).await;
        self.world
            .until_modules(NAME, "as many as are wanted, and available", |modules| {
                modules.len() == replicas && modules.iter().all(|module| module["status"]["status"] == "Available")
            })
            .await;
        let serving: Vec<&BasePod> = self.world.serving(&pods, NAME, &last);
        self.world.until_traffic(&serving, NAME).await;
        self.world.no_writes_for(Duration::from_secs(2)).await;
        for pod in &pods {
            let (biz, wanted) = (self.world.base(pod).list(), serving.contains(&pod));
            assert_eq!(biz.len(), usize::from(wanted), "{}: {biz:?}", pod.name);
            assert_eq!(self.world.has_traffic(pod, NAME), wanted, "{}", pod.name);
        }
        for set in self.world.list(Kind::ModuleReplicaSet).await {
            let newest = set["spec"]["template"]["spec"]["module"]["version"] == last.as_str();
            let wanted = if newest { replicas } else { 0 };
            assert_eq!(set["spec"]["replicas"].as_u64(), u64::try_from(wanted).ok(), "{set:#}");
        }
    }

    /// S4: where a base stopped serving and wasn't deleted, enough others served, by the mildest settings of the moment.
    fn assert_guarantee(&self, since: Duration) {
        for stopped in self.world.timeline(&self.pods, NAME).stopped(since) {
            let recent = |at: &Duration| *at <= stopped.at && *at + UNDER_WAY >= stopped.at;
            let lost: BTreeSet<IpAddr> = self.deleted.iter().filter(|(at, _)| recent(at)).map(|(_, ip)| *ip).collect();
            if lost.contains(&stopped.ip) {
                continue;
            }
            // What held before the window holds into it.
            let before = self.floors.iter().rfind(|(at, _)| *at + UNDER_WAY < stopped.at);
            let within = self.floors.iter().filter(|(at, _)| recent(at));
            let floor = before.into_iter().chain(within).map(|(_, floor)| *floor).min().unwrap_or(0);
            assert!(
                stopped.others + lost.len() >= floor as usize,
                "{n} {stopped:?}: {floor} had to serve, {} were lost just then",
                lost.len(),
                n = self.world.namespace()
            );
        }
    }
}

fn walk(seed: u64) {
    scenario(&format!("walk_{seed}"), |world| async move {
        let mut dice = Dice::new(seed);
        for number in 1..=EDITS {
            let behaviour = match dice.below(5) {
                0 => Behaviour::fails("java.lang.Error: not today").slow(dice.millis_below(300)),
                _ => Behaviour::ok().slow(dice.millis_below(600)),
            };
            if number > 1 {
                world.jar(NAME, &version(number), behaviour);
            }
        }
        let mut walk = Walk::begin(world).await;
        let began = walk.world.now();
        for number in 0..EDITS {
            let edit = walk.settings.next(&mut dice, number);
            walk.take(edit).await;
            walk.pass(dice.millis_below(PAUSE)).await;
        }
        walk.world.jar(NAME, &version(walk.settings.version + 1), Behaviour::ok());
        walk.finish().await;
        walk.assert_settled().await;
        walk.pass(Duration::ZERO).await;
        assert!(walk.world.timeline(&walk.pods, NAME).most_versions(began) <= 2, "a third version on one base");
        walk.assert_guarantee(began);
    });
}

#[test]
fn twenty_edits_end_in_the_last_word_101() {
    walk(101);
}

#[test]
fn twenty_edits_end_in_the_last_word_105() {
    walk(105);
}

#[test]
fn twenty_edits_end_in_the_last_word_203() {
    walk(203);
}
