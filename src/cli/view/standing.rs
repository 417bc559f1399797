//! How a ModuleDeployment stands, in a word, with the reasons and what a person can do about it.

use kube::ResourceExt;
use serde::Serialize;

use crate::{
    api::{ConditionStatus, ModuleDeployment, ReleaseStatus, condition::find, keys::annotation, reasons::types},
    cli::output::Tone,
    domain::replicas::{Desired, PEER, Scale, plan_scale},
};

/// What a waiting command makes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Verdict {
    /// The wanted revision is available everywhere.
    Done,
    /// It may still come, by itself or after somebody has done something.
    Underway,
    /// It won't come without a change of the spec.
    Failed,
}

/// A reason why something isn't as wanted, as a condition or a Module says it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Because {
    /// One CamelCase word.
    pub reason: String,
    /// A sentence.
    pub message: String,
}

/// How it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Standing {
    /// One word: `releaseStatus.progress`, or what is more urgent.
    pub word: String,
    /// What a waiting command makes of it.
    pub verdict: Verdict,
    /// Why, most urgent first.
    pub because: Vec<Because>,
    /// What a person can do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl Standing {
    /// Its colour.
    pub fn tone(&self) -> Tone {
        let trouble = self.because.iter().any(|because| TROUBLE.contains(&because.reason.as_str()));
        match self.verdict {
            Verdict::Failed => Tone::Bad,
            Verdict::Underway if trouble => Tone::Bad,
            Verdict::Underway => Tone::Busy,
            Verdict::Done => Tone::Good,
        }
    }
}

/// Reasons of `Progressing` that are trouble although time may heal them.
const TROUBLE: [&str; 2] = ["BaseDeploymentNotFound", "ProgressDeadlineExceeded"];

/// How many instances are wanted, by the spec and, in peer mode, as the operator counted the bases.
pub fn desired(deployment: &ModuleDeployment) -> Desired {
    let spec = &deployment.spec;
    plan_scale(Scale {
        replicas: spec.replicas,
        scale_replicas: spec.scale_replicas,
        baseline: deployment.annotations().get(annotation::SCALE_BASELINE).map(String::as_str),
        peers: spec
            .scale_replicas
            .filter(|_| spec.replicas == Some(PEER))
            .map_or(0, |count| count.max(0).unsigned_abs()),
    })
}

/// The release, where the operator has said anything of it.
pub fn release(deployment: &ModuleDeployment) -> Option<&ReleaseStatus> {
    deployment.status.as_ref()?.release_status.as_ref()
}

/// Whether the status is about the present spec.
pub fn is_observed(deployment: &ModuleDeployment) -> bool {
    let observed = deployment.status.as_ref().and_then(|status| status.observed_generation);
    observed.is_some() && observed == deployment.metadata.generation
}

/// How a deployment stands.
pub fn standing(deployment: &ModuleDeployment) -> Standing {
    let because = because(deployment);
    if deployment.metadata.deletion_timestamp.is_some() {
        return Standing { word: "Terminating".to_owned(), verdict: Verdict::Failed, because, next: None };
    }
    if !is_observed(deployment) {
        let message = "the operator has not looked at the last change yet; if it stays so, see whether it runs";
        let unseen = Because { reason: "NotObserved".to_owned(), message: message.to_owned() };
        return Standing { word: "Unseen".to_owned(), verdict: Verdict::Underway, because: vec![unseen], next: None };
    }
    let progress =
        release(deployment).and_then(|release| release.progress.clone()).unwrap_or_else(|| "Init".to_owned());
    let reason = because.first().map(|because| because.reason.as_str()).unwrap_or_default();
    let name = deployment.name_any();
    let (word, verdict, next) = match (progress.as_str(), reason) {
        (_, "InvalidSpec") => (reason, Verdict::Failed, None),
        (_, "ProgressDeadlineExceeded") => (
            reason,
            Verdict::Failed,
            Some(format!("`kubectl module logs-why {name}` says why; `kubectl module undo {name}` goes back")),
        ),
        ("Aborted", _) => (
            "Aborted",
            Verdict::Failed,
            Some(format!(
                "the revision before runs; `kubectl module set-version` or a corrected template tries again, \
             `kubectl module undo {name}` makes the spec say what runs"
            )),
        ),
        (_, "BaseDeploymentNotFound") => (reason, Verdict::Underway, None),
        (_, "DeploymentPaused") => {
            ("Paused", Verdict::Underway, Some(format!("`kubectl module resume {name}` goes on")))
        }
        ("WaitingForConfirmation", _) => (
            progress.as_str(),
            Verdict::Underway,
            Some(format!("`kubectl module confirm {name}` goes on, `kubectl module abort {name}` goes back")),
        ),
        ("Completed", "Restarting") => (reason, Verdict::Underway, None),
        ("Completed", _) if !is_available(deployment) => {
            ("Degraded", Verdict::Underway, Some(format!("`kubectl module logs-why {name}` says why")))
        }
        ("Completed", _) => (progress.as_str(), Verdict::Done, None),
        _ => (progress.as_str(), Verdict::Underway, None),
    };
    Standing { word: word.to_owned(), verdict, next, because }
}

/// Whether as many instances are available as are wanted.
fn is_available(deployment: &ModuleDeployment) -> bool {
    let available = deployment.status.as_ref().and_then(|status| status.available_replicas).unwrap_or(0);
    i64::from(available) >= i64::from(desired(deployment).count)
}

/// What the conditions say that isn't as it should be.
fn because(deployment: &ModuleDeployment) -> Vec<Because> {
    let conditions = deployment.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    let good = |type_: &str, status: &str, reason: &str| match type_ {
        types::PROGRESSING => reason == "NewReplicaSetAvailable" && status == ConditionStatus::True.as_str(),
        _ => false,
    };
    [types::DELETION_BLOCKED, types::PROGRESSING, types::REPLICA_FAILURE, types::SERVICE_READY]
        .into_iter()
        .filter_map(|type_| find(conditions, type_))
        .filter(|condition| match condition.type_.as_str() {
            types::SERVICE_READY => condition.status == ConditionStatus::False.as_str(),
            types::PROGRESSING => true,
            _ => condition.status == ConditionStatus::True.as_str(),
        })
        .map(|condition| (condition, condition.reason.clone().unwrap_or_default()))
        .filter(|(condition, reason)| !good(&condition.type_, &condition.status, reason))
        .map(|(condition, reason)| Because { reason, message: condition.message.clone().unwrap_or_default() })
        .collect()
}
