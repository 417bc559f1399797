//! What a deployment's status says: counts, conditions, and the release as V1's clients read it.
//!
//! One condition a type, each with a reason; a transition time moves only when the status flips. V1's duplicates and
//! unknown types in stored objects are cleaned up on the way.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::{
    deadline::Deadline,
    deployment::{Reports, SetView, View, is_on_request},
    names,
    release::{Progress, Release},
};
use crate::api::{
    Condition, ConditionStatus, ModuleDeployment, ModuleDeploymentStatus, Reason, ReleaseStatus,
    condition::{clear, set},
    keys::annotation,
    reasons::types,
};

/// What the status is made from.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// D.
    pub desired: u32,
    /// How many may be unavailable.
    pub max_unavailable: u32,
    /// All replica sets.
    pub sets: &'a [SetView<'a>],
    /// The newest revision, where it exists.
    pub newest: Option<&'a SetView<'a>>,
    /// Its name, also before it exists.
    pub newest_name: Option<&'a str>,
    /// The release.
    pub release: Option<&'a Release>,
    /// `spec.paused` keeps a changed template from becoming a revision.
    pub held: bool,
    /// `spec.paused` as it stands.
    pub paused: bool,
    /// `spec.confirmBatchNum` as it stands.
    pub confirm: u32,
    /// The revision that runs instead, after a release was rolled back.
    pub back: Option<&'a str>,
    /// How the release gets on.
    pub deadline: Option<Deadline>,
    /// While a restart is under way: how many instances are through.
    pub restarting: Option<u32>,
    /// What others tell.
    pub reports: &'a Reports,
    /// The deployment is being deleted.
    pub deleting: bool,
    /// Nothing of it is left.
    pub deleted: bool,
    /// Nothing can be done, for this reason.
    pub stuck: Option<(Reason, &'a str)>,
}

impl<'a> Facts<'a> {
    /// The facts that need no decision.
    pub fn of(view: &'a View<'a>) -> Self {
        Self {
            desired: 0,
            max_unavailable: 0,
            sets: &view.sets,
            newest: None,
            newest_name: None,
            release: None,
            held: false,
            paused: view.deployment.is_paused(),
            confirm: view.deployment.spec.confirm_batch_num.and_then(|number| u32::try_from(number).ok()).unwrap_or(0),
            back: None,
            deadline: None,
            restarting: None,
            reports: &view.reports,
            deleting: false,
            deleted: false,
            stuck: None,
        }
    }
}

fn count(number: u32) -> Option<i32> {
    Some(i32::try_from(number).unwrap_or(i32::MAX))
}

/// The status of `deployment` at `now` (milliseconds).
pub fn status(deployment: &ModuleDeployment, facts: &Facts<'_>, now: i64) -> ModuleDeploymentStatus {
    let time = Time(Timestamp::from_second(now.div_euclid(1000)).unwrap_or(Timestamp::UNIX_EPOCH));
    let before = deployment.status.clone().unwrap_or_default();
    let available = facts.reports.bases_available;
    let live = |set: &SetView<'_>| set.counts.live;
    let mut status = ModuleDeploymentStatus {
        replicas: count(facts.sets.iter().map(live).sum()),
        available_replicas: count(available),
        ready_replicas: count(facts.reports.bases_ready),
        updated_replicas: count(facts.newest.map_or(0, live)),
        upgrading_replicas: count(facts.newest.map_or(0, |set| set.counts.upgrading)),
        updated_ready_replicas: count(facts.newest.map_or(0, |set| set.counts.ready)),
        updated_available_replicas: count(facts.newest.map_or(0, |set| set.counts.available)),
        collision_count: before.collision_count,
        selector: deployment.module().map(|module| format!("{}=true", names::traffic_label(&module.name))),
        conditions: before.conditions,
        release_status: before.release_status,
        observed_generation: deployment.metadata.generation,
        unavailable_replicas: before.unavailable_replicas,
    };
    if !facts.deleting {
        status.unavailable_replicas = count(facts.desired.saturating_sub(available));
    }
    write_conditions(&mut status.conditions, facts, &time);
    status.release_status = release_status(status.release_status, facts, &time);
    status
}

