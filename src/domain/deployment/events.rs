//! What is told once, when it happens.

use super::Told;
use crate::{
    api::{ModuleDeployment, ModuleInfo},
    domain::release::{Progress, Release},
};

/// The edges between what the status says and how the release stands.
pub fn events(
    deployment: &ModuleDeployment,
    release: &Release,
    newest_name: &str,
    module: &ModuleInfo,
    replaces: bool,
) -> Vec<Told> {
    let before = deployment.status.as_ref().and_then(|status| status.release_status.as_ref());
    let same = before.is_some_and(|before| before.update_revision.as_deref() == Some(newest_name));
    let word = before.and_then(|before| before.progress.as_deref()).filter(|_| same);
    let batch = before.and_then(|before| before.current_batch).filter(|_| same).unwrap_or(0);
    let what = format!("{} {}", module.name, module.version);
    let mut events = Vec::new();
    if !same && replaces {
        events.push((false, "ReleaseStarted", format!("release of {what} began ({newest_name})")));
    }
    let now = release.progress;
    if word != Some(now.as_str()) && (word.is_some() || now != Progress::Completed) {
        match now {
            Progress::Completed => {
                events.push((false, "ReleaseCompleted", format!("{what} is available on every wanted base")));
            }
            Progress::WaitingForConfirmation => events.push((
                false,
                "WaitingForConfirmation",
                format!(
                    "batch {0} of {1} is available; set spec.confirmBatchNum to {0} to go on",
                    release.batch, release.batches
                ),
            )),
            Progress::Init | Progress::Executing | Progress::Paused | Progress::Aborted | Progress::Terminating => {}
        }
    }
    if same && i64::from(release.batch) > i64::from(batch) && release.batches > 1 {
        events.push((false, "BatchStarted", format!("batch {} of {} of {what}", release.batch, release.batches)));
    }
    events
}
