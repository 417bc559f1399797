//! What tells of a V1 that runs, without client or clock.
//!
//! Two things do. Its **Lease**, where it was started with `--leader-elect` in this process's namespace: held by another and
//! *renewed while it is looked at* (the times inside are another clock's and decide nothing). And its **pods**, where it
//! runs without an election, as V1 does unless told otherwise: a pod by V1's ServiceAccount, or by one of its labels
//! together with the name of its image.
//!
//! Not used: the field manager of writes. V1's is `manager`, as of every program that is built like it, and a V1 that has
//! nothing to do writes nothing, so that it shows itself only once two act.
//!
//! Must not: take another operator for V1. What was built with the same scaffolding has the same generic names
//! (`controller-manager`), which is why those alone are not enough.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use tokio::time::Instant;

use crate::runtime::lease::plan::{Memory, Record};

/// The ServiceAccount of V1's kustomization; nothing else is called so, but for this operator, which takes its place.
pub const ACCOUNT: &str = "module-deployment-controller-manager";
/// The ServiceAccount of V1's samples.
pub const SAMPLE_ACCOUNT: &str = "controller-manager";
/// Labels of V1's pods: of its kustomization, and of its samples.
pub const LABELS: [&str; 2] = ["control-plane=controller-manager", "app=module-deployment"];
/// Names of V1's image, without registry, path and tag.
pub const IMAGES: [&str; 4] =
    ["module-controller", "module_controller", "module-deployment", "module-deployment-controller"];
/// The label that this operator's own manifests put on its pods, and V1's never did.
const OURS: (&str, &str) = ("app.kubernetes.io/name", "module-controller");
/// What a ReplicaSet adds to the labels of its pods.
const HASH: &str = "pod-template-hash";
/// How long a lease counts that says nothing of it; V1's own time.
const LEASE: Duration = Duration::from_secs(15);

/// Whether the pod is a V1 that runs, or is about to. `own` is the pod of this process, where it runs in one.
pub fn is_v1(pod: &Pod, own: Option<&Pod>) -> bool {
    let ended = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    if matches!(ended, Some("Succeeded" | "Failed")) || is_ours(pod, own) {
        return false;
    }
    let account = pod.spec.as_ref().and_then(|spec| spec.service_account_name.as_deref());
    let labelled = LABELS.iter().filter_map(|label| label.split_once('='));
    let labelled = labelled.into_iter().any(|(key, value)| pod.labels().get(key).is_some_and(|is| is == value));
    let by_image = || images(pod).any(|image| IMAGES.contains(&bare(image)));
    account == Some(ACCOUNT) || ((account == Some(SAMPLE_ACCOUNT) || labelled) && by_image())
}

/// This process's pod, one of its manifests, or one of its image.
fn is_ours(pod: &Pod, own: Option<&Pod>) -> bool {
    let marked = pod.labels().get(OURS.0).is_some_and(|value| value == OURS.1);
    marked || own.is_some_and(|own| pod.uid() == own.uid() || images(pod).any(|image| images(own).any(|o| o == image)))
}

fn images(pod: &Pod) -> impl Iterator<Item = &str> {
    pod.spec.iter().flat_map(|spec| &spec.containers).filter_map(|container| container.image.as_deref())
}

/// `registry.example.com:5000/a/module-controller:1.0.0@sha256:...` is called `module-controller`.
pub fn bare(image: &str) -> &str {
    let image = image.split('@').next().unwrap_or(image);
    let last = image.rsplit('/').next().unwrap_or(image);
    last.split(':').next().unwrap_or(last)
}

/// Whether both are pods of one workload, told by namespace and labels: then the one goes once the other is ready, as in a
/// rolling update that swaps the image.
pub fn is_beside(pod: &Pod, own: Option<&Pod>) -> bool {
    let same = |own: &Pod| {
        let labels = |pod: &Pod| {
            let mut labels = pod.labels().clone();
            labels.remove(HASH);
            labels
        };
        !labels(pod).is_empty() && labels(pod) == labels(own) && pod.namespace() == own.namespace()
    };
    own.is_some_and(same)
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
            assert_eq!(is_v1(&pod, None), v1, "{what}");
        }
        let mut ended = pod("a", ACCOUNT, &kubebuilder, v1_image);
        ended.status.as_mut().expect("a status").phase = Some("Succeeded".to_owned());
        assert!(!is_v1(&ended, None));
    }

    #[test]
    fn own_pods_are_told_by_their_image_where_v1s_manifests_are_still_in_use() {
        let labels = json!({ "control-plane": "controller-manager", "pod-template-hash": "new" });
        let own = pod("own", ACCOUNT, &labels, "mc:2");
        assert!(!is_v1(&own, Some(&own)));
        assert!(!is_v1(&pod("sister", ACCOUNT, &labels, "mc:2"), Some(&own)));
        let old =
            pod("old", ACCOUNT, &json!({ "control-plane": "controller-manager", "pod-template-hash": "old" }), "v1:1");
        assert!(is_v1(&old, Some(&own)));
        assert!(is_beside(&old, Some(&own)), "a rolling update takes it away");
        assert!(!is_beside(&old, None));
        assert!(!is_beside(&pod("x", ACCOUNT, &json!({ "app": "module-deployment" }), "v1:1"), Some(&own)));
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
