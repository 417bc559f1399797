//! How a ModuleDeployment stands, in a word, with the reasons and what a person can do about it.

use kube::ResourceExt;
use serde::Serialize;

use crate::{
    api::{
        Condition, ConditionStatus, ModuleDeployment, ReleaseStatus,
        condition::find,
        keys::annotation,
        reasons::{Reason, types},
    },
    cli::output::Tone,
    domain::{
        deployment::completed_revision,
        replicas::{Desired, PEER, Scale, plan_scale},
    },
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
        // Time may heal it, or somebody.
        let missing = self.because.iter().any(|because| Reason::BaseDeploymentNotFound.is(Some(&because.reason)));
        match self.verdict {
            Verdict::Failed => Tone::Bad,
            Verdict::Underway if missing => Tone::Bad,
            Verdict::Underway => Tone::Busy,
            Verdict::Done => Tone::Good,
        }
    }
}

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
    let mut because = because(deployment);
    if deployment.metadata.deletion_timestamp.is_some() {
        // Where the release was doesn't matter any more.
        because.retain(|because| Reason::DeletionBlocked.is(Some(&because.reason)));
        return Standing { word: "Terminating".to_owned(), verdict: Verdict::Failed, because, next: None };
    }
    if !is_observed(deployment) {
        let message = "the operator has not looked at the last change yet";
        let next = format!("if it stays so, the operator doesn't run or is stuck: {OPERATOR} shows it");
        let unseen = Because { reason: NOT_OBSERVED.to_owned(), message: message.to_owned() };
        return Standing {
            word: "Unseen".to_owned(),
            verdict: Verdict::Underway,
            because: vec![unseen],
            next: Some(next),
        };
    }
    let (word, verdict, next) = judge(deployment);
    Standing { word, verdict, next, because }
}

/// What shows the operator's pods.
pub const OPERATOR: &str = "`kubectl get pods -A -l app.kubernetes.io/name=module-controller`";

/// The reason of what the operator hasn't looked at. It is this tool's word; the operator's are [`Reason`].
pub const NOT_OBSERVED: &str = "NotObserved";

/// The word, what to make of it, and what a person can do.
fn judge(deployment: &ModuleDeployment) -> (String, Verdict, Option<String>) {
    let progress =
        release(deployment).and_then(|release| release.progress.clone()).unwrap_or_else(|| "Init".to_owned());
    let reason = find(conditions(deployment), types::PROGRESSING).and_then(|condition| condition.reason.as_deref());
    let reason = reason.and_then(Reason::parse);
    let name = deployment.name_any();
    let named = |reason: Reason, verdict, next| (reason.as_str().to_owned(), verdict, next);
    match (progress.as_str(), reason) {
        (_, Some(reason @ Reason::InvalidSpec)) => named(reason, Verdict::Failed, None),
        (_, Some(reason @ Reason::ProgressDeadlineExceeded)) => {
            let next = format!("`kubectl module logs-why {name}` says why, `kubectl module undo {name}` goes back");
            named(reason, Verdict::Failed, Some(next))
        }
        ("Aborted", _) => {
            let next = format!(
                "`kubectl module set-version {name} VERSION` tries another, `kubectl module retry {name}` the same once more, \
                 `kubectl module undo {name}` makes the spec say what runs"
            );
            (progress, Verdict::Failed, Some(next))
        }
        (_, Some(reason @ Reason::BaseDeploymentNotFound)) => named(reason, Verdict::Underway, None),
        (_, Some(Reason::DeploymentPaused)) => {
            ("Paused".to_owned(), Verdict::Underway, Some(format!("`kubectl module resume {name}` goes on")))
        }
        ("WaitingForConfirmation", _) => {
            let mut next = format!("`kubectl module confirm {name}` goes on");
            // The first release has nothing to go back to.
            if completed_revision(deployment).is_some() {
                next.push_str(&format!(", `kubectl module abort {name}` goes back"));
            }
            (progress, Verdict::Underway, Some(next))
        }
        ("Completed", Some(reason @ Reason::Restarting)) => named(reason, Verdict::Underway, None),
        ("Completed", _) if !is_available(deployment) => {
            let next = format!("`kubectl module logs-why {name}` says why");
            ("Degraded".to_owned(), Verdict::Underway, Some(next))
        }
        ("Completed", _) => (progress, Verdict::Done, None),
        _ => (progress, Verdict::Underway, None),
    }
}

/// Whether as many instances are available as are wanted.
fn is_available(deployment: &ModuleDeployment) -> bool {
    let available = deployment.status.as_ref().and_then(|status| status.available_replicas).unwrap_or(0);
    i64::from(available) >= i64::from(desired(deployment).count)
}

fn conditions(deployment: &ModuleDeployment) -> &[Condition] {
    deployment.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default()
}

/// What the conditions say that isn't as it should be.
fn because(deployment: &ModuleDeployment) -> Vec<Because> {
    let is = |condition: &Condition, status: ConditionStatus| condition.status == status.as_str();
    [types::DELETION_BLOCKED, types::PROGRESSING, types::REPLICA_FAILURE, types::SERVICE_READY]
        .into_iter()
        .filter_map(|type_| find(conditions(deployment), type_))
        .filter(|condition| match condition.type_.as_str() {
            types::SERVICE_READY => is(condition, ConditionStatus::False),
            types::PROGRESSING => !Reason::NewReplicaSetAvailable.is(condition.reason.as_deref()),
            _ => is(condition, ConditionStatus::True),
        })
        .map(|condition| Because {
            reason: condition.reason.clone().unwrap_or_default(),
            message: condition.message.clone().unwrap_or_default(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn of_what_is_being_deleted_only_what_holds_it_up_is_told() {
        let condition =
            |type_: &str, status: &str, reason: &str| json!({ "type": type_, "status": status, "reason": reason });
        let deployment = json!({
            "metadata": { "name": "hello", "generation": 1, "deletionTimestamp": "2026-11-25T12:00:00Z" },
            "spec": { "baseDeploymentName": "base" },
            "status": { "observedGeneration": 1, "conditions": [
                condition("Progressing", "Unknown", "WaitingForConfirmation"),
                condition("DeletionBlocked", "True", "DeletionBlocked"),
            ] },
        });
        let standing = standing(&serde_json::from_value(deployment).expect("a ModuleDeployment"));
        assert_eq!((standing.word.as_str(), standing.verdict), ("Terminating", Verdict::Failed));
        let reasons: Vec<&str> = standing.because.iter().map(|because| because.reason.as_str()).collect();
        assert_eq!(reasons, ["DeletionBlocked"]);
    }

    #[test]
    fn an_abort_is_offered_where_there_is_something_to_go_back_to() {
        let next = |completed: Option<&str>| {
            let deployment = json!({
                "metadata": { "name": "hello", "generation": 1 },
                "spec": { "baseDeploymentName": "base" },
                "status": { "observedGeneration": 1, "releaseStatus": {
                    "progress": "WaitingForConfirmation", "completedRevision": completed,
                } },
            });
            standing(&serde_json::from_value(deployment).expect("a ModuleDeployment")).next.expect("what to do")
        };
        assert_eq!(next(None), "`kubectl module confirm hello` goes on");
        let both = "`kubectl module confirm hello` goes on, `kubectl module abort hello` goes back";
        assert_eq!(next(Some("hello-replicas-1")), both);
    }
}
