//! What tells of a V1 that runs, without client or clock.
//!
//! Two things do. Its **Lease**, where it was started with `--leader-elect` in this process's namespace: held by another and
//! *renewed while it is looked at* (the times inside are another clock's and decide nothing). And its **pods**, where it
//! runs without an election, as V1 does unless told otherwise: a pod of a workload by V1's ServiceAccount, or by one of its
//! labels together with the name of its image. A pod that stands for election on the Lease that this process holds is kept
//! apart by that.
//!
//! Not used: the field manager of writes. V1's is `manager`, as of every program that is built like it, and a V1 that has
//! nothing to do writes nothing, so that it shows itself only once two act.
//!
//! Must not: take another operator for V1. What was built with the same scaffolding has the same generic names
//! (`controller-manager`), which is why those alone are not enough.

use std::time::Duration;

use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::OwnerReference};
use kube::{ResourceExt, api::ListParams};
use tokio::time::Instant;

use crate::runtime::lease::plan::{Memory, Record};

/// The ServiceAccount of V1's kustomization; no other workload has one of that name, but for this operator, which takes its
/// place.
const ACCOUNT: &str = "module-deployment-controller-manager";
/// The ServiceAccount of V1's samples.
const SAMPLE_ACCOUNT: &str = "controller-manager";
/// Labels of V1's pods: of its kustomization, and of its samples.
const LABELS: [&str; 2] = ["control-plane=controller-manager", "app=module-deployment"];
/// Names of V1's image, without registry, path and tag.
const IMAGES: [&str; 4] =
    ["module-controller", "module_controller", "module-deployment", "module-deployment-controller"];
/// The label that this operator's own manifests put on its pods, and V1's never did.
const OURS: (&str, &str) = ("app.kubernetes.io/name", "module-controller");
/// What a ReplicaSet adds to the labels of its pods.
const HASH: &str = "pod-template-hash";
/// How long a lease counts that says nothing of it; V1's own time.
const LEASE: Duration = Duration::from_secs(15);

/// This process, as far as it knows itself.
#[derive(Clone, Debug, Default)]
pub struct Own {
    /// Namespace and name of its pod, which may be known where the pod can't be read.
    pub named: Option<(String, String)>,
    /// The pod that it runs in.
    pub pod: Option<Pod>,
    /// Where the Lease is by which it was elected, if it stands for election.
    pub elected_in: Option<String>,
}

/// A program that works on the kinds of `koupleless.io`, or on those of V1's former groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// The Go ModuleController V1.
    V1,
    /// This operator, in its own manifests.
    Ours,
}

/// Which of them a pod is made to run; `None`: another program.
pub fn program(pod: &Pod) -> Option<Program> {
    if pod.labels().get(OURS.0).is_some_and(|value| value == OURS.1) {
        return Some(Program::Ours);
    }
    let account = pod.spec.as_ref().and_then(|spec| spec.service_account_name.as_deref());
    let labelled = LABELS.iter().filter_map(|label| label.split_once('='));
    let labelled = labelled.into_iter().any(|(key, value)| pod.labels().get(key).is_some_and(|is| is == value));
    let by_image = images(pod).any(|image| IMAGES.contains(&bare(image)));
    let v1 = match account {
        // Not a pod that somebody made by hand to try what the account may do.
        Some(ACCOUNT) => labelled || by_image || controller(pod).is_some(),
        Some(SAMPLE_ACCOUNT) => by_image,
        _ => labelled && by_image,
    };
    v1.then_some(Program::V1)
}

/// What picks the pods out that may run V1, one list each: by account, and by label.
pub fn queries() -> Vec<ListParams> {
    let by_account =
        [ACCOUNT, SAMPLE_ACCOUNT].map(|name| ListParams::default().fields(&format!("spec.serviceAccountName={name}")));
    let by_label = LABELS.map(|label| ListParams::default().labels(label));
    by_account.into_iter().chain(by_label).collect()
}

/// Whether the pod is a V1 that runs, or is about to, and that nothing else keeps from acting beside this process.
pub fn is_v1(pod: &Pod, own: &Own) -> bool {
    acts(pod) && program(pod) == Some(Program::V1) && !is_ours(pod, own) && !is_kept_apart(pod, own)
}

/// Whether what is in the pod works on and on, now or within moments. A V1 does: the pods of a Job, such as a dry run's, end.
/// What waits for a node or an image may wait for ever.
pub fn acts(pod: &Pod) -> bool {
    let policy = pod.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref());
    if !matches!(policy, None | Some("Always")) {
        return false;
    }
    match pod.status.as_ref().and_then(|status| status.phase.as_deref()) {
        Some("Succeeded" | "Failed") => false,
        None | Some("Pending") => pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some()) && !is_held_up(pod),
        Some(_) => true,
    }
}

