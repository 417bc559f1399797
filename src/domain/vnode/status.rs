//! What the status of a vPod says.
//!
//! A container stands for a module: it runs and is ready while the module is active in the base, it waits, with a reason,
//! while the module is there and not active, and it has ended when the module was uninstalled. The words are the contract's;
//! what it leaves open says why a module isn't there, as a kubelet says why an image isn't.
//!
//! Must not: decide which command the base gets; that is [`crate::domain::slot`].

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::{
    api::{Reason, reasons::types},
    domain::slot::{BizState, Verdict},
};

/// The part of a pod's status that is read and written.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VPodStatus {
    /// `Pending`, `Running`, `Succeeded`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// Of all writers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<PodCondition>,
    /// The base's address.
    #[serde(rename = "podIP", skip_serializing_if = "Option::is_none")]
    pub pod_ip: Option<String>,
    /// When the vPod was first seen here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// One for each module that the base has, or that can't be brought there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub container_statuses: Vec<ContainerStatus>,
}

/// A condition of a pod.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodCondition {
    /// Which.
    #[serde(rename = "type")]
    pub type_: String,
    /// `True` or `False`.
    pub status: String,
    /// One CamelCase word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// A sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When its status last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<Time>,
}

/// The status of a container.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerStatus {
    /// The biz name.
    pub name: String,
    /// Where the module that is there was fetched from.
    pub image: String,
    /// The same.
    #[serde(rename = "imageID")]
    pub image_id: String,
    /// The biz name, once it ran.
    #[serde(rename = "containerID", skip_serializing_if = "Option::is_none")]
    pub container_id: Option<String>,
    /// Whether the module is active.
    pub ready: bool,
    /// Whether it has started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started: Option<bool>,
    /// How often the module was replaced in place.
    pub restart_count: i32,
    /// What it does.
    pub state: ContainerState,
}

/// What a container does: one of the three.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerState {
    /// Active.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running: Option<Running>,
    /// Not active.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
    /// Uninstalled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub terminated: Option<Terminated>,
}

/// A container that runs.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Running {
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
}

/// A container that waits.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Waiting {
    /// One CamelCase word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// A sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// A container that has ended.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Terminated {
    /// 1, whatever the reason: the contract's.
    pub exit_code: i32,
    /// One CamelCase word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
}

impl VPodStatus {
    /// A condition.
    pub fn condition(&self, type_: &str) -> Option<&PodCondition> {
        self.conditions.iter().find(|condition| condition.type_ == type_)
    }

    /// Whether it says Ready.
    pub fn is_ready(&self) -> bool {
        self.condition(types::READY).is_some_and(|condition| condition.status == "True")
    }

    /// The status of a container.
    pub fn container(&self, name: &str) -> Option<&ContainerStatus> {
        self.container_statuses.iter().find(|container| container.name == name)
    }
}

/// How a module stands in its base.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModuleState {
    /// Nobody knows; what was said last holds.
    Unknown,
    /// It isn't there, and its turn will come.
    Absent,
    /// `RESOLVED`.
    Starting,
    /// `ACTIVATED`.
    Active,
    /// `DEACTIVATED`, `BROKEN`, or not there and kept from coming: why, as a word and a sentence.
    Waiting {
        /// Whether the base has it.
        present: bool,
        /// The word.
        reason: Reason,
        /// A sentence.
        message: String,
    },
    /// `STOPPED`: it was uninstalled for good.
    Stopped,
}

impl ModuleState {
    /// How a module stands, from what its conversation says: `biz` is the confirmed state, the outer `None` unknown.
    pub fn of(verdict: &Verdict, biz: Option<Option<BizState>>) -> Self {
        let Some(biz) = biz else { return Self::Unknown };
        let waiting = |reason, message: String| Self::Waiting { present: biz.is_some(), reason, message };
        match (verdict, biz) {
            (Verdict::Unknown, _) => Self::Unknown,
            (Verdict::Released, None) => Self::Stopped,
            (Verdict::Contested(namespace), _) => waiting(
                Reason::Conflict,
                format!("a pod of namespace {namespace} has this module on this base already"),
            ),
            (_, Some(BizState::Active)) => Self::Active,
            (Verdict::Foreign(version), _) => waiting(
                Reason::ForeignModule,
                format!("the base runs version {version} of this module, which no pod declares; it is left alone"),
            ),
            (Verdict::Superseded, _) => {
                waiting(Reason::Deactivated, "a newer version is active on this base".to_owned())
            }
            (Verdict::Failed(error), None) => waiting(Reason::InstallFailed, error.clone()),
            (Verdict::Failed(error), Some(_)) => waiting(Reason::Broken, error.clone()),
            (_, Some(BizState::Inactive)) => waiting(Reason::Inactive, "it is about to be switched to".to_owned()),
            (_, Some(BizState::Broken)) => waiting(Reason::Broken, "the module is BROKEN in the base".to_owned()),
            (_, Some(BizState::Starting)) => Self::Starting,
            (_, None) => Self::Absent,
        }
    }

