//! What is told once, when it happens.

use kube::ResourceExt;

use super::{Told, View, number};
use crate::{
    api::{ModuleInfo, Reason, condition, reasons::types},
    domain::{
        progress::{Facts, what_to_confirm, why_rolled_back},
        release::Progress,
    },
};

/// The edges between what the status says and how the release of `module` stands.
pub fn events(view: &View<'_>, facts: &Facts<'_>, module: &ModuleInfo) -> Vec<Told> {
    let (Some(release), Some(newest_name)) = (facts.release, facts.newest_name) else { return vec![] };
    let before = view.deployment.status.as_ref().and_then(|status| status.release_status.as_ref());
    let same = before.is_some_and(|before| before.update_revision.as_deref() == Some(newest_name));
    let word = before.and_then(|before| before.progress.as_deref()).filter(|_| same);
    let batch = before.and_then(|before| before.current_batch).filter(|_| same).unwrap_or(0);
    let replaces = view.sets.iter().any(|set| number(set.object) > 0 && set.object.name_any() != newest_name);
    let what = format!("{} {}", module.name, module.version);
    let mut events = Vec::new();
    if !same && replaces {
        events.push((false, Reason::ReleaseStarted, format!("release of {what} began ({newest_name})")));
    }
    let now = release.progress;
    if word != Some(now.as_str()) && (word.is_some() || now != Progress::Completed) {
        match now {
            Progress::Completed => {
                events.push((false, Reason::ReleaseCompleted, format!("{what} is available on every wanted base")));
            }
            Progress::WaitingForConfirmation => {
                events.push((false, Reason::WaitingForConfirmation, what_to_confirm(facts, release)));
            }
            Progress::Aborted => events.push((true, Reason::RolledBack, why_rolled_back(facts))),
            Progress::Init | Progress::Executing | Progress::Paused | Progress::Terminating | Progress::Terminated => {}
        }
    }
    if let Some(why) = &facts.reports.refused
        && !is_told(view)
    {
        events.push((true, Reason::FailedCreate, why.clone()));
    }
    if same && i64::from(release.batch) > i64::from(batch) && release.batches > 1 {
        events.push((false, Reason::BatchStarted, format!("batch {} of {} of {what}", release.batch, release.batches)));
    }
    events
}

/// Whether the status says already that a creation was refused.
fn is_told(view: &View<'_>) -> bool {
    let conditions = view.deployment.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    let failure = condition::find(conditions, types::REPLICA_FAILURE);
    failure.is_some_and(|failure| Reason::FailedCreate.is(failure.reason.as_deref()))
}
