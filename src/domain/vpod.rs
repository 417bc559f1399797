//! A Module as a pod: how `delivery: VirtualPod` carries out what a slot is wished.
//!
//! The pod (vPod) is pinned to the virtual node that stands for the Module's base, as a DaemonSet pins its pods, so that the
//! scheduler still checks what fits; whoever plays that node installs and uninstalls. What its status says becomes what a
//! Module is otherwise told by a conversation, so phases, releases, drains and deletions are the same for both ways.
//! The shape is the contract with the Go ModuleController V2, with which a cluster may play its nodes.
//!
//! Must not: decide when a Module comes or goes; that is [`super::module`].

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{
        Affinity, Container, EnvVar, NodeAffinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Pod,
        PodSpec, Toleration,
    },
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};
use kube::ResourceExt;

use super::{
    module::Told,
    slot::{Verdict, WishKind},
    vnode::status::VPodStatus,
};
use crate::api::{
    Module, ModuleInfo, Reason,
    keys::{self, label},
    vkeys::{self, component, older, taint},
};

/// For how long a Module that ran counts as running while its new vPod says nothing yet (milliseconds): whoever plays the
/// node finds what is there already.
const ADOPTED_WITHIN_MS: i64 = 15_000;

/// The virtual node of a base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VNode<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its labels.
    pub labels: &'a BTreeMap<String, String>,
    /// Whether it is Ready, and since when that is so or not (milliseconds).
    pub ready: (bool, i64),
}

/// The vPod as it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seen<'a> {
    /// When it was created (milliseconds).
    pub created: i64,
    /// Whether it was ordered to end.
    pub ending: bool,
    /// What is told of it.
    pub status: &'a VPodStatus,
}

/// All that is looked at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct View<'a> {
    /// The Module's vPod.
    pub pod: Option<Seen<'a>>,
    /// The virtual node of its base.
    pub node: Option<VNode<'a>>,
    /// The base pod's name, for messages.
    pub base: &'a str,
    /// The biz name: the container's.
    pub biz: &'a str,
    /// Whether the Module counts as running.
    pub was_running: bool,
    /// When the Module was created (milliseconds).
    pub created: i64,
    /// Since when virtual nodes are looked for (milliseconds).
    pub watching_since: i64,
    /// Whether another Module of the slot has a vPod that must be gone before this one comes
    /// (`uninstall_then_install`).
    pub blocked: bool,
    /// Whether a newer Module of the slot is active.
    pub superseded: bool,
}

/// What to do about the vPod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Keep,
    /// It is made.
    Create,
    /// It is deleted.
    Delete,
}

/// The next step for a Module that wishes `wish`.
pub fn plan_vpod(view: &View<'_>, wish: WishKind) -> Step {
    match (wish, view.pod) {
        (WishKind::Run, None) if view.node.is_some() && !view.blocked => Step::Create,
        // Evicted, or ended by whoever plays the node: the next one takes its name.
        (WishKind::Run, Some(pod)) if !pod.ending && has_ended(pod.status) => Step::Delete,
        (WishKind::Leave { drained: true }, Some(pod)) if !pod.ending => Step::Delete,
        _ => Step::Keep,
    }
}

fn has_ended(status: &VPodStatus) -> bool {
    matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"))
}

/// What the Module is told, at `now` (milliseconds).
pub fn told(view: &View<'_>, leaving: bool, now: i64) -> Told {
    let since = |at: i64| move |verdict| Told { verdict, since: at, silent_since: None, silence: None };
    let Some(pod) = view.pod else {
        let told = since(view.created);
        let missing = || format!("no virtual node stands for base pod {}", view.base);
        return match view.node {
            _ if leaving => told(Verdict::Released),
            // It was delivered in another way before, and serves; nobody can tell how it is.
            None if view.was_running => {
                Told { silent_since: Some(view.watching_since), silence: Some(missing()), ..told(Verdict::Unknown) }
            }
            None => told(Verdict::Held(Reason::VirtualNodeMissing, missing())),
            Some(_) if view.was_running && !view.blocked => told(Verdict::Unknown),
            Some(_) => told(Verdict::Waiting),
        };
    };
    let ready = pod.status.condition("Ready");
    let changed = ready.and_then(|ready| ready.last_transition_time.as_ref());
    let told = since(changed.map_or(pod.created, |time| time.0.as_millisecond()));
    let unready = view.node.filter(|node| !node.ready.0);
    match unready {
        Some(node) if pod.status.pod_ip.is_some() => {
            let silence = Some(format!("the virtual node {} is not ready", node.name));
            Told { silent_since: Some(node.ready.1), silence, ..told(Verdict::Unknown) }
        }
        _ => told(verdict(view, pod, now)),
    }
}

/// When [`told`] says something else because time passes: nothing else wakes a Module whose new vPod nobody plays.
pub fn tells_more_at(view: &View<'_>, leaving: bool, now: i64) -> Option<i64> {
    let at = view.pod.filter(|_| view.was_running)?.created + ADOPTED_WITHIN_MS;
    (now < at && told(view, leaving, now) != told(view, leaving, at)).then_some(at)
}

