//! `docs/moving-to-v2.md`, as somebody follows it: its commands are read from the page and run, every way back too.
//!
//! The two Deployments of the install are real objects; what would be in their pods is played by this process, with the
//! arguments of the pods and the rights of their accounts ([`play`]).

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use module_controller::runtime::flags::{Flags, Role};
use rig::cluster::{BasePod, Endpoints, Kind, SOON, World, is_ready, is_vpod, module, scenario_without_operator, text};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

const SYSTEM: &str = "module-deployment-system";
const PROVIDER: &str = "vnode-provider";
/// Keeps a pod of the provider until the process that plays it has ended, as a kubelet would.
const RUNS: &str = "moving.test/runs";
const BASES: usize = 2;

/// A step of the page.
#[derive(Default, Debug)]
struct Step {
    title: String,
    on: Vec<Block>,
    back: Vec<Block>,
}

/// A block of commands.
#[derive(Debug)]
enum Block {
    /// To be run.
    Run(String),
    /// Shows something, soon.
    Show(String),
}

/// The steps: `sh` blocks are run, and of `console` blocks the lines after `$`, which show something. Those after the words "Way
/// back" are for that.
fn steps(page: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let (mut fence, mut block, mut back): (Option<&str>, String, bool) = (None, String::new(), false);
    for line in page.lines() {
        match (fence, line.strip_prefix("```")) {
            (None, Some(kind)) => (fence, block) = (Some(kind), String::new()),
            (Some(kind), Some(_)) => {
                fence = None;
                let Some(step) = steps.last_mut() else { continue };
                let into = if back { &mut step.back } else { &mut step.on };
                match kind {
                    "sh" => into.push(Block::Run(std::mem::take(&mut block))),
                    "console" => {
                        let commands = block.lines().filter_map(|line| line.strip_prefix("$ "));
                        into.extend(commands.map(|command| Block::Show(command.to_owned())));
                    }
                    other => panic!("what is a block of {other:?}?"),
                }
            }
            (Some(_), None) => block += &format!("{line}\n"),
            (None, None) => {
                if let Some(title) = line.strip_prefix("## ") {
                    steps.push(Step { title: title.to_owned(), ..Step::default() });
                    back = false;
                }
                back |= line.starts_with("Way back");
            }
        }
    }
    steps
}

/// What is there after a step.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Expected {
    vnodes: usize,
    /// vPods of `hello` that the operator made, those of `till`, and those of the plain Deployment.
    vpods: [usize; 3],
    /// Whether the ModuleDeployment `hello` is there.
    hello: bool,
}

/// After each step, and after its way back.
fn expected() -> Vec<(&'static str, Expected, Option<Expected>)> {
    let at = |vnodes, vpods, hello| Expected { vnodes, vpods, hello };
    let begin = at(0, [0, 0, 0], true);
    let ready = at(BASES, [0, 0, 0], true);
    let one = at(BASES, [BASES, 0, 0], true);
    let all = at(BASES, [BASES, BASES, 0], true);
    vec![
        ("1. Say which base a pod is", begin, None),
        ("2. Install the provider", ready, Some(begin)),
        ("3. Let the operator make pods", ready, Some(ready)),
        ("4. Switch one ModuleDeployment", one, Some(ready)),
        ("5. Switch all", all, Some(one)),
        ("6. A plain Deployment instead of a ModuleDeployment", at(BASES, [0, BASES, BASES], false), Some(all)),
    ]
}

/// Runs a script in the repository, with a kubeconfig; gives what it printed.
async fn bash(kubeconfig: &Path, title: &str, script: &str) -> String {
    let mut bash = tokio::process::Command::new("bash");
    bash.args(["-euo", "pipefail", "-c", script]).current_dir(env!("CARGO_MANIFEST_DIR"));
    bash.env("KUBECONFIG", kubeconfig).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(SOON * 3, bash.output()).await;
    let output = output.unwrap_or_else(|_| panic!("{title}: this never ended:\n{script}")).expect("bash runs");
    let (said, why) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{title}: {}:\n{script}\n{said}{why}", output.status);
    said.into_owned()
}

/// The user, and what is true all the while.
struct Tour {
    world: World,
    kubeconfig: PathBuf,
    bases: Vec<BasePod>,
    endpoints: [Endpoints; 2],
}

impl Tour {
    async fn run(&self, title: &str, script: &str) -> String {
        bash(&self.kubeconfig, title, script).await
    }

