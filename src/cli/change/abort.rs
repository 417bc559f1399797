//! abort: gives the release under way up and brings the last completed revision back, as `autoRollback` does past its
//! deadline.
//!
//! What is written is the mark that the operator itself makes on the ModuleReplicaSet of a failed release. So the spec stays
//! what its author wrote, a tool that applies it again and again changes nothing, going back is neither batched nor
//! confirmed, and any change of the template tries again.

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use serde_json::{Value, json};

use super::{alive, unseen};
use crate::{
    api::{ModuleDeployment, ModuleReplicaSet, keys::annotation},
    cli::view::standing::{is_observed, release},
    domain::{
        deployment::{completed_revision, number, on_request},
        release::Progress,
    },
};

/// What gives a release up.
#[derive(Clone, Debug, PartialEq)]
pub enum Abort {
    /// This replica set gets this patch.
    Mark {
        /// The replica set of the release.
        set: String,
        /// A JSON merge patch.
        patch: Value,
        /// What was done.
        done: String,
    },
    /// It is given up already.
    Already(String),
}

/// Gives the release of a deployment up at `now` (milliseconds); `sets` are its replica sets.
pub fn plan_abort(deployment: &ModuleDeployment, sets: &[&ModuleReplicaSet], now: i64) -> Result<Abort, String> {
    alive(deployment)?;
    let name = deployment.name_any();
    if !is_observed(deployment) {
        return Err(unseen(&name));
    }
    let told = release(deployment).cloned().unwrap_or_default();
    let is = |progress: Progress| told.progress.as_deref() == Some(progress.as_str());
    if is(Progress::Aborted) {
        return Ok(Abort::Already("already aborted".to_owned()));
    }
    if is(Progress::Completed) {
        return Err(format!(
            "no release of {name} is under way; `kubectl module undo {name}` brings an earlier revision back"
        ));
    }
    let named = |wanted: Option<&str>| {
        let alive = |set: &&&ModuleReplicaSet| set.metadata.deletion_timestamp.is_none();
        sets.iter().filter(alive).find(|set| Some(set.name_any().as_str()) == wanted).copied()
    };
    let failed = named(told.update_revision.as_deref());
    let good = named(completed_revision(deployment));
    let (Some(failed), Some(good)) =
        (failed, good.filter(|good| failed.map(ResourceExt::name_any) != Some(good.name_any())))
    else {
        return Err(format!(
            "{name} has no completed revision to go back to; correct it with `kubectl module set-version {name} VERSION`, \
             or hold it with `kubectl module pause {name}`"
        ));
    };
    let mark = on_request(Timestamp::from_second(now.div_euclid(1000)).unwrap_or(Timestamp::UNIX_EPOCH));
    Ok(Abort::Mark {
        set: failed.name_any(),
        patch: json!({ "metadata": { "annotations": { annotation::ROLLED_BACK: mark } } }),
        done: format!("aborted, back to revision {} ({})", number(good), version(good)),
    })
}

fn version(set: &ModuleReplicaSet) -> String {
    set.module().map(|module| module.version.clone()).unwrap_or_default()
}