/// Whether a container can't be started as things are.
fn is_held_up(pod: &Pod) -> bool {
    let containers = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    let waiting = containers.filter_map(|container| container.state.as_ref()?.waiting.as_ref()?.reason.as_deref());
    waiting.into_iter().any(|reason| !matches!(reason, "ContainerCreating" | "PodInitializing"))
}

/// This process's pod, or one of its image.
fn is_ours(pod: &Pod, own: &Own) -> bool {
    let named = own.named.as_ref().is_some_and(|(namespace, name)| {
        pod.namespace().as_ref() == Some(namespace) && pod.metadata.name.as_ref() == Some(name)
    });
    named || own.pod.as_ref().is_some_and(|own| images(pod).any(|image| images(own).any(|o| o == image)))
}

/// Whether it stands for election on the Lease that this process holds: V1 looks for it in its pod's namespace. So do other
/// versions of this operator in V1's manifests, and two that waited for each other's pods would both wait for ever.
fn is_kept_apart(pod: &Pod, own: &Own) -> bool {
    own.elected_in.is_some() && own.elected_in == pod.namespace() && stands_for_election(pod)
}

/// Whether its arguments have it elected, in its own namespace; the last one counts.
fn stands_for_election(pod: &Pod) -> bool {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let words = containers.flat_map(|container| container.command.iter().chain(&container.args).flatten());
    let mut flags = words.filter_map(|word| word.strip_prefix("--").or_else(|| word.strip_prefix('-')));
    let elected = flags.try_fold(false, |elected, flag| match flag.split_once('=').unwrap_or((flag, "true")) {
        ("leader-elect-namespace", _) => None,
        ("leader-elect", value) => Some(matches!(value, "true" | "True" | "TRUE" | "t" | "T" | "1")),
        _ => Some(elected),
    });
    elected == Some(true)
}

fn images(pod: &Pod) -> impl Iterator<Item = &str> {
    pod.spec.iter().flat_map(|spec| &spec.containers).filter_map(|container| container.image.as_deref())
}

/// `registry.example.com:5000/a/module-controller:1.0.0@sha256:...` is called `module-controller`.
fn bare(image: &str) -> &str {
    let image = image.split('@').next().unwrap_or(image);
    let last = image.rsplit('/').next().unwrap_or(image);
    last.split(':').next().unwrap_or(last)
}

/// Whether both are pods of one workload: then the one goes once the other is ready, as in a rolling update from V1's
/// manifests to this operator's, whose labels differ.
pub fn is_beside(pod: &Pod, own: &Own) -> bool {
    own.pod.as_ref().and_then(workload).is_some_and(|own| workload(pod) == Some(own))
}

/// Namespace and name of what has the pod: of its Deployment, where a ReplicaSet stands between.
fn workload(pod: &Pod) -> Option<(String, String)> {
    let owner = controller(pod)?.name.as_str();
    let hash = pod.labels().get(HASH).map(|hash| format!("-{hash}"));
    let name = hash.and_then(|hash| owner.strip_suffix(hash.as_str())).unwrap_or(owner);
    Some((pod.namespace()?, name.to_owned()))
}

fn controller(pod: &Pod) -> Option<&OwnerReference> {
    pod.owner_references().iter().find(|owner| owner.controller == Some(true))
}

/// What the Lease says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// Nobody holds it, or who did has stopped renewing it.
    No,
    /// Somebody holds it, and it isn't known yet whether they live.
    Perhaps,
    /// Somebody renews it.
    By(String),
}

/// What was seen of the Lease so far.
#[derive(Debug, Default)]
pub struct LeaseSight {
    memory: Memory,
    /// Whether it changed while it was looked at.
    renewed: bool,
}

