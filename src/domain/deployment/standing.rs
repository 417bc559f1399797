//! How the release of what was asked for stands: what the status remembers of it, what is there, and whether it gets on.
//!
//! The arithmetic is in [`crate::domain::release`] and [`crate::domain::deadline`]; here is what they are asked with.

use kube::ResourceExt;

use super::{
    View,
    course::{self, Course},
    find_reason,
};
use crate::{
    api::{ModuleDeployment, Reason, ReleaseStatus, keys::annotation, reasons::types},
    domain::{
        deadline::{Deadline, Mark, plan_deadline},
        policy::{Strategy, drain_seconds},
        release::{Progress, Release, Seen, Stored, Wanted, plan_release},
        replicas::Desired,
        revision::RevisionPlan,
        rollout::SetCounts,
    },
};

/// `progressDeadlineSeconds` where the user said nothing (Kubernetes Deployment's default).
const PROGRESS_DEADLINE: i64 = 600;

/// The release of what was asked for.
pub fn release(view: &View<'_>, strategy: &Strategy, desired: &Desired, course: &Course, now: i64) -> Release {
    // Another try of what was rolled back goes through every batch again.
    let again = course.is_another_try(view);
    let stored = if again { Stored::default() } else { stored(view.deployment, &course.asked_name) };
    // What stood there before there was a replica set is older than the release.
    let confirm = view.deployment.spec.confirm_batch_num.and_then(|number| u32::try_from(number).ok());
    let begun = course.asked_index.is_some() && !matches!(course.asked, RevisionPlan::Lift(..)) && !again;
    let confirm = confirm.filter(|_| begun);
    let baseline = course
        .asked_index
        .and_then(|index| view.sets[index].object.annotations().get(annotation::CONFIRM_BASELINE)?.parse::<u32>().ok());
    let others = (0..view.sets.len()).filter(|&index| Some(index) != course.asked_index);
    let wanted = Wanted {
        desired: desired.count,
        replaces: others.clone().next().is_some(),
        strategy,
        paused: view.deployment.is_paused(),
        confirmed: confirm.filter(|number| baseline != Some(*number)),
    };
    let seen = Seen {
        updated_available: counts(view, course).available,
        old: others.map(|index| view.sets[index].counts.existing).sum(),
    };
    let release = plan_release(&wanted, &stored, seen, now.div_euclid(1000));
    match course.back {
        Some(_) => Release { target: Some(desired.count), progress: Progress::Aborted, resume_at: None, ..release },
        None => release,
    }
}

/// While an order to restart is carried out: how many instances are through. It begins with the order and ends when all
/// are available; an instance that is lost later is repaired, not restarted.
pub fn restarting(view: &View<'_>, course: &Course, release: &Release) -> Option<u32> {
    if release.progress != Progress::Completed {
        return None;
    }
    let restart = view.reports.restarted.filter(|restart| restart.left || is_told_restarting(view.deployment));
    if course.is_restart_ordered(view) { Some(0) } else { restart.map(|restart| restart.done) }
}

/// Whether a restart is under way by the status: overdue in a release that is complete can only be that.
fn is_told_restarting(deployment: &ModuleDeployment) -> bool {
    let reason = find_reason(&deployment.status, types::PROGRESSING);
    is_told(deployment, Progress::Completed)
        && (Reason::Restarting.is(reason) || Reason::ProgressDeadlineExceeded.is(reason))
}

