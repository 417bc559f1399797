//! The status of a ModuleReplicaSet: counts, and why Modules are missing.

use kube::{Resource, ResourceExt};
use serde_json::json;

use crate::{
    api::{
        Condition, ConditionStatus, ModuleReplicaSet, ModuleReplicaSetStatus, Reason, condition,
        reasons::types::REPLICA_FAILURE,
    },
    controllers::{
        context::{Context, Unplaced},
        error::Error,
        fleet,
    },
    domain::merge,
    runtime::clock::timestamp,
};

/// Counts are written at most once in this time (milliseconds). Only people read them: the deployment counts Modules.
const COUNTS_PACE: i64 = 2_000;

/// Why Modules are missing.
pub enum Missing {
    /// They find no base.
    Unplaced(Unplaced),
    /// The API server refuses to create them, and says this.
    Refused(String),
}

impl Missing {
    /// Reason and message of the condition for `set`, which has `live` Modules.
    fn told(&self, set: &ModuleReplicaSet, live: u32) -> (Reason, String) {
        let wanted = set.desired();
        match self {
            Self::Unplaced(Unplaced { count, why, .. }) => {
                (Reason::InsufficientBases, format!("{count} of {wanted} Modules find no base: {why}"))
            }
            Self::Refused(why) => (
                Reason::FailedCreate,
                format!("{live} of {wanted} Modules exist; the API server refuses another: {why}"),
            ),
        }
    }
}

/// Writes the status if it differs; says when to come back for counts that may not be written yet (milliseconds).
pub async fn write(
    context: &Context,
    set: &ModuleReplicaSet,
    missing: Option<Missing>,
    now: i64,
) -> Result<Option<i64>, Error> {
    let before = set.status.clone().unwrap_or_default();
    let (status, news) = status(context, set, &before, missing.as_ref(), now);
    let Some(patch) = merge::diff(&json!(before), &json!(status)) else {
        return Ok(None);
    };
    let (namespace, name) = (set.namespace().unwrap_or_default(), set.name_any());
    // After a refusal the next look may be minutes away.
    let edge = matches!(missing, Some(Missing::Refused(_)))
        || news.is_some()
        || before.conditions.len() != status.conditions.len()
        || before.observed_generation.is_none();
    if let Err(later) = context.may_write(&format!("mdrs/{namespace}/{name}"), edge, COUNTS_PACE, now) {
        return Ok(Some(later));
    }
    let patch = json!({ "metadata": { "uid": set.uid() }, "status": patch });
    let patched = context.ops.patch_status::<ModuleReplicaSet>(&namespace, &name, &patch).await?;
    context.sets.cache.put(patched);
    if let Some((reason, note)) = news {
        context.ops.publish(&set.object_ref(&()), true, reason, "Place", note).await;
    }
    Ok(None)
}

fn status(
    context: &Context,
    set: &ModuleReplicaSet,
    before: &ModuleReplicaSetStatus,
    missing: Option<&Missing>,
    now: i64,
) -> (ModuleReplicaSetStatus, Option<(Reason, String)>) {
    let modules = context.modules.of_set(&set.namespace().unwrap_or_default(), &set.name_any());
    let counts = fleet::count(set, &modules, |_| true);
    let number = |count: u32| Some(i32::try_from(count).unwrap_or(i32::MAX));
    let mut conditions: Vec<Condition> = before.conditions.clone();
    let known = condition::find(&conditions, REPLICA_FAILURE).and_then(|failure| failure.reason.clone());
    let told = missing.map(|missing| missing.told(set, counts.live));
    match &told {
        Some((reason, message)) => {
            condition::set(
                &mut conditions,
                REPLICA_FAILURE,
                ConditionStatus::True,
                reason.as_str(),
                message,
                &timestamp(now),
            );
        }
        None => condition::clear(&mut conditions, REPLICA_FAILURE),
    }
    let news = told.filter(|(reason, _)| known.as_deref() != Some(reason.as_str()));
    let status = ModuleReplicaSetStatus {
        replicas: number(counts.live),
        current_replicas: number(counts.live),
        available_replicas: number(counts.available),
        ready_replicas: number(counts.ready),
        unavailable_replicas: number(set.desired().saturating_sub(counts.available)),
        updated_replicas: number(counts.live),
        upgrading_replicas: number(counts.upgrading),
        updated_ready_replicas: number(counts.ready),
        updated_available_replicas: number(counts.available),
        collision_count: before.collision_count,
        conditions,
        observed_generation: set.metadata.generation,
    };
    (status, news)
}