fn write_conditions(conditions: &mut Vec<Condition>, facts: &Facts<'_>, now: &Time) {
    if let Some((reason, why)) = facts.stuck {
        set(conditions, types::PROGRESSING, ConditionStatus::False, reason.as_str(), why, now);
    } else if let Some(release) = facts.release {
        let (status, reason, message) = progressing(facts, release);
        set(conditions, types::PROGRESSING, status, reason.as_str(), message, now);
    }
    if !facts.deleting {
        let available = facts.reports.bases_available;
        let least = facts.desired.saturating_sub(facts.max_unavailable);
        let (enough, reason) = match available >= least {
            true => (ConditionStatus::True, Reason::MinimumReplicasAvailable),
            false => (ConditionStatus::False, Reason::MinimumReplicasUnavailable),
        };
        let message = format!("{available} of {} available", facts.desired);
        set(conditions, types::AVAILABLE, enough, reason.as_str(), message, now);
    }
    match facts.reports.trouble() {
        Some((reason, message)) if !facts.deleting => {
            set(conditions, types::REPLICA_FAILURE, ConditionStatus::True, reason, message, now);
        }
        _ => clear(conditions, types::REPLICA_FAILURE),
    }
    match &facts.reports.service {
        Some((reason, message)) => {
            set(conditions, types::SERVICE_READY, ConditionStatus::False, reason, message, now);
        }
        None => clear(conditions, types::SERVICE_READY),
    }
    match &facts.reports.deletion_blocked {
        Some(message) => {
            set(
                conditions,
                types::DELETION_BLOCKED,
                ConditionStatus::True,
                Reason::AgentUnreachable.as_str(),
                message,
                now,
            );
        }
        None => clear(conditions, types::DELETION_BLOCKED),
    }
}

fn progressing(facts: &Facts<'_>, release: &Release) -> (ConditionStatus, Reason, String) {
    let name = facts.newest_name.unwrap_or_default();
    let batch = format!("batch {} of {}", release.batch, release.batches);
    if facts.held {
        let message = "spec.paused holds the new template back; set it to false to release it".to_owned();
        return (ConditionStatus::Unknown, Reason::DeploymentPaused, message);
    }
    if let Some(deadline) = facts.deadline.filter(|deadline| deadline.exceeded) {
        let what = facts.restarting.map_or(batch, |done| format!("the restart ({done} of {})", facts.desired));
        let message = format!("{name}: {what} has made no progress for {} s{}", deadline.seconds, cause(facts));
        return (ConditionStatus::False, Reason::ProgressDeadlineExceeded, message);
    }
    match release.progress {
        Progress::Aborted => (ConditionStatus::False, Reason::RolledBack, why_rolled_back(facts)),
        Progress::Completed if let Some(done) = facts.restarting.filter(|_| facts.paused) => {
            let message = format!("spec.paused holds the restart: {done} of {} restarted", facts.desired);
            (ConditionStatus::Unknown, Reason::DeploymentPaused, message)
        }
        Progress::Completed if let Some(done) = facts.restarting => {
            (ConditionStatus::True, Reason::Restarting, format!("{done} of {} restarted", facts.desired))
        }
        Progress::Completed => (
            ConditionStatus::True,
            Reason::NewReplicaSetAvailable,
            format!("{name} is available{}", fetched_before(facts)),
        ),
        Progress::WaitingForConfirmation => {
            (ConditionStatus::Unknown, Reason::WaitingForConfirmation, what_to_confirm(facts, release))
        }
        Progress::Paused if release.held => {
            (ConditionStatus::Unknown, Reason::DeploymentPaused, "spec.paused holds the release".to_owned())
        }
        Progress::Paused if !release.batch_complete => {
            let message = format!("{batch} is no longer available everywhere; the next one waits for that");
            (ConditionStatus::True, Reason::BatchPause, message)
        }
        Progress::Paused => {
            (ConditionStatus::True, Reason::BatchPause, format!("{batch} is available; the next one follows by itself"))
        }
        Progress::Init | Progress::Executing | Progress::Terminating | Progress::Terminated => {
            (ConditionStatus::True, Reason::ReplicaSetUpdated, format!("{name}: {batch} is under way"))
        }
    }
}