/// How the release, or a restart without one, gets on, against what the status says of it.
pub fn deadline(view: &View<'_>, course: &Course, release: &Release, restarting: Option<u32>, now: i64) -> Deadline {
    let status = view.deployment.status.as_ref();
    let told = release_status(view.deployment);
    let updated = whole(status.and_then(|status| status.updated_replicas));
    let before = Mark {
        revision: told.and_then(|told| told.update_revision.clone()),
        batch: whole(told.and_then(|told| told.current_batch)),
        executing: is_told(view.deployment, Progress::Executing) || is_told_restarting(view.deployment),
        updated,
        ready: whole(status.and_then(|status| status.updated_ready_replicas)),
        available: whole(status.and_then(|status| status.updated_available_replicas)),
        old: whole(status.and_then(|status| status.replicas)).saturating_sub(updated),
    };
    let counts = counts(view, course);
    let all: u32 = view.sets.iter().map(|set| set.counts.live).sum();
    let mark = Mark {
        revision: Some(course.asked_name.clone()),
        batch: release.batch,
        executing: release.progress == Progress::Executing || (restarting.is_some() && !view.deployment.is_paused()),
        updated: counts.live,
        ready: counts.ready,
        available: counts.available,
        old: all - counts.live,
    };
    // Another try begins anew, whatever the status still says.
    let again = course.is_another_try(view) || course.is_corrected(view);
    let progressed_at = told.and_then(|told| told.last_progress_time.as_ref()).filter(|_| !again);
    let progressed_at = progressed_at.map(|time| time.0.as_second());
    let since = view.watching_since.div_euclid(1000);
    plan_deadline(&before, progressed_at, &mark, deadline_seconds(view.deployment), since, now.div_euclid(1000))
}

/// The replica set whose release is given up: it is overdue, doesn't serve everywhere, and there is a good one to go back
/// to. What serves everywhere hasn't failed, however long the old ones take to leave.
pub fn given_up(view: &View<'_>, course: &Course, deadline: Deadline, desired: u32) -> Option<usize> {
    let asked = course.asked_index.filter(|_| deadline.exceeded && course.back.is_none())?;
    (view.sets[asked].counts.available < desired && course::last_good(view, asked).is_some()).then_some(asked)
}

/// How long a release may take for a step. Draining is none: it lasts as long as the user says.
fn deadline_seconds(deployment: &ModuleDeployment) -> i64 {
    let set = deployment.spec.progress_deadline_seconds.map_or(0, i64::from);
    let deadline = if set > 0 { set } else { PROGRESS_DEADLINE };
    deadline.saturating_add(drain_seconds(deployment.spec.operation_strategy.as_ref()))
}

/// The Modules of what was asked for.
fn counts(view: &View<'_>, course: &Course) -> SetCounts {
    course.asked_index.map_or_else(SetCounts::default, |index| view.sets[index].counts)
}

/// A count of a status; what is absent or negative counts as none.
pub fn whole(count: Option<i32>) -> u32 {
    count.and_then(|count| u32::try_from(count).ok()).unwrap_or(0)
}

fn release_status(deployment: &ModuleDeployment) -> Option<&ReleaseStatus> {
    deployment.status.as_ref()?.release_status.as_ref()
}

fn is_told(deployment: &ModuleDeployment, progress: Progress) -> bool {
    release_status(deployment).is_some_and(|told| told.progress.as_deref() == Some(progress.as_str()))
}

/// The revision whose release was last completed.
pub fn completed_revision(deployment: &ModuleDeployment) -> Option<&str> {
    release_status(deployment)?.completed_revision.as_deref()
}

/// What the status says of the release. V1 wrote no `updateRevision`: its batch counts, its word for completion
/// doesn't.
fn stored(deployment: &ModuleDeployment, newest_name: &str) -> Stored {
    let Some(told) = release_status(deployment) else {
        return Stored::default();
    };
    let by_v1 = told.update_revision.is_none();
    Stored {
        same_revision: by_v1 || told.update_revision.as_deref() == Some(newest_name),
        batch: whole(told.current_batch),
        completed: !by_v1 && is_told(deployment, Progress::Completed),
        resume_at: told.next_reconcile_time.as_ref().map(|time| time.0.as_second()),
    }
}

/// Whether the status says that the release of this revision is complete.
pub fn was_completed(deployment: &ModuleDeployment, newest_name: &str) -> bool {
    let stored = stored(deployment, newest_name);
    stored.same_revision && stored.completed
}