impl LeaseSight {
    /// Takes note of a look at the Lease, and judges it.
    pub fn note(&mut self, record: Option<&Record>, now: Instant) -> Held {
        let before = self.memory.seen.as_ref().map(|(record, _)| record.clone());
        self.memory.note(record, now);
        let Some((record, since)) = self.memory.seen.as_ref().filter(|(record, _)| !record.holder.is_empty()) else {
            self.renewed = false;
            return Held::No;
        };
        self.renewed |= before.is_some_and(|before| before != *record);
        if now.saturating_duration_since(*since) > record.duration.unwrap_or(LEASE) {
            self.renewed = false;
            Held::No
        } else if self.renewed {
            Held::By(record.holder.clone())
        } else {
            Held::Perhaps
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(name: &str, account: &str, labels: &Value, image: &str) -> Pod {
        serde_json::from_value(json!({
            "metadata": { "name": name, "namespace": "n", "uid": name, "labels": labels },
            "spec": { "serviceAccountName": account, "containers": [{ "name": "c", "image": image }] },
            "status": { "phase": "Running" },
        }))
        .expect("a pod")
    }

    #[test]
    fn who_is_a_v1() {
        let kubebuilder = json!({ "control-plane": "controller-manager" });
        let sample = json!({ "app": "module-deployment" });
        let ours = json!({ "control-plane": "controller-manager", "app.kubernetes.io/name": "module-controller" });
        let v1_image = "registry.example.com:5000/test/module-controller:1.0.0";
        for (what, pod, v1) in [
            ("kustomization", pod("a", ACCOUNT, &kubebuilder, "controller:latest"), true),
            ("sample", pod("a", SAMPLE_ACCOUNT, &sample, "r.example.com/module-deployment:v0.1"), true),
            ("own account", pod("a", "deployer", &kubebuilder, v1_image), true),
            ("digest", pod("a", SAMPLE_ACCOUNT, &json!({}), "a/module-controller@sha256:0"), true),
            ("another operator", pod("a", SAMPLE_ACCOUNT, &kubebuilder, "cert-manager:1"), false),
            ("its image for something else", pod("a", "virtual-kubelet", &json!({}), v1_image), false),
            ("ours", pod("a", ACCOUNT, &ours, "mc:2"), false),
        ] {
            assert_eq!(is_v1(&pod, &Own::default()), v1, "{what}");
        }
        let mut ended = pod("a", ACCOUNT, &kubebuilder, v1_image);
        ended.status.as_mut().expect("a status").phase = Some("Succeeded".to_owned());
        assert!(!is_v1(&ended, &Own::default()));
    }

    fn of(mut pod: Pod, deployment: &str, hash: &str) -> Pod {
        let owner = json!({ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": format!("{deployment}-{hash}"),
            "uid": "r", "controller": true });
        pod.metadata.owner_references = Some(vec![serde_json::from_value(owner).expect("an owner")]);
        pod.metadata.labels.get_or_insert_default().insert(HASH.to_owned(), hash.to_owned());
        pod
    }

    fn within(pod: Pod) -> Own {
        Own { pod: Some(pod), ..Own::default() }
    }

    #[test]
    fn this_operators_manifests_are_told_from_v1s() {
        let v1 = json!({ "control-plane": "controller-manager" });
        let ours = json!({ "control-plane": "controller-manager", "app.kubernetes.io/name": "module-controller" });
        for (labels, image, is) in [
            (&v1, "module-controller:1", Some(Program::V1)),
            (&ours, "module-controller:2", Some(Program::Ours)),
            (&json!({}), "module-controller:2", None),
        ] {
            assert_eq!(program(&pod("a", "default", labels, image)), is, "{labels} {image}");
        }
    }

    #[test]
    fn own_pods_are_told_by_their_image_where_v1s_manifests_are_still_in_use() {
        let labels = json!({ "control-plane": "controller-manager" });
        let own = within(of(pod("own", ACCOUNT, &labels, "mc:2"), "manager", "new"));
        assert!(!is_v1(own.pod.as_ref().expect("a pod"), &own));
        assert!(!is_v1(&pod("sister", ACCOUNT, &labels, "mc:2"), &own));
        let old = of(pod("old", ACCOUNT, &labels, "v1:1"), "manager", "old");
        assert!(is_v1(&old, &own));
        assert!(is_beside(&old, &own), "a rolling update takes it away");
        assert!(!is_beside(&old, &Own::default()));
        assert!(!is_beside(&of(pod("x", ACCOUNT, &labels, "v1:1"), "other", "old"), &own));
        assert!(!is_beside(&pod("x", ACCOUNT, &labels, "v1:1"), &own));
    }

    /// Else the new pod would wait unready for the old one, which goes only once the new one is ready.
    #[test]
    fn a_rolling_update_from_v1s_manifests_to_ours_goes_on() {
        let v1 = json!({ "control-plane": "controller-manager" });
        let ours = json!({ "control-plane": "controller-manager", "app.kubernetes.io/name": "module-controller" });
        let own = within(of(pod("own", ACCOUNT, &ours, "module-controller:2"), ACCOUNT, "7d9f"));
        let old = of(pod("old", ACCOUNT, &v1, "module-controller:1.0.0"), ACCOUNT, "5c6b");
        assert!(is_v1(&old, &own));
        assert!(is_beside(&old, &own));
    }

    #[test]
    fn own_pod_is_known_by_its_name_where_it_could_not_be_read() {
        let labels = json!({ "control-plane": "controller-manager" });
        let own = Own { named: Some(("n".to_owned(), "own".to_owned())), ..Own::default() };
        assert!(!is_v1(&pod("own", ACCOUNT, &labels, "mc:2"), &own));
        assert!(is_v1(&pod("old", ACCOUNT, &labels, "mc:2"), &own));
    }

    #[test]
    fn what_cannot_act_is_no_v1() {
        let labels = json!({ "control-plane": "controller-manager" });
        let v1 = || pod("a", ACCOUNT, &labels, "module-controller:1.0.0");
        let is = |pod: &Pod| is_v1(pod, &Own::default());
        assert!(is(&v1()));

        let mut job = v1();
        job.spec.as_mut().expect("a spec").restart_policy = Some("Never".to_owned());
        assert!(!is(&job), "such as a dry run of the next version");
        let by_hand = pod("a", ACCOUNT, &json!({ "run": "try" }), "curl:8");
        assert!(!is(&by_hand), "whoever tries what the account may do");
        assert!(is(&of(by_hand, "renamed", "5c6b")), "a workload by other labels, of another image");

        let pending = |node: Option<&str>, waiting: Option<&str>| {
            let mut pod = v1();
            pod.spec.as_mut().expect("a spec").node_name = node.map(str::to_owned);
            let state = waiting.map(|reason| {
                json!({ "name": "c", "image": "c", "imageID": "", "ready": false,
                "restartCount": 0, "state": { "waiting": { "reason": reason } } })
            });
            let status = json!({ "phase": "Pending", "containerStatuses": Vec::from_iter(state) });
            pod.status = Some(serde_json::from_value(status).expect("a status"));
            is(&pod)
        };
        assert!(!pending(None, None), "no node has room for it");
        assert!(pending(Some("n"), None));
        assert!(pending(Some("n"), Some("ContainerCreating")));
        assert!(!pending(Some("n"), Some("ImagePullBackOff")), "a misspelt image never runs");
    }

    #[test]
    fn who_stands_for_the_same_lease_is_kept_apart_by_it() {
        let labels = json!({ "control-plane": "controller-manager" });
        let elected = Own { elected_in: Some("n".to_owned()), ..Own::default() };
        for (args, apart) in [
            (&["--leader-elect"][..], true),
            (&["-leader-elect=true", "--zap-devel"], true),
            (&["--leader-elect=false"], false),
            (&["--leader-elect", "--leader-elect=false"], false),
            (&["--leader-elect", "--leader-elect-namespace=elsewhere"], false),
            (&["--leader-elect-namespace=elsewhere", "--leader-elect"], false),
            (&["--leader-elected"], false),
            (&[], false),
        ] {
            let mut other = pod("other", ACCOUNT, &labels, "module-controller:1.0.0");
            let args: Vec<String> = args.iter().map(ToString::to_string).collect();
            other.spec.as_mut().expect("a spec").containers[0].args = Some(args.clone());
            assert_eq!(is_v1(&other, &elected), !apart, "{args:?}");
            assert!(is_v1(&other, &Own::default()), "{args:?}: this one asks for no Lease");
            other.metadata.namespace = Some("elsewhere".to_owned());
            assert!(is_v1(&other, &elected), "{args:?}: another Lease");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_is_held_while_it_is_renewed_before_our_eyes() {
        let record = |holder: &str, renewed: i64| Record {
            holder: holder.to_owned(),
            duration: Some(Duration::from_secs(15)),
            acquired: None,
            renewed: jiff::Timestamp::from_second(renewed).ok(),
            transitions: 0,
        };
        let (mut sight, began) = (LeaseSight::default(), Instant::now());
        let at = |seconds| began + Duration::from_secs(seconds);
        assert_eq!(sight.note(None, at(0)), Held::No);
        assert_eq!(sight.note(Some(&record("v1", 0)), at(0)), Held::Perhaps, "it may be years old");
        assert_eq!(sight.note(Some(&record("v1", 0)), at(15)), Held::Perhaps);
        assert_eq!(sight.note(Some(&record("v1", 0)), at(16)), Held::No, "whatever its own times say");
        assert_eq!(sight.note(Some(&record("v1", 2)), at(17)), Held::By("v1".to_owned()));
        assert_eq!(sight.note(Some(&record("v1", 2)), at(30)), Held::By("v1".to_owned()));
        assert_eq!(sight.note(Some(&record("v1", 2)), at(33)), Held::No);
        assert_eq!(sight.note(Some(&record("v1", 2)), at(34)), Held::No, "dead until it is renewed again");
        assert_eq!(sight.note(Some(&record("", 2)), at(35)), Held::No);
    }
}