    /// Whether somebody should hear of it at once: it doesn't pass by itself.
    pub fn is_trouble(&self) -> bool {
        matches!(self, Self::Waiting { reason, .. } if !matches!(reason, Reason::Deactivated | Reason::Inactive | Reason::Replacing))
    }

    fn is_present(&self) -> bool {
        match self {
            Self::Starting | Self::Active => true,
            Self::Waiting { present, .. } => *present,
            Self::Unknown | Self::Absent | Self::Stopped => false,
        }
    }
}

/// A module of a vPod, and how it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing<'a> {
    /// The container's name.
    pub name: &'a str,
    /// The container's image.
    pub image: &'a str,
    /// How it stands.
    pub state: ModuleState,
}

/// Where and when a vPod is.
#[derive(Clone, Debug)]
pub struct Place<'a> {
    /// The base's address.
    pub ip: &'a str,
    /// Why nothing is ready whatever was said last: the base doesn't answer.
    pub unreachable: bool,
    /// Readiness gates of the pod.
    pub gates: &'a [String],
    /// Now, as objects tell it.
    pub wall: Time,
}

/// The status of a vPod with these modules. What nobody knows stays as it was said.
pub fn wanted(had: &VPodStatus, modules: &[Standing<'_>], place: &Place<'_>) -> VPodStatus {
    let mut containers: Vec<ContainerStatus> =
        modules.iter().filter_map(|module| container(had.container(module.name), module, &place.wall)).collect();
    if place.unreachable {
        containers.iter_mut().for_each(|container| container.ready = false);
    }
    let unknown = modules.iter().any(|module| module.state == ModuleState::Unknown);
    let ended = modules.iter().all(|module| module.state == ModuleState::Stopped);
    let present = modules.iter().any(|module| module.state.is_present());
    let ready = !modules.is_empty() && modules.iter().all(|module| containers_ready(&containers, module.name));
    let phase = match had.phase.as_deref() {
        Some(phase) if unknown && !ended => phase,
        _ if ended => "Succeeded",
        _ if present => "Running",
        _ => "Pending",
    };
    let (reason, message) = because(ended, place.unreachable, &containers, modules);
    let mut status = VPodStatus {
        phase: Some(phase.to_owned()),
        conditions: had.conditions.clone(),
        pod_ip: Some(place.ip.to_owned()),
        start_time: had.start_time.clone().or_else(|| Some(place.wall.clone())),
        container_statuses: containers,
    };
    set_condition(&mut status, types::CONTAINERS_READY, ready, reason, &message, &place.wall);
    let open = place.gates.iter().find(|gate| had.condition(gate).is_none_or(|gate| gate.status != "True"));
    match open {
        Some(gate) if ready => {
            let message = format!("the readiness gate {gate} isn't True");
            set_condition(&mut status, types::READY, false, Reason::ReadinessGatesNotReady, &message, &place.wall);
        }
        _ => set_condition(&mut status, types::READY, ready, reason, &message, &place.wall),
    }
    status
}

fn containers_ready(containers: &[ContainerStatus], name: &str) -> bool {
    containers.iter().any(|container| container.name == name && container.ready)
}

/// Why not all containers are ready.
fn because(
    ended: bool,
    unreachable: bool,
    containers: &[ContainerStatus],
    modules: &[Standing<'_>],
) -> (Reason, String) {
    let names: Vec<&str> =
        modules.iter().map(|module| module.name).filter(|name| !containers_ready(containers, name)).collect();
    if ended {
        (Reason::PodCompleted, String::new())
    } else if unreachable {
        (Reason::BaseUnreachable, "the base's agent doesn't answer".to_owned())
    } else {
        (Reason::ContainersNotReady, format!("modules that aren't active: {}", names.join(", ")))
    }
}

fn set_condition(status: &mut VPodStatus, type_: &str, on: bool, reason: Reason, message: &str, wall: &Time) {
    let word = if on { "True" } else { "False" };
    let text = |text: &str| (!on && !text.is_empty()).then(|| text.to_owned());
    let before = status.condition(type_).filter(|known| known.status == word);
    let since = before.and_then(|known| known.last_transition_time.clone()).unwrap_or_else(|| wall.clone());
    let condition = PodCondition {
        type_: type_.to_owned(),
        status: word.to_owned(),
        reason: text(reason.as_str()),
        message: text(message),
        last_transition_time: Some(since),
    };
    match status.conditions.iter_mut().find(|known| known.type_ == type_) {
        Some(known) => *known = condition,
        None => status.conditions.push(condition),
    }
}

/// The status of one container; `None` where nothing is there to tell of.
fn container(had: Option<&ContainerStatus>, module: &Standing<'_>, wall: &Time) -> Option<ContainerStatus> {
    let waiting = |reason: Reason, message: &str| ContainerState {
        waiting: Some(Waiting { reason: Some(reason.to_string()), message: Some(message.to_owned()) }),
        ..ContainerState::default()
    };
    let state = match &module.state {
        ModuleState::Unknown => return had.cloned(),
        ModuleState::Absent => return None,
        ModuleState::Starting => waiting(Reason::Resolved, "the module is starting"),
        ModuleState::Waiting { reason, message, .. } => waiting(*reason, message),
        ModuleState::Active => {
            let known = had.and_then(|had| had.state.running.clone());
            let running = known.unwrap_or_else(|| Running { started_at: Some(wall.clone()) });
            ContainerState { running: Some(running), ..ContainerState::default() }
        }
        ModuleState::Stopped => {
            let known = had.and_then(|had| had.state.terminated.clone());
            let ended =
                Terminated { exit_code: 1, reason: Some(Reason::Stopped.to_string()), finished_at: Some(wall.clone()) };
            ContainerState { terminated: Some(known.unwrap_or(ended)), ..ContainerState::default() }
        }
    };
    let active = module.state == ModuleState::Active;
    let ran = active || had.is_some_and(|had| had.container_id.is_some());
    // What is there was fetched from where it says; another address comes with another install.
    let image = had.filter(|had| !had.image_id.is_empty()).map_or(module.image, |had| &had.image);
    let there = module.state.is_present();
    Some(ContainerStatus {
        name: module.name.to_owned(),
        image: image.to_owned(),
        image_id: if there { image.to_owned() } else { String::new() },
        container_id: ran.then(|| module.name.to_owned()),
        ready: active,
        started: Some(active),
        restart_count: had.map_or(0, |had| had.restart_count),
        state,
    })
}

/// The status of a vPod whose container `name` was uninstalled to be fetched from another address.
#[must_use]
pub fn replaced(had: &VPodStatus, name: &str, image: &str) -> VPodStatus {
    let mut status = had.clone();
    for container in status.container_statuses.iter_mut().filter(|container| container.name == name) {
        *container = ContainerStatus {
            image: image.to_owned(),
            image_id: String::new(),
            ready: false,
            started: Some(false),
            restart_count: container.restart_count.saturating_add(1),
            state: ContainerState {
                waiting: Some(Waiting {
                    reason: Some(Reason::Replacing.to_string()),
                    message: Some("the module is fetched from another address".to_owned()),
                }),
                ..ContainerState::default()
            },
            ..container.clone()
        };
    }
    status
}

/// The strategic merge patch from one status to another; `None` where they are the same. Conditions of others aren't in it.
pub fn patch(uid: &str, had: &VPodStatus, wanted: &VPodStatus) -> Option<Value> {
    if had == wanted {
        return None;
    }
    let changed: Vec<Value> = wanted
        .conditions
        .iter()
        .filter(|condition| had.condition(&condition.type_) != Some(condition))
        // What isn't said any more has to be taken away.
        .map(|one| {
            json!({
                "type": one.type_, "status": one.status, "reason": one.reason, "message": one.message,
                "lastTransitionTime": one.last_transition_time,
            })
        })
        .collect();
    let mut status = json!({
        "phase": wanted.phase, "startTime": wanted.start_time, "containerStatuses": wanted.container_statuses,
    });
    if !changed.is_empty() {
        status["conditions"] = json!(changed);
    }
    if had.pod_ip != wanted.pod_ip {
        status["podIP"] = json!(wanted.pod_ip);
        // Merged by address otherwise, and then the first wouldn't be the new one.
        status["podIPs"] = json!([{ "$patch": "replace" }, { "ip": wanted.pod_ip }]);
    }
    Some(json!({ "metadata": { "uid": uid }, "status": status }))
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