/// What a release waits for that waits for a confirmation.
pub fn what_to_confirm(facts: &Facts<'_>, release: &Release) -> String {
    let (had, batch) = (facts.confirm, release.batch);
    let stale = format!("spec.confirmBatchNum is {had} from before this release, which doesn't count;");
    let order = match had {
        // It counts once it has been seen to differ.
        _ if had == batch => format!("{stale} set it to 0 and then to {batch}"),
        _ if had > batch => format!("{stale} set it to {batch}"),
        _ => format!("set spec.confirmBatchNum to {batch}"),
    };
    format!("batch {batch} of {} is available; {order} to go on", release.batches)
}

/// That a changed URL alone reinstalls nothing, as the end of a sentence, where it was changed.
fn fetched_before(facts: &Facts<'_>) -> String {
    match facts.reports.fetched_elsewhere {
        0 => String::new(),
        count => format!(
            "; {count} of {} from an earlier URL: change the annotation {} in spec.template to fetch it anew",
            facts.desired,
            annotation::RESTARTED_AT,
        ),
    }
}

/// The failure that others tell of, as the end of a sentence.
fn cause(facts: &Facts<'_>) -> String {
    facts.reports.trouble().map(|(reason, message)| format!(" ({reason}: {message})")).unwrap_or_default()
}

/// Why a release was rolled back, and what to do.
pub fn why_rolled_back(facts: &Facts<'_>) -> String {
    let name = facts.newest_name.unwrap_or_default();
    let seconds = facts.deadline.map_or(0, |deadline| deadline.seconds);
    let back = facts.back.map(|back| format!("; {back} is back")).unwrap_or_default();
    if facts.newest.is_some_and(|set| is_on_request(set.object)) {
        return format!("{name} was aborted on request{back}; change spec.template to try again");
    }
    format!("{name} made no progress for {seconds} s{}{back}; change spec.template to try again", cause(facts))
}

fn release_status(before: Option<ReleaseStatus>, facts: &Facts<'_>, now: &Time) -> Option<ReleaseStatus> {
    let (progress, batch_progress) = match facts.release {
        _ if facts.deleted => (Progress::Terminated, Progress::Terminated),
        _ if facts.deleting => (Progress::Terminating, Progress::Terminating),
        Some(release) if release.batch_complete => (release.progress, Progress::Completed),
        Some(release) => (release.progress, Progress::Executing),
        // What can't begin yet.
        None if before.is_none() => (Progress::Init, Progress::Init),
        None => return before,
    };
    let before = before.unwrap_or_default();
    let same_progress = before.progress.as_deref() == Some(progress.as_str());
    let since = if same_progress { before.last_transition_time.clone() } else { None };
    let mut status = ReleaseStatus {
        progress: Some(progress.as_str().to_owned()),
        batch_progress: Some(batch_progress.as_str().to_owned()),
        last_transition_time: since.or_else(|| Some(now.clone())),
        next_reconcile_time: None,
        ..before.clone()
    };
    if let Some(release) = facts.release {
        let same_revision = before.update_revision.as_deref() == facts.newest_name;
        status.update_revision = facts.newest_name.map(str::to_owned);
        status.current_batch = count(release.batch);
        status.real_batch_count = count(release.batches);
        if !same_revision || before.original_delta_replicas.is_none() {
            status.original_delta_replicas = count(facts.desired);
        }
        if let Some(deadline) = facts.deadline {
            status.last_progress_time = Timestamp::from_second(deadline.progressed_at).ok().map(Time);
        }
        if release.progress == Progress::Completed {
            status.completed_revision = status.update_revision.clone();
        }
        status.next_reconcile_time = release.resume_at.and_then(|at| Timestamp::from_second(at).ok()).map(Time);
    }
    Some(status)
}