    async fn run_all(&self, title: &str, blocks: &[Block]) {
        for block in blocks {
            match block {
                Block::Run(script) => _ = self.run(title, script).await,
                Block::Show(command) => {
                    let look = || async {
                        let shown = self.run(title, command).await;
                        if shown.trim().is_empty() { Err("nothing".to_owned()) } else { Ok(()) }
                    };
                    self.world.eventually(SOON, &format!("{title}: {command} shows something"), look).await;
                }
            }
        }
    }

    /// Waits until it is as expected, and looks at what must be true at any time.
    async fn check(&self, title: &str, expected: Expected) {
        let world = &self.world;
        let look = || async {
            let nodes = world.vnodes().await;
            let pods = world.list(Kind::Pod).await;
            let ready = |label: &str, value: &str| {
                let of = |pod: &&Value| is_vpod(pod) && text(pod, &format!("/metadata/labels/{label}")) == value;
                let all: Vec<&Value> = pods.iter().filter(of).collect();
                if all.iter().all(|pod| is_ready(pod)) { all.len() } else { usize::MAX }
            };
            let of_operator = |name| ready("koupleless.io~1module-deployment", name);
            let found = Expected {
                vnodes: if nodes.iter().all(is_ready) { nodes.len() } else { usize::MAX },
                vpods: [of_operator("hello"), of_operator("till"), ready("app", "hello")],
                hello: world.find(Kind::ModuleDeployment, "hello").await.is_some(),
            };
            assert_eq!(of_operator("stays"), 0, "{title}: it says that it goes on as before");
            if found == expected { Ok(()) } else { Err(format!("{found:?}")) }
        };
        world.eventually(SOON, &format!("{title}: {expected:?}"), look).await;
        for name in ["hello", "till"].into_iter().filter(|name| expected.hello || *name != "hello") {
            world.completed(name).await;
        }
        let now = world.pods("base").await;
        assert_eq!(now, self.bases, "{title}: the bases are the same pods");
        for (base, name) in self.bases.iter().flat_map(|base| ["hello", "till"].map(|name| (base, name))) {
            let asked = (world.installs(base, name), world.uninstalls(base, name));
            assert_eq!(asked, (1, 0), "{title}: {name} on {}", base.name);
        }
        for endpoints in &self.endpoints {
            let counts = endpoints.counts();
            assert!(counts.iter().all(|count| *count == BASES), "{title}: a base left a Service: {counts:?}");
        }
    }
}

/// What runs of the install, by the arguments of its pods.
#[derive(Default)]
struct Played {
    operator: Option<Vec<String>>,
    provider: Option<Vec<String>>,
}

