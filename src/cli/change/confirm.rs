//! confirm: lets a release go on that waits after a batch.

use kube::ResourceExt;
use serde_json::json;

use super::{alive, unseen};
use crate::{
    api::{ModuleDeployment, ModuleReplicaSet, keys::annotation},
    cli::view::standing::{is_observed, release},
    domain::release::Progress,
};

/// What confirms the batch.
#[derive(Clone, Debug, PartialEq)]
pub enum Confirm {
    /// `spec.confirmBatchNum` becomes this.
    Set {
        /// The number.
        number: u32,
        /// What was done.
        done: String,
    },
    /// The number stands there from before the release and doesn't count: it becomes 0, and once the operator has seen
    /// that, [`Confirm::Set`].
    Clear,
    /// The number counts already; the operator has yet to go on.
    Already(String),
}

impl Confirm {
    /// The patch for it.
    pub fn patch(&self) -> Option<serde_json::Value> {
        let number = match self {
            Self::Set { number, .. } => *number,
            Self::Clear => 0,
            Self::Already(_) => return None,
        };
        Some(json!({ "spec": { "confirmBatchNum": number } }))
    }
}

/// Confirms the batch that waits, or all that follow; `set` is the replica set of the revision under way.
pub fn plan_confirm(
    deployment: &ModuleDeployment,
    set: Option<&ModuleReplicaSet>,
    all: bool,
) -> Result<Confirm, String> {
    alive(deployment)?;
    let name = deployment.name_any();
    let told = release(deployment).cloned().unwrap_or_default();
    if !is_observed(deployment) {
        return Err(unseen(&name));
    }
    let (batch, batches) = (told.current_batch.unwrap_or(0), told.real_batch_count.unwrap_or(0));
    let progress = told.progress.as_deref().unwrap_or_default();
    if progress != Progress::WaitingForConfirmation.as_str() {
        return Err(format!(
            "nothing of {name} waits for a confirmation: {}",
            instead(deployment, progress, batch, batches)
        ));
    }
    let number = u32::try_from(if all { batches } else { batch }).unwrap_or(0);
    let had = deployment.spec.confirm_batch_num.and_then(|had| u32::try_from(had).ok()).unwrap_or(0);
    let baseline = set.and_then(|set| set.annotations().get(annotation::CONFIRM_BASELINE)?.parse::<u32>().ok());
    let counts = baseline != Some(had);
    let done = match all {
        true => format!("confirmed, all {batches} batches"),
        false => format!("confirmed, batch {batch} of {batches}"),
    };
    match had {
        _ if counts && had >= number => Ok(Confirm::Already(format!("already confirmed up to batch {had}"))),
        _ if baseline == Some(number) && number > 0 => Ok(Confirm::Clear),
        _ => Ok(Confirm::Set { number, done }),
    }
}

/// What it does instead of waiting, and what to do.
fn instead(deployment: &ModuleDeployment, progress: &str, batch: i32, batches: i32) -> String {
    let name = deployment.name_any();
    let next = release(deployment).and_then(|release| release.next_reconcile_time.as_ref());
    match progress {
        _ if deployment.is_paused() => format!("it is paused; `kubectl module resume {name}` goes on"),
        "Paused" => match next {
            Some(time) => {
                format!("batch {batch} of {batches} is done and the next one follows by itself at {}", time.0)
            }
            None => format!("batch {batch} of {batches} is done and the next one follows by itself"),
        },
        "Executing" => format!(
            "batch {batch} of {batches} is under way; `kubectl module status {name} --watch` shows when it waits"
        ),
        "Completed" => "its release is complete".to_owned(),
        "Aborted" => format!(
            "its release was given up; `kubectl module set-version {name} VERSION` or `kubectl module retry {name}` tries again"
        ),
        _ => format!("nothing could begin yet; `kubectl module status {name}` says why"),
    }
}