fn verdict(view: &View<'_>, pod: Seen<'_>, now: i64) -> Verdict {
    if pod.status.is_ready() && !pod.ending {
        return Verdict::Active;
    }
    if pod.ending || has_ended(pod.status) {
        return Verdict::Waiting;
    }
    if let Some(scheduled) = pod.status.condition("PodScheduled").filter(|scheduled| scheduled.status == "False") {
        let why = scheduled.message.clone().unwrap_or_else(|| "the scheduler says no reason".to_owned());
        return Verdict::Held(Reason::Unschedulable, why);
    }
    let Some(container) = pod.status.container(view.biz) else {
        let adopted = view.was_running && now < pod.created + ADOPTED_WITHIN_MS;
        return if adopted { Verdict::Unknown } else { Verdict::Installing };
    };
    let Some(waiting) = &container.state.waiting else { return Verdict::Installing };
    let reason = waiting.reason.as_deref().unwrap_or_default();
    // The Go V2 gives the agent's own words, in capitals.
    match reason.to_ascii_uppercase().as_str() {
        "DEACTIVATED" if view.superseded => Verdict::Superseded,
        "DEACTIVATED" => Verdict::Inactive,
        "" | "RESOLVED" | "STARTING" | "REPLACING" => Verdict::Installing,
        _ => {
            let message = waiting.message.as_deref().filter(|message| !message.is_empty());
            Verdict::Failed(message.map_or_else(|| format!("the virtual pod says {reason}"), str::to_owned))
        }
    }
}

/// The vPod of a Module on a virtual node. It has the Module's name, which depends on its base and revision alone.
pub fn build(module: &Module, info: &ModuleInfo, url: &str, node: &VNode<'_>) -> Pod {
    Pod {
        metadata: ObjectMeta {
            name: Some(module.name_any()),
            namespace: module.namespace(),
            labels: Some(labels(module)),
            owner_references: Some(vec![OwnerReference {
                api_version: format!("{}/{}", keys::GROUP, keys::VERSION),
                kind: "Module".to_owned(),
                name: module.name_any(),
                uid: module.uid().unwrap_or_default(),
                controller: Some(true),
                block_owner_deletion: None,
            }]),
            ..ObjectMeta::default()
        },
        spec: Some(PodSpec {
            containers: vec![Container {
                name: info.name.clone(),
                image: Some(url.to_owned()),
                env: Some(vec![EnvVar {
                    name: vkeys::BIZ_VERSION_ENV.to_owned(),
                    value: Some(info.version.clone()),
                    value_from: None,
                }]),
                ..Container::default()
            }],
            affinity: Some(pinned_to(node)),
            tolerations: Some(tolerations(node)),
            // Nothing of it is mounted or started: a jar is no image.
            automount_service_account_token: Some(false),
            enable_service_links: Some(false),
            ..PodSpec::default()
        }),
        status: None,
    }
}

/// Only names of ours: with a label of the base Deployment's selector among them it would pass for a base.
fn labels(module: &Module) -> BTreeMap<String, String> {
    let kept = [label::MODULE_NAME, label::MODULE_VERSION, label::MODULE_DEPLOYMENT, label::MODULE_REPLICA_SET];
    let had = module.labels().iter().filter(|(key, _)| kept.contains(&key.as_str()));
    let mut labels: BTreeMap<String, String> = had.map(|(key, value)| (key.clone(), value.clone())).collect();
    for key in [vkeys::label::COMPONENT, older::COMPONENT] {
        labels.insert(key.to_owned(), component::MODULE.to_owned());
    }
    labels
}

/// To this node and no other, and to a base of this name and version, which the contract asks of every vPod.
fn pinned_to(node: &VNode<'_>) -> Affinity {
    let is = |key: &str, value: &str| NodeSelectorRequirement {
        key: key.to_owned(),
        operator: "In".to_owned(),
        values: Some(vec![value.to_owned()]),
    };
    let of_base = [vkeys::label::BASE_NAME, vkeys::label::BASE_VERSION];
    let expressions: Vec<_> = of_base.iter().filter_map(|key| Some(is(key, node.labels.get(*key)?))).collect();
    let term = NodeSelectorTerm {
        match_fields: Some(vec![is("metadata.name", node.name)]),
        match_expressions: Some(expressions).filter(|expressions| !expressions.is_empty()),
    };
    let required = NodeSelector { node_selector_terms: vec![term] };
    let node_affinity = NodeAffinity {
        required_during_scheduling_ignored_during_execution: Some(required),
        preferred_during_scheduling_ignored_during_execution: None,
    };
    Affinity { node_affinity: Some(node_affinity), ..Affinity::default() }
}

fn tolerations(node: &VNode<'_>) -> Vec<Toleration> {
    let of = |key: &str, value: &str| Toleration {
        key: Some(key.to_owned()),
        operator: Some("Equal".to_owned()),
        value: Some(value.to_owned()),
        effect: Some(taint::EFFECT.to_owned()),
        toleration_seconds: None,
    };
    let env = node.labels.get(vkeys::label::ENV).map(|env| of(taint::NODE_ENV, env));
    [Some(of(taint::VIRTUAL_NODE, vkeys::VIRTUAL_NODE_TRUE)), env].into_iter().flatten().collect()
}

#[cfg(test)]
#[path = "vpod_tests.rs"]
mod tests;