/// Plays what is in the pods of the install, for ever.
async fn play(world: World) {
    let pods: Api<Pod> = Api::namespaced(world.client(), SYSTEM);
    let mut played = Played::default();
    loop {
        let listed = pods.list(&ListParams::default()).await.map(|list| list.items).unwrap_or_default();
        follow_operator(&world, &mut played, &listed).await;
        follow_provider(&world, &mut played, &pods, &listed).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The arguments of the newest pod of a Deployment of the install that isn't ending.
fn arguments(pods: &[Pod], control_plane: &str) -> Option<Vec<String>> {
    let alive = pods.iter().filter(|pod| {
        pod.labels().get("control-plane").is_some_and(|value| value == control_plane)
            && pod.metadata.deletion_timestamp.is_none()
    });
    let newest = alive.max_by_key(|pod| pod.creation_timestamp().map(|time| time.0))?;
    newest.spec.as_ref()?.containers.first()?.args.clone()
}

fn flags(args: &[String]) -> Flags {
    let args = std::iter::once("/manager").chain(args.iter().map(String::as_str)).map(Into::into);
    Flags::parse_args(args).unwrap_or_else(|exit| panic!("{}", exit.message))
}

async fn follow_operator(world: &World, played: &mut Played, pods: &[Pod]) {
    let wanted = arguments(pods, "controller-manager");
    if wanted == played.operator {
        return;
    }
    world.stop_operator().await;
    if let Some(args) = &wanted {
        let user = format!("system:serviceaccount:{SYSTEM}:module-deployment-controller-manager");
        world.start_operator_as(&user, flags(args).default_delivery).await;
    }
    played.operator = wanted;
}

async fn follow_provider(world: &World, played: &mut Played, api: &Api<Pod>, pods: &[Pod]) {
    let wanted = arguments(pods, PROVIDER);
    if wanted == played.provider {
        return;
    }
    if played.provider.is_some() {
        world.stop_provider(PROVIDER).await;
    }
    if let Some(args) = &wanted {
        let flags = flags(args);
        assert_eq!((flags.role, flags.vnode.vnode_env.as_str()), (Role::VNode, world.env()));
        let user = format!("system:serviceaccount:{SYSTEM}:module-vnode-provider");
        world
            .start_provider_as(&user, PROVIDER, |settings| settings.discover = flags.vnode.discover_bases.clone())
            .await;
    }
    hold(api, wanted.is_some()).await;
    played.provider = wanted;
}

/// Keeps the provider's pods, or lets them go.
async fn hold(api: &Api<Pod>, hold: bool) {
    let of_it = ListParams::default().labels(&format!("control-plane={PROVIDER}"));
    for pod in api.list(&of_it).await.expect("its pods").items {
        let finalizers = if hold { json!([RUNS]) } else { Value::Null };
        let patch = Patch::Merge(json!({ "metadata": { "finalizers": finalizers } }));
        // One that is gone needs nothing.
        let _ = api.patch(&pod.name_any(), &PatchParams::default(), &patch).await;
    }
}

/// Ends what plays the install with the scenario, however that ends.
struct Player(JoinHandle<()>);

impl Drop for Player {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A kubeconfig whose namespace is the scenario's.
async fn kubeconfig(world: &World) -> PathBuf {
    let file = world.file("kubeconfig");
    std::fs::write(&file, world.kubectl(&["config", "view", "--raw", "--flatten"]).await).expect("a file");
    let own = format!("kubectl config set-context --current --namespace={}", world.namespace());
    bash(&file, "the namespace", &own).await;
    file
}

/// The cluster that the page begins with: the operator with its role, two bases, two ModuleDeployments.
async fn begin(world: &World) -> (Player, Tour) {
    for path in ["config/namespace", "config/rbac", "config/manager"] {
        world.apply_anywhere(&world.kubectl(&["kustomize", path]).await).await;
    }
    let player = Player(tokio::spawn(play(world.clone())));
    world.kubectl(&["apply", "-f", "config/samples/base-deployment.yaml"]).await;
    let bases = world.running("base", BASES).await;
    world.kubectl(&["apply", "-f", "config/samples/moduledeployment.yaml"]).await;
    world.deploy(&module("till").replicas(2).service(81)).await;
    world.deploy(&module("stays").field("delivery", json!("Arklet"))).await;
    for name in ["hello", "till", "stays"] {
        world.completed(name).await;
    }
    let followed = |service| world.follow_endpoints(service, BASES);
    let endpoints = [followed("hello-service").await, followed("till-service").await];
    let kubeconfig = kubeconfig(world).await;
    (player, Tour { world: world.clone(), kubeconfig, bases, endpoints })
}

#[test]
fn the_page_about_moving_to_v2_keeps_its_promises() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/moving-to-v2.md");
    let steps = steps(&std::fs::read_to_string(page).expect("the page"));
    let expected = expected();
    let titles = |step: &Step| step.title.clone();
    assert_eq!(steps.iter().map(titles).collect::<Vec<_>>(), expected.iter().map(|step| step.0).collect::<Vec<_>>());

    scenario_without_operator("moving_to_v2", |world| async move {
        world.use_env("dev");
        let (player, tour) = begin(&world).await;
        let back: BTreeMap<usize, Expected> =
            expected.iter().enumerate().filter_map(|(index, step)| Some((index, step.2?))).collect();

        for (index, step) in steps.iter().enumerate() {
            let title = &step.title;
            tour.run_all(title, &step.on).await;
            tour.check(title, expected[index].1).await;
            assert_eq!(back.contains_key(&index), !step.back.is_empty(), "{title}: the way back");
            if let Some(back) = back.get(&index) {
                tour.run_all(title, &step.back).await;
                tour.check(&format!("{title}, and back"), *back).await;
                tour.run_all(title, &step.on).await;
                tour.check(&format!("{title}, again"), expected[index].1).await;
            }
        }
        // All the way back. The ModuleDeployment that step 6 gives back says nothing of its delivery, so step 5 is enough for it.
        let back: BTreeMap<usize, Expected> =
            back.iter().map(|(index, state)| (*index, if *index == 4 { back[&3] } else { *state })).collect();
        for (index, step) in steps.iter().enumerate().rev().filter(|(index, _)| back.contains_key(index)) {
            tour.run_all(&step.title, &step.back).await;
            tour.check(&format!("{}, all the way back", step.title), back[&index]).await;
        }

        for name in ["hello", "till", "stays"] {
            world.undeploy(name).await;
        }
        assert!(tour.bases.iter().all(|base| world.base(base).list().is_empty()), "nothing of ours is left");
        drop(player);
        tour.run(
            "the end",
            "kubectl delete --wait=false -k config/rbac; kubectl delete -f config/manager/deployment.yaml",
        )
        .await;
    });
}
